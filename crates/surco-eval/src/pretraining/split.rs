//! Blocks of a labelled set drawn into three parts: to learn from, to choose by, to be judged on.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_core::Fault;

use crate::folds::shuffle;

/// Fewest points of a class.
const FEWEST_POINTS: usize = 15;

/// Fewest blocks a class lies in.
const FEWEST_BLOCKS: usize = 4;

/// Fewest points of each class to learn from, to choose by, to be judged on.
const FEWEST_IN_PART: [usize; 3] = [2, 1, 2];

/// Draws of one seed before the rarest class is given up.
const DRAWS: u32 = 300;

/// One block in so many is judged on, and one in so many chosen by.
const PART: usize = 5;

/// The parts of one seed; no block lies in two of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Seed of the draw.
    pub seed: u64,
    /// Points to learn from, in random order, one of each class first.
    pub train: Vec<usize>,
    /// Points that settings and the end of training are chosen by.
    pub validation: Vec<usize>,
    /// Points that scores are measured on, and nothing else is.
    pub test: Vec<usize>,
}

/// The splits of a set, and the classes they serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Classes, sorted by name.
    pub classes: Vec<String>,
    /// `[point]`, place among the classes; `None` for points of a class that is too rare.
    pub labels: Vec<Option<usize>>,
    /// One a seed.
    pub splits: Vec<Split>,
}

/// A set that cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "set {set} cannot be split by block: {found} of its classes have {FEWEST_POINTS} points in {FEWEST_BLOCKS} blocks that can be parted, expected 2 or more; use smaller blocks or more labels"
)]
pub struct SplitError {
    /// Name of the set.
    pub set: String,
    /// Classes left.
    pub found: usize,
}

impl SplitError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

impl Split {
    /// The first points to learn from, `percent` of them all and at least one of each class: a smaller
    /// share is part of a larger one.
    #[must_use]
    pub fn labelled(&self, percent: u32, classes: usize) -> &[usize] {
        let count = (self.train.len() * percent as usize).div_ceil(100);
        &self.train[..count.max(classes).min(self.train.len())]
    }
}

/// Draws one split a seed: about three fifths of the blocks to learn from, one to choose by, one to be
/// judged on, every class in each.
///
/// Classes with fewer than 15 points or blocks than 4 are left out, and after them the rarest
/// while no draw has every class in every part.
///
/// # Errors
/// [`SplitError`] if fewer than two classes are left.
pub fn draw_splits(
    set: &str,
    labels: &[String],
    blocks: &[u64],
    seeds: u64,
) -> Result<Splits, SplitError> {
    let mut by_class: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (point, label) in labels.iter().enumerate() {
        by_class.entry(label).or_default().push(point);
    }
    let blocks_of = |points: &[usize]| points.iter().map(|&p| blocks[p]).collect::<BTreeSet<_>>();
    by_class.retain(|_, points| {
        points.len() >= FEWEST_POINTS && blocks_of(points).len() >= FEWEST_BLOCKS
    });
    while by_class.len() >= 2 {
        let drawn: Option<Vec<Split>> =
            (0..seeds).map(|seed| draw_one(&by_class, blocks, seed)).collect();
        if let Some(splits) = drawn {
            let classes: Vec<String> = by_class.keys().map(ToString::to_string).collect();
            let mut found = vec![None; labels.len()];
            for (class, points) in by_class.values().enumerate() {
                points.iter().for_each(|&p| found[p] = Some(class));
            }
            return Ok(Splits { classes, labels: found, splits });
        }
        let rarest = by_class.iter().min_by_key(|(_, p)| (blocks_of(p).len(), p.len()));
        if let Some(name) = rarest.map(|(name, _)| *name) {
            by_class.remove(name);
        }
    }
    Err(SplitError { set: set.into(), found: by_class.len() })
}

/// The split of one seed, if a draw serves every class.
fn draw_one(by_class: &BTreeMap<&str, Vec<usize>>, blocks: &[u64], seed: u64) -> Option<Split> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let used: BTreeSet<u64> = by_class.values().flatten().map(|&p| blocks[p]).collect();
    let mut order: Vec<u64> = used.into_iter().collect();
    for _ in 0..DRAWS {
        shuffle(&mut order, &mut rng);
        let held = (order.len() / PART).max(1);
        let part_of: BTreeMap<u64, usize> = order
            .iter()
            .enumerate()
            .map(|(i, &block)| (block, if i < held { 2 } else { usize::from(i < 2 * held) }))
            .collect();
        let serves = |points: &Vec<usize>| {
            let mut counts = [0; 3];
            points.iter().for_each(|&p| counts[part_of[&blocks[p]]] += 1);
            counts.iter().zip(FEWEST_IN_PART).all(|(&count, fewest)| count >= fewest)
        };
        if by_class.values().all(serves) {
            return Some(parts(by_class, blocks, &part_of, seed, &mut rng));
        }
    }
    None
}

fn parts(
    by_class: &BTreeMap<&str, Vec<usize>>,
    blocks: &[u64],
    part_of: &BTreeMap<u64, usize>,
    seed: u64,
    rng: &mut ChaCha8Rng,
) -> Split {
    let in_part = |points: &[usize], part: usize| -> Vec<usize> {
        points.iter().copied().filter(|&p| part_of[&blocks[p]] == part).collect()
    };
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for points in by_class.values() {
        let mut given = in_part(points, 0);
        shuffle(&mut given, rng);
        first.push(given[0]);
        rest.extend(given.drain(1..));
    }
    shuffle(&mut rest, rng);
    first.extend(rest);
    let all: Vec<usize> = by_class.values().flatten().copied().collect();
    Split { seed, train: first, validation: in_part(&all, 1), test: in_part(&all, 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 600 points in 30 blocks; `rare` lies in one block alone.
    fn set() -> (Vec<String>, Vec<u64>) {
        let label = |p: u64| match p % 4 {
            _ if p < 20 => "rare",
            0 | 1 => "maize",
            2 => "wheat",
            _ => "beet",
        };
        (0..600_u64).map(|p| (label(p).to_string(), p / 20)).unzip()
    }

    #[test]
    fn no_block_lies_in_two_parts_and_every_class_in_all() {
        let (labels, blocks) = set();
        let drawn = draw_splits("toy", &labels, &blocks, 5).unwrap();
        assert_eq!(drawn.classes, ["beet", "maize", "wheat"], "a class of one block is left out");
        for split in &drawn.splits {
            let parts = [&split.train, &split.validation, &split.test];
            let of = |part: &[usize]| part.iter().map(|&p| blocks[p]).collect::<BTreeSet<_>>();
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                assert!(of(parts[a]).is_disjoint(&of(parts[b])), "a leak");
            }
            for part in parts {
                let seen: BTreeSet<_> = part.iter().map(|&p| drawn.labels[p].unwrap()).collect();
                assert_eq!(seen.len(), 3);
            }
            assert_eq!(parts.iter().map(|p| p.len()).sum::<usize>(), 580);
        }
        assert_ne!(drawn.splits[0], drawn.splits[1], "seeds differ");
        assert_eq!(drawn, draw_splits("toy", &labels, &blocks, 5).unwrap(), "same seed, same draw");
    }

    /// 29 blocks: 5 are judged on, 5 chosen by, 19 × 20 = 380 points left to learn from.
    #[test]
    fn a_smaller_share_of_labels_is_part_of_a_larger_one_and_has_every_class() {
        let (labels, blocks) = set();
        let drawn = draw_splits("toy", &labels, &blocks, 1).unwrap();
        let split = &drawn.splits[0];
        assert_eq!(split.train.len(), 380);
        let share = |percent| split.labelled(percent, 3);
        assert_eq!([1, 5, 10, 100].map(|p| share(p).len()), [4, 19, 38, 380]);
        let classes: BTreeSet<_> = share(1).iter().map(|&p| drawn.labels[p]).collect();
        assert_eq!(classes.len(), 3);
        assert_eq!(share(1), &share(10)[..4]);
    }

    #[test]
    fn a_set_of_one_class_is_refused_with_its_name() {
        let error = draw_splits("toy", &vec!["maize".into(); 90], &[0; 90], 1).unwrap_err();
        assert!(error.to_string().contains("set toy cannot be split by block: 0 of its classes"));
    }
}
