//! `surco meta`: an encoder learns to learn from few labels.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use surco_data::{
    LabelsAsked, Naming, SeriesWindow, SharedLegend, numbered, read_cube, read_labels, read_table,
};
use surco_learn::{Heads, MetaConfig, MetaMethod, MetaTask, meta_train, open_run, untaught};
use surco_net::{Device, Model, Size, load_model};
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::learning::{Labelled, days_of_store, read_config, say_of_labels, thinned};
use crate::screen::Screen;

/// Meta-trains an encoder over small tasks drawn from labelled places
///
/// It begins at a pre-trained model, or at random weights of a size. Methods by inner steps leave `learner.json` beside the model:
/// how it learns a task, for `surco evaluate fewshot --learner`. The run folder holds the config, `metrics.jsonl`, `speed.jsonl`, `tensorboard/`, `loss.svg`, checkpoints and at
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
    /// Where it begins; else `size` says what it begins with.
    #[serde(default)]
    model: Option<PathBuf>,
    /// Size of an encoder with random weights to begin with.
    #[serde(default)]
    size: Option<Size>,
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
    method: MetaMethod,
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
    lora_rank: usize,
    #[serde(default)]
    task_informed: bool,
    #[serde(default)]
    heads: Heads,
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
        if self.stores.len() != self.labels.len() {
            let (stores, labels) = (self.stores.len(), self.labels.len());
            return refuse(format!(
                "config keys stores ({stores} of them) and labels ({labels}): give one file of labels for each store"
            ));
        }
        Ok(())
    }

    /// Where training begins.
    fn start(&self) -> Result<Start<'_>, Usage> {
        match (&self.model, self.size) {
            (Some(folder), None) => Ok(Start::Model(folder)),
            (None, Some(size)) => Ok(Start::Random { size, seed: self.seed }),
            (Some(_), Some(_)) | (None, None) => {
                let text = "config keys model and size: give one of them, a model to begin at or the size of one with random weights";
                Err(Usage(text.into()))
            }
        }
    }

    fn meta(&self) -> MetaConfig {
        let plain = MetaConfig::default();
        MetaConfig {
            method: self.method,
            episodes: self.episodes.unwrap_or(plain.episodes),
            queries: self.queries.unwrap_or(plain.queries),
            band_dropout: self.band_dropout.unwrap_or(plain.band_dropout),
            steps: self.steps.unwrap_or(plain.steps),
            ways: self.ways.unwrap_or(plain.ways),
            shots: self.shots.unwrap_or(plain.shots),
            learning_rate: self.learning_rate.unwrap_or(plain.learning_rate),
            inner_steps: self.inner_steps.unwrap_or(plain.inner_steps),
            inner_rate: self.inner_rate.unwrap_or(plain.inner_rate),
            lora_rank: self.lora_rank,
            task_informed: self.task_informed,
            heads: self.heads,
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
    let start = config.start()?;
    let tasks = tasks_of(&config, screen)?;
    let (model, meta) = (start.model(&tasks, &devices[0])?, config.meta());
    let text = std::fs::read_to_string(&args.config).context("cannot read the config again")?;
    open_run(&config.out, &text, args.resume)?;
    let trained = meta_train(model, &meta, &tasks, devices, screen);
    let trained = super::pretrain::drawn(trained, &config.out)?;
    let folder = config.out.join("model");
    let weights = trained.save(&folder)?;
    let curve = &trained.curve;
    let learning = trained.learning.as_ref();
    let task_bytes = learning.map(|learning| learning.task_bytes(&trained.model.encoder));
    let json = serde_json::json!({
        "model": folder, "steps": meta.steps, "weights_sha256": weights, "task_bytes": task_bytes,
        "loss_first": curve.mean_loss(false), "loss_last": curve.mean_loss(true),
    });
    let loss = match (curve.mean_loss(false), curve.mean_loss(true)) {
        (Some(first), Some(last)) => format!(", loss {first:.4} → {last:.4}"),
        _ => String::new(),
    };
    let text = format!("{} steps{loss}\nmodel: {}", meta.steps, folder.display());
    screen.result(&json, &text)?;
    Ok(0)
}

/// One task a store and one a table.
fn tasks_of(config: &Config, screen: &Screen) -> anyhow::Result<Vec<MetaTask>> {
    let naming = match (config.legend, config.level) {
        (Some(legend), level) => Some(Naming::new(legend, level)?),
        (None, None) => None,
        (None, Some(_)) => {
            let text = "config key level: it is that of a legend; give the key legend too";
            return Err(Usage(text.into()).into());
        }
    };
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
    let opened = Store::open(store)?;
    let cells = opened.cells()?;
    let images = days_of_store(&opened, &cells)?;
    let asked = LabelsAsked { images, naming, ..LabelsAsked::default() };
    let read = read_labels(labels, &asked)?;
    say_of_labels(&read, screen);
    let mut labelled = Labelled::default();
    let (mut bands, mut days) = (Vec::new(), Vec::new());
    for cell in cells {
        let reader = opened.cell(&cell)?;
        let here = read.on(&reader.georef, (reader.rows, reader.cols))?;
        let window = surco_core::Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
        let cube = read_cube(&opened, &SeriesWindow { cell, window }, None)?;
        labelled.add(&cube, &thinned(here, per_class), 500.0);
        bands.clone_from(&cube.bands);
        days.extend(cube.days.iter().copied());
    }
    Ok(task_of(labels.display().to_string(), labelled, bands, &days))
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
    let names = labelled.names();
    let place = |class: &String| names.iter().position(|n| n == class).unwrap_or(0);
    let last = days.iter().max().copied().unwrap_or(0);
    let first = days.iter().min().copied().unwrap_or(0);
    MetaTask {
        name,
        bands,
        window: (first.min(last - 364), last + 1),
        classes: labelled.classes.iter().map(place).collect(),
        samples: labelled.samples,
        places: labelled.blocks,
    }
}
