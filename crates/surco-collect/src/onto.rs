//! Plans for sensors on grids of their own: onto which cells their scenes are brought.
//!
//! Cells are always those of Sentinel-2 tiles, so that cubes of all sensors meet by the names of their
//! cells: the cells of a store that is there, or those that an area meets.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use surco_core::{CELL_PX, CellId, Georef, Progress, Raster, Window, cells_of};
use surco_raster::projection::{Projection, wkt};
use surco_store::{SHARD_DATES, Store};

use crate::dedup::keep_best_frames;
use crate::geometry::{Point, bounds, meet, overlap, rectangle};
use crate::mgrs::{TILE_PX, tiles_meeting};
use crate::owner::Owned;
use crate::plan::{CellPlan, TilePlan};
use crate::request::no_images;
use crate::scene::{AssetKind, Grid, Own, Scene, fault};
use crate::{Area, CollectError, CollectRequest, Plan, PlanFigures};

/// Points along each side of a scene's grid when it is turned into degrees.
const SIDE_POINTS: usize = 4;
/// Ground beyond a cell whose files may weigh in it: two pixels of heights.
const SEAM_M: f64 = 100.0;
/// Side of the blocks that plans assume: files tell theirs only when they are opened.
const BLOCK_PX: f64 = 512.0;
/// Deflate's gain on such files, and zstd's on what is kept of them; both measured on little.
const WIRE_RATIO: f64 = 1.3;
const STORE_RATIO: f64 = 1.3;

/// Cells that scenes of another grid are brought onto.
#[derive(Clone, Debug, PartialEq)]
pub struct Onto {
    cells: Vec<OntoCell>,
}

/// One cell as its store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct OntoCell {
    /// Its name.
    pub id: CellId,
    /// Its grid.
    pub georef: Georef,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub cols: usize,
}

impl Onto {
    /// These cells.
    #[must_use]
    pub fn of_cells(cells: Vec<OntoCell>) -> Self {
        Self { cells }
    }

    /// The cells of a store, collected or not.
    ///
    /// # Errors
    /// [`CollectError::Store`] if it cannot be read.
    pub fn of_store(store: &Store) -> Result<Self, CollectError> {
        let mut cells = Vec::new();
        for id in store.cells()? {
            let reader = store.unfinished_cell(&id)?;
            let (georef, rows, cols) = (reader.georef, reader.rows, reader.cols);
            cells.push(OntoCell { id, georef, rows, cols });
        }
        Ok(Self { cells })
    }

    /// The cells of the tiles that an area meets.
    fn of_area(rings: &[Vec<Point>]) -> Result<Self, CollectError> {
        let known = |e: surco_raster::projection::CrsError| CollectError::Request {
            what: "area",
            found: e.to_string(),
            expected: "a place on land between 80 degrees south and 84 north",
        };
        let mut cells = Vec::new();
        for tile in tiles_meeting(rings).map_err(known)? {
            let whole = Window { row: 0, col: 0, rows: TILE_PX, cols: TILE_PX };
            for (id, window) in cells_of(&tile.name, (TILE_PX, TILE_PX), &whole) {
                let georef = tile.georef.shifted(window.row, window.col);
                cells.push(OntoCell { id, georef, rows: window.rows, cols: window.cols });
            }
        }
        Ok(Self { cells })
    }
}

impl OntoCell {
    /// The same ground in pixels of another size, from the same corner, at most a pixel more.
    fn fitted(&self, pixel_m: f64) -> (Georef, usize, usize) {
        let most = (CELL_PX as f64 * 10.0 / pixel_m).ceil() as usize;
        let side = |px: usize| {
            let all = (px as f64 * self.georef.px_m / pixel_m - 1e-9).ceil() as usize;
            all.clamp(1, most.min(CELL_PX))
        };
        (Georef { px_m: pixel_m, ..self.georef }, side(self.rows), side(self.cols))
    }
}

/// The plan of scenes that a catalog gave, for a sensor that is warped.
pub(crate) fn build(
    request: &CollectRequest,
    bands: Vec<usize>,
    mut scenes: Vec<Scene>,
    progress: &dyn Progress,
) -> Result<Plan, CollectError> {
    let raster = request.sensor.raster().ok_or_else(|| no_images(&request.sensor))?;
    let seen = scenes.len();
    scenes.retain(|s| request.wants(s.day));
    let in_season = scenes.len();
    for scene in scenes.iter_mut().filter(|s| s.outline.is_empty()) {
        scene.outline = outline_of_scene(scene)?;
    }
    let area = request.area.as_ref().map(rings_of);
    if let Some(area) = &area {
        scenes.retain(|s| any_meet(&s.outline, area));
    }
    let items = scenes.len();
    let limit = request.max_cloud.unwrap_or(f64::INFINITY);
    scenes.retain(|s| s.cloud.is_none_or(|cloud| cloud <= limit));
    let clear = scenes.len();
    let (mut scenes, duplicates) = keep_best_frames(scenes);
    if raster.is_static() {
        // One plane of what has no dates: the same place on the axis whatever items it is made of.
        scenes.iter_mut().for_each(|scene| scene.key = "static".into());
    }
    let mut figures = PlanFigures {
        items: items as u64,
        duplicates: duplicates as u64,
        cloudy: (items - clear) as u64,
        ..PlanFigures::default()
    };
    let onto = match (&request.onto, &area) {
        (Some(onto), _) => onto.clone(),
        (None, Some(area)) => Onto::of_area(area)?,
        (None, None) => {
            return Err(CollectError::Request {
                what: "area",
                found: "none".into(),
                expected: "an area, or a store whose cells are taken: this sensor has no tiles",
            });
        }
    };
    let (mut cells, mut tiles) = (Vec::new(), Tiles::default());
    let spans: Vec<Vec<[f64; 4]>> =
        scenes.iter().map(|s| s.outline.iter().map(|ring| bounds(ring)).collect()).collect();
    let mut joined = HashMap::new();
    let singles = scenes.len();
    for cell in &onto.cells {
        if progress.stopped() {
            return Err(CollectError::Stopped);
        }
        let outline = outline_of_cell(cell, 0.0)?;
        if area.as_ref().is_some_and(|area| !any_meet(area, std::slice::from_ref(&outline))) {
            continue;
        }
        // Heights go on over the seam of two files: the next file's first pixels weigh, too.
        let margin_m = if raster.is_static() { SEAM_M } else { 0.0 };
        let outline = outline_of_cell(cell, margin_m)?;
        let span = bounds(&outline);
        let covers = |i: &usize| {
            let mut rings = scenes[*i].outline.iter().zip(&spans[*i]);
            rings.any(|(ring, own)| overlap(own, &span) && meet(ring, &outline))
        };
        let mut here: Vec<usize> = (0..singles).filter(covers).collect();
        if here.is_empty() {
            continue;
        }
        if raster.is_static() {
            here = vec![join(&mut scenes, &mut joined, here)];
        }
        cells.push(tiles.cell(cell, raster, &here)?);
    }
    if cells.is_empty() {
        let why = format!(
            "{in_season} in the season, {items} of them in the area, {clear} of them clear enough, none over a cell"
        );
        return Err(nothing(request, seen, &why));
    }
    estimate(&mut figures, &scenes, &cells, bands.len());
    Ok(Plan::of(request, figures, bands, scenes, cells, tiles.tiles))
}

fn nothing(request: &CollectRequest, items: usize, why: &str) -> CollectError {
    CollectError::Nothing { catalog: request.catalogs.join(", "), items, why: why.into() }
}

/// Outer rings of an area in degrees; holes are as good as ground, as cells are coarse.
fn rings_of(area: &Area) -> Vec<Vec<Point>> {
    match area {
        Area::Bbox(bbox) => vec![rectangle(*bbox)],
        Area::Polygons(polygons) => {
            let ring = |ring: &Vec<[f64; 2]>| ring.iter().map(|p| (p[0], p[1])).collect();
            polygons.iter().filter_map(|p| p.rings.first()).map(ring).collect()
        }
    }
}

fn any_meet(a: &[Vec<Point>], b: &[Vec<Point>]) -> bool {
    a.iter().any(|ring| b.iter().any(|other| meet(ring, other)))
}

/// Coordinate systems of cells, each once.
#[derive(Default)]
struct Tiles {
    tiles: Vec<TilePlan>,
    by_epsg: HashMap<u32, usize>,
}

impl Tiles {
    /// The place of a cell's coordinate system.
    fn place(
        &mut self,
        cell: &OntoCell,
        (georef, rows, cols): (Georef, usize, usize),
    ) -> Result<usize, CollectError> {
        if let Some(&known) = self.by_epsg.get(&georef.epsg) {
            return Ok(known);
        }
        let crs_wkt = wkt(georef.epsg).map_err(|e| unusable(cell, &e))?;
        self.tiles.push(TilePlan { grid: Grid { georef, rows, cols }, crs_wkt });
        self.by_epsg.insert(georef.epsg, self.tiles.len() - 1);
        Ok(self.tiles.len() - 1)
    }

    /// One cell of the plan with its scenes.
    fn cell(
        &mut self,
        cell: &OntoCell,
        raster: &Raster,
        here: &[usize],
    ) -> Result<CellPlan, CollectError> {
        let (georef, rows, cols) = cell.fitted(raster.pixel_m);
        Ok(CellPlan {
            id: cell.id.clone(),
            window: Window { row: cell.id.row * CELL_PX, col: cell.id.col * CELL_PX, rows, cols },
            onto: Some(georef),
            scenes: here.iter().map(|&i| i as u32).collect(),
            windows: None,
            owned: Owned::All,
            kept: Owned::All,
            tile: self.place(cell, (georef, rows, cols))?,
        })
    }
}

/// One scene of all the items of a place, made once for each set of items.
fn join(
    scenes: &mut Vec<Scene>,
    joined: &mut HashMap<Vec<usize>, usize>,
    members: Vec<usize>,
) -> usize {
    if let [one] = members[..] {
        return one;
    }
    if let Some(&known) = joined.get(&members) {
        return known;
    }
    let mut whole = scenes[members[0]].clone();
    let ids: BTreeSet<&str> = members.iter().map(|&i| scenes[i].id.as_str()).collect();
    whole.id = ids.into_iter().collect::<Vec<_>>().join("+");
    whole.assets.clear();
    whole.others.clear();
    for &i in &members {
        let scene = &scenes[i];
        whole.assets.extend(scene.assets.iter().cloned().map(|mut asset| {
            let key = format!("{}/{}", scene.id, asset.key);
            asset.kind = Arc::new(AssetKind { key, ..(*asset.kind).clone() });
            asset
        }));
    }
    scenes.push(whole);
    joined.insert(members, scenes.len() - 1);
    scenes.len() - 1
}

fn unusable(cell: &OntoCell, error: &dyn std::fmt::Display) -> CollectError {
    CollectError::Request {
        what: "cell",
        found: format!("{}: {error}", cell.id),
        expected: "cells in WGS 84 / UTM",
    }
}

/// The corners of a cell and of a margin around it, in degrees.
fn outline_of_cell(cell: &OntoCell, margin_m: f64) -> Result<Vec<Point>, CollectError> {
    let g = &cell.georef;
    let projection = Projection::from_epsg(g.epsg).map_err(|e| unusable(cell, &e))?;
    let (left, top) = (g.x0_m - margin_m, g.y0_m + margin_m);
    let right = g.x0_m + cell.cols as f64 * g.px_m + margin_m;
    let bottom = g.y0_m - cell.rows as f64 * g.px_m - margin_m;
    [(left, top), (right, top), (right, bottom), (left, bottom)]
        .into_iter()
        .map(|(x, y)| projection.to_lonlat(x, y).map_err(|e| unusable(cell, &e)))
        .collect()
}

/// The outlines of a scene's files in degrees, for items that state none.
fn outline_of_scene(scene: &Scene) -> Result<Vec<Vec<Point>>, CollectError> {
    let mut rings: Vec<Vec<Point>> = Vec::new();
    let mut known: Vec<Own> = Vec::new();
    for own in scene.assets.iter().filter_map(|a| a.own.as_deref().copied()) {
        if known.contains(&own) {
            continue;
        }
        let bad = |e: &dyn std::fmt::Display| {
            fault(&scene.id, "proj:epsg", e.to_string(), "use a catalog in WGS 84 or UTM")
        };
        let projection = Projection::from_epsg(own.grid.epsg).map_err(|e| bad(&e))?;
        let (width, height) = (own.grid.dx * own.cols as f64, own.grid.dy * own.rows as f64);
        let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
        let mut ring = Vec::new();
        for (i, a) in corners.iter().enumerate() {
            let b = corners[(i + 1) % corners.len()];
            for step in 0..SIDE_POINTS {
                let t = step as f64 / SIDE_POINTS as f64;
                let x = own.grid.x0 + width * (a.0 + (b.0 - a.0) * t);
                let y = own.grid.y0 - height * (a.1 + (b.1 - a.1) * t);
                ring.push(projection.to_lonlat(x, y).map_err(|e| bad(&e))?);
            }
        }
        rings.push(ring);
        known.push(own);
    }
    Ok(rings)
}

fn estimate(figures: &mut PlanFigures, scenes: &[Scene], cells: &[CellPlan], bands: usize) {
    let mut used = BTreeSet::new();
    let (mut blocks, mut wire, mut stored) = (0.0, 0.0, 0.0);
    for cell in cells {
        let pixels = (cell.window.rows * cell.window.cols) as f64;
        let ground = cell.onto.map_or(0.0, |georef| georef.px_m.powi(2)) * pixels;
        figures.shards += cell.scenes.len().div_ceil(SHARD_DATES) as u64;
        for &i in cell.scenes.iter() {
            used.insert(i);
            for asset in &scenes[i as usize].assets {
                let Some(own) = &asset.own else { continue };
                // Degrees are taken as those of the equator: an estimate.
                let unit = if own.grid.dx < 0.1 { 111_320.0 } else { 1.0 };
                let covered = ground / (own.grid.dx * own.grid.dy * unit * unit);
                let across = (covered.sqrt() / BLOCK_PX + 1.0).powi(2);
                blocks += across;
                let all = (own.rows * own.cols) as f64;
                let fetched = (across * BLOCK_PX * BLOCK_PX).min(all);
                wire += match asset.bytes {
                    Some(bytes) => bytes as f64 * fetched / all,
                    None => fetched * 2.0 * asset.layers.len() as f64 / WIRE_RATIO,
                };
            }
            stored += pixels * bands as f64 * 2.0 / STORE_RATIO;
        }
    }
    figures.scenes = used.len() as u64;
    figures.tiles = cells.iter().map(|c| &c.id.tile).collect::<BTreeSet<_>>().len() as u64;
    figures.cells = cells.len() as u64;
    figures.blocks = blocks as u64;
    figures.bytes_wire = wire as u64;
    figures.bytes_stored = stored as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(rows: usize, cols: usize) -> OntoCell {
        OntoCell {
            id: CellId { tile: "19HBA".into(), row: 10, col: 0 },
            georef: Georef { epsg: 32719, x0_m: 199_980.0, y0_m: 6_200_020.0, px_m: 10.0 },
            rows,
            cols,
        }
    }

    /// Worked by hand: 10,240 m are 341.33 pixels of 30 m, 7,400 m are 246.67.
    #[test]
    fn a_cell_in_coarser_pixels_begins_at_the_same_corner_and_covers_the_same_ground() {
        let (georef, rows, cols) = cell(740, 1024).fitted(30.0);
        assert_eq!((rows, cols), (247, 342));
        assert_eq!((georef.x0_m, georef.y0_m, georef.px_m), (199_980.0, 6_200_020.0, 30.0));
        assert_eq!(cell(740, 1024).fitted(10.0).1, 740);
        assert_eq!(cell(64, 64).fitted(10_240.0).1, 1, "never nothing");
    }

    #[test]
    fn an_area_has_the_cells_of_every_tile_that_it_meets() {
        let onto = Onto::of_area(&[rectangle([-70.6, -33.5, -70.5, -33.4])]).unwrap();
        let tiles: BTreeSet<&str> = onto.cells.iter().map(|c| c.id.tile.as_str()).collect();
        assert!(tiles.contains("19HCC"), "{tiles:?}");
        assert_eq!(onto.cells.len(), tiles.len() * 121);
        assert_eq!(onto.cells[120].rows, 740);
    }
}
