//! What forecasts of the same places missed by of late, and intervals stretched by it.

use std::collections::BTreeSet;

use serde::Serialize;
use surco_core::Progress;
use surco_data::Sample;
use surco_eval::forecast::{Forecast, Misses, WATCHED_D, miss};
use surco_net::{Forecaster, Model, Outlook, outlook, red_and_nir};

use super::Places;
use crate::screen::Screen;

/// Days between two origins of the forecasts that are looked back on.
const ORIGIN_STEP_D: i32 = 15;

/// Places looked back on, spread over those asked about.
const MOST_PLACES: usize = 256;

/// What intervals are stretched by, range of gaps by range.
pub(super) struct Watched {
    pub(super) stretches: Vec<Stretch>,
}

/// What the misses of a range of gaps say.
#[derive(Serialize)]
pub(super) struct Stretch {
    /// Longest gap of the range.
    to_days: i32,
    /// What half-widths of bands are multiplied by; none if too little was seen.
    bands: Option<f64>,
    ndvi: Option<f64>,
    observations: usize,
}

/// Misses of bands and of NDVI.
struct Compared {
    bands: Misses,
    ndvi: Misses,
}

impl Watched {
    /// Asks for what the last 90 days showed from what was known 15, 30, … days earlier, at places spread over all.
    pub(super) fn look_back(
        model: &Model,
        forecaster: &Forecaster,
        places: &Places,
        screen: &Screen,
    ) -> anyhow::Result<Self> {
        let config = &forecaster.config;
        let to_days: Vec<i32> = config.horizons.iter().map(|h| h.to_days).collect();
        let empty = Misses::new(to_days.iter().copied());
        let mut found = Compared { bands: empty.clone(), ndvi: empty };
        let all = places.samples.len();
        let count = all.min(MOST_PLACES);
        let spread: Vec<&Sample> = (0..count).map(|i| &places.samples[i * all / count]).collect();
        let since = places.last_day - WATCHED_D;
        let furthest = config.longest_gap_days + WATCHED_D;
        let origins: Vec<i32> = (1..=furthest / ORIGIN_STEP_D)
            .map(|step| places.last_day - step * ORIGIN_STEP_D)
            .collect();
        let dates: BTreeSet<i32> = spread.iter().flat_map(|s| s.days.iter().copied()).collect();
        for (done, &origin) in origins.iter().enumerate() {
            if screen.stopped() {
                anyhow::bail!("stopped before the forecast was whole; nothing was written");
            }
            let (after, to) = (origin.max(since), origin + config.longest_gap_days);
            let days: Vec<i32> =
                dates.iter().copied().filter(|day| *day > after && *day <= to).collect();
            found.compare(model, forecaster, (places, &spread), (origin, &days));
            screen.report("look back", done as u64 + 1, origins.len() as u64, "");
        }
        let stretches = to_days.into_iter().map(|to| found.stretch(to, config.coverage)).collect();
        Ok(Self { stretches })
    }

    fn of(&self, gap_days: i32) -> Option<&Stretch> {
        self.stretches.iter().find(|s| gap_days <= s.to_days).or(self.stretches.last())
    }

    /// Whether something was seen of this gap.
    pub(super) fn knows(&self, gap_days: i32) -> bool {
        self.of(gap_days).is_some_and(|s| s.bands.is_some())
    }

    /// Stretches the intervals of a forecast. Gaps of which too little was seen keep theirs.
    pub(super) fn stretch(&self, one: &mut Outlook, bands: usize) {
        let Some(stretch) = self.of(one.gap_days) else { return };
        for (at, value) in one.values.iter_mut().enumerate() {
            let by = if at < bands { stretch.bands } else { stretch.ndvi };
            let by = by.unwrap_or(1.0) as f32;
            value.low = value.median - (value.median - value.low) * by;
            value.high = value.median + (value.high - value.median) * by;
        }
    }
}

impl Compared {
    fn compare(
        &mut self,
        model: &Model,
        forecaster: &Forecaster,
        (places, samples): (&Places, &[&Sample]),
        (origin, days): (i32, &[i32]),
    ) {
        let bands = places.bands.len();
        let known: Vec<Sample> = samples
            .iter()
            .map(|sample| {
                let known = sample.days.partition_point(|&day| day <= origin);
                sample.at_dates(&(0..known).collect::<Vec<_>>(), bands)
            })
            .collect();
        let refs: Vec<&Sample> = known.iter().collect();
        let pair = red_and_nir(&places.bands);
        for (sample, said) in
            samples.iter().zip(outlook(model, forecaster, &refs, &places.bands, days))
        {
            for one in said.into_iter().flatten() {
                let Ok(date) = sample.days.binary_search(&one.day) else { continue };
                let seen = sample.date(date, bands);
                let miss_of = |at: usize, seen: f32| {
                    let said = one.values[at];
                    let [median, low, high] = [said.median, said.low, said.high].map(f64::from);
                    miss(&Forecast { median, low, high }, f64::from(seen))
                };
                for (band, &seen) in seen.iter().enumerate() {
                    self.bands.add(one.gap_days, miss_of(band, seen));
                }
                if let Some((red, nir)) = pair {
                    let ndvi = (seen[nir] - seen[red]) / (seen[nir] + seen[red]);
                    self.ndvi.add(one.gap_days, miss_of(bands, ndvi));
                }
            }
        }
    }

    fn stretch(&self, to_days: i32, coverage: f64) -> Stretch {
        Stretch {
            to_days,
            bands: self.bands.stretch(to_days, coverage),
            ndvi: self.ndvi.stretch(to_days, coverage),
            observations: self.bands.count(to_days),
        }
    }
}
