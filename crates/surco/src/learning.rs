//! From a store to what learning takes: series by place.

mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;
use surco_core::{Block, CellId, Progress, Window, fold_of};
use surco_data::{Cube, Exclusion, Labels, PointLabel, Sample, read_windows};
use surco_learn::SeriesPool;
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::screen::Screen;

/// Side of the blocks that validation is drawn by, in m.
const VALIDATION_BLOCK_M: f64 = 160.0;

/// One block in so many is held out for validation.
const VALIDATION_SHARE: usize = 8;

/// Days of a year.
const YEAR: f64 = 365.2425;

/// Days of the shortest window.
const YEAR_DAYS: i32 = 365;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

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

/// Why a source gives nothing to learn from.
const NOTHING_LEFT: &str =
    "nothing of it may be seen under `exclude`; leave it out of the config, or exclude less";

/// Series or small windows of stores and series of tables to pre-train on, validation held out by blocks of
/// 160 m, or of the table.
///
/// Seasons are moved by whole years into the latest one, so that the age of
/// an image tells nothing. What the exclusion meets is not in the pool, and the pool says so; a source of which
/// nothing is left is an error.
pub(crate) fn pool(
    sources: Sources<'_>,
    cuts: WindowCuts,
    seed: u64,
    progress: &dyn Progress,
) -> anyhow::Result<SeriesPool> {
    let mut pool = SeriesPool::default();
    let mut regions = Vec::new();
    for store in sources.stores {
        let share = cuts.windows.div_ceil(sources.stores.len());
        let name = store.display();
        let before = regions.len();
        for cube in read_windows(&Store::open(store)?, None, share, seed, progress)? {
            if pool.bands.is_empty() {
                pool.bands.clone_from(&cube.bands);
            }
            if cube.bands != pool.bands {
                let text = format!(
                    "cell {} has other bands than the first: collect the same for all",
                    cube.cell
                );
                return Err(BadInput(text).into());
            }
            regions.extend(Region::cut(&cube, sources.exclusion, cuts.window_px));
        }
        if regions.len() == before {
            return Err(BadInput(format!("store {name}: {NOTHING_LEFT}")).into());
        }
        pool.data.push(name.to_string());
    }
    let tables = tables::read(sources.tables, sources.exclusion)?;
    pool.data.extend(tables.iter().map(|t| t.told.clone()));
    pool.data.extend(sources.exclusion.told());
    let lasts = regions.iter().map(|r| r.last).chain(tables.iter().filter_map(|t| t.last_day()));
    let Some(end) = lasts.max().map(|d| d + 1) else {
        return Err(BadInput("stores and tables hold no date that may be seen".into()).into());
    };
    if pool.bands.is_empty() {
        pool.bands.clone_from(&tables[0].bands);
    }
    pool.window = (end - YEAR_DAYS, end);
    for table in &tables {
        table.add_to(&mut pool, end)?;
    }
    for region in regions {
        region.add_to(&mut pool, end);
    }
    Ok(pool)
}

/// Days that bring the last of a series into the year before `end`, by whole years.
fn shift_of(last: i32, end: i32) -> i32 {
    let years = f64::from(end - last) / YEAR;
    (years.floor() * YEAR).round() as i32
}

/// What is cut from one window of a store.
struct Region {
    /// Last day seen.
    last: i32,
    train: Vec<Sample>,
    validation: Vec<Sample>,
}

impl Region {
    /// The series or small windows of a cube that may be seen, if there are any.
    fn cut(cube: &Cube, exclusion: &Exclusion, side: usize) -> Option<Self> {
        let size = cube.size();
        let (rows, cols) = (size.0 / side, size.1 / side);
        let step = (rows * cols * side * side).div_ceil(SERIES_PER_WINDOW).max(1);
        // Whole windows are all kept. A step that shares no factor with the row length meets every column.
        let step = match side {
            1 if step > 1 && cols.is_multiple_of(step) => step + 1,
            1 => step,
            _ => 1,
        };
        let mut region = Self { last: i32::MIN, train: Vec::new(), validation: Vec::new() };
        for i in (0..rows * cols).step_by(step) {
            let (row, col) = (i / cols * side, i % cols * side);
            let at = Window { row, col, rows: side, cols: side };
            let mut sample = cube.window(at);
            let end = exclusion.end_on(cube.degrees(&at));
            let known = sample.days.partition_point(|&day| day < end);
            sample.days.truncate(known);
            sample.values.truncate(known * cube.bands.len() * sample.pixels());
            if sample.len() < 2 {
                continue;
            }
            let corners = [(0, 0), (0, side - 1), (side - 1, 0), (side - 1, side - 1)];
            let held_out = corners.map(|(y, x)| {
                let block = block_of(cube, row + y, col + x, VALIDATION_BLOCK_M);
                fold_of(block, VALIDATION_SHARE, 0) == 0
            });
            // A window that lies on both sides belongs to neither.
            let part = match held_out {
                [true, true, true, true] => &mut region.validation,
                [false, false, false, false] => &mut region.train,
                _ => continue,
            };
            region.last = region.last.max(sample.days[known - 1]);
            part.push(sample);
        }
        (region.last > i32::MIN).then_some(region)
    }

    /// Adds it to the pool, moved by whole years to end before `end`.
    fn add_to(mut self, pool: &mut SeriesPool, end: i32) {
        let shift = shift_of(self.last, end);
        for sample in self.train.iter_mut().chain(&mut self.validation) {
            sample.days.iter_mut().for_each(|d| *d += shift);
            pool.window.0 = pool.window.0.min(sample.days[0]);
        }
        pool.train.append(&mut self.train);
        pool.validation.append(&mut self.validation);
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
    /// Number of the feature in the file of labels, from 0.
    pub(crate) features: Vec<usize>,
    /// Cells they lie in, in the order they were added.
    pub(crate) cells: Vec<CellId>,
    /// Number of the cell, row and column.
    pub(crate) pixels: Vec<(usize, usize, usize)>,
}

impl Labelled {
    /// Adds the labelled pixels of one cube whose ground was ever seen; gives how many were not.
    pub(crate) fn add(&mut self, cube: &Cube, labels: &[PointLabel], block_m: f64) -> usize {
        let mut unseen = 0;
        let cell = self.cells.len();
        self.cells.push(cube.cell.clone());
        let pixels: Vec<_> = labels.iter().map(|label| (label.row, label.col)).collect();
        for (label, sample) in labels.iter().zip(cube.samples_of(&pixels)) {
            if sample.is_empty() {
                unseen += 1;
                continue;
            }
            self.samples.push(sample);
            self.classes.push(label.class.clone());
            self.features.push(label.feature);
            self.places.push(cube.georef.centre(label.row, label.col));
            self.pixels.push((cell, label.row, label.col));
            self.blocks.push(block_number(block_of(cube, label.row, label.col, block_m)));
        }
        unseen
    }

    /// Class of each as a place among the names.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let names = self.names();
        self.classes.iter().map(|class| names.partition_point(|name| name < class)).collect()
    }

    /// Row and column of those in one cell.
    pub(crate) fn in_cell(&self, cell: usize) -> impl Iterator<Item = (usize, usize)> {
        let here = self.pixels.iter().filter(move |pixel| pixel.0 == cell);
        here.map(|&(_, row, col)| (row, col))
    }

    /// Class names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.classes.clone();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// First and last day of all images of these cells, in days since 1970; nothing if there are none.
pub(crate) fn days_of_store(store: &Store, cells: &[CellId]) -> anyhow::Result<Option<(i32, i32)>> {
    let mut days = None;
    for cell in cells {
        let times = store.cell(cell)?.times;
        let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
        let day = |time: &i64| time.div_euclid(DAY_S) as i32;
        let (from, to) = days.unwrap_or((i32::MAX, i32::MIN));
        days = Some((day(first).min(from), day(last).max(to)));
    }
    Ok(days)
}

/// Says what was taken for granted of labels, and which of them are not used.
pub(crate) fn say_of_labels(labels: &Labels, screen: &Screen) {
    labels.assumed.iter().for_each(|a| screen.say(&format!("assumed: {a}")));
    labels.left_out_told().iter().for_each(|text| screen.say(&format!("warning: {text}")));
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
    use surco_data::Unseen;

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
        let of = |area, since: Option<&str>| {
            Exclusion::new(&[Unseen { area, since: since.map(String::from) }]).unwrap()
        };
        for side in [1, 5] {
            let cut = |exclusion: &Exclusion| {
                let mut pool = SeriesPool::default();
                let region = Region::cut(&cube, exclusion, side);
                region.into_iter().for_each(|r| r.add_to(&mut pool, 19_101));
                pool
            };
            let all = cut(&Exclusion::default());
            let some = cut(&of(Some(area), None));
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
            let late = cut(&of(None, Some("2022-03-01"))); // day 19 052
            assert_eq!(count(&late), 0, "one date is left of each series, too few to learn from");
        }
    }
}
