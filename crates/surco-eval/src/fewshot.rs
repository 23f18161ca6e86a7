//! Few-shot suites: fixed episodes, one row of scores per method and number of labels.
//!
//! Input: labelled series and episodes (which points are the support, which the query). Output:
//! balanced accuracy per method, k and seed. A method sees the support labels and nothing of the
//! query's; scoring is done here. Sample config: `run_baselines(&set, &episodes, 0, &Silent)`.

mod baselines;
mod draw;
mod lead;
mod promise;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use ndarray::ArrayView3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use surco_core::{Fault, Progress};

use crate::forest::FitError;
use crate::metrics::{Confusion, MetricError};
use crate::spread::Spread;

pub use baselines::run_baselines;
pub use draw::{DrawDesign, DrawError, draw_episodes, fold_episodes};
pub use lead::{Lead, RecordedError, by_class, csv, leads, markdown, read_recorded};
pub use promise::{Asked, Promise, run_promise};

/// A column of a table of series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesBand {
    /// Name of the column.
    pub name: String,
    /// Centre wavelength in nm; `None` for radar, climate and indices.
    pub centre_nm: Option<f32>,
}

/// Labelled series as plain arrays, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct SeriesSet<'a> {
    /// Name of the set.
    pub name: &'a str,
    /// `[point, time, band]`, NaN where there is no value.
    pub values: ArrayView3<'a, f32>,
    /// `[band]`
    pub bands: &'a [SeriesBand],
    /// `[time]`, days since any day, ascending, the same for all points (points of several years count
    /// from the start of their own).
    pub days: &'a [i32],
    /// `[point]`, name of the class.
    pub labels: &'a [String],
    /// `[point]`, longitude and latitude in degrees, if the row `nn_place` is wanted.
    pub places: Option<&'a [[f64; 2]]>,
}

/// One few-shot task: which points are given with labels, which are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Seed of the draw.
    pub seed: u64,
    /// Labels per class in the support.
    pub k: usize,
    /// The classes, in the order of predictions.
    pub classes: Vec<String>,
    /// Places of the labelled points.
    pub support: Vec<usize>,
    /// Places of the points to classify.
    pub query: Vec<usize>,
}

/// What a method is given of an episode: everything but the answers.
#[derive(Clone, Debug)]
pub struct Shot<'a> {
    /// The episode.
    pub episode: &'a Episode,
    /// `[support]`, places among the episode's classes.
    pub support_labels: Vec<usize>,
}

/// Scores of one method at one k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the method.
    pub method: String,
    /// Labels per class.
    pub k: usize,
    /// Mean over seeds.
    pub mean: f64,
    /// Standard deviation over seeds.
    pub sd: f64,
    /// Number of seeds.
    pub n: usize,
    /// Score of each seed, seeds ascending.
    pub per_seed: Vec<f64>,
    /// Each class over all seeds, by name; empty for scores that others recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_class: Vec<ClassRecall>,
}

/// How much of one class a method finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassRecall {
    /// The class.
    pub class: String,
    /// Points asked of it, over all seeds.
    pub asked: u64,
    /// Share of them named right.
    pub recall: f64,
}

/// A suite's table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// Name of the set.
    pub set: String,
    /// What the scores are.
    pub metric: String,
    /// One row per method and k.
    pub rows: Vec<Row>,
    /// Ours beside the best of the others, one per k.
    #[serde(default)]
    pub leads: Vec<Lead>,
    /// What our sets of classes and probabilities are worth, one per k that has labels enough to tell.
    #[serde(default)]
    pub promises: Vec<Promise>,
}

/// The one score of few-shot tables.
pub const METRIC: &str = "balanced accuracy";

/// Why a suite could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FewShotError {
    /// The arrays of a set differ in length.
    #[error("set {set} has {values} {what} in its values and {found} beside them")]
    Shape {
        /// Name of the set.
        set: String,
        /// The axis.
        what: &'static str,
        /// Length of the axis of values.
        values: usize,
        /// Length of the list.
        found: usize,
    },
    /// An episode speaks of a point that the set does not have.
    #[error("episode of seed {seed}, k = {k}, uses point {point}, but the set has {points} points")]
    Point {
        /// Seed of the episode.
        seed: u64,
        /// Labels per class.
        k: usize,
        /// The point.
        point: usize,
        /// Points of the set.
        points: usize,
    },
    /// A point in both halves would be a leak.
    #[error("episode of seed {seed}, k = {k}, has point {point} in support and query")]
    Leak {
        /// Seed of the episode.
        seed: u64,
        /// Labels per class.
        k: usize,
        /// The point.
        point: usize,
    },
    /// A point's class is not one of the episode.
    #[error(
        "episode of seed {seed}, k = {k}, uses point {point} of class {label}, not one of its own"
    )]
    Label {
        /// Seed of the episode.
        seed: u64,
        /// Labels per class.
        k: usize,
        /// The point.
        point: usize,
        /// Its class.
        label: String,
    },
    /// A baseline could not be fitted.
    #[error("{method} failed on the episode of seed {seed}, k = {k}")]
    Fit {
        /// Name of the method.
        method: String,
        /// Seed of the episode.
        seed: u64,
        /// Labels per class.
        k: usize,
        /// Why.
        source: FitError,
    },
    /// Another room's method failed.
    #[error("{method} failed on the episode of seed {seed}, k = {k}")]
    Method {
        /// Name of the method.
        method: String,
        /// Seed of the episode.
        seed: u64,
        /// Labels per class.
        k: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A method's predictions do not fit the query.
    #[error("predictions of {method} do not fit the query of seed {seed}, k = {k}")]
    Predictions {
        /// Name of the method.
        method: String,
        /// Seed of the episode.
        seed: u64,
        /// Labels per class.
        k: usize,
        /// Why.
        source: MetricError,
    },
    /// The user asked to stop.
    #[error("stopped by the user")]
    Stopped,
}

impl FewShotError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Shape { .. } | Self::Point { .. } | Self::Leak { .. } | Self::Label { .. } => {
                Fault::Input
            }
            Self::Fit { source, .. } => source.fault(),
            Self::Method { .. } | Self::Predictions { .. } | Self::Stopped => Fault::Failed,
        }
    }
}

impl SeriesSet<'_> {
    /// Checks that the arrays fit together and that every episode speaks of this set.
    ///
    /// # Errors
    /// [`FewShotError`] with the first thing that does not fit.
    pub fn check(&self, episodes: &[Episode]) -> Result<(), FewShotError> {
        let (points, times, bands) = self.values.dim();
        let places = self.places.map_or(points, <[_]>::len);
        for (what, values, found) in [
            ("points", points, self.labels.len()),
            ("points", points, places),
            ("times", times, self.days.len()),
            ("bands", bands, self.bands.len()),
        ] {
            if values != found {
                let set = self.name.to_string();
                return Err(FewShotError::Shape { set, what, values, found });
            }
        }
        for &Episode { seed, k, ref support, ref query, .. } in episodes {
            if let Some(&point) = support.iter().chain(query).find(|&&p| p >= points) {
                return Err(FewShotError::Point { seed, k, point, points });
            }
            let given: std::collections::HashSet<_> = support.iter().collect();
            if let Some(&point) = query.iter().find(|p| given.contains(p)) {
                return Err(FewShotError::Leak { seed, k, point });
            }
        }
        Ok(())
    }

    /// Places of these points' labels among the classes of an episode.
    fn labels_of(&self, episode: &Episode, points: &[usize]) -> Result<Vec<usize>, FewShotError> {
        let at: HashMap<&str, usize> =
            episode.classes.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
        let place = |&point: &usize| {
            let label = &self.labels[point];
            at.get(label.as_str()).copied().ok_or_else(|| FewShotError::Label {
                seed: episode.seed,
                k: episode.k,
                point,
                label: label.clone(),
            })
        };
        points.iter().map(place).collect()
    }
}

/// Scores one method on every episode: one [`Row`] per k, k ascending. Episodes that share k and seed,
/// such as the folds of a cross-validation, are pooled into one score.
///
/// `predict` gets an episode with its support labels and returns the class of every query point, as
/// places among the episode's classes. Episodes run side by side on rayon's threads; a method that uses
/// all threads itself can run them in turn with a pool of one thread.
///
/// # Errors
/// [`FewShotError`] if set and episodes do not fit, a prediction fails, or the user stops.
pub fn run_method<E>(
    set: &SeriesSet<'_>,
    episodes: &[Episode],
    method: &str,
    progress: &dyn Progress,
    predict: impl Fn(&Shot<'_>) -> Result<Vec<usize>, E> + Sync,
) -> Result<Vec<Row>, FewShotError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    set.check(episodes)?;
    let done = std::sync::atomic::AtomicU64::new(0);
    let score = |episode: &Episode| {
        if progress.stopped() {
            return Err(FewShotError::Stopped);
        }
        let Episode { seed, k, .. } = *episode;
        let method = method.to_string();
        let truth = set.labels_of(episode, &episode.query)?;
        let support_labels = set.labels_of(episode, &episode.support)?;
        let shot = Shot { episode, support_labels };
        let predicted = match predict(&shot) {
            Ok(predicted) => predicted,
            Err(e) => return Err(FewShotError::Method { method, seed, k, source: e.into() }),
        };
        let confusion = Confusion::count(&truth, &predicted, episode.classes.len())
            .map_err(|source| FewShotError::Predictions { method, seed, k, source })?;
        let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        progress.report("evaluate", done, episodes.len() as u64, "");
        Ok((k, seed, confusion))
    };
    let scores: Vec<_> = episodes.par_iter().map(score).collect::<Result<_, _>>()?;
    let mut pooled: BTreeMap<(usize, u64), Confusion> = BTreeMap::new();
    let mut by_class: BTreeMap<usize, Classes<'_>> = BTreeMap::new();
    for (episode, (k, seed, confusion)) in episodes.iter().zip(scores) {
        count(by_class.entry(k).or_default(), &episode.classes, &confusion);
        match pooled.entry((k, seed)) {
            Entry::Vacant(free) => {
                free.insert(confusion);
            }
            Entry::Occupied(mut there) => there.get_mut().add(&confusion),
        }
    }
    let mut by_k: BTreeMap<usize, Vec<(u64, f64)>> = BTreeMap::new();
    for ((k, seed), confusion) in pooled {
        by_k.entry(k).or_default().push((seed, confusion.balanced_accuracy()));
    }
    let rows = by_k.into_iter().map(|(k, scores)| {
        let classes = by_class.remove(&k).unwrap_or_default();
        row(method, k, scores, classes)
    });
    Ok(rows.collect())
}

/// Points of each class that were found, and that were asked.
type Classes<'a> = BTreeMap<&'a str, [u64; 2]>;

fn count<'a>(classes: &mut Classes<'a>, names: &'a [String], confusion: &Confusion) {
    for (class, name) in names.iter().enumerate() {
        let row = confusion.counts().row(class);
        let [found, asked] = classes.entry(name).or_default();
        *found += row[class];
        *asked += row.sum();
    }
}

fn row(method: &str, k: usize, mut scores: Vec<(u64, f64)>, classes: Classes<'_>) -> Row {
    scores.sort_by_key(|&(seed, _)| seed);
    let per_seed: Vec<f64> = scores.into_iter().map(|(_, score)| score).collect();
    let Spread { mean, sd, n } = Spread::of(&per_seed);
    let classes = classes.into_iter().filter(|(_, [_, asked])| *asked > 0);
    let per_class = classes
        .map(|(class, [found, asked])| ClassRecall {
            class: class.into(),
            asked,
            recall: found as f64 / asked as f64,
        })
        .collect();
    Row { method: method.to_string(), k, mean, sd, n, per_seed, per_class }
}
