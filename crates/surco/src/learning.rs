//! From a store to what learning takes: series by place.

mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;
use surco_core::{Block, Progress, Window, fold_of};
use surco_data::{Cube, Exclusion, PointLabel, Sample, read_windows};
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

/// Where series to pre-train on come from, and what of it must not be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) stores: &'a [PathBuf],
    pub(crate) tables: &'a [PathBuf],
    pub(crate) exclusion: &'a Exclusion,
}

/// Series or small windows of stores and series of tables to pre-train on, validation held out by blocks of
/// 160 m, or of the table.
///
/// Seasons are moved by whole years into the latest one, so that the age of
/// an image tells nothing. What the exclusion meets is not in the pool, and the pool says so.
pub(crate) fn pool(
    sources: Sources<'_>,
    cuts: WindowCuts,
    seed: u64,
    progress: &dyn Progress,
) -> anyhow::Result<SeriesPool> {
    let mut pool = SeriesPool::default();
    let mut cubes = Vec::new();
    for store in sources.stores {
        let share = cuts.windows.div_ceil(sources.stores.len());
        cubes.extend(read_windows(&Store::open(store)?, None, share, seed, progress)?);
        pool.data.push(store.display().to_string());
    }
    let tables = tables::read(sources.tables, sources.exclusion)?;
    pool.data.extend(tables.iter().map(|t| t.told.clone()));
    pool.data.extend(sources.exclusion.told());
    let seen = |day: &&i32| sources.exclusion.allows(**day);
    let last = cubes.iter().filter_map(|c| c.days.iter().rev().find(seen)).max().copied();
    let last = last.max(tables.iter().filter_map(tables::Table::last_day).max());
    let Some(end) = last.map(|d| d + 1) else {
        return Err(BadInput("stores and tables hold no date that may be seen".into()).into());
    };
    pool.bands = cubes.first().map_or_else(|| tables[0].bands.clone(), |c| c.bands.clone());
    pool.window = (end - YEAR_DAYS, end);
    for table in &tables {
        table.add_to(&mut pool, end)?;
    }
    for cube in &cubes {
        if cube.bands != pool.bands {
            let text = format!(
                "cell {} has other bands than the first: collect the same for all",
                cube.cell
            );
            return Err(BadInput(text).into());
        }
        let Some(&last) = cube.days.iter().rev().find(seen) else { continue };
        let shift = shift_of(last, end);
        let first = cube.days.first().copied().unwrap_or(end) + shift;
        pool.window.0 = pool.window.0.min(first);
        add_series(&mut pool, cube, (shift, sources.exclusion), cuts.window_px);
    }
    Ok(pool)
}

/// Days that bring the last of a series into the year before `end`, by whole years.
fn shift_of(last: i32, end: i32) -> i32 {
    let years = f64::from(end - last) / YEAR;
    (years.floor() * YEAR).round() as i32
}

fn add_series(
    pool: &mut SeriesPool,
    cube: &Cube,
    (shift, exclusion): (i32, &Exclusion),
    side: usize,
) {
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
        let at = Window { row, col, rows: side, cols: side };
        if exclusion.meets(cube.degrees(&at)) {
            continue;
        }
        let mut sample = cube.window(at);
        let known = sample.days.partition_point(|&day| exclusion.allows(day));
        sample.days.truncate(known);
        sample.values.truncate(known * cube.bands.len() * sample.pixels());
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, Array4};
    use surco_core::{CellId, Georef, S2_BANDS};

    /// 64 × 64 pixels in the Maule, two clear dates.
    fn cube() -> Cube {
        Cube {
            cell: CellId { tile: "19HBA".into(), row: 0, col: 0 },
            georef: Georef { epsg: 32719, x0_m: 250_000.0, y0_m: 6_050_000.0, px_m: 10.0 },
            days: vec![19_000, 19_100],
            bands: vec![S2_BANDS[2].into()],
            band_names: vec!["B04".into()],
            reflectance: Array4::from_elem((2, 1, 64, 64), 1500),
            scl: Array3::from_elem((2, 64, 64), 4),
            south: true,
        }
    }

    #[test]
    fn no_pixel_of_an_area_left_out_is_in_the_pool() {
        let cube = cube();
        let box_of = |row, col| cube.degrees(&Window { row, col, rows: 24, cols: 24 }).unwrap();
        let area = box_of(20, 20);
        let exclusion = Exclusion::new(&[area], Some("2022-03-01")).unwrap(); // day 19 052
        for side in [1, 5] {
            let (mut all, mut some) = (SeriesPool::default(), SeriesPool::default());
            add_series(&mut all, &cube, (0, &Exclusion::default()), side);
            let ahead = Exclusion::new(&[area], None).unwrap();
            add_series(&mut some, &cube, (0, &ahead), side);
            let reach = f64::from(side as u32) * 10.0 / 2.0 / 111_000.0;
            let samples = some.train.iter().chain(&some.validation);
            for [lon, lat] in samples.filter_map(|s| s.site.lonlat) {
                let inside = lon + reach > area[0]
                    && lon - reach < area[2]
                    && lat + reach > area[1]
                    && lat - reach < area[3];
                assert!(!inside, "{lon} {lat} lies in {area:?}");
            }
            let count = |pool: &SeriesPool| pool.train.len() + pool.validation.len();
            assert!(count(&some) > 0 && count(&some) < count(&all), "side {side}");
            let mut late = SeriesPool::default();
            add_series(&mut late, &cube, (0, &exclusion), side);
            assert_eq!(count(&late), 0, "one date is left of each series, too few to learn from");
        }
    }
}
