//! `surco collect report`: what a store holds, as a table and as a page.

use std::path::{Path, PathBuf};

use surco_collect::report::{Page, Survey, page, survey};
use surco_core::write_whole;
use surco_raster::vector::read_geojson;
use surco_store::Store;

use anyhow::Context;

use crate::screen::Screen;

/// Options of `collect report`.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Options of collect report")]
pub(crate) struct Args {
    /// Page to write, one HTML file that loads nothing from elsewhere
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Tiles to show on the map whether the store has them or not: GeoJSON with a property `tile`
    #[arg(long, value_name = "FILE")]
    tiles: Option<PathBuf>,
    /// Outline of the country for the map (GeoJSON)
    #[arg(long, value_name = "FILE")]
    outline: Option<PathBuf>,
}

pub(super) fn run(store: &Path, args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let found = survey(&Store::open(store)?, screen)?;
    if let Some(path) = &args.html {
        let read = |path: &Option<PathBuf>| path.as_ref().map(read_geojson).transpose();
        let (tiles, outline) = (read(&args.tiles)?, read(&args.outline)?);
        let name = store.file_name().map_or_else(|| ".".into(), |n| n.to_string_lossy());
        let text = page(&Page {
            survey: &found,
            store: &name,
            tiles: tiles.as_ref(),
            outline: outline.as_ref(),
        })?;
        write_whole(path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut json = serde_json::to_value(&found)?;
    json["html"] = args.html.as_ref().map(|path| path.display().to_string()).into();
    screen.result(&json, &in_words(&found, args))?;
    Ok(found.hole_list.len() as u64 + found.missing)
}

fn in_words(found: &Survey, args: &Args) -> String {
    let mut text = String::from(
        "cell              dates  first       last        missing  holes  hole pixels",
    );
    for cell in &found.cells {
        text += &format!(
            "\n{:<16} {:>6}  {:<10}  {:<10}  {:>7}  {:>5}  {:>11}",
            cell.cell,
            cell.dates,
            cell.first.as_deref().unwrap_or("-"),
            cell.last.as_deref().unwrap_or("-"),
            cell.missing,
            cell.holes,
            cell.hole_pixels,
        );
    }
    text += "\n\ntile    month    dates  of planned";
    for tile in &found.tiles {
        for (month, count) in &tile.months {
            text +=
                &format!("\n{:<6}  {month}  {:>5}  {:>10}", tile.tile, count.done, count.planned);
        }
    }
    for hole in &found.hole_list {
        text += &format!(
            "\nhole: {} {} {}: {} pixels, {}",
            hole.cell,
            hole.scene,
            hole.hole.asset.as_deref().unwrap_or("whole scene"),
            hole.hole.pixels,
            hole.hole.reason
        );
    }
    text += "\n";
    for offset in &found.offsets {
        text += &format!("\noffset {}, {}: {} scenes", offset.verdict, offset.rule, offset.scenes);
    }
    let sum = |part: fn(&surco_collect::report::RunRecord) -> u64| {
        found.runs.iter().map(part).sum::<u64>()
    };
    text += &format!(
        "\n{} runs recorded: {} shards, {:.1} MB read, {:.1} MB stored, {:.1} s; most duplicates left out by a plan: {}",
        found.runs.len(),
        sum(|run| run.shards),
        sum(|run| run.bytes_fetched) as f64 / 1e6,
        sum(|run| run.bytes_stored) as f64 / 1e6,
        found.runs.iter().map(|run| run.seconds).sum::<f64>(),
        found.runs.iter().map(|run| run.duplicates).max().unwrap_or(0),
    );
    if let Some(path) = &args.html {
        text += &format!("\n{}", path.display());
    }
    text
}
