//! Reptile: weights move towards where a few steps on a task lead.
//!
//! # Source
//! Nichol, Achiam and Schulman 2018, *On first-order meta-learning algorithms*, algorithm 2 (batched).

use super::inner::{Inner, Outer, Slope};

/// Loss of the task after the steps, and the way back from there in units of the rate: a step of gradient descent at that rate
/// would go all the way. Weights that steps do not move go against the slope at the end, as to the first order.
pub(super) fn outer<S: Slope>(task: &S, start: &[f64], inner: &Inner) -> Outer {
    let path = inner.path(task, start);
    let end = path.end();
    let (loss, there) = task.at(end);
    let back = |(((from, to), rate), slope): (((&f64, &f64), &f64), f64)| {
        if *rate > 0.0 { (from - to) / (rate * inner.steps as f64) } else { slope }
    };
    let ways = start.iter().zip(end).zip(&inner.rates).zip(there);
    Outer { loss, gradient: ways.map(back).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::inner::tests::Bowl;

    /// By hand: three steps of 0.1 on curvature 2 go from 0 to 0.488 on the way to 1; the mean gradient on the way is
    /// −0.488 / 0.3. What does not move is 1 from the bottom, where the slope is −2.
    #[test]
    fn the_direction_is_the_mean_gradient_on_the_way() {
        let bowl = Bowl { curvature: vec![2.0, 2.0], bottom: vec![1.0, 1.0] };
        let inner = Inner { rates: vec![0.1, 0.0], steps: 3 };
        let got = outer(&bowl, &[0.0, 0.0], &inner);
        assert!((got.gradient[0] + 0.488 / 0.3).abs() < 1e-12, "{got:?}");
        assert_eq!(got.gradient[1], -2.0);
    }
}
