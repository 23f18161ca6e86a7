//! Collecting a real stack: 118 dates of Sentinel-2 over Flanders, 10 bands, 640 m.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use surco_verify::{Tree, data, oracle, result_of, surco, tree};

const ITEMS: &str = "s2_stack_flanders_2018_31UDS/items.json";

fn collect(store: &Path) -> Command {
    let items = data(ITEMS);
    surco::<OsString>([
        "collect".into(),
        "--catalog".into(),
        items.into(),
        "--store".into(),
        store.into(),
        "--json".into(),
    ])
}

/// Expected values: the source files themselves, read by rasterio; the store, by xarray.
#[test]
fn every_pixel_of_every_date_is_in_the_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("store");
    let result = result_of(collect(&store));
    assert_eq!(result["scenes"], 118, "{result}");
    assert_eq!(result["holes"], 0, "{result}");
    oracle("store.py", [store.as_os_str(), data(ITEMS).as_os_str()]);
}

/// The same command after `kill -9`, at seven moments spread over the run, and once more after a
/// row of them in one store, leaves the bytes of a run that nobody disturbed.
#[test]
fn a_killed_collect_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole/store");
    let began = Instant::now();
    let _ = result_of(collect(&whole));
    let full = began.elapsed();
    let want = tree(&whole);
    assert!(!want.is_empty(), "the undisturbed store is empty");

    // Sevenths shifted by an irrational, so that the moments fall on no round share of the work.
    let moments: Vec<_> = (0..7).map(|i| full.mul_f64((f64::from(i) + 0.618) / 7.0)).collect();
    let mut cut = 0;
    for (i, moment) in moments.iter().enumerate() {
        let store = folder.path().join(format!("killed{i}/store"));
        cut += u32::from(killed_after(&store, *moment));
        let _ = result_of(collect(&store));
        assert_same(&tree(&store), &want, &format!("killed after {moment:?} of {full:?}"));
    }
    assert!(cut >= 4, "only {cut} of 7 runs were still going when they were killed");

    let store = folder.path().join("often/store");
    for moment in &moments {
        killed_after(&store, *moment);
    }
    let _ = result_of(collect(&store));
    assert_same(&tree(&store), &want, "killed seven times");
}

/// Starts a collect, kills it without warning, and says whether it was still at work.
fn killed_after(store: &Path, moment: Duration) -> bool {
    let mut child = collect(store)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    sleep(moment);
    let at_work = child.try_wait().expect("a child can be asked").is_none();
    child.kill().expect("a child can be killed"); // SIGKILL on Unix
    child.wait().expect("a child can be waited for");
    at_work
}

fn assert_same(got: &Tree, want: &Tree, when: &str) {
    let differing: Vec<_> = got
        .iter()
        .filter(|(path, hash)| want.get(*path) != Some(hash))
        .map(|(path, _)| path)
        .chain(want.keys().filter(|path| !got.contains_key(*path)))
        .collect();
    assert!(differing.is_empty(), "{when}: these files differ or are missing: {differing:?}");
}
