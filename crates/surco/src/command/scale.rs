//! `surco scale`: what a campaign costs, from measured rates.

mod campaign;
mod law;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use surco_learn::{Precision, SpeedPoint, peak_flops_per_s};
use surco_net::{Device, Size};

use crate::exit::Usage;
use crate::screen::Screen;
use campaign::{Campaign, DataCost, Row};

/// Steps of a run before this share of them are warm-up.
const COUNTED_FROM: f64 = 0.5;

/// Bytes, operations, memory, days and cost of a campaign, with what is taken for granted
///
/// The pace of a device is that of a run (`--run`), or given (`--flops-per-s`), or else this device's, measured now by a large matrix
/// product of which a model reaches a share. With --fit it tells instead what size and data are worth by runs that were made.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco scale --aoi chile.geojson --seasons 3 --model 1b --gpus 8 --flops-per-s 4e14\n  surco scale --area-km2 756000 --run run\n  surco scale --fit pico1,pico2,pico3,nano1,nano2,micro1,micro2 --plot scaling.svg"
)]
pub(crate) struct Args {
    /// Polygons of the land (GeoJSON)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["area_km2", "fit"])]
    aoi: Option<PathBuf>,
    /// Land in km²
    #[arg(long, value_name = "KM2", conflicts_with = "aoi", value_parser = positive)]
    area_km2: Option<f64>,
    /// Number of seasons
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    seasons: u32,
    /// Sizes; all if not given
    #[arg(long, value_name = "SIZE", value_delimiter = ',')]
    model: Vec<Size>,
    /// Numbers of devices: a card, a node, a cluster
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,8,64", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    gpus: Vec<u32>,
    /// Side of a patch in pixels of 10 m
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=8))]
    patch_px: u32,
    /// Run folder of `surco pretrain` on one such device, whose pace is taken
    #[arg(long, value_name = "DIR", conflicts_with = "flops_per_s")]
    run: Option<PathBuf>,
    /// Model operations a second that one device reaches
    #[arg(long, value_name = "RATE", value_parser = positive)]
    flops_per_s: Option<f64>,
    /// Share of its measured peak that a model reaches, where the peak is measured now
    #[arg(long, default_value_t = 0.4, value_parser = share)]
    peak_share: f64,
    /// Share of the observations that show the ground
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    clear_share: f64,
    /// Tokens of training for one parameter
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    tokens_per_parameter: f64,
    /// Memory of a device in GB
    #[arg(long, default_value_t = 80.0, value_parser = positive)]
    device_gb: f64,
    /// Run folders of `surco pretrain`, three sizes or more, each for several numbers of steps: their losses are fitted
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with_all = ["aoi", "area_km2"])]
    fit: Vec<PathBuf>,
    /// File for the drawing of it (SVG)
    #[arg(long, value_name = "FILE", requires = "fit")]
    plot: Option<PathBuf>,
    /// Price of a device for an hour, in any currency
    #[arg(long, default_value_t = 2.5, value_parser = positive)]
    price_per_hour: f64,
    /// Pace of the network in Gbit/s
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    gbit_per_s: f64,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("expected a number above 0".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match positive(text) {
        Ok(value) if value <= 1.0 => Ok(value),
        _ => Err("expected a share above 0, at most 1".into()),
    }
}

/// The whole answer.
#[derive(Serialize)]
struct Scaled {
    campaign: Campaign,
    pace: String,
    data: DataCost,
    rows: Vec<Row>,
    assumptions: Vec<String>,
}

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    if !args.fit.is_empty() {
        return law::run(&args.fit, args.plot.as_deref(), screen);
    }
    let area_km2 = match (&args.aoi, args.area_km2) {
        (Some(path), _) => area_of(path)?,
        (None, Some(area)) => area,
        (None, None) => return Err(Usage("give --aoi or --area-km2".into()).into()),
    };
    let (flops_per_s, pace) = pace(args, device)?;
    let campaign = Campaign {
        area_km2,
        seasons: args.seasons,
        patch_px: args.patch_px,
        clear_share: args.clear_share,
        tokens_per_parameter: args.tokens_per_parameter,
        flops_per_s,
        together: 0.9,
        device_bytes: args.device_gb * 1e9,
        price_per_hour: args.price_per_hour,
        bits_per_s: args.gbit_per_s * 1e9,
    };
    let sizes = if args.model.is_empty() { Size::ALL.to_vec() } else { args.model.clone() };
    let rows = sizes
        .iter()
        .flat_map(|&size| args.gpus.iter().map(move |&gpus| campaign.row(size, gpus)))
        .collect();
    let assumptions = campaign.assumptions();
    let scaled = Scaled { campaign, pace, data: campaign.data(), rows, assumptions };
    screen.result(&scaled, &text(&scaled))?;
    Ok(0)
}

/// Land in km² of the polygons of a file.
fn area_of(path: &Path) -> anyhow::Result<f64> {
    let layer = surco_raster::vector::read_geojson(path)?.into_epsg(4326)?;
    let m2 = surco_data::places::area_m2(&layer);
    if m2 <= 0.0 {
        let text =
            format!("{} holds no polygon with an area: give one, or --area-km2", path.display());
        return Err(Usage(text).into());
    }
    Ok(m2 / 1e6)
}

/// Model operations a second of one device, and where they come from.
fn pace(args: &Args, device: &Device) -> anyhow::Result<(f64, String)> {
    if let Some(rate) = args.flops_per_s {
        return Ok((rate, format!("{rate:.3e} FLOP/s a device, as given")));
    }
    if let Some(run) = &args.run {
        let rate = pace_of_run(run)?;
        return Ok((rate, format!("{rate:.3e} FLOP/s a device, the median of {}", run.display())));
    }
    let peak = peak_flops_per_s(std::slice::from_ref(device), Precision::F32);
    let rate = peak * args.peak_share;
    let text = format!(
        "{rate:.3e} FLOP/s a device: {:.0} % of the {peak:.3e} of a large 32-bit product on this device, measured now",
        args.peak_share * 100.0
    );
    Ok((rate, text))
}

/// What each step of a run took.
fn speed_of(run: &Path) -> anyhow::Result<Vec<SpeedPoint>> {
    let path = run.join("speed.jsonl");
    let file = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read {}: `surco pretrain` writes one into its run folder", path.display())
    })?;
    let steps: Result<Vec<SpeedPoint>, _> = file.lines().map(serde_json::from_str).collect();
    steps.with_context(|| format!("{} is no record of speed", path.display()))
}

/// The median pace of a run's second half.
fn pace_of_run(run: &Path) -> anyhow::Result<f64> {
    let rates: Vec<f64> = speed_of(run)?.iter().map(|step| step.flops_per_s).collect();
    let mut counted = rates[(rates.len() as f64 * COUNTED_FROM) as usize..].to_vec();
    counted.sort_by(f64::total_cmp);
    let median = counted.get(counted.len() / 2).copied();
    median.with_context(|| {
        format!("{}/speed.jsonl is empty: train for some steps first", run.display())
    })
}

fn text(scaled: &Scaled) -> String {
    let Scaled { campaign, pace, data, rows, assumptions } = scaled;
    let mut text = format!(
        "{:.0} km², {} seasons: {:.3} TB from the archive ({:.1} days at {} Gbit/s), {:.3e} pixels, {:.3e} tokens\n\
         pace: {pace}\n\n\
         {:<6} {:>6} {:>10} {:>12} {:>10} {:>12} {:>10} {:>10} {:>5} {:>12} {:>14}",
        campaign.area_km2,
        campaign.seasons,
        data.bytes / 1e12,
        data.download_days,
        campaign.bits_per_s / 1e9,
        data.pixels,
        data.tokens,
        "size",
        "gpus",
        "tokens",
        "train FLOP",
        "days",
        "embed FLOP",
        "days",
        "GB each",
        "fits",
        "GPU-days",
        "cost"
    );
    for row in rows {
        text += &format!(
            "\n{:<6} {:>6} {:>10.2e} {:>12.2e} {:>10} {:>12.2e} {:>10} {:>10.1} {:>5} {:>12} {:>14}",
            row.size.name(),
            row.devices,
            row.training_tokens,
            row.training_flops,
            short(row.training_days),
            row.embedding_flops,
            short(row.embedding_days),
            row.memory_bytes / 1e9,
            if row.fits { "yes" } else { "no" },
            short(row.device_days),
            short(row.price)
        );
    }
    text += "\n\nassumed:";
    for line in assumptions {
        text += &format!("\n- {line}");
    }
    text
}

/// Three digits, whatever the size.
fn short(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 0.0995 => format!("{v:.1}"),
        v => format!("{v:.1e}"),
    }
}
