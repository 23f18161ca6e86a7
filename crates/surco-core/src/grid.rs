//! Where pixels lie: georeferenced grids, windows in them, and the cells of the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Side of a storage cell in 10 m pixels: one block of the source COGs.
pub const CELL_PX: usize = 1024;

/// A north-up grid of square pixels in one projected coordinate system.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Georef {
    /// EPSG code, for example 32719 (UTM 19 south).
    pub epsg: u32,
    /// Easting of the outer edge of the first column, in m.
    pub x0_m: f64,
    /// Northing of the outer edge of the first row, in m.
    pub y0_m: f64,
    /// Side of a pixel in m.
    pub px_m: f64,
}

impl Georef {
    /// Easting and northing in m of the centre of a pixel.
    #[must_use]
    pub fn centre(&self, row: usize, col: usize) -> (f64, f64) {
        (self.x0_m + (col as f64 + 0.5) * self.px_m, self.y0_m - (row as f64 + 0.5) * self.px_m)
    }

    /// Row and column, with fractions, of a point: `(0.5, 0.5)` is the centre of the first pixel.
    #[must_use]
    pub fn row_col(&self, x_m: f64, y_m: f64) -> (f64, f64) {
        ((self.y0_m - y_m) / self.px_m, (x_m - self.x0_m) / self.px_m)
    }

    /// The same grid beginning at another pixel.
    #[must_use]
    pub fn shifted(&self, row: usize, col: usize) -> Self {
        Self {
            x0_m: self.x0_m + col as f64 * self.px_m,
            y0_m: self.y0_m - row as f64 * self.px_m,
            ..*self
        }
    }
}

/// A rectangle of pixels in a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First row.
    pub row: usize,
    /// First column.
    pub col: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
}

impl Window {
    /// The common part of two windows, if they meet.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let row = self.row.max(other.row);
        let col = self.col.max(other.col);
        let row_end = (self.row + self.rows).min(other.row + other.rows);
        let col_end = (self.col + self.cols).min(other.col + other.cols);
        (row < row_end && col < col_end).then(|| Self {
            row,
            col,
            rows: row_end - row,
            cols: col_end - col,
        })
    }
}

/// A cell of a tile: `r03c09` is the fourth row and tenth column of 1024-px squares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId {
    /// MGRS tile, for example `19HBA`.
    pub tile: String,
    /// Row of the cell in its tile.
    pub row: usize,
    /// Column of the cell in its tile.
    pub col: usize,
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/r{:02}c{:02}", self.tile, self.row, self.col)
    }
}

/// A text that names no cell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no cell: expected TILE/rNNcNN, for example 19HBA/r03c09")]
pub struct CellIdError(String);

impl FromStr for CellId {
    type Err = CellIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (tile, rest) = s.split_once('/')?;
            let (row, col) = rest.strip_prefix('r')?.split_once('c')?;
            Some(Self { tile: tile.into(), row: row.parse().ok()?, col: col.parse().ok()? })
        };
        parse().ok_or_else(|| CellIdError(s.into()))
    }
}

/// The cells of a tile that a window of its 10 m grid touches, row by row, each with its own window
/// (1024 px square, less at the tile's lower and right edges).
#[must_use]
pub fn cells_of(tile: &str, tile_px: (usize, usize), aoi: &Window) -> Vec<(CellId, Window)> {
    let whole = Window { row: 0, col: 0, rows: tile_px.0, cols: tile_px.1 };
    let Some(aoi) = aoi.intersect(&whole) else { return Vec::new() };
    let span = |start: usize, len: usize| (start / CELL_PX)..(start + len).div_ceil(CELL_PX);
    let mut cells = Vec::new();
    for row in span(aoi.row, aoi.rows) {
        for col in span(aoi.col, aoi.cols) {
            let square =
                Window { row: row * CELL_PX, col: col * CELL_PX, rows: CELL_PX, cols: CELL_PX };
            if let Some(window) = square.intersect(&whole) {
                cells.push((CellId { tile: tile.into(), row, col }, window));
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_tile_the_area_and_stop_at_its_edge() {
        let aoi = Window { row: 10_000, col: 1000, rows: 900, cols: 100 };
        let cells = cells_of("19HBA", (10_980, 10_980), &aoi);
        let names: Vec<String> = cells.iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!(names, ["19HBA/r09c00", "19HBA/r09c01", "19HBA/r10c00", "19HBA/r10c01"]);
        assert_eq!(cells[2].1.rows, 740, "10,980 is ten cells and 740 pixels");
        assert_eq!(names[3].parse::<CellId>(), Ok(cells[3].0.clone()));
        assert!("19HBA-r1".parse::<CellId>().is_err());
    }

    #[test]
    fn a_pixel_centre_comes_back_to_its_pixel() {
        let grid = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_000_000.0, px_m: 10.0 };
        let (x, y) = grid.centre(3, 7);
        assert_eq!((x, y), (300_075.0, 5_999_965.0));
        assert_eq!(grid.row_col(x, y), (3.5, 7.5));
        assert_eq!(grid.shifted(3, 7).centre(0, 0), (x, y));
    }
}
