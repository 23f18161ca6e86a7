//! Forecasts moved by how far off the last observation was.
//!
//! A model of seasons says what a place should look like on a day; a place that was greener than that last week
//! will be greener next week too, and by less in three months. [`Levelled`] asks a method about the last date that
//! is known, from those before it alone, and adds a share of that error to what it says of coming ones. The share of
//! each horizon is the one under which series learned from are foretold best, so it is 0 where the error says nothing.
//!
//! Input: a method, a trial over series learned from. Output: a method. Sample config: `Levelled::fit(method, &before)`.
//!
//! # Source
//! Simple kriging of the residuals of a trend, in time, from one neighbour: Journel and Huijbregts 1978.

use super::{Past, Trial, median};

/// Shares of the error that are tried, in tenths.
const TENTHS: u32 = 10;

/// A method, moved by the error at the last observation.
#[derive(Clone, Debug)]
pub struct Levelled<F> {
    method: F,
    /// Days ahead, ascending, with the share of the error that is left by then, 0 to 1.
    left: Vec<(i32, f64)>,
}

impl<F: Fn(&Past<'_>, &[i32]) -> Vec<f64> + Sync> Levelled<F> {
    /// Chooses the share of each horizon by the median absolute error over series learned from.
    #[must_use]
    pub fn fit(method: F, trial: &Trial<'_>) -> Self {
        let asked = trial.asked(|past, days| {
            let off = off(&method, past);
            method(past, days).into_iter().map(|said| (said, off)).collect()
        });
        let share = |horizon: usize| {
            let own: Vec<(f64, f64)> = asked
                .iter()
                .filter(|(question, _)| question.horizon == horizon)
                .map(|(question, (said, off))| {
                    (trial.series[question.series].values[question.target] - said, *off)
                })
                .collect();
            let error =
                |share: &f64| median(own.iter().map(|(e, off)| (e - share * off).abs()).collect());
            let shares = (0..=TENTHS).map(|tenths| f64::from(tenths) / f64::from(TENTHS));
            shares.min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or(0.0)
        };
        let horizons = trial.horizons.iter().enumerate();
        let left = horizons.map(|(at, &days)| (days, share(at))).collect();
        Self { method, left }
    }

    /// The same shares for another method: one method over other series.
    #[must_use]
    pub fn with<G: Fn(&Past<'_>, &[i32]) -> Vec<f64> + Sync>(&self, method: G) -> Levelled<G> {
        Levelled { method, left: self.left.clone() }
    }

    /// What the method says, moved; between two horizons the share is in between.
    #[must_use]
    pub fn forecast(&self, past: &Past<'_>, days: &[i32]) -> Vec<f64> {
        let (off, origin) = (off(&self.method, past), past.days.last().copied().unwrap_or(0));
        let said = (self.method)(past, days);
        days.iter().zip(said).map(|(&day, said)| said + self.share(day - origin) * off).collect()
    }

    /// The share so many days ahead.
    fn share(&self, ahead: i32) -> f64 {
        let after = self.left.partition_point(|(days, _)| *days < ahead);
        match (after.checked_sub(1).map(|i| self.left[i]), self.left.get(after)) {
            (Some((d0, s0)), Some(&(d1, s1))) => {
                s0 + (s1 - s0) * f64::from(ahead - d0) / f64::from((d1 - d0).max(1))
            }
            (Some((_, share)), None) | (None, Some(&(_, share))) => share,
            (None, None) => 0.0,
        }
    }
}

/// How far above the method's word the last observation was; 0 if there is nothing before it.
fn off(method: impl Fn(&Past<'_>, &[i32]) -> Vec<f64>, past: &Past<'_>) -> f64 {
    let Some(((&day, days), (&seen, values))) =
        past.days.split_last().zip(past.values.split_last())
    else {
        return 0.0;
    };
    if days.is_empty() {
        return 0.0;
    }
    let before = Past { series: past.series, days, values };
    let off = method(&before, &[day]).first().map_or(0.0, |said| seen - said);
    if off.is_finite() { off } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::IndexSeries;
    use super::*;

    /// Series that lie above or below 0.5 and stay there for 60 days, then on the other side. Asked 10 days
    /// ahead half of the error is right at the turns and all of it between them; 60 days ahead it says nothing good.
    fn series(phase: i32) -> IndexSeries {
        let days: Vec<i32> = (0..120).map(|i| 17_000 + i * 5).collect();
        let side =
            |day: &i32| if (day - 17_000 + phase).div_euclid(60) % 2 == 0 { 0.1 } else { -0.1 };
        let values = days.iter().map(|d| 0.5 + side(d)).collect();
        IndexSeries { days, values, block: phase as u64 }
    }

    #[test]
    fn a_lasting_error_is_carried_and_a_passing_one_is_not() {
        let series: Vec<IndexSeries> = (0..12).map(|i| series(i * 10)).collect();
        let trial = Trial::new(&series, &[10, 60], 0..20_000);
        let level = |_: &Past<'_>, days: &[i32]| vec![0.5; days.len()];
        let levelled = Levelled::fit(level, &trial);
        assert_eq!(levelled.left, [(10, 1.0), (60, 0.0)]);
        assert!((levelled.share(35) - 0.5).abs() < 1e-12 && levelled.share(5) == 1.0);
        let past = Past { series: 0, days: &[10, 20], values: &[0.5, 0.6] };
        let said = levelled.forecast(&past, &[30, 45, 200]);
        let right =
            [0.6, 0.57, 0.5].iter().zip(&said).all(|(want, got)| (want - got).abs() < 1e-12);
        assert!(right, "{said:?}");
    }

    #[test]
    fn the_first_observation_has_nothing_before_it() {
        let levelled = Levelled {
            method: |_: &Past<'_>, d: &[i32]| vec![0.2; d.len()],
            left: vec![(10, 1.0)],
        };
        let past = Past { series: 0, days: &[10], values: &[0.9] };
        assert_eq!(levelled.forecast(&past, &[20]), [0.2]);
    }
}
