//! `surco evaluate regression`: numbers instead of classes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ndarray::{Array2, Axis, s};
use surco_core::Progress;
use surco_data::{Sample, SeriesTable, read_table};
use surco_eval::folds::block_folds;
use surco_eval::regression::{Errors, Growth, RegressionForest, beside, half_width};
use surco_eval::spread::{Paired, Spread};
use surco_net::{Device, Model, embed, fresh};

use crate::exit::BadInput;
use crate::released;
use crate::screen::Screen;

/// Trees of every forest.
const TREES: usize = 200;

/// Folds of blocks: where the table keeps no points for testing, and for choosing among features.
const FOLDS: usize = 5;

/// Share of the observations that intervals are to hold.
const COVERAGE: f64 = 0.9;

/// A number of each point (`value` among the points), from its series and its place, beside a forest on raw values
///
/// Where `split` says `train` and `test`, the test points are judged; else each fold of blocks in turn. Which features our forest
/// reads is chosen by blocks of the points learned from.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate regression --points set/points.parquet --series set/series.parquet --seeds 5"
)]
pub(super) struct Args {
    /// Points: point_id, lon, lat, value, block and, where it is fixed, split
    #[arg(long, value_name = "FILE")]
    points: PathBuf,
    /// Series: point_id, date, one column per band
    #[arg(long, value_name = "FILE")]
    series: PathBuf,
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Number of seeds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(3..))]
    seeds: u64,
}

/// One method over all seeds.
#[derive(serde::Serialize)]
struct Row {
    method: &'static str,
    rmse: Spread,
    r2: Spread,
    mae: Spread,
    per_seed: Vec<f64>,
}

#[derive(serde::Serialize)]
struct Measured {
    set: String,
    learned_from: usize,
    judged_on: usize,
    rows: Vec<Row>,
    /// What our forest read, seed by seed.
    chosen: Vec<&'static str>,
    /// Share of what was judged in our 90 % intervals, and their width.
    coverage: Spread,
    width: Spread,
    /// Root mean square error less that of the forest on raw values and place, seed by seed.
    lead: Option<Paired>,
}

/// Features that a forest can read, by name.
struct Features {
    values: Array2<f32>,
    placed: Array2<f32>,
    embedded: Option<Array2<f32>>,
    random: Option<Array2<f32>>,
}

/// Points to learn from and to judge.
type Split = (Vec<usize>, Vec<usize>);

const METHODS: [&str; 6] = [
    "mean",
    "forest, values",
    "forest, values and place",
    "surco, random weights",
    "surco, without encoder",
    "surco",
];

pub(super) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let set = read_table(&args.points, &args.series)?;
    let y = numbers(&set)?;
    let (model, _) = released::model(args.model.as_deref(), device)?;
    let features = features(&set, &model, device)?;
    if features.embedded.is_none() {
        screen.say(&format!("{}: no column has a wavelength; no encoder reads it", set.name));
    }
    let blocks = set.block_numbers();
    let mut errors: BTreeMap<&str, Vec<Errors>> = BTreeMap::new();
    let (mut chosen, mut coverage, mut width) = (Vec::new(), Vec::new(), Vec::new());
    let (mut learned_from, mut judged_on) = (0, 0);
    for seed in 0..args.seeds {
        screen.report("regression", seed, args.seeds, "");
        anyhow::ensure!(!screen.stopped(), "stopped by the user");
        let mut judged: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let (mut truth, mut inside, mut widths) = (Vec::new(), 0, Vec::new());
        let splits = splits(&set, &blocks, seed)?;
        for (train, test) in &splits {
            let asked = Asked { y, blocks: &blocks, train, test, seed };
            let said = asked.all(&features)?;
            chosen.push(said.chosen);
            truth.extend(test.iter().map(|&p| y[p]));
            for (method, values) in METHODS.iter().zip(&said.methods) {
                if !values.is_empty() {
                    judged.entry(method).or_default().extend(values);
                }
            }
            let ours = said.methods.last().map(Vec::as_slice).unwrap_or_default();
            inside +=
                test.iter().zip(ours).filter(|(p, s)| (y[**p] - **s).abs() <= said.half).count();
            widths.push(2.0 * said.half);
        }
        for (method, said) in judged {
            errors.entry(method).or_default().push(Errors::of(&truth, &said));
        }
        coverage.push(inside as f64 / truth.len() as f64);
        width.push(Spread::of(&widths).mean);
        learned_from = splits.iter().map(|s| s.0.len()).sum::<usize>() / splits.len();
        judged_on = truth.len();
    }
    let row = |&method: &&'static str| {
        let found = errors.get(method)?;
        let of =
            |pick: fn(&Errors) -> f64| Spread::of(&found.iter().map(pick).collect::<Vec<f64>>());
        Some(Row {
            method,
            rmse: of(|e| e.rmse),
            r2: of(|e| e.r2),
            mae: of(|e| e.mae),
            per_seed: found.iter().map(|e| e.rmse).collect(),
        })
    };
    let rows: Vec<Row> = METHODS.iter().filter_map(row).collect();
    let of = |method: &str| rows.iter().find(|r| r.method == method).map(|r| r.per_seed.clone());
    let lead = of("surco").zip(of(METHODS[2])).and_then(|(a, b)| Paired::of(&a, &b));
    let (coverage, width) = (Spread::of(&coverage), Spread::of(&width));
    let measured = Measured {
        set: set.name.clone(),
        learned_from,
        judged_on,
        rows,
        chosen,
        coverage,
        width,
        lead,
    };
    screen.result(&measured, &text(&measured))?;
    Ok(0)
}

fn numbers(set: &SeriesTable) -> anyhow::Result<&[f64]> {
    let unknown = set.numbers.iter().position(|v| !v.is_finite());
    match (set.numbers.is_empty(), unknown) {
        (false, None) => Ok(&set.numbers),
        (true, _) => {
            let text =
                format!("set {}: the points have no numbers; give a column `value`", set.name);
            Err(BadInput(text).into())
        }
        (false, Some(at)) => {
            let text =
                format!("set {}: point {} has no value; leave it out", set.name, set.ids[at]);
            Err(BadInput(text).into())
        }
    }
}

/// Whether each point is kept for testing; empty if the table does not say.
fn tests(set: &SeriesTable) -> anyhow::Result<Vec<bool>> {
    let test = |(split, id): (&String, &i64)| match split.as_str() {
        "train" => Ok(false),
        "test" => Ok(true),
        other => {
            let text = format!(
                "set {}: point {id} has the split `{other}`; expected `train` or `test`",
                set.name
            );
            Err(BadInput(text).into())
        }
    };
    set.splits.iter().zip(&set.ids).map(test).collect()
}

/// The split of the table, or each fold of blocks against the others.
fn splits(set: &SeriesTable, blocks: &[u64], seed: u64) -> anyhow::Result<Vec<Split>> {
    let parted = |is_test: &dyn Fn(usize) -> bool| -> Split {
        (0..blocks.len()).partition(|&p| !is_test(p))
    };
    let tests = tests(set)?;
    let splits: Vec<Split> = if tests.is_empty() {
        let folds = block_folds(blocks, FOLDS, seed);
        (0..FOLDS).map(|fold| parted(&|p| folds[p] == fold)).collect()
    } else {
        vec![parted(&|p| tests[p])]
    };
    for (train, test) in &splits {
        let learned: std::collections::BTreeSet<u64> = train.iter().map(|&p| blocks[p]).collect();
        let shared = test.iter().filter(|&&p| learned.contains(&blocks[p])).count();
        if train.len() < 2 * FOLDS || learned.len() < FOLDS || test.is_empty() || shared > 0 {
            let text = format!(
                "set {}: {} points in {} blocks to learn from, {} to judge, {shared} of them in blocks learned from: at least {FOLDS} blocks are needed and none may be in both",
                set.name,
                train.len(),
                learned.len(),
                test.len()
            );
            return Err(BadInput(text).into());
        }
    }
    Ok(splits)
}

/// Values of the dates in order, gaps as the mean of the column; then season and place; then what encoders say.
fn features(set: &SeriesTable, model: &Model, device: &Device) -> anyhow::Result<Features> {
    let (points, dates, bands) = set.values.dim();
    let flat = set.values.to_shape((points, dates * bands))?.to_owned();
    let mut values = flat;
    for mut column in values.columns_mut() {
        let seen: Vec<f32> = column.iter().copied().filter(|v| v.is_finite()).collect();
        let mean = seen.iter().sum::<f32>() / seen.len().max(1) as f32;
        column.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = mean);
    }
    let told = Array2::from_shape_fn((points, 4), |(p, at)| {
        let (sin, cos) = (set.starts[p] as f32 * std::f32::consts::TAU / 365.2425).sin_cos();
        [set.places[p][0] as f32, set.places[p][1] as f32, sin, cos][at]
    });
    let placed = beside(&[values.view(), told.view()]);
    let (_, bands) = set.spectral();
    let encoded = |model: &Model| {
        let embedded = embedded(set, model, device);
        beside(&[placed.view(), embedded.view()])
    };
    let untrained = || Model {
        encoder: fresh(model.config.size, 0x5EED, device).with_sight(model.config.sight),
        config: model.config.clone(),
    };
    let embedded = (!bands.is_empty()).then(|| encoded(model));
    let random = (!bands.is_empty()).then(|| encoded(&untrained()));
    Ok(Features { values, placed, embedded, random })
}

/// Embeddings in the order of the points; each group of one first day has its own window of a year.
fn embedded(set: &SeriesTable, model: &Model, device: &Device) -> Array2<f32> {
    let (_, bands) = set.spectral();
    let axis = set.days.first().copied().unwrap_or(0);
    let span = set.days.last().copied().unwrap_or(0) - axis;
    let mut groups: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    set.starts.iter().enumerate().for_each(|(p, &day)| groups.entry(day).or_default().push(p));
    let mut all = Array2::zeros((0, 0));
    for (start, points) in groups {
        let samples: Vec<Sample> = points
            .iter()
            .map(|&p| {
                let mut sample = set.sample(p);
                sample.days.iter_mut().for_each(|day| *day += start - axis);
                sample
            })
            .collect();
        let refs: Vec<&Sample> = samples.iter().collect();
        let last = start + span + 1;
        let spec = model.config.spec(&bands, (start.min(last - 365), last));
        let found = embed(model, &refs, &spec, device);
        if all.is_empty() {
            all = Array2::zeros((set.starts.len(), found.ncols()));
        }
        for (row, &point) in found.outer_iter().zip(&points) {
            all.slice_mut(s![point, ..]).assign(&row);
        }
    }
    all
}

/// One split under one seed.
struct Asked<'a> {
    y: &'a [f64],
    blocks: &'a [u64],
    train: &'a [usize],
    test: &'a [usize],
    seed: u64,
}

struct Said {
    /// What each of [`METHODS`] says of the test points; empty where it cannot.
    methods: Vec<Vec<f64>>,
    chosen: &'static str,
    /// Half of the width of our intervals.
    half: f64,
}

impl Asked<'_> {
    fn all(&self, features: &Features) -> anyhow::Result<Said> {
        let given: Vec<f64> = self.train.iter().map(|&p| self.y[p]).collect();
        let mean = given.iter().sum::<f64>() / given.len() as f64;
        let of = |x: &Array2<f32>, growth| self.forest(x, growth, self.train, self.test);
        let plain = of(&features.placed, Growth::EXTRA)?;
        let without = self.held_out(&features.placed)?;
        let (mut chosen, mut ours, mut best) = ("values and place", plain.clone(), without);
        let mut random = Vec::new();
        if let Some(x) = &features.embedded {
            let with = self.held_out(x)?;
            if self.rmse(&with) < self.rmse(&best) {
                (chosen, ours, best) = ("values, place and embedding", of(x, Growth::EXTRA)?, with);
            }
        }
        if let Some(x) = &features.random {
            random = of(x, Growth::EXTRA)?;
        }
        let off = best.iter().zip(&given).map(|(said, truth)| (said - truth).abs()).collect();
        let methods = vec![
            vec![mean; self.test.len()],
            of(&features.values, Growth::Bootstrap)?,
            of(&features.placed, Growth::Bootstrap)?,
            random,
            plain,
            ours,
        ];
        Ok(Said { methods, chosen, half: half_width(off, COVERAGE) })
    }

    fn forest(
        &self,
        x: &Array2<f32>,
        growth: Growth,
        train: &[usize],
        asked: &[usize],
    ) -> anyhow::Result<Vec<f64>> {
        let given: Vec<f64> = train.iter().map(|&p| self.y[p]).collect();
        let rows = |points: &[usize]| x.select(Axis(0), points);
        let forest = RegressionForest::fit(rows(train).view(), &given, growth, TREES, self.seed)?;
        Ok(forest.predict(rows(asked).view())?)
    }

    /// What our forest says of each point learned from when its block is held out.
    fn held_out(&self, x: &Array2<f32>) -> anyhow::Result<Vec<f64>> {
        let blocks: Vec<u64> = self.train.iter().map(|&p| self.blocks[p]).collect();
        let folds = block_folds(&blocks, FOLDS, self.seed);
        let mut said = vec![f64::NAN; self.train.len()];
        for fold in 0..FOLDS {
            let (held, kept): (Vec<usize>, Vec<usize>) =
                (0..self.train.len()).partition(|&i| folds[i] == fold);
            let points = |at: &[usize]| at.iter().map(|&i| self.train[i]).collect::<Vec<usize>>();
            let found = self.forest(x, Growth::EXTRA, &points(&kept), &points(&held))?;
            held.iter().zip(found).for_each(|(&i, value)| said[i] = value);
        }
        Ok(said)
    }

    fn rmse(&self, said: &[f64]) -> f64 {
        let given: Vec<f64> = self.train.iter().map(|&p| self.y[p]).collect();
        Errors::of(&given, said).rmse
    }
}

fn text(measured: &Measured) -> String {
    let mut text = format!(
        "{}: {} points learned from, {} judged\n{:<26} {:>16} {:>14} {:>16}",
        measured.set, measured.learned_from, measured.judged_on, "", "rmse", "r2", "mean |error|"
    );
    for row in &measured.rows {
        let of = |s: &Spread, digits: usize| format!("{:.digits$} ± {:.digits$}", s.mean, s.sd);
        text += &format!(
            "\n{:<26} {:>16} {:>14} {:>16}",
            row.method,
            of(&row.rmse, 2),
            of(&row.r2, 3),
            of(&row.mae, 2)
        );
    }
    text += &format!(
        "\nour intervals for 90 % are {:.1} wide and hold {:.1} %",
        measured.width.mean,
        100.0 * measured.coverage.mean
    );
    if let Some(lead) = &measured.lead {
        text += &format!(
            "\nsurco less the forest on values and place: {:+.2} (p = {:.1e} over {} seeds of the forests)",
            lead.mean,
            lead.p.unwrap_or(f64::NAN),
            lead.n
        );
    }
    text
}
