//! Logistic regression: the baseline that few labels are hard to beat with.
//!
//! Input: z-scored samples as rows, `f64`. Output: classes and their probabilities. The model is that
//! of scikit-learn's `LogisticRegression(C)`: multinomial (two classes: one sigmoid), L2 penalty,
//! intercept not penalised. Sample config: `LogisticRegression::fit(x, y, classes, 0.1)`.
//!
//! The optimiser is smartcore's L-BFGS, whose objective is Σ loss + α/2 ‖w‖²: scikit-learn's
//! C·Σ loss + ½ ‖w‖² with α = 1 / C. Probabilities, which smartcore does not give, are computed here
//! from its coefficients.

use ndarray::{Array1, Array2, ArrayView2};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{
    LogisticRegression as Solver, LogisticRegressionParameters,
};

use crate::forest::{FitError, check_finite, check_samples, largest};

/// The inverse penalty of the baseline everywhere in Surco.
pub const C: f64 = 0.1;

/// A fitted logistic regression.
#[derive(Clone, Debug)]
pub struct LogisticRegression {
    /// `[seen class, feature]`; one row for two classes.
    weights: Array2<f64>,
    intercepts: Array1<f64>,
    /// The classes with samples, in order.
    seen: Vec<usize>,
    classes: usize,
}

impl LogisticRegression {
    /// Fits a logistic regression.
    ///
    /// | | shape | |
    /// |---|---|---|
    /// | `x` | `[sample, feature]` | finite, z-scored by the caller |
    /// | `y` | `[sample]` | `0..classes` |
    /// | `c` | | inverse penalty, scikit-learn's `C` |
    ///
    /// Classes without samples get probability 0; if one class alone has samples, it gets 1.
    ///
    /// # Errors
    /// [`FitError`] if samples and labels do not fit together, a value is not finite, `c` is not
    /// positive, or the optimiser fails.
    pub fn fit(
        x: ArrayView2<'_, f64>,
        y: &[usize],
        classes: usize,
        c: f64,
    ) -> Result<Self, FitError> {
        check_samples(x, y, classes)?;
        if !(c > 0.0 && c.is_finite()) {
            return Err(FitError::Setting);
        }
        let mut seen = y.to_vec();
        seen.sort_unstable();
        seen.dedup();
        let (samples, features) = x.dim();
        if seen.len() == 1 {
            let (weights, intercepts) = (Array2::zeros((1, features)), Array1::zeros(1));
            return Ok(Self { weights, intercepts, seen, classes });
        }
        let failed = |e: &dyn std::fmt::Display| FitError::Solver(e.to_string());
        let columns: Vec<f64> = x.t().iter().copied().collect(); // smartcore's matrices own their values
        let matrix = DenseMatrix::new(samples, features, columns, true).map_err(|e| failed(&e))?;
        let settings = LogisticRegressionParameters::default().with_alpha(1.0 / c);
        let fitted = Solver::fit(&matrix, &y.to_vec(), settings).map_err(|e| failed(&e))?;
        let rows = fitted.intercept().shape().0;
        let weight = fitted.coefficients();
        let weights = Array2::from_shape_fn((rows, features), |(k, j)| *weight.get((k, j)));
        let intercepts = Array1::from_shape_fn(rows, |k| *fitted.intercept().get((k, 0)));
        if weights.iter().chain(&intercepts).any(|w| !w.is_finite()) {
            return Err(failed(&"a coefficient is not finite"));
        }
        Ok(Self { weights, intercepts, seen, classes })
    }

    /// The probability of each class, `[sample, class]`.
    ///
    /// # Errors
    /// [`FitError::Width`] if the features differ in number from those fitted, or
    /// [`FitError::NotFinite`].
    pub fn predict_proba(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, FitError> {
        if x.ncols() != self.weights.ncols() {
            return Err(FitError::Width { expected: self.weights.ncols(), found: x.ncols() });
        }
        check_finite(x)?;
        let scores = x.dot(&self.weights.t()) + &self.intercepts;
        let mut shares = Array2::zeros((x.nrows(), self.classes));
        for (score, mut out) in scores.outer_iter().zip(shares.outer_iter_mut()) {
            match *self.seen.as_slice() {
                [only] => out[only] = 1.0,
                [no, yes] => {
                    out[yes] = 1.0 / (1.0 + (-score[0]).exp());
                    out[no] = 1.0 / (1.0 + score[0].exp());
                }
                _ => {
                    let top = score.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                    let total: f64 = score.iter().map(|s| (s - top).exp()).sum();
                    for (&class, s) in self.seen.iter().zip(score) {
                        out[class] = (s - top).exp() / total;
                    }
                }
            }
        }
        Ok(shares)
    }

    /// The class of the largest probability, the first on a tie.
    ///
    /// # Errors
    /// As [`Self::predict_proba`].
    pub fn predict(&self, x: ArrayView2<'_, f64>) -> Result<Vec<usize>, FitError> {
        Ok(largest(&self.predict_proba(x)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[derive(serde::Deserialize)]
    struct Case {
        classes: usize,
        c: f64,
        x: Vec<Vec<f64>>,
        y: Vec<usize>,
        ask: Vec<Vec<f64>>,
        proba: Vec<Vec<f64>>,
    }

    fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
    }

    /// Recorded from scikit-learn (tol 1e-10) by `fixtures/metrics.py`.
    #[test]
    fn probabilities_agree_with_scikit_learn() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../fixtures/logistic.json")).unwrap();
        for case in cases {
            let x = matrix(&case.x);
            let fit = LogisticRegression::fit(x.view(), &case.y, case.classes, case.c).unwrap();
            let got = fit.predict_proba(matrix(&case.ask).view()).unwrap();
            let off = (&got - &matrix(&case.proba)).fold(0.0, |a: f64, b| a.max(b.abs()));
            assert!(off < 1e-5, "{} classes: off by {off}", case.classes);
        }
    }

    #[test]
    fn a_class_without_samples_is_never_given() {
        let x = array![[0.0], [1.0], [2.0]];
        let fit = LogisticRegression::fit(x.view(), &[1, 1, 3], 5, 1.0).unwrap();
        let shares = fit.predict_proba(x.view()).unwrap();
        assert_eq!((shares[[0, 0]], shares[[0, 2]], shares[[0, 4]]), (0.0, 0.0, 0.0));
        assert!(shares[[2, 3]] > shares[[0, 3]]);
        let fit = LogisticRegression::fit(x.view(), &[2, 2, 2], 5, 1.0).unwrap();
        assert_eq!(fit.predict(x.view()).unwrap(), [2, 2, 2]);
    }

    #[test]
    fn a_penalty_without_sense_is_refused() {
        let x = array![[0.0], [1.0]];
        for c in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                LogisticRegression::fit(x.view(), &[0, 1], 2, c).unwrap_err(),
                FitError::Setting
            );
        }
    }
}
