use ndarray::{Array2, s};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn utm(zone: u32, x0: f64, y0: f64, px: f64) -> PixelGrid {
    PixelGrid { epsg: 32_700 + zone, x0, y0, dx: px, dy: px }
}

/// The formula of `fixtures/make_warps.py`.
fn image(rows: usize, cols: usize) -> Array2<f32> {
    let hole = (rows / 3) as f64;
    Array2::from_shape_fn((rows, cols), |(row, col)| {
        let (y, x) = (row as f64, col as f64);
        if (y - hole).powi(2) + (x - hole).powi(2) < 9.0 {
            return f32::NAN;
        }
        let wave = 100.0 + 50.0 * (y / 3.0).sin() + 30.0 * (x / 4.0).cos();
        (wave + ((7 * row + 3 * col) % 5) as f64) as f32
    })
}

/// Recorded with GDAL's exact projection by `fixtures/make_warps.py`.
///
/// A place may lie 0.02 pixels off here, and neighbours differ by up to 30: 0.9 is allowed, and the mean
/// must be far smaller. Nearest may take the other of two neighbours only where the place lies that close
/// to their edge.
#[test]
fn pixels_come_out_as_gdal_brings_them() {
    let cases: Value = serde_json::from_str(include_str!("../../fixtures/warps.json")).unwrap();
    let mut seen = 0;
    for case in cases.as_array().unwrap() {
        let numbers = |key: &str| -> Vec<f64> {
            case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        let from = numbers("source");
        let [epsg, x0, y0, dx, dy, rows, cols] = from[..] else { panic!("{from:?}") };
        let source = PixelGrid { epsg: epsg as u32, x0, y0, dx, dy };
        let pixels = image(rows as usize, cols as usize);
        let to = numbers("target");
        let [epsg, x0, y0, px, rows, cols] = to[..] else { panic!("{to:?}") };
        let target = PixelGrid { epsg: epsg as u32, x0, y0, dx: px, dy: px };
        let warp = Warp::new(&target, (rows as usize, cols as usize), &source).unwrap();
        let window = warp.needs(pixels.nrows(), pixels.ncols()).unwrap();
        let part = pixels
            .slice(s![window.row..window.row + window.rows, window.col..window.col + window.cols]);
        let origin = (window.row, window.col);
        for (how, got) in
            [("nearest", warp.nearest(part, origin)), ("bilinear", warp.bilinear(part, origin))]
        {
            let want = case[how].as_array().unwrap();
            assert_eq!(got.len(), want.len());
            let (mut sum, mut count, mut other) = (0.0, 0, 0);
            for (got, want) in got.iter().zip(want) {
                let off = match want.as_f64() {
                    None if got.is_nan() => continue,
                    Some(want) if !got.is_nan() => (f64::from(*got) - want).abs(),
                    _ => f64::INFINITY,
                };
                count += 1;
                if off > 0.9 {
                    other += 1;
                } else {
                    sum += off;
                }
            }
            let (mean, share) = (sum / f64::from(count), f64::from(other) / f64::from(count));
            println!("{}, {how}: {count} pixels, mean {mean:.4}, other {other}", case["name"]);
            assert!(count > 500 && mean < 0.05, "{}, {how}: {count}, {mean}", case["name"]);
            let allowed = if how == "nearest" { 0.02 } else { 0.0 };
            assert!(share <= allowed, "{}, {how}: {other} of {count} differ", case["name"]);
            seen += count;
        }
    }
    assert!(seen > 8000, "{seen}");
}

#[test]
fn places_are_within_the_tolerance_over_a_whole_cell() {
    for (target, source) in [
        (utm(19, 204_800.0, 6_200_000.0, 10.0), utm(18, 700_000.0, 6_300_000.0, 10.0)),
        (
            utm(19, 300_000.0, 3_900_000.0, 30.0),
            PixelGrid { epsg: 4326, x0: -72.0, y0: -55.0, dx: 1.5 / 3600.0, dy: 1.0 / 3600.0 },
        ),
    ] {
        let warp = Warp::new(&target, (1024, 1024), &source).unwrap();
        let exact = Place::new(&target, &source).unwrap();
        let mut worst = 0.0_f64;
        warp.each_row(|row, places| {
            for (col, place) in places.iter().enumerate().skip(row % 7).step_by(7) {
                let want = exact.of(row as f64, col as f64).unwrap();
                worst = worst.max((want.0 - place.0).abs()).max((want.1 - place.1).abs());
            }
        });
        println!("{}: worst {worst} px at {} px between nodes", source.epsg, warp.step);
        assert!(worst <= 2.0 * TOLERANCE_PX, "{worst}");
        assert!(warp.step >= 8, "{}: nodes so close would be slow", warp.step);
    }
}

#[test]
fn the_same_grid_gives_the_same_pixels() {
    let pixels = image(40, 50);
    let target = utm(19, 300_050.0, 6_299_940.0, 10.0);
    for source in [
        utm(19, 300_000.0, 6_300_000.0, 10.0),
        PixelGrid { epsg: 32_619, y0: -3_700_000.0, ..utm(19, 300_000.0, 0.0, 10.0) },
    ] {
        let warp = Warp::new(&target, (20, 30), &source).unwrap();
        let want = pixels.slice(s![6..26, 5..35]);
        let same =
            |a: &Array2<f32>| a.iter().zip(want).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        assert!(same(&warp.nearest(pixels.view(), (0, 0))), "EPSG:{}", source.epsg);
        assert!(same(&warp.bilinear(pixels.view(), (0, 0))), "EPSG:{}", source.epsg);
        let block = Window { row: 0, col: 0, rows: 16, cols: 16 };
        assert_eq!(warp.count_in(&block), 10 * 11, "rows 6 to 15, columns 5 to 15");
    }
}

#[test]
fn what_lies_elsewhere_needs_nothing_and_gives_nothing() {
    let source = utm(19, 300_000.0, 6_300_000.0, 10.0);
    let warp = Warp::new(&utm(19, 400_000.0, 6_300_000.0, 10.0), (8, 8), &source).unwrap();
    assert_eq!(warp.needs(100, 100), None);
    assert!(warp.bilinear(image(4, 4).view(), (0, 0)).iter().all(|v| v.is_nan()));
    let bad = PixelGrid { dx: 0.0, ..source };
    assert!(Warp::new(&source, (8, 8), &bad).is_err());
    assert!(Warp::new(&source, (0, 8), &source).is_err());
    assert!(Warp::new(&source, (8, 8), &PixelGrid { epsg: 24_879, ..source }).is_err(), "PSAD56");
}

#[test]
fn grids_of_the_same_pixels_know_their_distance() {
    let one = PixelGrid { epsg: 4326, x0: -71.0, y0: -33.0, dx: 1.0 / 3600.0, dy: 1.0 / 3600.0 };
    assert_eq!(one.steps_to(&PixelGrid { x0: -70.0, y0: -34.0, ..one }), Some((3600, 3600)));
    assert_eq!(one.steps_to(&PixelGrid { x0: -70.999, ..one }), None, "3.6 pixels");
    assert_eq!(one.steps_to(&PixelGrid { dx: 1.5 / 3600.0, ..one }), None);
    assert_eq!(one.steps_to(&PixelGrid { epsg: 4674, ..one }), None);
}

proptest! {
    /// A plane stays a plane: bilinear means of a linear function are exact, whatever the shift.
    #[test]
    fn a_slope_keeps_its_values(east in -40.0..40.0_f64, north in -40.0..40.0_f64, px in 6.0..25.0_f64) {
        let source = utm(19, 300_000.0, 6_300_000.0, 10.0);
        let pixels = Array2::from_shape_fn((60, 60), |(r, c)| (3 * r + 2 * c) as f32);
        let target = utm(19, 300_150.0 + east, 6_299_850.0 + north, px);
        let warp = Warp::new(&target, (12, 14), &source).unwrap();
        let got = warp.bilinear(pixels.view(), (0, 0));
        for ((row, col), value) in got.indexed_iter() {
            let x = (target.x0 + (col as f64 + 0.5) * px - source.x0) / 10.0 - 0.5;
            let y = (source.y0 - target.y0 + (row as f64 + 0.5) * px) / 10.0 - 0.5;
            prop_assert!((f64::from(*value) - (3.0 * y + 2.0 * x)).abs() < 1e-3);
        }
    }

    /// What a warp says it needs is enough: a larger window gives the same pixels.
    #[test]
    fn the_needed_window_is_enough(row in 0..30_usize, col in 0..30_usize) {
        let source = utm(18, 769_000.0, 6_252_000.0, 10.0);
        let pixels = image(90, 90);
        let target = utm(19, 214_020.0 + 10.0 * col as f64, 6_251_340.0 - 10.0 * row as f64, 10.0);
        let warp = Warp::new(&target, (20, 20), &source).unwrap();
        let Some(w) = warp.needs(90, 90) else { return Ok(()) };
        let part = pixels.slice(s![w.row..w.row + w.rows, w.col..w.col + w.cols]);
        let (whole, cut) = (warp.bilinear(pixels.view(), (0, 0)), warp.bilinear(part, (w.row, w.col)));
        prop_assert!(whole.iter().zip(&cut).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}
