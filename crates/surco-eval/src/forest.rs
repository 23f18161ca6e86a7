//! Random forest: the baseline every few-shot table begins with.
//!
//! Input: samples as rows, `f32`. Output: class shares that average the trees' leaves. The forest is
//! that of scikit-learn's `RandomForestClassifier(n_estimators=100)`: bootstrap of all samples, Gini,
//! √p features a split, unlimited depth, averaged leaf shares. Sample config:
//! `RandomForest::fit(x, y, classes, 100, seed)`.
//!
//! Why our own: the forest of smartcore 0.7 draws its bootstrap within each class, so that with one
//! sample a class every tree sees the same samples, gives up on a node whose √p candidates are all
//! constant, and counts votes where scikit-learn averages shares. That moves the few-shot numbers that a
//! published table is compared with.

mod gini;
pub(crate) mod tree;

use ndarray::{Array2, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use surco_core::{Fault, largest};

use gini::{Classed, Gini, Shares};
use tree::{Columns, Tree};

/// Trees of the baseline everywhere in Surco.
pub const TREES: usize = 100;

/// A random forest of classification trees.
#[derive(Clone, Debug)]
pub struct RandomForest {
    trees: Vec<Tree<Shares>>,
    classes: usize,
    features: usize,
}

/// Why a baseline could not be fitted or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// Nothing to learn from.
    #[error("cannot fit on {samples} samples of {features} features: both must be at least 1")]
    Empty {
        /// Samples given.
        samples: usize,
        /// Features given.
        features: usize,
    },
    /// One label per sample is needed.
    #[error("{samples} samples were given with {labels} labels")]
    LabelCount {
        /// Samples given.
        samples: usize,
        /// Labels given.
        labels: usize,
    },
    /// A label outside the classes.
    #[error("label {label} of sample {sample} is outside the {classes} classes")]
    Label {
        /// Place of the sample.
        sample: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Baselines take no gaps.
    #[error("sample {sample} has a value of feature {feature} that is not finite: fill gaps first")]
    NotFinite {
        /// Place of the sample.
        sample: usize,
        /// Place of the feature.
        feature: usize,
    },
    /// The samples to predict have another width than those fitted.
    #[error("asked about {found} features after a fit on {expected}")]
    Width {
        /// Features at the fit.
        expected: usize,
        /// Features now.
        found: usize,
    },
    /// The strength of the penalty makes no sense.
    #[error("the inverse penalty C must be above 0 and finite, and trees at least 1")]
    Setting,
    /// The optimiser gave up.
    #[error("logistic regression did not converge: {0}")]
    Solver(String),
}

impl FitError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Setting => Fault::Usage,
            Self::Solver(_) => Fault::Failed,
            Self::Empty { .. }
            | Self::LabelCount { .. }
            | Self::Label { .. }
            | Self::NotFinite { .. }
            | Self::Width { .. } => Fault::Input,
        }
    }
}

/// Refuses samples and labels that no baseline can be fitted on.
pub(crate) fn check_samples<T: Copy + Into<f64>>(
    x: ArrayView2<'_, T>,
    y: &[usize],
    classes: usize,
) -> Result<(), FitError> {
    check_counts(x, y.len())?;
    if let Some((sample, &label)) = y.iter().enumerate().find(|&(_, &label)| label >= classes) {
        return Err(FitError::Label { sample, label, classes });
    }
    check_finite(x)
}

/// Refuses nothing to learn from, and more or fewer truths than samples.
pub(crate) fn check_counts<T>(x: ArrayView2<'_, T>, labels: usize) -> Result<(), FitError> {
    let (samples, features) = x.dim();
    if samples == 0 || features == 0 {
        return Err(FitError::Empty { samples, features });
    }
    if labels != samples {
        return Err(FitError::LabelCount { samples, labels });
    }
    Ok(())
}

/// Refuses values that are not finite.
pub(crate) fn check_finite<T: Copy + Into<f64>>(x: ArrayView2<'_, T>) -> Result<(), FitError> {
    match x.indexed_iter().find(|&(_, &v)| !v.into().is_finite()) {
        Some(((sample, feature), _)) => Err(FitError::NotFinite { sample, feature }),
        None => Ok(()),
    }
}

/// The place of the largest share of each row, the first on a tie.
pub(crate) fn largest_of_rows(shares: &Array2<f64>) -> Vec<usize> {
    shares.outer_iter().map(largest).collect()
}

impl RandomForest {
    /// Fits a forest.
    ///
    /// | | shape | |
    /// |---|---|---|
    /// | `x` | `[sample, feature]` | finite |
    /// | `y` | `[sample]` | `0..classes` |
    ///
    /// The same samples and seed give the same forest on any number of threads.
    ///
    /// # Errors
    /// [`FitError`] if samples and labels do not fit together or a value is not finite.
    ///
    /// # Source
    /// Breiman, *Random Forests*, Machine Learning 45 (2001); details as in scikit-learn 1.x,
    /// `sklearn/ensemble/_forest.py` and `sklearn/tree/_splitter.pyx`.
    pub fn fit(
        x: ArrayView2<'_, f32>,
        y: &[usize],
        classes: usize,
        trees: usize,
        seed: u64,
    ) -> Result<Self, FitError> {
        check_samples(x, y, classes)?;
        if trees == 0 {
            return Err(FitError::Setting);
        }
        let samples = y.len();
        let input = Classed { columns: Columns::new(x), y, classes };
        let grow = |number: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number as u64);
            let mut weights = vec![0_u32; samples];
            for _ in 0..samples {
                weights[rng.random_range(0..samples)] += 1;
            }
            let drawn = (0..samples as u32).filter(|&r| weights[r as usize] > 0).collect();
            Tree::grow(&mut Gini::new(&input, &weights, rng), drawn)
        };
        let trees = (0..trees).into_par_iter().map(grow).collect();
        Ok(Self { trees, classes, features: x.ncols() })
    }

    /// The share of each class, `[sample, class]`, rows summing to 1.
    ///
    /// # Errors
    /// [`FitError::Width`] if the features differ in number from those fitted, or
    /// [`FitError::NotFinite`].
    pub fn predict_proba(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f64>, FitError> {
        if x.ncols() != self.features {
            return Err(FitError::Width { expected: self.features, found: x.ncols() });
        }
        check_finite(x)?;
        let mut shares = Array2::zeros((x.nrows(), self.classes));
        for (row, mut out) in x.outer_iter().zip(shares.outer_iter_mut()) {
            for tree in &self.trees {
                for &(class, share) in tree.leaf(row) {
                    out[class as usize] += f64::from(share);
                }
            }
            out /= self.trees.len() as f64;
        }
        Ok(shares)
    }

    /// The class of the largest share, the first on a tie.
    ///
    /// # Errors
    /// As [`Self::predict_proba`].
    pub fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Vec<usize>, FitError> {
        Ok(largest_of_rows(&self.predict_proba(x)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    /// Two clouds of points that one threshold parts.
    fn parted() -> (Array2<f32>, Vec<usize>) {
        let x = Array2::from_shape_fn((40, 3), |(i, j)| {
            let noise = ((i * 7 + j * 13) % 10) as f32 / 10.0;
            if j == 1 { (i / 20) as f32 * 5.0 + noise } else { noise }
        });
        (x, (0..40).map(|i| i / 20).collect())
    }

    #[test]
    fn a_forest_parts_what_a_threshold_parts() {
        let (x, y) = parted();
        let forest = RandomForest::fit(x.view(), &y, 2, 50, 1).unwrap();
        assert_eq!(forest.predict(x.view()).unwrap(), y);
        let shares = forest.predict_proba(x.view()).unwrap();
        for row in shares.outer_iter() {
            assert!((row.sum() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_forest() {
        let (x, y) = parted();
        let shares = |seed| {
            let forest = RandomForest::fit(x.view(), &y, 3, 20, seed).unwrap();
            forest.predict_proba(x.view()).unwrap()
        };
        assert_eq!(shares(4), shares(4));
        assert_ne!(shares(4), shares(5));
    }

    /// One sample a class and one feature that says nothing: the bootstrap alone decides, and with
    /// two samples each tree holds both with chance 1/2, so shares are near even but not equal.
    #[test]
    fn the_bootstrap_crosses_classes() {
        let forest =
            RandomForest::fit(array![[0.0_f32], [1.0]].view(), &[0, 1], 2, 400, 3).unwrap();
        let shares = forest.predict_proba(array![[0.0_f32]].view()).unwrap();
        assert!((shares[[0, 0]] - 0.75).abs() < 0.06, "{shares}: P(only class 1 drawn) = 1/4");
    }

    #[test]
    fn bad_input_is_refused() {
        let x = array![[0.0_f32, f32::NAN]];
        assert_eq!(
            RandomForest::fit(x.view(), &[0], 1, 5, 0).unwrap_err(),
            FitError::NotFinite { sample: 0, feature: 1 }
        );
        let x = array![[0.0_f32], [1.0]];
        assert!(matches!(
            RandomForest::fit(x.view(), &[0, 7], 2, 5, 0),
            Err(FitError::Label { sample: 1, label: 7, classes: 2 })
        ));
        assert!(matches!(
            RandomForest::fit(x.view(), &[0], 2, 5, 0),
            Err(FitError::LabelCount { .. })
        ));
        let forest = RandomForest::fit(x.view(), &[0, 1], 2, 5, 0).unwrap();
        assert!(matches!(
            forest.predict(array![[0.0_f32, 1.0]].view()),
            Err(FitError::Width { .. })
        ));
    }
}
