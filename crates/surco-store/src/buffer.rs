//! The pixels of one shard in memory, in the order in which they are encoded.
//!
//! Inner chunk after inner chunk, each `[date, band, y, x]`: encoding reads every chunk where it lies, and a
//! block is laid plane by plane without a second pass.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::{ArrayView2, ArrayView3, ArrayView4, Axis};
use surco_core::Window;

use crate::shard::{INNER_PX, Inner, SHARD_DATES};

const TILE: usize = INNER_PX * INNER_PX;

/// Room for the 12 dates of a shard: 252 MB for 10 bands of 1024² pixels.
///
/// Made once and used for one shard after the other: planes of the last shard are cleared when they are
/// touched again, or when the shard is written.
#[derive(Debug, Default)]
pub struct ShardBuffer {
    bands: usize,
    rows: usize,
    cols: usize,
    values: Vec<u16>,
    quality: Vec<u8>,
    /// Planes that still hold an older shard: `[date, band]`.
    stale_values: Vec<bool>,
    /// `[date]`.
    stale_quality: Vec<bool>,
}

/// All planes of a buffer, each behind its own lock so that threads lay different planes at once.
#[derive(Debug)]
pub struct ShardPlanes<'a> {
    bands: usize,
    values: Vec<Mutex<Plane<'a, u16>>>,
    quality: Vec<Mutex<Plane<'a, u8>>>,
}

/// One band of one date.
#[derive(Debug)]
pub struct Plane<'a, T> {
    rows: usize,
    cols: usize,
    tiles: Vec<&'a mut [T]>,
    stale: &'a mut bool,
}

impl ShardBuffer {
    /// An empty buffer for shards of this many bands, rows and columns; no pixel of an older shard is left.
    pub fn begin(&mut self, bands: usize, rows: usize, cols: usize) {
        let inner = Inner::of(rows, cols, bands);
        let tiles = inner.count() * SHARD_DATES * TILE;
        if (bands, rows, cols) == (self.bands, self.rows, self.cols) {
            self.stale_values.fill(true);
            self.stale_quality.fill(true);
            return;
        }
        // Freed first, so that two shards are never held.
        (self.values, self.quality) = (Vec::new(), Vec::new());
        (self.values, self.quality) = (vec![0; tiles * bands], vec![0; tiles]);
        self.stale_values = vec![false; SHARD_DATES * bands];
        self.stale_quality = vec![false; SHARD_DATES];
        (self.bands, self.rows, self.cols) = (bands, rows, cols);
    }

    /// A buffer that holds `[date, band, y, x]` values and `[date, y, x]` quality at these slots;
    /// without a quality layer that is empty.
    #[must_use]
    pub fn of(slots: &[usize], values: ArrayView4<'_, u16>, quality: ArrayView3<'_, u8>) -> Self {
        let mut buffer = Self::default();
        let shape = values.shape();
        buffer.begin(shape[1], shape[2], shape[3]);
        let planes = buffer.planes();
        for (date, &slot) in slots.iter().enumerate() {
            for (band, plane) in values.index_axis(Axis(0), date).outer_iter().enumerate() {
                planes.values(slot, band).put(plane);
            }
            if !quality.is_empty() {
                planes.quality(slot).put(quality.index_axis(Axis(0), date));
            }
        }
        drop(planes);
        buffer
    }

    /// Bands, rows and columns.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.bands, self.rows, self.cols)
    }

    /// The planes, to be laid by many threads.
    pub fn planes(&mut self) -> ShardPlanes<'_> {
        let (rows, cols) = (self.rows, self.cols);
        ShardPlanes {
            bands: self.bands,
            values: planes_of(&mut self.values, &mut self.stale_values, rows, cols),
            quality: planes_of(&mut self.quality, &mut self.stale_quality, rows, cols),
        }
    }

    /// Clears what is left of an older shard.
    pub(crate) fn settle(&mut self) {
        if self.stale_values.contains(&true) || self.stale_quality.contains(&true) {
            let planes = self.planes();
            planes.values.into_iter().for_each(|plane| into_inner(plane).settle());
            planes.quality.into_iter().for_each(|plane| into_inner(plane).settle());
        }
    }

    /// The values of an inner chunk, `[date, band, y, x]`.
    pub(crate) fn value_chunk(&self, chunk: usize) -> &[u16] {
        let len = SHARD_DATES * self.bands * TILE;
        &self.values[chunk * len..][..len]
    }

    /// The quality of an inner chunk, `[date, y, x]`.
    pub(crate) fn quality_chunk(&self, chunk: usize) -> &[u8] {
        let len = SHARD_DATES * TILE;
        &self.quality[chunk * len..][..len]
    }
}

fn into_inner<T>(lock: Mutex<T>) -> T {
    lock.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn planes_of<'a, T>(
    all: &'a mut [T],
    stale: &'a mut [bool],
    rows: usize,
    cols: usize,
) -> Vec<Mutex<Plane<'a, T>>> {
    let mut planes: Vec<_> =
        stale.iter_mut().map(|stale| Plane { rows, cols, tiles: Vec::new(), stale }).collect();
    let count = planes.len();
    for (i, tile) in all.chunks_exact_mut(TILE).enumerate() {
        planes[i % count].tiles.push(tile);
    }
    planes.into_iter().map(Mutex::new).collect()
}

impl<'a> ShardPlanes<'a> {
    /// A band of a date of the shard, by their places.
    pub fn values(&self, slot: usize, band: usize) -> MutexGuard<'_, Plane<'a, u16>> {
        // A poisoned lock only means that another thread fell while it laid pixels: that run ends anyway.
        self.values[slot * self.bands + band].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The quality layer of a date of the shard.
    pub fn quality(&self, slot: usize) -> MutexGuard<'_, Plane<'a, u8>> {
        self.quality[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Copy + Default> Plane<'_, T> {
    /// Gives the pixels of a window to `lay(row, first column, pixels)`, a piece of a row at a time; the
    /// window is cut at the plane's edge.
    pub fn edit(&mut self, window: Window, mut lay: impl FnMut(usize, usize, &mut [T])) {
        let whole = Window { row: 0, col: 0, rows: self.rows, cols: self.cols };
        let Some(window) = window.intersect(&whole) else { return };
        if window == whole {
            *self.stale = false;
        }
        self.settle();
        let across = self.cols.div_ceil(INNER_PX);
        let (row_end, col_end) = (window.row + window.rows, window.col + window.cols);
        for down in window.row / INNER_PX..row_end.div_ceil(INNER_PX) {
            let rows = window.row.max(down * INNER_PX)..row_end.min((down + 1) * INNER_PX);
            for right in window.col / INNER_PX..col_end.div_ceil(INNER_PX) {
                let tile = &mut self.tiles[down * across + right];
                let start = window.col.max(right * INNER_PX);
                let end = col_end.min((right + 1) * INNER_PX);
                for row in rows.clone() {
                    let at = (row - down * INNER_PX) * INNER_PX + start - right * INNER_PX;
                    lay(row, start, &mut tile[at..at + end - start]);
                }
            }
        }
    }

    /// Lays a whole plane, `[y, x]`.
    pub fn put(&mut self, plane: ArrayView2<'_, T>) {
        let whole = Window { row: 0, col: 0, rows: self.rows, cols: self.cols };
        self.edit(whole, |row, col, pixels| {
            pixels.iter_mut().enumerate().for_each(|(i, to)| *to = plane[(row, col + i)]);
        });
    }

    fn settle(&mut self) {
        if *self.stale {
            self.tiles.iter_mut().for_each(|tile| tile.fill(T::default()));
            *self.stale = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn a_used_buffer_holds_nothing_of_the_last_shard() {
        let mut buffer = ShardBuffer::default();
        for value in [7_u16, 9] {
            buffer.begin(2, 70, 130);
            let planes = buffer.planes();
            planes.values(3, 1).put(Array2::from_elem((70, 130), value).view());
            let corner = Window { row: 60, col: 60, rows: 100, cols: 8 };
            planes.values(4, 0).edit(corner, |_, _, pixels| pixels.fill(value));
            planes.quality(3).put(Array2::from_elem((70, 130), 4).view());
            drop(planes);
            buffer.settle();
            let sum: u64 = buffer.values.iter().map(|&v| u64::from(v)).sum();
            assert_eq!(sum, u64::from(value) * (70 * 130 + 10 * 8));
        }
        buffer.begin(2, 70, 130);
        buffer.settle();
        assert!(buffer.values.iter().all(|&v| v == 0) && buffer.quality.iter().all(|&q| q == 0));
    }
}
