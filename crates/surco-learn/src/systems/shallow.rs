//! What a trained `U-BARN` knows of classes: a shallow decoder behind it, the encoder frozen or fine-tuned.
//!
//! # Source
//! Dumeur et al. 2024: one and the same shallow decoder behind a frozen (FR) and a fine-tuned (FT) encoder, so that what
//! differs is what the encoder learned. Labels are those of the pixel in the middle of each window. Norms keep their
//! statistics in both, which a few labels could only spoil.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::Progress;
use surco_data::{Sample, SpectralBand};
use surco_net::{Policy, ShallowDecoder, SystemModel, UBarn, UBarnBatch, UBarnConfig};

use crate::LearnError;
use crate::precision::Precision;
use crate::trainer::{Objective, Recipe, Trainer, Work};

/// Windows computed at once by one core or device.
const MICRO_BATCH: usize = 4;

/// What learns beside the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Nothing.
    Frozen,
    /// The encoder.
    FineTuned,
}

/// How a shallow decoder is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShallowConfig {
    /// What learns beside it.
    pub protocol: Protocol,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Windows a step.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Seed of weights and batches.
    pub seed: u64,
}

/// Labelled windows: the class of the pixel in the middle of each.
#[derive(Clone, Copy, Debug)]
pub struct LabelledWindows<'a> {
    /// Windows of one size.
    pub samples: &'a [&'a Sample],
    /// Class of each, from 0.
    pub classes: &'a [usize],
    /// Number of classes.
    pub class_count: usize,
    /// Bands of every window.
    pub bands: &'a [SpectralBand],
    /// Window of days, `[first, end)`.
    pub window: (i32, i32),
}

/// An encoder and the decoder behind it.
#[derive(Module, Debug)]
pub struct UBarnClassifier {
    net: UBarn,
    decoder: ShallowDecoder,
}

impl UBarnClassifier {
    /// The encoder.
    #[must_use]
    pub fn encoder(&self) -> &UBarn {
        &self.net
    }

    /// Scores of the classes of the pixel in the middle of each window, `[windows, classes]`.
    #[must_use]
    pub fn scores(&self, batch: &UBarnBatch) -> Tensor<2> {
        let (tokens, segments) = self.net.middle_features(batch);
        self.decoder.forward(tokens, &segments)
    }
}

/// Trains a shallow decoder behind a trained encoder.
///
/// # Errors
/// [`LearnError`]: windows that `U-BARN` cannot read, no windows, a stop.
pub fn classify_windows(
    model: &SystemModel<UBarnConfig>,
    labelled: &LabelledWindows<'_>,
    config: &ShallowConfig,
    devices: &[Device],
    progress: &dyn Progress,
) -> Result<UBarnClassifier, LearnError> {
    if labelled.samples.is_empty() || labelled.samples.len() != labelled.classes.len() {
        return Err(LearnError::TooLittle {
            found: format!(
                "{} windows, {} classes",
                labelled.samples.len(),
                labelled.classes.len()
            ),
            expected: "a class for each of at least one window".into(),
        });
    }
    let LabelledWindows { samples, bands, window, .. } = *labelled;
    let read = |sample: &&Sample| UBarnBatch::new(&[sample], bands, window, &model.config);
    // All are looked at before any is computed.
    samples.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let decoder = ShallowDecoder::fresh(labelled.class_count, config.seed, &devices[0]);
    let net = match config.protocol {
        Protocol::Frozen => model.net.clone().no_grad(),
        Protocol::FineTuned => model.net.clone().train(),
    };
    let trainer = Trainer {
        objective: &Labels { labelled, model: &model.config, config },
        recipe: &Recipe {
            steps: config.steps,
            learning_rate: config.learning_rate,
            warm_up_steps: config.steps / 10 + 1,
            ema_decay: 0.0,
            precision: Precision::F32,
            recompute: false,
            validate_every_steps: config.steps,
            checkpoint_every_steps: config.steps,
        },
        devices,
        folder: None,
        progress,
    };
    Ok(trainer.run(UBarnClassifier { net, decoder })?.module)
}

struct Labels<'a> {
    labelled: &'a LabelledWindows<'a>,
    model: &'a UBarnConfig,
    config: &'a ShallowConfig,
}

struct Part {
    batch: UBarnBatch,
    /// `[windows, classes]`, 1 for the class.
    target: Vec<f32>,
}

impl Objective for Labels<'_> {
    type Module = UBarnClassifier;
    type Part = Part;

    const STAGE: &'static str = "classify";

    fn parts(&self, step: u64) -> Vec<Part> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(step + 1);
        let LabelledWindows { samples, classes, class_count, bands, window } = *self.labelled;
        let drawn: Vec<usize> =
            (0..self.config.batch).map(|_| rng.random_range(0..samples.len())).collect();
        let part = |chunk: &[usize]| {
            let chosen: Vec<&Sample> = chunk.iter().map(|&i| samples[i]).collect();
            let batch = UBarnBatch::new(&chosen, bands, window, self.model)
                .expect("each window was read before");
            let mut target = vec![0.0; chunk.len() * class_count];
            for (row, &i) in chunk.iter().enumerate() {
                target[row * class_count + classes[i]] = 1.0;
            }
            Part { batch, target }
        };
        drawn.chunks(MICRO_BATCH).map(part).collect()
    }

    /// Of the U-Net, forward and backward; where it is frozen there is no backward.
    fn work(&self, part: &Part) -> Work {
        let tokens = part.batch.tokens();
        let passes = match self.config.protocol {
            Protocol::Frozen => 1.0,
            Protocol::FineTuned => 3.0,
        };
        let flops = passes * tokens as f64 * UBarnConfig::flops_per_pixel() as f64;
        Work { tokens: tokens as u64, flops }
    }

    fn with_policy(&self, module: UBarnClassifier, _: Policy) -> UBarnClassifier {
        module
    }

    fn loss(&self, module: &UBarnClassifier, part: &Part, device: &Device) -> (Tensor<1>, f64) {
        let rows = part.batch.lengths.len();
        let shape = [rows, self.labelled.class_count];
        let target = Tensor::<2>::from_data(TensorData::new(part.target.clone(), shape), device);
        let weight = Tensor::<1>::ones([rows], device);
        let scores = module.scores(&part.batch);
        (surco_kernels::cross_entropy(scores, target, weight), rows as f64)
    }

    fn validate(&self, _: &UBarnClassifier, _: &Device) -> Option<f64> {
        None
    }
}
