//! The blocks that Presto and Galileo share: those of a Vision Transformer.
//!
//! # Source
//! Dosovitskiy et al. 2021 (ViT), pre-norm, with biases, exact GELU and layer norms, under the names
//! that timm gives its parameters.

use burn::tensor::{Tensor, TensorData};
use surco_kernels::{Activation, AttentionLayer, MlpLayer, Norm, Policy, Segments, attention, mlp};

use crate::source::Reader;

/// What decides the shapes of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockShape {
    pub(crate) width: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
}

/// One block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    attention: AttentionLayer,
    mlp: MlpLayer,
}

impl Block {
    /// Reads the block `name`; its queries, keys and values lie in the linear maps `qkv`.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        name: &str,
        qkv: &[&str],
        shape: BlockShape,
    ) -> Result<Self, String> {
        let BlockShape { width, hidden, heads } = shape;
        let part = |part: &str| [format!("{name}.{part}")];
        let qkv: Vec<String> = qkv.iter().map(|map| format!("{name}.attn.{map}")).collect();
        let attention = AttentionLayer {
            norm: reader.norm(&format!("{name}.norm1"), width)?,
            qkv: reader.linear(&qkv, width, 3 * width / qkv.len())?,
            qk_scale: None,
            out: reader.linear(&part("attn.proj"), width, width)?,
            heads,
        };
        let mlp = MlpLayer {
            norm: reader.norm(&format!("{name}.norm2"), width)?,
            up: reader.linear(&part("mlp.fc1"), width, hidden)?,
            down: reader.linear(&part("mlp.fc2"), hidden, width)?,
            activation: Activation::Gelu,
        };
        Ok(Self { attention, mlp })
    }

    /// `[n, d]` to `[n, d]`.
    pub(crate) fn forward(
        &self,
        x_nd: Tensor<2>,
        segments: &Segments,
        policy: Policy,
    ) -> Tensor<2> {
        let x_nd = attention(x_nd, self.attention.clone(), segments, None, policy);
        mlp(x_nd, self.mlp.clone(), policy)
    }
}

/// The mean token of each segment, `[segments, d]`; zero where a segment has none.
pub(crate) fn mean_of_segments(x_nd: Tensor<2>, segments: &Segments) -> Tensor<2> {
    let (count, tokens) = (segments.count(), segments.tokens());
    let mut share = vec![0_f32; count * tokens];
    for (s, rows) in segments.ranges().enumerate() {
        let each = 1.0 / rows.len().max(1) as f32;
        share[s * tokens..][rows].fill(each);
    }
    let share = TensorData::new(share, [count, tokens]);
    Tensor::<2>::from_data(share, &x_nd.device()).matmul(x_nd)
}

/// Applies a norm to rows on the way out.
pub(crate) fn normed(x_nd: Tensor<2>, norm: &Norm) -> Tensor<2> {
    surco_kernels::norm(x_nd, norm.clone())
}
