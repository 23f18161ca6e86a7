//! `surco adapt`: from a few labels to a task.

mod number;
mod read;
mod suspicious;

use std::path::PathBuf;

use ndarray::{Array2, Array3, s};
use surco_core::Legend;
use surco_data::{Naming, Sample, SharedLegend};
use surco_eval::fewshot::{Episode, SeriesBand, SuiteResult, fold_episodes};
use surco_eval::trust::{HeldOut, Trust, trust};
use surco_learn::{AdapterFeatures, Features, Unlabelled, adapt};
use surco_map::{NUMBER_FILE, Sets, TASK_FILE, Task, save_task};
use surco_net::{Device, Model};

use crate::compare::{Beside, Compared, Comparison, columns_of, compare, on_one_axis, table};
use crate::exit::{BadInput, Usage};
use crate::released;
use crate::screen::Screen;

pub(crate) use read::{LabelFile, OfLabels, Read, read_labelled, unlabelled};
use suspicious::{suspicious, told_of};

/// Adapts a model to a few labels, and says how far to trust it
///
/// Labels are points or polygons (GeoPackage, Shapefile, zipped or not, GeoJSON, Parquet), points (CSV with lon, lat and
/// class) or a raster of codes. Columns of personal data are dropped; what is assumed, left out or looks wrong is told.
/// The table is a cross-validation by spatial blocks, beside the baselines. With --number, the task foretells a number with its interval.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco adapt --labels labels.gpkg --store valley --out task\n  surco adapt --labels labels.gpkg --legend hcat --level 3 --store valley --out task\n  surco adapt --labels harvest.gpkg --number yield_t_ha --store valley --out yield"
)]
pub(crate) struct Args {
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Labels: .gpkg, .shp, .zip (of a Shapefile), .geojson, .parquet, .csv or .tif
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Column of the class, if it is not called as one (class, crop, cultivo, especie, uso …)
    #[arg(long, value_name = "NAME")]
    class_column: Option<String>,
    /// Column of a number to foretell in the stead of a class, such as a yield or a moisture
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["class_column", "legend"])]
    number: Option<String>,
    /// EPSG code of the coordinates of a table, if they are no degrees, such as 32719
    #[arg(long, value_name = "CODE")]
    epsg: Option<u32>,
    /// Legend that classes are named by, whatever language or code they are in: hcat, worldcereal or ciren
    #[arg(long, value_name = "NAME")]
    legend: Option<SharedLegend>,
    /// Level of that legend, 1 the coarsest: finer classes become one; as fine as the labels are if not given
    #[arg(long, value_name = "N", requires = "legend")]
    level: Option<u8>,
    /// The store with the pixels
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Folder for the task
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Side of the blocks that cross-validation keeps together, in m
    #[arg(long, default_value_t = 500.0, value_name = "M")]
    block_m: f64,
    /// Most labelled pixels used of a class, or of one value of a number, spread evenly over those there are
    #[arg(long, default_value_t = 40, value_name = "N")]
    per_class: usize,
    /// Seeds of the cross-validation
    #[arg(long, default_value_t = 5)]
    seeds: u64,
}

/// Share of the truth that sets of classes are to hold.
const LEVEL: f64 = 0.9;

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    refuse_other_kind(args)?;
    let (model, weights) = released::model(args.model.as_deref(), device)?;
    let (class_column, epsg) = (args.class_column.as_deref(), args.epsg);
    let naming = args.legend.map(|legend| Naming::new(legend, args.level)).transpose()?;
    if let Some(column) = &args.number {
        return number::run(args, column, &(model, weights), device, screen);
    }
    let file = LabelFile { path: &args.labels, class_column, epsg, naming, numbers: false };
    let read = read_labelled(&args.store, &file, args.block_m, args.per_class, screen)?;
    let episodes = fold_episodes(&read.labelled.classes, &read.labelled.blocks, 5, args.seeds);
    let features = Prepared::new(&read, &model, device);
    let columns = Columns::of(&read);
    let set = Comparison { parts: false, ..columns.set(&read, &model, &features) };
    let Compared { table: cross, said } = compare(&set, &model, &episodes, 0, screen)?;
    let held = held_out(&features, &episodes, said);
    let tells = tells(&cross, read.labelled.names().len());
    // Who knows no better than chance has nobody to suspect.
    let suspicious = match &held {
        Some((held, places)) if tells => suspicious(held, places, &read.labelled),
        Some(_) | None => Vec::new(),
    };
    let trust = held.and_then(|(held, _)| trust(&of_first_seed(&held, &episodes), LEVEL));
    let mut task = fit(&read, &features, weights)?;
    if let Some(trust) = &trust {
        task.adapter = task.adapter.tempered(trust.temperature as f32);
        task.sets = Some(Sets { level: trust.level, threshold: trust.threshold });
    }
    save_task(&task, &args.out)?;
    let json = serde_json::json!({
        "task": args.out, "labels": task.labels, "classes": read.labelled.names(),
        "features": task.adapter.features, "unlabelled": read.unlabelled.len(),
        "unseen": read.unseen, "assumed": read.told.assumed, "left_out": read.told.left_out,
        "left_out_pixels": read.told.left_out_pixels, "legend": read.told.named,
        "suspicious": suspicious, "trust": trust, "enough_labels": tells, "cross_validation": cross,
    });
    let text = format!(
        "{}\n{}\n{}{}{} labels of {} classes, {} series without labels\ntask: {}",
        table(&cross),
        told(trust.as_ref()),
        told_of(&suspicious),
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

/// Refuses a folder that holds a task of the other kind, since a folder is one task.
fn refuse_other_kind(args: &Args) -> Result<(), Usage> {
    let (file, kind) = match args.number {
        Some(_) => (TASK_FILE, "classes"),
        None => (NUMBER_FILE, "a number"),
    };
    if !args.out.join(file).exists() {
        return Ok(());
    }
    let out = args.out.display();
    Err(Usage(format!("{out} holds a task of {kind}: give another folder to --out")))
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
        Self {
            classes: read.labelled.numbers(),
            support: features(&read.labelled.samples),
            unlabelled: Unlabelled::new(features(&read.unlabelled)),
        }
    }
}

/// What was said of every labelled place by the folds of each seed that do not hold its block, seed after seed, and the place of
/// each row among the labels.
fn held_out(
    features: &Prepared,
    episodes: &[Episode],
    said: Vec<Array2<f32>>,
) -> Option<(HeldOut, Vec<usize>)> {
    let truth = |episode: &Episode| episode.query.iter().map(|&p| features.classes[p]).collect();
    let folds = said.into_iter().zip(episodes).map(|(said, episode)| (said, truth(episode)));
    let held = HeldOut::of_folds(folds.collect())?;
    let places = episodes.iter().flat_map(|e| e.query.iter().copied()).collect();
    Some((held, places))
}

/// The rows of the first seed, in which each place is once.
fn of_first_seed(held: &HeldOut, episodes: &[Episode]) -> HeldOut {
    let folds = episodes.iter().take_while(|e| e.seed == episodes[0].seed);
    let n = folds.map(|e| e.query.len()).sum();
    HeldOut {
        chances: held.chances.slice(s![..n, ..]).to_owned(),
        truth: held.truth[..n].to_vec(),
        folds: held.folds[..n].to_vec(),
    }
}

/// Labelled series as the baselines read them.
pub(crate) struct Columns {
    days: Vec<i32>,
    values: Array3<f32>,
    columns: Vec<SeriesBand>,
}

impl Columns {
    pub(crate) fn of(read: &Read) -> Self {
        let (days, values) = on_one_axis(&read.labelled.samples, read.bands.len());
        Self { days, values, columns: columns_of(&read.bands, &read.names) }
    }

    /// What methods are compared on.
    pub(crate) fn set<'a>(
        &'a self,
        read: &'a Read,
        model: &Model,
        features: &'a Prepared,
    ) -> Comparison<'a> {
        let Prepared { support: ours, unlabelled: others, .. } = features;
        Comparison {
            name: "labels",
            samples: &read.labelled.samples,
            values: &self.values,
            columns: &self.columns,
            days: &self.days,
            labels: &read.labelled.classes,
            places: None,
            spec: read.spec(model),
            blocks: None,
            beside: Some(Beside { samples: &read.unlabelled, ours, others }),
            parts: true,
        }
    }
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
