//! Spatial blocks, so that no split cuts a place in two.

use serde::{Deserialize, Serialize};

/// A square of ground that lies wholly on one side of every split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Block {
    /// Column, counted from the origin of the coordinate system.
    pub east: i64,
    /// Row, counted from the origin of the coordinate system.
    pub north: i64,
}

impl Block {
    /// The block of side `side_m` that holds a point of a projected coordinate system.
    #[must_use]
    pub fn at(x_m: f64, y_m: f64, side_m: f64) -> Self {
        Self { east: (x_m / side_m).floor() as i64, north: (y_m / side_m).floor() as i64 }
    }
}

/// Number of a fold of a cross-validation.
pub type Fold = usize;

/// The fold of a block, the same for the same seed on every machine.
///
/// A mix of the block's numbers and the seed (SplitMix64's finaliser), so that neighbours fall apart.
#[must_use]
pub fn fold_of(block: Block, folds: usize, seed: u64) -> Fold {
    let mut h = seed ^ 0x9E37_79B9_7F4A_7C15;
    for part in [block.east as u64, block.north as u64] {
        h = (h ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        h = (h ^ (h >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        h ^= h >> 31;
    }
    (h % folds.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_one_block_share_a_fold_and_folds_are_even() {
        assert_eq!(Block::at(10_400.0, -1.0, 500.0), Block { east: 20, north: -1 });
        assert_eq!(Block::at(10_499.9, -499.0, 500.0), Block::at(10_000.0, -0.5, 500.0));
        let mut count = [0; 5];
        for east in 0..40 {
            for north in 0..25 {
                count[fold_of(Block { east, north }, 5, 7)] += 1;
            }
        }
        assert!(count.iter().all(|&n| (150..=250).contains(&n)), "{count:?}");
    }
}
