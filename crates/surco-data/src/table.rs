//! Tables of labelled series without images: `points.parquet`, `series.parquet` and `meta.json`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::Array3;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde::Deserialize;
use surco_core::Fault;

use crate::{Sample, SpectralBand};

/// Wavelengths that surface reflectance is measured at, in nm.
const OPTICAL_NM: std::ops::Range<f32> = 300.0..3000.0;

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A file could not be opened.
    #[error("cannot read table {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no Parquet.
    #[error("table {path} is no readable Parquet file: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: parquet::errors::ParquetError,
    },
    /// A column is missing or of the wrong type.
    #[error("table {path}, row {row}: column `{column}` is missing or no {expected}")]
    Column {
        /// The file.
        path: PathBuf,
        /// Row, counted from 1.
        row: usize,
        /// The column.
        column: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// `meta.json` does not say what columns mean.
    #[error(
        "description {path} beside the table is missing or wrong: {reason}; it says each column's wavelength in `columns`"
    )]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A series belongs to no point, or a point has none.
    #[error("table {path}: point {point} {problem}")]
    Point {
        /// The file.
        path: PathBuf,
        /// The point.
        point: i64,
        /// What is wrong.
        problem: &'static str,
    },
}

impl TableError {
    /// The kind of fault: always the input's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// A column of a table of series.
#[derive(Clone, Debug, PartialEq)]
pub struct TableBand {
    /// Name of the column.
    pub name: String,
    /// Its wavelength, if it is a reflectance.
    pub spectral: Option<SpectralBand>,
}

/// Labelled series on one time axis.
#[derive(Clone, Debug)]
pub struct SeriesTable {
    /// Name of the set.
    pub name: String,
    /// Columns.
    pub bands: Vec<TableBand>,
    /// Time axis in days since 1970-01-01; points of several years share the first one's.
    pub days: Vec<i32>,
    /// `[point, time, band]`, NaN = not observed.
    pub values: Array3<f32>,
    /// `point_id` of each point.
    pub ids: Vec<i64>,
    /// Class of each point (`class_name`); its number as text where the table has none.
    pub labels: Vec<String>,
    /// Number of each point, NaN where it has none; empty without a column `value`.
    pub numbers: Vec<f64>,
    /// What each point's `split` says; empty without such a column.
    pub splits: Vec<String>,
    /// First day of each point's own series.
    pub starts: Vec<i32>,
    /// Longitude and latitude of each point in degrees.
    pub places: Vec<[f64; 2]>,
    /// Spatial block of each point.
    pub blocks: Vec<String>,
    /// Licence, as `meta.json` tells it; empty if it does not.
    pub licence: String,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    licence: String,
    columns: BTreeMap<String, MetaColumn>,
}

#[derive(Deserialize)]
struct MetaColumn {
    centre_wavelength_nm: Option<f32>,
    bandwidth_nm: Option<f32>,
    gsd_m: Option<f32>,
}

impl SeriesTable {
    /// Places of the columns that are reflectances, and their wavelengths.
    #[must_use]
    pub fn spectral(&self) -> (Vec<usize>, Vec<SpectralBand>) {
        self.bands.iter().enumerate().filter_map(|(i, b)| Some((i, b.spectral?))).unzip()
    }

    /// First day and the day after the last of a year-long window that ends with the series.
    #[must_use]
    pub fn window(&self) -> (i32, i32) {
        let last = self.days.last().copied().unwrap_or(0) + 1;
        let first = self.days.first().copied().unwrap_or(0);
        (first.min(last - 365), last)
    }

    /// Number of each point's block, counted from 0 in the order of their names.
    #[must_use]
    pub fn block_numbers(&self) -> Vec<u64> {
        numbered(&self.blocks).into_iter().map(|n| n as u64).collect()
    }

    /// The series of one point over its reflectance columns.
    #[must_use]
    pub fn sample(&self, point: usize) -> Sample {
        let (columns, _) = self.spectral();
        let lonlat = self.places[point];
        let mut sample = Sample::series(Vec::new(), Vec::new(), lonlat[1] < 0.0);
        sample.site.lonlat = Some(lonlat);
        for (t, &day) in self.days.iter().enumerate() {
            let values: Vec<f32> = columns.iter().map(|&b| self.values[[point, t, b]]).collect();
            if values.iter().any(|v| v.is_finite()) {
                sample.days.push(day);
                sample.values.extend(values);
            }
        }
        sample
    }
}

/// Place of each name among the different ones, sorted.
#[must_use]
pub fn numbered(names: &[String]) -> Vec<usize> {
    let mut all: Vec<&String> = names.iter().collect();
    all.sort_unstable();
    all.dedup();
    names.iter().map(|name| all.partition_point(|n| *n < name)).collect()
}

/// Reads a table of labelled series; `meta.json` is looked for beside the points.
///
/// # Errors
/// [`TableError`] naming the file, the row and the column.
pub fn read_table(points: &Path, series: &Path) -> Result<SeriesTable, TableError> {
    let meta = read_meta(&points.with_file_name("meta.json"))?;
    let mut index = HashMap::new();
    let (mut ids, mut labels) = (Vec::new(), Vec::new());
    let (mut places, mut blocks) = (Vec::new(), Vec::new());
    let (mut numbers, mut splits) = (Vec::new(), Vec::new());
    each_row(points, |at| {
        let id = at.whole("point_id")?;
        if index.insert(id, labels.len()).is_some() {
            let problem = "is there twice";
            return Err(TableError::Point { path: points.into(), point: id, problem });
        }
        ids.push(id);
        let has = |column| at.field(column).is_some();
        labels.push(match (has("class_name"), has("value")) {
            (false, true) => at.number("value")?.to_string(),
            _ => at.text("class_name")?,
        });
        // A table of classes may have columns of these names that hold something else.
        numbers.extend(has("value").then(|| at.number("value").unwrap_or(f64::NAN)));
        splits.extend(has("split").then(|| at.text("split").unwrap_or_default()));
        places.push([at.number("lon")?, at.number("lat")?]);
        blocks.push(at.text("block").unwrap_or_default());
        Ok(())
    })?;
    let names: Vec<String> = meta.columns.keys().cloned().collect();
    let mut rows: Vec<Vec<(i32, Vec<f32>)>> = vec![Vec::new(); labels.len()];
    each_row(series, |at| {
        let id = at.whole("point_id")?;
        let &point = index.get(&id).ok_or(TableError::Point {
            path: series.into(),
            point: id,
            problem: "has a series but is not among the points",
        })?;
        let values: Result<Vec<f32>, _> =
            names.iter().map(|n| at.number(n).map(|v| v as f32)).collect();
        rows[point].push((at.day("date")?, values?));
        Ok(())
    })?;
    rows.iter_mut().for_each(|r| r.sort_by_key(|s| s.0));
    if let Some(point) = rows.iter().position(Vec::is_empty) {
        let id = index.iter().find(|(_, p)| **p == point).map_or(-1, |(id, _)| *id);
        return Err(TableError::Point { path: series.into(), point: id, problem: "has no series" });
    }
    let days = time_axis(&rows);
    let starts = rows.iter().map(|series| series[0].0).collect();
    let mut values = Array3::from_elem((labels.len(), days.len(), names.len()), f32::NAN);
    let same_count = rows.iter().all(|r| r.len() == days.len());
    for (point, series) in rows.iter().enumerate() {
        for (i, (day, row)) in series.iter().enumerate() {
            let t = if same_count { i } else { days.partition_point(|d| d < day) };
            for (b, &v) in row.iter().enumerate() {
                values[[point, t, b]] = v;
            }
        }
    }
    let bands = meta.columns.iter().map(|(name, c)| TableBand {
        name: name.clone(),
        spectral: c.centre_wavelength_nm.filter(|nm| OPTICAL_NM.contains(nm)).map(|centre_nm| {
            SpectralBand {
                gsd_m: c.gsd_m.unwrap_or(10.0),
                ..SpectralBand::optical(centre_nm, c.bandwidth_nm.unwrap_or(30.0))
            }
        }),
    });
    Ok(SeriesTable {
        name: meta.name,
        ids,
        bands: bands.collect(),
        days,
        values,
        labels,
        numbers,
        splits,
        starts,
        places,
        blocks,
        licence: meta.licence,
    })
}

/// The days all series share by number, or the union of their days.
fn time_axis(rows: &[Vec<(i32, Vec<f32>)>]) -> Vec<i32> {
    let first: Vec<i32> = rows.first().map(|r| r.iter().map(|s| s.0).collect()).unwrap_or_default();
    if rows.iter().all(|r| r.len() == first.len()) {
        return first;
    }
    let mut all: Vec<i32> = rows.iter().flatten().map(|s| s.0).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn read_meta(path: &Path) -> Result<Meta, TableError> {
    let refuse = |reason: String| TableError::Meta { path: path.into(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))
}

/// One row of one file, which knows where it stands.
struct At<'a> {
    path: &'a Path,
    number: usize,
    row: Row,
}

impl At<'_> {
    fn field(&self, column: &str) -> Option<&Field> {
        self.row.get_column_iter().find(|(name, _)| name.as_str() == column).map(|(_, f)| f)
    }

    fn refuse(&self, column: &str, expected: &'static str) -> TableError {
        let (path, row) = (self.path.into(), self.number);
        TableError::Column { path, row, column: column.into(), expected }
    }

    fn whole(&self, column: &str) -> Result<i64, TableError> {
        match self.field(column) {
            Some(Field::Long(v)) => Ok(*v),
            Some(Field::Int(v)) => Ok(i64::from(*v)),
            _ => Err(self.refuse(column, "whole number")),
        }
    }

    /// A number; an empty field is NaN.
    fn number(&self, column: &str) -> Result<f64, TableError> {
        match self.field(column) {
            Some(Field::Double(v)) => Ok(*v),
            Some(Field::Float(v)) => Ok(f64::from(*v)),
            Some(Field::Int(v)) => Ok(f64::from(*v)),
            Some(Field::Null) => Ok(f64::NAN),
            _ => Err(self.refuse(column, "number")),
        }
    }

    fn text(&self, column: &str) -> Result<String, TableError> {
        match self.field(column) {
            Some(Field::Str(v)) => Ok(v.clone()),
            _ => Err(self.refuse(column, "text")),
        }
    }

    fn day(&self, column: &str) -> Result<i32, TableError> {
        match self.field(column) {
            Some(Field::Date(v)) => Ok(*v),
            _ => Err(self.refuse(column, "date")),
        }
    }
}

fn each_row(
    path: &Path,
    mut take: impl FnMut(&At<'_>) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let file = File::open(path).map_err(|source| TableError::Io { path: path.into(), source })?;
    let refuse = |source| TableError::Parquet { path: path.into(), source };
    let reader = SerializedFileReader::new(file).map_err(refuse)?;
    for (i, row) in reader.get_row_iter(None).map_err(refuse)?.enumerate() {
        take(&At { path, number: i + 1, row: row.map_err(refuse)? })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    enum Column {
        Long(Vec<i64>),
        Number(Vec<f64>),
        Date(Vec<i32>),
        Text(Vec<&'static str>),
    }

    fn write(path: &Path, schema: &str, columns: Vec<Column>) {
        let schema = parse_message_type(schema).unwrap().into();
        let file = File::create(path).unwrap();
        let mut writer =
            SerializedFileWriter::new(file, schema, std::sync::Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for column in columns {
            let mut to = group.next_column().unwrap().unwrap();
            match column {
                Column::Long(v) => to.typed::<Int64Type>().write_batch(&v, None, None).unwrap(),
                Column::Number(v) => to.typed::<DoubleType>().write_batch(&v, None, None).unwrap(),
                Column::Date(v) => to.typed::<Int32Type>().write_batch(&v, None, None).unwrap(),
                Column::Text(v) => {
                    let v: Vec<ByteArray> = v.into_iter().map(Into::into).collect();
                    to.typed::<ByteArrayType>().write_batch(&v, None, None).unwrap()
                }
            };
            to.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
    }

    const POINTS: &str =
        "message p { required int64 point_id; required double lon; required double lat;
        required binary class_name (UTF8); required binary block (UTF8); }";
    const SERIES: &str =
        "message s { required int64 point_id; required int32 date (DATE); required double B04; }";

    fn set(name: &str, series_ids: Vec<i64>) -> (PathBuf, PathBuf, PathBuf) {
        let folder =
            std::env::temp_dir().join(format!("surco-table-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (points, series) = (folder.join("points.parquet"), folder.join("series.parquet"));
        let columns = vec![
            Column::Long(vec![10, 20]),
            Column::Number(vec![-71.0, -71.1]),
            Column::Number(vec![-34.0, -34.1]),
            Column::Text(vec!["maize", "vineyard"]),
            Column::Text(vec!["a", "b"]),
        ];
        write(&points, POINTS, columns);
        let columns = vec![
            Column::Long(series_ids),
            Column::Date(vec![19_016, 19_000, 19_000, 19_032]),
            Column::Number(vec![0.2, 0.1, 0.3, f64::NAN]),
        ];
        write(&series, SERIES, columns);
        let meta = r#"{"name":"two points","columns":{"B04":{"centre_wavelength_nm":664.6,"bandwidth_nm":31}}}"#;
        std::fs::write(folder.join("meta.json"), meta).unwrap();
        (folder, points, series)
    }

    #[test]
    fn series_are_sorted_by_date_and_gaps_leave_no_observation() {
        let (folder, points, series) = set("read", vec![10, 10, 20, 20]);
        let table = read_table(&points, &series).unwrap();
        assert_eq!(table.labels, ["maize", "vineyard"]);
        assert_eq!(table.values[[0, 0, 0]], 0.1);
        assert_eq!(table.sample(0).values, [0.1, 0.2]);
        assert_eq!((table.sample(1).len(), table.sample(1).south), (1, true));
        assert_eq!(table.spectral().1[0].centre_nm, 664.6);
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// A set of classes may hold a column `value` of text and splits of its own: they are not ours to refuse.
    #[test]
    fn numbers_and_splits_stand_beside_classes() {
        let (folder, points, series) = set("numbers", vec![10, 10, 20, 20]);
        let schema = |extra: &str| format!("{} {extra} }}", POINTS.trim_end_matches(" }"));
        let columns = |extra: Vec<Column>| {
            let own = vec![
                Column::Long(vec![10, 20]),
                Column::Number(vec![-71.0, -71.1]),
                Column::Number(vec![-34.0, -34.1]),
                Column::Text(vec!["maize", "vineyard"]),
                Column::Text(vec!["b", "a"]),
            ];
            own.into_iter().chain(extra).collect::<Vec<Column>>()
        };
        let extra = "required binary value (UTF8); required binary split (UTF8);";
        let texts = vec![Column::Text(vec!["high", "low"]), Column::Text(vec!["fold 1", "fold 2"])];
        write(&points, &schema(extra), columns(texts));
        let table = read_table(&points, &series).unwrap();
        assert_eq!(table.labels, ["maize", "vineyard"]);
        assert!(table.numbers.iter().all(|v| v.is_nan()) && table.splits == ["fold 1", "fold 2"]);
        assert_eq!(table.block_numbers(), [1, 0]);
        write(
            &points,
            &schema("required double value;"),
            columns(vec![Column::Number(vec![7.5, 2.0])]),
        );
        let table = read_table(&points, &series).unwrap();
        assert_eq!((table.labels[0].as_str(), &table.numbers[..]), ("maize", &[7.5, 2.0][..]));
        assert!(table.splits.is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn strangers_missing_columns_and_missing_descriptions_are_named() {
        let (folder, points, series) = set("refused", vec![10, 10, 20, 30]);
        let error = |a: &Path, b: &Path| read_table(a, b).unwrap_err().to_string();
        assert!(error(&points, &series).contains("point 30"), "{}", error(&points, &series));
        assert!(error(&series, &points).contains("class_name"), "the files were swapped");
        std::fs::write(folder.join("cut.parquet"), b"PAR1PAR1").unwrap();
        assert!(error(&points, &folder.join("cut.parquet")).contains("cut.parquet"));
        std::fs::remove_file(folder.join("meta.json")).unwrap();
        assert!(error(&points, &series).contains("meta.json"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
