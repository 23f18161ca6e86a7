//! Folds that keep places apart, and orders drawn at random.
//!
//! Input: the block of each point. Output: the fold of each point. Sample config: `block_folds(&blocks, 5, seed)`.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Folds of points by their blocks, `[point]`: no block lies in two, and sizes are as even as blocks allow.
#[must_use]
pub fn block_folds(blocks: &[u64], folds: usize, seed: u64) -> Vec<usize> {
    let mut sizes = BTreeMap::<u64, usize>::new();
    blocks.iter().for_each(|&block| *sizes.entry(block).or_default() += 1);
    let mut order: Vec<(u64, usize)> = sizes.into_iter().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x464F_4C44);
    shuffle(&mut order, &mut rng);
    let mut filled = vec![0_usize; folds.max(1)];
    let mut of = BTreeMap::new();
    for (block, size) in order {
        let emptiest = (0..filled.len()).min_by_key(|&f| filled[f]).unwrap_or(0);
        filled[emptiest] += size;
        of.insert(block, emptiest);
    }
    blocks.iter().map(|block| of[block]).collect()
}

/// Any order, all alike.
///
/// # Source
/// Fisher and Yates 1938; Durstenfeld 1964.
pub fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_keep_blocks_whole_and_sizes_even() {
        let blocks: Vec<u64> = (0..100).map(|p| p / 5).collect();
        let folds = block_folds(&blocks, 4, 3);
        for block in 0..20 {
            assert!((0..5).all(|i| folds[block * 5 + i] == folds[block * 5]));
        }
        assert!((0..4).all(|f| folds.iter().filter(|&&g| g == f).count() == 25), "{folds:?}");
        assert_ne!(folds, block_folds(&blocks, 4, 4));
    }
}
