//! What each fused operator is told besides its tensors.

use crate::{Activation, NormKind, Segments};

/// [`crate::norm`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalise {
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f64,
}

/// [`crate::linear`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear;

/// [`crate::gelu`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gelu;

/// [`crate::swiglu`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwiGlu;

/// [`crate::attend`].
#[derive(Clone, Debug)]
pub(crate) struct Attend {
    pub(crate) heads: usize,
    pub(crate) segments: Segments,
}

/// [`crate::attention`].
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) norm: Normalise,
    pub(crate) attend: Attend,
    pub(crate) policy: crate::Policy,
}

/// [`crate::mlp`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mlp {
    pub(crate) norm: Normalise,
    pub(crate) activation: Activation,
    pub(crate) policy: crate::Policy,
}

/// [`crate::masked_loss`] and [`crate::cross_entropy`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) kind: LossKind,
}

/// [`crate::convolve`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolve;

/// [`crate::image_norm`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormaliseImage {
    pub(crate) epsilon: f64,
    pub(crate) leak: f64,
}

/// [`crate::halve`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halve {
    pub(crate) rim: usize,
}

/// What a prediction costs. `r` is the residual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossKind {
    /// `r²`.
    Squared,
    /// `r² / 2` up to `|r| = delta`, then straight on (Huber 1964).
    Huber {
        /// Where the parabola becomes a line.
        delta: f32,
    },
    /// `√(1 + r²) − 1` (Charbonnier et al. 1997).
    PseudoHuber,
    /// `−Σ target · log softmax(prediction)`, row by row.
    CrossEntropy,
}
