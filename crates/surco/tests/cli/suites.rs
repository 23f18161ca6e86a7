//! Benchmark suites: ranks over sets, GEO-Bench's summary, EuroCropsML.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::refusals::refused;
use crate::valley::{Run, args, files, surco, valley};

/// What lies beside the sources of another room.
fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A result of `surco evaluate fewshot`, every method with five seeds.
fn result(dir: &Path, set: &str, methods: &[(&str, f64)]) -> PathBuf {
    let row = |&(method, mean): &(&str, f64)| {
        let per_seed: Vec<f64> = (0..5).map(|seed| mean + 0.01 * f64::from(seed)).collect();
        json!({"method": method, "k": 5, "mean": mean + 0.02, "sd": 0.0158, "n": 5, "per_seed": per_seed})
    };
    let rows: Vec<Value> = methods.iter().map(row).collect();
    let path = dir.join(format!("{set}.json"));
    let whole = json!({"set": set, "metric": "balanced accuracy", "rows": rows});
    fs::write(&path, whole.to_string()).unwrap();
    path
}

#[test]
fn ranks_are_told_and_drawn() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let one = result(dir, "one", &[("surco", 0.6), ("forest", 0.5), ("place", 0.1)]);
    let two = result(dir, "two", &[("surco", 0.7), ("forest", 0.72)]);
    let out = dir.join("out");
    let told = Run::of(&mut surco(args!["evaluate", "ranks", &one, &two, "--out", &out]));
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert!(lines[0].starts_with("2 tasks, critical difference 1.39"), "{lines:?}");
    assert!(lines[2].starts_with("forest") && lines[2].contains("1.50"), "{lines:?}");
    assert!(
        lines[4].starts_with("surco against forest: +4.0 points, ahead on 1 of 2 tasks"),
        "{lines:?}"
    );
    assert_eq!(lines[5], "not ranked: place, lacking in 1 tasks");
    let names: Vec<String> = files(&out).into_keys().map(|n| n.display().to_string()).collect();
    assert_eq!(names, ["ranks.svg", "report.html", "table.csv", "table.json", "table.md"]);
    let refused_ = refused(&mut surco(args!["evaluate", "ranks", &one, &one]), 3, &["twice"]);
    assert!(refused_.contains("the set one"));
    let nobody = surco(args!["evaluate", "ranks", &one, &two, "--ours", "nobody"]);
    refused(&mut { nobody }, 2, &["nobody", "forest, surco"]);
}

#[test]
fn published_runs_are_summed_up_as_they_were_published() {
    let scratch = tempfile::tempdir().unwrap();
    let runs = beside("surco-eval/fixtures/geobench_runs.csv");
    let out = scratch.path().join("out");
    let told = Run::of(&mut surco(args![
        "evaluate",
        "geobench",
        "--results",
        &runs,
        "--out",
        &out,
        "--json"
    ]))
    .json();
    let iqm = |at: usize| (1000.0 * told["cells"][at]["iqm_raw"].as_f64().unwrap()).round();
    assert_eq!((iqm(0), iqm(1)), (566.0, 940.0), "as printed: 56.6 and 94.0 %");
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("m-chesapeake"));
    let nowhere = surco(args!["evaluate", "geobench", "--results", scratch.path().join("no.csv")]);
    refused(
        &mut { nowhere },
        3,
        &["no.csv is not there", "https://github.com/ServiceNow/geo-bench"],
    );
}

#[test]
fn parcels_are_told_apart_from_their_published_splits() {
    let set = beside("surco-data/fixtures/eurocropsml");
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let told = Run::of(&mut surco(args![
        "evaluate",
        "eurocropsml",
        &set,
        "--shots",
        "1,5",
        "--model",
        &valley().model,
        "--out",
        &out,
        "--json"
    ]))
    .json();
    let rows = told["rows"].as_array().unwrap();
    let of = |method: &str, k: u64| {
        rows.iter().find(|r| r["method"] == method && r["k"] == k).unwrap()["mean"]
            .as_f64()
            .unwrap()
    };
    assert!(of("lr_raw", 5) > 0.9 && of("surco", 5) > 0.9, "{rows:#?}");
    assert!(rows.iter().all(|row| row["n"] == 5));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Seed 0 learns from the published training file"));
    refused(
        &mut surco(args!["evaluate", "eurocropsml", scratch.path().join("nowhere")]),
        3,
        &["nowhere is not there", "https://zenodo.org/records/15095445"],
    );
    let other = surco(args!["evaluate", "eurocropsml", &set, "--shots", "20"]);
    refused(&mut { other }, 3, &["region_split_20.json"]);
}

#[test]
fn pixels_are_told_apart_on_published_folds() {
    let set = beside("surco-data/fixtures/pastis");
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let told = Run::of(&mut surco(args![
        "evaluate",
        "pastis",
        &set,
        "--pixels",
        "40",
        "--model",
        &valley().model,
        "--out",
        &out,
        "--json"
    ]))
    .json();
    let rows = told["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["method"].as_str().unwrap()).collect();
    assert_eq!(names, ["surco, frozen", "random weights", "raw logistic", "raw random forest"]);
    for row in rows {
        assert_eq!(row["per_seed"].as_array().unwrap().len(), 5);
        // Of 19 classes three are there: background, wheat and grapevine.
        let there = row["ious"].as_array().unwrap().iter().filter(|iou| !iou.is_null());
        assert!(there.count() >= 3, "{row}");
    }
    assert!(rows[2]["miou"]["mean"].as_f64().unwrap() > 0.9, "{}", rows[2]);
    assert_eq!((&told["task"]["learned"], &told["task"]["judged"]), (&json!(60), &json!(40)));
    assert!(fs::read_to_string(out.join("table.md")).unwrap().contains("| grapevine |"));
    refused(
        &mut surco(args!["evaluate", "pastis", scratch.path().join("nowhere")]),
        3,
        &["nowhere is not there", "https://zenodo.org/records/5012942"],
    );
}

#[test]
fn fields_are_scored_as_objects() {
    let scratch = tempfile::tempdir().unwrap();
    let (truth, masks) = (scratch.path().join("truth"), scratch.path().join("masks"));
    for folder in [&truth, &masks] {
        fs::create_dir(folder).unwrap();
        fs::copy(&valley().map, folder.join("chip.tif")).unwrap();
    }
    let scored = || surco(args!["evaluate", "ftw", "--truth", &truth, "--predictions", &masks]);
    let told = Run::of(scored().arg("--json")).json();
    assert_eq!(told["scores"]["pixel_iou"]["value"], 1.0);
    assert_eq!(told["scores"]["counts"]["missed"], 0);
    assert_eq!(told["chips"][0]["name"], "chip.tif");
    fs::remove_file(masks.join("chip.tif")).unwrap();
    refused(&mut scored(), 3, &["chip.tif has no prediction"]);
    fs::remove_dir_all(&truth).unwrap();
    refused(&mut scored(), 3, &["truth is not there", "https://source.coop"]);
}
