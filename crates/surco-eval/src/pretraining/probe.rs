//! What frozen features tell: a linear probe and the nearest neighbours.
//!
//! Input: features as rows, classes of the points to learn from. Output: the class of each point asked.
//! Sample config: `linear_probe(&task, x.view())`, `nearest_neighbours(&task, x.view(), 5)`.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::forest::FitError;
use crate::logistic::LogisticRegression;
use crate::metrics::Confusion;
use crate::prepare::ZScore;

/// Inverse penalties tried; the one that serves the validation blocks best is taken.
const STRENGTHS: [f64; 3] = [0.01, 0.1, 1.0];

/// Points of a set by their part in one task.
#[derive(Clone, Copy, Debug)]
pub struct ProbeTask<'a> {
    /// `[point]`, class of each point; read for `train` and `validation` alone.
    pub labels: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Points to learn from.
    pub train: &'a [usize],
    /// Points to choose the strength by.
    pub validation: &'a [usize],
    /// Points asked.
    pub test: &'a [usize],
}

impl ProbeTask<'_> {
    /// Classes of some points.
    #[must_use]
    pub fn classes_of(&self, points: &[usize]) -> Vec<usize> {
        points.iter().map(|&p| self.labels[p]).collect()
    }
}

/// Multinomial logistic regression on features `[point, feature]`, z-scored by the points to learn from;
/// its penalty is the one with the highest balanced accuracy on the validation points, the stronger of equals.
///
/// # Errors
/// [`FitError`] if a feature is not finite or the optimiser fails.
pub fn linear_probe(task: &ProbeTask<'_>, x: ArrayView2<'_, f64>) -> Result<Vec<usize>, FitError> {
    let rows = |points: &[usize]| x.select(Axis(0), points);
    let scale = ZScore::measure(rows(task.train).view());
    let [train, validation, test] =
        [task.train, task.validation, task.test].map(|part| scale.apply(rows(part).view()));
    let (given, truth) = (task.classes_of(task.train), task.classes_of(task.validation));
    let mut best: Option<(f64, LogisticRegression)> = None;
    for strength in STRENGTHS {
        let fitted = LogisticRegression::fit(train.view(), &given, task.classes, strength)?;
        let said = fitted.predict(validation.view())?;
        let score = Confusion::count(&truth, &said, task.classes)
            .map_or(f64::NEG_INFINITY, |c| c.balanced_accuracy());
        if best.as_ref().is_none_or(|(before, _)| score > *before) {
            best = Some((score, fitted));
        }
    }
    best.map_or(Err(FitError::Setting), |(_, fitted)| fitted.predict(test.view()))
}

/// The class most frequent among the `k` points to learn from that are nearest by cosine; of equals, that
/// of the nearest point.
#[must_use]
pub fn nearest_neighbours(task: &ProbeTask<'_>, x: ArrayView2<'_, f32>, k: usize) -> Vec<usize> {
    let rows = |points: &[usize]| {
        let mut rows = x.select(Axis(0), points);
        rows.rows_mut().into_iter().for_each(|mut row| {
            let length = row.dot(&row).sqrt();
            if length > 0.0 {
                row /= length;
            }
        });
        rows
    };
    let likeness: Array2<f32> = rows(task.test).dot(&rows(task.train).t());
    let given = task.classes_of(task.train);
    likeness.rows().into_iter().map(|row| vote(row, &given, task.classes, k)).collect()
}

fn vote(likeness: ArrayView1<'_, f32>, given: &[usize], classes: usize, k: usize) -> usize {
    let mut order: Vec<usize> = (0..given.len()).collect();
    order.sort_by(|&a, &b| likeness[b].total_cmp(&likeness[a]));
    order.truncate(k);
    let mut votes = vec![0_usize; classes];
    order.iter().for_each(|&i| votes[given[i]] += 1);
    let most = votes.iter().copied().max().unwrap_or(0);
    order.iter().map(|&i| given[i]).find(|&class| votes[class] == most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// By hand: angles from east are 0°, 10°, 20° (class 0) and 80°, 90°, 100° (class 1); lengths do not
    /// matter. 5° is nearest to the first three, 65° to the last three. 51° is 29° from 80°, 31° from 20° and 39°
    /// from 90°: with two neighbours one vote each, and the nearer wins.
    #[test]
    fn neighbours_are_near_in_angle_and_vote() {
        let at = |degrees: f32, length: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            [cos * length, sin * length]
        };
        let x = [
            at(0.0, 1.0),
            at(10.0, 9.0),
            at(20.0, 0.1),
            at(80.0, 5.0),
            at(90.0, 0.2),
            at(100.0, 1.0),
            at(5.0, 7.0),
            at(65.0, 0.3),
            at(51.0, 2.0),
        ];
        let x = ndarray::Array2::from(x.to_vec());
        let labels = [0, 0, 0, 1, 1, 1, 9, 9, 9];
        let task = ProbeTask {
            labels: &labels,
            classes: 2,
            train: &[0, 1, 2, 3, 4, 5],
            validation: &[],
            test: &[6, 7, 8],
        };
        assert_eq!(nearest_neighbours(&task, x.view(), 3), [0, 1, 1]);
        assert_eq!(nearest_neighbours(&task, x.view(), 2), [0, 1, 1]);
    }

    /// Labels of the points asked are out of range: whoever reads them panics or fails.
    #[test]
    fn a_probe_parts_what_a_plane_parts_and_never_reads_the_answers() {
        let x = Array2::from_shape_fn((60, 2), |(i, j)| {
            let side = if i % 2 == 0 { 1.0 } else { -1.0 };
            side * (1.0 + (i / 2) as f64 / 30.0) + j as f64 * 0.1
        });
        let labels: Vec<usize> = (0..60).map(|i| if i < 40 { i % 2 } else { usize::MAX }).collect();
        let (train, validation, test): (Vec<_>, Vec<_>, Vec<_>) =
            ((0..20).collect(), (20..40).collect(), (40..60).collect());
        let task = ProbeTask {
            labels: &labels,
            classes: 2,
            train: &train,
            validation: &validation,
            test: &test,
        };
        let said = linear_probe(&task, x.view()).unwrap();
        assert_eq!(said, test.iter().map(|i| i % 2).collect::<Vec<_>>());
        let same = array![[1.0_f32, 0.0]];
        let alone = ProbeTask { labels: &[1], train: &[0], validation: &[], test: &[0], ..task };
        assert_eq!(nearest_neighbours(&alone, same.view(), 5), [1]);
    }
}
