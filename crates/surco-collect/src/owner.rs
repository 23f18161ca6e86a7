//! Which tile each pixel belongs to where tiles overlap.
//!
//! Tiles of Sentinel-2 overlap their neighbours by 9.8 km, and by more where two UTM zones meet. Each
//! pixel is collected from one of them. A tile's own square is its 100 km square of the MGRS, cut at the
//! longitudes of its zone. Of the planned tiles that cover a pixel's centre, the one in whose own square
//! it lies has the pixel; if there is none, the first by name.
//!
//! Decided by the centre of each pixel, so along a border of two zones, whose pixels are turned against
//! each other, ground within half a pixel of the border may be seen from both sides or from none.
//!
//! Absent on purpose: scenes. What belongs to a tile does not change with the dates at hand.

mod chart;
mod mask;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use surco_core::{Georef, Window};
use surco_raster::projection::{CrsError, Projection};

pub(crate) use mask::Owned;

use crate::scene::Grid;
use chart::{Chart, Frame};

/// Side of a square of the MGRS in m.
const SQUARE_M: f64 = 100_000.0;
const ZONE_DEG: f64 = 6.0;
/// Tiles whose outlines in degrees are farther apart than this do not meet.
const NEAR_DEG: f64 = 0.05;
/// Metres of a degree of latitude, roughly.
const DEGREE_M: f64 = 111_320.0;

/// The tiles of a plan.
#[derive(Debug)]
pub(crate) struct Owners {
    tiles: Vec<Tile>,
    projections: BTreeMap<u32, Projection>,
}

#[derive(Debug)]
struct Tile {
    grid: Grid,
    /// All pixels of the grid.
    cover: Rect,
    /// The part of it in the tile's square, if it has one; its zone cuts it further.
    own: Option<Rect>,
    /// Tiles that may share ground with this one, itself among them, by name.
    near: Vec<usize>,
}

/// `west <= x < east`, `south < y <= north`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rect {
    x: (f64, f64),
    y: (f64, f64),
}

/// Whether a condition holds all over a part of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Everywhere,
    Nowhere,
    Partly,
}

impl Owners {
    /// The tiles of a plan, each with its name and grid.
    ///
    /// # Errors
    /// The place in the list of a tile whose coordinate system is not known or that lies off the earth,
    /// and why.
    pub(crate) fn of(named: &[(&str, Grid)]) -> Result<Self, (usize, CrsError)> {
        let mut projections = BTreeMap::new();
        for (i, (_, grid)) in named.iter().enumerate() {
            if let Entry::Vacant(entry) = projections.entry(grid.georef.epsg) {
                entry.insert(Projection::from_epsg(grid.georef.epsg).map_err(|e| (i, e))?);
            }
        }
        let mut order: Vec<usize> = (0..named.len()).collect();
        order.sort_by_key(|&i| named[i].0);
        let mut outlines = Vec::new();
        for (i, (_, grid)) in named.iter().enumerate() {
            outlines.push(degrees(grid, &projections[&grid.georef.epsg]).map_err(|e| (i, e))?);
        }
        let tiles = named.iter().enumerate().map(|(i, &(_, grid))| {
            let cover = Rect::of(&grid);
            let zone = projections[&grid.georef.epsg].utm_zone();
            let meets = |&j: &usize| {
                let other = &named[j].1;
                if other.georef.epsg == grid.georef.epsg {
                    cover.and(&Rect::of(other)).is_some()
                } else {
                    outlines[i].near(&outlines[j])
                }
            };
            let near = order.iter().copied().filter(meets).collect();
            let own = zone.and_then(|_| cover.and(&square(&grid.georef)));
            Tile { grid, cover, own, near }
        });
        Ok(Self { tiles: tiles.collect(), projections })
    }

    /// Which pixels of a window belong to a tile, given by its place in the list.
    ///
    /// # Errors
    /// [`CrsError`] if a point of the window has no place on the earth.
    pub(crate) fn owned(&self, tile: usize, window: &Window) -> Result<Owned, CrsError> {
        let view = View::new(self, tile, window)?;
        match view.has(window) {
            Holds::Everywhere => Ok(Owned::All),
            Holds::Nowhere => Ok(Owned::None),
            Holds::Partly => {
                let mut pixels = vec![false; window.rows * window.cols];
                view.paint(window, &mut pixels);
                Ok(Owned::of(&pixels, window.cols))
            }
        }
    }
}

/// A window of one tile and how the others lie in it.
struct View<'a> {
    owners: &'a Owners,
    tile: usize,
    window: Window,
    /// Tiles whose pixels may lie in the window, by name.
    near: Vec<usize>,
    meridian: Option<Meridian>,
    /// Easting and northing in each other system.
    charts: BTreeMap<u32, Chart>,
    /// How far four corners may mislead about what lies between them, per m².
    bend: f64,
}

/// Distance from the central meridian of the window's zone.
struct Meridian {
    zone: u32,
    /// Degrees from the meridian, in m of the window's latitude, as both of its functions.
    chart: Chart,
    /// Metres of a degree there.
    degree_m: f64,
}

impl<'a> View<'a> {
    fn new(owners: &'a Owners, tile: usize, window: &Window) -> Result<Self, CrsError> {
        let own = &owners.tiles[tile];
        let frame = centres(&own.grid.georef, window);
        let epsg = own.grid.georef.epsg;
        let mut view = Self {
            owners,
            tile,
            window: *window,
            near: Vec::new(),
            meridian: None,
            charts: BTreeMap::new(),
            bend: 0.0,
        };
        let mut strangers = false;
        for &k in &own.near {
            let other = &owners.tiles[k];
            let foreign = other.grid.georef.epsg != epsg;
            if foreign || other.cover.holds(&frame, 0.0) != Holds::Nowhere {
                view.near.push(k);
                strangers |= k != tile;
            }
        }
        if !strangers {
            return Ok(view);
        }
        let projection = &owners.projections[&epsg];
        let (_, lat) = projection.to_lonlat(mid(frame.x), mid(frame.y))?;
        let lat = lat.to_radians();
        // UTM bends straight lines by less than this, see the properties below.
        view.bend = 2e-8 * (1.0 + 2.0 * lat.tan().powi(2));
        if let Some(zone) = projection.utm_zone() {
            let degree_m = DEGREE_M * lat.cos();
            let chart = Chart::of(frame, |x, y| {
                let (lon, _) = projection.to_lonlat(x, y)?;
                let off = from_meridian(lon, zone) * degree_m;
                Ok::<_, CrsError>([off, off])
            })?;
            view.meridian = Some(Meridian { zone, chart, degree_m });
        }
        for k in view.near.clone() {
            let foreign = owners.tiles[k].grid.georef.epsg;
            if foreign != epsg && !view.charts.contains_key(&foreign) {
                let chart = Chart::of(frame, |x, y| view.exact(foreign, x, y))?;
                view.charts.insert(foreign, chart);
            }
        }
        // Without this, a tile that only might be near would split windows for nothing.
        let whole = &frame;
        let misses = |k: usize| view.covers(k, whole) == Holds::Nowhere;
        view.near = view.near.iter().copied().filter(|&k| k == tile || !misses(k)).collect();
        Ok(view)
    }

    /// A point in another system.
    fn exact(&self, epsg: u32, x: f64, y: f64) -> Result<[f64; 2], CrsError> {
        let own = self.owners.tiles[self.tile].grid.georef.epsg;
        let (lon, lat) = self.owners.projections[&own].to_lonlat(x, y)?;
        let (x, y) = self.owners.projections[&epsg].from_lonlat(lon, lat)?;
        Ok([x, y])
    }

    /// Whether the pixels of a part of the window belong to the tile.
    fn has(&self, part: &Window) -> Holds {
        if self.near.len() < 2 {
            return Holds::Everywhere;
        }
        let centres = centres(&self.owners.tiles[self.tile].grid.georef, part);
        let mut contested = false;
        for &k in &self.near {
            match (self.is_own(k, &centres), k == self.tile) {
                (Holds::Nowhere, _) => {}
                (Holds::Everywhere, true) if !contested => return Holds::Everywhere,
                (Holds::Everywhere | Holds::Partly, true) => return Holds::Partly,
                (Holds::Everywhere, false) => return Holds::Nowhere,
                (Holds::Partly, false) => contested = true,
            }
        }
        for &k in &self.near {
            match (self.covers(k, &centres), k == self.tile) {
                (_, true) => return if contested { Holds::Partly } else { Holds::Everywhere },
                (Holds::Everywhere, false) => return Holds::Nowhere,
                (Holds::Partly, false) => contested = true,
                (Holds::Nowhere, false) => {}
            }
        }
        Holds::Nowhere
    }

    /// Marks the pixels of a part of the window that belong to the tile.
    fn paint(&self, part: &Window, pixels: &mut [bool]) {
        let holds =
            if part.rows == 1 && part.cols == 1 { self.has_pixel(part) } else { self.has(part) };
        match holds {
            Holds::Nowhere => {}
            Holds::Everywhere => {
                for row in part.row..part.row + part.rows {
                    let start =
                        (row - self.window.row) * self.window.cols + part.col - self.window.col;
                    pixels[start..start + part.cols].fill(true);
                }
            }
            Holds::Partly => {
                for quarter in quarters(part) {
                    self.paint(&quarter, pixels);
                }
            }
        }
    }

    /// [`Self::has`] of one pixel, projected for certainty where a chart cannot tell.
    fn has_pixel(&self, pixel: &Window) -> Holds {
        match self.has(pixel) {
            Holds::Partly => {
                let (x, y) = self.owners.tiles[self.tile].grid.georef.centre(pixel.row, pixel.col);
                if self.has_point(x, y) { Holds::Everywhere } else { Holds::Nowhere }
            }
            sure => sure,
        }
    }

    fn has_point(&self, x: f64, y: f64) -> bool {
        let own = &self.owners.tiles[self.tile].grid.georef;
        let lon = self.owners.projections[&own.epsg].to_lonlat(x, y).map(|(lon, _)| lon);
        let place = |k: usize| {
            let epsg = self.owners.tiles[k].grid.georef.epsg;
            if epsg == own.epsg { Ok([x, y]) } else { self.exact(epsg, x, y) }
        };
        let in_zone = |k: usize| match (self.zone(k), &lon) {
            (Some(zone), Ok(lon)) => {
                let off = from_meridian(*lon, zone);
                (-ZONE_DEG / 2.0..ZONE_DEG / 2.0).contains(&off)
            }
            _ => false,
        };
        let is_in = |rect: &Rect, k: usize| place(k).is_ok_and(|[x, y]| rect.contains(x, y));
        let tiles = &self.owners.tiles;
        let own_square = |k: usize| tiles[k].own.is_some_and(|own| is_in(&own, k)) && in_zone(k);
        let mut near = self.near.iter().copied();
        let first = near.clone().find(|&k| own_square(k));
        first.or_else(|| near.find(|&k| is_in(&tiles[k].cover, k))) == Some(self.tile)
    }

    fn zone(&self, k: usize) -> Option<u32> {
        self.owners.projections[&self.owners.tiles[k].grid.georef.epsg].utm_zone()
    }

    fn is_own(&self, k: usize, centres: &Frame) -> Holds {
        let Some(own) = &self.owners.tiles[k].own else { return Holds::Nowhere };
        match self.lies_in(own, k, centres) {
            Holds::Nowhere => Holds::Nowhere,
            square => square.and(self.in_zone(k, centres)),
        }
    }

    fn covers(&self, k: usize, centres: &Frame) -> Holds {
        self.lies_in(&self.owners.tiles[k].cover, k, centres)
    }

    fn lies_in(&self, rect: &Rect, k: usize, centres: &Frame) -> Holds {
        match self.charts.get(&self.owners.tiles[k].grid.georef.epsg) {
            None => rect.holds(centres, 0.0),
            Some(chart) => {
                let (x, y) = spans(chart, centres);
                rect.holds(&Frame { x, y }, self.margin(chart, centres))
            }
        }
    }

    /// Whether the centres lie within the longitudes of a tile's zone.
    fn in_zone(&self, k: usize, centres: &Frame) -> Holds {
        let (Some(zone), Some(meridian)) = (self.zone(k), &self.meridian) else {
            return Holds::Nowhere;
        };
        let Meridian { chart, degree_m, .. } = meridian;
        let ((west, east), _) = spans(chart, centres);
        let margin = self.margin(chart, centres);
        // Zones count eastward, and the first follows the last.
        let zones = (f64::from(zone) - f64::from(meridian.zone) + 30.0).rem_euclid(60.0) - 30.0;
        let start = (zones - 0.5) * ZONE_DEG * degree_m;
        let end = (zones + 0.5) * ZONE_DEG * degree_m;
        if start + margin <= west && east < end - margin {
            Holds::Everywhere
        } else if east < start - margin || end + margin <= west {
            Holds::Nowhere
        } else {
            Holds::Partly
        }
    }

    fn margin(&self, chart: &Chart, centres: &Frame) -> f64 {
        let (width, height) = (centres.x.1 - centres.x.0, centres.y.1 - centres.y.0);
        chart.error_m + self.bend * (width * width + height * height)
    }
}

impl Holds {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everywhere, Self::Everywhere) => Self::Everywhere,
            (Self::Nowhere, _) | (_, Self::Nowhere) => Self::Nowhere,
            (Self::Partly, _) | (_, Self::Partly) => Self::Partly,
        }
    }
}

impl Rect {
    fn of(grid: &Grid) -> Self {
        let Georef { x0_m, y0_m, px_m, .. } = grid.georef;
        let (width, height) = (grid.cols as f64 * px_m, grid.rows as f64 * px_m);
        Self { x: (x0_m, x0_m + width), y: (y0_m - height, y0_m) }
    }

    fn and(&self, other: &Self) -> Option<Self> {
        let x = (self.x.0.max(other.x.0), self.x.1.min(other.x.1));
        let y = (self.y.0.max(other.y.0), self.y.1.min(other.y.1));
        (x.0 < x.1 && y.0 < y.1).then_some(Self { x, y })
    }

    fn contains(&self, x: f64, y: f64) -> bool {
        self.x.0 <= x && x < self.x.1 && self.y.0 < y && y <= self.y.1
    }

    /// Whether all points of a frame lie in it, where the frame may be off by a margin.
    fn holds(&self, points: &Frame, margin: f64) -> Holds {
        let Frame { x: (west, east), y: (south, north) } = *points;
        let inside = self.x.0 + margin <= west
            && east < self.x.1 - margin
            && self.y.0 + margin < south
            && north <= self.y.1 - margin;
        let outside = east < self.x.0 - margin
            || self.x.1 + margin <= west
            || north <= self.y.0 - margin
            || self.y.1 + margin < south;
        match (inside, outside) {
            (true, _) => Holds::Everywhere,
            (_, true) => Holds::Nowhere,
            _ => Holds::Partly,
        }
    }
}

/// The square of the MGRS whose upper left corner a grid begins at, to the next 60 m.
fn square(georef: &Georef) -> Rect {
    let near = |v: f64| (v / SQUARE_M).round() * SQUARE_M;
    let (west, north) = (near(georef.x0_m), near(georef.y0_m));
    Rect { x: (west, west + SQUARE_M), y: (north - SQUARE_M, north) }
}

/// Degrees east of a zone's central meridian, from -180 to 180.
fn from_meridian(lon: f64, zone: u32) -> f64 {
    let meridian = f64::from(zone) * ZONE_DEG - 183.0;
    (lon - meridian + 180.0).rem_euclid(360.0) - 180.0
}

/// The frame of the centres of a window's pixels.
fn centres(georef: &Georef, window: &Window) -> Frame {
    let (west, north) = georef.centre(window.row, window.col);
    let (east, south) = georef.centre(
        window.row + window.rows.saturating_sub(1),
        window.col + window.cols.saturating_sub(1),
    );
    Frame { x: (west, east), y: (south, north) }
}

fn mid((low, high): (f64, f64)) -> f64 {
    low.midpoint(high)
}

/// Smallest and largest values of a chart at the corners of a frame.
fn spans(chart: &Chart, Frame { x, y }: &Frame) -> ((f64, f64), (f64, f64)) {
    let corners = [(x.0, y.0), (x.1, y.0), (x.1, y.1), (x.0, y.1)].map(|(x, y)| chart.read(x, y));
    let none = (f64::INFINITY, f64::NEG_INFINITY);
    let wider = |(low, high): (f64, f64), v: f64| (low.min(v), high.max(v));
    corners.iter().fold((none, none), |(a, b), c| (wider(a, c[0]), wider(b, c[1])))
}

fn quarters(part: &Window) -> impl Iterator<Item = Window> + use<> {
    let halves = |start: usize, length: usize| {
        let half = length.div_ceil(2);
        [(start, half), (start + half, length - half)]
    };
    let (rows, cols) = (halves(part.row, part.rows), halves(part.col, part.cols));
    rows.into_iter()
        .flat_map(move |(row, rows)| cols.map(|(col, cols)| Window { row, col, rows, cols }))
        .filter(|w| w.rows > 0 && w.cols > 0)
}

/// A tile's outline in degrees, east of its own western edge.
struct Outline {
    lon: (f64, f64),
    lat: (f64, f64),
}

impl Outline {
    fn near(&self, other: &Self) -> bool {
        let meets = |a: (f64, f64), b: (f64, f64)| a.0 <= b.1 + NEAR_DEG && b.0 <= a.1 + NEAR_DEG;
        let turned = |turn: f64| (other.lon.0 + turn, other.lon.1 + turn);
        meets(self.lat, other.lat)
            && [-360.0, 0.0, 360.0].into_iter().any(|turn| meets(self.lon, turned(turn)))
    }
}

/// The longitudes, which may run over 180, and latitudes of a grid.
fn degrees(grid: &Grid, projection: &Projection) -> Result<Outline, CrsError> {
    let Rect { x, y } = Rect::of(grid);
    let frame = Frame { x, y };
    let meridian = projection.utm_zone().map_or(0.0, |zone| f64::from(zone) * ZONE_DEG - 183.0);
    let none = (f64::INFINITY, f64::NEG_INFINITY);
    let mut outline = Outline { lon: none, lat: none };
    const STEPS: usize = 4;
    for row in 0..=STEPS {
        for col in 0..=STEPS {
            let along = |(low, high): (f64, f64), step: usize| {
                low + (high - low) * step as f64 / STEPS as f64
            };
            let (lon, lat) = projection.to_lonlat(along(frame.x, col), along(frame.y, row))?;
            let lon = match projection.utm_zone() {
                Some(zone) => meridian + from_meridian(lon, zone),
                None => lon,
            };
            outline.lon = (outline.lon.0.min(lon), outline.lon.1.max(lon));
            outline.lat = (outline.lat.0.min(lat), outline.lat.1.max(lat));
        }
    }
    Ok(outline)
}

#[cfg(test)]
pub(crate) mod tests;
