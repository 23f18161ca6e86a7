//! From samples to the bytes of a block.

use libdeflater::{CompressionLvl, Compressor};
use ndarray::ArrayView3;

use super::error::CogError;
use super::header::Predictor;
use super::sample::{Sample, SampleKind};

/// How all blocks of an image are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockForm<T> {
    pub(crate) block_px: usize,
    pub(crate) fill: T,
    pub(crate) level: CompressionLvl,
}

/// What is done to these samples before compression.
pub(crate) fn predictor_of(kind: SampleKind) -> Predictor {
    match kind {
        SampleKind::U8 | SampleKind::U16 | SampleKind::I16 => Predictor::Horizontal,
        SampleKind::F32 => Predictor::Float,
    }
}

/// The bytes of a block that begins with these samples (`[band, y, x]`, at most a block's side) and
/// is padded to its right and below.
pub(crate) fn encode_block<T: Sample>(
    samples: ArrayView3<'_, T>,
    form: &BlockForm<T>,
) -> Result<Vec<u8>, CogError> {
    let (bands, height, width) = samples.dim();
    let row_samples = form.block_px * bands;
    let size = T::KIND.bytes();
    let mut raw = vec![0; row_samples * form.block_px * size];
    let mut row = vec![form.fill; row_samples];
    for (y, bytes) in raw.chunks_exact_mut(row_samples * size).enumerate() {
        if y < height {
            for (band, plane) in samples.outer_iter().enumerate() {
                let cells = row.iter_mut().skip(band).step_by(bands).take(width);
                for (slot, &sample) in cells.zip(plane.row(y)) {
                    *slot = sample;
                }
            }
        } else {
            row.fill(form.fill);
        }
        write_row(&row, bands, bytes);
    }
    deflate(&raw, form.level)
}

fn write_row<T: Sample>(row: &[T], bands: usize, bytes: &mut [u8]) {
    let size = T::KIND.bytes();
    match predictor_of(T::KIND) {
        Predictor::None => {
            for (&sample, out) in row.iter().zip(bytes.chunks_exact_mut(size)) {
                sample.write_le(out);
            }
        }
        Predictor::Horizontal => {
            for (i, out) in bytes.chunks_exact_mut(size).enumerate() {
                let sample = if i < bands { row[i] } else { row[i].sub_bits(row[i - bands]) };
                sample.write_le(out);
            }
        }
        Predictor::Float => {
            // All highest bytes first, then all next ones, then each as the difference to the left.
            let mut one = [0; 4];
            for (i, sample) in row.iter().enumerate() {
                sample.write_le(&mut one);
                for (weight, byte) in one.iter().rev().enumerate() {
                    bytes[weight * row.len() + i] = *byte;
                }
            }
            for i in (bands..bytes.len()).rev() {
                bytes[i] = bytes[i].wrapping_sub(bytes[i - bands]);
            }
        }
    }
}

fn deflate(raw: &[u8], level: CompressionLvl) -> Result<Vec<u8>, CogError> {
    let mut compressor = Compressor::new(level);
    let mut out = vec![0; compressor.zlib_compress_bound(raw.len())];
    let len = compressor.zlib_compress(raw, &mut out).map_err(|e| CogError::Options {
        what: "compressed block",
        found: e.to_string(),
        expected: format!("at most {} bytes", out.len()),
    })?;
    out.truncate(len);
    Ok(out)
}
