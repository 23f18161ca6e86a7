//! What to collect.

use jiff::Timestamp;
use surco_core::{Season, Sensor};
use surco_raster::vector::Polygon;

use crate::CollectError;
use crate::onto::Onto;

/// Where to collect.
#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    /// West, south, east and north in degrees.
    Bbox([f64; 4]),
    /// Polygons in degrees.
    Polygons(Vec<Polygon>),
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
    /// Collections of an API; empty = the best of the sensor's that it has.
    pub collections: Vec<String>,
    /// Where; without it, the whole of every tile in the catalog.
    pub area: Option<Area>,
    /// Dates to collect; empty = all.
    pub seasons: Vec<Season>,
    /// Only items that their catalog lists since then.
    pub created_since: Option<Timestamp>,
    /// Bands by name (`B04`) or asset key (`red`); empty = all of the sensor.
    pub bands: Vec<String>,
    /// Scenes with more clouds than this, in percent, are left out.
    pub max_cloud: Option<f64>,
    /// Keep the pixels of clouds and their shadows, and fetch blocks that show nothing else.
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
            seasons: Vec::new(),
            created_since: None,
            bands: Vec::new(),
            max_cloud: None,
            keep_clouds: false,
        }
    }

    /// Places of the bands in the sensor's description, in the order every cube stores them.
    pub(crate) fn band_indices(&self) -> Result<Vec<usize>, CollectError> {
        let raster = self.sensor.raster().ok_or_else(|| CollectError::Request {
            what: "sensor",
            found: format!("{}, a table", self.sensor.id),
            expected: "one that gives images",
        })?;
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

    /// Names of bands given by their places.
    pub(crate) fn band_names(&self, bands: &[usize]) -> Vec<String> {
        let all = self.sensor.raster().map(|raster| raster.bands.as_slice()).unwrap_or_default();
        bands.iter().filter_map(|&b| all.get(b)).map(|band| band.name.clone()).collect()
    }

    /// Whether a day lies in one of the seasons.
    pub(crate) fn wants(&self, day: jiff::civil::Date) -> bool {
        self.sensor.is_static()
            || self.seasons.is_empty()
            || self.seasons.iter().any(|season| season.contains(day))
    }

    pub(crate) fn check(&self) -> Result<(), CollectError> {
        if let Some(Area::Bbox([west, south, east, north])) = self.area {
            let sane = (-180.0..=180.0).contains(&west)
                && (-180.0..=180.0).contains(&east)
                && (-90.0..=90.0).contains(&south)
                && (-90.0..=90.0).contains(&north);
            if !sane || west >= east || south >= north {
                return Err(CollectError::Request {
                    what: "bounding box",
                    found: format!("{west},{south},{east},{north}"),
                    expected: "west,south,east,north in degrees, west < east and south < north",
                });
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
