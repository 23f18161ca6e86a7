//! `OFA-Net`'s lesson: what hidden patches of an image show.
//!
//! # Source
//! Xiong et al. 2024; three patches in four are hidden and the error counts on them alone, as in He et al. 2022 (MAE).
//! Loss: the mean of squares of normalised values.

use burn::tensor::{Device, Tensor};
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use surco_data::{Normalisation, Sample, SpectralBand};
use surco_kernels::LossKind;
use surco_net::{Ofa, OfaBatch, OfaConfig, OfaSensor, Policy, table};

use super::{Lesson, Phase, drawn_dates};
use crate::LearnError;
use crate::pretrain::{PretrainConfig, SeriesPool};
use crate::trainer::Work;

/// Share of patches that are kept.
const KEPT: f64 = 0.25;

/// Bands belong to one sensor if they are seen, or not seen, together on so many dates.
const TOGETHER: f64 = 0.95;

pub(super) struct HiddenPatches<'a> {
    config: OfaConfig,
    bands: &'a [SpectralBand],
    window: (i32, i32),
    most_dates: usize,
}

/// Images some of whose patches are hidden.
pub(super) struct Hidden {
    whole: OfaBatch,
    kept: Vec<bool>,
}

impl<'a> HiddenPatches<'a> {
    pub(super) fn new(run: &PretrainConfig, pool: &'a SeriesPool) -> Result<Self, LearnError> {
        let refuse = |key, value: String, remedy: &str| {
            Err(LearnError::Config { key, value, remedy: remedy.into() })
        };
        let &[patch_px] = run.patch_px.as_slice() else {
            let remedy = "ofa has patches of one size";
            return refuse("patch_px", format!("{:?}", run.patch_px), remedy);
        };
        if run.window_px < 2 * patch_px || !run.window_px.is_multiple_of(patch_px) {
            let remedy =
                "ofa hides patches of windows: a multiple of `patch_px`, at least twice it";
            return refuse("window_px", run.window_px.to_string(), remedy);
        }
        let sensors = sensors(pool);
        let Some(config) = OfaConfig::of_size(run.size, patch_px, sensors) else {
            return refuse("size", run.size.to_string(), "ofa is nano, small or base");
        };
        let (bands, window) = (&pool.bands, pool.window);
        Ok(Self { config, bands, window, most_dates: run.max_dates })
    }

    fn read(&self, samples: &[&Sample]) -> Option<OfaBatch> {
        OfaBatch::new(samples, self.bands, self.window, &self.config).ok()
    }
}

/// Bands that are seen together, each set a sensor.
fn sensors(pool: &SeriesPool) -> Vec<OfaSensor> {
    let bands = pool.bands.len();
    let mut seen: Vec<Vec<bool>> = vec![Vec::new(); bands];
    for sample in &pool.train {
        let pixels = sample.pixels();
        for plane in 0..sample.len() * bands {
            let is_seen = (plane * pixels..(plane + 1) * pixels).any(|at| sample.weight(at) > 0.0);
            seen[plane % bands].push(is_seen);
        }
    }
    let together = |a: usize, b: usize| {
        let same = seen[a].iter().zip(&seen[b]).filter(|(a, b)| a == b).count();
        same as f64 >= TOGETHER * seen[a].len() as f64
    };
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for band in 0..bands {
        match sets.iter_mut().find(|set| together(set[0], band)) {
            Some(set) => set.push(band),
            None => sets.push(vec![band]),
        }
    }
    let all = Normalisation::measure(&pool.bands, &pool.train);
    sets.iter()
        .enumerate()
        .map(|(i, set)| OfaSensor {
            name: format!("sensor {} of {} bands", i + 1, set.len()),
            normalisation: all.only(set),
        })
        .collect()
}

impl Lesson for HiddenPatches<'_> {
    type Config = OfaConfig;
    type Part = Hidden;

    fn config(&self) -> OfaConfig {
        self.config.clone()
    }

    /// The dates of which two patches were seen whole.
    fn usable(&self, sample: &Sample) -> Option<Sample> {
        let has_two = |date: &usize| {
            let one = sample.at_dates(&[*date], self.bands.len());
            self.read(&[&one]).is_some_and(|batch| batch.lengths.iter().any(|&count| count > 1))
        };
        let dates: Vec<usize> = (0..sample.len()).filter(has_two).collect();
        (!dates.is_empty()).then(|| sample.at_dates(&dates, self.bands.len()))
    }

    fn part(&self, samples: &[&Sample], rng: &mut ChaCha8Rng) -> Hidden {
        let thinned = |sample: &&Sample| {
            let dates = drawn_dates(sample.len(), self.most_dates, rng);
            sample.at_dates(&dates, self.bands.len())
        };
        let thinned: Vec<Sample> = samples.iter().map(thinned).collect();
        let whole = self
            .read(&thinned.iter().collect::<Vec<_>>())
            .expect("every usable date has two whole patches");
        let mut kept = Vec::with_capacity(whole.tokens());
        for &patches in &whole.lengths {
            let count = ((patches as f64 * KEPT).round() as usize).max(1);
            let shown = drawn_dates(patches, count, rng);
            kept.extend((0..patches).map(|patch| shown.binary_search(&patch).is_ok()));
        }
        Hidden { whole, kept }
    }

    fn work(&self, part: &Hidden) -> Work {
        let mut flops = 0;
        let mut first = 0;
        for &patches in &part.whole.lengths {
            let shown = part.kept[first..first + patches].iter().filter(|kept| **kept).count();
            let sensor = part.whole.sensors[first];
            flops += shown as u64 * self.config.encoder_flops(sensor, shown)
                + patches as u64 * self.config.decoder_flops(sensor, patches);
            first += patches;
        }
        Work { tokens: part.whole.tokens() as u64, flops: 3.0 * flops as f64 }
    }

    fn with_policy(&self, net: Ofa, policy: Policy) -> Ofa {
        net.with_policy(policy)
    }

    fn loss(&self, net: &Ofa, part: &Hidden, _: Phase, device: &Device) -> (Tensor<1>, f64) {
        let mut sum = Tensor::<1>::zeros([1], device);
        let mut total = 0.0;
        for (sensor, said) in net.reconstruct(&part.whole, &part.kept).into_iter().enumerate() {
            let Some(said) = said else { continue };
            let shown = &part.whole.values[sensor];
            let tokens = part.whole.tokens_of(sensor);
            let weight = Array2::from_shape_fn(shown.dim(), |(row, _)| {
                f32::from(u8::from(!part.kept[tokens[row]]))
            });
            let hidden = f64::from(weight.sum());
            let (target, weight) = (table(shown, device), table(&weight, device));
            let loss = surco_kernels::masked_loss(said, target, weight, LossKind::Squared);
            sum = sum + loss.mul_scalar(hidden);
            total += hidden;
        }
        (sum.div_scalar(total.max(1.0)), total)
    }
}
