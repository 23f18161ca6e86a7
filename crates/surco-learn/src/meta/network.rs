//! An encoder with a linear head as a slope over one flat list of weights.
//!
//! The head begins at zero in every episode: no class has a place of its own, so classes may come in any order, and the encoder
//! learns from the first step on that what it says be of use (Kao, Chiu and Chen 2022, *MAML is a noisy contrastive learner*).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use surco_data::Batch;
use surco_net::{Encoder, EncoderInput};

use super::inner::Slope;
use crate::headed::{Headed, cross_entropy};

/// The weights of a module, one after another.
pub(super) fn flat(module: &impl Module) -> Vec<f64> {
    struct Values(Vec<f64>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut values = Values(Vec::new());
    module.visit(&mut values);
    values.0
}

/// The next values of a list, as a tensor of a shape.
fn next<const D: usize>(
    left: &mut std::slice::Iter<'_, f64>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    let count = shape.iter().product();
    let values: Vec<f32> = left.by_ref().take(count).map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A module with these weights, as leaves of the gradient tape of a device.
struct Filling<'a> {
    left: std::slice::Iter<'a, f64>,
    device: &'a Device,
}

impl ModuleMapper for Filling<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (left, device) = (&mut self.left, self.device);
        param.map(|old| next(left, old.dims(), device).require_grad())
    }
}

/// Samples of an episode with their classes, as a slope.
pub(super) struct Labelled<'a> {
    pub(super) network: &'a Headed<Encoder>,
    pub(super) batch: &'a Batch,
    /// Class of each sample.
    pub(super) classes: &'a [i32],
    /// A device that tracks gradients.
    pub(super) device: &'a Device,
}

impl Labelled<'_> {
    /// Mean cross-entropy of what a network says.
    pub(super) fn loss(&self, here: &Headed<Encoder>) -> Tensor<1> {
        let embedded = here.backbone.embed(&EncoderInput::new(self.batch, self.device));
        cross_entropy(here.judge(embedded), self.classes)
    }
}

impl Slope for Labelled<'_> {
    const ROUNDING: f64 = f32::EPSILON as f64;

    fn at(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let mut filling = Filling { left: weights.iter(), device: self.device };
        let here = self.network.clone().map(&mut filling);
        let loss = self.loss(&here);
        let number = f64::from(loss.clone().into_scalar::<f32>());
        let mut found = Gradients {
            of: GradientsParams::from_grads(loss.backward(), &here),
            values: Vec::with_capacity(weights.len()),
        };
        here.visit(&mut found);
        (number, found.values)
    }
}

struct Gradients {
    of: GradientsParams,
    values: Vec<f64>,
}

impl ModuleVisitor for Gradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match self.of.remove::<D>(param.id) {
            Some(gradient) => self.values.extend(gradient.into_data().iter::<f64>()),
            // What the loss does not depend on.
            None => {
                self.values.extend(std::iter::repeat_n(0.0, param.val().dims().iter().product()))
            }
        }
    }
}

/// A loss of this value whose gradient by the module's weights is the given one; what is beyond them is left out.
pub(super) fn stand_in(
    module: &Encoder,
    gradient: &[f64],
    loss: f64,
    device: &Device,
) -> Tensor<1> {
    struct Product<'a> {
        left: std::slice::Iter<'a, f64>,
        device: &'a Device,
        sum: Tensor<1>,
    }
    impl ModuleVisitor for Product<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let weight = param.val();
            let along = next(&mut self.left, weight.dims(), self.device);
            self.sum = self.sum.clone() + (weight * along).sum();
        }
    }
    let mut product = Product { left: gradient.iter(), device, sum: Tensor::zeros([1], device) };
    module.visit(&mut product);
    let sum = product.sum;
    sum.clone() - sum.detach() + loss as f32
}
