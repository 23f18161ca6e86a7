//! FOMAML: weights from which a few steps on the support are right about the queries; the gradient at the end of the inner
//! loop is taken for that at its beginning.
//!
//! It works on the tensors of any module, where methods that look through the steps need one flat list.
//!
//! # Source
//! Finn, Abbeel and Levine 2017, *Model-agnostic meta-learning for fast adaptation of deep networks*, algorithm 2 and
//! section 5.2, *first-order approximation*.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

/// Steps of the inner loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct InnerSteps {
    /// Number of steps.
    pub(crate) count: usize,
    /// Their rate.
    pub(crate) rate: f64,
}

/// A module after steps down the slope of the support's loss. Its weights are those of the module plus the way that the steps
/// went, so that gradients pass through the steps unchanged and arrive at the module's own weights.
pub(crate) fn adapted<M: Module>(
    module: &M,
    steps: InnerSteps,
    mut support: impl FnMut(&M) -> Tensor<1>,
) -> M {
    let (mut sum, mut way) = (GradientsAccumulator::<M>::new(), GradientsParams::new());
    let moved = |way: &GradientsParams, is_leaf| {
        module.clone().map(&mut Moved { way, rate: steps.rate, is_leaf })
    };
    for _ in 0..steps.count {
        let here = moved(&way, true);
        let gradients = GradientsParams::from_grads(support(&here).backward(), &here);
        sum.accumulate(module, way);
        sum.accumulate(module, gradients);
        way = sum.grads();
    }
    moved(&way, false)
}

/// Moves weights against a sum of gradients; those that have none stay.
struct Moved<'a> {
    way: &'a GradientsParams,
    rate: f64,
    /// Whether the moved weights are leaves of the gradient tape, and not what comes of others.
    is_leaf: bool,
}

impl ModuleMapper for Moved<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.way.get::<D>(param.id) else { return param };
        let (step, is_leaf) = (gradient.mul_scalar(-self.rate), self.is_leaf);
        param.map(|weight| {
            let strategy = weight.device().gradient_checkpointing_strategy().unwrap_or_default();
            let tracked =
                |x: Tensor<D>| x.autodiff().with_gradient_checkpointing_strategy(strategy);
            if is_leaf {
                tracked(weight.without_autodiff() + step).require_grad()
            } else {
                weight + tracked(step)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::meta::inner::tests::{Recorded, SmallNet, furthest};

    #[derive(Module, Debug)]
    struct Weights {
        w: Param<Tensor<1>>,
    }

    impl Weights {
        fn new(values: &[f64]) -> Self {
            let device = Device::flex().autodiff();
            let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            let count = values.len();
            let w = Tensor::from_data(TensorData::new(values, [count]), &device);
            Self { w: Param::from_tensor(w.require_grad()) }
        }

        /// ½ `curvature` (w − `bottom`)².
        fn bowl(&self, curvature: f64, bottom: f64) -> Tensor<1> {
            ((self.w.val() - bottom).square() * (curvature / 2.0)).sum()
        }

        /// The loss of [`SmallNet`].
        fn squares(&self, net: &SmallNet) -> Tensor<1> {
            let (w, n) = (self.w.val(), net.x.len());
            let table = |values: Vec<f32>, columns: usize| {
                let data = TensorData::new(values, [n, columns]);
                Tensor::<2>::from_data(data, &w.device())
            };
            let x = table(net.x.iter().flatten().map(|v| *v as f32).collect(), 2);
            let y = table(net.y.iter().map(|v| *v as f32).collect(), 1);
            let part = |first: usize, count: usize| w.clone().narrow(0, first, count);
            let hidden = x.matmul(part(0, 6).reshape([3, 2]).transpose());
            let hidden = (hidden + part(6, 3).unsqueeze()).tanh();
            let said = hidden.matmul(part(9, 3).reshape([3, 1])) + part(12, 1).unsqueeze();
            (said - y).square().mean()
        }

        fn gradient(&self, loss: Tensor<1>) -> Vec<f64> {
            let gradient = self.w.val().grad(&loss.backward()).unwrap();
            gradient.into_data().iter::<f64>().collect()
        }
    }

    /// By hand: a rate of 0.1 on curvature 2 leaves 0.8 of the way to the bottom with each step, three leave 0.512, so the end is
    /// 0.488; the query's slope there is 4 · (0.488 − 3), and MAML would have 0.512 of it.
    #[test]
    fn three_steps_on_a_bowl_agree_with_a_hand() {
        let start = Weights::new(&[0.0]);
        let steps = InnerSteps { count: 3, rate: 0.1 };
        let end = adapted(&start, steps, |here| here.bowl(2.0, 1.0));
        assert!((end.w.val().into_scalar::<f32>() - 0.488).abs() < 1e-6);
        let gradient = start.gradient(end.bowl(4.0, 3.0));
        assert!((gradient[0] - 4.0 * (0.488 - 3.0)).abs() < 1e-5, "{gradient:?}");
    }

    #[test]
    fn without_steps_the_module_is_as_it_was() {
        let start = Weights::new(&[1.0]);
        let end = adapted(&start, InnerSteps { count: 0, rate: 0.1 }, |here| here.bowl(2.0, 1.0));
        assert_eq!(start.gradient(end.bowl(4.0, 3.0)), [-8.0]);
    }

    /// PyTorch computes in 64 bits, we in 32.
    #[test]
    fn steps_of_a_network_agree_with_pytorch() {
        let recorded = Recorded::read();
        let (support, query) = recorded.halves();
        let start = Weights::new(&recorded.start);
        let steps = InnerSteps { count: recorded.steps, rate: recorded.rate };
        let end = adapted(&start, steps, |here| here.squares(&support));
        let loss = end.squares(&query);
        assert!((f64::from(loss.clone().into_scalar::<f32>()) - recorded.query_loss).abs() < 1e-6);
        let gradient = start.gradient(loss);
        assert!(furthest(&gradient, &recorded.fomaml) < 1e-6, "{gradient:?}");
    }
}
