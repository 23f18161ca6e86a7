//! `surco simulate`: a simulated valley as a real archive, with its truth.

use std::path::PathBuf;

use surco_sim::{Climate, ValleyConfig, write_archive};

use crate::screen::Screen;

/// Writes a simulated valley: COGs, STAC items and the truth
///
/// To practise, to test a set-up without a network, and to know what the right answer is.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco simulate --out valley --seed 3 --side-px 256\n  surco simulate --out south --climate temperate\n  surco collect --catalog valley/items.json --store store"
)]
pub(crate) struct Args {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed: the same seed gives the same bytes
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Climate: desert, mediterranean, temperate or patagonian
    #[arg(long, default_value_t)]
    climate: Climate,
    /// Side of the valley in pixels of 10 m, a multiple of 4
    #[arg(long, default_value_t = 512)]
    side_px: usize,
    /// Agricultural year: 2023 runs from May 2023 to April 2024
    #[arg(long, default_value_t = 2023)]
    season: i16,
    /// Number of scenes
    #[arg(long, default_value_t = 40)]
    scenes: usize,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let config = ValleyConfig {
        seed: args.seed,
        side_px: args.side_px,
        year: args.season,
        scenes: args.scenes,
        ..ValleyConfig::of(args.climate)
    };
    let archive = write_archive(&config, &args.out, screen)?;
    let json = serde_json::json!({
        "items": archive.items,
        "scenes": archive.scenes,
        "bytes": archive.bytes,
        "truth": archive.truth_dir,
    });
    let text = format!(
        "{} scenes, {:.1} MB\ncatalog: {}\ntruth:   {}",
        archive.scenes,
        archive.bytes as f64 / 1e6,
        archive.items.display(),
        archive.truth_dir.display()
    );
    screen.result(&json, &text)?;
    Ok(0)
}
