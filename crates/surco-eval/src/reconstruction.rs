//! Hidden dates of series, said by those that are left: a model against interpolation and climatology.
//!
//! Input: series of several bands with their blocks, and a method: a series with its gaps and the hidden dates in,
//! values out. Output: mean squared error over bands, seen values alone. A method is handed a series
//! without what is hidden. Sample config: `Hidden::draw(&series, Gap::Scattered, 0)`.

use std::collections::BTreeMap;

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Share of dates hidden here and there, or days of one stretch.
const SHARE: f64 = 0.25;

/// Days of a stretch.
const STRETCH_D: i32 = 60;

/// Draws of blocks for an interval.
const DRAWS: usize = 500;

/// The series of one place.
#[derive(Clone, Debug, PartialEq)]
pub struct BandSeries {
    /// Days since 1970-01-01, ascending.
    pub days: Vec<i32>,
    /// `[date, band]`, NaN = not seen.
    pub values: Array2<f32>,
    /// Spatial block.
    pub block: u64,
}

/// Which dates are hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// A quarter of the dates, here and there.
    Scattered,
    /// All dates of 60 days.
    Stretch,
}

/// Series with the dates that are hidden of each.
#[derive(Clone, Debug)]
pub struct Hidden<'a> {
    series: &'a [BandSeries],
    /// `[series]`, places of hidden dates, ascending.
    dates: Vec<Vec<usize>>,
}

/// How one method did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapScore {
    /// Name of the method.
    pub method: String,
    /// Which dates were hidden.
    pub gap: Gap,
    /// Values said.
    pub n: usize,
    /// Mean squared error, reflectance².
    pub mse: f64,
    /// 95 % interval of it, by drawing blocks.
    pub mse_low: f64,
    /// Upper end.
    pub mse_high: f64,
}

impl<'a> Hidden<'a> {
    /// Hides dates of each series that has at least eight; the first and the last stay, so that
    /// interpolation has two ends.
    #[must_use]
    pub fn draw(series: &'a [BandSeries], gap: Gap, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let hidden = |one: &BandSeries| -> Vec<usize> {
            let count = one.days.len();
            if count < 8 {
                return Vec::new();
            }
            match gap {
                Gap::Scattered => (1..count - 1).filter(|_| rng.random_bool(SHARE)).collect(),
                Gap::Stretch => {
                    let (first, last) = (one.days[0], one.days[count - 1]);
                    let from = rng.random_range(first + 1..(last - STRETCH_D).max(first + 2));
                    let inside = |i: &usize| (from..from + STRETCH_D).contains(&one.days[*i]);
                    (1..count - 1).filter(inside).collect()
                }
            }
        };
        Self { series, dates: series.iter().map(hidden).collect() }
    }

    /// Scores a method: `say` gets the place of a series, the series without what is hidden, and the hidden
    /// days; it gives `[day, band]`. Values it gives as NaN count as an error of the whole value.
    pub fn score(
        &self,
        method: &str,
        gap: Gap,
        say: impl Fn(usize, &BandSeries, &[i32]) -> Array2<f32> + Sync,
    ) -> GapScore {
        let judge = |place: usize| {
            let (one, hidden) = (&self.series[place], &self.dates[place]);
            let (left, days) = without(one, hidden);
            let said = say(place, &left, &days);
            let mut sum = (0.0, 0);
            for (row, &date) in hidden.iter().enumerate() {
                let seen = one.values.row(date).into_iter().zip(said.row(row));
                for (&truth, &said) in seen.filter(|(truth, _)| truth.is_finite()) {
                    let said = if said.is_finite() { said } else { 0.0 };
                    sum.0 += f64::from(truth - said).powi(2);
                    sum.1 += 1;
                }
            }
            (one.block, sum)
        };
        let asked = (0..self.series.len()).into_par_iter().filter(|&p| !self.dates[p].is_empty());
        let sums: Vec<(u64, (f64, usize))> = asked.map(judge).collect();
        let mut blocks: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
        for (block, (sum, count)) in sums {
            let whole = blocks.entry(block).or_default();
            *whole = (whole.0 + sum, whole.1 + count);
        }
        let blocks: Vec<(f64, usize)> = blocks.into_values().collect();
        let [mse_low, mse_high] = interval(&blocks);
        let n = blocks.iter().map(|b| b.1).sum();
        GapScore { method: method.into(), gap, n, mse: mean(blocks.iter()), mse_low, mse_high }
    }
}

/// A series without some of its dates, and their days.
fn without(one: &BandSeries, hidden: &[usize]) -> (BandSeries, Vec<i32>) {
    let left: Vec<usize> =
        (0..one.days.len()).filter(|d| hidden.binary_search(d).is_err()).collect();
    let days = |dates: &[usize]| dates.iter().map(|&d| one.days[d]).collect::<Vec<i32>>();
    let values = one.values.select(ndarray::Axis(0), &left);
    (BandSeries { days: days(&left), values, block: one.block }, days(hidden))
}

fn mean<'a>(blocks: impl Iterator<Item = &'a (f64, usize)>) -> f64 {
    let (sum, n) = blocks.fold((0.0, 0), |(sum, n), b| (sum + b.0, n + b.1));
    sum / n as f64
}

/// 95 % interval of the mean, blocks drawn with replacement.
fn interval(blocks: &[(f64, usize)]) -> [f64; 2] {
    if blocks.is_empty() {
        return [f64::NAN; 2];
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<&(f64, usize)> =
                (0..blocks.len()).map(|_| &blocks[rng.random_range(0..blocks.len())]).collect();
            mean(drawn.into_iter())
        })
        .collect();
    means.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share| crate::spread::quantile(&means, share))
}

/// Band by band, straight between the observations around a day; beyond the ends, the nearest.
#[must_use]
pub fn interpolated(left: &BandSeries, days: &[i32]) -> Array2<f32> {
    Array2::from_shape_fn((days.len(), left.values.ncols()), |(row, band)| {
        let day = days[row];
        let seen = |i: &usize| left.values[[*i, band]].is_finite();
        let after = left.days.partition_point(|&d| d < day);
        let before = (0..after).rev().find(seen);
        let after = (after..left.days.len()).find(seen);
        let value = |i: usize| left.values[[i, band]];
        match (before, after) {
            (Some(a), Some(b)) => {
                let share =
                    (day - left.days[a]) as f32 / (left.days[b] - left.days[a]).max(1) as f32;
                value(a) + (value(b) - value(a)) * share
            }
            (Some(one), None) | (None, Some(one)) => value(one),
            (None, None) => f32::NAN,
        }
    })
}

/// Means by month of the year over series learned from.
#[derive(Clone, Debug)]
pub struct Months {
    /// `[month, band]`, NaN = nothing seen.
    means: Array2<f32>,
    /// `[band]`
    whole: Vec<f32>,
}

impl Months {
    /// Measures the means of series learned from; all places and classes together. `None` without a series.
    #[must_use]
    pub fn measure(learned: &[BandSeries]) -> Option<Self> {
        let bands = learned.first()?.values.ncols();
        let mut sums = Array2::<f64>::zeros((13, bands));
        let mut counts = Array2::<f64>::zeros((13, bands));
        for one in learned {
            for (row, &day) in one.values.rows().into_iter().zip(&one.days) {
                for (band, &value) in row.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                    for month in [month_of(day), 12] {
                        sums[[month, band]] += f64::from(value);
                        counts[[month, band]] += 1.0;
                    }
                }
            }
        }
        let all = (sums / counts).mapv(|v| v as f32);
        Some(Self {
            means: all.slice(ndarray::s![..12, ..]).to_owned(),
            whole: all.row(12).to_vec(),
        })
    }

    fn mean(&self, day: i32, band: usize) -> f32 {
        let own = self.means[[month_of(day), band]];
        if own.is_finite() { own } else { self.whole[band] }
    }

    /// The mean of the month, the same for every place.
    #[must_use]
    pub fn monthly(&self, days: &[i32]) -> Array2<f32> {
        Array2::from_shape_fn((days.len(), self.whole.len()), |(row, band)| {
            self.mean(days[row], band)
        })
    }

    /// The mean of the month, moved by what the place usually is above or below it.
    #[must_use]
    pub fn of_place(&self, left: &BandSeries, days: &[i32]) -> Array2<f32> {
        let above: Vec<f32> = (0..self.whole.len())
            .map(|band| {
                let seen =
                    left.days.iter().zip(left.values.column(band)).filter(|(_, v)| v.is_finite());
                let (sum, n) =
                    seen.fold((0.0, 0_u16), |(s, n), (&d, v)| (s + v - self.mean(d, band), n + 1));
                sum / f32::from(n.max(1))
            })
            .collect();
        let mut said = self.monthly(days);
        said.rows_mut().into_iter().for_each(|mut row| row += &ndarray::aview1(&above));
        said
    }
}

/// Month of the year, 0 to 11.
fn month_of(day: i32) -> usize {
    let date = jiff::civil::date(1970, 1, 1)
        .checked_add(jiff::Span::new().days(day))
        .unwrap_or(jiff::civil::Date::MAX);
    (date.month() - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn line(slope: f32, block: u64) -> BandSeries {
        let days: Vec<i32> = (0..40).map(|i| 17_600 + i * 7).collect();
        let values = Array2::from_shape_fn((40, 2), |(t, b)| slope * t as f32 + b as f32);
        BandSeries { days, values, block }
    }

    #[test]
    fn a_method_never_sees_what_is_hidden_and_a_line_is_interpolated_exactly() {
        let series = [line(0.01, 1), line(0.02, 2)];
        for gap in [Gap::Scattered, Gap::Stretch] {
            let hidden = Hidden::draw(&series, gap, 3);
            assert!(hidden.dates.iter().all(|d| !d.is_empty() && d[0] > 0 && d[d.len() - 1] < 39));
            let score = hidden.score("line", gap, |_, left, days| {
                assert!(days.iter().all(|d| !left.days.contains(d)));
                interpolated(left, days)
            });
            assert!(score.mse < 1e-10 && score.n > 4, "{score:?}");
            let off = hidden.score("off", gap, |_, left, days| interpolated(left, days) + 0.1);
            assert!(
                (off.mse - 0.01).abs() < 1e-6 && off.mse_low <= off.mse && off.mse <= off.mse_high
            );
        }
    }

    /// By hand: of 1, gap, 4 on days 0, 5, 15 the middle is 1 + 3 · 5/15 = 2; after the end it stays 4.
    #[test]
    fn interpolation_is_in_days_and_ends_are_carried() {
        let values = array![[1.0], [f32::NAN], [4.0]];
        let left = BandSeries { days: vec![0, 3, 15], values, block: 0 };
        assert_eq!(interpolated(&left, &[5, 20]), array![[2.0], [4.0]]);
    }

    /// By hand: 17 532 is 1 January 2018 and 17 563 1 February. January means 2, February 6; the place was 1 above
    /// in January, so February is said as 7. March was never seen: the mean of all, 4.
    #[test]
    fn climatology_is_by_month_and_moved_by_the_place() {
        let values = array![[1.0], [3.0], [6.0], [6.0]];
        let learned = [BandSeries { days: vec![17_532, 17_533, 17_563, 17_564], values, block: 0 }];
        let months = Months::measure(&learned).unwrap();
        assert_eq!(months.monthly(&[17_540, 17_570, 17_600]), array![[2.0], [6.0], [4.0]]);
        let place = BandSeries { days: vec![17_535], values: array![[3.0]], block: 1 };
        assert_eq!(months.of_place(&place, &[17_570]), array![[7.0]]);
    }
}
