//! Weights and settings of the fused layers, as models hold them.

use burn::tensor::Tensor;

use crate::operators::Normalise;

/// A normalisation over the last axis.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Scale, `[d]`.
    pub weight: Tensor<1>,
    /// Shift, `[d]`, where there is one.
    pub bias: Option<Tensor<1>>,
    /// What is divided by what.
    pub kind: NormKind,
    /// Added under the root.
    pub epsilon: f64,
}

impl Norm {
    pub(crate) fn settings(&self) -> Normalise {
        Normalise { kind: self.kind, epsilon: self.epsilon }
    }
}

/// What a normalisation takes away and divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Takes the mean away, divides by the deviation (Ba et al. 2016).
    Layer,
    /// Divides by the root mean square (Zhang and Sennrich 2019).
    Rms,
}

/// A linear map of the last axis.
#[derive(Clone, Debug)]
pub struct Projection {
    /// `[d_in, d_out]`.
    pub weight: Tensor<2>,
    /// `[d_out]`, where there is one.
    pub bias: Option<Tensor<1>>,
}

/// A norm of each channel of each image over its pixels (Ulyanov et al. 2016).
#[derive(Clone, Debug)]
pub struct ImageNorm {
    /// Scale, `[c]`.
    pub weight: Tensor<1>,
    /// Shift, `[c]`.
    pub bias: Tensor<1>,
    /// Added under the root.
    pub epsilon: f64,
}

/// The attention half of a pre-norm block: `x + out(attend(qkv(norm(x))))`.
#[derive(Clone, Debug)]
pub struct AttentionLayer {
    /// Before the projections.
    pub norm: Norm,
    /// `[d, 3 d]`: all queries, then all keys, then all values; within each, head by head.
    pub qkv: Projection,
    /// Root-mean-square scales of queries and keys, each `[d / heads]` (Henry et al. 2020).
    pub qk_scale: Option<(Tensor<1>, Tensor<1>)>,
    /// `[d, d]`.
    pub out: Projection,
    /// Number of heads; divides `d`.
    pub heads: usize,
}

/// The other half of a pre-norm block: `x + down(activation(up(norm(x))))`.
#[derive(Clone, Debug)]
pub struct MlpLayer {
    /// Before the projections.
    pub norm: Norm,
    /// `[d, h]`, or `[d, 2 h]` (gates, then values) for [`Activation::SwiGlu`].
    pub up: Projection,
    /// `[h, d]`.
    pub down: Projection,
    /// Between the two.
    pub activation: Activation,
}

/// The non-linear function of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)` with the exact error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// `gate σ(gate) · value` (Shazeer 2020).
    SwiGlu,
}

/// How a layer is computed; what it computes does not depend on it but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Number format of the products of an untracked forward pass.
    pub precision: Precision,
    /// Whether backward computes activations again instead of keeping them.
    pub recompute: bool,
}

impl Policy {
    /// The number format of a forward pass: 32-bit where gradients will be asked for.
    pub(crate) fn at(self, tracked: bool) -> Precision {
        if tracked { Precision::F32 } else { self.precision }
    }
}

/// Number format of matrix products; sums, norms and activations are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit.
    #[default]
    F32,
    /// bfloat16 factors where the processor has instructions for them, else 32-bit.
    Bf16,
    /// 8-bit factors with a scale a row and a column where the processor has instructions for them, else 32-bit.
    Int8,
}
