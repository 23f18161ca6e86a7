//! What a model may be told of a place besides its images.

use serde::{Deserialize, Serialize};

use crate::{Relief, Site};

/// Number of values in a static token.
pub const STATIC_FEATURES: usize = 34;

/// A thing known of a place. A model is told only those that it was trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// Day length and distance from the equator, in the season token.
    Latitude,
    /// Where on Earth, in a token of its own.
    Location,
    /// Height, steepness and direction of the ground, in a token of its own.
    Relief,
    /// Temperature and rain of the window's months, in a token of its own.
    Weather,
}

/// The static token of one kind, if the site knows the thing.
///
/// | place | value |
/// |---|---|
/// | 0–2 | the place as a point of the unit sphere |
/// | 3–6 | height in km; sine of the slope, and its parts towards the equator and to the east |
/// | 7–30 | temperature from 12 °C in tens of K, then logarithm of one plus rain in cm, month by month; 0 = not known |
/// | 31–33 | 1 for the kind of the token |
#[must_use]
pub fn static_token(kind: Context, site: &Site, south: bool) -> Option<[f32; STATIC_FEATURES]> {
    let mut token = [0.0; STATIC_FEATURES];
    match kind {
        Context::Latitude => return None,
        Context::Location => {
            let [lon, lat] = site.lonlat?.map(f64::to_radians);
            token[0] = (lat.cos() * lon.cos()) as f32;
            token[1] = (lat.cos() * lon.sin()) as f32;
            token[2] = lat.sin() as f32;
            token[31] = 1.0;
        }
        Context::Relief => {
            token[3..7].copy_from_slice(&relief_features(site.relief?, south));
            token[32] = 1.0;
        }
        Context::Weather => {
            for (month, [warmth_c, rain_mm]) in site.weather.as_deref()?.iter().enumerate() {
                token[7 + month] = (warmth_c - 12.0) / 10.0;
                token[19 + month] = (rain_mm.max(0.0) / 10.0).ln_1p();
            }
            token[33] = 1.0;
        }
    }
    token.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
    Some(token)
}

fn relief_features(relief: Relief, south: bool) -> [f32; 4] {
    let steep = relief.slope_deg.to_radians().sin();
    let (east, north) = relief.aspect_deg.to_radians().sin_cos();
    let towards = if south { north } else { -north };
    [relief.elevation_m / 1000.0, steep, steep * towards, steep * east]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sunny_slope_faces_the_equator_on_either_hemisphere() {
        let facing = |aspect_deg| {
            let relief = Some(Relief { elevation_m: 500.0, slope_deg: 30.0, aspect_deg });
            Site { relief, ..Site::default() }
        };
        let south = static_token(Context::Relief, &facing(0.0), true).unwrap();
        let north = static_token(Context::Relief, &facing(180.0), false).unwrap();
        for (a, b) in south.iter().zip(&north) {
            assert!((a - b).abs() < 1e-6, "{south:?} {north:?}");
        }
        assert!((south[3] - 0.5).abs() < 1e-6 && (south[5] - 0.5).abs() < 1e-6, "{south:?}");
    }

    #[test]
    fn what_is_not_known_gives_no_token() {
        let site = Site { lonlat: Some([-71.0, -34.0]), ..Site::default() };
        let kinds = [Context::Latitude, Context::Location, Context::Relief, Context::Weather];
        let there = kinds.map(|kind| static_token(kind, &site, true).is_some());
        assert_eq!(there, [false, true, false, false]);
        let mut months = [[10.0, 50.0]; 12];
        months[3] = [f32::NAN; 2];
        let site = Site { weather: Some(Box::new(months)), ..Site::default() };
        let token = static_token(Context::Weather, &site, true).unwrap();
        assert!(token.iter().all(|v| v.is_finite()) && token[10] == 0.0, "{token:?}");
    }
}
