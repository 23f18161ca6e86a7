//! Whether outlines meet.

mod prepared;

pub(crate) use prepared::Prepared;

/// A point as longitude and latitude, or as easting and northing.
pub(crate) type Point = (f64, f64);

/// The corners of a bounding box, counter-clockwise.
pub(crate) fn rectangle([west, south, east, north]: [f64; 4]) -> Vec<Point> {
    vec![(west, south), (east, south), (east, north), (west, north)]
}

/// West, south, east and north of points.
pub(crate) fn bounds(points: &[Point]) -> [f64; 4] {
    let none = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    points.iter().fold(none, |[w, s, e, n], &(x, y)| [w.min(x), s.min(y), e.max(x), n.max(y)])
}

/// Whether two bounding boxes have a point in common.
pub(crate) fn overlap(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

/// Whether two simple polygons have a point in common; rings may be closed or not.
pub(crate) fn meet(a: &[Point], b: &[Point]) -> bool {
    if a.len() < 3 || b.len() < 3 {
        return false;
    }
    let crosses = edges(a).any(|ab| edges(b).any(|cd| cross(ab, cd)));
    crosses || contains(a, b[0]) || contains(b, a[0])
}

/// The ring with all its longitudes within half a turn of one: near the date line it runs over 180
/// instead of jumping to -180.
pub(crate) fn around(lon: f64, ring: impl IntoIterator<Item = Point>) -> Vec<Point> {
    let turned = |(x, y): Point| (x - ((x - lon) / 360.0).round() * 360.0, y);
    ring.into_iter().map(turned).collect()
}

pub(crate) fn edges(ring: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    (0..ring.len()).map(|i| (ring[i], ring[(i + 1) % ring.len()]))
}

/// Twice the signed area of a triangle.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

pub(crate) fn cross((a, b): (Point, Point), (c, d): (Point, Point)) -> bool {
    let boxes = a.0.min(b.0) <= c.0.max(d.0)
        && c.0.min(d.0) <= a.0.max(b.0)
        && a.1.min(b.1) <= c.1.max(d.1)
        && c.1.min(d.1) <= a.1.max(b.1);
    boxes && turn(a, b, c) * turn(a, b, d) <= 0.0 && turn(c, d, a) * turn(c, d, b) <= 0.0
}

pub(crate) fn contains(ring: &[Point], point: Point) -> bool {
    edges(ring).fold(false, |inside, (a, b)| {
        let spans = (a.1 > point.1) != (b.1 > point.1);
        if spans && (turn(a, b, point) > 0.0) == (b.1 > a.1) { !inside } else { inside }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polygons_meet_by_crossing_or_by_lying_inside() {
        let square = rectangle([0.0, 0.0, 10.0, 10.0]);
        assert!(meet(&square, &rectangle([2.0, 2.0, 3.0, 3.0])), "inside");
        assert!(meet(&rectangle([2.0, 2.0, 3.0, 3.0]), &square), "around");
        assert!(meet(&square, &rectangle([-1.0, 4.0, 11.0, 5.0])), "through, no corner inside");
        assert!(!meet(&square, &rectangle([11.0, 0.0, 12.0, 1.0])));
        let hook = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (8.0, 9.0), (8.0, 1.0), (0.0, 1.0)];
        assert!(!meet(&hook, &rectangle([2.0, 4.0, 5.0, 6.0])), "in the bay of a hook");
        assert!(meet(&hook, &rectangle([7.0, 4.0, 8.5, 6.0])));
    }

    #[test]
    fn a_ring_over_the_date_line_stays_in_one_piece() {
        let ring = [(179.5, 0.0), (-179.5, 0.0), (-179.5, 1.0), (179.5, 1.0)];
        assert_eq!(bounds(&around(179.0, ring)), [179.5, 0.0, 180.5, 1.0]);
        assert_eq!(bounds(&around(-177.0, ring)), [-180.5, 0.0, -179.5, 1.0]);
        let plain = rectangle([-72.0, -35.0, -71.0, -34.0]);
        assert_eq!(around(-69.0, plain.clone()), plain);
    }
}
