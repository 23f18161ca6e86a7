//! Meta-SGD: MAML that learns the rates of its inner steps with the weights that the steps begin from.
//!
//! There each weight has a rate; here each tensor has, as in MAML++ and in the code of METEOR: a few dozen rates can be learned from a
//! few hundred episodes. A rate may fall below zero, as there.
//!
//! # Source
//! Li, Zhou, Chen and Li 2017, *Meta-SGD: learning to learn quickly for few-shot learning*, equations 2 and 3 and algorithm 1;
//! a rate a tensor: Antoniou, Edwards and Storkey 2019, *How to train your MAML*, section 4, per-layer rates.

use super::inner::{Inner, Outer, Slope};

/// Loss of the queries after the steps, and its gradient by the weights before them; then that by each weight's rate.
pub(super) fn outer<S: Slope>(
    support: &S,
    query: &S,
    start: &[f64],
    inner: &Inner,
) -> (Outer, Vec<f64>) {
    let path = inner.path(support, start);
    let (loss, there) = query.at(path.end());
    let (gradient, by_rates) = inner.back_through(support, &path, there);
    (Outer { loss, gradient }, by_rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::inner::tests::{Bowl, Recorded, furthest};

    /// By hand: rates 0.1 and 0.05 on curvature 2 and bottom 1. One step from 0 goes to 2 r; the query's slope there is
    /// 4 (2 r − 3), of which the start gets 1 − 2 r, and the rate gets the step's: 2.
    #[test]
    fn one_step_on_a_bowl_agrees_with_a_hand() {
        let support = Bowl { curvature: vec![2.0; 2], bottom: vec![1.0; 2] };
        let query = Bowl { curvature: vec![4.0; 2], bottom: vec![3.0; 2] };
        let inner = Inner { rates: vec![0.1, 0.05], steps: 1 };
        let (got, by_rates) = outer(&support, &query, &[0.0, 0.0], &inner);
        for (i, rate) in [0.1, 0.05].into_iter().enumerate() {
            let slope = 4.0 * (2.0 * rate - 3.0);
            assert!((got.gradient[i] - (1.0 - 2.0 * rate) * slope).abs() < 1e-8, "{got:?}");
            assert!((by_rates[i] - 2.0 * slope).abs() < 1e-8, "{by_rates:?}");
        }
    }

    /// Against PyTorch's exact gradients in 64 bits: four steps, each weight at its own rate.
    #[test]
    fn steps_of_a_network_agree_with_exact_gradients_of_weights_and_rates() {
        let recorded = Recorded::read();
        let (support, query) = recorded.halves();
        let inner = Inner { rates: recorded.meta_sgd.rates.clone(), steps: recorded.steps };
        let (got, by_rates) = outer(&support, &query, &recorded.start, &inner);
        assert!((got.loss - recorded.meta_sgd.query_loss).abs() < 1e-12);
        assert!(furthest(&got.gradient, &recorded.meta_sgd.gradient) < 1e-7, "{got:?}");
        assert!(furthest(&by_rates, &recorded.meta_sgd.by_rates) < 1e-7, "{by_rates:?}");
    }
}
