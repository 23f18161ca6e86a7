//! The fused operators against the same layers of plain operators in 64-bit: values and gradients.

use burn::tensor::{DType, Device, Tensor, TensorData};
use surco_kernels::{
    Activation, AdamW, AttentionLayer, ImageNorm, LossKind, MlpLayer, Norm, NormKind, Policy,
    Precision, Projection, Rotary, Segments, Sight, attend, attention, composed, convolve,
    cross_entropy, gelu, halve, image_norm, linear, masked_loss, mlp, norm, swiglu,
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

/// One input of an operator: its shape and the size of its numbers.
type Input<'a> = (&'a [usize], f32);

/// Value and gradients of `Σ out · probe` in the given number format.
fn run(
    inputs: &[Input<'_>],
    dtype: DType,
    operator: &dyn Fn(&[Tensor<1>]) -> Tensor<1>,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let device = Device::flex().autodiff();
    let leaves: Vec<Tensor<1>> = inputs
        .iter()
        .enumerate()
        .map(|(i, (shape, size))| {
            let count = shape.iter().product();
            let data = TensorData::new(numbers(count, *size, i as u64 + 1), [count]);
            Tensor::<1>::from_data(data, (&device, DType::F32)).cast(dtype).require_grad()
        })
        .collect();
    let out = operator(&leaves);
    let count = out.dims()[0];
    let probe = Tensor::<1>::from_data(
        TensorData::new(numbers(count, 1.0, 99), [count]),
        (&device, DType::F32),
    );
    let grads = (out.clone() * probe.cast(dtype)).sum().backward();
    let of = |t: Tensor<1>| t.into_data().iter::<f64>().collect::<Vec<f64>>();
    let found = leaves.iter().map(|leaf| leaf.grad(&grads).map(of).unwrap_or_default()).collect();
    (of(out), found)
}

/// The largest difference, relative to the largest value.
fn away(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    assert!(a.iter().all(|v| v.is_finite()), "not a number");
    worst / scale
}

/// Fused in 32-bit against plain in 64-bit: values and every gradient within 4e-6 of the largest.
fn agree(what: &str, inputs: &[Input<'_>], operator: &dyn Fn(&[Tensor<1>]) -> Tensor<1>) {
    let (value, grads) = run(inputs, DType::F32, operator);
    let (want, want_grads) = run(inputs, DType::F64, operator);
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
fn norms_agree_with_plain_operators_on_odd_widths() {
    for (rows, d) in [(3, 5), (1, 31), (97, 16), (200, 33), (13, 128)] {
        for kind in [NormKind::Layer, NormKind::Rms] {
            let shape: [Input<'_>; 3] = [(&[rows, d], 2.0), (&[d], 1.0), (&[d], 1.0)];
            agree(&format!("{kind:?} {rows} × {d}"), &shape, &|t| {
                flat(norm(matrix(&t[0], d), norm_of(kind, &t[1], Some(&t[2]))))
            });
            agree(&format!("{kind:?} {rows} × {d} without bias"), &shape[..2], &|t| {
                flat(norm(matrix(&t[0], d), norm_of(kind, &t[1], None)))
            });
        }
    }
}

#[test]
fn linear_maps_agree_with_plain_operators_on_odd_shapes() {
    for (rows, d, out) in [(1, 1, 1), (7, 3, 5), (100, 10, 128), (385, 33, 17), (24, 64, 31)] {
        let shape: [Input<'_>; 3] = [(&[rows, d], 1.0), (&[d, out], 0.5), (&[out], 1.0)];
        agree(&format!("{rows} × {d} × {out}"), &shape, &|t| {
            let bias = Some(t[2].clone());
            flat(linear(matrix(&t[0], d), Projection { weight: matrix(&t[1], out), bias }))
        });
    }
}

#[test]
fn activations_agree_with_plain_operators() {
    for count in [1, 15, 16, 17, 1000, 40_000] {
        agree(&format!("gelu {count}"), &[(&[count], 6.0)], &|t| gelu(t[0].clone()));
    }
    for h in [1, 7, 16, 40] {
        agree(&format!("swiglu {h}"), &[(&[101, 2 * h], 4.0)], &|t| {
            flat(swiglu(matrix(&t[0], 2 * h)))
        });
    }
}

#[test]
fn gelu_keeps_its_limits_and_what_is_no_number() {
    let values = vec![0.0, -0.0, 1e-40, 60.0, -60.0, f32::INFINITY, f32::NAN];
    let x = Tensor::<1>::from_data(TensorData::new(values, [7]), &Device::flex());
    let y: Vec<f32> = gelu(x).into_data().iter::<f32>().collect();
    assert_eq!((y[0], y[1], y[3]), (0.0, 0.0, 60.0));
    assert!((y[2] - 5e-41).abs() < 2e-41 && y[4].abs() < 1e-30 && y[6].is_nan(), "{y:?}");
    assert_eq!(y[5], f32::INFINITY);
}

/// Segments of very different lengths, one of them empty.
fn ragged() -> Segments {
    Segments::of_lengths([5, 1, 0, 33, 60, 2, 24])
}

#[test]
fn attention_within_ragged_segments_agrees_with_plain_operators() {
    let segments = ragged();
    let n = segments.tokens();
    for (heads, e) in [(1, 2), (2, 6), (3, 16), (2, 40)] {
        let d = heads * e;
        let shape: [Input<'_>; 3] = [(&[n, 3 * d], 1.5), (&[e], 1.0), (&[e], 1.0)];
        agree(&format!("{heads} heads of {e}"), &shape[..1], &|t| {
            flat(attend(matrix(&t[0], 3 * d), &segments, heads, None, None))
        });
        agree(&format!("{heads} normed, turned heads of {e}"), &shape, &|t| {
            let scales = Some((t[1].clone(), t[2].clone()));
            let rotary = turns(n, e, t[0].dtype());
            flat(attend(matrix(&t[0], 3 * d), &segments, heads, scales, Some(&rotary)))
        });
    }
}

/// More tokens than the 48 queries that are computed at once, so that the limit moves within a block and from
/// one to the next.
#[test]
fn attention_to_the_past_agrees_with_plain_operators() {
    let segments = ragged().with_sight(Sight::Past);
    let n = segments.tokens();
    for (heads, e) in [(1, 2), (3, 16)] {
        let d = heads * e;
        let shape: [Input<'_>; 3] = [(&[n, 3 * d], 1.5), (&[e], 1.0), (&[e], 1.0)];
        agree(&format!("{heads} normed, turned heads of {e}"), &shape, &|t| {
            let scales = Some((t[1].clone(), t[2].clone()));
            let rotary = turns(n, e, t[0].dtype());
            flat(attend(matrix(&t[0], 3 * d), &segments, heads, scales, Some(&rotary)))
        });
    }
    let (heads, d) = (3, 24);
    let shape: [Input<'_>; 7] = [
        (&[n, d], 1.0),
        (&[d], 1.0),
        (&[d], 0.5),
        (&[d, 3 * d], 0.3),
        (&[3 * d], 0.5),
        (&[d, d], 0.3),
        (&[d], 0.5),
    ];
    for recompute in [false, true] {
        let policy = Policy { recompute, ..Policy::default() };
        agree(&format!("layer, recompute {recompute}"), &shape, &|t| {
            let layer = attention_layer(t, d, heads, true);
            flat(attention(matrix(&t[0], d), layer, &segments, None, policy))
        });
    }
}

/// By hand, one head of width 1, queries and keys 0, so that all that is seen weighs the same: the values
/// 1, 3, 8 become 1, (1 + 3) / 2 and (1 + 3 + 8) / 3; a segment of its own begins anew.
#[test]
fn the_past_is_averaged_as_worked_by_hand_and_the_future_changes_nothing() {
    let device = Device::flex();
    let mixed = |last: f32| -> Vec<f32> {
        let rows = [[0.0, 0.0, 1.0], [0.0, 0.0, 3.0], [0.0, 0.0, last], [0.0, 0.0, 5.0]];
        let segments = Segments::of_lengths([3, 1]).with_sight(Sight::Past);
        let qkv = Tensor::<2>::from_data(rows, &device);
        attend(qkv, &segments, 1, None, None).into_data().iter::<f32>().collect()
    };
    assert_eq!(mixed(8.0), [1.0, 2.0, 4.0, 5.0]);
    assert_eq!(mixed(-100.0)[..2], [1.0, 2.0]);
}

#[test]
fn attention_over_a_long_series_agrees_with_plain_operators() {
    let segments = Segments::of_lengths([700, 3]);
    agree("700 tokens", &[(&[703, 3 * 32], 2.0)], &|t| {
        flat(attend(matrix(&t[0], 96), &segments, 2, None, None))
    });
}

fn turns(n: usize, e: usize, dtype: DType) -> Rotary {
    let angles = numbers(n * e / 2, 3.0, 7);
    let part = |f: fn(f32) -> f32| {
        let data = TensorData::new(angles.iter().map(|&a| f(a)).collect::<Vec<_>>(), [n, e / 2]);
        Tensor::<2>::from_data(data, (&Device::flex().autodiff(), DType::F32)).cast(dtype)
    };
    Rotary { cos: part(f32::cos), sin: part(f32::sin) }
}

fn attention_layer(t: &[Tensor<1>], d: usize, heads: usize, full: bool) -> AttentionLayer {
    AttentionLayer {
        norm: norm_of(NormKind::Layer, &t[1], full.then(|| &t[2])),
        qkv: Projection { weight: matrix(&t[3], 3 * d), bias: full.then(|| t[4].clone()) },
        qk_scale: (!full).then(|| (t[7].clone(), t[8].clone())),
        out: Projection { weight: matrix(&t[5], d), bias: full.then(|| t[6].clone()) },
        heads,
    }
}

#[test]
fn attention_layers_agree_with_plain_operators_kept_or_computed_again() {
    let segments = ragged();
    let n = segments.tokens();
    let (heads, e) = (3, 8);
    let d = heads * e;
    let shape: [Input<'_>; 9] = [
        (&[n, d], 1.0),
        (&[d], 1.0),
        (&[d], 0.5),
        (&[d, 3 * d], 0.3),
        (&[3 * d], 0.5),
        (&[d, d], 0.3),
        (&[d], 0.5),
        (&[e], 1.0),
        (&[e], 1.0),
    ];
    for recompute in [false, true] {
        let policy = Policy { recompute, ..Policy::default() };
        agree(&format!("with biases, recompute {recompute}"), &shape, &|t| {
            let layer = attention_layer(t, d, heads, true);
            flat(attention(matrix(&t[0], d), layer, &segments, None, policy))
        });
        agree(&format!("with norms and turns, recompute {recompute}"), &shape, &|t| {
            let layer = attention_layer(t, d, heads, false);
            let rotary = turns(n, e, t[0].dtype());
            flat(attention(matrix(&t[0], d), layer, &segments, Some(&rotary), policy))
        });
    }
}

#[test]
fn long_batches_in_several_rounds_agree_with_plain_operators() {
    // 3,000 tokens of width 512: more than one round of the backward pass.
    let (d, heads) = (512, 8);
    let segments = Segments::of_lengths((0..60).map(|i| 20 + i));
    let n = segments.tokens();
    let attention_shape: [Input<'_>; 7] = [
        (&[n, d], 1.0),
        (&[d], 1.0),
        (&[d], 0.5),
        (&[d, 3 * d], 0.05),
        (&[3 * d], 0.5),
        (&[d, d], 0.05),
        (&[d], 0.5),
    ];
    agree("attention", &attention_shape, &|t| {
        let layer = attention_layer(t, d, heads, true);
        flat(attention(matrix(&t[0], d), layer, &segments, None, Policy::default()))
    });
    let mlp_shape: [Input<'_>; 7] = [
        (&[n, d], 1.0),
        (&[d], 1.0),
        (&[d], 0.5),
        (&[d, 2 * d], 0.05),
        (&[2 * d], 0.5),
        (&[2 * d, d], 0.05),
        (&[d], 0.5),
    ];
    agree("mlp", &mlp_shape, &|t| flat(mlp_of(t, d, 2 * d, Activation::Gelu, Policy::default())));
}

fn mlp_of(
    t: &[Tensor<1>],
    d: usize,
    u: usize,
    activation: Activation,
    policy: Policy,
) -> Tensor<2> {
    let layer = MlpLayer {
        norm: norm_of(NormKind::Rms, &t[1], Some(&t[2])),
        up: Projection { weight: matrix(&t[3], u), bias: Some(t[4].clone()) },
        down: Projection { weight: matrix(&t[5], d), bias: Some(t[6].clone()) },
        activation,
    };
    mlp(matrix(&t[0], d), layer, policy)
}

#[test]
fn feed_forward_layers_agree_with_plain_operators_kept_or_computed_again() {
    for (n, d, h) in [(1, 4, 4), (250, 20, 50), (96, 32, 128)] {
        for activation in [Activation::Gelu, Activation::SwiGlu] {
            let u = if activation == Activation::SwiGlu { 2 * h } else { h };
            let shape: [Input<'_>; 7] = [
                (&[n, d], 1.0),
                (&[d], 1.0),
                (&[d], 0.5),
                (&[d, u], 0.4),
                (&[u], 0.5),
                (&[h, d], 0.4),
                (&[d], 0.5),
            ];
            for recompute in [false, true] {
                let policy = Policy { recompute, ..Policy::default() };
                agree(&format!("{activation:?} {n} × {d} × {h}, {recompute}"), &shape, &|t| {
                    flat(mlp_of(t, d, u, activation, policy))
                });
            }
        }
    }
}

#[test]
fn losses_agree_with_plain_operators_and_do_not_look_at_what_weighs_nothing() {
    let kinds = [LossKind::Squared, LossKind::Huber { delta: 0.7 }, LossKind::PseudoHuber];
    for kind in kinds {
        let shape: [Input<'_>; 1] = [(&[37, 5], 2.0)];
        agree(&format!("{kind:?}"), &shape, &|t| {
            let device = t[0].device();
            let like = |seed, size| {
                let data = TensorData::new(numbers(37 * 5, size, seed), [37, 5]);
                Tensor::<2>::from_data(data, (&device, DType::F32)).cast(t[0].dtype())
            };
            masked_loss(matrix(&t[0], 5), like(50, 1.0), like(51, 1.0).abs(), kind)
        });
    }
    let device = Device::flex();
    let row = |v: [f32; 3]| Tensor::<2>::from_data([v], &device);
    let loss = masked_loss(
        row([1.0, f32::NAN, 4.0]),
        row([0.0, 0.0, 2.0]),
        row([1.0, 0.0, 3.0]),
        LossKind::Squared,
    );
    assert_eq!(loss.into_scalar::<f32>(), (1.0 + 3.0 * 4.0) / 4.0);
    let nothing = masked_loss(row([1.0; 3]), row([0.0; 3]), row([0.0; 3]), LossKind::PseudoHuber);
    assert_eq!(nothing.into_scalar::<f32>(), 0.0);
}

#[test]
fn cross_entropy_agrees_with_plain_operators() {
    agree("cross-entropy", &[(&[41, 7], 3.0)], &|t| {
        let (device, dtype) = (t[0].device(), t[0].dtype());
        let target: Vec<f32> =
            (0..41 * 7).map(|i| if i % 7 == (i / 7) % 7 { 1.0 } else { 0.0 }).collect();
        let target =
            Tensor::<2>::from_data(TensorData::new(target, [41, 7]), (&device, DType::F32));
        let weight = TensorData::new(numbers(41, 1.0, 3), [41]);
        let weight = Tensor::<1>::from_data(weight, (&device, DType::F32)).abs();
        cross_entropy(matrix(&t[0], 7), target.cast(dtype), weight.cast(dtype))
    });
}

/// Padding and neighbours are not there for a row: its bits stay the same beside any others.
#[test]
fn the_bits_of_a_series_do_not_depend_on_what_stands_beside_it() {
    let device = Device::flex();
    let d = 48;
    let tensor = |count: usize, seed| {
        Tensor::<1>::from_data(TensorData::new(numbers(count, 0.5, seed), [count]), &device)
    };
    let t = |n: usize| -> Vec<Tensor<1>> {
        [(n * d, 1), (d, 2), (d, 3), (3 * d * d, 4), (3 * d, 5), (d * d, 6), (d, 7)]
            .map(|(count, seed)| tensor(count, seed))
            .into()
    };
    let out = |segments: &Segments| -> Vec<f32> {
        let t = t(segments.tokens());
        let layer = attention_layer(&t, d, 4, true);
        let x = attention(matrix(&t[0], d), layer, segments, None, Policy::default());
        let layer = MlpLayer {
            norm: norm_of(NormKind::Layer, &t[1], None),
            up: Projection { weight: matrix(&t[3], 3 * d), bias: None },
            down: Projection { weight: matrix(&t[3], 3 * d).transpose(), bias: None },
            activation: Activation::Gelu,
        };
        mlp(x, layer, Policy::default()).into_data().iter::<f32>().collect()
    };
    let alone = out(&Segments::of_lengths([7]));
    let beside = out(&Segments::of_lengths([7, 90, 1, 130]));
    assert_eq!(alone, beside[..alone.len()]);
}

/// Five steps against the update rule worked in 64-bit.
#[test]
fn adamw_follows_its_rule() {
    use burn::optim::Optimizer;
    let device = Device::flex();
    let rule = AdamW { beta_1: 0.9, beta_2: 0.98, epsilon: 1e-8, weight_decay: 0.1 };
    let count = 37;
    let start = numbers(count, 1.0, 1);
    let mut weight = Tensor::<1>::from_data(TensorData::new(start.clone(), [count]), &device);
    let (mut want, mut first, mut second) = (
        start.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(),
        vec![0.0; count],
        vec![0.0; count],
    );
    let mut state = None;
    for step in 1..=5 {
        let grads = numbers(count, 2.0, 10 + step);
        let grad = Tensor::<1>::from_data(TensorData::new(grads.clone(), [count]), &device);
        (weight, state) = rule.step(0.01, weight, grad, state);
        for i in 0..count {
            let g = f64::from(grads[i]);
            first[i] = 0.9 * first[i] + 0.1 * g;
            second[i] = 0.98 * second[i] + 0.02 * g * g;
            let (m, v) = (
                first[i] / (1.0 - 0.9_f64.powi(step as i32)),
                second[i] / (1.0 - 0.98_f64.powi(step as i32)),
            );
            want[i] = want[i] * (1.0 - 0.01 * 0.1) - 0.01 * m / (v.sqrt() + 1e-8);
        }
    }
    let got: Vec<f64> = weight.into_data().iter::<f64>().collect();
    assert!(away(&got, &want) < 1e-6, "{}", away(&got, &want));
}

#[test]
fn no_tokens_at_all_are_no_reason_to_fail() {
    let device = Device::flex();
    let x = Tensor::<2>::zeros([0, 24], &device);
    assert_eq!(attend(x, &Segments::of_lengths([0, 0]), 2, None, None).dims(), [0, 8]);
    let plain =
        composed::attend(Tensor::zeros([0, 24], &device), &Segments::of_lengths([]), 2, None, None);
    assert_eq!(plain.dims(), [0, 8]);
    assert_eq!(Policy::default().precision, Precision::F32);
}

fn images(leaf: &Tensor<1>, shape: [usize; 4]) -> Tensor<4> {
    leaf.clone().reshape(shape)
}

fn flat_images(x: Tensor<4>) -> Tensor<1> {
    let count: usize = x.dims().iter().product();
    x.reshape([count])
}

/// Images narrower than the kernel, several chunks of pixels and groups of taps, channels that fill no vector, and so many that a
/// tap is cut.
#[test]
fn convolutions_agree_with_plain_operators_on_odd_shapes() {
    for (m, rows, columns, from, to, side) in [
        (1, 1, 1, 1, 1, 3),
        (2, 5, 7, 3, 17, 3),
        (3, 9, 8, 15, 33, 3),
        (1, 2, 2, 40, 5, 5),
        (3, 4, 12, 130, 66, 3),
        (2, 6, 6, 15, 64, 1),
        (1, 3, 4, 330, 9, 3),
        (1, 2, 3, 600, 3, 3),
        (1, 3, 2, 7, 600, 3),
    ] {
        let (x, kernel) = ([m, rows, columns, from], [to, from, side, side]);
        let inputs: [Input<'_>; 2] = [(&x, 1.0), (&kernel, 0.3)];
        agree(&format!("{x:?} by {kernel:?}"), &inputs, &|t| {
            flat_images(convolve(images(&t[0], x), images(&t[1], kernel)))
        });
    }
}

#[test]
fn norms_of_images_agree_with_plain_operators() {
    for shape in [[1, 2, 2, 1], [3, 5, 4, 17], [2, 7, 7, 64]] {
        let channels = [shape[3]];
        let inputs: [Input<'_>; 4] =
            [(&shape, 2.0), (&channels, 1.0), (&channels, 1.0), (&shape, 1.0)];
        let norm =
            |t: &[Tensor<1>]| ImageNorm { weight: t[1].clone(), bias: t[2].clone(), epsilon: 1e-5 };
        agree(&format!("{shape:?}"), &inputs[..3], &|t| {
            flat_images(image_norm(images(&t[0], shape), norm(t), None, 1.0))
        });
        agree(&format!("{shape:?}, leaky, onto another"), &inputs, &|t| {
            let beside = Some(images(&t[3], shape));
            flat_images(image_norm(images(&t[0], shape), norm(t), beside, 0.01))
        });
    }
}

#[test]
fn halvings_agree_with_plain_operators_with_and_without_a_rim() {
    for (shape, rim) in
        [([2, 4, 6, 5], 0), ([1, 5, 7, 16], 0), ([2, 8, 8, 33], 1), ([1, 5, 2, 3], 1)]
    {
        agree(&format!("{shape:?} rim {rim}"), &[(&shape, 1.0)], &|t| {
            flat_images(halve(images(&t[0], shape), rim))
        });
    }
}

/// By hand: of equals the first has the gradient, and what is not a number stays.
#[test]
fn the_first_of_equals_is_the_largest() {
    let device = Device::flex().autodiff();
    let x = Tensor::<1>::from_floats([1.0, 2.0, 2.0, 0.0], &device).require_grad();
    let y = halve(x.clone().reshape([1, 2, 2, 1]), 0);
    let gradient = x.grad(&y.sum().backward()).unwrap();
    assert_eq!(gradient.into_data().iter::<f32>().collect::<Vec<_>>(), [0.0, 1.0, 0.0, 0.0]);
    let x = Tensor::<1>::from_floats([f32::NAN, 2.0, 3.0, 0.0], &Device::flex());
    assert!(halve(x.reshape([1, 2, 2, 1]), 0).into_scalar::<f32>().is_nan());
}
