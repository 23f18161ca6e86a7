//! One vector a series from any model that is known here, so that all are compared by the same probes.
//!
//! | model | vector | reads |
//! |---|---|---|
//! | surco | the answers of its queries, part by part | any bands and dates |
//! | presto | its mean token | months; bands of Sentinel-1 and 2, those there are; needs the place |
//! | galileo | its mean token | months; likewise |
//! | earthpt | the mean of its last hidden states | dates on which all ten bands of Sentinel-2 were seen |
//! | ubarn | the mean over dates of the pixel in the middle | windows, on dates on which they were seen whole |
//! | ofa | the mean over images of their patches | images of the sensors it knows |
//!
//! A window stands for the pixel in its middle: models of single pixels read that pixel alone, those
//! of images all of it.

mod monthly;

use std::path::Path;

use burn::tensor::Device;
use ndarray::{Array2, Axis};
use surco_data::{Sample, SpectralBand};
use surco_kernels::Policy;

use crate::folder::{CONFIG, Recorded, read_file};
use crate::systems::{
    EarthPtConfig, OfaConfig, SystemConfig, SystemError, SystemModel, UBarnConfig, middle,
};
use crate::weights::{KIND, WeightsError, load_model};
use crate::{Galileo, Model, Peer, Presto, embed, load_galileo, load_presto};

/// A model of ours or of others.
#[derive(Clone, Debug)]
pub enum AnyModel {
    /// Ours.
    Surco(Box<Model>),
    /// Presto, with the weights of its makers.
    Presto(Box<Presto>),
    /// Galileo nano, with the weights of its makers.
    Galileo(Box<Galileo>),
    /// `EarthPT`, trained here.
    EarthPt(Box<SystemModel<EarthPtConfig>>),
    /// `U-BARN`, trained here.
    UBarn(Box<SystemModel<UBarnConfig>>),
    /// `OFA-Net`, trained here.
    Ofa(Box<SystemModel<OfaConfig>>),
}

/// The kind of model in a folder, as its config names it.
///
/// # Errors
/// [`WeightsError`] if the folder holds no model.
pub fn kind_of(folder: &Path) -> Result<String, WeightsError> {
    Ok(Recorded::read(&read_file(&folder.join(CONFIG))?, folder)?.kind)
}

impl AnyModel {
    /// Reads a model folder, whatever kind of model it holds. Gives the SHA-256 of the weights too.
    ///
    /// # Errors
    /// [`WeightsError`] naming the file and what is wrong with it.
    pub fn load(folder: &Path, device: &Device) -> Result<(Self, String), WeightsError> {
        let recorded = Recorded::read(&read_file(&folder.join(CONFIG))?, folder)?;
        let model = match (recorded.kind.as_str(), Peer::named(&recorded.kind)) {
            (KIND, _) => Self::Surco(Box::new(load_model(folder, device)?.0)),
            (_, Some(Peer::Presto)) => Self::Presto(Box::new(load_presto(folder, device)?)),
            (_, Some(Peer::Galileo)) => Self::Galileo(Box::new(load_galileo(folder, device)?)),
            (EarthPtConfig::KIND, _) => {
                Self::EarthPt(Box::new(SystemModel::load(folder, device)?.0))
            }
            (UBarnConfig::KIND, _) => Self::UBarn(Box::new(SystemModel::load(folder, device)?.0)),
            (OfaConfig::KIND, _) => Self::Ofa(Box::new(SystemModel::load(folder, device)?.0)),
            (kind, None) => {
                let reason = format!("its kind `{kind}` is none that this version knows");
                return Err(WeightsError::Config { path: folder.join(CONFIG), reason });
            }
        };
        Ok((model, recorded.sha256))
    }

    /// Its kind, as configs name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Surco(_) => KIND,
            Self::Presto(_) => Peer::Presto.name(),
            Self::Galileo(_) => Peer::Galileo.name(),
            Self::EarthPt(_) => EarthPtConfig::KIND,
            Self::UBarn(_) => UBarnConfig::KIND,
            Self::Ofa(_) => OfaConfig::KIND,
        }
    }

    /// One vector a sample, `[n, d]`, in their order, of samples of these bands over a window of days
    /// `[first, end)`; windows stand for the pixel in their middle.
    ///
    /// # Errors
    /// [`SystemError`] naming what this model cannot do.
    pub fn embed(
        &self,
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
    ) -> Result<Array2<f32>, SystemError> {
        match self {
            Self::Surco(model) => Ok(surco(model, samples, bands, window)),
            Self::Presto(presto) => {
                let batch = monthly::presto_batch(samples, bands, window)?;
                Ok(presto.embed(&batch, Policy::default()))
            }
            Self::Galileo(galileo) => {
                let batch = monthly::galileo_batch(samples, bands, window)?;
                Ok(galileo.embed(&batch, Policy::default()))
            }
            Self::EarthPt(model) => model.embed(samples, bands, window),
            Self::UBarn(model) => model.embed(samples, bands, window),
            Self::Ofa(model) => model.embed(samples, bands, window),
        }
    }
}

fn surco(
    model: &Model,
    samples: &[&Sample],
    bands: &[SpectralBand],
    window: (i32, i32),
) -> Array2<f32> {
    let patches = embed(model, samples, &model.config.spec(bands, window), &model.device());
    let mut first = 0;
    let rows: Vec<usize> = samples
        .iter()
        .map(|sample| {
            let row = first + middle(sample);
            first += sample.pixels();
            row
        })
        .collect();
    patches.select(Axis(0), &rows)
}

#[cfg(test)]
mod tests;
