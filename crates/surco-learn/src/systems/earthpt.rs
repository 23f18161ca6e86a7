//! `EarthPT`'s lesson: what the next date shows.
//!
//! # Source
//! Smith et al. 2023, section 3; `src/train.py` of aspiaspace/earthPT: stretches of dates that follow each other, Huber
//! loss of parameter 1 on the ten bands of the next.

use burn::tensor::{Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use surco_core::S2_BANDS;
use surco_data::{Sample, SpectralBand};
use surco_kernels::LossKind;
use surco_net::{EARTHPT_DATES, EarthPt, EarthPtBatch, EarthPtConfig, Policy, table};

use super::{Lesson, Phase};
use crate::LearnError;
use crate::pretrain::{PretrainConfig, SeriesPool};
use crate::trainer::Work;

pub(super) struct NextDate<'a> {
    config: EarthPtConfig,
    bands: &'a [SpectralBand],
    window: (i32, i32),
    most_dates: usize,
}

impl<'a> NextDate<'a> {
    pub(super) fn new(config: &PretrainConfig, pool: &'a SeriesPool) -> Result<Self, LearnError> {
        let net = EarthPtConfig::of_size(config.size).ok_or_else(|| LearnError::Config {
            key: "size",
            value: config.size.to_string(),
            remedy: "earthpt is nano to large, or xl, which is the published one".into(),
        })?;
        if config.max_dates > EARTHPT_DATES {
            return Err(LearnError::Config {
                key: "max_dates",
                value: config.max_dates.to_string(),
                remedy: format!("earthpt has positions for {EARTHPT_DATES}"),
            });
        }
        let lesson = Self {
            config: net,
            bands: &pool.bands,
            window: pool.window,
            most_dates: config.max_dates,
        };
        // A band that is missing is missing in every series: say so before they are all left out.
        EarthPtBatch::new(&[], &pool.bands, pool.window)?;
        Ok(lesson)
    }

    fn batch(&self, samples: &[&Sample]) -> EarthPtBatch {
        EarthPtBatch::new(samples, self.bands, self.window)
            .expect("usable series have two dates and no more than there are positions for")
    }
}

impl Lesson for NextDate<'_> {
    type Config = EarthPtConfig;
    type Part = EarthPtBatch;

    fn config(&self) -> EarthPtConfig {
        self.config.clone()
    }

    /// The dates on which every band was seen in the middle of a window, at least two.
    fn usable(&self, sample: &Sample) -> Option<Sample> {
        let middle = sample.size_px.map(|px| px / 2);
        let pixel = sample.crop(middle, [1, 1], self.bands.len());
        let one = |date: usize| pixel.at_dates(&[date, date], self.bands.len());
        // A date is whole if a series of it alone, twice, has two.
        let is_whole =
            |date: &usize| EarthPtBatch::new(&[&one(*date)], self.bands, self.window).is_ok();
        let dates: Vec<usize> = (0..pixel.len()).filter(is_whole).collect();
        (dates.len() > 1).then(|| pixel.at_dates(&dates, self.bands.len()))
    }

    /// A stretch of each series, one date more than tokens.
    fn part(&self, samples: &[&Sample], rng: &mut ChaCha8Rng) -> EarthPtBatch {
        let stretch = |sample: &&Sample| {
            let count = sample.len().min(self.most_dates + 1);
            let first = rng.random_range(0..=sample.len() - count);
            let dates: Vec<usize> = (first..first + count).collect();
            sample.at_dates(&dates, self.bands.len())
        };
        let cut: Vec<Sample> = samples.iter().map(stretch).collect();
        self.batch(&cut.iter().collect::<Vec<_>>())
    }

    fn work(&self, part: &EarthPtBatch) -> Work {
        let flops = |&dates: &usize| 3.0 * dates as f64 * self.config.flops_per_token(dates) as f64;
        Work { tokens: part.tokens() as u64, flops: part.lengths.iter().map(flops).sum() }
    }

    fn with_policy(&self, net: EarthPt, policy: Policy) -> EarthPt {
        net.with_policy(policy)
    }

    fn loss(
        &self,
        net: &EarthPt,
        part: &EarthPtBatch,
        _: Phase,
        device: &Device,
    ) -> (Tensor<1>, f64) {
        let said_nb = net.predict(part);
        let next_nb = table(&part.next_nb, device);
        let weight_nb = Tensor::ones([part.tokens(), S2_BANDS.len()], device);
        let huber = LossKind::Huber { delta: 1.0 };
        let loss = surco_kernels::masked_loss(said_nb, next_nb, weight_nb, huber);
        (loss, (part.tokens() * S2_BANDS.len()) as f64)
    }
}
