//! The moving average of weights, which forgets the noise of the last steps.
//!
//! `average ← decay · average + (1 − decay) · weights` after each step; the decay is small at first, so that
//! the random weights of the beginning are soon forgotten.
//!
//! # Source
//! Polyak and Juditsky 1992; the decay of early steps, `min(decay, (1 + t) / (10 + t))`, as in TensorFlow's
//! `ExponentialMovingAverage` with `num_updates`.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// An exponential moving average of a module's weights.
pub(crate) struct Average<M> {
    /// The averaged module, without gradients.
    pub(crate) module: M,
    decay: f64,
}

impl<M: Module> Average<M> {
    /// An average that begins at these weights.
    pub(crate) fn new(weights: &M, decay: f64) -> Self {
        Self { module: weights.valid(), decay }
    }

    /// The same average, with weights that were saved.
    pub(crate) fn resumed(self, module: M) -> Self {
        Self { module, ..self }
    }

    /// Takes in the weights after step `done`, counted from 1.
    pub(crate) fn take_in(&mut self, weights: &M, done: u64) {
        let decay = self.decay.min((1.0 + done as f64) / (10.0 + done as f64));
        let mut there = Weights(GradientsParams::new());
        weights.valid().visit(&mut there);
        let mut toward = Toward { weights: there.0, share: 1.0 - decay };
        self.module = self.module.clone().map(&mut toward);
    }
}

/// Weights by parameter; Burn's one public container of tensors of any rank.
struct Weights(GradientsParams);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val());
    }
}

/// Moves each parameter a share of the way.
struct Toward {
    weights: GradientsParams,
    share: f64,
}

impl ModuleMapper for Toward {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.weights.remove::<D>(param.id) {
            Some(there) => {
                let share = self.share;
                param.map(|here| here.clone() + (there - here).mul_scalar(share))
            }
            None => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// By hand, weights 2, 4, 0 after a beginning at 1, decay 0.5 but 2/11, 3/12 and 4/13 at first:
    /// 2/11 + 9/11 · 2 = 20/11; 3/12 · 20/11 + 9/12 · 4 = 38/11; 4/13 · 38/11 + 0 = 152/143. From step 8 on
    /// the decay is 0.5: half of 152/143 and half of 2.
    #[test]
    fn the_average_follows_the_sequence_worked_by_hand() {
        let device = Device::flex().autodiff();
        let start = Param::from_tensor(Tensor::<1>::from_floats([1.0, -1.0], &device));
        let at = |w: f32| start.clone().map(|_| Tensor::from_floats([w, -w], &device));
        let mut average = Average::new(&start, 0.5);
        let steps = [
            (1, 2.0, 20.0 / 11.0),
            (2, 4.0, 38.0 / 11.0),
            (3, 0.0, 152.0 / 143.0),
            (20, 2.0, 76.0 / 143.0 + 1.0),
        ];
        for (step, weight, want) in steps {
            average.take_in(&at(weight), step);
            let got: Vec<f32> = average.module.val().into_data().iter::<f32>().collect();
            assert!((got[0] - want).abs() < 1e-6 && got[1] == -got[0], "{step}: {got:?}, {want}");
        }
        assert!(!average.module.val().is_autodiff());
    }
}
