use proptest::prelude::*;

use super::*;

/// Written with GDAL by `fixtures/make_labels.py`.
fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/labels").join(name)
}

fn refusal(path: &Path) -> String {
    let error = read_geopackage(path).unwrap_err();
    assert_eq!(error.fault(), surco_core::Fault::Input, "{error}");
    error.to_string().replace(&path.parent().unwrap().display().to_string(), "")
}

/// Areas by hand: 400 × 400 m less a hole of 100 × 100, 200 × 300, two squares of 100.
#[test]
fn fields_and_their_columns_are_read() {
    let read = read_geopackage(&fixture("fields.gpkg")).unwrap();
    assert_eq!(read.epsg, 32719);
    let area = |feature: &Feature| match &feature.shape {
        Shape::Polygons(polygons) => polygons.iter().map(crate::rasterise::area_m2).sum(),
        _ => 0.0,
    };
    assert_eq!(
        read.features.iter().map(area).collect::<Vec<f64>>(),
        [150_000.0, 60_000.0, 20_000.0]
    );
    let text = |column| read.features.iter().map(|f| f.text(column)).collect::<Vec<_>>();
    assert_eq!(text("cultivo"), ["viña", "maíz", "viña"].map(|t| Some(t.into())));
    assert_eq!(text("fecha")[0].as_deref(), Some("2022-11-03"));
    assert_eq!(text("ha"), [Some("15.0".into()), Some("6.0".into()), None]);
}

#[test]
fn several_points_are_one_feature_and_rows_without_a_shape_have_none() {
    let read = read_geopackage(&fixture("multipoint.gpkg")).unwrap();
    let shapes: Vec<&Shape> = read.features.iter().map(|f| &f.shape).collect();
    let two = Shape::Points(vec![[300_000.0, 6_250_000.0], [300_009.0, 6_250_000.0]]);
    assert_eq!(shapes, [&two, &Shape::Points(Vec::new())]);
}

#[test]
fn layers_datums_and_lines_are_refused_by_name() {
    insta::assert_snapshot!(refusal(&fixture("two_layers.gpkg")), @"/two_layers.gpkg: the file: list of layers is caminos, campo, expected one table: save the layer with labels alone, for example with `ogr2ogr OUT.gpkg IN.gpkg LAYER`");
    insta::assert_snapshot!(refusal(&fixture("psad56.gpkg")), @"/psad56.gpkg: EPSG:24879 is on the datum PSAD56, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32719 OUT IN`");
    insta::assert_snapshot!(refusal(&fixture("line.gpkg")), @"/line.gpkg: not a readable GeoPackage: feature 2: it is a line, expected points or polygons; convert or delete the feature");
    insta::assert_snapshot!(refusal(&fixture("fields.zip")), @"/fields.zip: not a readable GeoPackage: file is not a database");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gpkg");
    let db = |text: &str| {
        std::fs::copy(fixture("fields.gpkg"), &path).unwrap();
        Connection::open(&path).unwrap().execute_batch(text).unwrap();
        refusal(&path)
    };
    insta::assert_snapshot!(db("UPDATE gpkg_geometry_columns SET srs_id = 0"), @"/a.gpkg: layer campo: coordinate system is undefined, expected one of EPSG: give the layer its own in QGIS, or with `ogr2ogr -a_srs EPSG:32719 OUT IN`");
    insta::assert_snapshot!(db("DELETE FROM gpkg_geometry_columns"), @"/a.gpkg: the file: list of layers is empty, expected one table: save the layer with labels alone, for example with `ogr2ogr OUT.gpkg IN.gpkg LAYER`");
    insta::assert_snapshot!(db("UPDATE campo SET geom = x'4750' WHERE fid = 2"), @"/a.gpkg: not a readable GeoPackage: feature 2: its shape does not begin with GP");
    insta::assert_snapshot!(
        db("ALTER TABLE campo RENAME TO c; CREATE VIEW campo AS SELECT * FROM c"),
        @"/a.gpkg: the file: list of layers is campo, expected one table: save the layer with labels alone, for example with `ogr2ogr OUT.gpkg IN.gpkg LAYER`"
    );
}

proptest! {
    #[test]
    fn no_byte_makes_reading_panic(at in 0_usize..20_000, byte in any::<u8>(), cut in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gpkg");
        let mut bytes = std::fs::read(fixture("fields.gpkg")).unwrap();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        std::fs::write(&path, bytes).unwrap();
        drop(read_geopackage(&path));
    }
}
