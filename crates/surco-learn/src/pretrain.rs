//! Pre-training without labels.

mod config;

use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::Progress;
use surco_data::{BatchSpec, Normalisation, Sample, SpectralBand};
use surco_net::{
    Card, Encoder, Forecaster, Model, ModelConfig, Policy, Sight, save_forecaster, save_model,
};

use crate::LearnError;
use crate::crops::Crops;
use crate::pretext::{
    LatentTargets, Learner, Maker, Masks, Pretext, PretextWeights, QUERIES, Targets, Task,
    calibrated,
};
use crate::run::{RunSummary, open_run};
use crate::speed::training_work;
use crate::step::Weighed;
use crate::trainer::{Losses, Objective, Recipe, Trainer, Work};

pub use config::{PretrainConfig, System};

/// Fewest series to train on: batches of fewer would hold the same series twice.
pub(crate) const FEWEST_SERIES: usize = 64;

/// Series of the validation, at most.
const VALIDATION_SERIES: usize = 512;

/// Marks the random numbers of the validation.
const VALIDATION_STREAM: u64 = 0x5641_4C49;

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

/// Pre-trains an encoder with the config's pretexts and writes the run folder `config.out`:
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
    if config.system != System::Surco {
        return Err(LearnError::Config {
            key: "system",
            value: format!("{:?}", config.system).to_lowercase(),
            remedy: "this trains ours alone; leave the key out".into(),
        });
    }
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
    let objective = Pretexts::new(config, pool);
    let trainer = Trainer {
        objective: &objective,
        recipe: &recipe_of(config),
        devices,
        folder: Some(&config.out),
        progress,
    };
    let taught = (config.pretext, config.latent_targets);
    let learner = Learner::fresh(config.size, config.seed, taught, &devices[0]);
    let trained = trainer.run(learner)?;
    let forecaster = objective.forecaster(&trained.module, &devices[0]);
    let model = objective.model(trained.module.encoder);
    let folder = config.out.join("model");
    let weights_sha256 = save_model(&model, &folder)?;
    if let Some(forecaster) = forecaster {
        save_forecaster(&forecaster, &weights_sha256, &folder)?;
    }
    let summary = RunSummary {
        curve: trained.curve,
        throughput: trained.throughput,
        weights_sha256,
        resumed_from: trained.resumed_from,
    };
    Ok((model, summary))
}

pub(crate) fn recipe_of(config: &PretrainConfig) -> Recipe {
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

pub(crate) fn toml_of(config: &PretrainConfig) -> Result<String, LearnError> {
    toml::to_string(config).map_err(|e| LearnError::Config {
        key: "schema",
        value: config.schema.to_string(),
        remedy: e.to_string(),
    })
}

/// The series of a step, drawn by the seed and the step alone, and what else of it is drawn by.
pub(crate) fn batch_of<'a>(
    config: &PretrainConfig,
    train: &'a [Sample],
    step: u64,
) -> (Vec<&'a Sample>, ChaCha8Rng) {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(step + 1);
    let drawn = (0..config.batch).map(|_| &train[rng.random_range(0..train.len())]).collect();
    (drawn, rng)
}

/// Series to validate on, spread over those held out, and what of them is drawn by.
pub(crate) fn validation_of<'a>(
    config: &PretrainConfig,
    held_out: &'a [Sample],
) -> (Vec<&'a Sample>, ChaCha8Rng) {
    let count = held_out.len().min(VALIDATION_SERIES);
    let step = held_out.len() / count.max(1);
    let spread = held_out.iter().step_by(step.max(1)).take(count).collect();
    (spread, ChaCha8Rng::seed_from_u64(config.seed ^ VALIDATION_STREAM))
}

/// The pretexts over a pool of series.
struct Pretexts<'a> {
    config: &'a PretrainConfig,
    pool: &'a SeriesPool,
    norm: Normalisation,
    maker: Maker,
    held_out: Vec<Part>,
}

/// A micro-batch, and what its pretext's mean counts for beside those of other pretexts.
struct Part {
    task: Task,
    scale: f64,
}

/// Micro-batches whose pretexts count by the number of their micro-batches, whatever each of them is a mean over. What
/// teaches nothing is dropped. With one pretext alone every scale is 1.
fn scaled(tasks: Vec<Task>) -> Vec<Part> {
    let tasks: Vec<Task> = tasks.into_iter().filter(|task| task.weight() > 0.0).collect();
    let rate = |pretext: Pretext| {
        let of = || tasks.iter().filter(|task| task.pretext() == pretext);
        of().count() as f64 / of().map(Task::weight).sum::<f64>()
    };
    let Some(first) = tasks.first().map(|task| rate(task.pretext())) else { return Vec::new() };
    let scales: Vec<f64> = tasks.iter().map(|task| rate(task.pretext()) / first).collect();
    tasks.into_iter().zip(scales).map(|(task, scale)| Part { task, scale }).collect()
}

impl<'a> Pretexts<'a> {
    fn new(config: &'a PretrainConfig, pool: &'a SeriesPool) -> Self {
        let norm = Normalisation::measure(&pool.bands, &pool.train);
        let mut spec = BatchSpec::new(&pool.bands, &norm, pool.window);
        spec.max_dates = config.max_dates;
        spec.context.clone_from(&config.context);
        let (patch_px, window_px) = (config.patch_px.clone(), config.window_px);
        let crops = Crops { spec, patch_px, window_px };
        let (share, band_dropout) = (config.mask_share, config.band_dropout);
        let masks = Masks { share, band_dropout, of: config.masks };
        let targets = Targets::new(config.latent_targets, config.seed);
        let maker = Maker { crops, masks, targets };
        let mut objective = Self { config, pool, norm, maker, held_out: Vec::new() };
        let (held, mut rng) = validation_of(config, &pool.validation);
        // All that is held out for every pretext, so that none depends on what else is drawn.
        let drawn = config.pretext.drawn();
        let tasks =
            drawn.iter().flat_map(|&(pretext, _)| objective.tasks(&held, |_| pretext, &mut rng));
        objective.held_out = scaled(tasks.collect());
        objective
    }

    /// Whether losses of several pretexts are to be told apart.
    fn mixes(&self) -> bool {
        self.config.pretext.drawn().len() > 1
    }

    /// Micro-batches of samples, each of one patch size and one pretext.
    fn tasks(
        &self,
        series: &[&Sample],
        pretext: impl Fn(&mut ChaCha8Rng) -> Pretext,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Task> {
        let chunks = series.chunks(self.config.micro_batch);
        chunks.map(|chunk| self.maker.task(pretext(rng), chunk, rng)).collect()
    }

    /// The head that forecasts, if there is one, with intervals measured on what is held out.
    fn forecaster(&self, learner: &Learner, device: &Device) -> Option<Forecaster> {
        let head = learner.forecast.clone()?;
        let held_out = self.held_out.iter().filter_map(|part| match &part.task {
            Task::Causal(task) => Some(task),
            Task::Masked(_) | Task::Latent(_) | Task::Invariance(_) => None,
        });
        Some(Forecaster { head, config: calibrated(learner, held_out, device) })
    }

    /// An encoder that was taught nothing but to look back looks back wherever it is used.
    fn sight(&self) -> Sight {
        if self.config.pretext.look_back() { Sight::Past } else { Sight::Whole }
    }

    fn model(&self, encoder: Encoder) -> Model {
        let c = self.config;
        let stage = format!(
            "{}, {} steps of {} series, seed {}",
            taught(c.pretext),
            c.steps,
            c.batch,
            c.seed
        );
        Model {
            encoder: encoder.with_sight(self.sight()),
            config: ModelConfig {
                schema: 2,
                size: c.size,
                normalisation: self.norm.clone(),
                queries: QUERIES,
                max_dates: c.max_dates,
                patch_px: sizes(&c.patch_px),
                context: c.context.clone(),
                sight: self.sight(),
                card: Card {
                    stages: vec![stage],
                    data: self.pool.data.clone(),
                    version: env!("CARGO_PKG_VERSION").into(),
                },
            },
        }
    }
}

/// Pretexts as a card names them, with their shares where there are several.
fn taught(pretext: PretextWeights) -> String {
    let drawn = pretext.drawn();
    let whole: f64 = drawn.iter().map(|(_, weight)| weight).sum();
    let name = |&(pretext, weight): &(Pretext, f64)| match drawn.len() {
        1 => pretext.name().into(),
        _ => format!("{} {:.0} %", pretext.name(), 100.0 * weight / whole),
    };
    drawn.iter().map(name).collect::<Vec<String>>().join(" + ")
}

/// The sizes in ascending order, each once.
fn sizes(drawn: &[usize]) -> Vec<usize> {
    let mut sizes = drawn.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

impl Objective for Pretexts<'_> {
    type Module = Learner;
    type Part = Part;

    const STAGE: &'static str = "pretrain";

    fn parts(&self, step: u64) -> Vec<Part> {
        let (drawn, mut rng) = batch_of(self.config, &self.pool.train, step);
        scaled(self.tasks(&drawn, |rng| self.config.pretext.draw(rng), &mut rng))
    }

    /// The encoder's; heads are small beside it.
    fn work(&self, part: &Part) -> Work {
        training_work(self.config.size, &part.task.lengths())
    }

    fn with_policy(&self, learner: Learner, policy: Policy) -> Learner {
        Learner { encoder: learner.encoder.with_policy(policy), ..learner }
    }

    fn loss(&self, learner: &Learner, part: &Part, device: &Device) -> (Tensor<1>, f64) {
        (part.task.loss(learner, device), part.task.weight() * part.scale)
    }

    fn aimed(&self, parts: Vec<Part>, average: &Learner, device: &Device) -> Vec<Part> {
        use rayon::prelude::*;
        if self.config.latent_targets == LatentTargets::Random {
            return parts;
        }
        let aimed = |average: &mut Learner, part: Part| Part {
            task: part.task.aimed(average, device),
            ..part
        };
        parts.into_par_iter().map_with(average.clone(), aimed).collect()
    }

    fn pretext(&self, part: &Part) -> Option<&'static str> {
        self.mixes().then(|| part.task.pretext().name())
    }

    /// Pretexts count by their weights in the config. Where targets are those of an average, it is the average that is validated.
    fn validate(&self, learner: &Learner, device: &Device) -> Option<Losses> {
        use rayon::prelude::*;
        let losses: Vec<f64> = self
            .held_out
            .par_iter()
            .map_with(learner.clone(), |learner, part| {
                let task = part.task.clone().aimed(learner, device);
                f64::from(task.loss(learner, device).into_scalar::<f32>())
            })
            .collect();
        let mean = |pretext: Pretext| {
            let parts = self.held_out.iter().zip(&losses);
            let of = Weighed::whole(parts.filter(|(part, _)| part.task.pretext() == pretext).map(
                |(part, loss)| {
                    let weight = part.task.weight();
                    Weighed { loss: loss * weight, weight }
                },
            ));
            (of.weight > 0.0).then(|| of.mean())
        };
        let drawn = self.config.pretext.drawn();
        let whole: f64 = drawn.iter().map(|(_, weight)| weight).sum();
        let means: Vec<_> = drawn.iter().map(|&(p, weight)| (p, mean(p), weight / whole)).collect();
        let named = means.iter().filter_map(|&(p, mean, _)| Some((p.name(), mean?)));
        Some(Losses {
            mixed: means.iter().map(|(_, mean, share)| mean.unwrap_or(0.0) * share).sum(),
            of_pretexts: named.filter(|_| self.mixes()).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
