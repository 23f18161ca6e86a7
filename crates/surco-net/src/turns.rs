//! Angles by which attention tells how far apart tokens are, in time and on the ground.
//!
//! # Source
//! Su et al. 2021 (RoFormer), with periods in days and metres.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use surco_kernels::Rotary;

/// Shortest and longest period in days: a revisit and eight years.
const PERIODS_DAYS: (f64, f64) = (4.0, 2922.0);

/// Shortest and longest period in m: two pixels and the longest window.
const PERIODS_M: (f64, f64) = (20.0, 2560.0);

/// Where a token is, relative to the others it attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A day.
    Day(i32),
    /// Row and column of a patch.
    Patch(u32, u32),
}

/// The angles of tokens whose heads have `pairs` pairs; patches are `patch_m` apart.
pub(crate) fn rotary(places: &[Place], pairs: usize, patch_m: f64, device: &Device) -> Rotary {
    let mut known: HashMap<Place, usize> = HashMap::new();
    let (mut cos_rows, mut sin_rows) = (Vec::<f32>::new(), Vec::<f32>::new());
    let (mut cos, mut sin) = (Vec::new(), Vec::new());
    for &place in places {
        let row = *known.entry(place).or_insert_with(|| {
            let begin = cos_rows.len();
            for angle in angles(place, pairs, patch_m) {
                cos_rows.push(angle.cos() as f32);
                sin_rows.push(angle.sin() as f32);
            }
            begin
        });
        cos.extend_from_slice(&cos_rows[row..row + pairs]);
        sin.extend_from_slice(&sin_rows[row..row + pairs]);
    }
    let table = |values: Vec<f32>| {
        Tensor::from_data(TensorData::new(values, [places.len(), pairs]), device)
    };
    Rotary { cos: table(cos), sin: table(sin) }
}

fn angles(place: Place, pairs: usize, patch_m: f64) -> Vec<f64> {
    match place {
        Place::Day(day) => turned(f64::from(day), PERIODS_DAYS, pairs),
        Place::Patch(row, col) => {
            let mut angles = turned(f64::from(row) * patch_m, PERIODS_M, pairs / 2);
            angles.extend(turned(f64::from(col) * patch_m, PERIODS_M, pairs - pairs / 2));
            angles
        }
    }
}

fn turned(at: f64, (shortest, longest): (f64, f64), pairs: usize) -> Vec<f64> {
    let step = (longest / shortest).ln() / (pairs.max(2) - 1) as f64;
    (0..pairs).map(|i| std::f64::consts::TAU * at / (shortest * (step * i as f64).exp())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_turns_from_four_days_to_eight_years() {
        let angles = angles(Place::Day(4), 16, 0.0);
        assert!((angles[0] - std::f64::consts::TAU).abs() < 1e-9, "{angles:?}");
        assert!((angles[15] - std::f64::consts::TAU * 4.0 / 2922.0).abs() < 1e-9, "{angles:?}");
    }

    #[test]
    fn rows_turn_half_of_the_pairs_and_columns_the_other() {
        let south = angles(Place::Patch(2, 0), 16, 10.0);
        let east = angles(Place::Patch(0, 2), 16, 10.0);
        assert_eq!(south[..8], east[8..]);
        assert_eq!((&south[8..], &east[..8]), (&[0.0; 8][..], &[0.0; 8][..]));
        assert!((south[0] - std::f64::consts::TAU).abs() < 1e-9, "20 m are one turn: {south:?}");
    }
}
