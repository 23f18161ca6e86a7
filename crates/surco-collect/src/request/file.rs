//! Points and polygons from files, in degrees.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use serde_json::{Map, Value};
use surco_raster::vector::{Collection, Feature, VectorError, parse_wkb, read_csv, read_geojson};

/// Longitude and latitude on WGS 84.
const DEGREES: u32 = 4326;

/// The features of a file, moved to degrees; what a file is, its name ends with.
pub(super) fn read_degrees(path: &Path) -> Result<Collection, VectorError> {
    let ends = |ending: &str| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
    };
    let collection = if ends("csv") {
        read_csv(path, None)?
    } else if ends("parquet") || ends("geoparquet") {
        read_geoparquet(path)?
    } else {
        read_geojson(path)?
    };
    collection.into_epsg(DEGREES).map_err(|source| VectorError::Crs { path: path.into(), source })
}

/// That a feature is no point or no polygon.
pub(super) fn not_a(path: &Path, feature: usize, found: &str, expected: &str) -> VectorError {
    VectorError::Content {
        path: path.into(),
        place: format!("feature {}", feature + 1),
        what: "geometry".into(),
        found: found.into(),
        expected: expected.into(),
    }
}

/// Reads the shapes of a GeoParquet file; other columns are not read.
///
/// # Source
/// OGC, *GeoParquet 1.1*, encoding WKB.
fn read_geoparquet(path: &Path) -> Result<Collection, VectorError> {
    let format = |reason: String| VectorError::Format {
        path: path.into(),
        format: "GeoParquet with shapes as WKB",
        reason,
    };
    let io = |source| VectorError::Io { what: "read", path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let reader = SerializedFileReader::new(file).map_err(|e| format(e.to_string()))?;
    let meta = reader.metadata().file_metadata();
    let geo = meta.key_value_metadata().into_iter().flatten().find(|pair| pair.key == "geo");
    let geo = geo.and_then(|pair| pair.value.as_deref());
    let geo = geo.ok_or_else(|| format("it has no `geo` metadata".into()))?;
    let geo: Value = serde_json::from_str(geo).map_err(|e| format(format!("`geo`: {e}")))?;
    let name = geo["primary_column"].as_str().unwrap_or("geometry");
    let column = &geo["columns"][name];
    if column["encoding"] != "WKB" {
        return Err(format(format!("column {name} is encoded as {}", column["encoding"])));
    }
    let epsg = epsg_of(&column["crs"]).ok_or_else(|| {
        format(format!(
            "the coordinate system of column {name} is {}; transform it to EPSG:4326",
            column["crs"]["name"]
        ))
    })?;
    let schema = meta.schema_descr().root_schema();
    let own: Vec<Arc<Type>> =
        schema.get_fields().iter().filter(|field| field.name() == name).cloned().collect();
    if own.is_empty() {
        return Err(format(format!("it has no column {name}")));
    }
    let projected = Type::group_type_builder(schema.name())
        .with_fields(own)
        .build()
        .map_err(|e| format(e.to_string()))?;
    let rows = reader.get_row_iter(Some(projected)).map_err(|e| format(e.to_string()))?;
    let mut features = Vec::new();
    for (i, row) in rows.enumerate() {
        let row = row.map_err(|e| format(e.to_string()))?;
        let cell = row.get_column_iter().next().map(|(_, field)| field);
        let shape = match cell {
            Some(Field::Bytes(bytes)) => parse_wkb(bytes.data()),
            _ => Err("it has no bytes".into()),
        };
        let shape = shape.map_err(|reason| format(format!("row {}: {reason}", i + 1)))?;
        features.push(Feature { shape, properties: Map::new() });
    }
    Ok(Collection { epsg, features })
}

/// The code of a coordinate system in PROJJSON; without one, a file is in degrees.
fn epsg_of(crs: &Value) -> Option<u32> {
    if crs.is_null() {
        return Some(DEGREES);
    }
    let (authority, code) = (crs["id"]["authority"].as_str()?, &crs["id"]["code"]);
    match (authority, code.as_str()) {
        ("OGC", Some("CRS84")) => Some(DEGREES),
        ("EPSG", _) => code.as_u64().and_then(|code| u32::try_from(code).ok()),
        _ => None,
    }
}
