//! MAML: weights from which a few steps on the support are right about the queries; every step is looked through.
//!
//! # Source
//! Finn, Abbeel and Levine 2017, *Model-agnostic meta-learning for fast adaptation of deep networks*, algorithm 2. Second derivatives
//! enter as products with a vector, by differences of gradients (Pearlmutter 1994 names them; Nichol et al. 2018 do without).

use super::inner::{Inner, Outer, Slope};

/// Loss of the queries after the steps, and its gradient by the weights before them.
pub(super) fn outer<S: Slope>(support: &S, query: &S, start: &[f64], inner: &Inner) -> Outer {
    let path = inner.path(support, start);
    let (loss, there) = query.at(path.end());
    let (gradient, _) = inner.back_through(support, &path, there);
    Outer { loss, gradient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::inner::tests::{Bowl, Recorded, furthest};

    /// By hand: each step shrinks the way to the support's bottom by 1 − 0.1 · 2 = 0.8, so the end moves by 0.8³ = 0.512 of what
    /// the start does. The end is 1 − 0.512 = 0.488; the query's bottom is 3 with curvature 4.
    #[test]
    fn three_steps_on_a_bowl_agree_with_a_hand() {
        let support = Bowl { curvature: vec![2.0], bottom: vec![1.0] };
        let query = Bowl { curvature: vec![4.0], bottom: vec![3.0] };
        let inner = Inner { rates: vec![0.1], steps: 3 };
        let got = outer(&support, &query, &[0.0], &inner);
        assert!((got.loss - 2.0 * (0.488_f64 - 3.0).powi(2)).abs() < 1e-12);
        assert!((got.gradient[0] - 0.512 * 4.0 * (0.488 - 3.0)).abs() < 1e-8, "{got:?}");
    }

    /// Against PyTorch's exact second-order gradients in 64 bits, three inner steps.
    #[test]
    fn three_steps_of_a_network_agree_with_exact_second_derivatives() {
        let recorded = Recorded::read();
        let (support, query) = recorded.halves();
        let inner = Inner { rates: vec![recorded.rate; 13], steps: recorded.steps };
        let got = outer(&support, &query, &recorded.start, &inner);
        assert!(recorded.steps >= 3 && (got.loss - recorded.query_loss).abs() < 1e-12);
        assert!(furthest(&got.gradient, &recorded.maml) < 1e-7, "{got:?}");
        assert!(furthest(&recorded.fomaml, &recorded.maml) > 1e-2, "the first order is another");
    }
}
