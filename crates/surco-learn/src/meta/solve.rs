//! The solution of a linear system as a step that gradients flow through.

use burn::tensor::{Tensor, TensorData};
use ndarray::Array2;

use crate::ridge::Inverse;

/// `A⁻¹ Y` for a symmetric positive definite `A` `[n, n]` and `Y` `[n, m]`, with gradients to both.
///
/// With `B` the solution and `A⁻¹` both held fixed, `B + A⁻¹ (Y − A B)` is `B`, and its derivative
/// `A⁻¹ (dY − dA B)` is that of the solution.
///
/// # Panics
/// If `A` is not positive definite.
pub(super) fn solved(a: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    let device = a.device();
    let [n, m] = y.dims();
    let read = |t: Tensor<2>| -> Vec<f64> { t.into_data().iter::<f64>().collect() };
    let system = Array2::from_shape_vec((n, n), read(a.clone().detach())).expect("n x n values");
    let right = Array2::from_shape_vec((n, m), read(y.clone().detach())).expect("n x m values");
    let inverse = Inverse::of(&system).expect("a system that is positive definite");
    let tensor = |values: Array2<f64>| {
        let shape = [values.nrows(), values.ncols()];
        let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, shape), &device)
    };
    let solution = tensor(inverse.dot(&right));
    let inverse = tensor(inverse.dot(&Array2::eye(n)));
    solution.clone() + inverse.matmul(y - a.matmul(solution))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn loss(values: &[f32; 9], tape: &Device) -> (Tensor<2>, Tensor<1>) {
        let a =
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [3, 3]), tape).require_grad();
        let y = Tensor::<2>::from_data([[1.0, 0.5], [0.0, -1.0], [2.0, 0.0]], tape);
        let system = a.clone().matmul(a.clone().transpose()) + Tensor::<2>::eye(3, tape);
        (a, solved(system, y).powi_scalar(3).sum())
    }

    /// Central differences of the loss in each entry.
    #[test]
    fn gradients_of_a_solution_agree_with_differences() {
        let tape = Device::flex().autodiff();
        let start = [0.8, -0.3, 0.1, 0.4, 1.1, 0.2, -0.6, 0.3, 0.9];
        let (a, sum) = loss(&start, &tape);
        let gradients = sum.backward();
        let got: Vec<f32> = a.grad(&gradients).unwrap().into_data().iter::<f32>().collect();
        for i in 0..9 {
            let at = |step: f32| {
                let mut moved = start;
                moved[i] += step;
                loss(&moved, &tape).1.into_scalar::<f32>()
            };
            let wanted = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (got[i] - wanted).abs() < 2e-2 * wanted.abs().max(1.0),
                "{i}: {} {wanted}",
                got[i]
            );
        }
    }
}
