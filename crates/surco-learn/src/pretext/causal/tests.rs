use super::*;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::pretext::tests::{maker, series, task, taught};
use crate::pretext::{Pretext, Task};

/// By hand: errors 1 and 3 with scales 1 and 2 cost 1 + ln 2 and 3/2 + ln 4, weighed 1 to 3; what weighs nothing
/// may be anything.
#[test]
fn the_loss_is_that_worked_by_hand() {
    let device = Device::flex();
    let row = |v: [f32; 3]| Tensor::<2>::from_data([v], &device);
    let spread = Spread {
        location_pc: row([0.0, 5.0, 7.0]),
        log_scale_pc: row([0.0, std::f32::consts::LN_2, 4.0]),
    };
    let loss = laplace_loss(spread, row([1.0, 2.0, 0.0]), row([1.0, 3.0, 0.0]));
    let ln_2 = std::f32::consts::LN_2;
    let want = ((1.0 + ln_2) + 3.0 * (1.5 + 2.0 * ln_2)) / 4.0;
    assert!((loss.into_scalar::<f32>() - want).abs() < 1e-6);
}

/// Every question looks ahead, gaps of all lengths are asked for, and the answer is what the date showed.
#[test]
fn questions_are_about_later_dates_of_the_same_place() {
    let samples = series(8, 30);
    let maker = maker(&samples);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let cut = maker.crops.cut(&samples.iter().collect::<Vec<_>>(), &mut rng);
    let causal = Causal::new(&cut, 0.0, &mut rng);
    let whole = Batch::new(
        &cut.samples
            .iter()
            .map(|s| s.at_dates(&(0..s.len()).collect::<Vec<_>>(), 2))
            .collect::<Vec<_>>()
            .iter()
            .collect::<Vec<_>>(),
        &surco_data::BatchSpec { max_dates: usize::MAX, ..cut.spec.clone() },
    );
    assert!(causal.gaps_days.iter().all(|&gap| gap > 0));
    assert!(causal.gaps_days.iter().any(|&gap| gap < 15), "short ones");
    assert!(causal.gaps_days.iter().any(|&gap| gap > 120), "long ones");
    // 24 of 30 dates in a row are asked from, all but the last of each series.
    assert_eq!(causal.asked.len(), 8 * 23 * QUESTIONS);
    assert_eq!(causal.target_pc.ncols(), 3, "two bands and NDVI");
    let shown = |v: f32, c: usize| {
        (0..whole.tokens()).any(|row| (whole.values_nc[[row, c]] - v).abs() < 1e-6)
    };
    for target in causal.target_pc.rows() {
        assert!(shown(target[0], 0) && shown(target[1], 1), "{target}");
    }
    for sample in &causal.batch.samples {
        let last = causal.batch.season_ns[[sample.rows.end - 1, AGE]];
        assert!((-OLDEST_YEARS..=0.0).contains(&last), "{last}");
        let days =
            causal.batch.days_n[sample.rows.end - 1] - causal.batch.days_n[sample.rows.start];
        let years = last - causal.batch.season_ns[[sample.rows.start, AGE]];
        assert!((years - days as f32 / 365.2425).abs() < 1e-4, "what lies between dates stays");
    }
    let hidden = causal.batch.weights_nc.rows().into_iter().filter(|w| w.sum() == 0.0).count();
    assert!(hidden > 0 && hidden < 8 * 24 * 3 / 10, "{hidden} dates hidden");
}

/// The 9th of 9 errors, because ⌈10 · 0.9⌉ = 9; of 19 the 18th.
#[test]
fn the_conformal_width_is_the_error_at_its_place() {
    let mut few: Vec<f32> = (1..=9).rev().map(|v| v as f32).collect();
    assert_eq!(conformal(&mut few), 9.0);
    let mut more: Vec<f32> = (1..=19).map(|v| v as f32).collect();
    assert_eq!(conformal(&mut more), 18.0);
}

/// After a few steps the distributions are those of a half-trained head; their measured widths hold nine tenths of
/// what they were measured on, and the plain ones another share.
#[test]
fn measured_intervals_hold_what_they_promise() {
    let Task::Causal(causal) = task(Pretext::Causal, 5) else { unreachable!() };
    let (_, learner) = taught(&Task::Causal(causal.clone()), 3, 8);
    let learner = burn::module::Module::valid(&learner);
    let device = Device::flex();
    let config = calibrated(&learner, std::iter::once(&causal), &device);
    assert!(config.horizons.len() >= 3, "{config:?}");
    let spread = causal.answers(&learner, &device);
    let numbers = |t: Tensor<2>| t.into_data().iter::<f32>().collect::<Vec<_>>();
    let (location, log_scale) = (numbers(spread.location_pc), numbers(spread.log_scale_pc));
    for horizon in &config.horizons {
        let (mut inside, mut all) = (0, 0);
        for (i, ((p, c), &target)) in causal.target_pc.indexed_iter().enumerate() {
            let of = config.horizons.iter().find(|h| causal.gaps_days[p] <= h.to_days);
            if c < 2 && causal.weight_pc[[p, c]] > 0.0 && of == Some(horizon) {
                all += 1;
                let half = horizon.bands * log_scale[i].exp();
                inside += usize::from((target - location[i]).abs() <= half);
            }
        }
        let share = inside as f64 / all as f64;
        assert_eq!(all, horizon.observations);
        assert!((0.9..0.92).contains(&share), "{horizon:?}: {share}");
    }
}
