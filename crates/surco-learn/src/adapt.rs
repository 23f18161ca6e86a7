//! Adaptation: from a few labels to a task.
//!
//! Three experts read the features of a series, and their probabilities are multiplied: labels spread over a graph of
//! what the encoder finds alike, labels spread over a graph of what the values show to be alike, and a ridge head over
//! both. Unlabelled series of the same place and season, which cost nothing, give the graphs their nodes. How sharp the
//! product is, is chosen by support examples left out; nothing but the support set decides.
//!
//! Weights of the backbone do not change: an adapter is its experts.

use std::collections::HashMap;

use burn::tensor::Device;
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use serde::{Deserialize, Serialize};
use surco_data::{BatchSpec, Sample};
use surco_net::{Model, embed};

use crate::Ridge;
use crate::axes::Axes;
use crate::propagate::{Spread, stacked};
use crate::ridge::FEWEST_TO_JUDGE;
use crate::rows::in_chunks;

/// Most series without labels that are worth looking at.
pub const MOST_UNLABELLED: usize = 1600;

/// Most of them that an adapter keeps, which should stay small.
const KEPT: usize = 408;

/// Even dates the values are resampled to.
const RESAMPLED_DATES: usize = 24;

/// Principal axes kept of each set of features.
pub(crate) const AXES: usize = 20;

/// Taken into each expert's probabilities, so that none alone can rule a class out.
const DOUBT: f32 = 1e-3;

/// Sharpness of the product tried.
const SHARPNESS: [f32; 8] = [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// How loud the head is beside an expert that spreads labels, for one label a class; it grows as the root of their
/// number, up to [`LOUDEST`]. Not chosen by examples left out: those flatter the head, since pixels of one parcel are
/// alike.
const LOUDNESS: f32 = 0.4;

/// The loudest the head becomes.
const LOUDEST: f32 = 1.5;

/// Sharpness where some class has too few examples for one to be left out.
const UNJUDGED: f32 = 2.0;

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
    /// Whether the embedding is read, and whether the values are.
    pub(crate) fn sets(self) -> [bool; 2] {
        [self != Self::Values, self != Self::Embedding]
    }
}

/// What adaptation adds to a frozen encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Features it reads.
    pub features: AdapterFeatures,
    embedding: Option<Expert>,
    values: Option<Expert>,
    head: Ridge,
    /// What each expert's logits are multiplied by, the head's last, so that none shouts louder than another.
    scales: Vec<f32>,
    sharpness: f32,
}

/// Labels spread over what one set of features finds alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expert {
    axes: Axes,
    spread: Spread,
}

impl Adapter {
    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.head.classes()
    }

    /// What does not fit together in an adapter that was read, if anything.
    #[must_use]
    pub fn flaw(&self) -> Option<&'static str> {
        if [self.embedding.is_some(), self.values.is_some()] != self.features.sets() {
            return Some("its experts are not those of its features");
        }
        let mut width = 0;
        for expert in self.experts() {
            let Expert { axes, spread } = expert;
            if !axes.is_whole() || !spread.is_whole() || axes.kept() != spread.width() {
                return Some("an expert's parts differ in width");
            }
            if spread.classes() != self.classes() {
                return Some("its experts differ in classes");
            }
            width += axes.kept();
        }
        if self.head.width() != width || !self.head.is_whole() {
            return Some("its head has another width");
        }
        let scaled = self.scales.len() == self.experts().count() + 1;
        (!scaled).then_some("its experts are not all scaled")
    }

    /// Whether it can read these: features of other bands than it was fitted to have another width.
    #[must_use]
    pub fn reads(&self, features: &Features) -> bool {
        let fits = |expert: &Option<Expert>, features: &Array2<f32>| {
            expert.as_ref().is_none_or(|e| e.axes.width() == features.ncols())
        };
        fits(&self.embedding, &features.embedding) && fits(&self.values, &features.values)
    }

    /// Makes probabilities softer above a temperature of 1, sharper below.
    #[must_use]
    pub fn tempered(self, temperature: f32) -> Self {
        Self { sharpness: self.sharpness / temperature, ..self }
    }

    fn experts(&self) -> impl Iterator<Item = &Expert> {
        self.embedding.iter().chain(&self.values)
    }

    /// Probabilities `[n, class]`.
    #[must_use]
    pub fn predict(&self, features: &Features) -> Array2<f32> {
        let sets = [(&self.embedding, &features.embedding), (&self.values, &features.values)];
        in_chunks(features.len(), self.classes(), |rows| {
            let (mut said, mut turned) = (Vec::new(), Vec::new());
            for (expert, set) in sets {
                if let Some(Expert { axes, spread }) = expert {
                    let z = axes.project(set.slice(s![rows.clone(), ..]));
                    said.push(spread.predict(z.view()));
                    turned.push(z);
                }
            }
            said.push(self.head.predict(side_by_side(&turned).view()));
            product(&said, &self.scales, self.sharpness)
        })
    }
}

pub(crate) fn side_by_side(parts: &[Array2<f32>]) -> Array2<f32> {
    let views: Vec<ArrayView2<'_, f32>> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(1), &views).unwrap_or_else(|_| Array2::zeros((0, 0)))
}

/// Logarithms of probabilities, row means 0.
fn logits(said: &Array2<f32>) -> Array2<f32> {
    let mut out = said.mapv(|p| (p + DOUBT).ln());
    for mut row in out.rows_mut() {
        let mean = row.sum() / row.len().max(1) as f32;
        row -= mean;
    }
    out
}

/// What brings an expert's logits to a mean square of 1.
fn scale(said: &Array2<f32>) -> f32 {
    let logits = logits(said);
    let mean_square = logits.iter().map(|v| v * v).sum::<f32>() / logits.len().max(1) as f32;
    1.0 / mean_square.sqrt().max(1e-3)
}

/// The experts' probabilities multiplied, each as loud as its scale says, sharpened and brought to a sum of 1.
fn product(said: &[Array2<f32>], scales: &[f32], sharpness: f32) -> Array2<f32> {
    let mut out = Array2::<f32>::zeros(said.first().map_or((0, 0), Array2::dim));
    let each = sharpness / said.len().max(1) as f32;
    for (said, scale) in said.iter().zip(scales) {
        out.scaled_add(each * scale, &logits(said));
    }
    for mut row in out.rows_mut() {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.mapv_inplace(|v| (v - top).exp());
        let sum = row.sum();
        row /= sum;
    }
    out
}

/// Features of series.
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
        let (grounds, of) = grounds(samples);
        let nothing = || Array2::zeros((grounds.len(), 0));
        let [reads_embedding, reads_values] = kind.sets();
        let embedding =
            if reads_embedding { embed(model, &grounds, spec, device) } else { nothing() };
        let values = if reads_values { resampled(&grounds, spec) } else { nothing() };
        Self { embedding: embedding.select(Axis(0), &of), values: values.select(Axis(0), &of) }
    }

    /// Number of series.
    fn len(&self) -> usize {
        self.embedding.nrows().max(self.values.nrows())
    }

    /// The sets of features there are: of the embedding, of the values.
    fn sets(&self) -> impl Iterator<Item = &Array2<f32>> {
        [&self.embedding, &self.values].into_iter().filter(|set| set.ncols() > 0)
    }

    /// Some of the series.
    #[must_use]
    pub fn select(&self, series: &[usize]) -> Self {
        let some = |set: &Array2<f32>| set.select(Axis(0), series);
        Self { embedding: some(&self.embedding), values: some(&self.values) }
    }
}

/// The ground of each sample, or itself where it has none, each once; and which of them each has.
fn grounds<'a>(samples: &[&'a Sample]) -> (Vec<&'a Sample>, Vec<usize>) {
    let mut grounds: Vec<&Sample> = Vec::new();
    let mut places: HashMap<*const Sample, usize> = HashMap::new();
    let mut of = Vec::with_capacity(samples.len());
    for sample in samples {
        let ground: &Sample = sample.ground.as_deref().unwrap_or(sample);
        of.push(*places.entry(ground).or_insert(grounds.len()));
        if places.len() > grounds.len() {
            grounds.push(ground);
        }
    }
    (grounds, of)
}

/// Features of series without labels of the same place and season, for as many adaptations as one likes; may be empty.
#[derive(Clone, Debug)]
pub struct Unlabelled {
    features: Features,
    /// What the rows are compared by with a support, where there are too many to keep: of the embedding and of the values.
    turned: Vec<(Axes, Array2<f32>)>,
}

impl Unlabelled {
    /// Finds what many rows are compared by.
    #[must_use]
    pub fn new(features: Features) -> Self {
        let turn = |x: &Array2<f32>| {
            let axes = Axes::fit(x.view(), AXES);
            let rows = axes.project(x.view());
            (axes, rows)
        };
        let turned = match features.len() {
            ..=KEPT => Vec::new(),
            _ => features.sets().map(turn).collect(),
        };
        Self { features, turned }
    }

    /// The rows most like some rows of the support, by the sum of the cosines of each set of features, and others spread
    /// evenly; [`KEPT`] in all.
    pub(crate) fn worth_keeping(&self, support: &Features) -> Features {
        if self.features.len() <= KEPT {
            return self.features.clone();
        }
        let mut alike = vec![0.0_f32; self.features.len()];
        for (support, (axes, rows)) in support.sets().zip(&self.turned) {
            let cosines = rows.dot(&axes.project(support.view()).t());
            for (sum, row) in alike.iter_mut().zip(cosines.rows()) {
                *sum += row.iter().copied().fold(-1.0, f32::max);
            }
        }
        let mut order: Vec<usize> = (0..alike.len()).collect();
        order.sort_by(|&a, &b| alike[b].total_cmp(&alike[a]));
        let mut others = order.split_off(KEPT / 2);
        others.sort_unstable();
        let evenly = KEPT - order.len();
        order.extend((0..evenly).map(|i| others[i * others.len() / evenly]));
        self.features.select(&order)
    }
}

/// Fits an adapter to a support set, reading `features`.
///
/// Of many unlabelled series, half of those kept are the most alike to the support, as most of the ground may be of other
/// classes and would lead labels astray, and half are spread evenly, as classes reach farther than their few examples.
#[must_use]
pub fn adapt(
    support: &Features,
    classes: &[usize],
    class_count: usize,
    unlabelled: &Unlabelled,
    features: AdapterFeatures,
) -> Adapter {
    fitted((support, classes, class_count), &unlabelled.worth_keeping(support), features)
}

/// An adapter that keeps all these series.
fn fitted(
    (support, classes, class_count): (&Features, &[usize], usize),
    unlabelled: &Features,
    features: AdapterFeatures,
) -> Adapter {
    let (mut left_out, mut rows, mut scales) = (Vec::new(), Vec::new(), Vec::new());
    let mut expert = |support: &Array2<f32>, unlabelled: &Array2<f32>| {
        let all = concatenate(Axis(0), &[support.view(), unlabelled.view()])
            .unwrap_or_else(|_| support.clone());
        let axes = Axes::fit(all.view(), AXES);
        let z = axes.project(all.view());
        rows.push(z.clone());
        let (spread, without) = Spread::over(z, classes, class_count);
        left_out.push(without);
        scales.push(scale(spread.shares()));
        Expert { axes, spread }
    };
    let [reads_embedding, reads_values] = features.sets();
    let embedding = reads_embedding.then(|| expert(&support.embedding, &unlabelled.embedding));
    let values = reads_values.then(|| expert(&support.values, &unlabelled.values));
    let rows = side_by_side(&rows);
    let labelled = rows.slice(s![..classes.len(), ..]);
    let (head, without) = Ridge::fit(labelled, classes, class_count);
    left_out.push(without);
    let loudness = LOUDNESS * (fewest(classes, class_count) as f32).sqrt();
    scales.push(loudness.min(LOUDEST) * scale(&head.predict(rows.view())));
    let sharpness = sharpness(&left_out, &scales, classes, class_count);
    Adapter { features, embedding, values, head, scales, sharpness }
}

/// The sharpness under which examples left out are likeliest.
fn sharpness(
    left_out: &[Array2<f32>],
    scales: &[f32],
    classes: &[usize],
    class_count: usize,
) -> f32 {
    let examples = |c: usize| classes.iter().filter(|&&k| k == c).count();
    if fewest(classes, class_count) < FEWEST_TO_JUDGE {
        return UNJUDGED;
    }
    let likelihood = |&sharpness: &f32| -> f32 {
        let chances = product(left_out, scales, sharpness);
        // Classes weigh alike however many examples they have.
        let each = |(i, &c): (usize, &usize)| chances[[i, c]].max(1e-9).ln() / examples(c) as f32;
        classes.iter().enumerate().map(each).sum()
    };
    let best = SHARPNESS.iter().max_by(|a, b| likelihood(a).total_cmp(&likelihood(b)));
    best.copied().unwrap_or(UNJUDGED)
}

/// Examples of the class that has fewest, of those that have any.
fn fewest(classes: &[usize], class_count: usize) -> usize {
    let examples = |c: usize| classes.iter().filter(|&&k| k == c).count();
    (0..class_count).map(examples).filter(|&n| n > 0).min().unwrap_or(0)
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
    let step = (spec.end_day - spec.first_day) as f32 / RESAMPLED_DATES as f32;
    stacked(samples.len(), RESAMPLED_DATES * width, |i, mut row| {
        let sample = samples[i];
        let mut seen = Vec::with_capacity(sample.len());
        for b in 0..bands {
            let dates =
                (0..sample.len()).map(|d| (sample.days[d] as f32, sample.date(d, bands)[b]));
            seen.clear();
            seen.extend(dates.filter(|s| s.1.is_finite()));
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
    })
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

#[cfg(test)]
mod tests;
