//! One side of a comparison: a process that runs the work when told.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;
use surco_learn::workload::Work;
use surco_net::DeviceName;

/// A Python that has PyTorch.
pub(super) struct Python {
    path: PathBuf,
    script: PathBuf,
    pub(super) version: String,
}

impl Python {
    /// Looks for PyTorch; an error says why there is none.
    pub(super) fn find(path: &Path, script: PathBuf) -> Result<Self, String> {
        let output = Command::new(path)
            .args(["-c", "import torch; print('PyTorch', torch.__version__)"])
            .output()
            .map_err(|e| format!("cannot start {}: {e}", path.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it says nothing").to_string();
            return Err(format!("{}: {last}; name another with --python", path.display()));
        }
        let version = String::from_utf8_lossy(&output.stdout).trim().to_string();
        Ok(Self { path: path.into(), script, version })
    }

    /// PyTorch's side of a work.
    pub(super) fn side(
        &self,
        work: Work,
        inputs: &Path,
        device: DeviceName,
        threads: usize,
    ) -> anyhow::Result<Side> {
        let mut command = Command::new(&self.path);
        command.arg(&self.script).arg(work.to_string()).arg(inputs).arg(threads.to_string());
        command.arg(device.in_torch());
        Side::start(command, threads)
    }
}

/// What a process answers to a number of runs.
#[derive(Deserialize)]
pub(super) struct Turn {
    /// Time of each run in ms.
    pub(super) ms: Vec<f64>,
    /// Processor time of a run in ms, their mean; nothing where the system does not say.
    pub(super) cpu_ms: Option<f64>,
    /// Mean absolute value of the last result.
    pub(super) value: f64,
}

/// Memory of a process, in MB of 2^20 bytes; nothing where the system does not say.
#[derive(Deserialize)]
pub(super) struct Memory {
    /// The most before it read the work's inputs: the program and its libraries.
    pub(super) base_mb: Option<f64>,
    /// The most it ever held.
    pub(super) peak_mb: Option<f64>,
}

/// A running side.
pub(super) struct Side {
    /// The command, as one would type it.
    pub(super) command: String,
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Side {
    /// Our side of a work.
    pub(super) fn ours(
        work: Work,
        inputs: &Path,
        device: DeviceName,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command.args(["bench", "worker", &work.to_string()]).arg(inputs);
        command.args(["--threads", &threads.to_string(), "--device", &device.to_string()]);
        Self::start(command, threads)
    }

    fn start(mut command: Command, threads: usize) -> anyhow::Result<Self> {
        // LibTorch reads its number of threads from here, on both sides.
        command.env("OMP_NUM_THREADS", threads.to_string());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let typed: Vec<_> = words.map(|w| w.to_string_lossy()).collect();
        let typed = format!("OMP_NUM_THREADS={threads} {}", typed.join(" "));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {typed}"))?;
        let asks = child.stdin.take();
        let answers = child.stdout.take().context("a piped process has an output")?;
        Ok(Self { command: typed, child, asks, answers: BufReader::new(answers) })
    }

    /// Has it run the work so many times.
    pub(super) fn turn(&mut self, runs: usize) -> anyhow::Result<Turn> {
        let asks = self.asks.as_mut().context("this side was ended")?;
        let asked = writeln!(asks, "{runs}").and_then(|()| asks.flush());
        asked.with_context(|| format!("it ended early: {}", self.command))?;
        self.answer()
    }

    /// Ends it; gives the memory it held.
    pub(super) fn end(mut self) -> anyhow::Result<Memory> {
        drop(self.asks.take());
        let memory = self.answer()?;
        let status = self.child.wait().context("cannot wait for a side")?;
        if !status.success() {
            bail!("{status}: {}", self.command);
        }
        Ok(memory)
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("cannot read from a side")?;
        serde_json::from_str(&line)
            .map_err(|_| anyhow::anyhow!("it ended early or said {line:?}: {}", self.command))
    }
}

impl Drop for Side {
    /// A side that was not ended, because the other failed, is of no more use.
    fn drop(&mut self) {
        if self.asks.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
