//! A model as people hand it on: an encoder, what it was trained for, and how to feed it.

use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use surco_data::{BatchSpec, Context, Normalisation, QueryGrid, SpectralBand};
use surco_kernels::Sight;

use crate::{Encoder, Size};

/// Everything needed to rebuild a model but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Version of this file.
    pub schema: u32,
    /// Size of the encoder.
    pub size: Size,
    /// Mean and deviation of the reflectances it was trained on.
    pub normalisation: Normalisation,
    /// Queries that make its embedding.
    pub queries: QueryGrid,
    /// Most dates of one series it is shown.
    pub max_dates: usize,
    /// Sides of the patches it was trained on, in pixels.
    pub patch_px: Vec<usize>,
    /// What it was told of places in training; it is told nothing else.
    pub context: Vec<Context>,
    /// How much of a series its tokens see.
    #[serde(default, skip_serializing_if = "sees_whole", with = "SightWritten")]
    pub sight: Sight,
    /// How it came to be.
    pub card: Card,
}

/// [`Sight`] as a config writes it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Sight", rename_all = "snake_case")]
enum SightWritten {
    Whole,
    Past,
}

fn sees_whole(sight: &Sight) -> bool {
    *sight == Sight::Whole
}

impl ModelConfig {
    /// How series of these bands over a window of days become batches for this model, pixel by pixel.
    #[must_use]
    pub fn spec(&self, bands: &[SpectralBand], window: (i32, i32)) -> BatchSpec {
        BatchSpec {
            max_dates: self.max_dates,
            queries: Some(self.queries),
            context: self.context.clone(),
            ..BatchSpec::new(bands, &self.normalisation, window)
        }
    }
}

/// How a model came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Stages in order, for example `masked 600 steps, seed 7`.
    pub stages: Vec<String>,
    /// Data it saw.
    pub data: Vec<String>,
    /// Version of the program.
    pub version: String,
}

/// An encoder with its config.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub encoder: Encoder,
    /// What else belongs to it.
    pub config: ModelConfig,
}

impl Model {
    /// The device its weights lie on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.encoder.devices().first().map_or_else(Device::flex, |d| d.clone().inner())
    }
}

/// A device has one source of random numbers: whoever draws weights from it draws alone.
static DRAWING: Mutex<()> = Mutex::new(());

/// An encoder with fresh weights, the same for the same seed, whatever other threads do.
#[must_use]
pub fn fresh(size: Size, seed: u64, device: &Device) -> Encoder {
    drawn(seed, device, || Encoder::new(size, device))
}

/// A module whose weights are drawn from the device, the same for the same seed, whatever other threads do.
#[must_use]
pub fn drawn<M: Module>(seed: u64, device: &Device, make: impl FnOnce() -> M) -> M {
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    let module = make();
    // Parameters are drawn when they are first looked at: look now, while nobody else draws.
    module.visit(&mut Look);
    module
}

/// Looks at every parameter.
struct Look;

impl ModuleVisitor for Look {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let _ = param.val();
    }
}
