//! The climates of Chile that valleys are simulated in: rain, clouds, calendar and what people grow.
//!
//! # Source
//! Rain days and their season: the normals 1991–2020 of the Dirección Meteorológica de Chile for Copiapó, Rancagua,
//! Osorno and Coyhaique, rounded. Shares of crops: the agricultural census of 2021 (INE) for Atacama, O'Higgins, Los Lagos
//! and Aysén, in broad strokes. Clouds over deserts come from the coast: Muñoz et al. 2011 (stratus of northern Chile).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::landuse::{Cover, LandUse};

/// A climate of Chile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Climate {
    /// An irrigated valley in the desert (Copiapó): vines, olives and vegetables under bare hills.
    Desert,
    /// An irrigated valley of the centre (Cachapoal): winter rain, dry summers, everything grows.
    #[default]
    Mediterranean,
    /// The rainy south (Los Ríos, Los Lagos): pastures, cereals and potatoes, seldom a clear sky.
    Temperate,
    /// Patagonia (Aysén): pastures and a little oats in a short, cloudy season.
    Patagonian,
}

/// Where a valley lies if nothing else is said: tile, EPSG code, easting and northing of its upper left corner.
pub(crate) type Place = (&'static str, u32, f64, f64);

/// Covers of a class, each with the share of it and of those before it.
pub(crate) type Kinds = &'static [(Cover, f32)];

/// A class, its share of the field area, and of what it consists.
pub(crate) type ShareOf = (LandUse, f32, Kinds);

/// The numbers of a climate.
#[derive(Debug)]
pub(crate) struct Traits {
    pub(crate) place: Place,
    /// Chance of rain on a day without season, and what midwinter adds.
    pub(crate) rain: (f32, f32),
    /// Days around midwinter in which most of that falls.
    pub(crate) rain_days: f32,
    /// Chance that a dry day is not clear, and what winter adds.
    pub(crate) clouds: (f32, f32),
    /// Share of skies with low stratus from one side among those that are not clear.
    pub(crate) coastal: f32,
    /// Days by which everything is later than in the centre.
    pub(crate) late_days: f32,
    /// Factor on grass, and on woods, that live from rain alone.
    pub(crate) grass: f32,
    pub(crate) woods: f32,
    /// Share of the grass that dries in summer, of what dries in the centre.
    pub(crate) dry: f32,
    /// Factor on the wetness that irrigation brings.
    pub(crate) irrigation: f32,
    pub(crate) shares: &'static [ShareOf],
}

const CEREALS: Kinds = &[(Cover::Wheat, 0.75), (Cover::Oats, 1.0)];
const MAIZE: Kinds = &[(Cover::GrainMaize, 0.7), (Cover::SilageMaize, 1.0)];
const SILAGE: Kinds = &[(Cover::SilageMaize, 1.0)];
const VEGETABLES: Kinds = &[(Cover::Potato, 0.4), (Cover::Tomato, 0.8), (Cover::Onion, 1.0)];
const DOUBLE: Kinds = &[(Cover::ForageThenMaize, 0.65), (Cover::PeasThenBeans, 1.0)];
const FRUIT: Kinds = &[(Cover::Cherry, 0.5), (Cover::Walnut, 0.8), (Cover::Plum, 1.0)];
const EVERGREEN: Kinds = &[(Cover::Avocado, 0.55), (Cover::Citrus, 1.0)];
const VINES: Kinds = &[(Cover::WineGrapes, 0.85), (Cover::TableGrapes, 1.0)];
const PASTURE: Kinds = &[(Cover::Alfalfa, 0.6), (Cover::Ryegrass, 1.0)];
const GRAZED: Kinds = &[(Cover::Alfalfa, 0.1), (Cover::Ryegrass, 1.0)];
const FALLOW: Kinds = &[(Cover::Fallow, 1.0)];

const DESERT: Traits = Traits {
    place: ("19JCK", 32719, 300_000.0, 7_000_000.0),
    rain: (0.001, 0.012),
    rain_days: 40.0,
    clouds: (0.16, 0.10),
    coastal: 0.55,
    late_days: -24.0,
    grass: 0.05,
    woods: 0.15,
    dry: 1.0,
    irrigation: 1.0,
    shares: &[
        (LandUse::Vegetables, 0.19, &[(Cover::Tomato, 0.7), (Cover::Onion, 1.0)]),
        (LandUse::DoubleCrop, 0.05, &[(Cover::PeasThenBeans, 1.0)]),
        (LandUse::EvergreenFruit, 0.20, &[(Cover::Citrus, 0.8), (Cover::Avocado, 1.0)]),
        (LandUse::Vineyard, 0.32, &[(Cover::TableGrapes, 0.9), (Cover::WineGrapes, 1.0)]),
        (LandUse::Pasture, 0.09, &[(Cover::Alfalfa, 1.0)]),
        (LandUse::Bare, 0.15, FALLOW),
    ],
};

const MEDITERRANEAN: Traits = Traits {
    place: ("19HCB", 32719, 300_000.0, 6_200_020.0),
    rain: (0.015, 0.17),
    rain_days: 55.0,
    clouds: (0.34, 0.36),
    coastal: 0.15,
    late_days: 0.0,
    grass: 1.0,
    woods: 1.0,
    dry: 1.0,
    irrigation: 1.0,
    shares: &[
        (LandUse::Wheat, 0.125, CEREALS),
        (LandUse::Maize, 0.165, MAIZE),
        (LandUse::Vegetables, 0.10, VEGETABLES),
        (LandUse::DoubleCrop, 0.085, DOUBLE),
        (LandUse::DeciduousFruit, 0.15, FRUIT),
        (LandUse::EvergreenFruit, 0.085, EVERGREEN),
        (LandUse::Vineyard, 0.125, VINES),
        (LandUse::Pasture, 0.105, PASTURE),
        (LandUse::Bare, 0.06, FALLOW),
    ],
};

const TEMPERATE: Traits = Traits {
    place: ("18GXA", 32718, 600_000.0, 5_600_020.0),
    rain: (0.17, 0.22),
    rain_days: 85.0,
    clouds: (0.55, 0.22),
    coastal: 0.12,
    late_days: 16.0,
    grass: 1.35,
    woods: 1.3,
    dry: 0.3,
    irrigation: 0.1,
    shares: &[
        (LandUse::Wheat, 0.17, CEREALS),
        (LandUse::Maize, 0.04, SILAGE),
        (LandUse::Vegetables, 0.08, &[(Cover::Potato, 1.0)]),
        (LandUse::DeciduousFruit, 0.06, &[(Cover::Cherry, 1.0)]),
        (LandUse::Pasture, 0.60, GRAZED),
        (LandUse::Bare, 0.05, FALLOW),
    ],
};

const PATAGONIAN: Traits = Traits {
    place: ("18GYQ", 32718, 699_960.0, 5_000_020.0),
    rain: (0.16, 0.12),
    rain_days: 95.0,
    clouds: (0.62, 0.12),
    coastal: 0.05,
    late_days: 36.0,
    grass: 0.85,
    woods: 1.05,
    dry: 0.55,
    irrigation: 0.1,
    shares: &[
        (LandUse::Wheat, 0.10, &[(Cover::Oats, 0.9), (Cover::Wheat, 1.0)]),
        (LandUse::Vegetables, 0.03, &[(Cover::Potato, 1.0)]),
        (LandUse::Pasture, 0.78, &[(Cover::Alfalfa, 0.2), (Cover::Ryegrass, 1.0)]),
        (LandUse::Bare, 0.09, FALLOW),
    ],
};

impl Climate {
    /// Every climate, from north to south.
    pub const ALL: [Self; 4] =
        [Self::Desert, Self::Mediterranean, Self::Temperate, Self::Patagonian];

    /// As configs and commands name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Desert => "desert",
            Self::Mediterranean => "mediterranean",
            Self::Temperate => "temperate",
            Self::Patagonian => "patagonian",
        }
    }

    pub(crate) fn traits(self) -> &'static Traits {
        match self {
            Self::Desert => &DESERT,
            Self::Mediterranean => &MEDITERRANEAN,
            Self::Temperate => &TEMPERATE,
            Self::Patagonian => &PATAGONIAN,
        }
    }
}

impl fmt::Display for Climate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Climate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|climate| climate.name() == text);
        found.ok_or_else(|| format!("expected one of {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ValleyConfig;
    use crate::orbit::passes;
    use crate::sky::Sky;
    use crate::valley::Valley;
    use crate::weather::Weather;

    #[test]
    fn shares_are_whole_and_every_climate_is_found_by_its_name() {
        for climate in Climate::ALL {
            let whole: f32 = climate.traits().shares.iter().map(|s| s.1).sum();
            assert!((whole - 1.0).abs() < 1e-5, "{climate}: {whole}");
            assert_eq!(climate.name().parse(), Ok(climate));
            for (class, _, kinds) in climate.traits().shares {
                assert_eq!(kinds.last().map(|k| k.1), Some(1.0));
                assert!(kinds.iter().all(|k| k.0.land_use() == *class), "{climate}: {class:?}");
            }
        }
        assert!("tropical".parse::<Climate>().is_err());
    }

    /// Mean share of the sky under cloud, by climate from north to south.
    fn cover(climate: Climate) -> f32 {
        let mut covers = Vec::new();
        for seed in 0..4 {
            let config =
                ValleyConfig { seed, scenes: 60, duplicates: 0, ..ValleyConfig::of(climate) };
            let weather = Weather::new(&config);
            let skies = passes(&config).unwrap();
            covers.extend(
                skies.iter().map(|p| Sky::new(p, &weather, 64, 1.0).opacity.mean().unwrap()),
            );
        }
        covers.iter().sum::<f32>() / covers.len() as f32
    }

    #[test]
    fn the_sky_closes_from_north_to_south() {
        let [desert, centre, rainy, patagonia] = Climate::ALL.map(cover);
        assert!(desert < 0.6 * centre, "{desert} {centre}");
        assert!(rainy > 1.3 * centre && patagonia > 1.2 * centre, "{centre} {rainy} {patagonia}");
    }

    /// Field margins count among the hills' grass, and weeds of irrigated neighbours keep some of them green.
    #[test]
    fn hills_are_bare_in_a_desert_spring_and_green_in_a_rainy_summer() {
        let hills_at = |climate, days: std::ops::Range<u16>| {
            let config = ValleyConfig {
                side_px: 128,
                scenes: 60,
                duplicates: 0,
                cloudiness: 0.0,
                ..ValleyConfig::of(climate)
            };
            let valley = Valley::new(&config).unwrap();
            let pass = valley.passes().iter().find(|p| days.contains(&p.day)).unwrap();
            let scene = valley.shoot(pass);
            let hills = valley.classes().mapv(|c| c == LandUse::Grassland.code());
            let offset = i32::from(pass.offset_dn);
            let value = |band: usize, at: (usize, usize)| {
                (i32::from(scene.bands[band][at]) - offset) as f32
            };
            let mut sum = (0.0, 0);
            for (at, _) in hills.indexed_iter().filter(|(at, is)| **is && scene.bands[2][*at] > 0) {
                let (red, nir) = (value(2, at), value(6, at));
                sum = (sum.0 + (nir - red) / (nir + red), sum.1 + 1);
            }
            sum.0 / sum.1 as f32
        };
        let [desert, centre, _, _] = Climate::ALL.map(|c| hills_at(c, 110..150));
        assert!(desert < 0.4 && centre > desert + 0.3, "spring: {desert} {centre}");
        let [_, centre, rainy, _] = Climate::ALL.map(|c| hills_at(c, 250..300));
        assert!(rainy > centre + 0.2, "summer: {centre} {rainy}");
    }
}
