//! What to collect.

mod file;

use std::borrow::Cow;
use std::path::Path;

use jiff::Timestamp;
use surco_core::{Season, Sensor};
use surco_raster::vector::{Polygon, Shape, VectorError};

use crate::CollectError;
use crate::onto::Onto;
use file::{not_a, read_degrees};

/// Side of a chip at most; larger areas are polygons.
const MAX_CHIP_PX: usize = 1024;
/// Metres of a pixel, and of a degree of latitude, roughly.
const PX_M: f64 = 10.0;
const DEGREE_M: f64 = 110_500.0;

/// Where to collect.
#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    /// West, south, east and north in degrees.
    Bbox([f64; 4]),
    /// Polygons in degrees.
    Polygons(Vec<Polygon>),
}

impl Area {
    /// Reads the polygons of a file of any [`surco_raster::vector::VectorFormat`], in any coordinate system that is
    /// known here.
    ///
    /// # Errors
    /// [`VectorError`] if the file cannot be read, is not of its format or holds other shapes.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, VectorError> {
        let path = path.as_ref();
        let mut polygons = Vec::new();
        for (i, feature) in read_degrees(path)?.features.into_iter().enumerate() {
            match feature.shape {
                Shape::Polygons(more) => polygons.extend(more),
                Shape::Point(_) | Shape::Points(_) => {
                    return Err(not_a(path, i, "a point", "polygons; give points as places"));
                }
            }
        }
        Ok(Self::Polygons(polygons))
    }
}

/// Places around which small squares are collected, for example to pre-train on.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// Longitude and latitude in degrees.
    pub points: Vec<(f64, f64)>,
    /// Side of the square around each, in pixels of 10 m.
    pub side_px: usize,
}

impl Places {
    /// Reads the points of a file of any [`surco_raster::vector::VectorFormat`]; a CSV has columns `lon` and `lat`.
    ///
    /// # Errors
    /// [`VectorError`] if the file cannot be read, is not of its format or holds other shapes.
    pub fn read(path: impl AsRef<Path>, side_px: usize) -> Result<Self, VectorError> {
        let path = path.as_ref();
        let mut points = Vec::new();
        for (i, feature) in read_degrees(path)?.features.into_iter().enumerate() {
            match feature.shape {
                Shape::Point([lon, lat]) => points.push((lon, lat)),
                Shape::Points(more) => points.extend(more.into_iter().map(<(f64, f64)>::from)),
                Shape::Polygons(_) => {
                    return Err(not_a(path, i, "a polygon", "points; give polygons as an area"));
                }
            }
        }
        Ok(Self { points, side_px })
    }

    /// How far a chip reaches from its point at most, in degrees of longitude at this latitude.
    pub(crate) fn reach_deg(&self, lat: f64) -> f64 {
        // UTM turns squares by a few degrees; half the diagonal and a pixel are on the safe side.
        let reach_m = (self.side_px as f64 * 0.71 + 2.0) * PX_M;
        reach_m / DEGREE_M / lat.to_radians().cos().max(0.05)
    }

    /// Squares in degrees that hold the chips and little more.
    pub(crate) fn squares(&self) -> Vec<Polygon> {
        let square = |&(lon, lat): &(f64, f64)| {
            let (east, north) = (self.reach_deg(lat), self.reach_deg(0.0));
            boxed(&[lon - east, lat - north, lon + east, lat + north])
        };
        self.points.iter().map(square).collect()
    }
}

/// A bounding box as a polygon.
pub(crate) fn boxed(&[west, south, east, north]: &[f64; 4]) -> Polygon {
    let ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
    Polygon { rings: vec![ring.into()] }
}

/// What to collect, from where.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectRequest {
    /// The sensor: its assets, bands and scales.
    pub sensor: Sensor,
    /// Cells to bring scenes onto, for a sensor with a grid of its own; without them, those of the
    /// Sentinel-2 tiles that the area meets.
    pub onto: Option<Onto>,
    /// Catalogs, the preferred one first: root URLs of STAC APIs, or paths or URLs of files of items.
    pub catalogs: Vec<String>,
    /// Collections of an API; empty = those of the sensor that it has, the best first.
    pub collections: Vec<String>,
    /// Where; without it, the whole of every tile in the catalog. Cells that meet it are collected
    /// whole.
    pub area: Option<Area>,
    /// Only squares around these places, in place of an area.
    pub places: Option<Places>,
    /// Dates to collect; empty = all.
    pub seasons: Vec<Season>,
    /// Only items that their catalog lists since then.
    pub created_since: Option<Timestamp>,
    /// Bands by name (`B04`) or asset key (`red`); empty = all of the sensor.
    pub bands: Vec<String>,
    /// Scenes with more clouds than this, in percent, are left out.
    pub max_cloud: Option<f64>,
    /// Keep the pixels of clouds and their shadows, and fetch blocks that show nothing else; sensors with a
    /// grid of their own always keep them.
    pub keep_clouds: bool,
}

impl CollectRequest {
    /// A request for all of a catalog.
    #[must_use]
    pub fn all_of(catalog: impl Into<String>) -> Self {
        Self {
            sensor: Sensor::default(),
            onto: None,
            catalogs: vec![catalog.into()],
            collections: Vec::new(),
            area: None,
            places: None,
            seasons: Vec::new(),
            created_since: None,
            bands: Vec::new(),
            max_cloud: None,
            keep_clouds: false,
        }
    }

    /// Where scenes are needed: the area, or the squares around the places.
    #[must_use]
    pub fn search_area(&self) -> Option<Cow<'_, Area>> {
        let Some(places) = &self.places else { return self.area.as_ref().map(Cow::Borrowed) };
        let mut squares = places.squares();
        // Services refuse what lies over the date line or a pole; the place itself does not.
        for [lon, lat] in squares.iter_mut().flat_map(|s| s.rings.iter_mut().flatten()) {
            (*lon, *lat) = (lon.clamp(-180.0, 180.0), lat.clamp(-90.0, 90.0));
        }
        Some(Cow::Owned(Area::Polygons(squares)))
    }

    /// Places of the bands in the sensor's description, in the order every cube stores them.
    pub(crate) fn band_indices(&self) -> Result<Vec<usize>, CollectError> {
        let raster = self.sensor.raster().ok_or_else(|| no_images(&self.sensor))?;
        if self.bands.is_empty() {
            return Ok((0..raster.bands.len()).collect());
        }
        let mut indices = Vec::new();
        for name in &self.bands {
            let (index, _) = raster.band(name).ok_or_else(|| CollectError::Request {
                what: "band",
                found: name.clone(),
                expected: match self.sensor.id.as_str() {
                    "sentinel-2-l2a" => {
                        "one of B02, B03, B04, B05, B06, B07, B08, B8A, B11, B12 or their asset keys"
                    }
                    _ => "a band of the sensor by its name or the key of its asset",
                },
            })?;
            indices.push(index);
        }
        indices.sort_unstable();
        indices.dedup();
        Ok(indices)
    }

    /// Whether a day lies in one of the seasons.
    pub(crate) fn wants(&self, day: jiff::civil::Date) -> bool {
        self.sensor.is_static()
            || self.seasons.is_empty()
            || self.seasons.iter().any(|season| season.contains(day))
    }

    pub(crate) fn check(&self) -> Result<(), CollectError> {
        match &self.area {
            None => {}
            Some(Area::Bbox(bbox)) => check_bbox(bbox)?,
            Some(Area::Polygons(polygons)) => check_polygons(polygons)?,
        }
        if let Some(places) = &self.places {
            if self.sensor.is_warped() {
                return Err(CollectError::Request {
                    what: "places",
                    found: format!("{}, which has no tiles to cut chips from", self.sensor.id),
                    expected: "an area, or a store whose cells are taken",
                });
            }
            check_places(places)?;
            if self.area.is_some() {
                let found = "both".into();
                let expected =
                    "one of the two: leave out places that lie outside the area yourself";
                return Err(CollectError::Request { what: "area and places", found, expected });
            }
        }
        if let Some(percent) = self.max_cloud
            && !(0.0..=100.0).contains(&percent)
        {
            return Err(CollectError::Request {
                what: "max-cloud",
                found: percent.to_string(),
                expected: "0 to 100 percent",
            });
        }
        Ok(())
    }
}

/// A sensor that is a table.
pub(crate) fn no_images(sensor: &Sensor) -> CollectError {
    CollectError::Request {
        what: "sensor",
        found: format!("{}, a table", sensor.id),
        expected: "one that gives images",
    }
}

fn check_bbox(&[west, south, east, north]: &[f64; 4]) -> Result<(), CollectError> {
    if on_earth(west, south) && on_earth(east, north) && west < east && south < north {
        return Ok(());
    }
    Err(CollectError::Request {
        what: "bounding box",
        found: format!("{west},{south},{east},{north}"),
        expected: "west,south,east,north in degrees, west < east and south < north",
    })
}

fn check_polygons(polygons: &[Polygon]) -> Result<(), CollectError> {
    if polygons.is_empty() {
        return Err(CollectError::Request {
            what: "area",
            found: "no polygon".into(),
            expected: "one polygon or more",
        });
    }
    let points = polygons.iter().flat_map(|p| p.rings.iter().flatten());
    for &[lon, lat] in points {
        if !on_earth(lon, lat) {
            return Err(CollectError::Request {
                what: "point of the area",
                found: format!("{lon}, {lat}"),
                expected: "longitude and latitude in degrees",
            });
        }
    }
    Ok(())
}

fn check_places(places: &Places) -> Result<(), CollectError> {
    let wrong = |what, found, expected| Err(CollectError::Request { what, found, expected });
    if !(1..=MAX_CHIP_PX).contains(&places.side_px) {
        let expected = "1 to 1024 pixels of 10 m; larger areas are given as polygons";
        return wrong("side of a place", places.side_px.to_string(), expected);
    }
    if places.points.is_empty() {
        return wrong("places", "none".into(), "one point or more");
    }
    match places.points.iter().find(|p| !on_earth(p.0, p.1)) {
        None => Ok(()),
        Some((lon, lat)) => {
            wrong("place", format!("{lon}, {lat}"), "longitude and latitude in degrees")
        }
    }
}

fn on_earth(lon: f64, lat: f64) -> bool {
    (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat)
}

#[cfg(test)]
mod tests;
