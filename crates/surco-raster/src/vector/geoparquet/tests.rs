use super::*;
use crate::vector::geopackage::read_geopackage;

/// Written with geopandas by `fixtures/make_labels.py`.
fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/labels").join(name)
}

#[test]
fn fields_and_their_columns_are_those_of_the_geopackage() {
    let read = read_geoparquet(&fixture("fields.parquet"), None).unwrap();
    let mut package = read_geopackage(&fixture("fields.gpkg")).unwrap();
    package.features.iter_mut().for_each(|feature| drop(feature.properties.remove("fid")));
    assert_eq!(read, package);
}

#[test]
fn points_of_the_reference_data_module_keep_codes_and_dates() {
    let read = read_geoparquet(&fixture("rdm.parquet"), None).unwrap();
    assert_eq!((read.epsg, read.features.len()), (4326, 3));
    let first = &read.features[0];
    let Shape::Point([lon, lat]) = first.shape else { panic!("{first:?}") };
    assert!((lon + 71.15).abs() < 0.01 && (lat + 33.87).abs() < 0.01, "{lon} {lat}");
    assert_eq!(first.text("ewoc_code").as_deref(), Some("1103090000"));
    assert_eq!(first.text("valid_time").as_deref(), Some("2022-11-03"));
    assert!(
        first
            .properties
            .keys()
            .all(|name| ["sample_id", "ewoc_code", "valid_time"].contains(&name.as_str()))
    );
}

#[test]
fn a_table_with_columns_of_degrees_is_read_and_one_without_is_refused() {
    let read = read_geoparquet(&fixture("points.parquet"), None).unwrap();
    assert_eq!(read.features[2].shape, Shape::Point([-70.5, -33.5]));
    assert_eq!(read.features[2].text("fecha").as_deref(), Some("2022-11-05"));
    let path = fixture("fields.zip");
    let refused = read_geoparquet(&path, None).unwrap_err().to_string();
    assert!(refused.contains("fields.zip: not GeoParquet"), "{refused}");
}

#[test]
fn a_system_that_is_left_out_is_degrees_and_one_that_is_null_is_none() {
    assert_eq!(epsg_of(None), Some(4326));
    assert_eq!(epsg_of(Some(&Value::Null)), None);
    let code = |authority: &str, code: Value| {
        epsg_of(Some(&serde_json::json!({ "id": { "authority": authority, "code": code } })))
    };
    assert_eq!(code("OGC", "CRS84".into()), Some(4326));
    assert_eq!(code("EPSG", 32719.into()), Some(32719));
    assert_eq!(code("ESRI", 102_100.into()), None);
}
