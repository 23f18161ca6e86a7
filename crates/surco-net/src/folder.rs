//! A model's folder: `model.safetensors` (or its 8-bit form), `config.json` that holds its hash, and
//! `README.md`.
//!
//! What is read here may come from strangers: every length is checked before it is believed, and
//! nothing is run.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::source::{TensorSource, finite};
use crate::weights::WeightsError;

/// Version of `config.json`. Since 2 it names the kind of model and holds the hash of its weights.
pub(crate) const SCHEMA: u32 = 2;

/// No weights file of this family is larger; a longer one is refused before it is read.
const LARGEST_BYTES: u64 = 16 << 30;

/// No config is longer.
const LONGEST_CONFIG: usize = 1 << 20;

pub(crate) const CONFIG: &str = "config.json";
/// 32-bit weights in a model folder.
pub const WEIGHTS: &str = "model.safetensors";
/// Weights in a model folder whose matrices are 8-bit numbers.
pub const INT8_WEIGHTS: &str = "model.int8.safetensors";
pub(crate) const CARD: &str = "README.md";

/// A config as it is written: what the model says of itself, then what its folder adds.
#[derive(Serialize)]
struct Written<'a, C> {
    #[serde(flatten)]
    config: &'a C,
    kind: &'a str,
    weights_sha256: &'a str,
}

/// Weights on their way to a folder.
#[derive(Clone, Copy)]
pub(crate) struct NewWeights<'a> {
    /// Name of the file.
    pub(crate) name: &'static str,
    pub(crate) bytes: &'a [u8],
}

/// Writes a folder: the weights first and the config, which holds their hash, last, so that a config
/// never vouches for weights that are not there. Weights of the other form go. Gives the SHA-256 of the
/// weights.
pub(crate) fn write_folder<C: Serialize>(
    folder: &Path,
    kind: &str,
    config: &C,
    weights: NewWeights<'_>,
    card: impl FnOnce(&str) -> String,
) -> Result<String, WeightsError> {
    fs::create_dir_all(folder)
        .map_err(|source| WeightsError::Io { path: folder.into(), source })?;
    let sha256 = hex(&Sha256::digest(weights.bytes));
    let path = folder.join(CONFIG);
    let mut text = serde_json::to_vec_pretty(&Written { config, kind, weights_sha256: &sha256 })
        .map_err(|e| WeightsError::Config { path, reason: e.to_string() })?;
    text.push(b'\n');
    write_file(&folder.join(weights.name), weights.bytes)?;
    write_file(&folder.join(CARD), card(&sha256).as_bytes())?;
    write_file(&folder.join(CONFIG), &text)?;
    for other in [WEIGHTS, INT8_WEIGHTS].into_iter().filter(|name| *name != weights.name) {
        let path = folder.join(other);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(WeightsError::Io { path, source });
            }
            _ => {}
        }
    }
    Ok(sha256)
}

/// Name of the weights in a folder: the 8-bit ones if it has no others.
pub(crate) fn weights_name(folder: &Path) -> &'static str {
    let only_short = !folder.join(WEIGHTS).exists() && folder.join(INT8_WEIGHTS).exists();
    if only_short { INT8_WEIGHTS } else { WEIGHTS }
}

/// A config, with what its folder added to it taken apart.
pub(crate) struct Recorded {
    /// Kind of model.
    pub(crate) kind: String,
    /// What the model says of itself.
    pub(crate) config: Value,
    /// SHA-256 of the weights it belongs to.
    pub(crate) sha256: String,
}

impl Recorded {
    /// Reads a config; `folder` names it in errors.
    pub(crate) fn read(config: &[u8], folder: &Path) -> Result<Self, WeightsError> {
        let path = folder.join(CONFIG);
        let mut config = parse_config(config)
            .map_err(|reason| WeightsError::Config { path: path.clone(), reason })?;
        let mut text = |key: &str| match config.as_object_mut().and_then(|c| c.remove(key)) {
            Some(Value::String(text)) => Ok(text),
            _ => {
                let reason = format!("its key `{key}` is missing or no text");
                Err(WeightsError::Config { path: path.clone(), reason })
            }
        };
        let (kind, sha256) = (text("kind")?, text("weights_sha256")?);
        Ok(Self { kind, config, sha256 })
    }

    /// Fails unless the folder holds this kind of model.
    pub(crate) fn expect_kind(&self, kind: &str, folder: &Path) -> Result<(), WeightsError> {
        if self.kind == kind {
            return Ok(());
        }
        let reason =
            format!("it is of kind `{}`, but a model of kind `{kind}` is needed", self.kind);
        Err(WeightsError::Config { path: folder.join(CONFIG), reason })
    }

    /// Fails unless these are the weights it belongs to; `path` names them in errors.
    pub(crate) fn vouch(&self, weights: &[u8], path: &Path) -> Result<(), WeightsError> {
        if is_pickle(weights) {
            let reason = "it is a PyTorch file under another name, which could run code: bring it \
                          in with `surco weights import`"
                .into();
            return Err(WeightsError::Weights { path: path.into(), reason });
        }
        let found = hex(&Sha256::digest(weights));
        if found == self.sha256 {
            return Ok(());
        }
        Err(WeightsError::Hash { path: path.into(), found, recorded: self.sha256.clone() })
    }
}

fn parse_config(bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() > LONGEST_CONFIG {
        return Err(format!("{} bytes are more than any config has", bytes.len()));
    }
    let config: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    match config.get("schema").and_then(Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => Ok(config),
        Some(schema) => Err(format!("schema {schema} is not {SCHEMA}, the one this version reads")),
        None => Err("its key `schema` is missing or no number".into()),
    }
}

/// A pickle begins with its protocol, a PyTorch file is a zip archive.
fn is_pickle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK") || matches!(bytes, [0x80, 1..=5, ..] if !is_header_length(bytes))
}

/// Whether the first eight bytes are the length of a header that fits the file.
fn is_header_length(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|length| {
        u64::from_le_bytes(*length) <= bytes.len() as u64 - 8 && bytes.get(8) == Some(&b'{')
    })
}

impl TensorSource for SafeTensors<'_> {
    fn names(&self) -> Vec<&str> {
        SafeTensors::names(self)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let view =
            SafeTensors::tensor(self, name).map_err(|_| format!("tensor `{name}` is missing"))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(format!(
                "tensor `{name}` is {:?} {:?}, expected F32 {shape:?}",
                view.dtype(),
                view.shape()
            ));
        }
        finite(name, view.data())
    }
}

/// The whole of a file, if it is not absurdly long.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let io = |source| WeightsError::Io { path: path.into(), source };
    let length = fs::metadata(path).map_err(io)?.len();
    if length > LARGEST_BYTES {
        let reason = format!("{length} bytes are more than any model of this family has");
        return Err(WeightsError::Weights { path: path.into(), reason });
    }
    fs::read(path).map_err(io)
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    surco_core::write_whole(path, bytes)
        .map_err(|source| WeightsError::Io { path: path.into(), source })
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
