//! What a plan comes to: blocks and bytes, from the fields of the catalog.

use std::collections::{BTreeMap, BTreeSet};

use surco_core::{CELL_PX, Window};
use surco_store::SHARD_DATES;

use super::CellPlan;
use crate::scene::{Grid, Layer, Scene};

/// Deflate's gain on Sentinel-2 bands with predictor 2, and that of the overviews' third on top.
const WIRE_RATIO: f64 = 1.5;
const WITH_OVERVIEWS: f64 = 4.0 / 3.0;
/// zstd's gain on reflectances.
const STORE_RATIO: f64 = 1.6;
/// Sides of an asset's pixels in pixels of the 10 m grid.
const FACTORS: [usize; 2] = [1, 2];

/// What a plan comes to; bytes and blocks are estimates from the catalog's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PlanFigures {
    /// Items that the catalog gave for the area and the dates.
    pub items: u64,
    /// Items dropped as older processings or duplicates.
    pub duplicates: u64,
    /// Items of services that could not be used, for want of an asset or a field.
    pub unreadable: u64,
    /// Items left out for their clouds.
    pub cloudy: u64,
    /// Scenes to collect.
    pub scenes: u64,
    /// Tiles they lie in.
    pub tiles: u64,
    /// Cells to write.
    pub cells: u64,
    /// Shards to write, in an empty store.
    pub shards: u64,
    /// Source blocks to fetch.
    pub blocks: u64,
    /// Bytes to fetch.
    pub bytes_wire: u64,
    /// Bytes to store.
    pub bytes_stored: u64,
    /// Places that get a chip.
    pub places: u64,
    /// Places that lie in no planned cell and get none.
    pub places_outside: u64,
}

/// A scene's assets of one factor: how many, and their bytes a pixel of the 10 m grid.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    assets: u64,
    bytes_px: f64,
}

impl PlanFigures {
    /// Seconds to fetch it all at a measured rate, or nothing if the rate is none.
    #[must_use]
    pub fn seconds_at(&self, bytes_per_s: f64) -> Option<f64> {
        let rate = bytes_per_s.is_finite() && bytes_per_s > 0.0;
        rate.then(|| self.bytes_wire as f64 / bytes_per_s)
    }

    /// Counts what cells come to; blocks of 1024 pixels a side, as the archives have them.
    pub(super) fn estimate(
        &mut self,
        scenes: &[Scene],
        cells: &[CellPlan],
        grids: &[Grid],
        bands: usize,
    ) {
        let rates: Vec<[Rate; 2]> = scenes.iter().map(rates_of).collect();
        let mut used = vec![false; scenes.len()];
        let mut stored = 0.0;
        for cell in cells {
            self.shards += cell.scenes.len().div_ceil(SHARD_DATES) as u64;
            cell.scenes.iter().for_each(|&i| used[i as usize] = true);
            let all = Window { row: 0, col: 0, rows: cell.window.rows, cols: cell.window.cols };
            let bytes_px = bands as f64 * 2.0 / STORE_RATIO + 0.05;
            stored += (cell.kept.count(&all) * cell.scenes.len()) as f64 * bytes_px;
        }
        let mut wire = 0.0;
        for (f, factor) in FACTORS.into_iter().enumerate() {
            // Cells that share their blocks of this factor.
            let mut shared: BTreeMap<(usize, usize, usize), Vec<&CellPlan>> = BTreeMap::new();
            for cell in cells {
                let block = (cell.tile, cell.id.row / factor, cell.id.col / factor);
                shared.entry(block).or_default().push(cell);
            }
            for ((tile, row, col), cells) in shared {
                let side = CELL_PX * factor;
                let grid = &grids[tile];
                let rows = grid.rows.saturating_sub(row * side).min(side);
                let cols = grid.cols.saturating_sub(col * side).min(side);
                let mut seen: Vec<u32> =
                    cells.iter().flat_map(|cell| cell.scenes.iter().copied()).collect();
                seen.sort_unstable();
                seen.dedup();
                for i in seen {
                    let Rate { assets, bytes_px } = rates[i as usize][f];
                    self.blocks += assets;
                    wire += bytes_px * (rows * cols) as f64;
                }
            }
        }
        self.scenes = used.iter().filter(|&&used| used).count() as u64;
        self.tiles = cells.iter().map(|c| &c.id.tile).collect::<BTreeSet<_>>().len() as u64;
        self.cells = cells.len() as u64;
        self.bytes_wire = wire as u64;
        self.bytes_stored = stored as u64;
    }
}

fn rates_of(scene: &Scene) -> [Rate; 2] {
    let all = (scene.grid.rows * scene.grid.cols) as f64;
    FACTORS.map(|factor| {
        let assets = scene.assets.iter().filter(|a| a.factor == factor);
        assets.fold(Rate::default(), |rate, asset| {
            let bytes_px = match asset.bytes {
                Some(bytes) => bytes as f64 / WITH_OVERVIEWS / all,
                None => {
                    let sample = |layer| if layer == Layer::Scl { 0.1 } else { 2.0 };
                    let bytes: f64 = asset.layers.iter().map(|l| sample(l.0)).sum();
                    bytes / (factor * factor) as f64 / WIRE_RATIO
                }
            };
            Rate { assets: rate.assets + 1, bytes_px: rate.bytes_px + bytes_px }
        })
    })
}
