//! How the images of a sensor are read and kept.

use serde::{Deserialize, Serialize};

use super::description::{Broken, broken};

/// How the images of a sensor are read and kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Raster {
    /// Side of a pixel of the cube in m.
    pub pixel_m: f64,
    /// Where its pixels lie.
    pub grid: GridRule,
    /// What a date means.
    #[serde(default)]
    pub dates: DateRule,
    /// How values between pixels are found, where the grid is warped.
    #[serde(default)]
    pub resampling: Resampling,
    /// The sample that stands for "no data", besides the one that a file states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodata: Option<f64>,
    /// Which rule decides about an offset that catalogs tell wrongly.
    #[serde(default)]
    pub offset_rule: OffsetRule,
    /// From samples to values.
    pub transfer: Transfer,
    /// How the store keeps values.
    pub stored: Stored,
    /// The layer that says which pixels can be used, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// The bands, in the order of the cube.
    pub bands: Vec<SensorBand>,
}

/// Where the pixels of a sensor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GridRule {
    /// On the MGRS tiles that cells are cut from.
    Tiles,
    /// On grids of their own, which are brought onto cells.
    Warped,
}

/// What the date of an item means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DateRule {
    /// Each item is a date of the cube.
    #[default]
    Each,
    /// Nothing: all items together are one plane.
    Static,
}

/// How values between pixels are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resampling {
    /// That of the pixel in which the place lies: for classes.
    Nearest,
    /// The weighted mean of the four pixels around: for measurements.
    #[default]
    Bilinear,
}

/// Which rule decides about an offset in the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffsetRule {
    /// There is none to decide about.
    #[default]
    None,
    /// The +1000 of Sentinel-2's processing baseline 04.00.
    #[serde(rename = "sentinel-2-baseline")]
    Sentinel2Baseline,
}

/// From the samples of a file to values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transfer {
    /// A sample is the value.
    Counts {},
    /// `value = scale * sample + offset`.
    Linear {
        /// Factor.
        scale: f64,
        /// Summand.
        offset: f64,
    },
    /// `value = 10 * log10(sample)`, of a power; a power of zero or less has no value.
    Decibel {},
}

impl Transfer {
    /// The value of a sample; not finite if it has none.
    #[inline]
    #[must_use]
    pub fn value(&self, sample: f64) -> f64 {
        match *self {
            Self::Counts {} => sample,
            Self::Linear { scale, offset } => scale * sample + offset,
            Self::Decibel {} => 10.0 * sample.log10(),
        }
    }
}

/// How the store keeps values: `value = number * scale_factor + add_offset`, number 0 = no data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stored {
    /// Name of the array.
    pub array: String,
    /// What it holds, for people.
    pub long_name: String,
    /// Unit of values.
    pub units: String,
    /// Value of one step.
    pub scale_factor: f64,
    /// Value of the number 0, which stands for no data.
    pub add_offset: f64,
}

impl Stored {
    /// The number that keeps a value: the nearest of 1 to 65535, or 0 if the value is not finite.
    ///
    /// Values beyond the ends are kept as the ends, so that they stay observations.
    #[inline]
    #[must_use]
    pub fn number(&self, value: f64) -> u16 {
        if !value.is_finite() {
            return 0;
        }
        let number = ((value - self.add_offset) / self.scale_factor).round();
        number.clamp(1.0, f64::from(u16::MAX)) as u16
    }

    /// The value that a number keeps.
    #[must_use]
    pub fn value(&self, number: u16) -> Option<f64> {
        (number != 0).then(|| f64::from(number) * self.scale_factor + self.add_offset)
    }
}

/// A layer that says which pixels can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Quality {
    /// Its name, for example `SCL`.
    pub name: String,
    /// Name of the array that keeps it.
    pub array: String,
    /// What it holds, for people.
    pub long_name: String,
    /// Keys of its asset, the preferred first.
    pub assets: Vec<String>,
    /// The sample that stands for "no data", besides 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodata: Option<u16>,
    /// Codes of ground that is seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clear_classes: Vec<u8>,
    /// Bits that make a pixel unclear, counted from 0, the lowest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclear_bits: Vec<u8>,
}

impl Quality {
    /// The byte that keeps a sample: classes as they are, the low byte of bits; 0 = no data.
    #[inline]
    #[must_use]
    pub fn byte(&self, sample: u16) -> u8 {
        if Some(sample) == self.nodata {
            0
        } else if self.unclear_bits.is_empty() {
            u8::try_from(sample).unwrap_or(u8::MAX)
        } else {
            (sample & 0xff) as u8
        }
    }

    /// Whether a kept byte says that the ground is seen.
    #[must_use]
    pub fn is_clear(&self, byte: u8) -> bool {
        if self.unclear_bits.is_empty() {
            return self.clear_classes.contains(&byte);
        }
        byte != 0 && self.unclear_bits.iter().all(|bit| (byte >> bit) & 1 == 0)
    }
}

/// A band of a described sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SensorBand {
    /// Its name on the band axis, for example `OLI_B4`.
    pub name: String,
    /// Keys of its asset, the preferred first; its name is tried after them.
    pub assets: Vec<String>,
    /// Centre wavelength in nm, if it measures light.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre_nm: Option<f32>,
    /// Full width at half maximum in nm, if it measures light.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width_nm: Option<f32>,
    /// What it measures, if that is no light: frequency and polarisation, height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measures: Option<String>,
    /// Ground sampling distance in m.
    pub gsd_m: f64,
}

impl SensorBand {
    /// Whether this is the band's name, whatever the case, or the key of its asset.
    #[must_use]
    pub fn is_called(&self, text: &str) -> bool {
        self.name.eq_ignore_ascii_case(text) || self.assets.iter().any(|key| key == text)
    }
}

impl Raster {
    /// Place and description of the band with this name or asset key.
    #[must_use]
    pub fn band(&self, text: &str) -> Option<(usize, &SensorBand)> {
        self.bands.iter().enumerate().find(|(_, band)| band.is_called(text))
    }

    /// Whether images lie on grids of their own.
    #[must_use]
    pub fn is_warped(&self) -> bool {
        self.grid == GridRule::Warped
    }

    /// Whether all items together are one plane.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.dates == DateRule::Static
    }

    /// Whether a sample is a measurement: finite, not "no data", and a power above 0 if it becomes
    /// decibels.
    #[inline]
    #[must_use]
    pub fn holds(&self, sample: f64) -> bool {
        let measured = match self.transfer {
            Transfer::Decibel {} => sample > 0.0,
            Transfer::Counts {} | Transfer::Linear { .. } => true,
        };
        measured && sample.is_finite() && self.nodata != Some(sample)
    }

    pub(crate) fn check(&self) -> Result<(), Broken> {
        // A cell has 1024 pixels of 10 m; finer pixels would not fit the store.
        if !(10.0..=10_240.0).contains(&self.pixel_m) {
            return broken("raster.pixel_m", self.pixel_m, "10 to 10240");
        }
        if self.pixel_m % 10.0 != 0.0 {
            return broken("raster.pixel_m", self.pixel_m, "a multiple of 10");
        }
        let Stored { array, scale_factor, add_offset, .. } = &self.stored;
        if !scale_factor.is_finite() || *scale_factor <= 0.0 {
            return broken("raster.stored.scale_factor", scale_factor, "above 0");
        }
        if !add_offset.is_finite() {
            return broken("raster.stored.add_offset", add_offset, "a number");
        }
        plain("raster.stored.array", array)?;
        if let Transfer::Linear { scale, offset } = self.transfer
            && !(scale.is_finite() && scale != 0.0 && offset.is_finite())
        {
            return broken("raster.transfer", format!("{scale}, {offset}"), "finite, scale not 0");
        }
        if self.bands.is_empty() {
            return broken("raster.bands", "empty", "at least one band");
        }
        self.check_bands()?;
        self.check_grid()?;
        self.quality.as_ref().map_or(Ok(()), Quality::check)
    }

    fn check_bands(&self) -> Result<(), Broken> {
        for (i, band) in self.bands.iter().enumerate() {
            let what = format!("raster.bands, {}", band.name);
            if self.bands[..i].iter().any(|b| b.name.eq_ignore_ascii_case(&band.name)) {
                return broken(what, "there twice", "once");
            }
            let light = (band.centre_nm, band.width_nm);
            match (light, &band.measures) {
                ((Some(c), Some(w)), None) if c > 0.0 && w > 0.0 => {}
                ((None, None), Some(_)) => {}
                _ => {
                    let expected = "centre_nm and width_nm above 0, or measures";
                    return broken(what, format!("{light:?}, {:?}", band.measures), expected);
                }
            }
            if band.gsd_m.is_nan() || band.gsd_m <= 0.0 {
                return broken(what, format!("gsd_m = {}", band.gsd_m), "above 0");
            }
        }
        Ok(())
    }

    /// What is laid on tiles as it is must be kept as it is.
    fn check_grid(&self) -> Result<(), Broken> {
        if self.is_warped() {
            if self.offset_rule == OffsetRule::Sentinel2Baseline {
                let expected = "none where the grid is warped: resampling mixes dark and bright";
                return broken("raster.offset_rule", "sentinel-2-baseline", expected);
            }
            return Ok(());
        }
        let expected = "the same, as grid = \"tiles\" keeps numbers as they are";
        let same = match self.transfer {
            Transfer::Counts {} => (self.stored.scale_factor, self.stored.add_offset) == (1.0, 0.0),
            Transfer::Linear { scale, offset } => {
                (self.stored.scale_factor, self.stored.add_offset) == (scale, offset)
            }
            Transfer::Decibel {} => false,
        };
        if !same || !self.nodata.is_none_or(|nodata| nodata == 0.0) {
            return broken("raster.stored", "another scale than raster.transfer", expected);
        }
        if self.is_static() {
            return broken("raster.dates", "static", "each, where the grid is tiles");
        }
        Ok(())
    }
}

impl Quality {
    fn check(&self) -> Result<(), Broken> {
        plain("raster.quality.array", &self.array)?;
        if self.clear_classes.is_empty() == self.unclear_bits.is_empty() {
            let found = "clear_classes and unclear_bits";
            return broken("raster.quality", found, "one of them");
        }
        match self.unclear_bits.iter().find(|&&bit| bit > 7) {
            Some(bit) => broken("raster.quality.unclear_bits", bit, "0 to 7"),
            None => Ok(()),
        }
    }
}

/// Names of arrays are folders of the store.
fn plain(what: &str, name: &str) -> Result<(), Broken> {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if good { Ok(()) } else { broken(what, format!("`{name}`"), "small letters and `_`") }
}

#[cfg(test)]
mod tests {
    use crate::Sensor;

    /// Worked by hand from the product guides: reflectance = DN * 0.0000275 - 0.2; decibels of a power.
    #[test]
    fn samples_become_values_and_values_numbers() {
        let landsat = Sensor::builtin("landsat-c2-l2").unwrap();
        let raster = landsat.raster().unwrap();
        let keep = |sample: f64| raster.stored.number(raster.transfer.value(sample));
        assert_eq!(keep(20_000.0), 3500, "0.55 - 0.2");
        assert_eq!(keep(7273.0), 1, "0.0000075, under one step");
        assert_eq!(keep(1000.0), 1, "negative, kept as dark as can be");
        assert_eq!(raster.stored.number(f64::NAN), 0);
        assert_eq!(raster.stored.number(9.0), 65_535, "beyond the end");
        let radar = Sensor::builtin("sentinel-1-rtc").unwrap();
        let raster = radar.raster().unwrap();
        assert_eq!(raster.stored.number(raster.transfer.value(1.0)), 50_000);
        assert_eq!(raster.stored.number(raster.transfer.value(0.0)), 0, "no decibel of nothing");
        assert_eq!(raster.stored.number(raster.transfer.value(-1.0)), 0);
        assert_eq!(raster.stored.value(40_000), Some(-10.0));
        let heights = Sensor::builtin("cop-dem-glo-30").unwrap();
        let stored = &heights.raster().unwrap().stored;
        assert_eq!((stored.number(-28.0), stored.number(6893.0)), (4860, 39_465));
    }

    /// The values that USGS LSDS-1619 lists: fill, clear land, clear water, cloud of high confidence.
    #[test]
    fn bits_of_landsat_say_what_is_clear() {
        let landsat = Sensor::builtin("landsat-c2-l2").unwrap();
        let quality = landsat.raster().unwrap().quality.as_ref().unwrap();
        let clear = |sample: u16| quality.is_clear(quality.byte(sample));
        assert_eq!((quality.byte(1), quality.byte(0)), (0, 0));
        assert!(!clear(1) && !clear(22_280) && !clear(23_888) && !clear(54_596));
        assert!(clear(21_824) && clear(21_952) && clear(30_048), "land, water, snow");
    }

    #[test]
    fn a_band_is_found_by_name_and_by_any_key() {
        let landsat = Sensor::builtin("landsat-c2-l2").unwrap();
        let raster = landsat.raster().unwrap();
        for name in ["oli_b4", "red", "SR_B4"] {
            assert_eq!(raster.band(name).map(|b| b.0), Some(3), "{name}");
        }
        assert_eq!(raster.band("B04"), None);
    }
}
