//! `surco meta`: an encoder learns to learn from few labels.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use surco_data::{LabelsAsked, SeriesWindow, numbered, read_cube, read_labels, read_table};
use surco_learn::{MetaConfig, MetaMethod, MetaTask, meta_train, open_run};
use surco_net::{Device, load_model, save_model};
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::learning::{Labelled, days_of_store, read_config, say_of_labels, thinned};
use crate::screen::Screen;

/// Meta-trains a pre-trained encoder over small tasks drawn from labelled places
///
/// The run folder holds the config, `metrics.jsonl`, `speed.jsonl`, `tensorboard/`, `loss.svg`, checkpoints and at
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
    model: PathBuf,
    /// One store a task.
    #[serde(default)]
    stores: Vec<PathBuf>,
    /// Labels of each store.
    #[serde(default)]
    labels: Vec<PathBuf>,
    /// Folders of labelled series, each a task.
    #[serde(default)]
    sets: Vec<PathBuf>,
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
    seed: u64,
}

fn per_class() -> usize {
    300
}

pub(crate) fn run(args: &Args, devices: &[Device], screen: &Screen) -> anyhow::Result<u64> {
    let config: Config = read_config(&args.config)?;
    if config.schema != 1 {
        return Err(
            Usage(format!("config key schema = {}: this version reads 1", config.schema)).into()
        );
    }
    if config.stores.is_empty() && config.sets.is_empty() {
        let text = "config keys stores and sets: nothing to draw tasks from; give one of them";
        return Err(Usage(text.into()).into());
    }
    if config.stores.len() != config.labels.len() {
        let (stores, labels) = (config.stores.len(), config.labels.len());
        let text = format!(
            "config keys stores ({stores} of them) and labels ({labels}): give one file of labels for each store"
        );
        return Err(Usage(text).into());
    }
    let (model, _) = load_model(&config.model, &devices[0])?;
    let mut tasks = Vec::new();
    for (store, labels) in config.stores.iter().zip(&config.labels) {
        tasks.push(labelled_task(store, labels, config.per_class, screen)?);
    }
    for set in &config.sets {
        tasks.push(table_task(set)?);
    }
    let plain = MetaConfig::default();
    let meta = MetaConfig {
        method: config.method,
        episodes: config.episodes.unwrap_or(plain.episodes),
        queries: config.queries.unwrap_or(plain.queries),
        band_dropout: config.band_dropout.unwrap_or(plain.band_dropout),
        steps: config.steps.unwrap_or(plain.steps),
        ways: config.ways.unwrap_or(plain.ways),
        shots: config.shots.unwrap_or(plain.shots),
        learning_rate: config.learning_rate.unwrap_or(plain.learning_rate),
        inner_steps: config.inner_steps.unwrap_or(plain.inner_steps),
        inner_rate: config.inner_rate.unwrap_or(plain.inner_rate),
        seed: config.seed,
        out: Some(config.out.clone()),
    };
    let text = std::fs::read_to_string(&args.config).context("cannot read the config again")?;
    open_run(&config.out, &text, args.resume)?;
    let trained = meta_train(model, &meta, &tasks, devices, screen);
    let (model, curve) = super::pretrain::drawn(trained, &config.out)?;
    let folder = config.out.join("model");
    let weights = save_model(&model, &folder)?;
    let json = serde_json::json!({
        "model": folder, "steps": meta.steps, "weights_sha256": weights,
        "loss_first": curve.mean_loss(false), "loss_last": curve.mean_loss(true),
    });
    let text = format!(
        "{} steps, loss {:.4} → {:.4}\nmodel: {}",
        meta.steps,
        curve.mean_loss(false).unwrap_or(f64::NAN),
        curve.mean_loss(true).unwrap_or(f64::NAN),
        folder.display()
    );
    screen.result(&json, &text)?;
    Ok(0)
}

fn labelled_task(
    store: &Path,
    labels: &Path,
    per_class: usize,
    screen: &Screen,
) -> anyhow::Result<MetaTask> {
    let opened = Store::open(store)?;
    let cells = opened.cells()?;
    let asked = LabelsAsked { images: days_of_store(&opened, &cells)?, ..LabelsAsked::default() };
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
fn table_task(folder: &Path) -> anyhow::Result<MetaTask> {
    let table = read_table(&folder.join("points.parquet"), &folder.join("series.parquet"))?;
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
