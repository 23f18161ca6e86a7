//! Cloud Optimized GeoTIFF: reading, from a file or from fetched byte ranges, and writing.
//!
//! Reading is cut at one seam. [`Header::parse`] and [`decode_block`] only see bytes, so whoever
//! fetches them (a file, HTTP ranges) shares the same decoding. [`CogFile`] is the seam closed with a
//! local file. Writing is [`write_cog`] for an array in memory and [`CogWriter`] for rows that arrive
//! from top to bottom.
//!
//! Absent on purpose: LZW, JPEG, ZSTD and LERC, bit depths other than those of [`SampleKind`], masks
//! (nodata says it), big-endian files, rotated or non-square pixels.

mod assemble;
mod decode;
mod encode;
mod error;
mod file;
mod geo;
mod header;
mod ifd;
mod options;
mod overview;
mod pam;
mod sample;
#[cfg(test)]
mod tests;
mod write;

pub use decode::{DecodedBlock, decode_block};
pub use error::CogError;
pub use file::CogFile;
pub use header::{BlockRef, Compression, Header, MAX_HEADER_BYTES, Parsed, Planar, Predictor};
pub use options::{CogOptions, Overviews};
pub use sample::{Sample, SampleKind};
pub use write::{CogWriter, write_cog};
