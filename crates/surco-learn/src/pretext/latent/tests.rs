use super::*;

use burn::module::Module;
use burn::optim::GradientsParams;
use rand::SeedableRng;
use surco_data::Sample;
use surco_net::Size;

use crate::average::Average;
use crate::pretext::tests::{maker, only, series, task};
use crate::pretext::{Maker, Pretext, Task};
use crate::step::optimizer;

/// By hand: two tokens, targets along the axes; the first answer points to its own target, the second lies between
/// both. At τ = 0.1 they cost ln(1 + e⁻¹⁰) and ln 2.
#[test]
fn the_loss_is_that_worked_by_hand() {
    let device = Device::flex();
    let said = Tensor::<2>::from_data([[3.0, 0.0], [1.0, 1.0]], &device);
    let target = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0]], &device);
    let loss = info_nce(said, target).into_scalar::<f32>();
    let want = f32::midpoint((-10.0_f32).exp().ln_1p(), std::f32::consts::LN_2);
    assert!((loss - want).abs() < 1e-6, "{loss} {want}");
}

/// Hidden tokens are those without a value; their codes have length 1, are the same for the same seed and tell unlike
/// tokens apart.
#[test]
fn codes_are_frozen_and_tell_tokens_apart() {
    let Task::Latent(latent) = task(Pretext::Latent, 5) else { unreachable!() };
    assert!(latent.rows.len() > 16, "more than one of each of 16 series");
    for &row in &latent.rows {
        assert_eq!(latent.batch.weights_nc.row(row).sum(), 0.0);
    }
    let codes = latent.codes();
    for (i, code) in codes.rows().into_iter().enumerate() {
        assert!((code.dot(&code) - 1.0).abs() < 1e-5);
        let same = codes.rows().into_iter().take(i).filter(|o| o.dot(&code) > 0.99999);
        assert!(same.count() <= 2, "token {i} has the code of others");
    }
    let samples = series(2, 6);
    let refs: Vec<&Sample> = samples.iter().collect();
    let batch = maker(&samples).crops.batch(&refs, &mut ChaCha8Rng::seed_from_u64(1));
    let rows: Vec<usize> = (0..batch.tokens()).collect();
    let codes = |seed| Projection::new(seed).of(&batch, &rows);
    assert_eq!(codes(7), codes(7));
    assert_ne!(codes(7), codes(8));
}

/// By hand: tokens (1, 2, 3, 2) and (5, 5, 9, 1) without their means are (−1, 0, 1, 0) and (0, 0, 4, −4), of length 1
/// (−1, 0, 1, 0) / √2 and (0, 0, 1, −1) / √2, whose cosine is 1/2. Who says the targets themselves pays ln(1 + e⁻⁵) at τ = 0.1.
#[test]
fn targets_of_an_average_are_its_normalised_tokens() {
    let tokens = ndarray::array![[1.0_f32, 2.0, 3.0, 2.0], [5.0, 5.0, 9.0, 1.0]];
    let targets = normalised(tokens);
    let half = std::f32::consts::FRAC_1_SQRT_2;
    let want = ndarray::array![[-half, 0.0, half, 0.0], [0.0, 0.0, half, -half]];
    assert!((&targets - &want).iter().all(|e| e.abs() < 1e-6), "{targets}");
    let targets = table(&targets, &Device::flex());
    let loss = info_nce(targets.clone(), targets).into_scalar::<f32>();
    assert!((loss - (-5.0_f32).exp().ln_1p()).abs() < 1e-6, "{loss}");
}

/// An average sees the tokens that are hidden from the learner: its targets are its own tokens of the whole batch.
#[test]
fn the_average_sees_what_is_hidden() {
    let device = Device::flex();
    let weights = (only(Pretext::Latent), LatentTargets::Averaged);
    let learner = Learner::fresh(Size::Nano, 3, weights, &device);
    let samples = series(16, 12);
    let drawn: Vec<&Sample> = samples.iter().collect();
    let maker = Maker { targets: Targets::Averaged, ..maker(&samples) };
    let whole = maker.crops.batch(&drawn, &mut ChaCha8Rng::seed_from_u64(5));
    let masked = maker.masks.hide(&whole, &mut ChaCha8Rng::seed_from_u64(5));
    let latent = Latent::new(masked, &whole, &maker.targets).aimed(&learner.encoder, &device);
    let tokens = numbers(learner.encoder.tokens(&EncoderInput::new(&whole, &device)));
    let want = normalised(tokens.select(ndarray::Axis(0), &latent.rows));
    assert_eq!(latent.codes(), &want);
}

/// The mean of 1 − cosine over pairs of targets: 0 where all are the same.
fn spread(codes: &Array2<f32>) -> f32 {
    let sum = codes.sum_axis(ndarray::Axis(0));
    let m = codes.nrows() as f32;
    1.0 - (sum.dot(&sum) - m) / (m * (m - 1.0))
}

/// Losses of so many steps, and the spread of targets at each, after an average of the learner. A step takes 16 of
/// `of` series.
fn taught_after_itself(of: usize, seed: u64, steps: u64) -> Vec<(f32, f32)> {
    let (plain, device) = (Device::flex(), Device::flex().autodiff());
    let samples = series(of, 12);
    let maker = Maker { targets: Targets::Averaged, ..maker(&samples) };
    let weights = (only(Pretext::Latent), LatentTargets::Averaged);
    let fresh = Learner::fresh(Size::Nano, seed, weights, &plain);
    let (mut learner, mut optimizer) = (fresh.train().fork(&device), optimizer());
    let mut average = Average::new(&learner, 0.99);
    let step = |step: u64| {
        let first = step as usize * 16 % of;
        let drawn: Vec<&Sample> = samples[first..first + 16].iter().collect();
        // One batch alone is hidden alike every time.
        let mut rng = ChaCha8Rng::seed_from_u64(if of == 16 { 5 } else { step });
        let task = maker.task(Pretext::Latent, &drawn, &mut rng).aimed(&average.module, &plain);
        let Task::Latent(latent) = &task else { unreachable!() };
        let spread = spread(latent.codes());
        let loss = task.loss(&learner, &device);
        let number = loss.clone().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(loss.backward(), &learner);
        learner = optimizer.step(1e-3, learner.clone(), gradients);
        average.take_in(&learner, step + 1);
        (number, spread)
    };
    (0..steps).map(step).collect()
}

#[test]
fn targets_that_the_learner_makes_itself_do_not_collapse() {
    let steps = taught_after_itself(96, 3, 120);
    let spreads: Vec<f32> = steps.iter().map(|s| s.1).collect();
    assert!(spreads.iter().all(|s| *s > 0.5), "{spreads:?}");
}

#[test]
fn one_batch_is_learned_by_heart_after_an_average() {
    let steps = taught_after_itself(16, 3, 60);
    let (first, last) = (steps[0], steps[59]);
    assert!(last.0 < 0.5 * first.0 && last.1 > 0.5, "{first:?} → {last:?}");
}

#[test]
fn the_same_seed_gives_the_same_targets_of_an_average() {
    assert_eq!(taught_after_itself(32, 3, 4), taught_after_itself(32, 3, 4));
    assert_ne!(taught_after_itself(32, 3, 4), taught_after_itself(32, 4, 4));
}
