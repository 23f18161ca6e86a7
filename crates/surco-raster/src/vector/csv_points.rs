//! Points in a table.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{Place, VectorError, check_point};
use super::{Collection, Feature, Shape};
use crate::projection::Projection;

/// Names of columns that hold longitude and latitude.
const DEGREES: [(&str, &str); 5] = [
    ("lon", "lat"),
    ("longitude", "latitude"),
    ("longitud", "latitud"),
    ("long", "lat"),
    ("lng", "lat"),
];

/// Names of columns that hold metres east and north.
const METRES: [(&str, &str); 8] = [
    ("x", "y"),
    ("este", "norte"),
    ("utm_este", "utm_norte"),
    ("coord_x", "coord_y"),
    ("utmx", "utmy"),
    ("easting", "northing"),
    ("utm_x", "utm_y"),
    ("utm_e", "utm_n"),
];

/// Reads points from a table with columns `lon` and `lat` (or `longitude`, `longitud` …) in degrees, or
/// `x` and `y` (or `este`, `norte` …) in metres of the system `epsg`. Other columns become properties,
/// as text.
///
/// Fields are parted by commas or, as Spanish spreadsheets do it, by semicolons or tabs, and then
/// decimal commas are read too.
///
/// # Errors
/// [`VectorError`] if the file cannot be read, has no such columns, a field is no number, the system is
/// missing for metres or is refused.
pub fn read_csv(path: impl AsRef<Path>, epsg: Option<u32>) -> Result<Collection, VectorError> {
    let path = path.as_ref();
    let io = |source| VectorError::Io { what: "read", path: path.into(), source };
    let bytes = fs::read(path).map_err(io)?;
    parse(&bytes, path, epsg)
}

fn parse(bytes: &[u8], path: &Path, epsg: Option<u32>) -> Result<Collection, VectorError> {
    let format = |reason: String| VectorError::Format { path: path.into(), format: "CSV", reason };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let delimiter = delimiter_of(bytes);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(bytes);
    let utf8 =
        |e: csv::Error| format(format!("{e}; save it as UTF-8, every line with all columns"));
    let names: Vec<String> = reader.headers().map_err(utf8)?.iter().map(str::to_owned).collect();
    let head = Place { path, what: "line 1" };
    let (x_column, y_column, epsg) = find_columns(head, &names, epsg)?;
    let projection = Projection::from_epsg(epsg)
        .map_err(|source| VectorError::Crs { path: path.into(), source })?;
    let mut features = Vec::new();
    for record in reader.records() {
        let record = record.map_err(utf8)?;
        let what = format!("line {}", record.position().map_or(0, csv::Position::line));
        let place = Place { path, what: &what };
        let number = |column: usize| {
            let text = record.get(column).unwrap_or_default();
            let parsed =
                if delimiter == b',' { text.parse() } else { text.replace(',', ".").parse() };
            parsed.map_err(|_| {
                let what = format!("column `{}`", names[column]);
                place.wrong(what, format!("`{text}`"), "a number")
            })
        };
        let point = [number(x_column)?, number(y_column)?];
        let point = check_point(place, point, projection.is_geographic())?;
        let properties: Map<String, Value> = names
            .iter()
            .zip(&record)
            .enumerate()
            .filter(|(i, _)| ![x_column, y_column].contains(i))
            .map(|(_, (name, text))| (name.clone(), Value::from(text)))
            .collect();
        features.push(Feature { shape: Shape::Point(point), properties });
    }
    Ok(Collection { epsg, features })
}

/// The delimiter that the first line has most of.
fn delimiter_of(bytes: &[u8]) -> u8 {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|&&b| b == delimiter).count();
    [b';', b'\t']
        .into_iter()
        .fold(b',', |best, next| if count(next) > count(best) { next } else { best })
}

/// Columns of x and y, and the system they are in.
pub(super) fn find_columns(
    head: Place<'_>,
    names: &[String],
    epsg: Option<u32>,
) -> Result<(usize, usize, u32), VectorError> {
    let column = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let pair = |pairs: &[(&str, &str)]| pairs.iter().find_map(|(x, y)| column(x).zip(column(y)));
    match (pair(&DEGREES), pair(&METRES), epsg) {
        (Some((x, y)), _, None) => Ok((x, y, 4326)),
        (Some((x, y)), None, Some(epsg)) => Ok((x, y, epsg)),
        (Some(degrees), Some(metres), Some(epsg)) => {
            let is_geographic = Projection::from_epsg(epsg).is_ok_and(|p| p.is_geographic());
            let (x, y) = if is_geographic { degrees } else { metres };
            Ok((x, y, epsg))
        }
        (None, Some((x, y)), Some(epsg)) => Ok((x, y, epsg)),
        (None, Some(_), None) => Err(head.wrong(
            "coordinate system",
            "not given for columns in metres",
            "its EPSG code by --epsg, for example `surco adapt --epsg 32719` for UTM 19 south, or columns in degrees",
        )),
        (None, None, _) => Err(head.wrong(
            "list of columns",
            names.join(", "),
            "columns `lon` and `lat` in degrees, or `x` and `y` in metres",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, epsg: Option<u32>) -> Result<Collection, VectorError> {
        parse(text.as_bytes(), Path::new("p.csv"), epsg)
    }

    #[test]
    fn tables_of_both_spellings_are_read() {
        let comma = read("id,Lon,Lat,label\n7,-70.5,-33.25,maíz\n", None).unwrap();
        assert_eq!(comma.epsg, 4326);
        assert_eq!(comma.features[0].shape, Shape::Point([-70.5, -33.25]));
        assert_eq!(comma.features[0].text("label").as_deref(), Some("maíz"));
        assert_eq!(comma.features[0].text("Lon"), None);
        let spanish = "\u{feff}ESTE;NORTE;cultivo\r\n300000,5;6300000;\"trigo; candeal\"\r\n";
        let semicolon = read(spanish, Some(32719)).unwrap();
        assert_eq!(semicolon.features[0].shape, Shape::Point([300_000.5, 6_300_000.0]));
        assert_eq!(semicolon.features[0].text("cultivo").as_deref(), Some("trigo; candeal"));
    }

    #[test]
    fn refusals_name_line_column_value_and_remedy() {
        let refusal = |text: &str, epsg| read(text, epsg).unwrap_err().to_string();
        insta::assert_snapshot!(refusal("lon,lat\n-70,-33\n-70,x\n", None), @"p.csv: line 3: column `lat` is `x`, expected a number");
        insta::assert_snapshot!(refusal("x,y\n1,2\n", None), @"p.csv: line 1: coordinate system is not given for columns in metres, expected its EPSG code by --epsg, for example `surco adapt --epsg 32719` for UTM 19 south, or columns in degrees");
        insta::assert_snapshot!(refusal("a,b\n1,2\n", None), @"p.csv: line 1: list of columns is a, b, expected columns `lon` and `lat` in degrees, or `x` and `y` in metres");
        insta::assert_snapshot!(refusal("lon,lat\n300000,6300000\n", None), @"p.csv: line 2: point is 300000, 6300000, expected longitude from -180 to 180, then latitude from -90 to 90, in degrees; metres need their coordinate system stated");
        insta::assert_snapshot!(refusal("lon,lat\n1,2,3\n", None), @"p.csv: not CSV: CSV error: record 1 (line: 2, byte: 8): found record with 3 fields, but the previous record has 2 fields; save it as UTF-8, every line with all columns");
    }
}
