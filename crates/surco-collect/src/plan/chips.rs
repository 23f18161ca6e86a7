//! Chips around places: which pixels of which cells they take.

use std::collections::HashMap;

use surco_core::{CELL_PX, Window};
use surco_raster::projection::Projection;
use surco_store::INNER_PX;

use crate::geometry::{Point, around, bounds};
use crate::request::Places;
use crate::scene::Grid;

/// A chip's part in one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chip {
    /// Place in the list of points.
    pub(super) point: u32,
    /// In pixels of the cell.
    pub(super) window: Window,
}

/// The chips of a tile by row and column of their cells.
pub(super) fn chips(
    places: &Places,
    grid: &Grid,
    projection: &Projection,
    outline: &[Point],
) -> HashMap<(usize, usize), Vec<Chip>> {
    let mut found: HashMap<(usize, usize), Vec<Chip>> = HashMap::new();
    let span = bounds(outline);
    let margin = places.reach_deg(span[1].abs().max(span[3].abs()));
    let side = places.side_px as i64;
    for (number, &point) in places.points.iter().enumerate() {
        let near = around(span[0], [point])[0];
        let inside = span[0] - margin <= near.0
            && near.0 <= span[2] + margin
            && span[1] - margin <= near.1
            && near.1 <= span[3] + margin;
        // A point that has no place in this zone lies far from the tile.
        let Some((x, y)) = inside.then(|| projection.from_lonlat(point.0, point.1).ok()).flatten()
        else {
            continue;
        };
        let (row, col) = grid.georef.row_col(x, y);
        // The pixel of the point is the middle one, of an even number the first of the second half.
        let start = |at: f64| at.floor() as i64 - side / 2;
        let rows = clipped(start(row), side, grid.rows);
        let cols = clipped(start(col), side, grid.cols);
        for (cell_row, row, rows) in parts(rows) {
            for (cell_col, col, cols) in parts(cols) {
                let window = Window { row, col, rows, cols };
                let chip = Chip { point: number as u32, window };
                found.entry((cell_row, cell_col)).or_default().push(chip);
            }
        }
    }
    found
}

/// Start and end of a chip's side inside a grid.
fn clipped(start: i64, side: i64, all: usize) -> (usize, usize) {
    let inside = |at: i64| at.clamp(0, all as i64) as usize;
    (inside(start), inside(start + side))
}

/// A side cut at the borders of cells: cell, start in it, length.
fn parts((start, end): (usize, usize)) -> impl Iterator<Item = (usize, usize, usize)> {
    (start / CELL_PX..end.div_ceil(CELL_PX)).filter_map(move |cell| {
        let from = start.max(cell * CELL_PX);
        let to = end.min((cell + 1) * CELL_PX);
        (from < to).then(|| (cell, from - cell * CELL_PX, to - from))
    })
}

/// Windows grown to the inner chunks of the store that they meet.
pub(super) fn chunks(windows: &[Window], (rows, cols): (usize, usize)) -> Vec<Window> {
    let grown = |start: usize, length: usize, all: usize| {
        let from = start / INNER_PX * INNER_PX;
        let to = (start + length).next_multiple_of(INNER_PX).min(all);
        (from, to - from)
    };
    let mut chunks: Vec<Window> = windows
        .iter()
        .map(|w| {
            let (row, rows) = grown(w.row, w.rows, rows);
            let (col, cols) = grown(w.col, w.cols, cols);
            Window { row, col, rows, cols }
        })
        .collect();
    chunks.sort_by_key(|w| (w.row, w.col, w.rows, w.cols));
    chunks.dedup();
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::tests::tile;

    /// Worked by hand: tile 19HCC begins at 300,000 m east and 6,300,040 m north.
    #[test]
    fn a_chip_over_four_cells_has_a_window_in_each() {
        let grid = tile(19, 300.0, 6200.0);
        let projection = Projection::from_epsg(32719).unwrap();
        let at = |x: f64, y: f64| projection.to_lonlat(x, y).unwrap();
        let points = vec![
            at(300_000.0 + 10_240.0 + 55.0, 6_300_040.0 - 10_240.0 - 155.0),
            at(300_000.0 + 105.0, 6_300_040.0 - 205.0),
            at(300_000.0 - 400.0, 6_300_040.0 - 20_000.0),
        ];
        let outline: Vec<Point> = [(0.0, 0.0), (109_800.0, -109_800.0)]
            .map(|(x, y)| at(300_000.0 + x, 6_300_040.0 + y))
            .into();
        let places = Places { points, side_px: 64 };
        let found = chips(&places, &grid, &projection, &outline);
        let window = |row, col, rows, cols| Window { row, col, rows, cols };
        // Row 1024 + 15 and column 1024 + 5 hold the point: rows 1007 to 1070, columns 997 to 1060.
        assert_eq!(found[&(0, 0)][0].window, window(1007, 997, 17, 27));
        assert_eq!(found[&(0, 1)][0].window, window(1007, 0, 17, 37));
        assert_eq!(found[&(1, 0)][0].window, window(0, 997, 47, 27));
        assert_eq!(found[&(1, 1)][0].window, window(0, 0, 47, 37));
        // Row 20, column 10: its chip reaches over the edge of the tile.
        assert_eq!(found[&(0, 0)][1].window, window(0, 0, 52, 42));
        // The last point lies 40 pixels outside, its chip reaches 32.
        assert_eq!(found.values().flatten().filter(|chip| chip.point == 2).count(), 0);
        assert_eq!(
            chunks(&[window(1007, 997, 17, 27), window(0, 60, 10, 8)], (1024, 1000)),
            [window(0, 0, 64, 128), window(960, 960, 64, 40)]
        );
    }
}
