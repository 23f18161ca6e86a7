//! `cargo xtask verify`: the suite on real data and against Python oracles.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use cargo_metadata::{Metadata, Package};

/// Folders of the data set that the suite reads.
const NEEDED: [&str; 6] = [
    "chile",
    "labelled_chile_ine_19hba",
    "oracles",
    "regression_fuel_moisture",
    "s2_stack_flanders_2018_31UDS",
    "weights",
];

const NO_PYTHON: &str = "install python3 with venv and pip, on Debian and Ubuntu: \
                         apt-get install python3 python3-venv python3-pip";

/// Finds the data, prepares Python, builds the release program and runs `surco-verify`.
pub(crate) fn run(metadata: &Metadata) -> anyhow::Result<()> {
    let root = metadata.workspace_root.as_std_path();
    let target = metadata.target_directory.as_std_path();
    let data = data_folder(std::env::var_os("SURCO_DATA").map(PathBuf::from), root)?;
    let python = venv(&target.join("verify-venv"), &root.join("verify/requirements.txt"))?;

    // The same packages as `cargo test --release` and one more: another choice would have other features,
    // and Burn would be built again.
    let like_tests = ["test", "--release", "--workspace", "--exclude", "xtask"].map(String::from);
    let build = like_tests.iter().cloned().chain(["--no-run".into()]);
    cargo(root, build.collect(), &[])?;
    let bin = target.join("release/surco");
    let env = [("SURCO_DATA", &data), ("SURCO_PYTHON", &python), ("SURCO_BIN", &bin)];
    let tests = suite(metadata)?.into_iter().flat_map(|name| ["--test".into(), name]);
    let run = like_tests.iter().cloned().chain(["--no-fail-fast".into()]).chain(tests);
    cargo(root, run.collect(), &env)
}

/// Names of the suite's tests, which no other package may have.
fn suite(metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let of = |package: &Package| {
        let tests = package.targets.iter().filter(|target| target.is_test());
        tests.map(|target| target.name.clone()).collect::<Vec<_>>()
    };
    let packages = metadata.workspace_packages();
    let (own, others): (Vec<&Package>, Vec<&Package>) =
        packages.into_iter().partition(|package| package.name == "surco-verify");
    let names: Vec<String> = own.into_iter().flat_map(of).collect();
    let taken: Vec<String> = others.into_iter().flat_map(of).collect();
    if let Some(name) = names.iter().find(|name| taken.contains(name)) {
        bail!("two packages have a test `{name}`: give the one in verify/tests another name");
    }
    ensure!(!names.is_empty(), "verify/tests holds no test");
    Ok(names)
}

/// The folder of test data: `given`, or `../shared/data` beside the repository where that exists.
fn data_folder(given: Option<PathBuf>, root: &Path) -> anyhow::Result<PathBuf> {
    let folder = given.unwrap_or_else(|| root.join("../shared/data"));
    let Ok(folder) = folder.canonicalize() else {
        bail!(
            "no test data: {} does not exist; set SURCO_DATA to the folder that holds {}",
            folder.display(),
            NEEDED.join(", ")
        );
    };
    for name in NEEDED {
        ensure!(
            folder.join(name).is_dir(),
            "the test data lack {name}: looked in {}; set SURCO_DATA to the folder that holds {}",
            folder.display(),
            NEEDED.join(", ")
        );
    }
    Ok(folder)
}

/// The Python of a virtual environment that holds exactly what `requirements` lists.
///
/// A copy of the list is left in the environment once it is complete, so an unchanged list costs
/// nothing and a half-made environment is made again.
fn venv(folder: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let stamp = folder.join("installed-requirements.txt");
    let python = folder.join("bin/python");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }

    eprintln!("verify: making {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(folder).status();
    ensure!(made.is_ok_and(|s| s.success()), "cannot make a Python environment; {NO_PYTHON}");
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--requirement"])
        .arg(requirements)
        .status()
        .with_context(|| format!("cannot run pip; {NO_PYTHON}"))?;
    ensure!(
        installed.success(),
        "pip could not install {} (its own message is above); a package index must be reachable once",
        requirements.display()
    );
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

fn cargo(root: &Path, args: Vec<String>, env: &[(&str, &PathBuf)]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").into());
    let line = args.join(" ");
    eprintln!("verify: cargo {line}");
    let status = Command::new(cargo)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot start cargo {line}"))?;
    ensure!(status.success(), "cargo {line} failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_data_say_what_to_set() {
        let err = data_folder(Some("/nowhere".into()), Path::new("/")).unwrap_err();
        assert_eq!(
            err.to_string(),
            "no test data: /nowhere does not exist; set SURCO_DATA to the folder that holds \
             chile, labelled_chile_ine_19hba, oracles, regression_fuel_moisture, \
             s2_stack_flanders_2018_31UDS, weights"
        );
        let err = data_folder(Some("/usr".into()), Path::new("/")).unwrap_err();
        assert!(err.to_string().starts_with("the test data lack chile"), "{err}");
    }
}
