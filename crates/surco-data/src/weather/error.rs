//! Why weather could not be collected.

use std::io;
use std::path::PathBuf;

use surco_core::Fault;

/// Why weather could not be collected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeatherError {
    /// The sensor gives images.
    #[error("sensor {id} gives images, no table: expected one with [table], for example agera5")]
    Sensor {
        /// Its id.
        id: String,
    },
    /// A file could not be read.
    #[error("cannot read weather {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file lacks a column.
    #[error("weather {path} has no column {what}: found {found}")]
    Column {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// The columns that are there.
        found: String,
    },
    /// Two columns hold the same thing.
    #[error("weather {path}: columns `{first}` and `{second}` both hold {what}; remove one")]
    TwoColumns {
        /// The file.
        path: PathBuf,
        /// One column.
        first: String,
        /// The other.
        second: String,
        /// What they hold.
        what: String,
    },
    /// A field is not what its column holds.
    #[error("weather {path}, row {row}: `{value}` in column `{column}` is no {expected}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The row, counted from 1 behind the names of the columns.
        row: u64,
        /// The column.
        column: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// A value that is not believed.
    #[error(
        "weather {path}, row {row}: {variable} is {value}, expected {low} to {high} {units}; correct the \
         value or its unit, or leave the field empty"
    )]
    Range {
        /// The file.
        path: PathBuf,
        /// The row, counted from 1 behind the names of the columns.
        row: u64,
        /// The variable.
        variable: String,
        /// Its value.
        value: f64,
        /// The lowest that is believed.
        low: f64,
        /// The highest that is believed.
        high: f64,
        /// The unit of all of them.
        units: String,
    },
    /// A place and day with two values.
    #[error(
        "weather {path}, row {row}: {variable} is {second}, but an earlier row of this place and day has \
         {first}"
    )]
    Twice {
        /// The file of the second row.
        path: PathBuf,
        /// The second row, counted from 1 behind the names of the columns.
        row: u64,
        /// The variable.
        variable: String,
        /// The value of the first row.
        first: f64,
        /// The value of the second.
        second: f64,
    },
    /// No row is left.
    #[error(
        "no weather to collect: {rows} rows, {left_out} of them outside the area or the dates; widen what \
         is asked for"
    )]
    Nothing {
        /// Rows read.
        rows: u64,
        /// Rows left out.
        left_out: u64,
    },
    /// The table could not be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl WeatherError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Sensor { .. } => Fault::Usage,
            Self::Write { .. } => Fault::Failed,
            Self::Read { .. }
            | Self::Column { .. }
            | Self::TwoColumns { .. }
            | Self::Field { .. }
            | Self::Range { .. }
            | Self::Twice { .. }
            | Self::Nothing { .. } => Fault::Input,
        }
    }

    pub(super) fn write(path: &std::path::Path) -> impl Fn(io::Error) -> Self {
        move |e| Self::Write { path: path.into(), reason: e.to_string() }
    }
}
