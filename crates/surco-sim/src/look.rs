//! What one patch reflects on one date, up to what varies from pixel to pixel.

use crate::landuse::Cover;
use crate::noise::{derive, hash_at, lerp, unit};
use crate::patch::Patch;
use crate::phenology::{Canopy, canopy};
use crate::spectra::{
    ASPHALT, CLEAR_WATER, CONCRETE, DUST, GRAVEL, GREEN_WATER, Medium, SILT_WATER, Spectrum,
    TILE_ROOF, ZINC_ROOF, blend, soil,
};
use crate::weather::Weather;

/// One patch on one date.
#[derive(Debug)]
pub(crate) enum Look {
    /// Leaves over soil.
    Plants(Plants),
    /// The same everywhere but for a little grain.
    Plain { spectrum: Spectrum, grain: f32 },
    /// Roofs, streets and gardens, pixel by pixel.
    Town { gardens: Spectrum },
    /// Stones with weeds between.
    Stones { plants: Plants },
}

/// Leaves over soil.
#[derive(Debug)]
pub(crate) struct Plants {
    canopy: Canopy,
    leaves: Medium,
    grass: Medium,
    /// Change of leaf area for one day of delay.
    lai_per_day: f32,
    soil: f32,
    /// Light left on the ground between crowns.
    between: f32,
    /// Unevenness of crowns.
    rough: f32,
}

/// What the ground is like at one pixel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) red: f32,
    pub(crate) bright: f32,
    pub(crate) growth: f32,
    pub(crate) late: f32,
    pub(crate) crowns: f32,
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl Look {
    /// A patch `day` days after 1 May, under a sun whose elevation has this sine.
    pub(crate) fn new(patch: &Patch, weather: &Weather, day: f32, sun_sine: f32) -> Self {
        match patch.cover {
            Cover::River => {
                let melt = libm::expf(-((day - 215.0) / 50.0) * ((day - 215.0) / 50.0));
                let silt = (0.25 + 0.55 * melt + 0.4 * weather.wet(day)).min(1.0);
                Self::Plain { spectrum: blend(&CLEAR_WATER, &SILT_WATER, silt), grain: 0.04 }
            }
            Cover::Pond => {
                let bloom =
                    unit(patch.seed) * (0.4 + 0.6 * (day - 100.0).clamp(0.0, 150.0) / 150.0);
                Self::Plain { spectrum: blend(&CLEAR_WATER, &GREEN_WATER, bloom), grain: 0.03 }
            }
            Cover::Sheds => {
                let zinc = 0.35 + 0.65 * unit(patch.seed);
                Self::Plain { spectrum: blend(&CONCRETE, &ZINC_ROOF, zinc), grain: 0.07 }
            }
            Cover::Road => Self::Plain { spectrum: blend(&ASPHALT, &DUST, 0.12), grain: 0.06 },
            Cover::Track => {
                let wet = 0.4 * weather.wet(day);
                let mud = soil(0.3, 0.9, 1.0, 0.0);
                Self::Plain { spectrum: blend(&DUST, &mud, wet), grain: 0.07 }
            }
            Cover::Town => {
                let plants = Plants::new(patch, weather, day, sun_sine);
                let lawn = Medium::new(0.9, 0.12, 1.0, 0.85);
                let green = 1.5 + 0.8 * libm::cosf((day - 130.0) / 58.0);
                Self::Town { gardens: lawn.over(&soil(0.3, 1.0, plants.canopy.wet, 0.2), green) }
            }
            Cover::Gravel => Self::Stones { plants: Plants::new(patch, weather, day, sun_sine) },
            _ => Self::Plants(Plants::new(patch, weather, day, sun_sine)), // all that grows
        }
    }

    /// What the patch reflects at one pixel.
    #[inline]
    pub(crate) fn at(&self, spot: &Spot) -> Spectrum {
        match self {
            Self::Plants(plants) => plants.at(spot),
            Self::Plain { spectrum, grain } => spectrum.map(|v| v * (1.0 + grain * spot.crowns)),
            Self::Stones { plants } => {
                let stones = GRAVEL.map(|v| v * (spot.bright + 0.04 * spot.crowns));
                plants.grass.over(&stones, plants.canopy.grass * (0.5 + spot.growth))
            }
            Self::Town { gardens } => town(gardens, spot),
        }
    }
}

/// A pixel of town: a house plot, a street or a square, the same on every date.
fn town(gardens: &Spectrum, spot: &Spot) -> Spectrum {
    let h = hash_at(17, spot.col as i32, spot.row as i32);
    let block = hash_at(18, spot.col as i32 / 7, spot.row as i32 / 10);
    let street = spot.col.is_multiple_of(7) || spot.row.is_multiple_of(10);
    // a pixel holds parts of two or three roofs
    let zinc = 0.45 * unit(h << 20) * unit(h << 8);
    let roof = blend(&TILE_ROOF, &ZINC_ROOF, zinc).map(|v| v * (0.72 + 0.3 * unit(block << 8)));
    let green = 0.22 + 0.38 * unit(block) * unit(block << 20) + 0.14 * unit(h);
    let paved = if street { 0.60 } else { 0.22 + 0.15 * unit(block << 24) };
    let built = blend(&CONCRETE.map(|v| 0.8 * v), &roof, lerp(0.45, 0.75, unit(h << 40)));
    blend(&blend(&built, &ASPHALT, paved), gardens, if street { 0.6 * green } else { green })
}

impl Plants {
    fn new(patch: &Patch, weather: &Weather, day: f32, sun_sine: f32) -> Self {
        let t = &patch.traits;
        let now = canopy(patch, weather, day);
        let (before, after) =
            (canopy(patch, weather, day - 4.0), canopy(patch, weather, day + 4.0));
        // a harvest or a cut between the two is a step, not a slope
        let change = (after.lai - before.lai) / 8.0;
        let lai_per_day = if change.abs() > 0.22 { 0.0 } else { -change };
        // how dark the shadow between and within crowns is, and how uneven the crowns
        let (dark, rough, tall) = match patch.cover {
            Cover::Pine => (0.52, 0.10, 1.0),
            Cover::Eucalyptus => (0.62, 0.10, 1.0),
            Cover::Sclerophyll => (0.74, 0.12, 0.8),
            Cover::Espinal => (0.80, 0.13, 0.5),
            Cover::Riverside => (0.72, 0.11, 1.0),
            Cover::Walnut | Cover::Avocado => (0.88, 0.06, 0.8),
            Cover::Cherry | Cover::Plum | Cover::Citrus => (0.86, 0.06, 0.6),
            Cover::WineGrapes | Cover::TableGrapes => (0.90, 0.04, 0.4),
            _ => (1.0, 0.025, 0.0), // low crops
        };
        // thick evergreen leaves are dark green, leathery ones of the dry hills grey and dry
        let (green, water) = match patch.cover {
            Cover::Sclerophyll => (0.72, 0.62),
            Cover::Espinal => (0.66, 0.66),
            Cover::Pine => (1.15, 0.85),
            Cover::Eucalyptus => (0.88, 0.80),
            Cover::Avocado | Cover::Citrus => (1.20, 1.15),
            _ => (1.0, 1.0), // crops
        };
        let crown_gaps = now.crown * (1.0 - sun_sine) * tall;
        Self {
            leaves: Medium::new(
                now.chlorophyll * green,
                now.brown,
                water,
                (dark * t.canopy).min(1.1),
            ),
            grass: Medium::new(0.85, now.grass_brown, 1.0, 1.0),
            lai_per_day,
            soil: t.soil * now.tilth,
            between: 1.0 - 0.55 * crown_gaps,
            rough,
            canopy: now,
        }
    }

    #[inline]
    fn at(&self, spot: &Spot) -> Spectrum {
        let c = &self.canopy;
        let wet = (c.wet * (1.15 - 0.5 * (spot.bright - 0.8))).clamp(0.0, 1.0);
        let mut ground = soil(spot.red, self.soil * spot.bright, wet, c.straw);
        if c.grass > 0.02 {
            ground = self.grass.over(&ground, c.grass * spot.growth);
        }
        let lai = ((c.lai + self.lai_per_day * spot.late) * spot.growth).max(0.0);
        if lai < 0.01 {
            return ground;
        }
        let crown = (c.crown * (1.0 + 0.06 * spot.crowns)).clamp(0.03, 1.0);
        let open = ground.map(|v| v * self.between);
        let mut out = blend(&open, &self.leaves.over(&ground, lai), crown);
        let uneven = 1.0 + self.rough * spot.crowns;
        out.iter_mut().for_each(|v| *v *= uneven.max(0.5));
        out
    }
}

/// Seed of what one scene adds to one patch: moisture and tilth differ from week to week.
pub(crate) fn mood(patch: &Patch, day: u16) -> f32 {
    1.0 + 0.05 * crate::noise::normal(derive(patch.seed, "mood", u64::from(day) / 8))
}
