use std::sync::Arc;

use surco_core::Silent;
use surco_net::MeteorNorm;

use super::*;
use crate::meta::meteor::tests::cube;

fn learner(adapt_steps: usize) -> MeteorLearner {
    let config = MeteorConfig::for_bands(MeteorNorm::Instance, &["B04".into()]);
    let meta = MeteorMeta { chip_px: 8, adapt_steps, ..MeteorMeta::default() };
    let model = SystemModel::fresh(config, 1, &Device::flex());
    MeteorLearner { model, learning: MeteorLearning::of(&meta) }
}

/// By hand: of eight, the middles of four pairs; of three, all.
#[test]
fn dates_are_spread_evenly() {
    assert_eq!(evenly(&[10, 11, 12, 13, 14, 15, 16, 17], 4), [11, 13, 15, 17]);
    assert_eq!(evenly(&[4, 5, 9], 4), [4, 5, 9]);
    assert_eq!(evenly(&[4, 5, 9], 1), [5]);
}

/// The east has stripes, which a norm of the image leaves; the first places have labels.
#[test]
fn steps_from_random_weights_learn_halves_of_a_cube_and_the_same_ones_again() {
    let pixels = [(6, 6), (6, 32), (14, 8), (14, 30), (24, 8), (24, 32), (30, 6), (30, 34)];
    let mut chips = Chips::new(8);
    chips.add(Arc::new(cube()), vec![0], pixels);
    let labels = [0, 1, 0, 1];
    let task =
        FewLabels { support: &[0, 1, 2, 3], labels: &labels, classes: 2, query: &[4, 5, 6, 7] };
    let learner = learner(10);
    let said = learner.answers(&chips, &[task, task], &Silent).unwrap();
    assert_eq!(said, [[0, 1, 0, 1], [0, 1, 0, 1]]);
    assert_eq!(learner.never_whole(&chips, &[task]), (0, 8));
}

#[test]
fn what_was_saved_is_read_and_belongs_to_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let MeteorLearner { model, learning } = learner(7);
    let weights = model.save(folder.path()).unwrap();
    let load = || MeteorLearner::load(folder.path(), &Device::flex());
    assert!(load().unwrap_err().to_string().contains("does not say how a model learns"));
    learning.save(folder.path(), &weights).unwrap();
    let read = load().unwrap();
    assert_eq!((read.learning.chip_px, read.learning.adapt_steps), (8, 7));
    learning.save(folder.path(), "of others").unwrap();
    assert!(load().unwrap_err().to_string().contains("it belongs to other weights"));
}
