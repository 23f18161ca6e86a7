//! Reading windows of a cell.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array3, Array4, Axis};
use rayon::prelude::*;
use serde_json::{Map, Value};
use surco_core::{CellId, Georef, Window};

use crate::metadata::{quality_key, values_key};
use crate::pixel::Pixel;
use crate::shard::{DecodeError, Decoder, INNER_PX, Inner, SHARD_DATES, Shard};
use crate::store::manifest_key;
use crate::{ArrayText, SceneRecord, Store, StoreError};

/// A cell open for reading; shared between threads as it is.
#[derive(Clone, Debug)]
pub struct CellReader {
    /// The cell.
    pub id: CellId,
    /// Where it lies.
    pub georef: Georef,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Names of the bands, in the order of the band axis.
    pub bands: Vec<String>,
    /// Sensing times of the dates in seconds since 1970, rising.
    pub times: Vec<i64>,
    /// Provenance and holes of each date.
    pub scenes: Vec<SceneRecord>,
    /// Dates that are planned and not collected yet; 0 unless unfinished cells were asked for.
    pub missing: usize,
    /// What the values are called and mean.
    pub values: ArrayText,
    /// What the quality layer is called and means, if there is one.
    pub quality: Option<ArrayText>,
    /// What else the cell's group says.
    pub attributes: Map<String, Value>,
    /// Where on the stored time axis each date lies.
    places: Vec<usize>,
    store: Store,
    /// Indices of shards read before, by key; a shard that is not there has none.
    shards: Arc<Mutex<HashMap<String, Option<Arc<Shard>>>>>,
}

/// Pixels of a window.
///
/// | | shape | type |
/// |---|---|---|
/// | `reflectance` | `[date, band, y, x]` | u16, in Sentinel-2 reflectance × 10⁴, 0 = no data |
/// | `scl` | `[date, y, x]` | u8, 0 = no data; all 0 in a cell without a quality layer |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellPixels {
    /// The measured values, whatever [`CellReader::values`] calls them.
    pub reflectance: Array4<u16>,
    /// The quality layer; ask [`CellReader::quality`] whether there is one.
    pub scl: Array3<u8>,
}

impl Store {
    /// Opens a cell all of whose dates are done.
    ///
    /// # Errors
    /// [`StoreError::NoCell`] if it is not planned, [`StoreError::Unfinished`] if a date is missing.
    pub fn cell(&self, cell: &CellId) -> Result<CellReader, StoreError> {
        let reader = self.unfinished_cell(cell)?;
        if reader.missing > 0 {
            return Err(StoreError::Unfinished {
                cell: cell.clone(),
                missing: reader.missing,
                dates: reader.missing + reader.times.len(),
            });
        }
        Ok(reader)
    }

    /// Opens a cell with only the dates that are done.
    ///
    /// # Errors
    /// [`StoreError::NoCell`] if it is not planned, [`StoreError::Metadata`] if metadata are damaged.
    pub fn unfinished_cell(&self, cell: &CellId) -> Result<CellReader, StoreError> {
        let group = self.group_of(cell)?;
        let meta = group.meta;
        let mut dates = Vec::new();
        for shard in 0..meta.shards() {
            let Some(manifest) = self.manifest(cell, shard)? else { continue };
            for date in manifest.dates {
                let place = shard * SHARD_DATES + date.slot;
                let slot = meta.scenes.get(place).filter(|slot| slot.id == date.scene.id);
                dates.extend(slot.map(|slot| (slot.time_s, place, date.scene)));
            }
        }
        dates.sort_by_key(|d| (d.0, d.1));
        Ok(CellReader {
            id: cell.clone(),
            georef: meta.georef,
            rows: meta.rows,
            cols: meta.cols,
            missing: meta.scenes.len() - dates.len(),
            bands: meta.bands,
            times: dates.iter().map(|d| d.0).collect(),
            places: dates.iter().map(|d| d.1).collect(),
            scenes: dates.into_iter().map(|d| d.2).collect(),
            values: meta.values,
            quality: meta.quality,
            attributes: group.attributes,
            store: self.clone(),
            shards: Arc::default(),
        })
    }
}

/// The dates of a request that lie in one shard: (place in the answer, slot in the shard).
type Slots = Vec<(usize, usize)>;

impl CellReader {
    /// Reads a window of some dates, given by their places in [`CellReader::times`].
    ///
    /// Reads and decodes only the inner chunks that meet the window, in parallel.
    ///
    /// # Errors
    /// [`StoreError::Outside`] if the window or a date is not in the cell, [`StoreError::Damaged`] if a
    /// checksum is wrong.
    pub fn read(&self, dates: &[usize], window: Window) -> Result<CellPixels, StoreError> {
        self.check(dates, window)?;
        let mut shards: BTreeMap<usize, Slots> = BTreeMap::new();
        for (to, &date) in dates.iter().enumerate() {
            let place = self.places[date];
            shards.entry(place / SHARD_DATES).or_default().push((to, place % SHARD_DATES));
        }
        let (rows, cols) = (window.rows, window.cols);
        let mut values = Array4::zeros((dates.len(), self.bands.len(), rows, cols));
        let mut scl = Array4::zeros((dates.len(), 1, rows, cols));
        for (&shard, slots) in &shards {
            let name = &self.values.name;
            let layer = Layer { name, key: values_key(name, shard), shard, slots };
            self.fill(&layer, self.bands.len(), window, &mut values)?;
            if let Some(quality) = &self.quality {
                let name = &quality.name;
                let layer = Layer { name, key: quality_key(name, shard), shard, slots };
                self.fill(&layer, 1, window, &mut scl)?;
            }
        }
        Ok(CellPixels { reflectance: values, scl: scl.remove_axis(Axis(1)) })
    }

    fn check(&self, dates: &[usize], window: Window) -> Result<(), StoreError> {
        let outside = |has, asked| Err(StoreError::Outside { cell: self.id.clone(), has, asked });
        let fits = |start: usize, len: usize, all| start.checked_add(len).is_some_and(|e| e <= all);
        if !fits(window.row, window.rows, self.rows) || !fits(window.col, window.cols, self.cols) {
            let asked = format!(
                "rows {}+{}, columns {}+{}",
                window.row, window.rows, window.col, window.cols
            );
            return outside(format!("{} × {} pixels", self.rows, self.cols), asked);
        }
        match dates.iter().find(|&&d| d >= self.times.len()) {
            Some(d) => outside(format!("{} dates", self.times.len()), format!("date {d}")),
            None => Ok(()),
        }
    }

    fn fill<T: Pixel>(
        &self,
        layer: &Layer<'_>,
        bands: usize,
        window: Window,
        out: &mut Array4<T>,
    ) -> Result<(), StoreError> {
        let Some(out) = out.as_slice_mut().filter(|out| !out.is_empty()) else { return Ok(()) };
        let inner = Inner::of(self.rows, self.cols, bands);
        let mut filled = self.try_fill(layer, inner, window, out);
        if let Err(DecodeError::Changed) = filled {
            // Somebody added dates to the shard: its index is another one now.
            self.known().remove(&layer.key);
            filled = self.try_fill(layer, inner, window, out);
        }
        filled.map_err(|error| match error {
            DecodeError::Store(error) => error,
            error => StoreError::Damaged {
                cell: self.id.clone(),
                shard: layer.shard,
                object: layer.name.into(),
                reason: error.to_string(),
                manifest: self.store.place.name(&manifest_key(&self.id, layer.shard)),
            },
        })
    }

    fn try_fill<T: Pixel>(
        &self,
        layer: &Layer<'_>,
        inner: Inner,
        window: Window,
        out: &mut [T],
    ) -> Result<(), DecodeError> {
        // The manifest vouches that an object left out is all zero.
        let Some(shard) = self.shard(&layer.key, inner)? else { return Ok(()) };
        let task = Task { reader: self, shard: &shard, inner, window, slots: layer.slots };
        strips(out, window).into_par_iter().try_for_each(|strip| task.fill(strip))
    }

    fn shard(&self, key: &str, inner: Inner) -> Result<Option<Arc<Shard>>, DecodeError> {
        if let Some(known) = self.known().get(key) {
            return Ok(known.clone());
        }
        let full = format!("{}/{key}", self.id);
        let found = Shard::open(&self.store.place, &full, inner)?.map(Arc::new);
        self.known().insert(key.into(), found.clone());
        Ok(found)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<Arc<Shard>>>> {
        // Whoever panicked meanwhile left a whole map behind.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One array in one shard, and the dates asked of it.
struct Layer<'a> {
    name: &'a str,
    key: String,
    shard: usize,
    slots: &'a Slots,
}

/// A row of inner chunks: the lines of every plane of the answer that lie in it.
struct Strip<'a, T> {
    chunk_row: usize,
    /// By date and band.
    planes: Vec<&'a mut [T]>,
}

/// Cuts the answer where rows of inner chunks meet.
fn strips<T>(out: &mut [T], window: Window) -> Vec<Strip<'_, T>> {
    let (first, end) = (window.row / INNER_PX, (window.row + window.rows).div_ceil(INNER_PX));
    let mut strips: Vec<_> =
        (first..end).map(|chunk_row| Strip { chunk_row, planes: Vec::new() }).collect();
    for mut plane in out.chunks_exact_mut(window.rows * window.cols) {
        for strip in &mut strips {
            let lines = lines_of(strip.chunk_row, window).len();
            let (part, rest) = plane.split_at_mut(lines * window.cols);
            strip.planes.push(part);
            plane = rest;
        }
    }
    strips
}

/// The lines of a row of inner chunks, counted from its first, that a window needs.
fn lines_of(chunk_row: usize, window: Window) -> Range<usize> {
    let first = chunk_row * INNER_PX;
    let start = window.row.max(first);
    let end = (window.row + window.rows).min(first + INNER_PX);
    start - first..end - first
}

struct Task<'a> {
    reader: &'a CellReader,
    shard: &'a Shard,
    inner: Inner,
    window: Window,
    slots: &'a Slots,
}

impl Task<'_> {
    fn fill<T: Pixel>(&self, mut strip: Strip<'_, T>) -> Result<(), DecodeError> {
        let (row, window) = (strip.chunk_row, self.window);
        let end = window.col + window.cols;
        let chunks = window.col / INNER_PX..end.div_ceil(INNER_PX);
        let encoded = self.shard.read(&self.reader.store.place, row, chunks.clone())?;
        let mut decoder = Decoder::new()?;
        let lines = lines_of(row, window);
        let px = self.inner.at(lines.start, 0, 0)..self.inner.at(lines.end, 0, 0);
        for (i, chunk) in chunks.enumerate() {
            let left = chunk * INNER_PX;
            // Of the chunk's columns those that the window needs, and where they go in its lines.
            let cols = window.col.max(left) - left..end.min(left + INNER_PX) - left;
            let to = left + cols.start - window.col;
            encoded.blocks::<T>(i, px.clone(), &mut decoder, |from, streams| {
                let block = Block { from, streams, lines: &lines, cols: &cols, to };
                self.place(&block, &mut strip.planes);
            })?;
        }
        Ok(())
    }

    /// Puts the wanted lines of a decoded block into the answer.
    fn place<T: Pixel>(&self, block: &Block<'_>, planes: &mut [&mut [T]]) {
        let line_px = self.inner.at(1, 0, 0);
        let first = block.from / line_px;
        let end = first + block.streams.len() / T::BYTES / line_px;
        let lines = first.max(block.lines.start)..end.min(block.lines.end);
        // Pixels come in pairs, so up to one too many at each end.
        let even = block.cols.start / 2 * 2..block.cols.end.next_multiple_of(2);
        let skip = block.cols.start - even.start;
        let (width, cols) = (block.cols.len(), self.window.cols);
        let mut pairs = [T::default(); INNER_PX];
        for &(date, slot) in self.slots {
            for band in 0..self.inner.bands {
                let plane = &mut planes[date * self.inner.bands + band];
                for line in lines.clone() {
                    let at = self.inner.at(line, band, slot) - block.from + even.start;
                    let pairs = &mut pairs[..even.len()];
                    T::join(block.streams, at, pairs);
                    let to = (line - block.lines.start) * cols + block.to;
                    plane[to..to + width].copy_from_slice(&pairs[skip..skip + width]);
                }
            }
        }
    }
}

/// A decoded block and what of it is wanted.
struct Block<'a> {
    /// Its first pixel in the inner chunk.
    from: usize,
    streams: &'a [u8],
    lines: &'a Range<usize>,
    cols: &'a Range<usize>,
    /// Where in a line of the answer the wanted columns go.
    to: usize,
}
