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
mod body;
mod draw;
mod fomaml;
mod heads;
mod images;
mod inner;
mod learner;
mod lens;
mod lora;
mod maml;
mod meta_sgd;
mod meteor;
mod meteor_learner;
mod network;
mod propagation;
mod prototypes;
mod reptile;
mod ridge;
mod solve;
mod stepwise;
mod taught;
mod timl;

pub(crate) use fomaml::InnerSteps;
pub use heads::Heads;
pub(crate) use images::{ImageTask, LabelledImages};
pub use learner::{AnyLearner, FewLabels, Learning, MetaLearner};
pub use lens::{EmbeddedTask, Lens, LensTrained, meta_train_lens};
pub use lora::Lora;
pub use meteor::{ImagePlaces, MeteorMeta, MeteorTrained, meta_train_meteor};
pub use meteor_learner::{MeteorLearner, MeteorLearning};
pub use timl::TaskEncoder;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData, activation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_core::Progress;
use surco_data::{Normalisation, Sample, SpectralBand};
use surco_net::{Card, Encoder, EncoderInput, Model, ModelConfig, Policy, Size, fresh, save_model};

use self::draw::{Counts, Drawn, Members, Whole};
use self::taught::Taught;
use crate::LearnError;
use crate::headed::cross_entropy;
use crate::precision::Precision;
use crate::pretext::QUERIES;
use crate::run::Curve;
use crate::speed::training_work;
use crate::trainer::{Losses, Objective, Recipe, Trainer, Work};

/// Steps between checkpoints, where there is a run folder.
const CHECKPOINT_EVERY: u64 = 20;

/// Most dates of a series that a model with random weights is shown.
const MOST_DATES: usize = 24;

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
    /// As MAML, the rates of the steps learned too (Li et al. 2017).
    #[serde(rename = "meta_sgd")]
    MetaSgd,
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
            Self::MetaSgd => "meta_sgd",
        }
    }

    /// How it solves an episode from embeddings; `None` if it learns the support by steps of gradients.
    fn in_closed_form(self) -> Option<Logits> {
        match self {
            Self::Prototypes => Some(prototypes::logits),
            Self::Ridge => Some(ridge::logits),
            Self::Propagation => Some(propagation::logits),
            Self::Maml | Self::Fomaml | Self::Anil | Self::Reptile | Self::MetaSgd => None,
        }
    }
}

/// Logits of an episode's queries, `[query, class]`.
type Logits = fn(&Solved<'_>) -> Tensor<2>;

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
    /// Rank of the change of each matrix of the encoder that steps move in the stead of all weights; 0 for none.
    pub lora_rank: usize,
    /// Whether the place and season of a task scale and shift what the encoder says of its samples, of methods by gradients.
    pub task_informed: bool,
    /// Which classes a head tells apart, of methods by gradients.
    pub heads: Heads,
    /// Steps by which the trained model learns a task, of methods by gradients.
    pub adapt_steps: usize,
    /// Most labels of such a step.
    pub adapt_batch: usize,
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
            lora_rank: 0,
            task_informed: false,
            heads: Heads::default(),
            adapt_steps: 60,
            adapt_batch: 16,
            band_dropout: 0.5,
            seed: 0,
            out: None,
        }
    }
}

impl MetaConfig {
    fn check(&self, encoder: &Encoder) -> Result<(), LearnError> {
        let refuse = |key, value: String, remedy: &str| {
            Err(LearnError::Config { key, value, remedy: remedy.into() })
        };
        check_inner(InnerSteps { count: self.inner_steps, rate: self.inner_rate })?;
        check_adapt(self.adapt_steps, self.adapt_batch)?;
        if let Some(problem) = self.lora().and_then(|lora| lora.problem(self.method, encoder)) {
            let remedy = format!("{problem}; leave the key out, or choose another method or rank");
            return refuse("lora_rank", self.lora_rank.to_string(), &remedy);
        }
        if self.task_informed && self.method.in_closed_form().is_some() {
            let remedy = "methods in closed form are told of no task; leave the key out, or choose a method by inner steps";
            return refuse("task_informed", "true".into(), remedy);
        }
        if self.heads != Heads::Together && self.method.in_closed_form().is_some() {
            let remedy = "methods in closed form tell all classes apart at once; leave the key out, or choose a method by inner steps";
            return refuse("heads", self.heads.name().into(), remedy);
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        Counts { shots: self.shots, queries: self.queries }
    }

    /// The change of low rank that steps move, if they do not move all weights.
    fn lora(&self) -> Option<Lora> {
        (self.lora_rank > 0).then_some(Lora { rank: self.lora_rank, seed: self.seed })
    }

    /// The method as a card tells it.
    fn told(&self) -> String {
        let heads = (self.heads != Heads::Together).then(|| self.heads.name().to_owned());
        let lora = self.lora().map(|lora| format!("LoRA of rank {}", lora.rank));
        let informed = self.task_informed.then(|| "task-informed".to_owned());
        let besides: Vec<String> = heads.into_iter().chain(lora).chain(informed).collect();
        match besides.as_slice() {
            [] => self.method.name().into(),
            _ => format!("{} ({})", self.method.name(), besides.join(", ")),
        }
    }
}

/// Fails on steps on a support that cannot be taken.
fn check_inner(steps: InnerSteps) -> Result<(), LearnError> {
    if steps.count > 0 && steps.rate > 0.0 && steps.rate <= 1.0 {
        return Ok(());
    }
    Err(LearnError::Config {
        key: "inner_steps",
        value: format!("{} at inner_rate {}", steps.count, steps.rate),
        remedy: "expected at least 1 step at a rate above 0, at most 1".into(),
    })
}

/// Fails on steps that learn no task.
fn check_adapt(steps: usize, batch: usize) -> Result<(), LearnError> {
    if steps > 0 && batch > 0 {
        return Ok(());
    }
    Err(LearnError::Config {
        key: "adapt_steps",
        value: format!("{steps} of adapt_batch {batch}"),
        remedy: "expected at least 1 step of at least 1 label".into(),
    })
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

/// What meta-training gave.
#[derive(Clone, Debug)]
pub struct MetaTrained {
    /// The trained model.
    pub model: Model,
    /// Loss by step.
    pub curve: Curve,
    /// How the model learns a task, of methods by gradients.
    pub learning: Option<Learning>,
    /// What tells of tasks, if they are told of.
    pub task_encoder: Option<TaskEncoder>,
}

impl MetaTrained {
    /// Writes a model folder, with how the model learns a task; gives the SHA-256 of the weights.
    ///
    /// # Errors
    /// [`LearnError::Weights`] or [`LearnError::Io`] if the disk refuses.
    pub fn save(&self, folder: &Path) -> Result<String, LearnError> {
        let weights = save_model(&self.model, folder)?;
        if let Some(learning) = &self.learning {
            learning.save(folder, &weights, self.task_encoder.as_ref())?;
        }
        Ok(weights)
    }
}

/// A model with random weights to meta-train, whose normalisation is measured on the tasks.
#[must_use]
pub fn untaught(size: Size, seed: u64, tasks: &[MetaTask], device: &Device) -> Model {
    let sets = tasks.iter().map(|t| (t.bands.as_slice(), t.samples.as_slice()));
    Model {
        encoder: fresh(size, seed, device),
        config: ModelConfig {
            schema: 2,
            size,
            normalisation: Normalisation::over(sets),
            queries: QUERIES,
            max_dates: MOST_DATES,
            patch_px: vec![1],
            context: Vec::new(),
            sight: Default::default(),
            card: Card {
                stages: vec![format!("random weights, seed {seed}")],
                version: env!("CARGO_PKG_VERSION").into(),
                ..Card::default()
            },
        },
    }
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
) -> Result<MetaTrained, LearnError> {
    config.check(&model.encoder)?;
    let tasks: Vec<Members<'_>> = tasks.iter().map(|t| Members::of(t, config)).collect();
    let tasks: Vec<&Members<'_>> = tasks.iter().filter(|t| t.by_class.len() >= 2).collect();
    if tasks.is_empty() {
        return Err(too_little(config.counts()));
    }
    let trainer = Trainer {
        objective: &Episodes { config, model: &model.config, tasks: &tasks },
        recipe: &recipe_of(config.steps, config.learning_rate),
        devices,
        folder: config.out.as_deref(),
        progress,
    };
    let parts = model.config.queries.parts;
    let taught = Taught::new(model.encoder, parts, config, &devices[0]);
    let trained = trainer.run(taught)?;
    let learning = Learning::of(config, trained.module.rates());
    let Taught { encoder, task: task_encoder, .. } = trained.module;
    let mut model = Model { encoder, config: model.config };
    model.config.card.stages.push(format!(
        "episodes solved by {}, {} steps of {}, seed {}",
        config.told(),
        config.steps,
        config.episodes,
        config.seed
    ));
    model.config.card.data.extend(tasks.iter().map(|t| t.task.name.clone()));
    Ok(MetaTrained { model, curve: trained.curve, learning, task_encoder })
}

/// What is said where no task can be drawn from.
fn too_little(counts: Counts) -> LearnError {
    LearnError::TooLittle {
        found: "no task with two classes of enough examples".into(),
        expected: format!(
            "two classes with {} examples each; lower `shots` or `queries`",
            counts.shots + counts.queries
        ),
    }
}

fn recipe_of(steps: u64, learning_rate: f64) -> Recipe {
    Recipe {
        steps,
        learning_rate,
        warm_up_steps: steps / 10 + 1,
        ema_decay: 0.0,
        precision: Precision::F32,
        recompute: false,
        validate_every_steps: steps.max(1),
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
    type Module = Taught;
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
        training_work(self.model.size, &episode.lengths())
    }

    fn with_policy(&self, taught: Taught, policy: Policy) -> Taught {
        taught.with_policy(policy)
    }

    /// Each episode counts the same, whatever its number of queries.
    fn loss(&self, taught: &Taught, episode: &Drawn, device: &Device) -> (Tensor<1>, f64) {
        let loss = match episode {
            Drawn::Whole(whole) => {
                let solved = Solved::new(&taught.encoder, whole, device);
                cross_entropy(activation::log_softmax((whole.logits)(&solved), 1), solved.classes)
            }
            Drawn::Parted(parted) => {
                stepwise::loss(self.config, self.model.queries.parts, (taught, parted), device)
            }
        };
        (loss, 1.0)
    }

    fn validate(&self, _taught: &Taught, _device: &Device) -> Option<Losses> {
        None
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
    fn new(encoder: &Encoder, episode: &'a Whole, device: &Device) -> Self {
        let embedded = encoder.embed(&EncoderInput::new(&episode.batch, device));
        Self::of(embedded, episode.support, episode.ways, &episode.query_class)
    }

    /// An episode of these embeddings, those of the support first.
    fn of(embedded: Tensor<2>, support: usize, ways: usize, classes: &'a [i32]) -> Self {
        let [total, _] = embedded.dims();
        Self {
            support: embedded.clone().narrow(0, 0, support),
            query: embedded.narrow(0, support, total - support),
            ways,
            shots: support / ways,
            classes,
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
mod tests;
