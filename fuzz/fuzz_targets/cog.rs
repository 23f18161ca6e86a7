//! Any bytes as a GeoTIFF: an error, or blocks of the shape that the header declares.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surco_raster::cog::{Header, Parsed, Sample, SampleKind, decode_block};

/// Larger blocks are left out, so that a case stays short.
const BLOCK_BYTES: usize = 4 << 20;
/// Blocks decoded of each image.
const BLOCKS: usize = 8;

fn decode<T: Sample>(image: &Header, file: &[u8]) {
    if image.block.0 * image.block.1 * image.block_bands() * T::KIND.bytes() > BLOCK_BYTES {
        return;
    }
    for block in 0..image.blocks.len().min(BLOCKS) {
        let range = image.byte_range(block).expect("the block is listed");
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
            continue;
        };
        let Some(bytes) = file.get(start..end) else { continue };
        let Ok(decoded) = decode_block::<T>(image, block, bytes) else { continue };
        let (band, window) = image.block_window(block).expect("the block is listed");
        assert_eq!((decoded.band, decoded.window), (band, window));
        let shape = (image.block_bands(), window.rows, window.cols);
        assert_eq!(decoded.samples.dim(), shape);
        assert_eq!(window.intersect(&image.window()), Some(window), "a block lies in its image");
    }
}

fuzz_target!(|file: &[u8]| {
    let Ok(parsed) = Header::parse(file) else { return };
    let header = match parsed {
        Parsed::Header(header) => header,
        Parsed::NeedMore { bytes } => {
            assert!(bytes > file.len() as u64, "what is asked for must be more");
            return;
        }
    };
    let _ = header.check_len(file.len() as u64);
    for image in std::iter::once(&*header).chain(&header.overviews) {
        match image.sample {
            SampleKind::U8 => decode::<u8>(image, file),
            SampleKind::U16 => decode::<u16>(image, file),
            SampleKind::I16 => decode::<i16>(image, file),
            SampleKind::F32 => decode::<f32>(image, file),
        }
    }
});
