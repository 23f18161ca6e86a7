//! Average ranks of methods over sets and numbers of labels, as METEOR's table has them.
//!
//! Input: results of `surco evaluate fewshot`, one a set. Output: ranks with the tests that say which differ, our row
//! against each other, and a critical-difference diagram; as JSON, CSV, Markdown and HTML. Sample config:
//! `rank_methods(&results, "surco")`.

mod page;
mod statistics;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use surco_core::Fault;

use crate::fewshot::{Row, SuiteResult};
use crate::spread::Paired;

pub use page::{csv, diagram_svg, html, markdown};
pub use statistics::{Friedman, critical_difference, holm, ranks, wilcoxon};

/// Row of the draw of chance: a line to read others against, not a method.
const CHANCE: &str = "chance";

/// Fewest seeds that a mean is taken of.
pub const FEWEST_SEEDS: usize = 5;

/// One set with one number of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Name of the set.
    pub set: String,
    /// Labels per class.
    pub k: usize,
    /// Seeds of each method.
    pub seeds: usize,
    /// Mean over seeds of each method, in their order in [`RankTable::methods`].
    pub scores: Vec<f64>,
    /// Rank of each method, 1 for the best.
    pub ranks: Vec<f64>,
}

/// A method and how it ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedMethod {
    /// Its name.
    pub method: String,
    /// Mean of its ranks over all tasks.
    pub average_rank: f64,
    /// Mean of its ranks over the tasks of each number of labels.
    pub by_k: Vec<(usize, f64)>,
}

/// Our row against one other, over all tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Duel {
    /// The other.
    pub against: String,
    /// Tasks on which the interval of ours less theirs lies above 0.
    pub won: usize,
    /// Tasks on which it holds 0.
    pub tied: usize,
    /// Tasks on which it lies below 0.
    pub lost: usize,
    /// Tasks on which our mean is higher.
    pub ahead: usize,
    /// Mean of ours less theirs over tasks, as a share.
    pub mean: f64,
    /// Two-sided p of Wilcoxon's test over tasks.
    pub p: f64,
    /// The same, corrected for the number of comparisons (Holm).
    pub p_holm: f64,
}

/// A method that is not ranked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub method: String,
    /// Tasks that lack it, as `set, k = 1`.
    pub lacks: Vec<String>,
}

/// The whole result of `surco evaluate ranks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankTable {
    /// What the scores are.
    pub metric: String,
    /// Methods, best average rank first.
    pub methods: Vec<RankedMethod>,
    /// Tasks, by set and number of labels.
    pub tasks: Vec<Task>,
    /// Whether methods differ at all.
    pub friedman: Friedman,
    /// Difference of average ranks from which on two methods differ.
    pub critical_difference: f64,
    /// Longest runs of methods that do not differ, as first and last place among the methods.
    pub alike: Vec<(usize, usize)>,
    /// The row that is compared with each other.
    pub ours: String,
    /// Comparisons, in the order of methods.
    pub duels: Vec<Duel>,
    /// Methods that some task lacks.
    pub left_out: Vec<LeftOut>,
    /// How it was measured, one sentence each.
    pub protocol: Vec<String>,
}

/// Why results could not be ranked.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RankError {
    /// Scores of two kinds.
    #[error(
        "{set} is scored by {found}, the sets before it by {metric}: rank one kind of score at a time"
    )]
    Metric {
        /// The set.
        set: String,
        /// Its kind of score.
        found: String,
        /// That of the first.
        metric: String,
    },
    /// A set given twice.
    #[error("the set {set} is given twice with k = {k}: a task counts once")]
    Twice {
        /// The set.
        set: String,
        /// Labels per class.
        k: usize,
    },
    /// Too few seeds for a mean.
    #[error(
        "{set}, k = {k}: {method} has {seeds} seeds, a mean is taken of at least {FEWEST_SEEDS}"
    )]
    Seeds {
        /// The set.
        set: String,
        /// Labels per class.
        k: usize,
        /// The method.
        method: String,
        /// Seeds it has.
        seeds: usize,
    },
    /// A score that is none.
    #[error("{set}, k = {k}: a score of {method} is not a number")]
    NotANumber {
        /// The set.
        set: String,
        /// Labels per class.
        k: usize,
        /// The method.
        method: String,
    },
    /// Nothing to rank.
    #[error("{tasks} tasks and {methods} methods that all of them have: ranks need two of each")]
    TooFew {
        /// Tasks.
        tasks: usize,
        /// Methods in all of them.
        methods: usize,
    },
    /// The row to compare is not among the ranked.
    #[error("{ours} is not among the ranked methods: {found}")]
    Ours {
        /// The row asked for.
        ours: String,
        /// The ranked.
        found: String,
    },
}

impl RankError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Ours { .. } => Fault::Usage,
            Self::Metric { .. }
            | Self::Twice { .. }
            | Self::Seeds { .. }
            | Self::NotANumber { .. }
            | Self::TooFew { .. } => Fault::Input,
        }
    }
}

/// Rows of one task.
struct Field<'a> {
    set: &'a str,
    k: usize,
    rows: Vec<&'a Row>,
}

impl Field<'_> {
    fn row(&self, method: &str) -> Option<&Row> {
        self.rows.iter().copied().find(|row| row.method == method)
    }

    fn name(&self) -> String {
        format!("{}, k = {}", self.set, self.k)
    }
}

/// Ranks methods over every set and number of labels, and compares `ours` with each other.
///
/// # Errors
/// [`RankError`] if results do not belong together, seeds are too few, or `ours` is not in all of them.
///
/// # Source
/// Rußwurm et al. 2024 (METEOR), tables 1 and 2; Demšar 2006, *Statistical comparisons of classifiers over multiple
/// data sets*, §3.2.
pub fn rank_methods(results: &[SuiteResult], ours: &str) -> Result<RankTable, RankError> {
    let fields = fields(results)?;
    let names: BTreeSet<&str> =
        fields.iter().flat_map(|f| f.rows.iter().map(|r| r.method.as_str())).collect();
    let lacks = |name: &str| {
        let without = fields.iter().filter(|f| f.row(name).is_none());
        without.map(Field::name).collect::<Vec<_>>()
    };
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for name in names {
        match lacks(name) {
            lacks if lacks.is_empty() => kept.push(name),
            lacks => left_out.push(LeftOut { method: name.into(), lacks }),
        }
    }
    if fields.len() < 2 || kept.len() < 2 {
        return Err(RankError::TooFew { tasks: fields.len(), methods: kept.len() });
    }
    if !kept.contains(&ours) {
        return Err(RankError::Ours { ours: ours.into(), found: kept.join(", ") });
    }
    let average = |name: &str| {
        let rank = |f: &Field<'_>| {
            let means: Vec<f64> = kept.iter().filter_map(|n| f.row(n)).map(|r| r.mean).collect();
            kept.iter().position(|n| *n == name).map_or(f64::NAN, |at| ranks(&means)[at])
        };
        fields.iter().map(rank).sum::<f64>() / fields.len() as f64
    };
    let mut order: Vec<(f64, &str)> = kept.iter().map(|name| (average(name), *name)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let tasks: Vec<Task> = fields.iter().map(|field| task(field, &order)).collect();
    let critical_difference = critical_difference(order.len(), tasks.len());
    let averages: Vec<f64> = order.iter().map(|(rank, _)| *rank).collect();
    let by_task: Vec<Vec<f64>> = tasks.iter().map(|t| t.ranks.clone()).collect();
    Ok(RankTable {
        metric: results[0].metric.clone(),
        methods: order.iter().enumerate().map(|(m, o)| ranked(m, *o, &tasks)).collect(),
        friedman: Friedman::of(&by_task),
        critical_difference,
        alike: alike(&averages, critical_difference),
        ours: ours.into(),
        duels: duels(&fields, ours, &order),
        left_out,
        protocol: crate::suite::SuiteName::Meteor.describe().protocol,
        tasks,
    })
}

/// Rows by task, checked.
fn fields(results: &[SuiteResult]) -> Result<Vec<Field<'_>>, RankError> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    for result in results {
        let metric = &results[0].metric;
        if result.metric != *metric {
            let (set, found) = (result.set.clone(), result.metric.clone());
            return Err(RankError::Metric { set, found, metric: metric.clone() });
        }
        let ks: BTreeSet<usize> = result.rows.iter().map(|row| row.k).collect();
        for k in ks {
            let set = result.set.clone();
            if fields.iter().any(|f| f.set == set && f.k == k) {
                return Err(RankError::Twice { set, k });
            }
            let rows = result.rows.iter().filter(|row| row.k == k && row.method != CHANCE);
            let rows: Vec<&Row> = rows.collect();
            for row in &rows {
                let (method, seeds) = (row.method.clone(), row.per_seed.len());
                if !row.mean.is_finite() || row.per_seed.iter().any(|score| !score.is_finite()) {
                    return Err(RankError::NotANumber { set, k, method });
                }
                if seeds < FEWEST_SEEDS {
                    return Err(RankError::Seeds { set, k, method, seeds });
                }
            }
            fields.push(Field { set: &result.set, k, rows });
        }
    }
    Ok(fields)
}

fn task(field: &Field<'_>, order: &[(f64, &str)]) -> Task {
    let rows: Vec<&Row> = order.iter().filter_map(|(_, name)| field.row(name)).collect();
    let scores: Vec<f64> = rows.iter().map(|row| row.mean).collect();
    let seeds = rows.iter().map(|row| row.per_seed.len()).min().unwrap_or(0);
    Task { set: field.set.into(), k: field.k, seeds, ranks: ranks(&scores), scores }
}

fn ranked(place: usize, (average_rank, name): (f64, &str), tasks: &[Task]) -> RankedMethod {
    let ks: BTreeSet<usize> = tasks.iter().map(|task| task.k).collect();
    let mean = |k: usize| {
        let own: Vec<f64> = tasks.iter().filter(|t| t.k == k).map(|t| t.ranks[place]).collect();
        (k, own.iter().sum::<f64>() / own.len() as f64)
    };
    RankedMethod { method: name.into(), average_rank, by_k: ks.into_iter().map(mean).collect() }
}

/// Longest runs of two or more neighbours whose ends are less than a critical difference apart.
fn alike(averages: &[f64], critical_difference: f64) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for first in 0..averages.len() {
        let near = |rank: &&f64| **rank - averages[first] < critical_difference;
        let last = first + averages[first..].iter().take_while(near).count() - 1;
        if last > first && runs.last().is_none_or(|run| run.1 < last) {
            runs.push((first, last));
        }
    }
    runs
}

fn duels(fields: &[Field<'_>], ours: &str, order: &[(f64, &str)]) -> Vec<Duel> {
    let mut duels: Vec<Duel> = Vec::new();
    for &(_, against) in order.iter().filter(|(_, name)| *name != ours) {
        let pairs: Vec<(&Row, &Row)> =
            fields.iter().filter_map(|f| Some((f.row(ours)?, f.row(against)?))).collect();
        let side = |(a, b): &(&Row, &Row)| {
            // One point is asked for one that labels may come from, as in the leads of a set.
            match Paired::of(&a.per_seed, &b.per_seed).and_then(|pair| pair.interval(1.0)) {
                Some([low, _]) if low > 0.0 => 1,
                Some([_, high]) if high < 0.0 => -1,
                _ => 0,
            }
        };
        let count = |wanted: i32| pairs.iter().filter(|pair| side(pair) == wanted).count();
        let (mine, theirs): (Vec<f64>, Vec<f64>) =
            pairs.iter().map(|(a, b)| (a.mean, b.mean)).unzip();
        let gap: f64 = mine.iter().zip(&theirs).map(|(a, b)| a - b).sum();
        let p = wilcoxon(&mine, &theirs);
        duels.push(Duel {
            against: against.into(),
            won: count(1),
            tied: count(0),
            lost: count(-1),
            ahead: mine.iter().zip(&theirs).filter(|(a, b)| a > b).count(),
            mean: gap / pairs.len() as f64,
            p,
            p_holm: p,
        });
    }
    let p: Vec<f64> = duels.iter().map(|duel| duel.p).collect();
    for (duel, p) in duels.iter_mut().zip(holm(&p)) {
        duel.p_holm = p;
    }
    duels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fewshot::METRIC;
    use crate::spread::Spread;

    pub(super) fn row(method: &str, k: usize, mean: f64) -> Row {
        let per_seed: Vec<f64> = (0..5).map(|s| mean + 0.002 * (f64::from(s) - 2.0)).collect();
        let Spread { mean, sd, n } = Spread::of(&per_seed);
        Row {
            method: method.into(),
            k,
            mean,
            sd,
            n,
            per_seed,
            per_class: Vec::new(),
            per_zone: Vec::new(),
        }
    }

    /// Three sets, one and five labels: `surco` first on five of six tasks, `forest` on one, `weak` always last.
    pub(super) fn results() -> Vec<SuiteResult> {
        let set = |name: &str, shift: f64| {
            let mut rows = Vec::new();
            for k in [1, 5] {
                let base = shift + 0.02 * k as f64;
                let lead = if name == "c" && k == 1 { -0.01 } else { 0.03 + shift / 10.0 };
                rows.extend([
                    row(CHANCE, k, 0.1),
                    row("weak", k, base - 0.2),
                    row("forest", k, base),
                    row("surco", k, base + lead),
                ]);
                if name != "b" {
                    rows.push(row("place", k, 0.9));
                }
            }
            SuiteResult {
                set: name.into(),
                metric: METRIC.into(),
                rows,
                leads: Vec::new(),
                promises: Vec::new(),
                facts: None,
            }
        };
        vec![set("a", 0.5), set("b", 0.6), set("c", 0.7)]
    }

    /// By hand: surco is first on five tasks of six and second on one, (5 · 1 + 2) / 6; the forest the other way round.
    #[test]
    fn methods_are_ranked_on_the_tasks_that_all_of_them_have() {
        let table = rank_methods(&results(), "surco").unwrap();
        let ranks: Vec<(&str, f64)> =
            table.methods.iter().map(|m| (m.method.as_str(), m.average_rank)).collect();
        assert_eq!(ranks, [("surco", 7.0 / 6.0), ("forest", 11.0 / 6.0), ("weak", 3.0)]);
        assert_eq!(table.methods[0].by_k, [(1, 4.0 / 3.0), (5, 1.0)]);
        assert_eq!(table.tasks.len(), 6);
        let lacks = vec!["b, k = 1".to_string(), "b, k = 5".into()];
        assert_eq!(table.left_out, [LeftOut { method: "place".into(), lacks }]);
        // q = 2.343 for three methods: 2.343 · √(3 · 4 / 36) = 1.353.
        assert!((table.critical_difference - 1.353).abs() < 1e-3);
        assert_eq!(table.alike, [(0, 1), (1, 2)]);
    }

    /// Differences are the same on every seed, so each interval lies off 0: five tasks won, one lost. Wilcoxon by hand:
    /// the loss is the smallest of six differences, so W = 1 and p = 2 · 2 / 64.
    #[test]
    fn a_duel_counts_tasks_and_tests_their_means() {
        let table = rank_methods(&results(), "surco").unwrap();
        let [forest, weak] = &table.duels[..] else { panic!("two others") };
        assert_eq!((forest.won, forest.tied, forest.lost, forest.ahead), (5, 0, 1, 5));
        assert!((forest.p - 4.0 / 64.0).abs() < 1e-12, "{}", forest.p);
        assert!((weak.p - 2.0 / 64.0).abs() < 1e-12 && (weak.p_holm - 4.0 / 64.0).abs() < 1e-12);
    }

    #[test]
    fn results_that_do_not_belong_together_are_refused() {
        let told =
            |results: &[SuiteResult]| rank_methods(results, "surco").unwrap_err().to_string();
        let mut twice = results();
        twice[1].set = "a".into();
        let mut other = results();
        other[2].metric = "accuracy".into();
        let mut few = results();
        few[0].rows[2].per_seed.truncate(3);
        let mut broken = results();
        broken[0].rows[2].per_seed[0] = f64::NAN;
        let messages =
            [told(&twice), told(&other), told(&few), told(&broken), told(&results()[..0])];
        insta::assert_snapshot!(messages.join("\n"), @r"
        the set a is given twice with k = 1: a task counts once
        c is scored by accuracy, the sets before it by balanced accuracy: rank one kind of score at a time
        a, k = 1: forest has 3 seeds, a mean is taken of at least 5
        a, k = 1: a score of forest is not a number
        0 tasks and 0 methods that all of them have: ranks need two of each
        ");
        assert!(
            rank_methods(&results(), "nobody").unwrap_err().to_string().contains("forest, surco")
        );
    }
}
