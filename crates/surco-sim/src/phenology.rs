//! The calendar of the southern hemisphere: what stands on a patch on each day of the season.
//!
//! Days count from 1 May: 31 is 1 June, 62 is 2 July, 123 is 1 September, 153 is 1 October, 184 is
//! 1 November, 214 is 1 December, 245 is 1 January, 276 is 1 February, 305 is 1 March.
//!
//! # Source
//! Sowing and harvest windows: ODEPA and INIA crop calendars of central Chile; leaf area: usual
//! maxima of the FAO-56 and WOFOST crop tables.

use crate::landuse::Cover;
use crate::patch::Patch;
use crate::weather::Weather;

/// What stands on a patch on one day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Canopy {
    /// Leaf area of the crop or the crowns over the ground under them.
    pub(crate) lai: f32,
    /// Share of that leaf area that is dry.
    pub(crate) brown: f32,
    /// Share of the ground under crowns.
    pub(crate) crown: f32,
    /// Leaf area of weeds, grass or cover crop under and between.
    pub(crate) grass: f32,
    /// Share of that grass that is dry.
    pub(crate) grass_brown: f32,
    /// Share of the soil under straw.
    pub(crate) straw: f32,
    /// Wetness of the soil, 0 to 1.
    pub(crate) wet: f32,
    /// Factor on the soil's brightness: below 1 after ploughing.
    pub(crate) tilth: f32,
    /// Factor on the leaves' chlorophyll.
    pub(crate) chlorophyll: f32,
}

const BARE: Canopy = Canopy {
    lai: 0.0,
    brown: 0.0,
    crown: 1.0,
    grass: 0.0,
    grass_brown: 0.0,
    straw: 0.0,
    wet: 0.0,
    tilth: 1.0,
    chlorophyll: 1.0,
};

/// 0 long before `middle`, 1 long after; four fifths of the way in 4.4 `width`.
fn rise(day: f32, middle: f32, width: f32) -> f32 {
    1.0 / (1.0 + libm::expf((middle - day) / width))
}

/// Up around the first day, down around the second.
fn hump(day: f32, up: (f32, f32), down: (f32, f32)) -> f32 {
    rise(day, up.0, up.1) * (1.0 - rise(day, down.0, down.1))
}

/// Grass that lives from winter rain: green from June, dry from November.
fn winter_grass(day: f32) -> (f32, f32) {
    let green = hump(day, (46.0, 13.0), (182.0, 12.0));
    let dry = rise(day, 186.0, 12.0) * libm::expf(-(day - 186.0).max(0.0) / 210.0)
        + 0.45 * (1.0 - rise(day, 40.0, 14.0));
    let all = green + 0.75 * dry;
    (all, if all > 1e-3 { 0.75 * dry / all } else { 0.0 })
}

/// One annual crop from emergence to harvest.
#[derive(Clone, Copy)]
struct Crop {
    /// Day by which the soil is ready.
    ready: f32,
    up: (f32, f32),
    down: (f32, f32),
    harvest: f32,
    lai: f32,
    chlorophyll: f32,
    /// Share of the soil under straw after harvest.
    straw: f32,
}

const fn crop(ready: f32, up: (f32, f32), down: (f32, f32), harvest: f32, lai: f32) -> Crop {
    Crop { ready, up, down, harvest, lai, chlorophyll: 1.0, straw: 0.3 }
}

impl Crop {
    const WHEAT: Self = Self { straw: 0.75, ..crop(22.0, (86.0, 14.0), (206.0, 8.0), 241.0, 4.8) };
    const OATS: Self = Self { straw: 0.65, ..crop(12.0, (68.0, 14.0), (192.0, 9.0), 226.0, 4.2) };
    const GRAIN_MAIZE: Self =
        Self { straw: 0.7, ..crop(160.0, (216.0, 8.0), (312.0, 9.0), 345.0, 4.9) };
    const SILAGE_MAIZE: Self =
        Self { straw: 0.2, ..crop(162.0, (218.0, 8.0), (318.0, 9.0), 304.0, 4.9) };
    const POTATO: Self =
        Self { chlorophyll: 1.1, ..crop(118.0, (171.0, 8.0), (247.0, 8.0), 268.0, 3.9) };
    const TOMATO: Self =
        Self { chlorophyll: 1.05, ..crop(172.0, (224.0, 10.0), (290.0, 10.0), 303.0, 2.7) };
    const ONION: Self =
        Self { chlorophyll: 0.9, ..crop(95.0, (166.0, 15.0), (246.0, 8.0), 262.0, 2.4) };
    const FORAGE: Self = crop(5.0, (50.0, 12.0), (400.0, 9.0), 166.0, 3.9);
    const LATE_MAIZE: Self =
        Self { straw: 0.4, ..crop(178.0, (238.0, 8.0), (334.0, 9.0), 341.0, 4.4) };
    const PEAS: Self = crop(38.0, (112.0, 12.0), (196.0, 7.0), 204.0, 3.2);
    const BEANS: Self = crop(212.0, (252.0, 7.0), (318.0, 7.0), 334.0, 3.3);

    /// The crop alone: leaf area, share of it dry, straw after harvest, whether it is over.
    fn on(&self, day: f32) -> (f32, f32, f32, bool) {
        if day >= self.harvest {
            let straw = self.straw * libm::expf(-(day - self.harvest) / 120.0);
            return (0.0, 0.0, straw, true);
        }
        let green = hump(day, self.up, self.down);
        let dry = 0.6 * rise(day, self.up.0, self.up.1) * rise(day, self.down.0 + 3.0, self.down.1);
        let all = green + dry;
        (self.lai * all, if all > 1e-3 { dry / all } else { 0.0 }, 0.0, false)
    }
}

/// What stands on a patch `day` days after 1 May.
pub(crate) fn canopy(patch: &Patch, weather: &Weather, day: f32) -> Canopy {
    let t = &patch.traits;
    let own = day - t.shift_days - weather.late_days;
    let mut out = match patch.cover {
        Cover::Wheat => annual(patch, &[Crop::WHEAT], own),
        Cover::Oats => annual(patch, &[Crop::OATS], own),
        Cover::GrainMaize => annual(patch, &[Crop::GRAIN_MAIZE], own),
        Cover::SilageMaize => annual(patch, &[Crop::SILAGE_MAIZE], own),
        Cover::Potato => annual(patch, &[Crop::POTATO], own),
        Cover::Tomato => annual(patch, &[Crop::TOMATO], own),
        Cover::Onion => annual(patch, &[Crop::ONION], own),
        Cover::ForageThenMaize => annual(patch, &[Crop::FORAGE, Crop::LATE_MAIZE], own),
        Cover::PeasThenBeans => annual(patch, &[Crop::PEAS, Crop::BEANS], own),
        Cover::Cherry => orchard(patch, own, (146.0, 6.0), (22.0, 8.0), 3.5),
        Cover::Walnut => orchard(patch, own, (165.0, 6.0), (12.0, 8.0), 3.9),
        Cover::Plum => orchard(patch, own, (141.0, 6.0), (16.0, 9.0), 3.0),
        Cover::WineGrapes => orchard(patch, own, (182.0, 9.0), (-4.0, 9.0), 2.2),
        Cover::TableGrapes => orchard(patch, own, (176.0, 9.0), (2.0, 9.0), 2.8),
        Cover::Avocado => evergreen(patch, own, 4.4, 0.12),
        Cover::Citrus => evergreen(patch, own, 4.3, 0.05),
        Cover::Alfalfa | Cover::Ryegrass => pasture(patch, own),
        Cover::Eucalyptus => evergreen(patch, own, 3.8, 0.04),
        Cover::Pine => evergreen(patch, own, 4.4, 0.02),
        Cover::Sclerophyll => evergreen(patch, own, 3.0, 0.24),
        Cover::Espinal => evergreen(patch, own, 1.9, 0.30),
        Cover::Riverside => {
            // willows and poplars over evergreen chilca
            let trees = orchard(patch, own, (140.0, 9.0), (26.0, 9.0), 2.6);
            Canopy { lai: trees.lai + 1.7, brown: 0.4 * trees.brown, ..trees }
        }
        Cover::DryGrass => grass(patch, own, 2.3 * weather.rainfed),
        Cover::Margin => grass(patch, own, 1.9),
        Cover::ClearCut => Canopy { straw: 0.35, ..grass(patch, own, 1.1 * t.weeds) },
        Cover::Fallow => fallow(patch, own),
        Cover::Gravel => Canopy { grass: 0.25 * t.weeds, grass_brown: winter_grass(own).1, ..BARE },
        Cover::River | Cover::Pond | Cover::Town | Cover::Sheds | Cover::Road | Cover::Track => {
            BARE
        }
    };
    let climate = weather.climate;
    out.wet = weather.wet(day).max(climate.irrigation * irrigation(patch, day));
    match patch.cover {
        Cover::DryGrass | Cover::Margin | Cover::ClearCut => {
            out.lai *= climate.grass;
            out.brown *= climate.dry;
        }
        Cover::Sclerophyll | Cover::Espinal | Cover::Eucalyptus | Cover::Pine => {
            out.lai *= climate.woods;
        }
        _ => {}
    }
    out.grass *= climate.grass;
    out.grass_brown *= climate.dry;
    out.chlorophyll *= t.chlorophyll;
    out
}

/// Wetness from irrigation, which goes round the farm from October to March.
fn irrigation(patch: &Patch, day: f32) -> f32 {
    if patch.cover.land_use().code() > 8 || !(150.0..335.0).contains(&day) {
        return 0.0;
    }
    let round = day / patch.traits.round_days + patch.traits.round_start;
    let since = (round - round.floor()) * patch.traits.round_days;
    0.65 * libm::expf(-since / 2.6)
}

fn annual(patch: &Patch, crops: &[Crop], day: f32) -> Canopy {
    let t = &patch.traits;
    let mut out = BARE;
    let (grass, brown) = winter_grass(day);
    let mut since = -40.0_f32; // harvest of the year before
    let mut standing = false;
    for crop in crops {
        let (lai, dry, straw, over) = crop.on(day);
        let worked = rise(day, crop.ready, 2.0);
        let tilth = 1.0 - 0.22 * worked * (1.0 - rise(day, crop.ready + 45.0, 9.0));
        out.tilth = out.tilth.min(tilth);
        out.straw *= 1.0 - worked;
        if lai > out.lai {
            (out.lai, out.brown) = (lai, dry);
            out.chlorophyll = crop.chlorophyll;
        }
        out.straw = out.straw.max(straw);
        standing |= day >= crop.ready && !over;
        if over {
            since = crop.harvest;
        }
    }
    if standing {
        // weeds among the crop
        out.grass = 0.5
            * t.weeds
            * if t.failed { 2.0 } else { 1.0 }
            * rise(day, crops[0].up.0 + 20.0, 15.0);
    } else if day < crops[0].ready {
        out.straw = 0.45 * (1.0 - t.weeds) * libm::expf(-(day + 40.0) / 110.0);
        (out.grass, out.grass_brown) = (1.9 * t.weeds * grass, brown);
    } else {
        let after = day - since;
        let plough = if t.ploughed { 1.0 - rise(after, 28.0, 2.5) } else { 1.0 };
        out.straw *= plough;
        out.tilth = out.tilth.min(1.0 - 0.2 * (1.0 - plough));
        // irrigation of the neighbours keeps stubble weeds alive
        out.grass = 1.3 * t.weeds * rise(after, 32.0, 9.0) * plough;
        out.grass_brown = 0.35;
    }
    out.lai *= t.vigour;
    out
}

fn orchard(patch: &Patch, day: f32, leaf_out: (f32, f32), fall: (f32, f32), lai: f32) -> Canopy {
    let t = &patch.traits;
    let last_year = 1.0 - rise(day, fall.0, fall.1);
    let this_year = hump(day, leaf_out, (fall.0 + 365.0, fall.1));
    let leaves = (last_year + this_year).min(1.0);
    // after harvest leaves age slowly; in autumn they yellow before they fall
    let tired = 1.0 - 0.14 * rise(day, 262.0, 20.0);
    let yellow = (1.0 - 0.5 * rise(day, fall.0 + 345.0, 9.0))
        * (1.0 - 0.5 * (1.0 - rise(day, fall.0 - 6.0, 8.0)));
    let green = lai * t.vigour * leaves * tired;
    let wood = 0.42;
    let (grass, dry) = winter_grass(day);
    let sown = t.weeds > 0.55; // a cover crop that drip lines keep alive
    let summer = if sown { 0.5 * rise(day, 160.0, 20.0) } else { 0.0 };
    Canopy {
        lai: green + wood,
        brown: wood / (green + wood),
        crown: t.crown,
        grass: 1.5 * t.weeds * grass + summer,
        grass_brown: if sown { 0.3 * dry } else { dry },
        chlorophyll: yellow,
        ..BARE
    }
}

fn evergreen(patch: &Patch, day: f32, lai: f32, swing: f32) -> Canopy {
    let t = &patch.traits;
    // old leaves yellow in early spring, new ones come in November; drought shows in March
    let spring = hump(day, (128.0, 12.0), (196.0, 12.0));
    let drought = rise(day, 275.0, 18.0) * (1.0 - rise(day, 395.0, 12.0));
    let (grass, dry) = winter_grass(day);
    let open = if patch.cover.land_use().code() == 6 { 1.1 * t.weeds } else { 1.9 };
    Canopy {
        lai: lai * t.vigour * (1.0 - swing * (0.5 * spring + drought)),
        brown: 0.05 + 0.3 * swing * drought,
        crown: t.crown,
        grass: open * grass,
        grass_brown: dry,
        chlorophyll: 1.0 - swing * (spring + 0.4 * drought),
        ..BARE
    }
}

fn pasture(patch: &Patch, day: f32) -> Canopy {
    let t = &patch.traits;
    let grazed = patch.cover == Cover::Ryegrass;
    // growth slows in winter, quickens from September
    let pace = 0.38 + 0.62 * hump(day, (118.0, 14.0), (352.0, 18.0));
    let round = day.max(0.0) / t.round_days * if day < 140.0 { 0.45 } else { 1.0 } + t.round_start;
    let part = round - round.floor();
    let regrown = if grazed { 0.55 + 0.3 * part } else { rise(part, 0.34, 0.10) };
    let top = if grazed { 2.9 } else { 4.3 };
    Canopy {
        lai: top * t.vigour * pace * (0.18 + 0.82 * regrown),
        brown: if grazed { 0.14 } else { 0.10 * (1.0 - part) },
        grass: 0.5 * t.weeds,
        straw: 0.2 * (1.0 - part),
        chlorophyll: 1.05,
        ..BARE
    }
}

fn grass(patch: &Patch, day: f32, lai: f32) -> Canopy {
    let (all, dry) = winter_grass(day);
    Canopy {
        lai: lai * patch.traits.vigour * all,
        brown: dry,
        straw: 0.3 * dry,
        chlorophyll: 0.85,
        ..BARE
    }
}

fn fallow(patch: &Patch, day: f32) -> Canopy {
    let t = &patch.traits;
    let (all, dry) = winter_grass(day);
    let worked = if t.ploughed { rise(day, 150.0 + 60.0 * t.round_start, 3.0) } else { 0.0 };
    // some fallow is watered by the neighbour and stays weedy through summer
    let summer =
        if t.weeds > 0.45 { 1.3 * t.weeds * hump(day, (200.0, 18.0), (330.0, 18.0)) } else { 0.0 };
    Canopy {
        lai: (1.6 * t.weeds * all + summer) * (1.0 - worked),
        brown: dry * (1.0 - summer / (summer + 0.5)),
        straw: 0.35 * (1.0 - worked) * (1.0 - t.weeds),
        tilth: 1.0 - 0.18 * worked,
        chlorophyll: 0.85,
        ..BARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ValleyConfig;
    use crate::look::{Look, Spot};
    use crate::spectra::ndvi;

    const SPOT: Spot =
        Spot { red: 0.2, bright: 1.0, growth: 1.0, late: 0.0, crowns: 0.0, row: 5, col: 5 };

    /// Mean NDVI of 60 patches in each month from May (0) to April (11).
    fn year(cover: Cover) -> Vec<f32> {
        let weather = Weather::new(&ValleyConfig::default());
        let month = |m: usize| {
            let day = 15.0 + m as f32 * 30.4;
            let of = |seed: u64| {
                let patch = Patch::new(cover, seed, (1.0, 0.0), 1.0);
                let spectrum = Look::new(&patch, &weather, day, 0.7).at(&SPOT);
                assert!(spectrum.iter().all(|v| (0.0..0.75).contains(v)), "{cover:?} {spectrum:?}");
                ndvi(&spectrum)
            };
            (0..60).map(of).sum::<f32>() / 60.0
        };
        (0..12).map(month).collect()
    }

    /// Months of peak: crop calendars of ODEPA and INIA for central Chile.
    #[test]
    fn every_cover_peaks_in_its_month() {
        const NAMES: [&str; 12] =
            ["May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb", "Mar", "Apr"];
        let cases: [(Cover, &[&str], f32, f32); 10] = [
            // cover, months of its peak, NDVI at the peak at least, lowest month at most
            (Cover::Wheat, &["Aug", "Sep", "Oct"], 0.75, 0.40),
            (Cover::Oats, &["Aug", "Sep", "Oct"], 0.70, 0.40),
            (Cover::GrainMaize, &["Dec", "Jan", "Feb"], 0.75, 0.40),
            (Cover::Potato, &["Nov", "Dec", "Jan"], 0.65, 0.40),
            (Cover::Tomato, &["Dec", "Jan", "Feb"], 0.60, 0.40),
            (Cover::ForageThenMaize, &["Aug", "Sep", "Jan", "Feb"], 0.70, 0.55),
            (Cover::Cherry, &["Oct", "Nov", "Dec", "Jan"], 0.60, 0.48),
            (Cover::Walnut, &["Nov", "Dec", "Jan"], 0.60, 0.50),
            (Cover::WineGrapes, &["Nov", "Dec", "Jan", "Feb"], 0.45, 0.48),
            (Cover::DryGrass, &["Jul", "Aug", "Sep", "Oct"], 0.60, 0.35),
        ];
        for (cover, months, at_least, at_most) in cases {
            let year = year(cover);
            let peak = (0..12).max_by(|&a, &b| year[a].total_cmp(&year[b])).unwrap();
            assert!(
                months.contains(&NAMES[peak]),
                "{cover:?} peaks in {}: {year:.2?}",
                NAMES[peak]
            );
            let low = year.iter().copied().fold(1.0, f32::min);
            assert!(year[peak] > at_least && low < at_most, "{cover:?}: {year:.2?}");
        }
    }

    #[test]
    fn evergreens_are_flat_and_bare_ground_is_bare() {
        for (cover, low, swing) in
            [(Cover::Avocado, 0.55, 0.22), (Cover::Citrus, 0.55, 0.22), (Cover::Pine, 0.60, 0.22)]
        {
            let year = year(cover);
            let (min, max) = year.iter().fold((1.0_f32, 0.0_f32), |a, &v| (a.0.min(v), a.1.max(v)));
            assert!(min > low && max - min < swing, "{cover:?}: {year:.2?}");
        }
        assert!(year(Cover::Fallow)[8] < 0.35);
        assert!(year(Cover::Road).iter().all(|v| (0.0..0.25).contains(v)));
        assert!(year(Cover::Pond).iter().all(|v| *v < 0.0));
        assert!(year(Cover::Alfalfa).iter().all(|v| *v > 0.45));
    }

    #[test]
    fn maize_is_bare_when_wheat_is_green() {
        let (wheat, maize) = (year(Cover::Wheat), year(Cover::GrainMaize));
        assert!(wheat[5] > maize[5] + 0.3, "October");
        assert!(maize[9] > wheat[9] + 0.3, "February");
    }
}
