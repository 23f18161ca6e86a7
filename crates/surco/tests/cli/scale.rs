//! `surco scale`.

use std::fs;

use crate::refusals::refused;
use crate::valley::{Run, args, surco, valley};

#[test]
fn a_campaign_is_told_from_the_pace_of_a_run() {
    let run = valley().model.parent().unwrap();
    let mut command = surco(args!["scale", "--json", "--area-km2", "1000"]);
    command.args(["--model", "nano,1b"]).arg("--run").arg(run);
    let told = Run::of(&mut command).json();
    let rate = told["campaign"]["flops_per_s"].as_f64().unwrap();
    assert!(rate > 1e8, "{rate}");
    let rows = told["rows"].as_array().unwrap();
    let of = |size: &str, devices: u64, key: &str| {
        let row = rows.iter().find(|r| r["size"] == size && r["devices"] == devices).unwrap();
        row[key].as_f64().unwrap()
    };
    assert_eq!(rows.len(), 6);
    let days = of("nano", 1, "training_flops") / rate / 86_400.0;
    assert!((of("nano", 1, "training_days") / days - 1.0).abs() < 1e-9);
    assert!(of("1b", 64, "training_days") < of("1b", 1, "training_days") / 50.0);
    assert!(!told["assumptions"].as_array().unwrap().is_empty());
}

#[test]
fn land_comes_from_polygons_and_a_file_without_any_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (square, point) =
        (scratch.path().join("square.geojson"), scratch.path().join("point.geojson"));
    let file = |geometry: &str| {
        format!(
            r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":{{}},"geometry":{geometry}}}]}}"#
        )
    };
    let ring = "[[[-71,-34],[-70,-34],[-70,-33],[-71,-33],[-71,-34]]]";
    fs::write(&square, file(&format!(r#"{{"type":"Polygon","coordinates":{ring}}}"#))).unwrap();
    fs::write(&point, file(r#"{"type":"Point","coordinates":[-71,-34]}"#)).unwrap();
    let mut command = surco(args!["scale", "--json", "--aoi", &square]);
    command.args(["--flops-per-s", "1e14", "--gpus", "1"]);
    let told = Run::of(&mut command).json();
    // A degree of latitude is 110.92 km there, one of longitude 92.9 km in the middle.
    let area = told["campaign"]["area_km2"].as_f64().unwrap();
    assert!((10_250.0..10_350.0).contains(&area), "{area}");
    let mut command = surco(args!["scale", "--aoi", &point, "--flops-per-s", "1e14"]);
    refused(&mut command, 2, &["point.geojson", "no polygon", "--area-km2"]);
}

#[test]
fn runs_that_were_asked_for_different_things_or_are_too_few_are_not_fitted() {
    let run = valley().model.parent().unwrap();
    let mut command = surco(args!["scale", "--fit"]);
    refused(command.arg(run), 2, &["1 runs of 1 sizes", "at least 7 of 3"]);
    let scratch = tempfile::tempdir().unwrap();
    let other = scratch.path().join("other");
    fs::create_dir(&other).unwrap();
    for file in ["metrics.jsonl", "speed.jsonl"] {
        fs::copy(run.join(file), other.join(file)).unwrap();
    }
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    let mut edited: toml::Table = config.parse().unwrap();
    edited.insert("mask_share".into(), 0.3.into());
    fs::write(other.join("config.toml"), edited.to_string()).unwrap();
    let both = format!("{},{}", run.display(), other.display());
    let mut command = surco(args!["scale", "--fit", &both]);
    refused(&mut command, 2, &["other", "were not asked the same"]);
    edited.insert("steps".into(), 100_000.into());
    fs::write(other.join("config.toml"), edited.to_string()).unwrap();
    let mut command = surco(args!["scale", "--fit", &other]);
    refused(&mut command, 2, &["of 100000", "only the ends of runs compare"]);
}
