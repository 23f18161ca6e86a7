//! The masked pretext: whole dates are hidden, and the encoder says what they showed.
//!
//! Half of the series lose dates here and there, half lose one stretch of the season; a share of them also
//! keep only some of their bands, any number of them, so that the encoder learns to do with what a sensor
//! has. A hidden token keeps its
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

/// Hides about `share` of the dates of each series, at least one and never all of several, and bands of
/// `band_dropout` of the series.
#[must_use]
pub fn hide(batch: &Batch, share: f64, band_dropout: f64, rng: &mut impl Rng) -> Masked {
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
        let hidden = hidden_bands(bands, band_dropout, rng);
        masked.batch.hide_bands(i, &hidden);
        for j in hidden_dates(&dates, share, rng) {
            masked.weight_ntb.slice_mut(s![i, j, ..]).assign(&batch.seen_ntb.slice(s![i, j, ..]));
            masked.batch.seen_ntb.slice_mut(s![i, j, ..]).fill(0.0);
            masked.batch.values_ntb.slice_mut(s![i, j, ..]).fill(0.0);
        }
    }
    masked
}

/// The bands one series does without: none, or with chance `dropout` all but a random few.
pub(crate) fn hidden_bands(bands: usize, dropout: f64, rng: &mut impl Rng) -> Vec<usize> {
    if bands < 2 || !rng.random_bool(dropout) {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..bands).collect();
    for i in (1..bands).rev() {
        order.swap(i, rng.random_range(0..=i));
    }
    order.split_off(rng.random_range(1..bands))
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use surco_data::{BatchSpec, Sample, SpectralBand};

    fn batch() -> Batch {
        let band = |centre_nm| SpectralBand { centre_nm, width_nm: 30.0 };
        let spec = BatchSpec {
            bands: vec![band(665.0), band(842.0), band(1610.0)],
            scale: vec![(0.2, 0.1); 3],
            first_day: 0,
            end_day: 365,
            max_dates: 20,
            queries: None,
        };
        let sample = |n: i32| Sample {
            days: (0..n).map(|d| d * 30).collect(),
            values: (0..3 * n).map(|i| i as f32 / 100.0).collect(),
            south: true,
        };
        let samples = [sample(10), sample(2), sample(1), sample(0)];
        Batch::new(&samples.iter().collect::<Vec<_>>(), &spec)
    }

    /// What is hidden is gone from the input, was really observed, and something is left to go by.
    #[test]
    fn hidden_dates_are_gone_and_never_all_of_several() {
        let batch = batch();
        for seed in 0..50 {
            let masked = hide(&batch, 0.4, 0.5, &mut ChaCha8Rng::seed_from_u64(seed));
            for ((at, &weight), &seen) in
                masked.weight_ntb.indexed_iter().zip(&masked.batch.seen_ntb)
            {
                assert!(weight == 0.0 || (seen == 0.0 && batch.seen_ntb[at] == 1.0));
            }
            let hidden = |i: usize| masked.weight_ntb.slice(s![i, .., 0]).sum();
            assert_eq!((hidden(0), hidden(1), hidden(2), hidden(3)), (4.0, 1.0, 1.0, 0.0));
        }
    }

    /// Worked by hand: an encoder whose prediction is known (all weights of the head zero but its bias)
    /// would give √(1 + e²) − 1; here the loss of a batch with nothing hidden must be exactly zero.
    #[test]
    fn nothing_hidden_costs_nothing() {
        let device = Device::flex();
        let encoder = surco_net::fresh(surco_net::Size::Nano, 1, &device);
        let batch = batch();
        let masked = Masked {
            target_ntb: batch.values_ntb.clone(),
            weight_ntb: Array3::zeros(batch.values_ntb.dim()),
            batch,
        };
        let (loss, weight) = masked_loss(&encoder, &masked, &device);
        assert_eq!((loss.into_scalar::<f32>(), weight), (0.0, 0.0));
    }

    /// The loss is the weighted mean of √(1 + e²) − 1 over hidden values, recomputed here in f64.
    #[test]
    fn the_loss_is_the_mean_over_hidden_values() {
        let device = Device::flex();
        let encoder = surco_net::fresh(surco_net::Size::Nano, 1, &device);
        let masked = hide(&batch(), 0.4, 0.5, &mut ChaCha8Rng::seed_from_u64(3));
        let said: Vec<f32> = encoder
            .predict(&EncoderInput::new(&masked.batch, &device))
            .into_data()
            .iter::<f32>()
            .collect();
        let terms = said.iter().zip(&masked.target_ntb).zip(&masked.weight_ntb);
        let (sum, weight) = terms.fold((0.0, 0.0), |(sum, total), ((p, t), &w)| {
            let error = f64::from(p - t);
            (sum + f64::from(w) * ((1.0 + error * error).sqrt() - 1.0), total + f64::from(w))
        });
        let (loss, counted) = masked_loss(&encoder, &masked, &device);
        assert_eq!(counted, weight);
        assert!((f64::from(loss.into_scalar::<f32>()) - sum / weight).abs() < 1e-5);
    }
}
