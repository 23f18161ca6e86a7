//! Parts that networks are put together from: a linear map and a norm as modules, and their weights as the fused
//! layers take them.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use surco_kernels::{Norm, NormKind, Projection, linear, norm};

/// A linear map with its bias.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_in, d_out]`.
    pub weight: Param<Tensor<2>>,
    /// `[d_out]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A map whose weight and bias are drawn apart.
    pub(crate) fn new(
        [from, to]: [usize; 2],
        (weight, bias): (Initializer, Initializer),
        device: &Device,
    ) -> Self {
        Self { weight: weight.init([from, to], device), bias: bias.init([to], device) }
    }

    pub(crate) fn projection(&self) -> Projection {
        Projection { weight: self.weight.val(), bias: Some(self.bias.val()) }
    }

    pub(crate) fn forward(&self, x_nd: Tensor<2>) -> Tensor<2> {
        linear(x_nd, self.projection())
    }
}

/// A map without bias.
pub(crate) fn projection(weight: &Param<Tensor<2>>) -> Projection {
    Projection { weight: weight.val(), bias: None }
}

/// A norm with scale and shift.
#[derive(Module, Debug)]
pub(crate) struct LayerNorm {
    pub(crate) weight: Param<Tensor<1>>,
    pub(crate) bias: Param<Tensor<1>>,
}

impl LayerNorm {
    pub(crate) fn new(width: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([width], device),
            bias: Initializer::Zeros.init([width], device),
        }
    }

    pub(crate) fn norm(&self, epsilon: f64) -> Norm {
        let (weight, bias) = (self.weight.val(), Some(self.bias.val()));
        Norm { weight, bias, kind: NormKind::Layer, epsilon }
    }

    pub(crate) fn forward(&self, x_nd: Tensor<2>, epsilon: f64) -> Tensor<2> {
        norm(x_nd, self.norm(epsilon))
    }
}
