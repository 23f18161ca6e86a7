//! Prototypical networks: each class is the mean of its support embeddings, and queries should lie nearest their own.
//!
//! # Source
//! Snell, Swersky and Zemel 2017, *Prototypical networks for few-shot learning*, equations 1 and 2.

use burn::tensor::Tensor;

use super::Solved;

/// What negative squared distances, averaged over the width, are multiplied by.
const SHARPNESS: f64 = 8.0;

/// Logits of queries, `[query, class]`.
pub(super) fn logits(episode: &Solved<'_>) -> Tensor<2> {
    let width = episode.query.dims()[1];
    let average = episode.one_hot().transpose() / episode.shots as f64;
    let prototypes = average.matmul(episode.support.clone());
    let cross = episode.query.clone().matmul(prototypes.clone().transpose());
    let norm = prototypes.square().sum_dim(1).transpose();
    // ‖q‖² is the same for every prototype and falls out of the softmax.
    (cross * 2.0 - norm) * (SHARPNESS / width as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::tests::{by_hand, values};

    /// Prototypes (1, 0) and (0, 2); the query (1, 1) is at squared distances 1 and 2: logits differ by
    /// 8 / 2 · (2 − 1) = 4.
    #[test]
    fn the_nearer_mean_wins_by_the_difference_of_squared_distances() {
        let episode = by_hand(&[[0.5, 0.0], [1.5, 0.0], [0.0, 1.0], [0.0, 3.0]], &[[1.0, 1.0]], 2);
        let logits = values(logits(&episode));
        assert!((logits[0] - logits[1] - 4.0).abs() < 1e-5, "{logits:?}");
    }
}
