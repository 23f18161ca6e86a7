//! From series to the columns a baseline is fitted on: gaps filled, NDVI added, z-scored.
//!
//! Every method of one table sees the same preparation, so that a difference between rows is one of
//! methods.

use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayView3, Axis};

use crate::fewshot::SeriesBand;

/// Fills gaps linearly in time, per point and band; the ends are carried.
///
/// | | shape | |
/// |---|---|---|
/// | `values` | `[point, time, band]` | NaN where there is no value |
/// | `days` | `[time]` | days since any day, ascending |
/// | returns | `[point, time, band]` | finite |
///
/// A point without any value in a band gets the mean of the other points at each time, and 0 if no
/// point has one. No label is looked at.
pub fn fill_gaps(values: ArrayView3<'_, f32>, days: &[i32]) -> Array3<f64> {
    let mut filled = values.mapv(f64::from);
    for mut point in filled.outer_iter_mut() {
        for mut series in point.columns_mut() {
            let seen: Vec<(usize, f64)> =
                series.iter().copied().enumerate().filter(|(_, v)| v.is_finite()).collect();
            if seen.is_empty() || seen.len() == series.len() {
                continue;
            }
            for (time, value) in series.iter_mut().enumerate().filter(|(_, v)| !v.is_finite()) {
                *value = between(&seen, time, days);
            }
        }
    }
    fill_with_means(&mut filled);
    filled
}

/// The value at a time without one, from the observations around it.
fn between(seen: &[(usize, f64)], time: usize, days: &[i32]) -> f64 {
    let after = seen.partition_point(|&(t, _)| t < time);
    match (after.checked_sub(1).map(|i| seen[i]), seen.get(after)) {
        (Some((t0, v0)), Some(&(t1, v1))) => {
            let span = f64::from(days[t1] - days[t0]).max(1.0);
            v0 + (v1 - v0) * f64::from(days[time] - days[t0]) / span
        }
        (Some((_, v)), None) | (None, Some(&(_, v))) => v,
        (None, None) => f64::NAN,
    }
}

fn fill_with_means(filled: &mut Array3<f64>) {
    for mut at_time in filled.axis_iter_mut(Axis(1)) {
        for mut column in at_time.columns_mut() {
            if column.iter().all(|v| v.is_finite()) {
                continue;
            }
            let seen = column.iter().filter(|v| v.is_finite());
            let (sum, n) = seen.fold((0.0, 0_u32), |(sum, n), v| (sum + v, n + 1));
            let mean = if n == 0 { 0.0 } else { sum / f64::from(n) };
            column.mapv_inplace(|v| if v.is_finite() { v } else { mean });
        }
    }
}

/// The places of red and near infrared among the bands, found by centre wavelength.
///
/// Red is the band nearest 665 nm within 620–690 nm, near infrared the one nearest 842 nm within
/// 790–900 nm; `None` if either is absent.
#[must_use]
pub fn red_and_nir(bands: &[SeriesBand]) -> Option<(usize, usize)> {
    let nearest = |wanted: f32, from: f32, to: f32| {
        let inside = bands.iter().enumerate().filter_map(|(i, band)| {
            let centre = band.centre_nm.filter(|nm| (from..=to).contains(nm))?;
            Some((i, (centre - wanted).abs()))
        });
        inside.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
    };
    Some((nearest(665.0, 620.0, 690.0)?, nearest(842.0, 790.0, 900.0)?))
}

/// Lays filled series out as columns, band by band within a time, NDVI last if asked.
///
/// | | shape | |
/// |---|---|---|
/// | `filled` | `[point, time, band]` | finite |
/// | returns | `[point, time × band]`, plus `time` columns with NDVI | |
///
/// NDVI is 0 where red and near infrared sum to nothing.
#[must_use]
pub fn columns(filled: &Array3<f64>, red_nir: Option<(usize, usize)>) -> Array2<f64> {
    let (points, times, bands) = filled.dim();
    let raw = times * bands;
    let width = raw + if red_nir.is_some() { times } else { 0 };
    Array2::from_shape_fn((points, width), |(point, column)| match red_nir {
        Some((red, nir)) if column >= raw => {
            let (r, n) = (filled[[point, column - raw, red]], filled[[point, column - raw, nir]]);
            let ndvi = (n - r) / (n + r);
            if ndvi.is_finite() { ndvi } else { 0.0 }
        }
        Some(_) | None => filled[[point, column / bands, column % bands]],
    })
}

/// Mean and standard deviation of each column over chosen rows, to z-score others by.
#[derive(Clone, Debug)]
pub struct ZScore {
    mean: Array1<f64>,
    sd: Array1<f64>,
}

impl ZScore {
    /// Measures columns over these rows: for an episode, support and query together, without labels.
    #[must_use]
    pub fn measure(x: ArrayView2<'_, f64>) -> Self {
        let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
        let still = |sd: f64| if sd > 0.0 && sd.is_finite() { sd } else { 1.0 };
        let sd = if x.nrows() == 0 { Array1::ones(x.ncols()) } else { x.std_axis(Axis(0), 0.0) };
        Self { mean, sd: sd.mapv(still) }
    }

    /// The rows, z-scored; a column that never varies becomes 0.
    #[must_use]
    pub fn apply(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        (&x - &self.mean) / &self.sd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    const GAP: f32 = f32::NAN;

    /// Worked by hand: 20 days between the two observations, the gap 5 days in.
    #[test]
    fn gaps_are_filled_in_days_and_ends_carried() {
        let values = Array3::from_shape_vec((1, 5, 1), vec![GAP, 0.2, GAP, 0.6, GAP]).unwrap();
        let filled = fill_gaps(values.view(), &[0, 10, 15, 30, 40]);
        let want = [0.2, 0.2, 0.3, 0.6, 0.6];
        for (got, want) in filled.iter().zip(want) {
            assert!((got - want).abs() < 1e-7, "{filled}");
        }
    }

    #[test]
    fn a_point_without_values_gets_the_mean_of_the_others() {
        let values = array![[[1.0, GAP]], [[3.0, GAP]], [[GAP, GAP]]];
        let filled = fill_gaps(values.view(), &[0]);
        assert_eq!(filled, array![[[1.0, 0.0]], [[3.0, 0.0]], [[2.0, 0.0]]]);
    }

    #[test]
    fn red_and_near_infrared_are_found_by_wavelength() {
        let band = |nm: Option<f32>| SeriesBand { name: "x".into(), centre_nm: nm };
        let s2: Vec<SeriesBand> =
            surco_core::S2_BANDS.iter().map(|b| band(Some(b.centre_nm))).collect();
        assert_eq!(red_and_nir(&s2), Some((2, 6)), "B04 and B08");
        assert_eq!(red_and_nir(&[band(Some(864.7)), band(None), band(Some(655.0))]), Some((2, 0)));
        assert_eq!(red_and_nir(&[band(None)]), None);
        assert_eq!(red_and_nir(&s2[3..]), None, "red edge is not red");
    }

    #[test]
    fn ndvi_comes_last_and_survives_zero() {
        let filled = array![[[0.1, 0.3], [0.0, 0.0]]];
        let got = columns(&filled, Some((0, 1)));
        assert_eq!(got.row(0).to_vec()[..4], [0.1, 0.3, 0.0, 0.0]);
        assert!((got[[0, 4]] - 0.5).abs() < 1e-12 && got[[0, 5]] == 0.0);
        assert_eq!(columns(&filled, None).ncols(), 4);
    }

    #[test]
    fn a_column_that_never_varies_becomes_zero() {
        let x = array![[1.0, 7.0], [3.0, 7.0]];
        assert_eq!(ZScore::measure(x.view()).apply(x.view()), array![[-1.0, 0.0], [1.0, 0.0]]);
    }
}
