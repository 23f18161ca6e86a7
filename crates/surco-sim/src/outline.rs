//! Outlines of numbered areas along pixel edges.

use std::collections::{BTreeMap, HashMap};

use ndarray::Array2;

/// A corner of pixels: column and row of the pixel to its lower right.
pub(crate) type Corner = (i32, i32);

/// One piece of an area: its outer ring, then its holes; closed, outer rings counter-clockwise as seen
/// on a map with north up.
pub(crate) type Piece = Vec<Vec<Corner>>;

/// The pieces of every area of a raster, by its number; pixels join along edges, not corners.
pub(crate) fn outlines(numbers: &Array2<u16>) -> BTreeMap<u16, Vec<Piece>> {
    let (pieces, owners) = connected(numbers);
    let mut edges: Vec<HashMap<Corner, Vec<Corner>>> = vec![HashMap::new(); owners.len()];
    let (rows, cols) = numbers.dim();
    for ((row, col), &piece) in pieces.indexed_iter() {
        let other = |dr: i32, dc: i32| {
            let (r, c) = (row as i32 + dr, col as i32 + dc);
            let inside = (0..rows as i32).contains(&r) && (0..cols as i32).contains(&c);
            !inside || pieces[[r as usize, c as usize]] != piece
        };
        let (x, y) = (col as i32, row as i32);
        let mut add = |from: Corner, to: Corner| {
            edges[piece as usize].entry(from).or_default().push(to);
        };
        // counter-clockwise on the map: the area lies to the left
        if other(-1, 0) {
            add((x + 1, y), (x, y));
        }
        if other(0, -1) {
            add((x, y), (x, y + 1));
        }
        if other(1, 0) {
            add((x, y + 1), (x + 1, y + 1));
        }
        if other(0, 1) {
            add((x + 1, y + 1), (x + 1, y));
        }
    }
    let mut out: BTreeMap<u16, Vec<Piece>> = BTreeMap::new();
    for (piece, owner) in edges.iter_mut().zip(owners) {
        let mut rings = rings(piece);
        // the outer ring encloses most
        rings.sort_by_key(|ring| -doubled_area(ring).abs());
        out.entry(owner).or_default().push(rings);
    }
    out
}

/// Numbers connected pieces in reading order: the piece of every pixel, the area of every piece.
fn connected(numbers: &Array2<u16>) -> (Array2<u32>, Vec<u16>) {
    let (rows, cols) = numbers.dim();
    let mut pieces = Array2::from_elem((rows, cols), u32::MAX);
    let mut owners = Vec::new();
    let mut open = Vec::new();
    for row in 0..rows {
        for col in 0..cols {
            if pieces[[row, col]] != u32::MAX {
                continue;
            }
            let (number, piece) = (numbers[[row, col]], owners.len() as u32);
            owners.push(number);
            pieces[[row, col]] = piece;
            open.push((row, col));
            while let Some((r, c)) = open.pop() {
                let near = [(r.wrapping_sub(1), c), (r + 1, c), (r, c.wrapping_sub(1)), (r, c + 1)];
                for (nr, nc) in near {
                    if nr < rows
                        && nc < cols
                        && numbers[[nr, nc]] == number
                        && pieces[[nr, nc]] == u32::MAX
                    {
                        pieces[[nr, nc]] = piece;
                        open.push((nr, nc));
                    }
                }
            }
        }
    }
    (pieces, owners)
}

/// Chains edges to closed rings; where two meet at a corner, each ring keeps to its own pixel.
fn rings(edges: &mut HashMap<Corner, Vec<Corner>>) -> Vec<Vec<Corner>> {
    let mut starts: Vec<Corner> = edges.keys().copied().collect();
    starts.sort_unstable();
    let mut out = Vec::new();
    for start in starts {
        while let Some(first) = edges.get_mut(&start).and_then(Vec::pop) {
            let mut ring = vec![start, first];
            let (mut before, mut here) = (start, first);
            while here != start {
                let Some(ways) = edges.get_mut(&here) else { break };
                // the left turn on the map keeps to the same pixel
                let left = (here.0 + (here.1 - before.1), here.1 - (here.0 - before.0));
                let way = ways.iter().position(|&w| w == left).unwrap_or(0);
                if ways.is_empty() {
                    break;
                }
                let next = ways.swap_remove(way);
                let straight =
                    (next.0 - here.0, next.1 - here.1) == (here.0 - before.0, here.1 - before.1);
                if straight && ring.len() > 1 {
                    ring.pop();
                }
                ring.push(next);
                (before, here) = (here, next);
            }
            out.push(ring);
        }
    }
    out
}

/// Twice the signed area in pixels, positive counter-clockwise on the map.
fn doubled_area(ring: &[Corner]) -> i64 {
    ring.windows(2)
        .map(|p| i64::from(p[1].0) * i64::from(p[0].1) - i64::from(p[0].0) * i64::from(p[1].1))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand: a 3 × 3 ring of 1 around a 2, and two pixels of 3 that touch at a corner.
    #[test]
    fn rings_holes_and_corners_are_told_apart() {
        let raster = ndarray::array![[1_u16, 1, 1, 3, 0], [1, 2, 1, 0, 3], [1, 1, 1, 0, 0],];
        let found = outlines(&raster);
        assert_eq!(found[&1].len(), 1);
        let rings = &found[&1][0];
        assert_eq!(rings.len(), 2, "an outer ring and a hole");
        assert_eq!((doubled_area(&rings[0]), doubled_area(&rings[1])), (18, -2));
        assert_eq!(rings[0].len(), 5, "corners only: {:?}", rings[0]);
        assert_eq!(found[&2][0][0].len(), 5);
        assert_eq!(found[&3].len(), 2, "corners do not join");
        for piece in found.values().flatten() {
            assert!(piece.iter().all(|ring| ring.first() == ring.last()));
        }
    }
}
