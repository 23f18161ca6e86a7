//! `surco collect slurm`: the same collection as a Slurm job array.
//!
//! The script repeats the command line that made it, so every option of `collect` is carried over as it was
//! given; only the share of the task is added.

use std::path::PathBuf;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory};

use crate::exit::Usage;
use crate::screen::Screen;

/// How often a task that could not reach the service is put back into the queue.
const NETWORK_RETRIES: u32 = 3;
/// Seconds before the time limit at which a task stops and is put back into the queue.
const WARNING_S: u32 = 120;

/// Options of `collect slurm`.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Options of collect slurm")]
pub(crate) struct Args {
    /// Script to write
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Number of tasks of the job array
    #[arg(long, value_name = "N")]
    tasks: Option<u32>,
    /// Tasks that run at the same time, to be gentle with a service
    #[arg(long, value_name = "N")]
    at_once: Option<u32>,
    /// Time limit of a task; one that needs more is put back into the queue and goes on
    #[arg(long, value_name = "[D-]HH:MM:SS")]
    time: Option<String>,
    /// Partition of the cluster
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Memory of a task
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory_mb: u32,
    /// Cores of a task
    #[arg(long, value_name = "N", default_value_t = 2)]
    cores: u32,
}

/// Arguments of `collect` that are not the collection itself.
const OURS: [&str; 10] = [
    "verb",
    "script",
    "tasks",
    "at_once",
    "time",
    "partition",
    "memory_mb",
    "cores",
    "shard_index",
    "shard_count",
];

pub(super) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let (Some(path), Some(tasks)) = (&args.script, args.tasks) else {
        return Err(Usage("collect slurm needs --script FILE and --tasks N".into()).into());
    };
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let folder = std::env::current_dir().context("cannot find the current folder")?;
    let line = collect_line(std::env::args_os())?;
    let script = script(args, tasks, &text(program)?, &text(folder)?, &line)?;
    surco_core::write_whole(path, script.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    let json = serde_json::json!({ "script": path.display().to_string(), "tasks": tasks });
    let text = format!("{tasks} tasks: sbatch {}", quote(&path.display().to_string()));
    screen.result(&json, &text)?;
    Ok(0)
}

fn text(path: PathBuf) -> anyhow::Result<String> {
    path.into_os_string()
        .into_string()
        .map_err(|path| Usage(format!("{} is no UTF-8 path", path.display())).into())
}

/// The options of a collection as they were given, each as `--name=value`, ready for a shell.
fn collect_line(
    given: impl IntoIterator<Item = std::ffi::OsString>,
) -> anyhow::Result<Vec<String>> {
    let mut command = crate::Cli::command();
    command.build();
    let matches = command.clone().try_get_matches_from(given)?;
    let (Some(matches), Some(collect)) =
        (matches.subcommand_matches("collect"), command.find_subcommand("collect"))
    else {
        return Err(Usage("this is no `surco collect`".into()).into());
    };
    options_of(collect, matches)
}

fn options_of(command: &Command, matches: &ArgMatches) -> anyhow::Result<Vec<String>> {
    let mut line = Vec::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        // Help and version are no values that could be asked for.
        let known = matches.try_contains_id(id).unwrap_or(false);
        if !known
            || OURS.contains(&id)
            || matches.value_source(id) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        let Some(long) = arg.get_long() else { continue };
        if !arg.get_action().takes_values() {
            line.push(format!("--{long}"));
            continue;
        }
        let mut values = Vec::new();
        for value in matches.get_raw(id).into_iter().flatten() {
            let value = value.to_str();
            values.push(value.ok_or_else(|| Usage(format!("--{long} is no UTF-8 text")))?);
        }
        let joined;
        if let Some(delimiter) = arg.get_value_delimiter() {
            joined = values.join(&delimiter.to_string());
            values = vec![&joined];
        }
        line.extend(values.into_iter().map(|value| quote(&format!("--{long}={value}"))));
    }
    Ok(line)
}

/// A text as one word of a POSIX shell.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value of an `#SBATCH` line, which no shell reads and nothing can quote.
fn directive<'v>(name: &str, value: &'v str) -> anyhow::Result<&'v str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value);
    }
    let text =
        format!("--{name} is `{value}`: only letters, digits and - _ . , : can stand in #SBATCH");
    Err(Usage(text).into())
}

fn script(
    args: &Args,
    tasks: u32,
    program: &str,
    folder: &str,
    line: &[String],
) -> anyhow::Result<String> {
    if tasks == 0 || args.at_once == Some(0) {
        return Err(Usage("--tasks and --at-once are at least 1".into()).into());
    }
    let mut head = vec![
        "--job-name=surco-collect".to_string(),
        match args.at_once {
            Some(at_once) => format!("--array=0-{}%{at_once}", tasks - 1),
            None => format!("--array=0-{}", tasks - 1),
        },
        "--requeue".into(),
        "--open-mode=append".into(),
        "--output=surco-collect-%A_%a.log".into(),
        format!("--cpus-per-task={}", args.cores),
        format!("--mem={}M", args.memory_mb),
        format!("--signal=B:USR1@{WARNING_S}"),
    ];
    if let Some(time) = &args.time {
        head.push(format!("--time={}", directive("time", time)?));
    }
    if let Some(partition) = &args.partition {
        head.push(format!("--partition={}", directive("partition", partition)?));
    }
    let head: String = head.iter().map(|line| format!("#SBATCH {line}\n")).collect();
    let options: String = line.iter().map(|option| format!(" \\\n    {option}")).collect();
    let (program, folder) = (quote(program), quote(folder));
    Ok(format!(
        r#"#!/bin/bash
{head}#
# Written by `surco collect slurm`; submit it with sbatch. Every task runs its share of one plan; what is done
# is in the store, so a task that is requeued, killed or cut off goes on where it was.
set -u
cd -- {folder} || exit 1

again() {{
    echo "surco: $1; back into the queue"
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
}}

{program} collect run{options} \
    --shard-index="$SLURM_ARRAY_TASK_ID" --shard-count={tasks} &
surco=$!
limit=
# Slurm warns shortly before the time limit: stop cleanly, and go on in a new turn.
trap 'limit=yes; kill -TERM "$surco"' USR1
wait "$surco"
code=$?
while kill -0 "$surco" 2>/dev/null; do
    wait "$surco"
    code=$?
done

case $code in
0) exit 0 ;;
# Holes are listed in the store and in its report; another try would find them again.
5) echo "surco: finished with holes, see: surco collect report"; exit 0 ;;
esac
if [[ $limit ]]; then
    again "the time limit came"
elif ((code == 4 && ${{SLURM_RESTART_COUNT:-0}} < {NETWORK_RETRIES})); then
    again "the service could not be reached"
fi
exit "$code"
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(args: &[&str]) -> Vec<String> {
        let all = ["surco", "collect", "slurm", "--script=s", "--tasks=4"];
        collect_line(all.iter().chain(args).map(Into::into)).unwrap()
    }

    #[test]
    fn options_come_back_as_they_were_given() {
        let line = line_of(&[
            "--catalog",
            "https://a.example/v1",
            "--catalog",
            "b $(c) 'd'.json",
            "--store",
            "slurm",
            "--bbox=-71.3,-34.4,-71.2,-34.3",
            "--bands",
            "B02,B04",
            "--retry-holes",
            "--shard-index=3",
            "--partition=main",
            "--threads",
            "2",
        ]);
        let mut sorted = line.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            [
                r"'--catalog=b $(c) '\''d'\''.json'",
                "--bands=B02,B04",
                "--bbox=-71.3,-34.4,-71.2,-34.3",
                "--catalog=https://a.example/v1",
                "--retry-holes",
                "--store=slurm",
                "--threads=2",
            ]
        );
    }

    #[test]
    fn a_shell_gives_every_quoted_word_back() {
        for word in ["", "a b", "$HOME", "it's", "`id`", "\"x\"", "a\nb", "ñandú", "-n", "a;b&c"]
        {
            let echo = format!("printf %s {}", quote(word));
            let out = std::process::Command::new("sh").args(["-c", &echo]).output().unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), word);
        }
    }

    #[test]
    fn nothing_that_slurm_could_misread_enters_a_directive() {
        assert!(directive("time", "1-12:00:00").is_ok());
        for value in ["", "a b", "x\n#SBATCH --uid=0", "$(id)"] {
            assert!(directive("partition", value).is_err(), "{value}");
        }
    }
}
