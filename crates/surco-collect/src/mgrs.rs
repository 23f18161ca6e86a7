//! The tiles of Sentinel-2: names, corners, and which of them meet a place.
//!
//! Absent on purpose: the widened zones of Norway and Svalbard. ESA leaves out a few tiles that their
//! neighbours cover whole (19FBA to 19GBN in Chile); here they are listed with the others.

use surco_core::Georef;
use surco_raster::projection::{CrsError, Projection};

use crate::geometry::{Point, meet};

/// Side of a tile in 10 m pixels; neighbours overlap by 9.8 km.
pub(crate) const TILE_PX: usize = 10_980;
/// Side of the square that a tile is named after, in m.
const SQUARE_M: f64 = 100_000.0;
/// Corners of tiles lie on multiples of this, so that pixels of 10, 20 and 60 m begin there.
const STEP_M: f64 = 60.0;
/// Northings of the south end here.
const EQUATOR_M: f64 = 10_000_000.0;
/// Points along each side of a tile when it is turned into degrees.
const SIDE_POINTS: usize = 8;

const COLUMNS: [&[u8]; 3] = [b"ABCDEFGH", b"JKLMNPQR", b"STUVWXYZ"];
const ROWS: &[u8; 20] = b"ABCDEFGHJKLMNPQRSTUV";
const BANDS: &[u8; 20] = b"CDEFGHJKLMNPQRSTUVWX";

/// A tile of Sentinel-2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tile {
    pub(crate) name: String,
    pub(crate) georef: Georef,
}

/// A hundred-kilometre square of a zone: its western and southern sides in squares.
#[derive(Clone, Copy, Debug)]
struct Square {
    zone: u32,
    south: bool,
    east: usize,
    north: usize,
}

impl Square {
    fn epsg(&self) -> u32 {
        self.zone + if self.south { 32_700 } else { 32_600 }
    }

    /// Corner of the tile: the square's upper left one, moved out to the next multiple of 60 m.
    fn georef(&self) -> Georef {
        let equator = if self.south { EQUATOR_M } else { 0.0 };
        let top = (self.north + 1) as f64 * SQUARE_M - equator;
        Georef {
            epsg: self.epsg(),
            x0_m: (self.east as f64 * SQUARE_M / STEP_M).floor() * STEP_M,
            y0_m: (top / STEP_M).ceil() * STEP_M + equator,
            px_m: 10.0,
        }
    }

    /// The name; the letter of the band is that of the square's middle.
    fn name(&self, projection: &Projection) -> Option<String> {
        let middle = |squares: usize| (squares as f64 + 0.5) * SQUARE_M;
        let (_, lat) = projection.to_lonlat(middle(self.east), middle(self.north)).ok()?;
        if !(-80.0..84.0).contains(&lat) {
            return None;
        }
        let band = BANDS[(((lat + 80.0) / 8.0) as usize).min(BANDS.len() - 1)];
        let column = COLUMNS[(self.zone as usize - 1) % 3].get(self.east.checked_sub(1)?)?;
        let shift = if self.zone.is_multiple_of(2) { 5 } else { 0 };
        let row = ROWS[(self.north + shift) % ROWS.len()];
        let letters = [band, *column, row].map(char::from);
        Some(format!("{:02}{}", self.zone, letters.iter().collect::<String>()))
    }

    /// Whether a part of the square lies between the zone's meridians.
    fn is_in_zone(&self, projection: &Projection) -> bool {
        let west = f64::from(self.zone) * 6.0 - 186.0;
        let ends = |squares: usize| [squares as f64 * SQUARE_M, (squares + 1) as f64 * SQUARE_M];
        let lon = |x: f64, y: f64| projection.to_lonlat(x, y).map(|p| p.0);
        let [left, right] = ends(self.east);
        let sides = ends(self.north);
        let any = |x: f64, inside: &dyn Fn(f64) -> bool| {
            sides.iter().any(|&y| lon(x, y).is_ok_and(inside))
        };
        any(left, &|lon| lon < west + 6.0) && any(right, &|lon| lon > west)
    }
}

/// The tiles that meet any of these rings of degrees, sorted by name.
///
/// # Errors
/// [`CrsError`] if a zone's system is not known.
pub(crate) fn tiles_meeting(rings: &[Vec<Point>]) -> Result<Vec<Tile>, CrsError> {
    let points = || rings.iter().flatten();
    let ends = |pick: fn(&Point) -> f64| {
        let values = points().map(pick);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
    };
    let ((west, east), (south, north)) = (ends(|p| p.0), ends(|p| p.1));
    if west > east {
        return Ok(Vec::new());
    }
    // Tiles reach into the neighbouring zones.
    let zone = |lon: f64| ((lon + 180.0) / 6.0).floor() as i64 + 1;
    let mut tiles = Vec::new();
    for zone in (zone(west) - 1).max(1)..=(zone(east) + 1).min(60) {
        for (is_south, low, high) in
            [(true, south.min(0.0), north.min(0.0)), (false, south.max(0.0), north.max(0.0))]
        {
            if low < high || (low == high && low != 0.0) {
                in_zone(zone as u32, is_south, (low, high), rings, &mut tiles)?;
            }
        }
    }
    tiles.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tiles)
}

fn in_zone(
    zone: u32,
    south: bool,
    (low, high): (f64, f64),
    rings: &[Vec<Point>],
    tiles: &mut Vec<Tile>,
) -> Result<(), CrsError> {
    let projection = Projection::from_epsg(zone + if south { 32_700 } else { 32_600 })?;
    let meridian = f64::from(zone) * 6.0 - 183.0;
    let north_of = |lat: f64| projection.from_lonlat(meridian, lat).map(|p| p.1 / SQUARE_M);
    // A square more on each side: parallels are curved, and tiles overhang.
    let first = (north_of(low)?.floor() - 1.0).max(0.0) as usize;
    let last = (north_of(high)?.floor() + 1.0).clamp(0.0, if south { 99.0 } else { 93.0 }) as usize;
    for north in first..=last {
        for east in 1..=8 {
            let square = Square { zone, south, east, north };
            let georef = square.georef();
            let side = TILE_PX as f64 * georef.px_m;
            let Some(outline) = outline(&projection, &georef, side) else { continue };
            if square.is_in_zone(&projection)
                && rings.iter().any(|ring| meet(ring, &outline))
                && let Some(name) = square.name(&projection)
            {
                tiles.push(Tile { name, georef });
            }
        }
    }
    Ok(())
}

/// A square of a grid in degrees, with points along its sides.
fn outline(projection: &Projection, corner: &Georef, side_m: f64) -> Option<Vec<Point>> {
    let part = |i: usize| i as f64 / SIDE_POINTS as f64 * side_m;
    let (x, y) = (corner.x0_m, corner.y0_m);
    let sides = (0..SIDE_POINTS)
        .map(|i| (x + part(i), y))
        .chain((0..SIDE_POINTS).map(|i| (x + side_m, y - part(i))))
        .chain((0..SIDE_POINTS).map(|i| (x + side_m - part(i), y - side_m)))
        .chain((0..SIDE_POINTS).map(|i| (x, y - side_m + part(i))));
    sides.map(|(x, y)| projection.to_lonlat(x, y).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rectangle;

    /// The tiles of Chile with their corners, from the tile table of the R package `sits`, and those of the
    /// recorded items of two services.
    #[test]
    fn names_and_corners_are_those_of_real_tiles() {
        let mut count = 0;
        for line in include_str!("../fixtures/tiles.csv").lines().skip(1) {
            let [name, epsg, west, north] = line.split(',').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let georef = Georef {
                epsg: epsg.parse().unwrap(),
                x0_m: west.parse().unwrap(),
                y0_m: north.parse().unwrap(),
                px_m: 10.0,
            };
            let projection = Projection::from_epsg(georef.epsg).unwrap();
            let (lon, lat) =
                projection.to_lonlat(georef.x0_m + 54_900.0, georef.y0_m - 54_900.0).unwrap();
            let near = rectangle([lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01]);
            let tiles = tiles_meeting(&[near]).unwrap();
            let found = tiles.iter().find(|tile| tile.name == name);
            assert_eq!(found.map(|tile| tile.georef), Some(georef), "{name}: {tiles:?}");
            count += 1;
        }
        assert!(count > 171, "{count}");
    }

    #[test]
    fn a_place_near_the_meridian_between_zones_lies_in_tiles_of_both() {
        let names = |bbox| -> Vec<String> {
            tiles_meeting(&[rectangle(bbox)]).unwrap().into_iter().map(|t| t.name).collect()
        };
        let talca = names([-71.7, -35.5, -71.6, -35.4]);
        assert_eq!(talca, ["18HYF", "19HBA"]);
        assert!(names([-179.99, -0.1, -179.98, 0.1]).iter().all(|n| n.starts_with("01")));
        assert!(tiles_meeting(&[]).unwrap().is_empty());
    }
}
