//! What stands before a learner's head: an encoder; where tasks are told of, what tells of them; where steps move that in its
//! stead, a change of low rank.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use surco_net::{Encoder, EncoderInput};

use super::lora::{Lora, LowRank};
use super::network::{Tensors, tensor_sizes};
use super::timl::{Known, TaskEncoder};
use crate::headed::Headed;

/// An encoder as steps find it.
#[derive(Module, Debug)]
pub(super) struct Body {
    encoder: Encoder,
    task: Option<TaskEncoder>,
    change: Option<LowRank>,
}

impl Body {
    pub(super) fn new(
        (encoder, task): (Encoder, Option<TaskEncoder>),
        lora: Option<Lora>,
        device: &Device,
    ) -> Self {
        let change = lora.map(|lora| LowRank::new(&encoder, lora, device));
        Self { encoder, task, change }
    }

    /// Features of samples of a task, `[sample, d]`.
    pub(super) fn embed(&self, input: &EncoderInput, known: Known) -> Tensor<2> {
        let features = match &self.change {
            Some(change) => change.on(&self.encoder).embed(input),
            None => self.encoder.embed(input),
        };
        match &self.task {
            Some(task) => task.modulated(features, known),
            None => features,
        }
    }

    /// The same, where what steps do not move takes no gradients.
    pub(super) fn held(&self) -> Self {
        let held = self.clone();
        Self {
            encoder: if held.change.is_some() { held.encoder.no_grad() } else { held.encoder },
            task: held.task.map(Module::no_grad),
            change: held.change,
        }
    }

    /// Width of the encoder's tokens.
    pub(super) fn width(&self) -> usize {
        self.encoder.width()
    }

    /// How many of the weights, the first, are taught in the outer loop.
    pub(super) fn taught(&self) -> usize {
        let of_task = self.task.as_ref().map(tensor_sizes).unwrap_or_default();
        tensor_sizes(&self.encoder).iter().chain(&of_task).sum()
    }
}

/// The tensors of a network.
pub(super) fn tensors(network: &Headed<Body>) -> Tensors {
    let Body { encoder, task, change } = &network.backbone;
    let of_encoder = tensor_sizes(encoder).len();
    let taught = of_encoder + task.as_ref().map_or(0, |task| tensor_sizes(task).len());
    let moves = |i: usize| i >= taught || (i < of_encoder && change.is_none());
    let sizes = tensor_sizes(network).into_iter().enumerate();
    Tensors(sizes.map(|(i, size)| (size, moves(i))).collect())
}
