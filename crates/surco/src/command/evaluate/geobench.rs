//! `surco evaluate geobench`: raw runs summed up by GEO-Bench's protocol.

use std::path::{Path, PathBuf};

use surco_eval::geobench::{
    GeoTable, csv, curves_svg, html, markdown, read_normalizer, read_runs, summarise,
};
use surco_eval::suite::{MissingData, SuiteName};

use super::write_files;
use crate::exit::BadInput;
use crate::screen::Screen;

/// GEO-Bench's summary of raw runs: normalised scores, interquartile means over seeds with bootstrapped intervals
///
/// The columns `model`, `dataset`, `partition name`, `seed` and `test metric` are read; `surco evaluate pretraining` writes our
/// runs in them (runs.csv). A cell of fewer than five seeds is refused, and seeds that disagree are told.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate geobench --results baseline_segmentation_results.csv --normalizer normalizer.json --out geobench"
)]
pub(super) struct Args {
    /// Raw runs, one a line (CSV)
    #[arg(long, value_name = "FILE")]
    results: PathBuf,
    /// Lowest and highest score of each set (JSON); those of the runs if not given
    #[arg(long, value_name = "FILE")]
    normalizer: Option<PathBuf>,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for table.json, table.csv, table.md, curves.svg and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let text = read(&args.results)?;
    let runs = read_runs(text.as_bytes(), &args.results.display().to_string())?;
    let ranges = args.normalizer.as_deref().map(|path| {
        Ok::<_, anyhow::Error>(read_normalizer(&read(path)?, &path.display().to_string())?)
    });
    let table = summarise(&runs, ranges.transpose()?, args.seed)?;
    if let Some(out) = &args.out {
        let mut files = vec![
            ("table.json", serde_json::to_string_pretty(&table)?),
            ("table.csv", csv(&table)),
            ("table.md", markdown(&table)),
            ("report.html", html(&table)?),
        ];
        files.extend(curves_svg(&table).map(|svg| ("curves.svg", svg)));
        write_files(out, &files)?;
    }
    screen.result(&table, &text_of(&table))?;
    Ok(0)
}

/// The text of a file; where it is not there, where to get it.
fn read(path: &Path) -> anyhow::Result<String> {
    if !path.exists() {
        let missing: MissingData = SuiteName::GeoBench.describe().missing(path.to_path_buf());
        return Err(missing.into());
    }
    let text = std::fs::read_to_string(path)
        .map_err(|e| BadInput(format!("cannot read {}: {e}", path.display())))?;
    Ok(text)
}

fn text_of(table: &GeoTable) -> String {
    let mut text = format!(
        "{:<28}{:<20}{:>8}{:>6}{:>10}  normalised",
        "model", "set", "data, %", "seeds", "IQM, %"
    );
    for cell in &table.cells {
        let [low, high] = cell.interval;
        text += &format!(
            "\n{:<28}{:<20}{:>8}{:>6}{:>10.1}  {:.3} ({low:.3} to {high:.3})",
            cell.model,
            cell.dataset,
            cell.percent,
            cell.seeds,
            100.0 * cell.iqm_raw,
            cell.iqm
        );
    }
    for all in &table.all {
        let [low, high] = all.interval;
        text += &format!(
            "\n{:<28}{:<20}{:>8}{:>6}{:>10}  {:.3} ({low:.3} to {high:.3})",
            all.model, "all sets", all.percent, all.runs, "", all.iqm
        );
    }
    table.warnings.iter().for_each(|warning| text += &format!("\n{warning}"));
    text
}
