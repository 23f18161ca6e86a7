//! Learning to propagate: labels spread over a graph of support and query, as they do when an adaptation spreads them.
//!
//! Edges are Gaussian in the distance of embeddings of length 1, all to all: an episode is small. What settles is found in
//! closed form.
//!
//! # Source
//! Liu et al. 2019, *Learning to propagate labels: transductive propagation network for few-shot learning*, equations
//! 2 to 4. There a network chooses the width of each edge; here the width is the mean distance of the episode.

use burn::tensor::Tensor;

use super::{Solved, solve::solved};

/// Share of a row's label that comes from its neighbours.
const FLOW: f64 = 0.9;

/// Squared distances over their mean are multiplied by this: a row hears those nearer than most.
const NARROW: f64 = 8.0;

/// Logits of queries, `[query, class]`.
pub(super) fn logits(episode: &Solved<'_>) -> Tensor<2> {
    let all = Tensor::cat(vec![episode.support.clone(), episode.query.clone()], 0);
    let [n, _] = all.dims();
    let labelled = episode.support.dims()[0];
    let device = all.device();
    let centred = all.clone() - all.mean_dim(0);
    let length = (centred.clone().square().sum_dim(1) + 1e-8).sqrt();
    let unit = centred / length;
    let distance2 = unit.clone().matmul(unit.transpose()) * -2.0 + 2.0;
    let eye = Tensor::<2>::eye(n, &device);
    let mean = distance2.clone().mean().detach().unsqueeze::<2>();
    let edges = (distance2 / mean * -NARROW).exp() * (eye.clone() * -1.0 + 1.0);
    let degree = (edges.clone().sum_dim(1) + 1e-8).sqrt();
    let flow = edges / degree.clone() / degree.transpose();
    let unlabelled = Tensor::zeros([n - labelled, episode.ways], &device);
    let given = Tensor::cat(vec![episode.one_hot(), unlabelled], 0);
    let settled = solved(eye - flow * FLOW, given).narrow(0, labelled, n - labelled);
    // Shares of each class; rounding may leave a hair below zero.
    (settled.clamp_min(0.0) + 1e-6).log()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::tests::{by_hand, values};

    /// Two queries lead from the first class' one example to the third query.
    #[test]
    fn queries_lead_a_label_on() {
        let on = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let support = [on(0.0), on(180.0)];
        let led = by_hand(&support, &[on(95.0), on(35.0), on(60.0), on(80.0)], 2);
        let alone = by_hand(&support, &[on(95.0)], 2);
        let (led, alone) = (values(logits(&led)), values(logits(&alone)));
        assert!(led[0] - led[1] > 0.2, "{led:?}");
        assert!(alone[0] < alone[1], "{alone:?}");
    }
}
