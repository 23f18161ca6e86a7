use super::*;
use crate::systems::formula::{assert_begins, drawn, filled};
use burn::module::Module;

const WINDOW: (i32, i32) = (18_748, 19_113);

fn bands() -> Vec<SpectralBand> {
    S2_BANDS.iter().map(|&band| band.into()).collect()
}

fn sample(dates: usize, side: usize, phase: f32) -> Sample {
    let value = |i: usize| 0.25 + 0.2 * (i as f32 * 0.37 + phase).sin();
    let values = (0..dates * 10 * side * side).map(value).collect();
    let days = (0..dates as i32).map(|d| WINDOW.0 + 20 * d).collect();
    Sample { size_px: [side; 2], ..Sample::series(days, values, true) }
}

fn model() -> SystemModel<UBarnConfig> {
    let config = UBarnConfig::new(Normalisation::measure(&bands(), &[]));
    SystemModel::fresh(config, 1, &Device::flex())
}

fn batch(samples: &[&Sample]) -> UBarnBatch {
    UBarnBatch::new(samples, &bands(), WINDOW, &model().config).unwrap()
}

fn flat(x: Tensor<2>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// Layer by layer as side² · in · out, and a bias, a scale and a shift a channel out; PyTorch 2.11's own modules of these
/// shapes count the same.
#[test]
fn the_parameters_are_those_of_its_layers() {
    let conv = |side: usize, from: usize, to: usize| side * side * from * to + 3 * to;
    let down = |from, to| conv(2, from, from) + conv(3, from, to) + conv(3, to, to);
    let up = |from, to, beside| {
        conv(1, beside, beside) + conv(2, from, to) + conv(3, to + beside, to) + conv(3, to, to)
    };
    let unet = conv(3, 10, 64)
        + conv(3, 64, 64)
        + down(64, 64) * 2
        + down(64, 128)
        + up(128, 64, 64)
        + up(64, 32, 64)
        + up(32, 32, 64)
        + conv(3, 32, 64);
    // Four maps of 64 × 64 with biases, two of 64 × 128, two norms.
    let layer = 4 * (64 * 64 + 64) + 64 * 128 + 128 + 128 * 64 + 64 + 4 * 64;
    assert_eq!((unet, layer), (724_928, 33_472));
    let learned = unet + 3 * layer + 64 * 10 + 10;
    let model = model();
    assert_eq!(model.net.num_params(), learned + unet::STATISTICS);
    assert_eq!(model.config.params(), (learned + unet::STATISTICS) as u64);
}

/// Windows beside it, dates outside of the days asked for and dates on which one pixel was hidden change no bit:
/// they are not computed.
#[test]
fn what_is_not_of_a_window_changes_nothing() {
    let model = model();
    let (a, b) = (sample(3, 16, 0.0), sample(5, 16, 2.0));
    let alone = model.embed(&[&a], &bands(), WINDOW).unwrap();
    assert_eq!(alone.row(0), model.embed(&[&b, &a], &bands(), WINDOW).unwrap().row(1));
    let mut cloudy = a.clone();
    cloudy.days.extend([WINDOW.1 - 3, WINDOW.1 + 3]);
    cloudy.values.extend(a.values[..2 * 2560].to_vec());
    cloudy.values[3 * 2560 + 77] = f32::NAN;
    assert_eq!(alone, model.embed(&[&cloudy], &bands(), WINDOW).unwrap());
    let together = batch(&[&b, &a]);
    assert_eq!(together.days_m.len(), 8);
    let features = flat(model.net.features(&together));
    let own = flat(model.net.features(&batch(&[&a])));
    assert_eq!(features[5 * 256 * UBARN_WIDTH..], own);
    // The middle is pixel 8 · 16 + 8, and its three dates stand together.
    let (middle, segments) = model.net.middle_features(&batch(&[&a]));
    assert_eq!((segments.count(), segments.tokens()), (1, 3));
    let first = 136 * 3 * UBARN_WIDTH;
    for (got, want) in flat(middle).iter().zip(&own[first..]) {
        assert!((got - want).abs() < 1e-5, "{got} {want}");
    }
}

/// Tokens stand window by window, pixel by pixel, date by date.
#[test]
fn tokens_of_a_pixel_stand_together() {
    let batch = batch(&[&sample(2, 16, 0.0), &sample(1, 16, 1.0)]);
    let places: Vec<(usize, usize)> = batch.places().collect();
    assert_eq!(places[..4], [(0, 0), (1, 0), (0, 1), (1, 1)]);
    assert_eq!((places[2 * 256], places.len()), ((2, 0), 3 * 256));
    assert_eq!((batch.segments().count(), batch.segments().longest()), (512, 2));
    // 2021-05-01 is day 121, and 20 days later day 141.
    assert_eq!(batch.days_m, [121, 141, 121]);
    let rows = season_rows(&batch, &places);
    let row = &rows[UBARN_WIDTH..2 * UBARN_WIDTH];
    assert!((row[0] - 141_f32.sin()).abs() < 1e-5 && (row[1] - 141_f32.cos()).abs() < 1e-5);
    let slow = 141.0 / 10_000_f32.powf(62.0 / 64.0);
    assert!((row[62] - slow.sin()).abs() < 1e-6 && (row[63] - slow.cos()).abs() < 1e-6);
}

#[test]
fn what_it_cannot_do_is_said() {
    let refuse = |samples: &[&Sample]| {
        UBarnBatch::new(samples, &bands(), WINDOW, &model().config).unwrap_err().to_string()
    };
    let good = sample(2, 16, 0.0);
    insta::assert_snapshot!(
        refuse(&[&good, &sample(3, 1, 0.0)]),
        @"series 1 is 1 × 1 pixels, but ubarn reads windows of at least 16 × 16, sides multiples of 8: cut windows around the places, or use a model of single pixels"
    );
    insta::assert_snapshot!(
        refuse(&[&good, &sample(2, 24, 0.0)]),
        @"series 1 is 24 × 24 pixels, but ubarn reads windows of one size at once, here 16 × 16: cut windows around the places, or use a model of single pixels"
    );
    let mut dark = good.clone();
    dark.values[7] = f32::NAN;
    dark.values[2560 + 9] = f32::NAN;
    insta::assert_snapshot!(
        model().embed(&[&good, &dark], &bands(), WINDOW).unwrap_err(),
        @"series 1 has no date within the window on which ubarn sees every pixel of the window in all ten bands of Sentinel-2: leave it out"
    );
}

/// Norms by measured statistics answer as norms by the batch they were measured on, but for the variance of what
/// the batch was drawn from; and a folder keeps them.
#[test]
fn statistics_are_part_of_the_model() {
    let batch = batch(&[&sample(12, 16, 0.0)]);
    let model = model();
    let plain = flat(model.net.features(&batch));
    let net = model.net.clone().measured(std::slice::from_ref(&batch));
    let by_batch = flat(net.features_in_training(&batch));
    let measured = flat(net.features(&batch));
    let apart = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32
    };
    let (before, after) = (apart(&plain, &by_batch), apart(&measured, &by_batch));
    assert!(after < 0.1 && before > 5.0 * after, "{before} {after}");
    let folder = tempfile::tempdir().unwrap();
    let model = SystemModel { net, config: model.config };
    model.save(folder.path()).unwrap();
    let (read, _) = SystemModel::<UBarnConfig>::load(folder.path(), &Device::flex()).unwrap();
    assert_eq!(flat(read.net.features(&batch)), measured);
}

/// One query a decoder: what it finds does not depend on the order of dates.
#[test]
fn the_shallow_decoder_scores_each_pixel() {
    let device = Device::flex();
    let decoder = ShallowDecoder::fresh(3, 1, &device);
    assert_eq!(decoder.num_params(), 64 + 64 * 128 + 128 + 64 * 3 + 3);
    let rows: Vec<f32> = (0..5 * 64).map(|i| (i as f32 * 0.7).sin()).collect();
    let of = |rows: Vec<f32>, lengths: &[usize]| {
        let n = rows.len() / 64;
        let x_nd = Tensor::from_data(TensorData::new(rows, [n, 64]), &device);
        flat(decoder.forward(x_nd, &Segments::of_lengths(lengths.iter().copied())))
    };
    let scores = of(rows.clone(), &[2, 3]);
    assert_eq!(scores.len(), 6);
    let turned = [&rows[64..128], &rows[..64]].concat();
    for (a, b) in of(turned, &[2]).iter().zip(&scores) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

/// Expected: PyTorch 2.11, `verify/oracles/systems.py ubarn`, the first pixel on the first of two dates.
#[test]
fn it_answers_as_pytorch_does() {
    let at = |(m, b, y, x): (usize, usize, usize, usize)| {
        drawn(((m * 10 + b) * 16 + y) * 16 + x, 999) as f32
    };
    let images_mbyx = Array4::from_shape_fn((2, 10, 16, 16), at);
    let batch = UBarnBatch { images_mbyx, days_m: vec![121, 141], lengths: vec![2] };
    let want = [
        -0.484_614, -0.579_121, -0.420_373, -0.412_285, -0.579_583, -0.342_873, 0.476_941,
        0.220_672,
    ];
    assert_begins(filled(model().net).reconstruct(&batch), &want);
}
