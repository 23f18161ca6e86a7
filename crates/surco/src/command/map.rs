//! `surco map`: a task over an area, to a COG.

use std::path::PathBuf;

use surco_core::CellId;
use surco_map::{
    ClassMap, NumberMap, NumberTask, Task, classify, foretell, load_number_task, load_task,
    write_map, write_numbers,
};
use surco_net::{Device, Model};
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::released;
use crate::screen::Screen;

/// Maps a cell of a store with an adapted model
///
/// Writes a Cloud Optimized GeoTIFF of classes with colours and names, and its confidence beside it; of a task with a number,
/// that number and, as NAME.width.tif, the width of its interval.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco map --task task --store valley --out map.tif")]
pub(crate) struct Args {
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Task folder that `surco adapt` wrote
    #[arg(long, value_name = "DIR")]
    task: PathBuf,
    /// The store with the pixels
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// The map to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Cell to map; may be left out if the store has one
    #[arg(long, value_name = "TILE/rNNcNN")]
    cell: Option<String>,
}

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (model, weights) = released::model(args.model.as_deref(), device)?;
    let number = load_number_task(&args.task, &weights)?;
    let store = Store::open(&args.store)?;
    let cell = choose(&store, args.cell.as_deref())?;
    if let Some(task) = &number {
        return map_numbers(args, (&store, &cell), &model, task, (device, screen));
    }
    let task = load_task(&args.task, &weights)?;
    let started = std::time::Instant::now();
    let map = classify(&store, &cell, &model, &task, device, screen)?;
    write_map(&map, &task.legend, &args.out)?;
    let areas = mapped_ha(&map, &task);
    let json = serde_json::json!({
        "map": args.out, "cell": cell.to_string(), "seconds": started.elapsed().as_secs_f64(),
        "map_pixels_biased": areas.iter().map(|(class, ha)| {
            serde_json::json!({ "class": class, "mapped_ha": ha })
        }).collect::<Vec<_>>(),
    });
    let mut text = format!(
        "{}: {} × {} pixels\nmap pixels (biased), ha:",
        args.out.display(),
        map.codes.nrows(),
        map.codes.ncols()
    );
    for (class, ha) in areas {
        text += &format!("\n{class:<24} {ha:>10.1}");
    }
    screen.result(&json, &text)?;
    Ok(0)
}

/// Maps a number, and the width of its interval.
fn map_numbers(
    args: &Args,
    (store, cell): (&Store, &CellId),
    model: &Model,
    task: &NumberTask,
    (device, screen): (&Device, &Screen),
) -> anyhow::Result<u64> {
    let started = std::time::Instant::now();
    let map = foretell(store, cell, model, task, device, screen)?;
    write_numbers(&map, task, &args.out)?;
    let NumberMap { number, width, .. } = &map;
    let mean = |values: &ndarray::Array2<f32>| {
        let seen = || values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
        seen().sum::<f64>() / seen().count() as f64
    };
    let (mean_number, mean_width) = (mean(number), mean(width));
    let json = serde_json::json!({
        "map": args.out, "width": args.out.with_extension("width.tif"), "cell": cell.to_string(),
        "seconds": started.elapsed().as_secs_f64(), "number": task.number, "level": task.level,
        "mean": mean_number, "mean_width": mean_width,
    });
    let text = format!(
        "{}: {} × {} pixels of {}\nmean of the pixels {mean_number:.3}, their {:.0} % intervals {mean_width:.3} wide",
        args.out.display(),
        number.nrows(),
        number.ncols(),
        task.number,
        100.0 * task.level
    );
    screen.result(&json, &text)?;
    Ok(0)
}

fn choose(store: &Store, cell: Option<&str>) -> anyhow::Result<CellId> {
    let cells = store.cells()?;
    match (cell, cells.as_slice()) {
        (_, []) => Err(BadInput("the store holds no cell: collect something first".into()).into()),
        (Some(name), many) => {
            let cell: CellId = name.parse().map_err(|e| Usage(format!("--cell: {e}")))?;
            if many.contains(&cell) {
                return Ok(cell);
            }
            Err(Usage(format!("--cell {cell} is not in the store, which has {}", list(many)))
                .into())
        }
        (None, [only]) => Ok(only.clone()),
        (None, many) => {
            let text = format!(
                "the store has {} cells; choose one with --cell: {}",
                many.len(),
                list(many)
            );
            Err(Usage(text).into())
        }
    }
}

/// The first few cells, in words.
fn list(cells: &[CellId]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = cells.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if cells.len() > SHOWN { ", …" } else { "" };
    names.join(", ") + more
}

/// Hectares mapped as each class.
pub(crate) fn mapped_ha(map: &ClassMap, task: &Task) -> Vec<(String, f64)> {
    let pixel_ha = map.georef.px_m * map.georef.px_m / 10_000.0;
    let count = |code: u8| map.codes.iter().filter(|&&c| c == code).count() as f64;
    task.legend.classes().iter().map(|c| (c.name.clone(), count(c.code) * pixel_ha)).collect()
}
