//! The cells of one tile that hold something to collect.

use std::collections::HashMap;
use std::sync::Arc;

use surco_core::{Georef, Window, cells_of};
use surco_raster::projection::{CrsError, Projection};

use super::CellPlan;
use super::chips::{Chip, chips, chunks};
use crate::geometry::{Point, Prepared, around, bounds, contains, meet, overlap, rectangle};
use crate::owner::{Owned, Owners};
use crate::request::Places;
use crate::scene::{Grid, Scene};
use crate::{Area, CollectRequest};

/// Where a request collects.
pub(super) struct Ground<'a> {
    /// Without it, everywhere.
    area: Option<Prepared>,
    places: Option<&'a Places>,
}

impl<'a> Ground<'a> {
    pub(super) fn of(request: &'a CollectRequest) -> Self {
        let area = match (&request.area, &request.places) {
            (_, Some(places)) => Some(Prepared::of(&places.squares())),
            (Some(Area::Polygons(polygons)), None) => Some(Prepared::of(polygons)),
            (Some(Area::Bbox(bbox)), None) => Some(Prepared::of([&crate::request::boxed(bbox)])),
            (None, None) => None,
        };
        Self { area, places: request.places.as_ref() }
    }

    /// Whether a simple ring in degrees meets it.
    pub(super) fn meets(&self, ring: &[Point]) -> bool {
        self.area.as_ref().is_none_or(|area| area.meets(ring))
    }

    pub(super) fn points(&self) -> usize {
        self.places.map_or(0, |places| places.points.len())
    }
}

/// What a tile comes to.
pub(super) struct TileCells {
    pub(super) cells: Vec<CellPlan>,
    /// Places that got a chip.
    pub(super) placed: Vec<u32>,
}

/// A scene of the tile with its outline, near which longitudes do not jump.
struct Cover {
    scene: u32,
    /// Rings with their bounding boxes; none if the item has no outline.
    rings: Vec<(Vec<Point>, [f64; 4])>,
}

impl Cover {
    fn of(scene: u32, outline: &[Vec<Point>], lon: f64) -> Self {
        let ring = |ring: &Vec<Point>| {
            let ring = around(lon, ring.iter().copied());
            let span = bounds(&ring);
            (ring, span)
        };
        Self { scene, rings: outline.iter().map(ring).collect() }
    }

    /// Whether it may show anything of a cell.
    fn shows(&self, cell: &[Point], span: &[f64; 4], middle: Point) -> bool {
        let shows = |(ring, own): &(Vec<Point>, [f64; 4])| {
            overlap(own, span) && (contains(ring, middle) || meet(ring, cell))
        };
        self.rings.is_empty() || self.rings.iter().any(shows)
    }
}

/// The cells of a tile, given by its place among the owners and its name.
pub(super) fn of_tile(
    (tile, name): (usize, &str),
    grid: &Grid,
    members: &[u32],
    scenes: &[Scene],
    ground: &Ground<'_>,
    owners: &Owners,
) -> Result<TileCells, CrsError> {
    let projection = Projection::from_epsg(grid.georef.epsg)?;
    let whole = Window { row: 0, col: 0, rows: grid.rows, cols: grid.cols };
    let tile_outline = outline(&grid.georef, &whole, &projection)?;
    let mut found = TileCells { cells: Vec::new(), placed: Vec::new() };
    if !ground.meets(&tile_outline) {
        return Ok(found);
    }
    let lon = tile_outline[0].0;
    let covers: Vec<Cover> =
        members.iter().map(|&i| Cover::of(i, &scenes[i as usize].outline, lon)).collect();
    let mut chips = ground.places.map(|places| chips(places, grid, &projection, &tile_outline));
    let mut lists: HashMap<Vec<u32>, Arc<[u32]>> = HashMap::new();
    for (id, window) in cells_of(name, (grid.rows, grid.cols), &whole) {
        let ring = around(lon, outline(&grid.georef, &window, &projection)?);
        if !ground.meets(&ring) {
            continue;
        }
        let owned = owners.owned(tile, &window)?;
        if owned.is_none() || !part_meets(&owned, &window, grid, &projection, ground)? {
            continue;
        }
        let span = bounds(&ring);
        let middle = ((span[0] + span[2]) / 2.0, (span[1] + span[3]) / 2.0);
        let here = covers.iter().filter(|c| c.shows(&ring, &span, middle)).map(|c| c.scene);
        let here: Vec<u32> = here.collect();
        if here.is_empty() {
            continue;
        }
        let windows = match &mut chips {
            None => None,
            Some(chips) => {
                let own = |chip: &Chip| owned.meets(&chip.window);
                let chips = chips.remove(&(id.row, id.col)).unwrap_or_default();
                let chips: Vec<Chip> = chips.into_iter().filter(own).collect();
                if chips.is_empty() {
                    continue;
                }
                found.placed.extend(chips.iter().map(|chip| chip.point));
                let mut windows: Vec<Window> = chips.into_iter().map(|chip| chip.window).collect();
                windows.sort_by_key(|w| (w.row, w.col, w.rows, w.cols));
                windows.dedup();
                Some(windows)
            }
        };
        let size = (window.rows, window.cols);
        let kept = match &windows {
            None => owned.clone(),
            Some(windows) => owned.within(&chunks(windows, size), size),
        };
        let scenes =
            lists.entry(here).or_insert_with_key(|here| Arc::from(here.as_slice())).clone();
        found.cells.push(CellPlan { id, window, onto: None, scenes, windows, owned, kept, tile });
    }
    Ok(found)
}

/// Whether the area meets the part of a cell that the tile owns: a neighbour may have the rest.
fn part_meets(
    owned: &Owned,
    window: &Window,
    grid: &Grid,
    projection: &Projection,
    ground: &Ground<'_>,
) -> Result<bool, CrsError> {
    match (owned, owned.bounds((window.rows, window.cols))) {
        (Owned::All, _) => Ok(true),
        (_, None) => Ok(false),
        (_, Some(part)) => {
            let (row, col) = (window.row + part.row, window.col + part.col);
            let ring = outline(&grid.georef, &Window { row, col, ..part }, projection)?;
            Ok(ground.meets(&ring))
        }
    }
}

/// A window in degrees, near whose first corner longitudes do not jump: its corners and the middles of its
/// sides, so that what is straight in the grid is bent by less than half a pixel.
fn outline(
    georef: &Georef,
    window: &Window,
    projection: &Projection,
) -> Result<Vec<Point>, CrsError> {
    let x0 = georef.x0_m + window.col as f64 * georef.px_m;
    let y0 = georef.y0_m - window.row as f64 * georef.px_m;
    let (width, height) = (window.cols as f64 * georef.px_m, window.rows as f64 * georef.px_m);
    let corners = rectangle([x0, y0 - height, x0 + width, y0]);
    let mut ring = Vec::with_capacity(8);
    for (i, &a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % 4];
        for (x, y) in [a, (a.0.midpoint(b.0), a.1.midpoint(b.1))] {
            ring.push(projection.to_lonlat(x, y)?);
        }
    }
    let lon = ring[0].0;
    Ok(around(lon, ring))
}
