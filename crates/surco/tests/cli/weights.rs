//! Weights in and out. `verify/tests/peers.rs` brings in the real ones of others.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::refusals::refused;
use crate::valley::{Run, args, assert_same_files, copy, files, surco, valley};

/// A file that PyTorch wrote.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../surco-net/fixtures/torch").join(name)
}

fn import(file: &Path, out: &Path) -> std::process::Command {
    surco(args!["weights", "import", "--from", "presto", file, "--out", out])
}

fn export(model: &Path, out: &Path) -> std::process::Command {
    surco(args!["weights", "export", "--model", model, "--out", out])
}

#[test]
fn a_model_goes_out_whole_and_comes_back_as_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let (hub, again) = (scratch.path().join("hub"), scratch.path().join("again"));
    let told = Run::of(export(&valley().model, &hub).arg("--json")).json();
    let names: Vec<String> =
        files(&hub).into_keys().map(|name| name.display().to_string()).collect();
    assert_eq!(names, ["README.md", "config.json", "model.safetensors"]);
    assert_same_files(&hub, &valley().model);
    let config: Value =
        serde_json::from_slice(&fs::read(hub.join("config.json")).unwrap()).unwrap();
    assert_eq!(
        (&told["kind"], &told["weights_sha256"]),
        (&config["kind"], &config["weights_sha256"])
    );
    let trained = valley().results["pretrain"].json();
    assert_eq!(told["weights_sha256"], trained["weights_sha256"]);
    assert_eq!(config["schema"], 2);
    assert!(config["normalisation"]["mean"].is_array());
    assert_eq!(Run::of(&mut export(&hub, &again)).code, Some(0));
    assert_same_files(&hub, &again);
}

#[test]
fn released_models_go_out() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["nano", "nano-int8", "nano-meta-int8", "micro-int8"] {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name);
        let run = Run::of(&mut export(&model, &scratch.path().join(name)));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.starts_with("surco: checked\n"), "{}", run.stdout);
    }
}

/// The 8-bit nano is what export makes of nano today.
#[test]
fn the_released_eight_bits_are_made_of_the_released_model() {
    let scratch = tempfile::tempdir().unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let run = Run::of(export(&models.join("nano"), scratch.path()).arg("--int8"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let read = |folder: &Path| fs::read(folder.join("model.int8.safetensors")).unwrap();
    assert!(read(scratch.path()) == read(&models.join("nano-int8")));
}

#[test]
fn eight_bits_are_a_quarter_of_the_bytes_and_load_as_any_model() {
    let scratch = tempfile::tempdir().unwrap();
    let (small, again) = (scratch.path().join("small"), scratch.path().join("again"));
    let run = Run::of(export(&valley().model, &small).arg("--int8"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let bytes = |path: PathBuf| fs::metadata(path).unwrap().len() as f64;
    let share = bytes(small.join("model.int8.safetensors"))
        / bytes(valley().model.join("model.safetensors"));
    assert!((0.24..0.30).contains(&share), "{share}");
    assert_eq!(Run::of(&mut export(&small, &again)).code, Some(0));
    assert_same_files(&small, &again);
}

#[test]
fn a_changed_model_does_not_go_out() {
    let scratch = tempfile::tempdir().unwrap();
    let (model, out) = (scratch.path().join("model"), scratch.path().join("hub"));
    copy(&valley().model, &model);
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4] ^= 1;
    fs::write(&path, bytes).unwrap();
    let says = ["model.safetensors", "SHA-256", "config.json records", "again"];
    refused(&mut export(&model, &out), 3, &says);
    fs::copy(valley().model.join("model.safetensors"), &path).unwrap();
    let config = model.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"kind\": \"surco\"", "\"kind\": \"stranger\"")).unwrap();
    refused(&mut export(&model, &out), 3, &["config.json", "kind `stranger`", "none that this"]);
    assert!(!out.exists());
}

#[test]
fn a_file_that_would_run_code_does_not_come_in() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("presto");
    let cases: [(&str, &[&str]); 5] = [
        ("stranger.pt", &["stranger.pt", "`posix.system`", "never run", "state_dict"]),
        ("module.pt", &["module.pt", "`torch.nn.modules.linear.Linear`"]),
        ("deflated.pt", &["deflated.pt", "compressed"]),
        ("old.pt", &["old.pt", "before 1.6"]),
        (
            "sound.pt",
            &["sound.pt", "encoder of presto", "`encoder.channel_embed.weight` is missing"],
        ),
    ];
    for (name, says) in cases {
        refused(&mut import(&fixture(name), &out), 3, says);
    }
    refused(
        &mut import(&scratch.path().join("absent.pt"), &out),
        3,
        &["absent.pt", "No such file"],
    );
    assert!(!out.exists());
}

#[test]
fn a_pickle_under_another_name_is_no_model() {
    let scratch = tempfile::tempdir().unwrap();
    let (model, out) = (scratch.path().join("model"), scratch.path().join("hub"));
    copy(&valley().model, &model);
    for name in ["sound.pt", "bare.pkl"] {
        fs::copy(fixture(name), model.join("model.safetensors")).unwrap();
        let says = ["model.safetensors", "PyTorch file under another name", "surco weights import"];
        refused(&mut export(&model, &out), 3, &says);
    }
    assert!(!out.exists());
}

#[test]
fn a_model_nobody_knows_is_a_fault_of_usage() {
    let scratch = tempfile::tempdir().unwrap();
    let file = fixture("sound.pt");
    let args = args!["weights", "import", "--from", "clay", file, "--out", scratch.path()];
    let run = Run::of(&mut surco(args));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("presto") && run.stderr.contains("galileo"), "{}", run.stderr);
}
