//! Forecasts that need no network: persistence, the day of the year, harmonics.
//!
//! None gives an interval by itself; [`Calibrated`] adds one from the errors on series learned from.
//!
//! # Source
//! Harmonic regression of vegetation indices: Jakubauskas et al. 2001; ridge: Hoerl and Kennard 1970. Intervals
//! from errors on other series: split conformal prediction, Vovk et al. 2005.

use ndarray::{Array1, Array2};

use super::{Forecast, Past, Trial, median};
use crate::spread::quantile;

/// Days of a year.
const YEAR_D: f64 = 365.2425;

/// Harmonics of the year.
const HARMONICS: usize = 2;

/// Columns of a harmonic regression: a level, then sine and cosine of each harmonic.
const TERMS: usize = 1 + 2 * HARMONICS;

/// Penalties tried.
const RIDGES: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 100.0];

/// Days around the same day of a year before that tell of it.
const NEAR_D: i32 = 12;

/// Fewest observations of other series for a day of the year.
const FEWEST_NEAR: usize = 20;

/// The last value, whatever the day.
#[must_use]
pub fn persistence(past: &Past<'_>, days: &[i32]) -> Vec<f64> {
    vec![past.values.last().copied().unwrap_or(f64::NAN); days.len()]
}

/// The same day of the year: of the series' own year before, or of the series learned from.
#[derive(Clone, Debug)]
pub struct Climate {
    /// Median of all series learned from on each day of the year, as far as it is known.
    by_day: Vec<Option<f64>>,
}

impl Climate {
    /// Measures the medians by day of the year over series learned from, all classes together; dates on
    /// `before_day` or later are not looked at.
    #[must_use]
    pub fn measure<'a>(
        series: impl Iterator<Item = (&'a [i32], &'a [f64])>,
        before_day: i32,
    ) -> Self {
        let mut seen: Vec<Vec<f64>> = vec![Vec::new(); 366];
        for (days, values) in series {
            for (&day, &value) in days.iter().zip(values).filter(|(d, _)| **d < before_day) {
                seen[day_of_year(day)].push(value);
            }
        }
        let near = |at: usize| {
            let around = (0..366).filter(|&d| {
                let apart = (d as i32 - at as i32).rem_euclid(366);
                apart.min(366 - apart) <= NEAR_D
            });
            let values: Vec<f64> = around.flat_map(|d| seen[d].iter().copied()).collect();
            (values.len() >= FEWEST_NEAR).then(|| median(values))
        };
        Self { by_day: (0..366).map(near).collect() }
    }

    /// The series' own value a year before, the nearest within twelve days; where it has none, the median of
    /// the series learned from, and where that is not known either, the last value.
    #[must_use]
    pub fn forecast(&self, past: &Past<'_>, days: &[i32]) -> Vec<f64> {
        let last = past.values.last().copied().unwrap_or(f64::NAN);
        days.iter()
            .map(|&day| Self::own(past, day).or(self.by_day[day_of_year(day)]).unwrap_or(last))
            .collect()
    }

    /// The value of the year before.
    #[must_use]
    pub fn own(past: &Past<'_>, day: i32) -> Option<f64> {
        let before = day - YEAR_D as i32;
        let seen = past.days.iter().zip(past.values).map(|(d, v)| ((d - before).abs(), *v));
        seen.min_by_key(|(off, _)| *off).filter(|(off, _)| *off <= NEAR_D).map(|(_, v)| v)
    }
}

/// Day of a year of 366, for days since 1970-01-01; near enough for a median over 25 days.
fn day_of_year(day: i32) -> usize {
    (f64::from(day).rem_euclid(YEAR_D) as usize).min(365)
}

/// A level and two harmonics of the year, fitted to each past alone.
#[derive(Clone, Copy, Debug)]
pub struct Harmonic {
    /// Penalty on the harmonics, not on the level, in units of observations.
    pub ridge: f64,
}

impl Harmonic {
    /// Fits the past and reads the fit off on other days.
    #[must_use]
    pub fn forecast(&self, past: &Past<'_>, days: &[i32]) -> Vec<f64> {
        let Some(weights) = self.fit(past) else { return persistence(past, days) };
        days.iter().map(|&day| weights.iter().zip(terms(day)).map(|(w, t)| w * t).sum()).collect()
    }

    /// Weights of the terms; `None` if the system has no solution.
    fn fit(&self, past: &Past<'_>) -> Option<Array1<f64>> {
        let mut system = Array2::<f64>::zeros((TERMS, TERMS));
        let mut right = Array1::<f64>::zeros(TERMS);
        for (&day, &value) in past.days.iter().zip(past.values) {
            let t = terms(day);
            for i in 0..TERMS {
                right[i] += t[i] * value;
                for j in 0..TERMS {
                    system[[i, j]] += t[i] * t[j];
                }
            }
        }
        (1..TERMS).for_each(|i| system[[i, i]] += self.ridge);
        solve(system, right)
    }
}

fn terms(day: i32) -> [f64; TERMS] {
    let turn = std::f64::consts::TAU * f64::from(day) / YEAR_D;
    let mut terms = [1.0; TERMS];
    for h in 1..=HARMONICS {
        (terms[2 * h - 1], terms[2 * h]) = (turn * h as f64).sin_cos();
    }
    terms
}

/// Gauss's elimination with pivots.
fn solve(mut a: Array2<f64>, mut b: Array1<f64>) -> Option<Array1<f64>> {
    let n = b.len();
    for col in 0..n {
        let pivot = (col..n).max_by(|&i, &j| a[[i, col]].abs().total_cmp(&a[[j, col]].abs()))?;
        if a[[pivot, col]].abs() < 1e-12 {
            return None;
        }
        for k in 0..n {
            a.swap([col, k], [pivot, k]);
        }
        b.swap(col, pivot);
        for row in col + 1..n {
            let factor = a[[row, col]] / a[[col, col]];
            for k in col..n {
                a[[row, k]] -= factor * a[[col, k]];
            }
            b[row] -= factor * b[col];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| a[[row, k]] * b[k]).sum();
        b[row] = (b[row] - known) / a[[row, row]];
    }
    Some(b)
}

/// The penalty whose harmonics err least on a trial over series learned from.
#[must_use]
pub fn choose_ridge(trial: &Trial<'_>) -> Harmonic {
    let error = |harmonic: &Harmonic| {
        let exact = |past: &Past<'_>, days: &[i32]| exact(&harmonic.forecast(past, days));
        median(trial.judged(exact).iter().map(|j| j.signed.abs()).collect())
    };
    let tried = RIDGES.map(|ridge| Harmonic { ridge });
    let best = tried.into_iter().min_by(|a, b| error(a).total_cmp(&error(b)));
    best.unwrap_or(Harmonic { ridge: RIDGES[2] })
}

fn exact(values: &[f64]) -> Vec<Forecast> {
    values.iter().map(|&v| Forecast { median: v, low: v, high: v }).collect()
}

/// A method with the 90 % interval that its errors on series learned from had, by horizon.
#[derive(Clone, Debug)]
pub struct Calibrated<F> {
    method: F,
    /// Days ahead, ascending, with the 5 % and 95 % quantiles of observed − said.
    spread: Vec<(i32, [f64; 2])>,
}

impl<F: Fn(&Past<'_>, &[i32]) -> Vec<f64> + Sync> Calibrated<F> {
    /// Measures the errors on a trial over series learned from.
    #[must_use]
    pub fn fit(method: F, trial: &Trial<'_>) -> Self {
        let judged = trial.judged(|past, days| exact(&method(past, days)));
        let quantiles = |at: usize| {
            let own = judged.iter().filter(|j| j.horizon == at);
            let mut errors: Vec<f64> = own.map(|j| j.signed).collect();
            errors.sort_by(f64::total_cmp);
            [quantile(&errors, 0.05), quantile(&errors, 0.95)]
        };
        let spread = trial.horizons.iter().enumerate().map(|(at, &h)| (h, quantiles(at))).collect();
        Self { method, spread }
    }

    /// The same interval around another method's forecasts: one method over other series.
    #[must_use]
    pub fn with<G: Fn(&Past<'_>, &[i32]) -> Vec<f64> + Sync>(&self, method: G) -> Calibrated<G> {
        Calibrated { method, spread: self.spread.clone() }
    }

    /// The method's forecast, with the interval of the nearest horizon.
    #[must_use]
    pub fn forecast(&self, past: &Past<'_>, days: &[i32]) -> Vec<Forecast> {
        let origin = past.days.last().copied().unwrap_or(0);
        let said = (self.method)(past, days);
        let around = |(&day, median): (&i32, f64)| {
            let nearest = self.spread.iter().min_by_key(|(h, _)| (h - (day - origin)).abs());
            let [low, high] = nearest.map_or([f64::NAN; 2], |(_, q)| *q);
            Forecast { median, low: median + low, high: median + high }
        };
        days.iter().zip(said).map(around).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::IndexSeries;
    use super::*;

    fn wave(day: i32) -> f64 {
        let turn = std::f64::consts::TAU * f64::from(day) / YEAR_D;
        0.5 + 0.2 * turn.sin() - 0.1 * (2.0 * turn).cos()
    }

    /// A wave of two harmonics over 400 days is found again 150 days ahead; a heavy penalty leaves the mean.
    #[test]
    fn harmonics_find_a_wave_again_and_a_penalty_flattens_it() {
        let days: Vec<i32> = (0..80).map(|i| 17_000 + i * 5).collect();
        let values: Vec<f64> = days.iter().map(|&d| wave(d)).collect();
        let past = Past { series: 0, days: &days, values: &values };
        let ahead = [17_000 + 545];
        let free = Harmonic { ridge: 1e-9 }.forecast(&past, &ahead)[0];
        assert!((free - wave(ahead[0])).abs() < 1e-6, "{free}");
        let flat = Harmonic { ridge: 1e9 }.forecast(&past, &ahead)[0];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((flat - mean).abs() < 1e-6, "{flat} {mean}");
    }

    /// By hand: 2 x + y = 5 and x + 3 y = 10 hold for x = 1, y = 3; a zero in the corner needs a pivot.
    #[test]
    fn elimination_solves_with_pivots() {
        let near = |got: Option<Array1<f64>>, want: [f64; 2]| {
            got.unwrap().iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12)
        };
        let (a, b) = (ndarray::array![[2.0, 1.0], [1.0, 3.0]], ndarray::array![5.0, 10.0]);
        assert!(near(solve(a, b), [1.0, 3.0]));
        let (a, b) = (ndarray::array![[0.0, 1.0], [1.0, 0.0]], ndarray::array![7.0, 8.0]);
        assert!(near(solve(a, b), [8.0, 7.0]));
        assert!(
            solve(ndarray::array![[1.0, 1.0], [1.0, 1.0]], ndarray::array![1.0, 2.0]).is_none()
        );
    }

    #[test]
    fn the_year_before_comes_first_then_the_others_then_the_last_value() {
        let others: (Vec<i32>, Vec<f64>) =
            ((0..30).map(|i| 10_100 + i % 3).collect(), vec![0.7; 30]);
        let climate = Climate::measure([(&others.0[..], &others.1[..])].into_iter(), 10_200);
        let (days, values) = ([10_000, 10_300], [0.2, 0.9]);
        let past = Past { series: 0, days: &days, values: &values };
        // 10 365 is a year after 10 000; 10 466 after 10 101, where only the others were seen; 10 620 is a
        // year after 10 255, where nobody was.
        assert_eq!(climate.forecast(&past, &[10_365, 10_466, 10_620]), [0.2, 0.7, 0.9]);
        let late = Climate::measure([(&others.0[..], &others.1[..])].into_iter(), 10_000);
        assert_eq!(late.forecast(&past, &[10_466]), [0.9], "dates held out are not looked at");
    }

    /// Noise is uniform on a grid of 100 steps around the truth, the same in both halves: the interval between
    /// the 5 % and 95 % quantiles covers nine tenths.
    #[test]
    fn calibrated_intervals_cover_nine_tenths() {
        let noisy = |seed: usize| {
            let days: Vec<i32> = (0..120).map(|i| 17_000 + i * 5).collect();
            let noise = |i: usize| ((i * 37 + seed * 61 + i * seed * 11) % 100) as f64 / 1000.0;
            let values = (0..120).map(|i| 0.4 + noise(i)).collect();
            IndexSeries { days, values, block: seed as u64 }
        };
        let learned: Vec<IndexSeries> = (0..40).map(noisy).collect();
        let held: Vec<IndexSeries> = (40..80).map(noisy).collect();
        let trial = |series| Trial::new(series, &[10, 30], 0..20_000);
        let method =
            Calibrated::fit(|_: &Past<'_>, days: &[i32]| vec![0.45; days.len()], &trial(&learned));
        for score in trial(&held).score("level", |past, days| method.forecast(past, days)) {
            assert!((0.86..=0.94).contains(&score.coverage), "{score:?}");
        }
    }

    #[test]
    fn the_penalty_is_the_one_that_errs_least() {
        let days: Vec<i32> = (0..110).map(|i| 17_000 + i * 5).collect();
        let values = days.iter().map(|&d| wave(d)).collect();
        let series = [IndexSeries { days, values, block: 0 }];
        let trial = Trial::new(&series, &[30], 17_450..18_000);
        assert_eq!(choose_ridge(&trial).ridge, RIDGES[0], "a wave without noise wants no penalty");
    }
}
