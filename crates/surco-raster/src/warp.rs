//! Bringing pixels of one grid onto another: other UTM zones, false northings, degrees.
//!
//! A [`Warp`] knows where every pixel of a target lies in a source. It asks the exact projection at
//! nodes of a coarse grid, checks the straight lines between them against the projection, and halves
//! the grid until they are right to [`TOLERANCE_PX`]. The resampling itself sees only `f32` samples in
//! which NaN stands for no data.
//!
//! Absent on purpose: averaging of finer sources, cubic kernels, rotated grids, datum shifts.

mod resample;

use surco_core::{Georef, Window};

use crate::projection::systems::{System, system};
use crate::projection::{CrsError, Projection};

/// How far, in source pixels, a place may lie from where the exact projection puts it.
pub const TOLERANCE_PX: f64 = 0.02;

/// Target pixels between nodes at first; a power of two.
const COARSEST: usize = 64;

/// North between the false northings of the two hemispheres, in m.
const SOUTH_M: f64 = 10_000_000.0;

/// A north-up grid whose pixels need not be square, in metres or degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelGrid {
    /// EPSG code.
    pub epsg: u32,
    /// Outer edge of the first column.
    pub x0: f64,
    /// Outer edge of the first row.
    pub y0: f64,
    /// Width of a pixel, above 0.
    pub dx: f64,
    /// Height of a pixel, above 0.
    pub dy: f64,
}

impl From<Georef> for PixelGrid {
    fn from(g: Georef) -> Self {
        Self { epsg: g.epsg, x0: g.x0_m, y0: g.y0_m, dx: g.px_m, dy: g.px_m }
    }
}

impl PixelGrid {
    /// Rows and columns from the corner of this grid to that of another, if both have the same pixels.
    ///
    /// Corners may miss each other by a thousandth of a pixel.
    #[must_use]
    pub fn steps_to(&self, other: &Self) -> Option<(i64, i64)> {
        let near = |a: f64, b: f64| (a - b).abs() <= 2e-6 * a.abs();
        if self.epsg != other.epsg || !near(self.dx, other.dx) || !near(self.dy, other.dy) {
            return None;
        }
        let steps = ((self.y0 - other.y0) / self.dy, (other.x0 - self.x0) / self.dx);
        let whole = |v: f64| v.is_finite() && v.abs() < 1e12 && (v - v.round()).abs() < 1e-3;
        (whole(steps.0) && whole(steps.1))
            .then_some((steps.0.round() as i64, steps.1.round() as i64))
    }
}

/// Where the pixels of a target lie in a source.
#[derive(Clone, Debug)]
pub struct Warp {
    rows: usize,
    cols: usize,
    /// Target pixels between nodes.
    step: usize,
    /// Nodes in a row.
    across: usize,
    /// Column and row in the source of the centres of the target's pixels `0, step, 2 step, …`, as
    /// [`Georef::row_col`] counts.
    nodes: Vec<(f64, f64)>,
}

/// Why a grid cannot be brought onto another.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WarpError {
    /// A coordinate system is not known, or a place is none of its.
    #[error(transparent)]
    Crs(#[from] CrsError),
    /// Pixels without a size, or a target without pixels.
    #[error("cannot warp: {what} is {found}, expected {expected}")]
    Grid {
        /// What is wrong.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
}

impl Warp {
    /// Finds the pixels of a target of `rows` by `cols` pixels in a source.
    ///
    /// Within one UTM zone, whatever the hemisphere of the code, the places are exact.
    ///
    /// # Errors
    /// [`WarpError`] if a coordinate system is refused or the target reaches where the source's
    /// system has no point.
    pub fn new(
        target: &PixelGrid,
        (rows, cols): (usize, usize),
        source: &PixelGrid,
    ) -> Result<Self, WarpError> {
        for grid in [target, source] {
            let sane = |v: f64| v.is_finite() && v > 0.0;
            if !sane(grid.dx) || !sane(grid.dy) {
                let found = format!("{} x {}", grid.dx, grid.dy);
                return Err(WarpError::Grid { what: "a pixel", found, expected: "above 0" });
            }
        }
        if rows == 0 || cols == 0 {
            let found = format!("{rows} x {cols}");
            return Err(WarpError::Grid { what: "the target", found, expected: "pixels" });
        }
        let place = Place::new(target, source)?;
        if matches!(place.between, Between::Shift(_)) {
            // Straight lines are exact over any distance.
            let step = rows.max(cols).next_power_of_two();
            return Self::with_nodes(&place, rows, cols, step);
        }
        let mut step = COARSEST;
        loop {
            let warp = Self::with_nodes(&place, rows, cols, step)?;
            if step == 1 || warp.error(&place)? <= TOLERANCE_PX {
                return Ok(warp);
            }
            step /= 2;
        }
    }

    fn with_nodes(place: &Place, rows: usize, cols: usize, step: usize) -> Result<Self, WarpError> {
        // One node past the last pixel, so that every pixel lies between four.
        let across = (cols - 1) / step + 2;
        let down = (rows - 1) / step + 2;
        let mut nodes = Vec::with_capacity(across * down);
        for r in 0..down {
            for c in 0..across {
                nodes.push(place.of((r * step) as f64, (c * step) as f64)?);
            }
        }
        Ok(Self { rows, cols, step, across, nodes })
    }

    /// The largest error, in source pixels, at the middles of nodes' squares and of their sides.
    fn error(&self, place: &Place) -> Result<f64, WarpError> {
        let down = self.nodes.len() / self.across;
        let (step, half) = (self.step as f64, self.step as f64 / 2.0);
        let mut worst = 0.0_f64;
        for r in 0..down - 1 {
            for c in 0..self.across - 1 {
                for (dr, dc) in [(half, half), (half, 0.0), (0.0, half)] {
                    let (row, col) = (r as f64 * step + dr, c as f64 * step + dc);
                    let (want, got) = (place.of(row, col)?, self.at(row, col));
                    worst = worst.max((want.0 - got.0).abs()).max((want.1 - got.1).abs());
                }
            }
        }
        Ok(worst)
    }

    /// Column and row in the source of a place of the target, counted from the centre of its first
    /// pixel.
    fn at(&self, row: f64, col: f64) -> (f64, f64) {
        let step = self.step as f64;
        let (r, c) = ((row / step).floor(), (col / step).floor());
        let (u, v) = (col / step - c, row / step - r);
        let first = r as usize * self.across + c as usize;
        let [a, b] = [self.nodes[first], self.nodes[first + 1]];
        let [d, e] = [self.nodes[first + self.across], self.nodes[first + self.across + 1]];
        let mix = |a: f64, b: f64, d: f64, e: f64| {
            let (upper, lower) = (a + (b - a) * u, d + (e - d) * u);
            upper + (lower - upper) * v
        };
        (mix(a.0, b.0, d.0, e.0), mix(a.1, b.1, d.1, e.1))
    }

    /// Rows and columns of the target.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// The pixels of a source of `rows` by `cols` that the target needs, with those beside them, or
    /// nothing if it lies outside.
    #[must_use]
    pub fn needs(&self, rows: usize, cols: usize) -> Option<Window> {
        // The ends of a bilinear patch are at its corners, so the nodes hold the ends of all.
        let ends = |pick: fn(&(f64, f64)) -> f64| {
            let values = self.corners().map(|p| pick(&p));
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let span = |(low, high): (f64, f64), all: usize| {
            let low = (low - 1.5).floor().max(0.0);
            let high = (high + 1.5).ceil().min(all as f64);
            (low < high).then_some((low as usize, (high - low) as usize))
        };
        let (col, cols) = span(ends(|p| p.0), cols)?;
        let (row, rows) = span(ends(|p| p.1), rows)?;
        Some(Window { row, col, rows, cols })
    }

    /// Places of the nodes inside the target and of pixels on its far sides.
    fn corners(&self) -> impl Iterator<Item = (f64, f64)> {
        let ends = |all: usize| (0..all).step_by(self.step).chain([all - 1]);
        let cols = self.cols;
        ends(self.rows)
            .flat_map(move |row| ends(cols).map(move |col| self.at(row as f64, col as f64)))
    }

    /// How many pixels of the target have their centre in a window of the source.
    #[must_use]
    pub fn count_in(&self, window: &Window) -> usize {
        let (rows, cols) =
            (window.row..window.row + window.rows, window.col..window.col + window.cols);
        let mut count = 0;
        self.each_row(|_, places| {
            let inside = |&(x, y): &(f64, f64)| {
                x >= 0.0 && y >= 0.0 && cols.contains(&(x as usize)) && rows.contains(&(y as usize))
            };
            count += places.iter().filter(|p| inside(p)).count();
        });
        count
    }

    /// Gives each row of the target with the places of its pixels in the source.
    fn each_row(&self, mut take: impl FnMut(usize, &[(f64, f64)])) {
        let mut places = vec![(0.0, 0.0); self.cols];
        for row in 0..self.rows {
            self.places(row, &mut places);
            take(row, &places);
        }
    }

    /// Columns and rows in the source of the pixels of a row.
    fn places(&self, row: usize, places: &mut [(f64, f64)]) {
        let inverse = 1.0 / self.step as f64;
        let v = (row % self.step) as f64 * inverse;
        let first = row / self.step * self.across;
        for (c, part) in places.chunks_mut(self.step).enumerate() {
            let upper = first + c;
            let lower = upper + self.across;
            let side = |top: usize, bottom: usize| {
                let (t, b) = (self.nodes[top], self.nodes[bottom]);
                (t.0 + (b.0 - t.0) * v, t.1 + (b.1 - t.1) * v)
            };
            let (left, right) = (side(upper, lower), side(upper + 1, lower + 1));
            let slope = ((right.0 - left.0) * inverse, (right.1 - left.1) * inverse);
            for (i, place) in part.iter_mut().enumerate() {
                *place = (left.0 + slope.0 * i as f64, left.1 + slope.1 * i as f64);
            }
        }
    }
}

/// The exact way from a target's pixel to its place in a source.
struct Place {
    target: PixelGrid,
    source: PixelGrid,
    between: Between,
}

enum Between {
    /// The same system, but for the false northing.
    Shift(f64),
    Projected(Box<(Projection, Projection)>),
}

impl Place {
    fn new(target: &PixelGrid, source: &PixelGrid) -> Result<Self, WarpError> {
        let projected = || {
            Ok(Box::new((Projection::from_epsg(target.epsg)?, Projection::from_epsg(source.epsg)?)))
        };
        let between = match (system(target.epsg), system(source.epsg)) {
            (
                Some(System::Utm { zone, south, .. }),
                Some(System::Utm { zone: z, south: s, .. }),
            ) if zone == z => Between::Shift((f64::from(s) - f64::from(south)) * SOUTH_M),
            (Some(System::Geographic(_)), Some(System::Geographic(_))) => Between::Shift(0.0),
            _ => Between::Projected(projected().map_err(WarpError::Crs)?),
        };
        Ok(Self { target: *target, source: *source, between })
    }

    /// Column and row in the source of a place counted from the centre of the target's first pixel.
    fn of(&self, row: f64, col: f64) -> Result<(f64, f64), WarpError> {
        let x = self.target.x0 + (col + 0.5) * self.target.dx;
        let y = self.target.y0 - (row + 0.5) * self.target.dy;
        let (x, y) = match &self.between {
            Between::Shift(north) => (x, y + north),
            Between::Projected(pair) => {
                let (lon, lat) = pair.0.to_lonlat(x, y)?;
                pair.1.from_lonlat(lon, lat)?
            }
        };
        Ok(((x - self.source.x0) / self.source.dx, (self.source.y0 - y) / self.source.dy))
    }
}

#[cfg(test)]
mod tests;
