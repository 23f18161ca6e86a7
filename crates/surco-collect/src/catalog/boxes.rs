//! Boxes around an area, for services and indexes that know no better.
//!
//! One box around Chile is mostly ocean and Argentina; a box for each band of latitude follows the country.

use surco_raster::vector::Polygon;

use crate::Area;

/// West, south, east and north in degrees.
pub(crate) type Box4 = [f64; 4];

/// Height of a band of latitude.
const BAND_DEG: f64 = 4.0;
/// Parts of an area that are this close get one box.
const GAP_DEG: f64 = 1.0;

/// Boxes that together hold an area.
pub(super) fn boxes(area: &Area) -> Vec<Box4> {
    match area {
        Area::Bbox(bbox) => vec![*bbox],
        Area::Polygons(polygons) => around_all(polygons),
    }
}

/// Boxes that together hold polygons, however many.
fn around_all(polygons: &[Polygon]) -> Vec<Box4> {
    let rings: Vec<&[[f64; 2]]> =
        polygons.iter().filter_map(|p| p.rings.first()).map(Vec::as_slice).collect();
    let lats = rings.iter().flat_map(|ring| ring.iter().map(|p| p[1]));
    let (south, north) = lats
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), lat| (low.min(lat), high.max(lat)));
    let mut boxes: Vec<Box4> = Vec::new();
    let mut low = south;
    while low < north {
        let high = (low + BAND_DEG).min(north);
        let mut parts: Vec<Box4> = rings.iter().filter_map(|r| part(r, low, high)).collect();
        parts.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let first = boxes.len();
        for part in parts {
            match boxes[first..].last_mut() {
                Some(last) if part[0] <= last[2] + GAP_DEG => *last = around(*last, part),
                _ => boxes.push(part),
            }
        }
        low = high;
    }
    boxes
}

/// The box around what of a ring lies in a band.
fn part(ring: &[[f64; 2]], low: f64, high: f64) -> Option<Box4> {
    let mut part: Option<Box4> = None;
    let edges = ring.iter().zip(ring.iter().cycle().skip(1));
    for (&[x0, y0], &[x1, y1]) in edges {
        let (from, to) = (y0.min(y1).max(low), y0.max(y1).min(high));
        if from > to {
            continue;
        }
        let at = |y: f64| if y0 == y1 { x0 } else { x0 + (x1 - x0) * (y - y0) / (y1 - y0) };
        let (a, b) = if y0 == y1 { (x0, x1) } else { (at(from), at(to)) };
        let edge = [a.min(b), from, a.max(b), to];
        part = Some(part.map_or(edge, |part| around(part, edge)));
    }
    part
}

fn around(a: Box4, b: Box4) -> Box4 {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

/// Whether two boxes have a point in common.
pub(super) fn meet(a: Box4, b: Box4) -> bool {
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(west: f64, south: f64, side: f64) -> Polygon {
        let (east, north) = (west + side, south + side);
        let ring = vec![[west, south], [east, south], [east, north], [west, north], [west, south]];
        Polygon { rings: vec![ring] }
    }

    #[test]
    fn a_slanted_country_has_a_box_a_band_and_an_island_its_own() {
        let slant = Polygon {
            rings: vec![vec![
                [-75.0, -50.0],
                [-73.0, -50.0],
                [-68.0, -20.0],
                [-70.0, -20.0],
                [-75.0, -50.0],
            ]],
        };
        let boxes = boxes(&Area::Polygons(vec![slant, square(-110.0, -28.0, 1.0)]));
        assert_eq!(boxes.len(), 9, "{boxes:?}");
        let islands: Vec<_> = boxes.iter().filter(|b| b[0] < -100.0).collect();
        assert_eq!(islands, [&[-110.0, -28.0, -109.0, -27.0]]);
        let wide = boxes.iter().map(|b| b[2] - b[0]).fold(0.0, f64::max);
        assert!(wide < 3.0, "the whole is 7° wide, the widest band {wide}°");
    }

    proptest::proptest! {
        #[test]
        fn no_point_of_an_area_is_outside_its_boxes(
            west in -80.0..-60.0_f64, south in -60.0..-10.0_f64, side in 0.1..20.0_f64,
            s in 0.0..1.0_f64, t in 0.0..1.0_f64,
        ) {
            let boxes = boxes(&Area::Polygons(vec![square(west, south, side)]));
            let (x, y) = (west + s * side, south + t * side);
            proptest::prop_assert!(boxes.iter().any(|b| meet(*b, [x, y, x, y])), "{boxes:?}");
        }
    }
}
