//! Sensors: the bands of Sentinel-2, which models are made for, and descriptions of any sensor.

mod description;
mod raster;
mod table;

pub use description::{Sensor, SensorError, SensorKind};
pub use raster::{
    DateRule, GridRule, OffsetRule, Quality, Raster, Resampling, SensorBand, Stored, Transfer,
};
pub use table::{Table, Variable};

/// One spectral channel of a sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The sensor's own name, for example `B8A`.
    pub name: &'static str,
    /// The asset key that Earth Search v1 uses, for example `nir08`.
    pub asset_key: &'static str,
    /// Centre wavelength in nm.
    pub centre_nm: f32,
    /// Full width at half maximum in nm.
    pub width_nm: f32,
    /// Ground sampling distance in m.
    pub gsd_m: u32,
}

const fn band(
    name: &'static str,
    asset_key: &'static str,
    centre_nm: f32,
    width_nm: f32,
    gsd_m: u32,
) -> Band {
    Band { name, asset_key, centre_nm, width_nm, gsd_m }
}

/// The ten land bands of Sentinel-2 MSI, in the order every cube stores them.
///
/// # Source
/// ESA, *Sentinel-2 MSI spatial and spectral resolution*, values of S2A.
pub const S2_BANDS: [Band; 10] = [
    band("B02", "blue", 492.4, 66.0, 10),
    band("B03", "green", 559.8, 36.0, 10),
    band("B04", "red", 664.6, 31.0, 10),
    band("B05", "rededge1", 704.1, 15.0, 20),
    band("B06", "rededge2", 740.5, 15.0, 20),
    band("B07", "rededge3", 782.8, 20.0, 20),
    band("B08", "nir", 832.8, 106.0, 10),
    band("B8A", "nir08", 864.7, 21.0, 20),
    band("B11", "swir16", 1613.7, 91.0, 20),
    band("B12", "swir22", 2202.4, 175.0, 20),
];

/// The Sentinel-2 band with this name (`B04`) or asset key (`red`), and its place in [`S2_BANDS`].
#[must_use]
pub fn band_by_name(name: &str) -> Option<(usize, Band)> {
    S2_BANDS
        .iter()
        .position(|b| b.name.eq_ignore_ascii_case(name) || b.asset_key == name)
        .map(|i| (i, S2_BANDS[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_found_by_either_name() {
        assert_eq!(band_by_name("B8A").map(|(i, _)| i), Some(7));
        assert_eq!(band_by_name("nir08").map(|(i, _)| i), Some(7));
        assert_eq!(band_by_name("B09"), None);
    }
}
