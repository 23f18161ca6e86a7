//! Meta-training: learning an embedding in which a few examples are enough.
//!
//! An episode draws a few classes, a support and a query set from different places. Some methods solve it from the
//! embedding in closed form, and gradients flow through the solution; others learn the support by a few steps of gradients, of
//! the head alone or of all weights, and the encoder learns to be a good beginning. A share of the episodes do without some
//! bands, the same for support and query, as if seen by another sensor.
//!
//! Input: labelled series of one or more tasks. Output: the encoder, its curve. Methods have a file each, with their
//! paper.

mod anil;
mod fomaml;
mod images;
mod inner;
mod maml;
mod network;
mod propagation;
mod prototypes;
mod reptile;
mod ridge;
mod solve;

pub use fomaml::InnerSteps;
pub use images::{ImageTask, LabelledImages, MeteorTraining};

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData, activation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_core::Progress;
use surco_data::{Batch, Sample, SpectralBand};
use surco_net::{Encoder, EncoderInput, Model, ModelConfig, Policy};

use self::inner::Inner;
use self::network::{Labelled, flat, stand_in};
use crate::LearnError;
use crate::headed::{Headed, cross_entropy};
use crate::precision::Precision;
use crate::pretext::hidden_bands;
use crate::run::Curve;
use crate::speed::training_work;
use crate::trainer::{Objective, Recipe, Trainer, Work};

/// Steps between checkpoints, where there is a run folder.
const CHECKPOINT_EVERY: u64 = 20;

/// How episodes are solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetaMethod {
    /// The nearest class mean (Snell et al. 2017).
    #[default]
    Prototypes,
    /// Ridge regression in closed form, R2-D2 (Bertinetto et al. 2019).
    Ridge,
    /// Labels spread over a graph of support and query, TPN (Liu et al. 2019).
    Propagation,
    /// A few steps of all weights, looked through (Finn et al. 2017).
    Maml,
    /// The same to the first order.
    Fomaml,
    /// A few steps of the head alone, looked through (Raghu et al. 2020).
    Anil,
    /// Towards where a few steps on a task lead (Nichol et al. 2018).
    Reptile,
}

impl MetaMethod {
    fn name(self) -> &'static str {
        match self {
            Self::Prototypes => "prototypes",
            Self::Ridge => "ridge",
            Self::Propagation => "propagation",
            Self::Maml => "maml",
            Self::Fomaml => "fomaml",
            Self::Anil => "anil",
            Self::Reptile => "reptile",
        }
    }

    /// Whether it learns the support by steps of gradients.
    fn by_gradients(self) -> bool {
        matches!(self, Self::Maml | Self::Fomaml | Self::Anil | Self::Reptile)
    }
}

/// What meta-training depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetaConfig {
    /// How episodes are solved.
    pub method: MetaMethod,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Episodes a step.
    pub episodes: usize,
    /// Classes an episode, fewer where a task has fewer.
    pub ways: usize,
    /// Support examples a class.
    pub shots: usize,
    /// Query examples a class.
    pub queries: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of the inner loop, of methods by gradients.
    pub inner_steps: usize,
    /// Their rate.
    pub inner_rate: f64,
    /// Share of episodes that do without some bands.
    pub band_dropout: f64,
    /// Seed of the episodes.
    pub seed: u64,
    /// Run folder for records and checkpoints, from which a run goes on; a run without one leaves nothing.
    pub out: Option<PathBuf>,
}

impl Default for MetaConfig {
    fn default() -> Self {
        Self {
            method: MetaMethod::default(),
            steps: 60,
            episodes: 2,
            ways: 6,
            shots: 3,
            queries: 5,
            learning_rate: 3e-4,
            inner_steps: 5,
            inner_rate: 0.03,
            band_dropout: 0.5,
            seed: 0,
            out: None,
        }
    }
}

/// A labelled region and season to draw episodes from.
#[derive(Clone, Debug)]
pub struct MetaTask {
    /// Its name, for the model card.
    pub name: String,
    /// Bands of its series.
    pub bands: Vec<SpectralBand>,
    /// Window of days.
    pub window: (i32, i32),
    /// Its series.
    pub samples: Vec<Sample>,
    /// Class of each.
    pub classes: Vec<usize>,
    /// Place of each: support and query of a class share no place where it has more than one.
    pub places: Vec<u64>,
}

struct Drawn {
    /// Support, by class, and queries: apart, or as one where they are embedded together.
    batches: Vec<Batch>,
    ways: usize,
    support: usize,
    query_class: Vec<i32>,
}

/// Meta-trains a model over episodes of the tasks.
///
/// The episodes of a step are shared between the devices, at least one. With a run folder, the run goes on from its
/// last checkpoint; see [`crate::open_run`].
///
/// # Errors
/// [`LearnError::TooLittle`] if no task has two classes with enough examples,
/// [`LearnError::Stopped`] on a stop, [`LearnError::Io`] if the run folder refuses.
pub fn meta_train(
    model: Model,
    config: &MetaConfig,
    tasks: &[MetaTask],
    devices: &[Device],
    progress: &dyn Progress,
) -> Result<(Model, Curve), LearnError> {
    if config.inner_steps == 0 || !(config.inner_rate > 0.0 && config.inner_rate <= 1.0) {
        return Err(LearnError::Config {
            key: "inner_steps",
            value: format!("{} at inner_rate {}", config.inner_steps, config.inner_rate),
            remedy: "expected at least 1 step at a rate above 0, at most 1".into(),
        });
    }
    let tasks: Vec<Members<'_>> = tasks.iter().map(|t| Members::of(t, config)).collect();
    let tasks: Vec<&Members<'_>> = tasks.iter().filter(|t| t.by_class.len() >= 2).collect();
    if tasks.is_empty() {
        return Err(LearnError::TooLittle {
            found: "no task with two classes of enough examples".into(),
            expected: format!(
                "two classes with {} examples each; lower `shots` or `queries`",
                config.shots + config.queries
            ),
        });
    }
    let trainer = Trainer {
        objective: &Episodes { config, model: &model.config, tasks: &tasks },
        recipe: &recipe_of(config),
        devices,
        folder: config.out.as_deref(),
        progress,
    };
    let trained = trainer.run(model.encoder)?;
    let mut model = Model { encoder: trained.module, config: model.config };
    model.config.card.stages.push(format!(
        "episodes solved by {}, {} steps of {}, seed {}",
        config.method.name(),
        config.steps,
        config.episodes,
        config.seed
    ));
    model.config.card.data.extend(tasks.iter().map(|t| t.task.name.clone()));
    Ok((model, trained.curve))
}

fn recipe_of(config: &MetaConfig) -> Recipe {
    Recipe {
        steps: config.steps,
        learning_rate: config.learning_rate,
        warm_up_steps: config.steps / 10 + 1,
        ema_decay: 0.0,
        precision: Precision::F32,
        recompute: false,
        validate_every_steps: config.steps.max(1),
        checkpoint_every_steps: CHECKPOINT_EVERY,
    }
}

/// Episodes drawn from tasks.
struct Episodes<'a> {
    config: &'a MetaConfig,
    model: &'a ModelConfig,
    tasks: &'a [&'a Members<'a>],
}

impl Objective for Episodes<'_> {
    type Module = Encoder;
    type Part = Drawn;

    const STAGE: &'static str = "meta-train";

    fn parts(&self, step: u64) -> Vec<Drawn> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(step + 1);
        (0..self.config.episodes)
            .map(|_| {
                let task = self.tasks[rng.random_range(0..self.tasks.len())];
                task.draw(self.config, self.model, &mut rng)
            })
            .collect()
    }

    /// Of one pass over all samples; what an inner loop needs more is not told apart.
    fn work(&self, episode: &Drawn) -> Work {
        let lengths = episode.batches.iter().flat_map(|batch| batch.lengths.iter().copied());
        training_work(self.model.size, &lengths.collect::<Vec<usize>>())
    }

    fn with_policy(&self, encoder: Encoder, policy: Policy) -> Encoder {
        encoder.with_policy(policy)
    }

    /// Each episode counts the same, whatever its number of queries.
    fn loss(&self, encoder: &Encoder, episode: &Drawn, device: &Device) -> (Tensor<1>, f64) {
        let closed = |logits: fn(&Solved<'_>) -> Tensor<2>| {
            let solved = Solved::new(encoder, episode, device);
            cross_entropy(activation::log_softmax(logits(&solved), 1), solved.classes)
        };
        let loss = match self.config.method {
            MetaMethod::Prototypes => closed(prototypes::logits),
            MetaMethod::Ridge => closed(ridge::logits),
            MetaMethod::Propagation => closed(propagation::logits),
            MetaMethod::Maml | MetaMethod::Fomaml | MetaMethod::Anil | MetaMethod::Reptile => {
                self.by_gradients(encoder, episode, device)
            }
        };
        (loss, 1.0)
    }

    fn validate(&self, _encoder: &Encoder, _device: &Device) -> Option<f64> {
        None
    }
}

impl Episodes<'_> {
    /// A loss whose gradient is the direction of a method with an inner loop.
    fn by_gradients(&self, encoder: &Encoder, episode: &Drawn, device: &Device) -> Tensor<1> {
        let width = self.model.queries.parts * encoder.width();
        let frozen = flat(encoder).len();
        let network = Headed::new(encoder.clone(), (width, episode.ways), device);
        let shots = episode.support / episode.ways;
        let support_class: Vec<i32> = (0..episode.support).map(|i| (i / shots) as i32).collect();
        let half = |batch, classes| Labelled { network: &network, batch, classes, device };
        let support = half(&episode.batches[0], &support_class);
        let query = half(&episode.batches[1], &episode.query_class);
        let MetaConfig { inner_steps: steps, inner_rate, .. } = *self.config;
        if self.config.method == MetaMethod::Fomaml {
            let steps = InnerSteps { count: steps, rate: inner_rate };
            return query.loss(&fomaml::adapted(&network, steps, |here| support.loss(here)));
        }
        let start = flat(&network);
        let inner = Inner { rates: vec![inner_rate; start.len()], steps };
        let outer = match self.config.method {
            MetaMethod::Maml => maml::outer(&support, &query, &start, &inner),
            MetaMethod::Anil => anil::outer(&support, &query, &start, (&inner, frozen)),
            _ => reptile::outer(&support, &start, &inner),
        };
        stand_in(encoder, &outer.gradient, outer.loss, device)
    }
}

struct Members<'a> {
    task: &'a MetaTask,
    by_class: Vec<Vec<usize>>,
}

impl<'a> Members<'a> {
    fn of(task: &'a MetaTask, config: &MetaConfig) -> Self {
        let classes = task.classes.iter().max().map_or(0, |&m| m + 1);
        let mut by_class = vec![Vec::new(); classes];
        for (i, &class) in task.classes.iter().enumerate() {
            by_class[class].push(i);
        }
        by_class.retain(|members| members.len() >= config.shots + config.queries);
        Self { task, by_class }
    }

    fn draw(&self, config: &MetaConfig, model: &ModelConfig, rng: &mut ChaCha8Rng) -> Drawn {
        let mut order: Vec<usize> = (0..self.by_class.len()).collect();
        shuffle(&mut order, rng);
        let ways = config.ways.min(order.len());
        let (mut support, mut query, mut query_class) = (Vec::new(), Vec::new(), Vec::new());
        for (way, &class) in order[..ways].iter().enumerate() {
            let (s, q) = self.split(&self.by_class[class], config, rng);
            support.extend(s);
            query_class.extend(q.iter().map(|_| way as i32));
            query.extend(q);
        }
        let spec = model.spec(&self.task.bands, self.task.window);
        let hidden = hidden_bands(self.task.bands.len(), config.band_dropout, rng);
        let batch_of = |chosen: &[usize]| {
            let chosen: Vec<&Sample> = chosen.iter().map(|&i| &self.task.samples[i]).collect();
            let mut batch = Batch::new(&chosen, &spec);
            (0..batch.len()).for_each(|i| batch.hide_bands(i, &hidden));
            batch
        };
        let batches = if config.method.by_gradients() {
            vec![batch_of(&support), batch_of(&query)]
        } else {
            vec![batch_of(&[support.as_slice(), &query].concat())]
        };
        Drawn { batches, ways, support: support.len(), query_class }
    }

    /// Support and query of one class, from different places where the class has more than one.
    fn split(
        &self,
        members: &[usize],
        config: &MetaConfig,
        rng: &mut ChaCha8Rng,
    ) -> (Vec<usize>, Vec<usize>) {
        let mut members = members.to_vec();
        shuffle(&mut members, rng);
        let support = members[..config.shots].to_vec();
        let taken: Vec<u64> = support.iter().map(|&i| self.task.places[i]).collect();
        let (apart, near): (Vec<usize>, Vec<usize>) =
            members[config.shots..].iter().partition(|&&i| !taken.contains(&self.task.places[i]));
        let query = apart.into_iter().chain(near).take(config.queries).collect();
        (support, query)
    }
}

fn shuffle(items: &mut [usize], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}

/// An episode as a method sees it: support rows by class, then queries.
struct Solved<'a> {
    /// `[support, d]`
    support: Tensor<2>,
    /// `[query, d]`
    query: Tensor<2>,
    /// Classes.
    ways: usize,
    /// Support rows a class.
    shots: usize,
    classes: &'a [i32],
}

impl<'a> Solved<'a> {
    fn new(encoder: &Encoder, episode: &'a Drawn, device: &Device) -> Self {
        let embedded = encoder.embed(&EncoderInput::new(&episode.batches[0], device));
        let [total, _] = embedded.dims();
        Self {
            support: embedded.clone().narrow(0, 0, episode.support),
            query: embedded.narrow(0, episode.support, total - episode.support),
            ways: episode.ways,
            shots: episode.support / episode.ways,
            classes: &episode.query_class,
        }
    }

    /// Classes of the support, one hot, `[support, class]`.
    fn one_hot(&self) -> Tensor<2> {
        let n = self.ways * self.shots;
        let hot = |i: usize| f32::from(u8::from(i / self.ways / self.shots == i % self.ways));
        let values: Vec<f32> = (0..n * self.ways).map(hot).collect();
        Tensor::from_data(TensorData::new(values, [n, self.ways]), &self.support.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use surco_core::Silent;
    use surco_data::{Normalisation, QueryGrid};
    use surco_net::{Card, Size, fresh};

    /// An episode of given embeddings; queries are of the first class.
    pub(super) fn by_hand(
        support: &[[f32; 2]],
        query: &[[f32; 2]],
        ways: usize,
    ) -> Solved<'static> {
        let tensor = |rows: &[[f32; 2]]| {
            let values: Vec<f32> = rows.concat();
            Tensor::<2>::from_data(TensorData::new(values, [rows.len(), 2]), &Device::flex())
        };
        let (support, query) = (tensor(support), tensor(query));
        let shots = support.dims()[0] / ways;
        Solved { support, query, ways, shots, classes: &[0] }
    }

    pub(super) fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn task() -> MetaTask {
        let sample = |i: usize| {
            let value = |v: i32| 0.3 + 0.1 * ((v / 2) as f32 * 0.7 + (i % 3) as f32 * 2.0).sin();
            let days = (0..10).map(|d| d * 30).collect();
            Sample::series(days, (0..20).map(value).collect(), true)
        };
        let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
        MetaTask {
            name: "sines".into(),
            bands: vec![band(665.0), band(842.0)],
            window: (0, 365),
            samples: (0..90).map(sample).collect(),
            classes: (0..90).map(|i| i % 3).collect(),
            places: (0..90).map(|i| i / 9).collect(),
        }
    }

    fn model(task: &MetaTask) -> Model {
        Model {
            encoder: fresh(Size::Nano, 2, &Device::flex()),
            config: ModelConfig {
                schema: 2,
                size: Size::Nano,
                normalisation: Normalisation::measure(&task.bands, &task.samples),
                queries: QueryGrid { count: 4, parts: 2 },
                max_dates: 12,
                patch_px: vec![1],
                context: Vec::new(),
                sight: Default::default(),
                card: Card::default(),
            },
        }
    }

    #[test]
    fn episodes_of_separable_classes_are_learned_and_the_seed_decides_the_run() {
        let closed = [MetaMethod::Prototypes, MetaMethod::Ridge, MetaMethod::Propagation];
        let steps = [MetaMethod::Maml, MetaMethod::Fomaml, MetaMethod::Anil, MetaMethod::Reptile];
        closed.into_iter().chain(steps).for_each(learns);
    }

    fn learns(method: MetaMethod) {
        let task = task();
        let config =
            MetaConfig { method, steps: 12, ways: 3, learning_rate: 1e-3, ..MetaConfig::default() };
        let run = || {
            let (_, curve) = meta_train(
                model(&task),
                &config,
                std::slice::from_ref(&task),
                &[Device::flex()],
                &Silent,
            )
            .unwrap();
            curve
        };
        let curve = run();
        let (first, last) = (curve.0[0].loss, curve.0[11].loss);
        assert!(last < 0.5 * first || last < 0.01, "{method:?}: {first} → {last}");
        assert_eq!(curve, run());
    }

    #[test]
    fn a_stopped_run_goes_on_as_if_it_had_not_been_stopped() {
        struct StopAfter(u64, std::sync::atomic::AtomicU64);
        impl Progress for StopAfter {
            fn report(&self, _: &'static str, done: u64, _: u64, _: &str) {
                self.1.store(done, std::sync::atomic::Ordering::SeqCst);
            }
            fn stopped(&self) -> bool {
                self.1.load(std::sync::atomic::Ordering::SeqCst) >= self.0
            }
        }
        let (task, folder) = (task(), tempfile::tempdir().unwrap());
        let at = |name: &str| MetaConfig {
            steps: 22,
            ways: 3,
            out: Some(folder.path().join(name)),
            ..MetaConfig::default()
        };
        let run = |config: &MetaConfig, progress: &dyn Progress| {
            let tasks = std::slice::from_ref(&task);
            meta_train(model(&task), config, tasks, &[Device::flex()], progress)
        };
        let (whole, parted) = (at("whole"), at("parted"));
        let (_, want) = run(&whole, &Silent).unwrap();
        let stopped = run(&parted, &StopAfter(21, 0.into()));
        assert!(matches!(stopped, Err(LearnError::Stopped { step: 21 })));
        struct CountFrom(std::sync::atomic::AtomicU64);
        impl Progress for CountFrom {
            fn report(&self, _: &'static str, done: u64, _: u64, _: &str) {
                self.0.fetch_min(done, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let from = CountFrom(u64::MAX.into());
        let (_, got) = run(&parted, &from).unwrap();
        assert_eq!(from.0.into_inner(), 21, "the step after the checkpoint");
        assert_eq!(got, want);
    }

    #[test]
    fn support_and_query_of_a_class_share_no_place() {
        let task = task();
        let config = MetaConfig::default();
        let members = Members::of(&task, &config);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..20 {
            let (support, query) = members.split(&members.by_class[0], &config, &mut rng);
            assert_eq!((support.len(), query.len()), (config.shots, config.queries));
            for s in &support {
                assert!(query.iter().all(|q| task.places[*q] != task.places[*s]));
            }
        }
    }

    #[test]
    fn a_task_with_too_few_examples_is_refused() {
        let mut task = task();
        task.samples.truncate(6);
        task.classes.truncate(6);
        let refused =
            meta_train(model(&task), &MetaConfig::default(), &[task], &[Device::flex()], &Silent);
        assert!(matches!(refused, Err(LearnError::TooLittle { .. })));
    }
}
