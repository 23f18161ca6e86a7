use super::*;

use std::fs;

use surco_data::{BatchSpec, Normalisation, QueryGrid, Sample};

use crate::{Card, Model, ModelConfig, Size, drawn, fresh, save_model};

fn bands() -> Vec<SpectralBand> {
    [665.0, 842.0, 1610.0].map(|nm| SpectralBand::optical(nm, 30.0)).to_vec()
}

fn norm() -> Normalisation {
    Normalisation::measure(&bands(), &[])
}

fn model() -> Model {
    Model {
        encoder: fresh(Size::Nano, 3, &Device::flex()).with_sight(Sight::Past),
        config: ModelConfig {
            schema: 2,
            size: Size::Nano,
            normalisation: norm(),
            queries: QueryGrid { count: 4, parts: 2 },
            max_dates: 20,
            patch_px: vec![1],
            context: Vec::new(),
            sight: Sight::Past,
            card: Card::default(),
        },
    }
}

fn forecaster() -> Forecaster {
    let device = Device::flex();
    let head = drawn(4, &device, || ForecastHead::new(Size::Nano.width(), &device));
    let horizon = |to_days, bands| Horizon { to_days, bands, ndvi: 2.0 * bands, observations: 500 };
    let horizons = vec![horizon(30, 2.0), horizon(180, 3.0)];
    Forecaster { head, config: ForecastConfig { longest_gap_days: 180, coverage: 0.9, horizons } }
}

fn sample(dates: i32) -> Sample {
    let values = (0..3 * dates).map(|i| 0.2 + 0.05 * (i as f32).sin()).collect();
    Sample::series((0..dates).map(|d| 19_000 + 10 * d).collect(), values, true)
}

/// By hand: red 0.1 and near infrared 0.3 are an NDVI of 0.5, (0.5 − 0.4) / 0.25 = 0.4 in its unit; where one of them
/// is missing there is none, and what was seen last is the first guess.
#[test]
fn ndvi_is_one_more_band_and_what_was_seen_last_is_remembered() {
    let values = vec![0.1, 0.3, f32::NAN, f32::NAN, 0.5, 0.2];
    let sample = Sample::series(vec![10, 20], values, true);
    let spec = BatchSpec::new(&bands(), &norm(), (0, 365));
    let batch = Batch::new(&[&sample], &spec);
    let seen = shown(&batch, &spec.scale);
    assert!((seen.values_nc[[0, 3]] - 0.4).abs() < 1e-6, "{:?}", seen.values_nc);
    assert_eq!(seen.weights_nc.column(3).to_vec(), [1.0, 0.0]);
    let later = |row| Later { row, gap_days: 5, season: [0.0; SEASON_FEATURES] };
    let asked = Asked::new(&batch, &spec.scale, vec![later(1), later(0)]);
    let [red, nir, swir] =
        [(0.1, 0), (0.5, 1), (0.2, 2)].map(|(v, b)| (v - spec.scale[b].0) / spec.scale[b].1);
    for (got, want) in asked.anchor_pc.row(0).iter().zip([red, nir, swir, 0.4]) {
        assert!((got - want).abs() < 1e-5, "{asked:?}");
    }
    assert_eq!(asked.anchor_pc[[1, 2]], 0.0, "nothing seen by then");
    assert_eq!(red_and_nir(&bands()), Some((0, 1)));
    assert_eq!(red_and_nir(&bands()[1..]), None);
}

#[test]
fn what_comes_later_changes_no_forecast() {
    let (model, head) = (model(), forecaster().head);
    let spec = BatchSpec::new(&bands(), &norm(), (18_000, 19_500));
    let said = |sample: &Sample| {
        let batch = Batch::new(&[sample], &spec);
        let later = vec![Later { row: 3, gap_days: 40, season: [0.5; SEASON_FEATURES] }];
        let asked = Asked::new(&batch, &spec.scale, later);
        let spread = forecast(&model.encoder, &head, &batch, &asked, &Device::flex());
        spread.location_pc.into_data().iter::<f32>().collect::<Vec<_>>()
    };
    let whole = sample(8);
    let mut other = whole.clone();
    other.values[4 * 3..].fill(0.9);
    assert_eq!(said(&whole), said(&other), "dates after the fourth");
    other.values[..3].fill(0.9);
    assert_ne!(said(&whole), said(&other), "the first date");
}

/// Days after 19,070, the last of eight: 30 within reach; 400 by way of what is fed back after 90, 180, 270. The width
/// is that of the range of gaps.
#[test]
fn forecasts_reach_any_day_and_none_is_made_of_nothing() {
    let (model, forecaster) = (model(), forecaster());
    let (some, none) = (sample(8), Sample::default());
    let days = [18_990, 19_035, 19_100, 19_470];
    let said = outlook(&model, &forecaster, &[&some, &none], &bands(), &days);
    assert!(said[1].iter().all(Option::is_none));
    assert!(said[0][0].is_none(), "before the first date");
    let gaps: Vec<i32> = said[0].iter().flatten().map(|o| o.gap_days).collect();
    assert_eq!(gaps, [5, 30, 400]);
    for one in said[0].iter().flatten() {
        assert_eq!(one.values.len(), 4);
        assert!(one.values.iter().all(|v| v.low < v.median && v.median < v.high), "{one:?}");
    }
    let twice = ForecastConfig {
        horizons: vec![Horizon { to_days: 180, bands: 4.0, ndvi: 8.0, observations: 500 }],
        ..forecaster.config.clone()
    };
    let twice = Forecaster { config: twice, head: forecaster.head };
    let wide = outlook(&model, &twice, &[&some], &bands(), &days);
    let half = |said: &[Option<Outlook>], day: usize, c: usize| {
        let value = said[day].as_ref().unwrap().values[c];
        (value.high - value.low) / 2.0
    };
    for c in [0, 3] {
        let (narrow, wide) = (half(&said[0], 2, c), half(&wide[0], 2, c));
        assert!((wide / narrow - 2.0).abs() < 1e-3, "{narrow} {wide}");
    }
    // Alone or beside others, a series has the same future.
    let alone = outlook(&model, &twice, &[&some], &bands(), &days[3..]);
    assert_eq!(alone[0][0], wide[0][3]);
}

#[test]
fn a_head_comes_back_and_belongs_to_its_encoder() {
    let (home, forecaster) = (tempfile::tempdir().unwrap(), forecaster());
    let (folder, device) = (home.path(), Device::flex());
    let width = Size::Nano.width();
    let missing = load_forecaster(folder, width, "x", &device).unwrap_err().to_string();
    assert!(missing.contains("causal = 1.0"), "{missing}");
    let sha256 = save_model(&model(), folder).unwrap();
    save_forecaster(&forecaster, &sha256, folder).unwrap();
    let back = load_forecaster(folder, width, &sha256, &device).unwrap();
    assert_eq!(back.config, forecaster.config);
    let days = [19_100];
    let said = |f: &Forecaster| outlook(&model(), f, &[&sample(8)], &bands(), &days);
    assert_eq!(said(&back), said(&forecaster));
    let (loaded, _) = crate::load_model(folder, &device).unwrap();
    assert_eq!(loaded.config.sight, Sight::Past);
    let other = load_forecaster(folder, width, "another", &device).unwrap_err().to_string();
    assert!(other.contains("belongs to the encoder"), "{other}");
    let weights = folder.join(FORECAST_FILES[1]);
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let damaged = load_forecaster(folder, width, &sha256, &device).unwrap_err().to_string();
    assert!(damaged.contains("SHA-256"), "{damaged}");
}
