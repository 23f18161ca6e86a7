//! R2-D2: a ridge regression from the support's embeddings to its classes, in closed form.
//!
//! Embeddings are centred on the support. The strength is the mean squared length of a support row, in proportion to which
//! the head of an adaptation chooses its own.
//!
//! # Source
//! Bertinetto, Henriques, Torr and Vedaldi 2019, *Meta-learning with differentiable closed-form solvers*, equation 7.
//! There the strength and the scale of the logits are learned; here they are fixed.

use burn::tensor::Tensor;

use super::{Solved, solve::solved};

/// What scores are multiplied by.
const SHARPNESS: f64 = 10.0;

/// Logits of queries, `[query, class]`.
pub(super) fn logits(episode: &Solved<'_>) -> Tensor<2> {
    let mean = episode.support.clone().mean_dim(0);
    let support = episode.support.clone() - mean.clone();
    let query = episode.query.clone() - mean;
    let gram = support.clone().matmul(support.clone().transpose());
    let n = gram.dims()[0];
    let eye = Tensor::<2>::eye(n, &gram.device());
    let length = (gram.clone() * eye.clone()).sum() / n as f64;
    let system = gram + eye * (length.unsqueeze::<2>() + 1e-6);
    let classes = episode.one_hot() - 1.0 / episode.ways as f64;
    query.matmul(support.transpose()).matmul(solved(system, classes)) * SHARPNESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::tests::{by_hand, values};

    /// Support 1 and −1, mean square 1: w = (1·½ + −1·−½) / (2 + 1) = 1/3. The query 0.5 scores 1/6 · 10 for the first.
    #[test]
    fn the_closed_form_agrees_with_a_hand() {
        let episode = by_hand(&[[1.0, 0.0], [-1.0, 0.0]], &[[0.5, 7.0]], 2);
        let logits = values(logits(&episode));
        assert!((logits[0] - 10.0 / 6.0).abs() < 1e-4, "{logits:?}");
        assert!((logits[0] + logits[1]).abs() < 1e-5);
    }
}
