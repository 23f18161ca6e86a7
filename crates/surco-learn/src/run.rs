//! What a run leaves behind: its curve, its speed and its summary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::LearnError;
use crate::checkpoint::hash_text;
use crate::events::EventFile;
use crate::speed::{SpeedPoint, Throughput};

/// One line of `metrics.jsonl`: the same for the same config and series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: u64,
    /// Loss of this step's batch.
    pub loss: f64,
    /// Loss on series held out by place, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<f64>,
    /// Of each pretext by its name, where several are mixed; none where there is one alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub pretexts: BTreeMap<String, PretextLoss>,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Norm of this step's gradients over all weights, before it was clipped.
    pub gradient_norm: f64,
    /// Tokens in this step's batch.
    pub tokens: u64,
}

/// The losses of one pretext of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PretextLoss {
    /// Its mean loss over the micro-batches of this step; absent where the step had none of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<f64>,
    /// Its loss on series held out by place, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<f64>,
}

/// The curve of a run, kept in `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve(pub Vec<CurvePoint>);

impl Curve {
    /// The curve of a run folder, of the run so far.
    ///
    /// # Errors
    /// [`LearnError::Io`] if its metrics cannot be read.
    pub fn read(folder: &Path) -> Result<Self, LearnError> {
        let path = folder.join("metrics.jsonl");
        let text = fs::read_to_string(&path).map_err(|source| LearnError::Io { path, source })?;
        Ok(Self(read_lines(&text)))
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

    /// The names of its pretexts, where several are mixed.
    #[must_use]
    pub fn pretexts(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|p| p.pretexts.keys().map(String::as_str)).collect()
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
    /// How fast it went since it was last started.
    pub throughput: Throughput,
    /// SHA-256 of the weights it wrote.
    pub weights_sha256: String,
    /// Step it resumed from, 0 for a fresh run.
    pub resumed_from: u64,
}

/// Creates a run folder with its config, or makes sure that it holds this very run and may be gone on with.
///
/// # Errors
/// [`LearnError::OtherRun`], [`LearnError::Exists`] unless `resume`, [`LearnError::Io`].
pub fn open_run(out: &Path, config: &str, resume: bool) -> Result<(), LearnError> {
    let path = out.join("config.toml");
    match fs::read_to_string(&path) {
        Ok(there) if hash_text(&there) != hash_text(config) => {
            Err(LearnError::OtherRun { folder: out.into() })
        }
        Ok(_) if !resume => Err(LearnError::Exists { folder: out.into() }),
        Ok(_) => Ok(()),
        Err(_) => fs::create_dir_all(out)
            .and_then(|()| surco_core::write_whole(&path, config.as_bytes()))
            .map_err(|source| LearnError::Io { path, source }),
    }
}

/// A file of JSON lines, one a step, appended to while the run goes on.
struct Lines {
    path: PathBuf,
    file: File,
}

/// Any line of a run: all have their step.
#[derive(Deserialize)]
struct Stepped {
    step: u64,
}

impl Lines {
    /// Opens a file, keeping its lines up to a step; what lies beyond was not checkpointed and will be done
    /// again.
    fn open(path: PathBuf, until: u64) -> Result<(Self, String), LearnError> {
        let io = |source| LearnError::Io { path: path.clone(), source };
        let there = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(io(source)),
        };
        let is_kept =
            |line: &&str| serde_json::from_str(line).is_ok_and(|Stepped { step }| step <= until);
        let kept: String = there.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect();
        surco_core::write_whole(&path, kept.as_bytes()).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok((Self { path, file }, kept))
    }

    fn add(&mut self, line: &impl Serialize) -> Result<(), LearnError> {
        let text = serde_json::to_string(line).map_err(io::Error::from);
        text.and_then(|text| self.file.write_all((text + "\n").as_bytes()))
            .map_err(|source| LearnError::Io { path: self.path.clone(), source })
    }
}

fn read_lines<T: DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The records of a run folder: `metrics.jsonl`, `speed.jsonl` and, for TensorBoard, `tensorboard/`.
pub(crate) struct Records {
    metrics: Lines,
    speed: Lines,
    events: EventFile,
    events_path: PathBuf,
}

impl Records {
    /// Opens the records of a run that goes on from a step, and gives its curve so far.
    pub(crate) fn open(folder: &Path, from: u64) -> Result<(Self, Curve), LearnError> {
        let events_path = folder.join("tensorboard/events.out.tfevents.surco");
        let io = |source| LearnError::Io { path: events_path.clone(), source };
        fs::create_dir_all(folder.join("tensorboard")).map_err(io)?;
        let (metrics, curve) = Lines::open(folder.join("metrics.jsonl"), from)?;
        let (speed, _) = Lines::open(folder.join("speed.jsonl"), from)?;
        let events = EventFile::open(&events_path, from).map_err(io)?;
        Ok((Self { metrics, speed, events, events_path }, Curve(read_lines(&curve))))
    }

    /// Takes in a step.
    pub(crate) fn add(&mut self, point: &CurvePoint, speed: &SpeedPoint) -> Result<(), LearnError> {
        self.metrics.add(point)?;
        self.speed.add(speed)?;
        let mut scalars = vec![
            ("loss/train", point.loss),
            ("learning_rate", point.learning_rate),
            ("gradient_norm", point.gradient_norm),
            ("speed/tokens_per_s", speed.tokens_per_s),
            ("speed/flops_per_s", speed.flops_per_s),
            ("speed/peak_share", speed.peak_share),
            ("speed/wait_share", speed.wait_share),
        ];
        scalars.extend(point.validation.map(|v| ("loss/validation", v)));
        let of_pretexts: Vec<(String, f64)> = point
            .pretexts
            .iter()
            .flat_map(|(name, loss)| {
                let train = loss.loss.map(|v| (format!("loss/train/{name}"), v));
                train
                    .into_iter()
                    .chain(loss.validation.map(|v| (format!("loss/validation/{name}"), v)))
            })
            .collect();
        scalars.extend(of_pretexts.iter().map(|(tag, v)| (tag.as_str(), *v)));
        self.events
            .scalars(point.step, &scalars)
            .map_err(|source| LearnError::Io { path: self.events_path.clone(), source })
    }

    /// Sees the metrics to disk, before a checkpoint says that they are there.
    pub(crate) fn sync(&self) -> Result<(), LearnError> {
        let path = &self.metrics.path;
        self.metrics
            .file
            .sync_data()
            .map_err(|source| LearnError::Io { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_checkpoint_and_half_lines_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"ste").unwrap();
        let (mut lines, kept) = Lines::open(path.clone(), 2).unwrap();
        assert_eq!(kept, "{\"step\":1}\n{\"step\":2}\n");
        lines.add(&serde_json::json!({ "step": 3 })).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), kept + "{\"step\":3}\n");
        Lines::open(path.clone(), 0).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
