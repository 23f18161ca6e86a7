//! Principal axes of features, half whitened.
//!
//! Features are standardised, turned onto their strongest principal axes and divided by the square root of each
//! axis' deviation: between leaving the axes as strong as they are, where brightness drowns all else, and
//! whitening, where noise counts as much as seasons do. Rows then get length 1.
//!
//! Input: features `[n, d]` of unlabelled series. Output: a projection to `[n, kept]`.
//!
//! # Source
//! Orthogonal iteration: Golub and Van Loan 2013, *Matrix Computations*, §8.2.4.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::packed;

/// Axes iterated beside those kept, so that the last of those settles too.
const BESIDE: usize = 8;

/// Turns of the iteration.
const TURNS: usize = 20;

/// A projection of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Axes {
    #[serde(with = "packed::exact")]
    centre: Array2<f32>,
    #[serde(with = "packed::exact")]
    scale: Array2<f32>,
    /// `[d, kept]`
    #[serde(with = "packed::bytes")]
    axes: Array2<f32>,
}

impl Axes {
    /// The strongest axes of features `[n, d]`, at most `most`.
    pub(crate) fn fit(x: ArrayView2<'_, f32>, most: usize) -> Self {
        let (n, d) = x.dim();
        let count = n.max(1) as f32;
        let mean = x.sum_axis(Axis(0)) / count;
        let variance = |(j, column): (usize, ndarray::ArrayView1<'_, f32>)| {
            column.iter().map(|v| (v - mean[j]).powi(2)).sum::<f32>() / count
        };
        let scale = |v: f32| if v > 1e-12 { v.sqrt() } else { 1.0 };
        let scale: Array1<f32> =
            x.columns().into_iter().enumerate().map(variance).map(scale).collect();
        let z = (&x - &mean) / &scale;
        let tracked = (most + BESIDE).min(d).min(n);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut axes = Array2::from_shape_simple_fn((d, tracked), || rng.random_range(-1.0..1.0));
        let mut strength = orthonormal(&mut axes);
        for _ in 0..TURNS {
            axes = z.t().dot(&z.dot(&axes));
            strength = orthonormal(&mut axes);
        }
        // Lengths under the covariance: squares of singular values.
        let strongest = strength.first().copied().unwrap_or(0.0);
        let kept = strength.iter().take(most).take_while(|&&s| s > 1e-6 * strongest).count().max(1);
        let mut axes = axes.slice_move(ndarray::s![.., ..kept.min(tracked)]);
        for (mut axis, &s) in axes.columns_mut().into_iter().zip(&strength) {
            axis /= s.max(f32::MIN_POSITIVE).powf(0.25);
        }
        Self { centre: mean.insert_axis(Axis(0)), scale: scale.insert_axis(Axis(0)), axes }
    }

    /// Number of features expected.
    pub(crate) fn width(&self) -> usize {
        self.axes.nrows()
    }

    /// Number of axes.
    pub(crate) fn kept(&self) -> usize {
        self.axes.ncols()
    }

    /// Whether its parts fit together.
    pub(crate) fn is_whole(&self) -> bool {
        let width = self.axes.nrows();
        (self.centre.dim(), self.scale.dim()) == ((1, width), (1, width))
    }

    /// Features `[n, d]` on the axes, as long as they are: `[n, kept]`.
    pub(crate) fn turn(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        ((&x - &self.centre) / &self.scale).dot(&self.axes)
    }

    /// Features `[n, d]` on the axes, rows of length 1: `[n, kept]`.
    pub(crate) fn project(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut out = self.turn(x);
        for mut row in out.rows_mut() {
            let length = row.dot(&row).sqrt();
            row /= length.max(f32::MIN_POSITIVE);
        }
        out
    }
}

/// Makes columns orthonormal from the first to the last; gives what each had of length that was new.
fn orthonormal(columns: &mut Array2<f32>) -> Vec<f32> {
    let mut lengths = Vec::with_capacity(columns.ncols());
    for j in 0..columns.ncols() {
        let (done, mut rest) = columns.view_mut().split_at(Axis(1), j);
        let mut column = rest.column_mut(0);
        let before = column.dot(&column).sqrt();
        // Twice is enough (Giraud, Langou and Rozložník 2005).
        for _ in 0..2 {
            let shares = done.t().dot(&column);
            column -= &done.dot(&shares);
        }
        let length = column.dot(&column).sqrt();
        lengths.push(length);
        if length > 1e-6 * before && length > 0.0 {
            column /= length;
        } else {
            column.fill(0.0);
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two strong directions and little of a third.
    fn points() -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        Array2::from_shape_simple_fn((200, 3), || rng.random_range(-1.0_f32..1.0)).dot(
            &ndarray::array![
                [1.0, 1.0, 0.0, 0.5, 0.0],
                [0.0, 0.6, 0.0, -0.6, 1.0],
                [0.0, 0.0, 0.1, 0.0, 0.1]
            ],
        )
    }

    #[test]
    fn axes_are_the_eigenvectors_of_the_correlation() {
        let x = points();
        let axes = Axes::fit(x.view(), 3);
        let z = (&x - &axes.centre) / &axes.scale;
        let covariance = z.t().dot(&z);
        for axis in axes.axes.columns() {
            let turned = covariance.dot(&axis);
            let eigenvalue = turned.dot(&axis) / axis.dot(&axis);
            let off = (&turned - &(&axis * eigenvalue)).mapv(f32::abs).sum();
            assert!(off < 2e-3 * eigenvalue, "{off} of {eigenvalue}");
            // Half whitened: length squared is one over the singular value.
            let length = axis.dot(&axis);
            assert!((length * eigenvalue.sqrt() - 1.0).abs() < 1e-3, "{length} {eigenvalue}");
        }
    }

    #[test]
    fn rows_have_length_one_and_scaling_a_feature_changes_nothing() {
        let x = points();
        let mut scaled = x.clone();
        scaled.column_mut(1).mapv_inplace(|v| 100.0 * v + 7.0);
        let (one, other) = (
            Axes::fit(x.view(), 2).project(x.view()),
            Axes::fit(scaled.view(), 2).project(scaled.view()),
        );
        for (a, b) in one.rows().into_iter().zip(other.rows()) {
            assert!((a.dot(&a) - 1.0).abs() < 1e-5);
            assert!((a.dot(&b) - 1.0).abs() < 1e-3, "{a} {b}");
        }
    }

    #[test]
    fn constant_and_few_features_do_no_harm() {
        let x = Array2::from_elem((5, 4), 2.0);
        let axes = Axes::fit(x.view(), 20);
        assert!(axes.project(x.view()).iter().all(|v| v.is_finite()));
        let one = Array2::from_elem((1, 1), 3.0);
        assert!(Axes::fit(one.view(), 20).project(one.view()).iter().all(|v| v.is_finite()));
    }
}
