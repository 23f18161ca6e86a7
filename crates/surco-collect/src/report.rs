//! What a store holds: a survey of its manifests and run records, and a page of it.
//!
//! [`survey`] reads manifests, never pixels; [`page()`] draws them as one HTML file that loads nothing from
//! elsewhere. Only for stores on this machine's disks.

mod map;
mod markup;
mod page;
mod runs;
mod survey;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use surco_core::Fault;
use surco_raster::projection::CrsError;
use surco_store::StoreError;

pub use page::{Page, page};
pub use runs::{RunRecord, read_runs};
pub use survey::{CellRow, DatedHole, MonthCount, OffsetCount, Survey, TileRow, survey};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A coordinate system.
    #[error(transparent)]
    Crs(#[from] CrsError),
    /// A file could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A run record that is none.
    #[error("{} is no run record: {source}; delete it, nothing but the report needs it", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl ReportError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Crs(error) => error.fault(),
            Self::Io { .. } => Fault::Failed,
            Self::Record { .. } => Fault::Input,
        }
    }
}
