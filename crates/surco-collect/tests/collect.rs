//! Whole paths: from a catalog to the store, over files and over a service that misbehaves.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use surco_collect::{CollectError, CollectRequest, plan_with, run};
use surco_core::{Fault as Kind, Progress, Scl, Silent, Window};
use surco_store::Store;

use world::scenes::{BANDS, COLS, DATES, ROWS, folder, name, scl, truth};
use world::service::{Fault, Service};
use world::{PATIENCE, assert_same, collect, files, options, request};

fn catalog() -> String {
    folder().join("items.json").to_str().unwrap().into()
}

/// The store that everything is compared with, collected from files.
fn reference() -> &'static Path {
    static STORE: OnceLock<tempfile::TempDir> = OnceLock::new();
    STORE
        .get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            collect(&catalog(), dir.path()).unwrap();
            dir
        })
        .path()
}

/// Compares every pixel of a store with the scenes' truth.
fn check(store: &Path, clouds: bool) {
    let store = Store::open(store).unwrap();
    let cells = store.cells().unwrap();
    let names: Vec<String> = cells.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["19HBA/r00c00", "19HBA/r00c01", "19HBA/r01c00", "19HBA/r01c01"]);
    let (mut pixels, mut cloudy) = (0, 0);
    for id in &cells {
        let cell = store.cell(id).unwrap();
        let dates: Vec<usize> = (0..DATES).collect();
        let window = Window { row: 0, col: 0, rows: cell.rows, cols: cell.cols };
        let read = cell.read(&dates, window).unwrap();
        for ((date, band, row, col), &dn) in read.reflectance.indexed_iter() {
            let (row, col) = (row + id.row * 1024, col + id.col * 1024);
            let factor = BANDS[band].2;
            let seen = clouds || Scl::is_clear(scl(date, row / 2, col / 2));
            let want = if seen { truth(date, band, row / factor, col / factor) } else { 0 };
            assert_eq!(dn, want, "date {date} band {band} row {row} col {col}");
            pixels += 1;
            cloudy += usize::from(!seen);
        }
        for ((date, row, col), &class) in read.scl.indexed_iter() {
            let (row, col) = (row + id.row * 1024, col + id.col * 1024);
            assert_eq!(class, scl(date, row / 2, col / 2));
        }
    }
    assert_eq!(pixels, ROWS * COLS * DATES * BANDS.len());
    assert_eq!(cloudy > 0, !clouds, "{cloudy}");
}

#[test]
fn every_pixel_of_every_date_is_the_truth_and_clouds_are_no_data() {
    check(reference(), false);
}

#[test]
fn clouds_are_kept_if_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let asked = CollectRequest { keep_clouds: true, ..request(&catalog()) };
    let plan = plan_with(&asked, PATIENCE, &Silent).unwrap();
    let done = run(&plan, &options(dir.path()), &Silent).unwrap();
    assert_eq!(done.holes, []);
    check(dir.path(), true);
}

#[test]
fn what_is_done_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let first = collect(&catalog(), dir.path()).unwrap();
    assert_eq!((first.shards_done, first.shards_skipped, first.scenes), (8, 0, 14));
    assert_eq!((first.verdicts.subtracted, first.verdicts.absent), (7, 7));
    assert_eq!(first.holes, []);
    let again = collect(&catalog(), dir.path()).unwrap();
    assert_eq!((again.shards_done, again.shards_skipped, again.bytes_fetched), (0, 8, 0));
    assert_eq!(again.verdicts, first.verdicts);
    assert_same(dir.path(), reference());
}

#[test]
fn each_block_is_fetched_once_and_ports_leave_no_trace() {
    let service = Service::new(folder(), Fault::None, 0);
    let dir = tempfile::tempdir().unwrap();
    let summary = collect(&format!("{}/items.json", service.url), dir.path()).unwrap();
    assert_same(dir.path(), reference());
    let log = service.log();
    assert_eq!(log.iter().collect::<BTreeSet<_>>().len(), log.len(), "no range twice");
    // 256-px blocks: 5 × 5 a 10 m band, 3 × 3 a 20 m band and the classes.
    assert_eq!(summary.blocks, (DATES * (3 * 25 + 2 * 9)) as u64);
    // No byte of a file twice, but for headers and overviews.
    let files: u64 = walk(folder()).iter().map(|p| fs::metadata(p).unwrap().len()).sum();
    assert!(summary.bytes_fetched < files * 11 / 10 + 70 * 32_768, "{}", summary.bytes_fetched);
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    files(dir).keys().map(|key| dir.join(key)).collect()
}

#[test]
fn a_dead_service_is_a_network_fault_and_nothing_is_lost() {
    let service = Service::new(folder(), Fault::Busy, 1000);
    let dir = tempfile::tempdir().unwrap();
    let error = collect(&format!("{}/items.json", service.url), dir.path()).unwrap_err();
    assert_eq!(error.fault(), Kind::Network, "{error}");
    assert!(error.to_string().contains("after 12 attempts (HTTP 503"), "{error}");
    let nobody = collect("http://127.0.0.1:9/items.json", dir.path()).unwrap_err();
    assert_eq!(nobody.fault(), Kind::Network, "{nobody}");
    collect(&catalog(), dir.path()).unwrap();
    assert_same(dir.path(), reference());
}

#[test]
fn parts_of_a_plan_add_up_to_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_with(&request(&catalog()), PATIENCE, &Silent).unwrap();
    for shard_index in [1, 0, 2] {
        let mut part = options(dir.path());
        (part.shard_index, part.shard_count) = (shard_index, 3);
        run(&plan, &part, &Silent).unwrap();
    }
    assert_same(dir.path(), reference());
}

/// Stops after some looks.
struct Impatient(AtomicU64);

impl Progress for Impatient {
    fn report(&self, _: &'static str, _: u64, _: u64, _: &str) {}

    fn stopped(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_with(&request(&catalog()), PATIENCE, &Silent).unwrap();
    let mut stops = 0;
    for looks in [2, 9, 17, 30, 60] {
        match run(&plan, &options(dir.path()), &Impatient(AtomicU64::new(looks))) {
            Err(CollectError::Stopped) => stops += 1,
            other => assert!(other.is_ok(), "{other:?}"),
        }
    }
    assert!(stops >= 3);
    run(&plan, &options(dir.path()), &Silent).unwrap();
    assert_same(dir.path(), reference());
}

/// Runs this test binary as a child that collects, and kills it at twelve moments.
#[test]
fn a_killed_run_leaves_no_trace() {
    let _ = reference();
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut finished = false;
    for turn in 0..12 {
        let mut child = std::process::Command::new(&exe)
            .args(["--exact", "child_collects", "--ignored", "--quiet"])
            .env("SURCO_TEST_CATALOG", catalog())
            .env("SURCO_TEST_STORE", dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20 + turn * 37));
        finished |= child.try_wait().unwrap().is_some();
        child.kill().ok();
        child.wait().unwrap();
        let store = Store::open(dir.path());
        for id in store.iter().flat_map(|s| s.cells().unwrap()) {
            let cell = store.as_ref().unwrap().unfinished_cell(&id).unwrap();
            let window = Window { row: 0, col: 0, rows: cell.rows, cols: cell.cols };
            let dates: Vec<usize> = (0..cell.times.len()).collect();
            cell.read(&dates, window).expect("what is called done can be read");
        }
    }
    if !finished {
        collect(&catalog(), dir.path()).unwrap();
    }
    assert_same(dir.path(), reference());
}

#[test]
#[ignore = "the child of `a_killed_run_leaves_no_trace`"]
fn child_collects() {
    let (catalog, store) = ("SURCO_TEST_CATALOG", "SURCO_TEST_STORE");
    if let (Ok(catalog), Ok(store)) = (std::env::var(catalog), std::env::var(store)) {
        collect(&catalog, Path::new(&store)).unwrap();
    }
}

#[test]
fn names_of_scenes_are_in_the_order_of_time() {
    let store = Store::open(reference()).unwrap();
    let cell = store.cell(&"19HBA/r01c01".parse().unwrap()).unwrap();
    let ids: Vec<&str> = cell.scenes.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, (0..DATES).map(name).collect::<Vec<_>>());
}
