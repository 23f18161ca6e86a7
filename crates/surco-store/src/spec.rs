//! What a cell is to hold: its grid, its bands, its scenes, and what its arrays are called.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use surco_core::{CellId, Georef};

use crate::StoreError;

/// Names below a cell that no array may take.
const TAKEN: [&str; 9] =
    ["band", "manifest", "spatial_ref", "time", "x", "y", "c", "zarr", "surco"];

/// Everything a cell needs before its first pixel.
///
/// [`CellSpec::default`] is an empty cell of Sentinel-2; a store holds one sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct CellSpec {
    /// Where the cell lies.
    pub georef: Georef,
    /// Its coordinate system as WKT, for GDAL and rioxarray.
    pub crs_wkt: String,
    /// Number of rows, at most 1024.
    pub rows: usize,
    /// Number of columns, at most 1024.
    pub cols: usize,
    /// Names of the bands, in the order of the band axis.
    pub bands: Vec<String>,
    /// What the bands are, for example `band of Sentinel-2 MSI`.
    pub band_text: String,
    /// The scenes to collect, in any order.
    pub scenes: Vec<SceneSlot>,
    /// The array of the measured values, u16.
    pub values: ArrayText,
    /// The array of classes or flags, u8, if the sensor has one.
    pub quality: Option<ArrayText>,
    /// Anything else the cell's group is to say; `Conventions` and `surco` are the store's own.
    pub attributes: Map<String, Value>,
}

impl Default for CellSpec {
    fn default() -> Self {
        Self {
            georef: Georef { epsg: 0, x0_m: 0.0, y0_m: 0.0, px_m: 10.0 },
            crs_wkt: String::new(),
            rows: 0,
            cols: 0,
            bands: Vec::new(),
            band_text: "band of Sentinel-2 MSI".into(),
            scenes: Vec::new(),
            values: ArrayText::reflectance(),
            quality: Some(ArrayText::scl()),
            attributes: Map::new(),
        }
    }
}

/// What an array is called and what its numbers mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrayText {
    /// Name of the array: small letters, digits and `_`.
    pub name: String,
    /// What it is, for people.
    pub long_name: String,
    /// Unit of the numbers, or what one of them is worth.
    pub units: String,
    /// Factor from stored numbers to `units`, as CF has it; xarray applies it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_factor: Option<f64>,
    /// What is added after the factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_offset: Option<f64>,
}

impl ArrayText {
    /// Sentinel-2's surface reflectance.
    #[must_use]
    pub fn reflectance() -> Self {
        Self::plain("reflectance", "surface reflectance, harmonised; 0 is no data", "1e-4")
    }

    /// Sentinel-2's scene classification.
    #[must_use]
    pub fn scl() -> Self {
        Self::plain("scl", "scene classification (SCL); 0 is no data", "1")
    }

    /// An array whose numbers are stored as they are.
    #[must_use]
    pub fn plain(name: &str, long_name: &str, units: &str) -> Self {
        Self {
            name: name.into(),
            long_name: long_name.into(),
            units: units.into(),
            scale_factor: None,
            add_offset: None,
        }
    }

    /// Whether two arrays hold numbers that may be mixed.
    pub(crate) fn same_numbers(&self, other: &Self) -> bool {
        self.name == other.name
            && self.units == other.units
            && self.scale_factor == other.scale_factor
            && self.add_offset == other.add_offset
    }

    fn is_usable(&self) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let finite = |value: Option<f64>| value.is_none_or(f64::is_finite);
        !self.name.is_empty()
            && self.name.bytes().all(plain)
            && !TAKEN.contains(&self.name.as_str())
            && finite(self.scale_factor)
            && finite(self.add_offset)
    }
}

/// One place on a cell's time axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneSlot {
    /// Names the acquisition, not its processing: a newer item of the same acquisition takes its place.
    pub key: String,
    /// Item id.
    pub id: String,
    /// Sensing time in seconds since 1970.
    pub time_s: i64,
}

impl CellSpec {
    /// Refuses what the layout cannot hold.
    pub(crate) fn check(&self, cell: &CellId) -> Result<(), StoreError> {
        let shape = |what, expected: &str, found: String| StoreError::Shape {
            cell: cell.clone(),
            shard: 0,
            what,
            expected: expected.into(),
            found,
        };
        let side = 1..=surco_core::CELL_PX;
        if !side.contains(&self.rows) || !side.contains(&self.cols) {
            let found = format!("{} × {}", self.rows, self.cols);
            return Err(shape("extent", "1 to 1024 pixels a side", found));
        }
        if self.bands.is_empty() {
            return Err(shape("bands", "at least one", "none".into()));
        }
        let plain = !cell.tile.is_empty() && cell.tile.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain {
            return Err(shape("name of the tile", "letters and digits", cell.tile.clone()));
        }
        let names = [Some(&self.values), self.quality.as_ref()];
        if let Some(bad) = names.into_iter().flatten().find(|text| !text.is_usable()) {
            let expected = "small letters, digits and `_`, no other array's name, finite numbers";
            return Err(shape("name of an array", expected, format!("{bad:?}")));
        }
        if self.quality.as_ref().is_some_and(|quality| quality.name == self.values.name) {
            let expected = "two different names";
            return Err(shape("name of an array", expected, self.values.name.clone()));
        }
        Ok(())
    }
}
