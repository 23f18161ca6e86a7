//! A linear map that meta-training sets behind an encoder that others made. The encoder stays as it is.
//!
//! | | |
//! |---|---|
//! | input | [`EmbeddedTask`], one a region and season: labelled samples, and what the encoder makes of them |
//! | output | [`LensTrained`]: the map, its curve |
//! | config | [`MetaConfig`] with a method in closed form; `band_dropout` says nothing here, since samples are embedded once |
//!
//! The map begins at the identity, so that training begins at the encoder's own embedding. Episodes are drawn and solved as those of our own
//! encoder are.
//!
//! # Source
//! A learned linear metric behind a fixed embedding: Goldberger, Roweis, Hinton and Salakhutdinov 2004, *Neighbourhood components
//! analysis*; here over episodes, by the methods of this folder.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData, activation};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_core::Progress;
use surco_net::{Policy, export_model, load_part, save_part};

use super::draw::Members;
use super::heads::Heads;
use super::{Logits, MetaConfig, MetaTask, Solved, recipe_of, too_little};
use crate::LearnError;
use crate::headed::cross_entropy;
use crate::run::Curve;
use crate::trainer::{Losses, Objective, Trainer, Work};

/// Name of the file that says what a lens belongs to.
const FILE: &str = "lens.json";

/// Name of the file of its map.
const WEIGHTS: &str = "lens.safetensors";

/// Version of [`FILE`].
const SCHEMA: u32 = 1;

/// No embedding is wider.
const WIDEST: usize = 1 << 14;

/// A linear map of embeddings, `[d, d]`.
#[derive(Module, Debug)]
pub struct Lens {
    map: Param<Tensor<2>>,
}

/// What [`FILE`] holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    schema: u32,
    /// Width of the embedding.
    width: usize,
    /// How it was learned.
    stage: String,
    /// What it was learned from.
    data: Vec<String>,
    /// The weights whose embedding it maps.
    model_sha256: String,
    lens_sha256: String,
}

impl Lens {
    /// The map that changes nothing.
    fn identity(width: usize, device: &Device) -> Self {
        Self { map: Param::from_tensor(Tensor::eye(width, device)) }
    }

    /// Embeddings `[n, d]` through the map.
    ///
    /// # Panics
    /// If they are of another width.
    #[must_use]
    pub fn apply(&self, embedding: &Array2<f32>) -> Array2<f32> {
        let shape = self.map.val().dims();
        let values: Vec<f32> = self.map.val().into_data().iter::<f32>().collect();
        let map = Array2::from_shape_vec(shape, values).expect("a tensor fills its shape");
        embedding.dot(&map)
    }

    /// Width of the embeddings it maps.
    #[must_use]
    pub fn width(&self) -> usize {
        self.map.val().dims()[0]
    }

    /// The lens in a model folder whose weights have this SHA-256, if there is one.
    ///
    /// # Errors
    /// [`LearnError::Lens`] or [`LearnError::Weights`] if it belongs to other weights or is damaged.
    pub fn beside(
        folder: &Path,
        model_sha256: &str,
        device: &Device,
    ) -> Result<Option<Self>, LearnError> {
        let path = folder.join(FILE);
        let refused = |reason: String| LearnError::Lens { path: path.clone(), reason };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string())),
        };
        let told: Told = serde_json::from_str(&text).map_err(|e| refused(e.to_string()))?;
        if told.schema != SCHEMA {
            return Err(refused(format!("schema {} is not {SCHEMA}", told.schema)));
        }
        if told.model_sha256 != model_sha256 {
            return Err(refused("it belongs to other weights than lie beside it".into()));
        }
        if !(1..=WIDEST).contains(&told.width) {
            return Err(refused(format!("a width of {}, expected 1 to {WIDEST}", told.width)));
        }
        let (lens, found) = load_part(Self::identity(told.width, device), &folder.join(WEIGHTS))?;
        if found != told.lens_sha256 {
            let reason = format!("it tells of another {WEIGHTS}, which has the SHA-256 {found}");
            return Err(refused(reason));
        }
        Ok(Some(lens))
    }
}

/// A labelled region and season, and what an encoder makes of its samples.
#[derive(Clone, Debug)]
pub struct EmbeddedTask {
    /// Samples, classes and places.
    pub task: MetaTask,
    /// `[sample, d]`
    pub embedding: Array2<f32>,
}

/// What meta-training a lens gave.
#[derive(Clone, Debug)]
pub struct LensTrained {
    /// The trained map.
    pub lens: Lens,
    /// Loss by step.
    pub curve: Curve,
    stage: String,
    data: Vec<String>,
}

impl LensTrained {
    /// Copies the model folder of the encoder and lays the lens beside; gives the SHA-256 of the lens.
    ///
    /// # Errors
    /// [`LearnError::Weights`] or [`LearnError::Io`] if the disk refuses.
    pub fn save(&self, model: &Path, folder: &Path) -> Result<String, LearnError> {
        let model_sha256 = export_model(model, folder)?.weights_sha256;
        let lens_sha256 = save_part(&self.lens, &folder.join(WEIGHTS))?;
        let told = Told {
            schema: SCHEMA,
            width: self.lens.width(),
            stage: self.stage.clone(),
            data: self.data.clone(),
            model_sha256,
            lens_sha256: lens_sha256.clone(),
        };
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(&told).unwrap_or_default() + "\n";
        surco_core::write_whole(&path, text.as_bytes())
            .map_err(|source| LearnError::Io { path, source })?;
        Ok(lens_sha256)
    }
}

/// Meta-trains a lens over episodes of tasks that one encoder embedded.
///
/// The episodes of a step are shared between the devices, at least one. With a run folder, the run goes on from its last
/// checkpoint; see [`crate::open_run`].
///
/// # Errors
/// [`LearnError::Config`] for what a fixed encoder cannot do, [`LearnError::TooLittle`] if no task has two classes with enough examples,
/// [`LearnError::Stopped`] on a stop, [`LearnError::Io`] if the run folder refuses.
///
/// # Panics
/// If a task has not one embedding a sample, or tasks are embedded in different widths.
pub fn meta_train_lens(
    tasks: &[EmbeddedTask],
    config: &MetaConfig,
    devices: &[Device],
    progress: &dyn Progress,
) -> Result<LensTrained, LearnError> {
    let logits = check(config)?;
    let drawn: Vec<Embedded<'_>> = tasks
        .iter()
        .map(|t| Embedded { members: Members::of(&t.task, config), embedding: &t.embedding })
        .filter(|t| t.members.by_class.len() >= 2)
        .collect();
    let Some(first) = drawn.first() else { return Err(too_little(config.counts())) };
    let width = first.embedding.ncols();
    for Embedded { members, embedding } in &drawn {
        assert_eq!(embedding.dim(), (members.task.samples.len(), width), "one a sample, one width");
    }
    let trainer = Trainer {
        objective: &Embeddings { config, tasks: &drawn, logits },
        recipe: &recipe_of(config.steps, config.learning_rate),
        devices,
        folder: config.out.as_deref(),
        progress,
    };
    let trained = trainer.run(Lens::identity(width, &devices[0]))?;
    Ok(LensTrained {
        lens: trained.module,
        curve: trained.curve,
        stage: format!(
            "lens, episodes solved by {}, {} steps of {}, seed {}",
            config.told(),
            config.steps,
            config.episodes,
            config.seed
        ),
        data: drawn.iter().map(|t| t.members.task.name.clone()).collect(),
    })
}

/// How episodes are solved; fails on what a fixed encoder cannot do.
fn check(config: &MetaConfig) -> Result<Logits, LearnError> {
    let refuse = |key, value: String| {
        let remedy = "the encoder of a peer stays as it is, and takes methods in closed form alone: prototypes, ridge or propagation";
        Err(LearnError::Config { key, value, remedy: remedy.into() })
    };
    if config.lora_rank > 0 {
        return refuse("lora_rank", config.lora_rank.to_string());
    }
    if config.task_informed {
        return refuse("task_informed", "true".into());
    }
    if config.heads != Heads::Together {
        return refuse("heads", config.heads.name().into());
    }
    match config.method.in_closed_form() {
        Some(logits) => Ok(logits),
        None => refuse("method", config.method.name().into()),
    }
}

/// A task to draw from, with its embeddings.
struct Embedded<'a> {
    members: Members<'a>,
    embedding: &'a Array2<f32>,
}

/// Episodes of embeddings.
struct Embeddings<'a> {
    config: &'a MetaConfig,
    tasks: &'a [Embedded<'a>],
    logits: Logits,
}

/// An episode: rows of the support, by class, then of the queries.
struct Chosen {
    rows: Array2<f32>,
    ways: usize,
    support: usize,
    query_class: Vec<i32>,
}

impl Objective for Embeddings<'_> {
    type Module = Lens;
    type Part = Chosen;

    const STAGE: &'static str = "meta-train";

    fn parts(&self, step: u64) -> Vec<Chosen> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(step + 1);
        (0..self.config.episodes)
            .map(|_| {
                let task = &self.tasks[rng.random_range(0..self.tasks.len())];
                let halves = task.members.halves(self.config, &mut rng);
                let chosen = [halves.support.samples.as_slice(), &halves.query.samples].concat();
                Chosen {
                    rows: task.embedding.select(Axis(0), &chosen),
                    ways: halves.ways,
                    support: halves.support.samples.len(),
                    query_class: halves.query.classes.iter().map(|&class| class as i32).collect(),
                }
            })
            .collect()
    }

    /// An example is a token.
    fn work(&self, episode: &Chosen) -> Work {
        let (examples, width) = episode.rows.dim();
        Work { tokens: examples as u64, flops: 3.0 * (2 * examples * width * width) as f64 }
    }

    fn with_policy(&self, lens: Lens, _: Policy) -> Lens {
        lens
    }

    /// Each episode counts the same, whatever its number of queries.
    fn loss(&self, lens: &Lens, episode: &Chosen, device: &Device) -> (Tensor<1>, f64) {
        let (total, width) = episode.rows.dim();
        let rows = TensorData::new(episode.rows.iter().copied().collect(), [total, width]);
        let seen = Tensor::<2>::from_data(rows, device).matmul(lens.map.val());
        let Chosen { ways, support, query_class, .. } = episode;
        let solved = Solved::of(seen, *support, *ways, query_class);
        let said = activation::log_softmax((self.logits)(&solved), 1);
        (cross_entropy(said, query_class), 1.0)
    }

    fn validate(&self, _lens: &Lens, _device: &Device) -> Option<Losses> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::{MetaMethod, tests::task};
    use surco_core::Silent;

    /// Samples whose class is written small in the first two of twelve numbers, under noise that is large in the others.
    fn faint(seed: u64) -> EmbeddedTask {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let task = task();
        let embedding = Array2::from_shape_fn((task.samples.len(), 12), |(i, j)| match j {
            0 => (task.classes[i] as f32 * 2.1).cos() * 0.3,
            1 => (task.classes[i] as f32 * 2.1).sin() * 0.3,
            _ => rng.random_range(-1.0..1.0),
        });
        EmbeddedTask { task, embedding }
    }

    fn config(method: MetaMethod) -> MetaConfig {
        MetaConfig { method, steps: 150, episodes: 4, learning_rate: 2e-2, ..Default::default() }
    }

    /// Share of samples of another task that lie nearest the mean of their class, means of the first three examples.
    fn right(embedding: &Array2<f32>, classes: &[usize]) -> f64 {
        let means: Vec<_> = (0..3)
            .map(|class| {
                let of: Vec<usize> =
                    (0..classes.len()).filter(|&i| classes[i] == class).take(3).collect();
                embedding.select(Axis(0), &of).mean_axis(Axis(0)).unwrap()
            })
            .collect();
        let asked = 9..classes.len();
        let count = asked.len() as f64;
        let nearest = |i: usize| {
            let apart = |class: &usize| (&embedding.row(i) - &means[*class]).mapv(|v| v * v).sum();
            (0..3_usize).min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap()
        };
        asked.filter(|&i| nearest(i) == classes[i]).count() as f64 / count
    }

    #[test]
    fn what_tells_classes_apart_is_found_under_what_does_not() {
        let (shown, asked) = (faint(1), faint(2));
        let before = right(&asked.embedding, &asked.task.classes);
        for method in [MetaMethod::Prototypes, MetaMethod::Ridge, MetaMethod::Propagation] {
            let tasks = std::slice::from_ref(&shown);
            let trained =
                meta_train_lens(tasks, &config(method), &[Device::flex()], &Silent).unwrap();
            let after = right(&trained.lens.apply(&asked.embedding), &asked.task.classes);
            assert!(before < 0.75 && after > 0.9, "{method:?}: {before} became {after}");
        }
    }

    #[test]
    fn an_encoder_that_stays_takes_closed_forms_alone() {
        let tasks = [faint(1)];
        let refused = |config: MetaConfig| {
            let error = meta_train_lens(&tasks, &config, &[Device::flex()], &Silent).unwrap_err();
            error.to_string()
        };
        let maml = refused(config(MetaMethod::Maml));
        assert!(maml.contains("method = maml") && maml.contains("ridge"), "{maml}");
        let lora = refused(MetaConfig { lora_rank: 2, ..config(MetaMethod::Ridge) });
        assert!(lora.contains("lora_rank = 2"), "{lora}");
        let few = refused(MetaConfig { shots: 80, ..config(MetaMethod::Ridge) });
        assert!(few.contains("shots"), "{few}");
    }

    #[test]
    fn a_lens_belongs_to_its_encoder() {
        let scratch = tempfile::tempdir().unwrap();
        let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/nano-int8");
        let folder = scratch.path().join("model");
        let one = MetaConfig { steps: 1, ..config(MetaMethod::Ridge) };
        let trained = meta_train_lens(&[faint(1)], &one, &[Device::flex()], &Silent).unwrap();
        trained.save(&nano, &folder).unwrap();
        let sha256 = surco_net::load_model(&folder, &Device::flex()).unwrap().1;
        let beside = |sha256: &str| Lens::beside(&folder, sha256, &Device::flex());
        let again = beside(&sha256).unwrap().unwrap();
        let rows = faint(3).embedding;
        assert_eq!(again.apply(&rows), trained.lens.apply(&rows));
        assert!(Lens::beside(&nano, &sha256, &Device::flex()).unwrap().is_none());
        assert!(beside("0").unwrap_err().to_string().contains("other weights"));
        let path = folder.join(WEIGHTS);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(beside(&sha256).unwrap_err().to_string().contains("another lens.safetensors"));
    }
}
