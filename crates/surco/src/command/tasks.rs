//! `surco tasks`: the adapters that lie beside a model.

use std::path::{Path, PathBuf};

use anyhow::Context;
use surco_map::{NUMBER_FILE, TASK_FILE, read_number_task, read_task};

use crate::exit::BadInput;
use crate::screen::Screen;

/// Deepest folder looked into, below the one given.
const DEEPEST: usize = 4;

/// Lists the tasks in a folder: what each tells apart, on which weights, from how many labels
///
/// A task is a folder with task.json or number.json, as `surco adapt` writes it. Any number of them share one model.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco tasks maule --find vineyard")]
pub(crate) struct Args {
    /// Folder with tasks in it
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Only tasks whose path or classes contain this, in any case
    #[arg(long, value_name = "TEXT")]
    find: Option<String>,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let mut folders = Vec::new();
    walk(&args.folder, DEEPEST, &mut folders)
        .with_context(|| format!("cannot look into {}", args.folder.display()))
        .map_err(|e| BadInput(format!("{e:#}")))?;
    folders.sort_unstable();
    let mut found = Vec::new();
    for folder in folders {
        let listed = Listed::of(folder)?;
        if args.find.as_ref().is_none_or(|text| listed.holds(text)) {
            found.push(listed);
        }
    }
    let lines: Vec<String> = found.iter().map(Listed::line).collect();
    let text = match found.len() {
        0 => "no task found".into(),
        n => format!("{}\n{n} tasks, {} kB", lines.join("\n"), total(&found) / 1000),
    };
    screen.result(&serde_json::json!({ "tasks": found, "bytes": total(&found) }), &text)?;
    Ok(0)
}

fn total(found: &[Listed]) -> u64 {
    found.iter().map(|t| t.bytes).sum()
}

fn walk(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if [TASK_FILE, NUMBER_FILE].iter().any(|name| folder.join(name).is_file()) {
        found.push(folder.into());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if deeper > 0 && entry.file_type()?.is_dir() {
            walk(&entry.path(), deeper - 1, found)?;
        }
    }
    Ok(())
}

/// Days since 1970 as dates.
fn days((first, end): (i32, i32)) -> [String; 2] {
    let day = |day: i32| {
        jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day)).to_string()
    };
    [day(first), day(end)]
}

#[derive(serde::Serialize)]
struct Listed {
    folder: PathBuf,
    /// What it tells apart; empty if it foretells a number.
    classes: Vec<String>,
    /// The number it foretells.
    number: Option<String>,
    labels: usize,
    /// First day and the day after the last.
    window: [String; 2],
    weights_sha256: String,
    bytes: u64,
}

impl Listed {
    fn of(folder: PathBuf) -> anyhow::Result<Self> {
        let bytes =
            |name: &str| Ok::<u64, std::io::Error>(std::fs::metadata(folder.join(name))?.len());
        if let Some(task) = read_number_task(&folder)? {
            return Ok(Self {
                classes: Vec::new(),
                number: Some(task.number),
                labels: task.labels,
                window: days(task.window),
                weights_sha256: task.weights_sha256,
                bytes: bytes(NUMBER_FILE)?,
                folder,
            });
        }
        let task = read_task(&folder)?;
        Ok(Self {
            classes: task.legend.classes().iter().map(|c| c.name.clone()).collect(),
            number: None,
            labels: task.labels.iter().sum(),
            window: days(task.window),
            weights_sha256: task.weights_sha256,
            bytes: bytes(TASK_FILE)?,
            folder,
        })
    }

    fn holds(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let path = self.folder.display().to_string();
        self.classes
            .iter()
            .chain(&self.number)
            .chain([&path])
            .any(|t| t.to_lowercase().contains(&text))
    }

    fn line(&self) -> String {
        let Self { folder, classes, number, labels, window, weights_sha256, bytes } = self;
        let what =
            number.as_ref().map_or_else(|| classes.join(", "), |n| format!("the number {n}"));
        let weights = weights_sha256.get(..12).unwrap_or(weights_sha256);
        format!(
            "{}: {} | {labels} labels, {} to {}, weights {weights}, {} kB",
            folder.display(),
            what,
            window[0],
            window[1],
            bytes.div_ceil(1000)
        )
    }
}
