//! Reading whatever the bytes are, and what must hold of it.

use std::path::Path;

use surco_core::Window;
use surco_raster::cog::{CogError, CogFile, Header, Parsed, Sample, SampleKind, decode_block};

use crate::allocator::most_held;

/// Pixels asked for at once on each side.
const SIDE_PX: usize = 300;
/// Blocks decoded of each image.
const BLOCKS: usize = 6;
/// What a header may hold for each byte of the file: a listed block has 4 bytes there and 32 while it
/// is read, a directory's tag 12 there and 48 here.
const HEADER_BYTES: usize = 12;
/// What decoding may hold for each byte of a block: as it came out, without the predictor, as samples,
/// without padding.
const BLOCK_BYTES: usize = 5;
/// For error texts and all that has no size of its own.
const SMALL_BYTES: usize = 64 << 10;

fn block_bytes(image: &Header) -> usize {
    image.block.0 * image.block.1 * image.block_bands() * image.sample.bytes()
}

/// Reads a file from memory and from disk as programs do, and checks that it costs no more than it may.
///
/// Gives whether it could be opened.
pub(crate) fn survive(bytes: &[u8], path: &Path) -> bool {
    let (parsed, most) = most_held(|| Header::parse(bytes));
    let limit = HEADER_BYTES * bytes.len() + SMALL_BYTES;
    assert!(most <= limit, "the header took {most} bytes, at most {limit} of {}", bytes.len());
    match parsed {
        Ok(Parsed::NeedMore { bytes: more }) => assert!(more > bytes.len() as u64),
        Ok(Parsed::Header(header)) => {
            for image in std::iter::once(&*header).chain(&header.overviews) {
                decode_some(image, bytes);
            }
        }
        Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
    }
    std::fs::write(path, bytes).unwrap();
    let (opened, most) = most_held(|| CogFile::open(path));
    // The beginning of the file is in memory as a whole.
    let limit = limit + (64 << 10) + bytes.len();
    assert!(most <= limit, "opening took {most} bytes, at most {limit} of {}", bytes.len());
    let Ok(file) = opened else { return false };
    let header = file.header();
    let (rows, cols) = (header.height.min(SIDE_PX), header.width.min(SIDE_PX));
    let window =
        Window { row: (header.height - rows) / 2, col: (header.width - cols) / 2, rows, cols };
    match header.sample {
        SampleKind::U8 => read::<u8>(&file, window),
        SampleKind::U16 => read::<u16>(&file, window),
        SampleKind::I16 => read::<i16>(&file, window),
        SampleKind::F32 => read::<f32>(&file, window),
    }
    true
}

/// A gigabyte of bands would only test the machine's patience.
fn modest(image: &Header) -> bool {
    block_bytes(image) <= 64 << 20 && image.bands <= 4096
}

fn decode_some(image: &Header, file: &[u8]) {
    let taken: Vec<usize> = (0..image.blocks.len()).take(BLOCKS).collect();
    for block in taken.into_iter().filter(|_| modest(image)) {
        let range = image.byte_range(block).unwrap();
        let ends = (usize::try_from(range.start), usize::try_from(range.end));
        let (Ok(start), Ok(end)) = ends else { continue };
        let Some(bytes) = file.get(start..end) else { continue };
        match image.sample {
            SampleKind::U8 => decode::<u8>(image, block, bytes),
            SampleKind::U16 => decode::<u16>(image, block, bytes),
            SampleKind::I16 => decode::<i16>(image, block, bytes),
            SampleKind::F32 => decode::<f32>(image, block, bytes),
        }
    }
}

fn decode<T: Sample>(image: &Header, block: usize, bytes: &[u8]) {
    let (decoded, most) = most_held(|| decode_block::<T>(image, block, bytes));
    let limit = BLOCK_BYTES * block_bytes(image) + SMALL_BYTES;
    assert!(most <= limit, "a block of {} bytes took {most}", block_bytes(image));
    let Ok(decoded) = decoded else { return };
    let (band, window) = image.block_window(block).unwrap();
    assert_eq!((decoded.band, decoded.window), (band, window));
    assert_eq!(decoded.samples.dim(), (image.block_bands(), window.rows, window.cols));
    assert_eq!(window.intersect(&image.window()), Some(window), "a block lies in its image");
}

fn read<T: Sample>(file: &CogFile, window: Window) {
    if !modest(file.header()) {
        return;
    }
    let (pixels, most) = alone(|| file.read::<T>(window));
    let header = file.header();
    let size = header.bands * window.rows * window.cols * header.sample.bytes();
    let largest = header.blocks.iter().map(|b| b.len as usize).max().unwrap_or(0);
    let block = BLOCK_BYTES * block_bytes(header) + largest;
    let limit = size + (4 * block).min((256 << 20) + block) + SMALL_BYTES;
    let lists = 64 * header.blocks.len().min(1 << 20);
    assert!(most <= limit + lists, "{most} bytes were held, at most {limit}");
    if let Ok(pixels) = pixels {
        assert_eq!(pixels.dim(), (header.bands, window.rows, window.cols));
    }
}

thread_local! {
    static POOL: rayon::ThreadPool =
        rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
}

/// [`most_held`] of a call that would use several threads, on this one.
pub(crate) fn alone<T: Send>(call: impl FnOnce() -> T + Send) -> (T, usize) {
    POOL.with(|pool| most_held(|| pool.install(call)))
}

/// The refusal of a file that must be refused.
pub(crate) fn refusal(bytes: &[u8]) -> CogError {
    match Header::parse(bytes) {
        Err(error) => error,
        Ok(other) => panic!("it was read: {other:?}"),
    }
}
