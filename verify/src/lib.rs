//! What the suite of `cargo xtask verify` stands on: the data, the program, the oracles.
//!
//! Everything here is found through three environment variables, which `cargo xtask verify` sets:
//! `SURCO_DATA` (test data), `SURCO_BIN` (the release program) and `SURCO_PYTHON` (a Python that holds
//! `verify/requirements.txt`). A missing one fails the test that needs it; nothing is skipped.

mod npy;
mod regression;

pub use npy::data_npy;
pub use regression::linear_rmse;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Path of a file or folder of the test data.
///
/// # Panics
/// If `SURCO_DATA` is not set or does not hold it.
#[must_use]
pub fn data(inside: &str) -> PathBuf {
    let path = variable("SURCO_DATA").join(inside);
    assert!(path.exists(), "the test data lack {}: set SURCO_DATA to their folder", path.display());
    path
}

/// A JSON file of the test data.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn data_json(inside: &str) -> Value {
    let path = data(inside);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The program, ready to be given arguments.
///
/// # Panics
/// If `SURCO_BIN` is not set.
#[must_use]
pub fn surco<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(variable("SURCO_BIN"));
    command.args(args);
    command
}

/// Runs the program to its end with exit code 0 and gives its result, the last line of its output.
///
/// # Panics
/// On any other exit code, or if that line is not one JSON object.
#[must_use]
pub fn result_of(mut command: Command) -> Value {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{command:?} did not end well\n{said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    let result: Value = serde_json::from_str(last)
        .unwrap_or_else(|e| panic!("the last line of {command:?} is not JSON: {e}\n{said}"));
    assert!(result.is_object(), "the result of {command:?} is not an object: {last}");
    result
}

/// Runs an oracle of `verify/oracles`, which prints what it compared and exits with 0 if all agree.
///
/// Gives what it printed.
///
/// # Panics
/// If `SURCO_PYTHON` is not set or the oracle disagrees.
pub fn oracle<S: AsRef<OsStr>>(script: &str, args: impl IntoIterator<Item = S>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles").join(script);
    let mut command = Command::new(variable("SURCO_PYTHON"));
    command.arg(path).args(args);
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let said = said(&output);
    assert!(output.status.success(), "{script} disagrees\n{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// SHA-256 of files, by path inside a folder.
pub type Tree = BTreeMap<PathBuf, String>;

/// Hashes every file under a folder; empty folders do not count, nor do the records of a store's runs.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn tree(folder: &Path) -> Tree {
    let mut hashes = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display()));
        for entry in entries {
            let path = entry.unwrap_or_else(|e| panic!("{}: {e}", next.display())).path();
            if path.is_dir() {
                folders.extend((!path.ends_with(".runs")).then_some(path));
                continue;
            }
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let inside = path.strip_prefix(folder).expect("the walk began there").to_path_buf();
            hashes.insert(inside, format!("{:x}", Sha256::digest(bytes)));
        }
    }
    hashes
}

fn variable(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(value) => value.into(),
        None => panic!("{name} is not set: run this suite with `cargo xtask verify`"),
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stderr) + &text(&output.stdout)
}
