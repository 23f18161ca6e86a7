//! Numbers in the stead of classes: a task that foretells one, its map, and the evaluation on tables.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::refusals::refused;
use crate::valley::{Run, args, map, surco, valley};

/// The valley's points with a number in the stead of their class.
fn points(folder: &Path, of: impl Fn(usize, &str) -> Value) -> PathBuf {
    let mut points: Value = serde_json::from_slice(&fs::read(&valley().points).unwrap()).unwrap();
    for (i, feature) in points["features"].as_array_mut().unwrap().iter_mut().enumerate() {
        let class = feature["properties"]["class"].as_str().unwrap().to_owned();
        feature["properties"] = json!({ "rendimiento": of(i, &class) });
    }
    let path = folder.join("cosecha.geojson");
    fs::write(&path, points.to_string()).unwrap();
    path
}

fn adapt(labels: &Path, out: &Path, block_m: &str) -> std::process::Command {
    let (model, store) = (&valley().model, &valley().store);
    let args = args!["adapt", "--model", model, "--store", store, "--labels", labels, "--out", out];
    let mut command = surco(args);
    command.args(["--number=rendimiento", "--seeds=2", "--block-m", block_m]);
    command
}

#[test]
fn a_number_is_learned_mapped_and_listed() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("yield");
    let number = |i: usize, class: &str| json!(class.len() as f64 + 0.1 * i as f64);
    let labels = points(scratch.path(), number);
    let told = Run::of(adapt(&labels, &out, "60").arg("--json")).json();
    assert_eq!(told["number"], "rendimiento");
    let judged = &told["cross_validation"];
    let methods: Vec<&str> =
        judged["rows"].as_array().unwrap().iter().map(|r| r["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["mean", "forest, values", "surco"]);
    for row in judged["rows"].as_array().unwrap() {
        assert!(row["rmse"]["mean"].as_f64().unwrap() > 0.0 && row["bias"]["mean"].is_number());
    }
    assert!(judged["better_than_mean"].is_boolean());
    let covered = judged["coverage"]["mean"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&covered), "{covered}");

    let path = scratch.path().join("yield.tif");
    let mapped = Run::of(map(&valley().model, &out, &valley().store, &path).arg("--json")).json();
    assert!(mapped["mean"].is_number() && mapped["mean_width"].as_f64().unwrap() > 0.0);
    for name in ["yield.tif", "yield.width.tif"] {
        assert!(scratch.path().join(name).is_file(), "{name}");
    }
    let listed = Run::of(surco(args!["tasks", scratch.path()]).arg("--json")).json();
    assert_eq!(listed["tasks"][0]["number"], "rendimiento");
    assert_eq!(listed["tasks"][0]["labels"], told["labels"]);
    let people = Run::of(&mut surco(args!["tasks", scratch.path(), "--find", "RENDIMIENTO"]));
    assert!(people.stdout.contains("yield: the number rendimiento"), "{}", people.stdout);
}

#[test]
fn what_is_no_number_or_lies_too_close_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("yield");
    let labels = points(scratch.path(), |i, _| if i == 1 { json!("mucho") } else { json!(i) });
    refused(&mut adapt(&labels, &out, "60"), 3, &["feature 2", "`rendimiento` has `mucho`"]);
    let labels = points(scratch.path(), |i, _| json!(i));
    refused(&mut adapt(&labels, &out, "5000"), 3, &["blocks of 5000 m", "--block-m"]);
    refused(&mut adapt(&labels, &valley().task, "60"), 2, &["holds a task of classes", "--out"]);
    assert!(!out.exists());
}

/// Expected values: the number is 100 × NDVI of one date, so trees find it and the mean cannot.
#[test]
fn a_table_of_numbers_is_evaluated_beside_the_mean() {
    let set = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/regression");
    let ask = |points: &str| {
        let (points, series) = (set.join(points), set.join("series.parquet"));
        let args = args!["evaluate", "regression", "--points", points, "--series", series];
        let mut command = surco(args);
        command.arg("--seeds=3");
        command
    };
    let told = Run::of(ask("points.parquet").arg("--json")).json();
    assert_eq!((&told["set"], &told["judged_on"]), (&json!("tiny"), &json!(60)));
    let rmse = |method: &str| {
        let row = told["rows"].as_array().unwrap().iter().find(|r| r["method"] == method).unwrap();
        row["rmse"]["mean"].as_f64().unwrap()
    };
    assert!(rmse("surco") < 0.7 * rmse("mean"), "{told}");
    assert!(rmse("forest, values") < rmse("mean"), "{told}");
    refused(&mut ask("nothing.parquet"), 3, &["nothing.parquet"]);
}
