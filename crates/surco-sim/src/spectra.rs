//! What leaves, soils, water and roofs reflect in the ten land bands.
//!
//! A canopy is a turbid medium over its soil (two-stream, Kubelka–Munk): with leaf albedo ω,
//! `s = sqrt(1 - ω)` and `ρ∞ = (1 - s) / (1 + s)`, it reflects `ρ∞ + (ρsoil - ρ∞) exp(-2 s L)` for leaf
//! area L, so that red saturates at L ≈ 2 and near infrared at L ≈ 5, as they do in the field.
//!
//! # Source
//! Leaf absorption by pigment, water and dry matter: shapes of PROSPECT-5 (Féret et al. 2008) for
//! 45 µg/cm² chlorophyll, 0.015 cm water and 0.007 g/cm² dry matter, sampled at the band centres of
//! [`surco_core::S2_BANDS`]. Soils, straw, concrete, asphalt and roofs: typical spectra of the USGS
//! (splib07) and ECOSTRESS libraries. Water: Case-2 waters of Bukata et al. (1995). Rounded by us.

use crate::noise::decay;

/// Number of bands of [`surco_core::S2_BANDS`].
pub(crate) const BANDS: usize = 10;

/// One value for each of the ten bands.
pub(crate) type Spectrum = [f32; BANDS];

//                                B02    B03    B04    B05    B06    B07    B08    B8A    B11    B12
const LEAF_MATTER: Spectrum =
    [0.300, 0.120, 0.110, 0.100, 0.075, 0.062, 0.066, 0.056, 0.130, 0.280];
const LEAF_CHLOROPHYLL: Spectrum =
    [2.000, 1.130, 2.020, 0.920, 0.150, 0.016, 0.000, 0.000, 0.0, 0.0];
const LEAF_WATER: Spectrum = [0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.003, 0.008, 0.370, 0.860];
const LEAF_BROWN: Spectrum = [0.880, 0.640, 0.465, 0.380, 0.290, 0.235, 0.195, 0.165, 0.050, 0.110];

/// Grey-brown alluvial loam of the valley floor, air-dry.
const LOAM: Spectrum = [0.088, 0.123, 0.150, 0.171, 0.194, 0.217, 0.232, 0.243, 0.315, 0.275];
/// Reddish clay on granite, of hills and foot slopes, air-dry.
const CLAY: Spectrum = [0.066, 0.105, 0.157, 0.191, 0.216, 0.242, 0.256, 0.266, 0.350, 0.295];
/// Part of the reflectance that water in the soil takes.
const WETTING: Spectrum = [0.46, 0.46, 0.46, 0.45, 0.44, 0.43, 0.42, 0.42, 0.50, 0.58];
/// Straw lying on the soil.
const STRAW: Spectrum = [0.098, 0.145, 0.205, 0.235, 0.265, 0.292, 0.325, 0.345, 0.410, 0.300];
/// Stones and sand of the river.
pub(crate) const GRAVEL: Spectrum =
    [0.150, 0.172, 0.192, 0.200, 0.206, 0.212, 0.218, 0.222, 0.250, 0.232];
pub(crate) const CONCRETE: Spectrum =
    [0.185, 0.222, 0.252, 0.262, 0.270, 0.276, 0.284, 0.290, 0.325, 0.300];
pub(crate) const ASPHALT: Spectrum =
    [0.072, 0.083, 0.092, 0.097, 0.102, 0.106, 0.111, 0.115, 0.140, 0.140];
pub(crate) const ZINC_ROOF: Spectrum =
    [0.400, 0.425, 0.440, 0.445, 0.448, 0.450, 0.452, 0.455, 0.480, 0.440];
pub(crate) const TILE_ROOF: Spectrum =
    [0.068, 0.098, 0.185, 0.222, 0.242, 0.255, 0.270, 0.282, 0.360, 0.335];
/// Dusty farm track.
pub(crate) const DUST: Spectrum =
    [0.125, 0.165, 0.208, 0.226, 0.240, 0.254, 0.268, 0.278, 0.345, 0.315];
pub(crate) const CLEAR_WATER: Spectrum =
    [0.040, 0.038, 0.024, 0.020, 0.014, 0.014, 0.012, 0.011, 0.006, 0.004];
/// River in the snow melt.
pub(crate) const SILT_WATER: Spectrum =
    [0.088, 0.122, 0.124, 0.112, 0.078, 0.074, 0.060, 0.048, 0.011, 0.007];
/// Pond full of algae.
pub(crate) const GREEN_WATER: Spectrum =
    [0.030, 0.062, 0.032, 0.048, 0.022, 0.022, 0.020, 0.017, 0.006, 0.004];

/// A canopy without end: what it reflects and how fast light fades in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Medium {
    reflects: Spectrum,
    fades: Spectrum,
}

impl Medium {
    /// Leaves with this chlorophyll (1 is usual) and this dry share; `darkness` is the factor that
    /// shadow between crowns leaves, `water` the factor on leaf water.
    pub(crate) fn new(chlorophyll: f32, brown: f32, water: f32, darkness: f32) -> Self {
        let (mut reflects, mut fades) = ([0.0; BANDS], [0.0; BANDS]);
        for b in 0..BANDS {
            let green = libm::expf(
                -(LEAF_MATTER[b] + chlorophyll * LEAF_CHLOROPHYLL[b] + water * LEAF_WATER[b]),
            );
            let dry = libm::expf(-(LEAF_MATTER[b] + LEAF_BROWN[b] + 0.08 * LEAF_WATER[b]));
            let albedo = green + (dry - green) * brown;
            let s = (1.0 - albedo).sqrt();
            // shadow takes less where leaves let light through
            let dark = 1.0 - (1.0 - darkness) * (0.6 + 0.4 * s);
            reflects[b] = (1.0 - s) / (1.0 + s) * dark * 0.90;
            fades[b] = 2.0 * s.max(0.30);
        }
        Self { reflects, fades }
    }

    /// What leaf area `lai` of this medium over `ground` reflects.
    #[inline]
    pub(crate) fn over(&self, ground: &Spectrum, lai: f32) -> Spectrum {
        let mut out = [0.0; BANDS];
        for b in 0..BANDS {
            let left = decay(self.fades[b] * lai);
            out[b] = self.reflects[b] + (ground[b] - self.reflects[b]) * left;
        }
        out
    }
}

/// Soil between loam (`red` = 0) and clay (1), wet from 0 to 1, partly under straw.
#[inline]
pub(crate) fn soil(red: f32, brightness: f32, wet: f32, straw: f32) -> Spectrum {
    let mut out = [0.0; BANDS];
    for b in 0..BANDS {
        let dry = brightness * (LOAM[b] + red * (CLAY[b] - LOAM[b]));
        let bare = dry * (1.0 - wet * WETTING[b]);
        let litter = STRAW[b] * (1.0 - 0.35 * wet);
        out[b] = bare + (litter - bare) * straw;
    }
    out
}

/// Part `t` of the way from one spectrum to another.
#[inline]
pub(crate) fn blend(a: &Spectrum, b: &Spectrum, t: f32) -> Spectrum {
    let mut out = [0.0; BANDS];
    for i in 0..BANDS {
        out[i] = a[i] + (b[i] - a[i]) * t;
    }
    out
}

/// (near infrared − red) / (near infrared + red), from B08 and B04.
#[inline]
pub(crate) fn ndvi(s: &Spectrum) -> f32 {
    (s[6] - s[2]) / (s[6] + s[2]).max(1e-4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_have_a_green_peak_a_red_edge_and_water_bands() {
        let dense = Medium::new(1.0, 0.0, 1.0, 1.0).over(&LOAM, 6.0);
        assert!(dense.iter().all(|v| (0.0..0.7).contains(v)), "{dense:?}");
        let [b02, b03, b04, b05, b06, b07, b08, _, b11, b12] = dense;
        assert!(b03 > b02 && b03 > b04, "green peak");
        assert!(b04 < 0.05 && b04 < b05 && b05 < b06 && b06 < b07, "red edge: {dense:?}");
        assert!((0.40..0.60).contains(&b08) && b11 < 0.30 && b12 < 0.6 * b11, "{dense:?}");
        assert!(ndvi(&dense) > 0.85);
        let straw = Medium::new(0.0, 1.0, 0.0, 1.0).over(&LOAM, 4.0);
        assert!((0.10..0.35).contains(&ndvi(&straw)) && straw[8] > straw[6], "{straw:?}");
        assert!((0.08..0.25).contains(&ndvi(&LOAM)) && ndvi(&CLEAR_WATER) < 0.0);
    }

    #[test]
    fn red_saturates_before_the_infrared() {
        let leaf = Medium::new(1.0, 0.0, 1.0, 1.0);
        let at = |lai| leaf.over(&LOAM, lai);
        let done = |band: usize, lai| (at(lai)[band] - LOAM[band]) / (at(12.0)[band] - LOAM[band]);
        assert!(done(2, 2.0) > 0.95 && done(6, 2.0) < 0.80, "{} {}", done(2, 2.0), done(6, 2.0));
    }

    #[test]
    fn wet_soil_is_darker_most_of_all_at_long_waves() {
        let (dry, wet) = (soil(0.3, 1.0, 0.0, 0.0), soil(0.3, 1.0, 1.0, 0.0));
        let part = |b: usize| wet[b] / dry[b];
        assert!((0..BANDS).all(|b| part(b) < 0.62) && part(9) < part(6));
    }
}
