//! One acquisition as pixels: ground, light, sky and sensor.

use ndarray::Array2;
use surco_core::{S2_BANDS, Scl};

use crate::config::ValleyConfig;
use crate::landscape::Landscape;
use crate::look::{Look, Spot, mood};
use crate::noise::{derive, hash_at, normal, scramble};
use crate::orbit::{Pass, edge_m};
use crate::relief::Sun;
use crate::scl::{Evidence, classify};
use crate::sky::{Sky, bilinear};
use crate::spectra::{BANDS, Spectrum};
use crate::weather::Weather;

/// What a thick cloud reflects, over its reflectance in the visible.
const CLOUD: Spectrum = [1.0, 0.98, 0.97, 0.98, 0.99, 1.0, 1.0, 1.0, 0.62, 0.46];
/// What cirrus of strength 1 adds.
const CIRRUS: Spectrum = [0.20, 0.188, 0.18, 0.176, 0.172, 0.168, 0.165, 0.16, 0.075, 0.04];
/// What haze left by the correction adds, over its strength in blue.
const HAZE: Spectrum = [1.0, 0.62, 0.40, 0.34, 0.28, 0.24, 0.2, 0.18, 0.03, 0.01];
/// Sky light over all light on clear days, by band: it fills shadows with blue.
const SKYLIGHT: Spectrum = [0.30, 0.21, 0.14, 0.12, 0.10, 0.09, 0.08, 0.07, 0.03, 0.02];
/// Factor of the view of orbit 53, which looks from the east with the sun behind it, over that of orbit
/// 96, which looks against the sun.
const VIEW_53: Spectrum = [1.025, 1.035, 1.04, 1.04, 1.035, 1.035, 1.035, 1.035, 1.04, 1.045];
/// Smallest reflectance a correction leaves.
const FLOOR: f32 = 0.0006;

/// One acquisition as pixels.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Digital numbers of the ten bands in the order of [`S2_BANDS`], each at its own ground sampling;
    /// 0 is no data.
    pub bands: Vec<Array2<u16>>,
    /// Scene classification at 20 m, codes of [`Scl`].
    pub scl: Array2<u8>,
    /// The truth that the classification guesses: 0 clear, 1 cloud or strong cirrus, 2 shadow,
    /// 255 outside the swath; at 20 m.
    pub sky: Array2<u8>,
}

/// What a scene is made from.
pub(crate) struct Studio<'a> {
    pub(crate) config: &'a ValleyConfig,
    pub(crate) land: &'a Landscape,
    pub(crate) weather: &'a Weather,
}

impl Studio<'_> {
    /// Takes the picture of one pass.
    pub(crate) fn shoot(&self, pass: &Pass) -> Scene {
        let side = self.land.side_px;
        let sky = Sky::new(pass, self.weather, side, self.config.cloudiness);
        let sun = pass.sun.direction();
        let day = f32::from(pass.day);
        let looks: Vec<(Look, f32)> = self
            .land
            .patches
            .iter()
            .map(|p| (Look::new(p, self.weather, day, sun[2]), mood(p, pass.day)))
            .collect();
        let sensor = Sensor::new(pass);
        let mut scene = Scene {
            bands: S2_BANDS
                .iter()
                .map(|b| {
                    Array2::zeros((side * 10 / b.gsd_m as usize, side * 10 / b.gsd_m as usize))
                })
                .collect(),
            scl: Array2::zeros((side / 2, side / 2)),
            sky: Array2::zeros((side / 2, side / 2)),
        };
        let mut pair = vec![[0.0_f32; BANDS]; 2 * side];
        for row20 in 0..side / 2 {
            for (i, out) in pair.iter_mut().enumerate() {
                let (row, col) = (2 * row20 + i / side, i % side);
                *out = self.ground(&looks, sun, row, col);
            }
            for col20 in 0..side / 2 {
                let at = |k: usize| (2 * row20 + k / 2, 2 * col20 + k % 2);
                let (x_m, y_m) = (col20 as f32 * 20.0 + 10.0, row20 as f32 * 20.0 + 10.0);
                if x_m < edge_m(self.config, pass, y_m) {
                    scene.sky[[row20, col20]] = 255;
                    continue;
                }
                let mut mean = [0.0_f32; BANDS];
                for k in 0..4 {
                    let (row, col) = at(k);
                    let clear = pair[(row - 2 * row20) * side + col];
                    let seen = through(&sky, &sensor, &clear, row, col);
                    for b in 0..BANDS {
                        mean[b] += 0.25 * seen[b];
                        if S2_BANDS[b].gsd_m == 10 {
                            scene.bands[b][[row, col]] = sensor.count(seen[b], b, row, col);
                        }
                    }
                }
                for b in 0..BANDS {
                    if S2_BANDS[b].gsd_m == 20 {
                        scene.bands[b][[row20, col20]] = sensor.count(mean[b], b, row20, col20);
                    }
                }
                let slopes = &self.land.ground.slopes;
                let slope =
                    (slopes.east[[2 * row20, 2 * col20]], slopes.north[[2 * row20, 2 * col20]]);
                let evidence = Evidence {
                    spectrum: &mean,
                    opacity: sky.opacity[[row20, col20]],
                    cirrus: sky.cirrus[[row20, col20]],
                    shadow: sky.shadow[[row20, col20]],
                    shading: Sun::shading(sun, slope.0, slope.1),
                    row: row20,
                    col: col20,
                    seed: sensor.seed,
                };
                scene.scl[[row20, col20]] = classify(&evidence) as u8;
                scene.sky[[row20, col20]] = truth(&evidence);
            }
        }
        scene
    }

    /// What the ground of one pixel reflects in full sunlight of this direction.
    #[inline]
    fn ground(&self, looks: &[(Look, f32)], sun: [f32; 3], row: usize, col: usize) -> Spectrum {
        let g = &self.land.ground;
        let i = [row, col];
        let spot = Spot {
            red: g.red[i],
            bright: g.bright[i],
            growth: g.growth[i],
            late: g.late[i],
            crowns: g.crowns[i],
            row,
            col,
        };
        let light = Sun::shading(sun, g.slopes.east[i], g.slopes.north[i]);
        let mut sum = [0.0; BANDS];
        for share in self.land.shares(row, col) {
            let (look, mood) = &looks[share.patch as usize];
            let spectrum = look.at(&spot);
            for b in 0..BANDS {
                sum[b] += share.weight * mood * spectrum[b];
            }
        }
        sum.map(|v| v * light)
    }
}

/// 1 where the sky hides the ground, 2 where it darkens it, 0 where neither matters.
fn truth(e: &Evidence<'_>) -> u8 {
    if e.opacity > 0.2 || e.cirrus > 0.3 {
        1
    } else if e.shadow > 0.3 {
        2
    } else {
        0
    }
}

/// The light of one pixel through shadow, cloud, cirrus and haze.
#[inline]
fn through(sky: &Sky, sensor: &Sensor, ground: &Spectrum, row: usize, col: usize) -> Spectrum {
    let (r, c) = (row as f32 / 2.0 - 0.25, col as f32 / 2.0 - 0.25);
    let opacity = bilinear(&sky.opacity, r, c);
    let shadow = bilinear(&sky.shadow, r, c);
    let cirrus = bilinear(&sky.cirrus, r, c);
    let glow = bilinear(&sky.glow, r, c);
    let mut out = [0.0; BANDS];
    for b in 0..BANDS {
        let lit = ground[b] * (1.0 - shadow * (1.0 - SKYLIGHT[b])) * sensor.view[b];
        let veiled = lit * (1.0 - 0.45 * cirrus) + cirrus * CIRRUS[b];
        let clouded = veiled + (glow * CLOUD[b] - veiled) * opacity;
        out[b] = clouded * sky.gain * sensor.gain + sky.haze * HAZE[b] + sensor.bias;
    }
    out
}

/// The sensor and one processing of its data.
struct Sensor {
    seed: u64,
    view: Spectrum,
    gain: f32,
    bias: f32,
    offset_dn: u16,
}

impl Sensor {
    fn new(pass: &Pass) -> Self {
        // a second processing corrects a little otherwise
        let again = f32::from(pass.copy);
        Self {
            seed: derive(pass.seed, "sensor", 0),
            view: if pass.relative_orbit == 53 { VIEW_53 } else { [1.0; BANDS] },
            gain: 1.0 + 0.006 * again,
            bias: 0.0009 * again,
            offset_dn: pass.offset_dn,
        }
    }

    /// The digital number of a reflectance, with the noise of the detector.
    #[inline]
    fn count(&self, reflectance: f32, band: usize, row: usize, col: usize) -> u16 {
        let h = scramble(hash_at(self.seed, col as i32, row as i32) ^ (band as u64) << 3);
        let noisy = reflectance + (0.0009 + 0.006 * reflectance) * normal(h);
        let counts = (noisy.clamp(FLOOR, 1.6) * 10_000.0 + 0.5) as u16;
        counts + self.offset_dn
    }
}

impl Scene {
    /// Share of the valid 20 m pixels that the classification calls cloud or cirrus, in percent.
    #[must_use]
    pub fn cloud_percent(&self) -> f64 {
        self.percent(&[Scl::CloudMedium, Scl::CloudHigh, Scl::ThinCirrus])
    }

    /// Share of the valid 20 m pixels in these classes, in percent; of all pixels for no data.
    #[must_use]
    pub fn percent(&self, classes: &[Scl]) -> f64 {
        let count = |codes: &[Scl]| {
            self.scl.iter().filter(|&&c| codes.iter().any(|&s| s as u8 == c)).count() as f64
        };
        let empty = count(&[Scl::NoData]);
        let all = self.scl.len() as f64;
        let whole = if classes == [Scl::NoData] { all } else { (all - empty).max(1.0) };
        (count(classes) / whole * 1e8).round() / 1e6
    }
}
