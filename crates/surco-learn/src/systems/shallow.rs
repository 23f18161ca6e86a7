//! What a trained `U-BARN` knows of classes: a shallow decoder behind it, the encoder frozen or fine-tuned.
//!
//! # Source
//! Dumeur et al. 2024: one and the same shallow decoder behind a frozen (FR) and a fine-tuned (FT) encoder, so that what
//! differs is what the encoder learned. Labels are those of the pixel in the middle of each window. Norms keep their
//! statistics in both, which a few labels could only spoil. What a frozen encoder makes of a window is computed once.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Axis, concatenate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use surco_core::Progress;
use surco_data::{Sample, SpectralBand};
use surco_kernels::Segments;
use surco_net::{
    Policy, ShallowDecoder, SystemModel, UBARN_WIDTH, UBarn, UBarnBatch, UBarnConfig, table,
};

use crate::LearnError;
use crate::precision::Precision;
use crate::trainer::{Losses, Objective, Recipe, Trainer, Work};

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
    let batches = samples.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let decoder = ShallowDecoder::fresh(labelled.class_count, config.seed, &devices[0]);
    let (net, features) = match config.protocol {
        Protocol::Frozen => (model.net.clone().no_grad(), features(&model.net, &batches)),
        Protocol::FineTuned => (model.net.clone().train(), Vec::new()),
    };
    let trainer = Trainer {
        objective: &Labels { labelled, model: &model.config, config, features },
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

/// One vector a date of the pixel in the middle of each window, `[dates, 64]`.
fn features(net: &UBarn, batches: &[UBarnBatch]) -> Vec<Array2<f32>> {
    let of = |net: &mut UBarn, batch: &UBarnBatch| {
        let values = net.middle_features(batch).0.into_data().iter::<f32>().collect();
        Array2::from_shape_vec((batch.days_m.len(), UBARN_WIDTH), values)
            .expect("every date of a window has its vector")
    };
    batches.par_iter().map_with(net.clone(), of).collect()
}

struct Labels<'a> {
    labelled: &'a LabelledWindows<'a>,
    model: &'a UBarnConfig,
    config: &'a ShallowConfig,
    /// What a frozen encoder makes of each window; of one that learns there is nothing to keep.
    features: Vec<Array2<f32>>,
}

struct Part {
    seen: Seen,
    /// `[windows, classes]`, 1 for the class.
    target: Vec<f32>,
}

/// Windows as they come to what learns.
enum Seen {
    Images(UBarnBatch),
    Features { tokens_nd: Array2<f32>, lengths: Vec<usize> },
}

impl Seen {
    fn tokens(&self) -> usize {
        match self {
            Self::Images(batch) => batch.tokens(),
            Self::Features { tokens_nd, .. } => tokens_nd.nrows(),
        }
    }
}

impl Labels<'_> {
    fn seen(&self, chosen: &[usize]) -> Seen {
        let LabelledWindows { samples, bands, window, .. } = *self.labelled;
        match self.config.protocol {
            Protocol::Frozen => {
                let views: Vec<_> = chosen.iter().map(|&i| self.features[i].view()).collect();
                Seen::Features {
                    lengths: views.iter().map(|view| view.nrows()).collect(),
                    tokens_nd: concatenate(Axis(0), &views).expect("vectors are of one width"),
                }
            }
            Protocol::FineTuned => {
                let chosen: Vec<&Sample> = chosen.iter().map(|&i| samples[i]).collect();
                let batch = UBarnBatch::new(&chosen, bands, window, self.model)
                    .expect("each window was read before");
                Seen::Images(batch)
            }
        }
    }
}

impl Objective for Labels<'_> {
    type Module = UBarnClassifier;
    type Part = Part;

    const STAGE: &'static str = "classify";

    fn parts(&self, step: u64) -> Vec<Part> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(step + 1);
        let LabelledWindows { samples, classes, class_count, .. } = *self.labelled;
        let drawn: Vec<usize> =
            (0..self.config.batch).map(|_| rng.random_range(0..samples.len())).collect();
        let part = |chunk: &[usize]| {
            let mut target = vec![0.0; chunk.len() * class_count];
            for (row, &i) in chunk.iter().enumerate() {
                target[row * class_count + classes[i]] = 1.0;
            }
            Part { seen: self.seen(chunk), target }
        };
        drawn.chunks(MICRO_BATCH).map(part).collect()
    }

    /// Of the U-Net, forward and backward; a decoder alone is small beside it.
    fn work(&self, part: &Part) -> Work {
        let tokens = part.seen.tokens();
        let of_token = match self.config.protocol {
            Protocol::Frozen => 0.0,
            Protocol::FineTuned => 3.0 * UBarnConfig::flops_per_pixel() as f64,
        };
        Work { tokens: tokens as u64, flops: tokens as f64 * of_token }
    }

    fn with_policy(&self, module: UBarnClassifier, _: Policy) -> UBarnClassifier {
        module
    }

    fn loss(&self, module: &UBarnClassifier, part: &Part, device: &Device) -> (Tensor<1>, f64) {
        let shape @ [rows, _] =
            [part.target.len() / self.labelled.class_count, self.labelled.class_count];
        let target = Tensor::<2>::from_data(TensorData::new(part.target.clone(), shape), device);
        let weight = Tensor::<1>::ones([rows], device);
        let scores = match &part.seen {
            Seen::Images(batch) => module.scores(batch),
            Seen::Features { tokens_nd, lengths } => {
                let segments = Segments::of_lengths(lengths.iter().copied());
                module.decoder.forward(table(tokens_nd, device), &segments)
            }
        };
        (surco_kernels::cross_entropy(scores, target, weight), rows as f64)
    }

    fn validate(&self, _: &UBarnClassifier, _: &Device) -> Option<Losses> {
        None
    }
}
