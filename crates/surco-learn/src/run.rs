//! What a run leaves behind: its curve and its summary.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::LearnError;

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: u64,
    /// Loss of this step's batch.
    pub loss: f64,
    /// Loss on series held out by place, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<f64>,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Tokens in this step's batch.
    pub tokens: u64,
}

/// The curve of a run, kept in `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve(pub Vec<CurvePoint>);

impl Curve {
    /// Reads the points up to a step; what lies beyond was not checkpointed and will be done again.
    pub(crate) fn read_until(path: &Path, step: u64) -> Result<Self, LearnError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(LearnError::Io { path: path.into(), source }),
        };
        let points = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        Ok(Self(points.filter(|p: &CurvePoint| p.step <= step).collect()))
    }

    /// Writes the whole curve; it is small.
    pub(crate) fn write(&self, path: &Path) -> Result<(), LearnError> {
        let lines: Vec<String> =
            self.0.iter().filter_map(|p| serde_json::to_string(p).ok()).collect();
        let text = lines.join("\n") + "\n";
        surco_core::write_whole(path, text.as_bytes())
            .map_err(|source| LearnError::Io { path: path.into(), source })
    }

    /// The first measured validation loss.
    #[must_use]
    pub fn first_validation(&self) -> Option<f64> {
        self.0.iter().find_map(|p| p.validation)
    }

    /// The last measured validation loss.
    #[must_use]
    pub fn last_validation(&self) -> Option<f64> {
        self.0.iter().rev().find_map(|p| p.validation)
    }

    /// Mean loss over the first or last few steps, which one batch alone would not show.
    #[must_use]
    pub fn mean_loss(&self, last: bool) -> Option<f64> {
        let few = (self.0.len() / 20).clamp(1, 10).min(self.0.len());
        let part = if last { &self.0[self.0.len() - few..] } else { &self.0[..few] };
        (!part.is_empty()).then(|| part.iter().map(|p| p.loss).sum::<f64>() / part.len() as f64)
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Its curve.
    pub curve: Curve,
    /// SHA-256 of the weights it wrote.
    pub weights_sha256: String,
    /// Step it resumed from, 0 for a fresh run.
    pub resumed_from: u64,
}
