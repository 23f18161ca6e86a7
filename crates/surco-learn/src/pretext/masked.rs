//! The masked pretext: dates, patches or sensors are hidden, and the encoder says what they showed.
//!
//! Half of the samples that lose dates lose them here and there, half lose one stretch of the season; a share of
//! all also keep only some of their bands, any number of them, so that the encoder learns to do with what a sensor
//! has. A hidden token keeps its date and nothing else, which is exactly what a query is when the encoder
//! is used.
//!
//! # Source
//! Devlin et al. 2019 (BERT); hidden dates as in Dumeur et al. 2024 (U-BARN); structured masks as in
//! Tseng et al. 2023 (Presto). Loss: pseudo-Huber, √(1 + e²) − 1, on normalised reflectance.
//!
//! Input: [`Batch`] without queries. Output: mean loss over hidden observed values.

use burn::tensor::{Device, Tensor};
use ndarray::Array2;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use surco_data::{BandKind, Batch};
use surco_kernels::LossKind;
use surco_net::{Encoder, EncoderInput, NESTED_WIDTHS, table};

use super::{check_weights, draw_by_weight};
use crate::LearnError;
use crate::shuffle::shuffle;

/// A batch with values hidden, and what they were.
#[derive(Clone, Debug)]
pub struct Masked {
    /// What the encoder sees.
    pub batch: Batch,
    /// What it should say, `[n, c]`.
    pub target_nc: Array2<f32>,
    /// How far a value was trusted if it is hidden, over the pixels of its patch; 0 if it is not hidden.
    pub weight_nc: Array2<f32>,
    /// Number of values of a token that the answer is read from; all if absent.
    pub prefix: Option<usize>,
}

/// What is hidden.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masks {
    /// Share of dates or patches that a sample loses.
    pub share: f64,
    /// Share of samples that lose all but a random few of their bands.
    pub band_dropout: f64,
    /// What a sample loses its share of.
    pub of: MaskWeights,
}

/// What a sample loses a share of, each with its chance relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskWeights {
    /// Dates, in all patches: half of the times here and there, half one stretch.
    #[serde(default)]
    pub dates: f64,
    /// Patches, on all dates; dates where there is one patch alone.
    #[serde(default)]
    pub space: f64,
    /// All that one sensor saw: one kind of band, on all dates; dates where there is one kind alone.
    #[serde(default)]
    pub sensors: f64,
}

impl Default for MaskWeights {
    fn default() -> Self {
        Self { dates: 1.0, space: 0.0, sensors: 0.0 }
    }
}

/// What a sample loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Structure {
    Dates,
    Space,
    Sensors,
}

impl MaskWeights {
    fn drawn(self) -> Vec<(Structure, f64)> {
        let all = [
            (Structure::Dates, self.dates),
            (Structure::Space, self.space),
            (Structure::Sensors, self.sensors),
        ];
        all.into_iter().filter(|(_, weight)| *weight > 0.0).collect()
    }

    /// Refuses weights that draw nothing or are no weights.
    pub(crate) fn check(self) -> Result<(), LearnError> {
        check_weights("masks", &[self.dates, self.space, self.sensors])
    }
}

/// Hides about `share` of the dates of each sample, at least one and never all of several, in all of its
/// patches, and bands of `band_dropout` of the samples; see [`Masks::hide`].
#[must_use]
pub fn hide(batch: &Batch, share: f64, band_dropout: f64, rng: &mut impl Rng) -> Masked {
    Masks { share, band_dropout, of: MaskWeights::default() }.hide(batch, rng)
}

impl Masks {
    /// Hides a share of each sample, at least one date or patch and never all of several. Half of the
    /// batches are read from the beginning of tokens alone, so that it is an embedding itself.
    #[must_use]
    pub fn hide(&self, batch: &Batch, rng: &mut impl Rng) -> Masked {
        let mut masked = Masked {
            target_nc: batch.values_nc.clone(),
            weight_nc: Array2::zeros(batch.values_nc.dim()),
            prefix: prefix(rng),
            batch: batch.clone(),
        };
        let structures = self.of.drawn();
        for sample in 0..batch.len() {
            let dates = batch.seen_slots(sample);
            if dates.is_empty() {
                continue;
            }
            let hidden = hidden_bands(batch.bands.len(), self.band_dropout, rng);
            masked.batch.hide_bands(sample, &hidden);
            match draw_by_weight(&structures, rng) {
                Some(Structure::Space) if batch.samples[sample].patches != [1, 1] => {
                    let rows = hidden_patches(batch, sample, self.share, rng);
                    masked.lose_rows(batch, &rows);
                }
                Some(Structure::Sensors) if kinds_of(batch, sample).len() > 1 => {
                    let kinds = kinds_of(batch, sample);
                    masked.lose_kind(batch, sample, kinds[rng.random_range(0..kinds.len())]);
                }
                _ => {
                    let hidden = hidden_dates(&dates, self.share, rng);
                    let rows: Vec<usize> = batch.rows_at(sample, &hidden).collect();
                    masked.lose_rows(batch, &rows);
                }
            }
        }
        // A value was weighed down by its trust; the answer is not.
        masked.target_nc.zip_mut_with(&batch.weights_nc, |value, &weight| {
            if weight > 0.0 {
                *value /= weight;
            }
        });
        masked
    }
}

impl Masked {
    /// Hides whole tokens.
    fn lose_rows(&mut self, before: &Batch, rows: &[usize]) {
        // A patch counts as much as a pixel alone, however many pixels it has.
        let share_of_pixel = 1.0 / before.patch.pixels() as f32;
        for &row in rows {
            self.weight_nc.row_mut(row).assign(&(&before.weights_nc.row(row) * share_of_pixel));
            self.batch.hide_row(row);
        }
    }

    /// Hides the bands of one kind on all dates of a sample.
    fn lose_kind(&mut self, before: &Batch, sample: usize, kind: BandKind) {
        let (pixels, rows) = (before.patch.pixels(), before.samples[sample].rows.clone());
        let bands = (0..before.bands.len()).filter(|&b| before.bands[b].kind == kind);
        let bands: Vec<usize> = bands.collect();
        for &band in &bands {
            let part = ndarray::s![rows.clone(), band * pixels..(band + 1) * pixels];
            let weights = &before.weights_nc.slice(part) * (1.0 / pixels as f32);
            self.weight_nc.slice_mut(part).assign(&weights);
        }
        self.batch.hide_bands(sample, &bands);
    }
}

/// Kinds of bands of which a sample shows anything.
fn kinds_of(batch: &Batch, sample: usize) -> Vec<BandKind> {
    let (pixels, rows) = (batch.patch.pixels(), batch.samples[sample].rows.clone());
    let mut kinds = Vec::new();
    for (band, spectral) in batch.bands.iter().enumerate() {
        let part = ndarray::s![rows.clone(), band * pixels..(band + 1) * pixels];
        let is_seen = batch.weights_nc.slice(part).iter().any(|&w| w > 0.0);
        if is_seen && !kinds.contains(&spectral.kind) {
            kinds.push(spectral.kind);
        }
    }
    kinds
}

/// Rows of about `share` of a sample's patches, at least one and never all.
fn hidden_patches(batch: &Batch, sample: usize, share: f64, rng: &mut impl Rng) -> Vec<usize> {
    let before: usize = batch.samples[..sample].iter().map(|s| s.patches[0] * s.patches[1]).sum();
    let count = batch.samples[sample].patches[0] * batch.samples[sample].patches[1];
    let lost = ((count as f64 * share).round() as usize).clamp(1, count - 1);
    let mut left: Vec<usize> = (0..count).collect();
    let lost: Vec<usize> =
        (0..lost).map(|_| left.swap_remove(rng.random_range(0..left.len()))).collect();
    let mut first = batch.samples[sample].rows.start;
    let mut rows = Vec::new();
    for (patch, &length) in batch.lengths[before..before + count].iter().enumerate() {
        let seen = |&row: &usize| batch.weights_nc.row(row).iter().any(|&w| w > 0.0);
        if lost.contains(&patch) {
            rows.extend((first..first + length).filter(seen));
        }
        first += length;
    }
    rows
}

fn prefix(rng: &mut impl Rng) -> Option<usize> {
    let drawn = rng.random_range(0..NESTED_WIDTHS.len());
    rng.random_bool(0.5).then_some(NESTED_WIDTHS[drawn])
}

/// The bands one sample does without: none, or with chance `dropout` all but a random few.
pub(crate) fn hidden_bands(bands: usize, dropout: f64, rng: &mut impl Rng) -> Vec<usize> {
    if bands < 2 || !rng.random_bool(dropout) {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..bands).collect();
    shuffle(&mut order, rng);
    order.split_off(rng.random_range(1..bands))
}

/// About `share` of the dates, at least one and never all of several.
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
    let input = EncoderInput::new(&masked.batch, device);
    let said_nc = encoder.predict(&input, masked.prefix);
    let (target_nc, weight_nc) =
        (table(&masked.target_nc, device), table(&masked.weight_nc, device));
    let loss = surco_kernels::masked_loss(said_nc, target_nc, weight_nc, LossKind::PseudoHuber);
    (loss, f64::from(masked.weight_nc.sum()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use surco_data::{BatchSpec, Normalisation, PatchGrid, Sample, SpectralBand};

    fn spec() -> BatchSpec {
        let bands = [665.0, 842.0, 1610.0].map(|nm| SpectralBand::optical(nm, 30.0));
        let norm = Normalisation::measure(&bands, &[]);
        BatchSpec { max_dates: 20, ..BatchSpec::new(&bands, &norm, (0, 365)) }
    }

    fn sample(dates: i32) -> Sample {
        let values = (0..3 * dates).map(|i| i as f32 / 100.0).collect();
        Sample::series((0..dates).map(|d| d * 30).collect(), values, true)
    }

    fn batch() -> Batch {
        let samples = [sample(10), sample(2), sample(1), sample(0)];
        Batch::new(&samples.iter().collect::<Vec<_>>(), &spec())
    }

    /// What is hidden is gone from the input, was really observed, and something is left to go by.
    #[test]
    fn hidden_dates_are_gone_and_never_all_of_several() {
        let batch = batch();
        let mut prefixes = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let masked = hide(&batch, 0.4, 0.5, &mut ChaCha8Rng::seed_from_u64(seed));
            prefixes.insert(masked.prefix);
            for ((at, &weight), &seen) in
                masked.weight_nc.indexed_iter().zip(&masked.batch.weights_nc)
            {
                assert!(weight == 0.0 || (seen == 0.0 && batch.weights_nc[at] == 1.0));
            }
            let hidden = |i: usize| {
                let rows = batch.samples[i].rows.clone();
                masked.weight_nc.slice(ndarray::s![rows, 0]).sum()
            };
            assert_eq!((hidden(0), hidden(1), hidden(2), hidden(3)), (4.0, 1.0, 1.0, 0.0));
        }
        assert_eq!(prefixes.len(), 1 + NESTED_WIDTHS.len(), "{prefixes:?}");
    }

    /// Eight dates of 4 × 4 pixels at patch 2, values trusted by half.
    #[test]
    fn a_date_is_hidden_in_all_patches_of_a_window() {
        let length = 8 * 3 * 16;
        let values = (0..length).map(|i| (i as f32 * 0.1).sin()).collect();
        let series = Sample::series((0..8).map(|d| d * 30).collect(), values, true);
        let window = Sample { size_px: [4, 4], weights: vec![0.5; length], ..series };
        let patch = PatchGrid { side_px: 2, pixel_m: 10.0 };
        let batch = Batch::new(&[&window], &BatchSpec { patch, ..spec() });
        let masked = hide(&batch, 0.25, 0.0, &mut ChaCha8Rng::seed_from_u64(1));
        let gone = |row: usize| masked.batch.weights_nc.row(row).sum() == 0.0;
        let slots: Vec<usize> =
            (0..8).filter(|slot| batch.rows_at(0, &[*slot]).all(gone)).collect();
        assert_eq!(slots.len(), 2);
        assert_eq!((0..batch.tokens()).filter(|&row| gone(row)).count(), 2 * 4);
        let row = batch.rows_at(0, &slots).next().unwrap();
        let (mean, deviation) = spec().scale[0];
        let first = window.date(slots[0], 3)[0];
        assert!((masked.target_nc[[row, 0]] - (first - mean) / deviation).abs() < 1e-5);
        assert!((masked.weight_nc[[row, 0]] - 0.5 / 4.0).abs() < 1e-6);
    }

    /// 4 × 4 pixels at patch 2 are four patches; half of them are gone on every date, the others on none.
    #[test]
    fn patches_are_hidden_on_all_dates_and_never_all_of_them() {
        let values = (0..8 * 3 * 16).map(|i| (i as f32 * 0.1).sin()).collect();
        let series = Sample::series((0..8).map(|d| d * 30).collect(), values, true);
        let window = Sample { size_px: [4, 4], ..series };
        let patch = PatchGrid { side_px: 2, pixel_m: 10.0 };
        let batch_of_series = self::batch;
        let batch = Batch::new(&[&window, &window], &BatchSpec { patch, ..spec() });
        let of = MaskWeights { dates: 0.0, space: 1.0, sensors: 0.0 };
        let masks = Masks { share: 0.5, band_dropout: 0.0, of };
        let masked = masks.hide(&batch, &mut ChaCha8Rng::seed_from_u64(2));
        let gone = |row: usize| masked.batch.weights_nc.row(row).sum() == 0.0;
        let by_patch: Vec<usize> =
            (0..8).map(|p| (8 * p..8 * p + 8).filter(|&row| gone(row)).count()).collect();
        assert!(by_patch.iter().all(|&count| count == 0 || count == 8), "{by_patch:?}");
        assert_eq!(by_patch[..4].iter().sum::<usize>(), 16);
        assert_eq!(by_patch[4..].iter().sum::<usize>(), 16);
        // Values of a hidden patch of four pixels weigh as one pixel.
        assert_eq!(masked.weight_nc.sum(), 32.0 * 3.0);
        let alone = masks.hide(&batch_of_series(), &mut ChaCha8Rng::seed_from_u64(2));
        assert!(alone.weight_nc.sum() > 0.0, "a series alone loses dates");
    }

    /// Light and radar on the same two dates: one of them is gone on both, and is what is asked for.
    #[test]
    fn all_that_one_sensor_saw_is_hidden() {
        let radar = SpectralBand { kind: BandKind::RadarCo, ..SpectralBand::optical(5.5e7, 1e6) };
        let bands = [SpectralBand::optical(665.0, 30.0), radar];
        let norm = Normalisation::measure(&bands, &[]);
        let sample = Sample::series(vec![3, 9], vec![0.1, -12.0, 0.2, -13.0], true);
        let batch = Batch::new(&[&sample], &BatchSpec::new(&bands, &norm, (0, 365)));
        let of = MaskWeights { dates: 0.0, space: 0.0, sensors: 1.0 };
        let masks = Masks { share: 0.5, band_dropout: 0.0, of };
        let mut lost = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let masked = masks.hide(&batch, &mut ChaCha8Rng::seed_from_u64(seed));
            let band = usize::from(masked.weight_nc[[0, 1]] > 0.0);
            lost.insert(band);
            for row in 0..2 {
                assert_eq!(masked.batch.weights_nc[[row, band]], 0.0);
                assert_eq!(masked.batch.weights_nc[[row, 1 - band]], 1.0);
                assert_eq!(masked.weight_nc[[row, band]], 1.0);
                assert_eq!(masked.weight_nc[[row, 1 - band]], 0.0);
            }
        }
        assert_eq!(lost.len(), 2, "either sensor");
    }

    /// An encoder that has nothing to say is not blamed for anything.
    #[test]
    fn nothing_hidden_costs_nothing() {
        let device = Device::flex();
        let encoder = surco_net::fresh(surco_net::Size::Nano, 1, &device);
        let batch = batch();
        let masked = Masked {
            target_nc: batch.values_nc.clone(),
            weight_nc: Array2::zeros(batch.values_nc.dim()),
            prefix: None,
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
        for prefix in [None, Some(32)] {
            let masked = hide(&batch(), 0.4, 0.5, &mut ChaCha8Rng::seed_from_u64(3));
            let masked = Masked { prefix, ..masked };
            let said: Vec<f32> = encoder
                .predict(&EncoderInput::new(&masked.batch, &device), prefix)
                .into_data()
                .iter::<f32>()
                .collect();
            let terms = said.iter().zip(&masked.target_nc).zip(&masked.weight_nc);
            let (sum, weight) = terms.fold((0.0, 0.0), |(sum, total), ((p, t), &w)| {
                let error = f64::from(p - t);
                (sum + f64::from(w) * ((1.0 + error * error).sqrt() - 1.0), total + f64::from(w))
            });
            let (loss, counted) = masked_loss(&encoder, &masked, &device);
            assert_eq!(counted, weight);
            assert!((f64::from(loss.into_scalar::<f32>()) - sum / weight).abs() < 1e-5);
        }
    }
}
