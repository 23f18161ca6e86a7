//! `surco meta` with `system = "meteor"`: METEOR learns to learn from images around few labels.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use surco_data::{Chips, Naming};
use surco_learn::{ImagePlaces, MeteorMeta, meta_train_meteor};
use surco_net::{Device, MeteorConfig, MeteorNorm, SystemConfig};

use super::{Args, Config, Done, for_each_cell};
use crate::exit::{BadInput, Usage};
use crate::learning::{Labelled, thinned};
use crate::screen::Screen;

pub(super) fn run(
    config: &Config,
    args: &Args,
    devices: &[Device],
    screen: &Screen,
) -> anyhow::Result<Done> {
    refuse_others(config)?;
    let meta = meta_of(config);
    meta.check()?;
    let naming = config.naming()?;
    let mut read = Read { net: None, side_px: meta.chip_px, config, naming, screen };
    let stores = config.stores.iter().zip(&config.labels);
    let places: Vec<ImagePlaces> =
        stores.map(|(store, labels)| read.places(store, labels)).collect::<Result<_, _>>()?;
    let Some(net) = read.net else {
        return Err(BadInput("the stores hold no cell: collect something first".into()).into());
    };
    let task_bytes = net.params() as usize * size_of::<f32>();
    args.open(&config.out)?;
    let trained = meta_train_meteor(net, &meta, &places, devices, screen);
    let trained = crate::command::pretrain::drawn(trained, &config.out)?;
    let weights = trained.save(&config.out.join("model"))?;
    let task_bytes = Some(task_bytes);
    Ok(Done { steps: meta.steps, curve: trained.curve, weights, task_bytes })
}

/// Refuses keys that say nothing to METEOR.
fn refuse_others(config: &Config) -> Result<(), Usage> {
    let fixed =
        "METEOR learns by first-order steps on all its weights, one class against the others";
    let keys = [
        (
            "model",
            config.model.as_deref().map(|m| m.display().to_string()),
            "METEOR begins at random weights",
        ),
        (
            "peer",
            config.peer.as_deref().map(|m| m.display().to_string()),
            "METEOR begins at random weights",
        ),
        ("size", config.size.map(|size| size.to_string()), "METEOR has one size"),
        (
            "sets",
            (!config.sets.is_empty()).then(|| format!("{:?}", config.sets)),
            "the series of points in a table have no images, from which METEOR learns; give stores",
        ),
        ("method", config.method.map(|method| written(&method)), fixed),
        ("heads", config.heads.map(|heads| written(&heads)), fixed),
        ("lora_rank", config.lora_rank.map(|rank| rank.to_string()), fixed),
        (
            "task_informed",
            config.task_informed.map(|told| told.to_string()),
            "METEOR is told of no task",
        ),
        (
            "band_dropout",
            config.band_dropout.map(|share| share.to_string()),
            "METEOR is built for the bands of its stores",
        ),
    ];
    match keys.into_iter().find_map(|(key, value, why)| Some((key, value?, why))) {
        Some((key, value, why)) => Err(Usage(format!(
            "config key {key} = {value}: {why}; leave the key out, or give system = \"surco\""
        ))),
        None => Ok(()),
    }
}

/// One of several values as a config has it.
fn written(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).ok();
    text.and_then(|text| text.as_str().map(String::from)).unwrap_or_default()
}

fn meta_of(config: &Config) -> MeteorMeta {
    let plain = MeteorMeta::default();
    MeteorMeta {
        chip_px: config.chip_px.unwrap_or(plain.chip_px),
        steps: config.steps.unwrap_or(plain.steps),
        episodes: config.episodes.unwrap_or(plain.episodes),
        ways: config.ways.unwrap_or(plain.ways),
        shots: config.shots.unwrap_or(plain.shots),
        queries: config.queries.unwrap_or(plain.queries),
        learning_rate: config.learning_rate.unwrap_or(plain.learning_rate),
        inner_steps: config.inner_steps.unwrap_or(plain.inner_steps),
        inner_rate: config.inner_rate.unwrap_or(plain.inner_rate),
        adapt_steps: config.adapt_steps.unwrap_or(plain.adapt_steps),
        adapt_batch: config.adapt_batch.unwrap_or(plain.adapt_batch),
        seed: config.seed,
        out: Some(config.out.clone()),
    }
}

/// Reads labelled places of stores of the same bands.
struct Read<'a> {
    /// What is built for the bands of the cells so far.
    net: Option<MeteorConfig>,
    side_px: usize,
    config: &'a Config,
    naming: Option<Naming>,
    screen: &'a Screen,
}

impl Read<'_> {
    fn places(&mut self, store: &Path, labels: &Path) -> anyhow::Result<ImagePlaces> {
        let (naming, screen, per_class) = (self.naming, self.screen, self.config.per_class);
        let (mut labelled, mut chips) = (Labelled::default(), Chips::new(self.side_px));
        for_each_cell(store, labels, naming, screen, |cube, here| {
            let net = self.net_for(store, &cube.band_names)?;
            let bands = net.places(&cube.band_names).map_err(surco_learn::LearnError::from)?;
            let cell = labelled.cells.len();
            labelled.add(&cube, &thinned(here, per_class), 500.0);
            chips.add(Arc::new(cube), bands, labelled.in_cell(cell));
            Ok(())
        })?;
        let (side, all, mirrored) = (self.side_px, chips.len(), chips.mirrored());
        let name = labels.display().to_string();
        if mirrored > 0 {
            screen.say(&format!(
                "assumed: {name}: the chips around {mirrored} of {all} labelled pixels stick out of their cell and are mirrored at its edge"
            ));
        }
        let places = ImagePlaces::new(name, chips, labelled.numbers(), labelled.blocks);
        if places.never_whole() > 0 {
            screen.say(&format!(
                "warning: {} of {all} labelled pixels in {} have no date on which all {side} × {side} pixels around them were seen, and \
                 are left out",
                places.never_whole(),
                store.display()
            ));
        }
        Ok(places)
    }

    /// METEOR for the bands of a cell, which must be those of the cells before.
    fn net_for(&mut self, store: &Path, names: &[String]) -> Result<MeteorConfig, BadInput> {
        let norm = self.config.norm.unwrap_or(MeteorNorm::Instance);
        let here = MeteorConfig::for_bands(norm, names);
        let (store, found) = (store.display(), names.join(", "));
        if here.bands.is_empty() {
            return Err(BadInput(format!(
                "store {store} has none of METEOR's bands, those of Sentinel-2, but {found}"
            )));
        }
        let first = self.net.get_or_insert_with(|| here.clone());
        if first.bands != here.bands {
            return Err(BadInput(format!(
                "store {store} has the bands {}, but those before have {}: METEOR needs the same in all; collect the same, or leave it out",
                here.bands.join(", "),
                first.bands.join(", ")
            )));
        }
        Ok(here)
    }
}
