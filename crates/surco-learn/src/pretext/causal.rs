//! The causal pretext: from what a place showed up to a date, what it will show on a later one.
//!
//! Every token is asked for a few later dates of its patch, at gaps drawn evenly on a logarithmic scale. Some dates are
//! hidden on their way in, as clouds would, and some samples keep only some of their bands.
//!
//! # Source
//! Smith, Fleming and Geach 2023 (EarthPT), where the gap is that to the next observation. The loss is the negative
//! logarithm of a Laplace likelihood, `|e| / b + log 2b`, as in Kendall and Gal 2017. Intervals are widened or
//! narrowed until they hold 90 % of what held-out places showed: Lei et al. 2018, section 5.2.
//!
//! Input: cut samples, dates ascending. Output: mean loss over asked values that were observed.

use burn::tensor::{Device, Tensor};
use ndarray::Array2;
use rand::{Rng, RngExt};
use surco_data::{Batch, Sample};
use surco_net::{Asked, ForecastConfig, Horizon, Later, Spread, forecast, shown, table};

use super::{Learner, hidden_bands};
use crate::crops::Cut;

/// Gaps that questions are drawn from, in days.
const GAPS_DAYS: (f64, f64) = (5.0, 180.0);

/// Longest gap that a model of this pretext is asked directly.
const LONGEST_GAP_DAYS: i32 = GAPS_DAYS.1 as i32;

/// Questions a token.
const QUESTIONS: usize = 3;

/// Largest share of a sample's dates that is hidden on the way in.
const HIDDEN_SHARE: f64 = 0.3;

/// Place of a date's age in its season token.
const AGE: usize = 10;

/// The last date of a sample lies up to so many years before the end of its window.
const OLDEST_YEARS: f32 = 1.0;

/// Ranges of gaps that intervals are measured in, by their last day.
const HORIZONS_DAYS: [i32; 6] = [15, 30, 60, 90, 130, LONGEST_GAP_DAYS];

/// Share of observations that intervals are to hold.
const COVERAGE: f64 = 0.9;

/// Fewest observations that the width of an interval is measured on.
const FEWEST: usize = 100;

/// Questions about later dates, and what these showed.
#[derive(Clone, Debug)]
pub(crate) struct Causal {
    /// What the encoder sees.
    pub(crate) batch: Batch,
    pub(crate) asked: Asked,
    gaps_days: Vec<i32>,
    /// What the dates showed, bands and NDVI, `[p, c]`.
    pub(crate) target_pc: Array2<f32>,
    /// How far it is trusted, over the pixels of its patch; 0 where nothing was seen.
    pub(crate) weight_pc: Array2<f32>,
}

impl Causal {
    pub(crate) fn new(cut: &Cut, band_dropout: f64, rng: &mut impl Rng) -> Self {
        let most = cut.spec.max_dates;
        let bands = cut.spec.bands.len();
        let parts: Vec<Sample> =
            cut.samples.iter().map(|sample| stretch(sample, most, bands, rng)).collect();
        let whole = Batch::new(&parts.iter().collect::<Vec<_>>(), &cut.spec);
        let seen = shown(&whole, &cut.spec.scale);
        let pairs = pairs(&whole, rng);
        let mut batch = whole;
        for sample in 0..batch.len() {
            let hidden = hidden_bands(bands, band_dropout, rng);
            batch.hide_bands(sample, &hidden);
            hide_some(&mut batch, sample, rng);
            age(&mut batch, sample, rng);
        }
        let width = seen.values_nc.ncols();
        let (mut target_pc, mut weight_pc) =
            (Array2::zeros((pairs.len(), width)), Array2::zeros((pairs.len(), width)));
        let share_of_pixel = 1.0 / batch.patch.pixels() as f32;
        let mut later = Vec::with_capacity(pairs.len());
        for (p, &(row, target)) in pairs.iter().enumerate() {
            target_pc.row_mut(p).assign(&seen.values_nc.row(target));
            weight_pc.row_mut(p).assign(&(&seen.weights_nc.row(target) * share_of_pixel));
            let mut season = [0.0; surco_data::SEASON_FEATURES];
            season.iter_mut().zip(batch.season_ns.row(target)).for_each(|(to, from)| *to = *from);
            let gap_days = batch.days_n[target] - batch.days_n[row];
            later.push(Later { row, gap_days, season });
        }
        let gaps_days = later.iter().map(|l| l.gap_days).collect();
        let asked = Asked::new(&batch, &cut.spec.scale, later);
        Self { batch, asked, gaps_days, target_pc, weight_pc }
    }

    fn answers(&self, learner: &Learner, device: &Device) -> Spread {
        let head = learner.forecast.as_ref().expect("the causal pretext has its head");
        forecast(&learner.encoder, head, &self.batch, &self.asked, device)
    }

    pub(crate) fn loss(&self, learner: &Learner, device: &Device) -> Tensor<1> {
        let spread = self.answers(learner, device);
        laplace_loss(spread, table(&self.target_pc, device), table(&self.weight_pc, device))
    }
}

/// The weighted mean of `|e| / b + log 2b`.
fn laplace_loss(spread: Spread, target_pc: Tensor<2>, weight_pc: Tensor<2>) -> Tensor<1> {
    let Spread { location_pc, log_scale_pc } = spread;
    let away = (target_pc - location_pc).abs() * log_scale_pc.clone().neg().exp();
    let cost = away + log_scale_pc + std::f64::consts::LN_2;
    let whole = weight_pc.clone().sum().clamp_min(f32::MIN_POSITIVE);
    (cost * weight_pc).sum() / whole
}

/// At most so many dates in a row, which leaves gaps as they are in use, where thinning would widen them.
fn stretch(sample: &Sample, most: usize, bands: usize, rng: &mut impl Rng) -> Sample {
    if sample.len() <= most {
        return sample.clone();
    }
    let first = rng.random_range(0..=sample.len() - most);
    sample.at_dates(&(first..first + most).collect::<Vec<_>>(), bands)
}

/// Rows of tokens and of later tokens of the same patch. The gap is drawn, the date nearest to it is taken.
fn pairs(batch: &Batch, rng: &mut impl Rng) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut first = 0;
    for &length in &batch.lengths {
        let seen = |row: &usize| batch.weights_nc.row(*row).iter().any(|&w| w > 0.0);
        let rows: Vec<usize> = (first..first + length).filter(seen).collect();
        first += length;
        for (i, &row) in rows.iter().enumerate() {
            let day = batch.days_n[row];
            let later = || rows[i + 1..].iter().filter(|&&r| batch.days_n[r] > day);
            if later().next().is_none() {
                continue;
            }
            for _ in 0..QUESTIONS {
                let (shortest, longest) = GAPS_DAYS;
                let gap = shortest * (longest / shortest).powf(rng.random::<f64>());
                let away = |r: &&usize| (f64::from(batch.days_n[**r] - day) - gap).abs();
                let nearest = later().min_by(|a, b| away(a).total_cmp(&away(b)));
                pairs.extend(nearest.map(|&target| (row, target)));
            }
        }
    }
    pairs
}

/// Makes a sample as old as it may be in use, where the window ends with its last date: how long before the end of the
/// pool's window a date lies must not tell which date it is.
fn age(batch: &mut Batch, sample: usize, rng: &mut impl Rng) {
    let rows = batch.samples[sample].rows.clone();
    let mut ages = batch.season_ns.slice_mut(ndarray::s![rows, AGE]);
    let youngest = ages.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shift = youngest + rng.random::<f32>() * OLDEST_YEARS;
    ages.iter_mut().for_each(|age| *age -= shift);
}

/// Hides a random share of a sample's dates.
fn hide_some(batch: &mut Batch, sample: usize, rng: &mut impl Rng) {
    let share = rng.random::<f64>() * HIDDEN_SHARE;
    let slots = batch.seen_slots(sample);
    let hidden: Vec<usize> = slots.into_iter().filter(|_| rng.random_bool(share)).collect();
    let rows: Vec<usize> = batch.rows_at(sample, &hidden).collect();
    rows.into_iter().for_each(|row| batch.hide_row(row));
}

/// What a learner's head is worth on held-out places: how wide its intervals must be, gap by gap.
pub(crate) fn calibrated<'a>(
    learner: &Learner,
    held_out: impl Iterator<Item = &'a Causal>,
    device: &Device,
) -> ForecastConfig {
    // Errors in scales of their distributions, of bands and of NDVI apart.
    let mut errors = vec![[Vec::new(), Vec::new()]; HORIZONS_DAYS.len()];
    for task in held_out.filter(|task| !task.asked.is_empty()) {
        let spread = task.answers(learner, device);
        let numbers = |t: Tensor<2>| t.into_data().iter::<f32>().collect::<Vec<_>>();
        let (location, log_scale) = (numbers(spread.location_pc), numbers(spread.log_scale_pc));
        let own = task.batch.values_nc.ncols();
        for (i, ((p, c), &weight)) in task.weight_pc.indexed_iter().enumerate() {
            let range = HORIZONS_DAYS.iter().position(|&to| task.gaps_days[p] <= to);
            if let (true, Some(range)) = (weight > 0.0, range) {
                let error = (task.target_pc[[p, c]] - location[i]).abs() / log_scale[i].exp();
                errors[range][usize::from(c >= own)].push(error);
            }
        }
    }
    let horizons = HORIZONS_DAYS.into_iter().zip(errors);
    let horizons = horizons.filter(|(_, [bands, _])| bands.len() >= FEWEST);
    let horizons = horizons.map(|(to_days, [mut bands, mut ndvi])| {
        let observations = bands.len();
        let bands = conformal(&mut bands);
        let ndvi = if ndvi.len() >= FEWEST { conformal(&mut ndvi) } else { bands };
        Horizon { to_days, bands, ndvi, observations }
    });
    ForecastConfig {
        longest_gap_days: LONGEST_GAP_DAYS,
        coverage: COVERAGE,
        horizons: horizons.collect(),
    }
}

/// The `⌈(n + 1) · 0.9⌉`-th smallest of `n` errors.
fn conformal(errors: &mut [f32]) -> f32 {
    errors.sort_unstable_by(f32::total_cmp);
    let place = ((errors.len() + 1) as f64 * COVERAGE).ceil() as usize;
    errors[place.clamp(1, errors.len()) - 1]
}

#[cfg(test)]
mod tests;
