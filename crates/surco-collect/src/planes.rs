//! The planes of a shard in the making, and how blocks are laid into them.

use std::sync::Mutex;

use ndarray::{Array3, Array4, ArrayView2, ArrayViewMut2, s};
use surco_core::Window;
use surco_raster::cog::{CogError, DecodedBlock, Header, SampleKind, decode_block};

use crate::scene::Layer;

/// Decoded samples of a block, or of a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// First band in the file.
    pub(crate) band: usize,
    /// Pixels of the asset.
    pub(crate) window: Window,
    pub(crate) samples: Samples,
}

/// `[band, y, x]`.
#[derive(Clone, Debug)]
pub(crate) enum Samples {
    U8(Array3<u8>),
    U16(Array3<u16>),
}

impl Piece {
    pub(crate) fn decode(header: &Header, block: usize, bytes: &[u8]) -> Result<Self, CogError> {
        if header.sample == SampleKind::U8 {
            let DecodedBlock { band, window, samples } = decode_block(header, block, bytes)?;
            return Ok(Self { band, window, samples: Samples::U8(samples) });
        }
        let DecodedBlock { band, window, samples } = decode_block(header, block, bytes)?;
        Ok(Self { band, window, samples: Samples::U16(samples) })
    }

    /// The part inside a window, if they meet.
    pub(crate) fn cut(&self, window: &Window) -> Option<Self> {
        let part = self.window.intersect(window)?;
        let (row, col) = (part.row - self.window.row, part.col - self.window.col);
        let cut = s![.., row..row + part.rows, col..col + part.cols];
        let samples = match &self.samples {
            Samples::U8(samples) => Samples::U8(samples.slice(cut).to_owned()),
            Samples::U16(samples) => Samples::U16(samples.slice(cut).to_owned()),
        };
        Some(Self { band: self.band, window: part, samples })
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.samples {
            Samples::U8(samples) => samples.len(),
            Samples::U16(samples) => samples.len() * 2,
        }
    }

    /// Bands of the file that it holds.
    pub(crate) fn bands(&self) -> std::ops::Range<usize> {
        let count = match &self.samples {
            Samples::U8(samples) => samples.shape()[0],
            Samples::U16(samples) => samples.shape()[0],
        };
        self.band..self.band + count
    }
}

/// The planes of a shard, each behind its own lock so that blocks of different bands do not wait.
pub(crate) struct Planes<'a> {
    bands: usize,
    /// `[date × band]`.
    reflectance: Vec<Mutex<ArrayViewMut2<'a, u16>>>,
    /// `[date]`.
    scl: Vec<Mutex<ArrayViewMut2<'a, u8>>>,
}

impl<'a> Planes<'a> {
    pub(crate) fn new(reflectance: &'a mut Array4<u16>, scl: &'a mut Array3<u8>) -> Self {
        let bands = reflectance.shape()[1];
        let mut planes = Vec::new();
        for date in reflectance.outer_iter_mut() {
            let mut rest = date;
            for _ in 0..bands {
                let (plane, more) = rest.split_at(ndarray::Axis(0), 1);
                planes.push(Mutex::new(plane.index_axis_move(ndarray::Axis(0), 0)));
                rest = more;
            }
        }
        let scl = scl.outer_iter_mut().map(Mutex::new).collect();
        Self { bands, reflectance: planes, scl }
    }

    /// Lays one layer of a piece into the plane of a date, doubling 20 m pixels.
    ///
    /// `cell` is the shard's window in the 10 m grid.
    pub(crate) fn lay(
        &self,
        date: usize,
        (layer, band): (Layer, usize),
        piece: &Piece,
        factor: usize,
        cell: &Window,
    ) {
        let place = Place { window: piece.window, factor, cell: *cell };
        let index = band - piece.band;
        match (layer, &piece.samples) {
            (Layer::Band(axis), samples) => {
                let plane = &self.reflectance[date * self.bands + axis];
                // A poisoned lock only means that another block's thread fell: that run ends anyway.
                let mut plane = plane.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match samples {
                    Samples::U16(s) => place.copy(s.slice(s![index, .., ..]), &mut plane, |v| v),
                    Samples::U8(s) => {
                        place.copy(s.slice(s![index, .., ..]), &mut plane, u16::from);
                    }
                }
            }
            (Layer::Scl, samples) => {
                let plane = &self.scl[date];
                let mut plane = plane.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match samples {
                    Samples::U8(s) => place.copy(s.slice(s![index, .., ..]), &mut plane, |v| v),
                    Samples::U16(s) => {
                        let narrow = |v| u8::try_from(v).unwrap_or(u8::MAX);
                        place.copy(s.slice(s![index, .., ..]), &mut plane, narrow);
                    }
                }
            }
        }
    }
}

/// Where a piece lies in a cell.
struct Place {
    window: Window,
    factor: usize,
    cell: Window,
}

impl Place {
    fn copy<S: Copy, T>(
        &self,
        source: ArrayView2<'_, S>,
        target: &mut ArrayViewMut2<'_, T>,
        as_target: impl Fn(S) -> T,
    ) {
        let Self { window, factor, cell } = self;
        let fine = Window {
            row: window.row * factor,
            col: window.col * factor,
            rows: window.rows * factor,
            cols: window.cols * factor,
        };
        let Some(part) = fine.intersect(cell) else { return };
        for row in part.row..part.row + part.rows {
            let from = source.row(row / factor - window.row);
            let mut to = target.row_mut(row - cell.row);
            let mut to = to.slice_mut(s![part.col - cell.col..part.col - cell.col + part.cols]);
            if *factor == 1 {
                let start = part.col - window.col;
                let from = from.slice(s![start..start + part.cols]);
                to.iter_mut().zip(from).for_each(|(to, &value)| *to = as_target(value));
            } else {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = as_target(from[(part.col + i) / factor - window.col]);
                }
            }
        }
    }
}

/// A cell's window in the pixels of an asset.
pub(crate) fn asset_window(cell: &Window, factor: usize) -> Window {
    let (row, col) = (cell.row / factor, cell.col / factor);
    Window {
        row,
        col,
        rows: (cell.row + cell.rows).div_ceil(factor) - row,
        cols: (cell.col + cell.cols).div_ceil(factor) - col,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand: a 20 m piece of 2 × 2 pixels at (1, 1) of its asset covers rows and columns 2 to 5.
    #[test]
    fn coarse_pixels_are_doubled_where_they_lie() {
        let mut reflectance = Array4::zeros((1, 1, 4, 4));
        let mut scl = Array3::zeros((1, 4, 4));
        let cell = Window { row: 3, col: 2, rows: 4, cols: 4 };
        let piece = Piece {
            band: 0,
            window: Window { row: 1, col: 1, rows: 2, cols: 2 },
            samples: Samples::U16(ndarray::array![[[1, 2], [3, 4]]]),
        };
        Planes::new(&mut reflectance, &mut scl).lay(0, (Layer::Band(0), 0), &piece, 2, &cell);
        let want = ndarray::array![[1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4], [0, 0, 0, 0_u16]];
        assert_eq!(reflectance.slice(s![0, 0, .., ..]), want);
        assert_eq!(asset_window(&cell, 2), Window { row: 1, col: 1, rows: 3, cols: 2 });
    }
}
