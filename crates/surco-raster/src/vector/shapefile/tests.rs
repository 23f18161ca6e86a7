use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::vector::geopackage::read_geopackage;
use crate::vector::{VectorFormat, read_geojson};

/// Written with GDAL by `fixtures/make_labels.py`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/labels").join(name)
}

fn read(name: &str) -> Result<VectorFile, VectorError> {
    VectorFormat::of(&fixture(name)).unwrap().read(&fixture(name), None)
}

/// The message for a file, without the folder it is in.
fn refusal(path: &Path) -> String {
    let error = VectorFormat::of(path).unwrap().read(path, None).unwrap_err();
    assert_eq!(error.fault(), surco_core::Fault::Input, "{error}");
    error.to_string().replace(&path.parent().unwrap().display().to_string(), "")
}

fn rings(shape: &Shape) -> Vec<Vec<Vec<[f64; 2]>>> {
    let Shape::Polygons(polygons) = shape else { panic!("{shape:?}") };
    // Writers begin rings at corners of their own and turn them as they like.
    let set = |ring: &Vec<[f64; 2]>| {
        let mut ring = ring[1..].to_vec();
        ring.sort_by(|a, b| a.partial_cmp(b).unwrap());
        ring
    };
    polygons.iter().map(|p| p.rings.iter().map(set).collect()).collect()
}

#[test]
fn a_zipped_shapefile_holds_what_the_geopackage_of_the_same_fields_does() {
    let (zip, package) =
        (read("fields.zip").unwrap(), read_geopackage(&fixture("fields.gpkg")).unwrap());
    assert_eq!(zip.assumed, [""; 0]);
    assert_eq!((zip.collection.epsg, zip.collection.features.len()), (32719, 3));
    for (a, b) in zip.collection.features.iter().zip(&package.features) {
        let mut b = b.clone();
        b.properties.remove("fid");
        assert_eq!(rings(&a.shape), rings(&b.shape));
        assert_eq!(a.properties, b.properties);
    }
    let first = &zip.collection.features[0];
    assert_eq!(rings(&first.shape)[0].len(), 2, "a polygon with a hole");
    assert_eq!(first.text("cultivo").as_deref(), Some("viña"));
    assert_eq!(first.text("fecha").as_deref(), Some("2022-11-03"));
    assert_eq!(zip.collection.features[2].text("ha"), None, "nothing is not zero");
}

#[test]
fn degrees_agree_with_geojson_and_text_without_an_encoding_is_told() {
    let (zip, json) =
        (read("degrees.zip").unwrap().collection, read_geojson(fixture("fields.geojson")).unwrap());
    assert_eq!(zip.epsg, 4326);
    for (a, b) in zip.features.iter().zip(&json.features) {
        let (a, b) = (a.shape.bounds().unwrap(), b.shape.bounds().unwrap());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-8), "{a:?} {b:?}");
    }
    let latin = read("latin.zip").unwrap();
    assert_eq!(latin.collection, read("fields.zip").unwrap().collection);
    assert_eq!(latin.assumed, ["the table's text is Windows-1252: a .cpg file would say so"]);
}

#[test]
fn files_beside_each_other_read_as_zipped_ones_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("campo.shp");
    let parts = Parts::zipped(&fixture("fields.zip")).unwrap();
    std::fs::write(&path, &parts.shp).unwrap();
    insta::assert_snapshot!(refusal(&path), @"/campo.shp: the file: .prj is missing, expected beside the .shp: without it nothing says in which coordinate system the numbers are");
    std::fs::write(path.with_extension("prj"), parts.prj.as_ref().unwrap()).unwrap();
    insta::assert_snapshot!(refusal(&path), @"/campo.shp: the file: .dbf is missing, expected beside the .shp: it holds the classes");
    std::fs::write(path.with_extension("DBF"), parts.dbf.as_ref().unwrap()).unwrap();
    std::fs::write(path.with_extension("cpg"), "UTF-8\n").unwrap();
    assert_eq!(
        VectorFormat::Shapefile.read(&path, None).unwrap().collection,
        read("fields.zip").unwrap().collection
    );
    std::fs::write(path.with_extension("cpg"), "BIG5").unwrap();
    insta::assert_snapshot!(refusal(&path), @"/campo.shp: the file: encoding in .cpg is BIG5, expected UTF-8 or Windows-1252; export it as UTF-8");
}

#[test]
fn what_is_missing_or_on_an_old_datum_is_refused_by_name() {
    insta::assert_snapshot!(refusal(&fixture("no_prj.zip")), @"/no_prj.zip: the file: .prj is missing, expected beside the .shp: without it nothing says in which coordinate system the numbers are");
    insta::assert_snapshot!(refusal(&fixture("psad56.zip")), @"/psad56.zip: coordinate system `PSAD_1956_UTM_Zone_19S` is on the datum PSAD56, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32719 OUT IN`");
}

/// Bytes of the archive with a field of its directory changed, in a folder of their own.
fn changed(name: &str, change: impl Fn(&mut Vec<u8>)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("campo.zip");
    let mut bytes = std::fs::read(fixture(name)).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Places of the sizes that the directory tells; the first is that of the .shp.
fn sizes(bytes: &[u8]) -> Vec<usize> {
    let heads = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"PK\x01\x02");
    heads.map(|(at, _)| at + 24).collect()
}

#[test]
fn archives_that_unpack_to_too_much_or_lie_are_refused_before_memory_is_taken() {
    let with_size = |size: u32| {
        let (_folder, path) = changed("fields.zip", |bytes| {
            for at in sizes(bytes) {
                bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
            }
        });
        refusal(&path)
    };
    insta::assert_snapshot!(with_size(0xFFFF_FFF0), @"/campo.zip: not a readable zip archive: campo/fields.dbf: it says that it unpacks to 4294967280 bytes; 2147483648 bytes (2 GiB) together at most are read");
    insta::assert_snapshot!(with_size(0x7000_0000), @"/campo.zip: not a readable zip archive: campo/fields.dbf: 173 bytes cannot unpack to the 1879048192 it says");
    insta::assert_snapshot!(with_size(20), @"/campo.zip: not a readable zip archive: campo/fields.dbf: it does not unpack to the 20 bytes it says");
    let (_folder, path) = changed("fields.zip", |bytes| bytes.truncate(bytes.len() - 30));
    insta::assert_snapshot!(refusal(&path), @"/campo.zip: not a readable zip archive: invalid Zip archive: Could not find EOCD");
    let (_folder, path) = changed("fields.zip", |bytes| {
        let at = bytes.windows(4).rposition(|four| four == b".shp").unwrap();
        bytes[at..at + 4].copy_from_slice(b".txt");
    });
    insta::assert_snapshot!(refusal(&path), @"/campo.zip: the archive: .shp is none among campo/fields.cpg, campo/fields.dbf, campo/fields.prj, campo/fields.sh…, expected one, with its .shx, .dbf and .prj: zip the layer with labels alone");
}

#[test]
fn a_shapefile_of_another_table_is_refused() {
    let mut parts = Parts::zipped(&fixture("fields.zip")).unwrap();
    let whole = parts.shp.clone();
    parts.shp.truncate(100);
    let refused = |parts: &Parts| read_parts(parts, Path::new("a.shp")).unwrap_err().to_string();
    insta::assert_snapshot!(refused(&parts), @"a.shp: not a Shapefile: 0 shapes and 3 rows in its table: the files do not belong together");
    parts.shp = whole.clone();
    parts.shp.truncate(whole.len() - 1);
    insta::assert_snapshot!(refused(&parts), @"a.shp: not a Shapefile: feature 3: it is cut off");
    parts.shp = whole;
    parts.shp[108] = 3;
    insta::assert_snapshot!(refused(&parts), @"a.shp: not a Shapefile: feature 1: it is a line, expected points or polygons; convert or delete it");
}

/// Two rings turned the wrong way round, and an island in the hole.
#[test]
fn holes_are_told_by_what_holds_them() {
    let square =
        |low: f64, high: f64| vec![[low, low], [high, low], [high, high], [low, high], [low, low]];
    let mut content = 5_u32.to_le_bytes().to_vec();
    content.extend([0; 32]);
    content.extend([3_u32, 15, 0, 5, 10].iter().flat_map(|n| n.to_le_bytes()));
    for ring in [square(4.0, 6.0), square(0.0, 10.0), square(2.0, 8.0)] {
        content.extend(ring.iter().flatten().flat_map(|n| n.to_le_bytes()));
    }
    let Shape::Polygons(polygons) = shape(&content).unwrap() else { panic!() };
    assert_eq!(polygons.len(), 2);
    assert_eq!(polygons[0].rings, [square(0.0, 10.0), square(2.0, 8.0)]);
    assert_eq!(polygons[1].rings, [square(4.0, 6.0)]);
}

proptest! {
    #[test]
    fn no_byte_makes_reading_panic(at in 0_usize..2000, byte in any::<u8>(), cut in any::<bool>()) {
        let mut parts = Parts::zipped(&fixture("fields.zip")).unwrap();
        for bytes in [&mut parts.shp, parts.dbf.as_mut().unwrap()] {
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        }
        drop(read_parts(&parts, Path::new("a.shp")));
        let (_folder, path) = changed("fields.zip", |bytes| {
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        });
        drop(VectorFormat::ZippedShapefile.read(&path, None));
    }
}
