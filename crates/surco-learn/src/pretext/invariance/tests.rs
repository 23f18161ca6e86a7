use super::*;

use burn::module::Module;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

use crate::pretext::tests::{task, taught};
use crate::pretext::{Pretext, Task};

/// By hand, two places in two dimensions. One view: (1, 1) and (−1, −1): variance 2 in each, covariance 2, whose square
/// counts twice, over the width 2: 4. The other the same but for 0.5 more in the first dimension: they disagree by
/// (0.25 + 0) / 2. Deviations of √2 lack nothing.
#[test]
fn the_loss_is_that_worked_by_hand() {
    let device = Device::flex();
    let a = Tensor::<2>::from_data([[1.0, 1.0], [-1.0, -1.0]], &device);
    let b = Tensor::<2>::from_data([[1.5, 1.0], [-0.5, -1.0]], &device);
    let loss = vicreg(a, b).into_scalar::<f32>();
    let want = 0.125 + 2.0 * 4.0 / 25.0;
    assert!((loss - want).abs() < 1e-5, "{loss} {want}");
}

/// Whoever says the same of every place agrees with himself and pays for it: 1 − √ε.
#[test]
fn saying_the_same_of_every_place_is_no_way_out() {
    let same = Tensor::<2>::ones([5, 3], &Device::flex());
    let loss = vicreg(same.clone(), same).into_scalar::<f32>();
    assert!((loss - 0.99).abs() < 1e-5, "{loss}");
}

#[test]
fn the_dates_of_the_two_views_are_disjoint_and_together_all() {
    for dates in [2, 3, 12] {
        let [a, b] = split(dates, &mut ChaCha8Rng::seed_from_u64(dates as u64));
        assert!(!a.is_empty() && !b.is_empty() && a.is_sorted() && b.is_sorted());
        let all: BTreeSet<usize> = a.iter().chain(&b).copied().collect();
        assert_eq!((all.len(), a.len() + b.len()), (dates, dates));
    }
    let Task::Invariance(two) = task(Pretext::Invariance, 1) else { unreachable!() };
    assert_eq!(two.counted(), 16);
    assert_eq!(two.views[0].lengths, [6 + QUERIES.count; 16]);
}

/// 60 steps on one batch: embeddings of other dates of the same places agree better than before, and still differ from
/// place to place.
#[test]
fn learning_to_agree_does_not_end_in_one_answer_for_all() {
    let device = Device::flex();
    let embedded = |learner: &Learner| {
        let Task::Invariance(other) = task(Pretext::Invariance, 9) else { unreachable!() };
        let [a, b] = other.views.map(|v| learner.encoder.embed(&EncoderInput::new(&v, &device)));
        let apart = (a.clone() - b).square().mean().into_scalar::<f32>();
        let spread = a.var(0).mean().into_scalar::<f32>();
        (apart / spread, spread.sqrt())
    };
    let two = task(Pretext::Invariance, 5);
    let (before, after) = (taught(&two, 3, 0).1.valid(), taught(&two, 3, 60).1.valid());
    let ((far, spread_before), (near, spread)) = (embedded(&before), embedded(&after));
    assert!(near < 0.5 * far, "{far} → {near} of the spread between places");
    assert!(spread > 0.1, "{spread_before} → {spread}");
}
