//! Meta-training by inner steps, and the learner it leaves at work on episodes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::refusals::refused;
use crate::valley::{Run, args, surco};

/// A table of three crops with four episodes of two labels a class, see `fixtures/three_crops.py`.
fn set() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/three_crops")
}

fn config(dir: &Path, name: &str, keys: &str) -> PathBuf {
    let path = dir.join(format!("{name}.toml"));
    let (sets, out) = (set(), dir.join(name));
    let text = format!("schema = 1\nsets = [{sets:?}]\nout = {out:?}\nways = 3\n{keys}\n");
    fs::write(&path, text).unwrap();
    path
}

fn few_shot(learners: &[String]) -> std::process::Command {
    let file = |name: &str| set().join(name);
    let mut command = surco(args![
        "evaluate",
        "fewshot",
        "--points",
        file("points.parquet"),
        "--series",
        file("series.parquet"),
        "--episodes",
        file("episodes.jsonl"),
    ]);
    learners.iter().for_each(|learner| {
        command.args(["--learner", learner]);
    });
    command
}

#[test]
fn a_learner_is_used_as_it_was_trained() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let keys = "size = \"femto\"\nmethod = \"fomaml\"\nheads = \"one_against_all\"\nsteps = 20\nlearning_rate = 3e-3\nadapt_steps = 20";
    Run::of(surco(args!["meta", config(dir, "taught", keys)]).arg("--json")).json();
    let keys =
        "size = \"femto\"\nmethod = \"meta_sgd\"\nsteps = 2\ninner_steps = 1\nadapt_steps = 20";
    Run::of(surco(args!["meta", config(dir, "rates", keys)]).arg("--json")).json();
    let learner = |name: &str| format!("{name}={}", dir.join(name).join("model").display());
    let told: Value =
        serde_json::from_slice(&fs::read(dir.join("rates/model/learner.json")).unwrap()).unwrap();
    assert!(told["rates"].as_array().unwrap().len() > 20, "{told}");
    let result = Run::of(few_shot(&[learner("taught"), learner("rates")]).arg("--json")).json();
    let rows = result["rows"].as_array().unwrap();
    for name in ["taught", "rates"] {
        let row = rows.iter().find(|row| row["method"] == name).unwrap();
        assert_eq!((&row["k"], &row["n"]), (&2.into(), &4.into()));
        assert_eq!(row["per_seed"].as_array().unwrap().len(), 4);
    }
    let taught = rows.iter().find(|row| row["method"] == "taught").unwrap();
    assert!(taught["mean"].as_f64() > Some(0.8), "{taught}");
}

/// The rows of `surco evaluate fewshot` by these runs of `surco meta`: the mean score of each.
fn means(dir: &Path, names: &[&str]) -> Vec<f64> {
    let learner = |name: &&str| format!("{name}={}", dir.join(name).join("model").display());
    let learners: Vec<String> = names.iter().map(learner).collect();
    let result = Run::of(few_shot(&learners).arg("--json")).json();
    let rows = result["rows"].as_array().unwrap();
    let mean = |name: &&str| {
        let row = rows.iter().find(|row| row["method"] == **name).unwrap();
        row["mean"].as_f64().unwrap()
    };
    names.iter().map(mean).collect()
}

#[test]
fn a_learner_of_low_rank_keeps_few_bytes_a_task() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let taught = |name: &str, keys: &str| {
        let keys = format!(
            "size = \"femto\"\nmethod = \"fomaml\"\nsteps = 20\nlearning_rate = 3e-3\nadapt_steps = 20\n{keys}"
        );
        Run::of(surco(args!["meta", config(dir, name, &keys)]).arg("--json")).json()
    };
    let (all, low) = (taught("all", ""), taught("low", "lora_rank = 2"));
    let bytes = |told: &Value| told["task_bytes"].as_u64().unwrap();
    assert!(bytes(&low) > 0 && 4 * bytes(&low) < bytes(&all), "{low} {all}");
    let told = fs::read_to_string(dir.join("low/model/learner.json")).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["lora"], serde_json::json!({ "rank": 2, "seed": 0 }));
    let scores = means(dir, &["low"]);
    assert!(scores[0] > 0.8, "{scores:?}");
}

#[test]
fn a_learner_that_is_told_of_tasks_keeps_what_tells_of_them() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let keys = "size = \"femto\"\nmethod = \"fomaml\"\nsteps = 20\nlearning_rate = 3e-3\nadapt_steps = 20\ntask_informed = true";
    Run::of(surco(args!["meta", config(dir, "told", keys)]).arg("--json")).json();
    let path = dir.join("told/model/task.safetensors");
    let scores = means(dir, &["told"]);
    assert!(scores[0] > 0.8, "{scores:?}");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let told = format!("told={}", dir.join("told/model").display());
    refused(&mut few_shot(&[told]), 3, &["learner.json", "of task.safetensors, which has"]);
}

/// A peer that is our own encoder says under our adapter what we say.
#[test]
fn a_peer_is_measured_on_the_same_episodes() {
    let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/nano");
    let peer = format!("same={}", nano.display());
    let mut command = few_shot(&[]);
    command.arg("--model").arg(&nano).args(["--peer", &peer]);
    let result = Run::of(command.arg("--json")).json();
    let rows = result["rows"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["method"] == name).unwrap();
    assert_eq!(row("same_adapter")["per_seed"], row("surco")["per_seed"]);
    assert!(row("same_lr")["mean"].as_f64() > Some(0.8), "{}", row("same_lr"));
    refused(few_shot(&[]).args(["--peer", &peer, "--peer", &peer]), 2, &["same is given twice"]);
}

/// A lens behind an encoder that stays as it is, and is asked on the same episodes.
#[test]
fn a_lens_is_trained_behind_a_peer_and_measured_with_it() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/nano-int8");
    let keys = |method: &str| format!("peer = {nano:?}\nmethod = \"{method}\"\nsteps = 10");
    Run::of(surco(args!["meta", config(dir, "lens", &keys("ridge"))]).arg("--json")).json();
    let model = dir.join("lens/model");
    let read = |folder: &Path| fs::read(folder.join("model.int8.safetensors")).unwrap();
    assert!(read(&model) == read(&nano), "the encoder stays as it is");
    let result = |folder: &Path| {
        let peer = format!("p={}", folder.display());
        let told = Run::of(few_shot(&[]).args(["--peer", &peer, "--json"])).json();
        let rows = told["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["method"] == "p_adapter").unwrap();
        row["mean"].as_f64().unwrap()
    };
    assert!(result(&model) > 0.8 && result(&nano) > 0.8);
    let stepwise = config(dir, "stepwise", &keys("maml"));
    refused(&mut surco(args!["meta", stepwise]), 2, &["method = maml", "closed form"]);
    let both = config(dir, "both", &(keys("ridge") + "\nsize = \"femto\""));
    refused(&mut surco(args!["meta", both]), 2, &["size = femto", "the peer is the encoder"]);
    let lens = model.join("lens.json");
    let told = fs::read_to_string(&lens).unwrap();
    fs::write(&lens, told.replace("\"schema\": 1", "\"schema\": 9")).unwrap();
    let peer = format!("p={}", model.display());
    refused(few_shot(&[]).args(["--peer", &peer]), 3, &["lens.json", "schema 9"]);
}

#[test]
fn learners_that_cannot_be_used_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let both = config(dir, "both", "size = \"femto\"\nmodel = \"run/model\"");
    refused(&mut surco(args!["meta", both]), 2, &["model and size: give one of them"]);
    let closed = config(dir, "closed", "size = \"femto\"\nheads = \"pairs\"");
    refused(&mut surco(args!["meta", closed]), 2, &["heads", "methods in closed form"]);
    let still = config(dir, "still", "size = \"femto\"\nmethod = \"anil\"\nlora_rank = 2");
    refused(&mut surco(args!["meta", still]), 2, &["lora_rank = 2", "anil move the head alone"]);
    let untold = config(dir, "untold", "size = \"femto\"\ntask_informed = true");
    refused(&mut surco(args!["meta", untold]), 2, &["task_informed = true", "closed form"]);
    refused(&mut few_shot(&["nameless".into()]), 2, &["--learner nameless: expected NAME=DIR"]);
    let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/nano");
    let plain = format!("nano={}", nano.display());
    refused(&mut few_shot(&[plain]), 3, &["learner.json does not say how a model learns"]);
}
