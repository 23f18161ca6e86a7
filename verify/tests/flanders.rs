//! Collecting a real stack: 118 dates of Sentinel-2 over Flanders, 10 bands, 640 m.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use surco_verify::{Tree, data, oracle, result_of, surco, tree};

const METHODS: [&str; 7] =
    ["chance", "lr_raw", "lr_raw_ndvi", "rf_raw", "random_encoder", "surco_embedding", "surco"];
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
    println!("{}", oracle("store.py", [store.as_os_str(), data(ITEMS).as_os_str()]));
}

/// Trains on the stack without labels, then names crops from ten pixels each of its northern part and is
/// scored on the southern. The figures are printed, whatever they are; sixty small steps are no training.
#[test]
fn learning_on_the_stack_gives_every_row_with_its_spread() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, run) = (folder.path().join("store"), folder.path().join("run"));
    let _ = result_of(collect(&store));
    let config = folder.path().join("pretrain.toml");
    let text = format!(
        "schema = 1\nstores = [{store:?}]\nout = {run:?}\nsize = \"nano\"\nsteps = 60\nbatch = 32\n"
    );
    fs::write(&config, text).expect("the folder is writable");
    let trained = result_of(surco::<OsString>(["pretrain".into(), config.into(), "--json".into()]));
    let loss = |key: &str| trained[key].as_f64().unwrap_or_else(|| panic!("`{key}`: {trained}"));
    assert!(loss("loss_last") < loss("loss_first"), "{trained}");

    let result = result_of(surco::<OsString>([
        "evaluate".into(),
        "pixels".into(),
        "--store".into(),
        store.into(),
        "--labels".into(),
        data("s2_stack_flanders_2018_31UDS/label_CT.tif").into(),
        "--model".into(),
        run.join("model").into(),
        "--shots=10".into(),
        "--support=north".into(),
        "--seeds=5".into(),
        "--json".into(),
    ]));
    let rows = result["rows"].as_array().expect("`rows` is a list");
    for method in METHODS {
        let row = rows
            .iter()
            .find(|row| row["method"] == method)
            .unwrap_or_else(|| panic!("no row of {method} in {result}"));
        println!("{method:16} {} ± {}", row["mean"], row["sd"]);
        let seeds = row["per_seed"].as_array().expect("`per_seed` is a list");
        assert_eq!((row["n"].as_u64(), seeds.len()), (Some(5), 5), "{row}");
        let shares = seeds.iter().chain([&row["mean"]]).map(|v| v.as_f64().unwrap_or(f64::NAN));
        assert!(shares.into_iter().all(|v| (0.0..=1.0).contains(&v)), "{row}");
        let sd = row["sd"].as_f64().unwrap_or(f64::NAN);
        assert!(sd > 0.0 || method == "chance", "no spread: {row}");
    }
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

    // Multiples of an irrational, so that the moments fall on no round share of the work. A run that was
    // over before its moment was quicker than the first one: the next are killed sooner.
    let (mut lasts, mut moments) = (full, Vec::new());
    for turn in 1..40 {
        let moment = lasts.mul_f64((f64::from(turn) * 0.618).fract());
        let store = folder.path().join(format!("killed{turn}/store"));
        if killed_after(&store, moment) {
            moments.push(moment);
        } else {
            lasts = moment;
        }
        let _ = result_of(collect(&store));
        assert_same(&tree(&store), &want, &format!("killed after {moment:?} of {full:?}"));
        if moments.len() == 7 {
            break;
        }
    }
    assert_eq!(moments.len(), 7, "runs that were still going when they were killed");

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
