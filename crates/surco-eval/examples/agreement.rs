//! Compares the baselines with recorded ones: `agreement FOLDER…`, each with set.json (name, shape,
//! bands, days, labels, places, baselines), episodes.json and values.f32. Prints Markdown. The
//! environment variable `SEED` moves the forest.
#![allow(clippy::print_stdout, reason = "an example that prints a table")]

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array3;
use serde::Deserialize;
use surco_core::Silent;
use surco_eval::fewshot::{Episode, SeriesBand, SeriesSet, run_baselines};
use surco_eval::spread::Spread;

#[derive(Deserialize)]
struct Recorded {
    mean: f64,
    per_seed: Vec<f64>,
}

#[derive(Deserialize)]
struct SetFile {
    name: String,
    shape: [usize; 3],
    bands: Vec<SeriesBand>,
    days: Vec<i32>,
    labels: Vec<String>,
    places: Vec<[f64; 2]>,
    baselines: BTreeMap<String, BTreeMap<String, Recorded>>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("| set | row | k | ours | recorded | difference / SE | largest seed difference |");
    println!("|---|---|---|---|---|---|---|");
    for folder in std::env::args().skip(1) {
        compare(Path::new(&folder))?;
    }
    Ok(())
}

fn compare(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let file: SetFile = serde_json::from_slice(&std::fs::read(folder.join("set.json"))?)?;
    let episodes: Vec<Episode> =
        serde_json::from_slice(&std::fs::read(folder.join("episodes.json"))?)?;
    let bytes = std::fs::read(folder.join("values.f32"))?;
    let (quads, _) = bytes.as_chunks::<4>();
    let values =
        Array3::from_shape_vec(file.shape, quads.iter().map(|&b| f32::from_le_bytes(b)).collect())?;
    let set = SeriesSet {
        name: &file.name,
        values: values.view(),
        bands: &file.bands,
        days: &file.days,
        labels: &file.labels,
        places: Some(&file.places),
    };
    let start = std::time::Instant::now();
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let rows = run_baselines(&set, &episodes, seed, &Silent)?;
    let took = start.elapsed().as_secs_f64();
    for row in rows {
        let Some(recorded) =
            file.baselines.get(&row.method).and_then(|by_k| by_k.get(&format!("k{}", row.k)))
        else {
            continue;
        };
        let largest = row.per_seed.iter().zip(&recorded.per_seed).map(|(a, b)| (a - b).abs());
        let error = Spread::of(&recorded.per_seed).standard_error();
        let error = if error > 1e-9 { (row.mean - recorded.mean) / error } else { 0.0 };
        println!(
            "| {} | {} | {} | {:.2} ± {:.2} | {:.2} | {error:+.2} | {:.2} |",
            file.name,
            row.method,
            row.k,
            100.0 * row.mean,
            100.0 * row.sd,
            100.0 * recorded.mean,
            100.0 * largest.fold(0.0, f64::max)
        );
    }
    println!("| {} | all rows | | {took:.1} s | | | |", file.name);
    Ok(())
}
