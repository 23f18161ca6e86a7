//! Numbers from samples: forests of regression trees, and how far off they are.
//!
//! Input: samples as rows, `f32`, and a number of each. Output: the mean of the trees. Two kinds of forest: Breiman's, the
//! baseline a reader tries first, as scikit-learn's `RandomForestRegressor`; and extremely randomised trees, which place
//! their thresholds at random and so carry less of one site's noise to another. Sample config:
//! `RegressionForest::fit(x, &y, Growth::EXTRA, 100, seed)`.
//!
//! # Source
//! Breiman 2001, *Random Forests*; Geurts, Ernst and Wehenkel 2006, *Extremely randomized trees*.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::forest::tree::{Columns, Grow, SAME_VALUE, Split, Tree, between};
use crate::forest::{FitError, check_counts, check_finite};

/// How trees grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Growth {
    /// On samples drawn with replacement, the best of all splits of all features, down to single samples.
    Bootstrap,
    /// On all samples, the best of one random threshold for each of a share of the features drawn; no leaf has fewer samples.
    Extra {
        /// Share of the features.
        share: f64,
        /// Fewest samples of a leaf.
        leaf: usize,
    },
}

impl Growth {
    /// What Surco grows: half of the features, two samples.
    pub const EXTRA: Self = Self::Extra { share: 0.5, leaf: 2 };
}

/// A forest of regression trees.
#[derive(Clone, Debug)]
pub struct RegressionForest {
    trees: Vec<Tree<f64>>,
    features: usize,
}

impl RegressionForest {
    /// Fits a forest. The same samples and seed give the same forest on any number of threads.
    ///
    /// | | shape | |
    /// |---|---|---|
    /// | `x` | `[sample, feature]` | finite |
    /// | `y` | `[sample]` | finite |
    ///
    /// # Errors
    /// [`FitError`] if there is nothing to learn from, samples and numbers differ in number or a value is not finite.
    pub fn fit(
        x: ArrayView2<'_, f32>,
        y: &[f64],
        growth: Growth,
        trees: usize,
        seed: u64,
    ) -> Result<Self, FitError> {
        check_counts(x, y.len())?;
        check_finite(x)?;
        if trees == 0 || y.iter().any(|v| !v.is_finite()) {
            return Err(FitError::Setting);
        }
        let (samples, features) = x.dim();
        let columns = Columns::new(x);
        let grow = |number: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number as u64);
            let rows: Vec<u32> = match growth {
                Growth::Bootstrap => {
                    (0..samples).map(|_| rng.random_range(0..samples) as u32).collect()
                }
                Growth::Extra { .. } => (0..samples as u32).collect(),
            };
            let order = (0..features).collect();
            Tree::grow(&mut Variance { columns: &columns, y, growth, rng, order }, rows)
        };
        Ok(Self { trees: (0..trees).into_par_iter().map(grow).collect(), features })
    }

    /// The mean of the trees, `[sample]`.
    ///
    /// # Errors
    /// [`FitError::Width`] if the features differ in number from those fitted, or [`FitError::NotFinite`].
    pub fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Vec<f64>, FitError> {
        if x.ncols() != self.features {
            return Err(FitError::Width { expected: self.features, found: x.ncols() });
        }
        check_finite(x)?;
        let mean = |row: ArrayView1<'_, f32>| {
            self.trees.iter().map(|tree| tree.leaf(row)).sum::<f64>() / self.trees.len() as f64
        };
        Ok(x.outer_iter().map(mean).collect())
    }
}

/// Trees of numbers: splits by how much less variance they leave, Σ (sum of a side)² / samples of it.
struct Variance<'a> {
    columns: &'a Columns,
    y: &'a [f64],
    growth: Growth,
    rng: ChaCha8Rng,
    order: Vec<usize>,
}

impl Grow for Variance<'_> {
    type Leaf = f64;

    fn columns(&self) -> &Columns {
        self.columns
    }

    fn split(&mut self, rows: &[u32]) -> Option<Split> {
        match self.growth {
            Growth::Bootstrap => self.best(rows),
            Growth::Extra { share, leaf } => self.random(rows, share, leaf),
        }
    }

    fn leaf(&self, rows: &[u32]) -> f64 {
        self.sum(rows) / rows.len() as f64
    }
}

impl Variance<'_> {
    fn sum(&self, rows: &[u32]) -> f64 {
        rows.iter().map(|&r| self.y[r as usize]).sum()
    }

    /// Whether numbers differ at all.
    fn varies(&self, rows: &[u32]) -> bool {
        rows.iter().any(|&r| self.y[r as usize] != self.y[rows[0] as usize])
    }

    /// The best threshold of all features.
    fn best(&self, rows: &[u32]) -> Option<Split> {
        if rows.len() < 2 || !self.varies(rows) {
            return None;
        }
        let (mut best, sum) = (None, self.sum(rows));
        let mut sorted: Vec<(f32, f64)> = Vec::with_capacity(rows.len());
        for feature in 0..self.columns.features {
            sorted.clear();
            sorted
                .extend(rows.iter().map(|&r| (self.columns.value(feature, r), self.y[r as usize])));
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let mut low = 0.0;
            for (i, pair) in sorted.windows(2).enumerate() {
                low += pair[0].1;
                if pair[1].0 <= pair[0].0 + SAME_VALUE {
                    continue;
                }
                let (n_low, n_high) = ((i + 1) as f64, (rows.len() - i - 1) as f64);
                let gain = low * low / n_low + (sum - low).powi(2) / n_high;
                let threshold = between(pair[0].0, pair[1].0);
                Split { feature, threshold, gain }.challenge(&mut best);
            }
        }
        best
    }

    /// The best of one random threshold for each of some features that vary.
    fn random(&mut self, rows: &[u32], share: f64, leaf: usize) -> Option<Split> {
        if rows.len() < 2 * leaf.max(1) || !self.varies(rows) {
            return None;
        }
        let features = self.columns.features;
        let wanted = ((features as f64 * share) as usize).max(1);
        let (mut best, mut seen) = (None, 0);
        for at in 0..features {
            if seen == wanted {
                break;
            }
            let other = self.rng.random_range(at..features);
            self.order.swap(at, other);
            let feature = self.order[at];
            let values = rows.iter().map(|&r| self.columns.value(feature, r));
            let (least, most) =
                values.fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
            if most <= least + SAME_VALUE {
                continue;
            }
            seen += 1;
            let threshold = least + (most - least) * self.rng.random::<f32>();
            let threshold = if threshold >= most { least } else { threshold };
            let (mut low, mut n_low, mut high) = (0.0, 0_usize, 0.0);
            for &row in rows {
                let y = self.y[row as usize];
                if self.columns.value(feature, row) <= threshold {
                    (low, n_low) = (low + y, n_low + 1);
                } else {
                    high += y;
                }
            }
            let n_high = rows.len() - n_low;
            if n_low < leaf || n_high < leaf {
                continue;
            }
            let gain = low * low / n_low as f64 + high * high / n_high as f64;
            Split { feature, threshold, gain }.challenge(&mut best);
        }
        best
    }
}

/// How far numbers are off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Errors {
    /// Root mean square.
    pub rmse: f64,
    /// Mean of the absolute values.
    pub mae: f64,
    /// Share of the variance explained; below 0 where the mean of the truth were better.
    pub r2: f64,
    /// Mean of what was said less the truth.
    pub bias: f64,
}

/// Half the width of intervals that hold a share of the truth, from errors on places held out; infinite without errors.
///
/// # Source
/// Split-conformal prediction: Lei et al. 2018, *Distribution-free predictive inference for regression*, algorithm 2; where
/// errors are too few for the share, the largest.
#[must_use]
pub fn half_width(mut errors: Vec<f64>, share: f64) -> f64 {
    errors.sort_by(f64::total_cmp);
    let place = ((errors.len() + 1) as f64 * share).ceil() as usize;
    let last = errors.last().copied();
    errors.get(place.saturating_sub(1)).copied().or(last).unwrap_or(f64::INFINITY)
}

impl Errors {
    /// Of what was said of the truth; NaN without values.
    #[must_use]
    pub fn of(truth: &[f64], said: &[f64]) -> Self {
        let n = truth.len() as f64;
        let mean = truth.iter().sum::<f64>() / n;
        let squares: f64 = truth.iter().zip(said).map(|(t, s)| (t - s).powi(2)).sum();
        let all: f64 = truth.iter().map(|t| (t - mean).powi(2)).sum();
        Self {
            rmse: (squares / n).sqrt(),
            mae: truth.iter().zip(said).map(|(t, s)| (t - s).abs()).sum::<f64>() / n,
            r2: 1.0 - squares / all,
            bias: truth.iter().zip(said).map(|(t, s)| s - t).sum::<f64>() / n,
        }
    }
}

/// Rows of a matrix side by side.
#[must_use]
pub fn beside(parts: &[ArrayView2<'_, f32>]) -> Array2<f32> {
    ndarray::concatenate(ndarray::Axis(1), parts).unwrap_or_else(|_| Array2::zeros((0, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[derive(serde::Deserialize)]
    struct Recorded {
        x: Vec<Vec<f32>>,
        y: Vec<f64>,
        train: usize,
        /// Root mean square errors of scikit-learn over 20 seeds: mean and standard deviation.
        forest: [f64; 2],
        extra: [f64; 2],
    }

    /// Recorded by `fixtures/regression.py`: two implementations draw different trees, so means over seeds are compared.
    #[test]
    fn errors_agree_with_scikit_learn() {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../fixtures/regression.json")).unwrap();
        let x = Array2::from_shape_fn((recorded.x.len(), recorded.x[0].len()), |(i, j)| {
            recorded.x[i][j]
        });
        let parts = x.view().split_at(ndarray::Axis(0), recorded.train);
        let (given, asked) = recorded.y.split_at(recorded.train);
        for (growth, [mean, sd]) in
            [(Growth::Bootstrap, recorded.forest), (Growth::EXTRA, recorded.extra)]
        {
            let error = |seed| {
                let forest = RegressionForest::fit(parts.0, given, growth, 50, seed).unwrap();
                Errors::of(asked, &forest.predict(parts.1).unwrap()).rmse
            };
            let ours: Vec<f64> = (0..20).map(error).collect();
            let ours = crate::spread::Spread::of(&ours);
            let allowed = 2.5 * ((sd * sd + ours.sd * ours.sd) / 20.0).sqrt();
            assert!((ours.mean - mean).abs() < allowed, "{growth:?}: {ours:?}, not {mean} ± {sd}");
        }
    }

    /// By hand: truth 1, 2, 3 and 1, 2, 6 said: squares 0, 0, 9.
    #[test]
    fn errors_are_counted_as_by_hand() {
        let errors = Errors::of(&[1.0, 2.0, 3.0], &[1.0, 2.0, 6.0]);
        assert!((errors.rmse - 3.0_f64.sqrt()).abs() < 1e-12 && errors.mae == 1.0);
        assert_eq!((errors.r2, errors.bias), (1.0 - 9.0 / 2.0, 1.0));
    }

    /// By hand: of nine errors, the ninth is at or above 0.9 × 10 places; of four, none is, and the largest stands in.
    #[test]
    fn half_widths_are_counted_as_by_hand() {
        let errors = |n: u32| (1..=n).rev().map(f64::from).collect();
        assert_eq!(half_width(errors(9), 0.9), 9.0);
        assert_eq!(half_width(errors(19), 0.9), 18.0);
        assert_eq!(half_width(errors(4), 0.9), 4.0);
        assert_eq!(half_width(Vec::new(), 0.9), f64::INFINITY);
    }

    #[test]
    fn a_threshold_is_found_and_the_seed_decides() {
        let x = Array2::from_shape_fn((40, 2), |(i, j)| if j == 0 { i as f32 } else { 1.0 });
        let y: Vec<f64> = (0..40).map(|i| if i < 20 { 1.0 } else { 5.0 }).collect();
        for growth in [Growth::Bootstrap, Growth::EXTRA] {
            let fit = |seed| RegressionForest::fit(x.view(), &y, growth, 30, seed).unwrap();
            let said = fit(1).predict(x.view()).unwrap();
            assert!((said[3] - 1.0).abs() < 0.4 && (said[36] - 5.0).abs() < 0.4, "{said:?}");
            assert_eq!(fit(1).predict(x.view()).unwrap(), said);
        }
        let flat = RegressionForest::fit(x.view(), &[2.0; 40], Growth::EXTRA, 3, 0).unwrap();
        assert_eq!(flat.predict(x.view()).unwrap()[7], 2.0);
    }

    #[test]
    fn bad_input_is_refused() {
        let fit = |x: Array2<f32>, y: &[f64]| {
            RegressionForest::fit(x.view(), y, Growth::EXTRA, 3, 0).unwrap_err()
        };
        assert!(matches!(fit(array![[1.0]], &[1.0, 2.0]), FitError::LabelCount { .. }));
        assert!(matches!(fit(array![[f32::NAN]], &[1.0]), FitError::NotFinite { .. }));
        assert_eq!(fit(array![[1.0]], &[f64::NAN]), FitError::Setting);
    }
}
