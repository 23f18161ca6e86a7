//! Token by token.

use ndarray::Array2;

use super::{Batch, BatchSpec, SampleTokens};
use crate::{Context, SEASON_FEATURES, STATIC_FEATURES, Sample, season_token, static_token};

pub(super) fn build(samples: &[&Sample], spec: &BatchSpec) -> Batch {
    let values = spec.bands.len() * spec.patch.pixels();
    let mut builder = Builder::new(spec, values);
    samples.iter().for_each(|sample| builder.add(sample));
    builder.finish()
}

/// The dates of a sample that enter a batch, at most `max_dates`, spread evenly over those there are.
pub(super) fn kept_dates(sample: &Sample, spec: &BatchSpec) -> Vec<usize> {
    let length = spec.bands.len() * sample.pixels();
    let seen: Vec<usize> = (0..sample.len())
        .filter(|&d| (spec.first_day..spec.end_day).contains(&sample.days[d]))
        .filter(|&d| (d * length..(d + 1) * length).any(|place| sample.weight(place) > 0.0))
        .collect();
    if seen.len() <= spec.max_dates {
        return seen;
    }
    (0..spec.max_dates).map(|k| seen[k * seen.len() / spec.max_dates]).collect()
}

/// A day and what its season token says.
struct Moment {
    day: i32,
    token: [f32; SEASON_FEATURES],
}

struct Builder<'a> {
    spec: &'a BatchSpec,
    values: usize,
    values_nc: Vec<f32>,
    weights_nc: Vec<f32>,
    season_ns: Vec<f32>,
    batch: Batch,
}

impl<'a> Builder<'a> {
    fn new(spec: &'a BatchSpec, values: usize) -> Self {
        let batch = Batch {
            bands: spec.bands.clone(),
            patch: spec.patch,
            queries: spec.queries,
            values_nc: Array2::zeros((0, 0)),
            weights_nc: Array2::zeros((0, 0)),
            season_ns: Array2::zeros((0, 0)),
            days_n: Vec::new(),
            slots_n: Vec::new(),
            statics: Vec::new(),
            lengths: Vec::new(),
            answers: Vec::new(),
            samples: Vec::new(),
        };
        let (values_nc, weights_nc, season_ns) = (Vec::new(), Vec::new(), Vec::new());
        Self { spec, values, values_nc, weights_nc, season_ns, batch }
    }

    fn add(&mut self, sample: &Sample) {
        let spec = self.spec;
        let dates = kept_dates(sample, spec);
        let moments: Vec<Moment> =
            dates.iter().map(|&d| self.moment(sample.days[d], sample)).collect();
        let asked: Vec<Moment> =
            query_days(spec).into_iter().map(|day| self.moment(day, sample)).collect();
        let known: Vec<[f32; STATIC_FEATURES]> = spec
            .context
            .iter()
            .filter_map(|&k| static_token(k, &sample.site, sample.south))
            .collect();
        let patches = spec.patch.over(sample.size_px);
        let first = self.batch.tokens();
        for patch in 0..patches[0] * patches[1] {
            let begin = self.batch.tokens();
            let at = [patch / patches[1], patch % patches[1]].map(|i| i * spec.patch.side_px);
            for (slot, (&date, moment)) in dates.iter().zip(&moments).enumerate() {
                if self.read(sample, date, at) {
                    self.close(slot, moment);
                }
            }
            for (query, moment) in asked.iter().enumerate() {
                self.batch.answers.push(self.batch.tokens());
                self.close(dates.len() + query, moment);
            }
            for (i, token) in known.iter().enumerate() {
                self.batch.statics.push((self.batch.tokens(), *token));
                let nothing = Moment { day: spec.end_day, token: [0.0; SEASON_FEATURES] };
                self.close(dates.len() + asked.len() + i, &nothing);
            }
            if self.batch.tokens() == begin {
                let end = self.moment(spec.end_day, sample);
                self.close(dates.len(), &end);
            }
            self.batch.lengths.push(self.batch.tokens() - begin);
        }
        self.batch.samples.push(SampleTokens { rows: first..self.batch.tokens(), patches });
    }

    fn moment(&self, day: i32, sample: &Sample) -> Moment {
        let told = self.spec.context.contains(&Context::Latitude);
        let lat = sample.site.lonlat.map(|[_, lat]| lat).filter(|_| told);
        Moment { day, token: season_token(day, sample.south, self.spec.end_day, lat) }
    }

    /// Appends one patch's values on one date; appends nothing and says so if none was seen.
    fn read(&mut self, sample: &Sample, date: usize, at: [usize; 2]) -> bool {
        let (side, [rows, cols]) = (self.spec.patch.side_px, sample.size_px);
        let begin = self.values_nc.len();
        self.values_nc.resize(begin + self.values, 0.0);
        self.weights_nc.resize(begin + self.values, 0.0);
        let mut seen = false;
        for (band, &(mean, deviation)) in self.spec.scale.iter().enumerate() {
            let plane = (date * self.spec.bands.len() + band) * rows * cols;
            for y in at[0]..rows.min(at[0] + side) {
                for x in at[1]..cols.min(at[1] + side) {
                    let place = plane + y * cols + x;
                    let weight = sample.weight(place);
                    if weight > 0.0 {
                        let to = begin + (band * side + y - at[0]) * side + x - at[1];
                        let scaled = (sample.values[place] - mean) / deviation;
                        self.values_nc[to] = scaled * weight;
                        self.weights_nc[to] = weight;
                        seen = true;
                    }
                }
            }
        }
        if !seen {
            self.values_nc.truncate(begin);
            self.weights_nc.truncate(begin);
        }
        seen
    }

    /// Ends a token: what was not read of it is not seen.
    fn close(&mut self, slot: usize, moment: &Moment) {
        self.batch.days_n.push(moment.day - self.spec.end_day);
        self.batch.slots_n.push(slot);
        self.season_ns.extend(moment.token);
        let length = self.batch.tokens() * self.values;
        self.values_nc.resize(length, 0.0);
        self.weights_nc.resize(length, 0.0);
    }

    fn finish(self) -> Batch {
        let n = self.batch.tokens();
        let table = |width: usize, values: Vec<f32>| {
            Array2::from_shape_vec((n, width), values).expect("every token was closed")
        };
        Batch {
            values_nc: table(self.values, self.values_nc),
            weights_nc: table(self.values, self.weights_nc),
            season_ns: table(SEASON_FEATURES, self.season_ns),
            ..self.batch
        }
    }
}

/// Days of the queries: the middles of equal stretches of the window.
fn query_days(spec: &BatchSpec) -> Vec<i32> {
    let Some(grid) = spec.queries else { return Vec::new() };
    let step = f64::from(spec.end_day - spec.first_day) / grid.count as f64;
    let day = |q: usize| f64::from(spec.first_day) + (q as f64 + 0.5) * step;
    (0..grid.count).map(|q| day(q) as i32).collect()
}
