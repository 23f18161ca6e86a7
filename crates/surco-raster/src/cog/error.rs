//! What can go wrong with a GeoTIFF.

use std::io;
use std::path::{Path, PathBuf};

use surco_core::{Fault, Window};

use super::sample::SampleKind;

/// Why a raster could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CogError {
    /// The operating system refused.
    #[error("cannot {what}: {source}: {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The first bytes are not those of a TIFF.
    #[error("no TIFF: begins with bytes {found:02x?}, expected 49 49 2a 00 or 49 49 2b 00")]
    NotTiff {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// The file is a TIFF of a sort that is not read here.
    #[error(
        "{what} {found} is not read here: expected {expected}; rewrite it with `gdal_translate -of COG -co COMPRESS=DEFLATE`"
    )]
    Unsupported {
        /// The property.
        what: &'static str,
        /// Its value in the file.
        found: String,
        /// The values that are read.
        expected: &'static str,
    },
    /// The file contradicts itself.
    #[error("damaged TIFF: {what} is {found}, expected {expected}")]
    Damaged {
        /// The part that is wrong.
        what: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// The file points past its end.
    #[error(
        "truncated TIFF: {what} needs bytes up to {end}, the file has {len}; copy or make it again"
    )]
    Truncated {
        /// What lies there.
        what: &'static str,
        /// End of the bytes needed.
        end: u64,
        /// Bytes there are.
        len: u64,
    },
    /// The description of the image lies too far from the beginning to be fetched as a prefix.
    #[error(
        "no Cloud Optimized GeoTIFF: its description reaches byte {end}, over the {limit} that are fetched; rewrite it with `gdal_translate -of COG`"
    )]
    HeaderTooFar {
        /// End of the bytes needed.
        end: u64,
        /// Bytes that are fetched at most.
        limit: u64,
    },
    /// The grid cannot be expressed.
    #[error(
        "georeference not usable: {what} {found}, expected {expected}; warp it with `gdalwarp -t_srs EPSG:… -tr …`"
    )]
    Georef {
        /// The property.
        what: &'static str,
        /// Its value.
        found: String,
        /// The values that are read.
        expected: &'static str,
    },
    /// A block's bytes are not those the header announces.
    #[error("block {block} has {found} bytes, expected {expected}")]
    BlockLength {
        /// Number of the block.
        block: usize,
        /// Bytes there are.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// A block does not decompress to its samples.
    #[error("block {block} does not decompress: {reason}")]
    Inflate {
        /// Number of the block.
        block: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such block.
    #[error("block {block} asked for, the image has {blocks}")]
    NoBlock {
        /// Number asked for.
        block: usize,
        /// Number of blocks.
        blocks: usize,
    },
    /// There is no such overview.
    #[error("overview {level} asked for, the file has {levels}")]
    NoOverview {
        /// Overview asked for.
        level: usize,
        /// Number of overviews.
        levels: usize,
    },
    /// The samples are of another type.
    #[error("samples are {found}, asked for as {asked}")]
    SampleKind {
        /// Type in the file.
        found: SampleKind,
        /// Type asked for.
        asked: SampleKind,
    },
    /// The window does not lie in the image.
    #[error("window of {} rows and {} columns from row {}, column {} is not inside the image of {height} rows and {width} columns", window.rows, window.cols, window.row, window.col)]
    Window {
        /// Window asked for.
        window: Window,
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
    },
    /// More than memory should be asked for in one piece.
    #[error("{what} would take {bytes} bytes, over the limit of {limit}")]
    TooLarge {
        /// What would take it.
        what: &'static str,
        /// Bytes needed.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The options do not go together.
    #[error("cannot write this raster: {what} is {found}, expected {expected}")]
    Options {
        /// The option.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
}

impl CogError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Fault::Input,
            Self::Io { .. } => Fault::Failed,
            Self::Options { .. } => Fault::Usage,
            Self::NoBlock { .. }
            | Self::NoOverview { .. }
            | Self::Window { .. }
            | Self::SampleKind { .. }
            | Self::NotTiff { .. }
            | Self::Unsupported { .. }
            | Self::Damaged { .. }
            | Self::Truncated { .. }
            | Self::HeaderTooFar { .. }
            | Self::Georef { .. }
            | Self::BlockLength { .. }
            | Self::Inflate { .. }
            | Self::TooLarge { .. } => Fault::Input,
        }
    }

    pub(crate) fn io<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl Fn(io::Error) -> Self + use<'a> {
        move |source| Self::Io { what, path: path.into(), source }
    }
}

/// A damaged file, in one line.
pub(crate) fn damaged(
    what: &'static str,
    found: impl ToString,
    expected: impl ToString,
) -> CogError {
    CogError::Damaged { what, found: found.to_string(), expected: expected.to_string() }
}
