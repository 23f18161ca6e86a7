//! A task on disk: `task.json`, what adaptation made of a few labels.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use surco_core::{Fault, Legend};
use surco_learn::Adapter;

/// Version of `task.json`.
const SCHEMA: u32 = 2;

/// Name of the file in a folder that holds a task of classes.
pub const TASK_FILE: &str = "task.json";

/// A model adapted to a question about a region and season.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Version of this file.
    pub schema: u32,
    /// The classes, in the order of the adapter's probabilities.
    pub legend: Legend,
    /// What was fitted.
    pub adapter: Adapter,
    /// SHA-256 of the weights it was fitted on.
    pub weights_sha256: String,
    /// Window of days since 1970-01-01, `[first, end)`.
    pub window: (i32, i32),
    /// Labels per class it was fitted to, in the order of the legend.
    pub labels: Vec<usize>,
    /// How sets of classes are made; `None` where labels were too few to tell.
    pub sets: Option<Sets>,
}

/// Sets of classes that hold the truth as often as they say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sets {
    /// Share of places whose set holds the truth, on blocks held out.
    pub level: f64,
    /// A class is in the set if its probability is at least this.
    pub threshold: f64,
}

/// Why a task could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The file could not be read or written.
    #[error("cannot use task {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no task.
    #[error("task {path} is no task of this version: {reason}; adapt again")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The task belongs to other weights.
    #[error("task {path} was fitted on weights {expected}, but the model has {found}; adapt again")]
    OtherWeights {
        /// The file.
        path: PathBuf,
        /// Weights it was fitted on.
        expected: String,
        /// Weights given.
        found: String,
    },
}

impl TaskError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Fault::Input
            }
            Self::Io { .. } => Fault::Failed,
            Self::Form { .. } | Self::OtherWeights { .. } => Fault::Input,
        }
    }
}

/// Writes `task.json` into a folder, whole.
///
/// # Errors
/// [`TaskError::Io`] if the disk refuses.
pub fn save_task(task: &Task, folder: &Path) -> Result<(), TaskError> {
    write(task, folder, TASK_FILE)
}

/// Writes a task as a file of a folder, whole.
pub(crate) fn write<T: Serialize>(task: &T, folder: &Path, name: &str) -> Result<(), TaskError> {
    let path = folder.join(name);
    let text = serde_json::to_vec(task)
        .map_err(|e| TaskError::Form { path: path.clone(), reason: e.to_string() })?;
    std::fs::create_dir_all(folder)
        .and_then(|()| surco_core::write_whole(&path, &text))
        .map_err(|source| TaskError::Io { path, source })
}

/// Reads a task from a file of a folder, and where it lies.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    folder: &Path,
    name: &str,
) -> Result<(T, PathBuf), TaskError> {
    let path = folder.join(name);
    let text =
        std::fs::read(&path).map_err(|source| TaskError::Io { path: path.clone(), source })?;
    match serde_json::from_slice(&text) {
        Ok(task) => Ok((task, path)),
        Err(e) => Err(TaskError::Form { path, reason: e.to_string() }),
    }
}

/// Reads `task.json` from a folder and checks that it belongs to these weights.
///
/// # Errors
/// [`TaskError`] naming the file and what is wrong.
pub fn load_task(folder: &Path, weights_sha256: &str) -> Result<Task, TaskError> {
    let task = read_task(folder)?;
    fits(&folder.join(TASK_FILE), &task.weights_sha256, weights_sha256)?;
    Ok(task)
}

/// Refuses a task that was fitted on other weights than those given.
pub(crate) fn fits(path: &Path, expected: &str, found: &str) -> Result<(), TaskError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.into(), found.into());
    Err(TaskError::OtherWeights { path: path.into(), expected, found })
}

/// Reads `task.json` from a folder, whatever weights it belongs to.
///
/// # Errors
/// [`TaskError`] naming the file and what is wrong.
pub fn read_task(folder: &Path) -> Result<Task, TaskError> {
    let (task, path) = read::<Task>(folder, TASK_FILE)?;
    let refuse = |reason: String| TaskError::Form { path: path.clone(), reason };
    if task.schema != SCHEMA {
        return Err(refuse(format!("schema {} is not {SCHEMA}", task.schema)));
    }
    if task.adapter.classes() != task.legend.classes().len() {
        return Err(refuse("its adapter and its legend differ in length".into()));
    }
    if let Some(flaw) = task.adapter.flaw() {
        return Err(refuse(flaw.into()));
    }
    Ok(task)
}
