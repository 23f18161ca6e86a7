//! Fine-tuning: the whole backbone and a linear head learn from labels by gradients.
//!
//! The same steps serve a pre-trained backbone and one with random weights, which is what training from
//! scratch is. Learning rate and the moment to stop are chosen by validation points, never by those that
//! are asked about.
//!
//! Input: a backbone, how it makes features of samples, and points by their part. Output: the class of
//! each point asked. Sample config: `fine_tune(&encoder, &task, width, embed, &device)`.
//!
//! # Source
//! Early stopping: Prechelt 1998. Loss: cross-entropy.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use surco_core::largest;
use surco_data::Sample;

use crate::LearnError;
use crate::headed::{Headed, cross_entropy};
use crate::precision::Precision;
use crate::shuffle::shuffle;
use crate::step::{CLIP_NORM, Lanes, clipped, gradients, optimizer};

/// Learning rates tried; the one whose best moment serves the validation points better is taken.
const RATES: [f64; 2] = [3e-4, 2e-3];

/// Labels a step.
const BATCH: usize = 32;

/// Steps of linear warm-up.
const WARM_UP_STEPS: u64 = 10;

/// Steps between two looks at the validation points.
const LOOK_EVERY: u64 = 20;

/// Looks without higher accuracy before training stops.
const PATIENCE: u32 = 6;

/// Most steps of one learning rate.
const MOST_STEPS: u64 = 600;

/// Validation points looked at, spread over those there are.
const MOST_VALIDATION: usize = 384;

/// Samples whose features one core computes at once.
const CHUNK: usize = 32;

/// Labelled points by their part.
#[derive(Clone, Copy, Debug)]
pub struct FineTuneTask<'a> {
    /// `[point]`
    pub samples: &'a [Sample],
    /// `[point]`, class of each point; not read for `test`.
    pub labels: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Points to learn from.
    pub train: &'a [usize],
    /// Points to choose the learning rate and the end by.
    pub validation: &'a [usize],
    /// Points asked.
    pub test: &'a [usize],
    /// Seed of the order of labels.
    pub seed: u64,
}

/// What fine-tuning gave.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuned {
    /// `[test point]`, the class said.
    pub predicted: Vec<usize>,
    /// Learning rate chosen.
    pub learning_rate: f64,
    /// Steps up to the moment that was kept.
    pub steps: u64,
    /// Balanced accuracy of that moment on the validation points.
    pub validation: f64,
}

/// How well a moment of training serves the validation points: balanced accuracy first, then the mean
/// log-probability of the truth.
type Score = (f64, f64);

/// The best moment of one learning rate.
struct Moment<M: Module + ModuleDisplay> {
    score: Score,
    rate: f64,
    steps: u64,
    classifier: Headed<M>,
}

/// Fine-tunes a backbone and says the class of each point asked.
///
/// `features` gives `[sample, width]` of some samples; it must follow the gradient tape of the backbone it
/// is handed. The same task and seed give the same answer.
///
/// # Errors
/// [`LearnError::TooLittle`] without points to learn from or to choose by, [`LearnError::Diverged`] if the loss of every learning rate is no number.
pub fn fine_tune<M: Module + ModuleDisplay>(
    backbone: &M,
    task: &FineTuneTask<'_>,
    width: usize,
    features: impl Fn(&M, &[&Sample], &Device) -> Tensor<2> + Sync,
    device: &Device,
) -> Result<FineTuned, LearnError> {
    if task.train.is_empty() || task.validation.is_empty() {
        let [train, validation] = [task.train, task.validation].map(<[_]>::len);
        return Err(LearnError::TooLittle {
            found: format!("{train} labels to learn from and {validation} to choose by"),
            expected: "at least 1 of each".into(),
        });
    }
    let tuning = Tuning { task, width, features, device };
    let mut best: Option<Moment<M>> = None;
    let mut failed = None;
    for rate in RATES {
        match tuning.run(backbone, rate) {
            Ok(moment) if best.as_ref().is_none_or(|b| moment.score > b.score) => {
                best = Some(moment);
            }
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    match (best, failed) {
        (Some(best), _) => {
            let said = tuning.answers(&best.classifier, task.test);
            Ok(FineTuned {
                predicted: said.rows().into_iter().map(largest).collect(),
                learning_rate: best.rate,
                steps: best.steps,
                validation: best.score.0,
            })
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(LearnError::Diverged { step: 0, learning_rate: RATES[0] }),
    }
}

struct Tuning<'a, F> {
    task: &'a FineTuneTask<'a>,
    width: usize,
    features: F,
    device: &'a Device,
}

impl<F> Tuning<'_, F> {
    /// Trains at one rate until the validation points see no gain.
    fn run<M>(&self, backbone: &M, rate: f64) -> Result<Moment<M>, LearnError>
    where
        M: Module + ModuleDisplay,
        F: Fn(&M, &[&Sample], &Device) -> Tensor<2> + Sync,
    {
        let lanes = Lanes::new(std::slice::from_ref(self.device), Precision::F32, false);
        let shape = (self.width, self.task.classes);
        let mut classifier =
            Headed::new(backbone.clone(), shape, self.device).train().fork(&lanes.main());
        let mut optimizer = optimizer();
        let mut order = Order::new(self.task.train, self.task.seed);
        let mut best: Option<Moment<M>> = None;
        let mut waited = 0;
        for step in 0..MOST_STEPS {
            let batch = order.next();
            let summed = gradients(&classifier, &lanes, &[batch], |classifier, batch, device| {
                (self.loss(classifier, batch, device), batch.len() as f64)
            });
            let loss = summed.mean();
            let (grads, norm) = clipped(&classifier, summed, CLIP_NORM);
            if !loss.is_finite() || !norm.is_finite() {
                return Err(LearnError::Diverged { step, learning_rate: rate });
            }
            let warm = ((step + 1) as f64 / WARM_UP_STEPS as f64).min(1.0);
            classifier = optimizer.step(rate * warm, classifier, grads);
            let steps = step + 1;
            if !steps.is_multiple_of(LOOK_EVERY) {
                continue;
            }
            let now = classifier.valid();
            let score = self.score(&now);
            // Likelihood alone decides between moments, but buys no time: it creeps up for ever.
            let before = best.as_ref().map_or((-1.0, f64::NEG_INFINITY), |b| b.score);
            waited = if score.0 > before.0 { 0 } else { waited + 1 };
            if score > before {
                best = Some(Moment { score, rate, steps, classifier: now });
            }
            if waited >= PATIENCE {
                break;
            }
        }
        best.ok_or(LearnError::Diverged { step: MOST_STEPS, learning_rate: rate })
    }

    /// Mean cross-entropy of some points.
    fn loss<M>(&self, classifier: &Headed<M>, points: &[usize], device: &Device) -> Tensor<1>
    where
        M: Module + ModuleDisplay,
        F: Fn(&M, &[&Sample], &Device) -> Tensor<2>,
    {
        let samples: Vec<&Sample> = points.iter().map(|&p| &self.task.samples[p]).collect();
        let said = classifier.judge((self.features)(&classifier.backbone, &samples, device));
        let truth: Vec<i32> = points.iter().map(|&p| self.task.labels[p] as i32).collect();
        cross_entropy(said, &truth)
    }

    /// Log-probabilities of some points, `[point, class]`.
    fn answers<M>(&self, classifier: &Headed<M>, points: &[usize]) -> Array2<f32>
    where
        M: Module + ModuleDisplay,
        F: Fn(&M, &[&Sample], &Device) -> Tensor<2> + Sync,
    {
        let said: Vec<Vec<f32>> = points
            .par_chunks(CHUNK)
            .map_with(classifier.clone(), |classifier, chunk| {
                let samples: Vec<&Sample> = chunk.iter().map(|&p| &self.task.samples[p]).collect();
                let features = (self.features)(&classifier.backbone, &samples, self.device);
                classifier.judge(features).into_data().iter::<f32>().collect()
            })
            .collect();
        Array2::from_shape_vec((points.len(), self.task.classes), said.concat()).unwrap_or_default()
    }

    fn score<M>(&self, classifier: &Headed<M>) -> Score
    where
        M: Module + ModuleDisplay,
        F: Fn(&M, &[&Sample], &Device) -> Tensor<2> + Sync,
    {
        let all = self.task.validation;
        let kept = all.len().min(MOST_VALIDATION);
        let points: Vec<usize> = (0..kept).map(|i| all[i * all.len() / kept]).collect();
        let said = self.answers(classifier, &points);
        let (mut seen, mut right) =
            (vec![0_u32; self.task.classes], vec![0_u32; self.task.classes]);
        let mut likelihood = 0.0;
        for (&point, row) in points.iter().zip(said.rows()) {
            let truth = self.task.labels[point];
            seen[truth] += 1;
            right[truth] += u32::from(largest(row.iter()) == truth);
            likelihood += f64::from(row[truth]) / kept as f64;
        }
        let recalls = seen.iter().zip(&right).filter(|(seen, _)| **seen > 0);
        let (sum, count) = recalls.fold((0.0, 0), |(sum, count), (&seen, &right)| {
            (sum + f64::from(right) / f64::from(seen), count + 1)
        });
        (sum / f64::from(count.max(1)), likelihood)
    }
}

/// Points to learn from in random order, one epoch after another.
struct Order {
    points: Vec<usize>,
    at: usize,
    rng: ChaCha8Rng,
}

impl Order {
    fn new(points: &[usize], seed: u64) -> Self {
        Self { points: points.to_vec(), at: points.len(), rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The next batch; the last of an epoch may be short.
    fn next(&mut self) -> Vec<usize> {
        if self.at >= self.points.len() {
            shuffle(&mut self.points, &mut self.rng);
            self.at = 0;
        }
        let end = (self.at + BATCH).min(self.points.len());
        let batch = self.points[self.at..end].to_vec();
        self.at = end;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use surco_data::{BatchSpec, Normalisation, QueryGrid, SpectralBand};
    use surco_net::{Encoder, EncoderInput, Size, fresh};

    fn spec() -> BatchSpec {
        let bands = [665.0, 842.0].map(|nm| SpectralBand::optical(nm, 30.0));
        let norm = Normalisation::measure(&bands, &[]);
        let queries = Some(QueryGrid { count: 4, parts: 2 });
        BatchSpec { queries, ..BatchSpec::new(&bands, &norm, (0, 365)) }
    }

    /// Two classes: green early or green late in the season.
    fn samples(count: usize) -> Vec<Sample> {
        let sample = |p: usize| {
            let days: Vec<i32> = (0..8).map(|d| d * 45).collect();
            let green = |day: i32| (day < 180) == (p.is_multiple_of(2));
            let noise = (p * 7 % 11) as f32 / 200.0;
            let values = days.iter().flat_map(|&day| {
                if green(day) { [0.05 + noise, 0.4 - noise] } else { [0.2 - noise, 0.25 + noise] }
            });
            Sample::series(days.clone(), values.collect(), true)
        };
        (0..count).map(sample).collect()
    }

    fn tune(seed: u64) -> FineTuned {
        let (samples, device) = (samples(48), Device::flex());
        // Labels of the points asked are out of range: whoever reads them panics.
        let labels: Vec<usize> = (0..48).map(|p| if p < 32 { p % 2 } else { 99 }).collect();
        let parts: [Vec<usize>; 3] = [(0..16).collect(), (16..32).collect(), (32..48).collect()];
        let task = FineTuneTask {
            samples: &samples,
            labels: &labels,
            classes: 2,
            train: &parts[0],
            validation: &parts[1],
            test: &parts[2],
            seed,
        };
        let encoder = fresh(Size::Nano, 3, &device);
        let features = |encoder: &Encoder, samples: &[&Sample], device: &Device| {
            encoder.embed(&EncoderInput::new(&surco_data::Batch::new(samples, &spec()), device))
        };
        fine_tune(&encoder, &task, 2 * encoder.width(), features, &device).unwrap()
    }

    #[test]
    fn two_seasons_are_told_apart_from_scratch_and_the_same_seed_gives_the_same() {
        let tuned = tune(1);
        assert_eq!(tuned.predicted, (32..48).map(|p| p % 2).collect::<Vec<_>>());
        assert_eq!(tuned.validation, 1.0);
        assert!(RATES.contains(&tuned.learning_rate) && tuned.steps >= LOOK_EVERY);
        assert_eq!(tuned, tune(1));
    }

    #[test]
    fn an_epoch_meets_every_label_once() {
        let points: Vec<usize> = (100..170).collect();
        let mut order = Order::new(&points, 5);
        let batches: Vec<Vec<usize>> = (0..3).map(|_| order.next()).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32, 6]);
        let mut seen = batches.concat();
        assert_ne!(seen, points, "in random order");
        seen.sort_unstable();
        assert_eq!(seen, points);
        assert_eq!(order.next().len(), 32, "the next epoch");
    }

    #[test]
    fn nothing_to_choose_by_is_refused() {
        let task = FineTuneTask {
            samples: &[],
            labels: &[],
            classes: 2,
            train: &[0],
            validation: &[],
            test: &[],
            seed: 0,
        };
        let device = Device::flex();
        let encoder = fresh(Size::Nano, 3, &device);
        let none = |_: &Encoder, _: &[&Sample], device: &Device| Tensor::zeros([0, 1], device);
        let error = fine_tune(&encoder, &task, 1, none, &device).unwrap_err().to_string();
        assert!(error.contains("1 labels to learn from and 0 to choose by"), "{error}");
    }
}
