//! The valley itself: land, weather and passes, ready to be looked at.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::config::{SimError, ValleyConfig};
use crate::landscape::Landscape;
use crate::landuse::LandUse;
use crate::orbit::{Pass, passes};
use crate::scene::{Scene, Studio};
use crate::weather::Weather;

/// A simulated valley in one season, in memory.
///
/// # Example
/// ```
/// use surco_sim::{Valley, ValleyConfig};
/// let valley = Valley::new(&ValleyConfig { side_px: 64, scenes: 4, ..Default::default() })?;
/// let scene = valley.shoot(&valley.passes()[0]);
/// assert_eq!(scene.bands[2].dim(), (64, 64)); // B04 at 10 m
/// assert_eq!(scene.scl.dim(), (32, 32)); // 20 m
/// # Ok::<(), surco_sim::SimError>(())
/// ```
#[derive(Debug)]
pub struct Valley {
    config: ValleyConfig,
    land: Landscape,
    weather: Weather,
    passes: Vec<Pass>,
}

/// The true area of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassArea {
    /// Code in `classes.tif`.
    pub code: u8,
    /// Name of the class.
    pub name: String,
    /// Area of the pixels whose majority is this class, in ha: what a map without error shows.
    pub area_ha: f64,
    /// Area of the ground itself, in ha, counted at 2.5 m.
    pub ground_ha: f64,
}

impl Valley {
    /// Lays out the valley of a config and plans the season's passes.
    ///
    /// # Errors
    /// [`SimError::Config`] or [`SimError::Year`] if the config is out of range.
    pub fn new(config: &ValleyConfig) -> Result<Self, SimError> {
        config.check()?;
        Ok(Self {
            land: Landscape::new(config),
            weather: Weather::new(config),
            passes: passes(config)?,
            config: config.clone(),
        })
    }

    /// The config it was laid out from.
    #[must_use]
    pub fn config(&self) -> &ValleyConfig {
        &self.config
    }

    /// The acquisitions of the season, by time; a second processing follows its first.
    #[must_use]
    pub fn passes(&self) -> &[Pass] {
        &self.passes
    }

    /// The picture of one pass; the same pass gives the same pixels.
    #[must_use]
    pub fn shoot(&self, pass: &Pass) -> Scene {
        Studio { config: &self.config, land: &self.land, weather: &self.weather }.shoot(pass)
    }

    /// Codes of the true classes, `[y, x]` at 10 m.
    #[must_use]
    pub fn classes(&self) -> ArrayView2<'_, u8> {
        self.land.class.view()
    }

    /// The true area of every class, by code.
    #[must_use]
    pub fn areas(&self) -> Vec<ClassArea> {
        let area = |class: LandUse| {
            let pixels = self.land.class.iter().filter(|&&c| c == class.code()).count();
            let ground: f64 = self
                .land
                .patches
                .iter()
                .filter(|p| p.cover.land_use() == class)
                .map(|p| f64::from(p.area_ha))
                .sum();
            ClassArea {
                code: class.code(),
                name: class.name().into(),
                area_ha: pixels as f64 / 100.0,
                ground_ha: (ground * 1e4).round() / 1e4,
            }
        };
        LandUse::ALL.into_iter().map(area).collect()
    }

    pub(crate) fn land(&self) -> &Landscape {
        &self.land
    }
}
