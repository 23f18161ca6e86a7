//! Bad input: each gets its exit code and a message that names the file, the value and the remedy.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::valley::{Run, args, collect, copy, files, map, pretrain_config, surco, valley};

/// Longest message that is still read, beside the paths in it.
const LONGEST: usize = 560;

/// Runs a command that must be refused, and gives its message with the folder of the test left out.
pub(crate) fn refused(command: &mut std::process::Command, code: i32, says: &[&str]) -> String {
    let run = Run::of(command);
    let message = run.message();
    assert_eq!(run.code, Some(code), "{message}");
    assert_eq!(run.stdout, "", "a refusal is no result");
    for part in says {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    let home = valley().archive.parent().unwrap().display().to_string();
    let length = message.replace(&home, "").chars().count();
    assert!(length <= LONGEST, "{length} characters: {message}");
    let halves: Vec<&str> = message.split(": ").filter(|part| part.len() > 20).collect();
    for (i, part) in halves.iter().enumerate() {
        assert!(!halves[i + 1..].contains(part), "said twice: {part}: {message}");
    }
    message
}

fn adapt(labels: &Path, out: &Path) -> std::process::Command {
    let (model, store) = (&valley().model, &valley().store);
    let args = args!["adapt", "--model", model, "--store", store, "--labels", labels, "--out", out];
    surco(args.into_iter().chain([OsString::from("--seeds=1")]))
}

/// The points of the valley, changed, in a file of this name.
fn points(dir: &Path, name: &str, change: impl Fn(&mut Value)) -> PathBuf {
    let mut points: Value = serde_json::from_slice(&fs::read(&valley().points).unwrap()).unwrap();
    change(&mut points);
    let path = dir.join(name);
    fs::write(&path, points.to_string()).unwrap();
    path
}

/// Changes every feature of a collection.
fn each(collection: &mut Value, change: impl Fn(&mut Value)) {
    collection["features"].as_array_mut().unwrap().iter_mut().for_each(change);
}

/// Cuts a file short.
fn truncate(path: &Path, bytes: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_truncated_scene_leaves_a_listed_hole_and_the_rest_of_the_store() {
    let scratch = tempfile::tempdir().unwrap();
    let archive = scratch.path().join("archive");
    copy(&valley().archive, &archive);
    let red = files(&archive).into_keys().find(|p| p.ends_with("B04.tif")).unwrap();
    truncate(&archive.join(&red), 2000);
    let scene = red.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let store = scratch.path().join("store");
    let run = Run::of(collect(&archive.join("items.json"), &store).arg("--json"));
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["holes"], 1, "{told}");
    let hole = &told["hole_list"][0];
    assert_eq!((hole["scene"].as_str(), hole["asset"].as_str()), (Some(scene), Some("red")));
    assert_eq!(hole["reason"], "truncated: the file has 2000 bytes");

    // For people too; and once the file is whole, the remedy that is named fills the hole.
    let again = Run::of(&mut collect(&archive.join("items.json"), &store));
    assert_eq!(again.code, Some(5), "{}", again.stderr);
    for part in [scene, "red", "truncated: the file has 2000 bytes", "--retry-holes"] {
        assert!(again.stdout.contains(part), "{part}: {}", again.stdout);
    }
    fs::copy(valley().archive.join(&red), archive.join(&red)).unwrap();
    let filled = Run::of(collect(&archive.join("items.json"), &store).arg("--retry-holes"));
    assert_eq!(filled.code, Some(0), "{}", filled.stderr);
    crate::valley::assert_same_files(&store, &valley().store);
}

#[test]
fn a_truncated_raster_of_labels_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let labels = scratch.path().join("labels.tif");
    fs::copy(valley().archive.join("truth/classes.tif"), &labels).unwrap();
    truncate(&labels, fs::metadata(&labels).unwrap().len() * 3 / 5);
    let out = scratch.path().join("task");
    refused(&mut adapt(&labels, &out), 3, &["labels.tif", "truncated", "the file has", "again"]);
    assert!(!out.exists());
}

#[test]
fn a_truncated_map_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let map = scratch.path().join("cut.tif");
    fs::copy(&valley().map, &map).unwrap();
    fs::copy(valley().map.with_extension("legend.json"), map.with_extension("legend.json"))
        .unwrap();
    for bytes in [fs::metadata(&map).unwrap().len() * 3 / 5, 200, 3] {
        truncate(&map, bytes);
        let mut area = surco(args!["area", "--map", map, "--sample", valley().points]);
        refused(&mut area, 3, &["map ", "cut.tif"]);
    }
}

#[test]
fn an_item_without_the_needed_asset_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let mut items: Value = serde_json::from_slice(&fs::read(valley().items()).unwrap()).unwrap();
    let id = items["features"][3]["id"].as_str().unwrap().to_string();
    items["features"][3]["assets"].as_object_mut().unwrap().remove("nir");
    let path = scratch.path().join("items.json");
    fs::write(&path, items.to_string()).unwrap();
    let store = scratch.path().join("store");
    let says = [id.as_str(), "asset for B08", "leave the item or the band out"];
    refused(&mut collect(&path, &store), 3, &says);
    assert!(!store.exists());
}

#[test]
fn a_catalog_that_is_no_catalog_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("items.json");
    let store = scratch.path().join("store");
    refused(&mut collect(&path, &store), 3, &["items.json", "No such file"]);
    for text in ["", "{", "[]", "{\"type\": \"FeatureCollection\", \"features\": []}", "<html>"] {
        fs::write(&path, text).unwrap();
        refused(&mut collect(&path, &store), 3, &["items.json"]);
    }
    fs::write(&path, "{\"type\": \"Feature\"}").unwrap();
    refused(&mut collect(&path, &store), 3, &["item without id", "`id`", "correct the item"]);
    refused(&mut surco(args!["collect", "--store", store]), 2, &["--catalog", "URL of a STAC API"]);
    assert!(!store.exists());
}

#[test]
fn a_service_that_does_not_answer_is_a_fault_of_the_network() {
    let scratch = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let store = scratch.path().join("store");
    let mut command = surco(args!["collect", "--catalog", url, "--store", store]);
    let says = [url.as_str(), "Connection refused", "attempts", "check the network"];
    refused(&mut command, 4, &says);
    assert!(!store.exists());
}

#[test]
fn labels_in_an_unknown_or_old_system_are_refused_with_the_way_out() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("task");
    let cases: [(&str, &[&str]); 3] = [
        (
            "urn:ogc:def:crs:EPSG::3857",
            &["EPSG:3857", "not known here", "ogr2ogr -t_srs EPSG:32719"],
        ),
        (
            "urn:ogc:def:crs:EPSG::24879",
            &["EPSG:24879", "PSAD56", "hundreds of metres", "ogr2ogr -t_srs"],
        ),
        (
            "my own system",
            &["my own system", "expected a name such as `urn:ogc:def:crs:EPSG::32719`"],
        ),
    ];
    for (name, says) in cases {
        let labels = points(scratch.path(), "labels.geojson", |labels| {
            labels["crs"] = json!({ "type": "name", "properties": { "name": name } });
        });
        let message = refused(&mut adapt(&labels, &out), 3, says);
        assert!(message.contains("labels.geojson"), "{message}");
    }
    assert!(!out.exists());
}

#[test]
fn labels_that_cannot_teach_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("task");
    let dir = scratch.path();
    let far = points(dir, "far.geojson", |all| {
        each(all, |f| {
            let east = f["geometry"]["coordinates"][0].as_f64().unwrap() + 0.5;
            f["geometry"]["coordinates"][0] = east.into();
        });
    });
    refused(&mut adapt(&far, &out), 3, &["far.geojson", "none of", "same place"]);
    let one =
        points(dir, "one.geojson", |all| each(all, |f| f["properties"]["class"] = "maize".into()));
    refused(&mut adapt(&one, &out), 3, &["one.geojson", "maize", "at least two"]);
    let none = points(dir, "none.geojson", |all| each(all, |f| f["properties"] = json!({})));
    refused(&mut adapt(&none, &out), 3, &["none.geojson", "no class", "class_name"]);
    let empty = points(dir, "empty.geojson", |all| all["features"] = json!([]));
    refused(&mut adapt(&empty, &out), 3, &["empty.geojson"]);
    refused(&mut adapt(&dir.join("absent.geojson"), &out), 3, &["absent.geojson", "No such file"]);
    fs::write(dir.join("a.kml"), "x").unwrap();
    refused(&mut adapt(&dir.join("a.kml"), &out), 3, &["a.kml", "`kml`", ".gpkg", ".geojson"]);
    assert!(!out.exists());
}

#[test]
fn a_misspelt_key_is_named_with_its_line() {
    let scratch = tempfile::tempdir().unwrap();
    let (config, out) = (scratch.path().join("pretrain.toml"), scratch.path().join("run"));
    let good = pretrain_config(&valley().store, &out, 4);
    fs::write(&config, good.replace("batch", "bach")).unwrap();
    let mut command = surco(args!["pretrain", config]);
    refused(&mut command, 2, &["pretrain.toml", "line 6", "unknown field `bach`", "`batch`"]);
    fs::write(&config, good.replace("batch = 64", "batch = \"many\"")).unwrap();
    refused(&mut command, 2, &["pretrain.toml", "line 6", "\"many\""]);
    fs::write(&config, good.replace("steps = 4", "steps = 0")).unwrap();
    refused(&mut command, 2, &["steps = 0", "at least one step"]);
    fs::write(&config, format!("{good}precision = \"bf16\"\n")).unwrap();
    refused(&mut command, 2, &["precision = \"bf16\"", "32 bits", "write \"f32\""]);
    fs::write(&config, format!("{good}ema_decay = 1.0\n")).unwrap();
    refused(&mut command, 2, &["ema_decay = 1", "0 <= decay < 1"]);
    let mut absent = surco(args!["pretrain", scratch.path().join("absent.toml")]);
    refused(&mut absent, 2, &["absent.toml", "No such file"]);
    assert!(!out.exists());
}

#[test]
fn a_store_of_another_version_is_neither_read_nor_written() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    copy(&valley().store, &store);
    let root = store.join("zarr.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&root).unwrap()).unwrap();
    text["attributes"]["surco_store_version"] = 9.into();
    fs::write(&root, text.to_string()).unwrap();
    let before = files(&store);
    let out = scratch.path().join("map.tif");
    let says = ["store", "has version 9", "reads version 2", "collect into a new folder"];
    refused(&mut map(&valley().model, &valley().task, &store, &out), 3, &says);
    refused(&mut collect(&valley().items(), &store), 3, &says);
    assert!(files(&store) == before && !out.exists());
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("thesis");
    fs::create_dir(&store).unwrap();
    fs::write(store.join("thesis.tex"), "years of work").unwrap();
    refused(&mut collect(&valley().items(), &store), 2, &["thesis", "empty or new folder"]);
    assert_eq!(files(&store).len(), 1);
    let out = scratch.path().join("map.tif");
    let absent = scratch.path().join("absent");
    let says = ["no Surco store", "absent", "surco collect"];
    refused(&mut map(&valley().model, &valley().task, &absent, &out), 3, &says);
}

#[test]
fn a_damaged_store_is_named_with_its_cell() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    copy(&valley().store, &store);
    truncate(&store.join("19HCB/r00c00/reflectance/c/0/0/0/0"), 3000);
    let out = scratch.path().join("map.tif");
    let says = ["19HCB/r00c00", "reflectance is damaged", "collect again"];
    refused(&mut map(&valley().model, &valley().task, &store, &out), 3, &says);
    assert!(!out.exists());
}

#[test]
fn a_damaged_model_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let (model, out) = (scratch.path().join("model"), scratch.path().join("map.tif"));
    let mut command = map(&model, &valley().task, &valley().store, &out);
    refused(&mut command, 3, &["model/config.json", "No such file"]);
    copy(&valley().model, &model);
    truncate(&model.join("model.safetensors"), 100_000);
    refused(&mut command, 3, &["model/model.safetensors", "damaged", "again"]);
    fs::write(model.join("config.json"), "{\"schema\": 1").unwrap();
    refused(&mut command, 3, &["model/config.json", "no model config", "again"]);
    assert!(!out.exists());
}

#[test]
fn a_task_of_other_weights_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (task, out) = (scratch.path().join("task"), scratch.path().join("map.tif"));
    copy(&valley().task, &task);
    let path = task.join("task.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let weights = text["weights_sha256"].as_str().unwrap().to_string();
    let other = "0123456789abcdef".repeat(4);
    text["weights_sha256"] = other.as_str().into();
    fs::write(&path, text.to_string()).unwrap();
    let says = ["task.json", &other[..12], &weights[..12], "adapt again"];
    refused(&mut map(&valley().model, &task, &valley().store, &out), 3, &says);
    fs::write(&path, "{}").unwrap();
    refused(
        &mut map(&valley().model, &task, &valley().store, &out),
        3,
        &["task.json", "adapt again"],
    );
    assert!(!out.exists());
}

#[test]
fn a_mapped_class_without_a_sample_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let sample = points(scratch.path(), "sample.geojson", |all| {
        let features = all["features"].as_array_mut().unwrap();
        features.retain(|f| f["properties"]["class"] == "maize");
        features.truncate(2);
    });
    let mut area = surco(args!["area", "--map", valley().map, "--sample", sample]);
    let message = refused(&mut area, 3, &["sample.geojson", "ha", "no sample", "merge it"]);
    let named = ["winter wheat", "maize", "native forest", "deciduous fruit"].iter();
    assert_eq!(named.filter(|name| message.contains(*name)).count(), 1, "{message}");
}

#[test]
fn a_matrix_that_does_not_add_up_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("matrix.json");
    let mut command = surco(args!["area", "--matrix", path]);
    let matrix = |text: &str| fs::write(&path, text).unwrap();
    matrix(r#"{"classes": ["a", "b"], "confusion": [[1, 0], [0, 1]], "mapped_area_ha": [3.0]}"#);
    refused(&mut command, 3, &["matrix.json", "2 class names and 1 mapped areas"]);
    matrix(r#"{"classes": ["a", "b"], "confusion": [[1, 0]], "mapped_area_ha": [3.0, 4.0]}"#);
    refused(&mut command, 3, &["matrix.json"]);
    matrix(r#"{"classes": ["a", "b"]}"#);
    refused(&mut command, 3, &["matrix.json", "confusion"]);
}

#[test]
fn a_cell_that_is_none_or_not_there_is_a_fault_of_usage() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("map.tif");
    let with = |cell: &str| {
        let mut command = map(&valley().model, &valley().task, &valley().store, &out);
        command.args(["--cell", cell]);
        command
    };
    refused(&mut with("north"), 2, &["--cell", "`north` is no cell", "for example 19HBA/r03c09"]);
    refused(&mut with("19HCB/r09c09"), 2, &["--cell", "19HCB/r09c09", "19HCB/r00c00"]);
    assert!(!out.exists());
}

#[test]
fn an_error_in_json_is_one_object_with_its_exit_code() {
    let scratch = tempfile::tempdir().unwrap();
    let run = Run::of(collect(&scratch.path().join("absent.json"), scratch.path()).arg("--json"));
    let last: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((run.code, &last["exit_code"]), (Some(3), &3.into()));
    assert!(last["error"].as_str().unwrap().contains("absent.json"), "{last}");
}

/// Simulated seasons after the day from which nothing may be seen would silently teach nothing.
#[test]
fn a_source_of_which_nothing_may_be_seen_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (config, out) = (scratch.path().join("pretrain.toml"), scratch.path().join("run"));
    let late =
        pretrain_config(&valley().store, &out, 2) + "exclude = [{ since = \"2000-01-01\" }]\n";
    fs::write(&config, late).unwrap();
    let says = ["nothing of it may be seen under `exclude`", "leave it out"];
    refused(&mut surco(args!["pretrain", config]), 3, &says);
}

#[test]
fn a_store_with_other_bands_than_the_task_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, out) = (scratch.path().join("store"), scratch.path().join("map.tif"));
    let catalog = valley().items();
    let two = args!["collect", "--catalog", catalog, "--store", store, "--bands", "B04,B08"];
    assert_eq!(Run::of(&mut surco(two)).code, Some(0));
    let says = ["has 2 bands", "adapt on a store with the same bands"];
    refused(&mut map(&valley().model, &valley().task, &store, &out), 3, &says);
    assert!(!out.exists());
}
