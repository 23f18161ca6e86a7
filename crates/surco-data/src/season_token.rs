//! What a model is told of a date: the phase of the year, on either hemisphere.

/// Number of values in a season token.
pub const SEASON_FEATURES: usize = 11;

const YEAR_DAYS: f64 = 365.2425;

/// The season token of a date.
///
/// Sine and cosine of the phase of the year at 1, 2, 4, 8 and 16 cycles a year, the phase shifted by
/// half a year north of the equator so that 1 means the same season everywhere, and last the years
/// before the end of the window (0 at the end, −1 a year earlier), which tells two Augusts apart.
#[must_use]
pub fn season_token(day: i32, south: bool, end_day: i32) -> [f32; SEASON_FEATURES] {
    let shift = if south { 0.0 } else { YEAR_DAYS / 2.0 };
    let phase = std::f64::consts::TAU * ((f64::from(day) + shift) / YEAR_DAYS);
    let mut token = [0.0; SEASON_FEATURES];
    for (i, cycles) in [1.0, 2.0, 4.0, 8.0, 16.0].into_iter().enumerate() {
        let (sin, cos) = (phase * cycles).sin_cos();
        token[2 * i] = sin as f32;
        token[2 * i + 1] = cos as f32;
    }
    token[SEASON_FEATURES - 1] = (f64::from(day - end_day) / YEAR_DAYS) as f32;
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_year_apart_the_hemispheres_agree() {
        let south = season_token(19_000, true, 19_100);
        let north = season_token(19_000 + 183, false, 19_100 + 183);
        for (i, (a, b)) in south.iter().zip(&north).enumerate() {
            // 183 days are not quite half a year: 0.38 days, at most 16 cycles of it
            assert!((a - b).abs() < 0.11, "feature {i}: {a} {b}");
        }
        let year = season_token(19_000 - 365, true, 19_100);
        assert!((year[0] - south[0]).abs() < 0.01 && (south[10] - year[10] - 1.0).abs() < 0.01);
    }
}
