//! GeoParquet, and plain Parquet with columns of coordinates.

use std::fs::File;
use std::path::Path;

use jiff::{Timestamp, ToSpan as _, civil::date};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use super::csv_points::find_columns;
use super::error::{Place, VectorError, check_point};
use super::{Collection, Feature, Shape, parse_wkb};
use crate::projection::Projection;

/// Bytes that the columns may unpack to together, 2 GiB.
const MOST_BYTES: i64 = 2 << 30;

/// Reads the points and polygons of a GeoParquet file with their properties, or the points of a Parquet file with
/// columns of coordinates named as [`super::read_csv`] names them, in the system `epsg`.
///
/// # Errors
/// [`VectorError`] if the file cannot be read, has neither, its shapes are not well-known binary of points or polygons,
/// or its coordinate system is refused.
///
/// # Source
/// OGC, *GeoParquet 1.1*, encoding WKB.
pub(super) fn read_geoparquet(path: &Path, epsg: Option<u32>) -> Result<Collection, VectorError> {
    let format = |reason: String| failed(path, reason);
    let io = |source| VectorError::Io { what: "read", path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let reader = SerializedFileReader::new(file).map_err(|e| format(e.to_string()))?;
    let meta = reader.metadata();
    let bytes: i64 = meta.row_groups().iter().map(|group| group.total_byte_size().max(0)).sum();
    if bytes > MOST_BYTES {
        let place = Place { path, what: "the file" };
        return Err(place.wrong("unpacked size", format!("{bytes} bytes"), "2 GiB at most"));
    }
    let meta = meta.file_metadata();
    let geo = meta.key_value_metadata().into_iter().flatten().find(|pair| pair.key == "geo");
    let layout = match geo.and_then(|pair| pair.value.as_deref()) {
        Some(geo) => {
            let geo = serde_json::from_str(geo).map_err(|e| format(format!("`geo`: {e}")))?;
            Layout::of_shapes(&geo).map_err(format)?
        }
        None => {
            let fields = meta.schema_descr().root_schema().get_fields();
            let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
            let head = Place { path, what: "without `geo` metadata" };
            let (x, y, epsg) = find_columns(head, &names, epsg)?;
            Layout { epsg, kind: Kind::Points(names[x].clone(), names[y].clone()) }
        }
    };
    let geographic = Projection::from_epsg(layout.epsg)
        .map_err(|source| VectorError::Crs { path: path.into(), source })?
        .is_geographic();
    let mut features = Vec::new();
    for (i, row) in reader.get_row_iter(None).map_err(|e| format(e.to_string()))?.enumerate() {
        let row = row.map_err(|e| format(e.to_string()))?;
        let what = format!("row {}", i + 1);
        let feature = layout.feature(&row).map_err(|reason| format(format!("{what}: {reason}")))?;
        for point in feature.shape.points() {
            check_point(Place { path, what: &what }, *point, geographic)?;
        }
        features.push(feature);
    }
    Ok(Collection { epsg: layout.epsg, features })
}

fn failed(path: &Path, reason: String) -> VectorError {
    VectorError::Format { path: path.into(), format: "GeoParquet with shapes as WKB", reason }
}

/// Where shapes are, and in which system.
struct Layout {
    epsg: u32,
    kind: Kind,
}

enum Kind {
    /// A column of well-known binary.
    Shapes(String),
    /// Columns of x and y.
    Points(String, String),
}

impl Layout {
    fn of_shapes(geo: &Value) -> Result<Self, String> {
        let name = geo["primary_column"].as_str().unwrap_or("geometry");
        let column = &geo["columns"][name];
        if column["encoding"] != "WKB" {
            return Err(format!("column {name} is encoded as {}", column["encoding"]));
        }
        let epsg = epsg_of(column.get("crs")).ok_or_else(|| {
            format!(
                "the coordinate system of column {name} is {}; transform it to EPSG:4326",
                column["crs"]["name"]
            )
        })?;
        Ok(Self { epsg, kind: Kind::Shapes(name.into()) })
    }

    /// The feature of a row; what is wrong, in words, if it has none.
    fn feature(&self, row: &Row) -> Result<Feature, String> {
        let cell = |name: &str| {
            row.get_column_iter().find(|(own, _)| *own == name).map(|(_, field)| field)
        };
        let own: [&str; 2] = match &self.kind {
            Kind::Shapes(name) => [name, "bbox"],
            Kind::Points(x, y) => [x, y],
        };
        let shape = match &self.kind {
            Kind::Shapes(name) => match cell(name) {
                None => return Err(format!("it has no column {name}")),
                Some(Field::Null) => Shape::Points(Vec::new()),
                Some(Field::Bytes(bytes)) => parse_wkb(bytes.data())?,
                Some(_) => return Err("it has no bytes".into()),
            },
            Kind::Points(x, y) => {
                let number = |name: &str| match cell(name) {
                    Some(Field::Double(value)) => Ok(*value),
                    Some(Field::Float(value)) => Ok(f64::from(*value)),
                    _ => Err(format!("column {name} is no number")),
                };
                Shape::Point([number(x)?, number(y)?])
            }
        };
        let others = row.get_column_iter().filter(|(name, _)| !own.contains(&name.as_str()));
        let properties: Map<String, Value> =
            others.map(|(name, field)| (name.clone(), value(field))).collect();
        Ok(Feature { shape, properties })
    }
}

/// The code of a coordinate system in PROJJSON; without one a file is in degrees, with null it is in none.
fn epsg_of(crs: Option<&Value>) -> Option<u32> {
    let Some(crs) = crs else { return Some(4326) };
    let (authority, code) = (crs["id"]["authority"].as_str()?, &crs["id"]["code"]);
    match (authority, code.as_str()) {
        ("OGC", Some("CRS84")) => Some(4326),
        ("EPSG", _) => code.as_u64().and_then(|code| u32::try_from(code).ok()),
        _ => None,
    }
}

/// A cell as a property; dates as text, nothing for lists and groups.
fn value(field: &Field) -> Value {
    let moment =
        |at: Result<Timestamp, jiff::Error>| at.map_or(Value::Null, |at| at.to_string().into());
    match field {
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => f64::from(*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.as_str().into(),
        Field::Date(days) => {
            let day = date(1970, 1, 1).checked_add(days.days());
            day.map_or(Value::Null, |day| day.to_string().into())
        }
        Field::TimestampMillis(at) => moment(Timestamp::from_millisecond(*at)),
        Field::TimestampMicros(at) => moment(Timestamp::from_microsecond(*at)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
