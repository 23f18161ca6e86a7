//! Squares of one true area, whatever the latitude.
//!
//! Rows are parted by equal lengths along the meridian; in each row, columns are parted by the step of
//! longitude that gives every square exactly the same area on the WGS 84 ellipsoid. Neither zones nor
//! their overlaps come into it, so no ground is counted twice at 72° W. Columns of neighbouring rows do
//! not stand above each other; nothing needs that.

use std::f64::consts::PI;

use surco_raster::vector::{Collection, Polygon, Shape};

/// Semi-major axis of WGS 84 in m, and its flattening.
const A: f64 = 6_378_137.0;
const F: f64 = 1.0 / 298.257_223_563;
/// Square of the eccentricity.
const E2: f64 = F * (2.0 - F);
/// Third flattening.
const N: f64 = F / (2.0 - F);

/// A grid of squares over the earth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    side_m: f64,
    /// Where in a square the equator lies, as a part of its side, and where the antimeridian.
    down: f64,
    across: f64,
}

/// One square, by its centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Square {
    pub(super) row: i64,
    pub(super) col: i64,
    pub(super) lon: f64,
    pub(super) lat: f64,
}

/// One row of squares: the latitude of its centres and the step between them, in degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) lat: f64,
    step: f64,
    across: f64,
}

impl Frame {
    /// A grid that begins at these parts of a square, each from 0 to 1.
    pub(super) fn new(side_m: f64, down: f64, across: f64) -> Self {
        Self { side_m, down, across }
    }

    pub(super) fn side_m(&self) -> f64 {
        self.side_m
    }

    /// Where a latitude in degrees lies in rows; the centres of rows are whole numbers.
    pub(super) fn row_at(&self, lat: f64) -> f64 {
        meridian_m(lat.to_radians()) / self.side_m - self.down - 0.5
    }

    /// The row with a number.
    pub(super) fn row(&self, row: i64) -> Row {
        let lat = |part: f64| latitude((row as f64 + self.down + part) * self.side_m);
        let strip = area_per_radian(lat(1.0)) - area_per_radian(lat(0.0));
        let step = (self.side_m * self.side_m / strip).to_degrees();
        Row { lat: lat(0.5).to_degrees(), step, across: self.across }
    }
}

impl Row {
    /// Where a longitude in degrees lies in columns; the centres of columns are whole numbers.
    pub(super) fn col_at(&self, lon: f64) -> f64 {
        (lon + 180.0) / self.step - self.across - 0.5
    }

    /// Longitude in degrees of the centre of a column.
    pub(super) fn lon(&self, col: i64) -> f64 {
        (col as f64 + self.across + 0.5) * self.step - 180.0
    }
}

/// Metres along the meridian from the equator to a latitude in radians.
///
/// # Source
/// Helmert (1880), as in Kawase (2011), *A general formula for calculating meridian arc length*; the
/// terms kept err by less than a micrometre.
fn meridian_m(lat: f64) -> f64 {
    let (n2, n3, n4) = (N * N, N * N * N, N * N * N * N);
    let terms = [
        (-1.5 * (N - n3 / 8.0), 2.0),
        (15.0 / 16.0 * (n2 - n4 / 4.0), 4.0),
        (-35.0 / 48.0 * n3, 6.0),
        (315.0 / 512.0 * n4, 8.0),
    ];
    let series: f64 = terms.iter().map(|(c, k)| c * libm::sin(k * lat)).sum();
    A / (1.0 + N) * ((1.0 + n2 / 4.0 + n4 / 64.0) * lat + series)
}

/// Latitude in radians at metres along the meridian; past the poles it stays there.
fn latitude(metres: f64) -> f64 {
    let mut lat = metres / meridian_m(PI / 2.0) * PI / 2.0;
    for _ in 0..4 {
        let s = libm::sin(lat);
        let w = 1.0 - E2 * s * s;
        lat += (metres - meridian_m(lat)) * w * w.sqrt() / (A * (1.0 - E2));
    }
    lat.clamp(-PI / 2.0, PI / 2.0)
}

/// Area in m² between the equator and a latitude, for one radian of longitude.
///
/// # Source
/// Snyder (1987), *Map Projections: A Working Manual*, equation 3-12.
fn area_per_radian(lat: f64) -> f64 {
    let (e, s) = (E2.sqrt(), libm::sin(lat));
    let es = e * s;
    A * A * (1.0 - E2) / 2.0
        * (s / (1.0 - es * es) + libm::log((1.0 + es) / (1.0 - es)) / (2.0 * e))
}

/// Area in m² of polygons in degrees on the WGS 84 ellipsoid, holes taken off; edges are straight in
/// longitude and latitude.
#[must_use]
pub fn area_m2(land: &Collection) -> f64 {
    let of_polygon = |polygon: &Polygon| {
        let mut rings = polygon.rings.iter().map(|ring| ring_area_m2(ring).abs());
        let outer = rings.next().unwrap_or(0.0);
        (outer - rings.sum::<f64>()).max(0.0)
    };
    let polygons = land.features.iter().flat_map(|feature| match &feature.shape {
        Shape::Polygons(polygons) => polygons.as_slice(),
        Shape::Point(_) | Shape::Points(_) => &[],
    });
    polygons.map(of_polygon).sum()
}

/// Simpson's rule along each edge for the area between it and the equator.
fn ring_area_m2(ring: &[[f64; 2]]) -> f64 {
    let edge = |e: &[[f64; 2]]| {
        let [[lon_a, lat_a], [lon_b, lat_b]] = [e[0], e[1]].map(|p| p.map(f64::to_radians));
        let middle = area_per_radian((lat_a + lat_b) / 2.0);
        let mean = (area_per_radian(lat_a) + 4.0 * middle + area_per_radian(lat_b)) / 6.0;
        (lon_b - lon_a) * mean
    };
    ring.windows(2).map(edge).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use surco_raster::vector::Feature;

    /// Meridian quadrant and area of the WGS 84 ellipsoid: NGA.STND.0036, table 3.
    #[test]
    fn the_ellipsoid_has_the_length_and_area_of_the_standard() {
        assert!((meridian_m(PI / 2.0) - 10_001_965.729_3).abs() < 1e-3);
        let whole = 4.0 * PI * area_per_radian(PI / 2.0);
        assert!((whole / 5.100_656_217_240_89e14 - 1.0).abs() < 1e-12, "{whole}");
        for degrees in [-89.0, -56.0, -17.5, 0.0, 1e-6, 33.0] {
            let lat = f64::to_radians(degrees);
            assert!((latitude(meridian_m(lat)) - lat).abs() < 1e-13, "{degrees}");
        }
    }

    fn land(rings: Vec<Vec<[f64; 2]>>) -> Collection {
        let shape = Shape::Polygons(vec![Polygon { rings }]);
        let features = vec![Feature { shape, properties: serde_json::Map::new() }];
        Collection { epsg: 4326, features }
    }

    #[test]
    fn half_the_earth_is_half_its_area_whatever_way_its_ring_runs() {
        let mut ring =
            vec![[-180.0, 0.0], [180.0, 0.0], [180.0, 90.0], [-180.0, 90.0], [-180.0, 0.0]];
        for _ in 0..2 {
            let half = area_m2(&land(vec![ring.clone()]));
            assert!((half / 2.550_328_108_620_445e14 - 1.0).abs() < 1e-12, "{half}");
            ring.reverse();
        }
    }

    #[test]
    fn edges_cut_into_pieces_give_the_same_area_and_holes_are_taken_off() {
        let corners = [[-71.0, -34.0], [-70.0, -33.0], [-71.5, -32.5], [-71.0, -34.0]];
        let along = |e: &[[f64; 2]], k: usize| {
            [0, 1].map(|i| e[0][i] + (e[1][i] - e[0][i]) * k as f64 / 100.0)
        };
        let mut fine: Vec<[f64; 2]> =
            corners.windows(2).flat_map(|e| (0..100).map(move |k| along(e, k))).collect();
        fine.push(corners[0]);
        let (coarse, cut) =
            (area_m2(&land(vec![corners.into()])), area_m2(&land(vec![fine.clone()])));
        assert!((coarse / cut - 1.0).abs() < 1e-8, "{coarse} {cut}");
        assert_eq!(area_m2(&land(vec![corners.into(), corners.into()])), 0.0);
    }

    #[test]
    fn squares_are_as_wide_as_high_from_arica_to_cape_horn() {
        let frame = Frame::new(1408.0, 0.3, 0.8);
        for lat in [-17.5, -33.4, -55.9] {
            let row = frame.row(frame.row_at(lat).round() as i64);
            assert!((row.lat - lat).abs() < 0.007);
            let radius = A * libm::cos(row.lat.to_radians())
                / (1.0 - E2 * libm::sin(row.lat.to_radians()).powi(2)).sqrt();
            let width = row.step.to_radians() * radius;
            assert!((width / 1408.0 - 1.0).abs() < 1e-6, "{lat}: {width}");
            assert!((row.col_at(row.lon(77)) - 77.0).abs() < 1e-9);
        }
    }
}
