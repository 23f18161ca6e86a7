//! Scores of what methods answer.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rayon::prelude::*;
use surco_core::Progress;

use super::zone::{self, zone_of, zones_of};
use super::{ClassRecall, Episode, FewShotError, Row, SeriesSet, Shot};
use crate::metrics::Confusion;
use crate::spread::Spread;

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
    let shots = set.shots(episodes)?;
    let done = std::sync::atomic::AtomicU64::new(0);
    let answer = |shot: &Shot<'_>| {
        if progress.stopped() {
            return Err(FewShotError::Stopped);
        }
        let Episode { seed, k, .. } = *shot.episode;
        let said = predict(shot).map_err(|e| FewShotError::Method {
            method: method.to_string(),
            seed,
            k,
            source: e.into(),
        })?;
        let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        progress.report("evaluate", done, episodes.len() as u64, "");
        Ok(said)
    };
    let answers: Vec<_> = shots.par_iter().map(answer).collect::<Result<_, _>>()?;
    score_answers(set, episodes, method, &answers)
}

/// Scores what one method answered, the class of every query point of every episode, as places among the episode's classes: one
/// [`Row`] per k as [`run_method`] gives it.
///
/// # Errors
/// [`FewShotError`] if set and episodes do not fit, or answers do not fit their query.
///
/// # Panics
/// If there is not one list of answers for each episode.
pub fn score_answers(
    set: &SeriesSet<'_>,
    episodes: &[Episode],
    method: &str,
    answers: &[Vec<usize>],
) -> Result<Vec<Row>, FewShotError> {
    assert_eq!(episodes.len(), answers.len(), "answers to each episode");
    let zones = Zones::of(set);
    let judged =
        episodes.iter().zip(answers).map(|(episode, said)| zones.judge(set, episode, method, said));
    let judged: Vec<Judged> = judged.collect::<Result<_, _>>()?;
    let mut pooled: BTreeMap<(usize, u64), Confusion> = BTreeMap::new();
    let mut by_class: BTreeMap<usize, Classes<'_>> = BTreeMap::new();
    let mut by_zone: BTreeMap<usize, Vec<Classes<'_>>> = BTreeMap::new();
    for (episode, Judged { whole, in_zones }) in episodes.iter().zip(judged) {
        let Episode { seed, k, classes, .. } = episode;
        let counted = by_zone.entry(*k).or_insert_with(|| vec![Classes::new(); zones.names.len()]);
        for (zone, confusion) in counted.iter_mut().zip(&in_zones) {
            count(zone, classes, confusion);
        }
        count(by_class.entry(*k).or_default(), classes, &whole);
        match pooled.entry((*k, *seed)) {
            Entry::Vacant(free) => {
                free.insert(whole);
            }
            Entry::Occupied(mut there) => there.get_mut().add(&whole),
        }
    }
    let mut by_k: BTreeMap<usize, Vec<(u64, f64)>> = BTreeMap::new();
    for ((k, seed), confusion) in pooled {
        by_k.entry(k).or_default().push((seed, confusion.balanced_accuracy()));
    }
    let rows = by_k.into_iter().map(|(k, scores)| {
        let classes = by_class.remove(&k).unwrap_or_default();
        let per_zone = zone::scores(&zones.names, &by_zone.remove(&k).unwrap_or_default());
        Row { per_zone, ..row(method, k, scores, classes) }
    });
    Ok(rows.collect())
}

/// What was asked of an episode and what was answered, in all and in each zone.
struct Judged {
    whole: Confusion,
    in_zones: Vec<Confusion>,
}

/// The zones that points lie in.
struct Zones {
    names: Vec<String>,
    /// Zone of each point; empty where all lie in one.
    at: Vec<usize>,
}

impl Zones {
    fn of(set: &SeriesSet<'_>) -> Self {
        let places = set.places.unwrap_or_default();
        let names = zones_of(places.iter().copied());
        let place = |place: &[f64; 2]| {
            let zone = zone_of(*place);
            names.partition_point(|name| *name < zone)
        };
        let at = if names.len() > 1 { places.iter().map(place).collect() } else { Vec::new() };
        Self { names, at }
    }

    fn judge(
        &self,
        set: &SeriesSet<'_>,
        episode: &Episode,
        method: &str,
        said: &[usize],
    ) -> Result<Judged, FewShotError> {
        let Episode { seed, k, .. } = *episode;
        let truth = set.labels_of(episode, &episode.query)?;
        let judge = |truth: &[usize], said: &[usize]| {
            let method = method.to_string();
            Confusion::count(truth, said, episode.classes.len())
                .map_err(|source| FewShotError::Predictions { method, seed, k, source })
        };
        let whole = judge(&truth, said)?;
        let in_zone = |zone: usize| {
            let here = (0..truth.len()).filter(|&i| self.at[episode.query[i]] == zone);
            let (truth, said): (Vec<usize>, Vec<usize>) = here.map(|i| (truth[i], said[i])).unzip();
            judge(&truth, &said)
        };
        let zones = if self.at.is_empty() { 0 } else { self.names.len() };
        Ok(Judged { whole, in_zones: (0..zones).map(in_zone).collect::<Result<_, _>>()? })
    }
}

/// Points of each class that were found, and that were asked.
pub(super) type Classes<'a> = BTreeMap<&'a str, [u64; 2]>;

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
    Row { method: method.to_string(), k, mean, sd, n, per_seed, per_class, per_zone: Vec::new() }
}
