//! `surco bench`: the figures of this machine, beside PyTorch.

mod contest;
mod scaling;
mod side;
mod worker;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use surco_core::Progress;
use surco_learn::workload::{CUBES, Operator, Pass, Shown, Work};
use surco_net::{Device, DeviceName, Precision};

use crate::exit::Usage;
use crate::screen::Screen;
use contest::{Contest, Row};
use scaling::Scaling;
use side::{Python, Side};

/// The same work in PyTorch.
const TORCH_SIDE: &str = include_str!("../../../../benches/encoder/torch_side.py");

/// Measures this machine, beside PyTorch where a Python has it
///
/// Both sides compute the same from the same numbers, each in a process of its own, in turns; a row shows the median
/// of either and their ratio. Without PyTorch the rows stand alone, and the result says so.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco bench train --threads 2\n  surco bench encoder --python torch/bin/python\n  surco bench kernels --json"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// Forward passes: the reference encoder at widths 128 and 384, Presto's, a cube embedded
    #[command(after_help = "Example:\n  surco bench encoder --threads 2 --python torch/bin/python")]
    Encoder(SuiteArgs),
    /// Training steps: the same encoders, 256 series of 24 dates, AdamW
    #[command(after_help = "Example:\n  surco bench train --threads 2 --python torch/bin/python")]
    Train(SuiteArgs),
    /// Learning to learn: an outer step of FOMAML on METEOR's network, 4 tasks × 4 classes × 5 images of 32 × 32 pixels
    #[command(after_help = "Example:\n  surco bench fomaml --threads 2 --python torch/bin/python")]
    Fomaml(SuiteArgs),
    /// Single operators, forward and backward
    #[command(after_help = "Example:\n  surco bench kernels --threads 2 --out inputs")]
    Kernels(SuiteArgs),
    #[command(hide = true)]
    Worker(worker::Args),
}

#[derive(clap::Args)]
struct SuiteArgs {
    /// Python to look for PyTorch in
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Turns of each side
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    rounds: u32,
    /// Seed of weights and inputs
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder to leave the inputs and PyTorch's script in; a temporary one if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The whole result.
#[derive(Serialize)]
struct Measured {
    device: String,
    threads: usize,
    cores: usize,
    /// Version of PyTorch, or why there is none.
    torch: Result<String, String>,
    rows: Vec<Row>,
    /// What the cubes say together, where they were measured.
    scaling: Option<Scaling>,
}

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (suite, args) = match &args.suite {
        Suite::Worker(args) => return worker::run(args, device),
        Suite::Encoder(args) => (encoder(), args),
        Suite::Train(args) => (train(), args),
        Suite::Fomaml(args) => (fomaml(), args),
        Suite::Kernels(args) => (kernels(), args),
    };
    let name = DeviceName::of(device).context("the device has no name")?;
    let folder = Folder::of(args.out.as_deref())?;
    let script = folder.path().join("torch_side.py");
    surco_core::write_whole(&script, TORCH_SIDE.as_bytes())
        .with_context(|| format!("cannot write {}", script.display()))?;
    let threads = rayon::current_num_threads();
    let python = Python::find(&args.python, script);
    if let Err(reason) = &python {
        screen.say(&format!("without PyTorch's side: {reason}"));
    }
    let (mut rows, mut cubes) = (Vec::new(), Vec::new());
    for (i, plan) in suite.iter().enumerate() {
        let threads = plan.threads.unwrap_or(threads);
        screen.report("bench", i as u64, suite.len() as u64, &plan.work.to_string());
        let inputs = inputs(folder.path(), plan.work, args.seed)?;
        let ours = Side::ours(plan.work, &inputs, name, threads)?;
        let theirs = match plan.against {
            Against::OneThread if threads == 1 => continue,
            Against::OneThread => Some(Side::ours(plan.work, &inputs, name, 1)?),
            Against::Nothing => None,
            Against::Torch => python
                .as_ref()
                .ok()
                .map(|p| p.side(plan.work, &inputs, name, threads))
                .transpose()?,
        };
        let contest = Contest { ours, theirs, rounds: args.rounds };
        let row = contest.run(plan.title(threads), plan.reach, screen)?;
        if let Work::Cube(size) = plan.work {
            cubes.push((size, row.ms()));
        }
        rows.push(row);
    }
    screen.report("bench", suite.len() as u64, suite.len() as u64, "");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let torch = python.map(|p| p.version);
    let scaling = Scaling::of(&cubes, threads);
    let device = name.to_string();
    let measured = Measured { device, threads, cores, torch, rows, scaling };
    screen.result(&measured, &text(&measured))?;
    Ok(0)
}

/// One row to be measured.
struct Plan {
    work: Work,
    against: Against,
    /// Threads of both sides, where they are not those of the command.
    threads: Option<usize>,
    /// What is aimed at.
    reach: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Torch,
    OneThread,
    Nothing,
}

impl Plan {
    fn new(work: Work, reach: &'static str) -> Self {
        Self { work, against: Against::Torch, threads: None, reach }
    }

    fn title(&self, threads: usize) -> String {
        match self.against {
            Against::Torch if self.threads == Some(1) => format!("{}, 1 thread", self.work),
            Against::Torch | Against::Nothing => self.work.to_string(),
            Against::OneThread => format!("{}, {threads} threads against 1", self.work),
        }
    }
}

fn encoder() -> Vec<Plan> {
    let infer =
        |precision, reach| [128, 384].map(|width| Plan::new(Work::Infer(width, precision), reach));
    let mut plans: Vec<Plan> = infer(Precision::F32, "time ≤ 0.6").into();
    plans.extend(infer(Precision::Bf16, "against autocast"));
    plans.extend(infer(Precision::Int8, "against 32 bits"));
    for (precision, reach) in [(Precision::F32, "time ≤ 0.33"), (Precision::Bf16, "time ≤ 0.17")]
    {
        let work = [Shown::All, Shown::Optical].map(|shown| Work::Presto(shown, precision));
        plans.extend(work.map(|work| Plan { threads: Some(1), ..Plan::new(work, reach) }));
    }
    let alone = |work| Plan { against: Against::Nothing, ..Plan::new(work, "") };
    plans.extend(CUBES.map(|cube| alone(Work::Cube(cube))));
    plans
}

fn train() -> Vec<Plan> {
    let mut plans: Vec<Plan> =
        [128, 384].map(|width| Plan::new(Work::Train(width), "time ≤ 1.0, memory ≤ 0.5")).into();
    let work = Work::Train(128);
    plans.push(Plan { against: Against::OneThread, ..Plan::new(work, "time ≤ 0.56 (1.8 ×)") });
    plans
}

fn fomaml() -> Vec<Plan> {
    let plan = || Plan::new(Work::Fomaml, "time ≤ 1.0");
    vec![Plan { threads: Some(1), ..plan() }, plan()]
}

fn kernels() -> Vec<Plan> {
    [Operator::Gelu, Operator::LayerNorm, Operator::Attention]
        .into_iter()
        .flat_map(|op| [Pass::Forward, Pass::Backward].map(|pass| Work::Operator(op, pass)))
        .map(|work| Plan::new(work, "time ≤ 1.0"))
        .collect()
}

/// Writes the inputs of a work into a folder of its own.
fn inputs(folder: &Path, work: Work, seed: u64) -> anyhow::Result<PathBuf> {
    let folder = folder.join(work.to_string());
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make folder {}", folder.display()))?;
    for (name, bytes) in work.inputs(seed) {
        let path = folder.join(name);
        surco_core::write_whole(&path, &bytes)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(folder)
}

/// Where the inputs lie.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn of(kept: Option<&Path>) -> anyhow::Result<Self> {
        match kept {
            Some(path) => {
                std::fs::create_dir_all(path)
                    .map_err(|e| Usage(format!("--out {}: {e}", path.display())))?;
                Ok(Self::Kept(path.into()))
            }
            None => Ok(Self::Temporary(tempfile::tempdir().context("no temporary folder")?)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

fn text(measured: &Measured) -> String {
    let torch = match &measured.torch {
        Ok(version) => version.clone(),
        Err(reason) => format!("no PyTorch ({reason})"),
    };
    let mut text = format!(
        "{} with {} threads of {} cores; {torch}\n\n{}\n",
        measured.device,
        measured.threads,
        measured.cores,
        contest::table(&measured.rows)
    );
    if let Some(scaling) = &measured.scaling {
        text += &format!("\n{scaling}\n");
    }
    for row in &measured.rows {
        text += &format!("\n{}\n", row.work);
        for command in row.commands() {
            text += &format!("  {command}\n");
        }
    }
    text
}
