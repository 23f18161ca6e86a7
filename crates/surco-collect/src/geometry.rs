//! Whether outlines meet.

/// A point as longitude and latitude, or as easting and northing.
pub(crate) type Point = (f64, f64);

/// The corners of a bounding box, counter-clockwise.
pub(crate) fn rectangle([west, south, east, north]: [f64; 4]) -> Vec<Point> {
    vec![(west, south), (east, south), (east, north), (west, north)]
}

/// Whether two simple polygons have a point in common; rings may be closed or not.
pub(crate) fn meet(a: &[Point], b: &[Point]) -> bool {
    if a.len() < 3 || b.len() < 3 {
        return false;
    }
    let crosses = edges(a).any(|ab| edges(b).any(|cd| cross(ab, cd)));
    crosses || contains(a, b[0]) || contains(b, a[0])
}

fn edges(ring: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    (0..ring.len()).map(|i| (ring[i], ring[(i + 1) % ring.len()]))
}

/// Twice the signed area of a triangle.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

fn cross((a, b): (Point, Point), (c, d): (Point, Point)) -> bool {
    let boxes = a.0.min(b.0) <= c.0.max(d.0)
        && c.0.min(d.0) <= a.0.max(b.0)
        && a.1.min(b.1) <= c.1.max(d.1)
        && c.1.min(d.1) <= a.1.max(b.1);
    boxes && turn(a, b, c) * turn(a, b, d) <= 0.0 && turn(c, d, a) * turn(c, d, b) <= 0.0
}

fn contains(ring: &[Point], point: Point) -> bool {
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
}
