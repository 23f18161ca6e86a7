//! How far probabilities may be trusted: calibration, and sets of classes that hold the truth as often as they say.
//!
//! Input: probabilities of places that were held out with their whole blocks, the truth, and the fold each was held out
//! in. What is chosen here (a temperature, a threshold) is chosen on other folds than it is judged on.
//!
//! # Source
//! Temperature: Guo et al. 2017, *On calibration of modern neural networks*. Sets: split-conformal prediction, Lei et al.
//! 2018, with the score 1 − probability of Sadinle, Lei and Wasserman 2019. Expected calibration error: Naeini, Cooper
//! and Hauskrecht 2015, with bins of equal numbers.

use ndarray::{Array2, ArrayView1, ArrayViewMut1, Axis, concatenate};
use serde::{Deserialize, Serialize};

/// Temperatures tried: probabilities are raised to their inverse.
const TEMPERATURES: [f64; 13] =
    [0.25, 0.35, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0];

/// Bins of the calibration error.
const BINS: usize = 10;

/// Held-out probabilities.
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// `[n, class]`, rows sum to 1.
    pub chances: Array2<f32>,
    /// `[n]`, the class it is.
    pub truth: Vec<usize>,
    /// `[n]`, the fold it was held out in.
    pub folds: Vec<usize>,
}

impl HeldOut {
    /// Puts folds together: the probabilities `[n, class]` and classes of each; `None` if folds differ in classes or there
    /// is none.
    #[must_use]
    pub fn of_folds(folds: Vec<(Array2<f32>, Vec<usize>)>) -> Option<Self> {
        let views: Vec<_> = folds.iter().map(|(chances, _)| chances.view()).collect();
        let chances = concatenate(Axis(0), &views).ok()?;
        let numbered = folds.iter().enumerate();
        let fold_of = numbered.flat_map(|(fold, (_, truth))| truth.iter().map(move |_| fold));
        let fold_of = fold_of.collect();
        let truth = folds.iter().flat_map(|(_, truth)| truth.iter().copied()).collect();
        Some(Self { chances, truth, folds: fold_of })
    }
}

/// What held-out probabilities are worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// Places held out.
    pub n: usize,
    /// Share of the truth that sets are to hold.
    pub level: f64,
    /// Share of the truth that sets held, each fold's by the threshold of the others.
    pub coverage: f64,
    /// Mean number of classes in a set.
    pub set_size: f64,
    /// Expected calibration error of the probabilities as they came.
    pub error_before: f64,
    /// The same after each fold's were tempered by the others.
    pub error_after: f64,
    /// Temperature by all folds.
    pub temperature: f64,
    /// A class is in the set if its tempered probability is at least this; by all folds.
    pub threshold: f64,
}

/// What a promise was worth on other places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Share of the truth that sets held.
    pub coverage: f64,
    /// Mean number of classes in a set.
    pub set_size: f64,
    /// Expected calibration error of the probabilities as they came.
    pub error_before: f64,
    /// The same after they were tempered.
    pub error_after: f64,
}

impl Trust {
    /// Judges the temperature and the threshold on places that had no part in choosing them: probabilities `[n, class]` and the
    /// class each is.
    #[must_use]
    pub fn kept(&self, chances: &Array2<f32>, truth: &[usize]) -> Kept {
        let mut tempered = chances.clone();
        let (mut covered, mut sizes) = (0, 0);
        for (row, &class) in tempered.rows_mut().into_iter().zip(truth) {
            let (held, size) = judged(row, class, (self.temperature, self.threshold));
            covered += usize::from(held);
            sizes += size;
        }
        let n = truth.len().max(1) as f64;
        Kept {
            coverage: covered as f64 / n,
            set_size: sizes as f64 / n,
            error_before: calibration_error(chances, truth),
            error_after: calibration_error(&tempered, truth),
        }
    }
}

/// Judges held-out probabilities; `None` if there are too few to tell.
#[must_use]
pub fn trust(held: &HeldOut, level: f64) -> Option<Trust> {
    let n = held.truth.len();
    let mut folds = held.folds.clone();
    folds.sort_unstable();
    folds.dedup();
    let all: Vec<usize> = (0..n).collect();
    let mut tempered = held.chances.clone();
    let (mut covered, mut sizes) = (0, 0);
    for fold in &folds {
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            all.iter().partition(|&&i| held.folds[i] == *fold);
        let temperature = temperature(held, &outside);
        let threshold = threshold(held, &outside, temperature, level)?;
        for &i in &inside {
            let promise = (temperature, threshold);
            let (held, size) = judged(tempered.row_mut(i), held.truth[i], promise);
            covered += usize::from(held);
            sizes += size;
        }
    }
    if folds.len() < 2 {
        return None;
    }
    let temperature = temperature(held, &all);
    Some(Trust {
        n,
        level,
        coverage: covered as f64 / n as f64,
        set_size: sizes as f64 / n as f64,
        error_before: calibration_error(&held.chances, &held.truth),
        error_after: calibration_error(&tempered, &held.truth),
        temperature,
        threshold: threshold(held, &all, temperature, level)?,
    })
}

/// Tempers a row of probabilities; says whether the set of its classes holds the truth, and how many it has.
fn judged(
    mut row: ArrayViewMut1<'_, f32>,
    truth: usize,
    (temperature, threshold): (f64, f64),
) -> (bool, usize) {
    let said = temper(row.view(), temperature);
    row.iter_mut().zip(&said).for_each(|(to, &p)| *to = p as f32);
    (said[truth] >= threshold, said.iter().filter(|&&p| p >= threshold).count())
}

/// Probabilities raised to the inverse of a temperature, brought to a sum of 1.
#[must_use]
pub fn temper(chances: ArrayView1<'_, f32>, temperature: f64) -> Vec<f64> {
    let raised = chances.iter().map(|&p| f64::from(p).max(1e-12).powf(1.0 / temperature));
    let raised: Vec<f64> = raised.collect();
    let sum: f64 = raised.iter().sum();
    raised.into_iter().map(|p| p / sum).collect()
}

/// The temperature under which the truth is likeliest.
fn temperature(held: &HeldOut, places: &[usize]) -> f64 {
    let likelihood = |&temperature: &f64| -> f64 {
        let of =
            |&i: &usize| temper(held.chances.row(i), temperature)[held.truth[i]].max(1e-9).ln();
        places.iter().map(of).sum()
    };
    let best = TEMPERATURES.iter().max_by(|a, b| likelihood(a).total_cmp(&likelihood(b)));
    best.copied().unwrap_or(1.0)
}

/// The probability that the truth reaches in a share `level` of places, with the correction for finite numbers.
fn threshold(held: &HeldOut, places: &[usize], temperature: f64, level: f64) -> Option<f64> {
    let of = |&i: &usize| temper(held.chances.row(i), temperature)[held.truth[i]];
    let mut reached: Vec<f64> = places.iter().map(of).collect();
    reached.sort_unstable_by(|a, b| b.total_cmp(a));
    let rank = ((places.len() + 1) as f64 * level).ceil() as usize;
    reached.get(rank.checked_sub(1)?).copied()
}

/// Mean distance of stated from true shares over bins of equal numbers, by the probability of the likeliest class.
#[must_use]
pub fn calibration_error(chances: &Array2<f32>, truth: &[usize]) -> f64 {
    let mut said: Vec<(f64, bool)> = chances
        .rows()
        .into_iter()
        .zip(truth)
        .map(|(row, &class)| {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
            (f64::from(row[best]), best == class)
        })
        .collect();
    said.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let n = said.len();
    let gap = |bin: usize| {
        let bin = &said[bin * n / BINS..(bin + 1) * n / BINS];
        let right = bin.iter().filter(|s| s.1).count() as f64;
        (bin.iter().map(|s| s.0).sum::<f64>() - right).abs()
    };
    (0..BINS).map(gap).sum::<f64>() / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Classes drawn from known probabilities, which are then overstated by a power.
    fn drawn(n: usize, power: f64) -> HeldOut {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut held = HeldOut { chances: Array2::zeros((n, 3)), truth: vec![], folds: vec![] };
        for i in 0..n {
            let raw: [f64; 3] = std::array::from_fn(|_| rng.random_range(0.05..1.0_f64).powi(3));
            let sum: f64 = raw.iter().sum();
            let at = rng.random_range(0.0..sum);
            let class = if at < raw[0] { 0 } else { 1 + usize::from(at >= raw[0] + raw[1]) };
            let row = ndarray::Array1::from_iter(raw.iter().map(|p| (p / sum) as f32));
            let said = temper(row.view(), 1.0 / power);
            held.chances
                .row_mut(i)
                .assign(&said.iter().map(|&p| p as f32).collect::<ndarray::Array1<f32>>());
            held.truth.push(class);
            held.folds.push(i % 5);
        }
        held
    }

    #[test]
    fn sets_hold_what_they_say_and_overstatement_is_undone() {
        let found = trust(&drawn(4000, 2.0), 0.9).unwrap();
        assert!((found.coverage - 0.9).abs() < 0.015, "{found:?}");
        assert_eq!(found.temperature, 2.0);
        assert!(found.error_before > 0.08 && found.error_after < 0.03, "{found:?}");
        assert!(found.set_size > 1.0 && found.set_size < 3.0);
    }

    #[test]
    fn honest_probabilities_are_left_as_they_are() {
        let found = trust(&drawn(4000, 1.0), 0.8).unwrap();
        assert_eq!(found.temperature, 1.0);
        assert!((found.coverage - 0.8).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn too_few_places_tell_nothing() {
        assert!(trust(&drawn(10, 1.0), 0.9).is_none());
        assert!(trust(&drawn(20, 1.0), 0.9).is_some());
        let one_fold = HeldOut { folds: vec![0; 40], ..drawn(40, 1.0) };
        assert!(trust(&one_fold, 0.9).is_none());
    }

    /// Two bins' worth by hand: 5 places at 0.6, of which 3 are right, agree; 5 at 0.9, of which 2 are right, are 0.5 off.
    #[test]
    fn the_calibration_error_agrees_with_a_hand() {
        let mut chances = Array2::zeros((10, 2));
        for i in 0..10 {
            let p = if i < 5 { 0.6 } else { 0.9 };
            chances[[i, 0]] = p;
            chances[[i, 1]] = 1.0 - p;
        }
        let truth = [0, 0, 0, 1, 1, 0, 0, 1, 1, 1];
        // One place a bin: |0.6 − 1| three times, 0.6 twice, 0.1 twice, 0.9 three times.
        let wanted = (3.0 * 0.4 + 2.0 * 0.6 + 2.0 * 0.1 + 3.0 * 0.9) / 10.0;
        assert!((calibration_error(&chances, &truth) - wanted).abs() < 1e-6);
    }

    /// By hand: a threshold of 0.3 at temperature 1 holds the truth of two places of three, with two, one and one class.
    #[test]
    fn a_promise_is_judged_on_other_places() {
        let said = Trust {
            n: 0,
            level: 0.9,
            coverage: 0.0,
            set_size: 0.0,
            error_before: 0.0,
            error_after: 0.0,
            temperature: 1.0,
            threshold: 0.3,
        };
        let chances = ndarray::array![[0.6_f32, 0.4, 0.0], [0.9, 0.1, 0.0], [0.1, 0.1, 0.8]];
        let kept = said.kept(&chances, &[1, 0, 0]);
        assert!(
            (kept.coverage - 2.0 / 3.0).abs() < 1e-12 && (kept.set_size - 4.0 / 3.0).abs() < 1e-12
        );
        assert!(
            (kept.error_before - kept.error_after).abs() < 1e-6,
            "a temperature of 1 changes nothing"
        );
        let softer = Trust { temperature: 4.0, ..said }.kept(&chances, &[1, 0, 0]);
        assert!(softer.error_after < softer.error_before, "{softer:?}");
    }
}
