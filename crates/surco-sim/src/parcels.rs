//! How the flat land is divided: quarters between roads, and fields between tracks and canals.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::noise::{derive, fbm, hash_at, perlin, unit};

/// Mean distance between the hearts of two quarters, in m.
const QUARTER_M: f32 = 1150.0;

/// What a point of the flat land falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lot {
    /// A road between quarters.
    Road,
    /// A farm track.
    Track,
    /// A row of poplars along a road, track or canal.
    Trees,
    /// An irrigation canal.
    Canal,
    /// Grass and scrub between fields.
    Margin,
    /// A field: its quarter and its number there.
    Field { quarter: u32, leaf: u16 },
}

#[derive(Debug)]
enum Node {
    Leaf(u16),
    Cut { normal: (f32, f32), at: f32, edge: Edge, low: usize, high: usize },
}

/// What runs along a cut.
#[derive(Clone, Copy, Debug)]
struct Edge {
    lot: Lot,
    half_m: f32,
    /// Width of a row of poplars on the higher side, 0 for none.
    trees_m: f32,
}

#[derive(Debug)]
struct Quarter {
    heart: (f32, f32),
    /// Cosine and sine of the direction of its fields.
    turn: (f32, f32),
    nodes: Vec<Node>,
    root: usize,
}

/// The division of the flat land of one valley.
#[derive(Debug)]
pub(crate) struct Parcels {
    seed: u64,
    across: i32,
    quarters: Vec<Quarter>,
}

impl Parcels {
    /// Divides the land of this seed and side.
    pub(crate) fn new(seed: u64, side_m: f32) -> Self {
        let seed = derive(seed, "parcels", 0);
        let across = (side_m / QUARTER_M).ceil() as i32 + 3;
        let quarters = (0..across * across)
            .map(|i| {
                Quarter::new(derive(seed, "quarter", i as u64), (i % across - 1, i / across - 1))
            })
            .collect();
        Self { seed, across, quarters }
    }

    /// What lies at a point, and the cosine and sine of the direction of the fields around it.
    pub(crate) fn locate(&self, x_m: f32, y_m: f32) -> (Lot, (f32, f32)) {
        let x = x_m + 16.0 * fbm(self.seed, x_m / 430.0, y_m / 430.0, 2);
        let y = y_m + 16.0 * fbm(self.seed ^ 1, x_m / 430.0, y_m / 430.0, 2);
        let (near, border_m) = self.nearest(x, y);
        let quarter = &self.quarters[near];
        if border_m < 4.5 {
            return (Lot::Road, quarter.turn);
        }
        let lined = perlin(self.seed ^ 2, x_m / 700.0, y_m / 700.0) > 0.2;
        if border_m < 12.5 && lined {
            return (Lot::Trees, quarter.turn);
        }
        let (dx, dy) = (x - quarter.heart.0, y - quarter.heart.1);
        let (cos, sin) = quarter.turn;
        let lot = quarter.walk(dx * cos + dy * sin, dy * cos - dx * sin, near as u32);
        (lot, quarter.turn)
    }

    /// The quarter of a point, and the distance to the next quarter.
    fn nearest(&self, x: f32, y: f32) -> (usize, f32) {
        let (cx, cy) = ((x / QUARTER_M).floor() as i32, (y / QUARTER_M).floor() as i32);
        let mut found: [(f32, usize); 2] = [(f32::MAX, 0); 2];
        for j in (cy - 2).max(-1)..=(cy + 2).min(self.across - 2) {
            for i in (cx - 2).max(-1)..=(cx + 2).min(self.across - 2) {
                let place = ((j + 1) * self.across + i + 1) as usize;
                let heart = self.quarters[place].heart;
                let d2 = (x - heart.0) * (x - heart.0) + (y - heart.1) * (y - heart.1);
                if d2 < found[0].0 {
                    found = [(d2, place), found[0]];
                } else if d2 < found[1].0 {
                    found[1] = (d2, place);
                }
            }
        }
        let (a, b) = (self.quarters[found[0].1].heart, self.quarters[found[1].1].heart);
        let apart = ((a.0 - b.0) * (a.0 - b.0) + (a.1 - b.1) * (a.1 - b.1)).sqrt().max(1.0);
        (found[0].1, (found[1].0 - found[0].0) / (2.0 * apart))
    }
}

impl Quarter {
    fn new(seed: u64, cell: (i32, i32)) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut jitter = || rng.random_range(0.12..0.88_f32);
        let heart =
            ((cell.0 as f32 + jitter()) * QUARTER_M, (cell.1 as f32 + jitter()) * QUARTER_M);
        let lean = [0.0, 0.0, 7.0, -9.0, 24.0, -31.0][rng.random_range(0..6_usize)];
        let angle = (11.0 + lean + rng.random_range(-3.0..3.0_f32)).to_radians();
        let field_ha = 1.6 * libm::powf(6.5, rng.random::<f32>());
        let mut quarter = Self {
            heart,
            turn: (libm::cosf(angle), libm::sinf(angle)),
            nodes: Vec::new(),
            root: 0,
        };
        let mut leaves = 0;
        let half = QUARTER_M * 1.6;
        let whole = Rect { u: (-half, half), v: (-half, half), depth: 0 };
        quarter.root = quarter.cut(&mut rng, whole, field_ha * 1e4, &mut leaves);
        quarter
    }

    fn cut(&mut self, rng: &mut ChaCha8Rng, rect: Rect, field_m2: f32, leaves: &mut u16) -> usize {
        let (width, height) = (rect.u.1 - rect.u.0, rect.v.1 - rect.v.0);
        let area = width * height;
        if area < field_m2 * rng.random_range(0.7..2.4_f32) || width.min(height) < 45.0 {
            self.nodes.push(Node::Leaf(*leaves));
            *leaves += 1;
            return self.nodes.len() - 1;
        }
        let part = rng.random_range(0.33..0.67_f32);
        let tilt = rng.random_range(-0.06..0.06_f32);
        let along_u = width > height * rng.random_range(0.7..1.25_f32);
        let (normal, at, low, high) = if along_u {
            let at = rect.u.0 + width * part;
            let mid = (rect.v.0 + rect.v.1) / 2.0;
            let (a, b) = (Rect { u: (rect.u.0, at), ..rect }, Rect { u: (at, rect.u.1), ..rect });
            ((1.0, tilt), at + tilt * mid, a, b)
        } else {
            let at = rect.v.0 + height * part;
            let mid = (rect.u.0 + rect.u.1) / 2.0;
            let (a, b) = (Rect { v: (rect.v.0, at), ..rect }, Rect { v: (at, rect.v.1), ..rect });
            ((tilt, 1.0), at + tilt * mid, a, b)
        };
        let edge = Edge::draw(rng, area / field_m2);
        let deeper = |r: Rect| Rect { depth: r.depth + 1, ..r };
        let low = self.cut(rng, deeper(low), field_m2, leaves);
        let high = self.cut(rng, deeper(high), field_m2, leaves);
        self.nodes.push(Node::Cut { normal, at, edge, low, high });
        self.nodes.len() - 1
    }

    fn walk(&self, u: f32, v: f32, quarter: u32) -> Lot {
        let mut node = self.root;
        loop {
            match &self.nodes[node] {
                Node::Leaf(leaf) => return Lot::Field { quarter, leaf: *leaf },
                Node::Cut { normal, at, edge, low, high } => {
                    let over = u * normal.0 + v * normal.1 - at;
                    if over.abs() < edge.half_m {
                        return edge.lot;
                    }
                    if over > 0.0 && over < edge.half_m + edge.trees_m {
                        return Lot::Trees;
                    }
                    node = if over > 0.0 { *high } else { *low };
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rect {
    u: (f32, f32),
    v: (f32, f32),
    depth: u32,
}

impl Edge {
    /// What runs along a cut through land of this many fields.
    fn draw(rng: &mut ChaCha8Rng, fields: f32) -> Self {
        let (kind, trees) = (rng.random::<f32>(), rng.random::<f32>());
        let trees_m = |chance: f32, width| if trees < chance { width } else { 0.0 };
        if fields > 12.0 {
            match kind {
                k if k < 0.6 => Self { lot: Lot::Track, half_m: 3.0, trees_m: trees_m(0.2, 9.0) },
                _ => Self { lot: Lot::Canal, half_m: 2.5, trees_m: trees_m(0.25, 10.0) },
            }
        } else if fields > 4.0 && kind < 0.55 {
            Self { lot: Lot::Track, half_m: 2.2, trees_m: trees_m(0.08, 8.0) }
        } else {
            let half_m = if kind < 0.45 { 0.0 } else { 1.6 };
            Self { lot: Lot::Margin, half_m, trees_m: trees_m(0.02, 8.0) }
        }
    }
}

/// The cell of a scattered division with soft edges (stands of trees, patches of grass).
pub(crate) fn stand_at(seed: u64, x_m: f32, y_m: f32, spacing_m: f32) -> (i32, i32) {
    let x = (x_m + 0.22 * spacing_m * fbm(seed, x_m / spacing_m, y_m / spacing_m, 3)) / spacing_m;
    let y =
        (y_m + 0.22 * spacing_m * fbm(seed ^ 5, x_m / spacing_m, y_m / spacing_m, 3)) / spacing_m;
    let (cx, cy) = (x.floor() as i32, y.floor() as i32);
    let mut best = (f32::MAX, (cx, cy));
    for j in cy - 1..=cy + 1 {
        for i in cx - 1..=cx + 1 {
            let h = hash_at(seed ^ 11, i, j);
            let (hx, hy) = (i as f32 + unit(h), j as f32 + unit(h << 24));
            let d2 = (x - hx) * (x - hx) + (y - hy) * (y - hy);
            if d2 < best.0 {
                best = (d2, (i, j));
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_most_of_the_flat_land() {
        let parcels = Parcels::new(7, 5120.0);
        let mut fields = std::collections::HashMap::new();
        for row in 0..512 {
            for col in 0..512 {
                if let (Lot::Field { quarter, leaf }, _) =
                    parcels.locate(col as f32 * 10.0 + 5.0, row as f32 * 10.0 + 5.0)
                {
                    *fields.entry((quarter, leaf)).or_insert(0_u32) += 1;
                }
            }
        }
        let total: u32 = fields.values().sum();
        assert!(total > 200_000, "{total} of 262144 pixels are fields");
        assert!((250..1500).contains(&fields.len()), "{} fields", fields.len());
    }
}
