//! Byte ranges of files, on disk or behind HTTP: the one seam between collecting and the world.

mod host;
mod http;
mod hub;
mod token;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::http::HttpFile;
pub(crate) use self::hub::Hub;

use crate::href::Href;

/// Bytes of a range, cut at the end of the file.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    /// Length of the whole file.
    pub(crate) total: u64,
}

/// Why bytes did not come.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Asking again will not help: there is no such file, or it may not be read.
    #[error("{0}")]
    Gone(String),
    /// The network or the service failed, often enough.
    #[error("{reason}")]
    Down {
        /// How often it was tried.
        attempts: u32,
        /// The last answer.
        reason: String,
    },
    /// The file is another one than at the first read.
    #[error("changed")]
    Changed,
}

/// A file that can be read by ranges.
#[derive(Clone, Debug)]
pub(crate) enum RangeReader {
    File { path: Arc<PathBuf>, hub: Arc<Hub> },
    Http(Arc<HttpFile>),
}

impl RangeReader {
    pub(crate) fn new(href: &Href, hub: &Arc<Hub>) -> Self {
        match href {
            Href::File(path) => Self::File { path: Arc::new(path.clone()), hub: hub.clone() },
            Href::Http(place) => Self::Http(Arc::new(HttpFile::new(place.clone(), hub.clone()))),
        }
    }

    /// Whether reading again can give other bytes.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// Reads a range; less than asked for only where the file ends.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Fetched, FetchError> {
        match self {
            Self::Http(file) => file.read(range).await,
            Self::File { path, hub } => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path, range)).await;
                let fetched = read.map_err(|e| FetchError::Gone(e.to_string()))??;
                hub.count(fetched.bytes.len());
                Ok(fetched)
            }
        }
    }
}

fn read_file(path: &Path, range: Range<u64>) -> Result<Fetched, FetchError> {
    let read = || {
        let mut file = File::open(path)?;
        let total = file.metadata()?.len();
        file.seek(SeekFrom::Start(range.start.min(total)))?;
        let mut bytes = Vec::new();
        file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
        Ok(Fetched { bytes, total })
    };
    read().map_err(|e: std::io::Error| {
        FetchError::Gone(match e.kind() {
            ErrorKind::NotFound => "no such file".into(),
            _ => e.to_string(),
        })
    })
}
