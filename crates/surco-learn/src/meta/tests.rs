use super::*;
use surco_core::Silent;
use surco_data::{Normalisation, QueryGrid};
use surco_net::{Card, Size, fresh};

/// An episode of given embeddings; queries are of the first class.
pub(super) fn by_hand(support: &[[f32; 2]], query: &[[f32; 2]], ways: usize) -> Solved<'static> {
    let tensor = |rows: &[[f32; 2]]| {
        let values: Vec<f32> = rows.concat();
        Tensor::<2>::from_data(TensorData::new(values, [rows.len(), 2]), &Device::flex())
    };
    let (support, query) = (tensor(support), tensor(query));
    let shots = support.dims()[0] / ways;
    Solved { support, query, ways, shots, classes: &[0] }
}

pub(super) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub(super) fn task() -> MetaTask {
    let sample = |i: usize| {
        let value = |v: i32| 0.3 + 0.1 * ((v / 2) as f32 * 0.7 + (i % 3) as f32 * 2.0).sin();
        let days = (0..10).map(|d| d * 30).collect();
        Sample::series(days, (0..20).map(value).collect(), true)
    };
    let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
    MetaTask {
        name: "sines".into(),
        bands: vec![band(665.0), band(842.0)],
        window: (0, 365),
        samples: (0..90).map(sample).collect(),
        classes: (0..90).map(|i| i % 3).collect(),
        places: (0..90).map(|i| i / 9).collect(),
    }
}

pub(super) fn model(task: &MetaTask) -> Model {
    Model {
        encoder: fresh(Size::Nano, 2, &Device::flex()),
        config: ModelConfig {
            schema: 2,
            size: Size::Nano,
            normalisation: Normalisation::measure(&task.bands, &task.samples),
            queries: QueryGrid { count: 4, parts: 2 },
            max_dates: 12,
            patch_px: vec![1],
            context: Vec::new(),
            sight: Default::default(),
            card: Card::default(),
        },
    }
}

fn trained(task: &MetaTask, config: &MetaConfig) -> Result<MetaTrained, LearnError> {
    let tasks = std::slice::from_ref(task);
    meta_train(model(task), config, tasks, &[Device::flex()], &Silent)
}

#[test]
fn episodes_of_separable_classes_are_learned_and_the_seed_decides_the_run() {
    let closed = [MetaMethod::Prototypes, MetaMethod::Ridge, MetaMethod::Propagation];
    let steps = [MetaMethod::Maml, MetaMethod::Fomaml, MetaMethod::Anil, MetaMethod::Reptile];
    let together = closed.into_iter().chain(steps).map(|method| (method, Heads::Together));
    let apart = [
        (MetaMethod::MetaSgd, Heads::Together),
        (MetaMethod::Fomaml, Heads::OneAgainstAll),
        (MetaMethod::Fomaml, Heads::Pairs),
    ];
    together.chain(apart).for_each(|(method, heads)| {
        learns(MetaConfig { method, heads, ..MetaConfig::default() });
    });
    let low_rank = MetaConfig { method: MetaMethod::Fomaml, lora_rank: 2, ..MetaConfig::default() };
    let informed =
        MetaConfig { method: MetaMethod::Reptile, task_informed: true, ..MetaConfig::default() };
    let both = MetaConfig {
        method: MetaMethod::MetaSgd,
        inner_steps: 2,
        task_informed: true,
        ..low_rank.clone()
    };
    [low_rank, informed, both].into_iter().for_each(learns);
}

fn learns(config: MetaConfig) {
    let task = task();
    let config = MetaConfig { steps: 12, ways: 3, learning_rate: 1e-3, ..config };
    let run = || trained(&task, &config).unwrap().curve;
    let curve = run();
    let (first, last) = (curve.0[0].loss, curve.0[11].loss);
    assert!(last < 0.5 * first || last < 0.01, "{config:?}: {first} → {last}");
    assert_eq!(curve, run());
}

#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been_stopped() {
    goes_on(&MetaConfig::default());
    goes_on(&MetaConfig {
        method: MetaMethod::Fomaml,
        lora_rank: 2,
        task_informed: true,
        inner_steps: 1,
        ..MetaConfig::default()
    });
}

fn goes_on(config: &MetaConfig) {
    struct StopAfter(u64, std::sync::atomic::AtomicU64);
    impl Progress for StopAfter {
        fn report(&self, _: &'static str, done: u64, _: u64, _: &str) {
            self.1.store(done, std::sync::atomic::Ordering::SeqCst);
        }
        fn stopped(&self) -> bool {
            self.1.load(std::sync::atomic::Ordering::SeqCst) >= self.0
        }
    }
    let (task, folder) = (task(), tempfile::tempdir().unwrap());
    let at = |name: &str| MetaConfig {
        steps: 22,
        ways: 3,
        out: Some(folder.path().join(name)),
        ..config.clone()
    };
    let run = |config: &MetaConfig, progress: &dyn Progress| {
        let tasks = std::slice::from_ref(&task);
        let trained = meta_train(model(&task), config, tasks, &[Device::flex()], progress);
        trained.map(|trained| trained.curve)
    };
    let (whole, parted) = (at("whole"), at("parted"));
    let want = run(&whole, &Silent).unwrap();
    let stopped = run(&parted, &StopAfter(21, 0.into()));
    assert!(matches!(stopped, Err(LearnError::Stopped { step: 21 })));
    struct CountFrom(std::sync::atomic::AtomicU64);
    impl Progress for CountFrom {
        fn report(&self, _: &'static str, done: u64, _: u64, _: &str) {
            self.0.fetch_min(done, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let from = CountFrom(u64::MAX.into());
    let got = run(&parted, &from).unwrap();
    assert_eq!(from.0.into_inner(), 21, "the step after the checkpoint");
    assert_eq!(got, want);
}

#[test]
fn support_and_query_of_a_class_share_no_place() {
    let task = task();
    let config = MetaConfig::default();
    let members = Members::of(&task, &config);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..20 {
        let class = &members.by_class[0];
        let (support, query) = draw::split(class, &task.places, config.counts(), &mut rng);
        assert_eq!((support.len(), query.len()), (config.shots, config.queries));
        for s in &support {
            assert!(query.iter().all(|q| task.places[*q] != task.places[*s]));
        }
    }
}

#[test]
fn a_task_with_too_few_examples_is_refused() {
    let mut task = task();
    task.samples.truncate(6);
    task.classes.truncate(6);
    let refused = trained(&task, &MetaConfig::default());
    assert!(matches!(refused, Err(LearnError::TooLittle { .. })));
}

#[test]
fn a_low_rank_change_that_a_method_cannot_move_is_refused() {
    let task = task();
    let told = |method, lora_rank| {
        let config = MetaConfig { method, lora_rank, steps: 0, ..MetaConfig::default() };
        trained(&task, &config).unwrap_err().to_string()
    };
    let anil = told(MetaMethod::Anil, 4);
    assert!(anil.starts_with("config key lora_rank = 4: the steps of anil move the head alone"));
    assert!(told(MetaMethod::Ridge, 1).contains("methods in closed form take no steps"));
    assert!(told(MetaMethod::Reptile, 1).contains("leave the key out"));
    assert!(told(MetaMethod::Maml, 1000).contains("no matrix of the encoder has a smaller change"));
}

#[test]
fn methods_in_closed_form_are_told_of_no_task() {
    let config = MetaConfig { task_informed: true, ..MetaConfig::default() };
    let told = trained(&task(), &config).unwrap_err().to_string();
    assert!(told.starts_with("config key task_informed = true: methods in closed form"), "{told}");
}

/// Series of two bands, each low or high; north of the equator the first band tells the class, south of it the second.
fn of_two_bands(latitude: f64) -> MetaTask {
    let is_high = |i: usize| [i % 2, i / 2 % 2];
    let sample = |i: usize| {
        let value = |(day, band): (usize, usize)| {
            let noise = 0.02 * (i as f32 * 1.7 + day as f32 + 3.0 * band as f32).sin();
            0.2 + 0.3 * is_high(i)[band] as f32 + noise
        };
        let values = (0..12).flat_map(|day| [(day, 0), (day, 1)]).map(value).collect();
        let mut sample = Sample::series((0..12).map(|d| d * 30).collect(), values, false);
        sample.site.lonlat = Some([10.0, latitude]);
        sample
    };
    let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
    MetaTask {
        name: format!("latitude {latitude}"),
        bands: vec![band(665.0), band(842.0)],
        window: (0, 365),
        samples: (0..80).map(sample).collect(),
        classes: (0..80).map(|i| is_high(i)[usize::from(latitude < 0.0)]).collect(),
        places: (0..80).collect(),
    }
}

/// The support has both bands low or both high, what is asked one of each: nothing but the place says which band counts, so who is not told
/// of it answers both tasks alike, and half of the answers are wrong.
#[test]
fn who_is_told_of_the_place_answers_what_depends_on_it() {
    let tasks = [45.0, -35.0].map(of_two_bands);
    let right = |task_informed| {
        let config = MetaConfig {
            method: MetaMethod::Fomaml,
            task_informed,
            steps: 100,
            episodes: 4,
            ways: 2,
            shots: 1,
            learning_rate: 3e-3,
            adapt_steps: 5,
            band_dropout: 0.0,
            seed: 4,
            ..MetaConfig::default()
        };
        let device = Device::flex();
        let model = untaught(Size::Femto, 2, &tasks, &device);
        let trained = meta_train(model, &config, &tasks, &[device], &Silent).unwrap();
        let MetaTrained { model, learning, task_encoder, .. } = trained;
        let learner = MetaLearner { model, learning: learning.unwrap(), task_encoder };
        let shares = tasks.each_ref().map(|task| {
            let spec = learner.model.config.spec(&task.bands, task.window);
            let query: Vec<usize> = (0..80).filter(|i| [1, 2].contains(&(i % 4))).collect();
            let (support, labels) = ([0, 3, 4, 7], [0, 1, 0, 1]);
            let few = FewLabels { support: &support, labels: &labels, classes: 2, query: &query };
            let said = learner.answers(&task.samples, &spec, &[few], &Silent).unwrap().remove(0);
            let right = query.iter().zip(said).filter(|(at, said)| task.classes[**at] == *said);
            right.count() as f64 / query.len() as f64
        });
        f64::midpoint(shares[0], shares[1])
    };
    let (told, untold) = (right(true), right(false));
    assert_eq!((told, untold), (1.0, 0.5));
}
