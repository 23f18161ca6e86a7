//! What meta-training teaches: an encoder and, where a method learns them, the rates of its inner steps.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use surco_net::{Encoder, Policy};

use super::lora::Lora;

/// An encoder with the rates that its tasks are learned at.
#[derive(Module, Debug)]
pub(super) struct Taught {
    pub(super) encoder: Encoder,
    /// A rate for each tensor that steps move: those of the encoder, or of its low-rank change, then the head's weights and its
    /// bias; none where all have the same.
    rates: Option<Param<Tensor<1>>>,
}

/// Tensors of a head.
const HEAD_TENSORS: usize = 2;

impl Taught {
    /// An encoder whose tasks are learned at one rate that stays.
    pub(super) fn at_one_rate(encoder: Encoder) -> Self {
        Self { encoder, rates: None }
    }

    /// An encoder that learns the rates of its tasks, which begin at this one.
    pub(super) fn with_rates_from(
        encoder: Encoder,
        rate: f64,
        lora: Option<Lora>,
        device: &Device,
    ) -> Self {
        let rates = Initializer::Constant { value: rate }.init([rates_of(&encoder, lora)], device);
        Self { encoder, rates: Some(rates) }
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
