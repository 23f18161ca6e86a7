//! Whole archives: the same bytes twice, products that hold together, a classification that errs a little.

#![expect(clippy::unwrap_used, reason = "clippy sees no tests in the functions that tests share")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use surco_core::{PixelEvidence, Progress, S2_BANDS, Scl, Silent, pixel_evidence};
use surco_raster::cog::CogFile;
use surco_sim::{LandUse, SimError, Valley, ValleyConfig, write_archive};

fn small() -> ValleyConfig {
    ValleyConfig { side_px: 128, scenes: 8, ..ValleyConfig::default() }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every file below a folder with its bytes.
fn files(root: &Path, below: &Path, out: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, out);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            out.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn the_same_config_gives_the_same_bytes_on_any_number_of_threads() {
    let write = |threads: usize| {
        let out = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write_archive(&small(), out.path(), &Silent)).unwrap();
        let mut found = BTreeMap::new();
        files(out.path(), out.path(), &mut found);
        found
    };
    let (one, three) = (write(1), write(3));
    assert_eq!(one.len(), 11 * 10 + 2 + 7, "{:?}", one.keys());
    assert!(one.keys().eq(three.keys()));
    for (name, bytes) in &one {
        assert!(bytes == &three[name], "{name} differs");
    }
}

#[test]
fn items_describe_the_files_beside_them() {
    let out = tempfile::tempdir().unwrap();
    let archive = write_archive(&small(), out.path(), &Silent).unwrap();
    let items = read(&archive.items);
    let items = items["features"].as_array().unwrap();
    assert_eq!(items.len(), archive.scenes);
    let mut takes = BTreeMap::new();
    for item in items {
        let properties = &item["properties"];
        let baseline = properties["s2:processing_baseline"].as_str().unwrap();
        let offset = if baseline < "04.00" { 0.0 } else { -0.1 };
        for band in &S2_BANDS {
            let asset = &item["assets"][band.asset_key];
            assert_eq!(asset["raster:bands"][0]["offset"].as_f64(), Some(offset), "{baseline}");
            let path = out.path().join(asset["href"].as_str().unwrap());
            assert_eq!(
                std::fs::metadata(&path).unwrap().len(),
                asset["file:size"].as_u64().unwrap()
            );
            assert!(asset["file:checksum"].as_str().unwrap().starts_with("1220"));
            let cog = CogFile::open(&path).unwrap();
            assert_eq!(cog.header().georef.unwrap().px_m, f64::from(band.gsd_m));
        }
        let take = properties["s2:datatake_id"].as_str().unwrap().split("_N").next().unwrap();
        takes.entry(take.to_owned()).or_insert_with(Vec::new).push(baseline.to_owned());
    }
    let twins: Vec<_> = takes.values().filter(|b| b.len() == 2).collect();
    assert_eq!(twins.len(), 2, "{takes:?}");
    assert!(twins.iter().all(|b| b[0] != b[1]));
    let total: f64 = archive.areas.iter().map(|a| a.area_ha).sum();
    assert!((total - 128.0 * 128.0 / 100.0).abs() < 1e-6);
    let fields = read(&archive.truth_dir.join("fields.geojson"));
    let wheat =
        fields["features"].as_array().unwrap().iter().find(|f| f["properties"]["code"] == 1);
    assert!((0.3..12.0).contains(&wheat.unwrap()["properties"]["yield_t_ha"].as_f64().unwrap()));
}

#[test]
fn counts_are_plausible_offsets_are_in_them_and_swaths_end() {
    let valley = Valley::new(&ValleyConfig { side_px: 256, ..ValleyConfig::default() }).unwrap();
    let (mut gaps, mut present, mut absent) = (0, 0, 0);
    for pass in valley.passes().iter().step_by(3) {
        let scene = valley.shoot(pass);
        for (band, counts) in S2_BANDS.iter().zip(&scene.bands) {
            let low = counts.iter().copied().filter(|&c| c > 0).min().unwrap();
            assert!(low > pass.offset_dn, "{} {}: {low}", pass.item_id, band.name);
            assert!(*counts.iter().max().unwrap() < 17_001, "{}", band.name);
            // 0 where, and only where, the classification says no data
            let step = (20 / band.gsd_m) as usize;
            for ((row, col), &class) in scene.scl.indexed_iter() {
                let empty = counts[[row * step, col * step]] == 0;
                assert_eq!(empty, class == Scl::NoData as u8);
            }
        }
        let share = scene.percent(&[Scl::NoData]);
        assert_eq!(share > 0.0, pass.is_partial(), "{share} % outside the swath");
        gaps += usize::from(share > 15.0);
        match (pixel_evidence(scene.bands[2].iter().copied()), pass.offset_dn) {
            (PixelEvidence::Present, 1000) => present += 1,
            (PixelEvidence::Absent, 0) => absent += 1,
            (PixelEvidence::Silent, _) => {}
            (evidence, offset) => panic!("{}: {evidence:?} at offset {offset}", pass.item_id),
        }
    }
    assert!(gaps >= 3 && present >= 3 && absent >= 3, "{gaps} {present} {absent}");
}

#[test]
fn the_classification_is_mostly_but_not_always_right() {
    let valley = Valley::new(&ValleyConfig { side_px: 256, ..ValleyConfig::default() }).unwrap();
    let (mut right, mut all, mut missed, mut false_alarm, mut hidden) = (0, 0, 0, 0, 0);
    for pass in valley.passes() {
        let scene = valley.shoot(pass);
        for (&guess, &truth) in scene.scl.iter().zip(&scene.sky).filter(|(_, t)| **t != 255) {
            let clear = Scl::is_clear(guess);
            all += 1;
            right += usize::from(clear == (truth == 0));
            hidden += usize::from(truth > 0);
            missed += usize::from(clear && truth > 0);
            false_alarm += usize::from(!clear && truth == 0);
        }
    }
    let part = f64::from(right as u32) / f64::from(all);
    assert!((0.93..0.999).contains(&part), "{part} right");
    let omitted = missed as f64 / hidden as f64;
    assert!((0.01..0.25).contains(&omitted), "{omitted} of hidden pixels pass as clear");
    assert!(false_alarm > 0);
}

#[test]
fn the_default_valley_has_every_class() {
    let valley = Valley::new(&ValleyConfig::default()).unwrap();
    let total: f64 = valley.areas().iter().map(|a| a.area_ha).sum();
    assert_eq!(valley.areas().len(), LandUse::ALL.len());
    for area in valley.areas() {
        assert!(area.area_ha > 0.01 * total, "{area:?}");
        assert!((area.ground_ha / area.area_ha - 1.0).abs() < 0.15, "{area:?}");
    }
}

#[test]
fn a_stop_is_heard_and_leaves_no_item_collection() {
    struct Impatient(AtomicU64);
    impl Progress for Impatient {
        fn report(&self, stage: &'static str, _done: u64, _total: u64, _message: &str) {
            self.0.fetch_add(u64::from(stage == "scenes"), Ordering::Relaxed);
        }
        fn stopped(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= 2
        }
    }
    let out = tempfile::tempdir().unwrap();
    let error = write_archive(&small(), out.path(), &Impatient(AtomicU64::new(0))).unwrap_err();
    assert!(matches!(error, SimError::Stopped { total: 10, .. }), "{error}");
    assert!(!out.path().join("items.json").exists());
}
