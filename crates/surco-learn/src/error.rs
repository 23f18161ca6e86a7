//! What can go wrong while learning.

use std::path::PathBuf;

use surco_core::Fault;
use surco_net::{SystemError, WeightsError};

/// Why learning stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A file of the run folder could not be read or written.
    #[error("cannot use run file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model could not be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A published system cannot do what it is asked for.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A checkpoint cannot be read.
    #[error(
        "checkpoint {path} cannot be read: {reason}; delete that folder to resume from the one before"
    )]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A folder does not say how its model learns a task.
    #[error(
        "{path} does not say how a model learns: {reason}; give a model that `surco meta` trained by inner steps"
    )]
    Learner {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A lens cannot be used.
    #[error("{path} is no lens of the model beside it: {reason}; meta-train it again")]
    Lens {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A config value makes no sense.
    #[error("config key {key} = {value}: {remedy}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What to write instead.
        remedy: String,
    },
    /// The run folder belongs to another run.
    #[error(
        "run folder {folder} holds a run with another config: choose another `out`, or delete the folder"
    )]
    OtherRun {
        /// The folder.
        folder: PathBuf,
    },
    /// The run folder holds a run, and resuming was not asked for.
    #[error(
        "run folder {folder} already holds a run: add --resume to continue it, or choose another `out`"
    )]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// There is too little to learn from.
    #[error("too little data to learn from: {found}, expected {expected}")]
    TooLittle {
        /// What there is.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// The loss is no number.
    #[error("the loss is no number at step {step}: lower learning_rate (now {learning_rate})")]
    Diverged {
        /// The step.
        step: u64,
        /// The learning rate.
        learning_rate: f64,
    },
    /// The user asked to stop.
    #[error("stopped at step {step}: the last checkpoint is kept, run again with --resume")]
    Stopped {
        /// The step.
        step: u64,
    },
}

impl LearnError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::Diverged { .. } | Self::Stopped { .. } => Fault::Failed,
            Self::Weights(error) => error.fault(),
            Self::Checkpoint { .. }
            | Self::Learner { .. }
            | Self::Lens { .. }
            | Self::TooLittle { .. }
            | Self::System(_) => Fault::Input,
            Self::Config { .. } | Self::OtherRun { .. } | Self::Exists { .. } => Fault::Usage,
        }
    }
}
