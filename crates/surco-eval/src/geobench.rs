//! GEO-Bench's way to sum up runs: normalised scores, interquartile means, stratified bootstrap.
//!
//! Input: a CSV of raw runs with the columns `model`, `dataset`, `partition name`, `seed` and `test metric`, and the
//! range of each set. Output: a cell a model, set and share of the training data, a row of all sets, and which cells
//! are not to be trusted; as JSON, CSV, Markdown and HTML. Sample config: `summarise(&runs, None, 0)`.
//!
//! # Source
//! Lacoste et al. 2023 (arXiv 2306.03831), §4.2; Agarwal et al. 2021 (arXiv 2108.13264), §4.3.

mod page;
mod runs;

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::spread::{Spread, quantile};

pub use page::{csv, curves_svg, html, markdown};
pub use runs::{GeoBenchError, Run, read_normalizer, read_runs, runs_csv};

/// Fewest seeds of a cell.
pub const FEWEST_SEEDS: usize = 5;

/// Times that seeds are drawn again.
pub const REPEATS: usize = 100;

/// Share of a set's range from which on the seeds of a cell are told to disagree.
const WIDE: f64 = 0.2;

/// The lowest and the highest score of each set.
pub type Normalizer = BTreeMap<String, [f64; 2]>;

/// One model on one set with one share of the training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoCell {
    /// The model.
    pub model: String,
    /// The set.
    pub dataset: String,
    /// Share of the training data in percent.
    pub percent: f64,
    /// Number of seeds.
    pub seeds: usize,
    /// Score of each seed, not normalised, seeds ascending.
    pub per_seed: Vec<f64>,
    /// Interquartile mean, not normalised.
    pub iqm_raw: f64,
    /// Interquartile mean of normalised scores.
    pub iqm: f64,
    /// Low and high end of its 95 % interval.
    pub interval: [f64; 2],
    /// Mean and standard deviation of normalised scores.
    pub spread: Spread,
    /// Whether seeds lie further apart than a fifth of the set's range; never where the range is that of the runs.
    pub is_wide: bool,
}

/// One model over all sets with one share of the training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoAll {
    /// The model.
    pub model: String,
    /// Share of the training data in percent.
    pub percent: f64,
    /// Number of runs.
    pub runs: usize,
    /// Interquartile mean of all normalised scores.
    pub iqm: f64,
    /// Low and high end of its 95 % interval, seeds drawn again within each set.
    pub interval: [f64; 2],
}

/// The whole result of `surco evaluate geobench`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoTable {
    /// Range of each set.
    pub normalizer: Normalizer,
    /// Whether ranges are those of the runs themselves.
    pub own_ranges: bool,
    /// Cells, by model, set and share.
    pub cells: Vec<GeoCell>,
    /// All sets together, by model and share; only where a model has every set.
    pub all: Vec<GeoAll>,
    /// What must not be read from a mean alone, one sentence each.
    pub warnings: Vec<String>,
    /// How it was measured, one sentence each.
    pub protocol: Vec<String>,
}

/// The mean of what is left when a quarter of the values, rounded down, is cut off at each end; NaN without values.
///
/// # Source
/// `scipy.stats.trim_mean` with `proportiontocut=0.25`.
#[must_use]
pub fn interquartile_mean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    let kept = &sorted[cut..sorted.len() - cut];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// The middle 95 % of interquartile means when the values of each stratum are drawn again with replacement.
fn interval(strata: &[&[f64]], rng: &mut ChaCha8Rng) -> [f64; 2] {
    let mut means: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let mut drawn = Vec::new();
            for stratum in strata {
                drawn.extend(
                    (0..stratum.len()).map(|_| stratum[rng.random_range(0..stratum.len())]),
                );
            }
            interquartile_mean(&drawn)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    [quantile(&means, 0.025), quantile(&means, 0.975)]
}

/// Sums up runs. Without ranges each set's are the lowest and highest score of its runs.
///
/// # Errors
/// [`GeoBenchError`] if a cell has fewer than five seeds or one twice, or a set has no range.
pub fn summarise(
    runs: &[Run],
    normalizer: Option<Normalizer>,
    seed: u64,
) -> Result<GeoTable, GeoBenchError> {
    let own_ranges = normalizer.is_none();
    let normalizer = normalizer.unwrap_or_else(|| ranges_of(runs));
    let mut grouped: BTreeMap<(&str, &str, u32), BTreeMap<u64, f64>> = BTreeMap::new();
    for run in runs {
        // A hundredth of a percent tells shares apart, and has an order.
        let key = (run.model.as_str(), run.dataset.as_str(), (run.percent * 100.0).round() as u32);
        if grouped.entry(key).or_default().insert(run.seed, run.score).is_some() {
            return Err(GeoBenchError::Twice(run.into()));
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cells: Vec<GeoCell> = Vec::new();
    for ((model, dataset, share), by_seed) in grouped {
        let percent = f64::from(share) / 100.0;
        let name = || (model.to_string(), dataset.to_string(), percent);
        if by_seed.len() < FEWEST_SEEDS {
            return Err(GeoBenchError::Seeds { cell: name().into(), seeds: by_seed.len() });
        }
        let Some(&[low, high]) = normalizer.get(dataset) else {
            return Err(GeoBenchError::Range { dataset: dataset.into() });
        };
        let per_seed: Vec<f64> = by_seed.into_values().collect();
        let normal: Vec<f64> = per_seed.iter().map(|v| (v - low) / (high - low)).collect();
        let ends = normal.iter().fold((f64::MAX, f64::MIN), |e, v| (e.0.min(*v), e.1.max(*v)));
        cells.push(GeoCell {
            model: model.into(),
            dataset: dataset.into(),
            percent,
            seeds: per_seed.len(),
            iqm_raw: interquartile_mean(&per_seed),
            iqm: interquartile_mean(&normal),
            interval: interval(&[&normal], &mut rng),
            spread: Spread::of(&normal),
            is_wide: !own_ranges && ends.1 - ends.0 > WIDE,
            per_seed,
        });
    }
    let all = together(&cells, &normalizer, &mut rng);
    let protocol = crate::suite::SuiteName::GeoBench.describe().protocol;
    let warnings = warnings(&cells, &all);
    Ok(GeoTable { normalizer, own_ranges, cells, all, warnings, protocol })
}

fn ranges_of(runs: &[Run]) -> Normalizer {
    let mut ranges = Normalizer::new();
    for run in runs {
        let range = ranges.entry(run.dataset.clone()).or_insert([run.score; 2]);
        *range = [range[0].min(run.score), range[1].max(run.score)];
    }
    ranges
}

/// All sets together, for each model and share that has every set.
fn together(cells: &[GeoCell], normalizer: &Normalizer, rng: &mut ChaCha8Rng) -> Vec<GeoAll> {
    let mut sets: Vec<&str> = cells.iter().map(|c| c.dataset.as_str()).collect();
    sets.sort_unstable();
    sets.dedup();
    let mut keys: Vec<(&str, f64)> = cells.iter().map(|c| (c.model.as_str(), c.percent)).collect();
    keys.sort_by(|a, b| a.0.cmp(b.0).then(a.1.total_cmp(&b.1)));
    keys.dedup();
    let mut all = Vec::new();
    for (model, percent) in keys {
        let own: Vec<&GeoCell> =
            cells.iter().filter(|c| c.model == model && c.percent == percent).collect();
        if own.len() < sets.len() {
            continue;
        }
        let strata: Vec<Vec<f64>> = own
            .iter()
            .map(|cell| {
                let [low, high] = normalizer[&cell.dataset];
                cell.per_seed.iter().map(|v| (v - low) / (high - low)).collect()
            })
            .collect();
        let views: Vec<&[f64]> = strata.iter().map(Vec::as_slice).collect();
        let pooled = strata.concat();
        all.push(GeoAll {
            model: model.into(),
            percent,
            runs: pooled.len(),
            iqm: interquartile_mean(&pooled),
            interval: interval(&views, rng),
        });
    }
    all
}

/// Cells whose seeds disagree, those that more data made surely worse, and models without a row of all sets.
fn warnings(cells: &[GeoCell], all: &[GeoAll]) -> Vec<String> {
    let mut told = Vec::new();
    for cell in cells {
        let GeoCell { model, dataset, percent, .. } = cell;
        if cell.is_wide {
            let ends =
                cell.per_seed.iter().fold((f64::MAX, f64::MIN), |e, v| (e.0.min(*v), e.1.max(*v)));
            told.push(format!(
                "{model} on {dataset} at {percent} %: seeds lie from {:.3} to {:.3}; read them, not their mean.",
                ends.0, ends.1
            ));
        }
        let less = cells
            .iter()
            .filter(|c| c.model == *model && c.dataset == *dataset && c.percent < *percent)
            .find(|c| c.interval[0] > cell.interval[1]);
        if let Some(less) = less {
            told.push(format!(
                "{model} on {dataset}: {percent} % of the data score surely worse than {} % ({:.3} against {:.3}).",
                less.percent, cell.iqm_raw, less.iqm_raw
            ));
        }
    }
    let mut models: Vec<&str> = cells.iter().map(|c| c.model.as_str()).collect();
    models.dedup();
    for model in models {
        if !all.iter().any(|a| a.model == model) {
            told.push(format!(
                "{model} lacks sets that others have, so it has no row of all sets."
            ));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use surco_core::Fault;

    use super::*;

    /// Rows of `baseline_segmentation_results.csv` of GEO-Bench (Apache-2.0): the ResNet-50 U-Net on m-pv4ger-seg with
    /// all data and on m-chesapeake with 2 %.
    const RAW: &str = include_str!("../fixtures/geobench_runs.csv");

    /// Recorded from scipy by `fixtures/geobench.py`; the first two were printed as 94.0 and 56.6 % before.
    #[derive(Deserialize)]
    struct Recorded {
        cells: Vec<RecordedCell>,
        all: f64,
    }

    #[derive(Deserialize)]
    struct RecordedCell {
        dataset: String,
        iqm_raw: f64,
        iqm: f64,
        low: f64,
        high: f64,
    }

    fn range() -> Normalizer {
        let of = |name: &str, range| (name.to_string(), range);
        [of("m-pv4ger-seg", [0.7, 0.95]), of("m-chesapeake", [0.4, 0.72])].into()
    }

    #[test]
    fn published_runs_give_their_interquartile_means() {
        let runs = read_runs(RAW.as_bytes(), "runs.csv").unwrap();
        assert_eq!(runs.len(), 24);
        let recorded: Recorded =
            serde_json::from_str(include_str!("../fixtures/geobench.json")).unwrap();
        let table = summarise(&runs, Some(range()), 0).unwrap();
        for want in &recorded.cells {
            let got = table.cells.iter().find(|c| c.dataset == want.dataset).unwrap();
            assert_eq!(got.seeds, 12);
            assert!((got.iqm_raw - want.iqm_raw).abs() < 1e-12, "{}", want.dataset);
            assert!((got.iqm - want.iqm).abs() < 1e-12);
            // Of two draws of a hundred each, ends agree to a part of their width.
            let width = want.high - want.low;
            assert!((got.interval[0] - want.low).abs() < 0.3 * width, "{:?}", got.interval);
            assert!((got.interval[1] - want.high).abs() < 0.3 * width, "{:?}", got.interval);
        }
        let printed: Vec<String> =
            table.cells.iter().map(|c| format!("{:.1}", 100.0 * c.iqm_raw)).collect();
        assert_eq!(printed, ["56.6", "94.0"]);
        let both: Vec<f64> = runs
            .iter()
            .map(|r| {
                (r.score - range()[&r.dataset][0])
                    / (range()[&r.dataset][1] - range()[&r.dataset][0])
            })
            .collect();
        assert!((interquartile_mean(&both) - recorded.all).abs() < 1e-12);
    }

    #[test]
    fn the_same_seed_gives_the_same_intervals() {
        let runs = read_runs(RAW.as_bytes(), "runs.csv").unwrap();
        let of = |seed| summarise(&runs, None, seed).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).cells[0].interval, of(2).cells[0].interval);
        assert!(of(1).own_ranges && of(1).cells.iter().all(|c| (0.0..=1.0).contains(&c.iqm)));
    }

    /// By hand: of eight values two are cut at each end; of seven, one.
    #[test]
    fn a_quarter_is_cut_off_at_each_end() {
        assert_eq!(interquartile_mean(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -50.0]), 3.5);
        assert_eq!(interquartile_mean(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0]), 4.0);
        assert!(interquartile_mean(&[]).is_nan());
    }

    fn run(percent: f64, seed: u64, score: f64) -> Run {
        Run { model: "net".into(), dataset: "cashew".into(), percent, seed, score }
    }

    #[test]
    fn seeds_that_disagree_and_data_that_harm_are_told() {
        let mut runs: Vec<Run> = (0..6).map(|s| run(5.0, s, 0.30 + 0.002 * s as f64)).collect();
        runs.extend((0..6).map(|s| run(10.0, s, 0.09 + 0.002 * s as f64)));
        runs.extend((0..6).map(|s| run(100.0, s, if s == 0 { 0.1 } else { 0.5 })));
        let range: Normalizer = [("cashew".to_string(), [0.0, 1.0])].into();
        let table = summarise(&runs, Some(range), 0).unwrap();
        insta::assert_snapshot!(table.warnings.join("\n"), @r"
        net on cashew: 10 % of the data score surely worse than 5 % (0.095 against 0.305).
        net on cashew at 100 %: seeds lie from 0.100 to 0.500; read them, not their mean.
        ");
    }

    #[test]
    fn a_mean_of_too_few_seeds_is_refused() {
        let few: Vec<Run> = (0..3).map(|s| run(1.0, s, 0.5)).collect();
        let twice: Vec<Run> = (0..6).map(|s| run(1.0, s / 2, 0.5)).collect();
        let unknown: Vec<Run> = (0..6).map(|s| run(1.0, s, 0.5)).collect();
        let told = [
            summarise(&few, None, 0).unwrap_err(),
            summarise(&twice, None, 0).unwrap_err(),
            summarise(&unknown, Some(range()), 0).unwrap_err(),
        ];
        assert!(told.iter().all(|e| e.fault() == Fault::Input));
        insta::assert_snapshot!(told.map(|e| e.to_string()).join("\n"), @r"
        net on cashew at 1 % has 3 seeds, a mean is taken of at least 5
        net on cashew at 1 %, seed 0 is there twice: a seed counts once
        the normalizer has no range of cashew
        ");
    }
}
