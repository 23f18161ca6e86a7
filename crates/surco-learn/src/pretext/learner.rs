//! What learns: the encoder, and the head that each pretext needs besides.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use surco_net::{Encoder, ForecastHead, Size, drawn, fresh};

use super::invariance::QUERIES;
use super::{LatentTargets, Pretext, PretextWeights};

/// Width of the embedding that two views are compared in.
const PROJECTED_WIDTH: usize = 64;

/// Two linear maps with a GELU between them.
#[derive(Module, Debug)]
pub(crate) struct TwoLayers {
    inner: Linear,
    outer: Linear,
}

impl TwoLayers {
    fn new(width_in: usize, hidden: usize, width_out: usize, device: &Device) -> Self {
        Self {
            inner: LinearConfig::new(width_in, hidden).init(device),
            outer: LinearConfig::new(hidden, width_out).init(device),
        }
    }

    pub(crate) fn forward(&self, x_nd: Tensor<2>) -> Tensor<2> {
        self.outer.forward(activation::gelu(self.inner.forward(x_nd)))
    }
}

/// An encoder and what its pretexts put on top of it; a head is there where its pretext is drawn.
#[derive(Module, Debug)]
pub(crate) struct Learner {
    pub(crate) encoder: Encoder,
    pub(crate) forecast: Option<ForecastHead>,
    pub(crate) predictor: Option<TwoLayers>,
    pub(crate) projector: Option<TwoLayers>,
}

impl Learner {
    /// Fresh weights. The encoder's depend on size and seed alone, whatever heads stand on it.
    pub(crate) fn fresh(
        size: Size,
        seed: u64,
        (pretexts, targets): (PretextWeights, LatentTargets),
        device: &Device,
    ) -> Self {
        let width = size.width();
        let has = |pretext| pretexts.drawn().iter().any(|(drawn, _)| *drawn == pretext);
        // Each head has a seed of its own, so that it does not change with its neighbours.
        let layers = |apart: u64, from: usize, to: usize| {
            drawn(seed ^ apart, device, || TwoLayers::new(from, width, to, device))
        };
        Self {
            encoder: fresh(size, seed, device),
            forecast: has(Pretext::Causal)
                .then(|| drawn(seed ^ 0x4341_5553, device, || ForecastHead::new(width, device))),
            predictor: has(Pretext::Latent)
                .then(|| layers(0x4C41_5445, width, targets.width(width))),
            projector: has(Pretext::Invariance)
                .then(|| layers(0x494E_5641, QUERIES.parts * width, PROJECTED_WIDTH)),
        }
    }
}
