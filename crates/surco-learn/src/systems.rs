//! Pre-training of the published systems by the trainer that pre-trains ours: the same series, checkpoints and records.

mod earthpt;
mod ofa;
mod shallow;
mod ubarn;

pub use shallow::{LabelledWindows, Protocol, ShallowConfig, UBarnClassifier, classify_windows};

use burn::tensor::{Device, Tensor};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use surco_core::Progress;
use surco_data::Sample;
use surco_net::{AnyModel, Card, Policy, SystemConfig, SystemModel};

use crate::LearnError;
use crate::precision::Precision;
use crate::pretext::PretextWeights;
use crate::pretrain::{
    FEWEST_SERIES, PretrainConfig, SeriesPool, System, batch_of, pretrain, recipe_of, toml_of,
    validation_of,
};
use crate::run::{RunSummary, open_run};
use crate::step::Weighed;
use crate::trainer::{Losses, Objective, Trainer, Work};

/// When a loss is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Training,
    Validation,
}

/// How a published system learns from series.
pub(crate) trait Lesson: Sync {
    /// What builds the system.
    type Config: SystemConfig;

    /// A micro-batch.
    type Part: Send + Sync;

    /// The system, not yet trained.
    fn config(&self) -> Self::Config;

    /// What of a series it can learn from, if anything.
    fn usable(&self, sample: &Sample) -> Option<Sample>;

    /// A micro-batch of usable series.
    fn part(&self, samples: &[&Sample], rng: &mut ChaCha8Rng) -> Self::Part;

    /// What it takes to learn from a micro-batch.
    fn work(&self, part: &Self::Part) -> Work;

    /// The same network, computed another way.
    fn with_policy(
        &self,
        net: <Self::Config as SystemConfig>::Net,
        policy: Policy,
    ) -> <Self::Config as SystemConfig>::Net;

    /// The mean loss of a micro-batch, one number, and what it is a mean over.
    fn loss(
        &self,
        net: &<Self::Config as SystemConfig>::Net,
        part: &Self::Part,
        phase: Phase,
        device: &Device,
    ) -> (Tensor<1>, f64);

    /// The network as it is used, with what is measured once its weights stand still; `train` are usable series.
    fn settled(
        &self,
        net: <Self::Config as SystemConfig>::Net,
        _train: &[Sample],
    ) -> <Self::Config as SystemConfig>::Net {
        net
    }
}

type Net<L> = <<L as Lesson>::Config as SystemConfig>::Net;

/// Pre-trains what `config.system` names and writes the run folder `config.out`, as [`pretrain`] does for ours.
///
/// # Errors
/// [`LearnError`]: a bad config, too few series, bands or windows that the system cannot read, a folder in use, a disk
/// that refuses, a stop.
pub fn pretrain_system(
    config: &PretrainConfig,
    pool: &SeriesPool,
    resume: bool,
    devices: &[Device],
    progress: &dyn Progress,
) -> Result<(AnyModel, RunSummary), LearnError> {
    let run = Run { config, pool, resume, devices, progress };
    match config.system {
        System::Surco => {
            let (model, summary) = pretrain(config, pool, resume, devices, progress)?;
            Ok((AnyModel::Surco(Box::new(model)), summary))
        }
        System::EarthPt => {
            let (model, summary) = run.learn(&earthpt::NextDate::new(config, pool)?)?;
            Ok((AnyModel::EarthPt(Box::new(model)), summary))
        }
        System::UBarn => {
            let (model, summary) = run.learn(&ubarn::SwappedDates::new(config, pool)?)?;
            Ok((AnyModel::UBarn(Box::new(model)), summary))
        }
        System::Ofa => {
            let (model, summary) = run.learn(&ofa::HiddenPatches::new(config, pool)?)?;
            Ok((AnyModel::Ofa(Box::new(model)), summary))
        }
    }
}

struct Run<'a> {
    config: &'a PretrainConfig,
    pool: &'a SeriesPool,
    resume: bool,
    devices: &'a [Device],
    progress: &'a dyn Progress,
}

impl Run<'_> {
    fn learn<L: Lesson>(
        &self,
        lesson: &L,
    ) -> Result<(SystemModel<L::Config>, RunSummary), LearnError>
    where
        Net<L>: Sync,
    {
        let Self { config, pool, devices, .. } = *self;
        config.check()?;
        if config.precision != Precision::F32 {
            return Err(LearnError::Config {
                key: "precision",
                value: format!("{:?}", config.precision).to_lowercase(),
                remedy: "published systems are trained in f32 here".into(),
            });
        }
        if config.pretext != PretextWeights::default() {
            return Err(LearnError::Config {
                key: "pretext",
                value: format!("{:?}", config.pretext),
                remedy: "published systems have their own: leave the key out".into(),
            });
        }
        let lessons = Lessons::new(lesson, config, pool);
        let (train, held) = (lessons.train.len(), lessons.held_out.len());
        if train < FEWEST_SERIES || held == 0 {
            return Err(LearnError::TooLittle {
                found: format!(
                    "{train} of {} series to train on that {} can read, and {} of {} to validate",
                    pool.train.len(),
                    L::Config::KIND,
                    lessons.validation,
                    pool.validation.len()
                ),
                expected: format!("at least {FEWEST_SERIES} and 1; raise `windows`"),
            });
        }
        open_run(&config.out, &toml_of(config)?, self.resume)?;
        let trainer = Trainer {
            objective: &lessons,
            recipe: &recipe_of(config),
            devices,
            folder: Some(&config.out),
            progress: self.progress,
        };
        let fresh = SystemModel::fresh(lesson.config(), config.seed, &devices[0]);
        let trained = trainer.run(fresh.net)?;
        let net = lesson.settled(trained.module, &lessons.train);
        let model = SystemModel { net, config: self.carded(fresh.config, train) };
        let weights_sha256 = model.save(&config.out.join("model"))?;
        let summary = RunSummary {
            curve: trained.curve,
            throughput: trained.throughput,
            weights_sha256,
            resumed_from: trained.resumed_from,
        };
        Ok((model, summary))
    }

    fn carded<C: SystemConfig>(&self, config: C, used: usize) -> C {
        let run = self.config;
        let stage = format!(
            "{}, {} steps of {} series, seed {}; {used} of {} series could be read",
            C::KIND,
            run.steps,
            run.batch,
            run.seed,
            self.pool.train.len()
        );
        config.with_card(Card {
            stages: vec![stage],
            data: self.pool.data.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        })
    }
}

/// A published system's lesson over a pool of series.
struct Lessons<'a, L: Lesson> {
    lesson: &'a L,
    config: &'a PretrainConfig,
    train: Vec<Sample>,
    /// Series to validate on.
    validation: usize,
    held_out: Vec<L::Part>,
}

impl<'a, L: Lesson> Lessons<'a, L> {
    fn new(lesson: &'a L, config: &'a PretrainConfig, pool: &SeriesPool) -> Self {
        let usable = |samples: &[Sample]| -> Vec<Sample> {
            samples.iter().filter_map(|sample| lesson.usable(sample)).collect()
        };
        let (train, validation) = (usable(&pool.train), usable(&pool.validation));
        let (held, mut rng) = validation_of(config, &validation);
        let held_out =
            held.chunks(config.micro_batch).map(|chunk| lesson.part(chunk, &mut rng)).collect();
        Self { lesson, config, train, validation: validation.len(), held_out }
    }
}

impl<L: Lesson> Objective for Lessons<'_, L>
where
    Net<L>: Sync,
{
    type Module = Net<L>;
    type Part = L::Part;

    const STAGE: &'static str = "pretrain";

    fn parts(&self, step: u64) -> Vec<L::Part> {
        let (drawn, mut rng) = batch_of(self.config, &self.train, step);
        drawn
            .chunks(self.config.micro_batch)
            .map(|chunk| self.lesson.part(chunk, &mut rng))
            .collect()
    }

    fn work(&self, part: &L::Part) -> Work {
        self.lesson.work(part)
    }

    fn with_policy(&self, net: Net<L>, policy: Policy) -> Net<L> {
        self.lesson.with_policy(net, policy)
    }

    fn loss(&self, net: &Net<L>, part: &L::Part, device: &Device) -> (Tensor<1>, f64) {
        self.lesson.loss(net, part, Phase::Training, device)
    }

    fn validate(&self, net: &Net<L>, device: &Device) -> Option<Losses> {
        let net = self.lesson.settled(net.clone(), &self.train);
        let whole = Weighed::whole(self.held_out.iter().map(|part| {
            let (loss, weight) = self.lesson.loss(&net, part, Phase::Validation, device);
            Weighed { loss: f64::from(loss.into_scalar::<f32>()) * weight, weight }
        }));
        (whole.weight > 0.0).then(|| whole.mean().into())
    }
}

/// So many of `count` dates at most, drawn at random, in order.
fn drawn_dates(count: usize, most: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut dates: Vec<usize> = (0..count).collect();
    while dates.len() > most {
        dates.remove(rng.random_range(0..dates.len()));
    }
    dates
}

#[cfg(test)]
mod tests;
