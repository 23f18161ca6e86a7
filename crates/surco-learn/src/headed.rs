//! A backbone with a linear head, and the loss that both learn by.

use burn::module::{Initializer, Module, ModuleDisplay, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// A backbone and a head.
#[derive(Module, Debug)]
pub(crate) struct Headed<M: Module> {
    pub(crate) backbone: M,
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl<M: Module + ModuleDisplay> Headed<M> {
    /// A head that says nothing yet, on features of this width: the first answers are even, and no class has a place of its
    /// own.
    pub(crate) fn new(backbone: M, (width, classes): (usize, usize), device: &Device) -> Self {
        let zeros = Initializer::Zeros;
        let (weight, bias) = (zeros.init([width, classes], device), zeros.init([classes], device));
        Self { backbone, weight, bias }
    }

    /// The same head on another backbone.
    pub(crate) fn with_backbone(&self, change: impl FnOnce(&M) -> M) -> Self {
        Self { backbone: change(&self.backbone), ..self.clone() }
    }

    /// Log-probabilities `[sample, class]` from features `[sample, d]`.
    pub(crate) fn judge(&self, features: Tensor<2>) -> Tensor<2> {
        log_softmax(features.matmul(self.weight.val()) + self.bias.val().unsqueeze(), 1)
    }
}

/// Mean cross-entropy of log-probabilities `[sample, class]` with the class of each sample.
pub(crate) fn cross_entropy(said: Tensor<2>, classes: &[i32]) -> Tensor<1> {
    let classes = TensorData::new(classes.to_vec(), [classes.len(), 1]);
    let classes = Tensor::<2, Int>::from_data(classes, &said.device());
    said.gather(1, classes).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: −(ln 0.25 + ln 0.5) / 2.
    #[test]
    fn the_loss_is_the_mean_surprise() {
        let device = Device::flex();
        let said = Tensor::from_data([[0.25_f32, 0.75], [0.5, 0.5]], &device).log();
        let loss = cross_entropy(said, &[0, 1]).into_scalar::<f32>();
        assert!((loss + (0.25_f32.ln() + 0.5_f32.ln()) / 2.0).abs() < 1e-6, "{loss}");
    }
}
