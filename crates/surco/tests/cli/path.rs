//! From an archive to an area, and what each command says in JSON.

use std::fs;

use serde_json::Value;

use crate::valley::{Run, args, surco, valley};

fn result(name: &str) -> Value {
    valley().results[name].json()
}

#[test]
fn an_archive_becomes_a_store_with_the_same_scenes() {
    let (simulated, collected) = (result("simulate"), result("collect"));
    assert!(valley().items().is_file());
    assert_eq!(collected["plan"]["items"], simulated["scenes"]);
    assert_eq!(collected["scenes"], 14, "{collected}");
    assert_eq!((&collected["holes"], &collected["cells"]), (&0.into(), &1.into()));
    assert_eq!(collected["shards_done"], 2, "so that a kill can fall between two");
}

#[test]
fn a_store_becomes_a_model() {
    let trained = result("pretrain");
    let number = |key: &str| trained[key].as_f64().unwrap();
    assert!(number("loss_last") < number("loss_first"), "{trained}");
    assert_eq!(trained["weights_sha256"].as_str().unwrap().len(), 64);
    let run = valley().model.parent().unwrap();
    for file in [
        "config.toml",
        "loss.svg",
        "tensorboard/events.out.tfevents.surco",
        "model/README.md",
        "model/config.json",
        "model/model.safetensors",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
    for file in ["metrics.jsonl", "speed.jsonl"] {
        let lines = fs::read_to_string(run.join(file)).unwrap();
        assert_eq!(lines.lines().count(), 4, "{file}: {lines}");
    }
    let speed = &trained["throughput"];
    let (tokens_per_s, seconds) = (speed["tokens_per_s"].as_f64().unwrap(), number("seconds"));
    assert!(tokens_per_s * seconds >= number("tokens"), "validation is not counted: {trained}");
    let peak_share = speed["peak_share"].as_f64().unwrap();
    assert!(peak_share > 0.0 && peak_share < 1.0, "{speed}");
    let progress = &valley().results["pretrain"].stderr;
    assert!(progress.contains("tokens/s"), "{progress}");
}

#[test]
fn a_few_labels_become_a_task_beside_its_baselines() {
    let adapted = result("adapt");
    assert!(valley().task.join("task.json").is_file());
    let rows = adapted["cross_validation"]["rows"].as_array().unwrap();
    for method in ["chance", "lr_raw", "rf_raw", "surco"] {
        assert!(rows.iter().any(|r| r["method"] == method), "{method}");
    }
    let labels: u64 =
        adapted["labels"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert!(labels >= 8, "{adapted}");
}

#[test]
fn fields_teach_as_points_do() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("task");
    let text = fs::read_to_string(valley().archive.join("truth/fields.geojson")).unwrap();
    let mut fields: Value = serde_json::from_str(&text).unwrap();
    let two = |f: &Value| ["maize", "native forest"].iter().any(|c| f["properties"]["class"] == *c);
    fields["features"].as_array_mut().unwrap().retain(two);
    let labels = scratch.path().join("fields.geojson");
    fs::write(&labels, fields.to_string()).unwrap();
    let (model, store) = (&valley().model, &valley().store);
    let args = args!["adapt", "--model", model, "--store", store, "--labels", labels, "--out", out];
    let adapted = Run::of(surco(args).args(["--seeds=1", "--json"])).json();
    assert_eq!(adapted["classes"], serde_json::json!(["maize", "native forest"]));
    assert!(out.join("task.json").is_file());
}

#[test]
fn a_task_becomes_a_map_and_the_map_an_area() {
    let mapped = result("map");
    assert_eq!(mapped["cell"], "19HCB/r00c00");
    let classes = mapped["map_pixels_biased"].as_array().unwrap();
    let hectares: f64 = classes.iter().map(|c| c["mapped_ha"].as_f64().unwrap()).sum();
    assert!(hectares > 0.0 && hectares <= 40.96 + 1e-9, "64 × 64 pixels of 10 m: {hectares}");
    for ending in ["tif", "legend.json", "confidence.tif"] {
        assert!(valley().map.with_extension(ending).is_file(), "{ending}");
    }
    let area = result("area");
    let rows = area["classes"].as_array().unwrap();
    assert_eq!(rows.len(), classes.len());
    let estimated: f64 = rows.iter().map(|r| r["estimate_ha"].as_f64().unwrap()).sum();
    assert!((estimated - hectares).abs() < 1e-6, "estimates share out the same land");
    assert!(rows.iter().all(|r| r["ci95_ha"].as_f64().unwrap() >= 0.0));
}

#[test]
fn progress_in_json_is_one_event_a_line_on_stderr() {
    for (name, run) in &valley().results {
        for line in run.stderr.lines() {
            let event: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("{name}: {line}"));
            assert!(event["stage"].is_string() && event["done"].is_u64(), "{name}: {line}");
        }
    }
}

#[test]
fn a_quiet_command_says_its_result_alone() {
    let store = &valley().store;
    let run = Run::of(&mut surco(args!["collect", "verify", "--store", store, "--quiet"]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    assert!(run.stdout.contains("0 objects damaged"), "{}", run.stdout);
}

#[test]
fn the_same_catalog_again_fetches_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    crate::valley::copy(&valley().store, &store);
    let again = Run::of(crate::valley::collect(&valley().items(), &store).arg("--json")).json();
    assert_eq!((&again["shards_done"], &again["blocks"]), (&0.into(), &0.into()));
    crate::valley::assert_same_files(&store, &valley().store);
}

#[test]
fn tasks_of_a_folder_are_listed_and_found_by_their_classes() {
    let folder = valley().task.parent().unwrap();
    let listed = Run::of(&mut surco(args!["tasks", folder, "--json"])).json();
    let task = &listed["tasks"][0];
    assert_eq!(task["folder"], valley().task.display().to_string());
    assert_eq!(task["weights_sha256"], valley().results["pretrain"].json()["weights_sha256"]);
    let class = task["classes"][0].as_str().unwrap().to_uppercase();
    let found = Run::of(&mut surco(args!["tasks", folder, "--find", class, "--json"])).json();
    assert_eq!(found["tasks"], listed["tasks"]);
    let none = Run::of(&mut surco(args!["tasks", folder, "--find", "no such crop"]));
    assert_eq!((none.code, none.stdout.trim()), (Some(0), "no task found"));
}
