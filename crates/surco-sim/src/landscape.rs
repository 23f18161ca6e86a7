//! The valley as pixels: which patches share each pixel, and what the ground is like there.

use std::collections::HashMap;

use ndarray::Array2;
use rayon::prelude::*;

use crate::config::ValleyConfig;
use crate::landuse::{Cover, LandUse};
use crate::noise::{derive, fbm, hash_at, normal, perlin, smoothstep};
use crate::patch::Patch;
use crate::relief::Slopes;
use crate::sowing::{Waiting, sow};
use crate::terrain::{Site, Terrain};

/// Subpixels along the side of a pixel.
const SUB: usize = 4;
/// Fields smaller than this are margins.
const SMALLEST_HA: f32 = 0.25;
/// Standard deviation of the point spread in pixels: contrast 0.2 at the Nyquist frequency, as the
/// 10 m bands of MSI have.
const SPREAD_PX: f32 = 0.57;

/// A patch's part in the light of a pixel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) patch: u16,
    pub(crate) weight: f32,
}

/// What varies from pixel to pixel and stays through the season.
#[derive(Debug)]
pub(crate) struct Ground {
    /// 0 loam, 1 clay.
    pub(crate) red: Array2<f32>,
    /// Factor on soil brightness.
    pub(crate) bright: Array2<f32>,
    /// Factor on leaf area.
    pub(crate) growth: Array2<f32>,
    /// Days by which growth is later.
    pub(crate) late: Array2<f32>,
    /// Unevenness of crowns, mean 0, standard deviation about 1.
    pub(crate) crowns: Array2<f32>,
    pub(crate) slopes: Slopes,
}

/// The valley as pixels.
#[derive(Debug)]
pub(crate) struct Landscape {
    pub(crate) side_px: usize,
    pub(crate) patches: Vec<Patch>,
    pub(crate) ground: Ground,
    /// Code of the class that covers most of each pixel.
    pub(crate) class: Array2<u8>,
    /// Number of the patch of that class that covers most of each pixel.
    pub(crate) patch: Array2<u16>,
    starts: Vec<u32>,
    shares: Vec<Share>,
}

impl Landscape {
    /// Lays out the valley of a config.
    pub(crate) fn new(config: &ValleyConfig) -> Self {
        let side_px = config.side_px;
        let side_m = side_px as f32 * 10.0;
        let terrain = Terrain::new(config.seed, side_m);
        let slopes = Slopes::of(&terrain.relief, side_px, 10.0);
        let (subpixels, found) = survey(&terrain, &slopes, side_px);
        let patches = settle(config, &found);
        let (starts, shares) = mixtures(&subpixels, side_px);
        let (class, patch) = majorities(&subpixels, &patches, side_px);
        let ground = ground(config.seed, &terrain, slopes, &patches, &patch);
        Self { side_px, patches, ground, class, patch, starts, shares }
    }

    /// The patches that a pixel sees, with weights that sum to 1.
    #[inline]
    pub(crate) fn shares(&self, row: usize, col: usize) -> &[Share] {
        let i = row * self.side_px + col;
        &self.shares[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
}

/// A patch as the survey finds it.
struct Found {
    site: Site,
    turn: (f32, f32),
    subpixels: u64,
    sum: (f64, f64),
}

/// The patch number of every subpixel, row by row, and the patches in the order they were met.
fn survey(terrain: &Terrain, slopes: &Slopes, side_px: usize) -> (Vec<u16>, Vec<Found>) {
    let side = side_px * SUB;
    let step = 10.0 / SUB as f32;
    let mut numbers = HashMap::new();
    let mut found: Vec<Found> = Vec::new();
    let mut out = Vec::with_capacity(side * side);
    for strip in 0..side_px.div_ceil(16) {
        let rows: Vec<usize> = (strip * 16 * SUB..((strip + 1) * 16 * SUB).min(side)).collect();
        let sites: Vec<Vec<(Site, (f32, f32))>> = rows
            .par_iter()
            .map(|&row| {
                let at = |i: usize| (i as f32 + 0.5) * step;
                (0..side)
                    .map(|col| terrain.site(at(col), at(row), slopes.north[[row / SUB, col / SUB]]))
                    .collect()
            })
            .collect();
        for (&row, line) in rows.iter().zip(&sites) {
            let mut last: Option<(Site, usize)> = None;
            for (col, &(site, turn)) in line.iter().enumerate() {
                let number = match last {
                    Some((same, number)) if same == site => number,
                    _ => *numbers.entry(site).or_insert_with(|| {
                        found.push(Found { site, turn, subpixels: 0, sum: (0.0, 0.0) });
                        found.len() - 1
                    }),
                };
                last = Some((site, number));
                let patch = &mut found[number];
                patch.subpixels += 1;
                patch.sum.0 += col as f64;
                patch.sum.1 += row as f64;
                out.push(number as u16);
            }
        }
    }
    (out, found)
}

/// Gives every patch its cover and traits.
fn settle(config: &ValleyConfig, found: &[Found]) -> Vec<Patch> {
    let cell_ha = (10.0 / SUB as f32) * (10.0 / SUB as f32) / 1e4;
    let mut covers = HashMap::new();
    let mut fields = Vec::new();
    for (patch, f) in found.iter().enumerate() {
        let area_ha = f.subpixels as f32 * cell_ha;
        let metres = |sum: f64| (sum / f.subpixels as f64) as f32 * 10.0 / SUB as f32;
        if matches!(f.site, Site::Field { .. }) && area_ha >= SMALLEST_HA {
            let seed = derive(config.seed, "site", f.site.number());
            fields.push(Waiting { patch, area_ha, at: (metres(f.sum.0), metres(f.sum.1)), seed });
        }
    }
    covers.extend(sow(config, &fields));
    let patches = found.iter().enumerate().map(|(number, f)| {
        let cover = match f.site {
            Site::Field { .. } => covers.get(&number).copied().unwrap_or(Cover::Margin),
            Site::Of(cover, ..) => cover,
        };
        let place = derive(config.seed, "site", f.site.number());
        let perennial = cover.land_use().code() >= LandUse::DeciduousFruit.code();
        let seed = if perennial { place } else { derive(place, "year", config.year as u64) };
        let mut patch = Patch::new(cover, seed, f.turn, config.spread);
        patch.area_ha = f.subpixels as f32 * cell_ha;
        patch
    });
    patches.collect()
}

/// For each pixel, the patches within its point spread: where each list starts, and the lists.
fn mixtures(subpixels: &[u16], side_px: usize) -> (Vec<u32>, Vec<Share>) {
    let side = side_px * SUB;
    let reach = SUB as isize; // one pixel beyond the pixel's own edge
    let span = 3 * SUB;
    let bell: Vec<f32> = (0..span)
        .map(|i| {
            let d = (i as f32 + 0.5 - span as f32 / 2.0) / SUB as f32 / SPREAD_PX;
            libm::expf(-0.5 * d * d)
        })
        .collect();
    let rows: Vec<Vec<Vec<Share>>> = (0..side_px)
        .into_par_iter()
        .map(|row| {
            (0..side_px)
                .map(|col| {
                    let mut shares: Vec<Share> = Vec::with_capacity(2);
                    for (i, &wy) in bell.iter().enumerate() {
                        let y = (row * SUB + i) as isize - reach;
                        if !(0..side as isize).contains(&y) {
                            continue;
                        }
                        for (j, &wx) in bell.iter().enumerate() {
                            let x = (col * SUB + j) as isize - reach;
                            if !(0..side as isize).contains(&x) {
                                continue;
                            }
                            let patch = subpixels[y as usize * side + x as usize];
                            match shares.iter_mut().find(|s| s.patch == patch) {
                                Some(share) => share.weight += wx * wy,
                                None => shares.push(Share { patch, weight: wx * wy }),
                            }
                        }
                    }
                    let sum: f32 = shares.iter().map(|s| s.weight).sum();
                    shares.retain(|s| s.weight > 0.012 * sum);
                    let sum: f32 = shares.iter().map(|s| s.weight).sum();
                    shares.iter_mut().for_each(|s| s.weight /= sum);
                    shares
                })
                .collect()
        })
        .collect();
    let mut starts = Vec::with_capacity(side_px * side_px + 1);
    let mut shares = Vec::new();
    for list in rows.iter().flatten() {
        starts.push(shares.len() as u32);
        shares.extend_from_slice(list);
    }
    starts.push(shares.len() as u32);
    (starts, shares)
}

/// The class, and within it the patch, that covers most of each pixel; ties go to the lower number.
fn majorities(subpixels: &[u16], patches: &[Patch], side_px: usize) -> (Array2<u8>, Array2<u16>) {
    let mut class = Array2::zeros((side_px, side_px));
    let mut patch = Array2::zeros((side_px, side_px));
    let side = side_px * SUB;
    for row in 0..side_px {
        for col in 0..side_px {
            let mut cells = [0_u16; SUB * SUB];
            for (i, cell) in cells.iter_mut().enumerate() {
                *cell = subpixels[(row * SUB + i / SUB) * side + col * SUB + i % SUB];
            }
            let code = |p: u16| patches[p as usize].cover.land_use().code();
            let mut classes = [0_u8; 256];
            cells.iter().for_each(|&p| classes[code(p) as usize] += 1);
            let most =
                (1..=LandUse::ALL.len()).rev().max_by_key(|&c| classes[c]).unwrap_or(1) as u8;
            cells.sort_unstable();
            let winner = cells
                .chunk_by(|a, b| a == b)
                .filter(|run| code(run[0]) == most)
                .rev()
                .max_by_key(|run| run.len())
                .map_or(cells[0], |run| run[0]);
            class[[row, col]] = most;
            patch[[row, col]] = winner;
        }
    }
    (class, patch)
}

/// What varies from pixel to pixel within patches.
fn ground(
    seed: u64,
    terrain: &Terrain,
    slopes: Slopes,
    patches: &[Patch],
    patch: &Array2<u16>,
) -> Ground {
    let shape = patch.dim();
    let (soils, growths) = (derive(seed, "soils", 0), derive(seed, "growth", 0));
    let values: Vec<[f32; 5]> = (0..shape.0 * shape.1)
        .into_par_iter()
        .map(|i| {
            let (row, col) = (i / shape.1, i % shape.1);
            let (x, y) = ((col as f32 + 0.5) * 10.0, (row as f32 + 0.5) * 10.0);
            let here = &patches[patch[[row, col]] as usize];
            let hill = terrain.relief.hill(x, y);
            // old channels of the river: pale, stony, thirsty bands
            let old = fbm(soils ^ 1, x / 900.0, y / 420.0, 3);
            let stony = smoothstep(0.10, 0.0, old.abs());
            let red = 0.25
                + 0.5 * fbm(soils, x / 800.0, y / 800.0, 3)
                + 0.75 * smoothstep(0.0, 0.15, hill);
            let patchy = fbm(soils ^ 2, x / 170.0, y / 170.0, 4);
            let bright = 1.0
                + 0.15 * patchy
                + 0.13 * stony
                + 0.03 * normal(hash_at(soils, col as i32, row as i32));
            let (u, v) = (x * here.turn.0 + y * here.turn.1, y * here.turn.0 - x * here.turn.1);
            let strips = perlin(here.seed, u / 420.0, v / 26.0);
            let own = perlin(here.seed ^ 1, x / 150.0, y / 150.0);
            let fine = perlin(growths, x / 31.0, y / 31.0);
            let growth =
                1.0 - 0.20 * patchy - 0.14 * stony + 0.16 * own + 0.09 * strips + 0.06 * fine;
            let late = 5.0 * perlin(here.seed ^ 2, x / 320.0, y / 320.0) + 4.0 * stony;
            let speckle = normal(hash_at(growths ^ 3, col as i32, row as i32));
            let crowns = 0.55 * speckle + 1.9 * fine;
            [red.clamp(0.0, 1.0), bright, growth.clamp(0.3, 1.5), late, crowns]
        })
        .collect();
    let layer = |k: usize| Array2::from_shape_fn(shape, |(r, c)| values[r * shape.1 + c][k]);
    Ground {
        red: layer(0),
        bright: layer(1),
        growth: layer(2),
        late: layer(3),
        crowns: layer(4),
        slopes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_every_class_has_land() {
        let config = ValleyConfig::default();
        let land = Landscape::new(&config);
        let mut counts = [0_u32; 15];
        let mut mixed = 0;
        for ((row, col), &code) in land.class.indexed_iter() {
            counts[code as usize] += 1;
            let shares = land.shares(row, col);
            mixed += u32::from(shares.len() > 1);
            let sum: f32 = shares.iter().map(|s| s.weight).sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
        let total = (config.side_px * config.side_px) as f32;
        for class in LandUse::ALL {
            let share = counts[class.code() as usize] as f32 / total;
            assert!(share >= 0.01, "{} covers {:.2} %", class.name(), share * 100.0);
        }
        assert!((0.1..0.7).contains(&(mixed as f32 / total)), "{mixed} mixed pixels");
    }
}
