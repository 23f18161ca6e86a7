//! One optimiser step over several small batches, on every core.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use surco_net::Encoder;

/// Gradients of the mean of several losses, computed side by side, and the mean loss.
///
/// The parts are added in their order, so the result does not depend on the number of cores. Each part
/// has a thread and a fork of the module: forks share no node of the gradient tape, and a thread that
/// is no worker of the pool never picks up another part while it holds the tape's lock, which is how
/// the two would wait for each other for ever.
pub(crate) fn gradients<T: Sync>(
    encoder: &Encoder,
    device: &Device,
    parts: &[T],
    loss: impl Fn(&Encoder, &T) -> Tensor<1> + Sync,
) -> (GradientsParams, f64) {
    let share = 1.0 / parts.len().max(1) as f64;
    let one = |fork: Encoder, part: &T| {
        let value = loss(&fork, part).mul_scalar(share);
        let number = f64::from(value.clone().into_scalar::<f32>());
        (GradientsParams::from_grads(value.backward(), &fork), number)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sum = GradientsAccumulator::new();
    let mut total = 0.0;
    for wave in parts.chunks(cores) {
        let done: Vec<(GradientsParams, f64)> = std::thread::scope(|scope| {
            let running: Vec<_> = wave
                .iter()
                .map(|part| {
                    let fork = encoder.clone().fork(device);
                    scope.spawn(|| one(fork, part))
                })
                .collect();
            running
                .into_iter()
                .map(|r| r.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                .collect()
        });
        for (grads, value) in done {
            sum.accumulate(encoder, grads);
            total += value;
        }
    }
    (sum.grads(), total)
}

/// Learning rate at a step: linear warm-up, then a half cosine down to a tenth.
pub(crate) fn learning_rate(peak: f64, step: u64, warm_up: u64, steps: u64) -> f64 {
    if step < warm_up {
        return peak * (step + 1) as f64 / warm_up as f64;
    }
    let done = (step - warm_up) as f64 / (steps.saturating_sub(warm_up)).max(1) as f64;
    peak * (0.55 + 0.45 * (std::f64::consts::PI * done.min(1.0)).cos())
}

/// AdamW as both trainers use it: weight decay 0.01, each gradient clipped at norm 1.
pub(crate) fn optimizer() -> ModuleOptimizer {
    burn::optim::AdamWConfig::new()
        .with_weight_decay(0.01)
        .with_beta_2(0.98)
        .with_epsilon(1e-8)
        .with_grad_clipping(Some(burn::grad_clipping::GradientClippingConfig::Norm(1.0)))
        .init()
}

/// An encoder that tracks gradients on its device.
pub(crate) fn trainable(encoder: Encoder) -> Encoder {
    encoder.train()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_and_ends_at_a_tenth() {
        assert!((learning_rate(1.0, 0, 10, 100) - 0.1).abs() < 1e-12);
        assert!((learning_rate(1.0, 10, 10, 100) - 1.0).abs() < 1e-12);
        assert!((learning_rate(1.0, 100, 10, 100) - 0.1).abs() < 1e-12);
    }
}
