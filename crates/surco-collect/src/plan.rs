//! What a request comes to: scenes, cells and shards, and what they will cost.

mod cells;
mod chips;
mod figures;
mod form;
mod items;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rayon::prelude::*;
use surco_core::{CellId, Georef, OffsetRule, Progress, Sensor, Window};
use surco_raster::projection::{CrsError, Projection, wkt};
use surco_store::{CellSpec, SceneSlot};

pub use figures::PlanFigures;
pub use items::plan_items;

use crate::catalog;
use crate::dedup::keep_best;
use crate::error::GridClash;
use crate::fetch::Hub;
use crate::geometry::around;
use crate::owner::{Owned, Owners};
use crate::run::{Patience, runtime};
use crate::scene::{Grid, Layer, Scene, fault};
use crate::{CollectError, CollectRequest, onto};
use cells::{Ground, TileCells};

/// A deterministic list of cells with their scenes; the same catalog and request give the same plan.
///
/// A country and eight years are 20,000 cells of 1,000 scenes each, so cells hold numbers of scenes and
/// share equal lists; what the store needs of a cell is made when its turn comes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it comes to.
    pub figures: PlanFigures,
    /// Why items of services could not be used, the first hundred in words.
    pub unreadable: Vec<String>,
    pub(crate) sensor: Sensor,
    pub(crate) bands: Vec<usize>,
    pub(crate) keep_clouds: bool,
    pub(crate) scenes: Vec<Scene>,
    pub(crate) cells: Vec<CellPlan>,
    tiles: Vec<TilePlan>,
    /// What all cells have in common.
    form: CellSpec,
}

/// A tile whose scenes are planned.
#[derive(Clone, Debug)]
pub(crate) struct TilePlan {
    pub(crate) grid: Grid,
    pub(crate) crs_wkt: String,
}

/// One cell and its scenes.
#[derive(Clone, Debug)]
pub(crate) struct CellPlan {
    pub(crate) id: CellId,
    /// Its pixels in the tile's 10 m grid; of a cell with a grid of its own, only their number counts.
    pub(crate) window: Window,
    /// The grid of a cell that scenes of another grid are brought onto.
    pub(crate) onto: Option<Georef>,
    /// Places in [`Plan::scenes`], by time and key.
    pub(crate) scenes: Arc<[u32]>,
    /// Chips around places, in pixels of the cell; without places, nothing.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask what `kept` was made of"))]
    pub(crate) windows: Option<Vec<Window>>,
    /// Pixels that this tile has and no other.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask what `kept` was made of"))]
    pub(crate) owned: Owned,
    /// Pixels to store: those owned, and with chips only those whose inner chunk a chip meets.
    pub(crate) kept: Owned,
    /// Place in [`Plan::tiles`].
    pub(crate) tile: usize,
}

impl Plan {
    /// What a layer is called in manifests.
    pub(crate) fn layer_name(&self, layer: Layer) -> String {
        match layer {
            Layer::Band(axis) => self.form.bands.get(axis).cloned().unwrap_or_default(),
            Layer::Scl => {
                let quality = self.sensor.raster().and_then(|raster| raster.quality.as_ref());
                quality.map(|quality| quality.name.clone()).unwrap_or_default()
            }
        }
    }

    /// The planned cells.
    pub fn cells(&self) -> impl Iterator<Item = &CellId> {
        self.cells.iter().map(|cell| &cell.id)
    }

    /// A plan of cells and what they refer to.
    pub(crate) fn of(
        request: &CollectRequest,
        figures: PlanFigures,
        bands: Vec<usize>,
        scenes: Vec<Scene>,
        cells: Vec<CellPlan>,
        tiles: Vec<TilePlan>,
    ) -> Self {
        Self {
            figures,
            unreadable: Vec::new(),
            sensor: request.sensor.clone(),
            form: form::of(&request.sensor, &bands),
            bands,
            keep_clouds: request.keep_clouds,
            scenes,
            cells,
            tiles,
        }
    }

    /// Whether scenes may carry an offset that has to be found out.
    pub(crate) fn judges_offsets(&self) -> bool {
        let rule = self.sensor.raster().map(|raster| raster.offset_rule);
        rule == Some(OffsetRule::Sentinel2Baseline)
    }

    /// The grid of a cell.
    pub(crate) fn georef(&self, cell: &CellPlan) -> Georef {
        let shifted =
            || self.tiles[cell.tile].grid.georef.shifted(cell.window.row, cell.window.col);
        cell.onto.unwrap_or_else(shifted)
    }

    /// What the store needs to know of a cell, given by its place in the plan.
    pub(crate) fn spec(&self, cell: usize) -> CellSpec {
        let cell = &self.cells[cell];
        let slot = |&i: &u32| {
            let scene = &self.scenes[i as usize];
            SceneSlot { key: scene.key.to_string(), id: scene.id.to_string(), time_s: scene.time_s }
        };
        CellSpec {
            georef: self.georef(cell),
            crs_wkt: self.tiles[cell.tile].crs_wkt.clone(),
            rows: cell.window.rows,
            cols: cell.window.cols,
            scenes: cell.scenes.iter().map(slot).collect(),
            ..self.form.clone()
        }
    }

    /// The corners of a cell in degrees.
    pub(crate) fn outline(&self, cell: usize) -> Result<Vec<[f64; 2]>, CollectError> {
        let cell = &self.cells[cell];
        let (georef, rows, cols) = (self.georef(cell), cell.window.rows, cell.window.cols);
        let place = |e: CrsError| CollectError::Request {
            what: "cell",
            found: format!("{}: {e}", cell.id),
            expected: "a cell in WGS 84 / UTM",
        };
        let projection = Projection::from_epsg(georef.epsg).map_err(place)?;
        let corners = [(0, 0), (rows, 0), (rows, cols), (0, cols)];
        let degrees = corners.map(|(row, col)| {
            let x = georef.x0_m + col as f64 * georef.px_m;
            let y = georef.y0_m - row as f64 * georef.px_m;
            projection.to_lonlat(x, y).map(|(lon, lat)| [lon, lat]).map_err(place)
        });
        degrees.into_iter().collect()
    }

    /// The scenes of a cell by their acquisition key: places in [`Plan::scenes`].
    pub(crate) fn scenes_by_key(&self, cell: usize) -> HashMap<&str, usize> {
        let scenes = self.cells[cell].scenes.iter();
        scenes.map(|&i| (&*self.scenes[i as usize].key, i as usize)).collect()
    }
}

/// Asks the catalog and lists what a request comes to, without fetching a pixel.
///
/// # Errors
/// [`CollectError`] if the request or an item cannot be used, if the catalog does not answer, or if
/// nothing is left to collect.
pub fn plan(request: &CollectRequest, progress: &dyn Progress) -> Result<Plan, CollectError> {
    plan_with(request, Patience::default(), progress)
}

/// [`plan`] with a patience of its own.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(
    request: &CollectRequest,
    patience: Patience,
    progress: &dyn Progress,
) -> Result<Plan, CollectError> {
    request.check()?;
    let bands = request.band_indices()?;
    let hub = Arc::new(Hub::new(patience)?);
    let found = runtime()?.block_on(catalog::scenes(request, &bands, &hub, progress))?;
    let mut plan = build(request, bands, found.scenes, progress)?;
    plan.figures.unreadable = found.left_out;
    plan.unreadable = found.unreadable;
    Ok(plan)
}

/// The plan of scenes that a catalog gave.
pub(crate) fn build(
    request: &CollectRequest,
    bands: Vec<usize>,
    mut scenes: Vec<Scene>,
    progress: &dyn Progress,
) -> Result<Plan, CollectError> {
    progress.report("plan", 0, 0, "");
    if request.sensor.is_warped() {
        return onto::build(request, bands, scenes, progress);
    }
    let seen = scenes.len();
    scenes.retain(|s| request.wants(s.day));
    let in_season = scenes.len();
    let ground = Ground::of(request);
    scenes = retain_meeting(scenes, &ground);
    let items = scenes.len();
    let limit = request.max_cloud.unwrap_or(f64::INFINITY);
    scenes.retain(|s| s.cloud.is_none_or(|cloud| cloud <= limit));
    let clear = scenes.len();
    let (scenes, duplicates) = keep_best(scenes);
    let mut figures = PlanFigures {
        items: items as u64,
        duplicates: duplicates as u64,
        cloudy: (items - clear) as u64,
        ..PlanFigures::default()
    };
    let (tiles, found) = cells_of_all(&scenes, &ground, progress)?;
    let mut placed = vec![false; ground.points()];
    let mut cells = Vec::new();
    for tile in found {
        tile.placed.iter().for_each(|&point| placed[point as usize] = true);
        cells.extend(tile.cells);
    }
    figures.places = placed.iter().filter(|&&placed| placed).count() as u64;
    figures.places_outside = placed.len() as u64 - figures.places;
    if cells.is_empty() {
        let why = format!(
            "{in_season} in the season, {items} of them in the area, {clear} of them clear enough"
        );
        let catalog = request.catalogs.join(", ");
        return Err(CollectError::Nothing { catalog, items: seen, why });
    }
    let grids: Vec<Grid> = tiles.iter().map(|tile| tile.grid).collect();
    figures.estimate(&scenes, &cells, &grids, bands.len());
    Ok(Plan::of(request, figures, bands, scenes, cells, tiles))
}

/// The scenes whose outline meets what is asked for; without an outline, all may.
fn retain_meeting(mut scenes: Vec<Scene>, ground: &Ground<'_>) -> Vec<Scene> {
    let meets = |s: &Scene| {
        let ring = |ring: &Vec<_>| {
            let lon = ring.first().map_or(0.0, |p: &(f64, f64)| p.0);
            ground.meets(&around(lon, ring.iter().copied()))
        };
        s.outline.is_empty() || s.outline.iter().any(ring)
    };
    let meeting: Vec<bool> = scenes.par_iter().map(meets).collect();
    let mut meeting = meeting.into_iter();
    scenes.retain(|_| meeting.next().unwrap_or(true));
    scenes
}

/// The tiles of sorted scenes, and the cells of each that hold something to collect.
fn cells_of_all(
    scenes: &[Scene],
    ground: &Ground<'_>,
    progress: &dyn Progress,
) -> Result<(Vec<TilePlan>, Vec<TileCells>), CollectError> {
    let mut members: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (i, scene) in scenes.iter().enumerate() {
        members.entry(&scene.tile).or_default().push(i as u32);
    }
    let mut named = Vec::new();
    let mut tiles = Vec::new();
    for (&name, members) in &members {
        let grid = grid_of(name, members, scenes)?;
        let first = &scenes[members[0] as usize];
        let crs_wkt = wkt(grid.georef.epsg).map_err(|e| unusable(first, &e))?;
        named.push((name, grid));
        tiles.push(TilePlan { grid, crs_wkt });
    }
    let members: Vec<&Vec<u32>> = members.values().collect();
    let first = |tile: usize| &scenes[members[tile][0] as usize];
    let owners = Owners::of(&named).map_err(|(tile, e)| unusable(first(tile), &e))?;
    let found: Vec<Result<TileCells, CollectError>> = named
        .par_iter()
        .enumerate()
        .map(|(tile, &(name, grid))| {
            if progress.stopped() {
                return Err(CollectError::Stopped);
            }
            let found = cells::of_tile((tile, name), &grid, members[tile], scenes, ground, &owners);
            found.map_err(|e| unusable(first(tile), &e))
        })
        .collect();
    let found: Result<Vec<_>, _> = found.into_iter().collect();
    Ok((tiles, found?))
}

fn unusable(scene: &Scene, error: &dyn std::fmt::Display) -> CollectError {
    fault(&scene.id, "proj:epsg", error.to_string(), "use a catalog in WGS 84 / UTM")
}

/// The grid that all scenes of a tile lie on.
fn grid_of(tile: &str, members: &[u32], scenes: &[Scene]) -> Result<Grid, CollectError> {
    let first = &scenes[members[0] as usize];
    let mut others = members.iter().map(|&i| &scenes[i as usize]);
    match others.find(|s| s.grid != first.grid) {
        None => Ok(first.grid),
        Some(other) => Err(CollectError::Grid(Box::new(GridClash {
            tile: tile.into(),
            first: first.id.to_string(),
            first_grid: first.grid.to_string(),
            second: other.id.to_string(),
            second_grid: other.grid.to_string(),
        }))),
    }
}

#[cfg(test)]
mod tests;
