//! METEOR with how it learns a task: steps on all its weights for each class against the others, from chips around the few labels.
//!
//! A place is seen on a few dates, spread evenly over those that show its whole chip. Each is an image of the support; where a place is
//! asked about, its score is the mean over its dates. The class of the highest score is the answer.
//!
//! # Source
//! Rußwurm et al. 2024, *one-versus-all*; `meteor/meteor.py` of MarcCoru/meteor, whose steps draw their images with replacement. Here they
//! are as even over classes as can be, as for our own learners. There an image has one date; the mean over several is ours.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use surco_core::{Progress, largest};
use surco_data::Chips;
use surco_net::{MeteorConfig, SystemModel};

use super::MeteorMeta;
use super::fomaml::InnerSteps;
use super::images::{ClassedImages, learn_images};
use super::learner::{FewLabels, read, refused, side_by_side, write};
use crate::LearnError;

/// Version of `learner.json`.
const SCHEMA: u32 = 1;

/// Most dates on which a place is seen.
const MOST_DATES: usize = 4;

/// Images scored at once.
const CHUNK: usize = 64;

/// How METEOR learns a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeteorLearning {
    /// Version of this file.
    schema: u32,
    /// Side of the chips in pixels.
    pub chip_px: usize,
    /// Most dates on which a place is seen.
    pub most_dates: usize,
    /// Rate of a step.
    pub inner_rate: f64,
    /// Steps by which a task is learned.
    pub adapt_steps: usize,
    /// Most images a step.
    pub adapt_batch: usize,
    /// The weights that the steps begin from.
    weights_sha256: String,
}

impl MeteorLearning {
    /// What meta-training leaves.
    pub(super) fn of(config: &MeteorMeta) -> Self {
        Self {
            schema: SCHEMA,
            chip_px: config.chip_px,
            most_dates: MOST_DATES,
            inner_rate: config.inner_rate,
            adapt_steps: config.adapt_steps,
            adapt_batch: config.adapt_batch,
            weights_sha256: String::new(),
        }
    }

    /// Writes it beside its network, whose weights have this SHA-256.
    pub(super) fn save(&self, folder: &Path, weights_sha256: &str) -> Result<(), LearnError> {
        write(folder, &Self { weights_sha256: weights_sha256.into(), ..self.clone() })
    }

    fn problem(&self, weights: &str) -> Option<String> {
        if self.schema != SCHEMA {
            return Some(format!("schema {} is not {SCHEMA}", self.schema));
        }
        if self.weights_sha256 != weights {
            return Some("it belongs to other weights than lie beside it".into());
        }
        if self.most_dates == 0 {
            return Some("no dates".into());
        }
        let Self { chip_px, inner_rate, adapt_steps, adapt_batch, .. } = *self;
        let as_config =
            MeteorMeta { chip_px, inner_rate, adapt_steps, adapt_batch, ..MeteorMeta::default() };
        as_config.check().err().map(|error| error.to_string())
    }
}

/// A meta-trained METEOR with how it learns.
#[derive(Clone, Debug)]
pub struct MeteorLearner {
    /// The weights that the steps begin from.
    pub model: SystemModel<MeteorConfig>,
    /// How it learns a task.
    pub learning: MeteorLearning,
}

impl MeteorLearner {
    /// Reads a model folder that `surco meta` wrote with `system = "meteor"`.
    ///
    /// # Errors
    /// [`LearnError::Weights`] if it holds no METEOR, [`LearnError::Learner`] if nothing there says how it learns.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, LearnError> {
        let (model, weights) = SystemModel::load(folder, device)?;
        let learning: MeteorLearning = read(folder)?;
        match learning.problem(&weights) {
            Some(problem) => Err(refused(folder, problem)),
            None => Ok(Self { model, learning }),
        }
    }

    /// How many of the places that the tasks speak of have no date on which their whole chip was seen, and how many they speak of.
    #[must_use]
    pub fn never_whole(&self, chips: &Chips, tasks: &[FewLabels<'_>]) -> (usize, usize) {
        let spoken = tasks.iter().flat_map(|task| task.support.iter().chain(task.query));
        let mut places: Vec<usize> = spoken.copied().collect();
        places.sort_unstable();
        places.dedup();
        let never = places.iter().filter(|&&place| chips.whole_dates(place).is_empty()).count();
        (never, places.len())
    }

    /// Learns each class of each task from its labels, as many at a time as there are cores, and gives the class of each place asked
    /// about; `None` if the user stops.
    ///
    /// # Panics
    /// If a task speaks of a place or class that there is not or that was never seen whole, or chips are not of the side and the bands that
    /// the network takes.
    pub fn answers(
        &self,
        chips: &Chips,
        tasks: &[FewLabels<'_>],
        progress: &dyn Progress,
    ) -> Option<Vec<Vec<usize>>> {
        let devices = self.model.net.devices();
        let device = devices.first().map_or_else(Device::flex, |device| device.clone().inner());
        let asked: Vec<(&FewLabels<'_>, usize)> = tasks
            .iter()
            .flat_map(|task| (0..task.classes).map(move |class| (task, class)))
            .collect();
        let scores = side_by_side(&device, &asked, progress, |&(task, class)| {
            self.scores(chips, task, class, &device)
        })?;
        let mut rest = scores.as_slice();
        let answers = tasks.iter().map(|task| {
            let (of_task, others) = rest.split_at(task.classes);
            rest = others;
            let best = |i: usize| largest(of_task.iter().map(|scores| &scores[i]));
            (0..task.query.len()).map(best).collect()
        });
        Some(answers.collect())
    }

    /// A score of each place asked about, higher where it is likelier of the class.
    fn scores(
        &self,
        chips: &Chips,
        task: &FewLabels<'_>,
        class: usize,
        device: &Device,
    ) -> Vec<f32> {
        let MeteorLearning { inner_rate, adapt_steps, adapt_batch, .. } = self.learning;
        let (mut seen, mut classes) = (Vec::new(), Vec::new());
        for (&place, &label) in task.support.iter().zip(task.labels) {
            let dates = self.dates(chips, place);
            classes.extend(dates.iter().map(|_| label));
            seen.extend(dates.into_iter().map(|date| (place, date)));
        }
        let support = ClassedImages { images: self.images(chips, &seen), classes };
        let steps = InnerSteps { count: adapt_steps, rate: inner_rate };
        let learned = learn_images(&self.model.net, support, (class, adapt_batch), steps, device);
        let dates: Vec<Vec<usize>> =
            task.query.iter().map(|&place| self.dates(chips, place)).collect();
        let of_place = |(&place, dates): (&usize, &Vec<usize>)| {
            dates.iter().map(|&date| (place, date)).collect::<Vec<_>>()
        };
        let seen: Vec<(usize, usize)> = task.query.iter().zip(&dates).flat_map(of_place).collect();
        let mut scores: Vec<f32> = Vec::with_capacity(seen.len());
        for chunk in seen.chunks(CHUNK) {
            let images = Tensor::from_data(self.images(chips, chunk), device);
            scores.extend(learned.scores(images).into_data().iter::<f32>());
        }
        let mut rest = scores.as_slice();
        let mean = |dates: &Vec<usize>| {
            let (of_place, others) = rest.split_at(dates.len());
            rest = others;
            of_place.iter().sum::<f32>() / dates.len() as f32
        };
        dates.iter().map(mean).collect()
    }

    /// Dates on which a place is seen.
    fn dates(&self, chips: &Chips, place: usize) -> Vec<usize> {
        let whole = chips.whole_dates(place);
        assert!(!whole.is_empty(), "place {place} has a date on which its chip was seen whole");
        evenly(&whole, self.learning.most_dates)
    }

    /// Chips of places on dates, `[m, b, y, x]`.
    fn images(&self, chips: &Chips, seen: &[(usize, usize)]) -> TensorData {
        let side = self.learning.chip_px;
        let values: Vec<f32> =
            seen.iter().flat_map(|&(place, date)| chips.cut(place, date)).collect();
        TensorData::new(values, [seen.len(), self.model.config.bands.len(), side, side])
    }
}

/// At most so many of these, evenly: of each of as many equal parts the one in the middle.
fn evenly(all: &[usize], most: usize) -> Vec<usize> {
    let kept = most.min(all.len());
    (0..kept).map(|i| all[(2 * i + 1) * all.len() / (2 * kept)]).collect()
}

#[cfg(test)]
mod tests;
