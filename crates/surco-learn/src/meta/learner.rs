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
use serde::{Deserialize, Serialize};
use surco_core::Progress;
use surco_data::{Batch, BatchSpec, Sample};
use surco_net::{Encoder, EncoderInput, Model, load_model};

use super::body::{Body, tensors};
use super::heads::{Heads, Meant, Question};
use super::inner::Inner;
use super::lora::Lora;
use super::network::{Labelled, filled, flat, tensor_sizes};
use super::taught::rates_of;
use super::{MetaConfig, MetaMethod};
use crate::LearnError;
use crate::finetune::largest;
use crate::headed::Headed;
use crate::shuffle::shuffle;

/// Name of the file that says how a model learns.
const FILE: &str = "learner.json";

/// Version of that file.
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
            weights_sha256: String::new(),
        })
    }

    /// Writes it beside its model, whose weights have this SHA-256.
    ///
    /// # Errors
    /// [`LearnError::Io`] if the disk refuses.
    pub fn save(&self, folder: &Path, weights_sha256: &str) -> Result<(), LearnError> {
        let path = folder.join(FILE);
        let whole = Self { weights_sha256: weights_sha256.into(), ..self.clone() };
        let text = serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n";
        surco_core::write_whole(&path, text.as_bytes())
            .map_err(|source| LearnError::Io { path, source })
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

/// A task of few labels over some samples.
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
}

impl MetaLearner {
    /// Reads a model folder that `surco meta` wrote with a method by inner steps.
    ///
    /// # Errors
    /// [`LearnError::Weights`] if it holds no model, [`LearnError::Learner`] if nothing there says how it learns.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, LearnError> {
        let (model, weights) = load_model(folder, device)?;
        let path = folder.join(FILE);
        let refuse = |reason: String| LearnError::Learner { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|e| refuse(e.to_string()))?;
        let learning: Learning = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
        if let Some(problem) = learning.problem(&model.encoder, &weights) {
            return Err(refuse(problem));
        }
        Ok(Self { model, learning })
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
        let lanes = if device == Device::flex() { rayon::current_num_threads() } else { 1 };
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let lane = || {
            let mut said = Vec::new();
            while !progress.stopped() {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(at) else { break };
                let learning = Learner { of: self, samples, spec, device: &device };
                said.push((at, learning.answer(task)));
                let done = 1 + done.fetch_add(1, Ordering::Relaxed);
                progress.report("learn", done as u64, tasks.len() as u64, "");
            }
            said
        };
        // Threads of their own: a worker of rayon's pool that waits would begin another task while it holds the tape's lock.
        let mut said: Vec<(usize, Vec<usize>)> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
            let joined = running.into_iter().map(|r| r.join());
            joined.flat_map(|r| r.unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
        });
        said.sort_unstable_by_key(|(at, _)| *at);
        (said.len() == tasks.len()).then(|| said.into_iter().map(|(_, classes)| classes).collect())
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
        let said: Vec<Array2<f32>> =
            questions.iter().map(|question| self.said(task, question)).collect();
        let scores = heads.scores(&said, task.classes);
        scores.rows().into_iter().map(|row| largest(row.iter())).collect()
    }

    fn batch(&self, chosen: impl Iterator<Item = usize>) -> Batch {
        let chosen: Vec<&Sample> = chosen.map(|i| &self.samples[i]).collect();
        Batch::new(&chosen, self.spec)
    }

    /// Probabilities `[query, answer]` of one question, once its support is learned.
    fn said(&self, task: &FewLabels<'_>, question: &Question) -> Array2<f32> {
        let (encoder, tracked) = (&self.of.model.encoder, self.device.clone().autodiff());
        let width = self.spec.queries.map_or(0, |queries| queries.parts) * encoder.width();
        let shape = (width, question.answers);
        let body = Body::new(encoder.clone(), self.of.learning.lora, self.device);
        let network = Headed::new(body, shape, self.device).train().fork(&tracked);
        let weights = self.learned(task, question, &network, &tracked);
        let network = filled(&network, &weights, &tracked).valid();
        let mut said = Vec::new();
        for chunk in task.query.chunks(CHUNK) {
            let input = EncoderInput::new(&self.batch(chunk.iter().copied()), self.device);
            let chances = network.judge(network.backbone.embed(&input)).exp();
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
        network: &Headed<Body>,
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
            inner.step(&Labelled { network, batch, classes, device: tracked }, &mut weights);
            taken = taken.filter(|_| is_whole);
        }
        weights
    }
}

/// Labels in batches: those of each class in random order, one class after the other, and so on to the end of an epoch.
struct Turns {
    by_class: Vec<Vec<usize>>,
    batch: usize,
    /// What is left of the epoch, the next last.
    left: Vec<usize>,
    rng: ChaCha8Rng,
}

impl Turns {
    /// Over labels of these classes.
    fn new(classes: &[usize], batch: usize) -> Self {
        let count = classes.iter().max().map_or(0, |most| most + 1);
        let mut by_class = vec![Vec::new(); count];
        for (place, &class) in classes.iter().enumerate() {
            by_class[class].push(place);
        }
        Self { by_class, batch, left: Vec::new(), rng: ChaCha8Rng::seed_from_u64(0) }
    }

    /// Places of the next batch; the last of an epoch may be short.
    fn next(&mut self) -> Vec<usize> {
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
mod tests {
    use super::*;
    use crate::meta::tests::{model, task};
    use surco_core::Silent;

    fn learner(config: &MetaConfig) -> MetaLearner {
        MetaLearner { model: model(&task()), learning: Learning::of(config, None).unwrap() }
    }

    #[test]
    fn the_same_labels_are_answered_alike_under_all_heads() {
        let task = task();
        let (support, query): (Vec<usize>, Vec<usize>) = (0..90).partition(|i| i % 18 < 3);
        let labels: Vec<usize> = support.iter().map(|&i| task.classes[i]).collect();
        let few = FewLabels { support: &support, labels: &labels, classes: 3, query: &query };
        for heads in [Heads::Together, Heads::OneAgainstAll, Heads::Pairs] {
            // A step takes seven of fifteen labels.
            let config = MetaConfig {
                method: MetaMethod::Fomaml,
                heads,
                inner_rate: 0.003,
                adapt_steps: 5,
                adapt_batch: 7,
                ..MetaConfig::default()
            };
            let learner = learner(&config);
            let spec = learner.model.config.spec(&task.bands, task.window);
            let told = learner.answers(&task.samples, &spec, &[few, few], &Silent).unwrap();
            assert_eq!(told[0].len(), query.len());
            assert!(told[0].iter().all(|&class| class < 3), "{heads:?}");
            assert_eq!(told[0], told[1], "{heads:?}");
        }
    }

    /// By hand: from a head of zeros, all chances ½, one step of rate r moves what speaks for the class by r · mean (t − ½) x and what
    /// speaks against it by as much the other way, and the biases alike without x.
    #[test]
    fn one_step_of_a_head_against_all_agrees_with_a_hand() {
        let task = task();
        let config = MetaConfig {
            method: MetaMethod::Anil,
            heads: Heads::OneAgainstAll,
            inner_rate: 0.004,
            adapt_steps: 1,
            ..MetaConfig::default()
        };
        let learner = learner(&config);
        let spec = learner.model.config.spec(&task.bands, task.window);
        let (support, labels, query) = ([0, 1, 2, 3], [0, 1, 2, 0], [4, 5, 6]);
        let few = FewLabels { support: &support, labels: &labels, classes: 3, query: &query };
        let device = learner.model.device();
        let at_work =
            Learner { of: &learner, samples: &task.samples, spec: &spec, device: &device };
        let said = at_work.said(&few, &Heads::OneAgainstAll.questions(3)[0]);
        let rows: Vec<&Sample> = (0..7).map(|i| &task.samples[i]).collect();
        let x = surco_net::embed(&learner.model, &rows, &spec, &device);
        for (i, asked) in query.into_iter().enumerate() {
            let pull = |(&at, &class): (&usize, &usize)| {
                let toward = if class == 0 { 0.5 } else { -0.5 };
                toward * (x.row(at).dot(&x.row(asked)) + 1.0) / 4.0
            };
            let moved: f32 = support.iter().zip(&labels).map(pull).sum();
            let want = 1.0 / (1.0 + (-2.0 * 0.004 * moved).exp());
            assert!((said[[i, 1]] - want).abs() < 1e-5, "{} {want}", said[[i, 1]]);
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = || MetaLearner::load(folder.path(), &Device::flex());
        let sgd = MetaConfig { method: MetaMethod::MetaSgd, ..MetaConfig::default() };
        let mut learner = learner(&sgd);
        let weights = surco_net::save_model(&learner.model, folder.path()).unwrap();
        let told = |error: LearnError| error.to_string();
        assert!(told(read().unwrap_err()).contains("learner.json does not say how a model learns"));
        learner.learning.rates = vec![0.01; rates_of(&learner.model.encoder, None)];
        learner.learning.save(folder.path(), &weights).unwrap();
        let again = read().unwrap();
        assert_eq!(Learning { weights_sha256: String::new(), ..again.learning }, learner.learning);
        learner.learning.save(folder.path(), "other").unwrap();
        assert!(told(read().unwrap_err()).contains("it belongs to other weights"));
        learner.learning.rates.pop();
        learner.learning.save(folder.path(), &weights).unwrap();
        let count = rates_of(&learner.model.encoder, None);
        let want = format!("{} rates for {count} tensors", count - 1);
        assert!(told(read().unwrap_err()).contains(&want));
    }

    /// Those of all weights or of rank 1: a head's own numbers are under 2 % of the encoder's.
    #[test]
    fn a_task_has_few_bytes_of_its_own_under_a_low_rank_change() {
        let of = |method, lora_rank| {
            let config = MetaConfig { method, lora_rank, ..MetaConfig::default() };
            let learner = learner(&config);
            (learner.learning.task_bytes(&learner.model.encoder), learner)
        };
        let ((all, whole), (low, learner)) = (of(MetaMethod::Fomaml, 0), of(MetaMethod::Fomaml, 1));
        assert_eq!(all, 4 * flat(&whole.model.encoder).len());
        assert!(low > 0 && low * 50 < all, "{low} of {all}");
        let matrices = learner.learning.lora.unwrap().matrices(&learner.model.encoder);
        assert_eq!(low, matrices.iter().map(|[rows, columns]| 4 * (rows + columns)).sum::<usize>());
        assert_eq!(of(MetaMethod::Anil, 0).0, 0);
    }

    #[test]
    fn a_learner_of_low_rank_is_read_again_and_one_that_does_not_fit_is_refused() {
        let (task, folder) = (task(), tempfile::tempdir().unwrap());
        let config = MetaConfig {
            method: MetaMethod::MetaSgd,
            lora_rank: 2,
            seed: 7,
            adapt_steps: 20,
            ..MetaConfig::default()
        };
        let mut learner = learner(&config);
        let encoder = learner.model.encoder.clone();
        let count = rates_of(&encoder, learner.learning.lora);
        learner.learning.rates = vec![0.003; count];
        let weights = surco_net::save_model(&learner.model, folder.path()).unwrap();
        learner.learning.save(folder.path(), &weights).unwrap();
        let read = || MetaLearner::load(folder.path(), &Device::flex());
        let again = read().unwrap();
        assert_eq!(again.learning.lora, Some(Lora { rank: 2, seed: 7 }));
        let (support, query): (Vec<usize>, Vec<usize>) = (0..90).partition(|i| i % 18 < 6);
        let labels: Vec<usize> = support.iter().map(|&i| task.classes[i]).collect();
        let few = FewLabels { support: &support, labels: &labels, classes: 3, query: &query };
        let spec = learner.model.config.spec(&task.bands, task.window);
        let answers = |learner: &MetaLearner| {
            learner.answers(&task.samples, &spec, &[few], &Silent).unwrap().remove(0)
        };
        let said = answers(&again);
        assert_eq!(said, answers(&learner));
        let right = query.iter().zip(&said).filter(|(at, said)| task.classes[**at] == **said);
        assert!(right.count() * 10 > query.len() * 9, "{said:?}");
        let refused = |lora: Lora, want: &str| {
            let learning = Learning { lora: Some(lora), ..learner.learning.clone() };
            learning.save(folder.path(), &weights).unwrap();
            let told = read().unwrap_err().to_string();
            assert!(told.contains(want), "{told}");
        };
        refused(Lora { rank: 0, seed: 7 }, "smaller change of rank 0");
        refused(Lora { rank: usize::MAX, seed: 7 }, "no matrix of the encoder");
        // What a matrix is too small for at this rank leaves fewer rates.
        refused(Lora { rank: 60, seed: 7 }, "rates for");
        learner.learning.method = MetaMethod::Anil;
        learner.learning.save(folder.path(), &weights).unwrap();
        assert!(read().unwrap_err().to_string().contains("anil move the head alone"));
    }

    /// Three labels of one class, two of the other, four a step: both classes in every batch as far as they last, each label once.
    #[test]
    fn batches_are_even_over_classes() {
        let classes = [0, 0, 1, 0, 1];
        let mut turns = Turns::new(&classes, 4);
        for _ in 0..3 {
            let (first, second) = (turns.next(), turns.next());
            let of = |batch: &[usize]| batch.iter().map(|&i| classes[i]).collect::<Vec<usize>>();
            assert_eq!((of(&first), of(&second)), (vec![0, 1, 0, 1], vec![0]));
            let mut all = [first, second].concat();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn methods_in_closed_form_leave_nothing_to_learn_by() {
        assert_eq!(Learning::of(&MetaConfig::default(), None), None);
    }
}
