//! One series: what one pixel or field showed on the dates it was seen.

use surco_core::Band;

/// A spectral channel as a model sees it: by wavelength, not by name.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SpectralBand {
    /// Centre wavelength in nm.
    pub centre_nm: f32,
    /// Full width at half maximum in nm.
    pub width_nm: f32,
}

impl From<Band> for SpectralBand {
    fn from(band: Band) -> Self {
        Self { centre_nm: band.centre_nm, width_nm: band.width_nm }
    }
}

/// The series of one pixel or field: surface reflectance on irregular dates.
///
/// | | shape | unit |
/// |---|---|---|
/// | `days` | `[time]`, ascending | days since 1970-01-01 |
/// | `values` | `[time * band]`, date by date | reflectance, NaN = not observed |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Dates.
    pub days: Vec<i32>,
    /// Values.
    pub values: Vec<f32>,
    /// Whether the place lies south of the equator, where the seasons are half a year apart.
    pub south: bool,
}

impl Sample {
    /// Number of dates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.days.len()
    }

    /// Whether nothing was ever seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// The values of one date.
    #[must_use]
    pub fn date(&self, index: usize, bands: usize) -> &[f32] {
        &self.values[index * bands..(index + 1) * bands]
    }
}
