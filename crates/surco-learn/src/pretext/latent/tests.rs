use super::*;

use rand::SeedableRng;
use surco_data::Sample;

use crate::pretext::tests::{maker, series, task};
use crate::pretext::{Pretext, Task};

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
    for (i, code) in latent.target_md.rows().into_iter().enumerate() {
        assert!((code.dot(&code) - 1.0).abs() < 1e-5);
        let same = latent.target_md.rows().into_iter().take(i).filter(|o| o.dot(&code) > 0.99999);
        assert!(same.count() <= 2, "token {i} has the code of others");
    }
    let samples = series(2, 6);
    let refs: Vec<&Sample> = samples.iter().collect();
    let batch = maker(&samples).crops.batch(&refs, &mut ChaCha8Rng::seed_from_u64(1));
    let rows: Vec<usize> = (0..batch.tokens()).collect();
    assert_eq!(Targets::new(7).of(&batch, &rows), Targets::new(7).of(&batch, &rows));
    assert_ne!(Targets::new(7).of(&batch, &rows), Targets::new(8).of(&batch, &rows));
}
