use super::*;
use rand::SeedableRng;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use surco_core::{S2_BANDS, Silent};
use surco_data::{BandKind, SpectralBand};

const SYSTEMS: [System; 3] = [System::EarthPt, System::UBarn, System::Ofa];

fn bands() -> Vec<SpectralBand> {
    S2_BANDS.iter().map(|&band| band.into()).collect()
}

/// Smooth windows, some dates of them with a hidden pixel.
fn sample(k: usize, side: usize) -> Sample {
    let pixels = side * side;
    let value = |i: usize| {
        let (date, band, pixel) = (i / (10 * pixels), i / pixels % 10, i % pixels);
        if (date, band, pixel) == (1, 3, pixels / 2 + side / 2) && k.is_multiple_of(2) {
            return f32::NAN;
        }
        let phase = date as f32 * 0.8 + band as f32 * 0.3 + (k % 3) as f32;
        0.25 + 0.1 * phase.sin() + 0.02 * ((pixel / side + pixel % side) as f32 * 0.4).sin()
    };
    let days = (0..5).map(|d| 19_500 + d * 40).collect();
    let values = (0..5 * 10 * pixels).map(value).collect();
    Sample { size_px: [side; 2], ..Sample::series(days, values, true) }
}

fn pool(system: System) -> SeriesPool {
    let side = if system == System::EarthPt { 1 } else { 16 };
    SeriesPool {
        bands: bands(),
        window: (19_450, 19_815),
        train: (0..64).map(|k| sample(k, side)).collect(),
        validation: (0..2).map(|k| sample(k, side)).collect(),
        data: vec!["sines".into()],
    }
}

fn config(system: System, out: &Path, steps: u64) -> PretrainConfig {
    let documented = include_str!("../../../../docs/config/pretrain.toml");
    let window_px = if system == System::EarthPt { 1 } else { 16 };
    PretrainConfig {
        system,
        out: out.join(format!("{system:?}")),
        steps,
        batch: 4,
        micro_batch: 2,
        window_px,
        patch_px: vec![if system == System::Ofa { 4 } else { 1 }],
        checkpoint_every_steps: 2,
        validate_every_steps: 3,
        warm_up_steps: 2,
        ..toml::from_str(documented).unwrap()
    }
}

fn run(config: &PretrainConfig, pool: &SeriesPool) -> (AnyModel, RunSummary) {
    pretrain_system(config, pool, false, &[Device::flex()], &Silent).unwrap()
}

struct StopAt(u64, AtomicU64);

impl Progress for StopAt {
    fn report(&self, _: &'static str, done: u64, _: u64, _: &str) {
        self.1.store(done, Ordering::SeqCst);
    }

    fn stopped(&self) -> bool {
        self.1.load(Ordering::SeqCst) >= self.0
    }
}

/// Stopped after its third step, each goes on from its second and ends with the very weights of a run that was not; and
/// its folder gives the model back.
#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been_stopped() {
    let folder = tempfile::tempdir().unwrap();
    for system in SYSTEMS {
        let pool = pool(system);
        let whole = config(system, &folder.path().join("whole"), 4);
        let parted = config(system, &folder.path().join("parted"), 4);
        let (model, want) = run(&whole, &pool);
        let stop = StopAt(3, 0.into());
        let devices = [Device::flex()];
        let stopped = pretrain_system(&parted, &pool, false, &devices, &stop);
        assert!(matches!(stopped, Err(LearnError::Stopped { step: 3 })), "{system:?}");
        let (_, got) = pretrain_system(&parted, &pool, true, &devices, &Silent).unwrap();
        assert_eq!((got.resumed_from, got.curve), (2, want.curve), "{system:?}");
        assert_eq!(got.weights_sha256, want.weights_sha256, "{system:?}");
        let read = AnyModel::load(&whole.out.join("model"), &Device::flex()).unwrap().0;
        assert_eq!(read.kind(), model.kind());
        let embedded = |model: &AnyModel| {
            model.embed(&[&pool.validation[1]], &pool.bands, pool.window).unwrap()
        };
        assert_eq!(embedded(&read), embedded(&model), "{system:?}");
    }
}

#[test]
fn another_seed_learns_other_weights() {
    let folder = tempfile::tempdir().unwrap();
    for system in SYSTEMS {
        let of = |seed, name: &str| {
            let config = PretrainConfig { seed, ..config(system, &folder.path().join(name), 1) };
            run(&config, &pool(system)).1.weights_sha256
        };
        let (first, again, other) = (of(1, "first"), of(1, "again"), of(2, "other"));
        assert!(first == again && first != other, "{system:?}");
    }
}

/// The three kinds of series of the pool, and nothing else, are learned by heart.
#[test]
fn a_few_series_can_be_learned_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    for (system, steps, share) in
        [(System::EarthPt, 80, 0.25), (System::UBarn, 60, 0.6), (System::Ofa, 60, 0.3)]
    {
        let config = config(system, folder.path(), steps);
        let config = PretrainConfig { validate_every_steps: steps, learning_rate: 3e-3, ..config };
        let (_, run) = run(&config, &pool(system));
        let (first, last) =
            (run.curve.mean_loss(false).unwrap(), run.curve.mean_loss(true).unwrap());
        println!("{system:?}: {first} → {last}");
        assert!(last < share * first, "{system:?}: {first} → {last}");
        let (before, after) =
            (run.curve.first_validation().unwrap(), run.curve.last_validation().unwrap());
        assert!(after < before, "{system:?}, validation: {before} → {after}");
    }
}

/// By hand: of a single series of two dates the second is said from the first, and Huber's loss of a residual above 1 is
/// itself less a half.
#[test]
fn the_next_date_costs_what_huber_says() {
    let folder = tempfile::tempdir().unwrap();
    let (config, pool) = (config(System::EarthPt, folder.path(), 1), pool(System::EarthPt));
    let lesson = earthpt::NextDate::new(&config, &pool).unwrap();
    let days = vec![19_500, 19_540];
    let values = [vec![0.1; 10], vec![0.9; 10]].concat();
    let part =
        lesson.part(&[&Sample::series(days, values, true)], &mut ChaCha8Rng::seed_from_u64(1));
    let net = SystemModel::fresh(lesson.config(), 1, &Device::flex()).net;
    let said: Vec<f32> = net.predict(&part).into_data().iter::<f32>().collect();
    let want = said.iter().map(|said| 17.0 - said - 0.5).sum::<f32>() / 10.0;
    let (loss, weight) = lesson.loss(&net, &part, Phase::Training, &Device::flex());
    assert!((loss.into_scalar::<f32>() - want).abs() < 1e-4);
    assert_eq!(weight, 10.0);
}

#[test]
fn what_a_system_cannot_learn_from_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |system, change: &dyn Fn(&mut PretrainConfig, &mut SeriesPool)| {
        let (mut config, mut pool) = (config(system, folder.path(), 1), pool(system));
        change(&mut config, &mut pool);
        let run = pretrain_system(&config, &pool, false, &[Device::flex()], &Silent);
        run.unwrap_err().to_string()
    };
    let says = |error: String, text: &str| assert!(error.contains(text), "{text}: {error}");
    says(refuse(System::UBarn, &|c, _| c.window_px = 12), "ubarn reads windows of 16 pixels");
    says(refuse(System::EarthPt, &|c, _| c.max_dates = 300), "earthpt has positions for 256");
    says(refuse(System::EarthPt, &|c, _| c.size = surco_net::Size::TwoBillion), "xl");
    says(refuse(System::Ofa, &|c, _| c.patch_px = vec![1, 4]), "patches of one size");
    says(refuse(System::Ofa, &|c, _| c.window_px = 4), "at least twice it");
    says(refuse(System::Ofa, &|c, _| c.precision = Precision::Bf16), "in f32");
    says(refuse(System::EarthPt, &|_, p| p.bands[9].centre_nm = 1000.0), "the band B12");
    let dark = |_: &mut PretrainConfig, pool: &mut SeriesPool| {
        pool.train
            .iter_mut()
            .for_each(|s| s.values.iter_mut().step_by(7).for_each(|v| *v = f32::NAN));
    };
    says(refuse(System::UBarn, &dark), "0 of 64 series to train on that ubarn can read");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "no run was begun");
}

/// Light and radar of one place, each on its own dates.
#[test]
fn bands_that_are_seen_together_are_one_sensor() {
    let radar = [BandKind::RadarCo, BandKind::RadarCross]
        .map(|kind| SpectralBand { kind, ..SpectralBand::optical(0.0, 0.0) });
    let mut pool = pool(System::Ofa);
    pool.bands.extend(radar);
    for sample in pool.train.iter_mut().chain(&mut pool.validation) {
        let values = vec![-12.0; 2 * 2 * 256];
        let radar =
            Sample { size_px: [16; 2], ..Sample::series(vec![19_510, 19_600], values, true) };
        *sample = sample.beside(10, &radar, 2);
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config(System::Ofa, folder.path(), 1);
    let lesson = ofa::HiddenPatches::new(&config, &pool).unwrap();
    let counts: Vec<usize> =
        lesson.config().sensors.iter().map(|s| s.normalisation.bands().len()).collect();
    assert_eq!(counts, [10, 2]);
    assert!(lesson.usable(&pool.train[0]).is_some_and(|s| s.len() == 7));
}

/// Two classes by the phase of their season: both protocols learn them, the frozen encoder keeps its weights and the
/// fine-tuned one does not.
#[test]
fn a_shallow_decoder_learns_behind_a_frozen_and_a_fine_tuned_encoder() {
    let pool = pool(System::UBarn);
    let device = Device::flex();
    let config =
        surco_net::UBarnConfig::new(surco_data::Normalisation::measure(&bands(), &pool.train));
    let fresh = SystemModel::fresh(config, 1, &device);
    let samples: Vec<&Sample> = pool.train.iter().take(6).collect();
    let classes: Vec<usize> = (0..6).map(|k| usize::from(k % 3 == 0)).collect();
    let batch =
        surco_net::UBarnBatch::new(&samples, &pool.bands, pool.window, &fresh.config).unwrap();
    // Norms that know the windows tell them apart, whatever the weights.
    let net = fresh.net.measured(std::slice::from_ref(&batch));
    let model = SystemModel { net, config: fresh.config };
    let labelled = LabelledWindows {
        samples: &samples,
        classes: &classes,
        class_count: 2,
        bands: &pool.bands,
        window: pool.window,
    };
    let weights = |net: &surco_net::UBarn| {
        SystemModel { net: net.clone(), config: model.config.clone() }
            .embed(&samples[1..2], &pool.bands, pool.window)
            .unwrap()
    };
    // An encoder whose norms keep their statistics bears smaller steps than a decoder alone: 1e-3 is what its makers use.
    for (protocol, learning_rate) in [(Protocol::Frozen, 1e-2), (Protocol::FineTuned, 1e-3)] {
        let config = ShallowConfig { protocol, steps: 60, batch: 6, learning_rate, seed: 1 };
        let learned =
            classify_windows(&model, &labelled, &config, &[Device::flex()], &Silent).unwrap();
        let scores: Vec<f32> = learned.scores(&batch).into_data().iter::<f32>().collect();
        let said: Vec<usize> = scores.chunks(2).map(|two| usize::from(two[1] > two[0])).collect();
        assert_eq!(said, classes, "{protocol:?}: {scores:?}");
        let is_same = weights(learned.encoder()) == weights(&model.net);
        assert_eq!(is_same, protocol == Protocol::Frozen, "{protocol:?}");
    }
}
