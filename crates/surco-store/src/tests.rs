//! Whole stores: round trips, appends, kills, and what an independent reader makes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array3, Array4, s};
use proptest::prelude::*;
use surco_core::{CellId, Georef, Silent, Window};
use zarrs::array::Array;
use zarrs::filesystem::FilesystemStore;

use crate::{CellSpec, SceneRecord, SceneSlot, ShardBuffer, ShardPixels, Store, StoreError};

mod sensors;
mod stac;

const BANDS: usize = 2;

/// A cell of a few dates whose pixels are a hash of their place, with whole inner chunks of zeros.
struct Field {
    spec: CellSpec,
    reflectance: Array4<u16>,
    scl: Array3<u8>,
}

fn field(dates: usize, rows: usize, cols: usize) -> Field {
    let scenes = (0..dates).map(|i| SceneSlot {
        key: format!("k{i}"),
        id: format!("scene-{i}"),
        time_s: 1_500_000_000 + 86_400 * i as i64,
    });
    let value = |t: usize, b: usize, y: usize, x: usize| {
        if (64..128).contains(&x) || t == 1 {
            return 0;
        }
        let mixed = (t * 7919 + b * 104_729 + y * 1_299_709 + x * 15_485_863) as u32;
        (mixed.wrapping_mul(2_654_435_761) >> 20) as u16
    };
    Field {
        spec: CellSpec {
            georef: Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_100_000.0, px_m: 10.0 },
            crs_wkt: "PROJCRS[\"test\"]".into(),
            rows,
            cols,
            bands: vec!["B02".into(), "B8A".into()],
            scenes: scenes.collect(),
            ..CellSpec::default()
        },
        reflectance: Array4::from_shape_fn((dates, BANDS, rows, cols), |(t, b, y, x)| {
            value(t, b, y, x)
        }),
        scl: Array3::from_shape_fn((dates, rows, cols), |(t, y, x)| (value(t, 0, y, x) % 12) as u8),
    }
}

fn id() -> CellId {
    CellId { tile: "19HBA".into(), row: 3, col: 9 }
}

fn record(slot: &SceneSlot) -> SceneRecord {
    SceneRecord {
        id: slot.id.clone(),
        inputs: format!("hash of {}", slot.id),
        datetime: "2017-07-14T02:40:00Z".into(),
        platform: None,
        baseline: None,
        catalog: "local".into(),
        collection: None,
        offset: None,
        holes: Vec::new(),
        elsewhere: Vec::new(),
    }
}

impl Field {
    /// The plan with only some of the dates.
    fn part(&self, dates: std::ops::Range<usize>) -> CellSpec {
        CellSpec { scenes: self.spec.scenes[dates].to_vec(), ..self.spec.clone() }
    }

    fn write(&self, store: &Store, shard: usize, slots: &[usize]) -> Result<(), StoreError> {
        let start = shard * 12 + slots[0];
        let range = start..start + slots.len();
        let scenes: Vec<_> = self.spec.scenes[range.clone()].iter().map(record).collect();
        let reflectance = self.reflectance.slice(s![range.clone(), .., .., ..]);
        let scl = self.scl.slice(s![range, .., ..]);
        let buffer = &mut ShardBuffer::of(slots, reflectance, scl);
        store.write_shard(&id(), shard, ShardPixels { slots, buffer, scenes: &scenes }).map(|_| ())
    }

    fn write_all(&self, store: &Store) {
        store.plan_cell(&id(), &self.spec).unwrap();
        let dates = self.spec.scenes.len();
        for shard in 0..dates.div_ceil(12) {
            let slots: Vec<usize> = (0..12.min(dates - shard * 12)).collect();
            self.write(store, shard, &slots).unwrap();
        }
    }
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
                found.insert(key, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn zarrs_reads_what_we_write() {
    let dir = tempfile::tempdir().unwrap();
    let field = field(14, 100, 200);
    let store = Store::create_or_open(dir.path()).unwrap();
    field.write_all(&store);
    assert_eq!(store.cells().unwrap(), [id()]);

    let other = Arc::new(FilesystemStore::new(dir.path()).unwrap());
    let array = Array::open(other.clone(), "/19HBA/r03c09/reflectance").unwrap();
    let pixels: ndarray::ArrayD<u16> = array.retrieve_array_subset(&array.subset_all()).unwrap();
    assert_eq!(pixels, field.reflectance.clone().into_dyn());
    let array = Array::open(other.clone(), "/19HBA/r03c09/scl").unwrap();
    let pixels: ndarray::ArrayD<u8> = array.retrieve_array_subset(&array.subset_all()).unwrap();
    assert_eq!(pixels, field.scl.clone().into_dyn());
    let array = Array::open(other, "/19HBA/r03c09/band").unwrap();
    let names: Vec<String> = array.retrieve_array_subset(&array.subset_all()).unwrap();
    assert_eq!(names, ["B02", "B8A"]);

    let whole = Window { row: 0, col: 0, rows: 100, cols: 200 };
    let cell = store.cell(&id()).unwrap();
    let read = cell.read(&(0..14).collect::<Vec<_>>(), whole).unwrap();
    assert!(read.reflectance == field.reflectance && read.scl == field.scl);
    assert!(
        cell.read(&[14], whole).is_err() && cell.read(&[0], Window { row: 1, ..whole }).is_err()
    );
    let report = store.verify(&Silent).unwrap();
    assert_eq!((report.objects, report.missing_dates, report.damaged.len()), (4, 0, 0));
}

#[test]
fn a_shard_of_zeros_has_no_object() {
    let dir = tempfile::tempdir().unwrap();
    let mut field = field(12, 64, 64);
    field.scl.fill(0);
    let store = Store::create_or_open(dir.path()).unwrap();
    field.write_all(&store);
    assert!(!dir.path().join("19HBA/r03c09/scl/c").join("0/0/0").exists());
    let cell = store.cell(&id()).unwrap();
    let window = Window { row: 0, col: 0, rows: 64, cols: 64 };
    assert_eq!(cell.read(&[3], window).unwrap().scl, Array3::<u8>::zeros((1, 64, 64)));
}

#[test]
fn the_same_dates_give_the_same_bytes_whatever_the_order() {
    let field = field(30, 70, 130);
    let at_once = tempfile::tempdir().unwrap();
    field.write_all(&Store::create_or_open(at_once.path()).unwrap());

    let bit_by_bit = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(bit_by_bit.path()).unwrap();
    store.plan_cell(&id(), &field.spec).unwrap();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (shard, slots) in [(2, 3..6), (1, 0..12), (0, 7..12), (0, 0..7), (2, 0..3)] {
        let slots: Vec<usize> = slots.collect();
        one.install(|| field.write(&store, shard, &slots)).unwrap();
    }
    assert!(files(at_once.path()) == files(bit_by_bit.path()));
}

#[test]
fn another_season_is_appended_and_the_first_stays() {
    let field = field(20, 64, 64);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    store.plan_cell(&id(), &field.part(0..10)).unwrap();
    field.write(&store, 0, &(0..10).collect::<Vec<_>>()).unwrap();
    assert_eq!(store.cell(&id()).unwrap().times.len(), 10);

    let axis = store.plan_cell(&id(), &field.part(8..20)).unwrap();
    assert_eq!(axis, field.spec.scenes, "two dates are known, ten are new");
    let error = store.cell(&id()).unwrap_err();
    assert!(matches!(error, StoreError::Unfinished { missing: 10, dates: 20, .. }), "{error}");
    assert_eq!(store.unfinished_cell(&id()).unwrap().times.len(), 10);

    field.write(&store, 0, &[10, 11]).unwrap();
    field.write(&store, 1, &(0..8).collect::<Vec<_>>()).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    field.write_all(&Store::create_or_open(fresh.path()).unwrap());
    assert!(files(dir.path()) == files(fresh.path()), "as if collected at once");
}

#[test]
fn an_earlier_season_appended_later_is_read_in_order_of_time() {
    let field = field(20, 64, 64);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    let mut late = field.part(12..20);
    store.plan_cell(&id(), &late).unwrap();
    late.scenes = field.spec.scenes[..12].to_vec();
    let axis = store.plan_cell(&id(), &late).unwrap();
    assert_eq!((axis[0].id.as_str(), axis[8].id.as_str()), ("scene-12", "scene-0"));
    let write = |shard: usize, slots: &[usize], from: usize| {
        let range = from..from + slots.len();
        let scenes: Vec<_> = field.spec.scenes[range.clone()].iter().map(record).collect();
        let reflectance = field.reflectance.slice(s![range.clone(), .., .., ..]);
        let scl = field.scl.slice(s![range, .., ..]);
        let buffer = &mut ShardBuffer::of(slots, reflectance, scl);
        store.write_shard(&id(), shard, ShardPixels { slots, buffer, scenes: &scenes })
    };
    write(0, &[0, 1, 2, 3, 4, 5, 6, 7], 12).unwrap();
    write(0, &[8, 9, 10, 11], 0).unwrap();
    write(1, &[0, 1, 2, 3, 4, 5, 6, 7], 4).unwrap();
    assert!(write(1, &[0], 9).is_err(), "a scene at another scene's place");
    let cell = store.cell(&id()).unwrap();
    assert!(cell.times.is_sorted() && cell.scenes[0].id == "scene-0");
    let window = Window { row: 0, col: 0, rows: 64, cols: 64 };
    let read = cell.read(&[2, 15], window).unwrap();
    for (got, want) in [(0, 2), (1, 15)] {
        assert_eq!(
            read.reflectance.index_axis(ndarray::Axis(0), got),
            field.reflectance.index_axis(ndarray::Axis(0), want)
        );
    }
}

/// Every state that a kill can leave, made from the finished store by taking away what comes later.
#[test]
fn a_kill_between_objects_is_healed_by_the_same_run() {
    let field = field(12, 70, 70);
    let whole = tempfile::tempdir().unwrap();
    field.write_all(&Store::create_or_open(whole.path()).unwrap());
    let want = files(whole.path());
    let cell = "19HBA/r03c09";
    let stages: [&[&str]; 4] = [
        &["manifest/t000.json"],
        &["manifest/t000.json", "scl/c/0/0/0"],
        &["manifest/t000.json", "scl/c/0/0/0", "reflectance/c/0/0/0/0"],
        &["manifest/t000.json", "scl/c/0/0/0", "reflectance/c/0/0/0/0", "zarr.json"],
    ];
    for lost in stages {
        for key in lost {
            fs::remove_file(whole.path().join(cell).join(key)).unwrap();
        }
        let part = whole.path().join(cell).join("reflectance/c/0/0/0/.0.part");
        fs::write(&part, b"half of a shard, longer than what comes after ".repeat(9999)).unwrap();
        let store = Store::create_or_open(whole.path()).unwrap();
        if !lost.contains(&"zarr.json") {
            assert!(store.cell(&id()).is_err(), "an unfinished shard is not read");
        }
        field.write_all(&store);
        assert!(files(whole.path()) == want, "after losing {lost:?}");
    }
}

#[test]
fn damage_is_found_and_never_returned_as_pixels() {
    let field = field(12, 64, 64);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    field.write_all(&store);
    let object = dir.path().join("19HBA/r03c09/reflectance/c/0/0/0/0");
    let mut bytes = fs::read(&object).unwrap();
    bytes[1000] ^= 1;
    fs::write(&object, bytes).unwrap();
    let window = Window { row: 0, col: 0, rows: 8, cols: 8 };
    let error = store.cell(&id()).unwrap().read(&[0], window).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(store.verify(&Silent).unwrap().damaged.len(), 1);
    store.discard_shard(&id(), 0).unwrap();
    field.write_all(&store);
    assert_eq!(store.verify(&Silent).unwrap().damaged, []);
}

#[test]
fn foreign_folders_and_versions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::NoStore { .. })));
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    assert!(matches!(Store::create_or_open(dir.path()), Err(StoreError::Occupied { .. })));
    fs::remove_file(dir.path().join("thesis.tex")).unwrap();
    Store::create_or_open(dir.path()).unwrap();
    let group = dir.path().join("zarr.json");
    let newer = fs::read_to_string(&group).unwrap().replace(": 2", ": 3");
    fs::write(&group, newer).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("has version 3, this program reads version 2"), "{error}");
    assert_eq!(error.fault(), surco_core::Fault::Input);
}

#[test]
fn a_cell_keeps_its_bands_and_grid() {
    let field = field(3, 64, 64);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    store.plan_cell(&id(), &field.spec).unwrap();
    let other = CellSpec { bands: vec!["B02".into()], ..field.spec.clone() };
    let error = store.plan_cell(&id(), &other).unwrap_err().to_string();
    assert!(error.contains("bands B02,B8A, the plan has B02"), "{error}");
    let evil = CellId { tile: "../etc".into(), row: 0, col: 0 };
    assert!(store.plan_cell(&evil, &field.spec).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_window_equals_the_same_cut_of_the_whole(
        row in 0_usize..150, col in 0_usize..200, rows in 0_usize..150, cols in 0_usize..200,
        dates in proptest::collection::vec(0_usize..14, 0..5),
    ) {
        thread_local! {
            static STORE: (tempfile::TempDir, Field) = {
                let dir = tempfile::tempdir().unwrap();
                let field = field(14, 150, 200);
                field.write_all(&Store::create_or_open(dir.path()).unwrap());
                (dir, field)
            };
        }
        STORE.with(|(dir, field)| {
            let window = Window { row, col, rows: rows.min(150 - row), cols: cols.min(200 - col) };
            let cell = Store::open(dir.path()).unwrap().cell(&id()).unwrap();
            let got = cell.read(&dates, window).unwrap();
            let cut = s![row..row + window.rows, col..col + window.cols];
            for (i, &date) in dates.iter().enumerate() {
                let want = field.scl.index_axis(ndarray::Axis(0), date);
                assert_eq!(got.scl.index_axis(ndarray::Axis(0), i), want.slice(cut));
                for band in 0..BANDS {
                    let want = field.reflectance.slice(s![date, band, .., ..]);
                    assert_eq!(got.reflectance.slice(s![i, band, .., ..]), want.slice(cut));
                }
            }
        });
    }
}
