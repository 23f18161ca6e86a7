//! Why the store could not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use surco_core::{CellId, Fault};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full.
    #[error(
        "the disk is full: nothing half-written is kept; free space and run the same command again \
         ({path})"
    )]
    Full {
        /// Object that did not fit.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {verb} {path}: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The service behind a URL refused or could not be reached.
    #[error("cannot {verb} {path}: {reason}")]
    Remote {
        /// What was tried.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// Its answer, without credentials.
        reason: String,
    },
    /// A URL that names no place for a store.
    #[error("cannot use {url}: {reason}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Others wrote the same object at the same time, again and again.
    #[error("{path} is written by others at the same time; run the same command again")]
    Contended {
        /// The object.
        path: PathBuf,
    },
    /// There is no store at this place.
    #[error("no Surco store at {path}: `surco collect --store {path}` makes one")]
    NoStore {
        /// Where one was expected.
        path: PathBuf,
    },
    /// A folder with something else in it.
    #[error(
        "{path} holds files but no Surco store: give an empty or new folder, so that nothing is mixed"
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The store speaks another version.
    #[error(
        "store {path} has version {found}, this program reads version {expected}: use the release that \
         wrote it, or collect into a new folder"
    )]
    Version {
        /// The store.
        path: PathBuf,
        /// What its root says.
        found: String,
        /// What this program speaks.
        expected: u64,
    },
    /// Metadata that cannot be read.
    #[error(
        "{path} is damaged: {reason}; restore it, or delete the cell's folder and collect it again"
    )]
    Metadata {
        /// The object.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A shard whose bytes are not what was written.
    #[error(
        "cell {cell}, shard {shard}: {object} is damaged ({reason}); delete {manifest} and collect again"
    )]
    Damaged {
        /// The cell.
        cell: CellId,
        /// The shard.
        shard: usize,
        /// Array whose object is damaged.
        object: String,
        /// What is wrong.
        reason: String,
        /// The manifest that calls it done.
        manifest: PathBuf,
    },
    /// The store has no such cell.
    #[error("store {path} has no cell {cell}")]
    NoCell {
        /// The store.
        path: PathBuf,
        /// The cell asked for.
        cell: CellId,
    },
    /// The same cell was planned with another grid or other bands.
    #[error(
        "cell {cell} is in the store with {what} {stored}, the plan has {planned}: collect into another \
         store, or with the same {what}"
    )]
    Mismatch {
        /// The cell.
        cell: CellId,
        /// What differs.
        what: &'static str,
        /// What the store has.
        stored: String,
        /// What was planned.
        planned: String,
    },
    /// Some dates are not collected yet.
    #[error(
        "cell {cell} is unfinished: {missing} of {dates} dates are not collected yet; run the same \
         `surco collect` again"
    )]
    Unfinished {
        /// The cell.
        cell: CellId,
        /// Dates not done.
        missing: usize,
        /// Dates planned.
        dates: usize,
    },
    /// Pixels of another shape than the shard's.
    #[error("cell {cell}, shard {shard}: {what}, expected {expected}, found {found}")]
    Shape {
        /// The cell.
        cell: CellId,
        /// The shard.
        shard: usize,
        /// What has the wrong shape.
        what: &'static str,
        /// Shape expected.
        expected: String,
        /// Shape found.
        found: String,
    },
    /// A window or date outside the cell.
    #[error("cell {cell} has {has}, asked for {asked}")]
    Outside {
        /// The cell.
        cell: CellId,
        /// Its extent.
        has: String,
        /// What was asked for.
        asked: String,
    },
    /// The user asked to stop.
    #[error("stopped")]
    Stopped,
}

impl StoreError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Full { .. }
            | Self::Io { .. }
            | Self::Shape { .. }
            | Self::Contended { .. }
            | Self::Stopped => Fault::Failed,
            Self::Remote { .. } => Fault::Network,
            Self::Url { .. }
            | Self::Occupied { .. }
            | Self::Mismatch { .. }
            | Self::Outside { .. } => Fault::Usage,
            Self::NoStore { .. }
            | Self::Version { .. }
            | Self::Metadata { .. }
            | Self::Damaged { .. }
            | Self::NoCell { .. }
            | Self::Unfinished { .. } => Fault::Input,
        }
    }

    pub(crate) fn io(verb: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::Full { path: path.into() };
        }
        Self::Io { verb, path: path.into(), source }
    }
}
