//! Raw runs as GEO-Bench publishes them, and ours in the same columns.

use std::collections::BTreeMap;
use std::io::Read;

use surco_core::Fault;

use super::{FEWEST_SEEDS, Normalizer};
use crate::pretraining::PretrainingTable;
use crate::report::quoted;

/// Columns that are read; others are passed over.
const COLUMNS: [&str; 5] = ["model", "dataset", "partition name", "seed", "test metric"];

/// One model on one set with one share of the training data and one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The model.
    pub model: String,
    /// The set.
    pub dataset: String,
    /// Share of the training data in percent.
    pub percent: f64,
    /// Seed.
    pub seed: u64,
    /// Test metric of the set.
    pub score: f64,
}

/// A cell in an error message.
#[derive(Clone, Debug, PartialEq)]
pub struct CellName(String);

impl std::fmt::Display for CellName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<(String, String, f64)> for CellName {
    fn from((model, dataset, percent): (String, String, f64)) -> Self {
        Self(format!("{model} on {dataset} at {percent} %"))
    }
}

impl From<&Run> for CellName {
    fn from(run: &Run) -> Self {
        let Run { model, dataset, percent, seed, .. } = run;
        Self(format!("{model} on {dataset} at {percent} %, seed {seed}"))
    }
}

/// Why runs could not be summed up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeoBenchError {
    /// A file that is no CSV.
    #[error("runs {path} cannot be read as CSV")]
    Csv {
        /// The file.
        path: String,
        /// Why.
        source: csv::Error,
    },
    /// A column that is not there.
    #[error("runs {path} have no column `{column}`")]
    Column {
        /// The file.
        path: String,
        /// The column.
        column: &'static str,
    },
    /// A field that says nothing.
    #[error("runs {path}, line {line}: `{column}` is `{found}`, expected {expected}")]
    Field {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// The column.
        column: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// Ranges that are none.
    #[error(
        "normalizer {path}: {reason}; expected an object of sets, each with its lowest and highest score"
    )]
    Normalizer {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A set without a range.
    #[error("the normalizer has no range of {dataset}")]
    Range {
        /// The set.
        dataset: String,
    },
    /// Too few seeds for a mean.
    #[error("{cell} has {seeds} seeds, a mean is taken of at least {FEWEST_SEEDS}")]
    Seeds {
        /// The cell.
        cell: CellName,
        /// Seeds it has.
        seeds: usize,
    },
    /// A run given twice.
    #[error("{0} is there twice: a seed counts once")]
    Twice(CellName),
}

impl GeoBenchError {
    /// The kind of fault: always the input's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// Reads runs from a CSV with the columns `model`, `dataset`, `partition name` (`0.05x train` or `default`), `seed` and
/// `test metric`.
///
/// # Errors
/// [`GeoBenchError`] naming the file, line and column.
pub fn read_runs(text: impl Read, path: &str) -> Result<Vec<Run>, GeoBenchError> {
    let refuse = |source| GeoBenchError::Csv { path: path.into(), source };
    let mut reader = csv::Reader::from_reader(text);
    let head = reader.headers().map_err(refuse)?.clone();
    let mut at = [0; COLUMNS.len()];
    for (place, column) in at.iter_mut().zip(COLUMNS) {
        let found = head.iter().position(|name| name == column);
        *place = found.ok_or_else(|| GeoBenchError::Column { path: path.into(), column })?;
    }
    let mut runs = Vec::new();
    for record in reader.records() {
        let record = record.map_err(refuse)?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize| record.get(at[column]).unwrap_or_default();
        let wrong = |column: usize, expected| GeoBenchError::Field {
            path: path.into(),
            line,
            column: COLUMNS[column],
            found: field(column).into(),
            expected,
        };
        let score = field(4).parse().ok().filter(|score: &f64| score.is_finite());
        runs.push(Run {
            model: field(0).into(),
            dataset: field(1).into(),
            percent: percent_of(field(2)).ok_or_else(|| wrong(2, "`0.05x train` or `default`"))?,
            seed: field(3).parse().map_err(|_| wrong(3, "a whole number"))?,
            score: score.ok_or_else(|| wrong(4, "a number"))?,
        });
    }
    Ok(runs)
}

/// Share of the training data that a partition's name says.
fn percent_of(partition: &str) -> Option<f64> {
    if partition == "default" {
        return Some(100.0);
    }
    let share: f64 = partition.strip_suffix("x train")?.parse().ok()?;
    (share > 0.0 && share <= 1.0).then_some(100.0 * share)
}

/// Reads `normalizer.json`: for each set its lowest and highest score.
///
/// # Errors
/// [`GeoBenchError::Normalizer`] if it is no such object, or a range is empty.
pub fn read_normalizer(text: &str, path: &str) -> Result<Normalizer, GeoBenchError> {
    let refuse = |reason: String| GeoBenchError::Normalizer { path: path.into(), reason };
    let ranges: BTreeMap<String, [f64; 2]> =
        serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
    for (dataset, [low, high]) in &ranges {
        if high <= low || !low.is_finite() || !high.is_finite() {
            return Err(refuse(format!("{dataset} goes from {low} to {high}")));
        }
    }
    Ok(ranges)
}

/// Our own runs in the same columns: every cell of a table of pre-training, the way a model was used in brackets.
#[must_use]
pub fn runs_csv(table: &PretrainingTable) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for (set, cell) in table.sets.iter().flat_map(|s| s.cells.iter().map(move |c| (s, c))) {
        let model = quoted(&format!("{} ({})", cell.model, cell.way.name()));
        let share = f64::from(cell.percent) / 100.0;
        for (seed, score) in cell.per_seed.iter().enumerate() {
            text += &format!("{model},{},{share:.2}x train,{seed},{score}\n", quoted(&set.set));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_with_its_line() {
        let head = "model,dataset,partition name,seed,test metric\n";
        let told = |rest: &str| {
            let text = format!("{head}net,cashew,1.00x train,0,0.5\n{rest}");
            read_runs(text.as_bytes(), "runs.csv").unwrap_err().to_string()
        };
        let messages = [
            told("net,cashew,half,0,0.5\n"),
            told("net,cashew,default,x,0.5\n"),
            told("net,cashew,0.50x train,0,nan\n"),
            read_runs("model,dataset\n".as_bytes(), "runs.csv").unwrap_err().to_string(),
            read_normalizer(r#"{"cashew": [0.5, 0.5]}"#, "normalizer.json")
                .unwrap_err()
                .to_string(),
        ];
        insta::assert_snapshot!(messages.join("\n"), @r"
        runs runs.csv, line 3: `partition name` is `half`, expected `0.05x train` or `default`
        runs runs.csv, line 3: `seed` is `x`, expected a whole number
        runs runs.csv, line 3: `test metric` is `nan`, expected a number
        runs runs.csv have no column `partition name`
        normalizer normalizer.json: cashew goes from 0.5 to 0.5; expected an object of sets, each with its lowest and highest score
        ");
    }

    #[test]
    fn our_runs_are_read_back() {
        let sets = vec![crate::pretraining::tests::table()];
        let table = PretrainingTable { sets, ..PretrainingTable::default() };
        let runs = read_runs(runs_csv(&table).as_bytes(), "runs.csv").unwrap();
        let first = Run {
            model: "masked (probe)".into(),
            dataset: "toy".into(),
            percent: 100.0,
            seed: 0,
            score: 0.6,
        };
        assert_eq!(runs[0], first);
        assert_eq!(runs.len(), 5 * 3);
    }
}
