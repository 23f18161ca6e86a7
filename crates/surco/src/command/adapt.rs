//! `surco adapt`: from a few labels to a task.

use std::path::{Path, PathBuf};

use ndarray::{Axis, concatenate};
use surco_core::{Legend, Window};
use surco_data::{BatchSpec, Cube, Sample, SeriesWindow, SpectralBand, read_cube, read_labels};
use surco_eval::fewshot::{Episode, SuiteResult, fold_episodes};
use surco_eval::trust::{HeldOut, Trust, trust};
use surco_learn::{AdapterFeatures, Features, MOST_UNLABELLED, Unlabelled, adapt};
use surco_map::{Sets, Task, save_task};
use surco_net::{Device, Model};
use surco_store::Store;

use crate::compare::{Comparison, columns_of, compare, on_one_axis, spread_over, table};
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

/// Share of the truth that sets of classes are to hold.
const LEVEL: f64 = 0.9;

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (model, weights) = released::model(args.model.as_deref(), device)?;
    let read = read_labelled(&args.store, &args.labels, args.block_m, args.per_class, screen)?;
    let episodes = fold_episodes(&read.labelled.classes, &read.labelled.blocks, 5, args.seeds);
    let cross = cross_validate(&read, &model, &episodes, screen)?;
    let features = Prepared::new(&read, &model, device);
    let trust = held_out(&features, &episodes).and_then(|held| trust(&held, LEVEL));
    let mut task = fit(&read, &features, weights)?;
    if let Some(trust) = &trust {
        task.adapter = task.adapter.tempered(trust.temperature as f32);
        task.sets = Some(Sets { level: trust.level, threshold: trust.threshold });
    }
    save_task(&task, &args.out)?;
    let tells = tells(&cross, task.labels.len());
    let json = serde_json::json!({
        "task": args.out, "labels": task.labels, "classes": read.labelled.names(),
        "features": task.adapter.features, "unlabelled": read.unlabelled.len(),
        "unseen": read.unseen, "trust": trust, "enough_labels": tells, "cross_validation": cross,
    });
    let text = format!(
        "{}\n{}\n{}{} labels of {} classes, {} series without labels\ntask: {}",
        table(&cross),
        told(trust.as_ref()),
        if tells {
            ""
        } else {
            "too few labels to tell: no better than chance on blocks held out\n"
        },
        read.labelled.samples.len(),
        task.labels.len(),
        read.unlabelled.len(),
        args.out.display()
    );
    screen.result(&json, &text)?;
    Ok(0)
}

/// Whether blocks held out are told better than by chance, by more than two standard deviations over seeds.
fn tells(cross: &SuiteResult, classes: usize) -> bool {
    let own = cross.rows.iter().find(|r| r.method == "surco");
    own.is_some_and(|r| r.mean - 2.0 * r.sd > 1.0 / classes as f64)
}

fn told(trust: Option<&Trust>) -> String {
    let Some(t) = trust else {
        return "too few labels for sets of classes and for calibrated probabilities".into();
    };
    format!(
        "on {} places of blocks held out: sets for {:.0} % held the truth in {:.1} %, {:.1} classes each; calibration error {:.3}, {:.3} before",
        t.n,
        100.0 * t.level,
        100.0 * t.coverage,
        t.set_size,
        t.error_after,
        t.error_before
    )
}

/// Features of labelled series and of those without labels.
pub(crate) struct Prepared {
    /// `[labelled]`, places among the names in order.
    classes: Vec<usize>,
    support: Features,
    unlabelled: Unlabelled,
}

impl Prepared {
    pub(crate) fn new(read: &Read, model: &Model, device: &Device) -> Self {
        let spec = read.spec(model);
        let features = |samples: &[Sample]| {
            let refs: Vec<&Sample> = samples.iter().collect();
            Features::new(AdapterFeatures::Both, model, &refs, &spec, device)
        };
        let names = read.labelled.names();
        let class = |c: &String| names.partition_point(|n| n < c);
        Self {
            classes: read.labelled.classes.iter().map(class).collect(),
            support: features(&read.labelled.samples),
            unlabelled: Unlabelled::new(features(&read.unlabelled)),
        }
    }
}

/// Probabilities of every labelled place from the folds of the first seed that do not hold its block.
fn held_out(features: &Prepared, episodes: &[Episode]) -> Option<HeldOut> {
    let first = episodes.first()?;
    let folds: Vec<&Episode> = episodes.iter().filter(|e| e.seed == first.seed).collect();
    let count = first.classes.len();
    let (mut rows, mut truth, mut fold_of) = (Vec::new(), Vec::new(), Vec::new());
    for (fold, episode) in folds.iter().enumerate() {
        let class = |&p: &usize| features.classes.get(p).copied();
        let given: Vec<usize> = episode.support.iter().filter_map(class).collect();
        let support = features.support.select(&episode.support);
        let adapter = adapt(&support, &given, count, &features.unlabelled, AdapterFeatures::Both);
        rows.push(adapter.predict(&features.support.select(&episode.query)));
        truth.extend(episode.query.iter().filter_map(class));
        fold_of.extend(episode.query.iter().map(|_| fold));
    }
    let views: Vec<_> = rows.iter().map(|r| r.view()).collect();
    let chances = concatenate(Axis(0), &views).ok()?;
    Some(HeldOut { chances, truth, folds: fold_of })
}

/// Labels on the pixels of a store.
pub(crate) struct Read {
    pub(crate) labelled: Labelled,
    pub(crate) bands: Vec<SpectralBand>,
    pub(crate) names: Vec<String>,
    pub(crate) window: (i32, i32),
    pub(crate) unseen: usize,
    /// Series of the same cells, spread evenly, whatever grows there.
    pub(crate) unlabelled: Vec<Sample>,
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
        unlabelled: Vec::new(),
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
        read.unlabelled.extend(unlabelled(&cube));
        read.unseen += read.labelled.add(&cube, &here, block_m);
        read.bands.clone_from(&cube.bands);
        read.names.clone_from(&cube.band_names);
        let (first, last) = (cube.days[0], cube.days[cube.days.len() - 1]);
        read.window = (read.window.0.min(first.min(last - 364)), read.window.1.max(last + 1));
    }
    read.unlabelled = spread_over(&read.unlabelled, MOST_UNLABELLED);
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

/// Series of a cube that were seen, spread evenly over it.
pub(crate) fn unlabelled(cube: &Cube) -> Vec<Sample> {
    let (rows, cols) = cube.size();
    // As many rows and columns as make about the most that is looked at.
    let side = (MOST_UNLABELLED as f64).sqrt().ceil() as usize;
    let places = |length: usize| spread_over(&(0..length).collect::<Vec<_>>(), side);
    let columns = places(cols);
    let of_row = |row: usize| columns.iter().map(move |&col| (row, col));
    let all = places(rows).into_iter().flat_map(of_row).map(|(row, col)| cube.sample(row, col));
    all.filter(|sample| !sample.is_empty()).collect()
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
    episodes: &[Episode],
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
        blocks: None,
        unlabelled: Some(&read.unlabelled),
    };
    compare(&set, model, episodes, 0, screen)
}

/// Fits the task to all labels.
pub(crate) fn fit(
    read: &Read,
    features: &Prepared,
    weights_sha256: String,
) -> anyhow::Result<Task> {
    let legend = Legend::from_names(&read.labelled.names())?;
    fit_to(read, features, weights_sha256, legend)
}

/// Fits the task to all labels under a given legend, whose classes all have labels.
pub(crate) fn fit_to(
    read: &Read,
    features: &Prepared,
    weights_sha256: String,
    legend: Legend,
) -> anyhow::Result<Task> {
    let classes: Vec<usize> =
        read.labelled.classes.iter().filter_map(|c| legend.index_of(c)).collect();
    if classes.len() != read.labelled.classes.len() {
        return Err(BadInput("a label's class is not in the legend".into()).into());
    }
    let count = legend.classes().len();
    let Prepared { support, unlabelled, .. } = features;
    let adapter = adapt(support, &classes, count, unlabelled, AdapterFeatures::Both);
    let labels = (0..count).map(|c| classes.iter().filter(|&&k| k == c).count()).collect();
    let window = read.window;
    Ok(Task { schema: 2, legend, adapter, weights_sha256, window, labels, sets: None })
}
