//! Pixels of polygons, their area, and which points lie in them.
//!
//! One rule for all: a pixel belongs to a polygon if its centre does; a point does if a ray from it
//! crosses the rings an odd number of times, so holes are outside. Points exactly on an edge belong to
//! one side only, so polygons that share an edge share no pixel and leave none out.

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2, s};
use surco_core::{Fault, Georef};

use crate::vector::Polygon;

/// Why polygons could not become pixels.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RasteriseError {
    /// Coordinates and grid must be in one system.
    #[error(
        "polygons are in EPSG:{polygons}, the grid is in EPSG:{grid}; transform the polygons first"
    )]
    Crs {
        /// System of the polygons.
        polygons: u32,
        /// System of the grid.
        grid: u32,
    },
}

impl RasteriseError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Crs { .. } => Fault::Input,
        }
    }
}

/// Pixels of one row that lie in a polygon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Row of the grid.
    pub row: usize,
    /// Columns of the grid, never empty.
    pub cols: Range<usize>,
}

/// The pixels of a polygon on a grid of this many rows and columns, in the polygon's own coordinates.
#[must_use]
pub fn runs(polygon: &Polygon, grid: &Georef, shape: (usize, usize)) -> Vec<Run> {
    let (rows, cols) = shape;
    // Row numbers at which pixel centres lie, so that edges are compared with whole numbers.
    let placed = |[x, y]: [f64; 2]| {
        let (row, col) = grid.row_col(x, y);
        (row - 0.5, col - 0.5)
    };
    let rows_from = |edge_row: f64| edge_row.ceil().clamp(0.0, rows as f64) as usize;
    let edges =
        || polygon.rings.iter().flat_map(|r| r.windows(2)).map(|e| (placed(e[0]), placed(e[1])));
    let first = edges().map(|(a, b)| rows_from(a.0.min(b.0))).min().unwrap_or(0);
    let last = edges().map(|(a, b)| rows_from(a.0.max(b.0))).max().unwrap_or(0);
    let mut crossings: Vec<Vec<f64>> = vec![Vec::new(); last.saturating_sub(first)];
    for (a, b) in edges() {
        // The same way round for both polygons of a shared edge, so both cross at the same column.
        let (top, bottom) = if a < b { (a, b) } else { (b, a) };
        for row in rows_from(top.0)..rows_from(bottom.0) {
            let along = (row as f64 - top.0) / (bottom.0 - top.0);
            crossings[row - first].push(top.1 + along * (bottom.1 - top.1));
        }
    }
    let mut found = Vec::new();
    for (i, columns) in crossings.iter_mut().enumerate() {
        columns.sort_by(f64::total_cmp);
        for pair in columns.chunks_exact(2) {
            let col = |at: f64| at.ceil().clamp(0.0, cols as f64) as usize;
            let run = col(pair[0])..col(pair[1]);
            if !run.is_empty() {
                found.push(Run { row: first + i, cols: run });
            }
        }
    }
    found
}

/// Writes a value into all pixels of a polygon; pixels of others stay. Returns how many it has.
pub fn burn<T: Copy>(
    image: &mut ArrayViewMut2<'_, T>,
    grid: &Georef,
    polygon: &Polygon,
    value: T,
) -> usize {
    let found = runs(polygon, grid, image.dim());
    for run in &found {
        image.slice_mut(s![run.row, run.cols.clone()]).fill(value);
    }
    found.iter().map(|run| run.cols.len()).sum()
}

/// Which pixels lie in any of these polygons.
#[must_use]
pub fn mask(polygons: &[Polygon], grid: &Georef, shape: (usize, usize)) -> Array2<bool> {
    labels(polygons.iter().map(|polygon| (polygon, true)), grid, shape, false)
}

/// An image of labels: where polygons overlap the later one counts, elsewhere `outside`.
#[must_use]
pub fn labels<'p, T: Copy>(
    polygons: impl IntoIterator<Item = (&'p Polygon, T)>,
    grid: &Georef,
    shape: (usize, usize),
    outside: T,
) -> Array2<T> {
    let mut image = Array2::from_elem(shape, outside);
    for (polygon, label) in polygons {
        burn(&mut image.view_mut(), grid, polygon, label);
    }
    image
}

/// Checks that polygons and grid are in one coordinate system.
///
/// # Errors
/// [`RasteriseError::Crs`] if they are not.
pub fn check_crs(polygons_epsg: u32, grid: &Georef) -> Result<(), RasteriseError> {
    if polygons_epsg == grid.epsg {
        return Ok(());
    }
    Err(RasteriseError::Crs { polygons: polygons_epsg, grid: grid.epsg })
}

/// Area in m² of a polygon in projected coordinates, holes taken off.
///
/// The area on the map: UTM stretches lengths by -0.04 % to +0.1 % inside its zone.
#[must_use]
pub fn area_m2(polygon: &Polygon) -> f64 {
    let mut areas = polygon.rings.iter().map(|ring| ring_area(ring).abs());
    let outer = areas.next().unwrap_or(0.0);
    (outer - areas.sum::<f64>()).max(0.0)
}

/// Signed area of a ring, positive if it runs counterclockwise.
fn ring_area(ring: &[[f64; 2]]) -> f64 {
    let Some(&[x0, y0]) = ring.first() else { return 0.0 };
    // From the first point, so that the millions of a northing do not eat the digits.
    let cross = |e: &[[f64; 2]]| (e[0][0] - x0) * (e[1][1] - y0) - (e[1][0] - x0) * (e[0][1] - y0);
    ring.windows(2).map(cross).sum::<f64>() / 2.0
}

/// Whether a point lies in a polygon.
#[must_use]
pub fn contains(polygon: &Polygon, x: f64, y: f64) -> bool {
    let edges = polygon.rings.iter().flat_map(|ring| ring.windows(2));
    let crossed = edges.filter(|e| {
        let (a, b) = if e[0][1] < e[1][1] { (e[0], e[1]) } else { (e[1], e[0]) };
        // Half open: a ray through a corner crosses one of its two edges.
        if !(a[1] <= y && y < b[1]) {
            return false;
        }
        a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) <= x
    });
    crossed.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    use crate::vector::{Shape, read_geojson};

    const GRID: Georef = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_300_000.0, px_m: 10.0 };

    fn polygon(rings: &[&[(f64, f64)]]) -> Polygon {
        let ring = |points: &&[(f64, f64)]| {
            let mut ring: Vec<[f64; 2]> = points
                .iter()
                .map(|(col, row)| [300_000.0 + col * 10.0, 6_300_000.0 - row * 10.0])
                .collect();
            ring.push(ring[0]);
            ring
        };
        Polygon { rings: rings.iter().map(ring).collect() }
    }

    /// Worked by hand: a square of 4 by 4 pixels with a hole of 2 by 2.
    #[test]
    fn holes_are_outside() {
        let square = polygon(&[
            &[(1.0, 1.0), (5.0, 1.0), (5.0, 5.0), (1.0, 5.0)],
            &[(2.0, 2.0), (2.0, 4.0), (4.0, 4.0), (4.0, 2.0)],
        ]);
        let image = mask(std::slice::from_ref(&square), &GRID, (6, 7));
        let count = image.iter().filter(|&&inside| inside).count();
        assert_eq!(count, 12);
        assert!(
            image[[1, 1]] && image[[4, 4]] && !image[[2, 2]] && !image[[3, 3]] && !image[[0, 0]]
        );
        assert_eq!(area_m2(&square), 1200.0);
        assert!(contains(&square, 300_015.0, 6_299_985.0));
        assert!(!contains(&square, 300_030.0, 6_299_970.0));
    }

    /// Recorded with rasterio by `fixtures/make_polygons.py`.
    #[test]
    fn pixels_agree_with_gdal() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let collection = read_geojson(folder.join("polygons.geojson")).unwrap();
        assert!(collection.features.len() > 30);
        for (i, feature) in collection.features.iter().enumerate() {
            let Shape::Polygons(polygons) = &feature.shape else { panic!() };
            let got = mask(polygons, &GRID, (40, 50));
            let wanted = feature.text("mask").unwrap();
            let bits: Vec<bool> = got.iter().copied().collect();
            let byte =
                |eight: &[bool]| eight.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
            let got: String = bits.chunks(8).map(|eight| format!("{:02x}", byte(eight))).collect();
            assert_eq!(got, wanted, "polygon {i}");
            let area: f64 = polygons.iter().map(area_m2).sum();
            let wanted: f64 = feature.text("area_m2").unwrap().parse().unwrap();
            assert!((area - wanted).abs() < 1e-3, "polygon {i}: {area}, {wanted}");
        }
    }

    #[test]
    fn far_and_flat_polygons_have_no_pixels() {
        for corner in [-1e12, 1e12, 0.0] {
            let far =
                polygon(&[&[(corner, corner), (corner + 0.1, corner), (corner, corner + 0.1)]]);
            assert!(runs(&far, &GRID, (4, 4)).is_empty());
        }
        let flat = polygon(&[&[(0.0, 1.5), (3.0, 1.5), (1.0, 1.5)]]);
        assert!(runs(&flat, &GRID, (4, 4)).is_empty());
        assert_eq!(area_m2(&Polygon { rings: Vec::new() }), 0.0);
        let all = polygon(&[&[(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)]]);
        assert_eq!(mask(&[all], &GRID, (4, 5)).iter().filter(|&&m| m).count(), 20);
    }

    #[test]
    fn polygons_of_another_system_are_refused() {
        insta::assert_snapshot!(check_crs(4326, &GRID).unwrap_err(), @"polygons are in EPSG:4326, the grid is in EPSG:32719; transform the polygons first");
        assert_eq!(check_crs(32719, &GRID), Ok(()));
    }

    proptest! {
        /// A rectangle cut by any line falls into two parts that share no pixel and lose none.
        #[test]
        fn parts_that_share_an_edge_share_no_pixel(
            left in 0.0..12.0_f64, right in 0.0..12.0_f64, snap in any::<bool>()
        ) {
            // Half of the cuts go exactly through pixel centres.
            let at = |v: f64| if snap { v.floor() + 0.5 } else { v };
            let (left, right) = (at(left), at(right));
            let upper = polygon(&[&[(0.0, 0.0), (9.0, 0.0), (9.0, right), (0.0, left)]]);
            let lower = polygon(&[&[(0.0, left), (9.0, right), (9.0, 12.5), (0.0, 12.5)]]);
            let upper = mask(&[upper], &GRID, (13, 9));
            let lower = mask(&[lower], &GRID, (13, 9));
            for row in 0..12 {
                for col in 0..9 {
                    prop_assert!(upper[[row, col]] ^ lower[[row, col]], "{row}, {col}");
                }
            }
        }

        #[test]
        fn a_pixel_is_inside_if_its_centre_is(
            points in proptest::collection::vec((-3.0..13.0_f64, -3.0..13.0_f64), 3..9)
        ) {
            let any = polygon(&[&points]);
            let image = mask(std::slice::from_ref(&any), &GRID, (10, 10));
            for ((row, col), &inside) in image.indexed_iter() {
                let (x, y) = GRID.centre(row, col);
                prop_assert_eq!(inside, contains(&any, x, y), "{}, {}", row, col);
            }
        }
    }
}
