//! Models of this family on disk: their parameters in a folder's `model.safetensors` and back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};
use surco_core::Fault;
use surco_kernels::{Policy, Precision};

use crate::card::model_card;
use crate::folder::{
    CONFIG, INT8_WEIGHTS, NewWeights, Recorded, SCHEMA, WEIGHTS, hex, read_file, weights_name,
    write_file, write_folder,
};
use crate::source::TensorSource;
use crate::torch_file::TorchError;
use crate::{Encoder, Model, ModelConfig, Peer, fresh, int8};

/// The kind of model that a folder's config names.
pub(crate) const KIND: &str = "surco";

/// Why a model could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A file could not be read or written.
    #[error("cannot use model file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `config.json` is not what it should be.
    #[error("model config {path} is no model config: {reason}; copy or train the model again")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// `model.safetensors` is not what it should be.
    #[error(
        "weights {path} do not fit the model: {reason}; the file is damaged or belongs to another \
         model; copy or train it again"
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// `model.safetensors` is whole, but not the one that `config.json` belongs to.
    #[error(
        "weights {path} have the SHA-256 {found}, but config.json records {recorded}: one of the two \
         was changed or damaged; copy or train the model again"
    )]
    Hash {
        /// The weights.
        path: PathBuf,
        /// Their hash.
        found: String,
        /// The hash that the config records.
        recorded: String,
    },
    /// A PyTorch file is sound, but holds another model.
    #[error(
        "{path} does not hold the encoder of {peer}: {reason}; give the file that {peer} publishes"
    )]
    Peer {
        /// The file.
        path: PathBuf,
        /// The model it should hold.
        peer: Peer,
        /// What is wrong.
        reason: String,
    },
    /// A PyTorch file was refused.
    #[error("cannot read weights from {path}: {source}")]
    Torch {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TorchError,
    },
}

impl WeightsError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Fault::Input
            }
            Self::Io { .. } => Fault::Failed,
            Self::Config { .. }
            | Self::Weights { .. }
            | Self::Hash { .. }
            | Self::Peer { .. }
            | Self::Torch { .. } => Fault::Input,
        }
    }
}

/// Writes a model folder: weights, card and config, each complete or absent, the config last. Gives the
/// SHA-256 of the weights.
///
/// # Errors
/// [`WeightsError::Io`] if the disk refuses.
pub fn save_model(model: &Model, folder: &Path) -> Result<String, WeightsError> {
    save(model, folder, WEIGHTS, weights_of(&model.encoder))
}

/// Writes a model folder whose matrices are 8-bit numbers, `model.int8.safetensors`, a quarter of the
/// bytes; [`load_model`] reads it as any other. Gives the SHA-256 of the weights.
///
/// # Errors
/// [`WeightsError::Io`] if the disk refuses.
pub fn save_int8(model: &Model, folder: &Path) -> Result<String, WeightsError> {
    let bytes = weights_of(&model.encoder).and_then(|bytes| int8::shrink(&bytes));
    save(model, folder, INT8_WEIGHTS, bytes)
}

fn save(
    model: &Model,
    folder: &Path,
    name: &'static str,
    bytes: Result<Vec<u8>, String>,
) -> Result<String, WeightsError> {
    let path = folder.join(name);
    let bytes = bytes.map_err(|reason| WeightsError::Weights { path, reason })?;
    // The version is that of the file written here, whatever file the model came from.
    let config = ModelConfig { schema: SCHEMA, ..model.config.clone() };
    let weights = NewWeights { name, bytes: &bytes };
    write_folder(folder, KIND, &config, weights, |sha256| model_card(model, name, sha256))
}

/// The parameters of a module as a file of 32-bit tensors.
pub(crate) fn weights_of(module: &impl Module) -> Result<Vec<u8>, String> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    let views = collector.tensors.iter().map(|(name, (shape, bytes))| {
        // Shapes come from live tensors, so a view can only fail on a bug of ours.
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.expect("a live tensor's bytes fit its shape"))
    });
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

/// Writes a module that belongs to a model as a file of 32-bit tensors; gives its SHA-256.
///
/// # Errors
/// [`WeightsError::Io`] if the disk refuses.
pub fn save_part(part: &impl Module, path: &Path) -> Result<String, WeightsError> {
    let bytes =
        weights_of(part).map_err(|reason| WeightsError::Weights { path: path.into(), reason })?;
    write_file(path, &bytes)?;
    Ok(hex(&Sha256::digest(&bytes)))
}

/// Reads such a file into a module of its shapes. Gives the SHA-256 of the file too.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn load_part<M: Module>(part: M, path: &Path) -> Result<(M, String), WeightsError> {
    let bytes = read_file(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string());
    let part = file.and_then(|file| filled(part, &file));
    let part = part.map_err(|reason| WeightsError::Weights { path: path.into(), reason })?;
    Ok((part, hex(&Sha256::digest(&bytes))))
}

/// Reads a model folder onto a device, its 8-bit weights if it has no others. Gives the SHA-256 of the
/// weights too, which is that of its config.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn load_model(folder: &Path, device: &Device) -> Result<(Model, String), WeightsError> {
    let config = read_file(&folder.join(CONFIG))?;
    let name = weights_name(folder);
    let weights = read_file(&folder.join(name))?;
    read_model(&config, (name, &weights), folder, device)
}

/// Reads a model from the bytes of its config and of its weights, which bear this name in a folder: [`WEIGHTS`] or
/// [`INT8_WEIGHTS`]; `folder` names them in errors.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn read_model(
    config: &[u8],
    (name, weights): (&str, &[u8]),
    folder: &Path,
    device: &Device,
) -> Result<(Model, String), WeightsError> {
    let recorded = Recorded::read(config, folder)?;
    recorded.expect_kind(KIND, folder)?;
    let config: ModelConfig = serde_json::from_value(recorded.config.clone())
        .map_err(|e| WeightsError::Config { path: folder.join(CONFIG), reason: e.to_string() })?;
    let path = folder.join(name);
    recorded.vouch(weights, &path)?;
    // Matrices of 8-bit numbers are multiplied as such: nothing of them is lost that way.
    let (whole, precision) = match name {
        INT8_WEIGHTS => (int8::expand(weights), Precision::Int8),
        _ => (Ok(weights.to_vec()), Precision::F32),
    };
    let encoder = whole.and_then(|whole| build(&config, &whole, device));
    let encoder = encoder.map(|e| e.with_policy(Policy { precision, ..Policy::default() }));
    let encoder = encoder.map_err(|reason| WeightsError::Weights { path, reason })?;
    Ok((Model { encoder, config }, recorded.sha256))
}

/// The encoder of a config with the weights of a file of 32-bit tensors.
fn build(config: &ModelConfig, weights: &[u8], device: &Device) -> Result<Encoder, String> {
    let file = SafeTensors::deserialize(weights).map_err(|e| e.to_string())?;
    // Before room is made for them: a config may ask for two billion.
    check_bytes(&file, config.size.params(), &format!("size {}", config.size))?;
    Ok(filled(fresh(config.size, 0, device), &file)?.with_sight(config.sight))
}

/// Fails unless a file holds the values of so many 32-bit parameters.
pub(crate) fn check_bytes(file: &SafeTensors<'_>, params: u64, of: &str) -> Result<(), String> {
    let held: usize = file.iter().map(|(_, view)| view.data().len()).sum();
    let needed = params * size_of::<f32>() as u64;
    if held as u64 == needed {
        return Ok(());
    }
    Err(format!("its tensors have {held} bytes, but those of {of} have {needed}"))
}

/// A module with the weights of a file that holds them and nothing else.
pub(crate) fn filled<M: Module>(module: M, file: &SafeTensors<'_>) -> Result<M, String> {
    let mut loader = Loader { file, path: Vec::new(), used: 0, problem: None };
    let module = module.map(&mut loader);
    if let Some(problem) = loader.problem {
        return Err(problem);
    }
    if loader.used != file.len() {
        let unknown = file.len() - loader.used;
        return Err(format!("{unknown} of {} tensors are unknown", file.len()));
    }
    Ok(module)
}

/// Gathers float parameters by their path in the module.
#[derive(Default)]
struct Collector {
    path: Vec<String>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        let shape = param.val().dims().to_vec();
        let bytes = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
        self.tensors.insert(self.path.join("."), (shape, bytes));
    }
}

/// Puts tensors of a file into the parameters of the same path and shape.
struct Loader<'a> {
    file: &'a SafeTensors<'a>,
    path: Vec<String>,
    used: usize,
    problem: Option<String>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let shape: Vec<usize> = param.val().dims().to_vec();
        match TensorSource::tensor(self.file, &name, &shape) {
            Ok(values) => {
                self.used += 1;
                let device = param.val().device();
                param.map(|_| Tensor::from_data(TensorData::new(values, shape), &device))
            }
            Err(problem) => {
                self.problem.get_or_insert(problem);
                param
            }
        }
    }
}

#[cfg(test)]
mod tests;
