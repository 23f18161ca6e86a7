//! What pre-training is worth: every model under one protocol, beside random weights and raw values.
//!
//! Input: scores by model, way and share of labels, seed by seed. Output: a table a set with its spread, the
//! difference from random weights with an interval, and what it says in words; as JSON, CSV, Markdown and
//! HTML. Learning is the caller's; what no model may see is decided here ([`draw_splits`]). Sample config:
//! `SetTable::new("set", &splits, scores)`.

mod page;
mod probe;
mod split;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::forecast::HorizonScore;
use crate::invariance::Invariance;
use crate::reconstruction::GapScore;
use crate::spread::{Paired, Spread};

pub use page::{csv, html, markdown};
pub use probe::{ProbeTask, linear_probe, nearest_neighbours};
pub use split::{Split, SplitError, Splits, draw_splits};

/// Row of the encoder nobody trained; of several sizes, each has its own with the size in brackets.
pub const RANDOM: &str = "random weights";

/// Row of a U-BARN that nobody trained.
pub const RANDOM_UBARN: &str = "random weights (ubarn)";

/// Row of the forest on raw values.
pub const RAW_FOREST: &str = "raw random forest";

/// Row of the logistic regression on raw values.
pub const RAW_LOGISTIC: &str = "raw logistic";

/// How a model is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Frozen, under a logistic regression; raw values under their own learner stand here too.
    Probe,
    /// Frozen, by the five nearest neighbours.
    Neighbours,
    /// Trained on by gradients, all of it; from random weights this is training from scratch.
    FineTune,
    /// U-BARN's encoder frozen, under its shallow decoder.
    ShallowFrozen,
    /// U-BARN's encoder and its shallow decoder trained together; from random weights this is training from scratch.
    ShallowFineTuned,
}

impl Way {
    /// As tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Neighbours => "kNN",
            Self::FineTune => "fine-tune",
            Self::ShallowFrozen => "FR",
            Self::ShallowFineTuned => "FT",
        }
    }
}

/// A column: a way, and the share of the labels in percent.
pub type Column = (Way, u32);

/// Balanced accuracies of every row and column, seeds in order.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    rows: Vec<(String, Option<String>)>,
    cells: BTreeMap<(usize, Column), Vec<f64>>,
}

impl Scores {
    /// Begins a row; `beside` names the row of random weights it is compared with.
    pub fn row(&mut self, model: &str, beside: Option<&str>) {
        if self.place(model).is_none() {
            self.rows.push((model.into(), beside.map(Into::into)));
        }
    }

    /// Adds the score of the next seed.
    pub fn add(&mut self, model: &str, column: Column, score: f64) {
        self.row(model, None);
        if let Some(row) = self.place(model) {
            self.cells.entry((row, column)).or_default().push(score);
        }
    }

    fn place(&self, model: &str) -> Option<usize> {
        self.rows.iter().position(|(name, _)| name == model)
    }
}

/// A difference with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Mean over seeds.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The row.
    pub model: String,
    /// How it was used.
    pub way: Way,
    /// Share of the labels in percent.
    pub percent: u32,
    /// Mean balanced accuracy over seeds.
    pub mean: f64,
    /// Standard deviation over seeds.
    pub sd: f64,
    /// Score of each seed.
    pub per_seed: Vec<f64>,
    /// Difference from random weights of its size, used the same way, seed by seed.
    pub over_random: Option<Gain>,
    /// Difference from the better raw-value row at the same share of labels, seed by seed.
    pub over_raw: Option<Gain>,
}

/// The table of one labelled set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetTable {
    /// Name of the set.
    pub set: String,
    /// What cells are.
    pub metric: String,
    /// Classes told apart.
    pub classes: Vec<String>,
    /// Mean number of points learned from, chosen by and judged on.
    pub points: [f64; 3],
    /// Cells, row by row.
    pub cells: Vec<Cell>,
    /// What they say.
    pub findings: Vec<String>,
}

/// How alike a place is to itself under one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alike {
    /// The row.
    pub model: String,
    /// Against pairs of places in different blocks.
    pub alike: Invariance,
}

/// What was said of dates that were not shown, on pixels in blocks held out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unseen {
    /// Hidden dates.
    pub reconstruction: Vec<GapScore>,
    /// Dates to come.
    pub forecast: Vec<HorizonScore>,
    /// Places seen on two disjoint sets of dates.
    pub alike: Vec<Alike>,
    /// How it was measured, one sentence each.
    pub notes: Vec<String>,
}

/// A model that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Its row.
    pub name: String,
    /// Where it lay.
    pub folder: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
}

/// The whole result of `surco evaluate pretraining`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainingTable {
    /// Version of the program.
    pub version: String,
    /// Models under test.
    pub models: Vec<Measured>,
    /// Number of seeds.
    pub seeds: u64,
    /// How it was measured, one sentence each.
    pub protocol: Vec<String>,
    /// One table a set.
    pub sets: Vec<SetTable>,
    /// Dates not shown; absent where no store with an area was given.
    pub unseen: Option<Unseen>,
}

impl SetTable {
    /// The table of these scores.
    #[must_use]
    pub fn new(set: &str, splits: &Splits, scores: &Scores) -> Self {
        let count = splits.splits.len().max(1) as f64;
        let mean = |part: fn(&Split) -> &Vec<usize>| {
            splits.splits.iter().map(|s| part(s).len()).sum::<usize>() as f64 / count
        };
        let points = [mean(|s| &s.train), mean(|s| &s.validation), mean(|s| &s.test)];
        let ratio = points[2] / points[0].max(1.0);
        let cells: Vec<Cell> =
            scores.cells.keys().map(|&(r, c)| cell(scores, r, c, ratio)).collect();
        let findings = findings(set, &cells);
        let metric = crate::fewshot::METRIC.into();
        Self { set: set.into(), metric, classes: splits.classes.clone(), points, cells, findings }
    }

    /// Rows in order, each once.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = Vec::new();
        for cell in &self.cells {
            if !models.contains(&cell.model.as_str()) {
                models.push(&cell.model);
            }
        }
        models
    }

    /// Columns in order, each once.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let mut columns: Vec<Column> = self.cells.iter().map(|c| (c.way, c.percent)).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The cell of a row and a column.
    #[must_use]
    pub fn cell(&self, model: &str, column: Column) -> Option<&Cell> {
        self.cells.iter().find(|c| c.model == model && (c.way, c.percent) == column)
    }
}

fn cell(scores: &Scores, row: usize, column: Column, ratio: f64) -> Cell {
    let (model, beside) = &scores.rows[row];
    let per_seed = scores.cells[&(row, column)].clone();
    let gain = |other: &[f64]| {
        let paired = Paired::of(&per_seed, other)?;
        let [low, high] = paired.interval(ratio)?;
        Some(Gain { mean: paired.mean, low, high })
    };
    let of = |name: &str, column| scores.cells.get(&(scores.place(name)?, column));
    let raw = [RAW_FOREST, RAW_LOGISTIC]
        .into_iter()
        .filter(|name| name != model)
        .filter_map(|name| of(name, (Way::Probe, column.1)))
        .max_by(|a, b| Spread::of(a).mean.total_cmp(&Spread::of(b).mean));
    let over_random = beside.as_deref().and_then(|name| of(name, column)).and_then(|o| gain(o));
    let over_raw = raw.filter(|_| beside.is_some()).and_then(|o| gain(o));
    let Spread { mean, sd, .. } = Spread::of(&per_seed);
    let (way, percent) = column;
    Cell { model: model.clone(), way, percent, mean, sd, per_seed, over_random, over_raw }
}

/// What a table says of each model, in words that are computed from it.
fn findings(set: &str, cells: &[Cell]) -> Vec<String> {
    let mut models: Vec<&str> = Vec::new();
    for cell in cells.iter().filter(|c| c.over_random.is_some()) {
        if !models.contains(&cell.model.as_str()) {
            models.push(&cell.model);
        }
    }
    let said = models.iter().map(|model| {
        let own: Vec<&Cell> = cells.iter().filter(|c| c.model == *model).collect();
        let where_ = |holds: fn(&Gain) -> bool, of: fn(&Cell) -> Option<Gain>| {
            let named = own.iter().filter_map(|c| Some((c, of(c)?))).filter(|(_, g)| holds(g));
            named
                .map(|(c, g)| format!("{} {} % ({:+.1})", c.way.name(), c.percent, g.mean * 100.0))
                .collect::<Vec<_>>()
        };
        let pays = where_(|g| g.low > 0.0, |c| c.over_random);
        let harms = where_(|g| g.high < 0.0, |c| c.over_random);
        let over_raw = where_(|g| g.low > 0.0, |c| c.over_raw);
        let mut text = match pays.as_slice() {
            [] => format!("{set}: pre-training of {model} pays nowhere over random weights"),
            some => format!(
                "{set}: pre-training of {model} pays over random weights in {}",
                some.join(", ")
            ),
        };
        if !harms.is_empty() {
            text += &format!("; it harms in {}", harms.join(", "));
        }
        text += &match over_raw.as_slice() {
            [] => "; nowhere is it surely better than raw values".into(),
            some => format!("; it is surely better than raw values in {}", some.join(", ")),
        };
        text + " (points of balanced accuracy, 95 % interval off 0)."
    });
    said.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn table() -> SetTable {
        let labels: Vec<String> = (0..600).map(|p| ["a", "b"][p % 2].into()).collect();
        let blocks: Vec<u64> = (0..600).map(|p| p / 20).collect();
        let splits = draw_splits("toy", &labels, &blocks, 3).unwrap();
        let mut scores = Scores::default();
        scores.row("masked", Some(RANDOM));
        scores.row("causal", Some(RANDOM));
        for (seed, random) in [0.50, 0.55, 0.60].into_iter().enumerate() {
            let column = (Way::Probe, 100);
            scores.add("masked", column, random + 0.10 + seed as f64 * 0.001);
            scores.add("causal", column, random + [0.1, -0.1, 0.0][seed]);
            scores.add(RANDOM, column, random);
            scores.add(RAW_FOREST, column, random + 0.2);
            scores.add(RAW_LOGISTIC, column, 0.1);
        }
        SetTable::new("toy", &splits, &scores)
    }

    /// By hand: differences 0.100, 0.101, 0.102 have mean 0.101, sd 0.001; 6 blocks are judged on for 18
    /// learned from; half-width 4.303 · 0.001 · √(1/3 + 1/3) = 0.0035.
    #[test]
    fn a_gain_is_paired_by_seed_and_has_an_interval() {
        let table = table();
        let masked = table.cell("masked", (Way::Probe, 100)).unwrap();
        let gain = masked.over_random.unwrap();
        assert!((gain.mean - 0.101).abs() < 1e-12 && (gain.low - 0.0975).abs() < 1e-4, "{gain:?}");
        assert!((masked.over_raw.unwrap().mean + 0.099).abs() < 1e-12, "the forest is the better");
        assert_eq!(table.cell(RANDOM, (Way::Probe, 100)).unwrap().over_random, None);
        assert_eq!(table.points, [360.0, 120.0, 120.0]);
    }

    #[test]
    fn the_findings_say_where_pre_training_pays_and_where_not() {
        insta::assert_snapshot!(table().findings.join("\n"), @r"
        toy: pre-training of masked pays over random weights in probe 100 % (+10.1); nowhere is it surely better than raw values (points of balanced accuracy, 95 % interval off 0).
        toy: pre-training of causal pays nowhere over random weights; nowhere is it surely better than raw values (points of balanced accuracy, 95 % interval off 0).
        ");
    }
}
