//! Developer tasks: `cargo xtask floors` and `cargo xtask verify`.

mod floors;
mod verify;

use std::process::ExitCode;

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand};

const USAGE: &str = "\
usage: cargo xtask TASK

  floors    refuse an arrow that points up or sideways and a heavy dependency outside its room
  verify    test on real data and against Python oracles; needs SURCO_DATA and python3 with venv";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> anyhow::Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["floors"] => floors::run(&workspace()?),
        ["verify"] => verify::run(&workspace()?),
        ["help" | "--help" | "-h"] => {
            eprintln!("{USAGE}");
            Ok(())
        }
        _ => bail!("expected one task, found {args:?}\n{USAGE}"),
    }
}

fn workspace() -> anyhow::Result<Metadata> {
    MetadataCommand::new().no_deps().exec().context("cannot read the workspace's metadata")
}
