//! Whether what few labels promise of sets and probabilities is kept at places asked about.
//!
//! A temperature and a threshold are chosen by folds of the support, whole blocks held out, as a user would have to; they are
//! judged on the query, which lies in other blocks.
//!
//! # Source
//! As [`crate::trust`].

use std::collections::BTreeMap;
use std::fmt;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use surco_core::Progress;

use super::{Episode, FewShotError, SeriesSet};
use crate::folds::block_folds;
use crate::spread::Spread;
use crate::trust::{HeldOut, Kept, trust};

/// Folds of the support.
const FOLDS: usize = 5;

/// Share of the truth that sets are to hold.
const LEVEL: f64 = 0.9;

/// What a method is asked: the classes of some points, from others with their labels.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Points with labels.
    pub support: &'a [usize],
    /// Their classes.
    pub labels: &'a [usize],
    /// Points asked.
    pub query: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Points whose labels nobody knows and that may be looked at.
    pub unlabelled: &'a [usize],
}

/// How sets and probabilities did at one number of labels, over episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// Labels per class.
    pub k: usize,
    /// Share of the truth that sets were to hold.
    pub level: f64,
    /// Share of the truth that sets held.
    pub coverage: Spread,
    /// Mean number of classes in a set.
    pub set_size: Spread,
    /// Expected calibration error of the probabilities as they came.
    pub error_before: Spread,
    /// The same after they were tempered.
    pub error_after: Spread,
    /// Episodes whose support is too small to tell.
    pub too_few: usize,
}

impl fmt::Display for Promise {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "k = {}: sets for {:.0} % held the truth in {:.1} ± {:.1} %, {:.1} classes each; calibration error {:.3}, {:.3} before; {} episodes",
            self.k,
            100.0 * self.level,
            100.0 * self.coverage.mean,
            100.0 * self.coverage.sd,
            self.set_size.mean,
            self.error_after.mean,
            self.error_before.mean,
            self.coverage.n,
        )?;
        if self.too_few > 0 {
            write!(to, ", {} with too few labels to tell", self.too_few)?;
        }
        Ok(())
    }
}

/// Judges sets and probabilities on every episode: one [`Promise`] per k of which some episode has labels enough.
///
/// `blocks` holds the block of each point of the set; `chances` answers with probabilities `[query, class]`.
///
/// # Errors
/// [`FewShotError`] if set and episodes do not fit or the user stops.
pub fn run_promise(
    set: &SeriesSet<'_>,
    episodes: &[Episode],
    blocks: &[u64],
    progress: &dyn Progress,
    chances: impl Fn(Asked<'_>) -> Array2<f32> + Sync,
) -> Result<Vec<Promise>, FewShotError> {
    set.check(episodes)?;
    let done = std::sync::atomic::AtomicU64::new(0);
    let judge = |episode: &Episode| {
        if progress.stopped() {
            return Err(FewShotError::Stopped);
        }
        let labels = set.labels_of(episode, &episode.support)?;
        let truth = set.labels_of(episode, &episode.query)?;
        let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        progress.report("sets", done, episodes.len() as u64, "");
        let kept = held_out(episode, &labels, blocks, &chances)
            .and_then(|held| trust(&held, LEVEL))
            .map(|trust| {
                let classes = episode.classes.len();
                let (support, query) = (&episode.support[..], &episode.query[..]);
                let labels = &labels[..];
                let said = chances(Asked { support, labels, query, classes, unlabelled: query });
                trust.kept(&said, &truth)
            });
        Ok((episode.k, kept))
    };
    let judged: Vec<(usize, Option<Kept>)> =
        episodes.par_iter().map(judge).collect::<Result<_, _>>()?;
    let mut by_k: BTreeMap<usize, (Vec<Kept>, usize)> = BTreeMap::new();
    for (k, kept) in judged {
        let of = by_k.entry(k).or_default();
        match kept {
            Some(kept) => of.0.push(kept),
            None => of.1 += 1,
        }
    }
    let some = by_k.into_iter().filter(|(_, (kept, _))| !kept.is_empty());
    Ok(some.map(|(k, (kept, too_few))| promise(k, &kept, too_few)).collect())
}

fn promise(k: usize, kept: &[Kept], too_few: usize) -> Promise {
    let of = |pick: fn(&Kept) -> f64| Spread::of(&kept.iter().map(pick).collect::<Vec<f64>>());
    Promise {
        k,
        level: LEVEL,
        coverage: of(|k| k.coverage),
        set_size: of(|k| k.set_size),
        error_before: of(|k| k.error_before),
        error_after: of(|k| k.error_after),
        too_few,
    }
}

/// Probabilities of each support point by the folds that do not hold its block; nothing if a fold would leave a class
/// without labels.
fn held_out(
    episode: &Episode,
    labels: &[usize],
    blocks: &[u64],
    chances: impl Fn(Asked<'_>) -> Array2<f32>,
) -> Option<HeldOut> {
    let classes = episode.classes.len();
    let of: Vec<u64> = episode.support.iter().map(|&p| blocks[p]).collect();
    let folds = block_folds(&of, FOLDS, episode.seed);
    let mut held = Vec::new();
    for fold in 0..FOLDS {
        let (asked, given): (Vec<usize>, Vec<usize>) =
            (0..labels.len()).partition(|&i| folds[i] == fold);
        let known: Vec<usize> = given.iter().map(|&i| labels[i]).collect();
        if asked.is_empty() || (0..classes).any(|class| !known.contains(&class)) {
            return None;
        }
        let points = |at: &[usize]| at.iter().map(|&i| episode.support[i]).collect::<Vec<usize>>();
        let (support, query) = (points(&given), points(&asked));
        let said = chances(Asked {
            support: &support,
            labels: &known,
            query: &query,
            classes,
            unlabelled: &episode.query,
        });
        held.push((said, asked.iter().map(|&i| labels[i]).collect()));
    }
    HeldOut::of_folds(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use surco_core::Silent;

    /// 600 points of two classes whose truth agrees with what is said in 7 of 10 cases; blocks of five points.
    #[test]
    fn sets_keep_their_promise_where_probabilities_say_what_they_know() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let said: Vec<usize> = (0..600).map(|_| rng.random_range(0..2)).collect();
        let truth = said.iter().map(|&s| if rng.random_bool(0.7) { s } else { 1 - s });
        let labels: Vec<String> = truth.map(|c| ["a", "b"][c].to_string()).collect();
        let values = Array3::zeros((600, 1, 1));
        let bands = [super::super::SeriesBand { name: "B04".into(), centre_nm: None }];
        let set = SeriesSet {
            name: "made up",
            values: values.view(),
            bands: &bands,
            days: &[0],
            labels: &labels,
            places: None,
        };
        let blocks: Vec<u64> = (0..600).map(|p| p / 5).collect();
        let episode = |k: usize, points: usize| Episode {
            seed: 3,
            k,
            classes: vec!["a".into(), "b".into()],
            support: (0..points).collect(),
            query: (300..600).collect(),
        };
        let chances = |asked: Asked<'_>| {
            let of = |(i, c): (usize, usize)| if said[asked.query[i]] == c { 0.99 } else { 0.01 };
            Array2::from_shape_fn((asked.query.len(), 2), of)
        };
        let found =
            run_promise(&set, &[episode(150, 300), episode(1, 2)], &blocks, &Silent, chances)
                .unwrap();
        assert_eq!(found.len(), 1, "one label a class cannot be held out: {found:?}");
        let promise = &found[0];
        assert!(promise.coverage.mean >= 0.9 && promise.set_size.mean > 1.9, "{promise}");
        assert!(promise.error_before.mean > 0.2 && promise.error_after.mean < 0.1, "{promise}");
    }
}
