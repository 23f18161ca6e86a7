//! `surco adapt`: from a few labels to a task.

use std::path::{Path, PathBuf};

use surco_core::{Legend, Window};
use surco_data::{BatchSpec, Sample, SeriesWindow, SpectralBand, read_cube, read_labels};
use surco_eval::fewshot::{SuiteResult, fold_episodes};
use surco_learn::{Adapter, AdapterFeatures, Features, adapt};
use surco_map::{Task, save_task};
use surco_net::{Device, Model};
use surco_store::Store;

use crate::compare::{Comparison, columns_of, compare, on_one_axis, table};
use crate::exit::BadInput;
use crate::learning::{Labelled, thinned};
use crate::released;
use crate::screen::Screen;

/// Adapts a model to a few labels, and says how far to trust it
///
/// Labels are points or polygons (GeoJSON), points (CSV with lon, lat and class) or a raster of codes. The table
/// is a cross-validation by spatial blocks, beside the baselines.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco adapt --labels labels.geojson --store valley --out task")]
pub(crate) struct Args {
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Labels: .geojson, .csv or .tif
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// The store with the pixels
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Folder for the task
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Side of the blocks that cross-validation keeps together, in m
    #[arg(long, default_value_t = 500.0, value_name = "M")]
    block_m: f64,
    /// Most labelled pixels used of a class, spread evenly over those there are
    #[arg(long, default_value_t = 40, value_name = "N")]
    per_class: usize,
    /// Seeds of the cross-validation
    #[arg(long, default_value_t = 5)]
    seeds: u64,
}

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (model, weights) = released::model(args.model.as_deref(), device)?;
    let read = read_labelled(&args.store, &args.labels, args.block_m, args.per_class, screen)?;
    let episodes = fold_episodes(&read.labelled.classes, &read.labelled.blocks, 5, args.seeds);
    let cross = cross_validate(&read, &model, &episodes, screen)?;
    let task = fit(&read, &model, weights, device)?;
    save_task(&task, &args.out)?;
    let json = serde_json::json!({
        "task": args.out, "labels": task.labels, "classes": read.labelled.names(),
        "features": task.adapter.features, "strength": task.adapter.head.strength,
        "unseen": read.unseen, "cross_validation": cross,
    });
    let text = format!(
        "{}\n{} labels of {} classes; features: {:?}\ntask: {}",
        table(&cross),
        read.labelled.samples.len(),
        task.labels.len(),
        task.adapter.features,
        args.out.display()
    );
    screen.result(&json, &text)?;
    Ok(0)
}

/// Labels on the pixels of a store.
pub(crate) struct Read {
    pub(crate) labelled: Labelled,
    pub(crate) bands: Vec<SpectralBand>,
    pub(crate) names: Vec<String>,
    pub(crate) window: (i32, i32),
    pub(crate) unseen: usize,
}

/// Reads the labelled pixels of a store, at most `per_class` of each class in each cell.
pub(crate) fn read_labelled(
    store: &Path,
    file: &Path,
    block_m: f64,
    per_class: usize,
    screen: &Screen,
) -> anyhow::Result<Read> {
    let store = Store::open(store)?;
    let labels = read_labels(file)?;
    labels.assumed.iter().for_each(|a| screen.say(&format!("assumed: {a}")));
    let mut read = Read {
        labelled: Labelled::default(),
        bands: Vec::new(),
        names: Vec::new(),
        window: (i32::MAX, i32::MIN),
        unseen: 0,
    };
    let mut nowhere = None;
    for cell in store.cells()? {
        let reader = store.cell(&cell)?;
        let here = match labels.on(&reader.georef, (reader.rows, reader.cols)) {
            Ok(here) => here,
            Err(error @ surco_data::LabelError::Nowhere { .. }) => {
                nowhere = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let window = Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
        let cube = read_cube(&store, &SeriesWindow { cell, window }, None)?;
        let there = here.len();
        let here = thinned(here, per_class);
        if here.len() < there {
            screen
                .say(&format!("assumed: {} of {there} labelled pixels stand for all", here.len()));
        }
        read.unseen += read.labelled.add(&cube, &here, block_m);
        read.bands.clone_from(&cube.bands);
        read.names.clone_from(&cube.band_names);
        let (first, last) = (cube.days[0], cube.days[cube.days.len() - 1]);
        read.window = (read.window.0.min(first.min(last - 364)), read.window.1.max(last + 1));
    }
    if let (true, Some(error)) = (read.labelled.samples.is_empty(), nowhere) {
        return Err(error.into());
    }
    let file = file.display();
    match read.labelled.names().as_slice() {
        [] => {
            let text = format!(
                "labels {file}: no labelled pixel is in the store or was ever seen clearly"
            );
            Err(BadInput(text).into())
        }
        [one] => {
            let text = format!("labels {file} hold one class ({one}): at least two are needed");
            Err(BadInput(text).into())
        }
        _ => Ok(read),
    }
}

impl Read {
    /// How a model reads these series.
    pub(crate) fn spec(&self, model: &Model) -> BatchSpec {
        model.config.spec(&self.bands, self.window)
    }
}

/// Scores every method on episodes of these labels.
pub(crate) fn cross_validate(
    read: &Read,
    model: &Model,
    episodes: &[surco_eval::fewshot::Episode],
    screen: &Screen,
) -> anyhow::Result<SuiteResult> {
    let (days, values) = on_one_axis(&read.labelled.samples, read.bands.len());
    let set = Comparison {
        name: "labels",
        samples: &read.labelled.samples,
        values: &values,
        columns: &columns_of(&read.bands, &read.names),
        days: &days,
        labels: &read.labelled.classes,
        places: None,
        spec: read.spec(model),
    };
    compare(&set, model, episodes, 0, screen)
}

/// Fits the task to all labels.
pub(crate) fn fit(
    read: &Read,
    model: &Model,
    weights_sha256: String,
    device: &Device,
) -> anyhow::Result<Task> {
    let names = read.labelled.names();
    let legend = Legend::from_names(&names)?;
    fit_to(read, model, weights_sha256, legend, device)
}

/// Fits the task to all labels under a given legend, whose classes all have labels.
pub(crate) fn fit_to(
    read: &Read,
    model: &Model,
    weights_sha256: String,
    legend: Legend,
    device: &Device,
) -> anyhow::Result<Task> {
    let classes: Vec<usize> =
        read.labelled.classes.iter().filter_map(|c| legend.index_of(c)).collect();
    if classes.len() != read.labelled.classes.len() {
        return Err(BadInput("a label's class is not in the legend".into()).into());
    }
    let count = legend.classes().len();
    let refs: Vec<&Sample> = read.labelled.samples.iter().collect();
    let features = Features::new(AdapterFeatures::Both, model, &refs, &read.spec(model), device);
    let adapter: Adapter = adapt(&features, &classes, count, &features, &AdapterFeatures::ALL);
    let labels = (0..count).map(|c| classes.iter().filter(|&&k| k == c).count()).collect();
    Ok(Task { schema: 1, legend, adapter, weights_sha256, window: read.window, labels })
}
