//! How much of one outline lies in another.

use crate::geometry::Point;

/// Points along each side of the grid that samples an outline.
const SIDE: usize = 24;
/// Share of an outline that must lie in another to show nothing else: outlines of the same pixels differ by
/// how services draw them, two pieces of a tile overlap in a few seconds of flight.
const SHARE: f64 = 0.9;

/// Whether nearly all of an outline lies in another; unknown outlines are all of the tile.
pub(super) fn lies_in(inner: &[Vec<Point>], outer: &[Vec<Point>]) -> bool {
    if outer.is_empty() {
        return true;
    }
    if inner.is_empty() {
        return false;
    }
    let points = inner.iter().flatten();
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    let (xs, ys) = points.fold((start, start), |(xs, ys), &(x, y)| {
        ((xs.0.min(x), xs.1.max(x)), (ys.0.min(y), ys.1.max(y)))
    });
    let step =
        |(low, high): (f64, f64), i: usize| low + (high - low) * (i as f64 + 0.5) / SIDE as f64;
    let (mut own, mut shared) = (0, 0);
    for row in 0..SIDE {
        for col in 0..SIDE {
            let point = (step(xs, col), step(ys, row));
            if inner.iter().any(|ring| holds(ring, point)) {
                own += 1;
                shared += usize::from(outer.iter().any(|ring| holds(ring, point)));
            }
        }
    }
    own > 0 && f64::from(shared as u32) >= SHARE * f64::from(own as u32)
}

/// Whether a point lies in a ring.
fn holds(ring: &[Point], (x, y): Point) -> bool {
    let edges = (0..ring.len()).map(|i| (ring[i], ring[(i + 1) % ring.len()]));
    edges.fold(false, |inside, ((x0, y0), (x1, y1))| {
        let spans = (y0 > y) != (y1 > y);
        if spans && x < x0 + (x1 - x0) * (y - y0) / (y1 - y0) { !inside } else { inside }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rectangle;

    #[test]
    fn a_piece_lies_in_its_tile_and_not_the_tile_in_its_piece() {
        let tile = vec![rectangle([0.0, 0.0, 10.0, 10.0])];
        let piece = vec![rectangle([0.0, 0.0, 10.0, 4.0])];
        let rest = vec![rectangle([0.0, 3.8, 10.0, 10.0])];
        assert!(lies_in(&piece, &tile) && !lies_in(&tile, &piece));
        assert!(!lies_in(&piece, &rest) && !lies_in(&rest, &piece));
        let drawn_roughly = vec![rectangle([-0.2, -0.2, 10.2, 4.1])];
        assert!(lies_in(&piece, &drawn_roughly) && lies_in(&drawn_roughly, &piece));
        assert!(lies_in(&piece, &[]) && !lies_in(&[], &piece));
    }
}
