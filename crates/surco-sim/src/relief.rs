//! The ground: a flat valley floor between hills, and how the sun falls on it.

use ndarray::Array2;

use crate::noise::{derive, fbm, smoothstep};

/// The shape of the land as a function of place; lengths in m, `y` to the south.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relief {
    side_m: f32,
    hills: u64,
    ridges: u64,
    river: u64,
}

impl Relief {
    /// The shape of the valley of this seed and side.
    pub(crate) fn new(seed: u64, side_m: f32) -> Self {
        Self {
            side_m,
            hills: derive(seed, "hills", 0),
            ridges: derive(seed, "ridges", 0),
            river: derive(seed, "river", 0),
        }
    }

    /// Distance to the axis of the river in m, north of it negative.
    pub(crate) fn river_distance_m(&self, x_m: f32, y_m: f32) -> f32 {
        let u = x_m / self.side_m;
        let bend = 0.085 * fbm(self.river, u * 2.3, 0.5, 2);
        let meander = 55.0 * fbm(self.river ^ 9, x_m / 620.0, 7.5, 2);
        y_m - (0.60 - 0.13 * u + bend) * self.side_m - meander
    }

    /// How much of a hill a place is: 0 on the valley floor, 1 on a summit.
    pub(crate) fn hill(&self, x_m: f32, y_m: f32) -> f32 {
        let (u, v) = (x_m / self.side_m, y_m / self.side_m);
        let bent = |salt: u64| 0.055 * fbm(self.hills ^ salt, u * 3.1, v * 3.1, 3);
        let (bu, bv) = (u + bent(1), v + bent(2));
        let bump = |cu: f32, cv: f32, radius: f32, long: f32| {
            // stretched along the valley
            let (du, dv) = (bu - cu, bv - cv);
            let (a, b) = ((du + 0.5 * dv) / long, dv - 0.5 * du);
            1.0 - (a * a + b * b).sqrt() / radius
        };
        let masses = bump(-0.06, -0.03, 0.58, 1.0)
            .max(bump(1.06, 1.06, 0.56, 1.0))
            .max(bump(0.71, 0.17, 0.15, 1.7) * 0.8);
        let rough = 0.20 * fbm(self.hills, u * 4.5, v * 4.5, 4);
        let away = smoothstep(180.0, 520.0, self.river_distance_m(x_m, y_m).abs());
        ((masses + rough) * away).clamp(0.0, 1.0)
    }

    /// Height above the sea in m.
    pub(crate) fn height_m(&self, x_m: f32, y_m: f32) -> f32 {
        let floor = 128.0 + 0.007 * x_m;
        let hill = self.hill(x_m, y_m);
        if hill <= 0.0 {
            return floor;
        }
        let ridge = 1.0 - (2.2 * fbm(self.ridges, x_m / 950.0, y_m / 950.0, 5)).abs().min(1.0);
        let scale = (self.side_m / 5120.0).clamp(0.35, 1.6);
        floor + 390.0 * scale * hill * (0.55 + 0.6 * ridge * smoothstep(0.0, 0.35, hill))
    }
}

/// Slopes of a grid of heights: metres of rise per metre eastward and northward.
#[derive(Debug)]
pub(crate) struct Slopes {
    pub(crate) east: Array2<f32>,
    pub(crate) north: Array2<f32>,
}

impl Slopes {
    /// Central differences of the relief at the centres of square pixels.
    pub(crate) fn of(relief: &Relief, side_px: usize, px_m: f32) -> Self {
        let heights = Array2::from_shape_fn((side_px + 2, side_px + 2), |(row, col)| {
            relief.height_m((col as f32 - 0.5) * px_m, (row as f32 - 0.5) * px_m)
        });
        let run = 2.0 * px_m;
        let shape = (side_px, side_px);
        Self {
            east: Array2::from_shape_fn(shape, |(r, c)| {
                (heights[[r + 1, c + 2]] - heights[[r + 1, c]]) / run
            }),
            north: Array2::from_shape_fn(shape, |(r, c)| {
                (heights[[r, c + 1]] - heights[[r + 2, c + 1]]) / run
            }),
        }
    }
}

/// Where the sun stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sun {
    /// Degrees clockwise from north.
    pub azimuth_deg: f64,
    /// Degrees above the horizon.
    pub elevation_deg: f64,
}

impl Sun {
    /// The unit vector to the sun: east, north, up.
    pub(crate) fn direction(&self) -> [f32; 3] {
        let (a, e) = (self.azimuth_deg.to_radians(), self.elevation_deg.to_radians());
        let flat = libm::cos(e);
        [(libm::sin(a) * flat) as f32, (libm::cos(a) * flat) as f32, libm::sin(e) as f32]
    }

    /// Light on a slope over light on flat ground, after a terrain correction that removes four
    /// tenths of the difference, as operational products do more or less well.
    #[inline]
    pub(crate) fn shading(direction: [f32; 3], east: f32, north: f32) -> f32 {
        let [sx, sy, sz] = direction;
        let length = (1.0 + east * east + north * north).sqrt();
        let cos_incidence = ((sz - east * sx - north * sy) / length).max(0.0);
        let full = 0.22 + 0.78 * cos_incidence / sz;
        (1.0 + 0.6 * (full - 1.0)).clamp(0.25, 1.6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_that_face_the_sun_are_brighter() {
        let sun = Sun { azimuth_deg: 45.0, elevation_deg: 35.0 }.direction();
        assert!((Sun::shading(sun, 0.0, 0.0) - 1.0).abs() < 1e-6);
        // falls to the north-east: rise is negative eastward and northward
        assert!(Sun::shading(sun, -0.3, -0.3) > 1.1);
        assert!(Sun::shading(sun, 0.3, 0.3) < 0.8);
    }

    #[test]
    fn the_river_runs_on_flat_ground() {
        let relief = Relief::new(7, 5120.0);
        for i in 0..100 {
            let x = i as f32 * 51.2;
            let y = (0..512).map(|j| j as f32 * 10.0).min_by(|a, b| {
                let d = |y: f32| relief.river_distance_m(x, y).abs();
                d(*a).total_cmp(&d(*b))
            });
            assert_eq!(relief.hill(x, y.unwrap()), 0.0, "x = {x}");
        }
    }
}
