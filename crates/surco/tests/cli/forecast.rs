//! From a store to what will be seen.

use std::fs;

use crate::refusals::refused;
use crate::valley::{Run, args, pretrain_config, surco, valley};

/// A model that was taught to forecast, and the others, say what they can do.
#[test]
fn fields_of_a_store_become_a_table_of_forecasts() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let config = pretrain_config(&valley().store, &at("run"), 3);
    fs::write(at("pretrain.toml"), config + "pretext = { causal = 1.0 }\n").unwrap();
    let trained = Run::of(&mut surco(args!["pretrain", at("pretrain.toml"), "--json"])).json();
    let model = at("run").join("model");
    for file in ["config.json", "forecast.json", "forecast.safetensors"] {
        assert!(model.join(file).is_file(), "{file}: {trained}");
    }
    let fields = valley().archive.join("truth/fields.geojson");
    let forecast = |more: &[&str]| {
        let of = args!["forecast", "--model", model, "--store", valley().store, "--places", fields];
        surco(of.into_iter().chain(more.iter().map(std::ffi::OsString::from)))
    };
    let csv = at("forecast.csv");
    let said = Run::of(&mut forecast(&["--out", csv.to_str().unwrap(), "--json"])).json();
    assert_eq!(said["dates"].as_array().unwrap().len(), 5, "10, 30, 60, 90 and 150 days: {said}");
    let text = fs::read_to_string(&csv).unwrap();
    let (head, lines) = text.split_once('\n').unwrap();
    assert_eq!(head, "place,date,gap_days,value,median,low,high");
    assert_eq!(lines.lines().count() as u64, said["rows"].as_u64().unwrap());
    let ndvi: Vec<Vec<&str>> = lines
        .lines()
        .map(|l| l.split(',').collect())
        .filter(|l: &Vec<&str>| l[3] == "ndvi")
        .collect();
    let seen = said["places"].as_u64().unwrap() - said["unseen"].as_u64().unwrap();
    assert_eq!(ndvi.len() as u64, 5 * seen);
    for row in &ndvi {
        let [median, low, high] = [4, 5, 6].map(|i: usize| row[i].parse::<f64>().unwrap());
        assert!(low < median && median < high, "{row:?}");
    }
    // What the last 90 days showed was asked for as well, from 15 days and more before.
    let watched = said["watched"].as_array().unwrap();
    assert!(watched.iter().any(|w| w["ndvi"].as_f64().is_some_and(|by| by > 0.0)), "{watched:?}");
    // The same for named dates and as Parquet.
    let day = said["dates"][1].as_str().unwrap();
    let parquet = at("forecast.parquet");
    let more = ["--dates", day, "--out", parquet.to_str().unwrap(), "--json"];
    let one = Run::of(&mut forecast(&more)).json();
    assert_eq!(one["median_ndvi"][day], said["median_ndvi"][day]);
    assert!(fs::read(&parquet).unwrap().starts_with(b"PAR1"));
    let people = Run::of(&mut forecast(&["--out", csv.to_str().unwrap(), "--days-ahead=400"]));
    assert!(people.stderr.contains("beyond 180 days forecasts are fed back"), "{}", people.stderr);
    assert!(people.stdout.contains("NDVI"), "{}", people.stdout);
}

#[test]
fn a_forecast_that_cannot_be_is_refused_with_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("forecast.csv");
    let valley = valley();
    let base = args!["forecast", "--model", valley.model, "--out", out];
    let on_store = args!["--store", valley.store, "--places", valley.points];
    let masked = [base.clone(), on_store].concat();
    refused(&mut surco(masked), 3, &["forecast.json", "pretext = { causal = 1.0 }"]);
    let alone = [base.clone(), args!["--store", valley.store]].concat();
    refused(&mut surco(alone), 2, &["--places"]);
    let past = [base, args!["--days-ahead=0"]].concat();
    refused(&mut surco(past), 2, &["--days-ahead"]);
    assert!(!out.exists());
}
