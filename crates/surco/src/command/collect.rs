//! `surco collect`: from a catalog to the store.

mod report;
mod slurm;

use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use jiff::civil::Date;
use surco_collect::report::{RunRecord, read_runs};
use surco_collect::{
    Area, CollectRequest, Onto, Places, PlanFigures, RunOptions, plan, run as run_plan,
};
use surco_core::{Season, Sensor};
use surco_data::weather::{self, WeatherRequest};
use surco_raster::vector::Polygon;
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::screen::Screen;

/// Bytes a second that a plan assumes before anything was measured: a common line to a bucket.
const ASSUMED_RATE: f64 = 25e6;

/// Plans, fetches, checks and writes scenes of Sentinel-2 or another sensor into a store
///
/// Without a verb: plan, run, report. What is done is skipped, so a stopped run goes on with the same
/// command. Finished with holes, it lists them and exits with 5.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco collect --catalog https://earth-search.aws.element84.com/v1 \\\n      --bbox=-71.3,-34.4,-71.2,-34.3 --season 2023 --store valley\n  surco collect plan --catalog items.json --store valley\n  surco collect verify --store valley\n  surco collect report --store valley --html valley.html\n  surco collect slurm --script valley.sh --tasks 16 --catalog items.json --store valley"
)]
pub(crate) struct Args {
    /// What to do; all of plan, run and report if not given
    verb: Option<Verb>,
    /// Root URL of a STAC API, JSON file of items, or GeoParquet index of items; several: they fill each
    /// other's gaps, the first preferred
    #[arg(long, value_name = "URL|FILE")]
    catalog: Vec<String>,
    /// Collection of the API
    #[arg(long, value_name = "ID")]
    collection: Vec<String>,
    /// What to collect: sentinel-2-l2a, sentinel-1-rtc, landsat-c2-l2, cop-dem-glo-30, agera5, or a
    /// description of your own (TOML)
    #[arg(long, value_name = "ID|FILE", default_value = "sentinel-2-l2a")]
    sensor: String,
    /// Bring scenes onto the cells of this store, so that cubes of several sensors meet; for sensors
    /// with a grid of their own
    #[arg(long, value_name = "STORE")]
    like: Option<PathBuf>,
    /// Area in degrees
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true, value_parser = box_of)]
    bbox: Option<[f64; 4]>,
    /// Area as polygons: GeoJSON, GeoParquet, GeoPackage or Shapefile
    #[arg(long, value_name = "FILE", conflicts_with = "bbox")]
    aoi: Option<PathBuf>,
    /// Places for chips, as `surco sample` writes them: points as GeoJSON, CSV, GeoParquet, GeoPackage or Shapefile
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bbox", "aoi"])]
    places: Option<PathBuf>,
    /// Side of a chip around each place, in pixels
    #[arg(long, value_name = "PX", default_value_t = 128, requires = "places")]
    chip: usize,
    /// Agricultural year: 2023 runs from May 2023 to April 2024; several make one plan
    #[arg(long, conflicts_with_all = ["from", "to"], value_delimiter = ',')]
    season: Vec<i16>,
    /// First day
    #[arg(long, value_name = "DATE", requires = "to")]
    from: Option<Date>,
    /// The day after the last
    #[arg(long, value_name = "DATE", requires = "from")]
    to: Option<Date>,
    /// Bands by name, for example B02,B04,B08; all ten if not given
    #[arg(long, value_delimiter = ',')]
    bands: Vec<String>,
    /// Leave out scenes with more clouds than this, in percent
    #[arg(long, value_name = "PERCENT")]
    max_cloud: Option<f64>,
    /// Only items that their catalog lists or changed since this moment (RFC 3339)
    #[arg(long, value_name = "TIME")]
    created_since: Option<Timestamp>,
    /// Keep the pixels of clouds, and fetch blocks that show nothing else
    #[arg(long)]
    keep_clouds: bool,
    /// The store: a folder, or a bucket as s3://BUCKET/PREFIX
    #[arg(long, value_name = "URL")]
    store: PathBuf,
    /// Which part of the plan to run, from 0
    #[arg(long, default_value_t = 0, value_name = "I")]
    shard_index: usize,
    /// Number of parts
    #[arg(long, default_value_t = 1, value_name = "N")]
    shard_count: usize,
    /// Try again where earlier runs left holes
    #[arg(long)]
    retry_holes: bool,
    /// Plan only
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: report::Args,
    #[command(flatten)]
    slurm: slurm::Args,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Verb {
    /// Say what would be fetched and written
    Plan,
    /// Fetch and write
    Run,
    /// Read the whole store again and compare checksums
    Verify,
    /// Say what the store holds, as a table and as a page
    Report,
    /// Write a script that collects as a Slurm job array
    Slurm,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    match args.verb {
        Some(Verb::Verify) => verify(args, screen),
        Some(Verb::Report) => report::run(&args.store, &args.report, screen),
        Some(Verb::Slurm) => slurm::run(&args.slurm, screen),
        Some(Verb::Plan) => collect(args, screen, true),
        Some(Verb::Run) | None => collect(args, screen, args.dry_run),
    }
}

fn seasons(args: &Args) -> anyhow::Result<Vec<Season>> {
    if let (Some(from), Some(to)) = (args.from, args.to) {
        return Ok(vec![Season::between(from, to)?]);
    }
    let years = args.season.iter().map(|&year| Season::agricultural(year));
    Ok(years.collect::<Result<_, _>>()?)
}

/// West, south, east and north, between commas.
fn box_of(text: &str) -> Result<[f64; 4], String> {
    let numbers: Vec<f64> = text
        .split(',')
        .map(|part| part.trim().parse().map_err(|_| format!("`{part}` is no number")))
        .collect::<Result<_, _>>()?;
    let count = numbers.len();
    numbers
        .try_into()
        .map_err(|_| format!("{count} numbers, expected W,S,E,N: -71.3,-34.4,-71.2,-34.3"))
}

fn area(args: &Args) -> anyhow::Result<Option<Area>> {
    match (args.bbox, &args.aoi) {
        (Some(bbox), _) => Ok(Some(Area::Bbox(bbox))),
        (None, Some(path)) => Ok(Some(Area::read(path)?)),
        (None, None) => Ok(None),
    }
}

fn request(args: &Args) -> anyhow::Result<CollectRequest> {
    if args.catalog.is_empty() {
        let text = "--catalog is needed: the root URL of a STAC API, or a file of items";
        return Err(Usage(text.into()).into());
    }
    let places = args.places.as_ref().map(|path| Places::read(path, args.chip)).transpose()?;
    let sensor = sensor(&args.sensor)?;
    let like = args.like.as_ref().map(|path| Onto::of_store(&Store::open(path)?)).transpose()?;
    if like.is_some() && !sensor.is_warped() {
        let text = format!("--like: {} lies on tiles of its own and has its own cells", sensor.id);
        return Err(Usage(text).into());
    }
    Ok(CollectRequest {
        sensor,
        onto: like,
        catalogs: args.catalog.clone(),
        collections: args.collection.clone(),
        area: area(args)?,
        places,
        seasons: seasons(args)?,
        created_since: args.created_since,
        bands: args.bands.clone(),
        max_cloud: args.max_cloud,
        keep_clouds: args.keep_clouds,
    })
}

fn collect(args: &Args, screen: &Screen, only_plan: bool) -> anyhow::Result<u64> {
    let request = request(args)?;
    if request.sensor.table().is_some() {
        return weather(args, request, screen);
    }
    let plan = plan(&request, screen).context("cannot plan the collection")?;
    let figures = in_words(&plan.figures, &args.store);
    plan.unreadable.iter().for_each(|fault| screen.say(&format!("left out: {fault}")));
    if only_plan {
        screen.result(&plan.figures, &figures)?;
        return Ok(0);
    }
    screen.say(&figures);
    let options = RunOptions {
        shard_index: args.shard_index,
        shard_count: args.shard_count,
        retry_holes: args.retry_holes,
        ..RunOptions::into_store(&args.store)
    };
    let started = jiff::Timestamp::now();
    let done = run_plan(&plan, &options, screen).context("cannot collect")?;
    if options.store.url().is_none() {
        RunRecord::of(started, &options, &plan.figures, &done).write(&args.store)?;
    }
    let holes = done.holes.len() as u64;
    let mut json = serde_json::to_value(&done)?;
    json["hole_list"] = json["holes"].take();
    json["holes"] = holes.into();
    json["plan"] = serde_json::to_value(&plan.figures)?;
    let mut text = format!(
        "{} scenes in {} cells: {} shards written, {} were done; {} blocks, {:.1} MB read, {:.1} MB stored, {:.1} s\noffsets: {} scenes had +1000 subtracted, {} had none, {} undecided",
        done.scenes,
        done.cells,
        done.shards_done,
        done.shards_skipped,
        done.blocks,
        done.bytes_fetched as f64 / 1e6,
        done.bytes_stored as f64 / 1e6,
        done.seconds,
        done.verdicts.subtracted,
        done.verdicts.absent,
        done.verdicts.undecided,
    );
    for hole in &done.holes {
        text += &format!(
            "\nhole: {} {} {}: {} pixels, {}",
            hole.cell,
            hole.scene,
            hole.hole.asset.as_deref().unwrap_or(""),
            hole.hole.pixels,
            hole.hole.reason
        );
    }
    if holes > 0 {
        text += "\nonce their files are whole, the same command with --retry-holes fills the holes";
    }
    screen.result(&json, &text)?;
    Ok(holes)
}

/// A sensor that comes with the program, or a description in a file.
fn sensor(name: &str) -> anyhow::Result<Sensor> {
    if let Some(sensor) = Sensor::builtin(name) {
        return Ok(sensor);
    }
    let known = Sensor::builtin_ids().join(", ");
    let text = std::fs::read_to_string(name).map_err(|e| {
        Usage(format!("--sensor {name} is none of {known}, and no file can be read there: {e}"))
    })?;
    Sensor::parse(&text).map_err(|e| Usage(format!("cannot use sensor {name}: {e}")).into())
}

/// Files of daily weather as a table of series.
fn weather(args: &Args, request: CollectRequest, screen: &Screen) -> anyhow::Result<u64> {
    let area = match request.area {
        Some(Area::Bbox([w, s, e, n])) => {
            vec![Polygon { rings: vec![vec![[w, s], [e, s], [e, n], [w, n], [w, s]]] }]
        }
        Some(Area::Polygons(polygons)) => polygons,
        None => Vec::new(),
    };
    let files = args.catalog.iter().map(PathBuf::from).collect();
    let asked = WeatherRequest { files, area, seasons: request.seasons };
    let done =
        weather::collect(&request.sensor, &asked, &args.store).context("cannot collect weather")?;
    let text = format!(
        "{} points, {} rows of {}; {} of {} rows were outside the area or the dates",
        done.points,
        done.series_rows,
        done.variables.join(", "),
        done.left_out,
        done.rows
    );
    screen.result(&done, &text)?;
    Ok(0)
}

/// Bytes a second that earlier runs into a store fetched, if there were any.
fn measured_rate(store: &Path) -> Option<f64> {
    let runs = read_runs(store).ok()?;
    let bytes: u64 = runs.iter().map(|run| run.bytes_fetched).sum();
    let seconds: f64 = runs.iter().filter(|r| r.bytes_fetched > 0).map(|run| run.seconds).sum();
    (bytes > 0 && seconds > 0.0).then(|| bytes as f64 / seconds)
}

fn in_words(figures: &PlanFigures, store: &Path) -> String {
    let measured = measured_rate(store);
    let (rate, kind) = measured.map_or((ASSUMED_RATE, "assumed"), |rate| (rate, "measured"));
    let minutes = figures.seconds_at(rate).unwrap_or_default() / 60.0;
    format!(
        "plan: {} scenes of {} items ({} duplicates, {} cloudy and {} unreadable ones left out) over {} tiles: {} cells, {} shards, {} blocks, about {:.1} MB to read and {:.1} MB to store, {minutes:.1} minutes at {:.1} MB/s ({kind})",
        figures.scenes,
        figures.items,
        figures.duplicates,
        figures.cloudy,
        figures.unreadable,
        figures.tiles,
        figures.cells,
        figures.shards,
        figures.blocks,
        figures.bytes_wire as f64 / 1e6,
        figures.bytes_stored as f64 / 1e6,
        rate / 1e6,
    )
}

fn verify(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let found = Store::open(&args.store)?.verify(screen)?;
    let damaged: Vec<String> = found
        .damaged
        .iter()
        .map(|d| format!("{}, shard {}, {}: {}", d.cell, d.shard, d.key, d.reason))
        .collect();
    let text = format!(
        "{} cells, {} shards, {} dates, {} objects of {:.1} MB re-read; {} dates missing, {} holes, {} objects damaged",
        found.cells,
        found.shards,
        found.dates,
        found.objects,
        found.bytes as f64 / 1e6,
        found.missing_dates,
        found.holes,
        damaged.len()
    );
    let json = serde_json::json!({
        "cells": found.cells, "shards": found.shards, "dates": found.dates,
        "missing_dates": found.missing_dates, "objects": found.objects, "bytes": found.bytes,
        "holes": found.holes, "damaged": damaged,
    });
    screen.result(&json, &text)?;
    if let Some(first) = damaged.first() {
        let text = format!(
            "store {} is damaged: {first}; collect again to repair it",
            args.store.display()
        );
        return Err(BadInput(text).into());
    }
    Ok(found.holes + found.missing_dates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_four_numbers_between_commas() {
        assert_eq!(box_of("-71.3,-34.4,-71.2, -34.3"), Ok([-71.3, -34.4, -71.2, -34.3]));
        assert!(box_of("-71.3,-34.4").unwrap_err().starts_with("2 numbers"));
        assert_eq!(box_of("a,1,2,3").unwrap_err(), "`a` is no number");
    }
}
