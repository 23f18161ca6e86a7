//! A batch on a device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{Array2, ArrayView1};
use surco_data::{Batch, PatchGrid, QueryGrid, SEASON_FEATURES, STATIC_FEATURES, SpectralBand};
use surco_kernels::{Rotary, Segments};

use crate::turns::{Place, rotary};

/// A batch on a device, ready for any size of the family.
#[derive(Clone, Debug)]
pub struct EncoderInput {
    /// What is known of each token, `[n, f]`: values and weights of its patch, its season, whether it is
    /// a question, and, where the batch has static tokens, what is known of the place.
    pub(crate) told_nf: Tensor<2>,
    pub(crate) bands: Vec<SpectralBand>,
    pub(crate) patch: PatchGrid,
    pub(crate) queries: Option<QueryGrid>,
    pub(crate) has_statics: bool,
    pub(crate) over_time: View,
    /// Absent where no sample has more than one patch.
    pub(crate) over_space: Option<SpaceView>,
    /// Whether samples of one patch stand beside samples of several.
    pub(crate) is_mixed: bool,
    pub(crate) answers: Tensor<1, Int>,
    pub(crate) patches: usize,
}

/// Which tokens attend to each other, and where they are.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) segments: Segments,
    places: Arc<[Place]>,
    patch_m: f64,
}

impl View {
    /// Angles for heads of `pairs` pairs.
    pub(crate) fn rotary(&self, pairs: usize, device: &Device) -> Rotary {
        rotary(&self.places, pairs, self.patch_m, device)
    }
}

/// The tokens in another order, all patches of one date after each other.
#[derive(Clone, Debug)]
pub(crate) struct SpaceView {
    pub(crate) view: View,
    pub(crate) order: Tensor<1, Int>,
    pub(crate) back: Tensor<1, Int>,
}

impl EncoderInput {
    /// Brings a batch to a device: one copy of its arrays.
    #[must_use]
    pub fn new(batch: &Batch, device: &Device) -> Self {
        let patch_m = f64::from(batch.patch.pixel_m) * batch.patch.side_px as f64;
        let days: Vec<Place> = batch.days_n.iter().map(|&day| Place::Day(day)).collect();
        let over_time = View {
            segments: Segments::of_lengths(batch.lengths.iter().copied()),
            places: days.into(),
            patch_m,
        };
        let many = batch.samples.iter().any(|s| s.patches[0] * s.patches[1] > 1);
        Self {
            told_nf: told(batch, device),
            bands: batch.bands.clone(),
            patch: batch.patch,
            queries: batch.queries,
            has_statics: !batch.statics.is_empty(),
            over_space: many.then(|| over_space(batch, &over_time, device)),
            over_time,
            is_mixed: many && batch.samples.iter().any(|s| s.patches == [1, 1]),
            answers: index(batch.answers.iter().map(|&row| row as i64), device),
            patches: batch.lengths.len(),
        }
    }

    /// Number of tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.over_time.segments.tokens()
    }
}

/// Values as a tensor.
#[must_use]
pub fn table(values: &Array2<f32>, device: &Device) -> Tensor<2> {
    let (rows, columns) = values.dim();
    Tensor::from_data(TensorData::new(values.iter().copied().collect(), [rows, columns]), device)
}

pub(crate) fn index(rows: impl Iterator<Item = i64>, device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i64> = rows.collect();
    let length = rows.len();
    Tensor::from_data(TensorData::new(rows, [length]), device)
}

/// Everything that enters a token, so that one product embeds it.
fn told(batch: &Batch, device: &Device) -> Tensor<2> {
    let (n, values) = batch.values_nc.dim();
    let has_statics = !batch.statics.is_empty();
    let width = 2 * values + SEASON_FEATURES + 1 + if has_statics { STATIC_FEATURES } else { 0 };
    let mut told = vec![0.0_f32; n * width];
    let mut statics = batch.statics.iter().peekable();
    for (row, told) in told.chunks_exact_mut(width).enumerate() {
        let (value, rest) = told.split_at_mut(values);
        let (weight, rest) = rest.split_at_mut(values);
        let (season, rest) = rest.split_at_mut(SEASON_FEATURES);
        let weights = batch.weights_nc.row(row);
        let scale = scale_of(weights, batch.patch.pixels());
        for (to, from) in value.iter_mut().zip(batch.values_nc.row(row)) {
            *to = from * scale;
        }
        for (to, from) in weight.iter_mut().zip(weights) {
            *to = from * scale;
        }
        for (to, from) in season.iter_mut().zip(batch.season_ns.row(row)) {
            *to = *from;
        }
        if let Some((_, token)) = statics.next_if(|(at, _)| *at == row) {
            rest[1..].copy_from_slice(token);
        } else if scale == 0.0 {
            rest[0] = 1.0;
        }
    }
    Tensor::from_data(TensorData::new(told, [n, width]), device)
}

/// Keeps the size of the sum over a patch, whatever was seen of it; 0 if nothing was.
///
/// Bands add up like unlike things, by the root of their number; pixels of one band are nearly the same
/// and are averaged.
fn scale_of(weights: ArrayView1<'_, f32>, pixels: usize) -> f32 {
    let total: f32 = weights.sum();
    let seen = |&pixel: &usize| (pixel..weights.len()).step_by(pixels).any(|i| weights[i] > 0.0);
    let seen = (0..pixels).filter(seen).count();
    if total > 0.0 { (total * seen as f32).sqrt().recip() } else { 0.0 }
}

/// Orders the tokens of windows by date, then patch. A sample of one patch keeps its order and attends
/// over time, so that it does not depend on what else is in its batch.
fn over_space(batch: &Batch, over_time: &View, device: &Device) -> SpaceView {
    let (mut order, mut lengths, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut patches = over_time.segments.ranges();
    for sample in &batch.samples {
        let count = sample.patches[0] * sample.patches[1];
        let mut tokens: Vec<(usize, usize, usize)> = Vec::with_capacity(sample.rows.len());
        for (patch, rows) in patches.by_ref().take(count).enumerate() {
            tokens.extend(rows.map(|row| (batch.slots_n[row], patch, row)));
        }
        if count == 1 {
            lengths.push(tokens.len());
            places.extend(tokens.iter().map(|&(_, _, row)| over_time.places[row]));
        } else {
            tokens.sort_unstable();
            lengths.extend(tokens.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len));
            let cols = sample.patches[1];
            places.extend(
                tokens.iter().map(|&(_, patch, _)| {
                    Place::Patch((patch / cols) as u32, (patch % cols) as u32)
                }),
            );
        }
        order.extend(tokens.iter().map(|&(_, _, row)| row));
    }
    let mut back = vec![0_i64; order.len()];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to as i64;
    }
    let segments = Segments::of_lengths(lengths);
    SpaceView {
        view: View { segments, places: places.into(), patch_m: over_time.patch_m },
        order: index(order.iter().map(|&row| row as i64), device),
        back: index(back.into_iter(), device),
    }
}
