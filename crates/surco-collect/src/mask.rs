//! Which pixels of a cell are wanted on a date.

use ndarray::ArrayViewMut2;
use surco_core::Window;
use surco_store::INNER_PX;

use crate::owner::Owned;

/// Which pixels of a cell are wanted: 255 or 0 a pixel, and whether any is in each inner chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    rows: usize,
    cols: usize,
    wanted: Vec<u8>,
    tiles: Vec<bool>,
}

impl Mask {
    /// All pixels.
    pub(crate) fn all(rows: usize, cols: usize) -> Self {
        let tiles = rows.div_ceil(INNER_PX) * cols.div_ceil(INNER_PX);
        Self { rows, cols, wanted: vec![255; rows * cols], tiles: vec![true; tiles] }
    }

    /// No pixel.
    pub(crate) fn none(rows: usize, cols: usize) -> Self {
        let all = Self::all(rows, cols);
        Self { wanted: vec![0; rows * cols], tiles: vec![false; all.tiles.len()], ..all }
    }

    /// The pixels that are meant.
    pub(crate) fn of(owned: &Owned, rows: usize, cols: usize) -> Self {
        let mut mask = Self::all(rows, cols);
        if let Ok(view) = ArrayViewMut2::from_shape((rows, cols), &mut mask.wanted[..]) {
            owned.clear(view);
        }
        mask.look();
        mask
    }

    /// Gives the pixels of a window to `rule(row, first column, wanted)`, which sets them to 0 or 255: a piece
    /// of a row at a time, each in one inner chunk. [`Mask::look`] comes after.
    pub(crate) fn edit(&mut self, window: Window, mut rule: impl FnMut(usize, usize, &mut [u8])) {
        let end = (window.col + window.cols).min(self.cols);
        for row in window.row..(window.row + window.rows).min(self.rows) {
            let line = &mut self.wanted[row * self.cols..(row + 1) * self.cols];
            let mut col = window.col;
            while col < end {
                let next = ((col / INNER_PX + 1) * INNER_PX).min(end);
                rule(row, col, &mut line[col..next]);
                col = next;
            }
        }
    }

    /// Looks again in which inner chunks pixels are wanted, after [`Mask::edit`].
    pub(crate) fn look(&mut self) {
        self.tiles.fill(false);
        let across = self.cols.div_ceil(INNER_PX);
        for (row, line) in self.wanted.chunks_exact(self.cols).enumerate() {
            for (i, part) in line.chunks(INNER_PX).enumerate() {
                let tile = &mut self.tiles[row / INNER_PX * across + i];
                *tile = *tile || part.iter().any(|&w| w != 0);
            }
        }
    }

    /// Whether any pixel is wanted.
    pub(crate) fn any(&self) -> bool {
        self.tiles.contains(&true)
    }

    /// Whether a pixel is wanted in the inner chunks that a window of the cell meets.
    pub(crate) fn meets(&self, window: &Window) -> bool {
        let across = self.cols.div_ceil(INNER_PX);
        let last = |start: usize, len: usize, all: usize| (start + len).min(all).div_ceil(INNER_PX);
        (window.row / INNER_PX..last(window.row, window.rows, self.rows)).any(|down| {
            (window.col / INNER_PX..last(window.col, window.cols, self.cols))
                .any(|right| self.tiles[down * across + right])
        })
    }

    /// Whether a pixel is wanted in the inner chunk of a pixel.
    pub(crate) fn wants_in_chunk(&self, row: usize, col: usize) -> bool {
        self.tiles[row / INNER_PX * self.cols.div_ceil(INNER_PX) + col / INNER_PX]
    }

    /// Part of a row.
    pub(crate) fn row(&self, row: usize, col: usize, len: usize) -> &[u8] {
        &self.wanted[row * self.cols + col..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunks_with_wanted_pixels_are_met() {
        let one: Vec<bool> = (0..100 * 200).map(|i| i == 99 * 200 + 130).collect();
        let mut mask = Mask::of(&Owned::of(&one, 200), 100, 200);
        let window = |row, col| Window { row, col, rows: 10, cols: 10 };
        assert!(mask.any() && mask.meets(&window(70, 128)) && !mask.meets(&window(95, 195)));
        assert!(!mask.meets(&window(0, 0)) && !mask.meets(&window(50, 130)));
        assert_eq!(mask.row(99, 129, 3), [0, 255, 0]);
        mask.edit(window(0, 0), |_, _, wanted| wanted.fill(255));
        mask.look();
        assert!(mask.meets(&window(0, 0)));
        assert!(!Mask::none(5, 5).any());
    }
}
