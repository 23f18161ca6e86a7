//! Ctrl-C while the demo runs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::valley::{Run, args, files, surco};

/// Starts the demo and waits for a stage of it.
fn demo_at(stage: &str, out: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut demo = surco(args!["demo", "--json", "--out", out]);
    let mut child = demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let wanted = format!("\"stage\":\"{stage}\"");
    let mut line = String::new();
    while !line.contains(&wanted) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the demo ended before {stage}");
    }
    (child, lines)
}

/// Presses Ctrl-C and gives the last line of stderr.
fn press_ctrl_c((mut child, mut lines): (Child, BufReader<std::process::ChildStderr>)) -> String {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let (mut line, mut last) = (String::new(), String::new());
    while lines.read_line(&mut line).unwrap() > 0 {
        last = std::mem::take(&mut line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(1), "{last}");
    last
}

/// Nothing that could be taken for a result, and nothing half written.
fn assert_nothing_to_trust(out: &Path) {
    for result in ["summary.json", "report.html", "map.tif", "model", "task"] {
        assert!(!out.join(result).exists(), "{result} exists after Ctrl-C");
    }
    for name in files(out).keys() {
        let name = name.to_string_lossy();
        assert!(!name.ends_with(".surco-tmp") && !name.ends_with(".part"), "{name} was left");
    }
}

#[test]
fn ctrl_c_leaves_nothing_of_a_demo_that_a_later_one_would_trust() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("demo");
    let last = press_ctrl_c(demo_at("scenes", &out));
    assert!(last.contains("stopped") && last.contains("\"exit_code\":1"), "{last}");
    assert_nothing_to_trust(&out);

    // As a kill would have left it: whatever lies there, the next demo starts anew.
    fs::write(out.join("summary.json"), "{}").unwrap();
    fs::write(out.join("report.html"), "<p>old</p>").unwrap();
    fs::create_dir_all(out.join("store/home")).unwrap();
    fs::write(out.join("store/home/.zarr.json.part"), "{").unwrap();
    fs::create_dir_all(out.join("run")).unwrap();
    fs::write(out.join("run/config.toml"), "schema = 1").unwrap();

    let last = press_ctrl_c(demo_at("pretrain", &out));
    assert!(last.contains("stopped") && last.contains("again"), "{last}");
    assert_nothing_to_trust(&out);
    assert!(!out.join("store/home/.zarr.json.part").exists());

    let mut third = demo_at("scenes", &out).0;
    assert!(!out.join("store").exists() && !out.join("run").exists(), "begun anew");
    third.kill().unwrap();
    third.wait().unwrap();
}

#[test]
fn a_demo_leaves_folders_of_others_alone() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("thesis.tex"), "years of work").unwrap();
    let run = Run::of(&mut surco(args!["demo", "--out", scratch.path()]));
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.message().contains("choose another --out"), "{}", run.message());
    assert_eq!(files(scratch.path()).len(), 1);
}
