//! U-BARN by its makers' protocol: a shallow decoder behind its encoder, frozen (FR) or fine-tuned (FT).

use rayon::prelude::*;
use surco_core::{Progress, largest};
use surco_data::Sample;
use surco_eval::pretraining::{RANDOM_UBARN, Way};
use surco_learn::{LabelledWindows, Protocol, ShallowConfig, UBarnClassifier, classify_windows};
use surco_net::{AnyModel, Device, SystemError, SystemModel, UBarnBatch, UBarnConfig};

use super::frozen::balanced;
use super::{Entrant, Round, Score, go_on};
use crate::screen::Screen;

type UBarnModel = SystemModel<UBarnConfig>;

/// Windows that norms of random weights are measured over.
const MEASURED: usize = 8;

/// How each protocol learns: steps, windows a step and peak rate. A decoder alone bears larger steps and costs little.
fn learning(protocol: Protocol, seed: usize) -> ShallowConfig {
    let (steps, batch, learning_rate) = match protocol {
        Protocol::Frozen => (300, 16, 1e-2),
        Protocol::FineTuned => (100, 8, 1e-3),
    };
    ShallowConfig { protocol, steps, batch, learning_rate, seed: seed as u64 }
}

impl Entrant {
    /// Its first model, if it is a U-BARN.
    pub(super) fn ubarn(&self) -> Option<&UBarnModel> {
        match self.models.first() {
            Some(AnyModel::UBarn(model)) => Some(model),
            Some(_) | None => None,
        }
    }
}

/// Every U-BARN beside one of random weights, at every seed and share of labels.
pub(super) fn all(
    round: &Round<'_>,
    entrants: &[Entrant],
    protocols: &[Protocol],
    device: &Device,
    screen: &Screen,
) -> anyhow::Result<Vec<Score>> {
    let trained: Vec<(&str, &UBarnModel)> =
        entrants.iter().filter_map(|e| Some((e.name.as_str(), e.ubarn()?))).collect();
    let (Some(windows), Some((_, first))) = (&round.set.windows, trained.first()) else {
        return Ok(Vec::new());
    };
    let seeds = round.splits.splits.len();
    let total = (seeds * round.fractions.len() * (trained.len() + 1) * protocols.len()) as u64;
    let mut scores = Vec::new();
    for seed in 0..seeds {
        let random = untrained(round, windows, seed, (&first.config, device))?;
        for &percent in round.fractions {
            for (name, model) in trained.iter().copied().chain([(RANDOM_UBARN, &random)]) {
                for &protocol in protocols {
                    go_on(screen)?;
                    screen.report("shallow decoder", scores.len() as u64, total, name);
                    let job = Job { round, windows, model, seed, percent };
                    let value = job.score(protocol, (device, screen))?;
                    let column = (way(protocol), percent);
                    scores.push(Score { model: name.into(), column, seed, value });
                }
            }
        }
    }
    screen.report("shallow decoder", total, total, "");
    Ok(scores)
}

fn way(protocol: Protocol) -> Way {
    match protocol {
        Protocol::Frozen => Way::ShallowFrozen,
        Protocol::FineTuned => Way::ShallowFineTuned,
    }
}

/// Fresh weights whose norms know the windows that are learned from.
fn untrained(
    round: &Round<'_>,
    windows: &[Sample],
    seed: usize,
    (config, device): (&UBarnConfig, &Device),
) -> Result<UBarnModel, SystemError> {
    let fresh = SystemModel::fresh(config.clone(), seed as u64, device);
    let train = round.splits.splits[seed].train.iter().take(MEASURED);
    let some: Vec<&Sample> = train.map(|&point| &windows[point]).collect();
    let batch = UBarnBatch::new(&some, &round.set.bands, round.set.window, config)?;
    Ok(SystemModel { net: fresh.net.measured(&[batch]), config: fresh.config })
}

/// One decoder.
struct Job<'a> {
    round: &'a Round<'a>,
    windows: &'a [Sample],
    model: &'a UBarnModel,
    seed: usize,
    percent: u32,
}

impl Job<'_> {
    /// Balanced accuracy on the points judged on.
    fn score(
        &self,
        protocol: Protocol,
        (device, screen): (&Device, &Screen),
    ) -> anyhow::Result<f64> {
        let set = self.round.set;
        let task = self.round.task(self.seed, self.percent);
        let samples: Vec<&Sample> = task.train.iter().map(|&p| &self.windows[p]).collect();
        let labelled = LabelledWindows {
            samples: &samples,
            classes: &task.classes_of(task.train),
            class_count: task.classes,
            bands: &set.bands,
            window: set.window,
        };
        let how = learning(protocol, self.seed);
        let devices = std::slice::from_ref(device);
        let learned = classify_windows(self.model, &labelled, &how, devices, screen)?;
        let said = |net: &mut UBarnClassifier, point: &usize| {
            let window = &self.windows[*point];
            let batch = UBarnBatch::new(&[window], &set.bands, set.window, &self.model.config)?;
            let scores: Vec<f32> = net.scores(&batch).into_data().iter::<f32>().collect();
            anyhow::Ok(largest(&scores))
        };
        let said: Vec<usize> =
            task.test.par_iter().map_with(learned, said).collect::<Result<_, _>>()?;
        balanced(&task, &said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::evaluate::pretraining::sets::LabelledSet;
    use ndarray::Array2;
    use surco_core::S2_BANDS;
    use surco_data::{Normalisation, SpectralBand};
    use surco_eval::pretraining::draw_splits;

    /// Windows of two classes, whose middles are bright early in the year or late.
    fn set() -> LabelledSet {
        let bands: Vec<SpectralBand> = S2_BANDS.iter().map(|band| (*band).into()).collect();
        let window = |k: usize| {
            let value = |date: usize, pixel: usize| {
                let light = if date == k % 2 { 0.5 } else { 0.1 };
                light + 0.01 * ((pixel * 7 + k) % 5) as f32
            };
            let values = (0..2).flat_map(|d| (0..2560).map(move |i| value(d, i))).collect();
            Sample { size_px: [16; 2], ..Sample::series(vec![19_500, 19_600], values, true) }
        };
        let windows: Vec<Sample> = (0..60).map(window).collect();
        LabelledSet {
            name: "squares".into(),
            samples: windows.clone(),
            windows: Some(windows),
            bands,
            window: (19_450, 19_815),
            labels: (0..60).map(|k| ["early", "late"][k % 2].into()).collect(),
            blocks: (0..60).map(|k| k / 4).collect(),
            raw: Array2::zeros((60, 1)),
        }
    }

    #[test]
    fn both_protocols_have_their_columns_beside_random_weights() {
        let (set, device) = (set(), Device::flex());
        let splits = draw_splits(&set.name, &set.labels, &set.blocks, 1).unwrap();
        let labels = splits.labels.iter().map(|l| l.unwrap_or(0)).collect();
        let round = Round { set: &set, splits: &splits, labels, fractions: &[100] };
        let config = UBarnConfig::new(Normalisation::measure(&set.bands, &set.samples));
        let windows = set.windows.as_deref().unwrap();
        let model = untrained(&round, windows, 0, (&config, &device)).unwrap();
        let entrant = Entrant {
            name: "u".into(),
            beside: Some(RANDOM_UBARN.into()),
            models: vec![AnyModel::UBarn(Box::new(model))],
            forecaster: None,
        };
        let screen = Screen::new(true, true);
        let scores = all(&round, &[entrant], &[Protocol::Frozen], &device, &screen).unwrap();
        let said: Vec<(&str, Way)> =
            scores.iter().map(|s| (s.model.as_str(), s.column.0)).collect();
        assert_eq!(said, [("u", Way::ShallowFrozen), (RANDOM_UBARN, Way::ShallowFrozen)]);
        // Fresh weights keep what their norms tell apart: the classes are the order of two dates.
        assert!(scores.iter().all(|s| s.value > 0.9), "{}", scores[0].value);
    }
}
