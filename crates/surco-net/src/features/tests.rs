use super::*;
use crate::{ModelConfig, Size, fresh};
use surco_core::S2_BANDS;
use surco_data::{Normalisation, QueryGrid, Site};

/// 2021-05-01, and a year on.
const WINDOW: (i32, i32) = (18_748, 19_113);

pub(super) fn bands() -> Vec<SpectralBand> {
    S2_BANDS.iter().map(|&band| band.into()).collect()
}

/// Ten bands on `dates` days from the beginning of the window on, somewhere in Chile.
pub(super) fn sample(dates: usize, gap: i32, size_px: [usize; 2], phase: f32) -> Sample {
    let pixels = size_px[0] * size_px[1];
    let value = |i: usize| 0.25 + 0.2 * (i as f32 * 0.37 + phase).sin();
    let values = (0..dates * 10 * pixels).map(value).collect();
    let days = (0..dates as i32).map(|d| WINDOW.0 + 3 + gap * d).collect();
    let site = Site { lonlat: Some([-71.2, -34.5]), ..Site::default() };
    Sample { size_px, site, ..Sample::series(days, values, true) }
}

fn ours() -> AnyModel {
    let config = ModelConfig {
        schema: 2,
        size: Size::Nano,
        normalisation: Normalisation::measure(&bands(), &[]),
        queries: QueryGrid { count: 12, parts: 4 },
        max_dates: 64,
        patch_px: vec![1],
        context: Vec::new(),
        sight: crate::Sight::Whole,
        card: crate::Card::default(),
    };
    let encoder = fresh(Size::Nano, 1, &Device::flex());
    AnyModel::Surco(Box::new(Model { encoder, config }))
}

/// A window whose middle is that series, at row 1 and column 1 of two by three.
#[test]
fn a_window_stands_for_the_pixel_in_its_middle() {
    let window = sample(6, 20, [2, 3], 0.3);
    let pixel = window.crop([1, 1], [1, 1], 10);
    let apart: Vec<usize> = (0..6).filter(|&p| p != middle(&window)).collect();
    assert_eq!((middle(&window), apart.len()), (4, 5));
    let of = |sample: &Sample| monthly::presto_batch(&[sample], &bands(), WINDOW).unwrap();
    assert_eq!(format!("{:?}", of(&window)), format!("{:?}", of(&pixel)));
    // Ours sees the neighbours too, so that only its shape is that of a pixel.
    assert_eq!(ours().embed(&[&window, &pixel], &bands(), WINDOW).unwrap().dim(), (2, 512));
}

#[test]
fn what_a_model_of_months_cannot_do_is_said() {
    let good = sample(6, 20, [1, 1], 0.0);
    let refuse = |sample: &Sample, bands: &[SpectralBand], window| {
        monthly::presto_batch(&[&good, sample], bands, window).unwrap_err().to_string()
    };
    let nowhere = Sample { site: Site::default(), ..good.clone() };
    insta::assert_snapshot!(
        refuse(&nowhere, &bands(), WINDOW),
        @"series 1 has no longitude and latitude, which presto needs: give its place"
    );
    insta::assert_snapshot!(
        refuse(&good, &bands(), (WINDOW.0, WINDOW.0 + 1000)),
        @"a window of 1000 days has 33 months, but presto has 24: give a shorter one"
    );
    insta::assert_snapshot!(
        refuse(&Sample::default(), &bands(), WINDOW),
        @"series 1 has no date within the window on which presto sees any of its bands: leave it out"
    );
    let strange = [SpectralBand::optical(1375.0, 30.0); 10];
    insta::assert_snapshot!(
        monthly::galileo_batch(&[&good], &strange[..1], WINDOW).unwrap_err(),
        @"galileo needs a band of Sentinel-1 or Sentinel-2, which is not among 1375 nm: give all of its bands, or use a model that takes any"
    );
}
