//! `surco evaluate splits`: how much a random split flatters.

use std::collections::BTreeMap;
use std::path::PathBuf;

use surco_data::read_table;
use surco_eval::fewshot::{
    Facts, Row, SeriesBand, SeriesSet, fold_episodes, run_baselines, zones_of,
};

use crate::exit::BadInput;
use crate::memory::busy_ms;
use crate::screen::Screen;

/// Fewest points of a class.
const FEWEST: usize = 15;

/// Parts that a set is cut into.
const FOLDS: usize = 5;

/// Random splits beside splits by block, for the same baselines on the same points
///
/// Points near each other are alike: a random split asks about neighbours of what was learned. The blocks are those of the
/// table. Classes with fewer than 15 points or in fewer than five blocks are left out.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate splits --points set/points.parquet --series set/series.parquet"
)]
pub(super) struct Args {
    /// Points: point_id, lon, lat, class_name, block
    #[arg(long, value_name = "FILE")]
    points: PathBuf,
    /// Series: point_id, date, one column per band
    #[arg(long, value_name = "FILE")]
    series: PathBuf,
    /// Number of seeds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..))]
    seeds: u64,
}

/// One method under both splits, balanced accuracy.
#[derive(serde::Serialize)]
struct Beside {
    method: String,
    random_leaky: f64,
    random_sd: f64,
    blocked: f64,
    blocked_sd: f64,
}

pub(super) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let set = read_table(&args.points, &args.series)?;
    let mut blocks_of: BTreeMap<&String, (usize, std::collections::BTreeSet<&String>)> =
        BTreeMap::new();
    for (label, block) in set.labels.iter().zip(&set.blocks) {
        let class = blocks_of.entry(label).or_default();
        class.0 += 1;
        class.1.insert(block);
    }
    let kept = |label: &String| {
        blocks_of.get(label).is_some_and(|(n, blocks)| *n >= FEWEST && blocks.len() >= FOLDS)
    };
    let points: Vec<usize> = (0..set.labels.len()).filter(|&p| kept(&set.labels[p])).collect();
    if points.is_empty() {
        let text = format!(
            "set {}: no class has {FEWEST} points in {FOLDS} blocks, so blocks cannot be held out",
            set.name
        );
        return Err(BadInput(text).into());
    }
    let labels: Vec<String> = points.iter().map(|&p| set.labels[p].clone()).collect();
    let numbers = set.block_numbers();
    let count = numbers.iter().max().map_or(0, |most| most + 1);
    let blocks: Vec<u64> = points.iter().map(|&p| numbers[p]).collect();
    let each: Vec<u64> = (0..points.len() as u64).collect();
    let columns: Vec<SeriesBand> = set
        .bands
        .iter()
        .map(|b| SeriesBand { name: b.name.clone(), centre_nm: b.spectral.map(|s| s.centre_nm) })
        .collect();
    let values = set.values.select(ndarray::Axis(0), &points);
    let view = SeriesSet {
        name: &set.name,
        values: values.view(),
        bands: &columns,
        days: &set.days,
        labels: &labels,
        places: None,
    };
    let scores = |blocks: &[u64]| {
        run_baselines(&view, &fold_episodes(&labels, blocks, FOLDS, args.seeds), 0, screen)
    };
    let began = busy_ms();
    let (random, blocked) = (scores(&each)?, scores(&blocks)?);
    let cpu_s = busy_ms().zip(began).map(|(end, began)| (end - began) / 1000.0);
    let zones = zones_of(points.iter().map(|&p| set.places[p]));
    let episodes = fold_episodes(&labels, &blocks, FOLDS, args.seeds);
    let facts = Facts::of(points.len(), &episodes, zones, cpu_s);
    let pair = |r: &Row| {
        let b = blocked.iter().find(|b| b.method == r.method)?;
        Some(Beside {
            method: r.method.clone(),
            random_leaky: r.mean,
            random_sd: r.sd,
            blocked: b.mean,
            blocked_sd: b.sd,
        })
    };
    let rows: Vec<Beside> = random.iter().filter_map(pair).collect();
    let line = |r: &Beside| {
        format!(
            "\n{:<14}{:>14}{:>14}{:>+9.1}",
            r.method,
            format!("{:.1} ± {:.1}", 100.0 * r.random_leaky, 100.0 * r.random_sd),
            format!("{:.1} ± {:.1}", 100.0 * r.blocked, 100.0 * r.blocked_sd),
            100.0 * (r.random_leaky - r.blocked)
        )
    };
    let text = format!(
        "{}: {} points, {} blocks, {FOLDS} folds, {} seeds, balanced accuracy in %\n{:<14}{:>14}{:>14}{:>9}{}\nthe random split is leaky: neighbours of what was learned are asked about; quote the blocked one\n{facts}",
        set.name,
        points.len(),
        count,
        args.seeds,
        "",
        "random: leaky",
        "by block",
        "flatter",
        rows.iter().map(line).collect::<String>()
    );
    let json = serde_json::json!({
        "set": set.name, "points": points.len(), "blocks": count, "folds": FOLDS,
        "seeds": args.seeds, "metric": "balanced accuracy", "rows": rows, "facts": facts,
    });
    screen.result(&json, &text)?;
    Ok(0)
}
