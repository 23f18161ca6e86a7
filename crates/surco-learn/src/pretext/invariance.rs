//! The invariance pretext: two disjoint sets of dates of one place must say the same of it.
//!
//! # Source
//! Bardes, Ponce and LeCun 2022 (VICReg), equations 1 to 6 with their weights over 25, so that the loss is of the size
//! of the other pretexts': what is compared must agree, must differ between places (deviation of 1 in each dimension)
//! and must not say anything twice (no covariance), which keeps it from being the same everywhere.
//!
//! Input: cut samples. Output: mean loss over places.

use burn::tensor::{Device, Tensor};
use rand::Rng;
use surco_data::{Batch, BatchSpec, QueryGrid, Sample};
use surco_net::EncoderInput;

use super::Learner;
use crate::crops::Cut;
use crate::shuffle::shuffle;

/// The queries that make an embedding, here as in use.
pub(crate) const QUERIES: QueryGrid = QueryGrid { count: 12, parts: 4 };

/// Weight of covariances beside 1 for agreement and deviation.
const COVARIANCE_WEIGHT: f64 = 1.0 / 25.0;

/// Added to variances under the root.
const EPSILON: f64 = 1e-4;

/// One place on two sets of dates.
#[derive(Clone, Debug)]
pub(crate) struct TwoViews {
    /// The same patches in the same order.
    pub(crate) views: [Batch; 2],
}

impl TwoViews {
    /// Samples with less than two dates make no pair.
    pub(crate) fn new(cut: &Cut, rng: &mut impl Rng) -> Self {
        let spec = BatchSpec { queries: Some(QUERIES), ..cut.spec.clone() };
        let bands = spec.bands.len();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for sample in cut.samples.iter().filter(|sample| sample.len() >= 2) {
            let [first, second] = split(sample.len(), rng);
            one.push(sample.at_dates(&first, bands));
            other.push(sample.at_dates(&second, bands));
        }
        let batch = |of: &[Sample]| Batch::new(&of.iter().collect::<Vec<_>>(), &spec);
        Self { views: [batch(&one), batch(&other)] }
    }

    /// Places that are compared; one alone cannot differ from others.
    pub(crate) fn counted(&self) -> usize {
        let patches = self.views[0].lengths.len();
        if patches < 2 { 0 } else { patches }
    }

    pub(crate) fn loss(&self, learner: &Learner, device: &Device) -> Tensor<1> {
        let projector = learner.projector.as_ref().expect("the invariance pretext has its head");
        let [a, b] = [0, 1].map(|i| {
            let input = EncoderInput::new(&self.views[i], device);
            projector.forward(learner.encoder.embed(&input))
        });
        vicreg(a, b)
    }
}

/// Dates in two parts, each at random, each of at least one, each ascending.
fn split(dates: usize, rng: &mut impl Rng) -> [Vec<usize>; 2] {
    let mut order: Vec<usize> = (0..dates).collect();
    shuffle(&mut order, rng);
    let mut second = order.split_off(dates / 2);
    order.sort_unstable();
    second.sort_unstable();
    [order, second]
}

/// Disagreement, lack of deviation and covariance of two views `[n, d]` of the same places.
fn vicreg(a_nd: Tensor<2>, b_nd: Tensor<2>) -> Tensor<1> {
    let agree = (a_nd.clone() - b_nd.clone()).square().mean();
    let (spread_a, shared_a) = spread_and_covariance(a_nd);
    let (spread_b, shared_b) = spread_and_covariance(b_nd);
    agree + (spread_a + spread_b) / 2.0 + (shared_a + shared_b) * COVARIANCE_WEIGHT
}

/// What deviations lack to 1, on average, and the squares of covariances over the width.
fn spread_and_covariance(x_nd: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    let [n, d] = x_nd.dims();
    let centred = x_nd.clone() - x_nd.mean_dim(0);
    let covariance = centred.clone().transpose().matmul(centred.clone()) / (n - 1) as f64;
    let variance = centred.square().sum_dim(0) / (n - 1) as f64;
    let lack = ((variance.clone() + EPSILON).sqrt().neg() + 1.0).clamp_min(0.0).mean();
    let shared = (covariance.square().sum() - variance.square().sum()) / d as f64;
    (lack, shared)
}

#[cfg(test)]
mod tests;
