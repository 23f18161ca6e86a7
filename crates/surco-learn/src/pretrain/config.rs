//! What a pre-training run depends on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use surco_data::{Context, Exclusion, ExclusionError, Unseen};
use surco_net::Size;

use crate::{LatentTargets, LearnError, MaskWeights, Precision, PretextWeights};

/// Side of the largest patch of the family, in pixels.
const LARGEST_PATCH_PX: usize = 8;

/// Side of the windows that a store is read by, in pixels.
const LARGEST_WINDOW_PX: usize = 64;

/// What a pre-training run depends on: the same config and series give the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// Version of this file: 1.
    pub schema: u32,
    /// Stores with the pixels.
    #[serde(default)]
    pub stores: Vec<PathBuf>,
    /// Folders of tables of series, whose labels are not read.
    #[serde(default)]
    pub tables: Vec<PathBuf>,
    /// Areas and days that are not seen.
    #[serde(default)]
    pub exclude: Vec<Unseen>,
    /// Run folder.
    pub out: PathBuf,
    /// Size of the encoder.
    pub size: Size,
    /// What is trained: ours, or a published system.
    #[serde(default)]
    pub system: System,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Series a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Series computed at once by one core or device, cut and hidden alike; the gradients of a step's
    /// micro-batches are summed.
    #[serde(default = "defaults::micro_batch")]
    pub micro_batch: usize,
    /// Peak learning rate.
    #[serde(default = "defaults::learning_rate")]
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    #[serde(default = "defaults::warm_up")]
    pub warm_up_steps: u64,
    /// Decay of the moving average of the weights, which is then what is validated and handed on; 0 for none.
    #[serde(default)]
    pub ema_decay: f64,
    /// Number format of forward and backward.
    #[serde(default)]
    pub precision: Precision,
    /// Whether backward computes activations again, instead of keeping them: less memory, more time.
    #[serde(default)]
    pub recompute: bool,
    /// What is taught, each pretext with its weight.
    #[serde(default)]
    pub pretext: PretextWeights,
    /// What the codes of the latent pretext are made of; those of the averaged encoder need `ema_decay`.
    #[serde(default)]
    pub latent_targets: LatentTargets,
    /// Share of dates hidden, or of patches.
    #[serde(default = "defaults::mask_share")]
    pub mask_share: f64,
    /// What is hidden, each with its weight.
    #[serde(default)]
    pub masks: MaskWeights,
    /// Share of series that lose some of their bands, so that other sensors can be read.
    #[serde(default = "defaults::band_dropout")]
    pub band_dropout: f64,
    /// Most dates of one series.
    #[serde(default = "defaults::max_dates")]
    pub max_dates: usize,
    /// Windows of 64 × 64 pixels read from the store; one in eight is held out for validation.
    #[serde(default = "defaults::windows")]
    pub windows: usize,
    /// Side in pixels of the windows that are cut from them; 1 for series of single pixels.
    #[serde(default = "defaults::window_px")]
    pub window_px: usize,
    /// Sides in pixels of the patches that become tokens, drawn batch by batch; what is there twice is drawn
    /// twice as often.
    #[serde(default = "defaults::patch_px")]
    pub patch_px: Vec<usize>,
    /// What the encoder is told of places besides images.
    #[serde(default)]
    pub context: Vec<Context>,
    /// Seed of weights, masks and batches.
    #[serde(default)]
    pub seed: u64,
    /// Steps between checkpoints.
    #[serde(default = "defaults::checkpoint")]
    pub checkpoint_every_steps: u64,
    /// Steps between validations.
    #[serde(default = "defaults::validate")]
    pub validate_every_steps: u64,
}

/// What a run trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Our encoder.
    #[default]
    Surco,
    /// A decoder of the series of a pixel (Smith et al. 2023).
    EarthPt,
    /// A U-Net on every date and a transformer over dates (Dumeur et al. 2024); of one size, whatever `size` says.
    UBarn,
    /// One patch embedding a sensor and one Vision Transformer (Xiong et al. 2024).
    Ofa,
}

mod defaults {
    pub(super) fn batch() -> usize {
        128
    }
    pub(super) fn micro_batch() -> usize {
        32
    }
    pub(super) fn learning_rate() -> f64 {
        1e-3
    }
    pub(super) fn warm_up() -> u64 {
        20
    }
    pub(super) fn mask_share() -> f64 {
        0.4
    }
    pub(super) fn band_dropout() -> f64 {
        0.5
    }
    pub(super) fn max_dates() -> usize {
        24
    }
    pub(super) fn windows() -> usize {
        64
    }
    pub(super) fn window_px() -> usize {
        1
    }
    pub(super) fn patch_px() -> Vec<usize> {
        vec![1]
    }
    pub(super) fn checkpoint() -> u64 {
        100
    }
    pub(super) fn validate() -> u64 {
        25
    }
}

impl PretrainConfig {
    /// What must not be seen.
    ///
    /// # Errors
    /// [`ExclusionError`] naming the area or the date that is none.
    pub fn exclusion(&self) -> Result<Exclusion, ExclusionError> {
        Exclusion::new(&self.exclude)
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`LearnError::Config`] naming the key, its value and what to write.
    pub fn check(&self) -> Result<(), LearnError> {
        let refuse = |key, value: String, remedy: &str| {
            Err(LearnError::Config { key, value, remedy: remedy.into() })
        };
        if self.schema != 1 {
            return refuse("schema", self.schema.to_string(), "this version reads schema 1");
        }
        if self.stores.is_empty() && self.tables.is_empty() {
            return refuse("stores", "[]".into(), "at least one store or table is needed");
        }
        if let Err(error) = self.exclusion() {
            return refuse("exclude", format!("{:?}", self.exclude), &error.to_string());
        }
        if self.steps == 0 {
            return refuse("steps", "0".into(), "at least one step is needed");
        }
        if self.batch == 0 {
            return refuse("batch", "0".into(), "at least one series a step is needed");
        }
        if self.micro_batch == 0 {
            return refuse("micro_batch", "0".into(), "at least one series at once is needed");
        }
        if !(0.0..1.0).contains(&self.ema_decay) {
            return refuse("ema_decay", self.ema_decay.to_string(), "expected 0 <= decay < 1");
        }
        self.pretext.check()?;
        if self.latent_targets == LatentTargets::Averaged && self.ema_decay == 0.0 {
            let remedy = "there is no average to make targets of: set `ema_decay`, 0.996 for one";
            return refuse("latent_targets", "averaged".into(), remedy);
        }
        self.masks.check()?;
        if !(self.mask_share > 0.0 && self.mask_share < 1.0) {
            return refuse("mask_share", self.mask_share.to_string(), "expected 0 < share < 1");
        }
        if !(0.0..=1.0).contains(&self.band_dropout) {
            let value = self.band_dropout.to_string();
            return refuse("band_dropout", value, "expected 0 to 1");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate < 1.0) {
            return refuse(
                "learning_rate",
                self.learning_rate.to_string(),
                "expected 0 < rate < 1",
            );
        }
        if self.max_dates < 2 {
            return refuse("max_dates", self.max_dates.to_string(), "at least 2: one is hidden");
        }
        if !(1..=LARGEST_WINDOW_PX).contains(&self.window_px) {
            return refuse("window_px", self.window_px.to_string(), "expected 1 to 64");
        }
        let largest = self.window_px.min(LARGEST_PATCH_PX);
        if self.patch_px.is_empty() || self.patch_px.iter().any(|p| !(1..=largest).contains(p)) {
            let remedy =
                format!("expected one size or more, each 1 to {largest} (`window_px`, at most 8)");
            return refuse("patch_px", format!("{:?}", self.patch_px), &remedy);
        }
        if self.checkpoint_every_steps == 0 || self.validate_every_steps == 0 {
            return refuse("checkpoint_every_steps", "0".into(), "expected at least 1");
        }
        Ok(())
    }
}
