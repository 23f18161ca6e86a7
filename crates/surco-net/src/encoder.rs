//! The encoder of irregular image time series.
//!
//! Token = one patch of one date of one sensor. Its values enter through weights made from what the bands
//! measure and where in the patch a pixel lies; what was not observed adds nothing. Pre-norm transformer
//! blocks follow. Three of four attend over the dates of a patch, the fourth over the patches of a date;
//! where there is one patch alone it attends over dates as the others. How far apart tokens are, in days
//! or metres, turns their queries and keys.
//!
//! It computes in the number format of its weights; what goes in and comes out is 32-bit.
//!
//! # Source
//! Value embedding: wavelength-conditioned weights as in Xiong et al. 2024 (DOFA). Masked tokens as
//! in Devlin et al. 2019 (BERT), for series as in Dumeur et al. 2024 (U-BARN). Queries by date: Dumeur et
//! al. 2024 (ALISE). Nested widths: Kusupati et al. 2022 (Matryoshka). Norms of queries and keys: Henry et
//! al. 2020.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Int, Tensor};
use surco_data::{SEASON_FEATURES, STATIC_FEATURES};
use surco_kernels::{
    Activation, AttentionLayer, MlpLayer, Norm, NormKind, Policy, Projection, Rotary, Segments,
    Sight, attention, linear, mlp, norm,
};

use crate::input::View;
use crate::layers::projection;
use crate::spectral::{BandWeights, in_format};
use crate::{EncoderInput, Size};

const NORM_EPSILON: f64 = 1e-5;

/// Of so many blocks the last attends over space.
const SPACE_EVERY: usize = 4;

/// Widths besides the whole at which an embedding is still one: its first values.
pub const NESTED_WIDTHS: [usize; 4] = [128, 64, 32, 16];

fn rms(weight: &Param<Tensor<1>>) -> Norm {
    Norm { weight: weight.val(), bias: None, kind: NormKind::Rms, epsilon: NORM_EPSILON }
}

/// One pre-norm block.
#[derive(Module, Debug)]
struct Block {
    norm_attention: Param<Tensor<1>>,
    qkv: Param<Tensor<2>>,
    query_scale: Param<Tensor<1>>,
    key_scale: Param<Tensor<1>>,
    out: Param<Tensor<2>>,
    norm_mlp: Param<Tensor<1>>,
    up: Param<Tensor<2>>,
    down: Param<Tensor<2>>,
}

impl Block {
    fn new(size: Size, device: &Device) -> Self {
        let (width, head) = (size.width(), size.width() / size.heads());
        // Residual branches begin small, so that the sum over blocks begins at the embedding.
        let deviation = 0.02 / (2.0 * size.layers() as f64).sqrt();
        let scaled = Initializer::Normal { mean: 0.0, std: deviation };
        let plain = Initializer::Normal { mean: 0.0, std: 1.0 / (width as f64).sqrt() };
        Self {
            norm_attention: Initializer::Ones.init([width], device),
            qkv: plain.init([width, 3 * width], device),
            query_scale: Initializer::Ones.init([head], device),
            key_scale: Initializer::Ones.init([head], device),
            out: scaled.init([width, width], device),
            norm_mlp: Initializer::Ones.init([width], device),
            up: plain.init([width, 4 * width], device),
            down: scaled.init([4 * width, width], device),
        }
    }

    fn attention(&self, heads: usize) -> AttentionLayer {
        AttentionLayer {
            norm: rms(&self.norm_attention),
            qkv: projection(&self.qkv),
            qk_scale: Some((self.query_scale.val(), self.key_scale.val())),
            out: projection(&self.out),
            heads,
        }
    }

    fn mlp(&self) -> MlpLayer {
        MlpLayer {
            norm: rms(&self.norm_mlp),
            up: projection(&self.up),
            down: projection(&self.down),
            activation: Activation::Gelu,
        }
    }
}

/// The encoder: patches on dates in, one vector a token or a part of the window out.
#[derive(Module, Debug)]
pub struct Encoder {
    read: BandWeights,
    season: Param<Tensor<2>>,
    question: Param<Tensor<2>>,
    statics: Param<Tensor<2>>,
    blocks: Vec<Block>,
    norm: Param<Tensor<1>>,
    write: BandWeights,
    heads: usize,
    #[module(skip)]
    policy: Policy,
    #[module(skip)]
    sight: Sight,
}

impl Encoder {
    /// An encoder whose weights are drawn from the device as they are first looked at; see
    /// [`crate::fresh`].
    pub(crate) fn new(size: Size, device: &Device) -> Self {
        let width = size.width();
        let told = |features: usize| {
            let std = 1.0 / (features as f64).sqrt();
            Initializer::Normal { mean: 0.0, std }.init([features, width], device)
        };
        Self {
            read: BandWeights::new(2 * width, device),
            season: told(SEASON_FEATURES),
            question: told(1),
            statics: told(STATIC_FEATURES),
            blocks: (0..size.layers()).map(|_| Block::new(size, device)).collect(),
            norm: Initializer::Ones.init([width], device),
            write: BandWeights::new(width + 1, device),
            heads: size.heads(),
            policy: Policy::default(),
            sight: Sight::Whole,
        }
    }

    /// The same encoder, computed another way.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The same encoder, whose tokens see all dates of their patch, or those before them alone.
    ///
    /// Patches of one date see each other either way; what a model is told of a place stands after the dates,
    /// and who looks back does not see it.
    #[must_use]
    pub fn with_sight(mut self, sight: Sight) -> Self {
        self.sight = sight;
        self
    }

    /// Width of a token.
    #[must_use]
    pub fn width(&self) -> usize {
        self.norm.dims()[0]
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.norm.device()
    }

    /// One vector a token, `[n, d]`.
    ///
    /// # Panics
    /// If an encoder that looks back is given samples of one patch beside samples of several.
    #[must_use]
    pub fn tokens(&self, input: &EncoderInput) -> Tensor<2> {
        self.said(input, None)
    }

    /// One vector for each of these tokens, or for all. What follows the last attention is computed for them alone.
    fn said(&self, input: &EncoderInput, only: Option<&Tensor<1, Int>>) -> Tensor<2> {
        assert!(
            self.sight == Sight::Whole || !input.is_mixed,
            "samples of one patch and of several are embedded apart by an encoder that looks back"
        );
        let over_time = input.over_time.segments.clone().with_sight(self.sight);
        let (device, pairs) = (input.told_nf.device(), self.width() / self.heads / 2);
        let mut x_nd = self.enter(input);
        let turns = |view: &View| {
            let Rotary { cos, sin } = view.rotary(pairs, &device);
            Rotary { cos: in_format(cos, self.format()), sin: in_format(sin, self.format()) }
        };
        let days = turns(&input.over_time);
        let ground = input.over_space.as_ref().map(|space| turns(&space.view));
        for (i, block) in self.blocks.iter().enumerate() {
            let layer = block.attention(self.heads);
            let attend = |x: Tensor<2>, segments: &Segments, rotary: &Rotary| {
                attention(x, layer, segments, Some(rotary), self.policy)
            };
            x_nd = match input.over_space.as_ref().zip(ground.as_ref()) {
                Some((space, ground)) if i % SPACE_EVERY == SPACE_EVERY - 1 => {
                    let by_date = x_nd.select(0, space.order.clone());
                    let mixed = attend(by_date, &space.view.segments, ground);
                    mixed.select(0, space.back.clone())
                }
                _ => attend(x_nd, &over_time, &days),
            };
            if let Some(only) = only.filter(|_| i + 1 == self.blocks.len()) {
                x_nd = x_nd.select(0, only.clone());
            }
            x_nd = mlp(x_nd, block.mlp(), self.policy);
        }
        norm(x_nd, rms(&self.norm))
    }

    /// Tokens as the first block reads them.
    fn enter(&self, input: &EncoderInput) -> Tensor<2> {
        let device = input.told_nf.device();
        let weights = self.read.of(&input.bands, input.patch, &device);
        let width = self.width();
        let mut rows = vec![
            weights.clone().narrow(1, 0, width),
            weights.narrow(1, width, width),
            self.season.val(),
            self.question.val(),
        ];
        if input.has_statics {
            rows.push(self.statics.val());
        }
        let told_nf = in_format(input.told_nf.clone(), self.format());
        linear(told_nf, Projection { weight: Tensor::cat(rows, 0), bias: None })
    }

    /// Number format of the weights.
    fn format(&self) -> DType {
        self.norm.dtype()
    }

    /// The embedding: answers averaged over each part of the window, `[patches, parts × d]`; without
    /// queries there is none, `[patches, 0]`.
    #[must_use]
    pub fn embed(&self, input: &EncoderInput) -> Tensor<2> {
        let width = self.width();
        let Some(grid) = input.queries else {
            return Tensor::zeros([input.patches, 0], &input.told_nf.device());
        };
        let answers = self.said(input, Some(&input.answers));
        let answers = answers.reshape([input.patches, grid.count, width]);
        let part = |part: usize| {
            let from = (0..grid.count).filter(|&q| grid.part_of(q) < part).count();
            let count = (0..grid.count).filter(|&q| grid.part_of(q) == part).count();
            let sum = answers.clone().narrow(1, from, count).sum_dim(1);
            sum.reshape([input.patches, width]).div_scalar(count.max(1) as f64)
        };
        in_format(Tensor::cat((0..grid.parts).map(part).collect(), 1), DType::F32)
    }

    /// What each band shows at each pixel of each token's patch, in normalised units, `[n, c]`, said from
    /// the first `prefix` values of the token alone, or from all.
    #[must_use]
    pub fn predict(&self, input: &EncoderInput, prefix: Option<usize>) -> Tensor<2> {
        let tokens_nd = self.tokens(input);
        let width = self.width();
        let weights = self.write.of(&input.bands, input.patch, &tokens_nd.device());
        let values = weights.dims()[0];
        let bias = weights.clone().narrow(1, width, 1).reshape([values]);
        let (read, tokens_nd) = match prefix {
            Some(prefix) if prefix < width => {
                let first = tokens_nd.narrow(1, 0, prefix);
                let square = first.clone().square().mean_dim(1) + NORM_EPSILON;
                (prefix, first * square.sqrt().recip())
            }
            Some(_) | None => (width, tokens_nd),
        };
        let weight = weights.narrow(1, 0, read).transpose();
        in_format(linear(tokens_nd, Projection { weight, bias: Some(bias) }), DType::F32)
    }
}

#[cfg(test)]
mod tests;
