//! Sensors as descriptions: what a file of theirs holds and how a store keeps it.

use serde::{Deserialize, Serialize};

use super::raster::Raster;
use super::table::Table;

/// Version of the form of a description.
const SCHEMA: u32 = 1;

/// The descriptions that come with the program.
const BUILT_IN: [&str; 5] = [
    include_str!("../../sensors/sentinel-2-l2a.toml"),
    include_str!("../../sensors/sentinel-1-rtc.toml"),
    include_str!("../../sensors/landsat-c2-l2.toml"),
    include_str!("../../sensors/cop-dem-glo-30.toml"),
    include_str!("../../sensors/agera5.toml"),
];

/// A sensor or another source of data, as a description that anybody can write.
///
/// # Example
/// ```
/// use surco_core::Sensor;
/// let radar = Sensor::builtin("sentinel-1-rtc").ok_or("absent")?;
/// let raster = radar.raster().ok_or("no raster")?;
/// // A power of 0.1 is -10 dB, which the store keeps as (-10 + 50) / 0.001.
/// let value = raster.transfer.value(0.1);
/// assert_eq!(raster.stored.number(value), 40_000);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Sensor {
    schema: u32,
    /// Short name, for example `landsat-c2-l2`.
    pub id: String,
    /// What it is, for people.
    pub title: String,
    /// The document that its facts come from.
    pub document: String,
    /// Collections of catalogs that hold it, the best first.
    pub collections: Vec<String>,
    /// Satellites whose items are read, as items name them; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raster: Option<Raster>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<Table>,
}

/// What a sensor gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SensorKind<'a> {
    /// Images.
    Raster(&'a Raster),
    /// Values at points, day by day.
    Table(&'a Table),
}

/// Why a description of a sensor cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SensorError {
    /// It is not written as a description is.
    #[error("{0}")]
    Form(String),
    /// It contradicts itself.
    #[error("sensor {sensor}: {what} is {found}, expected {expected}")]
    Rule {
        /// Its id.
        sensor: String,
        /// The key.
        what: String,
        /// What it says.
        found: String,
        /// What it may say.
        expected: &'static str,
    },
}

impl Sensor {
    /// The description with this id that comes with the program.
    #[must_use]
    pub fn builtin(id: &str) -> Option<Self> {
        BUILT_IN.iter().filter_map(|text| Self::parse(text).ok()).find(|sensor| sensor.id == id)
    }

    /// Ids of the descriptions that come with the program.
    #[must_use]
    pub fn builtin_ids() -> Vec<String> {
        BUILT_IN.iter().filter_map(|text| Self::parse(text).ok()).map(|sensor| sensor.id).collect()
    }

    /// Reads a description.
    ///
    /// # Errors
    /// [`SensorError`] naming the line or the key; unknown keys are refused.
    pub fn parse(text: &str) -> Result<Self, SensorError> {
        let sensor: Self = toml::from_str(text).map_err(|e| SensorError::Form(e.to_string()))?;
        sensor.check()?;
        Ok(sensor)
    }

    /// Images or a table.
    ///
    /// # Panics
    /// Never: [`Sensor::parse`] lets nothing else through.
    #[must_use]
    pub fn kind(&self) -> SensorKind<'_> {
        match (&self.raster, &self.table) {
            (Some(raster), _) => SensorKind::Raster(raster),
            (None, Some(table)) => SensorKind::Table(table),
            (None, None) => unreachable!("a description has one of them, `parse` checks it"),
        }
    }

    /// How its images are read and kept, if it gives images.
    #[must_use]
    pub fn raster(&self) -> Option<&Raster> {
        self.raster.as_ref()
    }

    /// Its variables, if it gives a table.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// Whether its images lie on grids of their own and are brought onto cells.
    #[must_use]
    pub fn is_warped(&self) -> bool {
        self.raster.as_ref().is_some_and(Raster::is_warped)
    }

    /// Whether it shows one state of the ground, so that dates of items mean nothing.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.raster.as_ref().is_some_and(Raster::is_static)
    }

    /// Whether items of a satellite are read; an item that names none is.
    #[must_use]
    pub fn reads_platform(&self, platform: Option<&str>) -> bool {
        let same = |name: &str| self.platforms.iter().any(|p| p.eq_ignore_ascii_case(name));
        self.platforms.is_empty() || platform.is_none_or(same)
    }

    fn check(&self) -> Result<(), SensorError> {
        let refuse = |what: &str, found: String, expected| {
            let (sensor, what) = (self.id.clone(), what.into());
            Err(SensorError::Rule { sensor, what, found, expected })
        };
        if self.schema != SCHEMA {
            return refuse("schema", self.schema.to_string(), "1");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.id.is_empty() || !self.id.chars().all(plain) {
            return refuse("id", format!("`{}`", self.id), "letters, digits, `-`, `_` and `.`");
        }
        let found = match (&self.raster, &self.table) {
            (Some(raster), None) => raster.check(),
            (None, Some(table)) => table.check(),
            (None, None) => return refuse("kind", "none".into(), "[raster] or [table]"),
            (Some(_), Some(_)) => return refuse("kind", "both".into(), "[raster] or [table]"),
        };
        found.or_else(|fault| refuse(&fault.what, fault.found, fault.expected))
    }
}

impl Default for Sensor {
    /// Sentinel-2 L2A.
    fn default() -> Self {
        Self::builtin("sentinel-2-l2a").expect("it comes with the program, and a test reads it")
    }
}

/// A rule that a part of a description breaks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) found: String,
    pub(crate) expected: &'static str,
}

pub(crate) fn broken<T>(
    what: impl Into<String>,
    found: impl ToString,
    expected: &'static str,
) -> Result<T, Broken> {
    Err(Broken { what: what.into(), found: found.to_string(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{S2_BANDS, Scl};

    const RADAR: &str = include_str!("../../sensors/sentinel-1-rtc.toml");

    fn refusal(text: &str) -> String {
        Sensor::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_description_that_comes_with_the_program_is_read_and_written_back() {
        for text in BUILT_IN {
            let sensor = Sensor::parse(text).unwrap();
            let written = toml::to_string(&sensor).unwrap();
            assert_eq!(Sensor::parse(&written).unwrap(), sensor, "{}", sensor.id);
        }
        assert_eq!(Sensor::builtin_ids().len(), 5);
        assert_eq!(Sensor::builtin("meteosat"), None);
        assert_eq!(Sensor::default().id, "sentinel-2-l2a");
    }

    #[test]
    fn the_description_of_sentinel_2_agrees_with_the_table_that_other_rooms_use() {
        let sensor = Sensor::default();
        let raster = sensor.raster().unwrap();
        assert_eq!(raster.bands.len(), S2_BANDS.len());
        for (described, band) in raster.bands.iter().zip(S2_BANDS) {
            assert_eq!(described.name, band.name);
            assert_eq!(described.assets, [band.asset_key]);
            assert_eq!(described.centre_nm, Some(band.centre_nm));
            assert_eq!(described.width_nm, Some(band.width_nm));
            assert_eq!(described.gsd_m, f64::from(band.gsd_m));
        }
        let quality = raster.quality.as_ref().unwrap();
        for code in 0..=u8::MAX {
            assert_eq!(quality.is_clear(code), Scl::is_clear(code), "{code}");
        }
        assert!(!sensor.is_warped() && !sensor.is_static());
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        insta::assert_snapshot!(refusal(&RADAR.replace("pixel_m", "pixels_m")), @r"
TOML parse error at line 9, column 1
  |
9 | pixels_m = 10
  | ^^^^^^^^
unknown field `pixels_m`, expected one of `pixel_m`, `grid`, `dates`, `resampling`, `nodata`, `offset_rule`, `transfer`, `stored`, `quality`, `bands`
");
        insta::assert_snapshot!(refusal(&RADAR.replace("scale_factor = 0.001", "scale_factor = 0.0")), @"sensor sentinel-1-rtc: raster.stored.scale_factor is 0, expected above 0");
        insta::assert_snapshot!(refusal(&RADAR.replace("\"VH\"", "\"VV\"")), @"sensor sentinel-1-rtc: raster.bands, VV is there twice, expected once");
        insta::assert_snapshot!(refusal(&RADAR.replace("warped", "tiles")), @r#"sensor sentinel-1-rtc: raster.stored is another scale than raster.transfer, expected the same, as grid = "tiles" keeps numbers as they are"#);
        insta::assert_snapshot!(refusal(RADAR.split("[raster]").next().unwrap()), @"sensor sentinel-1-rtc: kind is none, expected [raster] or [table]");
        insta::assert_snapshot!(refusal(&RADAR.replace("schema = 1", "schema = 2")), @"sensor sentinel-1-rtc: schema is 2, expected 1");
        insta::assert_snapshot!(refusal(&RADAR.replace("pixel_m = 10", "pixel_m = 15")), @"sensor sentinel-1-rtc: raster.pixel_m is 15, expected a multiple of 10");
    }

    #[test]
    fn other_satellites_of_a_collection_are_left_out() {
        let landsat = Sensor::builtin("landsat-c2-l2").unwrap();
        assert!(landsat.reads_platform(Some("landsat-9")) && landsat.reads_platform(None));
        assert!(!landsat.reads_platform(Some("landsat-7")), "ETM+ has other bands");
        assert!(Sensor::default().reads_platform(Some("sentinel-2c")));
    }
}
