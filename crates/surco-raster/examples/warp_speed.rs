//! Says how fast pixels are brought onto another grid: `warp_speed`, on one core.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use ndarray::Array2;
use surco_raster::warp::{PixelGrid, Warp, WarpError};

const SIDE: usize = 1024;
const TIMES: usize = 20;

fn main() -> Result<(), WarpError> {
    let grid = |epsg, x0, y0, px| PixelGrid { epsg, x0, y0, dx: px, dy: px };
    let target = grid(32719, 204_800.0, 6_255_000.0, 10.0);
    let degrees = grid(4326, -72.3, -33.7, 1.0 / 3600.0);
    let cases = [
        ("zone 18 to 19", grid(32718, 755_000.0, 6_258_000.0, 10.0)),
        ("degrees to 19 south", degrees),
        ("false northing", grid(32619, 204_715.0, -3_744_015.0, 10.0)),
    ];
    for (name, source) in cases {
        let began = Instant::now();
        let warp = Warp::new(&target, (SIDE, SIDE), &source)?;
        let made = began.elapsed();
        let Some(window) = warp.needs(100_000, 100_000) else { continue };
        let pixels = Array2::from_shape_fn((window.rows, window.cols), |(r, c)| (r * 7 + c) as f32);
        let origin = (window.row, window.col);
        let speed = |what: &dyn Fn() -> Array2<f32>| {
            let began = Instant::now();
            let there: usize =
                (0..TIMES).map(|_| what().iter().filter(|v| !v.is_nan()).count()).sum();
            let rate = (TIMES * SIDE * SIDE) as f64 / began.elapsed().as_secs_f64() / 1e6;
            (rate, there as f64 / (TIMES * SIDE * SIDE) as f64)
        };
        let (nearest, _) = speed(&|| warp.nearest(pixels.view(), origin));
        let (bilinear, there) = speed(&|| warp.bilinear(pixels.view(), origin));
        println!(
            "{name}: places in {made:?}, nearest {nearest:.0} Mpx/s, bilinear {bilinear:.0} Mpx/s, {:.0} % inside",
            there * 100.0
        );
    }
    Ok(())
}
