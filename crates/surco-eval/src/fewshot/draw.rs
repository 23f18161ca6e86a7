//! Drawing episodes from labelled points, so that support and query share no place.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::Fault;

use super::Episode;
use crate::folds::shuffle;

/// Draws of the halves before giving up.
const DRAWS: u32 = 500;

/// Fewest query points of a class.
const FEWEST_QUERY: usize = 5;

/// How episodes are drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawDesign {
    /// Labels per class, one episode each a seed.
    pub shots: Vec<usize>,
    /// Number of seeds.
    pub seeds: u64,
    /// Most query points a class.
    pub query_per_class: usize,
}

/// Why no episode could be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no split by place gives {classes} classes {shots} labels on one side and {FEWEST_QUERY} on the other: lower the shots, or use smaller blocks"
)]
pub struct DrawError {
    /// Classes there are.
    pub classes: usize,
    /// Labels wanted of each.
    pub shots: usize,
}

impl DrawError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// Draws episodes whose support comes from one half of the blocks and whose query from the other.
///
/// For one seed all numbers of shots share the halves and the query, and the support of fewer shots is
/// the start of that of more. With `support_side` the halves are given, point by point, and classes
/// without enough points on both sides are left out.
///
/// # Errors
/// [`DrawError`] if no draw of halves serves every class.
pub fn draw_episodes(
    labels: &[String],
    blocks: &[u64],
    support_side: Option<&[bool]>,
    design: &DrawDesign,
) -> Result<Vec<Episode>, DrawError> {
    let most = design.shots.iter().copied().max().unwrap_or(1);
    let mut by_class: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (point, label) in labels.iter().enumerate() {
        by_class.entry(label).or_default().push(point);
    }
    let enough = |members: &[usize], side: &dyn Fn(usize) -> bool| {
        let support = members.iter().filter(|&&p| side(p)).count();
        support >= most && members.len() - support >= FEWEST_QUERY
    };
    if let Some(side) = support_side {
        by_class.retain(|_, members| enough(members, &|p| side[p]));
    } else {
        by_class.retain(|_, members| members.len() >= most + FEWEST_QUERY);
    }
    let refuse = DrawError { classes: by_class.len(), shots: most };
    if by_class.len() < 2 {
        return Err(refuse);
    }
    let mut episodes = Vec::new();
    for seed in 0..design.seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let side: Vec<bool> = match support_side {
            Some(side) => side.to_vec(),
            None => (0..DRAWS)
                .map(|_| halves(blocks, &mut rng))
                .find(|side| by_class.values().all(|m| enough(m, &|p| side[p])))
                .ok_or_else(|| refuse.clone())?,
        };
        episodes.extend(one_seed(&by_class, &side, seed, design, &mut rng));
    }
    Ok(episodes)
}

fn one_seed(
    by_class: &BTreeMap<&str, Vec<usize>>,
    side: &[bool],
    seed: u64,
    design: &DrawDesign,
    rng: &mut ChaCha8Rng,
) -> Vec<Episode> {
    let mut support: Vec<Vec<usize>> = Vec::new();
    let mut query = Vec::new();
    for members in by_class.values() {
        let (mut given, mut asked): (Vec<usize>, Vec<usize>) =
            members.iter().partition(|&&p| side[p]);
        shuffle(&mut given, rng);
        shuffle(&mut asked, rng);
        asked.truncate(design.query_per_class);
        support.push(given);
        query.extend(asked);
    }
    let classes: Vec<String> = by_class.keys().map(ToString::to_string).collect();
    let of = |&k: &usize| Episode {
        seed,
        k,
        classes: classes.clone(),
        support: support.iter().flat_map(|given| given[..k].to_vec()).collect(),
        query: query.clone(),
    };
    design.shots.iter().map(of).collect()
}

/// One episode a fold and seed: a fold's blocks are asked, all others given. Folds of one seed are
/// pooled into one score. `k` is the fewest labels of a class.
#[must_use]
pub fn fold_episodes(labels: &[String], blocks: &[u64], folds: usize, seeds: u64) -> Vec<Episode> {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let count = |class: &String| labels.iter().filter(|l| *l == class).count();
    let k = classes.iter().map(count).min().unwrap_or(0);
    let mut distinct = blocks.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let folds = folds.clamp(2, distinct.len().max(2));
    let mut episodes = Vec::new();
    for seed in 0..seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order = distinct.clone();
        shuffle(&mut order, &mut rng);
        let fold_of: BTreeMap<u64, usize> =
            order.into_iter().enumerate().map(|(i, block)| (block, i % folds)).collect();
        for fold in 0..folds {
            let (query, support): (Vec<usize>, Vec<usize>) =
                (0..labels.len()).partition(|&p| fold_of[&blocks[p]] == fold);
            if !query.is_empty() && !support.is_empty() {
                episodes.push(Episode { seed, k, classes: classes.clone(), support, query });
            }
        }
    }
    episodes
}

fn halves(blocks: &[u64], rng: &mut ChaCha8Rng) -> Vec<bool> {
    let mut side: BTreeMap<u64, bool> = BTreeMap::new();
    for &block in blocks {
        side.entry(block).or_insert(false);
    }
    side.values_mut().for_each(|s| *s = rng.random_bool(0.5));
    blocks.iter().map(|b| side[b]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> (Vec<String>, Vec<u64>) {
        (0..400_u64).map(|p| (["maize", "wheat"][p as usize % 2].to_string(), p / 20)).unzip()
    }

    #[test]
    fn no_block_stands_on_both_sides_and_supports_nest() {
        let (labels, blocks) = points();
        let design = DrawDesign { shots: vec![1, 5], seeds: 4, query_per_class: 30 };
        let episodes = draw_episodes(&labels, &blocks, None, &design).unwrap();
        assert_eq!(episodes.len(), 8);
        for pair in episodes.chunks(2) {
            let (one, five) = (&pair[0], &pair[1]);
            assert_eq!((one.support.len(), five.support.len()), (2, 10));
            assert!(five.support.contains(&one.support[1]) && one.query == five.query);
            for p in &five.support {
                assert!(five.query.iter().all(|q| blocks[*q] != blocks[*p]), "a leak");
            }
        }
        assert_ne!(episodes[0].query, episodes[2].query, "seeds differ");
        let greedy = DrawDesign { shots: vec![199], seeds: 1, query_per_class: 30 };
        assert!(draw_episodes(&labels, &blocks, None, &greedy).is_err());
    }

    #[test]
    fn every_point_is_asked_once_a_seed() {
        let (labels, blocks) = points();
        let episodes = fold_episodes(&labels, &blocks, 5, 2);
        let mut asked: Vec<usize> =
            episodes.iter().filter(|e| e.seed == 0).flat_map(|e| e.query.clone()).collect();
        asked.sort_unstable();
        assert_eq!(asked, (0..400).collect::<Vec<_>>());
        assert_eq!(episodes[0].k, 200);
    }
}
