//! Adaptation: from a few labels to a task.
//!
//! Three sets of features compete: the encoder's embedding, the values themselves resampled to even
//! dates, and both. A ridge head is fitted to each, and the one that best foretells support examples
//! left out is kept. Nothing but the support set decides.

use burn::tensor::Device;
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serde::{Deserialize, Serialize};
use surco_data::{BatchSpec, Sample};
use surco_net::{Model, embed};

use crate::Ridge;

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
    const ALL: [Self; 3] = [Self::Embedding, Self::Values, Self::Both];
}

/// What adaptation adds to a frozen encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Features it reads.
    pub features: AdapterFeatures,
    /// Its head.
    pub head: Ridge,
}

impl Adapter {
    /// Probabilities `[n, class]` of series.
    #[must_use]
    pub fn predict(
        &self,
        model: &Model,
        samples: &[&Sample],
        spec: &BatchSpec,
        device: &Device,
    ) -> Array2<f32> {
        self.head.predict(features(self.features, model, samples, spec, device).view())
    }
}

/// The features of one kind, `[n, width]`.
#[must_use]
pub fn features(
    kind: AdapterFeatures,
    model: &Model,
    samples: &[&Sample],
    spec: &BatchSpec,
    device: &Device,
) -> Array2<f32> {
    let embedding = || embed(model, samples, spec, device);
    let values = || resampled(samples, spec);
    match kind {
        AdapterFeatures::Embedding => embedding(),
        AdapterFeatures::Values => values(),
        AdapterFeatures::Both => beside(&embedding(), &values()),
    }
}

fn beside(a: &Array2<f32>, b: &Array2<f32>) -> Array2<f32> {
    concatenate(Axis(1), &[a.view(), b.view()]).unwrap_or_else(|_| a.clone())
}

/// Fits an adapter to a support set. `reference` holds unlabelled series of the same place, whose spread
/// standardises the features; the support itself will do.
#[must_use]
pub fn adapt(
    model: &Model,
    support: &[&Sample],
    classes: &[usize],
    class_count: usize,
    reference: &[&Sample],
    spec: &BatchSpec,
    device: &Device,
) -> Adapter {
    let parts =
        |samples: &[&Sample]| (embed(model, samples, spec, device), resampled(samples, spec));
    fit_best(&parts(support), classes, class_count, &parts(reference))
}

/// Chooses among the sets of features by the support set alone.
pub(crate) fn fit_best(
    support: &(Array2<f32>, Array2<f32>),
    classes: &[usize],
    class_count: usize,
    reference: &(Array2<f32>, Array2<f32>),
) -> Adapter {
    let pick = |parts: &(Array2<f32>, Array2<f32>), kind| match kind {
        AdapterFeatures::Embedding => parts.0.clone(),
        AdapterFeatures::Values => parts.1.clone(),
        AdapterFeatures::Both => beside(&parts.0, &parts.1),
    };
    let mut fitted: Vec<Adapter> = AdapterFeatures::ALL
        .into_iter()
        .map(|features| {
            let (x, r) = (pick(support, features), pick(reference, features));
            Adapter { features, head: fit(x.view(), classes, class_count, r.view()) }
        })
        .collect();
    // One example a class leaves nothing to judge by: both sets of features then.
    let single = (0..class_count).all(|c| classes.iter().filter(|&&k| k == c).count() <= 1);
    let best = if single {
        2
    } else {
        (0..3)
            .max_by(|&a, &b| fitted[a].head.left_out.total_cmp(&fitted[b].head.left_out))
            .unwrap_or(2)
    };
    fitted.swap_remove(best)
}

fn fit(x: ArrayView2<'_, f32>, y: &[usize], count: usize, r: ArrayView2<'_, f32>) -> Ridge {
    Ridge::fit(x, y, count, r)
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
