//! Intervals that follow what was missed of late, at the very places that are asked about.
//!
//! Intervals that were measured in other years are too narrow in a year unlike them. What earlier forecasts of the same places
//! missed by, as far as the truth has come since, says by how much: the interval is stretched until it would have held its
//! share of what came in the last [`WATCHED_D`] days.
//!
//! # Source
//! Split conformal prediction (Vovk et al. 2005) on a window that moves with time, as Gibbs and Candès 2021 (*Adaptive conformal
//! inference under distribution shift*) motivate. Nothing is promised where the shift is newer than the horizon is long.
//!
//! Sample config: `let mut m = Misses::new([30, 90]); m.add(12, miss(&said, seen)); m.stretch(12, 0.9)`.

use super::Forecast;

/// Days that are looked back on.
pub const WATCHED_D: i32 = 90;

/// Fewest observations of a horizon that say anything.
const FEWEST: usize = 50;

/// How far an observation lies from the median, in half-widths of the interval on its side.
#[must_use]
pub fn miss(said: &Forecast, seen: f64) -> f64 {
    let half = if seen >= said.median { said.high - said.median } else { said.median - said.low };
    (seen - said.median).abs() / half.max(1e-9)
}

/// What forecasts of each range of horizons missed by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Misses {
    /// Longest horizon of each range, ascending, and its misses.
    ranges: Vec<(i32, Vec<f64>)>,
}

impl Misses {
    /// Ranges by their longest horizon in days, ascending; the last also holds what is longer.
    #[must_use]
    pub fn new(to_days: impl IntoIterator<Item = i32>) -> Self {
        Self { ranges: to_days.into_iter().map(|to| (to, Vec::new())).collect() }
    }

    fn place(&self, horizon_d: i32) -> usize {
        let last = self.ranges.len().saturating_sub(1);
        self.ranges.iter().position(|(to, _)| horizon_d <= *to).unwrap_or(last)
    }

    /// Adds what a forecast missed by; what is no number is left out.
    pub fn add(&mut self, horizon_d: i32, miss: f64) {
        let place = self.place(horizon_d);
        if let (true, Some((_, all))) = (miss.is_finite(), self.ranges.get_mut(place)) {
            all.push(miss);
        }
    }

    /// Number of observations of a horizon's range.
    #[must_use]
    pub fn count(&self, horizon_d: i32) -> usize {
        self.ranges.get(self.place(horizon_d)).map_or(0, |(_, all)| all.len())
    }

    /// What widths are multiplied by so that the share `coverage` of the misses would have been held: the
    /// `⌈(n + 1) · coverage⌉`-th smallest. None where fewer than 50 were seen.
    #[must_use]
    pub fn stretch(&self, horizon_d: i32, coverage: f64) -> Option<f64> {
        let (_, all) =
            self.ranges.get(self.place(horizon_d)).filter(|(_, all)| all.len() >= FEWEST)?;
        let mut all = all.clone();
        all.sort_by(f64::total_cmp);
        let place = ((all.len() + 1) as f64 * coverage).ceil() as usize;
        Some(all[place.clamp(1, all.len()) - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_is_measured_on_its_own_side() {
        let said = Forecast { median: 0.5, low: 0.4, high: 0.7 };
        assert!((miss(&said, 0.6) - 0.5).abs() < 1e-9 && (miss(&said, 0.3) - 2.0).abs() < 1e-9);
    }

    /// By hand: of 99 misses 0.02, 0.04 … 1.98 the 90th smallest is 1.80; another range says nothing.
    #[test]
    fn the_stretch_is_the_quantile_of_its_range() {
        let mut misses = Misses::new([30, 90]);
        (1..=99).for_each(|i| misses.add(31, f64::from(i) * 0.02));
        misses.add(5, 7.0);
        misses.add(400, f64::NAN);
        assert!((misses.stretch(60, 0.9).unwrap() - 1.8).abs() < 1e-9);
        assert_eq!((misses.stretch(30, 0.9), misses.count(30), misses.count(900)), (None, 1, 99));
        assert_eq!(Misses::default().stretch(10, 0.9), None);
    }
}
