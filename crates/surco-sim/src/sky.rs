//! Clouds, their shadows, thin cirrus and haze of one acquisition.

use ndarray::Array2;

use crate::noise::{derive, fbm, hash_at, lerp, normal, smoothstep, unit};
use crate::orbit::Pass;
use crate::weather::Weather;

/// Side of a cell of the sky in m: the 20 m grid of the scene classification.
const CELL_M: f32 = 20.0;

/// The kinds of sky.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Clear,
    /// Small cumulus.
    Scattered,
    /// Half covered.
    Broken,
    /// Covered, with or without holes.
    Overcast,
    /// Low stratus from the coast that covers one side.
    Coastal,
    /// Thin high cloud.
    Cirrus,
}

/// The sky over the valley, on its 20 m grid.
#[derive(Debug)]
pub(crate) struct Sky {
    /// Opacity of clouds towards the sensor, 0 to 1.
    pub(crate) opacity: Array2<f32>,
    /// Brightness of those clouds.
    pub(crate) glow: Array2<f32>,
    /// Part of direct sunlight that clouds take from the ground.
    pub(crate) shadow: Array2<f32>,
    /// Strength of cirrus.
    pub(crate) cirrus: Array2<f32>,
    /// Haze that the atmospheric correction left: added reflectance in blue, and a factor on all.
    pub(crate) haze: f32,
    pub(crate) gain: f32,
}

/// The numbers that make a kind of sky.
struct Recipe {
    /// Standard score of the noise above which there is cloud.
    above: f32,
    /// Width of a cloud's edge, in the same score.
    soft: f32,
    scale_m: f32,
    height_m: f32,
    most: f32,
    cirrus: f32,
    /// Strength of the fall-off from one side.
    side: f32,
}

impl Kind {
    fn of(pass: &Pass, weather: &Weather, cloudiness: f32) -> Self {
        let u = unit(derive(pass.seed, "kind", 0));
        let from_july = (f32::from(pass.day) - 70.0).abs();
        let winter = libm::expf(-(from_july / 80.0) * (from_july / 80.0));
        let (base, in_winter) = weather.climate.clouds;
        let bad = if weather.rainy(pass.day as usize) { 0.95 } else { base + in_winter * winter };
        let bad = (bad * cloudiness).min(0.97);
        if u >= bad {
            return Self::Clear;
        }
        let part = u / bad;
        let rain = if weather.rainy(pass.day as usize) { 0.55 } else { 0.30 * winter };
        match part {
            p if p < rain => Self::Overcast,
            p if p < rain + 0.20 => Self::Broken,
            p if p < rain + 0.20 + weather.climate.coastal => Self::Coastal,
            p if p < rain + 0.65 * (1.0 - rain) + 0.12 => Self::Scattered,
            _ => Self::Cirrus,
        }
    }

    fn recipe(self, h: u64) -> Recipe {
        let (a, b, c) = (unit(h), unit(h << 16), unit(h << 32));
        let base = Recipe {
            above: 9.0,
            soft: 0.5,
            scale_m: 1000.0,
            height_m: lerp(900.0, 1700.0, b),
            most: 0.97,
            cirrus: 0.0,
            side: 0.0,
        };
        match self {
            Self::Clear => Recipe { cirrus: 0.10 * c * c, ..base },
            Self::Scattered => Recipe {
                above: lerp(0.9, 2.0, a),
                soft: 0.9,
                scale_m: lerp(550.0, 1300.0, c),
                most: lerp(0.6, 0.98, b),
                ..base
            },
            Self::Broken => Recipe {
                above: lerp(-0.4, 0.9, a),
                soft: 0.9,
                scale_m: lerp(1200.0, 2600.0, c),
                cirrus: 0.15 * b,
                ..base
            },
            Self::Overcast => Recipe {
                above: lerp(-3.4, -1.1, a),
                soft: 1.3,
                scale_m: 2600.0,
                height_m: 1500.0,
                ..base
            },
            Self::Coastal => Recipe {
                above: lerp(-0.6, 0.8, a),
                soft: 0.9,
                scale_m: 1900.0,
                height_m: 420.0,
                side: 2.4,
                ..base
            },
            Self::Cirrus => Recipe { cirrus: lerp(0.35, 1.0, a), ..base },
        }
    }
}

impl Sky {
    /// The sky of one acquisition over a valley of `side_px` 10 m pixels.
    pub(crate) fn new(pass: &Pass, weather: &Weather, side_px: usize, cloudiness: f32) -> Self {
        let side = side_px / 2;
        let kind = Kind::of(pass, weather, cloudiness);
        let recipe = kind.recipe(derive(pass.seed, "recipe", 0));
        let [sx, sy, sz] = pass.sun.direction();
        // cells from a point of the ground to the cloud that shades it, eastward and southward
        let reach = recipe.height_m / sz / CELL_M;
        let (to_east, to_south) = (reach * sx, -reach * sy);
        let pad = (reach.ceil() as usize) + 3;
        let cloudy = recipe.above < 5.0;
        let clouds = if cloudy {
            density(pass.seed, &recipe, side, pad)
        } else {
            Array2::from_elem((1, 1), 0.0)
        };
        let at = |row: f32, col: f32| -> f32 {
            if cloudy { bilinear(&clouds, row + pad as f32, col + pad as f32) } else { 0.0 }
        };
        let shape = (side, side);
        let cover = |n: f32| smoothstep(0.0, recipe.soft, n) * recipe.most;
        let opacity = Array2::from_shape_fn(shape, |(r, c)| cover(at(r as f32, c as f32)));
        let shadow = Array2::from_shape_fn(shape, |(r, c)| {
            0.80 * cover(at(r as f32 + to_south, c as f32 + to_east))
        });
        // the side that faces the sun is brighter, thick cloud brighter than thin
        let glow = Array2::from_shape_fn(shape, |(r, c)| {
            let here = at(r as f32, c as f32);
            let sunward = at(r as f32 - 4.0 * sy, c as f32 + 4.0 * sx);
            (0.60 + 0.13 * here.clamp(0.0, 2.0) + 0.30 * (here - sunward)).clamp(0.38, 0.98)
        });
        let (veil, lean) = (derive(pass.seed, "veil", 0), unit(derive(pass.seed, "lean", 0)) * 3.0);
        let (cos, sin) = (libm::cosf(lean), libm::sinf(lean));
        let cirrus = Array2::from_shape_fn(shape, |(r, c)| {
            if recipe.cirrus <= 0.0 {
                return 0.0;
            }
            let (x, y) = (c as f32 * CELL_M, r as f32 * CELL_M);
            let (u, v) = (x * cos + y * sin, y * cos - x * sin);
            let streaks = fbm(veil, u / 4200.0, v / 900.0, 5);
            recipe.cirrus * smoothstep(-0.35, 1.1, streaks)
        });
        let haze = 0.004 * (normal(derive(pass.seed, "haze", 0)) + 0.2).clamp(-1.2, 2.6);
        let gain = 1.0 + 0.022 * normal(derive(pass.seed, "gain", 0));
        Self { opacity, glow, shadow, cirrus, haze, gain }
    }
}

/// Cloud density in scores above the threshold, on a grid `pad` cells wider on each side.
fn density(seed: u64, recipe: &Recipe, side: usize, pad: usize) -> Array2<f32> {
    let noise = derive(seed, "clouds", 0);
    let turn = hash_at(noise, 1, 1);
    let full = side + 2 * pad;
    Array2::from_shape_fn((full, full), |(r, c)| {
        let x = (c as f32 - pad as f32) * CELL_M;
        let y = (r as f32 - pad as f32) * CELL_M;
        // billows: the fold of the noise gives cauliflower edges
        let (u, v) = (x / recipe.scale_m, y / recipe.scale_m);
        let broad = fbm(noise, u, v, 3);
        let billow = 0.6 - 2.0 * fbm(noise ^ 7, u * 2.6, v * 2.6, 4).abs();
        let score = 2.4 * broad + 0.55 * billow;
        let fall = recipe.side * (x / (side as f32 * CELL_M) - 0.25 - 0.3 * unit(turn));
        score - recipe.above - fall
    })
}

/// The value between four cells; outside the grid, of its edge.
#[inline]
pub(crate) fn bilinear(grid: &Array2<f32>, row: f32, col: f32) -> f32 {
    let (rows, cols) = grid.dim();
    let row = row.clamp(0.0, rows as f32 - 1.001);
    let col = col.clamp(0.0, cols as f32 - 1.001);
    let (r, c) = (row as usize, col as usize);
    let (fr, fc) = (row - r as f32, col - c as f32);
    let top = lerp(grid[[r, c]], grid[[r, c + 1]], fc);
    let low = lerp(grid[[r + 1, c]], grid[[r + 1, c + 1]], fc);
    lerp(top, low, fr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ValleyConfig;
    use crate::orbit::passes;

    #[test]
    fn winter_is_cloudier_and_a_third_of_the_dates_is_clear() {
        let (mut winter, mut summer, mut clear, mut all) = ((0.0, 0), (0.0, 0), 0, 0);
        for seed in 0..4 {
            let config = ValleyConfig { seed, scenes: 60, duplicates: 0, ..Default::default() };
            let weather = Weather::new(&config);
            for pass in passes(&config).unwrap() {
                let sky = Sky::new(&pass, &weather, 64, 1.0);
                let cover = sky.opacity.mean().unwrap();
                clear += usize::from(cover < 0.02);
                all += 1;
                let part = if pass.day < 130 { &mut winter } else { &mut summer };
                part.0 += cover;
                part.1 += 1;
            }
        }
        let (w, s) = (winter.0 / winter.1 as f32, summer.0 / summer.1 as f32);
        assert!(w > 1.3 * s, "winter {w}, summer {s}");
        let part = clear as f32 / all as f32;
        assert!((0.3..0.8).contains(&part), "{part} clear");
    }
}
