//! TIML: what is known of a task scales and shifts what the encoder says of its samples, before the head.
//!
//! There that is a place and a crop; here, where classes have no names that a model would know, the place of the support and the
//! season. A small network encodes it. It learns in the outer loop alone and stays as it is in the steps; its last layer begins at
//! zero, so that a scale begins at 1 and a shift at 0.
//!
//! # Source
//! Tseng, Kerner and Rolnick 2022, *TIML: task-informed meta-learning for agriculture* (arXiv 2202.02124), section 3. Scales and
//! shifts: Perez et al. 2018, *FiLM: visual reasoning with a general conditioning layer*.

use std::f32::consts::TAU;

use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use surco_data::{Context, Sample, day_of_year, static_token};
use surco_net::drawn;

/// Numbers that a task is known by.
const FEATURES: usize = 6;

/// Width of the hidden layer.
const HIDDEN: usize = 32;

const YEAR_DAYS: f32 = 365.2425;

/// A mean of places shorter than this has no direction: they lie all around the sphere.
const SHORTEST: f32 = 1e-3;

/// What is known of a task.
///
/// | place | value |
/// |---|---|
/// | 0–2 | the middle of the support's places as a point of the unit sphere; 0 where none is known |
/// | 3 | 1 where a place is known |
/// | 4–5 | sine and cosine of the day of the year on which its season begins |
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known([f32; FEATURES]);

impl Known {
    /// What is known of samples whose season begins on this day.
    pub(super) fn of<'a>(support: impl IntoIterator<Item = &'a Sample>, first_day: i32) -> Self {
        let place = |sample: &Sample| static_token(Context::Location, &sample.site, sample.south);
        let mut sum = [0.0_f32; 3];
        for token in support.into_iter().filter_map(place) {
            sum.iter_mut().zip(token).for_each(|(sum, v)| *sum += v);
        }
        let length = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
        let (season_sin, season_cos) =
            (f32::from(day_of_year(first_day)) / YEAR_DAYS * TAU).sin_cos();
        let [x, y, z] = sum.map(|v| if length < SHORTEST { 0.0 } else { v / length });
        let is_known = f32::from(u8::from(length >= SHORTEST));
        Self([x, y, z, is_known, season_sin, season_cos])
    }
}

/// The network from what is known of a task to a scale and a shift of each feature of its samples.
#[derive(Module, Debug)]
pub struct TaskEncoder {
    inner: Linear,
    outer: Linear,
}

impl TaskEncoder {
    /// One that leaves features of this width as they are.
    pub(super) fn new(width: usize, seed: u64, device: &Device) -> Self {
        drawn(seed, device, || Self {
            inner: LinearConfig::new(FEATURES, HIDDEN).init(device),
            outer: LinearConfig::new(HIDDEN, 2 * width)
                .with_initializer(Initializer::Zeros)
                .init(device),
        })
    }

    /// Features `[sample, d]` of a task's samples, scaled and shifted by what is known of it.
    pub(super) fn modulated(&self, features: Tensor<2>, Known(known): Known) -> Tensor<2> {
        let [_, width] = features.dims();
        let known = Tensor::<2>::from_data([known], &features.device());
        let said = self.outer.forward(activation::gelu(self.inner.forward(known)));
        let (scale, shift) = (said.clone().narrow(1, 0, width) + 1.0, said.narrow(1, width, width));
        features * scale + shift
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use burn::module::Param;

    /// One that was taught something.
    pub(in crate::meta) fn taught(width: usize) -> TaskEncoder {
        let device = Device::flex();
        let outer = LinearConfig::new(HIDDEN, 2 * width);
        let outer = drawn(9, &device, || outer.init(&device));
        TaskEncoder { outer, ..TaskEncoder::new(width, 9, &device) }
    }

    fn at(lon: f64, lat: f64) -> Sample {
        let mut sample = Sample::default();
        sample.site.lonlat = Some([lon, lat]);
        sample
    }

    fn close(got: Known, want: [f32; FEATURES]) {
        assert!(got.0.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-4), "{got:?} {want:?}");
    }

    /// By hand: 2020-07-01 is day 182 of the year, 179.39° of a turn. Places at 0° N 0° E and 0° N 90° E have their middle at 45° E; 90° N
    /// is the pole.
    #[test]
    fn a_task_is_known_by_its_place_and_its_season() {
        let july = 18_444;
        let season = [0.0107, -0.9999];
        close(Known::of(&[at(0.0, 90.0)], july), [0.0, 0.0, 1.0, 1.0, season[0], season[1]]);
        let half = 0.5_f32.sqrt();
        let both = [at(0.0, 0.0), Sample::default(), at(90.0, 0.0)];
        close(Known::of(&both, july), [half, half, 0.0, 1.0, season[0], season[1]]);
        close(Known::of(&[Sample::default()], 0), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let apart = [at(0.0, 0.0), at(180.0, 0.0)];
        close(Known::of(&apart, 0), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_known_changes_nothing_before_it_is_taught() {
        let device = Device::flex();
        let task = TaskEncoder::new(3, 7, &device);
        let features = Tensor::<2>::from_data([[0.5_f32, -2.0, 1e-9], [3.0, 0.0, 7.5]], &device);
        let known = Known::of(&[at(-71.0, -34.0)], 100);
        let said = task.modulated(features.clone(), known);
        assert_eq!(said.into_data(), features.into_data());
    }

    /// By hand: one hidden unit sees z alone, twice, and gelu (2) = 1.9545; of the second feature the scale is 1 + 0.5 of it and the shift 3 of
    /// it minus 1. The first keeps its own.
    #[test]
    fn scale_and_shift_agree_with_a_hand() {
        let device = Device::flex();
        let mut task = TaskEncoder::new(2, 7, &device);
        let mut inner = vec![0.0_f32; FEATURES * HIDDEN];
        inner[2 * HIDDEN] = 2.0;
        let table = |values: Vec<f32>, shape: [usize; 2]| {
            Param::from_data(burn::tensor::TensorData::new(values, shape), &device)
        };
        let mut outer = vec![0.0_f32; HIDDEN * 4];
        (outer[1], outer[3]) = (0.5, 3.0);
        task.inner.weight = table(inner, [FEATURES, HIDDEN]);
        task.inner.bias = Some(Param::from_data([0.0_f32; HIDDEN], &device));
        task.outer.weight = table(outer, [HIDDEN, 4]);
        task.outer.bias = Some(Param::from_data([0.0_f32, 0.0, 0.0, -1.0], &device));
        let features = Tensor::<2>::from_data([[5.0_f32, 10.0], [-1.0, 0.0]], &device);
        let said = task.modulated(features, Known::of(&[at(0.0, 90.0)], 0));
        let got: Vec<f32> = said.into_data().iter::<f32>().collect();
        let unit = 1.9545_f32;
        let shift = 3.0 * unit - 1.0;
        let want = [5.0, 10.0 * (1.0 + 0.5 * unit) + shift, -1.0, shift];
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-3), "{got:?} {want:?}");
    }
}
