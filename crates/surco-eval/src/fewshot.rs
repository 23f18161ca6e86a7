//! Few-shot suites: fixed episodes, one row of scores per method and number of labels.
//!
//! Input: labelled series and episodes (which points are the support, which the query). Output:
//! balanced accuracy per method, k and seed. A method sees the support labels and nothing of the
//! query's; scoring is done here. Sample config: `run_baselines(&set, &episodes, 0, &Silent)`.

mod baselines;
mod draw;
mod lead;
mod promise;
mod score;
mod zone;

use std::collections::{BTreeMap, HashMap};

use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};
use surco_core::Fault;

use crate::forest::FitError;
use crate::metrics::MetricError;

pub use baselines::{run_baselines, run_linear};
pub use draw::{DrawDesign, DrawError, draw_episodes, fold_episodes};
pub use lead::{Lead, RecordedError, by_class, csv, leads, markdown, read_recorded};
pub use promise::{Asked, Promise, run_promise};
pub use score::{run_method, score_answers};
pub use zone::{by_zone, zone_of, zones_csv, zones_of};

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
    /// Each zone over all seeds; empty where all points lie in one, or where is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_zone: Vec<ZoneScore>,
}

/// How well a method does in one zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneScore {
    /// The zone, for example `19H`.
    pub zone: String,
    /// Points asked there, over all seeds.
    pub asked: u64,
    /// The score of the table over the classes that are there.
    pub score: f64,
}

/// What a table rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Labelled points of the set.
    pub points: usize,
    /// Labels given and points asked about, by the labels per class.
    pub given: Vec<Given>,
    /// Zones that points lie in; empty where is not known.
    pub zones: Vec<String>,
    /// Seconds of processor time of this process for all rows, user and system; nothing where the system does not say.
    pub cpu_s: Option<f64>,
}

/// Labels of the episodes of one k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// Labels per class.
    pub k: usize,
    /// Episodes.
    pub episodes: usize,
    /// Labels given, mean over episodes.
    pub labels: f64,
    /// Points asked about, mean over episodes.
    pub asked: f64,
}

impl Facts {
    /// Of a set of so many points, in these zones, and its episodes.
    #[must_use]
    pub fn of(points: usize, episodes: &[Episode], zones: Vec<String>, cpu_s: Option<f64>) -> Self {
        let mut by_k: BTreeMap<usize, [usize; 3]> = BTreeMap::new();
        for Episode { k, support, query, .. } in episodes {
            let [count, labels, asked] = by_k.entry(*k).or_default();
            (*count, *labels, *asked) = (*count + 1, *labels + support.len(), *asked + query.len());
        }
        let given = by_k.into_iter().map(|(k, [count, labels, asked])| Given {
            k,
            episodes: count,
            labels: labels as f64 / count as f64,
            asked: asked as f64 / count as f64,
        });
        Self { points, given: given.collect(), zones, cpu_s }
    }
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} labelled points", self.points)?;
        for (i, Given { k, episodes, labels, asked }) in self.given.iter().enumerate() {
            let begin = if i == 0 { "; " } else { ", " };
            write!(
                f,
                "{begin}k = {k}: {labels:.0} labels and {asked:.0} asked in each of {episodes} episodes"
            )?;
        }
        match self.zones.as_slice() {
            [] => Ok(()),
            [one] => write!(f, "; one zone, {one}"),
            many => write!(f, "; {} zones, {}", many.len(), many.join(", ")),
        }?;
        self.cpu_s.map_or(Ok(()), |cpu_s| write!(f, "; {cpu_s:.1} s of processor time"))
    }
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
    /// What it rests on.
    #[serde(default)]
    pub facts: Option<Facts>,
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

    /// What a method is given of each episode, once set and episodes are found to fit.
    ///
    /// # Errors
    /// [`FewShotError`] with the first thing that does not fit.
    pub fn shots<'e>(&self, episodes: &'e [Episode]) -> Result<Vec<Shot<'e>>, FewShotError> {
        self.check(episodes)?;
        let shot = |episode: &'e Episode| {
            self.labels_of(episode, &episode.query)?;
            Ok(Shot { episode, support_labels: self.labels_of(episode, &episode.support)? })
        };
        episodes.iter().map(shot).collect()
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
