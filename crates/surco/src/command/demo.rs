//! `surco demo`: the whole path on a simulated valley, offline.

mod picture;
mod summary;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_collect::{CollectRequest, CollectSummary, RunOptions};
use surco_core::{CellId, Georef, Legend, Progress, Window};
use surco_data::{Cube, Exclusion, PointLabel, SeriesWindow, read_cube};
use surco_eval::fewshot::{DrawDesign, Episode, SuiteResult, draw_episodes};
use surco_learn::{
    LatentTargets, MaskWeights, MetaConfig, Precision, PretextWeights, PretrainConfig, RunSummary,
    System, meta_train, pretrain,
};
use surco_map::area::{
    AreaEstimate, SampleDesign, StratifiedSample, estimate_areas, stratified_sample,
};
use surco_map::{ClassMap, Task, classify, save_task, write_map};
use surco_net::{Device, DeviceName, Model, Size, save_model};
use surco_raster::cog::CogFile;
use surco_raster::projection::Projection;
use surco_raster::vector::{Collection, Feature, Shape, write_geojson};
use surco_serve::serve_archive;
use surco_sim::{ValleyConfig, write_archive};
use surco_store::Store;

use super::adapt::{Columns, OfLabels, Prepared, Read, fit_to, unlabelled};
use crate::compare::compare;
use crate::exit::{BadInput, Usage};
use crate::learning::{Labelled, Sources, WindowCuts, pool};
use crate::screen::Screen;

/// File that marks a folder as a demo's own.
const MARK: &str = ".surco-demo";

/// Labels per class.
const SHOTS: usize = 10;

/// Seeds of the comparison.
const SEEDS: u64 = 5;

/// Labelled pixels per class that episodes are drawn from.
const POOL_PER_CLASS: usize = 220;

/// Side of the blocks that no split cuts, in m: ten times the width of a small parcel.
const BLOCK_M: f64 = 500.0;

/// Points of the probability sample for areas.
const AREA_SAMPLE: u64 = 700;

/// The whole path on a simulated valley, offline: archive, store, pre-training, meta-training, a few labels, map,
/// areas with intervals, report
///
/// Two valleys are simulated: a labelled one "abroad", on which the encoder learns, and the one to be mapped, of
/// which it has never seen a pixel. What comes out is DIR/report.html.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco demo --out demo --seed 7")]
pub(crate) struct Args {
    /// Folder to write to
    #[arg(long, default_value = "demo", value_name = "DIR")]
    out: PathBuf,
    /// Seed of everything
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Seconds of each stage, in order.
pub(crate) struct Clock(Vec<(&'static str, f64)>);

impl Clock {
    fn time<T>(
        &mut self,
        name: &'static str,
        screen: &Screen,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if screen.stopped() {
            return Err(anyhow::anyhow!("stopped before {name}; run again to begin anew"));
        }
        let started = Instant::now();
        let result = work().map_err(|error| {
            if screen.stopped() {
                return anyhow::anyhow!("stopped during {name}; run again to begin anew");
            }
            error.context(format!("the demo failed at: {name}"))
        })?;
        self.0.push((name, started.elapsed().as_secs_f64()));
        Ok(result)
    }
}

/// Everything the report tells of.
pub(crate) struct Told {
    pub(crate) seed: u64,
    pub(crate) collected: CollectSummary,
    pub(crate) records: Vec<surco_store::SceneRecord>,
    pub(crate) cells: usize,
    pub(crate) run: RunSummary,
    pub(crate) meta: surco_learn::Curve,
    pub(crate) table: SuiteResult,
    pub(crate) task: Task,
    pub(crate) map: ClassMap,
    pub(crate) truth: ndarray::Array2<u8>,
    pub(crate) legend: Legend,
    pub(crate) sample: StratifiedSample,
    pub(crate) counts: Vec<Vec<u64>>,
    pub(crate) area: AreaEstimate,
    pub(crate) truth_ha: Vec<f64>,
    pub(crate) cube: Cube,
    pub(crate) pool: Labelled,
    pub(crate) clock: Clock,
    pub(crate) device: String,
}

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let out = &args.out;
    prepare(out)?;
    let mut clock = Clock(Vec::new());
    let (abroad, home) = valleys(args.seed);
    let dir = |name: &str| out.join(name);
    let started = Instant::now();

    let (there, here) = clock.time("simulate", screen, || {
        let there = write_archive(&abroad, &dir("archive/abroad"), screen)?;
        Ok((there, write_archive(&home, &dir("archive/home"), screen)?))
    })?;
    screen.say(&format!("simulated {} scenes", there.scenes + here.scenes));
    let collected = clock.time("collect", screen, || {
        collect(&dir("archive/abroad"), &dir("store/abroad"), screen)?;
        collect(&dir("archive/home"), &dir("store/home"), screen)
    })?;
    let config = pretrain_config(out, args.seed);
    let (model, run) = clock.time("pretrain", screen, || {
        let cuts = WindowCuts { windows: config.windows, window_px: config.window_px };
        let exclusion = &Exclusion::default();
        let sources = Sources { stores: &config.stores, tables: &[], exclusion };
        let series = pool(sources, cuts, config.seed, screen)?;
        Ok(pretrain(&config, &series, false, std::slice::from_ref(device), screen)?)
    })?;
    let trained = clock.time("meta-train", screen, || {
        let read = truth_pool(&dir("store/abroad"), &there.truth_dir, args.seed, 150)?.0;
        let days: Vec<i32> = vec![read.window.0, read.window.1 - 1];
        let task = super::meta::task_of("valley abroad".into(), read.labelled, read.bands, &days);
        let meta =
            MetaConfig { seed: args.seed, steps: 120, band_dropout: 0.1, ..MetaConfig::default() };
        Ok(meta_train(model, &meta, &[task], std::slice::from_ref(device), screen)?)
    })?;
    let (model, meta) = (trained.model, trained.curve);
    let weights = save_model(&model, &dir("model"))?;
    let (read, cube, truth) =
        truth_pool(&dir("store/home"), &here.truth_dir, args.seed, POOL_PER_CLASS)?;
    let (table, task) =
        clock.time("adapt", screen, || adapt(out, &read, &model, &here.legend, weights, screen))?;
    let map = clock.time("map", screen, || {
        let store = Store::open(dir("store/home"))?;
        let map = classify(&store, &cube.cell, &model, &task, device, screen)?;
        write_map(&map, &here.legend, &dir("map.tif"))?;
        Ok(map)
    })?;
    let (sample, counts, area) =
        clock.time("area", screen, || areas(&map, &truth, &here.legend, args.seed))?;
    let records = records(&dir("store/home"), &cube.cell)?;
    let told = Told {
        seed: args.seed,
        cells: Store::open(dir("store/home"))?.cells()?.len(),
        truth_ha: here.areas.iter().map(|a| a.area_ha).collect(),
        legend: here.legend.clone(),
        pool: read.labelled,
        collected,
        records,
        run,
        meta,
        table,
        task,
        map,
        truth,
        sample,
        counts,
        area,
        cube,
        clock,
        device: DeviceName::of(device).map_or_else(String::new, |name| name.to_string()),
    };
    summary::write(&told, out, started.elapsed().as_secs_f64(), screen)
}

/// Takes the folder over if it is empty or an earlier demo's, and removes what could be taken for a result.
fn prepare(out: &Path) -> anyhow::Result<()> {
    if out.exists() {
        let mut entries = std::fs::read_dir(out)
            .with_context(|| format!("cannot use --out {}", out.display()))?;
        if entries.next().is_some() && !out.join(MARK).exists() {
            return Err(Usage(format!(
                "folder {} is not empty and holds no demo: choose another --out",
                out.display()
            ))
            .into());
        }
        for file in ["summary.json", "report.html", "map.tif"] {
            let path = out.join(file);
            if path.exists() {
                std::fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        for folder in ["archive", "store", "run", "model", "task"] {
            let path = out.join(folder);
            if path.exists() {
                std::fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    surco_core::write_whole(&out.join(MARK), b"This folder belongs to `surco demo`.\n")
        .with_context(|| format!("cannot write to {}", out.display()))
}

fn valleys(seed: u64) -> (ValleyConfig, ValleyConfig) {
    let home = ValleyConfig { seed, ..ValleyConfig::default() };
    let abroad = ValleyConfig {
        seed: seed ^ 0xAB0A_D000,
        year: home.year - 1,
        side_px: 384,
        tile: "19HCC".into(),
        y0_m: 6_300_040.0,
        ..ValleyConfig::default()
    };
    (abroad, home)
}

fn collect(archive: &Path, store: &Path, screen: &Screen) -> anyhow::Result<CollectSummary> {
    let server = serve_archive(archive, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let plan = surco_collect::plan(&CollectRequest::all_of(&server.url), screen)?;
    Ok(surco_collect::run(&plan, &RunOptions::into_store(store), screen)?)
}

fn pretrain_config(out: &Path, seed: u64) -> PretrainConfig {
    PretrainConfig {
        schema: 1,
        stores: vec![out.join("store/abroad")],
        tables: Vec::new(),
        exclude: Vec::new(),
        out: out.join("run"),
        size: Size::Nano,
        system: System::Surco,
        steps: 400,
        batch: 128,
        micro_batch: 32,
        learning_rate: 1e-3,
        warm_up_steps: 20,
        ema_decay: 0.0,
        precision: Precision::F32,
        recompute: false,
        pretext: PretextWeights::default(),
        latent_targets: LatentTargets::default(),
        mask_share: 0.4,
        masks: MaskWeights::default(),
        // Both valleys are seen by one sensor.
        band_dropout: 0.1,
        max_dates: 16,
        windows: 36,
        window_px: 1,
        patch_px: vec![1],
        context: Vec::new(),
        seed,
        checkpoint_every_steps: 100,
        validate_every_steps: 25,
    }
}

/// Labelled pixels drawn from the truth, the same number of each class, with their series.
fn truth_pool(
    store: &Path,
    truth_dir: &Path,
    seed: u64,
    per_class: usize,
) -> anyhow::Result<(Read, Cube, ndarray::Array2<u8>)> {
    let store = Store::open(store)?;
    let cells = store.cells()?;
    let [cell] = cells.as_slice() else {
        return Err(
            BadInput(format!("a valley fills one cell, the store has {}", cells.len())).into()
        );
    };
    let reader = store.cell(cell)?;
    let window = Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
    let cube = read_cube(&store, &SeriesWindow { cell: cell.clone(), window }, None)?;
    let file = CogFile::open(truth_dir.join("classes.tif"))?;
    let truth = file.read_u8(file.header().window())?.index_axis_move(ndarray::Axis(0), 0);
    let text = std::fs::read_to_string(truth_dir.join("legend.json"))?;
    let legend: Legend = serde_json::from_str(&text)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut labels = Vec::new();
    for class in legend.classes() {
        let mut pixels: Vec<(usize, usize)> =
            truth.indexed_iter().filter(|(_, c)| **c == class.code).map(|(at, _)| at).collect();
        for i in 0..per_class.min(pixels.len()) {
            let other = rng.random_range(i..pixels.len());
            pixels.swap(i, other);
            let (row, col) = pixels[i];
            labels.push(PointLabel { row, col, class: class.name.clone(), feature: labels.len() });
        }
    }
    let mut labelled = Labelled::default();
    let unseen = labelled.add(&cube, &labels, BLOCK_M);
    let read = Read {
        labelled,
        bands: cube.bands.clone(),
        names: cube.band_names.clone(),
        window: (
            cube.days[0].min(cube.days[cube.days.len() - 1] - 364),
            cube.days[cube.days.len() - 1] + 1,
        ),
        unseen,
        unlabelled: unlabelled(&cube),
        told: OfLabels::default(),
    };
    Ok((read, cube, truth))
}

/// Compares methods on episodes, then fits the task to the support of the first.
fn adapt(
    out: &Path,
    read: &Read,
    model: &Model,
    legend: &Legend,
    weights: String,
    screen: &Screen,
) -> anyhow::Result<(SuiteResult, Task)> {
    let design = DrawDesign { shots: vec![SHOTS], seeds: SEEDS, query_per_class: 60 };
    let labelled = &read.labelled;
    let episodes = draw_episodes(&labelled.classes, &labelled.blocks, None, &design)?;
    let features = Prepared::new(read, model, &model.device());
    let columns = Columns::of(read);
    let table = compare(&columns.set(read, model, &features), model, &episodes, 0, screen)?.table;
    let few = pick(labelled, &episodes[0]);
    write_labels(&few, &out.join("labels.geojson"))?;
    let support = Read {
        labelled: few,
        bands: read.bands.clone(),
        names: read.names.clone(),
        window: read.window,
        unseen: 0,
        unlabelled: read.unlabelled.clone(),
        told: OfLabels::default(),
    };
    let features = Prepared::new(&support, model, &model.device());
    let task = fit_to(&support, &features, weights, legend.clone())?;
    save_task(&task, &out.join("task"))?;
    Ok((table, task))
}

/// The labelled pixels of an episode's support.
fn pick(labelled: &Labelled, episode: &Episode) -> Labelled {
    let support = &episode.support;
    Labelled {
        samples: support.iter().map(|&i| labelled.samples[i].clone()).collect(),
        classes: support.iter().map(|&i| labelled.classes[i].clone()).collect(),
        blocks: support.iter().map(|&i| labelled.blocks[i]).collect(),
        places: support.iter().map(|&i| labelled.places[i]).collect(),
        features: support.iter().map(|&i| labelled.features[i]).collect(),
        cells: labelled.cells.clone(),
        pixels: support.iter().map(|&i| labelled.pixels[i]).collect(),
    }
}

/// Writes the few labels as a user would have them: points with a class.
fn write_labels(few: &Labelled, path: &Path) -> anyhow::Result<()> {
    let projection = Projection::from_epsg(ValleyConfig::default().epsg)?;
    let mut features = Vec::new();
    for (&(x, y), class) in few.places.iter().zip(&few.classes) {
        let (lon, lat) = projection.to_lonlat(x, y)?;
        let mut properties = serde_json::Map::new();
        properties.insert("class".into(), class.clone().into());
        features.push(Feature { shape: Shape::Point([lon, lat]), properties });
    }
    Ok(write_geojson(path, &Collection { epsg: 4326, features })?)
}

/// Draws the sample by mapped class, looks up the truth there and estimates areas.
fn areas(
    map: &ClassMap,
    truth: &ndarray::Array2<u8>,
    legend: &Legend,
    seed: u64,
) -> anyhow::Result<(StratifiedSample, Vec<Vec<u64>>, AreaEstimate)> {
    let codes: Vec<u8> = map.codes.iter().copied().collect();
    let design = SampleDesign { total: AREA_SAMPLE, floor: 25, seed };
    let sample = stratified_sample(&codes, map.codes.ncols(), &design)?;
    let count = legend.classes().len();
    let place = |code: u8| legend.classes().iter().position(|c| c.code == code);
    let mut counts = vec![vec![0_u64; count]; count];
    for point in &sample.points {
        if let (Some(mapped), Some(seen)) =
            (place(point.code), place(truth[[point.row, point.column]]))
        {
            counts[mapped][seen] += 1;
        }
    }
    let pixel_ha = map.georef.px_m * map.georef.px_m / 10_000.0;
    let mapped: Vec<f64> = legend
        .classes()
        .iter()
        .map(|c| codes.iter().filter(|&&code| code == c.code).count() as f64 * pixel_ha)
        .collect();
    let estimate = estimate_areas(&counts, &mapped)?;
    Ok((sample, counts, estimate))
}

fn records(store: &Path, cell: &CellId) -> anyhow::Result<Vec<surco_store::SceneRecord>> {
    Ok(Store::open(store)?.cell(cell)?.scenes)
}

/// Where the valley lies, for the report.
pub(crate) fn place_of(georef: &Georef) -> Option<(f64, f64)> {
    Projection::from_epsg(georef.epsg).ok()?.to_lonlat(georef.x0_m, georef.y0_m).ok()
}
