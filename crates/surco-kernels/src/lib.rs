//! The operators that encoders spend their time in: fused, parallel, vectorised, with hand-written
//! backward.
//!
//! On the CPU device (`flex`) they are ours, on LibTorch they are PyTorch's own; on every other device
//! the same functions are made of plain Burn operators. A model calls these functions and does not know where it runs.
//!
//! Token matrices are `[n, d]`: the tokens of all series one after another, without padding; see
//! [`Segments`]. Nothing here knows what a token is.
//!
//! Images are `[m, y, x, c]`: pixel by pixel, all channels of a pixel together.
//!
//! Axes in names: `n` tokens, `d` width, `h` hidden width or heads, `e` width of a head; `m` images, `y` and `x` their rows
//! and columns, `c` channels, `o` channels of the output.

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{DType, Tensor, activation};

mod adamw;
pub mod composed;
mod cpu;
mod flex;
mod layer;
#[cfg(feature = "tch")]
mod libtorch;
mod operator;
mod operators;
mod segments;
mod shared;

pub use adamw::AdamW;
pub use layer::{
    Activation, AttentionLayer, ImageNorm, MlpLayer, Norm, NormKind, Policy, Precision, Projection,
};
pub use operators::LossKind;
pub use segments::{Segments, Sight};

use operator::{Fused, FusedBackend, Slots};
use operators::{
    Attend, Attention, Convolve, Gelu, Halve, Linear, Loss, Mlp, NormaliseImage, SwiGlu,
};

/// Added under the root of the norms of queries and keys.
pub const QK_EPSILON: f64 = 1e-6;

/// Angles by which queries and keys are turned (Su et al. 2021): `cos` and `sin` are
/// `[n, d / heads / 2]`, one row a token; the first half of a head is turned against the second.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// Cosines.
    pub cos: Tensor<2>,
    /// Sines.
    pub sin: Tensor<2>,
}

/// Whether a tensor lives where the operators are fused.
fn is_fused<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device().inner();
    let ours = match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "tch")]
        DispatchDevice::LibTorch(_) => true,
        _ => false,
    };
    ours && x.dtype() == DType::F32
}

/// Runs a fused operator; tensors that are not there have no elements.
fn fused<const D: usize, const E: usize>(
    x: Tensor<D>,
    rest: impl IntoIterator<Item = Slot>,
    operator: Fused,
) -> Tensor<E> {
    let near = slot::<1>(None, &x.device());
    let mut all = std::iter::once(x.into()).chain(rest).map(|slot| slot.0);
    let slots = std::array::from_fn(|_| all.next().unwrap_or_else(|| near.0.clone()));
    Tensor::from_dispatch(<Dispatch as FusedBackend>::fused(Slots::new(slots), operator))
}

/// A tensor of any rank on its way to an operator.
struct Slot(burn::backend::DispatchTensor);

impl<const D: usize> From<Tensor<D>> for Slot {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}

/// A tensor, or one without elements on the same device.
fn slot<const D: usize>(tensor: Option<Tensor<D>>, near: &burn::tensor::Device) -> Slot {
    match tensor {
        Some(tensor) => tensor.into(),
        None => Tensor::<1>::zeros([0], near).into(),
    }
}

/// Normalises the last axis.
#[must_use]
pub fn norm<const D: usize>(x: Tensor<D>, norm: Norm) -> Tensor<D> {
    if !is_fused(&x) {
        return composed::norm(x, norm);
    }
    let near = x.device();
    let operator = Fused::Norm(norm.settings());
    fused(x, [norm.weight.into(), slot(norm.bias, &near)], operator)
}

/// A linear map of rows, `[n, d_in]` to `[n, d_out]`.
#[must_use]
pub fn linear(x_nd: Tensor<2>, projection: Projection) -> Tensor<2> {
    if !is_fused(&x_nd) {
        return composed::linear(x_nd, projection);
    }
    let near = x_nd.device();
    let rest = [projection.weight.into(), slot(projection.bias, &near)];
    fused(x_nd, rest, Fused::Linear(Linear))
}

/// `x Φ(x)`, with the exact error function.
#[must_use]
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_fused(&x) { fused(x, [], Fused::Gelu(Gelu)) } else { activation::gelu(x) }
}

/// `gate σ(gate) · value` of rows that hold gates, then values: `[n, 2 h]` to `[n, h]`.
#[must_use]
pub fn swiglu(x_nh: Tensor<2>) -> Tensor<2> {
    if is_fused(&x_nh) { fused(x_nh, [], Fused::SwiGlu(SwiGlu)) } else { composed::swiglu(x_nh) }
}

/// Attention within segments, as far as their [`Sight`] goes: `[n, 3 d]` (all queries, all keys, all values; within each, head by
/// head) to `[n, d]`.
///
/// # Panics
/// If the segments do not cover the `n` rows.
#[must_use]
pub fn attend(
    qkv_n3d: Tensor<2>,
    segments: &Segments,
    heads: usize,
    qk_scale: Option<(Tensor<1>, Tensor<1>)>,
    rotary: Option<&Rotary>,
) -> Tensor<2> {
    assert_eq!(segments.tokens(), qkv_n3d.dims()[0], "segments cover every token");
    if !is_fused(&qkv_n3d) {
        return composed::attend(qkv_n3d, segments, heads, qk_scale, rotary);
    }
    let near = qkv_n3d.device();
    let operator = Fused::Attend(Attend { heads, segments: segments.clone() });
    fused(qkv_n3d, attend_slots(qk_scale, rotary, &near), operator)
}

fn attend_slots(
    qk_scale: Option<(Tensor<1>, Tensor<1>)>,
    rotary: Option<&Rotary>,
    near: &burn::tensor::Device,
) -> [Slot; 4] {
    let (q, k) = qk_scale.unzip();
    let (cos, sin) = rotary.map(|r| (r.cos.clone(), r.sin.clone())).unzip();
    [slot(q, near), slot(k, near), slot(cos, near), slot(sin, near)]
}

/// The attention half of a pre-norm block: `x + out(attend(qkv(norm(x))))`, `[n, d]` to `[n, d]`.
///
/// # Panics
/// If the segments do not cover the `n` rows.
#[must_use]
pub fn attention(
    x_nd: Tensor<2>,
    layer: AttentionLayer,
    segments: &Segments,
    rotary: Option<&Rotary>,
    policy: Policy,
) -> Tensor<2> {
    assert_eq!(segments.tokens(), x_nd.dims()[0], "segments cover every token");
    if !is_fused(&x_nd) {
        return composed::attention(x_nd, layer, segments, rotary);
    }
    let near = x_nd.device();
    let attend = Attend { heads: layer.heads, segments: segments.clone() };
    let operator = Fused::Attention(Attention { norm: layer.norm.settings(), attend, policy });
    let rest = [
        layer.norm.weight.into(),
        slot(layer.norm.bias, &near),
        layer.qkv.weight.into(),
        slot(layer.qkv.bias, &near),
        layer.out.weight.into(),
        slot(layer.out.bias, &near),
    ];
    fused(x_nd, rest.into_iter().chain(attend_slots(layer.qk_scale, rotary, &near)), operator)
}

/// The other half of a pre-norm block: `x + down(activation(up(norm(x))))`, `[n, d]` to `[n, d]`.
#[must_use]
pub fn mlp(x_nd: Tensor<2>, layer: MlpLayer, policy: Policy) -> Tensor<2> {
    if !is_fused(&x_nd) {
        return composed::mlp(x_nd, layer);
    }
    let near = x_nd.device();
    let (norm, activation) = (layer.norm.settings(), layer.activation);
    let rest = [
        layer.norm.weight.into(),
        slot(layer.norm.bias, &near),
        layer.up.weight.into(),
        slot(layer.up.bias, &near),
        layer.down.weight.into(),
        slot(layer.down.bias, &near),
    ];
    fused(x_nd, rest, Fused::Mlp(Mlp { norm, activation, policy }))
}

/// The weighted mean of what residuals cost, a tensor of one value. All three are `[n, c]`; the gradient
/// goes to the prediction alone, and what weighs nothing may be anything.
#[must_use]
pub fn masked_loss(
    said_nc: Tensor<2>,
    target_nc: Tensor<2>,
    weight_nc: Tensor<2>,
    kind: LossKind,
) -> Tensor<1> {
    if !is_fused(&said_nc) {
        return composed::masked_loss(said_nc, target_nc, weight_nc, kind);
    }
    fused(said_nc, [target_nc.into(), weight_nc.into()], Fused::Loss(Loss { kind }))
}

/// The mean cross-entropy of rows of logits `[n, classes]` against rows of class shares of the same
/// shape, weighted by row, `[n]`: a tensor of one value.
#[must_use]
pub fn cross_entropy(logits_nc: Tensor<2>, target_nc: Tensor<2>, weight_n: Tensor<1>) -> Tensor<1> {
    if !is_fused(&logits_nc) {
        return composed::cross_entropy(logits_nc, target_nc, weight_n);
    }
    let operator = Fused::Loss(Loss { kind: LossKind::CrossEntropy });
    fused(logits_nc, [target_nc.into(), weight_n.into()], operator)
}

/// A convolution of images in steps of one pixel, with a rim of zeros that keeps their size: `[m, y, x, c]` and a kernel
/// `[o, c, side, side]` of an odd side to `[m, y, x, o]`.
///
/// # Panics
/// If the kernel has another number of channels, or a side that is even or not the other's.
#[must_use]
pub fn convolve(x_myxc: Tensor<4>, kernel_ocyx: Tensor<4>) -> Tensor<4> {
    let ([.., channels], [_, c, rows, columns]) = (x_myxc.dims(), kernel_ocyx.dims());
    assert!(channels == c, "a kernel of {c} channels over {channels}");
    assert!(rows == columns && rows % 2 == 1, "a kernel of {rows} × {columns} has no middle");
    if !is_fused(&x_myxc) {
        return composed::convolve(x_myxc, kernel_ocyx);
    }
    fused(x_myxc, [kernel_ocyx.into()], Fused::Convolve(Convolve))
}

/// Normalises each channel of each image, adds another tensor of the same shape if there is one, and multiplies what is then below
/// zero by `leak`.
///
/// # Panics
/// If `leak` is not above 0 and at most 1.
#[must_use]
pub fn image_norm(
    x_myxc: Tensor<4>,
    norm: ImageNorm,
    beside_myxc: Option<Tensor<4>>,
    leak: f64,
) -> Tensor<4> {
    assert!(leak > 0.0 && leak <= 1.0, "a slope of {leak} below zero");
    if !is_fused(&x_myxc) {
        return composed::image_norm(x_myxc, norm, beside_myxc, leak);
    }
    let near = x_myxc.device();
    let operator = Fused::ImageNorm(NormaliseImage { epsilon: norm.epsilon, leak });
    fused(x_myxc, [norm.weight.into(), norm.bias.into(), slot(beside_myxc, &near)], operator)
}

/// The largest of every two by two pixels, beyond a rim of 0 or 1 pixels that is never the largest; an odd last row or column
/// is left out.
///
/// # Panics
/// If the rim is wider.
#[must_use]
pub fn halve(x_myxc: Tensor<4>, rim: usize) -> Tensor<4> {
    assert!(rim <= 1, "a rim of {rim} holds whole windows");
    if !is_fused(&x_myxc) {
        return composed::halve(x_myxc, rim);
    }
    fused(x_myxc, [], Fused::Halve(Halve { rim }))
}
