//! Ordinary least squares, for figures of frozen features.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// A column that is this small a share of itself once the others are taken out of it depends on them:
/// what is left is the rounding of features in f32. A layer norm makes one such column, because a
/// weighted sum of its outputs is constant; its rounding must not be fitted to.
const DEPENDENT: f64 = 1e-5;

/// Root mean square error on test rows of a linear regression with intercept fitted to the others.
///
/// Columns are made orthogonal one after another (Gram and Schmidt, twice over), all in f64. A column
/// that depends on those before it is left out, which changes no prediction where it depends on them
/// in the test rows too.
///
/// # Panics
/// If lengths differ.
#[must_use]
pub fn linear_rmse(x: ArrayView2<'_, f64>, y: ArrayView1<'_, f64>, is_test: &[bool]) -> f64 {
    let rows =
        |test: bool| -> Vec<usize> { (0..is_test.len()).filter(|&i| is_test[i] == test).collect() };
    let (train, test) = (rows(false), rows(true));
    let (x_train, y_train) = (x.select(Axis(0), &train), y.select(Axis(0), &train));
    let (x_test, y_test) = (x.select(Axis(0), &test), y.select(Axis(0), &test));
    let centre_x = x_train.mean_axis(Axis(0)).expect("there are training rows");
    let centre_y = y_train.mean().expect("there are training rows");
    let weights = least_squares(x_train - &centre_x, y_train - centre_y);
    let errors = (x_test - &centre_x).dot(&weights) + centre_y - y_test;
    errors.pow2().mean().expect("there are test rows").sqrt()
}

/// Weights that bring `x · weights` nearest to `y`.
fn least_squares(mut x: Array2<f64>, y: Array1<f64>) -> Array1<f64> {
    let columns = x.ncols();
    let mut upper = Array2::<f64>::eye(columns);
    let mut along = Array1::<f64>::zeros(columns);
    let mut kept = Vec::new();
    for j in 0..columns {
        let mut column = x.column(j).to_owned();
        let before = column.dot(&column).sqrt();
        for _ in 0..2 {
            for &i in &kept {
                let share = x.column(i).dot(&column);
                upper[[i, j]] += share;
                column.scaled_add(-share, &x.column(i));
            }
        }
        let length = column.dot(&column).sqrt();
        if length > DEPENDENT * before {
            column /= length;
            upper[[j, j]] = length;
            along[j] = column.dot(&y);
            x.column_mut(j).assign(&column);
            kept.push(j);
        }
    }
    let mut weights = Array1::zeros(columns);
    for &j in kept.iter().rev() {
        let known: f64 = kept.iter().filter(|&&k| k > j).map(|&k| upper[[j, k]] * weights[k]).sum();
        weights[j] = (along[j] - known) / upper[[j, j]];
    }
    weights
}
