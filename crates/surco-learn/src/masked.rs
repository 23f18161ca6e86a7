//! The masked pretext: whole dates are hidden, and the encoder says what they showed.
//!
//! Half of the series lose dates here and there, half lose one stretch of the season; one in four also
//! loses a few bands on every date, so that the encoder learns to do without. A hidden token keeps its
//! date and nothing else, which is exactly what a query is when the encoder is used.
//!
//! # Source
//! Devlin et al. 2019 (BERT); hidden dates as in Dumeur et al. 2024 (U-BARN); structured masks as in
//! Tseng et al. 2023 (Presto). Loss: pseudo-Huber, √(1 + e²) − 1, on normalised reflectance.
//!
//! Input: [`Batch`] without queries. Output: mean loss over hidden observed values.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array3, s};
use rand::{Rng, RngExt};
use surco_data::Batch;
use surco_net::{Encoder, EncoderInput};

/// A batch with values hidden, and what they were.
#[derive(Clone, Debug)]
pub struct Masked {
    /// What the encoder sees.
    pub batch: Batch,
    /// What it should say, `[n, t, b]`.
    pub target_ntb: Array3<f32>,
    /// 1 where a value was observed and is hidden.
    pub weight_ntb: Array3<f32>,
}

/// Hides about `share` of the dates of each series, at least one and never all of several.
#[must_use]
pub fn hide(batch: &Batch, share: f64, rng: &mut impl Rng) -> Masked {
    let mut masked = Masked {
        target_ntb: batch.values_ntb.clone(),
        weight_ntb: Array3::zeros(batch.values_ntb.dim()),
        batch: batch.clone(),
    };
    let bands = batch.bands.len();
    for i in 0..batch.len() {
        let dates: Vec<usize> = (0..batch.valid_nt.ncols())
            .filter(|&j| batch.seen_ntb.slice(s![i, j, ..]).iter().any(|&v| v > 0.0))
            .collect();
        if dates.is_empty() {
            continue;
        }
        if rng.random_bool(0.25) {
            for b in (0..bands).filter(|_| bands > 1) {
                if rng.random_bool(0.4) {
                    masked.batch.seen_ntb.slice_mut(s![i, .., b]).fill(0.0);
                    masked.batch.values_ntb.slice_mut(s![i, .., b]).fill(0.0);
                }
            }
        }
        for j in hidden_dates(&dates, share, rng) {
            masked.weight_ntb.slice_mut(s![i, j, ..]).assign(&batch.seen_ntb.slice(s![i, j, ..]));
            masked.batch.seen_ntb.slice_mut(s![i, j, ..]).fill(0.0);
            masked.batch.values_ntb.slice_mut(s![i, j, ..]).fill(0.0);
        }
    }
    masked
}

fn hidden_dates(dates: &[usize], share: f64, rng: &mut impl Rng) -> Vec<usize> {
    let most = dates.len().saturating_sub(1).max(1);
    let count = ((dates.len() as f64 * share).round() as usize).clamp(1, most);
    if rng.random_bool(0.5) {
        let start = rng.random_range(0..=dates.len() - count);
        return dates[start..start + count].to_vec();
    }
    let mut left = dates.to_vec();
    (0..count).map(|_| left.swap_remove(rng.random_range(0..left.len()))).collect()
}

/// The loss of an encoder on a masked batch, one number, and the weight it is a mean over.
#[must_use]
pub fn masked_loss(encoder: &Encoder, masked: &Masked, device: &Device) -> (Tensor<1>, f64) {
    let cube = |a: &Array3<f32>| {
        let (n, t, b) = a.dim();
        Tensor::<3>::from_data(TensorData::new(a.iter().copied().collect(), [n, t, b]), device)
    };
    let input = EncoderInput::new(&masked.batch, device);
    let error = encoder.predict(&input) - cube(&masked.target_ntb);
    let loss = (error.square() + 1.0).sqrt() - 1.0;
    let weight = f64::from(masked.weight_ntb.sum());
    ((loss * cube(&masked.weight_ntb)).sum() / weight.max(1.0), weight)
}
