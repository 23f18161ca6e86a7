//! The same layers of plain Burn operators: what every other device runs, and what the fused ones are
//! tested against.

use burn::tensor::ops::{AttentionModuleOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Bool, DType, FloatDType, Int, Tensor, TensorData, activation, module};

use crate::{
    Activation, AttentionLayer, ImageNorm, LossKind, MlpLayer, Norm, NormKind, Projection, Rotary,
    Segments, Sight,
};

/// [`crate::norm`].
pub fn norm<const D: usize>(x: Tensor<D>, norm: Norm) -> Tensor<D> {
    match norm.kind {
        NormKind::Layer => module::layer_norm(x, norm.weight, norm.bias, norm.epsilon),
        NormKind::Rms => {
            let shrink = (square_mean(x.clone()) + norm.epsilon).sqrt().recip();
            let scaled =
                x.clone() * shrink.cast(FloatDType::from(x.dtype())) * norm.weight.unsqueeze();
            match norm.bias {
                Some(bias) => scaled + bias.unsqueeze(),
                None => scaled,
            }
        }
    }
}

/// The mean square of every row, in 32 bits where the row has 16: its sum needs more digits than it has.
fn square_mean<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let x = match x.dtype() {
        DType::BF16 | DType::F16 => x.cast(FloatDType::F32),
        _ => x,
    };
    x.square().mean_dim(D - 1)
}

/// [`crate::linear`].
pub fn linear(x_nd: Tensor<2>, projection: Projection) -> Tensor<2> {
    let y = x_nd.matmul(projection.weight);
    match projection.bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// [`crate::swiglu`].
pub fn swiglu(x_nh: Tensor<2>) -> Tensor<2> {
    let half = x_nh.dims()[1] / 2;
    activation::silu(x_nh.clone().narrow(1, 0, half)) * x_nh.narrow(1, half, half)
}

/// [`crate::mlp`].
pub fn mlp(x_nd: Tensor<2>, layer: MlpLayer) -> Tensor<2> {
    let hidden = linear(norm(x_nd.clone(), layer.norm), layer.up);
    let active = match layer.activation {
        Activation::Gelu => activation::gelu(hidden),
        Activation::SwiGlu => swiglu(hidden),
    };
    x_nd + linear(active, layer.down)
}

/// [`crate::attention`].
pub fn attention(
    x_nd: Tensor<2>,
    layer: AttentionLayer,
    segments: &Segments,
    rotary: Option<&Rotary>,
) -> Tensor<2> {
    let qkv = linear(norm(x_nd.clone(), layer.norm), layer.qkv);
    let mixed = attend(qkv, segments, layer.heads, layer.qk_scale, rotary);
    x_nd + linear(mixed, layer.out)
}

/// [`crate::attend`]: pads the segments to the longest, attends under a mask, and takes the padding out
/// again.
pub fn attend(
    qkv_n3d: Tensor<2>,
    segments: &Segments,
    heads: usize,
    qk_scale: Option<(Tensor<1>, Tensor<1>)>,
    rotary: Option<&Rotary>,
) -> Tensor<2> {
    let [n, width] = qkv_n3d.dims();
    let (d, device) = (width / 3, qkv_n3d.device());
    let part = |i: usize| qkv_n3d.clone().narrow(1, i * d, d).reshape([n, heads, d / heads]);
    let (mut q, mut k, v) = (part(0), part(1), part(2));
    if let Some((q_scale, k_scale)) = qk_scale {
        let rms =
            |weight| Norm { weight, bias: None, kind: NormKind::Rms, epsilon: crate::QK_EPSILON };
        (q, k) = (norm(q, rms(q_scale)), norm(k, rms(k_scale)));
    }
    if let Some(rotary) = rotary {
        (q, k) = (rotate(q, rotary), rotate(k, rotary));
    }
    let (count, longest) = (segments.count(), segments.longest());
    let mut place = Vec::with_capacity(count * longest);
    let mut padding = Vec::with_capacity(count * longest);
    let mut back = Vec::with_capacity(n);
    for (s, rows) in segments.ranges().enumerate() {
        for t in 0..longest {
            padding.push(t >= rows.len());
            place.push(if t < rows.len() { (rows.start + t) as i64 } else { 0 });
        }
        back.extend((0..rows.len()).map(|t| (s * longest + t) as i64));
    }
    if n == 0 {
        return Tensor::zeros([0, d], &device);
    }
    let index = |of: Vec<i64>| {
        let length = of.len();
        Tensor::<1, Int>::from_data(TensorData::new(of, [length]), &device)
    };
    let place = index(place);
    let spread = |x_nhe: Tensor<3>| {
        x_nhe.select(0, place.clone()).reshape([count, longest, heads, d / heads]).swap_dims(1, 2)
    };
    let mask = Tensor::<2, Bool>::from_data(TensorData::new(padding, [count, longest]), &device)
        .reshape([count, 1, 1, longest])
        .expand([count, heads, longest, longest]);
    // Padding stands at the end of a segment, so that nobody who looks back alone sees it.
    let is_causal = segments.sight() == Sight::Past;
    let options = AttentionModuleOptions { is_causal, ..AttentionModuleOptions::default() };
    let mixed = module::attention(spread(q), spread(k), spread(v), Some(mask), None, options);
    mixed.swap_dims(1, 2).reshape([count * longest, d]).select(0, index(back))
}

/// [`crate::masked_loss`].
pub fn masked_loss(
    said_nc: Tensor<2>,
    target_nc: Tensor<2>,
    weight_nc: Tensor<2>,
    kind: LossKind,
) -> Tensor<1> {
    let seen = weight_nc.clone().not_equal_scalar(0.0);
    let r = Tensor::zeros_like(&said_nc).mask_where(seen, said_nc - target_nc);
    let cost = match kind {
        LossKind::Squared => r.clone() * r,
        LossKind::Huber { delta } => {
            let inside = r.clone().clamp(-delta, delta);
            inside.clone() * (r - inside * 0.5)
        }
        LossKind::PseudoHuber => (r.clone() * r + 1.0).sqrt() - 1.0,
        LossKind::CrossEntropy => unreachable!("see cross_entropy"),
    };
    let total = weight_nc.clone().sum();
    let empty = total.clone().equal_scalar(0.0);
    (cost * weight_nc).sum() / total.mask_fill(empty, 1.0)
}

/// [`crate::cross_entropy`].
pub fn cross_entropy(logits_nc: Tensor<2>, target_nc: Tensor<2>, weight_n: Tensor<1>) -> Tensor<1> {
    let rows: Tensor<1> =
        (activation::log_softmax(logits_nc, 1) * target_nc).sum_dim(1).squeeze_dim(1);
    let total = weight_n.clone().sum();
    let empty = total.clone().equal_scalar(0.0);
    (rows * weight_n).sum().neg() / total.mask_fill(empty, 1.0)
}

/// Turns the two halves of each head against each other by the angles of its token.
fn rotate(x_nhe: Tensor<3>, rotary: &Rotary) -> Tensor<3> {
    let [_, heads, e] = x_nhe.dims();
    let spread = |t: &Tensor<2>| t.clone().unsqueeze_dim::<3>(1).repeat_dim(1, heads);
    let (cos, sin) = (spread(&rotary.cos), spread(&rotary.sin));
    let (a, b) = (x_nhe.clone().narrow(2, 0, e / 2), x_nhe.narrow(2, e / 2, e / 2));
    let turned_a = a.clone() * cos.clone() - b.clone() * sin.clone();
    Tensor::cat(vec![turned_a, b * cos + a * sin], 2)
}

/// [`crate::convolve`].
pub fn convolve(x_myxc: Tensor<4>, kernel_ocyx: Tensor<4>) -> Tensor<4> {
    let rim = kernel_ocyx.dims()[2] / 2;
    let options = ConvOptions::new([1; 2], [rim; 2], [1; 2], 1);
    let y_moyx = module::conv2d(x_myxc.permute([0, 3, 1, 2]), kernel_ocyx, None, options);
    y_moyx.permute([0, 2, 3, 1])
}

/// [`crate::image_norm`].
pub fn image_norm(
    x_myxc: Tensor<4>,
    norm: ImageNorm,
    beside_myxc: Option<Tensor<4>>,
    leak: f64,
) -> Tensor<4> {
    let apart = x_myxc.clone() - x_myxc.mean_dims(&[1, 2]);
    let variance = apart.clone().square().mean_dims(&[1, 2]);
    let unit = apart * (variance + norm.epsilon).sqrt().recip();
    let y = unit * norm.weight.unsqueeze() + norm.bias.unsqueeze();
    let y = match beside_myxc {
        Some(beside) => y + beside,
        None => y,
    };
    activation::leaky_relu(y, leak)
}

/// [`crate::halve`].
pub fn halve(x_myxc: Tensor<4>, rim: usize) -> Tensor<4> {
    let options = MaxPoolOptions::new([2; 2]).with_padding([rim; 2]);
    module::max_pool2d(x_myxc.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
}
