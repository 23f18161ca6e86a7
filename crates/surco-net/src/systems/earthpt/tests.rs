use super::*;
use crate::systems::formula::{assert_begins, drawn, filled};
use burn::module::Module;
use surco_data::Site;

const WINDOW: (i32, i32) = (18_748, 19_113);

fn bands() -> Vec<SpectralBand> {
    S2_BANDS.iter().map(|&band| band.into()).collect()
}

fn sample(dates: usize, phase: f32) -> Sample {
    let value = |i: usize| 0.25 + 0.2 * ((i / 10) as f32 * 0.9 + (i % 10) as f32 + phase).sin();
    let days = (0..dates as i32).map(|d| WINDOW.0 + d).collect();
    Sample {
        site: Site::default(),
        ..Sample::series(days, (0..dates * 10).map(value).collect(), true)
    }
}

fn model() -> SystemModel<EarthPtConfig> {
    let config = EarthPtConfig::of_size(Size::Nano).unwrap();
    SystemModel::fresh(config, 1, &Device::flex())
}

/// 707,880,960 in the blocks (36 · (12 · 1280² + 2 · 1280)), 1,658,880 in the tokenizer, 1,280 in the last norm and
/// 6,570,250 in the head make the 716,111,370 that `get_num_params` of the code counts; it leaves out the 327,680
/// of the positions.
#[test]
fn the_published_size_has_the_parameters_that_its_code_counts() {
    let published = EarthPtConfig::of_size(Size::Xl).unwrap();
    assert_eq!((published.layers, published.heads, published.width), (36, 20, 1280));
    assert_eq!(published.params(), 716_111_370 + 256 * 1280);
    assert!(EarthPtConfig::of_size(Size::Billion).is_none());
    for size in [Size::Nano, Size::Micro] {
        let config = EarthPtConfig::of_size(size).unwrap();
        let built = config.build(&Device::flex()).num_params() as u64;
        assert_eq!(built, config.params(), "{size}");
    }
}

/// By hand: reflectance 0.1 is 1000 digital numbers, 1000 / 1000 · 2 − 1 = 1. 2021-05-01 is day 120 of the year, so
/// its angle is 120 / 365 turns; the next date is a day later.
#[test]
fn a_token_is_ten_bands_and_two_seasons() {
    let values = [vec![0.1; 10], vec![0.2; 10]].concat();
    let days = vec![WINDOW.0, WINDOW.0 + 1];
    let batch =
        EarthPtBatch::new(&[&Sample::series(days, values, true)], &bands(), WINDOW).unwrap();
    let turn = |day: f32| (day / 365.0 * std::f32::consts::TAU).sin_cos();
    let ((sin, cos), (next_sin, next_cos)) = (turn(120.0), turn(121.0));
    let mut want = vec![1.0; 10];
    want.extend([sin, cos, next_sin, next_cos]);
    for (got, want) in batch.tokens_nf.row(0).iter().zip(&want) {
        assert!((got - want).abs() < 1e-5, "{batch:?}");
    }
    assert!(batch.next_nb.row(0).iter().all(|v| (v - 3.0).abs() < 1e-5), "{batch:?}");
    assert_eq!(batch.lengths, [1]);
}

/// Series of other lengths beside it, and a date on which one band was not seen, change no bit.
#[test]
fn what_is_not_of_a_series_changes_nothing() {
    let model = model();
    let (a, b) = (sample(9, 0.0), sample(23, 2.0));
    let alone = model.embed(&[&a], &bands(), WINDOW).unwrap();
    let beside = model.embed(&[&b, &a], &bands(), WINDOW).unwrap();
    assert_eq!(alone.row(0), beside.row(1));
    let mut cloudy = a.clone();
    cloudy.days.push(WINDOW.0 + 200);
    cloudy.values.extend([0.9; 9]);
    cloudy.values.push(f32::NAN);
    assert_eq!(alone, model.embed(&[&cloudy], &bands(), WINDOW).unwrap());
    let mut outside = a.clone();
    outside.days.insert(0, WINDOW.0 - 1);
    outside.values.splice(0..0, [0.5; 10]);
    assert_eq!(alone, model.embed(&[&outside], &bands(), WINDOW).unwrap());
}

#[test]
fn the_past_does_not_know_what_comes() {
    let (net, series) = (model().net, sample(8, 0.0));
    let mut other = series.clone();
    other.values[7 * 10..].fill(0.7);
    let said = |sample: &Sample| -> Vec<f32> {
        let batch = EarthPtBatch::new(&[sample], &bands(), WINDOW).unwrap();
        net.predict(&batch).into_data().iter::<f32>().collect()
    };
    let mut middle = series.clone();
    middle.values[3 * 10..4 * 10].fill(0.7);
    // The last date is only a target; the fourth is first read by the fourth token.
    assert_eq!(said(&series), said(&other));
    assert_eq!(said(&series)[..3 * 10], said(&middle)[..3 * 10]);
    assert_ne!(said(&series)[3 * 10..4 * 10], said(&middle)[3 * 10..4 * 10]);
}

/// One day ahead is what the last token says; two days ahead is what is said once the first is taken for seen.
#[test]
fn a_forecast_goes_on_from_what_it_said() {
    let (model, series) = (model(), sample(6, 0.0));
    let ahead = [WINDOW.1 + 5, WINDOW.1 + 9];
    let said = model.forecast(&[&series], &bands(), WINDOW, &ahead).unwrap();
    let mut longer = series.clone();
    longer.days.push(ahead[0]);
    longer.values.extend(said.slice(ndarray::s![0, 0, ..]));
    let later = (WINDOW.0, ahead[0] + 1);
    let again = model.forecast(&[&longer], &bands(), later, &ahead[1..]).unwrap();
    let apart = &said.slice(ndarray::s![0, 1, ..]) - &again.slice(ndarray::s![0, 0, ..]);
    assert!(apart.iter().all(|d| d.abs() < 1e-5), "{apart}");
}

#[test]
fn what_it_cannot_do_is_said() {
    let model = model();
    let refuse = |sample: &Sample, bands: &[SpectralBand]| {
        let window = (WINDOW.0, WINDOW.0 + 400);
        model
            .embed(&[&super::tests::sample(5, 0.0), sample], bands, window)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(
        refuse(&sample(258, 0.0), &bands()),
        @"series 1 has 257 dates, but earthpt has 256 positions: give it a shorter window, or use a model without positions"
    );
    assert!(model.embed(&[&sample(257, 0.0)], &bands(), (WINDOW.0, WINDOW.0 + 400)).is_ok());
    insta::assert_snapshot!(
        refuse(&sample(1, 0.0), &bands()),
        @"series 1 has no date within the window on which earthpt sees all ten bands of Sentinel-2, nor a second one: leave it out"
    );
    assert!(refuse(&sample(5, 0.0), &bands()[..4]).contains("needs the band B06"));
}

#[test]
fn a_folder_gives_back_the_very_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let sha256 = model.save(folder.path()).unwrap();
    let (read, again) = SystemModel::<EarthPtConfig>::load(folder.path(), &Device::flex()).unwrap();
    assert_eq!((read.config, again), (model.config.clone(), sha256));
    let embedded = |model: &SystemModel<EarthPtConfig>| {
        model.embed(&[&sample(5, 0.0)], &bands(), WINDOW).unwrap()
    };
    let read = SystemModel { net: read.net, config: model.config.clone() };
    assert_eq!(embedded(&read), embedded(&model));
}

/// Expected: PyTorch 2.11, `verify/oracles/systems.py earthpt`, what the last of five dates says.
#[test]
fn it_answers_as_pytorch_does() {
    let config = EarthPtConfig { layers: 2, heads: 4, width: 32, ..model().config };
    let tokens_nf = Array2::from_shape_fn((5, 14), |(n, f)| drawn(n * 14 + f, 999) as f32);
    let batch = EarthPtBatch { tokens_nf, next_nb: Array2::zeros((0, 10)), lengths: vec![5] };
    let said = filled(config.build(&Device::flex())).predict(&batch);
    let want = [
        -0.14115, 0.106_766, -0.117_345, -0.341_456, -0.060_232, -0.053_975, -0.184_249, 0.283_564,
    ];
    assert_begins(said.narrow(0, 4, 1), &want);
}
