//! Checkpoints: a folder a step, complete or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::LearnError;
use crate::trainer::State;

/// What a checkpoint says of itself, written last within it.
#[derive(Serialize, Deserialize)]
struct Mark {
    step: u64,
}

/// The SHA-256 of a text, in hex.
#[must_use]
pub(crate) fn hash_text(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Flushes a folder's entries to disk.
///
/// # Errors
/// What the system says.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The checkpoints of one run.
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    pub(crate) fn new(run: &Path) -> Self {
        Self { folder: run.join("checkpoints") }
    }

    fn io(path: &Path) -> impl Fn(io::Error) -> LearnError + '_ {
        move |source| LearnError::Io { path: path.into(), source }
    }

    /// Steps of the complete checkpoints, ascending.
    pub(crate) fn steps(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut steps: Vec<u64> = entries
            .filter_map(Result::ok)
            .filter(|e| e.path().join("mark.json").is_file())
            .filter_map(|e| e.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
            .collect();
        steps.sort_unstable();
        steps
    }

    /// Writes a checkpoint beside the others, renames it into place, then drops those before.
    pub(crate) fn save<M: Module>(&self, step: u64, state: &State<M>) -> Result<(), LearnError> {
        let name = format!("step-{step:08}");
        let (temporary, done) =
            (self.folder.join(format!(".{name}.surco-tmp")), self.folder.join(&name));
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(Self::io(&temporary))?;
        }
        fs::create_dir_all(&temporary).map_err(Self::io(&temporary))?;
        let record = |e: RecordError| LearnError::Checkpoint {
            path: temporary.clone(),
            reason: e.to_string(),
        };
        let weights = |module: &M| module.clone().into_record().into_bytes().map_err(record);
        let mut files = vec![
            ("model.bpk", weights(&state.module)?),
            ("optimizer.bpk", state.optimizer.into_bytes().map_err(record)?),
        ];
        if let Some(average) = &state.average {
            files.push(("average.bpk", weights(&average.module)?));
        }
        let mark = serde_json::to_vec(&Mark { step }).unwrap_or_default();
        files.push(("mark.json", Bytes::from_bytes_vec(mark)));
        for (file, bytes) in files {
            let path = temporary.join(file);
            surco_core::write_whole(&path, &bytes).map_err(Self::io(&path))?;
        }
        if done.exists() {
            fs::remove_dir_all(&done).map_err(Self::io(&done))?;
        }
        fs::rename(&temporary, &done).map_err(Self::io(&done))?;
        sync_folder(&self.folder).map_err(Self::io(&self.folder))?;
        for old in self.steps().into_iter().filter(|&s| s < step) {
            let path = self.folder.join(format!("step-{old:08}"));
            fs::remove_dir_all(&path).map_err(Self::io(&path))?;
        }
        Ok(())
    }

    /// Loads a checkpoint into a state of the same shapes.
    pub(crate) fn load<M: Module>(
        &self,
        step: u64,
        state: State<M>,
    ) -> Result<State<M>, LearnError> {
        let folder = self.folder.join(format!("step-{step:08}"));
        let refuse = |reason: String| LearnError::Checkpoint { path: folder.clone(), reason };
        let read = |file: &str| {
            let path = folder.join(file);
            fs::read(&path).map_err(Self::io(&path)).map(Bytes::from_bytes_vec)
        };
        let weights = |file: &str, module: M| {
            let record =
                ModuleRecord::from_bytes(read(file)?).map_err(|e| refuse(e.to_string()))?;
            module.try_load_record(record).map_err(|e| refuse(e.to_string()))
        };
        let average = match state.average {
            Some(average) => {
                let module = weights("average.bpk", average.module.clone())?;
                Some(average.resumed(module))
            }
            None => None,
        };
        let optimizer = state
            .optimizer
            .from_bytes(read("optimizer.bpk")?)
            .map_err(|e| refuse(e.to_string()))?;
        Ok(State { module: weights("model.bpk", state.module)?, optimizer, average })
    }
}
