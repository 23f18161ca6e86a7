//! `U-BARN`'s lesson: what a date showed that was swapped for another.
//!
//! # Source
//! Dumeur et al. 2024: dates are corrupted and reconstructed, the error counts on corrupted dates alone; that a corrupted
//! date shows another's image is how its makers' code has it (`permutate_flagged_patches`). Loss: the mean of squares.

use burn::tensor::{Device, Tensor};
use ndarray::{Array2, Axis};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::S2_BANDS;
use surco_data::{Normalisation, Sample, SpectralBand};
use surco_kernels::LossKind;
use surco_net::{Policy, UBARN_SIDE_PX, UBarn, UBarnBatch, UBarnConfig, table};

use super::{Lesson, Phase, drawn_dates};
use crate::LearnError;
use crate::pretrain::{PretrainConfig, SeriesPool};
use crate::trainer::Work;

/// Micro-batches that the statistics of norms are measured over.
const MEASURED: u64 = 8;

/// Marks the random numbers they are drawn by.
const MEASURED_STREAM: u64 = 0x4D45_4153;

pub(super) struct SwappedDates<'a> {
    config: UBarnConfig,
    run: &'a PretrainConfig,
    bands: &'a [SpectralBand],
    window: (i32, i32),
}

/// Windows some of whose dates show another's image.
pub(super) struct Swapped {
    seen: UBarnBatch,
    /// What every pixel and date showed, `[n, 10]`.
    target_nb: Array2<f32>,
    /// 1 on swapped dates, else 0, `[n, 10]`.
    weight_nb: Array2<f32>,
}

impl<'a> SwappedDates<'a> {
    pub(super) fn new(run: &'a PretrainConfig, pool: &'a SeriesPool) -> Result<Self, LearnError> {
        if run.window_px < UBARN_SIDE_PX || !run.window_px.is_multiple_of(8) {
            return Err(LearnError::Config {
                key: "window_px",
                value: run.window_px.to_string(),
                remedy: format!(
                    "ubarn reads windows of {UBARN_SIDE_PX} pixels and more, in eights"
                ),
            });
        }
        let config = UBarnConfig::new(Normalisation::measure(&pool.bands, &pool.train));
        UBarnBatch::new(&[], &pool.bands, pool.window, &config)?;
        Ok(Self { config, run, bands: &pool.bands, window: pool.window })
    }

    fn read(&self, samples: &[&Sample]) -> Option<UBarnBatch> {
        UBarnBatch::new(samples, self.bands, self.window, &self.config).ok()
    }

    fn batch(&self, samples: &[&Sample], rng: &mut ChaCha8Rng) -> UBarnBatch {
        let thinned = |sample: &&Sample| {
            let dates = drawn_dates(sample.len(), self.run.max_dates, rng);
            sample.at_dates(&dates, self.bands.len())
        };
        let thinned: Vec<Sample> = samples.iter().map(thinned).collect();
        self.read(&thinned.iter().collect::<Vec<_>>())
            .expect("usable windows are of one size, and whole on all of their dates")
    }

    /// Images of a batch that are swapped: of each window about a share, at least one and never all.
    fn swapped(&self, lengths: &[usize], rng: &mut impl Rng) -> Vec<usize> {
        let mut first = 0;
        let mut all = Vec::new();
        for &dates in lengths {
            let wanted = (dates as f64 * self.run.mask_share).round() as usize;
            let count = wanted.clamp(1, dates.saturating_sub(1).max(1));
            all.extend(drawn_dates(dates, count, rng).into_iter().map(|date| first + date));
            first += dates;
        }
        all
    }
}

impl Lesson for SwappedDates<'_> {
    type Config = UBarnConfig;
    type Part = Swapped;

    fn config(&self) -> UBarnConfig {
        self.config.clone()
    }

    /// The dates on which a window was seen whole, at least two.
    fn usable(&self, sample: &Sample) -> Option<Sample> {
        if sample.size_px != [self.run.window_px; 2] {
            return None;
        }
        let one = |date: usize| sample.at_dates(&[date], self.bands.len());
        let is_whole = |date: &usize| self.read(&[&one(*date)]).is_some();
        let dates: Vec<usize> = (0..sample.len()).filter(is_whole).collect();
        (dates.len() > 1).then(|| sample.at_dates(&dates, self.bands.len()))
    }

    fn part(&self, samples: &[&Sample], rng: &mut ChaCha8Rng) -> Swapped {
        let mut seen = self.batch(samples, rng);
        let swapped = self.swapped(&seen.lengths, rng);
        let (images, pixels) = (seen.days_m.len(), seen.pixels());
        let shown = seen.images_mbyx.clone();
        for &image in &swapped {
            // Any other image of the batch.
            let other = (image + rng.random_range(1..images)) % images;
            let to = seen.images_mbyx.index_axis_mut(Axis(0), image);
            shown.index_axis(Axis(0), other).assign_to(to);
        }
        let flat = shown.to_shape((images, S2_BANDS.len(), pixels)).expect("planes are whole");
        let n = seen.tokens();
        let (mut target_nb, mut weight_nb) =
            (Array2::zeros((n, S2_BANDS.len())), Array2::zeros((n, S2_BANDS.len())));
        for (token, (image, pixel)) in seen.places().enumerate() {
            target_nb.row_mut(token).assign(&flat.slice(ndarray::s![image, .., pixel]));
            if swapped.binary_search(&image).is_ok() {
                weight_nb.row_mut(token).fill(1.0);
            }
        }
        Swapped { seen, target_nb, weight_nb }
    }

    fn work(&self, part: &Swapped) -> Work {
        let pixels = part.seen.pixels() as f64;
        let flops = |&dates: &usize| {
            3.0 * pixels * dates as f64 * UBarnConfig::flops_per_token(dates) as f64
        };
        let flops = part.seen.lengths.iter().map(flops).sum();
        Work { tokens: part.seen.tokens() as u64, flops }
    }

    fn with_policy(&self, net: UBarn, _: Policy) -> UBarn {
        net
    }

    fn loss(&self, net: &UBarn, part: &Swapped, phase: Phase, device: &Device) -> (Tensor<1>, f64) {
        let said_nb = match phase {
            Phase::Training => net.reconstruct_in_training(&part.seen),
            Phase::Validation => net.reconstruct(&part.seen),
        };
        let (target_nb, weight_nb) =
            (table(&part.target_nb, device), table(&part.weight_nb, device));
        let loss = surco_kernels::masked_loss(said_nb, target_nb, weight_nb, LossKind::Squared);
        (loss, f64::from(part.weight_nb.sum()))
    }

    /// Statistics of norms over images as they are, drawn by the seed alone.
    fn settled(&self, net: UBarn, train: &[Sample]) -> UBarn {
        let batch = |stream| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.run.seed ^ MEASURED_STREAM);
            rng.set_stream(stream);
            let drawn: Vec<&Sample> = (0..self.run.micro_batch)
                .map(|_| &train[rng.random_range(0..train.len())])
                .collect();
            self.batch(&drawn, &mut rng)
        };
        net.measured(&(0..MEASURED).map(batch).collect::<Vec<_>>())
    }
}
