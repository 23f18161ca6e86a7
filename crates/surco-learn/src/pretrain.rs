//! Pre-training without labels.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_core::Progress;
use surco_data::{BatchSpec, Context, Normalisation, QueryGrid, Sample, SpectralBand};
use surco_net::{Card, Encoder, Model, ModelConfig, Size, fresh, save_model};

use crate::LearnError;
use crate::checkpoint::{Checkpoints, hash_text};
use crate::crops::Crops;
use crate::masked::{Masked, hide, masked_loss};
use crate::run::{Curve, CurvePoint, RunSummary};
use crate::step::{gradients, learning_rate, optimizer};

/// Series that share one small batch: one core's work.
const MICRO_BATCH: usize = 32;

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
    pub stores: Vec<PathBuf>,
    /// Run folder.
    pub out: PathBuf,
    /// Size of the encoder.
    pub size: Size,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Series a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Peak learning rate.
    #[serde(default = "defaults::learning_rate")]
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    #[serde(default = "defaults::warm_up")]
    pub warm_up_steps: u64,
    /// Share of dates hidden.
    #[serde(default = "defaults::mask_share")]
    pub mask_share: f64,
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

mod defaults {
    pub(super) fn batch() -> usize {
        128
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
        if self.stores.is_empty() {
            return refuse("stores", "[]".into(), "at least one store is needed");
        }
        if self.steps == 0 {
            return refuse("steps", "0".into(), "at least one step is needed");
        }
        if self.batch == 0 {
            return refuse("batch", "0".into(), "at least one series a step is needed");
        }
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

/// Series to learn from, the ones for validation from other places.
#[derive(Clone, Debug, Default)]
pub struct SeriesPool {
    /// Bands of every series.
    pub bands: Vec<SpectralBand>,
    /// Window of days, `[first, end)`.
    pub window: (i32, i32),
    /// Series to train on.
    pub train: Vec<Sample>,
    /// Series held out by place.
    pub validation: Vec<Sample>,
    /// What they are, for the model card.
    pub data: Vec<String>,
}

/// Pre-trains an encoder with the masked pretext and writes the run folder `config.out`:
/// `config.toml`, `metrics.jsonl`, `checkpoints/`, and at the end `model/`.
///
/// A step's batch and masks depend on the seed and the step alone, so a run that was stopped or killed
/// continues as if it had not been.
///
/// # Errors
/// [`LearnError`]: a bad config, too few series, a folder in use, a disk that refuses, a stop.
pub fn pretrain(
    config: &PretrainConfig,
    pool: &SeriesPool,
    resume: bool,
    device: &Device,
    progress: &dyn Progress,
) -> Result<(Model, RunSummary), LearnError> {
    config.check()?;
    if pool.train.len() < 2 * MICRO_BATCH || pool.validation.is_empty() {
        return Err(LearnError::TooLittle {
            found: format!(
                "{} series to train on and {} to validate",
                pool.train.len(),
                pool.validation.len()
            ),
            expected: format!("at least {} and 1; raise `windows`", 2 * MICRO_BATCH),
        });
    }
    open_run(&config.out, &toml_of(config)?, resume)?;
    let trainer = Trainer::new(config, pool, device);
    trainer.run(progress)
}

fn toml_of(config: &PretrainConfig) -> Result<String, LearnError> {
    toml::to_string(config).map_err(|e| LearnError::Config {
        key: "schema",
        value: config.schema.to_string(),
        remedy: e.to_string(),
    })
}

/// Creates the run folder, or makes sure that it holds this very run.
pub(crate) fn open_run(out: &Path, config: &str, resume: bool) -> Result<(), LearnError> {
    let path = out.join("config.toml");
    match fs::read_to_string(&path) {
        Ok(there) if hash_text(&there) != hash_text(config) => {
            Err(LearnError::OtherRun { folder: out.into() })
        }
        Ok(_) if !resume => Err(LearnError::Exists { folder: out.into() }),
        Ok(_) => Ok(()),
        Err(_) => fs::create_dir_all(out)
            .and_then(|()| surco_core::write_whole(&path, config.as_bytes()))
            .map_err(|source| LearnError::Io { path, source }),
    }
}

struct Trainer<'a> {
    config: &'a PretrainConfig,
    pool: &'a SeriesPool,
    norm: Normalisation,
    crops: Crops,
    plain: Device,
    tracked: Device,
    held_out: Vec<Masked>,
}

impl<'a> Trainer<'a> {
    fn new(config: &'a PretrainConfig, pool: &'a SeriesPool, device: &Device) -> Self {
        let norm = Normalisation::measure(&pool.bands, &pool.train);
        let mut spec = BatchSpec::new(&pool.bands, &norm, pool.window);
        spec.max_dates = config.max_dates;
        spec.context.clone_from(&config.context);
        let (patch_px, window_px) = (config.patch_px.clone(), config.window_px);
        let crops = Crops { spec, patch_px, window_px };
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ 0x5641_4C49);
        let count = pool.validation.len().min(512);
        let step = pool.validation.len() / count;
        let held: Vec<&Sample> = pool.validation.iter().step_by(step).take(count).collect();
        let held_out = held
            .chunks(MICRO_BATCH)
            .map(|chunk| {
                let batch = crops.batch(chunk, &mut rng);
                hide(&batch, config.mask_share, config.band_dropout, &mut rng)
            })
            .collect();
        Self {
            config,
            pool,
            norm,
            crops,
            plain: device.clone(),
            tracked: device.clone().autodiff(),
            held_out,
        }
    }

    fn run(&self, progress: &dyn Progress) -> Result<(Model, RunSummary), LearnError> {
        let checkpoints = Checkpoints::new(&self.config.out);
        let metrics = self.config.out.join("metrics.jsonl");
        let mut encoder = fresh(self.config.size, self.config.seed, &self.tracked);
        let mut optimizer = optimizer();
        let resumed_from = checkpoints.steps().last().copied().unwrap_or(0);
        if resumed_from > 0 {
            (encoder, optimizer) = checkpoints.load(resumed_from, encoder, optimizer)?;
        }
        let mut curve = Curve::read_until(&metrics, resumed_from)?;
        if resumed_from == 0 {
            curve.0.clear();
        }
        let steps = self.config.steps;
        for step in resumed_from..steps {
            if progress.stopped() {
                return Err(LearnError::Stopped { step });
            }
            let rate =
                learning_rate(self.config.learning_rate, step, self.config.warm_up_steps, steps);
            let parts = self.batch(step);
            let (grads, loss) = gradients(&encoder, &self.tracked, &parts, |encoder, part| {
                masked_loss(encoder, part, &self.tracked).0
            });
            if !loss.is_finite() {
                return Err(LearnError::Diverged { step, learning_rate: rate });
            }
            encoder = optimizer.step(rate, encoder, grads);
            let done = step + 1;
            let due = step == 0 || done.is_multiple_of(self.config.validate_every_steps);
            let validation = (due || done == steps).then(|| self.validate(&encoder));
            let tokens = parts.iter().map(|p| p.batch.tokens() as u64).sum();
            curve.0.push(CurvePoint { step: done, loss, validation, learning_rate: rate, tokens });
            progress.report("pretrain", done, steps, &format!("loss {loss:.4}"));
            if done.is_multiple_of(self.config.checkpoint_every_steps) || done == steps {
                curve.write(&metrics)?;
                checkpoints.save(done, &encoder, &optimizer)?;
            }
        }
        let model = self.finish(encoder);
        let weights_sha256 = save_model(&model, &self.config.out.join("model"))?;
        Ok((model, RunSummary { curve, weights_sha256, resumed_from }))
    }

    fn batch(&self, step: u64) -> Vec<Masked> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(step + 1);
        let drawn: Vec<&Sample> = (0..self.config.batch)
            .map(|_| &self.pool.train[rng.random_range(0..self.pool.train.len())])
            .collect();
        drawn
            .chunks(MICRO_BATCH)
            .map(|chunk| {
                let (share, dropout) = (self.config.mask_share, self.config.band_dropout);
                let batch = self.crops.batch(chunk, &mut rng);
                hide(&batch, share, dropout, &mut rng)
            })
            .collect()
    }

    fn validate(&self, encoder: &Encoder) -> f64 {
        use burn::module::Module;
        use rayon::prelude::*;
        let encoder = encoder.valid();
        let losses: Vec<(f64, f64)> = self
            .held_out
            .par_iter()
            .map_with(encoder, |encoder, part| {
                let (loss, weight) = masked_loss(encoder, part, &self.plain);
                (f64::from(loss.into_scalar::<f32>()), weight)
            })
            .collect();
        let weight: f64 = losses.iter().map(|l| l.1).sum();
        losses.iter().map(|(loss, w)| loss * w).sum::<f64>() / weight.max(1.0)
    }

    fn finish(&self, encoder: Encoder) -> Model {
        use burn::module::Module;
        let c = self.config;
        let stage = format!("masked, {} steps of {} series, seed {}", c.steps, c.batch, c.seed);
        Model {
            encoder: encoder.valid(),
            config: ModelConfig {
                schema: 2,
                size: c.size,
                normalisation: self.norm.clone(),
                queries: QueryGrid { count: 12, parts: 4 },
                max_dates: c.max_dates,
                patch_px: sizes(&c.patch_px),
                context: c.context.clone(),
                card: Card {
                    stages: vec![stage],
                    data: self.pool.data.clone(),
                    version: env!("CARGO_PKG_VERSION").into(),
                },
            },
        }
    }
}

/// The sizes in ascending order, each once.
fn sizes(drawn: &[usize]) -> Vec<usize> {
    let mut sizes = drawn.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use surco_core::Silent;

    const DOCUMENTED: &str = include_str!("../../../docs/config/pretrain.toml");

    fn pool() -> SeriesPool {
        let sample = |k: usize| {
            let value = |i: i32| 0.2 + 0.1 * ((i / 2) as f32 * 0.5 + (k % 3) as f32).sin();
            let days = (0..12).map(|d| 19_500 + d * 24).collect();
            Sample::series(days, (0..24).map(value).collect(), true)
        };
        let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
        SeriesPool {
            bands: vec![band(665.0), band(842.0)],
            window: (19_450, 19_815),
            train: (0..96).map(sample).collect(),
            validation: (0..9).map(sample).collect(),
            data: vec!["sines".into()],
        }
    }

    fn config(name: &str, steps: u64) -> PretrainConfig {
        let out =
            std::env::temp_dir().join(format!("surco-pretrain-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&out);
        PretrainConfig {
            out,
            steps,
            batch: 64,
            checkpoint_every_steps: 4,
            validate_every_steps: 4,
            warm_up_steps: 2,
            ..toml::from_str(DOCUMENTED).unwrap()
        }
    }

    #[test]
    fn the_documented_config_is_valid_and_a_misspelt_key_is_named() {
        let config: PretrainConfig = toml::from_str(DOCUMENTED).unwrap();
        config.check().unwrap();
        let wrong = DOCUMENTED.replace("mask_share", "mask_shar");
        let error = toml::from_str::<PretrainConfig>(&wrong).unwrap_err().to_string();
        assert!(
            error.contains("unknown field `mask_shar`") && error.contains("line 10"),
            "{error}"
        );
    }

    #[test]
    fn windows_and_patches_that_cannot_be_are_refused() {
        let refused = |window_px, patch_px| {
            let config =
                PretrainConfig { window_px, patch_px, ..toml::from_str(DOCUMENTED).unwrap() };
            config.check().unwrap_err().to_string()
        };
        assert!(refused(0, vec![1]).contains("window_px"));
        for wrong in [vec![], vec![0], vec![9]] {
            assert!(refused(16, wrong).contains("each 1 to 8"));
        }
        assert!(refused(4, vec![1, 8]).contains("each 1 to 4"));
    }

    #[test]
    fn a_stopped_run_goes_on_as_if_it_had_not_been_stopped() {
        struct StopAt(u64, std::sync::atomic::AtomicU64);
        impl Progress for StopAt {
            fn report(&self, _: &'static str, done: u64, _: u64, _: &str) {
                self.1.store(done, std::sync::atomic::Ordering::SeqCst);
            }
            fn stopped(&self) -> bool {
                self.1.load(std::sync::atomic::Ordering::SeqCst) >= self.0
            }
        }
        let device = Device::flex();
        let (whole, parted) = (config("whole", 10), config("parted", 10));
        let (_, want) = pretrain(&whole, &pool(), false, &device, &Silent).unwrap();
        let stop = StopAt(6, 0.into());
        let stopped = pretrain(&parted, &pool(), false, &device, &stop);
        assert!(matches!(stopped, Err(LearnError::Stopped { step: 6 })));
        assert!(matches!(
            pretrain(&parted, &pool(), false, &device, &Silent),
            Err(LearnError::Exists { .. })
        ));
        let (_, got) = pretrain(&parted, &pool(), true, &device, &Silent).unwrap();
        assert_eq!(got.resumed_from, 4, "the last checkpoint");
        assert_eq!(got.curve, want.curve);
        assert_eq!(got.weights_sha256, want.weights_sha256);
        for c in [whole, parted] {
            fs::remove_dir_all(c.out).unwrap();
        }
    }

    #[test]
    fn one_batch_can_be_learned_by_heart() {
        let config = config("overfit", 60);
        let (_, run) = pretrain(&config, &pool(), false, &Device::flex(), &Silent).unwrap();
        let (first, last) =
            (run.curve.mean_loss(false).unwrap(), run.curve.mean_loss(true).unwrap());
        assert!(last < 0.35 * first, "{first} → {last}");
        fs::remove_dir_all(config.out).unwrap();
    }
}
