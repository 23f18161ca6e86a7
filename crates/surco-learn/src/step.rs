//! One optimiser step over several micro-batches, on every core or device.
//!
//! # Source
//! Clipping by one norm over all gradients: Pascanu, Mikolov and Bengio 2013. Warm-up and half a cosine:
//! Loshchilov and Hutter 2017. Master weights in 32 bits beside a copy in 16: Micikevicius et al. 2018. Data
//! parallelism as in `burn-train`'s `OptimMainDevice`: a copy of the module on each device, gradients
//! brought to the first, one optimiser.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, FloatDType, GradientCheckpointingStrategy, Tensor};
use surco_kernels::AdamW;

use crate::precision::Precision;

/// Norm over all gradients that a step may have; what is longer is scaled down.
pub(crate) const CLIP_NORM: f64 = 1.0;

/// Where micro-batches are computed side by side, and how.
pub(crate) struct Lanes {
    main: Device,
    tracked: Vec<Device>,
    precision: Precision,
}

impl Lanes {
    /// A lane for each core of the CPU, one for every other device. The first device keeps the weights.
    ///
    /// `recompute` has plain operators that are cheap computed again in backward; fused blocks have their own policy.
    pub(crate) fn new(devices: &[Device], precision: Precision, recompute: bool) -> Self {
        let tracked = |device: &Device| {
            let tracked = device.clone().autodiff();
            if recompute { tracked.gradient_checkpointing() } else { tracked }
        };
        let lanes = |device: &Device| {
            let count = if *device == Device::flex() { rayon::current_num_threads() } else { 1 };
            std::iter::repeat_n(tracked(device), count)
        };
        Self {
            main: devices.first().cloned().unwrap_or_else(Device::flex),
            tracked: devices.iter().flat_map(lanes).collect(),
            precision,
        }
    }

    /// The device of the weights, tracking gradients.
    pub(crate) fn main(&self) -> Device {
        self.main.clone().autodiff()
    }

    /// A copy of a module for each lane, whose weights share no node of the gradient tape with another's.
    fn copies<M: Module>(&self, module: &M, count: usize) -> Vec<(M, Device)> {
        let copy = |device: &Device| {
            let strategy = device.gradient_checkpointing_strategy().unwrap_or_default();
            let mut leaves = Leaves { precision: self.precision, strategy };
            (module.clone().fork(device).map(&mut leaves), device.clone())
        };
        self.tracked.iter().take(count).map(copy).collect()
    }
}

/// Leaves of the gradient tape in place of weights, in the number format and with the strategy of a lane.
struct Leaves {
    precision: Precision,
    strategy: GradientCheckpointingStrategy,
}

impl ModuleMapper for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| {
            let is_learned = weight.is_require_grad();
            let weight = match self.precision {
                Precision::F32 => weight.without_autodiff(),
                Precision::Bf16 => weight.without_autodiff().cast(FloatDType::BF16),
            };
            // A fork keeps the strategy it had, and tensors of two strategies do not mix.
            let weight = weight.autodiff().with_gradient_checkpointing_strategy(self.strategy);
            weight.set_require_grad(is_learned)
        })
    }
}

/// Gradients of a sum of losses.
pub(crate) struct Summed {
    /// Of the sum over everything that was weighed.
    pub(crate) gradients: GradientsParams,
    /// The sums, micro-batch by micro-batch.
    pub(crate) parts: Vec<Weighed>,
}

/// A sum of losses, and what it is a sum over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weighed {
    pub(crate) loss: f64,
    pub(crate) weight: f64,
}

impl Weighed {
    /// The mean loss; 0 where nothing was weighed.
    pub(crate) fn mean(self) -> f64 {
        self.loss * self.share()
    }

    /// What makes a mean of the sum.
    fn share(self) -> f64 {
        if self.weight > 0.0 { 1.0 / self.weight } else { 0.0 }
    }

    /// Several together.
    pub(crate) fn whole(parts: impl IntoIterator<Item = Self>) -> Self {
        let add = |sum: Self, part: Self| Self {
            loss: sum.loss + part.loss,
            weight: sum.weight + part.weight,
        };
        parts.into_iter().fold(Self::default(), add)
    }
}

impl Summed {
    /// All micro-batches together.
    pub(crate) fn whole(&self) -> Weighed {
        Weighed::whole(self.parts.iter().copied())
    }

    /// The mean loss; 0 where nothing was weighed.
    pub(crate) fn mean(&self) -> f64 {
        self.whole().mean()
    }
}

/// Accumulates the gradients of several micro-batches, computed side by side.
///
/// `loss` gives the mean loss of a micro-batch and what it is a mean over; the sum of all, divided by the sum
/// of weights, is the loss of the whole batch, however it was cut. The parts are added in their order, so the result does not
/// depend on the number of lanes. Each lane has a thread and a copy of the module: copies share no node of
/// the gradient tape, and a thread that is no worker of the pool never picks up another part while it holds
/// the tape's lock, which is how the two would wait for each other for ever.
pub(crate) fn gradients<M: Module, T: Sync>(
    module: &M,
    lanes: &Lanes,
    parts: &[T],
    loss: impl Fn(&M, &T, &Device) -> (Tensor<1>, f64) + Sync,
) -> Summed {
    let one = |copy: M, part: &T, device: &Device| {
        let (mean, weight) = loss(&copy, part, device);
        let sum = mean.mul_scalar(weight);
        let loss = f64::from(sum.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(sum.backward(), &copy);
        (lanes.brought_home(&copy, gradients, device), Weighed { loss, weight })
    };
    let copies = lanes.copies(module, parts.len());
    let mut sum = GradientsAccumulator::new();
    let mut summed = Vec::with_capacity(parts.len());
    for wave in parts.chunks(copies.len().max(1)) {
        let done: Vec<(GradientsParams, Weighed)> = std::thread::scope(|scope| {
            let running: Vec<_> = wave
                .iter()
                .zip(&copies)
                .map(|(part, (copy, device))| {
                    let copy = copy.clone();
                    scope.spawn(|| one(copy, part, device))
                })
                .collect();
            running
                .into_iter()
                .map(|r| r.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                .collect()
        });
        for (gradients, weighed) in done {
            sum.accumulate(module, gradients);
            summed.push(weighed);
        }
    }
    Summed { gradients: sum.grads(), parts: summed }
}

impl Lanes {
    /// Gradients in 32 bits on the device of the weights.
    fn brought_home<M: Module>(
        &self,
        copy: &M,
        gradients: GradientsParams,
        device: &Device,
    ) -> GradientsParams {
        let gradients = match self.precision {
            Precision::F32 => gradients,
            Precision::Bf16 => changed(copy, gradients, Change::Widen),
        };
        if device.clone().without_autodiff() == self.main {
            return gradients;
        }
        gradients.to_device(&self.main, copy)
    }
}

/// What becomes of each gradient.
#[derive(Clone, Copy)]
enum Change {
    Widen,
    Scale(f64),
}

/// Gradients under change.
struct Changing {
    gradients: GradientsParams,
    change: Change,
}

impl ModuleVisitor for Changing {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        let changed = match self.change {
            Change::Widen => gradient.cast(FloatDType::F32),
            Change::Scale(by) => gradient.mul_scalar(by),
        };
        self.gradients.register(param.id, changed);
    }
}

fn changed<M: Module>(module: &M, gradients: GradientsParams, change: Change) -> GradientsParams {
    let mut changing = Changing { gradients, change };
    module.visit(&mut changing);
    changing.gradients
}

/// Sums of squares, one a gradient.
struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.sums.extend(self.gradients.get::<D>(param.id).map(|g| g.square().sum()));
    }
}

/// Gradients of the mean loss, scaled down where their norm over all parameters exceeds `longest`; and that
/// norm before.
pub(crate) fn clipped<M: Module>(
    module: &M,
    summed: Summed,
    longest: f64,
) -> (GradientsParams, f64) {
    let mut squares = Squares { gradients: &summed.gradients, sums: Vec::new() };
    module.visit(&mut squares);
    if squares.sums.is_empty() {
        return (summed.gradients, 0.0);
    }
    let square = Tensor::cat(squares.sums, 0).sum().into_scalar::<f32>();
    let share = summed.whole().share();
    let norm = f64::from(square).sqrt() * share;
    let scale = (longest / norm).min(1.0) * share;
    (changed(module, summed.gradients, Change::Scale(scale)), norm)
}

/// Learning rate at a step: linear warm-up, then a half cosine down to a tenth.
pub(crate) fn learning_rate(peak: f64, step: u64, warm_up: u64, steps: u64) -> f64 {
    if step < warm_up {
        return peak * (step + 1) as f64 / warm_up as f64;
    }
    let done = (step - warm_up) as f64 / (steps.saturating_sub(warm_up)).max(1) as f64;
    peak * (0.55 + 0.45 * (std::f64::consts::PI * done.min(1.0)).cos())
}

/// AdamW with the trainer's settings; clipping is not its affair, see [`clipped`].
pub(crate) fn optimizer() -> ModuleOptimizer {
    AdamW { beta_1: 0.9, beta_2: 0.98, epsilon: 1e-8, weight_decay: 0.01 }.into()
}

#[cfg(test)]
mod tests;
