//! Embedding many series on every core.

use burn::module::Module;
use burn::tensor::Device;
use ndarray::Array2;
use rayon::prelude::*;
use surco_data::{Batch, BatchSpec, Sample};

use crate::{EncoderInput, Model};

/// Series embedded at once by one core: small enough that a block's activations stay in its cache.
pub const EMBED_CHUNK: usize = 32;

/// Embeds series: `[n, parts × width]`, in their order.
///
/// Work is split over the cores by series, each a small batch of its own, so the result does not
/// depend on the number of cores.
#[must_use]
pub fn embed(model: &Model, samples: &[&Sample], spec: &BatchSpec, device: &Device) -> Array2<f32> {
    let encoder = model.encoder.valid();
    let parts: Vec<Vec<f32>> = samples
        .par_chunks(EMBED_CHUNK)
        .map_with(encoder, |encoder, chunk| {
            let input = EncoderInput::new(&Batch::new(chunk, spec), device);
            let values = encoder.embed(&input).into_data();
            values.iter::<f32>().collect()
        })
        .collect();
    let flat: Vec<f32> = parts.concat();
    let width = flat.len() / samples.len().max(1);
    Array2::from_shape_vec((samples.len(), width), flat).unwrap_or_default()
}
