//! ANIL: almost no inner loop. The head alone learns from the support; the encoder learns that this be enough.
//!
//! # Source
//! Raghu, Raghu, Bengio and Vinyals 2020, *Rapid learning or feature reuse?*, section 4.

use super::inner::{Inner, Outer, Slope};
use super::maml;

/// As MAML, with rates of 0 for the first `frozen` weights, which are the encoder's.
pub(super) fn outer<S: Slope>(
    support: &S,
    query: &S,
    start: &[f64],
    (inner, frozen): (&Inner, usize),
) -> Outer {
    let mut inner = inner.clone();
    inner.rates.iter_mut().take(frozen).for_each(|rate| *rate = 0.0);
    maml::outer(support, query, start, &inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::inner::tests::{Recorded, furthest};

    /// Against PyTorch, where the first nine of the thirteen weights do not move in the inner loop, exact to the second order.
    #[test]
    fn a_frozen_encoder_still_learns_through_the_head() {
        let recorded = Recorded::read();
        let (support, query) = recorded.halves();
        let inner = Inner { rates: vec![recorded.rate; 13], steps: recorded.steps };
        let got = outer(&support, &query, &recorded.start, (&inner, 9));
        assert!(furthest(&got.gradient, &recorded.anil) < 1e-7, "{got:?}");
        assert!(got.gradient[..9].iter().any(|g| g.abs() > 1e-3), "{got:?}");
    }
}
