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

    pub(super) fn is_by_task(&self) -> bool {
        self.share.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(norm: &ImageNorm, pixels: &[[f32; 2]], pass: &mut Pass<'_>) -> Vec<f32> {
        let x: Vec<f32> = pixels.iter().flatten().copied().collect();
        let x = Tensor::<1>::from_floats(x.as_slice(), &Device::flex());
        let x_myxd = x.reshape([pixels.len(), 1, 2, 1]);
        let y_myxd = norm.forward(x_myxd, pass, After { beside: None, leak: 1.0 });
        y_myxd.into_data().iter::<f32>().collect()
    }

    /// By hand. Examples (1, 3) and (5, 7): over the task mean 4 and variance 20/3, over each image 2 or 6 and 2. With a share of
    /// 3/4 the first has mean 3.5 and variance 3/4 (20/3 + 1/4) + 1/4 (2 + 9/4) = 25/4. Another image of the task, (8, 8), has mean 5
    /// and variance 3/4 (20/3 + 1) + 1/4 · 9 = 8 from the examples' moments and its own; with a share of 1/2, 6 and 22/3.
    #[test]
    fn moments_of_examples_and_of_an_image_are_blended() {
        let device = Device::flex();
        let mut norm = ImageNorm::new(1, MeteorNorm::Task, &device);
        let others = [[8.0, 8.0], [0.0, 90.0]];
        // Slope of the share: its logit is twice that, there are two examples.
        let three_to_one = 3.0_f32.ln() / 2.0;
        let cases = [
            (0.0, [-3.0_f32.sqrt() / 2.0, 0.0], 2.0 / (22.0_f32 / 3.0).sqrt()),
            (three_to_one, [-1.0, -0.2], 3.0 / 8.0_f32.sqrt()),
        ];
        for (slope, first, other) in cases {
            let number = |value: f32| Param::from_tensor(Tensor::from_floats([value], &device));
            norm.share = Some([number(slope), number(0.0)]);
            let mut kept = TaskMoments::of(2);
            let pass = &mut Pass::Examples(&mut kept);
            let examples = forward(&norm, &[[1.0, 3.0], [5.0, 7.0]], pass);
            let want = [first[0], first[1], -first[1], -first[0]];
            let close = |got: f32, want: f32| (got - want).abs() < 1e-5;
            assert!(examples.iter().zip(want).all(|(g, w)| close(*g, w)), "{examples:?} {want:?}");
            for images in [&others[..1], &others] {
                let said = forward(&norm, images, &mut Pass::Task { moments: &kept, next: 0 });
                assert!(close(said[0], other) && close(said[1], other), "{said:?} {other}");
            }
        }
    }
}
