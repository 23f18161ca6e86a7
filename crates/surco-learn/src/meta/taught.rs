//! What meta-training teaches: an encoder; where tasks are told of, what tells of them; where a method learns them, the rates of its
//! inner steps.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use surco_net::{Encoder, Policy};

use super::lora::Lora;
use super::timl::TaskEncoder;
use super::{MetaConfig, MetaMethod};

/// An encoder with what belongs to how its tasks are learned.
#[derive(Module, Debug)]
pub(super) struct Taught {
    pub(super) encoder: Encoder,
    /// What tells of tasks, if they are told of.
    pub(super) task: Option<TaskEncoder>,
    /// A rate for each tensor that steps move: those of the encoder, or of its low-rank change, then the head's weights and its
    /// bias; none where all have the same.
    rates: Option<Param<Tensor<1>>>,
}

/// Tensors of a head.
const HEAD_TENSORS: usize = 2;

impl Taught {
    /// What a config teaches, from an encoder whose embedding has so many parts.
    pub(super) fn new(
        encoder: Encoder,
        parts: usize,
        config: &MetaConfig,
        device: &Device,
    ) -> Self {
        let rates = (config.method == MetaMethod::MetaSgd).then(|| {
            let one = Initializer::Constant { value: config.inner_rate };
            one.init([rates_of(&encoder, config.lora())], device)
        });
        let width = parts * encoder.width();
        let task = config.task_informed.then(|| TaskEncoder::new(width, config.seed, device));
        Self { encoder, task, rates }
    }

    /// The same, computed another way.
    pub(super) fn with_policy(self, policy: Policy) -> Self {
        Self { encoder: self.encoder.with_policy(policy), ..self }
    }

    /// The rate of each tensor as it is now, if they are learned.
    pub(super) fn rates(&self) -> Option<Vec<f64>> {
        let rates = self.rates.as_ref()?;
        Some(rates.val().into_data().iter::<f64>().collect())
    }
}

/// How many rates an encoder with a head has, one for each tensor that moves.
pub(super) fn rates_of(encoder: &Encoder, lora: Option<Lora>) -> usize {
    let moving = match lora {
        Some(lora) => 2 * lora.matrices(encoder).len(),
        None => super::network::tensor_sizes(encoder).len(),
    };
    moving + HEAD_TENSORS
}
