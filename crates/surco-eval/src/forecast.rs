//! Forecasts of one index, such as NDVI, on series and dates that no model was shown.
//!
//! Input: series with their blocks, and a forecaster: a past and days ahead in, a median with a 90 % interval
//! out. Output: for each horizon the median absolute error with its interval over blocks, and how many
//! observations the 90 % intervals cover, as they are and as [`Misses`] stretch them. A forecaster is handed the past
//! alone. Sample config: `Trial::new(&series, &HORIZONS_D, 17_700..17_860)`, `trial.score("persistence", persistence)`.

mod baselines;
mod levelled;
mod watched;

use std::collections::BTreeMap;
use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::spread::quantile;

pub use baselines::{Calibrated, Climate, Harmonic, choose_ridge, persistence};
pub use levelled::Levelled;
pub use watched::{Misses, WATCHED_D, miss};

/// Days ahead that are asked for.
pub const HORIZONS_D: [i32; 5] = [10, 30, 60, 90, 150];

/// Days that the observation judged by may lie off the horizon.
const TOLERANCE_D: i32 = 4;

/// Days between two origins of one series.
const ORIGIN_STEP_D: i32 = 15;

/// Fewest observations before an origin.
const FEWEST_PAST: usize = 8;

/// Share of observations that intervals are to hold.
const COVERAGE: f64 = 0.9;

/// Draws of blocks for an interval.
const DRAWS: usize = 500;

/// One series of the index, where and when the ground was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexSeries {
    /// Days since 1970-01-01, ascending.
    pub days: Vec<i32>,
    /// The index on them.
    pub values: Vec<f64>,
    /// Spatial block.
    pub block: u64,
}

/// What a forecaster is given of a series: everything up to the origin, and nothing after.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Place of the series in its trial, for a forecaster that has more bands of it; it must read no more
    /// dates than `days` has.
    pub series: usize,
    /// Days up to the origin.
    pub days: &'a [i32],
    /// The index on them.
    pub values: &'a [f64],
}

/// A median with a 90 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Half of what may come lies below.
    pub median: f64,
    /// A twentieth of what may come lies below.
    pub low: f64,
    /// A twentieth of what may come lies above.
    pub high: f64,
}

/// One observation to foretell.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Question {
    series: usize,
    /// Observations known.
    known: usize,
    /// Place of the observation asked.
    target: usize,
    /// Place among the horizons.
    horizon: usize,
    /// Last day that is known.
    origin: i32,
}

/// How one method did at one horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HorizonScore {
    /// Name of the method.
    pub method: String,
    /// Days ahead.
    pub horizon_d: i32,
    /// Observations foretold.
    pub n: usize,
    /// Median of |median − observed|.
    pub median_error: f64,
    /// 95 % interval of it, by drawing blocks.
    pub error_low: f64,
    /// Upper end.
    pub error_high: f64,
    /// Share of observations inside the 90 % interval.
    pub coverage: f64,
    /// Median width of that interval.
    pub width: f64,
    /// Share inside the interval as the misses at the same places before the origin stretch it.
    pub coverage_watched: f64,
    /// Median width of that one.
    pub width_watched: f64,
}

/// Series and what is asked of them.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    series: &'a [IndexSeries],
    horizons: &'a [i32],
    questions: Vec<Question>,
    /// Observations before are asked about so that their misses can be watched, and not judged.
    judged_from: i32,
}

impl<'a> Trial<'a> {
    /// Asks for the observation nearest each horizon, at most 4 days off it, from origins 15 days apart;
    /// only for observations on these days, with eight or more observations before the origin. Observations of the 90 days
    /// and a longest horizon before are asked about too, so that their misses can be watched; they are not judged.
    #[must_use]
    pub fn new(series: &'a [IndexSeries], horizons: &'a [i32], asked: Range<i32>) -> Self {
        let mut questions = Vec::new();
        let earlier = WATCHED_D + horizons.iter().max().copied().unwrap_or(0);
        let watched = asked.start.saturating_sub(earlier)..asked.end;
        for (number, one) in series.iter().enumerate() {
            let Some((&first, &last)) = one.days.first().zip(one.days.last()) else { continue };
            for origin in (first..last).step_by(ORIGIN_STEP_D as usize) {
                let known = one.days.partition_point(|&d| d <= origin);
                if known < FEWEST_PAST {
                    continue;
                }
                for (horizon, &ahead) in horizons.iter().enumerate() {
                    let off = |i: &usize| (one.days[*i] - origin - ahead).abs();
                    let target = (known..one.days.len()).min_by_key(off);
                    let fits = |i: &usize| off(i) <= TOLERANCE_D && watched.contains(&one.days[*i]);
                    if let Some(target) = target.filter(fits) {
                        questions.push(Question { series: number, known, target, horizon, origin });
                    }
                }
            }
        }
        Self { series, horizons, questions, judged_from: asked.start }
    }

    /// Number of observations judged.
    #[must_use]
    pub fn len(&self) -> usize {
        let day = |q: &&Question| self.series[q.series].days[q.target];
        self.questions.iter().filter(|q| day(q) >= self.judged_from).count()
    }

    /// Whether nothing is judged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Scores a forecaster at each horizon: `forecast` gets a past and the days asked after, and gives one
    /// forecast a day.
    pub fn score(
        &self,
        method: &str,
        forecast: impl Fn(&Past<'_>, &[i32]) -> Vec<Forecast> + Sync,
    ) -> Vec<HorizonScore> {
        let judged = self.judged(forecast);
        let horizons = self.horizons.iter().enumerate();
        horizons
            .map(|(at, &horizon_d)| {
                let all: Vec<&Judged> = judged.iter().filter(|j| j.horizon == at).collect();
                let own: Vec<&Judged> =
                    all.iter().copied().filter(|j| j.day >= self.judged_from).collect();
                let stretches = stretches(&all);
                let stretch =
                    |j: &Judged| stretches.get(&j.origin).copied().flatten().unwrap_or(1.0);
                let held = own.iter().filter(|j| j.miss <= stretch(j)).count();
                let [error_low, error_high] = by_blocks(&own);
                let inside = own.iter().filter(|j| j.inside).count();
                HorizonScore {
                    method: method.into(),
                    horizon_d,
                    n: own.len(),
                    median_error: median(own.iter().map(|j| j.signed.abs()).collect()),
                    error_low,
                    error_high,
                    coverage: inside as f64 / own.len() as f64,
                    width: median(own.iter().map(|j| j.width).collect()),
                    coverage_watched: held as f64 / own.len() as f64,
                    width_watched: median(own.iter().map(|j| j.width * stretch(j)).collect()),
                }
            })
            .collect()
    }

    /// Asks a forecaster everything, and puts what it says beside what came.
    fn judged(&self, forecast: impl Fn(&Past<'_>, &[i32]) -> Vec<Forecast> + Sync) -> Vec<Judged> {
        let beside = |(question, said): (Question, Forecast)| {
            let one = &self.series[question.series];
            let seen = one.values[question.target];
            Judged {
                horizon: question.horizon,
                origin: question.origin,
                day: one.days[question.target],
                block: one.block,
                signed: seen - said.median,
                miss: miss(&said, seen),
                inside: (said.low..=said.high).contains(&seen),
                width: said.high - said.low,
            }
        };
        self.asked(forecast).into_iter().map(beside).collect()
    }

    /// Asks everything, the days of one past at once: each question with what was said.
    fn asked<T: Send>(
        &self,
        say: impl Fn(&Past<'_>, &[i32]) -> Vec<T> + Sync,
    ) -> Vec<(Question, T)> {
        let same = |a: &Question, b: &Question| (a.series, a.known) == (b.series, b.known);
        let groups: Vec<&[Question]> = self.questions.chunk_by(same).collect();
        let ask = |group: &&[Question]| {
            let one = &self.series[group[0].series];
            let known = group[0].known;
            let past = Past {
                series: group[0].series,
                days: &one.days[..known],
                values: &one.values[..known],
            };
            let days: Vec<i32> = group.iter().map(|q| one.days[q.target]).collect();
            group.iter().copied().zip(say(&past, &days)).collect::<Vec<(Question, T)>>()
        };
        groups.par_iter().flat_map_iter(ask).collect()
    }
}

/// One forecast beside what came.
struct Judged {
    horizon: usize,
    origin: i32,
    day: i32,
    miss: f64,
    block: u64,
    signed: f64,
    inside: bool,
    width: f64,
}

/// By origin, what the misses of one horizon at all places stretch widths by, of those that were known by then.
fn stretches(judged: &[&Judged]) -> BTreeMap<i32, Option<f64>> {
    let mut found = BTreeMap::new();
    for origin in judged.iter().map(|j| j.origin) {
        found.entry(origin).or_insert_with(|| {
            let mut misses = Misses::new([i32::MAX]);
            let known = |j: &&&Judged| (origin - WATCHED_D + 1..=origin).contains(&j.day);
            judged.iter().filter(known).for_each(|j| misses.add(0, j.miss));
            misses.stretch(0, COVERAGE)
        });
    }
    found
}

/// 95 % interval of the median error, blocks drawn with replacement.
fn by_blocks(judged: &[&Judged]) -> [f64; 2] {
    let mut blocks: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for one in judged {
        blocks.entry(one.block).or_default().push(one.signed.abs());
    }
    let blocks: Vec<Vec<f64>> = blocks.into_values().collect();
    if blocks.is_empty() {
        return [f64::NAN; 2];
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn = (0..blocks.len()).map(|_| &blocks[rng.random_range(0..blocks.len())]);
            median(drawn.flatten().copied().collect())
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    [quantile(&medians, 0.025), quantile(&medians, 0.975)]
}

/// The median; NaN without values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observations every 5 days from day 0 to 300, the day itself as value.
    fn series() -> Vec<IndexSeries> {
        let days: Vec<i32> = (0..=60).map(|i| i * 5).collect();
        let values = days.iter().map(|&d| f64::from(d)).collect();
        vec![IndexSeries { days, values, block: 1 }]
    }

    /// By hand: origins every 15 days; eight observations are known from day 35 on, so origins are 45, 60, …
    /// 285; a target on day 200 or later, 10 days ahead, belongs to origins 195 … 285: 7 of them. The
    /// past of a persistent forecast ends at the origin, so its error is the horizon.
    #[test]
    fn a_forecaster_is_asked_at_each_horizon_and_shown_the_past_alone() {
        let (series, horizons) = (series(), [10, 150]);
        let trial = Trial::new(&series, &horizons, 200..301);
        let scores = trial.score("last", |past, days| {
            let last = past.values[past.values.len() - 1];
            assert!(days.iter().all(|&d| d > past.days[past.days.len() - 1]));
            days.iter().map(|_| Forecast { median: last, low: last, high: last + 50.0 }).collect()
        });
        // 150 ahead: origins 60 (→ 210) to 150 (→ 300)
        assert_eq!(scores.iter().map(|s| s.n).collect::<Vec<_>>(), [7, 7]);
        assert_eq!(scores.iter().map(|s| s.median_error).collect::<Vec<_>>(), [10.0, 150.0]);
        assert_eq!(scores.iter().map(|s| s.coverage).collect::<Vec<_>>(), [1.0, 0.0]);
        assert_eq!((scores[0].error_low, scores[0].width), (10.0, 50.0));
    }

    /// By hand: the last value is always 10 too low, 2 half-widths of 5; from the first origin with 50 misses behind it
    /// on, every interval is twice as wide and holds its observation.
    #[test]
    fn intervals_follow_the_misses_before_their_origin() {
        let one = series().remove(0);
        let series = vec![one; 12];
        let trial = Trial::new(&series, &[10], 200..301);
        let score = trial.score("last", |past, days| {
            let last = past.values[past.values.len() - 1];
            days.iter().map(|_| Forecast { median: last, low: last, high: last + 5.0 }).collect()
        });
        assert_eq!((score[0].n, score[0].coverage, score[0].coverage_watched), (84, 0.0, 1.0));
        assert_eq!((score[0].width, score[0].width_watched), (5.0, 10.0));
    }

    #[test]
    fn nothing_has_no_middle() {
        assert!(median(Vec::new()).is_nan());
    }
}
