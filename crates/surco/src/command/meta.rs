//! `surco meta`: an encoder, a lens behind one, or METEOR, learns to learn from few labels.

mod meteor;
mod peer;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use surco_data::{
    Cube, LabelsAsked, Naming, PointLabel, SeriesWindow, SharedLegend, numbered, read_cube,
    read_labels, read_table,
};
use surco_learn::{Curve, Heads, MetaConfig, MetaMethod, MetaTask, meta_train, open_run, untaught};
use surco_net::{Device, MeteorNorm, Model, Size, load_model};
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::learning::{Labelled, days_of_store, read_config, say_of_labels, thinned};
use crate::screen::Screen;

/// Meta-trains an encoder, or METEOR, over small tasks drawn from labelled places
///
/// An encoder begins at a pre-trained model, or at random weights of a size; METEOR (system = "meteor") at random weights, and learns from
/// images around the places. Behind an encoder that others made (peer) a linear map of its embedding learns, its lens, and the encoder stays as it is:
/// `surco evaluate fewshot --peer`. Methods by inner steps leave `learner.json` beside the model: how it learns a task, for
/// `surco evaluate fewshot --learner` and `surco evaluate pixels --learner`. The run folder holds the config, `metrics.jsonl`, `speed.jsonl`, `tensorboard/`, `loss.svg`, checkpoints and at
/// the end `model/`. A run that was stopped or killed goes on with --resume as if it had not been.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cat > meta.toml <<END\n  schema = 1\n  model  = \"run/model\"\n  stores = [\"abroad\"]\n  labels = [\"abroad.geojson\"]\n  out    = \"run-meta\"\n  steps  = 60\n  END\n  surco meta meta.toml\n  surco meta meta.toml --resume"
)]
pub(crate) struct Args {
    /// Run description (TOML), see docs/config/meta.toml
    config: PathBuf,
    /// Go on from the last checkpoint
    #[arg(long)]
    resume: bool,
}

/// What a meta-training run depends on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    schema: u32,
    #[serde(default)]
    system: System,
    /// Where it begins; else `size` says what it begins with.
    #[serde(default)]
    model: Option<PathBuf>,
    /// Size of an encoder with random weights to begin with.
    #[serde(default)]
    size: Option<Size>,
    /// An encoder that others made, behind which a lens is trained.
    #[serde(default)]
    peer: Option<PathBuf>,
    /// One store a task.
    #[serde(default)]
    stores: Vec<PathBuf>,
    /// Labels of each store.
    #[serde(default)]
    labels: Vec<PathBuf>,
    /// Folders of labelled series, each a task.
    #[serde(default)]
    sets: Vec<PathBuf>,
    /// Legend that all classes are named by.
    legend: Option<SharedLegend>,
    /// Level of the legend.
    level: Option<u8>,
    out: PathBuf,
    #[serde(default)]
    method: Option<MetaMethod>,
    #[serde(default)]
    episodes: Option<usize>,
    #[serde(default)]
    queries: Option<usize>,
    #[serde(default)]
    band_dropout: Option<f64>,
    /// Most labelled pixels of a class and task.
    #[serde(default = "per_class")]
    per_class: usize,
    #[serde(default)]
    steps: Option<u64>,
    #[serde(default)]
    ways: Option<usize>,
    #[serde(default)]
    shots: Option<usize>,
    #[serde(default)]
    learning_rate: Option<f64>,
    #[serde(default)]
    inner_steps: Option<usize>,
    #[serde(default)]
    inner_rate: Option<f64>,
    #[serde(default)]
    lora_rank: Option<usize>,
    #[serde(default)]
    task_informed: Option<bool>,
    #[serde(default)]
    heads: Option<Heads>,
    /// Side of the chips that METEOR sees.
    #[serde(default)]
    chip_px: Option<usize>,
    /// What METEOR's norms are over.
    #[serde(default)]
    norm: Option<MeteorNorm>,
    #[serde(default)]
    adapt_steps: Option<usize>,
    #[serde(default)]
    adapt_batch: Option<usize>,
    #[serde(default)]
    seed: u64,
}

fn per_class() -> usize {
    300
}

/// What is meta-trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum System {
    /// Our encoder.
    #[default]
    Surco,
    /// METEOR, from images.
    Meteor,
}

/// Where training begins.
enum Start<'a> {
    Model(&'a Path),
    Random { size: Size, seed: u64 },
}

impl Start<'_> {
    fn model(&self, tasks: &[MetaTask], device: &Device) -> anyhow::Result<Model> {
        Ok(match *self {
            Self::Model(folder) => load_model(folder, device)?.0,
            Self::Random { size, seed } => untaught(size, seed, tasks, device),
        })
    }
}

impl Config {
    fn check(&self) -> Result<(), Usage> {
        let refuse = |text: String| Err(Usage(text));
        if self.schema != 1 {
            return refuse(format!("config key schema = {}: this version reads 1", self.schema));
        }
        if self.stores.is_empty() && self.sets.is_empty() {
            let text = "config keys stores and sets: nothing to draw tasks from; give one of them";
            return refuse(text.into());
        }
        if let (System::Surco, Some((key, value))) = (self.system, self.of_meteor()) {
            return refuse(format!(
                "config key {key} = {value}: an encoder of series sees no chips; leave the key out, or give system = \"meteor\""
            ));
        }
        if self.stores.len() != self.labels.len() {
            let (stores, labels) = (self.stores.len(), self.labels.len());
            return refuse(format!(
                "config keys stores ({stores} of them) and labels ({labels}): give one file of labels for each store"
            ));
        }
        Ok(())
    }

    /// A key that METEOR alone takes, with its value.
    fn of_meteor(&self) -> Option<(&'static str, String)> {
        let chip_px = self.chip_px.map(|side| ("chip_px", side.to_string()));
        chip_px.or_else(|| self.norm.map(|norm| ("norm", format!("{norm:?}").to_lowercase())))
    }

    /// Where training begins.
    fn start(&self) -> Result<Start<'_>, Usage> {
        match (&self.model, self.size) {
            (Some(folder), None) => Ok(Start::Model(folder)),
            (None, Some(size)) => Ok(Start::Random { size, seed: self.seed }),
            (Some(_), Some(_)) | (None, None) => {
                let text = "config keys model and size: give one of them, a model to begin at or the size of one with random weights; or peer, an encoder that stays as it is";
                Err(Usage(text.into()))
            }
        }
    }

    /// How classes are named, if by a shared legend.
    fn naming(&self) -> anyhow::Result<Option<Naming>> {
        match (self.legend, self.level) {
            (Some(legend), level) => Ok(Some(Naming::new(legend, level)?)),
            (None, None) => Ok(None),
            (None, Some(_)) => {
                let text = "config key level: it is that of a legend; give the key legend too";
                Err(Usage(text.into()).into())
            }
        }
    }

    fn meta(&self) -> MetaConfig {
        let plain = MetaConfig::default();
        MetaConfig {
            method: self.method.unwrap_or(plain.method),
            episodes: self.episodes.unwrap_or(plain.episodes),
            queries: self.queries.unwrap_or(plain.queries),
            band_dropout: self.band_dropout.unwrap_or(plain.band_dropout),
            steps: self.steps.unwrap_or(plain.steps),
            ways: self.ways.unwrap_or(plain.ways),
            shots: self.shots.unwrap_or(plain.shots),
            learning_rate: self.learning_rate.unwrap_or(plain.learning_rate),
            inner_steps: self.inner_steps.unwrap_or(plain.inner_steps),
            inner_rate: self.inner_rate.unwrap_or(plain.inner_rate),
            lora_rank: self.lora_rank.unwrap_or(plain.lora_rank),
            task_informed: self.task_informed.unwrap_or(plain.task_informed),
            heads: self.heads.unwrap_or(plain.heads),
            adapt_steps: self.adapt_steps.unwrap_or(plain.adapt_steps),
            adapt_batch: self.adapt_batch.unwrap_or(plain.adapt_batch),
            seed: self.seed,
            out: Some(self.out.clone()),
        }
    }
}

pub(crate) fn run(args: &Args, devices: &[Device], screen: &Screen) -> anyhow::Result<u64> {
    let config: Config = read_config(&args.config)?;
    config.check()?;
    let done = match config.system {
        System::Surco => match &config.peer {
            Some(peer) => peer::run(&config, peer, args, devices, screen)?,
            None => encoder(&config, args, devices, screen)?,
        },
        System::Meteor => meteor::run(&config, args, devices, screen)?,
    };
    let (curve, folder) = (&done.curve, config.out.join("model"));
    let json = serde_json::json!({
        "model": folder, "steps": done.steps, "weights_sha256": done.weights, "task_bytes": done.task_bytes,
        "loss_first": curve.mean_loss(false), "loss_last": curve.mean_loss(true),
    });
    let loss = match (curve.mean_loss(false), curve.mean_loss(true)) {
        (Some(first), Some(last)) => format!(", loss {first:.4} → {last:.4}"),
        _ => String::new(),
    };
    let text = format!("{} steps{loss}\nmodel: {}", done.steps, folder.display());
    screen.result(&json, &text)?;
    Ok(0)
}

/// What a run that wrote its model came to.
struct Done {
    steps: u64,
    curve: Curve,
    /// SHA-256 of the weights.
    weights: String,
    /// Bytes that a learner keeps for each head of a task, if it learns by steps.
    task_bytes: Option<usize>,
}

impl Args {
    /// Makes the run folder, or goes on with it.
    fn open(&self, out: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.config).context("cannot read the config again")?;
        Ok(open_run(out, &text, self.resume)?)
    }
}

fn encoder(
    config: &Config,
    args: &Args,
    devices: &[Device],
    screen: &Screen,
) -> anyhow::Result<Done> {
    let start = config.start()?;
    let tasks = tasks_of(config, screen)?;
    let (model, meta) = (start.model(&tasks, &devices[0])?, config.meta());
    args.open(&config.out)?;
    let trained = meta_train(model, &meta, &tasks, devices, screen);
    let trained = super::pretrain::drawn(trained, &config.out)?;
    let weights = trained.save(&config.out.join("model"))?;
    let learning = trained.learning.as_ref();
    let task_bytes = learning.map(|learning| learning.task_bytes(&trained.model.encoder));
    Ok(Done { steps: meta.steps, curve: trained.curve, weights, task_bytes })
}

/// One task a store and one a table.
fn tasks_of(config: &Config, screen: &Screen) -> anyhow::Result<Vec<MetaTask>> {
    let naming = config.naming()?;
    let stores = config.stores.iter().zip(&config.labels);
    let tasks = stores
        .map(|(store, labels)| labelled_task(store, labels, config.per_class, naming, screen));
    tasks.chain(config.sets.iter().map(|set| table_task(set, naming, screen))).collect()
}

fn labelled_task(
    store: &Path,
    labels: &Path,
    per_class: usize,
    naming: Option<Naming>,
    screen: &Screen,
) -> anyhow::Result<MetaTask> {
    let mut labelled = Labelled::default();
    let (mut bands, mut days) = (Vec::new(), Vec::new());
    for_each_cell(store, labels, naming, screen, |cube, here| {
        labelled.add(&cube, &thinned(here, per_class), 500.0);
        bands.clone_from(&cube.bands);
        days.extend(cube.days.iter().copied());
        Ok(())
    })?;
    Ok(task_of(labels.display().to_string(), labelled, bands, &days))
}

/// Reads a store cell by cell, each with its labels.
fn for_each_cell(
    store: &Path,
    labels: &Path,
    naming: Option<Naming>,
    screen: &Screen,
    mut take: impl FnMut(Cube, Vec<PointLabel>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let opened = Store::open(store)?;
    let cells = opened.cells()?;
    let images = days_of_store(&opened, &cells)?;
    let asked = LabelsAsked { images, naming, ..LabelsAsked::default() };
    let read = read_labels(labels, &asked)?;
    say_of_labels(&read, screen);
    for cell in cells {
        let reader = opened.cell(&cell)?;
        let here = read.on(&reader.georef, (reader.rows, reader.cols))?;
        let window = surco_core::Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
        take(read_cube(&opened, &SeriesWindow { cell, window }, None)?, here)?;
    }
    Ok(())
}

/// A task of a folder of labelled series.
fn table_task(folder: &Path, naming: Option<Naming>, screen: &Screen) -> anyhow::Result<MetaTask> {
    let mut table = read_table(&folder.join("points.parquet"), &folder.join("series.parquet"))?;
    if let Some(naming) = naming {
        let named = naming
            .rename(table.labels.iter_mut())
            .with_context(|| format!("cannot name the classes of {}", folder.display()))?;
        screen.say(&format!("assumed: {}: {}", table.name, named.told()));
    }
    let (_, bands) = table.spectral();
    if bands.is_empty() {
        let text = format!(
            "set {} has no column with a wavelength: nothing an encoder can read",
            table.name
        );
        return Err(BadInput(text).into());
    }
    Ok(MetaTask {
        name: format!("{} ({} series; {})", table.name, table.labels.len(), table.licence),
        bands,
        window: table.window(),
        samples: (0..table.labels.len()).map(|p| table.sample(p)).collect(),
        classes: numbered(&table.labels),
        places: table.block_numbers(),
    })
}

/// A task for meta-training.
pub(crate) fn task_of(
    name: String,
    labelled: Labelled,
    bands: Vec<surco_data::SpectralBand>,
    days: &[i32],
) -> MetaTask {
    let last = days.iter().max().copied().unwrap_or(0);
    let first = days.iter().min().copied().unwrap_or(0);
    MetaTask {
        name,
        bands,
        window: (first.min(last - 364), last + 1),
        classes: labelled.numbers(),
        samples: labelled.samples,
        places: labelled.blocks,
    }
}
