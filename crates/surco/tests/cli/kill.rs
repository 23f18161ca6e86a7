//! `kill -9`, then the same command again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::valley::{
    Run, args, assert_same_files, collect, files, map, pretrain_config, surco, valley, wait_until,
};

/// Kills a command as soon as something is so; false if it ended before.
pub(crate) fn kill_when(command: &mut Command, so: impl FnMut() -> bool) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(&mut child, so);
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

pub(crate) fn holds(folder: &Path, ending: &str) -> bool {
    folder.exists() && find(folder, ending)
}

/// Whether a file with this ending lies under a folder that a program is writing to.
fn find(folder: &Path, ending: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let path = entry.path();
        path.to_string_lossy().ends_with(ending) || (path.is_dir() && find(&path, ending))
    })
}

#[test]
fn a_killed_collection_ends_with_the_bytes_of_an_undisturbed_one() {
    // Each the first sign of a moment: nothing yet, planned, the first object, the first shard, the second.
    let moments = [
        "",
        "19HCB/zarr.json",
        "reflectance/c/0/0/.0.part",
        "reflectance/c/0/0/0",
        "t000.json",
        ".t001.json.part",
    ];
    let mut killed = 0;
    for moment in moments {
        let scratch = tempfile::tempdir().unwrap();
        let store = scratch.path().join("store");
        killed += usize::from(kill_when(&mut collect(&valley().items(), &store), || {
            moment.is_empty() || holds(&store, moment)
        }));
        let again = Run::of(&mut collect(&valley().items(), &store));
        assert_eq!(again.code, Some(0), "{moment}: {}", again.stderr);
        assert_same_files(&store, &valley().store);
    }
    assert!(killed >= 3, "{killed} of {} kills came in time", moments.len());
}

/// Moments of the kills; another one kills elsewhere.
const SEED: u64 = 20;

/// The done-lists of a store: one for each shard that is done.
fn shards_done(store: &Path) -> BTreeSet<PathBuf> {
    let is_list = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('t') && name.ends_with(".json")
    };
    match store.exists() {
        true => files(store).into_keys().filter(is_list).collect(),
        false => BTreeSet::new(),
    }
}

/// Twenty moments drawn over a run of five shards, each a `kill -9` on the store that the one before left
/// or on a new one once it is whole. What is there is never torn, what was called done stays done, and the
/// end is that of an undisturbed run.
#[test]
fn twenty_kills_at_random_moments_lose_and_tear_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let simulate = args!["simulate", "--out", at("archive"), "--side-px", "64", "--scenes", "54"];
    assert_eq!(Run::of(&mut surco(simulate)).code, Some(0));
    let items = at("archive").join("items.json");
    let began = Instant::now();
    let whole = Run::of(collect(&items, &at("whole")).arg("--json")).json();
    let lasts_ms = began.elapsed().as_millis() as u64;
    let shards = shards_done(&at("whole")).len();
    assert_eq!((whole["shards_done"].as_u64(), shards), (Some(5), 5));

    let (mut drawn, mut killed, mut stores) = (SEED, 0, 0);
    while killed < 20 {
        let store = at(&format!("store{stores}"));
        drawn =
            drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly early, so that a store is killed several times before it is whole.
        let moment = Duration::from_millis((drawn >> 33) % (lasts_ms * 2 / 3).max(1));
        let before = shards_done(&store);
        let began = Instant::now();
        let in_time = kill_when(&mut collect(&items, &store), || began.elapsed() >= moment);
        let after = shards_done(&store);
        assert!(before.is_subset(&after), "what was done is done: {before:?}, {after:?}");
        if !in_time {
            assert_same_files(&store, &at("whole"));
            stores += 1;
            assert!(stores < 60, "only {killed} runs were still going when they were killed");
            continue;
        }
        killed += 1;
        if after.is_empty() {
            continue; // Nothing is called done, so there is nothing to verify.
        }
        let verify = args!["collect", "verify", "--store", store, "--json"];
        let report: Value = last_json(&Run::of(&mut surco(verify)).stdout);
        assert_eq!(report["damaged"], json!([]), "kill {killed}");
    }
    // Only what was not done is done again.
    let last = at(&format!("store{stores}"));
    let left = shards - shards_done(&last).len();
    let resumed = Run::of(collect(&items, &last).arg("--json")).json();
    assert_eq!(resumed["shards_done"].as_u64(), Some(left as u64), "{resumed}");
    assert_same_files(&last, &at("whole"));
}

fn last_json(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).unwrap_or_default()
}

#[test]
fn two_collections_at_once_leave_the_bytes_of_one() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    let start = || {
        let mut one = collect(&valley().items(), &store);
        one.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let both = [start(), start()];
    for mut child in both {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_same_files(&store, &valley().store);
}

#[test]
fn a_half_collected_store_is_told_from_a_whole_one() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    let in_time = kill_when(&mut collect(&valley().items(), &store), || {
        holds(&store, "reflectance/c/0/0/.0.part")
    });
    let out = scratch.path().join("map.tif");
    let run = Run::of(&mut map(&valley().model, &valley().task, &store, &out));
    if in_time {
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert!(run.message().contains("run the same `surco collect` again"), "{}", run.message());
        assert!(!out.exists());
    }
}

#[test]
fn a_killed_training_goes_on_as_if_it_had_not_been() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let run = |name: &str, steps| {
        let config = at(&format!("{name}.toml"));
        let pretexts = "pretext = { masked = 1.0, causal = 1.0, latent = 1.0, invariance = 1.0 }\n";
        let text = pretrain_config(&valley().store, &at(name), steps) + pretexts;
        fs::write(&config, text).unwrap();
        config
    };
    let steps = 16;
    let whole = Run::of(&mut surco(args!["pretrain", run("whole", steps), "--json"])).json();
    let config = run("killed", steps);
    for checkpoint in ["step-00000004/mark.json", "step-00000010/mark.json"] {
        let in_time = kill_when(&mut surco(args!["pretrain", config, "--resume"]), || {
            holds(&at("killed"), checkpoint)
        });
        assert!(in_time, "the training ended before it could be killed at {checkpoint}");
        assert!(!at("killed/model").exists(), "no model before the last step");
    }
    let resumed = Run::of(&mut surco(args!["pretrain", config, "--resume", "--json"])).json();
    assert!(resumed["resumed_from"].as_u64().unwrap() >= 10, "{resumed}");
    let metrics = |name: &str| fs::read_to_string(at(name).join("metrics.jsonl")).unwrap();
    assert_eq!(metrics("killed"), metrics("whole"));
    let speed = fs::read_to_string(at("killed/speed.jsonl")).unwrap();
    assert_eq!(speed.lines().count(), 16, "a step once, whenever it was done: {speed}");
    assert_eq!(resumed["weights_sha256"], whole["weights_sha256"]);
    assert_same_files(&at("killed/model"), &at("whole/model"));
    let left = files(&at("killed"));
    assert!(!left.keys().any(|p| p.to_string_lossy().contains("surco-tmp")), "{:?}", left.keys());
}

#[test]
fn a_run_folder_is_not_taken_over_by_another_run() {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("pretrain.toml");
    let run = valley().model.parent().unwrap();
    fs::write(&config, pretrain_config(&valley().store, run, 4)).unwrap();
    let again = Run::of(&mut surco(args!["pretrain", config]));
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(again.message().contains("add --resume"), "{}", again.message());
    fs::write(&config, pretrain_config(&valley().store, run, 5)).unwrap();
    let other = Run::of(&mut surco(args!["pretrain", config, "--resume"]));
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(other.message().contains("another config"), "{}", other.message());
}
