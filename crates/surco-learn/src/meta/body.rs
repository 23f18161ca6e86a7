//! What stands before a learner's head: an encoder and, where steps move that in its stead, a change of low rank.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use surco_net::{Encoder, EncoderInput};

use super::lora::{Lora, LowRank};
use super::network::{Tensors, tensor_sizes};
use crate::headed::Headed;

/// An encoder as steps find it.
#[derive(Module, Debug)]
pub(super) struct Body {
    encoder: Encoder,
    change: Option<LowRank>,
}

impl Body {
    pub(super) fn new(encoder: Encoder, lora: Option<Lora>, device: &Device) -> Self {
        let change = lora.map(|lora| LowRank::new(&encoder, lora, device));
        Self { encoder, change }
    }

    /// Features of samples, `[sample, d]`.
    pub(super) fn embed(&self, input: &EncoderInput) -> Tensor<2> {
        match &self.change {
            Some(change) => change.on(&self.encoder).embed(input),
            None => self.encoder.embed(input),
        }
    }

    /// The same, where what steps do not move takes no gradients.
    pub(super) fn held(&self) -> Self {
        let still = self.change.is_some();
        let encoder = self.encoder.clone();
        Self { encoder: if still { encoder.no_grad() } else { encoder }, ..self.clone() }
    }

    /// Width of the encoder's tokens.
    pub(super) fn width(&self) -> usize {
        self.encoder.width()
    }

    /// How many of the weights, the first, are taught in the outer loop.
    pub(super) fn taught(&self) -> usize {
        tensor_sizes(&self.encoder).iter().sum()
    }
}

/// The tensors of a network.
pub(super) fn tensors(network: &Headed<Body>) -> Tensors {
    let Body { encoder, change } = &network.backbone;
    let still = if change.is_some() { tensor_sizes(encoder).len() } else { 0 };
    let sizes = tensor_sizes(network).into_iter().enumerate();
    Tensors(sizes.map(|(i, size)| (size, i >= still)).collect())
}
