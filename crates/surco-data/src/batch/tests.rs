use super::build::kept_dates;
use super::*;
use crate::{SEASON_FEATURES, Site, season_token};

fn spec() -> BatchSpec {
    BatchSpec {
        bands: vec![SpectralBand::optical(665.0, 31.0)],
        scale: vec![(0.1, 0.05)],
        first_day: 100,
        end_day: 200,
        max_dates: 3,
        queries: None,
        patch: PatchGrid::default(),
        context: Vec::new(),
    }
}

fn sample(days: &[i32], values: &[f32]) -> Sample {
    Sample::series(days.to_vec(), values.to_vec(), true)
}

#[test]
fn values_are_scaled_and_what_was_not_seen_makes_no_token() {
    let a = sample(&[110, 120], &[0.2, f32::NAN]);
    let b = sample(&[99, 150, 160], &[0.9, 0.1, 0.05]);
    let batch = Batch::new(&[&a, &b], &spec());
    assert_eq!(batch.values_nc.as_slice().unwrap(), [2.0, 0.0, -1.0]);
    assert_eq!(batch.weights_nc.as_slice().unwrap(), [1.0, 1.0, 1.0]);
    assert_eq!(batch.lengths, [1, 2], "day 99 is outside, day 120 shows nothing");
    assert_eq!(batch.days_n, [-90, -50, -40]);
    assert_eq!(batch.samples[1], SampleTokens { rows: 1..3, patches: [1, 1] });
}

#[test]
fn a_cloud_that_is_likely_weighs_a_value_down() {
    let cloudy = Sample { weights: vec![0.25, 0.0], ..sample(&[110, 120], &[0.2, 0.2]) };
    let batch = Batch::new(&[&cloudy], &spec());
    assert_eq!((batch.values_nc[[0, 0]], batch.weights_nc[[0, 0]]), (0.5, 0.25));
    assert_eq!(batch.tokens(), 1, "no trust, no token");
}

#[test]
fn long_series_are_thinned_evenly_and_empty_ones_keep_one_token() {
    let long = sample(&[100, 110, 120, 130, 140, 150], &[0.1; 6]);
    assert_eq!(kept_dates(&long, &spec()), [0, 2, 4]);
    let batch = Batch::new(&[&sample(&[], &[])], &spec());
    assert_eq!((batch.lengths.as_slice(), batch.weights_nc[[0, 0]]), ([1].as_slice(), 0.0));
}

#[test]
fn queries_follow_the_dates_of_each_patch() {
    let queries = Some(QueryGrid { count: 4, parts: 2 });
    let (a, b) = (sample(&[110], &[0.2]), sample(&[], &[]));
    let batch = Batch::new(&[&a, &b], &BatchSpec { queries, ..spec() });
    assert_eq!(batch.lengths, [5, 4]);
    assert_eq!(batch.answers, [1, 2, 3, 4, 5, 6, 7, 8]);
    let grid = batch.queries.unwrap();
    assert_eq!([0, 1, 2, 3].map(|q| grid.part_of(q)), [0, 0, 1, 1]);
    let want = season_token(112, true, 200, None); // 100 + 0.5 × 25, whole days
    assert_eq!(batch.season_ns.row(1).to_vec(), want);
}

/// Two dates of 3 × 3 pixels at patch 2: four patches, those of the last row and column cut.
#[test]
fn a_window_becomes_patches_and_unseen_ones_have_no_token() {
    let mut values: Vec<f32> = (0..18).map(|v| 0.1 + 0.05 * v as f32).collect();
    for corner in [9, 10, 12, 13] {
        values[corner] = f32::NAN; // the first patch of the second date
    }
    let window = Sample { size_px: [3, 3], ..sample(&[110, 120], &values) };
    let patch = PatchGrid { side_px: 2, pixel_m: 10.0 };
    let batch = Batch::new(&[&window], &BatchSpec { patch, ..spec() });
    assert_eq!(batch.lengths, [1, 2, 2, 2]);
    assert_eq!(batch.samples[0].patches, [2, 2]);
    assert_eq!(batch.slots_n, [0, 0, 1, 0, 1, 0, 1]);
    let row = |i: usize| batch.values_nc.row(i).to_vec();
    let near = |a: Vec<f32>, b: [f32; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near(row(0), [0.0, 1.0, 3.0, 4.0]), "{:?}", row(0));
    assert!(near(row(1), [2.0, 0.0, 5.0, 0.0]), "{:?}", row(1));
    assert!(near(row(6), [17.0, 0.0, 0.0, 0.0]), "{:?}", row(6));
    assert_eq!(batch.weights_nc.row(1).to_vec(), [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(batch.seen_slots(0), [0, 1]);
    assert_eq!(batch.rows_at(0, &[1]).collect::<Vec<_>>(), [2, 4, 6]);
}

#[test]
fn hidden_bands_are_gone_from_all_pixels_of_their_sample_alone() {
    let bands = vec![SpectralBand::optical(665.0, 31.0), SpectralBand::optical(842.0, 100.0)];
    let patch = PatchGrid { side_px: 2, pixel_m: 10.0 };
    let spec = BatchSpec { bands, scale: vec![(0.1, 0.05); 2], patch, ..spec() };
    let window = Sample { size_px: [2, 2], ..sample(&[110], &[0.3; 8]) };
    let mut batch = Batch::new(&[&window, &window], &spec);
    batch.hide_bands(0, &[1]);
    assert_eq!(batch.weights_nc.row(0).to_vec(), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(batch.weights_nc.row(1).to_vec(), [1.0; 8]);
}

#[test]
fn a_model_is_told_of_a_place_only_what_it_was_trained_with() {
    let site = Site { lonlat: Some([-71.0, -34.0]), ..Site::default() };
    let placed = Sample { site, ..sample(&[110], &[0.2]) };
    let untold = Batch::new(&[&placed], &spec());
    assert_eq!(untold, Batch::new(&[&sample(&[110], &[0.2])], &spec()));
    let context = vec![Context::Location, Context::Relief, Context::Latitude];
    let told = Batch::new(&[&placed], &BatchSpec { context, ..spec() });
    assert_eq!((told.lengths.as_slice(), told.statics[0].0), ([2].as_slice(), 1));
    assert_eq!(told.season_ns.row(1).to_vec(), vec![0.0; SEASON_FEATURES]);
    assert_eq!(told.season_ns[[0, SEASON_FEATURES - 1]], 1.0);
}
