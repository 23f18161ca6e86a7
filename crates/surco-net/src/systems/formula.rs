//! Weights and inputs by a formula, so that PyTorch and ours can be given the same without a file:
//! `verify/oracles/systems.py` has it too.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};

/// A number between −1/2 and 1/2 for the place `k` of the tensor `t`.
pub(super) fn drawn(k: usize, t: usize) -> f64 {
    ((k * 7919 + t * 104_729) % 2003) as f64 / 2003.0 - 0.5
}

/// A module whose tensors are numbered as they are met: matrices and kernels of about unit gain, vectors near 0, and near
/// 1 what a norm multiplies or divides by.
pub(super) fn filled<M: Module>(module: M) -> M {
    module.map(&mut Formula { tensors: 0, path: Vec::new() })
}

struct Formula {
    tensors: usize,
    path: Vec<String>,
}

impl ModuleMapper for Formula {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let t = self.tensors;
        self.tensors += 1;
        let shape = param.val().dims();
        let last = self.path.last().map_or("", String::as_str);
        let is_norm = self.path.iter().rev().take(2).any(|name| name.contains("norm"));
        let (factor, offset) = match D {
            1 if last == "variance" || (is_norm && last != "bias" && last != "mean") => (0.2, 1.0),
            1 => (0.1, 0.0),
            2 => (2.0 * (3.0 / shape[0] as f64).sqrt(), 0.0),
            _ => (2.0 * (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt(), 0.0),
        };
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|k| (factor * drawn(k, t) + offset) as f32).collect();
        let device = param.val().device();
        param.map(|_| Tensor::from_data(TensorData::new(values, shape), &device))
    }
}

/// Fails unless the first values are these, to a ten-thousandth.
pub(super) fn assert_begins<const D: usize>(got: Tensor<D>, want: &[f32]) {
    let got: Vec<f32> = got.into_data().iter::<f32>().take(want.len()).collect();
    for (got_one, want_one) in got.iter().zip(want) {
        assert!((got_one - want_one).abs() < 1e-4, "{got:?}, PyTorch says {want:?}");
    }
}
