//! GeoJSON.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::error::{Place, VectorError, check_point};
use super::{Collection, Feature, Polygon, Shape};
use crate::projection::Projection;

/// Reads a GeoJSON file: a feature collection, a feature, or a geometry.
///
/// Coordinates are longitude and latitude unless the file has the `crs` member of older versions.
///
/// # Errors
/// [`VectorError`] if the file cannot be read, is no GeoJSON, has geometries other than points and
/// polygons, rings that are not closed, or a coordinate system that is refused.
///
/// # Source
/// RFC 7946, *The GeoJSON Format*; for `crs`, *GeoJSON 1.0* (2008), section 3.
pub fn read_geojson(path: impl AsRef<Path>) -> Result<Collection, VectorError> {
    let path = path.as_ref();
    let io = |source| VectorError::Io { what: "read", path: path.into(), source };
    let bytes = fs::read(path).map_err(io)?;
    parse_geojson(&bytes, path)
}

/// As [`read_geojson`], from bytes; `name` is named in errors.
///
/// # Errors
/// As [`read_geojson`].
pub fn parse_geojson(bytes: &[u8], name: &Path) -> Result<Collection, VectorError> {
    let format =
        |reason: String| VectorError::Format { path: name.into(), format: "GeoJSON", reason };
    // Some programs begin files with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut root: Value = serde_json::from_slice(bytes).map_err(|e| format(e.to_string()))?;
    let file = Place { path: name, what: "the file" };
    let epsg = read_crs(file, root.get("crs"))?;
    let projection = Projection::from_epsg(epsg)
        .map_err(|source| VectorError::Crs { path: name.into(), source })?;
    let kind = root.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let raw = match kind.as_str() {
        "FeatureCollection" => match root.get_mut("features").map(Value::take) {
            Some(Value::Array(features)) => features,
            other => {
                let found = other.map_or("absent".into(), |v| v.to_string());
                return Err(file.wrong("`features`", found, "a list"));
            }
        },
        "Feature" => vec![root],
        "Point" | "MultiPoint" | "Polygon" | "MultiPolygon" => {
            vec![json!({ "type": "Feature", "properties": null, "geometry": root })]
        }
        other => {
            let expected = "FeatureCollection, Feature, Point, MultiPoint, Polygon or MultiPolygon";
            return Err(file.wrong("`type`", format!("`{other}`"), expected));
        }
    };
    let mut features = Vec::with_capacity(raw.len());
    for (i, value) in raw.into_iter().enumerate() {
        let what = format!("feature {}", i + 1);
        let place = Place { path: name, what: &what };
        features.push(read_feature(place, value, projection.is_geographic())?);
    }
    Ok(Collection { epsg, features })
}

/// The EPSG code of a `crs` member; longitude and latitude if there is none.
fn read_crs(file: Place<'_>, crs: Option<&Value>) -> Result<u32, VectorError> {
    let Some(crs) = crs else { return Ok(4326) };
    let name = crs.pointer("/properties/name").and_then(Value::as_str).unwrap_or_default();
    let upper = name.to_uppercase();
    if upper.ends_with("CRS84") {
        return Ok(4326);
    }
    // `EPSG:32719`, `urn:ogc:def:crs:EPSG::32719`, `http://www.opengis.net/def/crs/EPSG/0/32719`
    let code = upper.rsplit([':', '/', '#']).next().and_then(|code| code.parse().ok());
    match code {
        Some(code) if upper.contains("EPSG") => Ok(code),
        _ => Err(file.wrong(
            "`crs`",
            crs,
            "a name such as `urn:ogc:def:crs:EPSG::32719` or `urn:ogc:def:crs:OGC:1.3:CRS84`; \
             without the member, coordinates are longitude and latitude",
        )),
    }
}

fn read_feature(
    place: Place<'_>,
    mut value: Value,
    is_geographic: bool,
) -> Result<Feature, VectorError> {
    if value.get("type").and_then(Value::as_str) != Some("Feature") {
        let found = value.get("type").map_or("absent".into(), Value::to_string);
        return Err(place.wrong("`type`", found, "\"Feature\""));
    }
    let properties = match value.get_mut("properties").map(Value::take) {
        Some(Value::Object(properties)) => properties,
        None | Some(Value::Null) => Map::new(),
        Some(other) => return Err(place.wrong("`properties`", other, "an object or null")),
    };
    let geometry = value.get("geometry").unwrap_or(&Value::Null);
    let kind = geometry.get("type").and_then(Value::as_str).unwrap_or("absent");
    let coordinates = geometry.get("coordinates").unwrap_or(&Value::Null);
    let reader = Reader { place, is_geographic };
    let shape = match kind {
        "Point" => Shape::Point(reader.point(coordinates)?),
        "MultiPoint" => {
            let points = reader.list(coordinates)?.iter().map(|point| reader.point(point));
            Shape::Points(points.collect::<Result<_, _>>()?)
        }
        "Polygon" => Shape::Polygons(vec![reader.polygon(coordinates)?]),
        "MultiPolygon" => {
            let polygons = reader.list(coordinates)?.iter().map(|p| reader.polygon(p));
            Shape::Polygons(polygons.collect::<Result<_, _>>()?)
        }
        other => {
            let expected =
                "Point, MultiPoint, Polygon or MultiPolygon; convert or delete the feature";
            return Err(place.wrong("geometry", other, expected));
        }
    };
    Ok(Feature { shape, properties })
}

#[derive(Clone, Copy)]
struct Reader<'p> {
    place: Place<'p>,
    is_geographic: bool,
}

impl Reader<'_> {
    fn list<'v>(&self, value: &'v Value) -> Result<&'v [Value], VectorError> {
        match value {
            Value::Array(items) => Ok(items),
            other => Err(self.place.wrong("coordinates", other, "a list")),
        }
    }

    fn point(&self, value: &Value) -> Result<[f64; 2], VectorError> {
        let number = |i: usize| value.get(i).and_then(Value::as_f64);
        match (number(0), number(1)) {
            (Some(x), Some(y)) => check_point(self.place, [x, y], self.is_geographic),
            _ => Err(self.place.wrong("point", value, "two numbers, x then y")),
        }
    }

    fn polygon(&self, value: &Value) -> Result<Polygon, VectorError> {
        let mut rings = Vec::new();
        for ring in self.list(value)? {
            let points = self.list(ring)?.iter().map(|point| self.point(point));
            let points: Vec<[f64; 2]> = points.collect::<Result<_, _>>()?;
            if points.len() < 4 || points.first() != points.last() {
                let open = if points.first() == points.last() { "closed" } else { "open" };
                let found = format!("{open}, of {} points", points.len());
                let expected = "closed, of at least 4 points: repeat the first point at the end";
                return Err(self.place.wrong("ring", found, expected));
            }
            rings.push(points);
        }
        if rings.is_empty() {
            return Err(self.place.wrong("polygon", "without rings", "one ring or more"));
        }
        Ok(Polygon { rings })
    }
}

/// A collection as GeoJSON text, one feature a line. Coordinates other than longitude and latitude of WGS
/// 84 are marked by the `crs` member of older versions, which GDAL and QGIS read.
#[must_use]
pub fn to_geojson(collection: &Collection) -> String {
    let mut text = String::from("{\n\"type\": \"FeatureCollection\",\n");
    if collection.epsg != 4326 {
        let name = format!("urn:ogc:def:crs:EPSG::{}", collection.epsg);
        let crs = json!({ "type": "name", "properties": { "name": name } });
        text.push_str(&format!("\"crs\": {crs},\n"));
    }
    text.push_str("\"features\": [");
    for (i, feature) in collection.features.iter().enumerate() {
        let geometry = match &feature.shape {
            Shape::Point(point) => json!({ "type": "Point", "coordinates": point }),
            Shape::Points(points) => json!({ "type": "MultiPoint", "coordinates": points }),
            Shape::Polygons(polygons) => match &polygons[..] {
                [one] => json!({ "type": "Polygon", "coordinates": one.rings }),
                many => {
                    let rings: Vec<_> = many.iter().map(|polygon| &polygon.rings).collect();
                    json!({ "type": "MultiPolygon", "coordinates": rings })
                }
            },
        };
        let feature = json!({
            "type": "Feature", "properties": feature.properties, "geometry": geometry
        });
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&feature.to_string());
    }
    text.push_str("\n]\n}\n");
    text
}

/// Writes a collection as GeoJSON; the file appears under its name only when it is whole.
///
/// # Errors
/// [`VectorError::Io`] if it cannot be written.
pub fn write_geojson(path: impl AsRef<Path>, collection: &Collection) -> Result<(), VectorError> {
    let path = path.as_ref();
    let text = to_geojson(collection);
    crate::atomic::write(path, |out| out.write_all(text.as_bytes()))
        .map_err(|source| VectorError::Io { what: "write", path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: &str = r#"{"type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32719"}},
        "features": [
          {"type": "Feature", "properties": {"crop": "maize", "ha": 2.5},
           "geometry": {"type": "MultiPolygon", "coordinates":
             [[[[0, 0, 5], [10, 0], [10, 10], [0, 0]], [[1, 1], [2, 1], [2, 2], [1, 1]]]]}},
          {"type": "Feature", "properties": null,
           "geometry": {"type": "Point", "coordinates": [300000.5, 6300000]}}]}"#;

    fn parse(text: &str) -> Result<Collection, VectorError> {
        parse_geojson(text.as_bytes(), Path::new("a.geojson"))
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let read = parse(FIELD).unwrap();
        assert_eq!(read.epsg, 32719);
        assert_eq!(read.features[0].text("crop").as_deref(), Some("maize"));
        assert_eq!(read.features[0].text("ha").as_deref(), Some("2.5"));
        let Shape::Polygons(polygons) = &read.features[0].shape else { panic!() };
        assert_eq!(polygons[0].rings[1][1], [2.0, 1.0]);
        assert_eq!(read.features[0].shape.bounds(), Some([0.0, 0.0, 10.0, 10.0]));
        assert_eq!(parse(&to_geojson(&read)).unwrap(), read);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.geojson");
        write_geojson(&path, &read).unwrap();
        assert_eq!(read_geojson(&path).unwrap(), read);
    }

    #[test]
    fn every_way_to_name_a_system_is_read() {
        let with = |name: &str| {
            let text = FIELD.replace("urn:ogc:def:crs:EPSG::32719", name);
            parse(&text).map(|c| c.epsg)
        };
        assert_eq!(with("EPSG:5361").unwrap(), 5361);
        assert_eq!(with("http://www.opengis.net/def/crs/EPSG/0/32718").unwrap(), 32718);
        assert!(with("urn:ogc:def:crs:OGC:1.3:CRS84").is_err(), "metres are no degrees");
        assert!(matches!(with("EPSG:24879"), Err(VectorError::Crs { .. })));
        let bare = r#"{"type": "Point", "coordinates": [-70.5, -33.4]}"#;
        assert_eq!(parse(bare).unwrap().epsg, 4326);
    }

    #[test]
    fn refusals_name_file_feature_value_and_remedy() {
        insta::assert_snapshot!(refusal("{"), @"a.geojson: not GeoJSON: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(refusal(&FIELD.replace("[1, 1]]]]", "[1, 3]]]]")), @"a.geojson: feature 1: ring is open, of 4 points, expected closed, of at least 4 points: repeat the first point at the end");
        insta::assert_snapshot!(refusal(&FIELD.replace("\"Point\"", "\"LineString\"")), @"a.geojson: feature 2: geometry is LineString, expected Point, MultiPoint, Polygon or MultiPolygon; convert or delete the feature");
        insta::assert_snapshot!(refusal(&FIELD.replace("EPSG::32719", "EPSG::4326")), @"a.geojson: feature 2: point is 300000.5, 6300000, expected longitude from -180 to 180, then latitude from -90 to 90, in degrees; metres need their coordinate system stated");
        insta::assert_snapshot!(refusal(&FIELD.replace("EPSG::32719", "EPSG::24879")), @"a.geojson: EPSG:24879 is on the datum PSAD56, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32719 OUT IN`");
        insta::assert_snapshot!(refusal(r#"{"type": "Topology"}"#), @"a.geojson: the file: `type` is `Topology`, expected FeatureCollection, Feature, Point, MultiPoint, Polygon or MultiPolygon");
    }

    #[test]
    fn a_collection_moves_to_another_system_and_back() {
        let there = parse(r#"{"type": "Point", "coordinates": [-69, -33.4]}"#).unwrap();
        let moved = there.clone().into_epsg(32719).unwrap();
        let Shape::Point([x, _]) = moved.features[0].shape else { panic!() };
        assert!((x - 500_000.0).abs() < 1e-6, "{x}");
        let Shape::Point([lon, lat]) = moved.into_epsg(4326).unwrap().features[0].shape else {
            panic!()
        };
        assert!((lon + 69.0).abs() < 1e-9 && (lat + 33.4).abs() < 1e-9, "{lon}, {lat}");
    }
}
