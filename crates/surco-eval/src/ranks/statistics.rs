//! Tests over many tasks: Friedman, Nemenyi, Wilcoxon, and the distributions they need.

use serde::{Deserialize, Serialize};

use crate::spread::{incomplete_beta, ln_gamma};

/// Ranks of scores, 1 for the highest; equal scores share the mean of their ranks.
#[must_use]
pub fn ranks(scores: &[f64]) -> Vec<f64> {
    let place = |own: &f64| {
        let above = scores.iter().filter(|other| *other > own).count();
        let equal = scores.iter().filter(|other| *other == own).count();
        above as f64 + (equal as f64 + 1.0) / 2.0
    };
    scores.iter().map(place).collect()
}

/// Whether methods differ at all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Friedman {
    /// χ², corrected for equal ranks.
    pub chi2: f64,
    /// Chance of a larger χ² where all methods are alike.
    pub p: f64,
    /// The less conservative F of Iman and Davenport; `None` where every task ranks alike.
    pub f: Option<f64>,
    /// Chance of a larger F; 0 where every task ranks alike.
    pub p_f: f64,
}

impl Friedman {
    /// The test over tasks; `ranks` is `[task][method]`, two of each or more.
    ///
    /// # Source
    /// Demšar 2006, *Statistical comparisons of classifiers over multiple data sets*, §3.2.2; the correction for equal
    /// ranks is that of `scipy.stats.friedmanchisquare`.
    #[must_use]
    pub fn of(ranks: &[Vec<f64>]) -> Self {
        let n = ranks.len() as f64;
        let k = ranks.first().map_or(0, Vec::len) as f64;
        let sums = (0..k as usize).map(|m| ranks.iter().map(|task| task[m]).sum::<f64>());
        let squares: f64 = sums.map(|sum| sum * sum).sum();
        let ties: f64 = ranks.iter().map(|task| tie_term(task)).sum();
        let correction = 1.0 - ties / (k * (k * k - 1.0) * n);
        let plain = 12.0 / (n * k * (k + 1.0)) * squares - 3.0 * n * (k + 1.0);
        let chi2 = if correction > 0.0 { plain / correction } else { 0.0 };
        let rest = n * (k - 1.0) - chi2;
        let f = (rest > 1e-9).then(|| (n - 1.0) * chi2 / rest);
        let (above, below) = (k - 1.0, (k - 1.0) * (n - 1.0));
        let p_f = f.map_or(0.0, |f| {
            incomplete_beta(below / (below + above * f), below / 2.0, above / 2.0)
        });
        Self { chi2, p: gamma_above(above / 2.0, chi2 / 2.0), f, p_f }
    }
}

/// Σ (t³ − t) over groups of t equal ranks.
fn tie_term(ranks: &[f64]) -> f64 {
    // Each of t equal ranks adds t² − 1.
    let own = |rank: &f64| ranks.iter().filter(|other| *other == rank).count() as f64;
    ranks.iter().map(|rank| own(rank).powi(2) - 1.0).sum()
}

/// The difference of average ranks that two of `methods` must exceed over `tasks` to differ at 5 %.
///
/// # Source
/// Demšar 2006, §3.2.2 (Nemenyi): q·√(k(k+1)/6N), q the studentised range at infinite degrees of freedom over √2.
#[must_use]
pub fn critical_difference(methods: usize, tasks: usize) -> f64 {
    let (k, n) = (methods as f64, tasks as f64);
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if range_below(middle, k) < 0.95 { low = middle } else { high = middle }
    }
    high / std::f64::consts::SQRT_2 * (k * (k + 1.0) / (6.0 * n)).sqrt()
}

/// Chance that the range of k standard normal values is below q: k ∫ φ(z) (Φ(z) − Φ(z − q))ᵏ⁻¹ dz, by Simpson's rule.
fn range_below(q: f64, k: f64) -> f64 {
    const STEPS: usize = 480;
    let (from, to) = (-8.0, 8.0 + q);
    let step = (to - from) / STEPS as f64;
    let at = |i: usize| {
        let z = from + step * i as f64;
        let weight = match i {
            0 | STEPS => 1.0,
            i if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        weight * density * (normal_below(z) - normal_below(z - q)).max(0.0).powf(k - 1.0)
    };
    k * step / 3.0 * (0..=STEPS).map(at).sum::<f64>()
}

/// Chance of a standard normal value below z.
fn normal_below(z: f64) -> f64 {
    let half = gamma_above(0.5, z * z / 2.0) / 2.0;
    if z < 0.0 { half } else { 1.0 - half }
}

/// The regularised upper incomplete gamma function Q(a, x).
///
/// # Source
/// Abramowitz and Stegun, *Handbook of Mathematical Functions*, 6.5.29 (series) and 6.5.31 (continued fraction).
fn gamma_above(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..1000 {
            term *= x / (a + f64::from(n));
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    // Lentz's method.
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut value = d;
    for n in 1..1000 {
        let n = f64::from(n);
        b += 2.0;
        let numerator = -n * (n - a);
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * value
}

/// Two-sided p of Wilcoxon's signed-rank test, exact at every number of pairs and with equal differences; pairs
/// without a difference are left out. 1 where no pair differs.
///
/// # Source
/// Demšar 2006, §3.1.3; the distribution is that of all signs given the ranks, as in `scipy.stats.wilcoxon` with
/// `method=PermutationMethod()`.
#[must_use]
pub fn wilcoxon(first: &[f64], second: &[f64]) -> f64 {
    let differences: Vec<f64> =
        first.iter().zip(second).map(|(a, b)| a - b).filter(|d| *d != 0.0).collect();
    let sizes: Vec<f64> = differences.iter().map(|d| -d.abs()).collect();
    // Twice the rank is whole, also of equal differences.
    let doubled: Vec<usize> = ranks(&sizes).iter().map(|rank| (2.0 * rank) as usize).collect();
    // `ranks` gives 1 to the highest, here the smallest size.
    let total: usize = doubled.iter().sum();
    let above = doubled.iter().zip(&differences).filter(|(_, d)| **d > 0.0);
    let above: usize = above.map(|(rank, _)| rank).sum();
    let mut chances = vec![0.0; total + 1];
    chances[0] = 1.0;
    for &rank in &doubled {
        for sum in (0..=total).rev() {
            let with = if sum >= rank { chances[sum - rank] } else { 0.0 };
            chances[sum] = f64::midpoint(chances[sum], with);
        }
    }
    let smaller = above.min(total - above);
    (2.0 * chances[..=smaller].iter().sum::<f64>()).min(1.0)
}

/// p values made larger so that the chance of any false finding stays that of one test.
///
/// # Source
/// Holm 1979, *A simple sequentially rejective multiple test procedure*.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut out = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (place, &i) in order.iter().enumerate() {
        least = least.max(p[i] * (p.len() - place) as f64).min(1.0);
        out[i] = least;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Recorded {
        friedman: Vec<FriedmanCase>,
        wilcoxon: Vec<PairCase>,
        critical: Vec<(usize, usize, f64)>,
        holm: Vec<(Vec<f64>, Vec<f64>)>,
    }

    #[derive(Deserialize)]
    struct FriedmanCase {
        scores: Vec<Vec<f64>>,
        ranks: Vec<f64>,
        chi2: f64,
        p: f64,
        f: f64,
        p_f: f64,
    }

    #[derive(Deserialize)]
    struct PairCase {
        first: Vec<f64>,
        second: Vec<f64>,
        p: f64,
    }

    /// Recorded from scipy and statsmodels by `fixtures/ranks.py`.
    #[test]
    fn tests_over_tasks_agree_with_scipy() {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../../fixtures/ranks.json")).unwrap();
        let near = |got: f64, want: f64, what: &str| {
            assert!((got - want).abs() <= 1e-9 + 1e-8 * want.abs(), "{what}: {got} is not {want}");
        };
        assert!(recorded.friedman.len() >= 3 && recorded.wilcoxon.len() >= 5);
        for case in &recorded.friedman {
            let by_task: Vec<Vec<f64>> = case.scores.iter().map(|task| ranks(task)).collect();
            let got = Friedman::of(&by_task);
            near(got.chi2, case.chi2, "χ²");
            near(got.p, case.p, "p");
            near(got.f.unwrap(), case.f, "F");
            near(got.p_f, case.p_f, "p of F");
            for (m, want) in case.ranks.iter().enumerate() {
                let sum: f64 = by_task.iter().map(|task| task[m]).sum();
                near(sum / by_task.len() as f64, *want, "average rank");
            }
        }
        for case in &recorded.wilcoxon {
            near(wilcoxon(&case.first, &case.second), case.p, "wilcoxon");
        }
        for (methods, tasks, want) in recorded.critical {
            near(critical_difference(methods, tasks), want, "critical difference");
        }
        for (p, want) in recorded.holm {
            holm(&p).iter().zip(&want).for_each(|(got, want)| near(*got, *want, "holm"));
        }
    }

    /// Demšar's table 5a: q at 5 % is 1.960 for two classifiers and 3.164 for ten.
    #[test]
    fn the_critical_difference_has_demsars_quantiles() {
        for (k, q) in [(2, 1.960), (5, 2.728), (10, 3.164)] {
            let unit = (k as f64 * (k as f64 + 1.0) / (6.0 * 30.0)).sqrt();
            assert!((critical_difference(k, 30) / unit - q).abs() < 6e-4, "{k}");
        }
    }

    #[test]
    fn equal_scores_share_their_ranks_and_no_difference_is_no_evidence() {
        assert_eq!(ranks(&[0.9, 0.5, 0.5, 0.1]), [1.0, 2.5, 2.5, 4.0]);
        assert_eq!(wilcoxon(&[1.0, 2.0], &[1.0, 2.0]), 1.0);
        let alike = Friedman::of(&[vec![1.5, 1.5], vec![1.5, 1.5]]);
        assert_eq!((alike.chi2, alike.p), (0.0, 1.0));
        let same_order = Friedman::of(&[vec![1.0, 2.0], vec![1.0, 2.0]]);
        assert_eq!((same_order.f, same_order.p_f), (None, 0.0));
    }
}
