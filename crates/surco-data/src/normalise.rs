//! Centre and spread of values by what a band measures.

use serde::{Deserialize, Serialize};

use crate::{BandKind, Sample, SpectralBand};

/// Mean and standard deviation of the values of each band, kept with the weights that were trained on it.
///
/// Bands of another sensor take the values interpolated at their wavelength among bands of their kind; a
/// kind that was never measured has those of typical land.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Normalisation {
    bands: Vec<SpectralBand>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

/// A normalisation as a file holds it, not yet found to be one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    bands: Vec<SpectralBand>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl TryFrom<Written> for Normalisation {
    type Error = String;

    fn try_from(Written { bands, mean, deviation }: Written) -> Result<Self, Self::Error> {
        let (count, means, deviations) = (bands.len(), mean.len(), deviation.len());
        if means != count || deviations != count {
            return Err(format!(
                "{count} bands have {means} means and {deviations} deviations: each needs one of both"
            ));
        }
        let numbers = mean.iter().chain(bands.iter().map(|band| &band.centre_nm));
        if let Some(value) = numbers.copied().find(|value| !value.is_finite()) {
            return Err(format!("a mean or wavelength is {value}"));
        }
        if let Some(value) = deviation.iter().find(|value| !value.is_normal() || **value < 0.0) {
            return Err(format!("a deviation is {value}, expected a number above 0"));
        }
        Ok(Self { bands, mean, deviation })
    }
}

impl Normalisation {
    /// Measures mean and spread over samples; a band never observed keeps those of typical land.
    #[must_use]
    pub fn measure(bands: &[SpectralBand], samples: &[Sample]) -> Self {
        Self::over([(bands, samples)])
    }

    /// Measures mean and spread over sets of samples with bands of their own; a band that several sets have is measured over all of
    /// them.
    #[must_use]
    pub fn over<'a>(sets: impl IntoIterator<Item = (&'a [SpectralBand], &'a [Sample])>) -> Self {
        let (mut bands, mut sums): (Vec<SpectralBand>, Vec<Sums>) = Default::default();
        for (own, samples) in sets {
            let before = bands.len();
            let mut place = |band: &SpectralBand| {
                bands[..before].iter().position(|known| known == band).unwrap_or_else(|| {
                    bands.push(*band);
                    sums.push(Sums::default());
                    bands.len() - 1
                })
            };
            let places: Vec<usize> = own.iter().map(&mut place).collect();
            for sample in samples {
                for (plane, values) in
                    sample.values.chunks_exact(sample.pixels().max(1)).enumerate()
                {
                    sums[places[plane % places.len()]].add(values);
                }
            }
        }
        let measured = bands.iter().zip(&sums).map(|(band, sums)| sums.spread(band.kind));
        let (mean, deviation) = measured.unzip();
        Self { bands, mean, deviation }
    }

    /// The part that belongs to the bands at these places.
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        let of = |all: &[f32]| places.iter().map(|&place| all[place]).collect();
        let bands = places.iter().map(|&place| self.bands[place]).collect();
        Self { bands, mean: of(&self.mean), deviation: of(&self.deviation) }
    }

    /// The bands this was measured on.
    #[must_use]
    pub fn bands(&self) -> &[SpectralBand] {
        &self.bands
    }

    /// Mean and deviation for each of these bands, interpolated over wavelength and held at the ends.
    #[must_use]
    pub fn at(&self, bands: &[SpectralBand]) -> Vec<(f32, f32)> {
        bands.iter().map(|band| self.at_band(band)).collect()
    }

    fn at_band(&self, band: &SpectralBand) -> (f32, f32) {
        let mut known: Vec<(f32, f32, f32)> = (0..self.bands.len())
            .filter(|&b| self.bands[b].kind == band.kind)
            .map(|b| (self.bands[b].centre_nm, self.mean[b], self.deviation[b]))
            .collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let after = known.partition_point(|k| k.0 < band.centre_nm);
        match (after.checked_sub(1).map(|i| known[i]), known.get(after)) {
            (Some(a), Some(&b)) => {
                let w = (band.centre_nm - a.0) / (b.0 - a.0).max(f32::EPSILON);
                (a.1 + w * (b.1 - a.1), a.2 + w * (b.2 - a.2))
            }
            (Some(a), None) => (a.1, a.2),
            (None, Some(&b)) => (b.1, b.2),
            (None, None) => typical(band.kind),
        }
    }
}

/// Sums over the values of a band.
#[derive(Default)]
struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, values: &[f32]) {
        for v in values.iter().filter(|v| v.is_finite()) {
            self.count += 1.0;
            self.sum += f64::from(*v);
            self.squares += f64::from(*v).powi(2);
        }
    }

    /// Mean and deviation.
    fn spread(&self, kind: BandKind) -> (f32, f32) {
        if self.count == 0.0 {
            return typical(kind);
        }
        let mean = self.sum / self.count;
        let deviation = (self.squares / self.count - mean * mean).max(1e-6).sqrt();
        (mean as f32, deviation as f32)
    }
}

/// Mean and deviation of typical land: reflectance, dB, K.
fn typical(kind: BandKind) -> (f32, f32) {
    match kind {
        BandKind::Optical => (0.2, 0.1),
        BandKind::RadarCo => (-11.0, 4.0),
        BandKind::RadarCross => (-18.0, 5.0),
        BandKind::Thermal => (295.0, 12.0),
        BandKind::Other => (0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_bands_come_back_and_others_lie_between() {
        let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
        let bands = [band(600.0), band(800.0)];
        let sample = Sample::series(vec![0, 1], vec![0.1, 0.4, 0.3, f32::NAN], true);
        let norm = Normalisation::measure(&bands, &[sample]);
        let at = norm.at(&[band(600.0), band(700.0), band(2000.0)]);
        assert!((at[0].0 - 0.2).abs() < 1e-6 && (at[0].1 - 0.1).abs() < 1e-6, "{at:?}");
        assert!((at[1].0 - 0.3).abs() < 1e-6, "half way between 0.2 and 0.4: {at:?}");
        assert!((at[2].0 - 0.4).abs() < 1e-6, "held at the end: {at:?}");
        let last = norm.only(&[1]);
        assert_eq!(last.bands(), &bands[1..]);
        let (alone, among) = (last.at(&bands[..1])[0], norm.at(&bands[1..])[0]);
        assert!((alone.0 - among.0).abs() < 1e-6 && (alone.1 - among.1).abs() < 1e-6, "{alone:?}");
    }

    /// By hand: 600 nm is seen in both sets, 0.1 and 0.3 in one, 0.8 in the other; the mean of the three is 0.4.
    #[test]
    fn a_band_of_several_sets_is_measured_over_all_of_them() {
        let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
        let (one, other) = ([band(600.0), band(800.0)], [band(700.0), band(600.0)]);
        let sample = |values: &[f32]| [Sample::series(vec![0, 1], values.to_vec(), true)];
        let (first, second) = (sample(&[0.1, 0.4, 0.3, 0.4]), sample(&[0.5, 0.8, 0.5, f32::NAN]));
        let norm = Normalisation::over([(&one[..], &first[..]), (&other[..], &second[..])]);
        assert_eq!(norm.bands(), [band(600.0), band(800.0), band(700.0)]);
        for (place, mean) in [0.4, 0.4, 0.5].into_iter().enumerate() {
            assert!((norm.mean[place] - mean).abs() < 1e-6, "{norm:?}");
        }
    }

    #[test]
    fn statistics_that_cannot_be_are_refused() {
        let read = |mean: &str, deviation: &str| {
            let text = format!(
                "{{\"bands\": [{}], \"mean\": {mean}, \"deviation\": {deviation}}}",
                serde_json::to_string(&SpectralBand::optical(665.0, 31.0)).unwrap()
            );
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            serde_json::from_value::<Normalisation>(value).map_err(|e| e.to_string())
        };
        assert!(read("[0.1]", "[0.05]").is_ok());
        for (mean, deviation, says) in [
            ("[]", "[0.05]", "1 bands have 0 means and 1 deviations"),
            ("[0.1]", "[0.05, 0.05]", "2 deviations"),
            ("[1e39]", "[0.05]", "inf"),
            ("[0.1]", "[0.0]", "a deviation is 0"),
            ("[0.1]", "[-0.1]", "a deviation is -0.1"),
        ] {
            let error = read(mean, deviation).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn a_window_is_measured_band_by_band_and_radar_is_no_reflectance() {
        let bands = [SpectralBand::optical(600.0, 30.0), SpectralBand::optical(800.0, 30.0)];
        let values = vec![0.1, 0.3, 0.5, 0.7];
        let window = Sample { size_px: [1, 2], ..Sample::series(vec![0], values, true) };
        let norm = Normalisation::measure(&bands, &[window]);
        let at = norm.at(&bands);
        assert!((at[0].0 - 0.2).abs() < 1e-6 && (at[1].0 - 0.6).abs() < 1e-6, "{at:?}");
        let radar = SpectralBand { kind: BandKind::RadarCo, ..bands[1] };
        assert_eq!(norm.at(&[radar]), [(-11.0, 4.0)]);
    }
}
