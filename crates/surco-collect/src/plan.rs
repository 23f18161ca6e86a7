//! What a request comes to: scenes, cells and shards, and what they will cost.

use std::collections::{BTreeMap, BTreeSet};

use surco_core::{CellId, Georef, Progress, Sensor, Window, cells_of};
use surco_raster::projection::{Projection, wkt};
use surco_store::{CellSpec, SHARD_DATES, SceneSlot};

use crate::catalog;
use crate::dedup::keep_best;
use crate::error::GridClash;
use crate::fetch::Hub;
use crate::geometry::{Point, meet, rectangle};
use crate::run::{Patience, runtime};
use crate::scene::{Grid, Layer, Scene, fault};
use crate::{CollectError, CollectRequest, onto};

/// Deflate's gain on Sentinel-2 bands with predictor 2, and that of the overviews' third on top.
const WIRE_RATIO: f64 = 1.5;
const WITH_OVERVIEWS: f64 = 4.0 / 3.0;
/// zstd's gain on reflectances.
const STORE_RATIO: f64 = 1.6;
/// Points along each side of the area when it is projected.
const EDGE_POINTS: usize = 16;

/// A deterministic list of cells with their scenes; the same catalog and request give the same plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it comes to.
    pub figures: PlanFigures,
    pub(crate) sensor: Sensor,
    pub(crate) bands: Vec<usize>,
    pub(crate) scenes: Vec<Scene>,
    pub(crate) cells: Vec<CellPlan>,
}

/// What a plan comes to; bytes and blocks are estimates from the catalog's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PlanFigures {
    /// Items that the catalog gave for the area and the dates.
    pub items: u64,
    /// Items dropped as older processings or duplicates.
    pub duplicates: u64,
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
}

/// One cell and its scenes.
#[derive(Clone, Debug)]
pub(crate) struct CellPlan {
    pub(crate) id: CellId,
    /// Its pixels in the tile's 10 m grid.
    pub(crate) window: Window,
    pub(crate) spec: CellSpec,
    /// Scenes by their acquisition key: places in [`Plan::scenes`].
    pub(crate) scenes: BTreeMap<String, usize>,
}

impl Plan {
    /// The planned cells.
    pub fn cells(&self) -> impl Iterator<Item = &CellId> {
        self.cells.iter().map(|cell| &cell.id)
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
    let hub = Hub::new(patience)?;
    let scenes = runtime()?.block_on(catalog::scenes(request, &bands, &hub, progress))?;
    if request.sensor.is_warped() {
        return onto::build(request, bands, scenes);
    }
    build(request, bands, scenes)
}

/// The plan of scenes that a catalog gave.
pub(crate) fn build(
    request: &CollectRequest,
    bands: Vec<usize>,
    mut scenes: Vec<Scene>,
) -> Result<Plan, CollectError> {
    let seen = scenes.len();
    scenes.retain(|s| request.wants(s.day));
    let in_season = scenes.len();
    let aoi = bbox_of(request).map(rectangle);
    let inside = |ring: &Vec<Point>| aoi.as_ref().is_none_or(|aoi| meet(ring, aoi));
    scenes.retain(|s| s.outline.is_empty() || s.outline.iter().any(inside));
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
    let mut tiles: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, scene) in scenes.iter().enumerate() {
        tiles.entry(&scene.tile).or_default().push(i);
    }
    let mut cells = Vec::new();
    for (tile, members) in tiles {
        cells.extend(cells_of_tile(tile, &members, &scenes, &bands, request)?);
    }
    if cells.is_empty() {
        let why = format!(
            "{in_season} in the season, {items} of them in the area, {clear} of them clear enough"
        );
        let catalog = request.catalogs.join(", ");
        return Err(CollectError::Nothing { catalog, items: seen, why });
    }
    estimate(&mut figures, &scenes, &cells);
    let sensor = request.sensor.clone();
    Ok(Plan { figures, sensor, bands, scenes, cells })
}

fn bbox_of(request: &CollectRequest) -> Option<[f64; 4]> {
    match request.area {
        Some(crate::Area::Bbox(bbox)) => Some(bbox),
        _ => None,
    }
}

fn cells_of_tile(
    tile: &str,
    members: &[usize],
    scenes: &[Scene],
    bands: &[usize],
    request: &CollectRequest,
) -> Result<Vec<CellPlan>, CollectError> {
    let first = &scenes[members[0]];
    let grid = first.grid;
    if let Some(other) = members.iter().map(|&i| &scenes[i]).find(|s| s.grid != grid) {
        return Err(CollectError::Grid(Box::new(GridClash {
            tile: tile.into(),
            first: first.id.clone(),
            first_grid: grid.to_string(),
            second: other.id.clone(),
            second_grid: other.grid.to_string(),
        })));
    }
    let unusable = |e: &dyn std::fmt::Display| {
        fault(&first.id, "proj:epsg", e.to_string(), "use a catalog in WGS 84 / UTM")
    };
    let projection = Projection::from_epsg(grid.georef.epsg).map_err(|e| unusable(&e))?;
    let crs_wkt = wkt(grid.georef.epsg).map_err(|e| unusable(&e))?;
    let whole = Window { row: 0, col: 0, rows: grid.rows, cols: grid.cols };
    let aoi = bbox_of(request).map(rectangle);
    let window = match bbox_of(request) {
        Some(bbox) => match window_of(bbox, &grid, &projection) {
            Some(window) => window,
            None => return Ok(Vec::new()),
        },
        None => whole,
    };
    let mut cells = Vec::new();
    for (id, window) in cells_of(tile, (grid.rows, grid.cols), &window) {
        let Some(outline) = outline_of(&grid.georef, &window, &projection) else { continue };
        if aoi.as_ref().is_some_and(|aoi| !meet(aoi, &outline)) {
            continue;
        }
        let covers =
            |s: &Scene| s.outline.is_empty() || s.outline.iter().any(|ring| meet(ring, &outline));
        let here: Vec<usize> = members.iter().copied().filter(|&i| covers(&scenes[i])).collect();
        if here.is_empty() {
            continue;
        }
        let slot = |&i: &usize| SceneSlot {
            key: scenes[i].key.clone(),
            id: scenes[i].id.clone(),
            time_s: scenes[i].time_s,
        };
        let spec = CellSpec {
            georef: grid.georef.shifted(window.row, window.col),
            crs_wkt: crs_wkt.clone(),
            rows: window.rows,
            cols: window.cols,
            bands: request.band_names(bands),
            scenes: here.iter().map(slot).collect(),
        };
        let scenes = here.iter().map(|&i| (scenes[i].key.clone(), i)).collect();
        cells.push(CellPlan { id, window, spec, scenes });
    }
    Ok(cells)
}

/// The pixels of a grid that a bounding box covers, if any.
fn window_of(bbox: [f64; 4], grid: &Grid, projection: &Projection) -> Option<Window> {
    let corners = rectangle(bbox);
    let mut rows = (f64::INFINITY, f64::NEG_INFINITY);
    let mut cols = rows;
    for (i, &a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % corners.len()];
        for step in 0..EDGE_POINTS {
            let t = step as f64 / EDGE_POINTS as f64;
            let (lon, lat) = (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
            let Ok((x, y)) = projection.from_lonlat(lon, lat) else { continue };
            let (row, col) = grid.georef.row_col(x, y);
            rows = (rows.0.min(row), rows.1.max(row));
            cols = (cols.0.min(col), cols.1.max(col));
        }
    }
    let span = |(low, high): (f64, f64), all: usize| {
        let low = low.floor().max(0.0);
        let high = high.ceil().min(all as f64);
        (low < high).then_some((low as usize, (high - low) as usize))
    };
    let (row, rows) = span(rows, grid.rows)?;
    let (col, cols) = span(cols, grid.cols)?;
    Some(Window { row, col, rows, cols })
}

/// A window's corners in degrees.
fn outline_of(georef: &Georef, window: &Window, projection: &Projection) -> Option<Vec<Point>> {
    let rows = [window.row, window.row, window.row + window.rows, window.row + window.rows];
    let cols = [window.col, window.col + window.cols, window.col + window.cols, window.col];
    let corner = |(row, col): (usize, usize)| {
        let x = georef.x0_m + col as f64 * georef.px_m;
        let y = georef.y0_m - row as f64 * georef.px_m;
        projection.to_lonlat(x, y).ok()
    };
    rows.into_iter().zip(cols).map(corner).collect()
}

fn estimate(figures: &mut PlanFigures, scenes: &[Scene], cells: &[CellPlan]) {
    let mut used = BTreeSet::new();
    let mut blocks = BTreeSet::new();
    let (mut wire, mut stored) = (0.0, 0.0);
    for cell in cells {
        let pixels = (cell.window.rows * cell.window.cols) as f64;
        figures.shards += cell.spec.scenes.len().div_ceil(SHARD_DATES) as u64;
        for &i in cell.scenes.values() {
            let scene = &scenes[i];
            used.insert(i);
            let all = (scene.grid.rows * scene.grid.cols) as f64;
            for (a, asset) in scene.assets.iter().enumerate() {
                let place = (cell.id.row / asset.factor, cell.id.col / asset.factor);
                blocks.insert((i, a, place));
                wire += match asset.bytes {
                    Some(bytes) => bytes as f64 / WITH_OVERVIEWS * pixels / all,
                    None => {
                        let own = pixels / (asset.factor * asset.factor) as f64;
                        let sample = |layer| if layer == Layer::Scl { 0.1 } else { 2.0 };
                        let bytes: f64 = asset.layers.iter().map(|l| sample(l.0)).sum();
                        own * bytes / WIRE_RATIO
                    }
                };
            }
            stored += pixels * (cell.spec.bands.len() as f64 * 2.0 / STORE_RATIO + 0.05);
        }
    }
    figures.scenes = used.len() as u64;
    figures.tiles = cells.iter().map(|c| &c.id.tile).collect::<BTreeSet<_>>().len() as u64;
    figures.cells = cells.len() as u64;
    figures.blocks = blocks.len() as u64;
    figures.bytes_wire = wire as u64;
    figures.bytes_stored = stored as u64;
}
