//! Rows that do not change: frozen embeddings and raw values.

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use surco_core::Progress;
use surco_data::Sample;
use surco_eval::forest::{RandomForest, TREES};
use surco_eval::metrics::Confusion;
use surco_eval::pretraining::{
    ProbeTask, RAW_FOREST, RAW_LOGISTIC, Way, linear_probe, nearest_neighbours,
};
use surco_net::{AnyModel, Device};

use super::{Entrant, Round, Score, embedding, go_on};
use crate::screen::Screen;

/// Neighbours that vote.
const NEIGHBOURS: usize = 5;

impl Round<'_> {
    /// The points of one seed, with a share of the labels.
    pub(super) fn task(&self, seed: usize, percent: u32) -> ProbeTask<'_> {
        let split = &self.splits.splits[seed];
        ProbeTask {
            labels: &self.labels,
            classes: self.splits.classes.len(),
            train: split.labelled(percent, self.splits.classes.len()),
            validation: &split.validation,
            test: &split.test,
        }
    }

    /// Every seed with every share of the labels.
    pub(super) fn tasks(&self) -> Vec<(usize, u32)> {
        let seeds = 0..self.splits.splits.len();
        seeds.flat_map(|seed| self.fractions.iter().map(move |&f| (seed, f))).collect()
    }
}

/// Balanced accuracy on the test points of a task.
pub(super) fn balanced(task: &ProbeTask<'_>, said: &[usize]) -> anyhow::Result<f64> {
    let truth = task.classes_of(task.test);
    Ok(Confusion::count(&truth, said, task.classes)?.balanced_accuracy())
}

/// Forest and logistic regression on raw values.
pub(super) fn raw(round: &Round<'_>, screen: &Screen) -> anyhow::Result<Vec<Score>> {
    let x = &round.set.raw;
    let narrow = x.mapv(|v| v as f32); // the forest reads f32
    let tasks = round.tasks();
    let of = |&(seed, percent): &(usize, u32)| {
        go_on(screen)?;
        let task = round.task(seed, percent);
        let given = narrow.select(Axis(0), task.train);
        let classes = task.classes_of(task.train);
        let forest = RandomForest::fit(given.view(), &classes, task.classes, TREES, seed as u64)?;
        let forest = forest.predict(narrow.select(Axis(0), task.test).view())?;
        let logistic = linear_probe(&task, x.view())?;
        let column = (Way::Probe, percent);
        let score = |model: &str, said: &[usize]| {
            anyhow::Ok(Score { model: model.into(), column, seed, value: balanced(&task, said)? })
        };
        anyhow::Ok([score(RAW_FOREST, &forest)?, score(RAW_LOGISTIC, &logistic)?])
    };
    screen.report("raw values", 0, 1, &round.set.name);
    let scores: Vec<[Score; 2]> = tasks.par_iter().map(of).collect::<Result<_, _>>()?;
    screen.report("raw values", 1, 1, &round.set.name);
    Ok(scores.into_iter().flatten().collect())
}

/// Probe and neighbours of every model.
pub(super) fn embedded(
    round: &Round<'_>,
    entrants: &[Entrant],
    device: &Device,
    screen: &Screen,
) -> anyhow::Result<Vec<Score>> {
    let samples: Vec<&Sample> = round.set.samples.iter().collect();
    let most = round.fractions.iter().copied().max().unwrap_or(100);
    let mut scores = Vec::new();
    for (i, entrant) in entrants.iter().enumerate() {
        screen.report("probe", i as u64, entrants.len() as u64, &entrant.name);
        let Some(embedded) = embeddings(round, entrant, &samples, (device, screen)) else {
            continue;
        };
        let wide: Vec<Array2<f64>> = embedded.iter().map(|x| x.mapv(f64::from)).collect();
        let of = |&(seed, percent): &(usize, u32)| {
            go_on(screen)?;
            let task = round.task(seed, percent);
            let at = seed % embedded.len();
            let score = |way, said: &[usize]| {
                let (model, column) = (entrant.name.clone(), (way, percent));
                anyhow::Ok(Score { model, column, seed, value: balanced(&task, said)? })
            };
            let mut found = vec![score(Way::Probe, &linear_probe(&task, wide[at].view())?)?];
            if percent == most {
                let near = nearest_neighbours(&task, embedded[at].view(), NEIGHBOURS);
                found.push(score(Way::Neighbours, &near)?);
            }
            anyhow::Ok(found)
        };
        let found: Vec<Vec<Score>> = round.tasks().par_iter().map(of).collect::<Result<_, _>>()?;
        scores.extend(found.into_iter().flatten());
    }
    screen.report("probe", entrants.len() as u64, entrants.len() as u64, "");
    Ok(scores)
}

/// What each model of a row makes of the points; nothing where a published system cannot read them, which is said.
fn embeddings(
    round: &Round<'_>,
    entrant: &Entrant,
    samples: &[&Sample],
    (device, screen): (&Device, &Screen),
) -> Option<Vec<Array2<f32>>> {
    let (bands, window) = (&round.set.bands, round.set.window);
    let samples: Vec<&Sample> = match &round.set.windows {
        Some(windows) if entrant.ubarn().is_some() => windows.iter().collect(),
        Some(_) | None => samples.to_vec(),
    };
    let of = |model: &AnyModel| match model {
        AnyModel::Surco(model) => Ok(embedding(model, &samples, bands, window, device)),
        system => system.embed(&samples, bands, window),
    };
    let embedded: Result<Vec<Array2<f32>>, _> = entrant.models.iter().map(of).collect();
    embedded
        .map_err(|error| {
            screen.say(&format!("{} cannot read {}: {error}", entrant.name, round.set.name));
        })
        .ok()
}
