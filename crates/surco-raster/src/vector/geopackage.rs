//! GeoPackages.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde_json::{Map, Value};

use super::error::{Place, VectorError, check_point};
use super::{Collection, Feature, Shape, parse_wkb};
use crate::projection::{CrsError, Projection, epsg_of_wkt};

/// Reads the points and polygons of a GeoPackage with one layer.
///
/// The file is opened read-only, and nothing that its own schema might do is trusted: layers are tables, no views.
///
/// # Errors
/// [`VectorError`] if the file cannot be read, has no layer or several, no coordinate system, or one that is refused, or
/// shapes other than points and polygons.
///
/// # Source
/// OGC 12-128r18, *GeoPackage encoding standard 1.3*, sections 1.1, 2.1.
pub(super) fn read_geopackage(path: &Path) -> Result<Collection, VectorError> {
    let io = |source| VectorError::Io { what: "read", path: path.into(), source };
    std::fs::File::open(path).map_err(io)?;
    let sql = |e: rusqlite::Error| format(path, e.to_string());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(sql)?;
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    ] {
        db.set_db_config(option, on).map_err(sql)?;
    }
    let layer = Layer::only(&db, path)?;
    let epsg = layer.epsg(&db, path)?;
    let geographic = Projection::from_epsg(epsg)
        .map_err(|source| VectorError::Crs { path: path.into(), source })?
        .is_geographic();
    let names = layer.columns(&db, path)?;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let query = format!("SELECT {} FROM {}", columns.join(", "), quoted(&layer.table));
    let mut statement = db.prepare(&query).map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    let mut features = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let what = format!("feature {}", features.len() + 1);
        let place = Place { path, what: &what };
        let feature = layer
            .feature(row, &names)
            .map_err(|reason| format(path, format!("{what}: {reason}")))?;
        for point in feature.shape.points() {
            check_point(place, *point, geographic)?;
        }
        features.push(feature);
    }
    Ok(Collection { epsg, features })
}

fn format(path: &Path, reason: String) -> VectorError {
    VectorError::Format { path: path.into(), format: "a readable GeoPackage", reason }
}

/// A table of features.
struct Layer {
    table: String,
    shapes: String,
    system: i64,
}

impl Layer {
    /// The one layer there is.
    fn only(db: &Connection, path: &Path) -> Result<Self, VectorError> {
        let sql = |e: rusqlite::Error| format(path, e.to_string());
        let mut statement = db
            .prepare(
                "SELECT g.table_name, g.column_name, g.srs_id FROM gpkg_geometry_columns g \
                 JOIN sqlite_master m ON lower(m.name) = lower(g.table_name) AND m.type = 'table' \
                 ORDER BY g.table_name LIMIT 100",
            )
            .map_err(sql)?;
        let layer = |row: &Row<'_>| {
            Ok(Self { table: row.get(0)?, shapes: row.get(1)?, system: row.get(2)? })
        };
        let layers = statement.query_map([], layer).map_err(sql)?;
        let mut layers = layers.collect::<Result<Vec<Self>, _>>().map_err(sql)?;
        if let (1, Some(layer)) = (layers.len(), layers.pop()) {
            return Ok(layer);
        }
        let mut statement = db
            .prepare("SELECT table_name FROM gpkg_geometry_columns ORDER BY 1 LIMIT 100")
            .map_err(sql)?;
        let names = statement.query_map([], |row| row.get(0)).map_err(sql)?;
        let names = names.collect::<Result<Vec<String>, _>>().map_err(sql)?;
        let found = if names.is_empty() { "empty".into() } else { names.join(", ") };
        let expected = "one table: save the layer with labels alone, for example with `ogr2ogr OUT.gpkg IN.gpkg LAYER`";
        Err(Place { path, what: "the file" }.wrong("list of layers", found, expected))
    }

    /// The coordinate system that the file names for the layer.
    fn epsg(&self, db: &Connection, path: &Path) -> Result<u32, VectorError> {
        let sql = |e: rusqlite::Error| format(path, e.to_string());
        let query = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: Option<(String, i64, String)> =
            db.query_row(query, [self.system], read).optional().map_err(sql)?;
        let crs = |source: CrsError| VectorError::Crs { path: path.into(), source };
        match found {
            Some((organization, code, _)) if organization.eq_ignore_ascii_case("EPSG") => {
                u32::try_from(code).map_err(|_| crs(CrsError::UnknownText(format!("EPSG:{code}"))))
            }
            Some((_, _, definition)) if self.system > 0 => epsg_of_wkt(&definition).map_err(crs),
            _ => {
                let place = format!("layer {}", self.table);
                let expected = "one of EPSG: give the layer its own in QGIS, or with `ogr2ogr -a_srs EPSG:32719 OUT IN`";
                Err(Place { path, what: &place }.wrong("coordinate system", "undefined", expected))
            }
        }
    }

    /// Names of its columns, asked for as values: rusqlite panics at one that is no UTF-8.
    fn columns(&self, db: &Connection, path: &Path) -> Result<Vec<String>, VectorError> {
        let sql = |e: rusqlite::Error| format(path, e.to_string());
        let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)").map_err(sql)?;
        let names = statement.query_map([&self.table], |row| row.get(0)).map_err(sql)?;
        names.collect::<Result<Vec<String>, _>>().map_err(sql)
    }

    fn feature(&self, row: &Row<'_>, names: &[String]) -> Result<Feature, String> {
        let mut shape = Shape::Points(Vec::new());
        let mut properties = Map::new();
        for (i, name) in names.iter().enumerate() {
            let value = row.get_ref(i).map_err(|e| e.to_string())?;
            if name.eq_ignore_ascii_case(&self.shapes) {
                shape = match value {
                    ValueRef::Null => shape,
                    ValueRef::Blob(bytes) => geometry(bytes)?,
                    _ => return Err(format!("column {name} holds no shape")),
                };
                continue;
            }
            let value = match value {
                ValueRef::Null | ValueRef::Blob(_) => Value::Null,
                ValueRef::Integer(whole) => whole.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(bytes) => std::str::from_utf8(bytes)
                    .map_err(|_| format!("column {name} is no UTF-8"))?
                    .into(),
            };
            properties.insert(name.clone(), value);
        }
        Ok(Feature { shape, properties })
    }
}

/// A shape after the head that GeoPackages put before well-known binary.
fn geometry(bytes: &[u8]) -> Result<Shape, String> {
    let [b'G', b'P', _, flags, rest @ ..] = bytes else {
        return Err("its shape does not begin with GP".into());
    };
    let bounds = match flags >> 1 & 7 {
        0 => 0,
        1 => 32,
        2 | 3 => 48,
        4 => 64,
        _ => return Err("the bounds of its shape are of no known kind".into()),
    };
    if flags & 0x10 != 0 {
        return Ok(Shape::Points(Vec::new()));
    }
    if flags & 0x20 != 0 {
        return Err("its shape is of a kind of its own".into());
    }
    parse_wkb(rest.get(4 + bounds..).ok_or("its shape is cut off")?)
}

#[cfg(test)]
mod tests;
