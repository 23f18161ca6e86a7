//! Centre and spread of reflectance by wavelength.

use serde::{Deserialize, Serialize};

use crate::{Sample, SpectralBand};

/// Mean and standard deviation of reflectance per band, kept with the weights that were trained on it.
///
/// Bands of another sensor take the values interpolated at their wavelength.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    bands: Vec<SpectralBand>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Normalisation {
    /// Measures mean and spread over samples; a band never observed keeps mean 0.2 and deviation 0.1.
    #[must_use]
    pub fn measure(bands: &[SpectralBand], samples: &[Sample]) -> Self {
        let mut count = vec![0_f64; bands.len()];
        let mut sum = vec![0_f64; bands.len()];
        let mut squares = vec![0_f64; bands.len()];
        for value in samples.iter().flat_map(|s| s.values.chunks_exact(bands.len())) {
            for (b, &v) in value.iter().enumerate() {
                if v.is_finite() {
                    count[b] += 1.0;
                    sum[b] += f64::from(v);
                    squares[b] += f64::from(v).powi(2);
                }
            }
        }
        let mean: Vec<f64> = sum.iter().zip(&count).map(|(s, n)| s / n).collect();
        let deviation = (0..bands.len())
            .map(|b| (squares[b] / count[b] - mean[b] * mean[b]).max(1e-6).sqrt())
            .map(|d| if d.is_finite() { d as f32 } else { 0.1 });
        Self {
            bands: bands.to_vec(),
            deviation: deviation.collect(),
            mean: mean.iter().map(|&m| if m.is_finite() { m as f32 } else { 0.2 }).collect(),
        }
    }

    /// The bands this was measured on.
    #[must_use]
    pub fn bands(&self) -> &[SpectralBand] {
        &self.bands
    }

    /// Mean and deviation for each of these bands, interpolated over wavelength and held at the ends.
    #[must_use]
    pub fn at(&self, bands: &[SpectralBand]) -> Vec<(f32, f32)> {
        let mut known: Vec<(f32, f32, f32)> = (0..self.bands.len())
            .map(|b| (self.bands[b].centre_nm, self.mean[b], self.deviation[b]))
            .collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        bands.iter().map(|band| interpolate(&known, band.centre_nm)).collect()
    }
}

fn interpolate(known: &[(f32, f32, f32)], nm: f32) -> (f32, f32) {
    let after = known.partition_point(|k| k.0 < nm);
    match (after.checked_sub(1).map(|i| known[i]), known.get(after)) {
        (Some(a), Some(&b)) => {
            let w = (nm - a.0) / (b.0 - a.0).max(f32::EPSILON);
            (a.1 + w * (b.1 - a.1), a.2 + w * (b.2 - a.2))
        }
        (Some(a), None) => (a.1, a.2),
        (None, Some(&b)) => (b.1, b.2),
        (None, None) => (0.2, 0.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_bands_come_back_and_others_lie_between() {
        let band = |centre_nm| SpectralBand { centre_nm, width_nm: 30.0 };
        let bands = [band(600.0), band(800.0)];
        let sample =
            Sample { days: vec![0, 1], values: vec![0.1, 0.4, 0.3, f32::NAN], south: true };
        let norm = Normalisation::measure(&bands, &[sample]);
        let at = norm.at(&[band(600.0), band(700.0), band(2000.0)]);
        assert!((at[0].0 - 0.2).abs() < 1e-6 && (at[0].1 - 0.1).abs() < 1e-6, "{at:?}");
        assert!((at[1].0 - 0.3).abs() < 1e-6, "half way between 0.2 and 0.4: {at:?}");
        assert!((at[2].0 - 0.4).abs() < 1e-6, "held at the end: {at:?}");
    }
}
