//! Whether one place looks alike from two sets of dates.
//!
//! Input: embeddings of the same places from two disjoint sets of dates. Output: how many pairs of other
//! places lie further apart than a place from itself. Sample config: `invariance(a.view(), b.view(), &blocks)`.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How alike embeddings of one place are, against pairs of places in different blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invariance {
    /// Number of places.
    pub places: usize,
    /// Share of pairs of places in different blocks, one from each set of dates, that are further apart than
    /// the place is from itself; mean over places.
    pub closer_than: f64,
    /// Share of places that are closer to themselves than 99 % of those pairs.
    pub at_99: f64,
}

/// Measures how alike places are to themselves, by cosine; each place is held against all pairs that it is the
/// first of, in other blocks.
///
/// | | shape | |
/// |---|---|---|
/// | `first`, `second` | `[place, d]` | embeddings from two disjoint sets of dates |
/// | `blocks` | `[place]` | block of each place |
///
/// `None` if the shapes differ or there are no two blocks.
#[must_use]
pub fn invariance(
    first: ArrayView2<'_, f64>,
    second: ArrayView2<'_, f64>,
    blocks: &[u64],
) -> Option<Invariance> {
    if first.dim() != second.dim() || blocks.len() != first.nrows() {
        return None;
    }
    let (first, second) = (of_length_one(first), of_length_one(second));
    let share = |place: usize| {
        let here = first.row(place);
        let own = here.dot(&second.row(place));
        let others = (0..blocks.len()).filter(|&other| blocks[other] != blocks[place]);
        let (further, all) = others.fold((0_u32, 0_u32), |(further, all), other| {
            (further + u32::from(here.dot(&second.row(other)) < own), all + 1)
        });
        (all > 0).then(|| f64::from(further) / f64::from(all))
    };
    let shares: Option<Vec<f64>> = (0..blocks.len()).into_par_iter().map(share).collect();
    let shares = shares.filter(|s| !s.is_empty())?;
    let places = shares.len();
    Some(Invariance {
        places,
        closer_than: shares.iter().sum::<f64>() / places as f64,
        at_99: shares.iter().filter(|s| **s >= 0.99).count() as f64 / places as f64,
    })
}

fn of_length_one(x: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut x = x.to_owned();
    for mut row in x.rows_mut() {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row /= length;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// By hand, as angles: places at 0°, 40° and 80° from the first dates; at 5°, 80° and 60° from the second; blocks
    /// 1, 2, 3. The first is 5° from itself and further from both others: 1. The second is 40° from itself, 35° and
    /// 20° from the others: 0. The third is 20° from itself, 75° and 0° from the others: 1/2.
    #[test]
    fn a_place_is_held_against_pairs_of_other_blocks() {
        let at = |degrees: [f64; 3]| {
            Array2::from_shape_fn((3, 2), |(i, j)| {
                let (sin, cos) = degrees[i].to_radians().sin_cos();
                (i as f64 + 1.0) * [cos, sin][j]
            })
        };
        let (a, b) = (at([0.0, 40.0, 80.0]), at([5.0, 80.0, 60.0]));
        let got = invariance(a.view(), b.view(), &[1, 2, 3]).unwrap();
        assert!((got.closer_than - 0.5).abs() < 1e-12 && (got.at_99 - 1.0 / 3.0).abs() < 1e-12);
        // With the last two in one block, each is held against the first alone.
        let got = invariance(a.view(), b.view(), &[1, 2, 2]).unwrap();
        assert!((got.closer_than - 2.0 / 3.0).abs() < 1e-12, "{got:?}");
    }

    #[test]
    fn one_block_alone_says_nothing() {
        let x = array![[1.0, 0.0], [0.0, 1.0]];
        assert_eq!(invariance(x.view(), x.view(), &[1, 1]), None);
        assert_eq!(invariance(x.view(), x.slice(ndarray::s![..1, ..]), &[1, 2]), None);
    }
}
