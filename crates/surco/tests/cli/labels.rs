//! Labels as people have them: files of other programs, and files with something wrong.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::refusals::refused;
use crate::valley::{Run, args, surco, valley};

/// Written from the valley's points with GDAL by `fixtures/make_points.py`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn adapt(labels: &Path, out: &Path) -> std::process::Command {
    let (model, store) = (&valley().model, &valley().store);
    let args = args!["adapt", "--model", model, "--store", store, "--labels", labels, "--out", out];
    let mut command = surco(args);
    command.arg("--seeds=1");
    command
}

#[test]
fn a_geopackage_and_a_zipped_shapefile_teach_what_the_geojson_of_the_same_points_does() {
    let scratch = tempfile::tempdir().unwrap();
    let task = |folder: &Path| fs::read_to_string(folder.join("task.json")).unwrap();
    for name in ["points.gpkg", "points.zip"] {
        let out = scratch.path().join(name);
        let run = Run::of(adapt(&fixture(name), &out).arg("--json"));
        let told = run.json();
        assert_eq!(task(&out), task(&valley().task), "{name}");
        let assumed = told["assumed"].to_string();
        for words in [
            "the class is in column `cultivo`",
            "columns productor, rut hold personal data",
            "2024-01-15",
        ] {
            assert!(assumed.contains(words), "{name}: {words}: {assumed}");
        }
        assert_eq!(told["left_out"], serde_json::json!({}), "{name}");
        assert!(told["suspicious"].is_array(), "{name}");
        for file in crate::valley::files(&out).into_values() {
            let text = String::from_utf8_lossy(&file);
            assert!(!text.contains("Ana Soto") && !text.contains("12.345.678"), "{name}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_table_is_said_before_the_result() {
    let scratch = tempfile::tempdir().unwrap();
    let points: Value = serde_json::from_slice(&fs::read(&valley().points).unwrap()).unwrap();
    let mut text = String::from("rubro,lon,lat,correo\n");
    let features = points["features"].as_array().unwrap();
    // The first label twice, one in the sea, one where no receiver had a fix.
    for f in features.iter().chain([&features[0]]) {
        let (class, at) = (&f["properties"]["class"], &f["geometry"]["coordinates"]);
        text += &format!("{},{},{},ana@campo.cl\n", class.as_str().unwrap(), at[0], at[1]);
    }
    text += "maize,-75,-34,ana@campo.cl\nmaize,0,0,ana@campo.cl\n";
    let labels = scratch.path().join("labels.csv");
    fs::write(&labels, text).unwrap();
    let out = scratch.path().join("task");
    refused(&mut adapt(&labels, &out), 3, &["labels.csv", "no class", "rubro", "--class-column"]);
    let run = Run::of(adapt(&labels, &out).args(["--class-column", "rubro"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for line in [
        "assumed: columns correo hold personal data: dropped, nothing of them is kept",
        "warning: 1 of 16 labels left out: they lie at 0, 0, where receivers without a fix say they are (feature 16)",
        "warning: 1 of 16 labels left out: they repeat place and class of another (feature 14)",
        "warning: 1 of 16 labels left out: they lie outside the store (feature 15)",
    ] {
        assert!(run.stderr.lines().any(|said| said == line), "{line}: {}", run.stderr);
    }
}

#[test]
fn labels_of_another_year_or_with_swapped_axes_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("task");
    let write = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut points: Value =
            serde_json::from_slice(&fs::read(&valley().points).unwrap()).unwrap();
        points["features"].as_array_mut().unwrap().iter_mut().for_each(change);
        let path = scratch.path().join(name);
        fs::write(&path, points.to_string()).unwrap();
        path
    };
    let late = write("late.geojson", &|f| f["properties"]["temporada"] = "2021/22".into());
    let message = refused(
        &mut adapt(&late, &out),
        3,
        &["late.geojson", "`temporada`", "2021-05-01 to 2022-04-30"],
    );
    assert!(message.contains("images are of 2023-05"), "{message}");
    let swapped = write("swapped.geojson", &|f| {
        f["geometry"]["coordinates"].as_array_mut().unwrap().reverse();
    });
    refused(
        &mut adapt(&swapped, &out),
        3,
        &["swapped.geojson", "latitude and longitude are swapped"],
    );
    assert!(!out.exists());
}

/// The valley's classes, two of them in Spanish and one as a code of HCAT, are one legend.
#[test]
fn classes_are_named_by_a_shared_legend_or_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let points = fs::read_to_string(&valley().points).unwrap();
    let labels = scratch.path().join("campo.geojson");
    let out = scratch.path().join("task");
    let text = points
        .replace("winter wheat", "TRIGO")
        .replace("maize", "3301010600")
        .replace("native forest", "Bosque Nativo");
    fs::write(&labels, &text).unwrap();
    let run = Run::of(adapt(&labels, &out).args(["--legend=hcat", "--level=2", "--json"]));
    let told = run.json();
    assert_eq!(
        told["classes"],
        serde_json::json!(["arable_crops", "permanent_crops_perennial", "tree_wood_forest"])
    );
    assert_eq!(told["legend"]["legend"], "hcat");
    assert_eq!(told["legend"]["level"], 2);
    let became = told["legend"]["classes"].as_array().unwrap();
    let labels_of =
        |from: &str| became.iter().find(|r| r["from"] == from).unwrap()["labels"].clone();
    assert!(
        labels_of("TRIGO").as_u64().unwrap() > 0 && labels_of("3301010600").as_u64().unwrap() > 0
    );
    fs::write(&labels, text.replace("TRIGO", "trigoo")).unwrap();
    let asks = |legend: &str| {
        let mut command = adapt(&labels, &scratch.path().join("none"));
        command.args(["--legend", legend, "--level=2"]);
        command
    };
    refused(&mut asks("hcat"), 3, &["campo.geojson", "legend hcat does not know `trigoo` (like "]);
    refused(&mut asks("fao"), 2, &["unknown legend `fao`", "worldcereal"]);
    let mut deep = adapt(&labels, &out);
    refused(deep.args(["--legend=ciren", "--level=4"]), 2, &["ciren has levels 1 to 3, not 4"]);
    assert!(!scratch.path().join("none").exists());
}
