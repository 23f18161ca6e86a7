//! What a simulated valley depends on, and what can be wrong with it.

use std::path::PathBuf;

use crate::climate::Climate;
use serde::{Deserialize, Serialize};
use surco_core::{Fault, Georef, Season, SeasonError};
use surco_raster::cog::CogError;
use surco_raster::projection::CrsError;

/// Everything a simulated valley depends on: the same values give the same bytes.
///
/// The default is a valley of 5.12 km on the Cachapoal in O'Higgins, in the upper left corner of
/// tile 19HCB, in the agricultural year 2023/24.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValleyConfig {
    /// Seed of everything.
    pub seed: u64,
    /// The climate: rain, clouds, calendar and crops.
    pub climate: Climate,
    /// The agricultural year that begins on 1 May of this year.
    pub year: i16,
    /// Side of the valley in 10 m pixels; a multiple of 4.
    pub side_px: usize,
    /// MGRS tile the scenes are named after.
    pub tile: String,
    /// EPSG code of the tile's UTM zone.
    pub epsg: u32,
    /// Easting of the left edge in m; the tile's own by default, so that a cell of the tile begins here.
    pub x0_m: f64,
    /// Northing of the upper edge in m; the tile's own by default.
    pub y0_m: f64,
    /// Acquisitions kept of about 146 a year.
    pub scenes: usize,
    /// Acquisitions that come twice, from two processings.
    pub duplicates: usize,
    /// Days after 1 May at which processing baseline 03.01 gives way to 05.09 and its offset of 1000.
    pub baseline_change_day: u16,
    /// Days after 1 May at which Sentinel-2C takes the place of Sentinel-2A.
    pub fleet_change_day: u16,
    /// Share of the valley's width that the second orbit sees, 0 to 1.
    pub partial_swath: f32,
    /// How cloudy the year is: 1 is usual, 0 is clear.
    pub cloudiness: f32,
    /// How much fields of one class differ in timing, vigour and cover: 1 is realistic, 0 is easy.
    pub spread: f32,
}

impl Default for ValleyConfig {
    fn default() -> Self {
        Self::of(Climate::default())
    }
}

impl ValleyConfig {
    /// The default of a climate: a valley in the upper left corner of a tile that has it.
    #[must_use]
    pub fn of(climate: Climate) -> Self {
        let (tile, epsg, x0_m, y0_m) = climate.traits().place;
        Self {
            seed: 7,
            climate,
            year: 2023,
            side_px: 512,
            tile: tile.into(),
            epsg,
            x0_m,
            y0_m,
            scenes: 40,
            duplicates: 2,
            baseline_change_day: 190,
            fleet_change_day: 290,
            partial_swath: 0.62,
            cloudiness: 1.0,
            spread: 1.0,
        }
    }

    /// The 10 m grid of the valley.
    #[must_use]
    pub fn georef(&self) -> Georef {
        Georef { epsg: self.epsg, x0_m: self.x0_m, y0_m: self.y0_m, px_m: 10.0 }
    }

    /// The season of the archive: 1 May of `year` to 30 April of the next.
    ///
    /// # Errors
    /// [`SimError::Year`] outside 2015 to 2100.
    pub fn season(&self) -> Result<Season, SimError> {
        Ok(Season::agricultural(self.year)?)
    }

    /// Refuses values that no valley can have.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the key, the value and the range.
    pub fn check(&self) -> Result<(), SimError> {
        let refuse = |key, found: String, expected| Err(SimError::Config { key, found, expected });
        if !(64..=2048).contains(&self.side_px) || !self.side_px.is_multiple_of(4) {
            return refuse("side_px", self.side_px.to_string(), "a multiple of 4 from 64 to 2048");
        }
        if self.tile.len() != 5 || !self.tile.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return refuse("tile", self.tile.clone(), "an MGRS tile such as 19HCB");
        }
        if !matches!(self.epsg, 32701..=32760) {
            return refuse("epsg", self.epsg.to_string(), "a southern UTM zone, 32701 to 32760");
        }
        if self.x0_m % 20.0 != 0.0 || self.y0_m % 20.0 != 0.0 {
            let found = format!("{} {}", self.x0_m, self.y0_m);
            return refuse("x0_m, y0_m", found, "multiples of 20, the grid of the tiles");
        }
        if !(2..=140).contains(&self.scenes) {
            return refuse("scenes", self.scenes.to_string(), "2 to 140");
        }
        if self.duplicates >= self.scenes {
            return refuse("duplicates", self.duplicates.to_string(), "fewer than scenes");
        }
        for (key, value, top) in [
            ("partial_swath", self.partial_swath, 1.0),
            ("cloudiness", self.cloudiness, 3.0),
            ("spread", self.spread, 2.0),
        ] {
            if !(0.0..=top).contains(&value) {
                return refuse(key, value.to_string(), "0 to 1 (cloudiness to 3, spread to 2)");
            }
        }
        self.season().map(|_| ())
    }
}

/// Why a valley could not be simulated or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A value of the config is out of range.
    #[error("cannot simulate a valley with {key} = {found}: expected {expected}")]
    Config {
        /// Key of the config.
        key: &'static str,
        /// Value found.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// No agricultural year has this number.
    #[error("cannot simulate a valley: {0}")]
    Year(#[from] SeasonError),
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A raster could not be written.
    #[error("cannot write a raster of the valley: {0}")]
    Raster(#[from] CogError),
    /// The tile's coordinate system cannot be used.
    #[error("cannot place the valley on the earth: {0}")]
    Place(#[from] CrsError),
    /// The user asked to stop.
    #[error("stopped after {done} of {total} scenes; the archive is not complete")]
    Stopped {
        /// Scenes written.
        done: usize,
        /// Scenes wanted.
        total: usize,
    },
}

impl SimError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Config { .. } | Self::Year(_) => Fault::Usage,
            Self::Write { .. } | Self::Stopped { .. } => Fault::Failed,
            Self::Raster(error) => error.fault(),
            Self::Place(error) => error.fault(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_refuses_unknown_keys_and_impossible_values() {
        assert!(ValleyConfig::default().check().is_ok());
        let config: ValleyConfig = serde_json::from_str(r#"{"seed": 3, "side_px": 256}"#).unwrap();
        assert_eq!((config.seed, config.side_px, config.year), (3, 256, 2023));
        assert!(serde_json::from_str::<ValleyConfig>(r#"{"side": 256}"#).is_err());
        let error = ValleyConfig { side_px: 257, ..config }.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot simulate a valley with side_px = 257: expected a multiple of 4 from 64 to 2048"
        );
        assert_eq!(error.fault(), Fault::Usage);
    }
}
