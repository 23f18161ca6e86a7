//! Measures of a classification: one confusion matrix, and what is read off it.
//!
//! Input: true and predicted classes. Output: accuracies as shares of 1. Definitions are those of
//! scikit-learn's `sklearn.metrics`.

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use surco_core::Fault;

/// Counts of samples by true class (rows) and predicted class (columns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<u64>>", into = "Vec<Vec<u64>>")]
pub struct Confusion(Array2<u64>);

/// True and predicted classes that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// One prediction per truth is needed.
    #[error("{truth} true classes were given with {predicted} predictions")]
    Length {
        /// True classes given.
        truth: usize,
        /// Predictions given.
        predicted: usize,
    },
    /// A class outside the matrix.
    #[error("sample {sample} has class {class}, but there are {classes} classes")]
    Class {
        /// Place of the sample.
        sample: usize,
        /// The class.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A matrix with rows of other lengths than their number.
    #[error("a confusion matrix has {rows} rows and a row of {found}: it must be square")]
    NotSquare {
        /// Number of rows.
        rows: usize,
        /// Length of the first row that differs.
        found: usize,
    },
}

impl MetricError {
    /// The kind of fault: always bad input.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

impl Confusion {
    /// Counts predictions against the truth.
    ///
    /// # Errors
    /// [`MetricError`] if the lengths differ or a class is outside `0..classes`.
    pub fn count(
        truth: &[usize],
        predicted: &[usize],
        classes: usize,
    ) -> Result<Self, MetricError> {
        if truth.len() != predicted.len() {
            return Err(MetricError::Length { truth: truth.len(), predicted: predicted.len() });
        }
        let mut counts = Array2::zeros((classes, classes));
        for (sample, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
            match counts.get_mut([t, p]) {
                Some(cell) => *cell += 1,
                None => return Err(MetricError::Class { sample, class: t.max(p), classes }),
            }
        }
        Ok(Self(counts))
    }

    /// Adds the counts of another matrix of the same classes.
    pub fn add(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.0.nrows()
    }

    /// The counts, `[true class, predicted class]`.
    #[must_use]
    pub fn counts(&self) -> &Array2<u64> {
        &self.0
    }

    /// Share of samples predicted right; NaN without samples.
    #[must_use]
    pub fn overall_accuracy(&self) -> f64 {
        self.0.diag().sum() as f64 / self.0.sum() as f64
    }

    /// Recall of each class (producer's accuracy); `None` for a class absent from the truth.
    #[must_use]
    pub fn producers(&self) -> Vec<Option<f64>> {
        let rows = self.0.outer_iter().enumerate();
        rows.map(|(i, row)| share(row[i], row.sum())).collect()
    }

    /// Precision of each class (user's accuracy); `None` for a class never predicted.
    #[must_use]
    pub fn users(&self) -> Vec<Option<f64>> {
        let columns = self.0.columns().into_iter().enumerate();
        columns.map(|(i, column)| share(column[i], column.sum())).collect()
    }

    /// Intersection over union of each class; `None` for a class in neither truth nor predictions.
    ///
    /// # Source
    /// scikit-learn, `jaccard_score(average=None)`.
    #[must_use]
    pub fn ious(&self) -> Vec<Option<f64>> {
        let iou = |i: usize| {
            let both = self.0.row(i).sum() + self.0.column(i).sum();
            share(self.0[[i, i]], both - self.0[[i, i]])
        };
        (0..self.classes()).map(iou).collect()
    }

    /// Mean recall over the classes present in the truth; NaN without samples.
    ///
    /// # Source
    /// scikit-learn, `balanced_accuracy_score`.
    #[must_use]
    pub fn balanced_accuracy(&self) -> f64 {
        mean(self.producers().into_iter().flatten())
    }

    /// Mean F1 over the classes in the truth or the predictions; NaN without samples.
    ///
    /// # Source
    /// scikit-learn, `f1_score(average="macro", zero_division=0)`.
    #[must_use]
    pub fn macro_f1(&self) -> f64 {
        mean((0..self.classes()).filter_map(|i| {
            let both = self.0.row(i).sum() + self.0.column(i).sum();
            share(2 * self.0[[i, i]], both)
        }))
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), v| (sum + v, n + 1));
    sum / f64::from(n)
}

impl TryFrom<Vec<Vec<u64>>> for Confusion {
    type Error = MetricError;

    fn try_from(rows: Vec<Vec<u64>>) -> Result<Self, MetricError> {
        if let Some(odd) = rows.iter().find(|row| row.len() != rows.len()) {
            return Err(MetricError::NotSquare { rows: rows.len(), found: odd.len() });
        }
        Ok(Self(Array2::from_shape_fn((rows.len(), rows.len()), |(i, j)| rows[i][j])))
    }
}

impl From<Confusion> for Vec<Vec<u64>> {
    fn from(confusion: Confusion) -> Self {
        confusion.0.outer_iter().map(|row| row.to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        classes: usize,
        truth: Vec<usize>,
        predicted: Vec<usize>,
        confusion: Vec<Vec<u64>>,
        accuracy: f64,
        balanced_accuracy: f64,
        macro_f1: f64,
        ious: Vec<f64>,
    }

    /// Recorded from scikit-learn by `fixtures/metrics.py`.
    #[test]
    fn measures_agree_with_scikit_learn() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../fixtures/metrics.json")).unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let got = Confusion::count(&case.truth, &case.predicted, case.classes).unwrap();
            assert_eq!(Vec::<Vec<u64>>::from(got.clone()), case.confusion);
            for (got, want) in got.ious().iter().zip(&case.ious) {
                assert!((got.unwrap_or(0.0) - want).abs() < 1e-12, "IoU: {got:?} is not {want}");
            }
            for (name, got, want) in [
                ("accuracy", got.overall_accuracy(), case.accuracy),
                ("balanced", got.balanced_accuracy(), case.balanced_accuracy),
                ("macro F1", got.macro_f1(), case.macro_f1),
            ] {
                assert!((got - want).abs() < 1e-12, "{name}: {got} is not {want}");
            }
        }
    }

    #[test]
    fn classes_without_samples_have_no_accuracy() {
        let confusion = Confusion::count(&[0, 0, 1], &[0, 1, 1], 4).unwrap();
        assert_eq!(confusion.producers(), [Some(0.5), Some(1.0), None, None]);
        assert_eq!(confusion.users(), [Some(1.0), Some(0.5), None, None]);
        assert!(matches!(
            Confusion::count(&[0], &[4], 4),
            Err(MetricError::Class { sample: 0, class: 4, classes: 4 })
        ));
        assert!(Confusion::count(&[0], &[], 4).is_err());
    }
}
