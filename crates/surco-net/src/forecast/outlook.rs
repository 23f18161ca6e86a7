//! Series in, what they will show out.

use burn::module::Module;
use burn::tensor::Device;
use rayon::prelude::*;
use surco_data::{Batch, BatchSpec, Context, Sample, SpectralBand, season_token};

use super::{Asked, Forecaster, Later, NDVI_SCALE, answered, forecast};
use crate::{EMBED_CHUNK, Model};

/// What is fed back where a date lies beyond the longest gap: a forecast every so many days.
const HOP_DAYS: i32 = 90;

/// The forecast of one value, in its own unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Predicted {
    /// As likely too high as too low.
    pub median: f32,
    /// Lower end of the interval.
    pub low: f32,
    /// Upper end of the interval.
    pub high: f32,
}

/// What a series will show on a day.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The day, in days since 1970-01-01.
    pub day: i32,
    /// Days since the last observation before it.
    pub gap_days: i32,
    /// Bands in their order, then NDVI if red and near infrared are among them.
    pub values: Vec<Predicted>,
}

/// What series of single pixels or fields will show on these days, from what they showed before each.
///
/// None where nothing was seen before the day. Beyond the longest gap of training, a forecast every 90 days is
/// fed back as if it had been seen; the widths of all steps add up by their squares, which was measured on
/// nothing.
#[must_use]
pub fn outlook(
    model: &Model,
    forecaster: &Forecaster,
    samples: &[&Sample],
    bands: &[SpectralBand],
    days: &[i32],
) -> Vec<Vec<Option<Outlook>>> {
    let (encoder, head) = (model.encoder.valid(), forecaster.head.valid());
    samples
        .par_chunks(EMBED_CHUNK)
        .map_with((encoder, head), |(encoder, head), chunk| {
            let here = Model { encoder: encoder.clone(), config: model.config.clone() };
            let told = Forecaster { head: head.clone(), config: forecaster.config.clone() };
            Ahead::new(&here, &told, bands).of(chunk, days)
        })
        .flatten()
        .collect()
}

/// Forecasts of one chunk.
struct Ahead<'a> {
    model: &'a Model,
    forecaster: &'a Forecaster,
    bands: &'a [SpectralBand],
    /// Mean and deviation of all that is answered for.
    scale: Vec<(f32, f32)>,
    device: Device,
}

/// A question of one series, and the day it is about.
struct Question {
    series: usize,
    /// Which of the days; none if the answer is fed back.
    target: Option<usize>,
    day: i32,
}

impl<'a> Ahead<'a> {
    fn new(model: &'a Model, forecaster: &'a Forecaster, bands: &'a [SpectralBand]) -> Self {
        let mut scale = model.config.normalisation.at(bands);
        scale.extend(answered(bands).get(bands.len()).map(|_| NDVI_SCALE));
        Self { model, forecaster, bands, scale, device: model.device() }
    }

    fn of(&self, samples: &[&Sample], days: &[i32]) -> Vec<Vec<Option<Outlook>>> {
        let mut known: Vec<Sample> = samples.iter().map(|&s| s.clone()).collect();
        let seen_to: Vec<Option<i32>> = samples.iter().map(|s| s.days.last().copied()).collect();
        // Squares of half-widths that what was fed back brings with it.
        let mut carried = vec![vec![0.0_f32; self.scale.len()]; samples.len()];
        let mut found = vec![vec![None; days.len()]; samples.len()];
        loop {
            let questions = self.questions(&known, days, &found);
            if questions.is_empty() {
                break;
            }
            let answers = self.answers(&known, &questions, &carried);
            for (question, answer) in questions.iter().zip(answers) {
                let Question { series, target, day } = *question;
                match target {
                    Some(target) => {
                        found[series][target] = Some(answer.map(|(gap, values)| {
                            let gap_days =
                                seen_to[series].filter(|&s| s < day).map_or(gap, |s| day - s);
                            Outlook { day, gap_days, values }
                        }));
                    }
                    None => {
                        let Some((_, values)) = answer else { continue };
                        known[series].days.push(day);
                        let medians = values.iter().take(self.bands.len()).map(|v| v.median);
                        known[series].values.extend(medians);
                        if !known[series].weights.is_empty() {
                            known[series].weights.extend(vec![1.0; self.bands.len()]);
                        }
                        carried[series] =
                            values.iter().map(|v| (0.5 * (v.high - v.low)).powi(2)).collect();
                    }
                }
            }
        }
        found.into_iter().map(|all| all.into_iter().map(Option::flatten).collect()).collect()
    }

    /// What is to be asked next: every day within reach, and one step on where a day is not.
    fn questions(
        &self,
        known: &[Sample],
        days: &[i32],
        found: &[Vec<Option<Option<Outlook>>>],
    ) -> Vec<Question> {
        let reach = self.forecaster.config.longest_gap_days.max(HOP_DAYS);
        let mut questions = Vec::new();
        for (series, (sample, found)) in known.iter().zip(found).enumerate() {
            let Some(&last) = sample.days.last() else { continue };
            let open = || (0..days.len()).filter(|&t| found[t].is_none());
            questions.extend(open().filter(|&t| days[t] - last <= reach).map(|target| Question {
                series,
                target: Some(target),
                day: days[target],
            }));
            if open().any(|t| days[t] - last > reach) {
                questions.push(Question { series, target: None, day: last + HOP_DAYS });
            }
        }
        questions
    }

    /// Gap and values of each answer; none where nothing was seen before the day.
    fn answers(
        &self,
        known: &[Sample],
        questions: &[Question],
        carried: &[Vec<f32>],
    ) -> Vec<Option<(i32, Vec<Predicted>)>> {
        let spec = self.spec(known);
        let recent: Vec<Sample> = known.iter().map(|s| self.recent(s)).collect();
        let batch = Batch::new(&recent.iter().collect::<Vec<_>>(), &spec);
        let mut later = Vec::new();
        let asked: Vec<Option<usize>> = questions
            .iter()
            .map(|question| {
                let sample = &known[question.series];
                let row = row_before(&batch, question.series, question.day - spec.end_day)?;
                let lat = sample.site.lonlat.map(|[_, lat]| lat);
                let lat = lat.filter(|_| spec.context.contains(&Context::Latitude));
                later.push(Later {
                    row,
                    gap_days: question.day - spec.end_day - batch.days_n[row],
                    season: season_token(question.day, sample.south, spec.end_day, lat),
                });
                Some(later.len() - 1)
            })
            .collect();
        if later.is_empty() {
            return vec![None; questions.len()];
        }
        let gaps: Vec<i32> = later.iter().map(|l| l.gap_days).collect();
        let asked_of = Asked::new(&batch, &spec.scale, later);
        let (model, head) = (self.model, &self.forecaster.head);
        let spread = forecast(&model.encoder, head, &batch, &asked_of, &self.device);
        let numbers = |t: burn::tensor::Tensor<2>| t.into_data().iter::<f32>().collect::<Vec<_>>();
        let (location, log_scale) = (numbers(spread.location_pc), numbers(spread.log_scale_pc));
        let width = self.scale.len();
        let one = |(question, at): (&Question, Option<usize>)| {
            let at = at?;
            let (bands, ndvi) = self.forecaster.config.widths(gaps[at]);
            let value = |c: usize| {
                let (mean, deviation) = self.scale[c];
                let share = if c < self.bands.len() { bands } else { ndvi };
                let own = deviation * share * log_scale[at * width + c].exp();
                let half = (own * own + carried[question.series][c]).sqrt();
                let median = mean + deviation * location[at * width + c];
                Predicted { median, low: median - half, high: median + half }
            };
            Some((gaps[at], (0..width).map(value).collect()))
        };
        questions.iter().zip(asked).map(one).collect()
    }

    fn spec(&self, known: &[Sample]) -> BatchSpec {
        let days = || known.iter().flat_map(|s| s.days.iter().copied());
        let window = (days().min().unwrap_or(0), days().max().unwrap_or(0) + 1);
        BatchSpec { queries: None, ..self.model.config.spec(self.bands, window) }
    }

    /// The last dates of a series, as many as the model is shown: what is thinned would lose the last.
    fn recent(&self, sample: &Sample) -> Sample {
        let from = sample.len().saturating_sub(self.model.config.max_dates);
        sample.at_dates(&(from..sample.len()).collect::<Vec<_>>(), self.bands.len())
    }
}

/// The last token of a series that saw anything before a day, both counted from the end of the window.
fn row_before(batch: &Batch, series: usize, day: i32) -> Option<usize> {
    let seen = |&row: &usize| batch.weights_nc.row(row).iter().any(|&w| w > 0.0);
    batch.samples[series].rows.clone().rev().filter(seen).find(|&row| batch.days_n[row] < day)
}
