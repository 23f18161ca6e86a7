//! The inputs of Galileo: what they are called, how they are scaled, and which make one token.
//!
//! # Source
//! nasaharvest/galileo, `config/normalization.json` (means and deviations over 10,000 of its 127,155
//! training places) and `src/data/dataset.py` (two deviations either side of the mean to 0 to 1).

use std::ops::Range;

use crate::peer::BandScale;

/// Bands whose values make one token together.
#[derive(Debug)]
pub(super) struct Group {
    /// Path of its weights.
    pub(super) name: &'static str,
    /// Its bands among those of its kind.
    pub(super) bands: Range<usize>,
}

const fn group(name: &'static str, start: usize, end: usize) -> Group {
    Group { name, bands: start..end }
}

/// Groups that vary in space and time.
pub(super) const SPACE_TIME: [Group; 7] = [
    group("space_time_embed.S1", 0, 2),
    group("space_time_embed.S2_RGB", 2, 5),
    group("space_time_embed.S2_Red_Edge", 5, 8),
    group("space_time_embed.S2_NIR_10m", 8, 9),
    group("space_time_embed.S2_NIR_20m", 9, 10),
    group("space_time_embed.S2_SWIR", 10, 12),
    group("space_time_embed.NDVI", 12, 13),
];

/// Groups that vary in space.
pub(super) const SPACE: [Group; 3] = [
    group("space_embed.SRTM", 0, 2),
    group("space_embed.DW", 2, 11),
    group("space_embed.WC", 11, 16),
];

/// Groups that vary in time.
pub(super) const TIME: [Group; 3] =
    [group("time_embed.ERA5", 0, 2), group("time_embed.TC", 2, 5), group("time_embed.VIIRS", 5, 6)];

/// Groups of the whole window.
pub(super) const STATIC: [Group; 4] = [
    group("static_embed.LS", 0, 1),
    group("static_embed.location", 1, 4),
    group("static_embed.DW_static", 4, 13),
    group("static_embed.WC_static", 13, 18),
];

/// Bands of each kind, in the order of [`GALILEO_BANDS`].
pub(super) const BANDS: [usize; 4] = [13, 16, 6, 18];

const fn measured(name: &'static str, mean: f64, deviation: f64) -> BandScale {
    BandScale { name, add: 2.0 * deviation - mean, divide: 4.0 * deviation }
}

const fn share(name: &'static str, divide: f64) -> BandScale {
    BandScale { name, add: 0.0, divide }
}

/// Inputs in order: 13 that vary in space and time, 16 in space, 6 in time, 18 of the whole window;
/// each is brought to about one by `(value + add) / divide`.
pub const GALILEO_BANDS: [BandScale; 53] = [
    measured("VV", -11.728724389184965, 4.887145774840316),
    measured("VH", -18.85558188024017, 5.730270320384293),
    measured("B2", 1395.3408730676722, 917.7041440370853),
    measured("B3", 1338.4026921784578, 913.2988423581528),
    measured("B4", 1343.09883810357, 1092.678723527555),
    measured("B5", 1543.8607982512297, 1047.2206083460424),
    measured("B6", 2186.2022069512263, 1048.0101611156767),
    measured("B7", 2525.0932853316694, 1143.6903026819996),
    measured("B8", 2410.3377187373408, 1098.979177731649),
    measured("B8A", 2750.2854646886753, 1204.472755085893),
    measured("B11", 2234.911100061487, 1145.9774063078878),
    measured("B12", 1474.5311266077113, 980.2429840007796),
    share("NDVI", 1.0),
    measured("elevation", 673.0152819503361, 983.0697298296237),
    measured("slope", 5.930092668915115, 8.167406789813247),
    share("DW_water", 1.0),
    share("DW_trees", 1.0),
    share("DW_grass", 1.0),
    share("DW_flooded_vegetation", 1.0),
    share("DW_crops", 1.0),
    share("DW_shrub_and_scrub", 1.0),
    share("DW_built", 1.0),
    share("DW_bare", 1.0),
    share("DW_snow_and_ice", 1.0),
    share("WC_temporarycrops", 100.0),
    share("WC_maize", 100.0),
    share("WC_wintercereals", 100.0),
    share("WC_springcereals", 100.0),
    share("WC_irrigation", 100.0),
    measured("temperature_2m", 271.5674963541667, 79.80828940314429),
    measured("total_precipitation_sum", 0.08554303677156568, 0.11669547098151486),
    measured("def", 657.3181260091111, 704.0008695557707),
    measured("soil", 692.1291795806885, 925.0116126406431),
    measured("aet", 562.781331880633, 453.2434022278578),
    measured("avg_rad", 1.5647115934036673, 7.513020170832818),
    measured("b1", 188.20315880851746, 1154.5919128300602),
    share("x", 1.0),
    share("y", 1.0),
    share("z", 1.0),
    share("DW_water_static", 1.0),
    share("DW_trees_static", 1.0),
    share("DW_grass_static", 1.0),
    share("DW_flooded_vegetation_static", 1.0),
    share("DW_crops_static", 1.0),
    share("DW_shrub_and_scrub_static", 1.0),
    share("DW_built_static", 1.0),
    share("DW_bare_static", 1.0),
    share("DW_snow_and_ice_static", 1.0),
    share("WC_temporarycrops_static", 100.0),
    share("WC_maize_static", 100.0),
    share("WC_wintercereals_static", 100.0),
    share("WC_springcereals_static", 100.0),
    share("WC_irrigation_static", 100.0),
];
