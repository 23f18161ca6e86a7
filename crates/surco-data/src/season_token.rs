//! What a model is told of a date: the phase of the year and the height of the sun, on either
//! hemisphere.

/// Number of values in a season token.
pub const SEASON_FEATURES: usize = 15;

const YEAR_DAYS: f64 = 365.2425;

/// Tilt of the Earth's axis in degrees.
const TILT_DEG: f64 = 23.44;

/// The season token of a date.
///
/// | place | value |
/// |---|---|
/// | 0–9 | sine and cosine of the phase of the year at 1, 2, 4, 8 and 16 cycles, the phase shifted by half a year north of the equator so that 1 means the same season everywhere |
/// | 10 | years before the end of the window, 0 at the end, −1 a year earlier, which tells two Augusts apart |
/// | 11 | declination of the sun towards this hemisphere: 1 at midsummer, −1 at midwinter |
/// | 12 | day length: −1 = no day, 0 = 12 hours, 1 = no night; 0 if the latitude is not known |
/// | 13 | distance from the equator: 0 there, 1 at a pole; 0 if the latitude is not known |
/// | 14 | 1 if the latitude is known |
///
/// # Source
/// Declination: Cooper 1969, *The absorption of radiation in solar stills*, with the tilt of today; day
/// length from sunrise of the sun's centre without refraction, cos ω = −tan φ tan δ.
#[must_use]
pub fn season_token(
    day: i32,
    south: bool,
    end_day: i32,
    lat_deg: Option<f64>,
) -> [f32; SEASON_FEATURES] {
    let shift = if south { 0.0 } else { YEAR_DAYS / 2.0 };
    let phase = std::f64::consts::TAU * ((f64::from(day) + shift) / YEAR_DAYS);
    let mut token = [0.0; SEASON_FEATURES];
    for (i, cycles) in [1.0, 2.0, 4.0, 8.0, 16.0].into_iter().enumerate() {
        let (sin, cos) = (phase * cycles).sin_cos();
        token[2 * i] = sin as f32;
        token[2 * i + 1] = cos as f32;
    }
    token[10] = (f64::from(day - end_day) / YEAR_DAYS) as f32;
    let towards = declination_deg(day) * if south { -1.0 } else { 1.0 };
    token[11] = (towards / TILT_DEG) as f32;
    if let Some(lat) = lat_deg.filter(|lat| lat.is_finite()) {
        token[12] = (day_hours(lat.abs(), towards) / 12.0 - 1.0) as f32;
        token[13] = (lat.abs() / 90.0) as f32;
        token[14] = 1.0;
    }
    token
}

/// Declination of the sun in degrees, positive in June.
fn declination_deg(day: i32) -> f64 {
    // 1970-01-01 is day 0 here and day 1 of the year in the source.
    let turn = (f64::from(day) + 1.0 + 284.0) / YEAR_DAYS;
    TILT_DEG * (std::f64::consts::TAU * turn).sin()
}

fn day_hours(lat_deg: f64, declination_deg: f64) -> f64 {
    let cos = -lat_deg.to_radians().tan() * declination_deg.to_radians().tan();
    cos.clamp(-1.0, 1.0).acos() * 24.0 / std::f64::consts::PI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_year_apart_the_hemispheres_agree() {
        let south = season_token(19_000, true, 19_100, Some(-34.0));
        let north = season_token(19_000 + 183, false, 19_100 + 183, Some(34.0));
        for (i, (a, b)) in south.iter().zip(&north).enumerate() {
            // 183 days are not quite half a year: 0.38 days, at most 16 cycles of it
            assert!((a - b).abs() < 0.11, "feature {i}: {a} {b}");
        }
        let year = season_token(19_000 - 365, true, 19_100, None);
        assert!((year[0] - south[0]).abs() < 0.01 && (south[10] - year[10] - 1.0).abs() < 0.01);
    }

    /// By hand for Santiago, 33.45° S, on 21 December 2022: cos ω = −tan 33.45° tan 23.44° = −0.2865, so
    /// the day lasts 2 × 106.65° / 15 = 14.22 hours; half a year later it lasts 24 − 14.22.
    #[test]
    fn days_are_long_in_summer_and_nobody_knows_how_long_without_a_latitude() {
        let midsummer = 19_347; // 2022-12-21
        let summer = season_token(midsummer, true, midsummer, Some(-33.45));
        assert!((summer[12] - (14.22 / 12.0 - 1.0)).abs() < 0.002, "{summer:?}");
        assert!((summer[11] - 1.0).abs() < 0.001, "{summer:?}");
        let winter = season_token(midsummer + 182, true, midsummer, Some(-33.45));
        assert!((winter[12] + summer[12]).abs() < 0.002, "{winter:?}");
        let polar = season_token(midsummer, true, midsummer, Some(-80.0));
        assert!((polar[12] - 1.0).abs() < 1e-6, "the sun does not set: {polar:?}");
        let unknown = season_token(midsummer, true, midsummer, None);
        assert_eq!((&unknown[..12], &unknown[12..]), (&summer[..12], &[0.0; 3][..]));
    }
}
