//! A forecast head in its model's folder: `forecast.safetensors` and `forecast.json`.

use std::path::Path;

use burn::tensor::Device;
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ForecastConfig, ForecastHead, Forecaster};
use crate::folder::{hex, read_file, write_file};
use crate::model::drawn;
use crate::weights::{WeightsError, filled, weights_of};

/// The files that a model which forecasts has besides those of every model.
pub const FORECAST_FILES: [&str; 2] = ["forecast.json", "forecast.safetensors"];

const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: u32,
    /// SHA-256 of the encoder it was trained with.
    encoder_sha256: String,
    /// SHA-256 of the head.
    weights_sha256: String,
    #[serde(flatten)]
    config: ForecastConfig,
}

/// Writes a head into the folder of the encoder with this hash, the file that vouches for it last.
///
/// # Errors
/// [`WeightsError::Io`] if the disk refuses.
pub fn save_forecaster(
    forecaster: &Forecaster,
    encoder_sha256: &str,
    folder: &Path,
) -> Result<(), WeightsError> {
    let [config, weights] = FORECAST_FILES.map(|name| folder.join(name));
    let bytes = weights_of(&forecaster.head)
        .map_err(|reason| WeightsError::Weights { path: weights.clone(), reason })?;
    let written = Written {
        schema: SCHEMA,
        encoder_sha256: encoder_sha256.into(),
        weights_sha256: hex(&Sha256::digest(&bytes)),
        config: forecaster.config.clone(),
    };
    let mut text = serde_json::to_vec_pretty(&written)
        .map_err(|e| WeightsError::Config { path: config.clone(), reason: e.to_string() })?;
    text.push(b'\n');
    write_file(&weights, &bytes)?;
    write_file(&config, &text)
}

/// Reads the head of a model folder, whose encoder has this width and hash.
///
/// # Errors
/// [`WeightsError`] naming the file: there is none, or it belongs to another encoder.
pub fn load_forecaster(
    folder: &Path,
    width: usize,
    encoder_sha256: &str,
    device: &Device,
) -> Result<Forecaster, WeightsError> {
    let [config, weights] = FORECAST_FILES.map(|name| folder.join(name));
    let refuse = |reason: String| WeightsError::Config { path: config.clone(), reason };
    if !config.is_file() {
        let reason = "there is no such file: the model was not trained to forecast; pre-train with \
                      `pretext = { causal = 1.0 }`";
        return Err(refuse(reason.into()));
    }
    let written: Written =
        serde_json::from_slice(&read_file(&config)?).map_err(|e| refuse(e.to_string()))?;
    if written.schema != SCHEMA {
        return Err(refuse(format!("schema {} is not {SCHEMA}", written.schema)));
    }
    if written.encoder_sha256 != encoder_sha256 {
        let belongs = format!(
            "it belongs to the encoder {}, but the folder holds {encoder_sha256}",
            written.encoder_sha256
        );
        return Err(refuse(belongs));
    }
    let bytes = read_file(&weights)?;
    let found = hex(&Sha256::digest(&bytes));
    if found != written.weights_sha256 {
        return Err(WeightsError::Hash { path: weights, found, recorded: written.weights_sha256 });
    }
    let head = SafeTensors::deserialize(&bytes)
        .map_err(|e| e.to_string())
        .and_then(|file| filled(drawn(0, device, || ForecastHead::new(width, device)), &file));
    let head = head.map_err(|reason| WeightsError::Weights { path: weights, reason })?;
    Ok(Forecaster { head, config: written.config })
}
