//! Reading windows of a cell.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use ndarray::{Array3, Array4, ArrayViewMut4, Axis, s};
use rayon::prelude::*;
use surco_core::{CellId, Georef, Window};

use crate::shard::{DecodeError, Decoder, INNER_PX, Inner, SHARD_DATES, ShardIndex};
use crate::write::Pixel;
use crate::{SceneRecord, Store, StoreError};

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
    /// Where on the stored time axis each date lies.
    places: Vec<usize>,
    dir: PathBuf,
}

/// Pixels of a window.
///
/// | | shape | type |
/// |---|---|---|
/// | `reflectance` | `[date, band, y, x]` | u16, reflectance × 10⁴, 0 = no data |
/// | `scl` | `[date, y, x]` | u8, 0 = no data |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellPixels {
    /// Harmonised digital numbers.
    pub reflectance: Array4<u16>,
    /// Scene classification.
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
        let meta = self.meta(cell)?;
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
            dir: self.cell_dir(cell),
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
        let mut reflectance = Array4::zeros((dates.len(), self.bands.len(), rows, cols));
        let mut scl = Array4::zeros((dates.len(), 1, rows, cols));
        for (&shard, slots) in &shards {
            self.fill("reflectance", shard, slots, window, reflectance.view_mut())?;
            self.fill("scl", shard, slots, window, scl.view_mut())?;
        }
        Ok(CellPixels { reflectance, scl: scl.remove_axis(Axis(1)) })
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
        array: &'static str,
        shard: usize,
        slots: &Slots,
        window: Window,
        out: ArrayViewMut4<'_, T>,
    ) -> Result<(), StoreError> {
        let key = if array == "scl" {
            format!("scl/c/{shard}/0/0")
        } else {
            format!("{array}/c/{shard}/0/0/0")
        };
        let path = self.dir.join(key);
        if window.rows == 0 || window.cols == 0 || !path.is_file() {
            return Ok(()); // The manifest vouches that an object left out is all zero.
        }
        let inner = Inner::of(self.rows, self.cols);
        let open = || File::open(&path).map_err(DecodeError::from);
        let filled =
            open().and_then(|mut file| ShardIndex::read(&mut file, inner)).and_then(|index| {
                bands_of_rows(out, window).into_par_iter().try_for_each(|(chunk_row, out)| {
                    fill_row(&mut open()?, &index, chunk_row, window, (slots, out))
                })
            });
        filled.map_err(|e| StoreError::Damaged {
            cell: self.id.clone(),
            shard,
            object: array,
            reason: e.to_string(),
            manifest: self.dir.join(format!("manifest/t{shard:03}.json")),
        })
    }
}

/// Cuts the answer where rows of inner chunks meet.
fn bands_of_rows<T>(
    mut out: ArrayViewMut4<'_, T>,
    window: Window,
) -> Vec<(usize, ArrayViewMut4<'_, T>)> {
    let mut parts = Vec::new();
    let mut row = window.row;
    while row < window.row + window.rows {
        let chunk_row = row / INNER_PX;
        let end = ((chunk_row + 1) * INNER_PX).min(window.row + window.rows);
        let (part, rest) = out.split_at(Axis(2), end - row);
        parts.push((chunk_row, part));
        out = rest;
        row = end;
    }
    parts
}

/// Fills one row of inner chunks.
fn fill_row<T: Pixel>(
    file: &mut File,
    index: &ShardIndex,
    chunk_row: usize,
    window: Window,
    (slots, mut out): (&Slots, ArrayViewMut4<'_, T>),
) -> Result<(), DecodeError> {
    let bands = out.shape()[1];
    let plane_bytes = INNER_PX * INNER_PX * T::BYTES;
    let mut raw = vec![0; SHARD_DATES * bands * plane_bytes];
    let mut decoder = Decoder::new()?;
    let first_line = window.row.max(chunk_row * INNER_PX) - chunk_row * INNER_PX;
    let end_col = window.col + window.cols;
    for chunk_col in window.col / INNER_PX..end_col.div_ceil(INNER_PX) {
        if !index.chunk(file, (chunk_row, chunk_col), &mut decoder, &mut raw)? {
            continue;
        }
        let chunk_start = chunk_col * INNER_PX;
        let start = window.col.max(chunk_start);
        let end = end_col.min(chunk_start + INNER_PX);
        for &(to, slot) in slots {
            for band in 0..bands {
                let plane = (slot * bands + band) * plane_bytes;
                let cols = start - window.col..end - window.col;
                let mut target = out.slice_mut(s![to, band, .., cols]);
                for (line, mut row) in target.outer_iter_mut().enumerate() {
                    let px = (first_line + line) * INNER_PX + start - chunk_start;
                    let from = raw[plane + px * T::BYTES..].chunks_exact(T::BYTES);
                    row.iter_mut().zip(from).for_each(|(to, from)| *to = T::take(from));
                }
            }
        }
    }
    Ok(())
}
