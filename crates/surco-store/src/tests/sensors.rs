//! Cells of another sensor than Sentinel-2.

use ndarray::Array3;
use serde_json::{Value, json};

use super::*;
use crate::ArrayText;

/// Radar in hundredths of a decibel above -50 dB, without a quality layer.
fn radar(dates: usize) -> Field {
    let mut field = field(dates, 70, 90);
    field.spec.values = ArrayText {
        scale_factor: Some(0.01),
        add_offset: Some(-50.0),
        ..ArrayText::plain("sigma0", "backscatter coefficient", "dB")
    };
    field.spec.quality = None;
    field.spec.band_text = "polarisation of Sentinel-1 SAR".into();
    field.spec.attributes.insert("sensor".into(), json!("sentinel-1-rtc"));
    field.scl = Array3::zeros((dates, 0, 0));
    field
}

#[test]
fn a_sensor_without_a_quality_layer_is_kept_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let field = radar(14);
    let store = Store::create_or_open(dir.path()).unwrap();
    field.write_all(&store);
    let cell = store.cell(&id()).unwrap();
    assert_eq!((cell.values.name.as_str(), &cell.quality), ("sigma0", &None));
    assert_eq!(cell.attributes["sensor"], "sentinel-1-rtc");
    let whole = Window { row: 0, col: 0, rows: 70, cols: 90 };
    let read = cell.read(&(0..14).collect::<Vec<_>>(), whole).unwrap();
    assert!(read.reflectance == field.reflectance);
    assert_eq!(read.scl, Array3::<u8>::zeros((14, 70, 90)));
    assert_eq!(store.verify(&Silent).unwrap().objects, 2);

    let group = fs::read_to_string(dir.path().join("19HBA/r03c09/sigma0/zarr.json")).unwrap();
    let mut group: Value = serde_json::from_str(&group).unwrap();
    group.sort_all_objects();
    insta::assert_snapshot!(
        format!("{:#}", group["attributes"]),
        @r#"
    {
      "add_offset": -50.0,
      "coordinates": "spatial_ref",
      "grid_mapping": "spatial_ref",
      "long_name": "backscatter coefficient",
      "scale_factor": 0.01,
      "units": "dB"
    }
    "#
    );
    let other = Arc::new(FilesystemStore::new(dir.path()).unwrap());
    let array = Array::open(other, "/19HBA/r03c09/sigma0").unwrap();
    let pixels: ndarray::ArrayD<u16> = array.retrieve_array_subset(&array.subset_all()).unwrap();
    assert_eq!(pixels, field.reflectance.into_dyn());
}

#[test]
fn numbers_of_two_sensors_are_not_mixed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    let radar = radar(3);
    store.plan_cell(&id(), &radar.spec).unwrap();
    let optical = field(3, 70, 90).spec;
    assert!(matches!(
        store.plan_cell(&id(), &optical),
        Err(StoreError::Mismatch { what: "arrays", .. })
    ));
    let mut other = radar.spec.clone();
    other.values.add_offset = Some(-40.0);
    assert!(store.plan_cell(&id(), &other).is_err(), "the same numbers would mean other decibels");
    other.values.add_offset = Some(-50.0);
    other.values.long_name = "backscatter".into();
    store.plan_cell(&id(), &other).unwrap();
}

#[test]
fn classes_for_a_cell_without_them_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    let mut radar = radar(1);
    store.plan_cell(&id(), &radar.spec).unwrap();
    radar.scl = Array3::from_elem((1, 70, 90), 4);
    radar.write(&store, 0, &[0]).unwrap();
    let window = Window { row: 0, col: 0, rows: 70, cols: 90 };
    let read = store.cell(&id()).unwrap().read(&[0], window).unwrap();
    assert!(read.scl.iter().all(|&class| class == 0));
    assert!(!dir.path().join(id().to_string()).join("scl").exists());
}

#[test]
fn names_that_would_collide_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    for name in ["", "time", "manifest", "a/b", "..", "Sigma0", "scl"] {
        let values = ArrayText::plain(name, "", "1");
        let spec = CellSpec { values, ..field(1, 64, 64).spec };
        assert!(store.plan_cell(&id(), &spec).is_err(), "{name}");
    }
    assert_eq!(store.cells().unwrap(), []);
}
