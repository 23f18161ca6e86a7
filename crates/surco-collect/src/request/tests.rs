use std::fs;

use super::*;

fn refusal(request: &CollectRequest) -> String {
    request.check().unwrap_err().to_string()
}

fn with_area(area: Area) -> CollectRequest {
    CollectRequest { area: Some(area), ..CollectRequest::all_of("") }
}

fn with_places(points: Vec<(f64, f64)>, side_px: usize) -> CollectRequest {
    CollectRequest { places: Some(Places { points, side_px }), ..CollectRequest::all_of("") }
}

#[test]
fn refusals_name_value_and_remedy() {
    let bbox = |bbox| refusal(&with_area(Area::Bbox(bbox)));
    insta::assert_snapshot!(bbox([-71.0, -34.0, -72.0, -33.0]), @"bounding box: found -71,-34,-72,-33, expected west,south,east,north in degrees, west < east and south < north");
    insta::assert_snapshot!(refusal(&with_area(Area::Polygons(Vec::new()))), @"area: found no polygon, expected one polygon or more");
    let metres = boxed(&[300_000.0, 6_200_000.0, 301_000.0, 6_201_000.0]);
    insta::assert_snapshot!(refusal(&with_area(Area::Polygons(vec![metres]))), @"point of the area: found 300000, 6200000, expected longitude and latitude in degrees");
    insta::assert_snapshot!(refusal(&with_places(vec![(-71.0, -33.0)], 0)), @"side of a place: found 0, expected 1 to 1024 pixels of 10 m; larger areas are given as polygons");
    insta::assert_snapshot!(refusal(&with_places(Vec::new(), 64)), @"places: found none, expected one point or more");
    insta::assert_snapshot!(refusal(&with_places(vec![(-33.0, -171.0)], 64)), @"place: found -33, -171, expected longitude and latitude in degrees");
    let both = CollectRequest {
        area: Some(Area::Bbox([-72.0, -34.0, -71.0, -33.0])),
        ..with_places(vec![(-71.5, -33.5)], 64)
    };
    insta::assert_snapshot!(refusal(&both), @"area and places: found both, expected one of the two: leave out places that lie outside the area yourself");
}

#[test]
fn places_are_searched_where_services_can() {
    let request = with_places(vec![(-70.0, -33.0), (179.9999, 0.0)], 100);
    let Some(Cow::Owned(Area::Polygons(squares))) = request.search_area() else {
        panic!("polygons")
    };
    // Half the diagonal of 100 pixels is 707 m, 0.0064° of latitude; a little more is asked for.
    let [south, north] = [squares[0].rings[0][0][1], squares[0].rings[0][2][1]];
    assert!((0.0128..0.0135).contains(&(north - south)), "{south} {north}");
    assert_eq!(squares[1].rings[0][1][0], 180.0);
    let area = Area::Bbox([-72.0, -34.0, -71.0, -33.0]);
    assert_eq!(with_area(area.clone()).search_area().as_deref(), Some(&area));
}

const FIELDS: &str = r#"{"type": "FeatureCollection",
    "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32719"}},
    "features": [{"type": "Feature", "properties": {}, "geometry": {"type": "MultiPolygon",
      "coordinates": [
        [[[500000, 6300000], [501000, 6300000], [501000, 6301000], [500000, 6300000]]],
        [[[502000, 6300000], [503000, 6300000], [503000, 6301000], [502000, 6300000]]]]}}]}"#;

#[test]
fn areas_and_places_are_read_and_moved_to_degrees() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let Area::Polygons(polygons) = Area::read(write("a.geojson", FIELDS)).unwrap() else {
        panic!("polygons")
    };
    assert_eq!(polygons.len(), 2);
    assert!((polygons[0].rings[0][0][0] + 69.0).abs() < 1e-9, "{:?}", polygons[0]);
    let table = write("p.csv", "id,lon,lat\n1,-70.5,-33.25\n2,-71,-34\n");
    let places = Places::read(&table, 64).unwrap();
    assert_eq!(places, Places { points: vec![(-70.5, -33.25), (-71.0, -34.0)], side_px: 64 });
    let name = |error: VectorError| error.to_string().replace(folder.path().to_str().unwrap(), "");
    insta::assert_snapshot!(name(Area::read(&table).unwrap_err()), @"/p.csv: feature 1: geometry is a point, expected polygons; give points as places");
    let fields = folder.path().join("a.geojson");
    insta::assert_snapshot!(name(Places::read(fields, 64).unwrap_err()), @"/a.geojson: feature 1: geometry is a polygon, expected points; give polygons as an area");
    let broken = write("a.parquet", "PAR1");
    assert!(name(Area::read(broken).unwrap_err()).starts_with("/a.parquet: not GeoParquet"));
}

/// Written here as GeoPandas writes it: shapes as WKB, the coordinate system in `geo`.
#[test]
fn geoparquet_is_read_and_what_it_lacks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let of = |geo: Option<&str>| {
        let path = folder.path().join("a.parquet");
        write_parquet(&path, geo);
        Area::read(&path).map_err(|e| e.to_string().replace(folder.path().to_str().unwrap(), ""))
    };
    let geo = |crs: &str| {
        format!(
            r#"{{"primary_column": "shape", "columns": {{"shape": {{"encoding": "WKB"{crs}}}}}}}"#
        )
    };
    let Ok(Area::Polygons(polygons)) = of(Some(&geo(""))) else { panic!("polygons") };
    assert_eq!(polygons.len(), 2);
    assert_eq!(polygons[0], boxed(&[-71.0, -34.0, -70.0, -33.0]));
    let crs84 = r#", "crs": {"id": {"authority": "OGC", "code": "CRS84"}}"#;
    assert!(of(Some(&geo(crs84))).is_ok());
    let utm = r#", "crs": {"id": {"authority": "EPSG", "code": 4326}}"#;
    assert!(of(Some(&geo(utm))).is_ok());
    insta::assert_snapshot!(of(None).unwrap_err(), @"/a.parquet: without `geo` metadata: list of columns is name, shape, expected columns `lon` and `lat` in degrees, or `x` and `y` in metres");
    let web = r#", "crs": {"name": "a local grid"}"#;
    insta::assert_snapshot!(of(Some(&geo(web))).unwrap_err(), @r#"/a.parquet: not GeoParquet with shapes as WKB: the coordinate system of column shape is "a local grid"; transform it to EPSG:4326"#);
    let arrow = geo("").replace("WKB", "point");
    insta::assert_snapshot!(of(Some(&arrow)).unwrap_err(), @r#"/a.parquet: not GeoParquet with shapes as WKB: column shape is encoded as "point""#);
    let other = geo("").replace("shape", "geometry");
    insta::assert_snapshot!(of(Some(&other)).unwrap_err(), @"/a.parquet: not GeoParquet with shapes as WKB: row 1: it has no column geometry");
}

/// Two rows of names and squares.
fn write_parquet(path: &Path, geo: Option<&str>) {
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let schema = "message schema { optional binary name (STRING); optional binary shape; }";
    let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
    let geo = geo.map(|geo| vec![KeyValue::new("geo".into(), geo.to_string())]);
    let properties = WriterProperties::builder().set_key_value_metadata(geo).build();
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties.into()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let wkb = |west: f64| {
        let mut bytes = vec![1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0];
        for [x, y] in &boxed(&[west, -34.0, west + 1.0, -33.0]).rings[0] {
            bytes.extend(x.to_le_bytes());
            bytes.extend(y.to_le_bytes());
        }
        ByteArray::from(bytes)
    };
    for values in [[ByteArray::from("a"), ByteArray::from("b")], [wkb(-71.0), wkb(-69.0)]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&[1, 1]), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}
