//! Weights in the form `torch.save` gives them: a zip archive with a pickle and raw storages.
//!
//! A pickle is a program; whoever runs one from a stranger runs the stranger's code. Here nothing is
//! run: a machine that knows tensors, text, numbers and dictionaries reads it, and a file that asks
//! for anything else is refused by the name of what it asks for.
//!
//! Read in place of `burn-store`'s reader, which brings a zip, a tar and a deflate crate (23 in all)
//! and keeps what it does not know instead of refusing it.

use std::collections::BTreeMap;

use crate::source::{TensorSource, finite};

mod archive;
mod pickle;

use archive::Archive;
use pickle::{Refusal, View};

/// Longest pickle of a file that is read; a state dict needs about 180 bytes a tensor.
const LONGEST_PICKLE: usize = 16 << 20;

/// Why a PyTorch file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// It is no such file, or damaged.
    #[error("{reason}; copy it again, or save `model.state_dict()` again with torch.save")]
    Broken {
        /// What is wrong.
        reason: String,
    },
    /// It asks for something that weights do not need.
    #[error(
        "it asks for the Python object `{name}`, which weights do not need and which is never run \
         here; save `model.state_dict()` alone, or as safetensors"
    )]
    Global {
        /// What it asks for, `module.name`.
        name: String,
    },
}

/// A state dict, its tensors not yet read.
#[derive(Debug)]
pub(crate) struct TorchFile {
    archive: Archive,
    /// Folder of the archive that holds everything, with its slash.
    folder: String,
    tensors: BTreeMap<String, View>,
}

impl TorchFile {
    /// Reads the list of tensors in the bytes of a file.
    ///
    /// # Errors
    /// [`TorchError`].
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, TorchError> {
        let broken = |reason: &str| TorchError::Broken { reason: reason.into() };
        if bytes.starts_with(&[0x80]) {
            return Err(broken("it is a bare pickle, of a PyTorch before 1.6"));
        }
        if !bytes.starts_with(b"PK") {
            return Err(broken("it is no PyTorch file, which is a zip archive"));
        }
        let archive = Archive::new(bytes).map_err(|reason| TorchError::Broken { reason })?;
        let pickles: Vec<&str> = archive.names().filter(|n| n.ends_with("/data.pkl")).collect();
        let [pickle] = pickles[..] else {
            return Err(broken("it does not hold one `data.pkl`"));
        };
        let folder = pickle.trim_end_matches("data.pkl").to_string();
        let entry = |name: &str| {
            archive
                .entry(&format!("{folder}{name}"))
                .map_err(|reason| TorchError::Broken { reason })
        };
        let order = format!("{folder}byteorder");
        if archive.names().any(|n| n == order) && entry("byteorder")? != b"little" {
            return Err(broken("its numbers are not little-endian"));
        }
        let pickle = entry("data.pkl")?;
        if pickle.len() > LONGEST_PICKLE {
            return Err(broken("its pickle is longer than 16 MiB"));
        }
        let tensors = pickle::state_dict(pickle).map_err(|refusal| match refusal {
            Refusal::Global(name) => TorchError::Global { name },
            Refusal::Broken(reason) => TorchError::Broken { reason },
        })?;
        Ok(Self { archive, folder, tensors })
    }
}

impl TensorSource for TorchFile {
    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let view = self.tensors.get(name).ok_or_else(|| format!("tensor `{name}` is missing"))?;
        let View { storage, offset, shape: found, stride } = view;
        if storage.class != "FloatStorage" || found != shape {
            return Err(format!(
                "tensor `{name}` is {} {found:?}, expected FloatStorage {shape:?}",
                storage.class
            ));
        }
        if !is_row_major(shape, stride) {
            return Err(format!(
                "tensor `{name}` has strides {stride:?}: save it after `.contiguous()`"
            ));
        }
        let bytes = self.archive.entry(&format!("{}data/{}", self.folder, storage.key))?;
        // The shape is the one asked for, so its product cannot overflow.
        let count: usize = shape.iter().product();
        let end = offset.checked_add(count).filter(|&end| end <= storage.count);
        let range = end.map(|end| (offset.saturating_mul(4), end.saturating_mul(4)));
        let held = range.and_then(|(start, end)| bytes.get(start..end));
        let Some(held) = held.filter(|_| storage.count.checked_mul(4) == Some(bytes.len())) else {
            return Err(format!(
                "tensor `{name}` needs values {offset} to {} of a storage that says it has {} and \
                 has {}",
                offset.saturating_add(count),
                storage.count,
                bytes.len() / 4
            ));
        };
        finite(name, held)
    }
}

/// Whether the last axis runs fastest; strides of axes of length 1 do not matter.
fn is_row_major(shape: &[usize], stride: &[usize]) -> bool {
    let mut step = 1;
    shape.len() == stride.len()
        && shape.iter().zip(stride).rev().all(|(&length, &stride)| {
            let fits = length <= 1 || stride == step;
            step *= length;
            fits
        })
}

#[cfg(test)]
mod tests;
