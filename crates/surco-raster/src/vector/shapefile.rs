//! Shapefiles, as a folder of files or zipped.

mod rings;

use std::path::Path;

use serde_json::Map;

use super::cursor::Cursor;
use super::dbf::{Encoding, Table};
use super::error::{Place, VectorError, check_point};
use super::format::VectorFile;
use super::zipped::{MOST_BYTES, Zipped};
use super::{Collection, Feature, Shape};
use crate::projection::{Projection, epsg_of_wkt};

/// The files of a Shapefile.
pub(super) struct Parts {
    shp: Vec<u8>,
    dbf: Option<Vec<u8>>,
    prj: Option<Vec<u8>>,
    cpg: Option<Vec<u8>>,
}

impl Parts {
    /// Reads the files beside a `.shp`.
    pub(super) fn beside(path: &Path) -> Result<Self, VectorError> {
        let io = |source| VectorError::Io { what: "read", path: path.into(), source };
        let bytes = std::fs::metadata(path).map_err(io)?.len();
        if bytes > MOST_BYTES {
            let place = Place { path, what: "the file" };
            return Err(place.wrong("size", format!("{bytes} bytes"), "2 GiB at most"));
        }
        let read = |ending: &str| {
            // Windows does not care for case, other systems do.
            let both = [ending.to_string(), ending.to_uppercase()];
            let found = both.iter().map(|e| path.with_extension(e)).find(|p| p.is_file());
            found.map(std::fs::read).transpose().map_err(io)
        };
        let shp = std::fs::read(path).map_err(io)?;
        Ok(Self { shp, dbf: read("dbf")?, prj: read("prj")?, cpg: read("cpg")? })
    }

    /// Unpacks the one Shapefile of a zip archive.
    pub(super) fn zipped(path: &Path) -> Result<Self, VectorError> {
        let mut archive = Zipped::open(path)?;
        let names = archive.names()?;
        let is = |name: &str, ending: &str| {
            Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
        };
        let shapes: Vec<&String> = names.iter().filter(|name| is(name, "shp")).collect();
        let [shp] = shapes[..] else {
            let found = match &shapes[..] {
                [] => format!("none among {}", names.join(", ")),
                many => many.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
            };
            let expected = "one, with its .shx, .dbf and .prj: zip the layer with labels alone";
            return Err(Place { path, what: "the archive" }.wrong(".shp", found, expected));
        };
        let stem = Path::new(shp).with_extension("");
        let beside = |ending: &str| {
            names.iter().find(|n| is(n, ending) && Path::new(n).with_extension("") == stem).cloned()
        };
        let mut read = |name: Option<String>| name.map(|name| archive.read(&name)).transpose();
        let [dbf, prj, cpg] = ["dbf", "prj", "cpg"].map(beside);
        let (dbf, prj, cpg) = (read(dbf)?, read(prj)?, read(cpg)?);
        Ok(Self { shp: archive.read(shp)?, dbf, prj, cpg })
    }
}

/// Reads points and polygons of a Shapefile; heights and measures are left out, deleted rows too.
///
/// # Source
/// ESRI, *Shapefile technical description*, July 1998.
pub(super) fn read_parts(parts: &Parts, path: &Path) -> Result<VectorFile, VectorError> {
    let file = Place { path, what: "the file" };
    let format =
        |reason: String| VectorError::Format { path: path.into(), format: "a Shapefile", reason };
    let Some(prj) = &parts.prj else {
        let expected =
            "beside the .shp: without it nothing says in which coordinate system the numbers are";
        return Err(file.wrong(".prj", "missing", expected));
    };
    let epsg = epsg_of_wkt(&String::from_utf8_lossy(prj))
        .map_err(|source| VectorError::Crs { path: path.into(), source })?;
    let Some(dbf) = &parts.dbf else {
        return Err(file.wrong(".dbf", "missing", "beside the .shp: it holds the classes"));
    };
    let of_table = |reason: String| format(format!(".dbf: {reason}"));
    let table = Table::new(dbf).map_err(of_table)?;
    let mut assumed = Vec::new();
    let encoding = encoding(parts, &table, file, &mut assumed)?;
    let unread = table.unread();
    if !unread.is_empty() {
        assumed.push(format!("columns {} are of a kind that is not read", unread.join(", ")));
    }
    let rows = table.rows(encoding).map_err(of_table)?;
    let geographic = Projection::from_epsg(epsg)
        .map_err(|source| VectorError::Crs { path: path.into(), source })?
        .is_geographic();
    let shapes = shapes(&parts.shp, path, geographic)?;
    if shapes.len() != rows.len() {
        return Err(format(format!(
            "{} shapes and {} rows in its table: the files do not belong together",
            shapes.len(),
            rows.len()
        )));
    }
    let deleted = rows.iter().filter(|row| row.is_none()).count();
    if deleted > 0 {
        assumed.push(format!("{deleted} rows marked as deleted are no labels"));
    }
    let feature = |(shape, row): (Shape, Option<Map<_, _>>)| match row {
        Some(properties) => Feature { shape, properties },
        None => Feature { shape: Shape::Points(Vec::new()), properties: Map::new() },
    };
    let features = shapes.into_iter().zip(rows).map(feature).collect();
    Ok(VectorFile { collection: Collection { epsg, features }, assumed })
}

/// The encoding of the table's text; a guess is told.
fn encoding(
    parts: &Parts,
    table: &Table<'_>,
    file: Place<'_>,
    assumed: &mut Vec<String>,
) -> Result<Encoding, VectorError> {
    let Some(cpg) = &parts.cpg else {
        let guessed = table.guessed();
        if !table.is_ascii() {
            let name = match guessed {
                Encoding::Utf8 => "UTF-8",
                Encoding::Windows1252 => "Windows-1252",
            };
            assumed.push(format!("the table's text is {name}: a .cpg file would say so"));
        }
        return Ok(guessed);
    };
    let name = String::from_utf8_lossy(cpg);
    Encoding::named(name.trim()).ok_or_else(|| {
        file.wrong("encoding in .cpg", name.trim(), "UTF-8 or Windows-1252; export it as UTF-8")
    })
}

/// The shapes of a `.shp` in order; one without a place has no points.
fn shapes(bytes: &[u8], path: &Path, is_geographic: bool) -> Result<Vec<Shape>, VectorError> {
    let format =
        |reason: String| VectorError::Format { path: path.into(), format: "a Shapefile", reason };
    let mut rest = bytes.get(100..).ok_or_else(|| format(".shp: it is cut off".into()))?;
    if bytes[..4] != 9994_u32.to_be_bytes() {
        return Err(format(".shp: it does not begin as one".into()));
    }
    let mut found = Vec::new();
    while !rest.is_empty() {
        let what = format!("feature {}", found.len() + 1);
        let place = Place { path, what: &what };
        let fail = |reason: String| format(format!("{what}: {reason}"));
        let mut head = Cursor { bytes: rest, big_endian: true };
        let (_, words) = (head.u32().map_err(fail)?, head.u32().map_err(fail)? as usize);
        let content = words.checked_mul(2).and_then(|n| head.bytes.get(..n));
        let content = content.ok_or_else(|| fail("it is cut off".into()))?;
        let shape = shape(content).map_err(fail)?;
        for point in shape.points() {
            check_point(place, *point, is_geographic)?;
        }
        found.push(shape);
        rest = &head.bytes[content.len()..];
    }
    Ok(found)
}

/// One shape; what is wrong, in words, if it is cut off or of a kind that is not read.
fn shape(content: &[u8]) -> Result<Shape, String> {
    let mut cursor = Cursor { bytes: content, big_endian: false };
    let point = |cursor: &mut Cursor<'_>| Ok::<_, String>([cursor.f64()?, cursor.f64()?]);
    match cursor.u32()? {
        0 => Ok(Shape::Points(Vec::new())),
        1 | 11 | 21 => Ok(Shape::Point(point(&mut cursor)?)),
        5 | 15 | 25 => rings::polygons(&mut cursor),
        8 | 18 | 28 => {
            cursor.take::<32>()?; // its bounds
            let count = cursor.u32()?;
            Ok(Shape::Points((0..count).map(|_| point(&mut cursor)).collect::<Result<_, _>>()?))
        }
        kind => {
            let name = match kind {
                3 | 13 | 23 => "a line",
                31 => "a multipatch",
                _ => "of an unknown kind",
            };
            Err(format!("it is {name}, expected points or polygons; convert or delete it"))
        }
    }
}

#[cfg(test)]
mod tests;
