//! METEOR, meta-trained from images around labels of a valley, and what it answers beside ours.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::kill::{holds, kill_when};
use crate::refusals::refused;
use crate::valley::{Run, args, assert_same_files, surco, valley};

/// The fields of the valley, all their pixels labelled.
fn fields() -> PathBuf {
    valley().archive.join("truth/fields.geojson")
}

/// A run with chips of 8 pixels and one task a step.
fn config(dir: &Path, name: &str, keys: &str) -> PathBuf {
    let path = dir.join(format!("{name}.toml"));
    let (store, fields, out) = (&valley().store, fields(), dir.join(name));
    let text = format!(
        "schema = 1\nsystem = \"meteor\"\nstores = [{store:?}]\nlabels = [{fields:?}]\nout = {out:?}\nchip_px = 8\n\
         episodes = 1\nways = 2\nshots = 1\nqueries = 1\nadapt_steps = 2\n{keys}\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn pixels(learners: &[String]) -> std::process::Command {
    let mut command = surco(args![
        "evaluate",
        "pixels",
        "--model",
        valley().model,
        "--store",
        valley().store,
        "--labels",
        fields(),
        "--support=north",
        "--shots=2",
        "--seeds=1",
        "--queries=5",
    ]);
    learners.iter().for_each(|learner| {
        command.args(["--learner", learner]);
    });
    command
}

fn learner(dir: &Path, name: &str) -> String {
    format!("{name}={}", dir.join(name).join("model").display())
}

#[test]
fn a_killed_run_ends_with_the_weights_of_an_undisturbed_one() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let meta = |name: &str| surco(args!["meta", config(dir, name, "steps = 13")]);
    let whole = Run::of(meta("whole").arg("--json")).json();
    assert!(whole["loss_last"].as_f64().is_some(), "{whole}");
    // All weights for ten bands, each of four bytes.
    assert_eq!(whole["task_bytes"], 4 * (8_004_993 - 5 * 640));
    let in_time =
        kill_when(&mut meta("killed"), || holds(&dir.join("killed"), "step-00000010/mark.json"));
    assert!(in_time, "the training ended before it could be killed");
    let resumed = Run::of(meta("killed").args(["--resume", "--json"])).json();
    assert_eq!(resumed["weights_sha256"], whole["weights_sha256"]);
    assert_same_files(&dir.join("killed/model"), &dir.join("whole/model"));
    let metrics = |name: &str| fs::read_to_string(dir.join(name).join("metrics.jsonl")).unwrap();
    assert_eq!(metrics("killed"), metrics("whole"));
    assert!(dir.join("killed/loss.svg").exists());
}

#[test]
fn learners_of_images_and_of_series_are_rows_beside_ours() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let run = Run::of(&mut surco(args!["meta", config(dir, "meteor", "steps = 1")]));
    assert!(run.stderr.contains("stick out of their cell and are mirrored"), "{}", run.stderr);
    let (store, fields, out) = (&valley().store, fields(), dir.join("series"));
    let text = format!(
        "schema = 1\nsize = \"femto\"\nmethod = \"fomaml\"\nstores = [{store:?}]\nlabels = [{fields:?}]\nout = {out:?}\n\
         per_class = 20\nsteps = 1\ninner_steps = 1\nadapt_steps = 2\n"
    );
    let series = dir.join("series.toml");
    fs::write(&series, text).unwrap();
    Run::of(&mut surco(args!["meta", series, "--json"])).json();
    let told = fs::read_to_string(dir.join("meteor/model/learner.json")).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["chip_px"], &told["most_dates"]), (&8.into(), &4.into()));
    let both = [learner(dir, "meteor"), learner(dir, "series")];
    let result = Run::of(pixels(&both).arg("--json")).json();
    let rows = result["rows"].as_array().unwrap();
    for name in ["meteor", "series", "surco"] {
        let row = rows.iter().find(|row| row["method"] == name).unwrap();
        assert_eq!((&row["k"], &row["n"]), (&2.into(), &1.into()), "{row}");
    }
    let asked = |name: &str| -> u64 {
        let row = rows.iter().find(|row| row["method"] == name).unwrap();
        row["per_class"].as_array().unwrap().iter().map(|c| c["asked"].as_u64().unwrap()).sum()
    };
    assert_eq!(asked("meteor"), asked("surco"), "the same places");

    let set = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/three_crops");
    let file = |name: &str| set.join(name);
    let few_shot = args![
        "evaluate",
        "fewshot",
        "--points",
        file("points.parquet"),
        "--series",
        file("series.parquet"),
        "--episodes",
        file("episodes.jsonl"),
        "--learner",
        learner(dir, "meteor"),
    ];
    refused(&mut surco(few_shot), 3, &["METEOR learns images", "surco evaluate pixels"]);
    // What belongs to other weights is not used.
    let path = dir.join("meteor/model/learner.json");
    let sha = told["weights_sha256"].as_str().unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap().replace(sha, "0")).unwrap();
    refused(&mut pixels(&both[..1]), 3, &["learner.json", "it belongs to other weights"]);
}

#[test]
fn places_never_seen_whole_are_left_out_of_training_and_refused_when_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    Run::of(&mut surco(args!["meta", config(dir, "small", "steps = 1"), "--json"])).json();
    // As if it had been trained on chips that are larger than what was ever seen whole of the valley.
    let path = dir.join("small/model/learner.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"chip_px\": 8", "\"chip_px\": 200")).unwrap();
    let told =
        ["labelled pixels asked about or learned from have no date", "smaller chip_px than 200"];
    refused(&mut pixels(&[learner(dir, "small")]), 3, &told);
}

#[test]
fn keys_that_say_nothing_to_meteor_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let keys = [
        ("model = \"run/model\"", "model = run/model: METEOR begins at random weights"),
        ("size = \"femto\"", "size = femto: METEOR has one size"),
        (
            "sets = [\"three_crops\"]",
            "sets = [\"three_crops\"]: the series of points in a table have no images",
        ),
        ("method = \"fomaml\"", "method = fomaml: METEOR learns by first-order steps"),
        (
            "heads = \"one_against_all\"",
            "heads = one_against_all: METEOR learns by first-order steps",
        ),
        ("lora_rank = 2", "lora_rank = 2: METEOR learns by first-order steps"),
        ("task_informed = true", "task_informed = true: METEOR is told of no task"),
        ("band_dropout = 0.5", "band_dropout = 0.5: METEOR is built for the bands"),
    ];
    for (key, told) in keys {
        let config = config(dir, "refused", key);
        refused(&mut surco(args!["meta", config]), 2, &[told, "leave the key out"]);
    }
    let text = fs::read_to_string(config(dir, "ours", "")).unwrap();
    let ours = dir.join("ours.toml");
    fs::write(&ours, text.replace("system = \"meteor\"\n", "size = \"femto\"\n")).unwrap();
    refused(&mut surco(args!["meta", ours]), 2, &["chip_px = 8", "system = \"meteor\""]);
    let small = fs::read_to_string(config(dir, "small", "")).unwrap().replace("= 8", "= 4");
    fs::write(&ours, small).unwrap();
    refused(&mut surco(args!["meta", ours]), 2, &["chip_px = 4: expected 8 to 256 pixels"]);
}
