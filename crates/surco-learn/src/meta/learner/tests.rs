use super::*;
use crate::meta::tests::{model, task};
use surco_core::Silent;

fn learner(config: &MetaConfig) -> MetaLearner {
    let learning = Learning::of(config, None).unwrap();
    MetaLearner { model: model(&task()), learning, task_encoder: None }
}

#[test]
fn the_same_labels_are_answered_alike_under_all_heads() {
    let task = task();
    let (support, query): (Vec<usize>, Vec<usize>) = (0..90).partition(|i| i % 18 < 3);
    let labels: Vec<usize> = support.iter().map(|&i| task.classes[i]).collect();
    let few = FewLabels { support: &support, labels: &labels, classes: 3, query: &query };
    for heads in [Heads::Together, Heads::OneAgainstAll, Heads::Pairs] {
        // A step takes seven of fifteen labels.
        let config = MetaConfig {
            method: MetaMethod::Fomaml,
            heads,
            inner_rate: 0.003,
            adapt_steps: 5,
            adapt_batch: 7,
            ..MetaConfig::default()
        };
        let learner = learner(&config);
        let spec = learner.model.config.spec(&task.bands, task.window);
        let told = learner.answers(&task.samples, &spec, &[few, few], &Silent).unwrap();
        assert_eq!(told[0].len(), query.len());
        assert!(told[0].iter().all(|&class| class < 3), "{heads:?}");
        assert_eq!(told[0], told[1], "{heads:?}");
    }
}

/// By hand: from a head of zeros, all chances ½, one step of rate r moves what speaks for the class by r · mean (t − ½) x and what
/// speaks against it by as much the other way, and the biases alike without x.
#[test]
fn one_step_of_a_head_against_all_agrees_with_a_hand() {
    let task = task();
    let config = MetaConfig {
        method: MetaMethod::Anil,
        heads: Heads::OneAgainstAll,
        inner_rate: 0.004,
        adapt_steps: 1,
        ..MetaConfig::default()
    };
    let learner = learner(&config);
    let spec = learner.model.config.spec(&task.bands, task.window);
    let (support, labels, query) = ([0, 1, 2, 3], [0, 1, 2, 0], [4, 5, 6]);
    let few = FewLabels { support: &support, labels: &labels, classes: 3, query: &query };
    let device = learner.model.device();
    let at_work = Learner { of: &learner, samples: &task.samples, spec: &spec, device: &device };
    let said = at_work.said(&few, &Heads::OneAgainstAll.questions(3)[0], Known::of([], 0));
    let rows: Vec<&Sample> = (0..7).map(|i| &task.samples[i]).collect();
    let x = surco_net::embed(&learner.model, &rows, &spec, &device);
    for (i, asked) in query.into_iter().enumerate() {
        let pull = |(&at, &class): (&usize, &usize)| {
            let toward = if class == 0 { 0.5 } else { -0.5 };
            toward * (x.row(at).dot(&x.row(asked)) + 1.0) / 4.0
        };
        let moved: f32 = support.iter().zip(&labels).map(pull).sum();
        let want = 1.0 / (1.0 + (-2.0 * 0.004 * moved).exp());
        assert!((said[[i, 1]] - want).abs() < 1e-5, "{} {want}", said[[i, 1]]);
    }
}

#[test]
fn what_was_written_is_read_again_and_what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let read = || MetaLearner::load(folder.path(), &Device::flex());
    let sgd = MetaConfig { method: MetaMethod::MetaSgd, ..MetaConfig::default() };
    let mut learner = learner(&sgd);
    let weights = surco_net::save_model(&learner.model, folder.path()).unwrap();
    let told = |error: LearnError| error.to_string();
    assert!(told(read().unwrap_err()).contains("learner.json does not say how a model learns"));
    learner.learning.rates = vec![0.01; rates_of(&learner.model.encoder, None)];
    learner.learning.save(folder.path(), &weights, None).unwrap();
    let again = read().unwrap();
    assert_eq!(Learning { weights_sha256: String::new(), ..again.learning }, learner.learning);
    learner.learning.save(folder.path(), "other", None).unwrap();
    assert!(told(read().unwrap_err()).contains("it belongs to other weights"));
    learner.learning.rates.pop();
    learner.learning.save(folder.path(), &weights, None).unwrap();
    let count = rates_of(&learner.model.encoder, None);
    let want = format!("{} rates for {count} tensors", count - 1);
    assert!(told(read().unwrap_err()).contains(&want));
}

/// Those of all weights or of rank 1: a head's own numbers are under 2 % of the encoder's.
#[test]
fn a_task_has_few_bytes_of_its_own_under_a_low_rank_change() {
    let of = |method, lora_rank| {
        let config = MetaConfig { method, lora_rank, ..MetaConfig::default() };
        let learner = learner(&config);
        (learner.learning.task_bytes(&learner.model.encoder), learner)
    };
    let ((all, whole), (low, learner)) = (of(MetaMethod::Fomaml, 0), of(MetaMethod::Fomaml, 1));
    assert_eq!(all, 4 * flat(&whole.model.encoder).len());
    assert!(low > 0 && low * 50 < all, "{low} of {all}");
    let matrices = learner.learning.lora.unwrap().matrices(&learner.model.encoder);
    assert_eq!(low, matrices.iter().map(|[rows, columns]| 4 * (rows + columns)).sum::<usize>());
    assert_eq!(of(MetaMethod::Anil, 0).0, 0);
}

#[test]
fn a_learner_of_low_rank_is_read_again_and_one_that_does_not_fit_is_refused() {
    let (task, folder) = (task(), tempfile::tempdir().unwrap());
    let config = MetaConfig {
        method: MetaMethod::MetaSgd,
        lora_rank: 2,
        seed: 7,
        adapt_steps: 20,
        ..MetaConfig::default()
    };
    let mut learner = learner(&config);
    let encoder = learner.model.encoder.clone();
    let count = rates_of(&encoder, learner.learning.lora);
    learner.learning.rates = vec![0.003; count];
    let weights = surco_net::save_model(&learner.model, folder.path()).unwrap();
    learner.learning.save(folder.path(), &weights, None).unwrap();
    let read = || MetaLearner::load(folder.path(), &Device::flex());
    let again = read().unwrap();
    assert_eq!(again.learning.lora, Some(Lora { rank: 2, seed: 7 }));
    let (support, query): (Vec<usize>, Vec<usize>) = (0..90).partition(|i| i % 18 < 6);
    let labels: Vec<usize> = support.iter().map(|&i| task.classes[i]).collect();
    let few = FewLabels { support: &support, labels: &labels, classes: 3, query: &query };
    let spec = learner.model.config.spec(&task.bands, task.window);
    let answers = |learner: &MetaLearner| {
        learner.answers(&task.samples, &spec, &[few], &Silent).unwrap().remove(0)
    };
    assert_eq!(answers(&again), answers(&learner));
    let refused = |lora: Lora, want: &str| {
        let learning = Learning { lora: Some(lora), ..learner.learning.clone() };
        learning.save(folder.path(), &weights, None).unwrap();
        let told = read().unwrap_err().to_string();
        assert!(told.contains(want), "{told}");
    };
    refused(Lora { rank: 0, seed: 7 }, "smaller change of rank 0");
    refused(Lora { rank: usize::MAX, seed: 7 }, "no matrix of the encoder");
    // What a matrix is too small for at this rank leaves fewer rates.
    refused(Lora { rank: 60, seed: 7 }, "rates for");
    learner.learning.method = MetaMethod::Anil;
    learner.learning.save(folder.path(), &weights, None).unwrap();
    assert!(read().unwrap_err().to_string().contains("anil move the head alone"));
}

#[test]
fn what_tells_of_tasks_is_read_again_and_refused_if_it_was_changed() {
    let (task, folder) = (task(), tempfile::tempdir().unwrap());
    let config = MetaConfig {
        method: MetaMethod::Fomaml,
        inner_rate: 0.003,
        adapt_steps: 3,
        ..MetaConfig::default()
    };
    let mut learner = learner(&config);
    let few = FewLabels { support: &[0, 1, 2], labels: &[0, 1, 2], classes: 3, query: &[4, 5] };
    let spec = learner.model.config.spec(&task.bands, task.window);
    let device = learner.model.device();
    let said = |of: &MetaLearner| {
        let at_work = Learner { of, samples: &task.samples, spec: &spec, device: &device };
        let known = Known::of(&task.samples[..3], 40);
        at_work.said(&few, &Heads::Together.questions(3)[0], known)
    };
    let untold = said(&learner);
    let width = 2 * learner.model.encoder.width();
    learner.task_encoder = Some(TaskEncoder::new(width, 1, &device));
    assert_eq!(said(&learner), untold, "before it is taught");
    learner.task_encoder = Some(crate::meta::timl::tests::taught(width));
    let told = said(&learner);
    assert_ne!(told, untold);
    let weights = surco_net::save_model(&learner.model, folder.path()).unwrap();
    let task_encoder = learner.task_encoder.as_ref();
    learner.learning.save(folder.path(), &weights, task_encoder).unwrap();
    let read = || MetaLearner::load(folder.path(), &device);
    assert_eq!(said(&read().unwrap()), told);
    let refused = |want: &str| {
        let told = read().unwrap_err().to_string();
        assert!(told.contains(want), "{told}");
    };
    let path = folder.path().join(TASK_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    refused("of task.safetensors, which has");
    bytes.truncate(100);
    std::fs::write(&path, &bytes).unwrap();
    refused("task.safetensors do not fit the model");
    std::fs::remove_file(&path).unwrap();
    refused("task.safetensors");
}

/// Three labels of one class, two of the other, four a step: both classes in every batch as far as they last, each label once.
#[test]
fn batches_are_even_over_classes() {
    let classes = [0, 0, 1, 0, 1];
    let mut turns = Turns::new(&classes, 4);
    for _ in 0..3 {
        let (first, second) = (turns.next(), turns.next());
        let of = |batch: &[usize]| batch.iter().map(|&i| classes[i]).collect::<Vec<usize>>();
        assert_eq!((of(&first), of(&second)), (vec![0, 1, 0, 1], vec![0]));
        let mut all = [first, second].concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn methods_in_closed_form_leave_nothing_to_learn_by() {
    assert_eq!(Learning::of(&MetaConfig::default(), None), None);
}
