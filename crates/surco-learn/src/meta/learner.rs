//! A model that learns a task as it was meta-trained to: by steps of gradients on the few labels, with the heads it was trained with.
//!
//! Beside the model lies `learner.json`, which says how. Where there are more labels than a step takes, a step takes some of them, as
//! even over classes as can be; the answer depends on the labels and their order alone.
//!
//! # Source
//! Rußwurm et al. 2024 (METEOR): 60 steps. There the few examples of a step are drawn with replacement, whatever their class.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::Device;
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use surco_core::{Progress, largest};
use surco_data::{Batch, BatchSpec, Sample};
use surco_net::{
    Encoder, EncoderInput, MeteorConfig, Model, SystemConfig, kind_of, load_model, load_part,
    save_part,
};

use super::body::{Body, tensors};
use super::heads::{Heads, Meant, Question};
use super::inner::Inner;
use super::lora::Lora;
use super::network::{Labelled, filled, flat, tensor_sizes};
use super::taught::rates_of;
use super::timl::{Known, TaskEncoder};
use super::{MetaConfig, MetaMethod, MeteorLearner};
use crate::LearnError;
use crate::headed::Headed;
use crate::shuffle::shuffle;

/// Name of the file that says how a model learns.
const FILE: &str = "learner.json";

/// Name of the file of what tells of tasks.
const TASK_FILE: &str = "task.safetensors";

/// Version of [`FILE`].
const SCHEMA: u32 = 1;

/// Samples answered at once.
const CHUNK: usize = 64;

/// How a model learns a task by inner steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learning {
    /// Version of this file.
    schema: u32,
    /// How it was meta-trained.
    pub method: MetaMethod,
    /// Which classes a head tells apart.
    pub heads: Heads,
    /// Rate of a step.
    pub inner_rate: f64,
    /// Rates that were learned: one for each tensor of the encoder, or of its low-rank change, then for the head's weights and its
    /// bias. Empty where all that moves does so at `inner_rate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<f64>,
    /// The change of low rank that steps move; none where they move the encoder's own weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// Steps by which a task is learned.
    pub adapt_steps: usize,
    /// Most labels a step.
    pub adapt_batch: usize,
    /// SHA-256 of what tells of tasks, `task.safetensors` beside this file; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_sha256: Option<String>,
    /// The weights that the steps begin from.
    #[serde(default)]
    weights_sha256: String,
}

impl Learning {
    /// What meta-training by inner steps leaves; `None` for methods in closed form.
    pub(super) fn of(config: &MetaConfig, rates: Option<Vec<f64>>) -> Option<Self> {
        config.method.in_closed_form().is_none().then(|| Self {
            schema: SCHEMA,
            method: config.method,
            heads: config.heads,
            inner_rate: config.inner_rate,
            rates: rates.unwrap_or_default(),
            lora: config.lora(),
            adapt_steps: config.adapt_steps,
            adapt_batch: config.adapt_batch,
            task_sha256: None,
            weights_sha256: String::new(),
        })
    }

    /// Writes it and what tells of tasks beside its model, whose weights have this SHA-256.
    pub(super) fn save(
        &self,
        folder: &Path,
        weights_sha256: &str,
        task: Option<&TaskEncoder>,
    ) -> Result<(), LearnError> {
        let task_sha256 = task.map(|task| save_part(task, &folder.join(TASK_FILE))).transpose()?;
        let weights_sha256 = weights_sha256.into();
        write(folder, &Self { task_sha256, weights_sha256, ..self.clone() })
    }

    /// Bytes of the 32-bit numbers that an encoder has of its own for each head of a task it learned; the head's come to them.
    #[must_use]
    pub fn task_bytes(&self, encoder: &Encoder) -> usize {
        let numbers = match (self.method, self.lora) {
            (MetaMethod::Anil, _) => 0,
            (_, Some(lora)) => lora.numbers(encoder),
            (_, None) => tensor_sizes(encoder).iter().sum(),
        };
        numbers * size_of::<f32>()
    }

    /// Rate of each weight of a network; what does not move has none.
    fn rates(&self, network: &Headed<Body>) -> Vec<f64> {
        let tensors = tensors(network);
        let mut rates = if self.rates.is_empty() {
            tensors.rates(std::iter::repeat(self.inner_rate))
        } else {
            tensors.rates(self.rates.iter().copied())
        };
        if self.method == MetaMethod::Anil {
            rates.iter_mut().take(network.backbone.taught()).for_each(|rate| *rate = 0.0);
        }
        rates
    }

    fn problem(&self, encoder: &Encoder, weights: &str) -> Option<String> {
        let tensors = rates_of(encoder, self.lora);
        let is_rate = |rate: &f64| rate.is_finite();
        if self.schema != SCHEMA {
            return Some(format!("schema {} is not {SCHEMA}", self.schema));
        }
        if self.weights_sha256 != weights {
            return Some("it belongs to other weights than lie beside it".into());
        }
        if let Some(lora) = self.lora
            && let Some(problem) = lora.problem(self.method, encoder)
        {
            return Some(problem);
        }
        if !self.rates.is_empty() && self.rates.len() != tensors {
            return Some(format!("{} rates for {tensors} tensors", self.rates.len()));
        }
        if !is_rate(&self.inner_rate) || !self.rates.iter().all(is_rate) {
            return Some("a rate is no number".into());
        }
        (self.adapt_steps == 0 || self.adapt_batch == 0)
            .then(|| "no steps, or no labels a step".into())
    }
}

/// Writes how a model learns beside it.
pub(super) fn write(folder: &Path, learning: &impl Serialize) -> Result<(), LearnError> {
    let path = folder.join(FILE);
    let text = serde_json::to_string_pretty(learning).unwrap_or_default() + "\n";
    surco_core::write_whole(&path, text.as_bytes())
        .map_err(|source| LearnError::Io { path, source })
}

/// Reads how the model of a folder learns.
pub(super) fn read<T: DeserializeOwned>(folder: &Path) -> Result<T, LearnError> {
    let text = std::fs::read_to_string(folder.join(FILE));
    let text = text.map_err(|e| refused(folder, e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| refused(folder, e.to_string()))
}

/// What is said of a folder that does not say how its model learns.
pub(super) fn refused(folder: &Path, reason: String) -> LearnError {
    LearnError::Learner { path: folder.join(FILE), reason }
}

/// A task of few labels over some samples, or places.
#[derive(Clone, Copy, Debug)]
pub struct FewLabels<'a> {
    /// Samples with labels.
    pub support: &'a [usize],
    /// Class of each.
    pub labels: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Samples asked about.
    pub query: &'a [usize],
}

/// A meta-trained model with how it learns.
#[derive(Clone, Debug)]
pub struct MetaLearner {
    /// The weights that the steps begin from.
    pub model: Model,
    /// How it learns a task.
    pub learning: Learning,
    /// What tells of tasks, if they are told of.
    pub task_encoder: Option<TaskEncoder>,
}

impl MetaLearner {
    /// Reads a model folder that `surco meta` wrote with a method by inner steps.
    ///
    /// # Errors
    /// [`LearnError::Weights`] if it holds no model, [`LearnError::Learner`] if nothing there says how it learns.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, LearnError> {
        let (model, weights) = load_model(folder, device)?;
        let learning: Learning = read(folder)?;
        let refuse = |reason| refused(folder, reason);
        if let Some(problem) = learning.problem(&model.encoder, &weights) {
            return Err(refuse(problem));
        }
        let task_encoder = match &learning.task_sha256 {
            Some(recorded) => {
                let width = model.config.queries.parts * model.encoder.width();
                let path = folder.join(TASK_FILE);
                let (task, found) = load_part(TaskEncoder::new(width, 0, device), &path)?;
                if found != *recorded {
                    let reason = format!("it records {recorded} of {TASK_FILE}, which has {found}");
                    return Err(refuse(reason));
                }
                Some(task)
            }
            None => None,
        };
        Ok(Self { model, learning, task_encoder })
    }

    /// Learns each task from its labels, as many at a time as there are cores, and gives the class of each sample asked about;
    /// `None` if the user stops.
    ///
    /// # Panics
    /// If a task speaks of a sample or class that there is not.
    pub fn answers(
        &self,
        samples: &[Sample],
        spec: &BatchSpec,
        tasks: &[FewLabels<'_>],
        progress: &dyn Progress,
    ) -> Option<Vec<Vec<usize>>> {
        let device = self.model.device();
        side_by_side(&device, tasks, progress, |task| {
            Learner { of: self, samples, spec, device: &device }.answer(task)
        })
    }
}

/// Does all parts of a work, as many at a time as there are cores where they are computed on them; `None` if the user stops.
pub(super) fn side_by_side<T: Sync, R: Send>(
    device: &Device,
    parts: &[T],
    progress: &dyn Progress,
    work: impl Fn(&T) -> R + Sync,
) -> Option<Vec<R>> {
    let lanes = if *device == Device::flex() { rayon::current_num_threads() } else { 1 };
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let lane = || {
        let mut given = Vec::new();
        while !progress.stopped() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(at) else { break };
            given.push((at, work(part)));
            let done = 1 + done.fetch_add(1, Ordering::Relaxed);
            progress.report("learn", done as u64, parts.len() as u64, "");
        }
        given
    };
    // Threads of their own: a worker of rayon's pool that waits would begin another task while it holds the tape's lock.
    let mut given: Vec<(usize, R)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let joined = running.into_iter().map(|r| r.join());
        joined.flat_map(|r| r.unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    });
    given.sort_unstable_by_key(|(at, _)| *at);
    (given.len() == parts.len()).then(|| given.into_iter().map(|(_, part)| part).collect())
}

/// A learner of any kind that `surco meta` leaves.
#[derive(Clone, Debug)]
pub enum AnyLearner {
    /// Our encoder, which learns series.
    Series(Box<MetaLearner>),
    /// METEOR, which learns images.
    Images(Box<MeteorLearner>),
}

impl AnyLearner {
    /// Reads a model folder that `surco meta` wrote, whatever kind of learner it holds.
    ///
    /// # Errors
    /// [`LearnError::Weights`] if it holds no model, [`LearnError::Learner`] if nothing there says how it learns.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, LearnError> {
        Ok(match kind_of(folder)?.as_str() {
            MeteorConfig::KIND => Self::Images(Box::new(MeteorLearner::load(folder, device)?)),
            _ => Self::Series(Box::new(MetaLearner::load(folder, device)?)),
        })
    }
}

/// A learner at work on samples.
struct Learner<'a> {
    of: &'a MetaLearner,
    samples: &'a [Sample],
    spec: &'a BatchSpec,
    device: &'a Device,
}

impl Learner<'_> {
    fn answer(&self, task: &FewLabels<'_>) -> Vec<usize> {
        let heads = self.of.learning.heads;
        let questions = heads.questions(task.classes);
        let support = task.support.iter().map(|&i| &self.samples[i]);
        let known = Known::of(support, self.spec.first_day);
        let said: Vec<Array2<f32>> =
            questions.iter().map(|question| self.said(task, question, known)).collect();
        let scores = heads.scores(&said, task.classes);
        scores.rows().into_iter().map(|row| largest(row.iter())).collect()
    }

    fn batch(&self, chosen: impl Iterator<Item = usize>) -> Batch {
        let chosen: Vec<&Sample> = chosen.map(|i| &self.samples[i]).collect();
        Batch::new(&chosen, self.spec)
    }

    /// Probabilities `[query, answer]` of one question, once its support is learned.
    fn said(&self, task: &FewLabels<'_>, question: &Question, known: Known) -> Array2<f32> {
        let (encoder, tracked) = (&self.of.model.encoder, self.device.clone().autodiff());
        let width = self.spec.queries.map_or(0, |queries| queries.parts) * encoder.width();
        let shape = (width, question.answers);
        let parts_of = (encoder.clone(), self.of.task_encoder.clone());
        let body = Body::new(parts_of, self.of.learning.lora, self.device);
        let network = Headed::new(body, shape, self.device).train().fork(&tracked);
        let weights = self.learned(task, question, (&network, known), &tracked);
        let network = filled(&network, &weights, &tracked).valid();
        let mut said = Vec::new();
        for chunk in task.query.chunks(CHUNK) {
            let input = EncoderInput::new(&self.batch(chunk.iter().copied()), self.device);
            let chances = network.judge(network.backbone.embed(&input, known)).exp();
            said.extend(chances.into_data().iter::<f32>());
        }
        Array2::from_shape_vec((task.query.len(), question.answers), said)
            .expect("an answer for each sample asked about")
    }

    /// The network's weights after all steps.
    fn learned(
        &self,
        task: &FewLabels<'_>,
        question: &Question,
        (network, known): (&Headed<Body>, Known),
        tracked: &Device,
    ) -> Vec<f64> {
        let Learning { adapt_steps, adapt_batch, .. } = self.of.learning;
        let Meant { examples, right } = question.meant(task.labels);
        let inner = Inner { rates: self.of.learning.rates(network), steps: adapt_steps };
        let classes: Vec<usize> = examples.iter().map(|&i| task.labels[i]).collect();
        let mut turns = Turns::new(&classes, adapt_batch);
        let mut weights = flat(network);
        let is_whole = examples.len() <= adapt_batch;
        let mut taken: Option<(Batch, Vec<i32>)> = None;
        for _ in 0..inner.steps {
            let (batch, classes) = taken.get_or_insert_with(|| {
                let chosen = turns.next();
                let samples = chosen.iter().map(|&i| task.support[examples[i]]);
                (self.batch(samples), chosen.iter().map(|&i| right[i]).collect())
            });
            inner.step(&Labelled { network, batch, classes, known, device: tracked }, &mut weights);
            taken = taken.filter(|_| is_whole);
        }
        weights
    }
}

/// Labels in batches: those of each class in random order, one class after the other, and so on to the end of an epoch.
pub(super) struct Turns {
    by_class: Vec<Vec<usize>>,
    batch: usize,
    /// What is left of the epoch, the next last.
    left: Vec<usize>,
    rng: ChaCha8Rng,
}

impl Turns {
    /// Over labels of these classes.
    pub(super) fn new(classes: &[usize], batch: usize) -> Self {
        let count = classes.iter().max().map_or(0, |most| most + 1);
        let mut by_class = vec![Vec::new(); count];
        for (place, &class) in classes.iter().enumerate() {
            by_class[class].push(place);
        }
        Self { by_class, batch, left: Vec::new(), rng: ChaCha8Rng::seed_from_u64(0) }
    }

    /// Places of the next batch; the last of an epoch may be short.
    pub(super) fn next(&mut self) -> Vec<usize> {
        if self.left.is_empty() {
            self.by_class.iter_mut().for_each(|places| shuffle(places, &mut self.rng));
            let rounds = self.by_class.iter().map(Vec::len).max().unwrap_or(0);
            let round = |i: usize| self.by_class.iter().filter_map(move |class| class.get(i));
            self.left = (0..rounds).flat_map(round).copied().collect();
            self.left.reverse();
        }
        let kept = self.left.len().saturating_sub(self.batch);
        self.left.split_off(kept).into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests;
