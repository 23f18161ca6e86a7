//! Many polygons, prepared to be asked many times whether a small ring meets them.

use surco_raster::vector::Polygon;

use super::{Point, bounds, contains, cross, edges, overlap};

/// Side of a bin in degrees, about that of a cell of the store.
const BIN_DEG: f64 = 0.1;
/// Bins along one axis at most.
const BINS: usize = 2048;

/// Polygons with holes, their edges sorted into bins of longitude and latitude.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    bounds: [f64; 4],
    edges: Vec<Edge>,
    /// Bins along longitude and latitude, and their sides.
    shape: (usize, usize),
    side: (f64, f64),
    /// Edges that touch a bin, row by row.
    bins: Bins,
    /// Edges that touch a row of bins, each once, in the order of the polygons.
    rows: Bins,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    a: Point,
    b: Point,
    polygon: u32,
}

/// Lists of numbers, one after the other.
#[derive(Clone, Debug)]
struct Bins {
    starts: Vec<u32>,
    members: Vec<u32>,
}

impl Bins {
    /// Gives each member to its bins; `visit` is called twice and must name the same bins.
    fn of(count: usize, visit: impl Fn(&mut dyn FnMut(usize, u32))) -> Self {
        let mut starts = vec![0_u32; count + 1];
        visit(&mut |bin, _| starts[bin + 1] += 1);
        for bin in 0..count {
            starts[bin + 1] += starts[bin];
        }
        let mut next = starts.clone();
        let mut members = vec![0; starts[count] as usize];
        visit(&mut |bin, member| {
            members[next[bin] as usize] = member;
            next[bin] += 1;
        });
        Self { starts, members }
    }

    fn get(&self, bin: usize) -> &[u32] {
        &self.members[self.starts[bin] as usize..self.starts[bin + 1] as usize]
    }
}

impl Prepared {
    pub(crate) fn of<'p>(polygons: impl IntoIterator<Item = &'p Polygon>) -> Self {
        let mut list = Vec::new();
        for (polygon, shape) in polygons.into_iter().enumerate() {
            for pair in shape.rings.iter().flat_map(|ring| ring.windows(2)) {
                let [a, b] = [pair[0], pair[1]].map(|[x, y]| (x, y));
                list.push(Edge { a, b, polygon: polygon as u32 });
            }
        }
        let ends: Vec<Point> = list.iter().flat_map(|e| [e.a, e.b]).collect();
        let bounds = bounds(&ends);
        let along = |low: f64, high: f64| {
            let extent = (high - low).max(0.0);
            let count = ((extent / BIN_DEG).ceil() as usize).clamp(1, BINS);
            (count, if extent > 0.0 { extent / count as f64 } else { 1.0 })
        };
        let (x, y) = (along(bounds[0], bounds[2]), along(bounds[1], bounds[3]));
        let empty = Bins { starts: Vec::new(), members: Vec::new() };
        let mut prepared = Self {
            bounds,
            edges: list,
            shape: (x.0, y.0),
            side: (x.1, y.1),
            bins: empty.clone(),
            rows: empty,
        };
        let rows = Bins::of(y.0, |take| prepared.each_row(&mut |row, edge, _| take(row, edge)));
        let bins = Bins::of(x.0 * y.0, |take| {
            prepared.each_row(&mut |row, edge, (west, east)| {
                for col in prepared.col(west)..=prepared.col(east) {
                    take(row * prepared.shape.0 + col, edge);
                }
            });
        });
        (prepared.rows, prepared.bins) = (rows, bins);
        prepared
    }

    /// The rows of bins that each edge touches, with the longitudes it has there.
    fn each_row(&self, take: &mut dyn FnMut(usize, u32, (f64, f64))) {
        for (number, Edge { a, b, .. }) in self.edges.iter().enumerate() {
            let (low, high) = if a.1 <= b.1 { (a, b) } else { (b, a) };
            let at = |lat: f64| {
                if high.1 <= low.1 {
                    return high.0;
                }
                let t = ((lat - low.1) / (high.1 - low.1)).clamp(0.0, 1.0);
                low.0 + t * (high.0 - low.0)
            };
            let (first, last) = (self.row(low.1), self.row(high.1));
            for row in first..=last {
                // A little more than the row, so that rounding loses no bin.
                let south = self.bounds[1] + (row as f64 - 1e-6) * self.side.1;
                let north = self.bounds[1] + (row as f64 + 1.0 + 1e-6) * self.side.1;
                let (mut from, mut to) = (at(south), at(north));
                if first == last {
                    (from, to) = (low.0, high.0);
                }
                take(row, number as u32, (from.min(to), from.max(to)));
            }
        }
    }

    fn row(&self, lat: f64) -> usize {
        (((lat - self.bounds[1]) / self.side.1).max(0.0) as usize).min(self.shape.1 - 1)
    }

    fn col(&self, lon: f64) -> usize {
        (((lon - self.bounds[0]) / self.side.0).max(0.0) as usize).min(self.shape.0 - 1)
    }

    /// Whether a simple ring has a point in common with a polygon; a ring in a hole has none.
    ///
    /// Longitudes of the ring may run over 180.
    pub(crate) fn meets(&self, ring: &[Point]) -> bool {
        if ring.len() < 3 || self.edges.is_empty() {
            return false;
        }
        let span = bounds(ring);
        [-360.0, 0.0, 360.0].into_iter().any(|turn| {
            let span = [span[0] + turn, span[1], span[2] + turn, span[3]];
            if !overlap(&self.bounds, &span) {
                return false;
            }
            if turn == 0.0 {
                return self.meets_here(ring, &span);
            }
            let turned: Vec<Point> = ring.iter().map(|&(x, y)| (x + turn, y)).collect();
            self.meets_here(&turned, &span)
        })
    }

    fn meets_here(&self, ring: &[Point], span: &[f64; 4]) -> bool {
        let touches = |&number: &u32| {
            let Edge { a, b, .. } = self.edges[number as usize];
            let own = [a.0.min(b.0), a.1.min(b.1), a.0.max(b.0), a.1.max(b.1)];
            overlap(&own, span)
                && (contains(ring, a) || edges(ring).any(|side| cross((a, b), side)))
        };
        let cols = self.col(span[0])..=self.col(span[2]);
        let found = (self.row(span[1])..=self.row(span[3])).any(|row| {
            cols.clone().any(|col| self.bins.get(row * self.shape.0 + col).iter().any(touches))
        });
        // No edge is near: the whole ring lies in a polygon or none of it does.
        found || self.contains(ring[0])
    }

    /// Whether a point lies in a polygon and not in one of its holes.
    pub(crate) fn contains(&self, (x, y): Point) -> bool {
        if !overlap(&self.bounds, &[x, y, x, y]) {
            return false;
        }
        let (mut inside, mut current) = (false, u32::MAX);
        for &number in self.rows.get(self.row(y)) {
            let Edge { a, b, polygon } = self.edges[number as usize];
            if polygon != current {
                if inside {
                    return true;
                }
                current = polygon;
            }
            let (low, high) = if a.1 < b.1 { (a, b) } else { (b, a) };
            let spans = low.1 <= y && y < high.1;
            if spans && low.0 + (y - low.1) / (high.1 - low.1) * (high.0 - low.0) <= x {
                inside = !inside;
            }
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{meet, rectangle};
    use proptest::prelude::*;
    use surco_raster::rasterise;

    fn closed(points: &[Point]) -> Vec<[f64; 2]> {
        let mut ring: Vec<[f64; 2]> = points.iter().map(|&(x, y)| [x, y]).collect();
        ring.push(ring[0]);
        ring
    }

    /// Worked by hand: a square of 2° with a hole of 1°, and a square in the hole.
    #[test]
    fn holes_are_outside_and_islands_in_them_inside() {
        let lake = Polygon {
            rings: vec![
                closed(&rectangle([0.0, 0.0, 2.0, 2.0])),
                closed(&rectangle([0.5, 0.5, 1.5, 1.5])),
            ],
        };
        let island = Polygon { rings: vec![closed(&rectangle([0.9, 0.9, 1.1, 1.1]))] };
        let prepared = Prepared::of([&lake, &island]);
        let meets = |bbox| prepared.meets(&rectangle(bbox));
        assert!(meets([0.1, 0.1, 0.2, 0.2]), "on the shore");
        assert!(!meets([0.6, 0.6, 0.7, 0.7]), "in the lake");
        assert!(meets([0.6, 0.6, 1.0, 1.0]), "to the island");
        assert!(meets([0.95, 0.95, 1.05, 1.05]), "on the island");
        assert!(meets([-9.0, -9.0, 9.0, 9.0]), "around all");
        assert!(!meets([2.1, 0.0, 2.2, 2.0]), "beside");
        assert!(meets([360.1, 0.1, 360.2, 0.2]), "a turn further");
        assert!(!Prepared::of([]).meets(&rectangle([0.0, 0.0, 1.0, 1.0])), "of nothing");
    }

    fn star(corners: &[(f64, f64)], centre: Point) -> Vec<Point> {
        let step = std::f64::consts::TAU / corners.len() as f64;
        let point = |(i, &(turn, reach)): (usize, &(f64, f64))| {
            let angle = (i as f64 + turn) * step;
            (centre.0 + reach * angle.cos(), centre.1 + reach * angle.sin())
        };
        corners.iter().enumerate().map(point).collect()
    }

    proptest! {
        /// Stars of any size here and there; asked the slow way and the prepared way.
        #[test]
        fn prepared_polygons_answer_as_plain_ones(
            stars in proptest::collection::vec((
                proptest::collection::vec((0.0..0.9_f64, 0.02..2.0_f64), 3..20),
                (-3.0..3.0_f64, -3.0..3.0_f64),
            ), 1..5),
            ring in proptest::collection::vec((0.0..0.9_f64, 0.02..0.4_f64), 3..9),
            at in proptest::collection::vec((-4.0..4.0_f64, -4.0..4.0_f64), 12),
        ) {
            let rings: Vec<Vec<Point>> = stars.iter().map(|s| star(&s.0, s.1)).collect();
            let polygons: Vec<Polygon> =
                rings.iter().map(|r| Polygon { rings: vec![closed(r)] }).collect();
            let prepared = Prepared::of(&polygons);
            for centre in at {
                let small = star(&ring, centre);
                let want = rings.iter().any(|r| meet(r, &small));
                prop_assert_eq!(prepared.meets(&small), want, "{:?}", small);
                let want =
                    polygons.iter().any(|p| rasterise::contains(p, centre.0, centre.1));
                prop_assert_eq!(prepared.contains(centre), want, "{:?}", centre);
            }
        }
    }
}
