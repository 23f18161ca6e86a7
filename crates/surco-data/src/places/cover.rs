//! Which squares lie in polygons: those whose centres do.

use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};
use surco_raster::projection::Projection;
use surco_raster::vector::{Collection, Polygon, Shape, parse_geojson};

use super::PlacesError;
use super::frame::{Frame, Square};

/// Squares that can be listed.
const MOST_SQUARES: usize = 20_000_000;
/// UTM ends here, and squares of one area grow too wide for their name.
const FARTHEST_LAT: f64 = 84.0;
/// Straight lines of projected polygons are followed at steps of this many metres.
const STEP_M: f64 = 5_000.0;

/// Squares of one row, by their columns, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) row: i64,
    pub(super) cols: Range<i64>,
}

/// A GeoJSON file in degrees, and the SHA-256 of its bytes.
pub(super) fn read_degrees(path: &Path) -> Result<(Collection, String), PlacesError> {
    let io = |source| PlacesError::Io { what: "read", path: path.into(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let read = parse_geojson(&bytes, path)?;
    Ok((in_degrees(read)?, hash))
}

/// Polygons with their points in degrees; long lines of projected ones get points in between, because
/// what is straight in metres is curved in degrees.
fn in_degrees(mut collection: Collection) -> Result<Collection, PlacesError> {
    let projection = Projection::from_epsg(collection.epsg)?;
    if !projection.is_geographic() {
        for feature in &mut collection.features {
            let Shape::Polygons(polygons) = &mut feature.shape else { continue };
            polygons.iter_mut().flat_map(|p| &mut p.rings).for_each(|ring| *ring = denser(ring));
        }
    }
    Ok(collection.into_epsg(4326)?)
}

fn denser(ring: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut out: Vec<[f64; 2]> = ring.first().copied().into_iter().collect();
    for edge in ring.windows(2) {
        let (a, b) = (edge[0], edge[1]);
        let parts = ((b[0] - a[0]).hypot(b[1] - a[1]) / STEP_M).ceil().clamp(1.0, 1e4);
        // From the same end for both polygons of a shared edge, so that both get the same points.
        let swap = a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])).is_gt();
        let (from, to) = if swap { (b, a) } else { (a, b) };
        for i in 1..parts as usize {
            let i = if swap { parts - i as f64 } else { i as f64 };
            let at = |k: usize| from[k] + (to[k] - from[k]) * i / parts;
            out.push([at(0), at(1)]);
        }
        out.push(b);
    }
    out
}

/// The squares of an area, row by row from the south, and the hash of its file.
pub(super) fn squares_of(frame: &Frame, path: &Path) -> Result<(Vec<Square>, String), PlacesError> {
    let (area, hash) = read_degrees(path)?;
    if area.features.is_empty() {
        return Err(PlacesError::content(path, "no feature", "polygons of the area"));
    }
    let mut spans = Vec::new();
    for feature in &area.features {
        let Shape::Polygons(polygons) = &feature.shape else {
            return Err(PlacesError::content(path, "a point", "polygons of the area"));
        };
        for polygon in polygons {
            let far = polygon.rings.iter().flatten().find(|p| p[1].abs() > FARTHEST_LAT);
            if let Some(point) = far {
                let found = format!("latitude {}", point[1]);
                return Err(PlacesError::content(path, found, "-84 to 84, where UTM reaches"));
            }
            spans.extend(spans_of(frame, polygon));
        }
    }
    let listed: i64 = spans.iter().map(|span| span.cols.end - span.cols.start).sum();
    if listed > MOST_SQUARES as i64 {
        let (path, side_m) = (path.into(), frame.side_m());
        return Err(PlacesError::TooLarge { path, side_m, limit: MOST_SQUARES });
    }
    spans.sort_by_key(|span| (span.row, span.cols.start));
    let mut squares: Vec<Square> = Vec::new();
    for span in &spans {
        let row = frame.row(span.row);
        for col in span.cols.clone() {
            // Polygons of one area may overlap: each square once.
            let last = squares.last().map(|s| (s.row, s.col));
            if last.is_none_or(|last| last < (span.row, col)) {
                squares.push(Square { row: span.row, col, lon: row.lon(col), lat: row.lat });
            }
        }
    }
    if squares.is_empty() {
        return Err(PlacesError::Empty { path: path.into(), side_m: frame.side_m() });
    }
    Ok((squares, hash))
}

/// The squares of a polygon in degrees.
pub(super) fn spans_of(frame: &Frame, polygon: &Polygon) -> Vec<Span> {
    let mut crossed: Vec<(i64, [f64; 2], [f64; 2])> = Vec::new();
    for edge in polygon.rings.iter().flat_map(|ring| ring.windows(2)) {
        // From south to north, so that both polygons of a shared edge cross at the same longitude.
        let (a, b) = if edge[0][1] < edge[1][1] { (edge[0], edge[1]) } else { (edge[1], edge[0]) };
        let rows = frame.row_at(a[1]).ceil() as i64..frame.row_at(b[1]).ceil() as i64;
        crossed.extend(rows.map(|row| (row, a, b)));
    }
    crossed.sort_by_key(|crossing| crossing.0);
    let mut spans = Vec::new();
    for edges in crossed.chunk_by(|a, b| a.0 == b.0) {
        let (number, row) = (edges[0].0, frame.row(edges[0].0));
        let crossing = |&(_, a, b): &(i64, [f64; 2], [f64; 2])| {
            let along = ((row.lat - a[1]) / (b[1] - a[1])).clamp(0.0, 1.0);
            row.col_at(a[0] + along * (b[0] - a[0]))
        };
        let mut cols: Vec<f64> = edges.iter().map(crossing).collect();
        cols.sort_by(f64::total_cmp);
        // A closed ring crosses every row an even number of times.
        let pairs = cols.chunks_exact(2).map(|pair| pair[0].ceil() as i64..pair[1].ceil() as i64);
        spans.extend(pairs.filter(|c| !c.is_empty()).map(|cols| Span { row: number, cols }));
    }
    spans
}

/// The places in a sorted list of squares that a span holds.
pub(super) fn within(squares: &[Square], span: &Span) -> Range<usize> {
    let at = |col| squares.partition_point(|s| (s.row, s.col) < (span.row, col));
    at(span.cols.start)..at(span.cols.end)
}
