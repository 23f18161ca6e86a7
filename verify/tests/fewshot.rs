//! Few-shot evaluation on fixed episodes of real Chilean series, against recorded baselines.
#![expect(clippy::print_stdout, reason = "the figures compared are what a run of it is read for")]

use std::ffi::OsString;

use serde_json::Value;
use surco_verify::{data, data_json, result_of, surco};

const SHOTS: [u64; 5] = [1, 2, 5, 10, 20];

#[test]
fn our_baselines_agree_with_the_recorded_ones_on_ine() {
    let ours = ["random_encoder", "surco_values", "surco_embedding", "surco_others", "surco"];
    agrees("labelled_chile_ine_19hba", &["chance", "lr_raw", "lr_raw_ndvi", "rf_raw"], &ours);
}

/// NDVI alone, which no encoder can read, and point ids with gaps: episodes name points by them.
#[test]
fn our_baselines_agree_with_the_recorded_ones_in_central_asia() {
    let ours = ["surco_others", "surco"];
    agrees("labelled_central_asia_cawa", &["chance", "lr_raw", "rf_raw"], &ours);
}

/// Expected values: `baselines.json`, made with scikit-learn on exactly these episodes.
///
/// Two implementations of one method draw different trees and stop at different points, so each `k`
/// is compared as two means of `n` seeds: `|mean − mean_ref| ≤ 2 · sqrt(sd²/n + sd_ref²/n_ref)`, plus
/// the half digit that rounding to four decimals took from the recorded mean.
fn agrees(set: &str, baselines: &[&str], ours: &[&str]) {
    let recorded = data(&format!("{set}/baselines.json"));
    let got = result_of(surco::<OsString>([
        "evaluate".into(),
        "fewshot".into(),
        "--points".into(),
        data(&format!("{set}/points.parquet")).into(),
        "--series".into(),
        data(&format!("{set}/series.parquet")).into(),
        "--episodes".into(),
        data(&format!("{set}/episodes.jsonl")).into(),
        "--recorded".into(),
        recorded.into(),
        "--json".into(),
    ]));
    let recorded = &data_json(&format!("{set}/baselines.json"))["results"];
    assert_eq!(got["set"], set);

    let mut faults = Vec::new();
    for k in SHOTS {
        for method in baselines {
            let ours = Score::of(row(&got, method, k));
            let theirs = Score::of(&recorded[method][format!("k{k}")]);
            let two_errors = 2.0 * (ours.variance_of_mean() + theirs.variance_of_mean()).sqrt();
            println!(
                "{method:12} k = {k:2}: {ours:?}, recorded {theirs:?}, allowed {two_errors:.4}"
            );
            if (ours.mean - theirs.mean).abs() > two_errors + 5e-5 {
                faults.push(format!("{method}, k = {k}: {ours:?}, recorded {theirs:?}"));
            }
        }
        for method in ours {
            let ours = Score::of(row(&got, method, k));
            println!("{method:12} k = {k:2}: {ours:?}");
            if ours.n != 20.0 || !(0.0..=1.0).contains(&ours.mean) {
                faults.push(format!("{method}, k = {k}: {ours:?}, expected 20 seeds within 0..1"));
            }
        }
        let theirs = &recorded["presto_lr"][format!("k{k}")]["per_seed"];
        if &row(&got, "presto_lr", k)["per_seed"] != theirs {
            faults.push(format!("presto_lr, k = {k}: not as recorded"));
        }
    }
    let leads = got["leads"].as_array().expect("`leads` is a list");
    leads.iter().for_each(|lead| println!("{lead}"));
    assert_eq!(leads.len(), SHOTS.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Balanced accuracy over seeds.
#[derive(Debug)]
struct Score {
    mean: f64,
    sd: f64,
    n: f64,
}

impl Score {
    /// Reads a row, and checks that its mean is that of the seeds it lists.
    fn of(row: &Value) -> Self {
        let number = |key: &str| {
            row[key].as_f64().unwrap_or_else(|| panic!("`{key}` is not a number in {row}"))
        };
        let score = Self { mean: number("mean"), sd: number("sd"), n: number("n") };
        let seeds: Vec<f64> = row["per_seed"]
            .as_array()
            .unwrap_or_else(|| panic!("`per_seed` is not a list in {row}"))
            .iter()
            .map(|v| v.as_f64().unwrap_or_else(|| panic!("a seed without a number in {row}")))
            .collect();
        assert_eq!(seeds.len() as f64, score.n, "{row}");
        let mean = seeds.iter().sum::<f64>() / score.n;
        assert!((mean - score.mean).abs() < 1e-4, "mean {mean} of the seeds in {row}");
        score
    }

    fn variance_of_mean(&self) -> f64 {
        self.sd * self.sd / self.n
    }
}

fn row<'a>(result: &'a Value, method: &str, k: u64) -> &'a Value {
    result["rows"]
        .as_array()
        .expect("`rows` is a list")
        .iter()
        .find(|row| row["method"] == method && row["k"] == k)
        .unwrap_or_else(|| panic!("no row of {method} at k = {k}"))
}
