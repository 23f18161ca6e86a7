//! `surco evaluate ftw`: predicted fields against those of Fields of The World.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rayon::prelude::*;
use surco_eval::fields::{FieldCounts, FieldScore, FieldScores, chips_csv, count_fields};
use surco_eval::report::markdown_protocol;
use surco_eval::suite::{Suite, SuiteName};
use surco_raster::cog::CogFile;

use super::write_files;
use crate::exit::BadInput;
use crate::screen::Screen;

/// Fields of The World: IoU of field pixels, and precision, recall and F1 of fields at IoU 0.5
///
/// Predictions may come from anywhere: one mask a chip, named as its truth, 1 inside a field.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate ftw --truth ftw/austria/label_masks/semantic_3class --predictions masks --out table"
)]
pub(super) struct Args {
    /// Folder of true masks (.tif): 0 background, 1 field, 2 boundary, 3 unknown
    #[arg(long, value_name = "DIR")]
    truth: PathBuf,
    /// Folder of predicted masks of the same names
    #[arg(long, value_name = "DIR")]
    predictions: PathBuf,
    /// Seed of the intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for table.json, table.csv and table.md
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The whole result.
#[derive(serde::Serialize)]
struct Scored {
    scores: FieldScores,
    chips: Vec<Chip>,
    protocol: Vec<String>,
}

/// One chip.
#[derive(serde::Serialize)]
struct Chip {
    name: String,
    counts: FieldCounts,
}

pub(super) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let suite = SuiteName::Ftw.describe();
    suite.check(&args.truth)?;
    let names = masks(&args.truth)?;
    if names.is_empty() {
        return Err(suite.missing(args.truth.join("*.tif")).into());
    }
    let chips: Vec<Chip> =
        names.into_par_iter().map(|name| chip(args, name)).collect::<anyhow::Result<_>>()?;
    let counts: Vec<FieldCounts> = chips.iter().map(|chip| chip.counts).collect();
    let scores = FieldScores::of(&counts, args.seed);
    let Suite { protocol, .. } = suite;
    let scored = Scored { scores, chips, protocol };
    if let Some(out) = &args.out {
        let files = [
            ("table.json", serde_json::to_string_pretty(&scored)?),
            ("table.csv", chips_csv(scored.chips.iter().map(|c| (c.name.as_str(), c.counts)))),
            ("table.md", markdown(&scored)),
        ];
        write_files(out, &files)?;
    }
    screen.result(&scored, &markdown(&scored))?;
    Ok(0)
}

/// Names of the masks in a folder, in order.
fn masks(folder: &Path) -> anyhow::Result<Vec<String>> {
    let listed = std::fs::read_dir(folder)
        .map_err(|e| BadInput(format!("cannot list {}: {e}", folder.display())))?;
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".tif")).collect();
    names.sort_unstable();
    Ok(names)
}

fn chip(args: &Args, name: String) -> anyhow::Result<Chip> {
    let predicted = args.predictions.join(&name);
    if !predicted.exists() {
        let text = format!("chip {name} has no prediction {}", predicted.display());
        return Err(BadInput(text).into());
    }
    let [truth, said] = [args.truth.join(&name), predicted].map(|path| {
        let file = CogFile::open(&path)?;
        file.read_u8(file.header().window()).with_context(|| format!("mask {}", path.display()))
    });
    let (truth, said) = (truth?, said?);
    let [truth, said] = [&truth, &said].map(|mask| mask.index_axis(ndarray::Axis(0), 0));
    let counts = count_fields(truth, said).with_context(|| format!("chip {name}"))?;
    Ok(Chip { name, counts })
}

fn markdown(scored: &Scored) -> String {
    let FieldScores { chips, counts, pixel_iou, precision, recall, f1 } = &scored.scores;
    let row = |name: &str, FieldScore { value, low, high }: &FieldScore| {
        let [value, low, high] = [value, low, high].map(|v| 100.0 * v);
        format!("| {name} | {value:.1} | {low:.1} to {high:.1} |\n")
    };
    let mut text = format!(
        "# Fields of The World\n\n{chips} chips, {} true fields, {} predicted.\n\n| score | % | 95 % |\n|---|---|---|\n",
        counts.found + counts.missed,
        counts.found + counts.invented
    );
    text += &row("pixel IoU", pixel_iou);
    text += &row("precision of fields", precision);
    text += &row("recall of fields", recall);
    text += &row("F1 of fields", f1);
    text + &markdown_protocol(&scored.protocol)
}
