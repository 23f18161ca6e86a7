//! The table of pre-training, on the pixels of the valley.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::refusals::refused;
use crate::valley::{Run, args, surco, valley};

fn set() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/three_crops")
}

/// A small encoder that nobody trained.
fn drawn(dir: &Path, name: &str, seed: u32) -> PathBuf {
    let (config, out) = (dir.join(format!("{name}.toml")), dir.join(name));
    let text = format!(
        "schema = 1\nsets = [{:?}]\nout = {out:?}\nways = 3\nsize = \"femto\"\nmethod = \"fomaml\"\nsteps = 0\nseed = {seed}\n",
        set()
    );
    fs::write(&config, text).unwrap();
    Run::of(surco(args!["meta", config]).arg("--json")).json();
    out.join("model")
}

/// The table of these rows, each with a folder it has a run from, on the valley's pixels with one label in a hundred.
fn table(out: &Path, rows: &[(&str, &Path)]) -> Command {
    let truth = valley().archive.join("truth/classes.tif");
    let mut command = surco(args!["evaluate", "pretraining", "--store", valley().store]);
    command.args(args!["--labels", truth, "--out", out]);
    command.args(["--seeds", "3", "--fractions", "1", "--frozen"]);
    for (name, folder) in rows {
        command.arg("--model").arg(format!("{name}={}", folder.display()));
    }
    command
}

/// The probe's score of a row at each seed.
fn probe(told: &Value, name: &str) -> Vec<f64> {
    let cells = told["sets"][0]["cells"].as_array().unwrap();
    let cell = cells.iter().find(|c| c["model"] == name && c["way"] == "probe").unwrap();
    cell["per_seed"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn runs_of_one_row_are_taken_in_turn() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let (one, two) = (drawn(dir, "one", 1), drawn(dir, "two", 2));
    let rows: [(&str, &Path); 4] = [("a", &one), ("b", &two), ("both", &one), ("both", &two)];
    let told = Run::of(table(&dir.join("table"), &rows).arg("--json")).json();
    let [a, b, both] = ["a", "b", "both"].map(|name| probe(&told, name));
    assert_ne!(a[1], b[1], "runs that agree tell nothing of turns");
    assert_eq!(both, [a[0], b[1], a[2]]);
    assert_eq!(told["models"].as_array().unwrap().len(), 4);
    let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/nano");
    let other: [(&str, &Path); 2] = [("a", &one), ("a", &nano)];
    refused(&mut table(&dir.join("other"), &other), 2, &["a=", "models/nano", "a row of its own"]);
}
