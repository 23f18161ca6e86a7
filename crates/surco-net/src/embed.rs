//! Embedding many series on every core.

use burn::module::Module;
use burn::tensor::Device;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use surco_data::{Batch, BatchSpec, Sample};

use crate::{EncoderInput, Model};

/// Series embedded at once by one core: small enough that a block's activations stay in its cache.
pub const EMBED_CHUNK: usize = 32;

/// Embeds samples patch by patch: `[patches, parts × width]`, in their order; a series is one patch.
///
/// Work is split over the cores by samples, each a small batch of its own, so the result does not
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
    let width = spec.queries.map_or(0, |q| q.parts) * model.encoder.width();
    Array2::from_shape_vec((flat.len() / width.max(1), width), flat).unwrap_or_default()
}

/// The first `prefix` values of each part of embeddings `[n, parts × width]`, scaled to a root mean square
/// of 1: `[n, parts × prefix]`.
///
/// Models are trained so that the widths of [`crate::NESTED_WIDTHS`] are embeddings themselves.
#[must_use]
pub fn nested(embedding: ArrayView2<'_, f32>, parts: usize, prefix: usize) -> Array2<f32> {
    let (n, whole) = embedding.dim();
    let width = whole / parts.max(1);
    let prefix = prefix.min(width);
    let mut short = Array2::zeros((n, parts * prefix));
    for (from, mut to) in embedding.rows().into_iter().zip(short.rows_mut()) {
        for part in 0..parts {
            let first = from.slice(ndarray::s![part * width..part * width + prefix]);
            let square = first.iter().map(|v| v * v).sum::<f32>() / prefix.max(1) as f32;
            let scale = if square > 0.0 { square.sqrt().recip() } else { 0.0 };
            let mut place = to.slice_mut(ndarray::s![part * prefix..(part + 1) * prefix]);
            place.assign(&(&first * scale));
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_embedding_is_the_beginning_of_each_part() {
        let whole = ndarray::array![[3.0, 4.0, 9.0, 0.0, 0.0, 1.0]];
        let short = nested(whole.view(), 2, 2);
        // 3, 4 has a root mean square of √12.5
        let want = [3.0 / 12.5_f32.sqrt(), 4.0 / 12.5_f32.sqrt(), 0.0, 0.0];
        assert!(short.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{short}");
        assert_eq!(nested(whole.view(), 2, 99).dim(), (1, 6));
    }
}
