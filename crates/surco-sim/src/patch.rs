//! One patch of ground and what sets it apart from others of its cover.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::landuse::Cover;
use crate::noise::{derive, normal};

/// One patch: a field, a stand, a pond, the road network of a quarter.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub(crate) cover: Cover,
    /// Seed of what happens in it.
    pub(crate) seed: u64,
    /// Direction of its rows: cosine and sine.
    pub(crate) turn: (f32, f32),
    /// Area in ha, from subpixels.
    pub(crate) area_ha: f32,
    pub(crate) traits: Traits,
}

/// What sets a patch apart; 1 or 0 is the usual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Days its calendar is later than usual.
    pub(crate) shift_days: f32,
    /// Factor on leaf area.
    pub(crate) vigour: f32,
    /// Whether the crop failed.
    pub(crate) failed: bool,
    /// Share of the ground under crowns, 1 for closed crops.
    pub(crate) crown: f32,
    /// Factor on chlorophyll.
    pub(crate) chlorophyll: f32,
    /// Weeds and cover crop, 0 to 1.
    pub(crate) weeds: f32,
    /// Whether the soil is worked soon after harvest.
    pub(crate) ploughed: bool,
    /// Days between two irrigations or cuts, and where in that round the season begins.
    pub(crate) round_days: f32,
    pub(crate) round_start: f32,
    /// Factor on the soil's brightness (stones, lime, tilth).
    pub(crate) soil: f32,
    /// Factor on what a closed canopy reflects (shadow between crowns, leaf angle).
    pub(crate) canopy: f32,
}

impl Patch {
    /// A patch whose traits follow from its seed; `spread` widens or narrows them.
    pub(crate) fn new(cover: Cover, seed: u64, turn: (f32, f32), spread: f32) -> Self {
        let traits = Traits::draw(cover, seed, spread);
        Self { cover, seed, turn, area_ha: 0.0, traits }
    }

    /// Yield in t/ha of fresh produce (dry matter for pasture and forage), for covers that have one.
    ///
    /// Means are near those of ODEPA for the O'Higgins region; vigour, lateness and one part in ten of
    /// luck move them.
    pub(crate) fn yield_t_ha(&self) -> Option<f64> {
        let (mean, per_day) = match self.cover {
            Cover::Wheat => (6.2, 0.018),
            Cover::Oats => (4.6, 0.012),
            Cover::GrainMaize => (12.5, 0.045),
            Cover::SilageMaize => (19.0, 0.06),
            Cover::Potato => (32.0, 0.08),
            Cover::Tomato => (88.0, 0.3),
            Cover::Onion => (52.0, 0.15),
            Cover::ForageThenMaize => (21.0, 0.08),
            Cover::PeasThenBeans => (6.4, 0.02),
            Cover::Cherry => (9.5, 0.01),
            Cover::Walnut => (5.2, 0.005),
            Cover::Plum => (24.0, 0.02),
            Cover::Avocado => (9.0, 0.0),
            Cover::Citrus => (32.0, 0.0),
            Cover::WineGrapes => (13.0, 0.015),
            Cover::TableGrapes => (21.0, 0.02),
            Cover::Alfalfa => (15.0, 0.02),
            Cover::Ryegrass => (10.5, 0.01),
            Cover::Eucalyptus
            | Cover::Pine
            | Cover::ClearCut
            | Cover::Sclerophyll
            | Cover::Espinal
            | Cover::Riverside
            | Cover::DryGrass
            | Cover::Margin
            | Cover::Fallow
            | Cover::Gravel
            | Cover::River
            | Cover::Pond
            | Cover::Town
            | Cover::Sheds
            | Cover::Road
            | Cover::Track => return None,
        };
        let t = &self.traits;
        let luck = f64::from(normal(derive(self.seed, "luck", 0))) * 0.10 + 1.0;
        let vigour = f64::from(t.vigour.min(1.25));
        let crowns = f64::from((t.crown / 0.7).clamp(0.25, 1.2));
        let late = per_day * f64::from(t.shift_days);
        let tonnes =
            (mean * libm::pow(vigour, 1.15) * crowns_weight(self.cover, crowns) - late) * luck;
        Some((tonnes.max(0.05 * mean) * 100.0).round() / 100.0)
    }
}

fn crowns_weight(cover: Cover, crowns: f64) -> f64 {
    match cover {
        Cover::Cherry | Cover::Walnut | Cover::Plum | Cover::Avocado | Cover::Citrus => crowns,
        Cover::WineGrapes | Cover::TableGrapes => 0.6 + 0.4 * crowns,
        _ => 1.0, // annual crops cover their ground
    }
}

impl Traits {
    fn draw(cover: Cover, seed: u64, spread: f32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(derive(seed, "traits", 0));
        let mut gauss = |sd: f32| normal(rng.random::<u64>()) * sd * spread;
        let (shift_sd, vigour_sd) = match cover {
            Cover::Wheat | Cover::Oats => (11.0, 0.20),
            Cover::GrainMaize | Cover::SilageMaize => (11.0, 0.17),
            Cover::Potato | Cover::Tomato | Cover::Onion => (15.0, 0.22),
            Cover::ForageThenMaize | Cover::PeasThenBeans => (12.0, 0.20),
            Cover::Cherry | Cover::Walnut | Cover::Plum => (7.0, 0.18),
            Cover::WineGrapes | Cover::TableGrapes => (8.0, 0.20),
            Cover::Alfalfa | Cover::Ryegrass => (8.0, 0.22),
            _ => (7.0, 0.18), // what nobody sows
        };
        let (shift_days, vigour, chlorophyll) = (gauss(shift_sd), gauss(vigour_sd), gauss(0.13));
        let (soil, canopy, crown_off) = (gauss(0.09), gauss(0.07), gauss(1.0));
        let failed = cover.land_use().code() <= 4 && rng.random::<f32>() < 0.05 * spread;
        let young = rng.random::<f32>() < 0.11 * spread;
        let crown = match cover {
            Cover::Cherry | Cover::Plum => (0.68, 0.09, 0.34),
            Cover::Walnut => (0.76, 0.09, 0.36),
            Cover::Avocado | Cover::Citrus => (0.76, 0.08, 0.42),
            Cover::WineGrapes => (0.38, 0.06, 0.25),
            Cover::TableGrapes => (0.66, 0.08, 0.42),
            Cover::Eucalyptus | Cover::Pine => (0.93, 0.04, 0.66),
            Cover::Sclerophyll => (0.80, 0.09, 0.62),
            Cover::Espinal => (0.52, 0.08, 0.42),
            Cover::Riverside => (0.78, 0.10, 0.60),
            _ => (1.0, 0.0, 1.0), // closed crops
        };
        let (full, sd, small) = crown;
        let crown = if young { small + 0.05 * crown_off } else { full + sd * crown_off };
        let weeds: f32 = rng.random();
        Self {
            shift_days,
            vigour: (1.0 + vigour).clamp(0.5, 1.4) * if failed { 0.32 } else { 1.0 },
            failed,
            crown: crown.clamp(0.08, 1.0),
            chlorophyll: (1.0 + chlorophyll).clamp(0.55, 1.4),
            weeds: weeds * weeds,
            ploughed: rng.random::<f32>() < 0.4,
            round_days: match cover {
                Cover::Alfalfa => rng.random_range(29.0..38.0),
                Cover::Ryegrass => rng.random_range(24.0..40.0),
                _ => rng.random_range(7.0..15.0), // irrigation
            },
            round_start: rng.random(),
            soil: (1.0 + soil).clamp(0.75, 1.25),
            canopy: (1.0 + canopy).clamp(0.8, 1.2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yields_are_plausible_and_follow_vigour() {
        let yields = |cover| {
            (0..400)
                .map(move |s| Patch::new(cover, s, (1.0, 0.0), 1.0))
                .map(|p| (f64::from(p.traits.vigour), p.yield_t_ha().unwrap()))
        };
        for (cover, low, high) in [
            (Cover::Wheat, 5.0, 7.0),
            (Cover::GrainMaize, 10.5, 14.0),
            (Cover::Potato, 26.0, 37.0),
            (Cover::Cherry, 6.0, 11.0),
            (Cover::Avocado, 6.5, 10.5),
            (Cover::Alfalfa, 13.0, 17.0),
        ] {
            let mean = yields(cover).map(|(_, y)| y).sum::<f64>() / 400.0;
            assert!((low..high).contains(&mean), "{}: {mean} t/ha", cover.name());
        }
        let strong = yields(Cover::Wheat).filter(|(v, _)| *v > 1.1).map(|(_, y)| y);
        let weak = yields(Cover::Wheat).filter(|(v, _)| *v < 0.9).map(|(_, y)| y);
        let worst = strong.fold(f64::MAX, f64::min);
        let best = weak.fold(0.0, f64::max);
        assert!(best < worst + 3.0 && best < 8.0, "{best} {worst}");
        assert_eq!(Patch::new(Cover::River, 1, (1.0, 0.0), 1.0).yield_t_ha(), None);
    }
}
