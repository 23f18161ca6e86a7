//! Points and polygons with properties: GeoJSON read and written, GeoPackage, Shapefile, GeoParquet, CSV points and
//! well-known binary read.
//!
//! The coordinate system is checked when data enter: [`Collection::epsg`] is always one that
//! [`Projection`] takes.
//!
//! Absent on purpose: lines, geometry collections, guesses about coordinate systems.

mod csv_points;
mod cursor;
mod dbf;
mod error;
mod format;
mod geojson;
mod geopackage;
mod geoparquet;
mod shapefile;
mod wkb;
mod zipped;

use serde_json::{Map, Value};

pub use csv_points::read_csv;
pub use error::VectorError;
pub use format::{VectorFile, VectorFormat};
pub use geojson::{parse_geojson, read_geojson, to_geojson, write_geojson};
pub use wkb::parse_wkb;

use crate::projection::{CrsError, Projection};

/// A polygon: its outer ring, then its holes. Rings are closed, the last point repeating the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    /// Rings of `[x, y]`, at least one, each of at least four points.
    pub rings: Vec<Vec<[f64; 2]>>,
}

/// Where a feature lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A point, `[x, y]`.
    Point([f64; 2]),
    /// Several points; none if a file has a row for something without a place.
    Points(Vec<[f64; 2]>),
    /// One or more polygons.
    Polygons(Vec<Polygon>),
}

/// A place and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Where it lies.
    pub shape: Shape,
    /// What is known of it.
    pub properties: Map<String, Value>,
}

/// Features in one coordinate system.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// EPSG code; x is longitude and y latitude if it is geographic.
    pub epsg: u32,
    /// The features.
    pub features: Vec<Feature>,
}

impl Feature {
    /// A property as text: texts as they are, numbers and booleans written out, nothing if it is absent
    /// or null.
    #[must_use]
    pub fn text(&self, property: &str) -> Option<String> {
        match self.properties.get(property)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

impl Shape {
    /// All points of the shape, in order.
    fn points_mut(&mut self) -> Box<dyn Iterator<Item = &mut [f64; 2]> + '_> {
        match self {
            Self::Point(point) => Box::new(std::iter::once(point)),
            Self::Points(points) => Box::new(points.iter_mut()),
            Self::Polygons(polygons) => {
                Box::new(polygons.iter_mut().flat_map(|p| p.rings.iter_mut().flatten()))
            }
        }
    }

    /// All points of the shape, in order.
    pub fn points(&self) -> Box<dyn Iterator<Item = &[f64; 2]> + '_> {
        match self {
            Self::Point(point) => Box::new(std::iter::once(point)),
            Self::Points(points) => Box::new(points.iter()),
            Self::Polygons(polygons) => {
                Box::new(polygons.iter().flat_map(|p| p.rings.iter().flatten()))
            }
        }
    }

    /// The same shape in another coordinate system.
    ///
    /// # Errors
    /// [`CrsError`] if a point has no place in the other system.
    pub fn moved(mut self, from: &Projection, to: &Projection) -> Result<Self, CrsError> {
        for point in self.points_mut() {
            let (lon, lat) = from.to_lonlat(point[0], point[1])?;
            let (x, y) = to.from_lonlat(lon, lat)?;
            *point = [x, y];
        }
        Ok(self)
    }

    /// West, south, east and north of the shape, or nothing if it has no points.
    #[must_use]
    pub fn bounds(&self) -> Option<[f64; 4]> {
        self.points().fold(None, |bounds, &[x, y]| {
            let [w, s, e, n] = bounds.unwrap_or([x, y, x, y]);
            Some([w.min(x), s.min(y), e.max(x), n.max(y)])
        })
    }
}

impl Collection {
    /// The same features in another coordinate system.
    ///
    /// # Errors
    /// [`CrsError`] if a code is refused or a point has no place in the other system.
    pub fn into_epsg(self, epsg: u32) -> Result<Self, CrsError> {
        if epsg == self.epsg {
            return Ok(self);
        }
        let (from, to) = (Projection::from_epsg(self.epsg)?, Projection::from_epsg(epsg)?);
        let moved = |feature: Feature| {
            Ok(Feature { shape: feature.shape.moved(&from, &to)?, properties: feature.properties })
        };
        let features = self.features.into_iter().map(moved).collect::<Result<_, CrsError>>()?;
        Ok(Self { epsg, features })
    }
}
