//! The fused operators on LibTorch against plain operators in 64-bit: values and gradients.
#![cfg(feature = "tch")]
#![expect(deprecated, reason = "Burn 0.23 drops this backend; see docs/devices.md")]

use burn::optim::Optimizer;
use burn::tensor::{DType, Device, Tensor, TensorData};
use surco_kernels::{
    Activation, AdamW, AttentionLayer, LossKind, MlpLayer, Norm, NormKind, Policy, Projection,
    Rotary, Segments, Sight, attend, attention, cross_entropy, gelu, linear, masked_loss, mlp,
    norm, swiglu,
};

/// Numbers between −`size` and `size` that are the same on every run.
fn numbers(count: usize, size: f32, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() * size).collect()
}

/// Shape and size of the numbers of an input.
type Input = (Vec<usize>, f32);

/// An operator of matrices and vectors, each handed over flat.
type Operator<'a> = &'a dyn Fn(&[Tensor<1>]) -> Tensor<1>;

/// Value and gradients of `Σ out · probe`.
fn run(
    device: Device,
    dtype: DType,
    inputs: &[Input],
    operator: Operator<'_>,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let device = device.autodiff();
    let tensor = |count: usize, size, seed| {
        let data = TensorData::new(numbers(count, size, seed), [count]);
        Tensor::<1>::from_data(data, (&device, DType::F32)).cast(dtype)
    };
    let leaves: Vec<Tensor<1>> = inputs
        .iter()
        .zip(1..)
        .map(|((shape, size), seed)| tensor(shape.iter().product(), *size, seed).require_grad())
        .collect();
    let out = operator(&leaves);
    let probe = tensor(out.dims()[0], 1.0, 99);
    let grads = (out.clone() * probe).sum().backward();
    let of = |t: Tensor<1>| t.into_data().iter::<f64>().collect::<Vec<f64>>();
    (of(out), leaves.iter().map(|leaf| leaf.grad(&grads).map(of).unwrap_or_default()).collect())
}

/// The largest difference, relative to the largest value.
fn away(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
    assert!(a.iter().all(|v| v.is_finite()), "not a number");
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max) / scale
}

/// LibTorch in 32-bit against plain operators in 64-bit: values and gradients within 4e-6 of the largest.
fn agree(what: &str, inputs: &[Input], operator: Operator<'_>) {
    let (value, grads) = run(Device::libtorch(), DType::F32, inputs, operator);
    let (want, want_grads) = run(Device::flex(), DType::F64, inputs, operator);
    assert!(away(&value, &want) < 4e-6, "{what}: value {}", away(&value, &want));
    for (i, (grad, want)) in grads.iter().zip(&want_grads).enumerate() {
        assert!(away(grad, want) < 4e-6, "{what}: gradient {i} {}", away(grad, want));
    }
}

fn matrix(leaf: &Tensor<1>, columns: usize) -> Tensor<2> {
    let rows = leaf.dims()[0] / columns;
    leaf.clone().reshape([rows, columns])
}

fn flat(x: Tensor<2>) -> Tensor<1> {
    let [n, d] = x.dims();
    x.reshape([n * d])
}

fn norm_of(kind: NormKind, weight: &Tensor<1>, bias: Option<&Tensor<1>>) -> Norm {
    Norm { weight: weight.clone(), bias: bias.cloned(), kind, epsilon: 1e-5 }
}

#[test]
fn single_operators_agree_with_plain_ones() {
    for kind in [NormKind::Layer, NormKind::Rms] {
        let shape = [(vec![97, 33], 2.0), (vec![33], 1.0), (vec![33], 1.0)];
        agree(&format!("{kind:?}"), &shape, &|t| {
            flat(norm(matrix(&t[0], 33), norm_of(kind, &t[1], Some(&t[2]))))
        });
        agree(&format!("{kind:?} without bias"), &shape[..2], &|t| {
            flat(norm(matrix(&t[0], 33), norm_of(kind, &t[1], None)))
        });
    }
    let shape = [(vec![65, 10], 1.0), (vec![10, 31], 0.5), (vec![31], 1.0)];
    agree("linear", &shape, &|t| {
        let bias = Some(t[2].clone());
        flat(linear(matrix(&t[0], 10), Projection { weight: matrix(&t[1], 31), bias }))
    });
    agree("gelu", &[(vec![1000], 6.0)], &|t| gelu(t[0].clone()));
    agree("swiglu", &[(vec![101, 14], 4.0)], &|t| flat(swiglu(matrix(&t[0], 14))));
}

fn turns(like: &Tensor<1>, n: usize, e: usize) -> Rotary {
    let angles = numbers(n * e / 2, 3.0, 7);
    let part = |f: fn(f32) -> f32| {
        let data = TensorData::new(angles.iter().map(|&a| f(a)).collect::<Vec<_>>(), [n, e / 2]);
        Tensor::<2>::from_data(data, (&like.device(), DType::F32)).cast(like.dtype())
    };
    Rotary { cos: part(f32::cos), sin: part(f32::sin) }
}

/// Segments of one length, and of very different lengths, some of them empty; seen whole and looked back on.
fn segmentations() -> [Segments; 4] {
    let (even, odd) =
        (Segments::uniform(9, 14), Segments::of_lengths([0, 5, 1, 0, 33, 60, 2, 24, 0]));
    [even.clone(), odd.clone(), even.with_sight(Sight::Past), odd.with_sight(Sight::Past)]
}

#[test]
fn attention_within_segments_agrees_with_plain_operators() {
    for segments in segmentations() {
        let n = segments.tokens();
        for (heads, e) in [(1, 2), (2, 6), (3, 16)] {
            let d = heads * e;
            let shape = [(vec![n, 3 * d], 1.5), (vec![e], 1.0), (vec![e], 1.0)];
            agree(&format!("{n} tokens, {heads} heads of {e}"), &shape[..1], &|t| {
                flat(attend(matrix(&t[0], 3 * d), &segments, heads, None, None))
            });
            agree(&format!("{n} tokens, {heads} normed, turned heads of {e}"), &shape, &|t| {
                let scales = Some((t[1].clone(), t[2].clone()));
                let rotary = turns(&t[0], n, e);
                flat(attend(matrix(&t[0], 3 * d), &segments, heads, scales, Some(&rotary)))
            });
        }
    }
    let empty = Tensor::<2>::zeros([0, 24], &Device::libtorch());
    assert_eq!(attend(empty, &Segments::of_lengths([0, 0]), 2, None, None).dims(), [0, 8]);
}

#[test]
fn attention_layers_agree_with_plain_operators_kept_or_computed_again() {
    let (heads, e) = (3, 8);
    let d = heads * e;
    for (segments, recompute) in segmentations().into_iter().zip([false, true]) {
        let n = segments.tokens();
        let shape = [
            (vec![n, d], 1.0),
            (vec![d], 1.0),
            (vec![d], 0.5),
            (vec![d, 3 * d], 0.3),
            (vec![3 * d], 0.5),
            (vec![d, d], 0.3),
            (vec![d], 0.5),
            (vec![e], 1.0),
            (vec![e], 1.0),
        ];
        for full in [true, false] {
            let policy = Policy { recompute, ..Policy::default() };
            agree(&format!("biases {full}, recompute {recompute}"), &shape, &|t| {
                let layer = AttentionLayer {
                    norm: norm_of(NormKind::Layer, &t[1], full.then(|| &t[2])),
                    qkv: Projection {
                        weight: matrix(&t[3], 3 * d),
                        bias: full.then(|| t[4].clone()),
                    },
                    qk_scale: (!full).then(|| (t[7].clone(), t[8].clone())),
                    out: Projection { weight: matrix(&t[5], d), bias: full.then(|| t[6].clone()) },
                    heads,
                };
                let rotary = (!full).then(|| turns(&t[0], n, e));
                flat(attention(matrix(&t[0], d), layer, &segments, rotary.as_ref(), policy))
            });
        }
    }
}

#[test]
fn feed_forward_layers_agree_with_plain_operators_kept_or_computed_again() {
    let (n, d, h) = (96, 32, 64);
    for activation in [Activation::Gelu, Activation::SwiGlu] {
        let u = if activation == Activation::SwiGlu { 2 * h } else { h };
        let shape = [
            (vec![n, d], 1.0),
            (vec![d], 1.0),
            (vec![d], 0.5),
            (vec![d, u], 0.4),
            (vec![u], 0.5),
            (vec![h, d], 0.4),
            (vec![d], 0.5),
        ];
        for (recompute, biased) in [(false, true), (true, true), (false, false)] {
            let policy = Policy { recompute, ..Policy::default() };
            agree(&format!("{activation:?}, recompute {recompute}"), &shape, &|t| {
                let bias = |i: usize| biased.then(|| t[i].clone());
                let layer = MlpLayer {
                    norm: norm_of(NormKind::Rms, &t[1], Some(&t[2])),
                    up: Projection { weight: matrix(&t[3], u), bias: bias(4) },
                    down: Projection { weight: matrix(&t[5], d), bias: bias(6) },
                    activation,
                };
                flat(mlp(matrix(&t[0], d), layer, policy))
            });
        }
    }
}

/// An input that is used twice, and written over by nobody in between.
#[test]
fn a_tensor_that_is_kept_for_backward_is_not_written_over() {
    agree("gelu and what follows", &[(vec![500], 3.0)], &|t| {
        let y = gelu(t[0].clone());
        let z = y.clone() * 2.0 + 1.0;
        gelu(z) + y.exp()
    });
}

#[test]
fn losses_agree_with_plain_operators_and_do_not_look_at_what_weighs_nothing() {
    let kinds = [LossKind::Squared, LossKind::Huber { delta: 0.7 }, LossKind::PseudoHuber];
    for kind in kinds {
        agree(&format!("{kind:?}"), &[(vec![37, 5], 2.0)], &|t| {
            let like = |seed| {
                let data = TensorData::new(numbers(37 * 5, 1.0, seed), [37, 5]);
                Tensor::<2>::from_data(data, (&t[0].device(), DType::F32)).cast(t[0].dtype())
            };
            masked_loss(matrix(&t[0], 5), like(50), like(51).abs(), kind)
        });
    }
    agree("cross-entropy", &[(vec![41, 7], 3.0)], &|t| {
        let of = |values: Vec<f32>| {
            let data = TensorData::new(values, [41 * 7]);
            Tensor::<1>::from_data(data, (&t[0].device(), DType::F32)).cast(t[0].dtype())
        };
        let target = of((0..41 * 7).map(|i| f32::from(u8::from(i % 7 == (i / 7) % 7))).collect());
        let weight = of(numbers(41 * 7, 1.0, 3)).abs().narrow(0, 0, 41);
        cross_entropy(matrix(&t[0], 7), matrix(&target, 7), weight)
    });
    let device = Device::libtorch();
    let row = |v: [f32; 3]| Tensor::<2>::from_data([v], &device);
    let (said, weight) = (row([1.0, f32::NAN, 4.0]), row([1.0, 0.0, 3.0]));
    let loss = masked_loss(said, row([0.0, 0.0, 2.0]), weight, LossKind::Squared);
    assert_eq!(loss.into_scalar::<f32>(), (1.0 + 3.0 * 4.0) / 4.0);
    let nothing = masked_loss(row([1.0; 3]), row([0.0; 3]), row([0.0; 3]), LossKind::PseudoHuber);
    assert_eq!(nothing.into_scalar::<f32>(), 0.0);
}

/// The CPU device's AdamW is tested against its rule worked in 64-bit.
#[test]
fn adamw_takes_the_steps_that_the_cpu_takes() {
    let rule = AdamW { beta_1: 0.9, beta_2: 0.98, epsilon: 1e-8, weight_decay: 0.1 };
    let walked = |device: Device| -> Vec<f64> {
        let tensor =
            |seed| Tensor::<1>::from_data(TensorData::new(numbers(37, 1.0, seed), [37]), &device);
        let start = tensor(1);
        let (mut weight, mut state) = (start.clone(), None);
        for step in 1..=5 {
            (weight, state) = rule.step(0.01, weight, tensor(10 + step), state);
        }
        let untouched: Vec<f32> = start.into_data().iter::<f32>().collect();
        assert_eq!(untouched, numbers(37, 1.0, 1), "another's tensor was written into");
        weight.into_data().iter::<f64>().collect()
    };
    let off = away(&walked(Device::libtorch()), &walked(Device::flex()));
    assert!(off < 1e-6, "{off}");
}
