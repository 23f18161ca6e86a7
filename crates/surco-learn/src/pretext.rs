//! Pretexts: what an encoder can be taught without labels.
//!
//! Each micro-batch has one pretext, drawn by the weights of the config. Its loss is a mean over what that
//! pretext counts (values, questions, tokens, places); the means of a step's pretexts are averaged by the number of their
//! micro-batches, whatever each counts.

mod causal;
mod invariance;
mod latent;
mod learner;
mod masked;

use burn::tensor::{Device, Tensor};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use surco_data::Sample;

use crate::LearnError;
use crate::crops::Crops;

pub(crate) use causal::{Causal, calibrated};
pub(crate) use invariance::{QUERIES, TwoViews};
pub use latent::LatentTargets;
pub(crate) use latent::{Latent, Targets};
pub(crate) use learner::Learner;
pub(crate) use masked::hidden_bands;
pub use masked::{MaskWeights, Masked, Masks, hide, masked_loss};

/// What an encoder is taught, each with its weight: the chance that a micro-batch has this pretext, relative to
/// the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretextWeights {
    /// What hidden dates showed.
    #[serde(default)]
    pub masked: f64,
    /// What later dates will show.
    #[serde(default)]
    pub causal: f64,
    /// Which of many a hidden token is.
    #[serde(default)]
    pub latent: f64,
    /// That two sets of dates show one place.
    #[serde(default)]
    pub invariance: f64,
}

impl Default for PretextWeights {
    fn default() -> Self {
        Self { masked: 1.0, causal: 0.0, latent: 0.0, invariance: 0.0 }
    }
}

/// A pretext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pretext {
    Masked,
    Causal,
    Latent,
    Invariance,
}

impl Pretext {
    /// As configs and cards name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Causal => "causal",
            Self::Latent => "latent",
            Self::Invariance => "invariance",
        }
    }
}

impl PretextWeights {
    /// The pretexts that are drawn, and their weights.
    pub(crate) fn drawn(self) -> Vec<(Pretext, f64)> {
        let all = [
            (Pretext::Masked, self.masked),
            (Pretext::Causal, self.causal),
            (Pretext::Latent, self.latent),
            (Pretext::Invariance, self.invariance),
        ];
        all.into_iter().filter(|(_, weight)| *weight > 0.0).collect()
    }

    /// Refuses weights that draw nothing or are no weights.
    pub(crate) fn check(self) -> Result<(), LearnError> {
        let all = [self.masked, self.causal, self.latent, self.invariance];
        check_weights("pretext", &all)
    }

    pub(crate) fn draw(self, rng: &mut impl Rng) -> Pretext {
        draw_by_weight(&self.drawn(), rng).unwrap_or(Pretext::Masked)
    }

    /// Whether nothing but the past is ever seen, so that the encoder looks back wherever it is used.
    pub(crate) fn look_back(self) -> bool {
        self.drawn().iter().all(|(pretext, _)| *pretext == Pretext::Causal)
    }
}

/// Refuses weights of which one is negative or none is above 0.
fn check_weights(key: &'static str, all: &[f64]) -> Result<(), LearnError> {
    let whole: f64 = all.iter().sum();
    if all.iter().all(|w| *w >= 0.0) && whole.is_finite() && whole > 0.0 {
        return Ok(());
    }
    let remedy = "expected weights of at least 0, one of them above".into();
    Err(LearnError::Config { key, value: format!("{all:?}"), remedy })
}

/// One of several by its weight; where there is no choice nothing is drawn.
fn draw_by_weight<T: Copy>(all: &[(T, f64)], rng: &mut impl Rng) -> Option<T> {
    let (last, others) = all.split_last()?;
    if others.is_empty() {
        return Some(last.0);
    }
    let whole: f64 = all.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random::<f64>() * whole;
    for (one, weight) in others {
        left -= weight;
        if left < 0.0 {
            return Some(*one);
        }
    }
    Some(last.0)
}

/// A micro-batch of one pretext.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Masked(Masked),
    Causal(Causal),
    Latent(Latent),
    Invariance(TwoViews),
}

/// What micro-batches are made from.
pub(crate) struct Maker {
    pub(crate) crops: Crops,
    pub(crate) masks: Masks,
    pub(crate) targets: Targets,
}

impl Maker {
    /// A micro-batch of a pretext from these samples.
    pub(crate) fn task(&self, pretext: Pretext, samples: &[&Sample], rng: &mut impl Rng) -> Task {
        let Self { crops, masks, targets } = self;
        match pretext {
            Pretext::Masked => Task::Masked(masks.hide(&crops.batch(samples, rng), rng)),
            Pretext::Causal => {
                let cut = crops.cut(samples, rng);
                Task::Causal(Causal::new(&cut, masks.band_dropout, rng))
            }
            Pretext::Latent => {
                let batch = crops.batch(samples, rng);
                Task::Latent(Latent::new(masks.hide(&batch, rng), &batch, targets))
            }
            Pretext::Invariance => Task::Invariance(TwoViews::new(&crops.cut(samples, rng), rng)),
        }
    }
}

impl Task {
    pub(crate) fn pretext(&self) -> Pretext {
        match self {
            Self::Masked(_) => Pretext::Masked,
            Self::Causal(_) => Pretext::Causal,
            Self::Latent(_) => Pretext::Latent,
            Self::Invariance(_) => Pretext::Invariance,
        }
    }

    /// What its loss is a mean over.
    pub(crate) fn weight(&self) -> f64 {
        match self {
            Self::Masked(task) => f64::from(task.weight_nc.sum()),
            Self::Causal(task) => f64::from(task.weight_pc.sum()),
            Self::Latent(task) => task.rows.len() as f64,
            Self::Invariance(task) => task.counted() as f64,
        }
    }

    /// Tokens of each segment.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        match self {
            Self::Masked(task) => task.batch.lengths.clone(),
            Self::Causal(task) => task.batch.lengths.clone(),
            Self::Latent(task) => task.batch.lengths.clone(),
            Self::Invariance(task) => {
                task.views.iter().flat_map(|view| view.lengths.iter().copied()).collect()
            }
        }
    }

    /// The same with targets that an average of the learner gives, where it has such.
    pub(crate) fn aimed(self, average: &Learner, device: &Device) -> Self {
        match self {
            Self::Latent(task) => Self::Latent(task.aimed(&average.encoder, device)),
            Self::Masked(_) | Self::Causal(_) | Self::Invariance(_) => self,
        }
    }

    /// The mean loss, one number.
    pub(crate) fn loss(&self, learner: &Learner, device: &Device) -> Tensor<1> {
        match self {
            Self::Masked(task) => masked_loss(&learner.encoder, task, device).0,
            Self::Causal(task) => task.loss(learner, device),
            Self::Latent(task) => task.loss(learner, device),
            Self::Invariance(task) => task.loss(learner, device),
        }
    }
}

#[cfg(test)]
mod tests;
