//! The operators that encoders spend their time in: fused, parallel, vectorised, with hand-written
//! backward.
//!
//! On the CPU device (`flex`) they are ours; on every other device the same functions are made of
//! plain Burn operators. A model calls these functions and does not know where it runs.
//!
//! Token matrices are `[n, d]`: the tokens of all series one after another, without padding; see
//! [`Segments`]. Nothing here knows what a token is.
//!
//! Axes in names: `n` tokens, `d` width, `h` hidden width or heads, `e` width of a head.

use burn::tensor::{Tensor, activation};

pub mod composed;
mod layer;
mod segments;

pub use layer::{
    Activation, AttentionLayer, MlpLayer, Norm, NormKind, Policy, Precision, Projection,
};
pub use segments::Segments;

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

/// Normalises the last axis.
#[must_use]
pub fn norm<const D: usize>(x: Tensor<D>, norm: Norm) -> Tensor<D> {
    composed::norm(x, norm)
}

/// A linear map of rows, `[n, d_in]` to `[n, d_out]`.
#[must_use]
pub fn linear(x_nd: Tensor<2>, projection: Projection) -> Tensor<2> {
    composed::linear(x_nd, projection)
}

/// `x Φ(x)`, with the exact error function.
#[must_use]
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// `gate σ(gate) · value` of rows that hold gates, then values: `[n, 2 h]` to `[n, h]`.
#[must_use]
pub fn swiglu(x_nh: Tensor<2>) -> Tensor<2> {
    composed::swiglu(x_nh)
}

/// Attention within segments: `[n, 3 d]` (all queries, all keys, all values; within each, head by
/// head) to `[n, d]`.
#[must_use]
pub fn attend(
    qkv_n3d: Tensor<2>,
    segments: &Segments,
    heads: usize,
    qk_scale: Option<(Tensor<1>, Tensor<1>)>,
    rotary: Option<&Rotary>,
) -> Tensor<2> {
    composed::attend(qkv_n3d, segments, heads, qk_scale, rotary)
}

/// The attention half of a pre-norm block: `x + out(attend(qkv(norm(x))))`, `[n, d]` to `[n, d]`.
#[must_use]
pub fn attention(
    x_nd: Tensor<2>,
    layer: AttentionLayer,
    segments: &Segments,
    rotary: Option<&Rotary>,
    _policy: Policy,
) -> Tensor<2> {
    composed::attention(x_nd, layer, segments, rotary)
}

/// The other half of a pre-norm block: `x + down(activation(up(norm(x))))`, `[n, d]` to `[n, d]`.
#[must_use]
pub fn mlp(x_nd: Tensor<2>, layer: MlpLayer, _policy: Policy) -> Tensor<2> {
    composed::mlp(x_nd, layer)
}
