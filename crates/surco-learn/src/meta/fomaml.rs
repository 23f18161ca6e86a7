//! FOMAML: as MAML, but the gradient at the end of the inner loop is taken for that at its beginning.
//!
//! # Source
//! Finn, Abbeel and Levine 2017, section 5.2, *first-order approximation*.

use super::inner::{Inner, Outer, Slope};

/// Loss of the queries after the steps, and its gradient there.
pub(super) fn outer<S: Slope>(support: &S, query: &S, start: &[f64], inner: &Inner) -> Outer {
    let path = inner.path(support, start);
    let (loss, gradient) = query.at(&path[inner.steps]);
    Outer { loss, gradient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::inner::tests::{Bowl, Recorded, furthest};

    /// By hand, as for MAML but without the 0.512: 4 · (0.488 − 3).
    #[test]
    fn three_steps_on_a_bowl_agree_with_a_hand() {
        let support = Bowl { curvature: vec![2.0], bottom: vec![1.0] };
        let query = Bowl { curvature: vec![4.0], bottom: vec![3.0] };
        let inner = Inner { rates: vec![0.1], steps: 3 };
        let got = outer(&support, &query, &[0.0], &inner);
        assert!((got.gradient[0] - 4.0 * (0.488 - 3.0)).abs() < 1e-12, "{got:?}");
    }

    #[test]
    fn three_steps_of_a_network_agree_with_pytorch() {
        let recorded = Recorded::read();
        let (support, query) = recorded.halves();
        let inner = Inner { rates: vec![recorded.rate; 13], steps: recorded.steps };
        let got = outer(&support, &query, &recorded.start, &inner);
        assert!(furthest(&got.gradient, &recorded.fomaml) < 1e-12, "{got:?}");
    }
}
