//! Logistic regression: the baseline that few labels are hard to beat with.
//!
//! Input: z-scored samples as rows, `f64`. Output: classes and their probabilities. The model is that
//! of scikit-learn's `LogisticRegression(C)`: multinomial (two classes: one sigmoid), L2 penalty,
//! intercept not penalised. Sample config: `LogisticRegression::fit(x, y, classes, 0.1)`.
//!
//! The optimiser is argmin's L-BFGS on C·Σ loss + ½ ‖w‖², from zero until no weight can be off by more than
//! about 10⁻⁶; loss and gradient are computed here, as products of whole matrices.

use argmin::core::{CostFunction, Error, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::forest::{FitError, check_finite, check_samples, largest_of_rows};

/// The inverse penalty of the baseline everywhere in Surco.
pub const C: f64 = 0.1;

/// Steps that L-BFGS remembers, and takes at most.
const MEMORY: usize = 10;
const STEPS: u64 = 1000;

/// How far a weight may be from the best one: the curvature of the objective is at least 1.
const PRECISION: f64 = 1e-6;

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
        let features = x.ncols();
        if seen.len() == 1 {
            let (weights, intercepts) = (Array2::zeros((1, features)), Array1::zeros(1));
            return Ok(Self { weights, intercepts, seen, classes });
        }
        let place = |class: &usize| seen.binary_search(class).unwrap_or_default();
        // The best weights are sums of samples: where these are few, their span is searched alone.
        let span = (x.nrows() < features).then(|| span(x));
        let within = span.as_ref().map_or_else(|| x.to_owned(), |span| x.dot(&span.t()));
        let y = y.iter().map(place).collect();
        let objective = Objective { x: within.view(), y, classes: seen.len(), c };
        let flat = objective.least()?;
        let fitted = objective.rows(&flat);
        let (weights, intercepts) = fitted.split_at(Axis(1), within.ncols());
        let weights = span.map_or_else(|| weights.to_owned(), |span| weights.dot(&span));
        Ok(Self { weights, intercepts: intercepts.column(0).to_owned(), seen, classes })
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
                    let log = log_of_sum(score.iter().copied());
                    for (&class, s) in self.seen.iter().zip(score) {
                        out[class] = (s - log).exp();
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
        Ok(largest_of_rows(&self.predict_proba(x)?))
    }
}

/// C·Σ loss + ½ ‖w‖². Its variable is `[row, feature + 1]` as one list, intercepts last in each row; two classes
/// have one row, the log-odds of the second.
struct Objective<'a> {
    x: ArrayView2<'a, f64>,
    /// `[sample]`, `0..classes`.
    y: Vec<usize>,
    classes: usize,
    c: f64,
}

impl Objective<'_> {
    fn least(&self) -> Result<Vec<f64>, FitError> {
        let failed = |e: Error| FitError::Solver(e.to_string());
        let rows = if self.classes == 2 { 1 } else { self.classes };
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY)
            .with_tolerance_grad(PRECISION)
            .map_err(failed)?;
        let start = vec![0.0; rows * (self.x.ncols() + 1)];
        let found = Executor::new(self, solver)
            .configure(|state| state.param(start).max_iters(STEPS))
            .timer(false)
            .run()
            .map_err(failed)?;
        let best = found.state().get_best_param().filter(|w| w.iter().all(|v| v.is_finite()));
        best.cloned().ok_or_else(|| FitError::Solver("a coefficient is not finite".into()))
    }

    fn rows<'w>(&self, flat: &'w [f64]) -> ArrayView2<'w, f64> {
        let width = self.x.ncols() + 1;
        ArrayView2::from_shape((flat.len() / width, width), flat).expect("whole rows")
    }

    /// `[sample, row]`.
    fn scores(&self, flat: &[f64]) -> Array2<f64> {
        let rows = self.rows(flat);
        let features = self.x.ncols();
        self.x.dot(&rows.slice(s![.., ..features]).t()) + rows.column(features)
    }
}

impl CostFunction for &Objective<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, flat: &Vec<f64>) -> Result<f64, Error> {
        let scores = self.scores(flat);
        let loss: f64 = scores
            .outer_iter()
            .zip(&self.y)
            .map(|(score, &class)| match score.len() {
                1 => log_of_sum([0.0, score[0]].into_iter()) - score[0] * class as f64,
                _ => log_of_sum(score.iter().copied()) - score[class],
            })
            .sum();
        let rows = self.rows(flat);
        let size: f64 = rows.slice(s![.., ..self.x.ncols()]).iter().map(|w| w * w).sum();
        Ok(self.c * loss + size / 2.0)
    }
}

impl Gradient for &Objective<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, flat: &Vec<f64>) -> Result<Vec<f64>, Error> {
        // The loss by score: what is said less what is true.
        let mut off = self.scores(flat);
        for (mut score, &class) in off.outer_iter_mut().zip(&self.y) {
            if score.len() == 1 {
                score[0] = 1.0 / (1.0 + (-score[0]).exp()) - class as f64;
            } else {
                let log = log_of_sum(score.iter().copied());
                score.mapv_inplace(|v| (v - log).exp());
                score[class] -= 1.0;
            }
        }
        off *= self.c;
        let features = self.x.ncols();
        let mut gradient = self.rows(flat).to_owned();
        let mut weights = gradient.slice_mut(s![.., ..features]);
        weights += &off.t().dot(&self.x);
        gradient.column_mut(features).assign(&off.sum_axis(Axis(0)));
        Ok(gradient.into_raw_vec_and_offset().0)
    }
}

/// Directions at right angles to each other, each of length 1, that all rows are sums of, `[direction, column]`.
fn span(rows: ArrayView2<'_, f64>) -> Array2<f64> {
    /// Share of a row's length that must be new for it to bring a direction.
    const NEW: f64 = 1e-10;
    let mut found = Array2::zeros((0, rows.ncols()));
    for row in rows.rows() {
        let mut left = row.to_owned();
        // Twice is enough (Giraud et al. 2005).
        for _ in 0..2 {
            let along = found.dot(&left);
            left -= &along.dot(&found);
        }
        let length = left.dot(&left).sqrt();
        if length > NEW * row.dot(&row).sqrt() {
            left /= length;
            found.push_row(left.view()).expect("as wide as its rows");
        }
    }
    found
}

/// log Σ exp, without overflow.
fn log_of_sum(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    top + values.map(|v| (v - top).exp()).sum::<f64>().ln()
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

    /// Columns three times over, each by a third of its root, are the same problem: now with more columns than samples, which
    /// are fitted within their span.
    #[test]
    fn few_samples_of_many_columns_have_the_weights_that_their_span_has() {
        let x = Array2::from_shape_fn((6, 4), |(i, j)| {
            ((3 * i + 5 * j + i * j * j) as f64 * 0.9).sin()
        });
        let y = [0, 1, 2, 0, 1, 2];
        let third = 1.0 / 3.0_f64.sqrt();
        let wide = Array2::from_shape_fn((6, 12), |(i, j)| x[[i, j % 4]] * third);
        let fit = |x: &Array2<f64>| LogisticRegression::fit(x.view(), &y, 3, 1.0).unwrap();
        let said = |x: &Array2<f64>| fit(x).predict_proba(x.view()).unwrap();
        let off = (&said(&x) - &said(&wide)).fold(0.0, |a: f64, b| a.max(b.abs()));
        assert!(off < 1e-6, "{off}");
        assert_eq!(span(wide.view()).dim(), (4, 12), "two of six rows are sums of the others");
        assert!(
            (&fit(&x).weights * third - fit(&wide).weights.slice(s![.., 4..8]))
                .iter()
                .all(|v| v.abs() < 1e-6)
        );
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
