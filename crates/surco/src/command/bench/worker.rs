//! `surco bench worker`: our side, one work in a process of its own.
//!
//! Each line of stdin is a number of runs; the answer is one JSON line with the time of each in ms and
//! the processor time of one. At the end of stdin the last line says the most memory the process ever held.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::Context;
use surco_learn::workload::Work;
use surco_net::Device;

use crate::memory::{busy_ms, peak_mb};

/// Runs one work when told on stdin
#[derive(clap::Args)]
pub(super) struct Args {
    /// The work
    work: Work,
    /// Folder of its inputs
    folder: PathBuf,
}

pub(super) fn run(args: &Args, device: &Device) -> anyhow::Result<u64> {
    let read = |name: &str| {
        let path = args.folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let base_mb = peak_mb();
    let mut work = args.work.prepare(read, device)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read stdin")?;
        let runs: usize = line.trim().parse().with_context(|| format!("no number: {line:?}"))?;
        let (mut ms, before) = (Vec::with_capacity(runs), busy_ms());
        for _ in 0..runs {
            let time = work.run().map_err(|e| anyhow::anyhow!("the device failed: {e}"))?;
            ms.push(time.as_secs_f64() * 1e3);
        }
        let busy = busy_ms().zip(before).map(|(after, before)| after - before);
        let cpu_ms = busy.map(|busy| busy / runs.max(1) as f64);
        let answer = serde_json::json!({ "ms": ms, "cpu_ms": cpu_ms, "value": work.value() });
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    let memory = serde_json::json!({ "base_mb": base_mb, "peak_mb": peak_mb() });
    writeln!(out, "{memory}")?;
    Ok(0)
}
