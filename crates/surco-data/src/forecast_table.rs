//! Forecasts as a table: a row for each place, date and value; CSV or Parquet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use surco_core::{Fault, write_whole};

/// Rows written at once.
const GROUP_ROWS: usize = 1 << 18;

const SCHEMA: &str = "message forecast { required binary place (UTF8); required int32 date (DATE); \
    required int32 gap_days; required binary value (UTF8); required float median; \
    required float low; required float high; }";

/// Why a table of forecasts could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastTableError {
    /// The kind of file is unknown.
    #[error(
        "cannot write forecasts to {path}: unknown ending `{extension}`; expected .csv or .parquet"
    )]
    Kind {
        /// The file.
        path: PathBuf,
        /// Its ending.
        extension: String,
    },
    /// The disk refused.
    #[error("cannot write forecasts to {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The table could not be put together.
    #[error("cannot write forecasts to {path}: {reason}")]
    Table {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        reason: String,
    },
}

impl ForecastTableError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Kind { .. } => Fault::Usage,
            Self::Io { .. } | Self::Table { .. } => Fault::Failed,
        }
    }
}

/// What one value of one place will be on one date.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ForecastRow {
    /// What the place is called.
    pub place: String,
    /// The date.
    pub date: jiff::civil::Date,
    /// Days since the place was last seen.
    pub gap_days: i32,
    /// Name of the band, or `ndvi`.
    pub value: String,
    /// As likely too high as too low.
    pub median: f32,
    /// Lower end of the interval.
    pub low: f32,
    /// Upper end of the interval.
    pub high: f32,
}

/// Writes forecasts, CSV or Parquet by the file's ending, whole or not at all.
///
/// # Errors
/// [`ForecastTableError`] naming the file: another ending, a disk that refuses.
pub fn write_forecasts(rows: &[ForecastRow], path: &Path) -> Result<(), ForecastTableError> {
    let extension =
        path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let refuse = |reason: String| ForecastTableError::Table { path: path.into(), reason };
    let bytes = match extension.as_str() {
        "csv" => as_csv(rows).map_err(|e| refuse(e.to_string()))?,
        "parquet" => as_parquet(rows).map_err(|e| refuse(e.to_string()))?,
        _ => return Err(ForecastTableError::Kind { path: path.into(), extension }),
    };
    write_whole(path, &bytes).map_err(|source| ForecastTableError::Io { path: path.into(), source })
}

fn as_csv(rows: &[ForecastRow]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row))?;
    writer.into_inner().map_err(|e| e.into_error().into())
}

fn as_parquet(rows: &[ForecastRow]) -> Result<Vec<u8>, ParquetError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3)?);
    // No version of ours in the file: the same rows give the same bytes.
    let properties = WriterProperties::builder().set_compression(zstd);
    let properties = Arc::new(properties.set_created_by("surco".into()).build());
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    for part in rows.chunks(GROUP_ROWS) {
        let mut group = writer.next_row_group()?;
        let text = |of: fn(&ForecastRow) -> &str| {
            part.iter().map(|row| ByteArray::from(of(row))).collect::<Vec<_>>()
        };
        let number = |of: fn(&ForecastRow) -> f32| part.iter().map(of).collect::<Vec<f32>>();
        let days = part.iter().map(|row| crate::cube::day_number(row.date)).collect::<Vec<_>>();
        let gaps: Vec<i32> = part.iter().map(|row| row.gap_days).collect();
        put::<ByteArrayType>(&mut group, &text(|row| &row.place))?;
        put::<Int32Type>(&mut group, &days)?;
        put::<Int32Type>(&mut group, &gaps)?;
        put::<ByteArrayType>(&mut group, &text(|row| &row.value))?;
        put::<FloatType>(&mut group, &number(|row| row.median))?;
        put::<FloatType>(&mut group, &number(|row| row.low))?;
        put::<FloatType>(&mut group, &number(|row| row.high))?;
        group.close()?;
    }
    writer.into_inner()
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("more columns than the schema has".into()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    fn rows() -> Vec<ForecastRow> {
        let row = |value: &str, median: f32| ForecastRow {
            place: "north, by the river".into(),
            date: jiff::civil::date(2026, 12, 24),
            gap_days: 30,
            value: value.into(),
            median,
            low: median - 0.25,
            high: median + 0.25,
        };
        vec![row("B04", 0.25), row("ndvi", 0.5)]
    }

    #[test]
    fn a_table_says_the_same_in_either_form() {
        let home = tempfile::tempdir().unwrap();
        let (csv, parquet) = (home.path().join("a.csv"), home.path().join("a.parquet"));
        write_forecasts(&rows(), &csv).unwrap();
        write_forecasts(&rows(), &parquet).unwrap();
        let text = std::fs::read_to_string(csv).unwrap();
        let want = "place,date,gap_days,value,median,low,high\n\
                    \"north, by the river\",2026-12-24,30,B04,0.25,0.0,0.5\n\
                    \"north, by the river\",2026-12-24,30,ndvi,0.5,0.25,0.75\n";
        assert_eq!(text, want);
        let reader = SerializedFileReader::new(std::fs::File::open(parquet).unwrap()).unwrap();
        let read: Vec<String> =
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(read.len(), 2);
        assert!(
            read[1].contains("value: \"ndvi\", median: 0.5, low: 0.25, high: 0.75"),
            "{read:?}"
        );
        assert!(read[1].contains("date: 2026-12-24"), "{read:?}");
    }

    #[test]
    fn another_ending_is_refused_by_name() {
        let error = write_forecasts(&rows(), Path::new("a.xlsx")).unwrap_err();
        assert_eq!(error.fault(), Fault::Usage);
        assert!(error.to_string().contains("`xlsx`") && error.to_string().contains(".parquet"));
    }
}
