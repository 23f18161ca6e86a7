//! How fast a run goes, and how far that is from what the device could do.
//!
//! # Source
//! Chowdhery et al. 2022 (PaLM), appendix B: operations a model needs for a token, `6 N + 12 L d T`, whatever
//! the program does beyond (see `Size::flops_per_token`); their share of the device's peak is the model FLOP/s utilisation. The peak here
//! is measured, by the same matrix product that the model is made of, and not read off a data sheet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use surco_net::Size;

use crate::precision::Precision;
use crate::trainer::Work;

/// Steps that the rate shown in progress is a mean of.
const RECENT: usize = 20;

/// Side of the largest matrix the peak is measured with.
const LARGEST_SIDE: usize = 8192;

/// Time that the products of one size are repeated for.
const MEASURED_FOR: Duration = Duration::from_millis(150);

/// Training of an encoder on segments of these lengths: three times the operations of a forward pass, because
/// backward has two products for each of its.
pub(crate) fn training_work(size: Size, lengths: &[usize]) -> Work {
    Work {
        tokens: lengths.iter().sum::<usize>() as u64,
        flops: lengths.iter().map(|&t| 3.0 * t as f64 * size.flops_per_token(t) as f64).sum(),
    }
}

/// Multiplications and additions a second in a large matrix product on these devices together, measured now.
#[must_use]
pub fn peak_flops_per_s(devices: &[Device], precision: Precision) -> f64 {
    let mut apart: Vec<&Device> = Vec::new();
    for device in devices {
        if !apart.contains(&device) {
            apart.push(device);
        }
    }
    apart.into_iter().map(|device| peak_of(device, precision)).sum()
}

fn peak_of(device: &Device, precision: Precision) -> f64 {
    let product = |side: usize| {
        let one = || {
            let filled = Tensor::<2>::full([side, side], 0.5, device);
            if precision == Precision::F32 { filled } else { filled.cast(precision.dtype()) }
        };
        let (a, b) = (one(), one());
        let timed = || {
            let _ = device.sync();
            let began = Instant::now();
            let _product = a.clone().matmul(b.clone());
            let _ = device.sync();
            began.elapsed()
        };
        // The first of a size may choose its kernel.
        timed();
        // The best of several: whatever else the machine does takes from the peak, nothing adds to it.
        let (began, mut best) = (Instant::now(), timed());
        while began.elapsed() < MEASURED_FOR {
            best = best.min(timed());
        }
        best
    };
    let (mut side, mut took) = (256, product(256));
    while side < LARGEST_SIDE && took < Duration::from_millis(10) {
        side *= 2;
        took = product(side);
    }
    2.0 * (side as f64).powi(3) / took.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// What one step took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Lap {
    pub(crate) seconds: f64,
    pub(crate) waited_s: f64,
    pub(crate) tokens: u64,
    pub(crate) flops: f64,
}

/// One line of `speed.jsonl`: a step on this machine. What the step computed is in `metrics.jsonl`, which is
/// the same on every machine of one kind; this is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeedPoint {
    /// Steps done.
    pub step: u64,
    /// Time of the step in s: its batch waited for, gradients, weights.
    pub seconds: f64,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// Operations of the model a second.
    pub flops_per_s: f64,
    /// Their share of the device's measured peak.
    pub peak_share: f64,
    /// Share of the time that the device waited for its batch.
    pub wait_share: f64,
}

/// How fast a run went, over the steps of this session; validation and checkpoints are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Throughput {
    total: Lap,
    /// Operations a second in a large matrix product, measured on the run's devices.
    pub peak_flops_per_s: f64,
}

impl Throughput {
    pub(crate) fn of_peak(peak_flops_per_s: f64) -> Self {
        Self { peak_flops_per_s, ..Self::default() }
    }

    fn add(&mut self, lap: Lap) {
        self.total.seconds += lap.seconds;
        self.total.waited_s += lap.waited_s;
        self.total.tokens += lap.tokens;
        self.total.flops += lap.flops;
    }

    fn rate(self, what: f64) -> f64 {
        if self.total.seconds > 0.0 { what / self.total.seconds } else { 0.0 }
    }

    /// Tokens a second.
    #[must_use]
    pub fn tokens_per_s(self) -> f64 {
        self.rate(self.total.tokens as f64)
    }

    /// Operations of the model a second.
    #[must_use]
    pub fn flops_per_s(self) -> f64 {
        self.rate(self.total.flops)
    }

    /// Their share of the measured peak.
    #[must_use]
    pub fn peak_share(self) -> f64 {
        if self.peak_flops_per_s > 0.0 { self.flops_per_s() / self.peak_flops_per_s } else { 0.0 }
    }

    /// Share of the time that the device waited for batches.
    #[must_use]
    pub fn wait_share(self) -> f64 {
        self.rate(self.total.waited_s)
    }
}

/// Keeps the time of a run.
pub(crate) struct Meter {
    pub(crate) whole: Throughput,
    recent: VecDeque<Lap>,
}

impl Meter {
    pub(crate) fn of_peak(peak_flops_per_s: f64) -> Self {
        Self { whole: Throughput::of_peak(peak_flops_per_s), recent: VecDeque::new() }
    }

    /// Takes in a step.
    pub(crate) fn lap(&mut self, step: u64, lap: Lap) -> SpeedPoint {
        self.whole.add(lap);
        self.recent.push_back(lap);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let mut alone = Throughput::of_peak(self.whole.peak_flops_per_s);
        alone.add(lap);
        SpeedPoint {
            step,
            seconds: lap.seconds,
            tokens_per_s: alone.tokens_per_s(),
            flops_per_s: alone.flops_per_s(),
            peak_share: alone.peak_share(),
            wait_share: alone.wait_share(),
        }
    }

    /// Tokens a second over the last steps.
    pub(crate) fn recent_tokens_per_s(&self) -> f64 {
        let mut recent = Throughput::default();
        self.recent.iter().for_each(|lap| recent.add(*lap));
        recent.tokens_per_s()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand for nano, 4 layers of 128: segments of 3 and 5 tokens are 8 tokens and 34 pairs. A pair costs a product
    /// of `d` for its score and one for its value, three times 4 · 4 · 128; what else a token costs cancels out.
    #[test]
    fn operations_are_counted_by_tokens_and_by_pairs_within_a_segment() {
        let apart = training_work(Size::Nano, &[3, 5, 0]).flops;
        let single = training_work(Size::Nano, &[1; 8]).flops;
        assert_eq!(apart - single, 3.0 * 4.0 * 4.0 * 128.0 * (34.0 - 8.0));
        // `6 N` a token, but for the little that is not in the blocks.
        let parameters = (4 * 12 * 128 * 128) as f64;
        let of_pairs = 3.0 * 4.0 * 4.0 * 128.0 * 8.0;
        let rest = (single - of_pairs) / (6.0 * parameters * 8.0);
        assert!((1.0..1.05).contains(&rest), "{rest}");
    }

    #[test]
    fn rates_and_shares_are_those_of_the_time_kept() {
        let mut meter = Meter::of_peak(1e6);
        let lap = Lap { seconds: 2.0, waited_s: 0.5, tokens: 100, flops: 4e5 };
        let point = meter.lap(1, lap);
        assert_eq!((point.tokens_per_s, point.flops_per_s), (50.0, 2e5));
        assert_eq!((point.peak_share, point.wait_share), (0.2, 0.25));
        meter.lap(2, Lap { seconds: 6.0, waited_s: 0.0, tokens: 100, flops: 4e5 });
        assert_eq!(meter.whole.tokens_per_s(), 25.0);
        assert_eq!((meter.whole.peak_share(), meter.whole.wait_share()), (0.1, 0.0625));
        for step in 3..40 {
            meter.lap(step, Lap { tokens: 300, ..lap });
        }
        assert_eq!(meter.recent_tokens_per_s(), 150.0);
    }

    /// A core of the last twenty years does between 0.5 and 500 billion operations a second.
    #[test]
    fn the_measured_peak_is_a_processors() {
        let peak = peak_flops_per_s(&[Device::flex(), Device::flex()], Precision::F32);
        assert!((5e8..5e14).contains(&peak), "{peak}");
    }
}
