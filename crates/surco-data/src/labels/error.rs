//! Why labels cannot be used.

use std::path::{Path, PathBuf};

use surco_core::Fault;
use surco_raster::cog::CogError;
use surco_raster::projection::CrsError;
use surco_raster::vector::VectorError;

use crate::legends::LegendsError;

/// Why labels could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A vector file.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// A raster file.
    #[error(transparent)]
    Raster(#[from] CogError),
    /// A raster whose content cannot be used.
    #[error("labels {path}: {source}")]
    RasterContent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CogError,
    },
    /// A coordinate system.
    #[error("labels {path}: {source}")]
    Crs {
        /// The file.
        path: PathBuf,
        /// Why it was refused.
        source: CrsError,
    },
    /// Nothing says what the class is.
    #[error("labels {path}: no class: columns are {columns}; expected one of {expected}")]
    NoClass {
        /// The file.
        path: PathBuf,
        /// Columns there are.
        columns: String,
        /// Columns looked for, and how to name another.
        expected: String,
    },
    /// The column that was named is not there.
    #[error("labels {path}: no column `{column}`; columns are {columns}")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column named.
        column: String,
        /// Columns there are.
        columns: String,
    },
    /// Classes that the legend asked for does not know.
    #[error("labels {path}: {source}")]
    Legend {
        /// The file.
        path: PathBuf,
        /// Which, and what is like them.
        source: LegendsError,
    },
    /// A value that should be a number.
    #[error(
        "labels {path}, feature {feature}: column `{column}` has `{value}`, expected a number; correct it, or empty it to leave the label out"
    )]
    NoNumber {
        /// The file.
        path: PathBuf,
        /// The column of the numbers.
        column: String,
        /// Number of the feature, counted from 1.
        feature: usize,
        /// What it has.
        value: String,
    },
    /// No feature at all.
    #[error("labels {path}: empty, no feature is in it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A raster without any code.
    #[error("labels {path}: empty, every pixel is 0, which means no label")]
    EmptyRaster {
        /// The file.
        path: PathBuf,
    },
    /// A raster that does not say where it lies.
    #[error(
        "labels {path}: the raster has no coordinate system; give it one with gdal_translate -a_srs EPSG:CODE"
    )]
    NoGeoref {
        /// The file.
        path: PathBuf,
    },
    /// A raster in another system than the pixels.
    #[error(
        "labels {path}: the raster is in EPSG:{labels}, the pixels are in EPSG:{pixels}; bring it there with gdalwarp -r near -t_srs EPSG:{pixels}"
    )]
    OtherSystem {
        /// The file.
        path: PathBuf,
        /// Its EPSG code.
        labels: u32,
        /// That of the pixels.
        pixels: u32,
    },
    /// No feature can be used.
    #[error("labels {path}: nothing is left: {reasons}")]
    NothingLeft {
        /// The file.
        path: PathBuf,
        /// What was left out, and why.
        reasons: String,
    },
    /// No label is of the time of the images.
    #[error(
        "labels {path}: dated {labels} (column `{column}`), but the images are of {images}: collect images of the \
         labels' season, or take labels of the images'"
    )]
    OtherSeason {
        /// The file.
        path: PathBuf,
        /// First and last date of the labels.
        labels: String,
        /// The column with the dates.
        column: String,
        /// First and last date of the images.
        images: String,
    },
    /// No label lies on the pixels, but all would with their coordinates swapped.
    #[error(
        "labels {path}: latitude and longitude are swapped: none of {count} labels lies on the pixels at hand, but they \
         would with their coordinates swapped; put x (longitude, east) first, then y (latitude, north)"
    )]
    Swapped {
        /// The file.
        path: PathBuf,
        /// Number of labels.
        count: usize,
    },
    /// No label lies on the pixels.
    #[error(
        "labels {path}: none of {count} labels lies on the {pixels} pixels at hand; do they belong to the same place?"
    )]
    Nowhere {
        /// The file.
        path: PathBuf,
        /// Number of labels.
        count: usize,
        /// Number of pixels.
        pixels: usize,
    },
    /// The kind of file is unknown.
    #[error("labels {path}: unknown kind of file `{extension}`; expected {expected}")]
    Kind {
        /// The file.
        path: PathBuf,
        /// Its ending.
        extension: String,
        /// Endings that are known.
        expected: String,
    },
}

impl LabelError {
    /// Names the file, unless the error does.
    pub(super) fn of_raster(path: &Path) -> impl Fn(CogError) -> Self {
        move |error| match error {
            CogError::Io { .. } => Self::Raster(error),
            source => Self::RasterContent { path: path.into(), source },
        }
    }

    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Vector(error) => error.fault(),
            Self::Raster(error) | Self::RasterContent { source: error, .. } => error.fault(),
            Self::Crs { source, .. } => source.fault(),
            Self::NoClass { .. }
            | Self::NoColumn { .. }
            | Self::Legend { .. }
            | Self::NoNumber { .. }
            | Self::Empty { .. }
            | Self::EmptyRaster { .. }
            | Self::NoGeoref { .. }
            | Self::OtherSystem { .. }
            | Self::NothingLeft { .. }
            | Self::OtherSeason { .. }
            | Self::Swapped { .. }
            | Self::Nowhere { .. }
            | Self::Kind { .. } => Fault::Input,
        }
    }
}
