//! The shallow decoder: what frozen and fine-tuned encoders are compared with.
//!
//! One learned query looks over the dates of a pixel, and a linear map makes classes of what it finds, so that little
//! can be learned but what the encoder already holds.
//!
//! # Source
//! Dumeur et al. 2024, section on the downstream task, in which one and the same decoder stands behind a frozen (FR) and
//! a fine-tuned (FT) encoder; the query of its own over dates is that of L-TAE (Garnot and Landrieu 2020).

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use surco_kernels::{Segments, attend};

use super::{HEADS, UBARN_WIDTH, map};
use crate::input::index;
use crate::layers::Linear;

/// The shallow decoder.
#[derive(Module, Debug)]
pub struct ShallowDecoder {
    query: Param<Tensor<2>>,
    read: Linear,
    classify: Linear,
}

impl ShallowDecoder {
    /// A decoder of so many classes, its weights drawn by a seed.
    #[must_use]
    pub fn fresh(classes: usize, seed: u64, device: &Device) -> Self {
        let std = 1.0 / (UBARN_WIDTH as f64).sqrt();
        crate::model::drawn(seed, device, || Self {
            query: Initializer::Normal { mean: 0.0, std }.init([1, UBARN_WIDTH], device),
            read: map(UBARN_WIDTH, 2 * UBARN_WIDTH, device),
            classify: map(UBARN_WIDTH, classes, device),
        })
    }

    /// Scores of the classes of each pixel, `[segments, classes]`, from one vector a date, `[n, 64]`.
    #[must_use]
    pub fn forward(&self, x_nd: Tensor<2>, segments: &Segments) -> Tensor<2> {
        let [n, _] = x_nd.dims();
        let device = x_nd.device();
        let query = self.query.val().expand([n, UBARN_WIDTH]);
        let qkv = Tensor::cat(vec![query, self.read.forward(x_nd)], 1);
        // The query is the same for every date of a pixel, and so is what it finds: the first will do.
        let found = attend(qkv, segments, HEADS, None, None);
        let first = index(segments.ranges().map(|rows| rows.start as i64), &device);
        self.classify.forward(found.select(0, first))
    }
}
