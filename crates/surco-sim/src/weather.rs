//! The weather of one agricultural year: rain, wet soil, and how early and green the year is.

use crate::climate::Traits;
use crate::config::ValleyConfig;
use crate::noise::{derive, hash_at, normal, unit};

/// Days from 1 May to 30 April, with room for leap years.
const DAYS: usize = 367;

/// The weather of one year over the whole valley.
#[derive(Debug)]
pub(crate) struct Weather {
    /// Wetness of bare soil, 0 to 1, on each day after 1 May.
    wet: Vec<f32>,
    rain: Vec<bool>,
    /// The climate it is the weather of.
    pub(crate) climate: &'static Traits,
    /// Days by which everything is later than in a usual year.
    pub(crate) late_days: f32,
    /// Factor on what lives from rain alone.
    pub(crate) rainfed: f32,
}

impl Weather {
    /// The weather of a valley's season.
    pub(crate) fn new(config: &ValleyConfig) -> Self {
        let climate = config.climate.traits();
        let (base, winter) = climate.rain;
        let seed = derive(config.seed, "weather", config.year as u64);
        let (mut wet, mut rain) = (Vec::with_capacity(DAYS), Vec::with_capacity(DAYS));
        let mut level = 0.25_f32;
        let mut yesterday = false;
        for day in 0..DAYS as i32 {
            let from_july = ((day as f32 - 62.0).abs()).min((day as f32 - 427.0).abs());
            let off = from_july / climate.rain_days;
            let chance = base + winter * libm::expf(-off * off);
            let chance = if yesterday { chance + 0.25 } else { chance };
            let h = hash_at(seed, day, 0);
            yesterday = unit(h) < chance;
            let dry = if from_july < 70.0 { 0.90 } else { 0.80 };
            level =
                (level * dry + if yesterday { 0.35 + 0.5 * unit(h << 24) } else { 0.0 }).min(1.0);
            wet.push(level);
            rain.push(yesterday);
        }
        Self {
            wet,
            rain,
            climate,
            late_days: climate.late_days + 5.0 * normal(hash_at(seed, 1, 1)),
            rainfed: (1.0 + 0.18 * normal(hash_at(seed, 2, 1))).clamp(0.55, 1.35),
        }
    }

    /// Wetness of bare soil from rain, 0 to 1.
    pub(crate) fn wet(&self, day: f32) -> f32 {
        self.wet[(day.max(0.0) as usize).min(DAYS - 1)]
    }

    /// Whether it rains on a day or the one before.
    pub(crate) fn rainy(&self, day: usize) -> bool {
        let day = day.min(DAYS - 1);
        self.rain[day] || self.rain[day.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rains_in_winter() {
        let count = |from: usize, to: usize| -> usize {
            (0..30)
                .map(|seed| {
                    Weather::new(&ValleyConfig { seed, ..Default::default() }).rain[from..to]
                        .iter()
                        .filter(|r| **r)
                        .count()
                })
                .sum()
        };
        let (winter, summer) = (count(31, 123), count(214, 306));
        assert!(winter > 5 * summer, "{winter} days of winter, {summer} of summer");
    }
}
