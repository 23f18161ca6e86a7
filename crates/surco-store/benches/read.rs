//! `cargo bench -p surco-store`: writing a shard, and reading windows of 128 × 128 px from it.
#![allow(clippy::unwrap_used, missing_docs, reason = "all of it is bench")]

use std::sync::LazyLock;

use divan::counter::BytesCount;
use ndarray::{Array3, Array4};
use surco_core::{CellId, Georef, Window};
use surco_store::{CellSpec, SceneRecord, SceneSlot, ShardBuffer, ShardPixels, Store};

const DATES: usize = 12;
const BANDS: usize = 10;
const SIDE: usize = 512;

fn main() {
    divan::main();
}

/// Pixels with the spread of reflectances: fields of 8 pixels, seven bits of noise, and six of the ten
/// bands at half the resolution, as in Sentinel-2.
static PIXELS: LazyLock<Array4<u16>> = LazyLock::new(|| {
    Array4::from_shape_fn((DATES, BANDS, SIDE, SIDE), |(date, band, row, col)| {
        let (row, col) = if band % 5 < 2 { (row, col) } else { (row / 2 * 2, col / 2 * 2) };
        let noise = mixed(((date * BANDS + band) * SIDE + row) * SIDE + col) >> 57;
        let field = mixed((row / 8 * SIDE + col / 8) * 64 + band) >> 54;
        (300 + date * 40 + band * 200) as u16 + field as u16 + noise as u16
    })
});

/// Steele, Lea and Flood's `SplitMix64`.
fn mixed(seed: usize) -> u64 {
    let mut z = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

static STORE: LazyLock<(tempfile::TempDir, Store)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    write(&store);
    (dir, store)
});

fn id() -> CellId {
    CellId { tile: "19HBA".into(), row: 0, col: 0 }
}

fn write(store: &Store) {
    let scene = |i: usize| SceneRecord {
        id: format!("scene-{i}"),
        inputs: String::new(),
        datetime: String::new(),
        platform: None,
        baseline: None,
        catalog: "local".into(),
        collection: None,
        offset: None,
        holes: Vec::new(),
        elsewhere: Vec::new(),
    };
    let scenes: Vec<SceneRecord> = (0..DATES).map(scene).collect();
    let slot = |(i, scene): (usize, &SceneRecord)| SceneSlot {
        key: scene.id.clone(),
        id: scene.id.clone(),
        time_s: i as i64 * 86_400,
    };
    let spec = CellSpec {
        georef: Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_100_000.0, px_m: 10.0 },
        crs_wkt: String::new(),
        rows: SIDE,
        cols: SIDE,
        bands: (0..BANDS).map(|b| b.to_string()).collect(),
        scenes: scenes.iter().enumerate().map(slot).collect(),
        ..CellSpec::default()
    };
    store.plan_cell(&id(), &spec).unwrap();
    let scl = Array3::from_elem((DATES, SIDE, SIDE), 4);
    let slots: Vec<usize> = (0..DATES).collect();
    let (reflectance, scl) = (PIXELS.view(), scl.view());
    let buffer = &mut ShardBuffer::of(&slots, reflectance, scl);
    let pixels = ShardPixels { slots: &slots, buffer, scenes: &scenes };
    store.write_shard(&id(), 0, pixels).unwrap();
}

#[divan::bench]
fn write_shard(bencher: divan::Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    bencher.counter(BytesCount::new(PIXELS.len() * 2)).bench_local(|| write(&store));
}

/// Windows at odd places, all dates; one core.
#[divan::bench]
fn read_series(bencher: divan::Bencher<'_, '_>) {
    let cell = STORE.1.cell(&id()).unwrap();
    let dates: Vec<usize> = (0..DATES).collect();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut turn = 0_usize;
    bencher.counter(BytesCount::new(DATES * BANDS * 128 * 128 * 2)).bench_local(|| {
        turn += 1;
        let (row, col) = (turn * 7919 % (SIDE - 128), turn * 104_729 % (SIDE - 128));
        let window = Window { row, col, rows: 128, cols: 128 };
        one.install(|| cell.read(&dates, window)).unwrap()
    });
}
