//! `surco meta` with `peer`: a lens behind an encoder that others made.

use std::path::Path;

use anyhow::Context;
use surco_data::Sample;
use surco_learn::{EmbeddedTask, MetaTask, meta_train_lens};
use surco_net::{AnyModel, Device};

use super::{Args, Config, Done, tasks_of};
use crate::exit::{BadInput, Usage};
use crate::screen::Screen;

pub(super) fn run(
    config: &Config,
    peer: &Path,
    args: &Args,
    devices: &[Device],
    screen: &Screen,
) -> anyhow::Result<Done> {
    refuse_others(config)?;
    let (model, _) = AnyModel::load(peer, &devices[0])?;
    let tasks = tasks_of(config, screen)?.into_iter().map(|task| embedded(&model, peer, task));
    let tasks: Vec<EmbeddedTask> = tasks.collect::<Result<_, _>>()?;
    let meta = config.meta();
    args.open(&config.out)?;
    let trained = meta_train_lens(&tasks, &meta, devices, screen);
    let trained = crate::command::pretrain::drawn(trained, &config.out)?;
    let weights = trained.save(peer, &config.out.join("model"))?;
    Ok(Done { steps: meta.steps, curve: trained.curve, weights, task_bytes: None })
}

fn embedded(model: &AnyModel, peer: &Path, task: MetaTask) -> anyhow::Result<EmbeddedTask> {
    let samples: Vec<&Sample> = task.samples.iter().collect();
    let embedding = model
        .embed(&samples, &task.bands, task.window)
        .map_err(|error| BadInput(error.to_string()))
        .with_context(|| format!("{} cannot read {}", peer.display(), task.name))?;
    Ok(EmbeddedTask { task, embedding })
}

/// Refuses keys that say nothing to an encoder that stays as it is.
fn refuse_others(config: &Config) -> Result<(), Usage> {
    let steps = "nothing is learned by inner steps";
    let keys = [
        (
            "model",
            config.model.as_deref().map(|m| m.display().to_string()),
            "the peer is the encoder",
        ),
        ("size", config.size.map(|size| size.to_string()), "the peer is the encoder"),
        (
            "band_dropout",
            config.band_dropout.map(|v| v.to_string()),
            "samples are embedded once, with all their bands",
        ),
        ("inner_steps", config.inner_steps.map(|v| v.to_string()), steps),
        ("inner_rate", config.inner_rate.map(|v| v.to_string()), steps),
        ("adapt_steps", config.adapt_steps.map(|v| v.to_string()), steps),
        ("adapt_batch", config.adapt_batch.map(|v| v.to_string()), steps),
    ];
    match keys.into_iter().find_map(|(key, value, why)| Some((key, value?, why))) {
        Some((key, value, why)) => {
            Err(Usage(format!("config key {key} = {value}: with peer {why}; leave the key out")))
        }
        None => Ok(()),
    }
}
