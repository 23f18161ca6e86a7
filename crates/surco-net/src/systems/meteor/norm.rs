//! Norms of METEOR: by image, or blended with those of a task.
//!
//! # Source
//! Ulyanov et al. 2016 (instance norm); Bronskill et al. 2020, *`TaskNorm`*, equations 7 to 10, and its code
//! (cambridge-mlg/cnaps, `normalization_layers.py`), which takes unbiased variances.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, activation};
use surco_kernels::image_norm;

use super::MeteorNorm;

const NORM_EPSILON: f64 = 1e-5;

/// Means and variances of the examples of a task, norm by norm.
#[derive(Clone, Debug)]
pub struct TaskMoments {
    examples: usize,
    /// Each `[1, 1, 1, d]`.
    moments: Vec<(Tensor<4>, Tensor<4>)>,
}

impl TaskMoments {
    pub(super) fn of(examples: usize) -> Self {
        Self { examples, moments: Vec::new() }
    }
}

/// What a forward pass does with the moments of a task.
#[derive(Debug)]
pub(super) enum Pass<'a> {
    /// The images are the examples: their moments are kept.
    Examples(&'a mut TaskMoments),
    /// The images are others of the task.
    Task {
        /// Its moments.
        moments: &'a TaskMoments,
        /// The norm that comes next.
        next: usize,
    },
}

/// What follows a norm.
pub(super) struct After {
    /// What is added.
    pub(super) beside: Option<Tensor<4>>,
    /// Slope below zero of what is then there.
    pub(super) leak: f64,
}

/// A norm of the channels of images.
#[derive(Module, Debug)]
pub(super) struct ImageNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    /// Slope and offset of the share of the task, by the number of its examples.
    share: Option<[Param<Tensor<1>>; 2]>,
}

impl ImageNorm {
    pub(super) fn new(channels: usize, norm: MeteorNorm, device: &Device) -> Self {
        let zero = || Initializer::Zeros.init([1], device);
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            share: match norm {
                MeteorNorm::Instance => None,
                MeteorNorm::Task => Some([zero(), zero()]),
            },
        }
    }

    pub(super) fn forward(
        &self,
        x_myxd: Tensor<4>,
        pass: &mut Pass<'_>,
        after: After,
    ) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let Some([slope, offset]) = &self.share else {
            let norm = surco_kernels::ImageNorm { weight, bias, epsilon: NORM_EPSILON };
            return image_norm(x_myxd, norm, after.beside, after.leak);
        };
        let pixels = x_myxd.dims()[1] * x_myxd.dims()[2];
        let own = moments(&x_myxd, &[1, 2], pixels.saturating_sub(1));
        let (examples, task) = of_task(&x_myxd, pass);
        let share = slope.val().mul_scalar(examples as f64) + offset.val();
        let share = activation::sigmoid(share).reshape([1, 1, 1, 1]);
        let (mean, variance) = blended(share, task, own);
        let unit = (x_myxd - mean) * (variance + NORM_EPSILON).sqrt().recip();
        let normed = unit * weight.unsqueeze() + bias.unsqueeze();
        let y_myxd = match after.beside {
            Some(beside) => normed + beside,
            None => normed,
        };
        activation::leaky_relu(y_myxd, after.leak)
    }
}

/// Means and variances over some axes; squares are divided by `count`.
fn moments(x_myxd: &Tensor<4>, axes: &[usize], count: usize) -> (Tensor<4>, Tensor<4>) {
    let mean = x_myxd.clone().mean_dims(axes);
    let apart = x_myxd.clone() - mean.clone();
    let squares = axes.iter().fold(apart.square(), |x, &axis| x.sum_dim(axis));
    (mean, squares.div_scalar(count.max(1) as f64))
}

/// The number of examples of the task, and their moments.
fn of_task(x_myxd: &Tensor<4>, pass: &mut Pass<'_>) -> (usize, (Tensor<4>, Tensor<4>)) {
    match pass {
        Pass::Examples(task) => {
            let [m, rows, columns, _] = x_myxd.dims();
            let found = moments(x_myxd, &[0, 1, 2], (m * rows * columns).saturating_sub(1));
            task.moments.push(found.clone());
            (task.examples, found)
        }
        Pass::Task { moments, next } => {
            let found = moments.moments[*next].clone();
            *next += 1;
            (moments.examples, found)
        }
    }
}

/// Moments of a mixture of two, of which the first has this share.
fn blended(
    share: Tensor<4>,
    task: (Tensor<4>, Tensor<4>),
    own: (Tensor<4>, Tensor<4>),
) -> (Tensor<4>, Tensor<4>) {
    let rest = share.clone().neg() + 1.0;
    let mean = share.clone() * task.0.clone() + rest.clone() * own.0.clone();
    let spread =
        |(centre, variance): (Tensor<4>, Tensor<4>)| variance + (centre - mean.clone()).square();
    let variance = share * spread(task) + rest * spread(own);
    (mean, variance)
}
