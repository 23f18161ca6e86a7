//! Two sides in turns, and the row that comes of it.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use surco_core::Progress;

use super::side::{Side, Turn};
use crate::screen::Screen;

/// A turn of the slower side lasts about so long, in ms.
const TURN_MS: f64 = 400.0;

/// Most runs of a turn.
const MOST_RUNS: f64 = 100.0;

/// Runs before any is counted.
const WARM_UP: usize = 2;

/// Turns whose results are compared.
const COMPARED: usize = 5;

/// Between two turns, so that no thread of the side before still spins.
const REST: Duration = Duration::from_millis(30);

/// Ours against another, or alone.
pub(super) struct Contest {
    pub(super) ours: Side,
    pub(super) theirs: Option<Side>,
    pub(super) rounds: u32,
}

/// What one side needed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Needed {
    /// Median of a run, in ms.
    ms: f64,
    /// Quarters: a quarter of the runs was faster than the first, a quarter slower than the second.
    ms_quartiles: [f64; 2],
    runs: usize,
    /// Median over turns of the processor time of a run, in ms, and its quarters.
    cpu_ms: Option<f64>,
    cpu_ms_quartiles: Option<[f64; 2]>,
    /// Most memory of the process before it read its inputs, in MB of 2^20 bytes.
    base_mb: Option<f64>,
    /// Most memory of the whole process.
    peak_mb: Option<f64>,
    command: String,
}

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) work: String,
    ours: Needed,
    theirs: Option<Needed>,
    /// Our median over theirs.
    time_ratio: Option<f64>,
    /// The same of processor time.
    cpu_ratio: Option<f64>,
    memory_ratio: Option<f64>,
    /// Largest relative difference of the two sides' results over the first turns.
    difference: Option<f64>,
    reach: &'static str,
}

impl Row {
    /// Our median, in ms.
    pub(super) fn ms(&self) -> f64 {
        self.ours.ms
    }

    /// The commands of both sides.
    pub(super) fn commands(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.ours).chain(&self.theirs).map(|needed| needed.command.as_str())
    }
}

/// What a side has shown so far.
#[derive(Default)]
struct Shown {
    ms: Vec<f64>,
    cpu_ms: Vec<f64>,
    values: Vec<f64>,
}

impl Shown {
    fn add(&mut self, turn: Turn) {
        self.ms.extend(turn.ms);
        self.cpu_ms.extend(turn.cpu_ms);
        self.values.push(turn.value);
    }

    fn needed(mut self, side: Side) -> anyhow::Result<Needed> {
        self.ms.sort_by(f64::total_cmp);
        self.cpu_ms.sort_by(f64::total_cmp);
        let at = |share| of_sorted(&self.ms, share).unwrap_or(f64::NAN);
        let cpu = |share| of_sorted(&self.cpu_ms, share);
        let command = side.command.clone();
        let memory = side.end()?;
        Ok(Needed {
            ms: at(0.5),
            ms_quartiles: [at(0.25), at(0.75)],
            runs: self.ms.len(),
            cpu_ms: cpu(0.5),
            cpu_ms_quartiles: cpu(0.25).zip(cpu(0.75)).map(|(first, third)| [first, third]),
            base_mb: memory.base_mb,
            peak_mb: memory.peak_mb,
            command,
        })
    }
}

impl Contest {
    /// Warms both sides up, then lets them run in turns, each first in every other round.
    pub(super) fn run(
        mut self,
        work: String,
        reach: &'static str,
        screen: &Screen,
    ) -> anyhow::Result<Row> {
        let mut slowest = 0.0_f64;
        for side in std::iter::once(&mut self.ours).chain(&mut self.theirs) {
            let turn = side.turn(WARM_UP)?;
            slowest = turn.ms.last().copied().unwrap_or(0.0).max(slowest);
        }
        let runs = (TURN_MS / slowest.max(1e-3)).round().clamp(1.0, MOST_RUNS) as usize;
        let (mut ours, mut theirs) = (Shown::default(), Shown::default());
        for round in 0..self.rounds {
            for ours_now in [round % 2 == 0, round % 2 == 1] {
                if screen.stopped() {
                    bail!("stopped during {work}");
                }
                std::thread::sleep(REST);
                match (ours_now, &mut self.theirs) {
                    (true, _) => ours.add(self.ours.turn(runs)?),
                    (false, Some(side)) => theirs.add(side.turn(runs)?),
                    (false, None) => {}
                }
            }
        }
        let difference = self.theirs.is_some().then(|| difference(&ours.values, &theirs.values));
        let ours = ours.needed(self.ours)?;
        let theirs = self.theirs.map(|side| theirs.needed(side)).transpose()?;
        let ratio = |of: fn(&Needed) -> Option<f64>| Some(of(&ours)? / of(theirs.as_ref()?)?);
        Ok(Row {
            work,
            time_ratio: ratio(|n| Some(n.ms)),
            cpu_ratio: ratio(|n| n.cpu_ms.filter(|ms| *ms > 0.0)),
            memory_ratio: ratio(|n| n.peak_mb),
            difference,
            reach,
            ours,
            theirs,
        })
    }
}

/// The value of which this share of the others is smaller.
fn of_sorted(values: &[f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    Some(values[(last as f64 * share).round() as usize])
}

fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    let off = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(f64::MIN_POSITIVE);
    ours.iter().zip(theirs).take(COMPARED).map(off).fold(0.0, f64::max)
}

/// The rows, aligned for a terminal.
pub(super) fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>, digits| {
        value.map_or_else(|| "–".to_string(), |v| format!("{v:.digits$}"))
    };
    let mut text = format!(
        "{:<36} {:>10} {:>10} {:>6} {:>6} {:>8} {:>8} {:>6} {:>9}  {}",
        "work",
        "ours ms",
        "theirs ms",
        "ratio",
        "cpu",
        "ours MB",
        "their MB",
        "ratio",
        "differ",
        "reach"
    );
    for row in rows {
        let theirs = row.theirs.as_ref();
        text += &format!(
            "\n{:<36} {:>10.2} {:>10} {:>6} {:>6} {:>8} {:>8} {:>6} {:>9}  {}",
            row.work,
            row.ours.ms,
            number(theirs.map(|n| n.ms), 2),
            number(row.time_ratio, 2),
            number(row.cpu_ratio, 2),
            number(row.ours.peak_mb, 0),
            number(theirs.and_then(|n| n.peak_mb), 0),
            number(row.memory_ratio, 2),
            row.difference.map_or_else(|| "–".into(), |d| format!("{d:.1e}")),
            row.reach
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_relative_and_the_largest() {
        assert_eq!(difference(&[1.0, 2.0], &[1.0, 4.0]), 0.5);
        assert_eq!(difference(&[], &[]), 0.0);
    }

    #[test]
    fn a_row_without_another_side_has_no_ratio() {
        let needed = Needed {
            ms: 12.345,
            ms_quartiles: [12.0, 13.0],
            runs: 9,
            cpu_ms: Some(12.0),
            cpu_ms_quartiles: Some([12.0, 12.0]),
            base_mb: Some(20.0),
            peak_mb: Some(50.0),
            command: "ours".into(),
        };
        let row = Row {
            work: "infer-128".into(),
            ours: needed,
            theirs: None,
            time_ratio: None,
            cpu_ratio: None,
            memory_ratio: None,
            difference: None,
            reach: "time ≤ 0.6",
        };
        let text = table(&[row]);
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("infer-128") && line.contains("12.35"), "{line}");
        assert_eq!(line.matches('–').count(), 6, "{line}");
    }
}
