//! From series to the arrays a model reads.

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::{Normalisation, SEASON_FEATURES, Sample, SpectralBand, season_token};

/// Evenly spaced dates at which a model is asked what it knows, whatever dates it saw.
///
/// A query is a token without values. The answers, averaged over each part of the window, are the
/// embedding: series seen on different dates become comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryGrid {
    /// Number of queries.
    pub count: usize,
    /// Number of equal parts of the window whose answers are averaged apart.
    pub parts: usize,
}

/// How series become batches.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchSpec {
    /// Bands of the series, in their order.
    pub bands: Vec<SpectralBand>,
    /// Mean and deviation for each band.
    pub scale: Vec<(f32, f32)>,
    /// First day of the window, in days since 1970-01-01.
    pub first_day: i32,
    /// The day after the last.
    pub end_day: i32,
    /// Most dates kept of one series; evenly thinned beyond.
    pub max_dates: usize,
    /// Queries, if answers at fixed dates are wanted.
    pub queries: Option<QueryGrid>,
}

impl BatchSpec {
    /// A spec for these bands over a window, scaled by a model's normalisation.
    #[must_use]
    pub fn new(bands: &[SpectralBand], norm: &Normalisation, window: (i32, i32)) -> Self {
        Self {
            bands: bands.to_vec(),
            scale: norm.at(bands),
            first_day: window.0,
            end_day: window.1,
            max_dates: usize::MAX,
            queries: None,
        }
    }
}

/// What a model reads: `n` series padded to `t` tokens.
///
/// | | shape | |
/// |---|---|---|
/// | `values_ntb` | `[n, t, band]` | scaled reflectance, 0 where not seen |
/// | `seen_ntb` | `[n, t, band]` | 1 where the value was observed |
/// | `season_nts` | `[n, t, SEASON_FEATURES]` | [`season_token`] |
/// | `valid_nt` | `[n, t]` | 1 for a token, 0 for padding |
/// | `pool_ngt` | `[n, part, t]` | weights that average tokens into an embedding |
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the table above is the documentation")]
pub struct Batch {
    pub bands: Vec<SpectralBand>,
    pub values_ntb: Array3<f32>,
    pub seen_ntb: Array3<f32>,
    pub season_nts: Array3<f32>,
    pub valid_nt: Array2<f32>,
    pub pool_ngt: Array3<f32>,
}

impl Batch {
    /// Builds a batch. Dates outside the window and dates without any value are left out.
    ///
    /// A series with no date left gets one token without values, so that no attention is empty; ask
    /// [`Sample::is_empty`] before trusting its embedding.
    #[must_use]
    pub fn new(samples: &[&Sample], spec: &BatchSpec) -> Self {
        let kept: Vec<Vec<usize>> = samples.iter().map(|s| kept_dates(s, spec)).collect();
        let queries = spec.queries.map_or(0, |q| q.count);
        let longest = kept.iter().map(Vec::len).max().unwrap_or(0);
        let (n, t, b) = (samples.len(), (longest + queries).max(1), spec.bands.len());
        let mut batch = Self {
            bands: spec.bands.clone(),
            values_ntb: Array3::zeros((n, t, b)),
            seen_ntb: Array3::zeros((n, t, b)),
            season_nts: Array3::zeros((n, t, SEASON_FEATURES)),
            valid_nt: Array2::zeros((n, t)),
            pool_ngt: Array3::zeros((n, spec.queries.map_or(1, |q| q.parts), t)),
        };
        for (i, (sample, dates)) in samples.iter().zip(&kept).enumerate() {
            batch.fill(i, sample, dates, spec);
            batch.ask(i, sample.south, dates.len(), spec);
        }
        batch
    }

    /// Hides some bands of one series on every date, as if its sensor did not have them.
    pub fn hide_bands(&mut self, series: usize, hidden: &[usize]) {
        for &band in hidden {
            self.values_ntb.slice_mut(ndarray::s![series, .., band]).fill(0.0);
            self.seen_ntb.slice_mut(ndarray::s![series, .., band]).fill(0.0);
        }
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.valid_nt.nrows()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn fill(&mut self, i: usize, sample: &Sample, dates: &[usize], spec: &BatchSpec) {
        for (j, &date) in dates.iter().enumerate() {
            self.token(i, j, sample.days[date], sample.south, spec);
            for (b, &value) in sample.date(date, spec.bands.len()).iter().enumerate() {
                if value.is_finite() {
                    let (mean, deviation) = spec.scale[b];
                    self.values_ntb[[i, j, b]] = (value - mean) / deviation;
                    self.seen_ntb[[i, j, b]] = 1.0;
                }
            }
        }
        if dates.is_empty() && spec.queries.is_none() {
            self.token(i, 0, spec.end_day, sample.south, spec);
        }
        if spec.queries.is_none() {
            let tokens = dates.len().max(1);
            self.pool_ngt.slice_mut(ndarray::s![i, 0, ..tokens]).fill(1.0 / tokens as f32);
        }
    }

    fn ask(&mut self, i: usize, south: bool, from: usize, spec: &BatchSpec) {
        let Some(grid) = spec.queries else { return };
        let step = f64::from(spec.end_day - spec.first_day) / grid.count as f64;
        for q in 0..grid.count {
            let day = f64::from(spec.first_day) + (q as f64 + 0.5) * step;
            self.token(i, from + q, day as i32, south, spec);
            let part = q * grid.parts / grid.count;
            let in_part = (0..grid.count).filter(|&r| r * grid.parts / grid.count == part).count();
            self.pool_ngt[[i, part, from + q]] = 1.0 / in_part as f32;
        }
    }

    fn token(&mut self, i: usize, j: usize, day: i32, south: bool, spec: &BatchSpec) {
        self.valid_nt[[i, j]] = 1.0;
        let token = season_token(day, south, spec.end_day);
        for (s, value) in token.into_iter().enumerate() {
            self.season_nts[[i, j, s]] = value;
        }
    }
}

/// The dates of a sample that enter a batch, at most `max_dates`, spread evenly over those there are.
fn kept_dates(sample: &Sample, spec: &BatchSpec) -> Vec<usize> {
    let bands = spec.bands.len();
    let seen: Vec<usize> = (0..sample.len())
        .filter(|&d| (spec.first_day..spec.end_day).contains(&sample.days[d]))
        .filter(|&d| sample.date(d, bands).iter().any(|v| v.is_finite()))
        .collect();
    if seen.len() <= spec.max_dates {
        return seen;
    }
    (0..spec.max_dates).map(|k| seen[k * seen.len() / spec.max_dates]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> BatchSpec {
        let band = SpectralBand { centre_nm: 665.0, width_nm: 31.0 };
        BatchSpec {
            bands: vec![band],
            scale: vec![(0.1, 0.05)],
            first_day: 100,
            end_day: 200,
            max_dates: 3,
            queries: None,
        }
    }

    fn sample(days: &[i32], values: &[f32]) -> Sample {
        Sample { days: days.to_vec(), values: values.to_vec(), south: true }
    }

    #[test]
    fn values_are_scaled_and_padding_is_empty() {
        let a = sample(&[110, 120], &[0.2, f32::NAN]);
        let b = sample(&[99, 150, 160], &[0.9, 0.1, 0.05]);
        let batch = Batch::new(&[&a, &b], &spec());
        assert_eq!(batch.values_ntb.as_slice().unwrap(), [2.0, 0.0, 0.0, -1.0]);
        assert_eq!(batch.seen_ntb.as_slice().unwrap(), [1.0, 0.0, 1.0, 1.0]);
        assert_eq!(batch.valid_nt.as_slice().unwrap(), [1.0, 0.0, 1.0, 1.0], "day 99 is outside");
        assert_eq!(batch.pool_ngt.as_slice().unwrap(), [1.0, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn long_series_are_thinned_evenly_and_empty_ones_keep_one_token() {
        let long = sample(&[100, 110, 120, 130, 140, 150], &[0.1; 6]);
        assert_eq!(kept_dates(&long, &spec()), [0, 2, 4]);
        let batch = Batch::new(&[&sample(&[], &[])], &spec());
        assert_eq!((batch.valid_nt[[0, 0]], batch.seen_ntb[[0, 0, 0]]), (1.0, 0.0));
    }

    #[test]
    fn queries_follow_the_dates_and_are_pooled_by_part() {
        let queries = Some(QueryGrid { count: 4, parts: 2 });
        let a = sample(&[110], &[0.2]);
        let batch = Batch::new(&[&a], &BatchSpec { queries, ..spec() });
        assert_eq!(batch.valid_nt.as_slice().unwrap(), [1.0; 5]);
        assert_eq!(
            batch.pool_ngt.as_slice().unwrap(),
            [0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]
        );
        let want = season_token(112, true, 200); // 100 + 0.5 × 25, whole days
        assert_eq!(batch.season_nts.slice(ndarray::s![0, 1, ..]).to_vec(), want);
    }
}
