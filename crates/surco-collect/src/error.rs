//! Why scenes could not be collected.

use std::path::PathBuf;

use surco_core::Fault;
use surco_raster::vector::VectorError;
use surco_store::StoreError;

/// Why scenes could not be collected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The request cannot be carried out as written.
    #[error("{what}: found {found}, expected {expected}")]
    Request {
        /// What is wrong.
        what: &'static str,
        /// What was given.
        found: String,
        /// What can be given.
        expected: &'static str,
    },
    /// A catalog file could not be read.
    #[error("cannot read catalog {path}: {reason}")]
    CatalogFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A service answered something that is no page of items.
    #[error("catalog {url} gave no STAC items: {reason}")]
    CatalogAnswer {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// An item lacks something that is needed.
    #[error("item {item}, {part}: {reason}; {remedy}")]
    Item {
        /// The item.
        item: String,
        /// Asset or property.
        part: String,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Two scenes of a tile lie on different grids.
    #[error(
        "tile {}: item {} lies on {}, item {} on {}; collect them into two stores",
        .0.tile, .0.first, .0.first_grid, .0.second, .0.second_grid
    )]
    Grid(Box<GridClash>),
    /// No scene is left.
    #[error(
        "no scene to collect: {items} items in catalog {catalog}, {why}; widen what is asked for"
    )]
    Nothing {
        /// The catalog.
        catalog: String,
        /// Items looked at.
        items: usize,
        /// Where they went.
        why: String,
    },
    /// The network or a service failed for good.
    #[error(
        "{url} cannot be read after {attempts} attempts ({reason}); check the network and run the same \
         command again, what is done stays done"
    )]
    Network {
        /// What was asked for.
        url: String,
        /// How often.
        attempts: u32,
        /// The last answer.
        reason: String,
    },
    /// A file changed between two reads.
    #[error("{url} changed while it was read; run the same command again")]
    Changed {
        /// The file.
        url: String,
    },
    /// The runtime could not be started.
    #[error("cannot start the network runtime: {0}")]
    Runtime(std::io::Error),
    /// An area or places could not be read.
    #[error("{0}")]
    Vector(Box<VectorError>),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user asked to stop; what is done stays done.
    #[error("stopped: run the same command again to go on")]
    Stopped,
}

/// Two scenes of a tile on different grids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GridClash {
    /// The tile.
    pub tile: String,
    /// One item.
    pub first: String,
    /// Its grid.
    pub first_grid: String,
    /// The other item.
    pub second: String,
    /// Its grid.
    pub second_grid: String,
}

impl From<VectorError> for CollectError {
    fn from(error: VectorError) -> Self {
        Self::Vector(Box::new(error))
    }
}

impl CollectError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request { .. } => Fault::Usage,
            Self::CatalogFile { .. } | Self::Item { .. } | Self::Grid(_) | Self::Nothing { .. } => {
                Fault::Input
            }
            Self::CatalogAnswer { .. } | Self::Network { .. } | Self::Changed { .. } => {
                Fault::Network
            }
            Self::Runtime(_) | Self::Stopped => Fault::Failed,
            Self::Vector(error) => error.fault(),
            Self::Store(error) => error.fault(),
        }
    }
}
