//! `surco collect`: from a catalog to the store.

use std::path::PathBuf;

use anyhow::Context;
use jiff::civil::Date;
use surco_collect::{Area, CollectRequest, Onto, PlanFigures, RunOptions, plan, run as run_plan};
use surco_core::{Season, Sensor};
use surco_data::weather::{self, WeatherRequest};
use surco_raster::vector::Polygon;
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::screen::Screen;

/// Plans, fetches, checks and writes scenes of Sentinel-2 or another sensor into a store
///
/// Without a verb: plan, run, report. What is done is skipped, so a stopped run goes on with the same
/// command. Finished with holes, it lists them and exits with 5.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco collect --catalog https://earth-search.aws.element84.com/v1 \\\n      --bbox=-71.3,-34.4,-71.2,-34.3 --season 2023 --store valley\n  surco collect plan --catalog items.json --store valley\n  surco collect verify --store valley"
)]
pub(crate) struct Args {
    /// What to do; all of plan, run and report if not given
    verb: Option<Verb>,
    /// Root URL of a STAC API, or a JSON file of items; several: the first has precedence, the others
    /// fill its gaps
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
    #[arg(
        long,
        value_name = "W,S,E,N",
        allow_hyphen_values = true,
        value_delimiter = ',',
        num_args = 4
    )]
    bbox: Option<Vec<f64>>,
    /// Agricultural year: 2023 runs from May 2023 to April 2024
    #[arg(long, conflicts_with_all = ["from", "to"])]
    season: Option<i16>,
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
    /// The store
    #[arg(long, value_name = "DIR")]
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
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Verb {
    /// Say what would be fetched and written
    Plan,
    /// Fetch and write
    Run,
    /// Read the whole store again and compare checksums
    Verify,
    /// Say what the store holds
    Report,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    match args.verb {
        Some(Verb::Verify) => verify(args, screen),
        Some(Verb::Report) => report(args, screen),
        Some(Verb::Plan) => collect(args, screen, true),
        Some(Verb::Run) | None => collect(args, screen, args.dry_run),
    }
}

fn season(args: &Args) -> anyhow::Result<Option<Season>> {
    Ok(match (args.season, args.from, args.to) {
        (Some(year), _, _) => Some(Season::agricultural(year)?),
        (None, Some(from), Some(to)) => Some(Season::between(from, to)?),
        _ => None,
    })
}

fn collect(args: &Args, screen: &Screen, only_plan: bool) -> anyhow::Result<u64> {
    if args.catalog.is_empty() {
        let text = "--catalog is needed: the root URL of a STAC API, or a JSON file of items";
        return Err(Usage(text.into()).into());
    }
    let bbox = match args.bbox.as_deref() {
        Some(&[w, s, e, n]) => Some([w, s, e, n]),
        Some(other) => {
            return Err(
                Usage(format!("--bbox has {} numbers: expected W,S,E,N", other.len())).into()
            );
        }
        None => None,
    };
    let sensor = sensor(&args.sensor)?;
    if sensor.table().is_some() {
        return weather(args, &sensor, bbox, screen);
    }
    let like = args.like.as_ref().map(|path| Onto::of_store(&Store::open(path)?)).transpose()?;
    if like.is_some() && !sensor.is_warped() {
        let text = format!("--like: {} lies on tiles of its own and has its own cells", sensor.id);
        return Err(Usage(text).into());
    }
    let request = CollectRequest {
        sensor,
        onto: like,
        catalogs: args.catalog.clone(),
        collections: args.collection.clone(),
        area: bbox.map(Area::Bbox),
        seasons: season(args)?.into_iter().collect(),
        bands: args.bands.clone(),
        max_cloud: args.max_cloud,
        ..CollectRequest::all_of("")
    };
    let plan = plan(&request, screen).context("cannot plan the collection")?;
    let figures = in_words(&plan.figures);
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
    let done = run_plan(&plan, &options, screen).context("cannot collect")?;
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
fn weather(
    args: &Args,
    sensor: &Sensor,
    bbox: Option<[f64; 4]>,
    screen: &Screen,
) -> anyhow::Result<u64> {
    let ring = |[w, s, e, n]: [f64; 4]| vec![[w, s], [e, s], [e, n], [w, n], [w, s]];
    let request = WeatherRequest {
        files: args.catalog.iter().map(PathBuf::from).collect(),
        area: bbox.map(|bbox| Polygon { rings: vec![ring(bbox)] }).into_iter().collect(),
        seasons: season(args)?.into_iter().collect(),
    };
    let done = weather::collect(sensor, &request, &args.store).context("cannot collect weather")?;
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

fn in_words(figures: &PlanFigures) -> String {
    format!(
        "plan: {} scenes of {} items ({} duplicates and {} cloudy ones left out) over {} tiles: {} cells, {} shards, {} blocks, about {:.1} MB to read and {:.1} MB to store",
        figures.scenes,
        figures.items,
        figures.duplicates,
        figures.cloudy,
        figures.tiles,
        figures.cells,
        figures.shards,
        figures.blocks,
        figures.bytes_wire as f64 / 1e6,
        figures.bytes_stored as f64 / 1e6,
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

fn report(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let store = Store::open(&args.store)?;
    let mut rows = Vec::new();
    let mut text = String::from("cell              dates  first       last        missing  holes");
    let mut all_holes = 0;
    for cell in store.cells()? {
        let reader = store.unfinished_cell(&cell)?;
        let day = |t: Option<&i64>| {
            t.and_then(|&t| jiff::Timestamp::from_second(t).ok())
                .map_or_else(|| "-".into(), |t| t.strftime("%Y-%m-%d").to_string())
        };
        let holes: usize = reader.scenes.iter().map(|s| s.holes.len()).sum();
        all_holes += holes as u64 + reader.missing as u64;
        let (first, last) = (day(reader.times.first()), day(reader.times.last()));
        text += &format!(
            "\n{:<16} {:>6}  {first:<10}  {last:<10}  {:>7}  {holes:>5}",
            cell.to_string(),
            reader.times.len(),
            reader.missing
        );
        rows.push(serde_json::json!({
            "cell": cell.to_string(), "dates": reader.times.len(), "first": first, "last": last,
            "missing": reader.missing, "holes": holes,
        }));
    }
    screen.result(&serde_json::json!({ "cells": rows }), &text)?;
    Ok(all_holes)
}
