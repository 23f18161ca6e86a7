//! The part of STAC that collecting needs.
//!
//! Own structs rather than the `stac` crate: they keep a tenth of an item (a country-year has 20,000),
//! read the fields of four services in their own spellings, and never refuse an item for a field that
//! nothing here reads.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A link; pages are chained by `rel = next`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Link {
    pub(crate) rel: String,
    #[serde(default)]
    pub(crate) href: String,
    #[serde(default)]
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) body: Option<Value>,
    #[serde(default)]
    pub(crate) merge: bool,
}

/// One scene of a catalog.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) collection: Option<String>,
    #[serde(default)]
    pub(crate) bbox: Option<Vec<f64>>,
    #[serde(default)]
    pub(crate) geometry: Option<Geometry>,
    pub(crate) properties: Properties,
    pub(crate) assets: BTreeMap<String, Asset>,
    #[serde(default)]
    pub(crate) links: Vec<Link>,
}

/// Outlines; other geometries are treated as unknown.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Geometry {
    Polygon {
        coordinates: Vec<Vec<Vec<f64>>>,
    },
    MultiPolygon {
        coordinates: Vec<Vec<Vec<Vec<f64>>>>,
    },
    #[serde(other)]
    Other,
}

impl Geometry {
    /// The outer rings, as longitude and latitude.
    pub(crate) fn rings(&self) -> Vec<Vec<(f64, f64)>> {
        let ring = |ring: &Vec<Vec<f64>>| {
            ring.iter().filter(|p| p.len() >= 2).map(|p| (p[0], p[1])).collect()
        };
        match self {
            Self::Polygon { coordinates } => coordinates.first().map(ring).into_iter().collect(),
            Self::MultiPolygon { coordinates } => {
                coordinates.iter().filter_map(|p| p.first()).map(ring).collect()
            }
            Self::Other => Vec::new(),
        }
    }
}

/// What an item says about its scene, in the services' spellings.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Properties {
    #[serde(default)]
    pub(crate) datetime: Option<String>,
    #[serde(default)]
    pub(crate) start_datetime: Option<String>,
    #[serde(default)]
    pub(crate) platform: Option<String>,
    #[serde(default, rename = "eo:cloud_cover")]
    pub(crate) cloud_cover: Option<f64>,
    #[serde(default, rename = "grid:code")]
    pub(crate) grid_code: Option<String>,
    #[serde(default, rename = "s2:mgrs_tile")]
    pub(crate) mgrs_tile: Option<String>,
    #[serde(default, rename = "mgrs:utm_zone")]
    pub(crate) mgrs_zone: Option<u32>,
    #[serde(default, rename = "mgrs:latitude_band")]
    pub(crate) mgrs_band: Option<String>,
    #[serde(default, rename = "mgrs:grid_square")]
    pub(crate) mgrs_square: Option<String>,
    #[serde(default, rename = "s2:processing_baseline")]
    pub(crate) s2_baseline: Option<Value>,
    #[serde(default, rename = "processing:version")]
    pub(crate) processing_version: Option<Value>,
    #[serde(default, rename = "s2:generation_time")]
    pub(crate) generation_time: Option<String>,
    /// When the catalog listed the item, and when it last changed it.
    #[serde(default)]
    pub(crate) created: Option<String>,
    #[serde(default)]
    pub(crate) updated: Option<String>,
    #[serde(default, rename = "s2:datatake_id")]
    pub(crate) datatake_id: Option<String>,
    #[serde(default, rename = "s2:datastrip_id")]
    pub(crate) datastrip_id: Option<String>,
    #[serde(default, rename = "earthsearch:boa_offset_applied")]
    pub(crate) boa_offset_applied: Option<bool>,
    #[serde(flatten)]
    pub(crate) projection: Projected,
}

/// The projection extension, on items or on assets.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Projected {
    #[serde(default, rename = "proj:epsg")]
    pub(crate) epsg: Option<u32>,
    #[serde(default, rename = "proj:code")]
    pub(crate) code: Option<String>,
    #[serde(default, rename = "proj:shape")]
    pub(crate) shape: Option<Vec<usize>>,
    #[serde(default, rename = "proj:transform")]
    pub(crate) transform: Option<Vec<f64>>,
}

impl Projected {
    pub(crate) fn epsg(&self) -> Option<u32> {
        self.epsg.or_else(|| self.code.as_ref()?.strip_prefix("EPSG:")?.parse().ok())
    }
}

/// One file of an item.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Asset {
    pub(crate) href: String,
    #[serde(default, rename = "type")]
    pub(crate) media_type: Option<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default, rename = "eo:bands")]
    pub(crate) eo_bands: Vec<BandField>,
    #[serde(default)]
    pub(crate) bands: Vec<BandField>,
    #[serde(default, rename = "raster:bands")]
    pub(crate) raster_bands: Vec<RasterField>,
    #[serde(default, rename = "raster:offset")]
    pub(crate) raster_offset: Option<f64>,
    #[serde(default, rename = "file:size")]
    pub(crate) file_size: Option<u64>,
    #[serde(default, rename = "file:checksum")]
    pub(crate) file_checksum: Option<String>,
    #[serde(flatten)]
    pub(crate) projection: Projected,
}

/// A band of an asset, old (`eo:bands`) or new (`bands`) spelling.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct BandField {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default, rename = "raster:offset")]
    pub(crate) offset: Option<f64>,
}

/// How values of a band are scaled.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RasterField {
    #[serde(default)]
    pub(crate) offset: Option<f64>,
}

impl Asset {
    /// Names of the bands in the file's order.
    pub(crate) fn band_names(&self) -> impl Iterator<Item = Option<&str>> {
        let list = if self.eo_bands.is_empty() { &self.bands } else { &self.eo_bands };
        list.iter().map(|b| b.name.as_deref())
    }

    /// The offset that the catalog declares for a band, in reflectance.
    pub(crate) fn declared_offset(&self, band: usize) -> Option<f64> {
        let old = self.raster_bands.get(band).and_then(|b| b.offset);
        let new = self.bands.get(band).and_then(|b| b.offset);
        old.or(new).or(self.raster_offset)
    }
}
