//! Models on disk: a folder with `model.safetensors` and `config.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};
use surco_core::Fault;

use crate::{Model, ModelConfig, fresh, int8};

const WEIGHTS: &str = "model.safetensors";

const INT8_WEIGHTS: &str = "model.int8.safetensors";

/// Version of `config.json`.
const SCHEMA: u32 = 2;

/// No weights file of this family is larger; a longer one is refused before it is read.
const LARGEST_BYTES: u64 = 16 << 30;

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
            Self::Config { .. } | Self::Weights { .. } => Fault::Input,
        }
    }
}

/// Writes a model folder; each file is complete or absent, the config last. Gives the SHA-256 of the
/// weights.
///
/// # Errors
/// [`WeightsError::Io`] if the disk refuses.
pub fn save_model(model: &Model, folder: &Path) -> Result<String, WeightsError> {
    let path = folder.join(WEIGHTS);
    let bytes = weights_of(model).map_err(|reason| WeightsError::Weights { path, reason })?;
    write_folder(model, folder, WEIGHTS, &bytes)
}

/// Writes a model folder whose matrices are 8-bit numbers, `model.int8.safetensors`, a quarter of the
/// bytes; [`load_model`] reads it as any other. Gives the SHA-256 of the weights.
///
/// # Errors
/// [`WeightsError::Io`] if the disk refuses.
pub fn save_int8(model: &Model, folder: &Path) -> Result<String, WeightsError> {
    let path = folder.join(INT8_WEIGHTS);
    let bytes = weights_of(model).and_then(|bytes| int8::shrink(&bytes));
    let bytes = bytes.map_err(|reason| WeightsError::Weights { path, reason })?;
    write_folder(model, folder, INT8_WEIGHTS, &bytes)
}

fn weights_of(model: &Model) -> Result<Vec<u8>, String> {
    let mut collector = Collector::default();
    model.encoder.visit(&mut collector);
    let views = collector.tensors.iter().map(|(name, (shape, bytes))| {
        // Shapes come from live tensors, so a view can only fail on a bug of ours.
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.expect("a live tensor's bytes fit its shape"))
    });
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

fn write_folder(
    model: &Model,
    folder: &Path,
    name: &str,
    weights: &[u8],
) -> Result<String, WeightsError> {
    fs::create_dir_all(folder)
        .map_err(|source| WeightsError::Io { path: folder.into(), source })?;
    write_whole(&folder.join(name), weights)?;
    let path = folder.join("config.json");
    let text = serde_json::to_vec_pretty(&model.config)
        .map_err(|e| WeightsError::Config { path: path.clone(), reason: e.to_string() })?;
    write_whole(&path, &text)?;
    Ok(hex(&Sha256::digest(weights)))
}

/// Reads a model folder onto a device, its 8-bit weights if it has no others. Gives the SHA-256 of the weights too.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn load_model(folder: &Path, device: &Device) -> Result<(Model, String), WeightsError> {
    let config = read_whole(&folder.join("config.json"))?;
    let (whole, short) = (folder.join(WEIGHTS), folder.join(INT8_WEIGHTS));
    if whole.exists() || !short.exists() {
        return read_model(&config, &read_whole(&whole)?, folder, device);
    }
    let bytes = read_whole(&short)?;
    let weights =
        int8::expand(&bytes).map_err(|reason| WeightsError::Weights { path: short, reason })?;
    let (model, _) = read_model(&config, &weights, folder, device)?;
    Ok((model, hex(&Sha256::digest(&bytes))))
}

/// Reads a model from the bytes of its two files; `folder` names them in errors.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn read_model(
    config: &[u8],
    weights: &[u8],
    folder: &Path,
    device: &Device,
) -> Result<(Model, String), WeightsError> {
    let path = folder.join("config.json");
    let config: ModelConfig = serde_json::from_slice(config)
        .map_err(|e| WeightsError::Config { path: path.clone(), reason: e.to_string() })?;
    if config.schema != SCHEMA {
        let reason =
            format!("schema {} is not {SCHEMA}, the one this version reads", config.schema);
        return Err(WeightsError::Config { path, reason });
    }
    let path = folder.join(WEIGHTS);
    let refuse = |reason: String| WeightsError::Weights { path: path.clone(), reason };
    let file = SafeTensors::deserialize(weights).map_err(|e| refuse(e.to_string()))?;
    let encoder = fresh(config.size, 0, device);
    let mut loader = Loader { file: &file, path: Vec::new(), used: 0, problem: None };
    let encoder = encoder.map(&mut loader);
    if let Some(problem) = loader.problem {
        return Err(refuse(problem));
    }
    if loader.used != file.len() {
        return Err(refuse(format!(
            "{} of {} tensors are unknown",
            file.len() - loader.used,
            file.len()
        )));
    }
    Ok((Model { encoder, config }, hex(&Sha256::digest(weights))))
}

fn read_whole(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let io = |source| WeightsError::Io { path: path.into(), source };
    let length = fs::metadata(path).map_err(io)?.len();
    if length > LARGEST_BYTES {
        let reason = format!("{length} bytes are more than any model of this family has");
        return Err(WeightsError::Weights { path: path.into(), reason });
    }
    fs::read(path).map_err(io)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    surco_core::write_whole(path, bytes)
        .map_err(|source| WeightsError::Io { path: path.into(), source })
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
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

impl Loader<'_> {
    fn find(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let view = self.file.tensor(name).map_err(|_| format!("tensor `{name}` is missing"))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(format!(
                "tensor `{name}` is {:?} {:?}, expected F32 {shape:?}",
                view.dtype(),
                view.shape()
            ));
        }
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        let values: Vec<f32> = values.collect();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(format!("tensor `{name}` holds values that are no numbers"));
        }
        Ok(values)
    }
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
        match self.find(&name, &shape) {
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
mod tests {
    use super::*;
    use crate::{Card, Size};
    use surco_data::{Normalisation, QueryGrid, SpectralBand};

    fn model() -> Model {
        let band = SpectralBand::optical(665.0, 31.0);
        Model {
            encoder: fresh(Size::Nano, 3, &Device::flex()),
            config: ModelConfig {
                schema: SCHEMA,
                size: Size::Nano,
                normalisation: Normalisation::measure(&[band], &[]),
                queries: QueryGrid { count: 4, parts: 2 },
                max_dates: 8,
                patch_px: vec![1],
                context: Vec::new(),
                card: Card::default(),
            },
        }
    }

    fn tensors(model: &Model) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
        let mut collector = Collector::default();
        model.encoder.visit(&mut collector);
        collector.tensors
    }

    #[test]
    fn a_model_comes_back_bit_by_bit_and_damage_is_refused() {
        let folder = std::env::temp_dir().join(format!("surco-weights-{}", std::process::id()));
        let (model, device) = (model(), Device::flex());
        let written = save_model(&model, &folder).unwrap();
        let (back, read) = load_model(&folder, &device).unwrap();
        assert_eq!((written, &model.config), (read, &back.config));
        assert!(tensors(&model) == tensors(&back));

        let path = folder.join("model.safetensors");
        let whole = fs::read(&path).unwrap();
        let mut huge = whole.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let mut nan = whole.clone();
        let end = nan.len();
        nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        let micro = folder.join("micro");
        let other = Model { encoder: fresh(Size::Micro, 3, &device), config: model.config.clone() };
        save_model(&other, &micro).unwrap();
        let damages: [(&str, Vec<u8>); 5] = [
            ("cut", whole[..whole.len() / 2].to_vec()),
            ("a header longer than the file", huge),
            ("no number", nan),
            ("another model's", fs::read(micro.join("model.safetensors")).unwrap()),
            ("a pickle", b"\x80\x02}q\x00.".to_vec()),
        ];
        for (what, bytes) in damages {
            fs::write(&path, bytes).unwrap();
            let error = load_model(&folder, &device).unwrap_err();
            assert_eq!(error.fault(), Fault::Input, "{what}: {error}");
            assert!(error.to_string().contains("model.safetensors"), "{what}: {error}");
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(load_model(&folder, &device).unwrap_err().fault(), Fault::Input);
    }

    /// Cosine of embeddings of a model before and after.
    #[test]
    fn eight_bits_hold_a_model_in_a_quarter_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (model, device) = (model(), Device::flex());
        let written = save_int8(&model, folder.path()).unwrap();
        let (back, read) = load_model(folder.path(), &device).unwrap();
        assert_eq!((written, &model.config), (read, &back.config));
        let bytes = fs::metadata(folder.path().join(INT8_WEIGHTS)).unwrap().len();
        let params = model.config.size.params();
        assert!(bytes < params + params / 10, "{bytes} bytes for {params} parameters");

        let value = |i: i32, d: i32| 0.2 + 0.15 * ((i * 7 + d) as f32 * 0.4).sin();
        let sample = |i: i32| {
            let days = (0..8).map(|d| d * 40).collect();
            surco_data::Sample::series(days, (0..8).map(|d| value(i, d)).collect(), true)
        };
        let samples: Vec<_> = (0..20).map(sample).collect();
        let spec = model.config.spec(model.config.normalisation.bands(), (0, 365));
        let refs: Vec<_> = samples.iter().collect();
        let (a, b) = (
            crate::embed(&model, &refs, &spec, &device),
            crate::embed(&back, &refs, &spec, &device),
        );
        for (a, b) in a.rows().into_iter().zip(b.rows()) {
            let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
            assert!(cosine > 0.999, "{cosine}");
        }
    }
}
