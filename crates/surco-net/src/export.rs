//! A model folder as others take it: what a model hub wants, and nothing that was not checked.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::folder::{CARD, CONFIG, Recorded, read_file, weights_name, write_file};
use crate::peer::{Peer, check_peer};
use crate::systems::{
    EarthPtConfig, MeteorConfig, OfaConfig, SystemConfig, SystemModel, UBarnConfig,
};
use crate::weights::{KIND, WeightsError, load_model, read_model, save_int8};

/// What an export wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Kind of the model: `surco`, the name of a [`Peer`], or that of a published system trained here.
    pub kind: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// Copies the weights, card and config of a model folder once the model was built from them: every tensor
/// is there, of the right shape and finite, and the hash is the recorded one. The config is written last.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it; then nothing is written.
pub fn export_model(folder: &Path, out: &Path) -> Result<Exported, WeightsError> {
    let name = weights_name(folder);
    let read = |name: &str| read_file(&folder.join(name));
    let (config, weights, card) = (read(CONFIG)?, read(name)?, read(CARD)?);
    let recorded = Recorded::read(&config, folder)?;
    match (recorded.kind.as_str(), Peer::named(&recorded.kind)) {
        (KIND, _) => drop(read_model(&config, (name, &weights), folder, &Device::flex())?),
        (_, Some(peer)) => check_peer(peer, &recorded, &weights, folder)?,
        (EarthPtConfig::KIND, _) => check::<EarthPtConfig>(&recorded, &weights, folder)?,
        (UBarnConfig::KIND, _) => check::<UBarnConfig>(&recorded, &weights, folder)?,
        (OfaConfig::KIND, _) => check::<OfaConfig>(&recorded, &weights, folder)?,
        (MeteorConfig::KIND, _) => check::<MeteorConfig>(&recorded, &weights, folder)?,
        (kind, None) => {
            let reason = format!("its kind `{kind}` is none that this version knows");
            return Err(WeightsError::Config { path: folder.join(CONFIG), reason });
        }
    }
    std::fs::create_dir_all(out).map_err(|source| WeightsError::Io { path: out.into(), source })?;
    let mut files = Vec::new();
    for (name, bytes) in [(name, &weights), (CARD, &card), (CONFIG, &config)] {
        let path = out.join(name);
        write_file(&path, bytes)?;
        files.push(path);
    }
    Ok(Exported { kind: recorded.kind, weights_sha256: recorded.sha256, files })
}

/// Writes a model of ours with its matrices as 8-bit numbers, a quarter of the bytes.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it; models of others stay as they are.
pub fn export_int8(folder: &Path, out: &Path) -> Result<Exported, WeightsError> {
    let (model, _) = load_model(folder, &Device::flex())?;
    let weights_sha256 = save_int8(&model, out)?;
    let files = [weights_name(out), CARD, CONFIG].map(|name| out.join(name)).into();
    Ok(Exported { kind: KIND.into(), weights_sha256, files })
}

/// Fails unless a published system can be built of these.
fn check<C: SystemConfig>(
    recorded: &Recorded,
    weights: &[u8],
    folder: &Path,
) -> Result<(), WeightsError> {
    SystemModel::<C>::read(recorded, weights, folder, &Device::flex()).map(drop)
}
