//! What can go wrong with points and polygons.

use std::io;
use std::path::{Path, PathBuf};

use surco_core::Fault;

use crate::projection::CrsError;

/// Why points or polygons could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// The operating system refused.
    #[error("cannot {what}: {source}: {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not of its format.
    #[error("{}: not {format}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it should have.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Something in the file is not as expected.
    #[error("{}: {place}: {what} is {found}, expected {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Feature or line.
        place: String,
        /// What is wrong there.
        what: String,
        /// Its value.
        found: String,
        /// What it should be, and what to do.
        expected: String,
    },
    /// The coordinate system cannot be used.
    #[error("{}: {source}", path.display())]
    Crs {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: CrsError,
    },
}

impl VectorError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Fault::Input,
            Self::Io { .. } => Fault::Failed,
            Self::Format { .. } | Self::Content { .. } => Fault::Input,
            Self::Crs { source, .. } => source.fault(),
        }
    }
}

/// Where in a file something is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'p> {
    pub(crate) path: &'p Path,
    /// `feature 3`, `line 12`.
    pub(crate) what: &'p str,
}

impl Place<'_> {
    pub(crate) fn wrong(
        self,
        what: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> VectorError {
        // A long value would bury the message.
        let mut found: String = found.to_string();
        if let Some((cut, _)) = found.char_indices().nth(80) {
            found.truncate(cut);
            found.push('…');
        }
        VectorError::Content {
            path: self.path.into(),
            place: self.what.into(),
            what: what.into(),
            found,
            expected: expected.into(),
        }
    }
}

/// Checks that two numbers are a place of the system.
pub(crate) fn check_point(
    place: Place<'_>,
    [x, y]: [f64; 2],
    is_geographic: bool,
) -> Result<[f64; 2], VectorError> {
    if !(x.is_finite() && y.is_finite()) {
        return Err(place.wrong("point", format!("{x}, {y}"), "two finite numbers"));
    }
    if is_geographic && !((-180.0..=180.0).contains(&x) && (-90.0..=90.0).contains(&y)) {
        let expected = "longitude from -180 to 180, then latitude from -90 to 90, in degrees; \
                        metres need their coordinate system stated";
        return Err(place.wrong("point", format!("{x}, {y}"), expected));
    }
    Ok([x, y])
}
