//! Rows that learn: the whole encoder, fine-tuned.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use surco_core::Progress;
use surco_data::{Batch, Sample};
use surco_eval::pretraining::Way;
use surco_learn::{FineTuneTask, fine_tune};
use surco_net::{Device, Encoder, EncoderInput, Model};

use super::frozen::balanced;
use super::{Entrant, Round, Score, go_on};
use crate::screen::Screen;

/// One fine-tuning.
struct Job {
    name: String,
    model: Model,
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
    for entrant in entrants.iter().filter(|entrant| entrant.system.is_none()) {
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
    let spec = job.model.config.spec(&round.set.bands, round.set.window);
    let features = |encoder: &Encoder, samples: &[&Sample], device: &Device| {
        encoder.embed(&EncoderInput::new(&Batch::new(samples, &spec), device))
    };
    let width = job.model.config.queries.parts * job.model.encoder.width();
    let tuned = fine_tune(&job.model.encoder, &task, width, features, device)?;
    let column = (Way::FineTune, job.percent);
    let value = balanced(&probe, &tuned.predicted)?;
    Ok(Score { model: job.name.clone(), column, seed: job.seed, value })
}
