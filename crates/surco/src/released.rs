//! The model that comes with the program.

use std::path::Path;

use surco_net::{Device, Model, WeightsError, load_model, read_model};

const CONFIG: &[u8] = include_bytes!("../../../models/nano/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../../models/nano/model.safetensors");

/// The model of a folder, or the released nano model; with the SHA-256 of its weights.
pub(crate) fn model(
    folder: Option<&Path>,
    device: &Device,
) -> Result<(Model, String), WeightsError> {
    match folder {
        Some(folder) => load_model(folder, device),
        None => read_model(CONFIG, WEIGHTS, Path::new("(released nano model)"), device),
    }
}
