//! From a store to what learning takes: series by place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;
use surco_core::{Block, Progress, Window, fold_of};
use surco_data::{Cube, PointLabel, Sample, read_windows};
use surco_learn::SeriesPool;
use surco_store::Store;

use crate::exit::{BadInput, Usage};

/// Side of the blocks that validation is drawn by, in m.
const VALIDATION_BLOCK_M: f64 = 160.0;

/// One block in so many is held out for validation.
const VALIDATION_SHARE: usize = 8;

/// Days of a year.
const YEAR: f64 = 365.2425;

/// Days of the shortest window.
const YEAR_DAYS: i32 = 365;

/// Series kept of one window.
const SERIES_PER_WINDOW: usize = 1024;

/// Reads a TOML config; an unknown key is an error that names it.
pub(crate) fn read_config<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Usage(format!("cannot read config {}: {e}", path.display())))?;
    toml::from_str(&text).with_context(|| format!("cannot use config {}", path.display()))
}

/// Windows read from stores, and what is cut from them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowCuts {
    /// Windows to read, shared between the stores.
    pub(crate) windows: usize,
    /// Side of the windows cut from them in pixels; 1 = series.
    pub(crate) window_px: usize,
}

/// Series or small windows of stores to pre-train on, validation held out by blocks of 160 m.
///
/// Seasons are moved by whole years into the latest one, so that the age of
/// an image tells nothing.
pub(crate) fn pool(
    stores: &[PathBuf],
    cuts: WindowCuts,
    seed: u64,
    progress: &dyn Progress,
) -> anyhow::Result<SeriesPool> {
    let mut pool = SeriesPool::default();
    let mut cubes = Vec::new();
    for store in stores {
        let share = cuts.windows.div_ceil(stores.len());
        cubes.extend(read_windows(&Store::open(store)?, None, share, seed, progress)?);
        pool.data.push(store.display().to_string());
    }
    let Some(end) = cubes.iter().filter_map(|c| c.days.last()).max().map(|d| d + 1) else {
        return Err(BadInput("the stores hold no date".into()).into());
    };
    pool.bands.clone_from(&cubes[0].bands);
    pool.window = (end - YEAR_DAYS, end);
    for cube in &cubes {
        if cube.bands != pool.bands {
            let text = format!(
                "cell {} has other bands than the first: collect the same for all",
                cube.cell
            );
            return Err(BadInput(text).into());
        }
        let last = cube.days.last().copied().unwrap_or(end);
        let years = f64::from(end - last) / YEAR;
        let shift = (years.floor() * YEAR).round() as i32;
        let first = cube.days.first().copied().unwrap_or(end) + shift;
        pool.window.0 = pool.window.0.min(first);
        add_series(&mut pool, cube, shift, cuts.window_px);
    }
    Ok(pool)
}

fn add_series(pool: &mut SeriesPool, cube: &Cube, shift: i32, side: usize) {
    let size = cube.size();
    let (rows, cols) = (size.0 / side, size.1 / side);
    let step = (rows * cols * side * side).div_ceil(SERIES_PER_WINDOW).max(1);
    // Whole windows are all kept. A step that shares no factor with the row length meets every column.
    let step = match side {
        1 if step > 1 && cols.is_multiple_of(step) => step + 1,
        1 => step,
        _ => 1,
    };
    for i in (0..rows * cols).step_by(step) {
        let (row, col) = (i / cols * side, i % cols * side);
        let mut sample = cube.window(Window { row, col, rows: side, cols: side });
        if sample.len() < 2 {
            continue;
        }
        sample.days.iter_mut().for_each(|d| *d += shift);
        let corners = [(0, 0), (0, side - 1), (side - 1, 0), (side - 1, side - 1)];
        let held_out = corners.map(|(y, x)| {
            fold_of(block_of(cube, row + y, col + x, VALIDATION_BLOCK_M), VALIDATION_SHARE, 0) == 0
        });
        // A window that lies on both sides belongs to neither.
        if held_out == [true; 4] {
            pool.validation.push(sample);
        } else if held_out == [false; 4] {
            pool.train.push(sample);
        }
    }
}

/// The block of a pixel.
pub(crate) fn block_of(cube: &Cube, row: usize, col: usize, side_m: f64) -> Block {
    let (x, y) = cube.georef.centre(row, col);
    Block::at(x, y, side_m)
}

/// A block as one number.
pub(crate) fn block_number(block: Block) -> u64 {
    (block.east as u64).wrapping_mul(1 << 32) ^ (block.north as u64 & 0xFFFF_FFFF)
}

/// Labelled pixels with their series and blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labelled {
    pub(crate) samples: Vec<Sample>,
    pub(crate) classes: Vec<String>,
    pub(crate) blocks: Vec<u64>,
    /// Easting and northing in m.
    pub(crate) places: Vec<(f64, f64)>,
}

impl Labelled {
    /// Adds the labelled pixels of one cube whose ground was ever seen; gives how many were not.
    pub(crate) fn add(&mut self, cube: &Cube, labels: &[PointLabel], block_m: f64) -> usize {
        let mut unseen = 0;
        for label in labels {
            let sample = cube.sample(label.row, label.col);
            if sample.is_empty() {
                unseen += 1;
                continue;
            }
            self.samples.push(sample);
            self.classes.push(label.class.clone());
            self.places.push(cube.georef.centre(label.row, label.col));
            self.blocks.push(block_number(block_of(cube, label.row, label.col, block_m)));
        }
        unseen
    }

    /// Class names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.classes.clone();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// At most so many labels of each class, spread evenly over those there are.
pub(crate) fn thinned(labels: Vec<PointLabel>, per_class: usize) -> Vec<PointLabel> {
    let mut by_class: BTreeMap<String, Vec<PointLabel>> = BTreeMap::new();
    for label in labels {
        by_class.entry(label.class.clone()).or_default().push(label);
    }
    by_class
        .into_values()
        .flat_map(|all| {
            let kept = per_class.min(all.len());
            (0..kept).map(|i| all[i * all.len() / kept].clone()).collect::<Vec<_>>()
        })
        .collect()
}
