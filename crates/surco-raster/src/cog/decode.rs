//! From the bytes of a block to its samples.

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
    let mut samples = stored_samples::<T>(header, block, bytes, rows * row_samples)?;
    match header.predictor {
        Predictor::None => {}
        Predictor::Float => undo_float(bytemuck::cast_slice_mut(&mut samples), row_samples, bands),
        Predictor::Horizontal => {
            for row in samples.chunks_exact_mut(row_samples) {
                undo_horizontal(row, bands);
            }
        }
    }
    let samples = to_bands(samples, (rows, header.block.0, bands), &window, block)?;
    Ok(DecodedBlock { band, window, samples })
}

/// The samples of a block as they are stored, predictor and all: inflated straight into their place.
fn stored_samples<T: Sample>(
    header: &Header,
    block: usize,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<T>, CogError> {
    let (found, want) = (bytes.len() as u64, (count * size_of::<T>()) as u64);
    let fail = |reason: String| CogError::Inflate { block, reason };
    match header.compression {
        Compression::None if found != want => {
            return Err(CogError::BlockLength { block, found, expected: want });
        }
        // Asked before anything is allocated: a few bytes cannot hold a large block.
        Compression::Deflate if want > found.saturating_mul(MAX_DEFLATE_RATIO) => {
            return Err(fail(format!("{found} bytes cannot hold the {want} of a block")));
        }
        Compression::None | Compression::Deflate => {}
    }
    let mut samples = vec![T::default(); count];
    let raw: &mut [u8] = bytemuck::cast_slice_mut(&mut samples);
    if header.compression == Compression::None {
        raw.copy_from_slice(bytes);
    } else {
        let got = Decompressor::new()
            .zlib_decompress(bytes, raw)
            .map_err(|e| fail(format!("{e}, a block has {want} bytes")))?;
        if got as u64 != want {
            return Err(fail(format!("{got} bytes came out, a block has {want}")));
        }
    }
    if cfg!(target_endian = "big") && header.predictor != Predictor::Float {
        for sample in &mut samples {
            *sample = T::read_le(bytemuck::bytes_of(sample));
        }
    }
    Ok(samples)
}

/// Undoes the horizontal predictor in one row.
fn undo_horizontal<T: Sample>(row: &mut [T], bands: usize) {
    if bands == 1 {
        let mut left = T::default();
        for sample in row {
            left = left.add_bits(*sample);
            *sample = left;
        }
        return;
    }
    for i in bands..row.len() {
        row[i] = row[i].add_bits(row[i - bands]);
    }
}

/// Undoes the floating point predictor: differences of bytes, bytes sorted by weight.
///
/// # Source
/// Adobe, *Photoshop TIFF Technical Note 3*, "Floating Point Predictor".
fn undo_float(raw: &mut [u8], row_samples: usize, bands: usize) {
    let mut row = vec![0_u8; row_samples * 4];
    for stored in raw.chunks_exact_mut(row_samples * 4) {
        row.copy_from_slice(stored);
        for i in bands..row.len() {
            row[i] = row[i].wrapping_add(row[i - bands]);
        }
        for (i, sample) in stored.chunks_exact_mut(4).enumerate() {
            let weights = |weight: usize| row[(3 - weight) * row_samples + i];
            let bytes = [weights(0), weights(1), weights(2), weights(3)];
            sample.copy_from_slice(&f32::from_le_bytes(bytes).to_ne_bytes());
        }
    }
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
