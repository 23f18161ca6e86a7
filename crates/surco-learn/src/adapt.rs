//! Adaptation: from a few labels to a task.
//!
//! Three sets of features compete: the encoder's embedding, the values themselves resampled to even
//! dates, and both. A ridge head is fitted to each, and the one that best foretells support examples
//! left out is kept. Nothing but the support set decides.

use burn::tensor::Device;
use ndarray::{Array2, Axis, concatenate};
use serde::{Deserialize, Serialize};
use surco_data::{BatchSpec, Sample};
use surco_net::{Model, embed};

use crate::Ridge;
use crate::ridge::FEWEST_TO_JUDGE;

/// Even dates the values are resampled to.
const RESAMPLED_DATES: usize = 24;

/// Which features an adapter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterFeatures {
    /// The encoder's embedding.
    Embedding,
    /// Values resampled to even dates.
    Values,
    /// Both, side by side.
    Both,
}

impl AdapterFeatures {
    /// All kinds; the last is the one to take when nothing can be judged.
    pub const ALL: [Self; 3] = [Self::Embedding, Self::Values, Self::Both];
}

/// What adaptation adds to a frozen encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Features it reads.
    pub features: AdapterFeatures,
    /// Its head.
    pub head: Ridge,
}

impl Adapter {
    /// Probabilities `[n, class]`.
    #[must_use]
    pub fn predict(&self, features: &Features) -> Array2<f32> {
        self.head.predict(features.of_kind(self.features).view())
    }
}

/// Features of series, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The encoder's embedding, `[n, parts × width]`.
    pub embedding: Array2<f32>,
    /// Values at even dates, `[n, dates × bands]`.
    pub values: Array2<f32>,
}

impl Features {
    /// Computes what an adapter of this kind reads; what it does not read stays empty.
    #[must_use]
    pub fn new(
        kind: AdapterFeatures,
        model: &Model,
        samples: &[&Sample],
        spec: &BatchSpec,
        device: &Device,
    ) -> Self {
        let nothing = Array2::zeros((samples.len(), 0));
        let embedding = match kind {
            AdapterFeatures::Embedding | AdapterFeatures::Both => {
                embed(model, samples, spec, device)
            }
            AdapterFeatures::Values => nothing.clone(),
        };
        let values = match kind {
            AdapterFeatures::Values | AdapterFeatures::Both => resampled(samples, spec),
            AdapterFeatures::Embedding => nothing,
        };
        Self { embedding, values }
    }

    /// Some of the rows.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            embedding: self.embedding.select(Axis(0), rows),
            values: self.values.select(Axis(0), rows),
        }
    }

    fn of_kind(&self, kind: AdapterFeatures) -> Array2<f32> {
        match kind {
            AdapterFeatures::Embedding => self.embedding.clone(),
            AdapterFeatures::Values => self.values.clone(),
            AdapterFeatures::Both => {
                concatenate(Axis(1), &[self.embedding.view(), self.values.view()])
                    .unwrap_or_else(|_| self.embedding.clone())
            }
        }
    }
}

/// Fits an adapter to a support set, choosing among `kinds` by the support set alone.
///
/// `reference` holds features of unlabelled series of the same place, whose spread standardises; the
/// support itself will do. With fewer than three examples of some class there is nothing to judge by, and
/// the last kind is taken.
#[must_use]
pub fn adapt(
    support: &Features,
    classes: &[usize],
    class_count: usize,
    reference: &Features,
    kinds: &[AdapterFeatures],
) -> Adapter {
    let fit = |&features: &AdapterFeatures| {
        let (x, r) = (support.of_kind(features), reference.of_kind(features));
        Adapter { features, head: Ridge::fit(x.view(), classes, class_count, r.view()) }
    };
    let examples = |c: usize| classes.iter().filter(|&&k| k == c).count();
    let fewest = (0..class_count).map(examples).filter(|&n| n > 0).min().unwrap_or(0);
    let last = kinds.last().copied().unwrap_or(AdapterFeatures::Both);
    if fewest < FEWEST_TO_JUDGE {
        return fit(&last);
    }
    let best = kinds.iter().map(fit).max_by(|a, b| a.head.left_out.total_cmp(&b.head.left_out));
    best.unwrap_or_else(|| fit(&last))
}

/// Values at even dates of the window, linear between observations and held at the ends; red and near
/// infrared, where there, add their normalised difference.
fn resampled(samples: &[&Sample], spec: &BatchSpec) -> Array2<f32> {
    let bands = spec.bands.len();
    let near = |nm: f32| {
        let distance = |b: &usize| (spec.bands[*b].centre_nm - nm).abs();
        (0..bands).min_by(|a, b| distance(a).total_cmp(&distance(b))).filter(|b| distance(b) < 60.0)
    };
    let index = near(660.0).zip(near(840.0));
    let width = bands + usize::from(index.is_some());
    let mut out = Array2::zeros((samples.len(), RESAMPLED_DATES * width));
    let step = (spec.end_day - spec.first_day) as f32 / RESAMPLED_DATES as f32;
    for (sample, mut row) in samples.iter().zip(out.rows_mut()) {
        for b in 0..bands {
            let seen: Vec<(f32, f32)> = (0..sample.len())
                .map(|d| (sample.days[d] as f32, sample.date(d, bands)[b]))
                .filter(|s| s.1.is_finite())
                .collect();
            for t in 0..RESAMPLED_DATES {
                let day = spec.first_day as f32 + (t as f32 + 0.5) * step;
                row[t * width + b] = between(&seen, day).unwrap_or(spec.scale[b].0);
            }
        }
        if let Some((red, nir)) = index {
            for t in 0..RESAMPLED_DATES {
                let (red, nir) = (row[t * width + red], row[t * width + nir]);
                row[t * width + bands] = (nir - red) / (nir + red).max(1e-3);
            }
        }
    }
    out
}

fn between(seen: &[(f32, f32)], day: f32) -> Option<f32> {
    let after = seen.partition_point(|s| s.0 < day);
    match (after.checked_sub(1).map(|i| seen[i]), seen.get(after)) {
        (Some(a), Some(&b)) => Some(a.1 + (b.1 - a.1) * (day - a.0) / (b.0 - a.0).max(1e-6)),
        (Some(a), None) => Some(a.1),
        (None, Some(&b)) => Some(b.1),
        (None, None) => None,
    }
}
