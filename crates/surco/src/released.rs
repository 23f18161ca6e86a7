//! The model that comes with the program.

use std::path::Path;

use surco_net::{Device, INT8_WEIGHTS, Model, WeightsError, load_model, read_model};

const CONFIG: &[u8] = include_bytes!("../../../models/nano-int8/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../../models/nano-int8/model.int8.safetensors");

/// The model of a folder, or the released nano model in 8-bit numbers; with the SHA-256 of its weights.
pub(crate) fn model(
    folder: Option<&Path>,
    device: &Device,
) -> Result<(Model, String), WeightsError> {
    match folder {
        Some(folder) => load_model(folder, device),
        None => {
            read_model(CONFIG, (INT8_WEIGHTS, WEIGHTS), Path::new("(released nano model)"), device)
        }
    }
}
