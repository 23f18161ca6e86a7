//! Pre-training without labels.

mod config;

use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::Progress;
use surco_data::{BatchSpec, Normalisation, QueryGrid, Sample, SpectralBand};
use surco_net::{Card, Encoder, Model, ModelConfig, Policy, fresh, save_model};

use crate::LearnError;
use crate::crops::Crops;
use crate::masked::{Masked, hide, masked_loss};
use crate::run::{RunSummary, open_run};
use crate::speed::training_work;
use crate::trainer::{Objective, Recipe, Trainer, Work};

pub use config::PretrainConfig;

/// Fewest series to train on: batches of fewer would hold the same series twice.
const FEWEST_SERIES: usize = 64;

/// Series of the validation, at most.
const VALIDATION_SERIES: usize = 512;

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
/// `config.toml`, `metrics.jsonl`, `speed.jsonl`, `tensorboard/`, `checkpoints/`, and at the end `model/`.
///
/// The micro-batches of a step are shared between the devices, at least one; the first keeps the weights. A
/// step's batch and masks depend on the seed and the step alone, so a run that was stopped or killed
/// continues as if it had not been.
///
/// # Errors
/// [`LearnError`]: a bad config, too few series, a folder in use, a disk that refuses, a stop.
pub fn pretrain(
    config: &PretrainConfig,
    pool: &SeriesPool,
    resume: bool,
    devices: &[Device],
    progress: &dyn Progress,
) -> Result<(Model, RunSummary), LearnError> {
    config.check()?;
    config.precision.check(devices)?;
    if pool.train.len() < FEWEST_SERIES || pool.validation.is_empty() {
        return Err(LearnError::TooLittle {
            found: format!(
                "{} series to train on and {} to validate",
                pool.train.len(),
                pool.validation.len()
            ),
            expected: format!("at least {FEWEST_SERIES} and 1; raise `windows`"),
        });
    }
    open_run(&config.out, &toml_of(config)?, resume)?;
    let objective = HiddenDates::new(config, pool);
    let trainer = Trainer {
        objective: &objective,
        recipe: &recipe_of(config),
        devices,
        folder: Some(&config.out),
        progress,
    };
    let trained = trainer.run(fresh(config.size, config.seed, &devices[0]))?;
    let model = objective.model(trained.module);
    let weights_sha256 = save_model(&model, &config.out.join("model"))?;
    let summary = RunSummary {
        curve: trained.curve,
        throughput: trained.throughput,
        weights_sha256,
        resumed_from: trained.resumed_from,
    };
    Ok((model, summary))
}

fn recipe_of(config: &PretrainConfig) -> Recipe {
    Recipe {
        steps: config.steps,
        learning_rate: config.learning_rate,
        warm_up_steps: config.warm_up_steps,
        ema_decay: config.ema_decay,
        precision: config.precision,
        recompute: config.recompute,
        validate_every_steps: config.validate_every_steps,
        checkpoint_every_steps: config.checkpoint_every_steps,
    }
}

fn toml_of(config: &PretrainConfig) -> Result<String, LearnError> {
    toml::to_string(config).map_err(|e| LearnError::Config {
        key: "schema",
        value: config.schema.to_string(),
        remedy: e.to_string(),
    })
}

/// The masked pretext over a pool of series.
struct HiddenDates<'a> {
    config: &'a PretrainConfig,
    pool: &'a SeriesPool,
    norm: Normalisation,
    crops: Crops,
    held_out: Vec<Masked>,
}

impl<'a> HiddenDates<'a> {
    fn new(config: &'a PretrainConfig, pool: &'a SeriesPool) -> Self {
        let norm = Normalisation::measure(&pool.bands, &pool.train);
        let mut spec = BatchSpec::new(&pool.bands, &norm, pool.window);
        spec.max_dates = config.max_dates;
        spec.context.clone_from(&config.context);
        let (patch_px, window_px) = (config.patch_px.clone(), config.window_px);
        let crops = Crops { spec, patch_px, window_px };
        let mut objective = Self { config, pool, norm, crops, held_out: Vec::new() };
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ 0x5641_4C49);
        let count = pool.validation.len().min(VALIDATION_SERIES);
        let step = pool.validation.len() / count;
        let held: Vec<&Sample> = pool.validation.iter().step_by(step).take(count).collect();
        objective.held_out = objective.hidden(&held, &mut rng);
        objective
    }

    /// Micro-batches of samples, each of one patch size and hidden at random.
    fn hidden(&self, series: &[&Sample], rng: &mut ChaCha8Rng) -> Vec<Masked> {
        let (share, dropout) = (self.config.mask_share, self.config.band_dropout);
        series
            .chunks(self.config.micro_batch)
            .map(|chunk| {
                let batch = self.crops.batch(chunk, rng);
                hide(&batch, share, dropout, rng)
            })
            .collect()
    }

    fn model(&self, encoder: Encoder) -> Model {
        let c = self.config;
        let stage = format!("masked, {} steps of {} series, seed {}", c.steps, c.batch, c.seed);
        Model {
            encoder,
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

impl Objective for HiddenDates<'_> {
    type Module = Encoder;
    type Part = Masked;

    const STAGE: &'static str = "pretrain";

    fn parts(&self, step: u64) -> Vec<Masked> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(step + 1);
        let drawn: Vec<&Sample> = (0..self.config.batch)
            .map(|_| &self.pool.train[rng.random_range(0..self.pool.train.len())])
            .collect();
        self.hidden(&drawn, &mut rng)
    }

    fn work(&self, part: &Masked) -> Work {
        training_work(self.config.size, &part.batch.lengths)
    }

    fn with_policy(&self, encoder: Encoder, policy: Policy) -> Encoder {
        encoder.with_policy(policy)
    }

    fn loss(&self, encoder: &Encoder, part: &Masked, device: &Device) -> (Tensor<1>, f64) {
        masked_loss(encoder, part, device)
    }

    fn validate(&self, encoder: &Encoder, device: &Device) -> Option<f64> {
        use rayon::prelude::*;
        let losses: Vec<(f64, f64)> = self
            .held_out
            .par_iter()
            .map_with(encoder.clone(), |encoder, part| {
                let (loss, weight) = masked_loss(encoder, part, device);
                (f64::from(loss.into_scalar::<f32>()), weight)
            })
            .collect();
        let weight: f64 = losses.iter().map(|l| l.1).sum();
        Some(losses.iter().map(|(loss, w)| loss * w).sum::<f64>() / weight.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpeedPoint;
    use crate::events::steps_of;
    use crate::precision::Precision;
    use crate::step::{Lanes, gradients};
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::optim::GradientsParams;
    use std::fs;
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
        let first: Vec<&str> = DOCUMENTED.lines().take(6).collect();
        let plain: PretrainConfig = toml::from_str(&first.join("\n")).unwrap();
        assert_eq!(plain, config, "the defaults are as documented");
        let wrong = DOCUMENTED.replace("mask_share", "mask_shar");
        let error = toml::from_str::<PretrainConfig>(&wrong).unwrap_err().to_string();
        assert!(
            error.contains("unknown field `mask_shar`") && error.contains("line 14"),
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
        let device = [Device::flex()];
        let averaged = |name| PretrainConfig { ema_decay: 0.9, ..config(name, 10) };
        let (whole, parted) = (averaged("whole"), averaged("parted"));
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
        let read = |c: &PretrainConfig, file| fs::read_to_string(c.out.join(file)).unwrap();
        assert_eq!(read(&parted, "metrics.jsonl"), read(&whole, "metrics.jsonl"));
        let speeds = read(&parted, "speed.jsonl");
        let speeds: Vec<SpeedPoint> =
            speeds.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(speeds.iter().map(|s| s.step).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
        let events = parted.out.join("tensorboard/events.out.tfevents.surco");
        assert_eq!(steps_of(&events), (0..=10).collect::<Vec<_>>());
        for c in [whole, parted] {
            fs::remove_dir_all(c.out).unwrap();
        }
    }

    fn weights(encoder: &Encoder) -> Vec<f32> {
        struct All(Vec<f32>);
        impl ModuleVisitor for All {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.extend(param.val().into_data().iter::<f32>());
            }
        }
        let mut all = All(Vec::new());
        encoder.visit(&mut all);
        all.0
    }

    /// One step from the seed's weights `w` to `v`: the average, whose decay is 2/11 then, lies between, and
    /// the model holds it.
    #[test]
    fn the_average_is_what_is_handed_on() {
        let run = |name, ema_decay| {
            let config = PretrainConfig { ema_decay, ..config(name, 1) };
            let (model, run) =
                pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
            fs::remove_dir_all(config.out).unwrap();
            (weights(&model.encoder), run.curve.0[0].validation.unwrap())
        };
        let (plain, plain_loss) = run("plain", 0.0);
        let (averaged, averaged_loss) = run("averaged", 0.999);
        let start = weights(&fresh(surco_net::Size::Nano, 0, &Device::flex()));
        for ((w, v), a) in start.iter().zip(&plain).zip(&averaged) {
            let want = 2.0 / 11.0 * w + 9.0 / 11.0 * v;
            assert!((a - want).abs() < 1e-6, "{w} {v} {a}");
        }
        assert_ne!(plain, averaged);
        assert_ne!(plain_loss, averaged_loss, "validated too");
    }

    #[test]
    fn two_devices_learn_the_very_weights_of_one() {
        let run = |name, devices: &[Device]| {
            let config = config(name, 3);
            let (_, run) = pretrain(&config, &pool(), false, devices, &Silent).unwrap();
            fs::remove_dir_all(config.out).unwrap();
            run
        };
        let one = run("one", &[Device::flex()]);
        let two = run("two", &[Device::flex(), Device::flex()]);
        assert_eq!(one.weights_sha256, two.weights_sha256);
    }

    /// Gradients in the order of their weights.
    struct Flat<'a>(&'a GradientsParams, Vec<f32>);

    impl ModuleVisitor for Flat<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            // What a batch does not use, such as what is known of a place, has none.
            if let Some(gradient) = self.0.get::<D>(param.id) {
                self.1.extend(gradient.into_data().iter::<f32>());
            }
        }
    }

    /// bfloat16 has 8 bits of mantissa: gradients point the same way to a few degrees.
    #[test]
    fn sixteen_bits_teach_what_thirty_two_teach() {
        let (config, pool) = (config("narrow", 1), pool());
        let objective = HiddenDates::new(&config, &pool);
        let parts = objective.parts(0);
        let taught = |precision| {
            let lanes = Lanes::new(&[Device::flex()], precision, false);
            let encoder = fresh(config.size, 1, &Device::flex()).train().fork(&lanes.main());
            let summed = gradients(&encoder, &lanes, &parts, |encoder, part, device| {
                objective.loss(encoder, part, device)
            });
            let loss = summed.mean();
            let mut flat = Flat(&summed.gradients, Vec::new());
            encoder.visit(&mut flat);
            (loss, flat.1)
        };
        let (wide_loss, wide) = taught(Precision::F32);
        let (narrow_loss, narrow) = taught(Precision::Bf16);
        assert!((wide_loss - narrow_loss).abs() < 0.02 * wide_loss, "{wide_loss} {narrow_loss}");
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let cosine = dot(&wide, &narrow) / (dot(&wide, &wide) * dot(&narrow, &narrow)).sqrt();
        assert!(cosine > 0.99 && wide != narrow, "{cosine}");
    }

    #[test]
    fn activations_computed_again_teach_the_same_weights() {
        let run = |name, recompute| {
            let config = PretrainConfig { recompute, ..config(name, 2) };
            let (_, run) = pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
            fs::remove_dir_all(config.out).unwrap();
            run.weights_sha256
        };
        assert_eq!(run("kept", false), run("again", true));
    }

    #[test]
    fn one_batch_can_be_learned_by_heart() {
        let config = config("overfit", 60);
        let (_, run) = pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
        let (first, last) =
            (run.curve.mean_loss(false).unwrap(), run.curve.mean_loss(true).unwrap());
        assert!(last < 0.35 * first, "{first} → {last}");
        fs::remove_dir_all(config.out).unwrap();
    }
}
