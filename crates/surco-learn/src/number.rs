//! A head for numbers: ridge regression over the principal axes of features, with how far each place lies from the labels.
//!
//! Input: features `[n, d]` and a number of each row. Output: a number and how much wider its interval is than that of a place
//! like the labels. Strength and features are chosen by folds held out, so folds should keep whole blocks together. Sample
//! config: `NumberHead::fit(&support, &numbers, &folds, &unlabelled)`.
//!
//! # Source
//! Hoerl and Kennard 1970, *Ridge regression*; the variance of a prediction as in Hastie, Tibshirani and Friedman 2009, §3.2
//! and §3.4.1. Intervals scaled by it and calibrated on held-out errors: Lei et al. 2018, *Distribution-free predictive
//! inference for regression*, §5.2.

use ndarray::{Array1, Array2, Axis, concatenate, s};
use serde::{Deserialize, Serialize};

use crate::adapt::{AXES, side_by_side};
use crate::axes::Axes;
use crate::packed;
use crate::ridge::Inverse;
use crate::rows::in_chunks;
use crate::{AdapterFeatures, Features, Unlabelled};

/// Strengths tried, as shares of the mean strength of an axis.
const STRENGTHS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Sets of features tried.
const FEATURES: [AdapterFeatures; 3] =
    [AdapterFeatures::Values, AdapterFeatures::Embedding, AdapterFeatures::Both];

/// A fitted head for numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberHead {
    /// Features it reads.
    pub features: AdapterFeatures,
    embedding: Option<Axes>,
    values: Option<Axes>,
    solved: Solved,
    /// Strength chosen.
    pub strength: f64,
    /// Half the width of the interval of a place like the labels, in units of the number.
    pub half_width: f64,
}

/// What a head says of some places.
#[derive(Clone, Debug, PartialEq)]
pub struct Foretold {
    /// The number, `[n]`.
    pub numbers: Vec<f32>,
    /// What half the width of an interval is multiplied by, `[n]`: 1 amid the labels, more far from them.
    pub stretch: Vec<f32>,
}

/// A ridge regression on the axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Solved {
    /// `[1, axis]`
    #[serde(with = "packed::exact")]
    centre: Array2<f32>,
    /// `[axis, 1]`
    #[serde(with = "packed::exact")]
    weights: Array2<f32>,
    /// Inverse of the strengthened covariance, `[axis, axis]`.
    #[serde(with = "packed::exact")]
    inverse: Array2<f32>,
    mean: f32,
}

impl Solved {
    /// Fits to rows `[n, axis]`; `None` if the system cannot be solved.
    fn of(z: &Array2<f32>, numbers: &[f64], strength: f64) -> Option<Self> {
        let z = z.mapv(f64::from);
        let y = Array1::from(numbers.to_vec());
        let (centre, mean) = (z.mean_axis(Axis(0))?, y.mean()?);
        let centred = &z - &centre;
        let mut system = centred.t().dot(&centred);
        let axes = system.nrows();
        let length = (system.diag().sum() / axes.max(1) as f64).max(1e-12);
        system.diag_mut().mapv_inplace(|v| v + strength * length);
        let inverse = Inverse::of(&system)?.dot(&Array2::eye(axes));
        let weights = inverse.dot(&centred.t().dot(&(&y - mean)));
        let narrow = |a: Array2<f64>| a.mapv(|v| v as f32);
        Some(Self {
            centre: narrow(centre.insert_axis(Axis(0))),
            weights: narrow(weights.insert_axis(Axis(1))),
            inverse: narrow(inverse),
            mean: mean as f32,
        })
    }

    fn say(&self, z: &Array2<f32>) -> Foretold {
        let z = z - &self.centre;
        let numbers = z.dot(&self.weights).iter().map(|v| v + self.mean).collect();
        let reach = (&z.dot(&self.inverse) * &z).sum_axis(Axis(1));
        Foretold { numbers, stretch: reach.iter().map(|h| (1.0 + h.max(0.0)).sqrt()).collect() }
    }

    fn is_whole(&self, axes: usize) -> bool {
        let dims = (self.centre.dim(), self.weights.dim(), self.inverse.dim());
        dims == ((1, axes), (axes, 1), (axes, axes))
    }
}

impl NumberHead {
    /// Fits to the numbers of a support. Features and strength are those with the least squared error on `folds`, one fold a
    /// row, each held out in turn; series without labels help to find the axes. `None` without rows.
    #[must_use]
    pub fn fit(
        support: &Features,
        numbers: &[f64],
        folds: &[usize],
        unlabelled: &Unlabelled,
    ) -> Option<Self> {
        let beside = unlabelled.worth_keeping(support);
        let axes = |set: &Array2<f32>, beside: &Array2<f32>| {
            let all = concatenate(Axis(0), &[set.view(), beside.view()]);
            (set.ncols() > 0).then(|| Axes::fit(all.as_ref().unwrap_or(set).view(), AXES))
        };
        let embedding = axes(&support.embedding, &beside.embedding);
        let values = axes(&support.values, &beside.values);
        let mut best: Option<(f64, AdapterFeatures, f64)> = None;
        for features in FEATURES {
            let z = turned(support, features, [&embedding, &values]);
            for strength in STRENGTHS.into_iter().filter(|_| z.ncols() > 0) {
                let Some(error) = held_out(&z, numbers, folds, strength) else { continue };
                if best.is_none_or(|(least, ..)| error < least) {
                    best = Some((error, features, strength));
                }
            }
        }
        let (_, features, strength) = best?;
        let solved =
            Solved::of(&turned(support, features, [&embedding, &values]), numbers, strength)?;
        let [reads_embedding, reads_values] = features.sets();
        let embedding = embedding.filter(|_| reads_embedding);
        let values = values.filter(|_| reads_values);
        Some(Self { features, embedding, values, solved, strength, half_width: 0.0 })
    }

    /// What it says of places.
    #[must_use]
    pub fn predict(&self, features: &Features) -> Foretold {
        self.solved.say(&turned(features, self.features, [&self.embedding, &self.values]))
    }

    /// Whether it can read these: features of other bands than it was fitted to have another width.
    #[must_use]
    pub fn reads(&self, features: &Features) -> bool {
        let fits = |axes: &Option<Axes>, set: &Array2<f32>| {
            axes.as_ref().is_none_or(|axes| axes.width() == set.ncols())
        };
        fits(&self.embedding, &features.embedding) && fits(&self.values, &features.values)
    }

    /// What does not fit together in a head that was read, if anything.
    #[must_use]
    pub fn flaw(&self) -> Option<&'static str> {
        let axes = || self.embedding.iter().chain(&self.values);
        if [self.embedding.is_some(), self.values.is_some()] != self.features.sets()
            || !axes().all(Axes::is_whole)
        {
            return Some("its axes are not those of its features");
        }
        let kept = axes().map(Axes::kept).sum();
        (!self.solved.is_whole(kept)).then_some("its weights have another width than its axes")
    }
}

/// Features of one kind on their axes, side by side, `[n, axis]`.
fn turned(features: &Features, kind: AdapterFeatures, axes: [&Option<Axes>; 2]) -> Array2<f32> {
    let sets = kind.sets().into_iter().zip(axes).zip([&features.embedding, &features.values]);
    let turn = |((is_read, axes), set): ((bool, &Option<Axes>), &Array2<f32>)| {
        let axes = axes.as_ref().filter(|_| is_read)?;
        let turn = |rows| axes.turn(set.slice(s![rows, ..]));
        Some(in_chunks(set.nrows(), axes.kept(), turn))
    };
    let parts: Vec<Array2<f32>> = sets.filter_map(turn).collect();
    side_by_side(&parts)
}

/// Sum of the squared errors on each fold when it is held out.
fn held_out(z: &Array2<f32>, numbers: &[f64], folds: &[usize], strength: f64) -> Option<f64> {
    let count = folds.iter().max()? + 1;
    let mut sum = 0.0;
    for fold in 0..count {
        let (held, kept): (Vec<usize>, Vec<usize>) =
            (0..folds.len()).partition(|&row| folds[row] == fold);
        if held.is_empty() || kept.is_empty() {
            continue;
        }
        let given: Vec<f64> = kept.iter().map(|&row| numbers[row]).collect();
        let solved = Solved::of(&z.select(Axis(0), &kept), &given, strength)?;
        let said = solved.say(&z.select(Axis(0), &held)).numbers;
        sum +=
            held.iter().zip(said).map(|(&i, s)| (numbers[i] - f64::from(s)).powi(2)).sum::<f64>();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Values that follow a number, and an embedding of noise.
    fn places(n: usize, seed: u64) -> (Features, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let numbers: Vec<f64> = (0..n).map(|_| rng.random_range(0.0..10.0)).collect();
        let values = Array2::from_shape_fn((n, 12), |(i, j)| {
            numbers[i] as f32 * (j as f32 * 0.5).sin() + rng.random_range(-0.5..0.5)
        });
        let embedding = Array2::from_shape_simple_fn((n, 8), || rng.random_range(-1.0..1.0));
        (Features { embedding, values }, numbers)
    }

    fn fitted() -> NumberHead {
        let (support, numbers) = places(60, 1);
        let folds: Vec<usize> = (0..60).map(|i| i / 12).collect();
        let unlabelled = Unlabelled::new(places(40, 2).0);
        NumberHead::fit(&support, &numbers, &folds, &unlabelled).unwrap()
    }

    #[test]
    fn numbers_are_found_and_the_features_that_tell_them() {
        let head = fitted();
        let (asked, truth) = places(50, 3);
        let said = head.predict(&asked);
        let off = |(s, t): (&f32, &f64)| (f64::from(*s) - t).powi(2);
        let mean = said.numbers.iter().zip(&truth).map(off).sum::<f64>() / 50.0;
        assert!(mean.sqrt() < 0.5, "root mean square error {}", mean.sqrt());
        assert_ne!(head.features, AdapterFeatures::Embedding);
        assert!(said.stretch.iter().all(|s| (1.0..1.5).contains(s)), "{:?}", said.stretch);
    }

    #[test]
    fn far_from_the_labels_intervals_are_wider() {
        let head = fitted();
        let (mut asked, _) = places(1, 4);
        asked.values *= 20.0;
        assert!(head.predict(&asked).stretch[0] > 2.0);
    }

    /// One axis by hand: z = −1, 0, 1 and y = 0, 1, 5: weight 5 / (2 + 2 × 0.5), mean 2.
    #[test]
    fn one_axis_is_solved_as_by_hand() {
        let z = ndarray::array![[-1.0_f32], [0.0], [1.0]];
        let solved = Solved::of(&z, &[0.0, 1.0, 5.0], 0.5).unwrap();
        let said = solved.say(&ndarray::array![[2.0_f32]]);
        assert!((said.numbers[0] - (2.0 + 2.0 * 5.0 / 3.0)).abs() < 1e-5);
        assert!((said.stretch[0] - (1.0_f32 + 4.0 / 3.0).sqrt()).abs() < 1e-5);
    }

    #[test]
    fn a_head_that_is_written_and_read_says_nearly_the_same() {
        let head = fitted();
        let text = serde_json::to_string(&head).unwrap();
        let back: NumberHead = serde_json::from_str(&text).unwrap();
        assert_eq!(back.flaw(), None);
        let asked = places(30, 5).0;
        let (before, after) = (head.predict(&asked), back.predict(&asked));
        let off = before.numbers.iter().zip(&after.numbers).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 0.2, "axes as bytes move a number");
        let narrow = NumberHead { values: None, ..head };
        assert!(narrow.flaw().is_some());
    }
}
