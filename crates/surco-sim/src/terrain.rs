//! What a point of the valley falls on, before anybody decides what to sow.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::landuse::Cover;
use crate::noise::{derive, fbm, hash_at, perlin, smoothstep, unit};
use crate::parcels::{Lot, Parcels, stand_at};
use crate::relief::Relief;

/// What a point falls on: the name of its patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Site {
    /// A field of the flat land, whose crop is not yet chosen.
    Field { quarter: u32, leaf: u16 },
    /// A patch of a known cover, numbered by two numbers.
    Of(Cover, i32, i32),
}

impl Site {
    /// A number that tells sites apart.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Field { quarter, leaf } => u64::from(quarter) << 16 | u64::from(leaf),
            Self::Of(cover, i, j) => {
                (cover as u64 + 1) << 56 | (i as u64 & 0xFFF_FFFF) << 28 | (j as u64 & 0xFFF_FFFF)
            }
        }
    }
}

/// A rectangle or ellipse laid on the land.
#[derive(Clone, Copy, Debug)]
struct Shape {
    cover: Cover,
    at: (f32, f32),
    half: (f32, f32),
    turn: (f32, f32),
    round: bool,
}

impl Shape {
    fn holds(&self, x: f32, y: f32, rough: f32) -> bool {
        let (dx, dy) = (x - self.at.0, y - self.at.1);
        let u = (dx * self.turn.0 + dy * self.turn.1) / self.half.0;
        let v = (dy * self.turn.0 - dx * self.turn.1) / self.half.1;
        if self.round { u * u + v * v < 1.0 + rough } else { u.abs() < 1.0 && v.abs() < 1.0 }
    }
}

/// The valley's plan.
#[derive(Debug)]
pub(crate) struct Terrain {
    pub(crate) relief: Relief,
    parcels: Parcels,
    town: Shape,
    shapes: Vec<Shape>,
    seed: u64,
}

impl Terrain {
    /// The plan of this seed and side.
    pub(crate) fn new(seed: u64, side_m: f32) -> Self {
        let relief = Relief::new(seed, side_m);
        let parcels = Parcels::new(seed, side_m);
        let mut rng = ChaCha8Rng::seed_from_u64(derive(seed, "plan", 0));
        let mut flat = |keep: f32| {
            let mut at = (0.5 * side_m, 0.3 * side_m);
            for _ in 0..200 {
                at = (rng.random_range(0.08..0.92) * side_m, rng.random_range(0.08..0.92) * side_m);
                let around = [(0.0, 0.0), (keep, 0.0), (-keep, 0.0), (0.0, keep), (0.0, -keep)];
                let dry = |&(dx, dy): &(f32, f32)| {
                    relief.hill(at.0 + dx, at.1 + dy) <= 0.0
                        && relief.river_distance_m(at.0 + dx, at.1 + dy).abs() > 260.0
                };
                if around.iter().all(dry) {
                    break;
                }
            }
            at
        };
        let radius = side_m * 0.072;
        let town_at = flat(radius * 1.1);
        let town = Shape {
            cover: Cover::Town,
            at: town_at,
            half: (radius * 1.25, radius * 0.85),
            turn: parcels.locate(town_at.0, town_at.1).1,
            round: true,
        };
        let km2 = side_m * side_m / 1e6;
        let mut shapes = Vec::new();
        for i in 0..(km2 * 0.9).ceil() as u64 {
            let at = flat(60.0);
            let h = derive(seed, "shape", i);
            let turn = parcels.locate(at.0, at.1).1;
            let size = |n: u32, low: f32, high: f32| low + (high - low) * unit(h << (n * 20));
            shapes.push(match i % 3 {
                0 => Shape {
                    cover: Cover::Pond,
                    at,
                    half: (size(0, 55.0, 120.0), size(1, 40.0, 75.0)),
                    turn,
                    round: i % 2 == 0,
                },
                _ => Shape {
                    cover: Cover::Sheds,
                    at,
                    half: (size(0, 24.0, 60.0), size(1, 8.0, 19.0)),
                    turn,
                    round: false,
                },
            });
        }
        Self { relief, parcels, town, shapes, seed: derive(seed, "terrain", 0) }
    }

    /// What a point falls on, and the direction of the fields there; `rise_north` is the slope's rise
    /// to the north, positive on the shady side of a hill.
    pub(crate) fn site(&self, x_m: f32, y_m: f32, rise_north: f32) -> (Site, (f32, f32)) {
        if let Some(site) = self.river(x_m, y_m) {
            return (site, (1.0, 0.0));
        }
        let hill = self.relief.hill(x_m, y_m);
        if hill > 0.015 {
            return (self.hillside(x_m, y_m, rise_north, hill), (1.0, 0.0));
        }
        let rough = 0.5 * fbm(self.seed ^ 3, x_m / 240.0, y_m / 240.0, 3);
        if self.town.holds(x_m, y_m, rough * 1.3) {
            return (Site::Of(Cover::Town, 0, 0), self.town.turn);
        }
        let shape = self.shapes.iter().position(|s| s.holds(x_m, y_m, rough * 0.4));
        if let Some(number) = shape {
            let shape = &self.shapes[number];
            return (Site::Of(shape.cover, number as i32, 0), shape.turn);
        }
        let (lot, turn) = self.parcels.locate(x_m, y_m);
        let (i, j) = stand_at(self.seed ^ 21, x_m, y_m, 700.0);
        let site = match lot {
            Lot::Road => Site::Of(Cover::Road, 0, 0),
            Lot::Track => Site::Of(Cover::Track, 0, 0),
            Lot::Trees => Site::Of(Cover::Riverside, i, j),
            Lot::Canal => Site::Of(Cover::River, 1, 0),
            Lot::Margin => Site::Of(Cover::Margin, i, j),
            Lot::Field { quarter, leaf } => Site::Field { quarter, leaf },
        };
        (site, turn)
    }

    /// The river, its braids, its gravel and the trees on its banks.
    fn river(&self, x_m: f32, y_m: f32) -> Option<Site> {
        let d = self.relief.river_distance_m(x_m, y_m);
        if d.abs() > 330.0 {
            return None;
        }
        let along = |k: u64, wave: f32| fbm(self.seed ^ k, x_m / wave, 0.3, 2);
        let bed =
            112.0 + 70.0 * along(31, 700.0) + 12.0 * perlin(self.seed ^ 32, x_m / 90.0, y_m / 90.0);
        let woods = bed + 26.0 + 85.0 * along(33, 380.0).max(-0.2);
        if d.abs() > bed {
            let (i, j) = stand_at(self.seed ^ 34, x_m, y_m, 400.0);
            return (d.abs() < woods).then_some(Site::Of(Cover::Riverside, i, j));
        }
        let wobble = 10.0 * perlin(self.seed ^ 35, x_m / 70.0, y_m / 70.0);
        let channels = [
            (0.75 * bed * along(36, 420.0), 25.0 + 12.0 * along(37, 300.0)),
            (-0.9 * bed * along(38, 330.0) + 0.3 * bed, 5.0 + 15.0 * along(39, 260.0)),
            (-0.9 * bed * along(40, 280.0) - 0.35 * bed, 2.0 + 14.0 * along(41, 230.0)),
        ];
        if channels.iter().any(|&(at, half)| (d + wobble - at).abs() < half) {
            return Some(Site::Of(Cover::River, 0, 0));
        }
        let scrub = fbm(self.seed ^ 42, x_m / 120.0, y_m / 60.0, 3)
            + 0.3 * smoothstep(0.3, 1.0, d.abs() / bed);
        let (i, j) = stand_at(self.seed ^ 43, x_m, y_m, 400.0);
        Some(Site::Of(if scrub > 0.30 { Cover::Riverside } else { Cover::Gravel }, i, j))
    }

    /// Forest, plantation, grassland and hillside orchards.
    fn hillside(&self, x_m: f32, y_m: f32, rise_north: f32, hill: f32) -> Site {
        let (i, j) = stand_at(self.seed ^ 51, x_m, y_m, 430.0);
        let h = hash_at(self.seed ^ 52, i, j);
        let (chance, kind) = (unit(h), unit(h << 24));
        let planted = 0.34 + 0.35 * perlin(self.seed ^ 53, i as f32 * 0.37, j as f32 * 0.37);
        if hill < 0.20 && chance > 0.82 {
            let cover = if kind < 0.75 { Cover::Avocado } else { Cover::Citrus };
            return Site::Of(cover, i, j);
        }
        if chance < planted {
            let cover = match kind {
                k if k < 0.50 => Cover::Eucalyptus,
                k if k < 0.92 => Cover::Pine,
                _ => Cover::ClearCut,
            };
            return Site::Of(cover, i, j);
        }
        let trees = 0.75 * fbm(self.seed ^ 54, x_m / 230.0, y_m / 230.0, 4)
            + 1.5 * rise_north
            + 0.35 * (hill - 0.35);
        let (i, j) = stand_at(self.seed ^ 55, x_m, y_m, 600.0);
        let cover = match trees {
            t if t > 0.10 => Cover::Sclerophyll,
            t if t > -0.06 => Cover::Espinal,
            _ => Cover::DryGrass,
        };
        Site::Of(cover, i, j)
    }
}
