//! The scene classification of a simulated scene, with the errors of the real one.

use surco_core::Scl;

use crate::noise::{fbm, hash_at, unit};
use crate::spectra::{Spectrum, ndvi};

/// What the classifier meets in one 20 m pixel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// Reflectance at the top of the canopy, clouds and shadows in it.
    pub(crate) spectrum: &'a Spectrum,
    pub(crate) opacity: f32,
    pub(crate) cirrus: f32,
    pub(crate) shadow: f32,
    /// Light on the slope over light on flat ground.
    pub(crate) shading: f32,
    pub(crate) row: usize,
    pub(crate) col: usize,
    /// Seed of this processing's errors.
    pub(crate) seed: u64,
}

/// The class that Sen2Cor would give.
///
/// Thin edges of clouds pass as ground, shadows are missed in blobs, bright roofs and gravel pass as
/// cloud, wet dark soil and shaded slopes as water, shadow or dark area.
///
/// # Source
/// Error kinds: Sen2Cor chapter of the Cloud Mask Intercomparison eXercise (Skakun et al. 2022).
pub(crate) fn classify(e: &Evidence<'_>) -> Scl {
    let s = e.spectrum;
    let chance = unit(hash_at(e.seed, e.col as i32, e.row as i32));
    let blob = fbm(e.seed ^ 5, e.col as f32 / 14.0, e.row as f32 / 14.0, 3);
    if e.opacity > 0.72 + 0.06 * blob {
        return Scl::CloudHigh;
    }
    if e.opacity > 0.34 + 0.16 * blob {
        return Scl::CloudMedium;
    }
    if e.cirrus > 0.30 + 0.12 * blob {
        return Scl::ThinCirrus;
    }
    if e.opacity > 0.16 && chance < 0.35 {
        return Scl::Unclassified;
    }
    // shadow is found where it is deep, except where the geometry of the search fails
    if e.shadow > 0.34 + 0.14 * blob && blob < 0.42 && s[6] < 0.30 {
        return Scl::CloudShadow;
    }
    let (blue, red, infrared, short) = (s[0], s[2], s[6], s[8]);
    if blue > 0.27 && red > 0.27 && chance < 0.6 {
        return if blue > 0.36 { Scl::CloudHigh } else { Scl::CloudMedium };
    }
    if blue > 0.15 && red > 0.19 && short < 0.28 && chance < 0.10 {
        return Scl::CloudMedium; // gravel
    }
    let index = ndvi(s);
    let water = (s[1] - infrared) / (s[1] + infrared).max(1e-4);
    if water > 0.05 && infrared < 0.13 {
        return if chance < 0.05 { Scl::DarkArea } else { Scl::Water };
    }
    if e.shading < 0.62 && infrared < 0.17 {
        return if chance < 0.5 { Scl::DarkArea } else { Scl::CloudShadow };
    }
    if infrared < 0.10 && short < 0.12 {
        return if chance < 0.3 { Scl::Water } else { Scl::DarkArea };
    }
    if index > 0.36 + 0.05 * (chance - 0.5) {
        Scl::Vegetation
    } else if index < 0.31 || short > 0.20 {
        Scl::NotVegetated
    } else {
        Scl::Unclassified
    }
}
