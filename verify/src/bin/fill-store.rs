//! A process of its own for the tests of stores: it can be given other credentials, and be killed.
//!
//! ```text
//! fill-store write DEST         two shards of noise over fields and their STAC, nothing done twice
//! fill-store plan DEST N        a cell of one scene, the N-th
//! fill-store axis DEST          the cell's scenes, one a line
//! fill-store verify DEST        what the store holds, as JSON
//! ```
#![allow(clippy::print_stdout, reason = "its answers")]

use std::error::Error;
use std::process::ExitCode;

use ndarray::{Array3, Array4, s};
use surco_core::{CellId, Georef, Silent, Window};
use surco_store::{
    CellSpec, CollectionText, SHARD_DATES, SceneRecord, SceneSlot, ShardBuffer, ShardPixels, Store,
};

const DATES: usize = 18;
const BANDS: usize = 10;
const SIDE: usize = 320;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", to] => write(to)?,
        ["plan", to, n] => {
            let spec = CellSpec { scenes: vec![slot(n.parse()?)], ..spec() };
            Store::create_or_open(to)?.plan_cell(&id(), &spec)?;
        }
        ["axis", to] => {
            let spec = CellSpec { scenes: Vec::new(), ..spec() };
            for scene in Store::open(to)?.axis(&id(), &spec)? {
                println!("{}", scene.id);
            }
        }
        ["verify", to] => verify(to)?,
        _ => return Err("see the head of its source".into()),
    }
    Ok(())
}

fn write(to: &str) -> Result<(), Box<dyn Error>> {
    let store = Store::create_or_open(to)?;
    let axis = store.plan_cell(&id(), &spec())?;
    for shard in 0..DATES.div_ceil(SHARD_DATES) {
        let all: Vec<usize> = (shard * SHARD_DATES..DATES.min((shard + 1) * SHARD_DATES)).collect();
        // Half of the dates first: the second half makes the store keep what is there.
        for part in all.chunks(all.len().div_ceil(2)) {
            let slots: Vec<usize> = part.iter().map(|date| date % SHARD_DATES).collect();
            let done = store.manifest(&id(), shard)?.map(|m| m.dates).unwrap_or_default();
            if slots.iter().all(|slot| done.iter().any(|date| date.slot == *slot)) {
                continue;
            }
            let pixels = reflectance(part);
            let scl = Array3::from_shape_fn((part.len(), SIDE, SIDE), |(t, y, x)| {
                (mixed((part[t] * SIDE + y / 32) * SIDE + x / 32) % 12) as u8
            });
            let scenes: Vec<_> = part.iter().map(|&date| record(&axis[date])).collect();
            let buffer = &mut ShardBuffer::of(&slots, pixels.view(), scl.view());
            store.write_shard(
                &id(),
                shard,
                ShardPixels { slots: &slots, buffer, scenes: &scenes },
            )?;
        }
    }
    let outline = [[-71.2, -35.2], [-71.2, -35.3], [-71.1, -35.3], [-71.1, -35.2]];
    store.write_item(&id(), &outline)?;
    store.write_collection(&CollectionText {
        id: "noise".into(),
        description: "Noise over fields.".into(),
        license: "other".into(),
    })?;
    Ok(())
}

/// Everything that its manifests call done must be there, whole, and equal what was written.
fn verify(of: &str) -> Result<(), Box<dyn Error>> {
    let store = Store::open(of)?;
    let report = store.verify(&Silent)?;
    if !store.cells()?.is_empty() {
        let cell = store.unfinished_cell(&id())?;
        let window = Window { row: 50, col: 60, rows: 128, cols: 128 };
        for (place, scene) in cell.scenes.iter().enumerate() {
            let date: usize = scene.id.trim_start_matches("scene-").parse()?;
            let read = cell.read(&[place], window)?.reflectance;
            let want = reflectance(&[date]);
            if read != want.slice(s![.., .., 50..178, 60..188]) {
                return Err(format!("{} has other pixels than were written", scene.id).into());
            }
        }
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn id() -> CellId {
    CellId { tile: "19HBA".into(), row: 3, col: 9 }
}

fn spec() -> CellSpec {
    CellSpec {
        georef: Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_100_000.0, px_m: 10.0 },
        rows: SIDE,
        cols: SIDE,
        bands: (0..BANDS).map(|band| format!("B{band:02}")).collect(),
        scenes: (0..DATES).map(slot).collect(),
        ..CellSpec::default()
    }
}

fn slot(date: usize) -> SceneSlot {
    let id = format!("scene-{date}");
    SceneSlot { key: id.clone(), id, time_s: 1_500_000_000 + date as i64 * 432_000 }
}

fn record(slot: &SceneSlot) -> SceneRecord {
    SceneRecord {
        id: slot.id.clone(),
        inputs: String::new(),
        datetime: String::new(),
        platform: None,
        baseline: None,
        catalog: "local".into(),
        collection: None,
        offset: None,
        holes: Vec::new(),
        elsewhere: Vec::new(),
    }
}

/// Noise over fields: pixels that compress about as real ones do.
fn reflectance(dates: &[usize]) -> Array4<u16> {
    Array4::from_shape_fn((dates.len(), BANDS, SIDE, SIDE), |(t, band, row, col)| {
        let (row, col) = if band % 5 < 2 { (row, col) } else { (row / 2 * 2, col / 2 * 2) };
        let noise = mixed(((dates[t] * BANDS + band) * SIDE + row) * SIDE + col) >> 56;
        let field = mixed((row / 8 * SIDE + col / 8) * 64 + band) >> 54;
        1 + field as u16 + noise as u16
    })
}

/// Steele, Lea and Flood's `SplitMix64`.
fn mixed(seed: usize) -> u64 {
    let mut z = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
