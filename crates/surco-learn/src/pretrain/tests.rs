use super::*;
use crate::SpeedPoint;
use crate::events::steps_of;
use crate::precision::Precision;
use crate::step::{Lanes, gradients};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use std::fs;
use surco_core::Silent;

const DOCUMENTED: &str = include_str!("../../../../docs/config/pretrain.toml");

fn pool() -> SeriesPool {
    let sample = |k: usize| {
        let value = |i: i32| 0.2 + 0.1 * ((i / 2) as f32 * 0.5 + (k % 3) as f32).sin();
        let days = (0..12).map(|d| 19_500 + d * 24).collect();
        Sample::series(days, (0..24).map(value).collect(), true)
    };
    let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
    SeriesPool {
        bands: vec![band(665.0), band(842.0)],
        window: (19_450, 19_815),
        train: (0..96).map(sample).collect(),
        validation: (0..9).map(sample).collect(),
        data: vec!["sines".into()],
    }
}

fn config(name: &str, steps: u64) -> PretrainConfig {
    let out = std::env::temp_dir().join(format!("surco-pretrain-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&out);
    PretrainConfig {
        out,
        steps,
        batch: 64,
        checkpoint_every_steps: 4,
        validate_every_steps: 4,
        warm_up_steps: 2,
        ..toml::from_str(DOCUMENTED).unwrap()
    }
}

#[test]
fn the_documented_config_is_valid_and_a_misspelt_key_is_named() {
    let config: PretrainConfig = toml::from_str(DOCUMENTED).unwrap();
    config.check().unwrap();
    let first: Vec<&str> = DOCUMENTED.lines().take(6).collect();
    let plain: PretrainConfig = toml::from_str(&first.join("\n")).unwrap();
    assert_eq!(plain, config, "the defaults are as documented");
    let wrong = DOCUMENTED.replace("mask_share", "mask_shar");
    let error = toml::from_str::<PretrainConfig>(&wrong).unwrap_err().to_string();
    assert!(error.contains("unknown field `mask_shar`") && error.contains("line 16"), "{error}");
}

#[test]
fn windows_and_patches_that_cannot_be_are_refused() {
    let refused = |window_px, patch_px| {
        let config = PretrainConfig { window_px, patch_px, ..toml::from_str(DOCUMENTED).unwrap() };
        config.check().unwrap_err().to_string()
    };
    assert!(refused(0, vec![1]).contains("window_px"));
    for wrong in [vec![], vec![0], vec![9]] {
        assert!(refused(16, wrong).contains("each 1 to 8"));
    }
    assert!(refused(4, vec![1, 8]).contains("each 1 to 4"));
}

#[test]
fn targets_of_an_average_need_one() {
    let latent_targets = LatentTargets::Averaged;
    let config = PretrainConfig { latent_targets, ..toml::from_str(DOCUMENTED).unwrap() };
    let said = config.check().unwrap_err().to_string();
    assert!(said.contains("latent_targets") && said.contains("set `ema_decay`"), "{said}");
    PretrainConfig { ema_decay: 0.996, ..config }.check().unwrap();
}

#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been_stopped() {
    struct StopAt(u64, std::sync::atomic::AtomicU64);
    impl Progress for StopAt {
        fn report(&self, _: &'static str, done: u64, _: u64, _: &str) {
            self.1.store(done, std::sync::atomic::Ordering::SeqCst);
        }
        fn stopped(&self) -> bool {
            self.1.load(std::sync::atomic::Ordering::SeqCst) >= self.0
        }
    }
    let device = [Device::flex()];
    let pretext = PretextWeights { masked: 1.0, causal: 1.0, latent: 1.0, invariance: 1.0 };
    let latent_targets = LatentTargets::Averaged;
    let averaged =
        |name| PretrainConfig { ema_decay: 0.9, pretext, latent_targets, ..config(name, 10) };
    let (whole, parted) = (averaged("whole"), averaged("parted"));
    let (_, want) = pretrain(&whole, &pool(), false, &device, &Silent).unwrap();
    let stop = StopAt(6, 0.into());
    let stopped = pretrain(&parted, &pool(), false, &device, &stop);
    assert!(matches!(stopped, Err(LearnError::Stopped { step: 6 })));
    assert!(matches!(
        pretrain(&parted, &pool(), false, &device, &Silent),
        Err(LearnError::Exists { .. })
    ));
    let (_, got) = pretrain(&parted, &pool(), true, &device, &Silent).unwrap();
    assert_eq!(got.resumed_from, 4, "the last checkpoint");
    assert_eq!(got.curve, want.curve);
    assert_eq!(got.weights_sha256, want.weights_sha256);
    for file in surco_net::FORECAST_FILES {
        let read = |c: &PretrainConfig| fs::read(c.out.join("model").join(file)).unwrap();
        assert!(read(&parted) == read(&whole), "{file}");
    }
    let read = |c: &PretrainConfig, file| fs::read_to_string(c.out.join(file)).unwrap();
    assert_eq!(read(&parted, "metrics.jsonl"), read(&whole, "metrics.jsonl"));
    assert_eq!(got.curve.pretexts(), ["causal", "invariance", "latent", "masked"].into());
    let speeds = read(&parted, "speed.jsonl");
    let speeds: Vec<SpeedPoint> =
        speeds.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(speeds.iter().map(|s| s.step).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    let events = parted.out.join("tensorboard/events.out.tfevents.surco");
    assert_eq!(steps_of(&events), (0..=10).collect::<Vec<_>>());
    for c in [whole, parted] {
        fs::remove_dir_all(c.out).unwrap();
    }
}

#[test]
fn pretexts_count_by_their_micro_batches_and_one_alone_as_it_is() {
    let scales = |pretext| {
        let config = PretrainConfig { pretext, micro_batch: 8, ..config("scales", 1) };
        let (pool, mut by_pretext) = (pool(), std::collections::BTreeMap::new());
        let objective = Pretexts::new(&config, &pool);
        for part in objective.parts(0) {
            let (count, weight) = by_pretext.entry(part.task.pretext()).or_insert((0.0, 0.0));
            *count += 1.0;
            *weight += part.task.weight() * part.scale;
        }
        by_pretext
    };
    let both = PretextWeights { causal: 2.0, invariance: 1.0, ..PretextWeights::default() };
    let rates: Vec<f64> = scales(both).values().map(|(count, weight)| weight / count).collect();
    assert_eq!(rates.len(), 3);
    assert!(rates.iter().all(|r| (r / rates[0] - 1.0).abs() < 1e-12), "{rates:?}");
    let config = config("scales", 1);
    let pool = pool();
    assert!(Pretexts::new(&config, &pool).parts(0).iter().all(|part| part.scale == 1.0));
}

/// The mixture's loss is what its pretexts' losses make of it: by their micro-batches in a step, by their weights on what is
/// held out. A run of one pretext names none.
#[test]
fn losses_of_a_mixture_are_told_apart() {
    let run = |name, pretext| {
        let config = PretrainConfig { pretext, micro_batch: 8, ..config(name, 4) };
        let (_, run) = pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
        let text = fs::read_to_string(config.out.join("metrics.jsonl")).unwrap();
        let parts: Vec<Vec<Part>> = {
            let pool = pool();
            let objective = Pretexts::new(&config, &pool);
            (0..4).map(|step| objective.parts(step)).collect()
        };
        fs::remove_dir_all(config.out).unwrap();
        (run.curve, parts, text)
    };
    let mixed = PretextWeights { masked: 3.0, causal: 1.0, ..PretextWeights::default() };
    let (curve, parts, text) = run("told", mixed);
    for (point, parts) in curve.0.iter().zip(&parts) {
        let share = |name: &str| {
            let of = parts.iter().filter(|part| part.task.pretext().name() == name).count();
            of as f64 / parts.len() as f64
        };
        let said = |name: &str| point.pretexts.get(name).and_then(|p| p.loss);
        let whole: f64 =
            ["masked", "causal"].iter().map(|n| said(n).unwrap_or(0.0) * share(n)).sum();
        assert!((whole - point.loss).abs() < 1e-6 * point.loss.abs(), "{point:?}");
        assert_eq!(said("causal").is_some(), share("causal") > 0.0, "{point:?}");
    }
    let last = &curve.0[3];
    let held_out = |name: &str| last.pretexts[name].validation.unwrap();
    let whole = 0.75 * held_out("masked") + 0.25 * held_out("causal");
    assert!((whole - last.validation.unwrap()).abs() < 1e-9, "{last:?}");
    assert!(text.contains(r#""pretexts":{"causal":{"#), "{text}");
    let (alone, _, text) = run("alone", PretextWeights::default());
    assert!(alone.pretexts().is_empty() && !text.contains("pretexts"), "{text}");
}

/// The card says what was taught, and a model that only ever looked back says so.
#[test]
fn a_model_that_was_only_taught_to_look_back_looks_back_in_use() {
    let causal = PretextWeights { masked: 0.0, causal: 1.0, ..PretextWeights::default() };
    let mixed = PretextWeights { masked: 1.0, ..causal };
    let run = |name, pretext| {
        let config = PretrainConfig { pretext, ..config(name, 1) };
        let (model, _) = pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
        fs::remove_dir_all(config.out).unwrap();
        (model.config.sight, model.config.card.stages[0].clone())
    };
    let (sight, stage) = run("back", causal);
    assert_eq!((sight, stage.as_str()), (Sight::Past, "causal, 1 steps of 64 series, seed 0"));
    let (sight, stage) = run("both", mixed);
    assert_eq!(sight, Sight::Whole);
    assert!(stage.starts_with("masked 50 % + causal 50 %, 1 steps"), "{stage}");
}

fn weights(encoder: &Encoder) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut all = All(Vec::new());
    encoder.visit(&mut all);
    all.0
}

/// One step from the seed's weights `w` to `v`: the average, whose decay is 2/11 then, lies between, and
/// the model holds it.
#[test]
fn the_average_is_what_is_handed_on() {
    let run = |name, ema_decay| {
        let config = PretrainConfig { ema_decay, ..config(name, 1) };
        let (model, run) = pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
        fs::remove_dir_all(config.out).unwrap();
        (weights(&model.encoder), run.curve.0[0].validation.unwrap())
    };
    let (plain, plain_loss) = run("plain", 0.0);
    let (averaged, averaged_loss) = run("averaged", 0.999);
    let start = weights(&surco_net::fresh(surco_net::Size::Nano, 0, &Device::flex()));
    for ((w, v), a) in start.iter().zip(&plain).zip(&averaged) {
        let want = 2.0 / 11.0 * w + 9.0 / 11.0 * v;
        assert!((a - want).abs() < 1e-6, "{w} {v} {a}");
    }
    assert_ne!(plain, averaged);
    assert_ne!(plain_loss, averaged_loss, "validated too");
}

#[test]
fn two_devices_learn_the_very_weights_of_one() {
    let run = |name, devices: &[Device]| {
        let pretext = PretextWeights { masked: 1.0, causal: 1.0, latent: 1.0, invariance: 1.0 };
        let (latent_targets, ema_decay) = (LatentTargets::Averaged, 0.9);
        let config = PretrainConfig { pretext, latent_targets, ema_decay, ..config(name, 3) };
        let (_, run) = pretrain(&config, &pool(), false, devices, &Silent).unwrap();
        fs::remove_dir_all(config.out).unwrap();
        run
    };
    let one = run("one", &[Device::flex()]);
    let two = run("two", &[Device::flex(), Device::flex()]);
    assert_eq!(one.weights_sha256, two.weights_sha256);
}

/// Gradients in the order of their weights.
struct Flat<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match self.0.get::<D>(param.id) {
            Some(gradient) => self.1.extend(gradient.into_data().iter::<f32>()),
            // What a batch does not use, such as what is known of a place, has none.
            None => self.1.extend(vec![0.0; param.val().dims().iter().product()]),
        }
    }
}

/// The mean loss of micro-batches and its gradients.
fn flat_gradients(objective: &Pretexts<'_>, parts: &[Part], lanes: &Lanes) -> (f64, Vec<f32>) {
    let config = objective.config;
    let taught = (config.pretext, config.latent_targets);
    let fresh = Learner::fresh(config.size, 1, taught, &Device::flex());
    let learner = fresh.train().fork(&lanes.main());
    let summed = gradients(&learner, lanes, parts, |learner, part, device| {
        objective.loss(learner, part, device)
    });
    let share = (1.0 / summed.whole().weight) as f32;
    let mut flat = Flat(&summed.gradients, Vec::new());
    learner.visit(&mut flat);
    (summed.mean(), flat.1.iter().map(|g| g * share).collect())
}

/// Two workers, each with half of the micro-batches on its own, and their gradients averaged by what each is a mean
/// over, against one worker with all of them: the same to 1e-5 of the largest.
#[test]
fn two_workers_teach_what_one_with_the_doubled_batch_teaches() {
    let all = PretextWeights { masked: 1.0, causal: 1.0, latent: 1.0, invariance: 1.0 };
    let config = PretrainConfig { pretext: all, micro_batch: 8, ..config("doubled", 1) };
    let pool = pool();
    let objective = Pretexts::new(&config, &pool);
    let parts = objective.parts(0);
    let kinds: std::collections::BTreeSet<Pretext> =
        parts.iter().map(|p| p.task.pretext()).collect();
    assert!(parts.len() == 8 && kinds.len() >= 3, "{kinds:?}");
    let lanes = Lanes::new(&[Device::flex()], Precision::F32, false);
    let weight = |parts: &[Part]| -> f64 { parts.iter().map(|p| p.task.weight() * p.scale).sum() };
    let (loss, whole) = flat_gradients(&objective, &parts, &lanes);
    let mut summed = vec![0.0_f64; whole.len()];
    let mut mean = 0.0;
    for half in [&parts[..4], &parts[4..]] {
        let share = weight(half) / weight(&parts);
        let (loss, gradients) = flat_gradients(&objective, half, &lanes);
        mean += share * loss;
        summed.iter_mut().zip(gradients).for_each(|(s, g)| *s += share * f64::from(g));
    }
    let most = whole.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
    assert!((mean - loss).abs() < 1e-5 * loss.abs(), "{mean} {loss}");
    for (s, w) in summed.iter().zip(&whole) {
        assert!((s - f64::from(*w)).abs() < f64::from(1e-5 * most), "{s} {w}");
    }
}

/// bfloat16 has 8 bits of mantissa: gradients point the same way to a few degrees.
#[test]
fn sixteen_bits_teach_what_thirty_two_teach() {
    let (config, pool) = (config("narrow", 1), pool());
    let objective = Pretexts::new(&config, &pool);
    let parts = objective.parts(0);
    let taught = |precision| {
        let lanes = Lanes::new(&[Device::flex()], precision, false);
        flat_gradients(&objective, &parts, &lanes)
    };
    let (wide_loss, wide) = taught(Precision::F32);
    let (narrow_loss, narrow) = taught(Precision::Bf16);
    assert!((wide_loss - narrow_loss).abs() < 0.02 * wide_loss, "{wide_loss} {narrow_loss}");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let cosine = dot(&wide, &narrow) / (dot(&wide, &wide) * dot(&narrow, &narrow)).sqrt();
    assert!(cosine > 0.99 && wide != narrow, "{cosine}");
}

#[test]
fn activations_computed_again_teach_the_same_weights() {
    let run = |name, recompute| {
        let config = PretrainConfig { recompute, ..config(name, 2) };
        let (_, run) = pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
        fs::remove_dir_all(config.out).unwrap();
        run.weights_sha256
    };
    assert_eq!(run("kept", false), run("again", true));
}

#[test]
fn one_batch_can_be_learned_by_heart() {
    let config = config("overfit", 60);
    let (_, run) = pretrain(&config, &pool(), false, &[Device::flex()], &Silent).unwrap();
    let (first, last) = (run.curve.mean_loss(false).unwrap(), run.curve.mean_loss(true).unwrap());
    assert!(last < 0.35 * first, "{first} → {last}");
    fs::remove_dir_all(config.out).unwrap();
}
