//! Rows that learn: the whole encoder, fine-tuned.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use surco_core::Progress;
use surco_data::{Batch, Sample};
use surco_eval::pretraining::Way;
use surco_learn::{FineTuneTask, fine_tune};
use surco_net::{AnyModel, Device, EarthPt, EarthPtBatch, Encoder, EncoderInput, Ofa, OfaBatch};

use super::frozen::balanced;
use super::{Entrant, Round, Score, go_on};
use crate::screen::Screen;

/// One fine-tuning.
struct Job {
    name: String,
    model: AnyModel,
    seed: usize,
    percent: u32,
}

/// Fine-tunes every model at every seed and share of labels, as many at once as there are cores.
///
/// Jobs run on threads of their own, not on the pool's: gradients need that.
pub(super) fn all(
    round: &Round<'_>,
    entrants: &[Entrant],
    device: &Device,
    screen: &Screen,
) -> anyhow::Result<Vec<Score>> {
    let mut jobs: Vec<Job> = Vec::new();
    for entrant in entrants.iter().filter(|entrant| can_learn(round, entrant)) {
        jobs.extend(round.tasks().into_iter().map(|(seed, percent)| Job {
            name: entrant.name.clone(),
            model: entrant.at(seed).clone(),
            seed,
            percent,
        }));
    }
    let (total, done) = (jobs.len() as u64, AtomicU64::new(0));
    let lanes = if *device == Device::flex() { rayon::current_num_threads() } else { 1 };
    let queue = Mutex::new(jobs);
    let work = || {
        let mut scores = Vec::new();
        loop {
            let next = queue.lock().map(|mut jobs| jobs.pop());
            let Ok(Some(job)) = next else { return Ok(scores) };
            go_on(screen)?;
            scores.push(one(round, &job, device)?);
            let done = 1 + done.fetch_add(1, Ordering::Relaxed);
            screen.report("fine-tune", done, total, &job.name);
        }
    };
    let found: Vec<anyhow::Result<Vec<Score>>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .map(|r| r.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
            .collect()
    });
    let mut scores = Vec::new();
    for part in found {
        scores.extend(part?);
    }
    Ok(scores)
}

/// Whether a row can be fine-tuned on a set: what it cannot read was said when it was probed.
fn can_learn(round: &Round<'_>, entrant: &Entrant) -> bool {
    let (bands, window) = (&round.set.bands, round.set.window);
    let samples: Vec<&Sample> = round.set.samples.iter().collect();
    match entrant.at(0) {
        AnyModel::Surco(_) => true,
        AnyModel::EarthPt(_) => EarthPtBatch::new(&samples, bands, window).is_ok(),
        AnyModel::Ofa(model) => OfaBatch::new(&samples, bands, window, &model.config).is_ok(),
        AnyModel::UBarn(_) | AnyModel::Presto(_) | AnyModel::Galileo(_) => false,
    }
}

fn one(round: &Round<'_>, job: &Job, device: &Device) -> anyhow::Result<Score> {
    let probe = round.task(job.seed, job.percent);
    let task = FineTuneTask {
        samples: &round.set.samples,
        labels: &round.labels,
        classes: probe.classes,
        train: probe.train,
        validation: probe.validation,
        test: probe.test,
        seed: job.seed as u64,
    };
    let (bands, window) = (&round.set.bands, round.set.window);
    let tuned = match &job.model {
        AnyModel::Surco(model) => {
            let spec = model.config.spec(bands, window);
            let features = |encoder: &Encoder, samples: &[&Sample], device: &Device| {
                encoder.embed(&EncoderInput::new(&Batch::new(samples, &spec), device))
            };
            let width = model.config.queries.parts * model.encoder.width();
            fine_tune(&model.encoder, &task, width, features, device)?
        }
        AnyModel::EarthPt(model) => {
            let features = |net: &EarthPt, samples: &[&Sample], _: &Device| {
                let batch = EarthPtBatch::new(samples, bands, window);
                net.features(&batch.expect("every series was read before"))
            };
            fine_tune(&model.net, &task, model.config.width, features, device)?
        }
        AnyModel::Ofa(model) => {
            let features = |net: &Ofa, samples: &[&Sample], _: &Device| {
                let batch = OfaBatch::new(samples, bands, window, &model.config);
                net.features(&batch.expect("every series was read before"))
            };
            fine_tune(&model.net, &task, model.config.width, features, device)?
        }
        AnyModel::UBarn(_) | AnyModel::Presto(_) | AnyModel::Galileo(_) => {
            anyhow::bail!("{} is not fine-tuned here", job.name)
        }
    };
    let column = (Way::FineTune, job.percent);
    let value = balanced(&probe, &tuned.predicted)?;
    Ok(Score { model: job.name.clone(), column, seed: job.seed, value })
}
