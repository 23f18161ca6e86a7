//! Convolutions and norms of images, `[n, c, y, x]`, as the systems with windows have them.

use std::collections::HashMap;

use burn::module::{Initializer, Module, ModuleMapper, Param, ParamId};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn::tensor::{Device, Tensor, activation, module};

const NORM_EPSILON: f64 = 1e-5;

/// A norm of each channel over a batch, with the statistics that stand for the batch when it is used.
///
/// The statistics are parameters that no gradient reaches, so that they are saved, read and copied with the weights;
/// Burn's own keeps them where all clones of a module and all threads write, which no two runs do alike.
#[derive(Module, Debug)]
pub(super) struct BatchNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    mean: Param<Tensor<1>>,
    variance: Param<Tensor<1>>,
}

/// What a norm takes for the mean and variance of its channels.
#[derive(Debug)]
pub(super) enum Statistics {
    /// Those of the batch itself, as in training.
    OfBatch,
    /// Those of the batch itself, which are remembered.
    Measured(Moments),
    /// Those that belong to the weights.
    OfWeights,
}

/// Means and variances of norms, by the parameters that hold them, summed over batches.
#[derive(Debug, Default)]
pub(super) struct Moments {
    sums: HashMap<ParamId, Tensor<1>>,
    batches: usize,
}

impl Moments {
    fn add(&mut self, place: ParamId, value: Tensor<1>) {
        let sum = match self.sums.remove(&place) {
            Some(sum) => sum + value,
            None => value,
        };
        self.sums.insert(place, sum);
    }

    /// Counts one more batch.
    pub(super) fn next(&mut self) {
        self.batches += 1;
    }

    /// The module with these statistics, means over the batches.
    pub(super) fn put_into<M: Module>(self, module: M) -> M {
        module.map(&mut Put(self))
    }
}

struct Put(Moments);

impl ModuleMapper for Put {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.sums.remove(&param.id) {
            Some(sum) => {
                let mean = sum.div_scalar(self.0.batches.max(1) as f64);
                param.map(|old| mean.to_device(&old.device()).reshape(old.shape()))
            }
            None => param,
        }
    }
}

impl BatchNorm {
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        let held = |by: Initializer| by.init([channels], device).set_require_grad(false);
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            mean: held(Initializer::Zeros),
            variance: held(Initializer::Ones),
        }
    }

    pub(super) fn forward(&self, x_ncyx: Tensor<4>, statistics: &mut Statistics) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if let Statistics::OfWeights = statistics {
            let (mean, variance) = (self.mean.val(), self.variance.val());
            return module::batch_norm(x_ncyx, weight, bias, mean, variance, NORM_EPSILON);
        }
        let [n, _, rows, columns] = x_ncyx.dims();
        let normed = module::batch_norm_train(x_ncyx, weight, bias, NORM_EPSILON);
        if let Statistics::Measured(moments) = statistics {
            // What stands for any batch is the variance of what the batch was drawn from.
            let count = (n * rows * columns) as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            moments.add(self.mean.id, normed.mean);
            moments.add(self.variance.id, normed.variance.mul_scalar(unbiased));
        }
        normed.output
    }
}

/// What lies beyond the edge of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// The image mirrored, its edge not repeated.
    Mirror,
    /// Nothing: the output is smaller.
    Cut,
}

/// A convolution with bias, its norm, and a ReLU.
#[derive(Module, Debug)]
pub(super) struct ConvLayer {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    norm: BatchNorm,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    edge: Edge,
}

/// Weights and bias as PyTorch draws them: uniform within one over the root of the inputs of an output.
fn drawn(
    shape: [usize; 4],
    inputs: usize,
    outputs: usize,
    device: &Device,
) -> (Param<Tensor<4>>, Param<Tensor<1>>) {
    let most = 1.0 / (inputs as f64).sqrt();
    let uniform = Initializer::Uniform { min: -most, max: most };
    (uniform.init(shape, device), uniform.init([outputs], device))
}

impl ConvLayer {
    /// A kernel of 3 × 3 with mirrored edges.
    pub(super) fn three(from: usize, to: usize, device: &Device) -> Self {
        Self::new([from, to], 3, 1, Edge::Mirror, device)
    }

    /// A kernel of 1 × 1.
    pub(super) fn one(from: usize, to: usize, device: &Device) -> Self {
        Self::new([from, to], 1, 1, Edge::Cut, device)
    }

    /// A kernel of 2 × 2 in steps of 2, which halves an image.
    pub(super) fn halve(channels: usize, device: &Device) -> Self {
        Self::new([channels; 2], 2, 2, Edge::Cut, device)
    }

    fn new(
        [from, to]: [usize; 2],
        side: usize,
        stride: usize,
        edge: Edge,
        device: &Device,
    ) -> Self {
        let (weight, bias) = drawn([to, from, side, side], from * side * side, to, device);
        Self { weight, bias, norm: BatchNorm::new(to, device), stride, edge }
    }

    pub(super) fn forward(&self, x_ncyx: Tensor<4>, statistics: &mut Statistics) -> Tensor<4> {
        let x_ncyx = match self.edge {
            Edge::Mirror => x_ncyx.pad([(1, 1), (1, 1)], PadMode::Reflect),
            Edge::Cut => x_ncyx,
        };
        let options = ConvOptions::new([self.stride; 2], [0; 2], [1; 2], 1);
        let y_ncyx = module::conv2d(x_ncyx, self.weight.val(), Some(self.bias.val()), options);
        activation::relu(self.norm.forward(y_ncyx, statistics))
    }
}

/// A transposed convolution of 2 × 2 in steps of 2, which doubles an image, its norm, and a ReLU.
#[derive(Module, Debug)]
pub(super) struct Doubling {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    norm: BatchNorm,
}

impl Doubling {
    pub(super) fn new(from: usize, to: usize, device: &Device) -> Self {
        let (weight, bias) = drawn([from, to, 2, 2], to * 4, to, device);
        Self { weight, bias, norm: BatchNorm::new(to, device) }
    }

    pub(super) fn forward(&self, x_ncyx: Tensor<4>, statistics: &mut Statistics) -> Tensor<4> {
        let options = ConvTransposeOptions::new([2; 2], [0; 2], [0; 2], [1; 2], 1);
        let (weight, bias) = (self.weight.val(), Some(self.bias.val()));
        let y_ncyx = module::conv_transpose2d(x_ncyx, weight, bias, options);
        activation::relu(self.norm.forward(y_ncyx, statistics))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    /// By hand: two images of one channel, values 0, 2 and 4, 6, have the mean 3, the variance 5 and, as of what they
    /// were drawn from, 20/3.
    #[test]
    fn statistics_are_measured_and_stand_for_the_batch_afterwards() {
        let device = Device::flex();
        let norm = BatchNorm::new(1, &device);
        let values = TensorData::new(vec![0.0_f32, 2.0, 4.0, 6.0], [2, 1, 1, 2]);
        let images = Tensor::<4>::from_data(values, &device);
        let flat = |x: Tensor<4>| x.into_data().iter::<f32>().collect::<Vec<_>>();
        let close = |got: Vec<f32>, want: [f32; 4]| {
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-4), "{got:?} {want:?}");
        };
        let by = |root: f32| [-3.0 / root, -1.0 / root, 1.0 / root, 3.0 / root];
        close(flat(norm.forward(images.clone(), &mut Statistics::OfBatch)), by(5.0_f32.sqrt()));
        close(flat(norm.forward(images.clone(), &mut Statistics::OfWeights)), [0.0, 2.0, 4.0, 6.0]);
        let mut measured = Statistics::Measured(Moments::default());
        for _ in 0..2 {
            let _ = norm.forward(images.clone(), &mut measured);
            if let Statistics::Measured(moments) = &mut measured {
                moments.next();
            }
        }
        let Statistics::Measured(moments) = measured else { unreachable!("it was so before") };
        let norm = moments.put_into(norm);
        let got = flat(norm.forward(images, &mut Statistics::OfWeights));
        close(got, by((20.0_f32 / 3.0).sqrt()));
    }

    #[test]
    fn no_gradient_reaches_statistics() {
        let norm = BatchNorm::new(2, &Device::flex()).train();
        assert!(norm.weight.is_require_grad() && norm.bias.is_require_grad());
        assert!(!norm.mean.is_require_grad() && !norm.variance.is_require_grad());
    }
}
