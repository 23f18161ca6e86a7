//! The fault matrix: whatever a service does now and then, the store holds the bytes of a service that
//! does no wrong; what it does always is listed.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod world;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use surco_collect::{CollectError, CollectSummary, Patience};
use surco_core::{Fault as Kind, Silent};
use surco_store::Store;

use world::scenes::{folder, name};
use world::service::{Fault, STALL, Service};
use world::{PATIENCE, assert_same, collect, collect_with};

/// The store that everything is compared with, collected from files.
fn reference() -> &'static Path {
    static STORE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = || {
        let dir = tempfile::tempdir().unwrap();
        collect(folder().join("items.json").to_str().unwrap(), dir.path()).unwrap();
        dir
    };
    STORE.get_or_init(made).path()
}

/// Collects from a service of which so many answers in a thousand go wrong; the store must be the
/// reference.
fn survives(fault: Fault, permille: u64, seed: u64) -> CollectSummary {
    survives_with(fault, permille, seed, PATIENCE)
}

fn survives_with(fault: Fault, permille: u64, seed: u64, patience: Patience) -> CollectSummary {
    let service = Service::seeded(folder(), fault, permille, seed);
    let dir = tempfile::tempdir().unwrap();
    let summary =
        collect_with(&format!("{}/items.json", service.url), dir.path(), patience).unwrap();
    assert!(service.faults() > 3, "{fault:?}: only {} faults", service.faults());
    assert_eq!(summary.holes, [], "{fault:?}");
    assert_same(dir.path(), reference());
    summary
}

#[test]
fn a_busy_service_changes_no_byte() {
    survives(Fault::Busy, 50, 1);
    survives(Fault::Throttled, 50, 2);
    survives(Fault::Busy, 300, 3);
}

#[test]
fn broken_bodies_change_no_byte() {
    survives(Fault::Truncated, 40, 4);
    survives(Fault::Flipped, 40, 5);
    survives(Fault::Zeroed, 40, 6);
    survives(Fault::WrongRange, 40, 7);
}

#[test]
fn a_connection_that_gives_nothing_changes_no_byte() {
    // Less than a stall lasts; a request that only waits for its turn is asked for again, too.
    let patience = Patience { stall: STALL / 2, ..PATIENCE };
    survives_with(Fault::Stalled, 30, 8, patience);
}

#[test]
fn a_service_that_is_gone_for_a_while_changes_no_byte() {
    survives(Fault::Down, 40, 9);
}

#[test]
fn files_that_move_change_no_byte() {
    survives(Fault::Moved, 50, 10);
}

/// Nobody is there when the catalog is asked for, and for a while after.
#[test]
fn a_service_that_starts_late_is_waited_for() {
    let early = Service::new(folder(), Fault::Down, 0);
    let dir = tempfile::tempdir().unwrap();
    early.rest();
    let summary = collect(&format!("{}/items.json", early.url), dir.path()).unwrap();
    assert_eq!(summary.holes, []);
    assert_same(dir.path(), reference());
}

/// A file that changes under a run ends it, and nothing of the new file is mixed with the old one.
#[test]
fn files_that_change_end_a_run_and_leave_nothing_wrong_behind() {
    let service = Service::seeded(folder(), Fault::Changed, 2, 11);
    let dir = tempfile::tempdir().unwrap();
    let catalog = format!("{}/items.json", service.url);
    let mut ended = 0;
    for _ in 0..60 {
        match collect(&catalog, dir.path()) {
            Ok(summary) => {
                assert_eq!(summary.holes, []);
                break;
            }
            Err(error) => {
                assert!(matches!(error, CollectError::Changed { .. }), "{error}");
                assert_eq!(error.fault(), Kind::Network);
                ended += 1;
                let report = Store::open(dir.path()).unwrap().verify(&Silent).unwrap();
                assert_eq!(report.damaged, []);
            }
        }
    }
    assert!(ended > 0, "no run met a change");
    assert_same(dir.path(), reference());
}

/// Red of the first scene never decodes: 25 blocks in four cells, and the rest is as it should be.
#[test]
fn blocks_that_are_always_corrupt_are_listed() {
    for fault in [Fault::Flipped, Fault::Zeroed] {
        let service = Service::cursed(folder(), fault, "_20230501_0_L2A/red.tif");
        let dir = tempfile::tempdir().unwrap();
        let summary = collect(&format!("{}/items.json", service.url), dir.path()).unwrap();
        assert!(!summary.holes.is_empty(), "{fault:?}");
        for hole in &summary.holes {
            assert_eq!((hole.scene.as_str(), hole.hole.asset.as_deref()), (&*name(0), Some("red")));
            assert_eq!(hole.hole.bands, ["B04"], "{hole:?}");
            assert!(hole.hole.pixels > 0 && !hole.hole.reason.is_empty(), "{hole:?}");
        }
        let report = Store::open(dir.path()).unwrap().verify(&Silent).unwrap();
        assert_eq!((report.damaged.len(), report.missing_dates), (0, 0));
        assert_eq!(report.holes, summary.holes.len() as u64, "the store knows them too");
    }
}

#[test]
fn a_service_that_refuses_a_file_leaves_that_file_as_a_hole() {
    let service = Service::cursed(folder(), Fault::Forbidden, "_20230503_0_L2A/nir.tif");
    let dir = tempfile::tempdir().unwrap();
    let summary = collect(&format!("{}/items.json", service.url), dir.path()).unwrap();
    assert_eq!(summary.holes.len(), 4, "one a cell");
    assert!(summary.holes.iter().all(|h| h.hole.reason == "HTTP 403 Forbidden"));
    assert!(summary.holes.iter().all(|h| h.scene == name(2) && h.hole.bands == ["B08"]));
}

/// Two processes into one store at the same time: the second waits at each object, and both end well.
#[test]
fn two_runs_at_once_into_one_store_leave_the_bytes_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::new(folder(), Fault::Busy, 20);
    let catalog = format!("{}/items.json", service.url);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2)
            .map(|late| {
                let (catalog, store) = (catalog.clone(), dir.path());
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(late * 60));
                    collect(&catalog, store)
                })
            })
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap().unwrap().holes, []);
        }
    });
    assert_same(dir.path(), reference());
}
