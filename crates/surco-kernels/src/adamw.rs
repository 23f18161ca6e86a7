//! AdamW as a Burn optimiser: one pass on the CPU device, plain operators elsewhere.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::optim::{AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use crate::cpu::adamw::{self, Numbers};

/// AdamW (Loshchilov and Hutter 2019) with decoupled weight decay.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// How long the mean of gradients remembers.
    pub beta_1: f32,
    /// How long the mean of their squares remembers.
    pub beta_2: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Share of the weights lost a step, times the learning rate.
    pub weight_decay: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// What one step of AdamW is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(pub(crate) Numbers);

/// The tensors of a step.
#[derive(ExtensionType)]
pub(crate) struct Moving<B: Backend> {
    pub(crate) weight: FloatTensor<B>,
    pub(crate) grad: FloatTensor<B>,
    pub(crate) first: FloatTensor<B>,
    pub(crate) second: FloatTensor<B>,
}

/// The backend extension of optimisers.
#[backend_extension(Flex, LibTorch: cfg(feature = "tch"))]
pub(crate) trait OptimizerBackend: Backend {
    /// One step.
    fn adamw(#[extension_type] tensors: Moving<Self>, step: Step) -> Vec<FloatTensor<Self>>;
}

impl OptimizerBackend for Flex {
    fn adamw(tensors: Moving<Self>, step: Step) -> Vec<FloatTensor<Self>> {
        let Moving { weight, grad, first, second } = tensors;
        let (mut weight, mut first, mut second) = (whole(weight), whole(first), whole(second));
        let grad = whole(grad);
        let values = grad.as_slice().expect("a contiguous f32 tensor is a slice");
        let moments = (first.storage_mut(), second.storage_mut());
        adamw::step(step.0, weight.storage_mut(), values, moments);
        vec![weight, first, second]
    }
}

/// A tensor that is all of its storage; without a copy where it already is.
fn whole(tensor: FlexTensor) -> FlexTensor {
    let all = tensor.is_contiguous()
        && tensor.bytes().len() == tensor.layout().num_elements() * size_of::<f32>();
    if all { tensor } else { tensor.to_contiguous() }
}

impl AdamW {
    fn numbers(&self, rate: f64, time: usize) -> Numbers {
        let unbiased =
            |beta: f32| 1.0 - f64::from(beta).powi(i32::try_from(time).unwrap_or(i32::MAX));
        Numbers {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            rate: (rate / unbiased(self.beta_1)) as f32,
            unbias: (1.0 / unbiased(self.beta_2).sqrt()) as f32,
            keep: (1.0 - rate * f64::from(self.weight_decay)) as f32,
        }
    }
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdaptiveMomentumState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (time, first, second) = match state {
            Some(s) => (s.time + 1, s.moment_1, s.moment_2),
            None => (1, grad.zeros_like(), grad.zeros_like()),
        };
        let n = self.numbers(rate, time);
        let (weight, first, second) = if crate::is_fused(&weight) {
            let [weight, grad, first, second] =
                [weight, grad, first, second].map(Tensor::into_dispatch);
            let tensors = Moving { weight, grad, first, second };
            let out = <Dispatch as OptimizerBackend>::adamw(tensors, Step(n));
            let count = out.len();
            let [weight, first, second] = out
                .into_iter()
                .map(Tensor::from_dispatch)
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or_else(|_| panic!("a step gives 3 tensors, not {count}"));
            (weight, first, second)
        } else {
            let first = first * n.beta_1 + grad.clone() * (1.0 - n.beta_1);
            let second = second * n.beta_2 + grad.clone() * grad * (1.0 - n.beta_2);
            let root = second.clone().sqrt() * n.unbias + n.epsilon;
            (weight * n.keep - first.clone() / root * n.rate, first, second)
        };
        (weight, Some(AdaptiveMomentumState::new(time, first, second)))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.to_device(device)
    }
}
