//! The reference encoder against PyTorch's recorded outputs, gradients and losses, on every device of
//! the build and the machine.

#![allow(clippy::unwrap_used, reason = "all of it is test")]

use std::fs;

use burn::tensor::{Device, Tensor};
use surco_kernels::Policy;
use surco_learn::workload::ReferenceTraining;
use surco_net::reference::{ReferenceBatch, ReferenceEncoder, Tensors};
use surco_net::{DeviceName, Engine};
use surco_verify::data;

/// Losses before each of the first five steps of AdamW, recorded from PyTorch 2.11 with the same
/// weights and batch.
const LOSSES: [f32; 5] = [1.715_528, 2.291_193, 1.137_234, 1.110_84, 1.110_289];

struct Recorded {
    weights: Vec<u8>,
    io: Vec<u8>,
}

impl Recorded {
    fn read() -> Self {
        let bytes = |name: &str| fs::read(data(&format!("oracles/{name}.safetensors"))).unwrap();
        Self { weights: bytes("encoder128_weights"), io: bytes("encoder128_io") }
    }

    fn values(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        Tensors::read("oracle", &self.io).unwrap().values(name, shape).unwrap()
    }
}

fn devices() -> Vec<(DeviceName, Device)> {
    Engine::ALL.into_iter().filter_map(Engine::devices).flatten().collect()
}

/// The largest difference to recorded values.
fn off(got: Tensor<2>, want: &[f32]) -> f32 {
    let got = got.into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Sums run in another order than PyTorch's, over six layers of values around 1.
#[test]
fn outputs_agree_with_pytorch_within_5e_6() {
    let recorded = Recorded::read();
    for (name, device) in devices() {
        let encoder = ReferenceEncoder::read(&recorded.weights, &device).unwrap();
        let batch = ReferenceBatch::read(&recorded.io, &device).unwrap();
        let got = encoder.forward(&batch, Policy::default());
        let off = off(got, &recorded.values("y", &[256, 24, 10]));
        println!("{name}: outputs within {off:e}");
        assert!(off <= 5e-6, "{name}: {off}");
    }
}

/// The first gradient is that of the embedding, at the end of the way back; the second that of the
/// first block's projections. Allowed is a hundred-thousandth of the largest number of each.
#[test]
fn gradients_agree_with_pytorch_within_a_hundred_thousandth() {
    let recorded = Recorded::read();
    let (embed, qkv) =
        (recorded.values("g_embed", &[128, 10]), recorded.values("g_qkv0", &[384, 128]));
    for (name, device) in devices() {
        let device = device.autodiff();
        let encoder = ReferenceEncoder::read(&recorded.weights, &device).unwrap();
        let batch = ReferenceBatch::read(&recorded.io, &device).unwrap();
        for policy in [false, true].map(|recompute| Policy { recompute, ..Policy::default() }) {
            let gradients = encoder.loss(&batch, policy).backward();
            let (a, b) = (&encoder.embed.weight, &encoder.blocks[0].qkv.weight);
            for (weight, want) in [(a, &embed), (b, &qkv)] {
                let got = weight.val().grad(&gradients).unwrap().transpose();
                let share = off(got, want) / want.iter().fold(0.0, |m, v| v.abs().max(m));
                println!("{name}, {policy:?}: a gradient within {share:e} of its largest");
                assert!(share <= 1e-5, "{name}: {share}");
            }
        }
    }
}

#[test]
fn five_steps_of_training_lose_what_pytorch_loses_to_five_digits() {
    let recorded = Recorded::read();
    for (name, device) in devices() {
        let mut training =
            ReferenceTraining::new(&recorded.weights, &recorded.io, &device).unwrap();
        let losses = LOSSES.map(|_| training.step().into_scalar::<f32>());
        println!("{name}: {losses:?}");
        for (got, want) in losses.iter().zip(LOSSES) {
            assert!((got - want).abs() <= 1e-5 * want, "{name}: {losses:?}");
        }
    }
}
