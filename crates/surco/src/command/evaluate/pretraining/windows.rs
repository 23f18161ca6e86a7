//! Windows around labelled pixels, for systems that read a pixel with its neighbours.

use std::path::Path;

use surco_core::{Georef, Window};
use surco_data::{Cube, Sample, SeriesWindow, read_cube};
use surco_net::UBARN_SIDE_PX;
use surco_store::Store;

use crate::compare::spread_over;

/// Most dates of a window, spread over those on which it was seen whole.
pub(super) const MOST_DATES: usize = 16;

/// Fewest of them.
const FEWEST_DATES: usize = 2;

/// A labelled pixel: its easting and northing in m, in the zone of its cell, and its degrees.
pub(super) struct Place {
    pub(super) at_m: (f64, f64),
    pub(super) lonlat: Option<[f64; 2]>,
}

/// The window in whose middle each pixel lies; nothing where its cell of the store does not hold it, or fewer than two dates show it
/// whole.
pub(super) fn around(store: &Path, places: &[Place]) -> anyhow::Result<Vec<Option<Sample>>> {
    let store = Store::open(store)?;
    let mut found: Vec<Option<Sample>> = places.iter().map(|_| None).collect();
    for cell in store.cells()? {
        let reader = store.cell(&cell)?;
        let whole = Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
        let cube = read_cube(&store, &SeriesWindow { cell, window: whole }, None)?;
        for (window, place) in found.iter_mut().zip(places).filter(|(found, _)| found.is_none()) {
            *window = within(&cube, place);
        }
    }
    Ok(found)
}

fn within(cube: &Cube, place: &Place) -> Option<Sample> {
    let window = about(&cube.georef, place.at_m, cube.size())?;
    let half = UBARN_SIDE_PX / 2;
    // Zones give unlike places the same metres.
    let middle = cube.sample(window.row + half, window.col + half);
    if middle.site.lonlat != place.lonlat {
        return None;
    }
    let sample = cube.window(window);
    let is_whole =
        |&date: &usize| sample.date(date, cube.bands.len()).iter().all(|value| value.is_finite());
    let dates: Vec<usize> = (0..sample.len()).filter(is_whole).collect();
    let kept = spread_over(&dates, MOST_DATES);
    (kept.len() >= FEWEST_DATES).then(|| sample.at_dates(&kept, cube.bands.len()))
}

/// The window whose pixel in row and column `UBARN_SIDE_PX / 2` is the one there, if the grid holds all of it.
fn about(georef: &Georef, (x_m, y_m): (f64, f64), (rows, cols): (usize, usize)) -> Option<Window> {
    let (row, col) = georef.row_col(x_m, y_m);
    let half = UBARN_SIDE_PX / 2;
    let first = |at: f64, length: usize| {
        let at = at.floor();
        let is_inside = at >= half as f64 && at + (UBARN_SIDE_PX - half) as f64 <= length as f64;
        is_inside.then(|| at as usize - half)
    };
    let (row, col) = (first(row, rows)?, first(col, cols)?);
    Some(Window { row, col, rows: UBARN_SIDE_PX, cols: UBARN_SIDE_PX })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, in a grid of 64 × 64 pixels: the pixel in row 8 and column 56 is the first and the last that has a window.
    #[test]
    fn a_window_lies_around_its_pixel_or_not_at_all() {
        let georef = Georef { epsg: 32719, x0_m: 250_000.0, y0_m: 6_050_000.0, px_m: 10.0 };
        let of = |row, col| about(&georef, georef.centre(row, col), (64, 64));
        assert_eq!(of(8, 56), Some(Window { row: 0, col: 48, rows: 16, cols: 16 }));
        assert_eq!((of(7, 20), of(20, 57)), (None, None));
        assert_eq!(about(&georef, (249_000.0, 6_049_900.0), (64, 64)), None, "west of the grid");
    }
}
