//! Why places could not be drawn.

use std::path::{Path, PathBuf};

use surco_core::Fault;
use surco_raster::cog::CogError;
use surco_raster::projection::CrsError;
use surco_raster::vector::VectorError;

/// Why places could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlacesError {
    /// The request cannot be carried out as written.
    #[error("{what}: found {found}, expected {expected}")]
    Request {
        /// What is wrong.
        what: &'static str,
        /// What was given.
        found: String,
        /// What can be given.
        expected: String,
    },
    /// A vector file.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// A coordinate system.
    #[error(transparent)]
    Crs(#[from] CrsError),
    /// A class raster.
    #[error("strata {}: {source}", path.display())]
    Raster {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CogError,
    },
    /// A file whose content cannot be used.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// The area holds no square.
    #[error(
        "area {} holds the centre of no square of {side_m} m; draw the area larger, or take a smaller \
         chip or spacing", path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
        /// Side of the squares.
        side_m: f64,
    },
    /// The area holds more squares than can be listed.
    #[error(
        "area {} holds more than {limit} squares of {side_m} m; raise the spacing", path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Side of the squares.
        side_m: f64,
        /// Squares that can be listed.
        limit: usize,
    },
    /// The layers leave a part of the area without a class.
    #[error(
        "{percent:.1} % of the area has no stratum; layer {layer} leaves the most without a class{}",
        if *all { ": do layers and area belong to the same place?" }
        else { "; cut the area to the layers, or leave that part out with --drop-uncovered" }
    )]
    Uncovered {
        /// Part of the squares without a class.
        percent: f64,
        /// The layer with the largest gap.
        layer: String,
        /// Whether nothing is covered.
        all: bool,
    },
    /// More places than squares.
    #[error(
        "{places} places were asked for, but the area has {frame} squares of {side_m} m with a stratum; \
         ask for fewer, or take a smaller chip or spacing"
    )]
    TooMany {
        /// Places asked for.
        places: usize,
        /// Squares.
        frame: usize,
        /// Their side.
        side_m: f64,
    },
    /// A file could not be read or written.
    #[error("cannot {what}: {source}: {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl PlacesError {
    pub(super) fn content(
        path: &Path,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Content { path: path.into(), found: found.into(), expected: expected.into() }
    }

    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request { .. } | Self::TooMany { .. } | Self::TooLarge { .. } => Fault::Usage,
            Self::Vector(error) => error.fault(),
            Self::Crs(error) => error.fault(),
            Self::Raster { source, .. } => source.fault(),
            Self::Content { .. } | Self::Empty { .. } | Self::Uncovered { .. } => Fault::Input,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Fault::Input
            }
            Self::Io { .. } => Fault::Failed,
        }
    }
}
