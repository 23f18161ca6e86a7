//! Norms of METEOR: by image, or blended with those of a task.
//!
//! # Source
//! Ulyanov et al. 2016 (instance norm); Bronskill et al. 2020, *`TaskNorm`*, equations 7 to 10, and its code
//! (cambridge-mlg/cnaps, `normalization_layers.py`), which takes unbiased variances.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, activation};

use super::MeteorNorm;

const NORM_EPSILON: f64 = 1e-5;

/// Means and variances of the examples of a task, norm by norm.
#[derive(Clone, Debug)]
pub struct TaskMoments {
    examples: usize,
    /// Each `[1, d, 1, 1]`.
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

    pub(super) fn forward(&self, x_mdyx: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let pixels = x_mdyx.dims()[2] * x_mdyx.dims()[3];
        let (mean, variance) = match &self.share {
            None => moments(&x_mdyx, &[2, 3], pixels),
            Some([slope, offset]) => {
                let own = moments(&x_mdyx, &[2, 3], pixels.saturating_sub(1));
                let (examples, task) = of_task(&x_mdyx, pass);
                let share = slope.val().mul_scalar(examples as f64) + offset.val();
                blended(activation::sigmoid(share).reshape([1, 1, 1, 1]), task, own)
            }
        };
        let channels = self.weight.dims()[0];
        let spread = |x: &Param<Tensor<1>>| x.val().reshape([1, channels, 1, 1]);
        let normed = (x_mdyx - mean) * (variance + NORM_EPSILON).sqrt().recip();
        normed * spread(&self.weight) + spread(&self.bias)
    }
}

/// Means and variances over some axes; squares are divided by `count`.
fn moments(x_mdyx: &Tensor<4>, axes: &[usize], count: usize) -> (Tensor<4>, Tensor<4>) {
    let mean = x_mdyx.clone().mean_dims(axes);
    let apart = x_mdyx.clone() - mean.clone();
    let squares = axes.iter().fold(apart.square(), |x, &axis| x.sum_dim(axis));
    (mean, squares.div_scalar(count.max(1) as f64))
}

/// The number of examples of the task, and their moments.
fn of_task(x_mdyx: &Tensor<4>, pass: &mut Pass<'_>) -> (usize, (Tensor<4>, Tensor<4>)) {
    match pass {
        Pass::Examples(task) => {
            let [m, _, rows, columns] = x_mdyx.dims();
            let found = moments(x_mdyx, &[0, 2, 3], (m * rows * columns).saturating_sub(1));
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
