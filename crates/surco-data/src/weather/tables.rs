//! The table of series as files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::civil::date;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value, json};
use surco_core::{Sensor, write_whole};

use super::{Gathered, Place, WeatherError};

/// Rows written at once.
const GROUP_ROWS: usize = 1 << 18;

const POINTS: &str = "message points { required int64 point_id; required double lon; \
    required double lat; required binary class_name (UTF8); required binary block (UTF8); }";

/// Writes the table: points and series first, what they mean last.
pub(super) fn write(
    folder: &Path,
    sensor: &Sensor,
    gathered: &Gathered<'_>,
) -> Result<(), WeatherError> {
    fs::create_dir_all(folder).map_err(WeatherError::write(folder))?;
    let meta = folder.join("meta.json");
    if meta.exists() {
        fs::remove_file(&meta).map_err(WeatherError::write(&meta))?;
    }
    for (name, bytes) in
        [("points.parquet", points(gathered)), ("series.parquet", series(gathered))]
    {
        let path = folder.join(name);
        let failed =
            |e: ParquetError| WeatherError::Write { path: path.clone(), reason: e.to_string() };
        write_whole(&path, &bytes.map_err(failed)?).map_err(WeatherError::write(&path))?;
    }
    let mut text = format!("{:#}", description(sensor, gathered)).into_bytes();
    text.push(b'\n');
    write_whole(&meta, &text).map_err(WeatherError::write(&meta))
}

fn description(sensor: &Sensor, gathered: &Gathered<'_>) -> Value {
    let column = |&v: &usize| {
        let variable = &gathered.table.variables[v];
        let about = json!({
            "long_name": variable.long_name,
            "units": variable.units,
            "range": [variable.low, variable.high],
        });
        (variable.name.clone(), about)
    };
    let columns: Map<String, Value> = gathered.variables.iter().map(column).collect();
    json!({
        "schema": 1,
        "name": sensor.title,
        "sensor": sensor.id,
        "document": sensor.document,
        "columns": columns,
    })
}

fn properties() -> Result<Arc<WriterProperties>, ParquetError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3)?);
    // No version of ours in the file: the same rows give the same bytes.
    let properties = WriterProperties::builder().set_compression(zstd);
    Ok(Arc::new(properties.set_created_by("surco".into()).build()))
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    there: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("more columns than the schema has".into()))?;
    column.typed::<T>().write_batch(values, there, None)?;
    column.close()
}

fn points(gathered: &Gathered<'_>) -> Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(POINTS)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties()?)?;
    let places: Vec<&Place> = gathered.places.keys().collect();
    let mut group = writer.next_row_group()?;
    let ids: Vec<i64> = (0..places.len() as i64).collect();
    put::<Int64Type>(&mut group, &ids, None)?;
    let degrees = |pick: fn(&Place) -> f64| places.iter().map(|p| pick(p)).collect::<Vec<f64>>();
    put::<DoubleType>(&mut group, &degrees(|p| p.lon), None)?;
    put::<DoubleType>(&mut group, &degrees(|p| 0.0 - p.minus_lat), None)?;
    let texts = |text: &dyn Fn(&Place) -> String| {
        places.iter().map(|p| ByteArray::from(text(p).into_bytes())).collect::<Vec<_>>()
    };
    // Weather has no class, and a tenth of a degree is one block.
    put::<ByteArrayType>(&mut group, &texts(&|_| String::new()), None)?;
    let block =
        |p: &Place| format!("{:.0}_{:.0}", (p.lon * 10.0).floor(), (-p.minus_lat * 10.0).floor());
    put::<ByteArrayType>(&mut group, &texts(&block), None)?;
    group.close()?;
    writer.into_inner()
}

fn series(gathered: &Gathered<'_>) -> Result<Vec<u8>, ParquetError> {
    let names = gathered.variables.iter().map(|&v| &gathered.table.variables[v].name);
    let columns: String = names.map(|name| format!("optional double {name}; ")).collect();
    let schema = format!(
        "message series {{ required int64 point_id; required int32 date (DATE); {columns}}}"
    );
    let schema = Arc::new(parse_message_type(&schema)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties()?)?;
    let rows: Vec<(i64, i32, &Vec<f64>)> = gathered
        .places
        .values()
        .zip(0_i64..)
        .flat_map(|(days, id)| days.iter().map(move |(day, values)| (id, *day, values)))
        .map(|(id, day, values)| (id, days_since_1970(day), values))
        .collect();
    for part in rows.chunks(GROUP_ROWS) {
        let mut group = writer.next_row_group()?;
        put::<Int64Type>(&mut group, &part.iter().map(|r| r.0).collect::<Vec<_>>(), None)?;
        put::<Int32Type>(&mut group, &part.iter().map(|r| r.1).collect::<Vec<_>>(), None)?;
        for &v in &gathered.variables {
            let there: Vec<i16> = part.iter().map(|r| i16::from(!r.2[v].is_nan())).collect();
            let values: Vec<f64> = part.iter().map(|r| r.2[v]).filter(|v| !v.is_nan()).collect();
            put::<DoubleType>(&mut group, &values, Some(&there))?;
        }
        group.close()?;
    }
    writer.into_inner()
}

fn days_since_1970(day: jiff::civil::Date) -> i32 {
    let since = day.since((jiff::Unit::Day, date(1970, 1, 1)));
    since.map_or(0, |span| span.get_days())
}
