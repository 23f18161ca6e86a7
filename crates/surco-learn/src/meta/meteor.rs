//! METEOR's meta-training over labelled places of stores: chips around them on one date, one class against the others.
//!
//! | | |
//! |---|---|
//! | input | [`ImagePlaces`], one a region and season |
//! | output | [`MeteorTrained`]: the network, its curve, how it learns a task |
//! | config | [`MeteorMeta`] |
//!
//! An episode draws classes of one region, a support and a query set of each from different places, a date for each place among
//! those on which its whole chip was seen, and the class that is asked for. The trainer is everyone's: clipped gradients,
//! AdamW, a rate that warms up and falls.
//!
//! # Source
//! Rußwurm, Wang, Kellenberger, Roscher and Tuia 2024, *Meta-learning to address diverse Earth observation problems across
//! resolutions* (Commun. Earth Environ. 5:37); defaults of `train/main.py` of MarcCoru/meteor: 4 tasks of 4 classes with 2 images to
//! learn from and 2 to be asked, one inner step of 0.1, an outer rate of 1e-4, and at use 60 steps of 8 images.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::Progress;
use surco_data::Chips;
use surco_net::{Card, Meteor, MeteorConfig, Policy, SystemModel};

use super::draw::{Counts, by_class, split};
use super::fomaml::InnerSteps;
use super::images::{ClassedImages, ImageTask};
use super::meteor_learner::MeteorLearning;
use super::{check_adapt, check_inner, recipe_of, too_little};
use crate::LearnError;
use crate::run::Curve;
use crate::shuffle::shuffle;
use crate::trainer::{Losses, Objective, Recipe, Trainer, Work};

/// Sides that chips may have: what is halved three times, and what fits a window of a store.
const SIDES_PX: std::ops::RangeInclusive<usize> = 8..=256;

/// Steps between checkpoints, where there is a run folder: fewer than of an encoder, since a step takes longer.
const CHECKPOINT_EVERY: u64 = 10;

/// What METEOR's meta-training depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct MeteorMeta {
    /// Side of the chips in pixels.
    pub chip_px: usize,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Tasks a step.
    pub episodes: usize,
    /// Classes a task, fewer where a region has fewer.
    pub ways: usize,
    /// Support images a class.
    pub shots: usize,
    /// Query images a class.
    pub queries: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps on the support.
    pub inner_steps: usize,
    /// Their rate.
    pub inner_rate: f64,
    /// Steps by which the trained network learns a task.
    pub adapt_steps: usize,
    /// Most images of such a step.
    pub adapt_batch: usize,
    /// Seed of the first weights and of the episodes.
    pub seed: u64,
    /// Run folder for records and checkpoints, from which a run goes on; a run without one leaves nothing.
    pub out: Option<PathBuf>,
}

impl Default for MeteorMeta {
    fn default() -> Self {
        Self {
            chip_px: 32,
            steps: 60,
            episodes: 4,
            ways: 4,
            shots: 2,
            queries: 2,
            learning_rate: 1e-4,
            inner_steps: 1,
            inner_rate: 0.1,
            adapt_steps: 60,
            adapt_batch: 8,
            seed: 0,
            out: None,
        }
    }
}

impl MeteorMeta {
    /// Fails on what makes no sense.
    ///
    /// # Errors
    /// [`LearnError::Config`] naming the key, its value and the remedy.
    pub fn check(&self) -> Result<(), LearnError> {
        let refuse = |key, value: usize, remedy: String| {
            Err(LearnError::Config { key, value: value.to_string(), remedy })
        };
        if !SIDES_PX.contains(&self.chip_px) {
            let (least, most) = (SIDES_PX.start(), SIDES_PX.end());
            return refuse("chip_px", self.chip_px, format!("expected {least} to {most} pixels"));
        }
        let counts = [
            ("episodes", self.episodes, 1),
            ("ways", self.ways, 2),
            ("shots", self.shots, 1),
            ("queries", self.queries, 1),
        ];
        if let Some((key, value, least)) =
            counts.into_iter().find(|(_, value, least)| value < least)
        {
            return refuse(key, value, format!("expected at least {least}"));
        }
        check_inner(self.inner())?;
        check_adapt(self.adapt_steps, self.adapt_batch)
    }

    fn counts(&self) -> Counts {
        Counts { shots: self.shots, queries: self.queries }
    }

    fn inner(&self) -> InnerSteps {
        InnerSteps { count: self.inner_steps, rate: self.inner_rate }
    }
}

/// Labelled places of a region and season, with what was seen around them.
#[derive(Clone, Debug)]
pub struct ImagePlaces {
    name: String,
    chips: Chips,
    classes: Vec<usize>,
    blocks: Vec<u64>,
    /// Dates of each place on which its whole chip was seen.
    dates: Vec<Vec<usize>>,
}

impl ImagePlaces {
    /// Places with the class and the block of each: support and query of a class share no block where it has more than one. `name` is
    /// for the model card.
    ///
    /// # Panics
    /// If there is not one class and one block for each place.
    #[must_use]
    pub fn new(name: String, chips: Chips, classes: Vec<usize>, blocks: Vec<u64>) -> Self {
        assert_eq!((chips.len(), chips.len()), (classes.len(), blocks.len()), "one a place");
        let dates = (0..chips.len()).map(|place| chips.whole_dates(place)).collect();
        Self { name, chips, classes, blocks, dates }
    }

    /// How many of the places have no date on which their whole chip was seen; they are never drawn.
    #[must_use]
    pub fn never_whole(&self) -> usize {
        self.dates.iter().filter(|dates| dates.is_empty()).count()
    }
}

/// What METEOR's meta-training gave.
#[derive(Clone, Debug)]
pub struct MeteorTrained {
    /// The trained network.
    pub model: SystemModel<MeteorConfig>,
    /// Loss by step.
    pub curve: Curve,
    /// How it learns a task.
    pub learning: MeteorLearning,
}

impl MeteorTrained {
    /// Writes a model folder, with how the network learns a task; gives the SHA-256 of the weights.
    ///
    /// # Errors
    /// [`LearnError::Weights`] or [`LearnError::Io`] if the disk refuses.
    pub fn save(&self, folder: &Path) -> Result<String, LearnError> {
        let weights = self.model.save(folder)?;
        self.learning.save(folder, &weights)?;
        Ok(weights)
    }
}

/// Meta-trains METEOR from random weights over episodes of chips of these bands, which are those that the places were given with.
///
/// The tasks of a step are shared between the devices, at least one. With a run folder, the run goes on from its last
/// checkpoint; see [`crate::open_run`].
///
/// # Errors
/// [`LearnError::Config`], [`LearnError::TooLittle`] if no region has two classes with enough places,
/// [`LearnError::Stopped`] on a stop, [`LearnError::Io`] if the run folder refuses.
///
/// # Panics
/// If chips have another side than the config, or other bands.
pub fn meta_train_meteor(
    net: MeteorConfig,
    config: &MeteorMeta,
    places: &[ImagePlaces],
    devices: &[Device],
    progress: &dyn Progress,
) -> Result<MeteorTrained, LearnError> {
    config.check()?;
    let regions: Vec<Region<'_>> = places.iter().map(|p| Region::of(p, config.counts())).collect();
    let regions: Vec<Region<'_>> =
        regions.into_iter().filter(|region| region.by_class.len() >= 2).collect();
    if regions.is_empty() {
        return Err(too_little(config.counts()));
    }
    let trainer = Trainer {
        objective: &ImageEpisodes { config, net: &net, regions: &regions },
        recipe: &Recipe {
            checkpoint_every_steps: CHECKPOINT_EVERY,
            ..recipe_of(config.steps, config.learning_rate)
        },
        devices,
        folder: config.out.as_deref(),
        progress,
    };
    let fresh = SystemModel::fresh(net.clone(), config.seed, &devices[0]);
    let trained = trainer.run(fresh.net)?;
    let card = Card {
        stages: vec![
            format!("random weights, seed {}", config.seed),
            format!(
                "episodes of chips of {} pixels, one class against the others, {} steps of {}, seed {}",
                config.chip_px, config.steps, config.episodes, config.seed
            ),
        ],
        data: regions.iter().map(|region| region.of.name.clone()).collect(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let config_of_net = MeteorConfig { card, ..net };
    Ok(MeteorTrained {
        model: SystemModel { net: trained.module, config: config_of_net },
        curve: trained.curve,
        learning: MeteorLearning::of(config),
    })
}

/// Places to draw from, by class; those never seen whole and classes of too few left out.
struct Region<'a> {
    of: &'a ImagePlaces,
    by_class: Vec<Vec<usize>>,
}

impl<'a> Region<'a> {
    fn of(of: &'a ImagePlaces, counts: Counts) -> Self {
        let seen = (0..of.classes.len()).filter(|&place| !of.dates[place].is_empty());
        let classed = seen.map(|place| (place, of.classes[place]));
        Self { of, by_class: by_class(classed, counts.shots + counts.queries) }
    }

    /// Places of the next episode, class by class in the order drawn: those of the support, and those asked about.
    fn places(&self, config: &MeteorMeta, rng: &mut ChaCha8Rng) -> [Vec<Vec<usize>>; 2] {
        let mut order: Vec<usize> = (0..self.by_class.len()).collect();
        shuffle(&mut order, rng);
        order.truncate(config.ways);
        let (support, query) = order
            .into_iter()
            .map(|class| {
                let members: &[usize] = &self.by_class[class];
                split(members, &self.of.blocks, config.counts(), rng)
            })
            .unzip();
        [support, query]
    }

    /// The next episode.
    fn draw(&self, config: &MeteorMeta, bands: usize, rng: &mut ChaCha8Rng) -> ImageTask {
        let halves = self.places(config, rng);
        let asked = rng.random_range(0..halves[0].len());
        let [support, query] = halves.map(|half| {
            let (mut values, mut classes) = (Vec::new(), Vec::new());
            for (class, places) in half.into_iter().enumerate() {
                for place in places {
                    let dates = &self.of.dates[place];
                    let date = dates[rng.random_range(0..dates.len())];
                    values.extend(self.of.chips.cut(place, date));
                    classes.push(class);
                }
            }
            let shape = [classes.len(), bands, config.chip_px, config.chip_px];
            let images = TensorData::new(values, shape);
            ClassedImages { images, classes }.of_class(asked)
        });
        ImageTask { support, query }
    }
}

/// Episodes of chips, drawn from regions.
struct ImageEpisodes<'a> {
    config: &'a MeteorMeta,
    net: &'a MeteorConfig,
    regions: &'a [Region<'a>],
}

impl Objective for ImageEpisodes<'_> {
    type Module = Meteor;
    type Part = ImageTask;

    const STAGE: &'static str = "meta-train";

    fn parts(&self, step: u64) -> Vec<ImageTask> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(step + 1);
        (0..self.config.episodes)
            .map(|_| {
                let region = &self.regions[rng.random_range(0..self.regions.len())];
                region.draw(self.config, self.net.bands.len(), &mut rng)
            })
            .collect()
    }

    /// An image is a token. The support is passed forward and backward once a step of the inner loop.
    fn work(&self, task: &ImageTask) -> Work {
        let (support, query) = (task.support.len(), task.query.len());
        let passes = (support * self.config.inner_steps + query) as f64;
        let flops = 3.0 * passes * self.net.flops_per_image(self.config.chip_px) as f64;
        Work { tokens: (support + query) as u64, flops }
    }

    fn with_policy(&self, net: Meteor, _: Policy) -> Meteor {
        net
    }

    /// Each task counts the same, whatever its number of queries.
    fn loss(&self, net: &Meteor, task: &ImageTask, device: &Device) -> (Tensor<1>, f64) {
        (task.loss(net, self.config.inner(), device), 1.0)
    }

    fn validate(&self, _net: &Meteor, _device: &Device) -> Option<Losses> {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests;
