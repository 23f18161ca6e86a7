//! Means with their spread, and paired differences between two methods on the same seeds.

use serde::{Deserialize, Serialize};

/// Mean and sample standard deviation of n values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean; NaN without values.
    pub mean: f64,
    /// Standard deviation with n − 1; 0 for a single value.
    pub sd: f64,
    /// Number of values.
    pub n: usize,
}

impl Spread {
    /// The spread of these values.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let sd = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
        Self { mean, sd, n }
    }

    /// Standard error of the mean.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        self.sd / (self.n as f64).sqrt()
    }
}

/// The difference of two methods on the same seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Mean of first − second.
    pub mean: f64,
    /// Standard deviation of the differences.
    pub sd: f64,
    /// Number of pairs.
    pub n: usize,
    /// Student's t of the mean difference; `None` under two pairs or if all differences are equal.
    pub t: Option<f64>,
    /// Two-sided p of that t. Equal differences give 1 if they are 0, and else 0.
    pub p: Option<f64>,
}

impl Paired {
    /// Compares two rows of scores, pair by pair; `None` if the lengths differ.
    ///
    /// Seeds of one suite draw their halves from one set of points, so pairs are not independent and p is
    /// a little small: read it as a rough guide.
    #[must_use]
    pub fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        if first.len() != second.len() {
            return None;
        }
        let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
        let spread = Spread::of(&differences);
        let Spread { mean, sd, n } = spread;
        let t = (n > 1 && sd > 0.0).then(|| mean / spread.standard_error());
        let p = match t {
            Some(t) => Some(student_two_sided(t, (n - 1) as f64)),
            None if n > 1 => Some(if mean == 0.0 { 1.0 } else { 0.0 }),
            None => None,
        };
        Some(Self { mean, sd, n, t, p })
    }

    /// The interval that holds the mean difference with 95 % confidence, where each pair was scored on a
    /// new random split of one set with `test_to_train` points judged for one learned from; `None` under
    /// two pairs.
    ///
    /// Splits of one set share points, so the variance of their mean is σ²·(1/n + test/train), not σ²/n.
    ///
    /// # Source
    /// Nadeau and Bengio 2003, *Inference for the generalization error*, §6 (corrected resampled t).
    #[must_use]
    pub fn interval(&self, test_to_train: f64) -> Option<[f64; 2]> {
        if self.n < 2 {
            return None;
        }
        let error = self.sd * (1.0 / self.n as f64 + test_to_train).sqrt();
        let half = student_95((self.n - 1) as f64) * error;
        Some([self.mean - half, self.mean + half])
    }
}

/// The |t| that Student's distribution exceeds with chance 0.05.
fn student_95(degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if student_two_sided(middle, degrees) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Chance of a larger |t| under Student's distribution.
///
/// # Source
/// Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.1 and 26.5.2.
fn student_two_sided(t: f64, degrees: f64) -> f64 {
    incomplete_beta(degrees / (degrees + t * t), degrees / 2.0, 0.5)
}

/// The regularised incomplete beta function, by its continued fraction.
///
/// # Source
/// Abramowitz and Stegun, 26.5.8, evaluated by Lentz's method.
pub(crate) fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    let keep_off_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut c, mut d) = (1.0, 1.0 / keep_off_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for i in 1..500 {
        let m = f64::from(i);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for term in [even, odd] {
            d = 1.0 / keep_off_zero(1.0 + term * d);
            c = keep_off_zero(1.0 + term / c);
            value *= c * d;
        }
        if (value - before).abs() <= 1e-16 * value.abs() {
            break;
        }
    }
    front * value / a
}

/// Logarithm of the gamma function above 0: Stirling's series after moving up to 10.
///
/// # Source
/// Abramowitz and Stegun, 6.1.41.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

/// A quantile of ascending values, between the two nearest; NaN without values.
pub(crate) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let at = share * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    ascending[low] + (ascending[high] - ascending[low]) * (at - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        first: Vec<f64>,
        second: Vec<f64>,
        mean: f64,
        sd: f64,
        t: f64,
        p: f64,
    }

    /// Recorded from numpy and `scipy.stats.ttest_rel` by `fixtures/metrics.py`.
    #[test]
    fn paired_differences_agree_with_scipy() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../fixtures/paired.json")).unwrap();
        for case in cases {
            let got = Paired::of(&case.first, &case.second).unwrap();
            assert!((got.mean - case.mean).abs() < 1e-13 && (got.sd - case.sd).abs() < 1e-13);
            assert!((got.t.unwrap() / case.t - 1.0).abs() < 1e-10);
            let p = got.p.unwrap();
            assert!((p / case.p - 1.0).abs() < 1e-8, "p {p} is not {}", case.p);
        }
    }

    /// Quantiles from the table of Student's t: 12.706, 4.303, 2.776. By hand for differences 1, 2, 3:
    /// mean 2, sd 1, n = 3, one judged for three learned from: 4.303 · √(1/3 + 1/3) = 3.513.
    #[test]
    fn the_interval_is_students_widened_for_shared_points() {
        for (degrees, want) in [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776)] {
            assert!((student_95(degrees) - want).abs() < 6e-4, "{degrees}");
        }
        let pair = Paired::of(&[1.0, 2.0, 3.0], &[0.0; 3]).unwrap();
        let [low, high] = pair.interval(1.0 / 3.0).unwrap();
        assert!((low + 1.513).abs() < 1e-3 && (high - 5.513).abs() < 1e-3, "{low} {high}");
        assert_eq!(Paired::of(&[1.0], &[0.0]).unwrap().interval(0.3), None);
    }

    #[test]
    fn ties_and_single_pairs_have_no_t() {
        let same = Paired::of(&[0.5, 0.5], &[0.5, 0.5]).unwrap();
        assert_eq!((same.t, same.p), (None, Some(1.0)));
        let one = Paired::of(&[0.5], &[0.4]).unwrap();
        assert_eq!((one.t, one.p, one.sd), (None, None, 0.0));
        assert!(Paired::of(&[0.5], &[]).is_none());
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
