//! What more compute buys: the loss of runs of several sizes, fitted and drawn.
//!
//! L(N, D) = floor + A · (N / N₀)^−α + B · (D / D₀)^−β for models of N parameters that learned from D tokens, N₀ and
//! D₀ the geometric means of the runs. At a given compute the best size is where both terms fall at the same pace.
//!
//! # Source
//! Hoffmann et al. 2022 (arXiv 2203.15556), approach 3: a Huber loss of the logarithm's residuals, least by L-BFGS from a
//! grid of starts. Operations are those the runs counted, not 6 N D: in small models attention and what reads the bands weigh more.
//!
//! Input: runs of one data set, pretext and held-out set. Output: the law, how far it moves when a run is left out, a chart.
//! Sample config: `fit(&runs)?.best(1e15)`.

mod chart;

use argmin::core::{CostFunction, Error, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use serde::Serialize;

pub use chart::scaling_svg;

/// Residual of the logarithm from where on a run counts linearly.
const HUBER: f64 = 1e-3;

/// Fewest runs, sizes and amounts of tokens that five numbers can be fitted to.
const FEWEST_RUNS: usize = 7;
const FEWEST_SIZES: usize = 3;

const STEPS: u64 = 2000;

/// The end of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalingRun {
    /// Its size.
    pub size: String,
    /// Parameters.
    pub params: f64,
    /// Tokens it learned from.
    pub tokens: f64,
    /// Operations of its training.
    pub flops: f64,
    /// Loss on what was held out.
    pub loss: f64,
}

/// A fitted law.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalingLaw {
    /// Loss that no size and no data go below.
    pub floor: f64,
    /// What a size of `params` adds.
    pub size_term: f64,
    /// How fast that falls with parameters.
    pub alpha: f64,
    /// What `tokens` add.
    pub data_term: f64,
    /// How fast that falls with tokens.
    pub beta: f64,
    /// N₀.
    pub params: f64,
    /// D₀.
    pub tokens: f64,
    /// Operations for one parameter and one token.
    pub flops_per: f64,
    /// Root mean square of the residuals of the loss, as a share of it.
    pub residual: f64,
}

/// A law and how sure it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalingFit {
    /// Of all runs.
    pub law: ScalingLaw,
    /// Lowest and highest α, β and floor when each run in turn is left out.
    pub without_one: [[f64; 2]; 3],
    /// The runs.
    pub runs: Vec<ScalingRun>,
}

/// Runs that say too little.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScalingError {
    /// Too few of them.
    #[error(
        "{runs} runs of {sizes} sizes cannot tell size from data: give at least {FEWEST_RUNS} of {FEWEST_SIZES}, each size for several numbers of steps"
    )]
    TooFew {
        /// Runs given.
        runs: usize,
        /// Sizes among them.
        sizes: usize,
    },
    /// A number that is none.
    #[error("a run of {size} has a loss of {loss} after {flops} operations: expected both above 0")]
    NotANumber {
        /// Its size.
        size: String,
        /// Its loss.
        loss: f64,
        /// Its operations.
        flops: f64,
    },
    /// The optimiser gave up.
    #[error("no law fits these runs: {0}")]
    Solver(String),
}

impl ScalingLaw {
    /// The loss of so many parameters after so many tokens.
    #[must_use]
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        self.floor
            + self.size_term * (params / self.params).powf(-self.alpha)
            + self.data_term * (tokens / self.tokens).powf(-self.beta)
    }

    /// Parameters, tokens and loss that are best for so many operations.
    #[must_use]
    pub fn best(&self, flops: f64) -> (f64, f64, f64) {
        // D = F / (k N); the derivative by N is 0 where α times the size's term is β times the data's.
        let (a, b) = (self.alpha, self.beta);
        let whole = flops / (self.flops_per * self.params * self.tokens);
        let ratio = a * self.size_term / (b * self.data_term);
        let share = (ratio * whole.powf(b)).powf(1.0 / (a + b));
        let (params, tokens) = (self.params * share, self.tokens * whole / share);
        (params, tokens, self.loss(params, tokens))
    }
}

/// Fits the law to the ends of runs.
///
/// # Errors
/// [`ScalingError`] if runs are too few or of too few sizes, or a number is none.
pub fn fit(runs: &[ScalingRun]) -> Result<ScalingFit, ScalingError> {
    let mut sizes: Vec<&str> = runs.iter().map(|run| run.size.as_str()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    if runs.len() < FEWEST_RUNS || sizes.len() < FEWEST_SIZES {
        return Err(ScalingError::TooFew { runs: runs.len(), sizes: sizes.len() });
    }
    let sound = |v: f64| v > 0.0 && v.is_finite();
    let sound =
        |run: &ScalingRun| [run.params, run.tokens, run.flops, run.loss].into_iter().all(sound);
    if let Some(run) = runs.iter().find(|run| !sound(run)) {
        let (size, loss, flops) = (run.size.clone(), run.loss, run.flops);
        return Err(ScalingError::NotANumber { size, loss, flops });
    }
    let law = law_of(runs)?;
    let mut without_one = [law.alpha, law.beta, law.floor].map(|v| [v, v]);
    for left_out in 0..runs.len() {
        let kept: Vec<ScalingRun> = runs
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != left_out)
            .map(|(_, run)| run.clone())
            .collect();
        let other = law_of(&kept)?;
        for (range, value) in without_one.iter_mut().zip([other.alpha, other.beta, other.floor]) {
            *range = [range[0].min(value), range[1].max(value)];
        }
    }
    Ok(ScalingFit { law, without_one, runs: runs.to_vec() })
}

fn law_of(runs: &[ScalingRun]) -> Result<ScalingLaw, ScalingError> {
    let mean = |of: fn(&ScalingRun) -> f64| {
        (runs.iter().map(|run| of(run).ln()).sum::<f64>() / runs.len() as f64).exp()
    };
    let (params, tokens) = (mean(|r| r.params), mean(|r| r.tokens));
    let flops_per = mean(|r| r.flops / (r.params * r.tokens));
    let residuals = Residuals {
        points: runs
            .iter()
            .map(|run| [(run.params / params).ln(), (run.tokens / tokens).ln(), run.loss.ln()])
            .collect(),
    };
    let least = runs.iter().map(|run| run.loss).fold(f64::INFINITY, f64::min);
    let mut best: Option<(f64, Vec<f64>)> = None;
    // Shares of the lowest loss that each term begins with, and how fast it falls.
    for floor in [0.3, 0.6, 0.9] {
        for [alpha, beta] in [[0.2, 0.2], [0.5, 0.5], [1.0, 0.3], [0.3, 1.0]] {
            let rest = (least * (1.0 - floor)).ln();
            let start = vec![(least * floor).ln(), rest, f64::ln(alpha), rest, f64::ln(beta)];
            let solver = LBFGS::new(MoreThuenteLineSearch::new(), 10);
            let found = Executor::new(&residuals, solver)
                .configure(|state| state.param(start).max_iters(STEPS))
                .timer(false)
                .run();
            // A start from which the line search finds nothing is one of many.
            let Ok(found) = found else { continue };
            let (cost, Some(at)) = (found.state().get_best_cost(), found.state().get_best_param())
            else {
                continue;
            };
            if cost.is_finite() && best.as_ref().is_none_or(|(before, _)| cost < *before) {
                best = Some((cost, at.clone()));
            }
        }
    }
    let Some((_, at)) = best else {
        return Err(ScalingError::Solver("no start of the optimiser came to an end".into()));
    };
    let [floor, size_term, alpha, data_term, beta] = [0, 1, 2, 3, 4].map(|i| at[i].exp());
    let mut law = ScalingLaw {
        floor,
        size_term,
        alpha,
        data_term,
        beta,
        params,
        tokens,
        flops_per,
        residual: 0.0,
    };
    let squares = runs.iter().map(|r| (law.loss(r.params, r.tokens) / r.loss - 1.0).powi(2));
    law.residual = (squares.sum::<f64>() / runs.len() as f64).sqrt();
    Ok(law)
}

/// `[ln N / N₀, ln D / D₀, ln loss]` of each run. The variable is the logarithm of floor, A, α, B and β, so that none is negative.
struct Residuals {
    points: Vec<[f64; 3]>,
}

impl Residuals {
    /// The three terms of a run's loss under a variable.
    fn terms(at: &[f64], [n, d, _]: [f64; 3]) -> [f64; 3] {
        [at[0].exp(), (at[1] - at[2].exp() * n).exp(), (at[3] - at[4].exp() * d).exp()]
    }
}

impl CostFunction for &Residuals {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, Error> {
        let huber = |off: f64| match off.abs() {
            off if off <= HUBER => off * off / 2.0,
            off => HUBER * (off - HUBER / 2.0),
        };
        let off = |&p: &[f64; 3]| Residuals::terms(at, p).iter().sum::<f64>().ln() - p[2];
        Ok(self.points.iter().map(|p| huber(off(p))).sum())
    }
}

impl Gradient for &Residuals {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, Error> {
        let mut gradient = vec![0.0; 5];
        for &point in &self.points {
            let terms = Residuals::terms(at, point);
            let whole: f64 = terms.iter().sum();
            let pull = (whole.ln() - point[2]).clamp(-HUBER, HUBER) / whole;
            gradient[0] += pull * terms[0];
            gradient[1] += pull * terms[1];
            gradient[2] -= pull * terms[1] * at[2].exp() * point[0];
            gradient[3] += pull * terms[2];
            gradient[4] -= pull * terms[2] * at[4].exp() * point[1];
        }
        Ok(gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(size: &str, params: f64, tokens: f64, loss: f64) -> ScalingRun {
        ScalingRun { size: size.into(), params, tokens, flops: 6.0 * params * tokens, loss }
    }

    /// The law that Hoffmann et al. 2022 report: 1.69 + 406.4 / N^0.34 + 410.7 / D^0.28.
    fn chinchilla(params: f64, tokens: f64) -> f64 {
        1.69 + 406.4 / params.powf(0.34) + 410.7 / tokens.powf(0.28)
    }

    fn runs() -> Vec<ScalingRun> {
        let sizes = [("a", 1e7), ("b", 1e8), ("c", 1e9), ("d", 1e10)];
        let of =
            |&(size, n): &(&str, f64)| [1e9, 1e10, 1e11].map(|d| run(size, n, d, chinchilla(n, d)));
        sizes.iter().flat_map(of).collect()
    }

    #[test]
    fn a_law_is_found_again_from_its_own_runs() {
        let found = fit(&runs()).unwrap();
        let law = &found.law;
        assert!((law.alpha - 0.34).abs() < 0.01 && (law.beta - 0.28).abs() < 0.01, "{law:?}");
        assert!((law.floor - 1.69).abs() < 0.03 && law.residual < 1e-3, "{law:?}");
        assert!((law.loss(3e8, 3e10) / chinchilla(3e8, 3e10) - 1.0).abs() < 2e-3, "{law:?}");
        let [[low, high], ..] = found.without_one;
        assert!(low <= law.alpha && law.alpha <= high && high - low < 0.05, "{low} to {high}");
    }

    /// By trying: no other size at the same compute has a lower loss.
    #[test]
    fn the_best_size_is_better_than_its_neighbours() {
        let law = fit(&runs()).unwrap().law;
        let (params, tokens, loss) = law.best(1e20);
        assert!((law.flops_per * params * tokens / 1e20 - 1.0).abs() < 1e-9);
        for other in [0.5, 0.9, 1.1, 2.0] {
            assert!(law.loss(params * other, tokens / other) > loss, "{other}");
        }
    }

    #[test]
    fn runs_that_say_too_little_are_refused() {
        let all = runs();
        let few = fit(&all[..6]).unwrap_err().to_string();
        assert!(few.contains("6 runs of 2 sizes") && few.contains("at least 7 of 3"), "{few}");
        let mut broken = all;
        broken[3].loss = f64::NAN;
        assert!(fit(&broken).unwrap_err().to_string().contains("a run of b has a loss of NaN"));
    }
}
