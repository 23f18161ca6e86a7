//! What the times of several cubes say together.

use std::fmt;

use serde::Serialize;
use surco_learn::workload::CubeSize;

use crate::command::{CHILE_KM2, PIXELS_PER_KM2, S_PER_DAY};

/// How the cost of an embedding grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Scaling {
    /// Of the first cube.
    pixels_per_s_per_core: f64,
    /// One embedding of every pixel of Chile at the pace and with the dates of the first cube.
    chile_core_days: f64,
    /// Time grows as pixels to this power.
    pixel_exponent: f64,
    /// Time grows as dates to this power.
    date_exponent: f64,
}

impl Scaling {
    /// From cubes and the ms that each took on so many threads; nothing where they do not differ in pixels
    /// and in dates.
    pub(super) fn of(cubes: &[(CubeSize, f64)], threads: usize) -> Option<Self> {
        let &(first, ms) = cubes.first()?;
        let (pixels, smallest) = (|c: CubeSize| (c.side_px * c.side_px) as f64, cubes.last()?.0);
        let same_dates = cubes.iter().filter(|(c, _)| c.dates == first.dates);
        let same_side = cubes.iter().filter(|(c, _)| c.side_px == smallest.side_px);
        let pace = pixels(first) / (ms / 1e3) / threads as f64;
        Some(Self {
            pixels_per_s_per_core: pace,
            chile_core_days: CHILE_KM2 * PIXELS_PER_KM2 / pace / S_PER_DAY,
            pixel_exponent: exponent(same_dates.map(|&(c, ms)| (pixels(c), ms)))?,
            date_exponent: exponent(same_side.map(|&(c, ms)| (c.dates as f64, ms)))?,
        })
    }
}

/// Slope of the least-squares line through the logarithms.
fn exponent(points: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let points: Vec<(f64, f64)> = points.map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let along: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    (spread > 0.0).then(|| along / spread)
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "embedding: {:.0} pixels/s a core, Chile at 10 m in {:.1} core-days; time grows as pixels^{:.2} \
             and dates^{:.2}",
            self.pixels_per_s_per_core,
            self.chile_core_days,
            self.pixel_exponent,
            self.date_exponent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_of_pixels_times_the_square_root_of_dates_is_found() {
        let cube = |side_px: usize, dates: usize| {
            let ms = (side_px * side_px) as f64 * (dates as f64).sqrt() / 10.0;
            (CubeSize { side_px, dates }, ms)
        };
        let cubes = [cube(100, 25), cube(50, 25), cube(20, 25), cube(20, 100)];
        let got = Scaling::of(&cubes, 2).unwrap();
        assert!((got.pixel_exponent - 1.0).abs() < 1e-9, "{got:?}");
        assert!((got.date_exponent - 0.5).abs() < 1e-9, "{got:?}");
        // 10,000 pixels in 5 s on two cores.
        assert!((got.pixels_per_s_per_core - 1_000.0).abs() < 1e-6, "{got:?}");
        assert!((got.chile_core_days - 87.5).abs() < 1e-6, "{got:?}");
        assert_eq!(Scaling::of(&cubes[..1], 2), None);
    }
}
