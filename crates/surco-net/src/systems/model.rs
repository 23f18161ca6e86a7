//! A published system as a model folder: its network, and what else is needed to build it again.

use std::fmt::Debug;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Card;
use crate::card::system_card;
use crate::folder::{CONFIG, NewWeights, Recorded, WEIGHTS, read_file, write_folder};
use crate::model::drawn;
use crate::weights::{WeightsError, check_bytes, filled, weights_of};

/// What builds a system again but its weights.
pub trait SystemConfig: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// Its network.
    type Net: Module;

    /// The kind of model that a folder's config names.
    const KIND: &'static str;

    /// Fails on a shape that cannot be, and says why.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    fn check(&self) -> Result<(), String>;

    /// Exact number of values in its weights, running statistics of norms among them.
    fn params(&self) -> u64;

    /// The network with weights that are drawn from the device as they are first looked at.
    fn build(&self, device: &Device) -> Self::Net;

    /// How it came to be.
    fn card(&self) -> &Card;

    /// The same, with another card.
    #[must_use]
    fn with_card(self, card: Card) -> Self;

    /// What it is, what goes in, what comes out, who made it: rows of its model card.
    fn rows(&self) -> [(&'static str, String); 4];
}

/// A published system trained here.
#[derive(Clone, Debug)]
pub struct SystemModel<C: SystemConfig> {
    /// The network.
    pub net: C::Net,
    /// What else belongs to it.
    pub config: C,
}

impl<C: SystemConfig> SystemModel<C> {
    /// A system with fresh weights, the same for the same seed, whatever other threads do.
    #[must_use]
    pub fn fresh(config: C, seed: u64, device: &Device) -> Self {
        Self { net: drawn(seed, device, || config.build(device)), config }
    }

    /// Writes a model folder. Gives the SHA-256 of the weights.
    ///
    /// # Errors
    /// [`WeightsError::Io`] if the disk refuses.
    pub fn save(&self, folder: &Path) -> Result<String, WeightsError> {
        let path = folder.join(WEIGHTS);
        let bytes =
            weights_of(&self.net).map_err(|reason| WeightsError::Weights { path, reason })?;
        let weights = NewWeights { name: WEIGHTS, bytes: &bytes };
        write_folder(folder, C::KIND, &self.config, weights, |sha256| {
            system_card(C::KIND, self.config.rows(), self.config.card(), sha256)
        })
    }

    /// Reads a model folder onto a device. Gives the SHA-256 of the weights too.
    ///
    /// # Errors
    /// [`WeightsError`] naming the file and what is wrong with it.
    pub fn load(folder: &Path, device: &Device) -> Result<(Self, String), WeightsError> {
        let recorded = Recorded::read(&read_file(&folder.join(CONFIG))?, folder)?;
        Self::read(&recorded, &read_file(&folder.join(WEIGHTS))?, folder, device)
            .map(|model| (model, recorded.sha256))
    }

    /// Reads a model from its config and the bytes of its weights; `folder` names them in errors.
    pub(crate) fn read(
        recorded: &Recorded,
        weights: &[u8],
        folder: &Path,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        recorded.expect_kind(C::KIND, folder)?;
        let config: C = serde_json::from_value(recorded.config.clone())
            .map_err(|e| e.to_string())
            .and_then(|config: C| config.check().map(|()| config))
            .map_err(|reason| WeightsError::Config { path: folder.join(CONFIG), reason })?;
        let path = folder.join(WEIGHTS);
        recorded.vouch(weights, &path)?;
        // Before room is made for them: a config may ask for billions.
        let net = SafeTensors::deserialize(weights)
            .map_err(|e| e.to_string())
            .and_then(|file| {
                check_bytes(&file, config.params(), C::KIND)?;
                filled(drawn(0, device, || config.build(device)), &file)
            })
            .map_err(|reason| WeightsError::Weights { path, reason })?;
        Ok(Self { net, config })
    }
}
