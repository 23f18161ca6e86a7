//! `kill -9`, then the same command again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::valley::{
    Run, args, assert_same_files, collect, files, map, pretrain_config, surco, valley, wait_until,
};

/// Kills a command as soon as something is so; false if it ended before.
fn kill_when(command: &mut Command, so: impl FnMut() -> bool) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(&mut child, so);
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

fn holds(folder: &Path, ending: &str) -> bool {
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

#[test]
fn a_collection_killed_again_and_again_still_ends_with_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    for wait_ms in [10, 20, 40, 60, 80, 120] {
        let began = std::time::Instant::now();
        kill_when(&mut collect(&valley().items(), &store), || {
            began.elapsed().as_millis() >= wait_ms
        });
    }
    let last = Run::of(&mut collect(&valley().items(), &store));
    assert_eq!(last.code, Some(0), "{}", last.stderr);
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
        fs::write(&config, pretrain_config(&valley().store, &at(name), steps)).unwrap();
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
