use super::*;

use burn::module::Module;
use burn::optim::GradientsParams;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use surco_data::{BatchSpec, Normalisation, SpectralBand};
use surco_net::Size;

use crate::step::optimizer;

/// Series that differ in phase and height, on dates of their own.
pub(super) fn series(count: usize, dates: i32) -> Vec<Sample> {
    let one = |k: usize| {
        let day = |d: i32| 19_500 + d * (300 / dates) + (k as i32 * 7 + d * d) % 5;
        let value = |i: i32| {
            let (turn, band) = (day(i / 2) as f32 / 58.0 + k as f32 * 0.7, (i % 2) as f32);
            0.25 + 0.02 * (k % 5) as f32 + (0.05 + 0.05 * band) * (turn - band).sin()
        };
        Sample::series((0..dates).map(day).collect(), (0..2 * dates).map(value).collect(), true)
    };
    (0..count).map(one).collect()
}

pub(super) fn maker(samples: &[Sample]) -> Maker {
    let bands = [665.0, 842.0].map(|nm| SpectralBand::optical(nm, 30.0));
    let norm = Normalisation::measure(&bands, samples);
    let spec = BatchSpec { max_dates: 24, ..BatchSpec::new(&bands, &norm, (19_450, 19_815)) };
    Maker {
        crops: Crops { spec, patch_px: vec![1], window_px: 1 },
        masks: Masks { share: 0.4, band_dropout: 0.0, of: MaskWeights::default() },
        targets: Targets::new(LatentTargets::Random, 1),
    }
}

pub(super) fn only(pretext: Pretext) -> PretextWeights {
    let weight = |of| f64::from(u8::from(of == pretext));
    PretextWeights {
        masked: weight(Pretext::Masked),
        causal: weight(Pretext::Causal),
        latent: weight(Pretext::Latent),
        invariance: weight(Pretext::Invariance),
    }
}

const ALL: [Pretext; 4] = [Pretext::Masked, Pretext::Causal, Pretext::Latent, Pretext::Invariance];

pub(super) fn task(pretext: Pretext, seed: u64) -> Task {
    let samples = series(16, 12);
    let drawn: Vec<&Sample> = samples.iter().collect();
    maker(&samples).task(pretext, &drawn, &mut ChaCha8Rng::seed_from_u64(seed))
}

/// Losses of so many steps on one micro-batch, and the learner they lead to.
pub(super) fn taught(task: &Task, seed: u64, steps: usize) -> (Vec<f32>, Learner) {
    let device = Device::flex().autodiff();
    let weights = only(task.pretext());
    let taught = (weights, LatentTargets::Random);
    let fresh = Learner::fresh(Size::Nano, seed, taught, &Device::flex());
    let (mut learner, mut optimizer) = (fresh.train().fork(&device), optimizer());
    let losses = (0..steps)
        .map(|_| {
            let loss = task.loss(&learner, &device);
            let number = loss.clone().into_scalar::<f32>();
            let gradients = GradientsParams::from_grads(loss.backward(), &learner);
            learner = optimizer.step(1e-3, learner.clone(), gradients);
            number
        })
        .collect();
    (losses, learner)
}

/// How far a loss falls at least in 60 steps on one micro-batch. That of the causal pretext is a logarithm: −1 is a scale
/// of an e-th. 16 places span 15 of the 64 dimensions they are compared in, so that their covariances leave the
/// invariance pretext at least 2 · ((64² / 15 − 64) / 64) / 25 = 0.26.
#[test]
fn each_pretext_learns_one_batch_by_heart() {
    for pretext in ALL {
        let (losses, _) = taught(&task(pretext, 5), 3, 60);
        let (first, last) = (losses[0], losses[59]);
        let is_learnt = match pretext {
            Pretext::Masked => last < 0.35 * first,
            Pretext::Causal => last < first - 1.0,
            Pretext::Latent => last < 0.5 * first,
            Pretext::Invariance => last - 0.26 < 0.5 * (first - 0.26),
        };
        assert!(is_learnt, "{pretext:?}: {first} → {last}");
    }
}

#[test]
fn the_same_seed_gives_the_same_losses_and_another_seed_others() {
    for pretext in ALL {
        let losses = |batch, weights| taught(&task(pretext, batch), weights, 3).0;
        assert_eq!(losses(5, 3), losses(5, 3), "{pretext:?}");
        assert_ne!(losses(5, 3), losses(6, 3), "{pretext:?}: another batch");
        assert_ne!(losses(5, 3), losses(5, 4), "{pretext:?}: other weights");
    }
}

#[test]
fn pretexts_are_drawn_by_their_weights_and_one_alone_without_a_draw() {
    let weights = PretextWeights { masked: 1.0, causal: 3.0, latent: 0.0, invariance: 0.0 };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let drawn: Vec<Pretext> = (0..4000).map(|_| weights.draw(&mut rng)).collect();
    let causal = drawn.iter().filter(|p| **p == Pretext::Causal).count();
    // Three in four, within four standard deviations of √(4000 · 3/4 · 1/4) = 27.
    assert!((2890..3110).contains(&causal), "{causal}");
    assert!(drawn.iter().all(|p| [Pretext::Masked, Pretext::Causal].contains(p)));
    let (mut rng, untouched) = (ChaCha8Rng::seed_from_u64(1), ChaCha8Rng::seed_from_u64(1));
    assert_eq!(PretextWeights::default().draw(&mut rng), Pretext::Masked);
    assert_eq!(rng, untouched);
}

#[test]
fn weights_that_draw_nothing_are_refused_by_name() {
    for wrong in [0.0, -1.0, f64::NAN] {
        let weights = PretextWeights { masked: wrong, ..PretextWeights::default() };
        let said = weights.check().unwrap_err().to_string();
        assert!(said.contains("pretext") && said.contains("one of them above"), "{said}");
    }
}

/// Weights of the encoder do not depend on what stands on it.
#[test]
fn a_pretext_more_changes_nothing_of_the_encoder_that_learning_begins_with() {
    let all = PretextWeights { masked: 1.0, causal: 1.0, latent: 1.0, invariance: 1.0 };
    let device = Device::flex();
    let Task::Masked(masked) = task(Pretext::Masked, 1) else { unreachable!() };
    let loss = |weights| {
        let learner = Learner::fresh(Size::Nano, 2, (weights, LatentTargets::Random), &device);
        masked_loss(&learner.encoder, &masked, &device).0.into_scalar::<f32>()
    };
    assert_eq!(loss(PretextWeights::default()), loss(all));
}
