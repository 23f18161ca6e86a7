//! From the bytes of a block to its samples.

use std::borrow::Cow;

use libdeflater::Decompressor;
use ndarray::{Array3, s};
use surco_core::Window;

use super::error::CogError;
use super::header::{Compression, Header, Predictor};
use super::sample::{Sample, nodata_as};

/// Deflate cannot shrink bytes further than this (258 bytes in two bits, and a little over).
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The samples of one block, without its padding past the image's edge.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedBlock<T> {
    /// First band; others follow.
    pub band: usize,
    /// Pixels of the image that the block holds.
    pub window: Window,
    /// `[band, y, x]`.
    pub samples: Array3<T>,
}

/// The samples of a block, from exactly the bytes that [`Header::byte_range`] names.
///
/// A block of no bytes is all nodata (0 if the file states none). The Adler-32 sum is checked.
///
/// # Errors
/// [`CogError`] if there is no such block, the bytes are too few or many, do not decompress to one
/// block, or samples are of another type than `T`.
pub fn decode_block<T: Sample>(
    header: &Header,
    block: usize,
    bytes: &[u8],
) -> Result<DecodedBlock<T>, CogError> {
    if header.sample != T::KIND {
        return Err(CogError::SampleKind { found: header.sample, asked: T::KIND });
    }
    let (band, window) = header.block_window(block)?;
    let announced = header.blocks[block].len;
    if bytes.len() as u64 != announced {
        let found = bytes.len() as u64;
        return Err(CogError::BlockLength { block, found, expected: announced });
    }
    let bands = header.block_bands();
    if bytes.is_empty() {
        let fill = nodata_as(header.nodata).unwrap_or_default();
        let samples = Array3::from_elem((bands, window.rows, window.cols), fill);
        return Ok(DecodedBlock { band, window, samples });
    }
    let rows = if header.strips { window.rows } else { header.block.1 };
    let row_samples = header.block.0 * bands;
    let raw = inflate(header, block, bytes, rows * row_samples * T::KIND.bytes())?;
    let raw = match header.predictor {
        Predictor::Float => Cow::Owned(undo_float(&raw, row_samples, bands)),
        Predictor::None | Predictor::Horizontal => raw,
    };
    let mut samples: Vec<T> = raw.chunks_exact(T::KIND.bytes()).map(T::read_le).collect();
    if header.predictor == Predictor::Horizontal {
        for row in samples.chunks_exact_mut(row_samples) {
            for i in bands..row.len() {
                row[i] = row[i].add_bits(row[i - bands]);
            }
        }
    }
    let samples = to_bands(samples, (rows, header.block.0, bands), &window, block)?;
    Ok(DecodedBlock { band, window, samples })
}

fn inflate<'a>(
    header: &Header,
    block: usize,
    bytes: &'a [u8],
    want: usize,
) -> Result<Cow<'a, [u8]>, CogError> {
    let found = bytes.len() as u64;
    if header.compression == Compression::None {
        if bytes.len() != want {
            return Err(CogError::BlockLength { block, found, expected: want as u64 });
        }
        return Ok(Cow::Borrowed(bytes));
    }
    let fail = |reason: String| CogError::Inflate { block, reason };
    // Asked before anything is allocated: a few bytes cannot hold a large block.
    if want as u64 > found.saturating_mul(MAX_DEFLATE_RATIO) {
        return Err(fail(format!("{found} bytes cannot hold the {want} of a block")));
    }
    let mut raw = vec![0; want];
    let got = Decompressor::new()
        .zlib_decompress(bytes, &mut raw)
        .map_err(|e| fail(format!("{e}, a block has {want} bytes")))?;
    if got != want {
        return Err(fail(format!("{got} bytes came out, a block has {want}")));
    }
    Ok(Cow::Owned(raw))
}

/// Undoes the floating point predictor: differences of bytes, bytes sorted by weight.
///
/// # Source
/// Adobe, *Photoshop TIFF Technical Note 3*, "Floating Point Predictor".
fn undo_float(raw: &[u8], row_samples: usize, bands: usize) -> Vec<u8> {
    let mut out = vec![0; raw.len()];
    let mut row = vec![0_u8; row_samples * 4];
    for (input, output) in raw.chunks_exact(row.len()).zip(out.chunks_exact_mut(row_samples * 4)) {
        row.copy_from_slice(input);
        for i in bands..row.len() {
            row[i] = row[i].wrapping_add(row[i - bands]);
        }
        for (i, sample) in output.chunks_exact_mut(4).enumerate() {
            for (weight, byte) in sample.iter_mut().enumerate() {
                *byte = row[(3 - weight) * row_samples + i];
            }
        }
    }
    out
}

/// Samples as stored (`[y, x, band]`, padded) as `[band, y, x]` of the window only.
fn to_bands<T: Sample>(
    samples: Vec<T>,
    (rows, cols, bands): (usize, usize, usize),
    window: &Window,
    block: usize,
) -> Result<Array3<T>, CogError> {
    let found = samples.len() as u64;
    let whole = (rows, cols) == (window.rows, window.cols);
    let shape = if bands == 1 { (1, rows, cols) } else { (rows, cols, bands) };
    let stored = Array3::from_shape_vec(shape, samples).map_err(|_| CogError::BlockLength {
        block,
        found,
        expected: (rows * cols * bands) as u64,
    })?;
    if bands == 1 && whole {
        return Ok(stored);
    }
    // Padding is cut off and bands are drawn apart in the same copy.
    let stored = if bands == 1 { stored } else { stored.permuted_axes([2, 0, 1]) };
    Ok(stored.slice(s![.., ..window.rows, ..window.cols]).as_standard_layout().into_owned())
}
