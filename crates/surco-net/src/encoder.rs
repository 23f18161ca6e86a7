//! The encoder of irregular image time series.
//!
//! Token = one date of one series. Its values enter through weights made from the wavelengths of the
//! bands; what was not observed adds nothing. Pre-norm transformer blocks follow: attention over the
//! dates of one series, then a two-layer network.
//!
//! # Source
//! Value embedding: wavelength-conditioned weights as in Xiong et al. 2024 (DOFA). Masked tokens as
//! in Devlin et al. 2019 (BERT), for series as in Dumeur et al. 2024 (U-BARN). Squared ReLU: So et al.
//! 2021 (Primer).

use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, Tensor, TensorData, activation, module};
use surco_data::{Batch, SEASON_FEATURES, SpectralBand};

use crate::Size;
use crate::spectral::BandWeights;

const NORM_EPSILON: f64 = 1e-5;

/// A batch on a device.
#[derive(Clone, Debug)]
pub struct EncoderInput {
    values_ntb: Tensor<3>,
    seen_ntb: Tensor<3>,
    season_nts: Tensor<3>,
    padding_nt: Tensor<2, Bool>,
    pool_ngt: Tensor<3>,
    bands: Vec<SpectralBand>,
}

impl EncoderInput {
    /// Brings a batch to a device: one copy of its arrays.
    #[must_use]
    pub fn new(batch: &Batch, device: &Device) -> Self {
        let cube = |a: &ndarray::Array3<f32>| {
            let (x, y, z) = a.dim();
            Tensor::<3>::from_data(TensorData::new(a.iter().copied().collect(), [x, y, z]), device)
        };
        let (n, t) = batch.valid_nt.dim();
        let padding: Vec<bool> = batch.valid_nt.iter().map(|&v| v == 0.0).collect();
        Self {
            values_ntb: cube(&batch.values_ntb),
            seen_ntb: cube(&batch.seen_ntb),
            season_nts: cube(&batch.season_nts),
            padding_nt: Tensor::from_data(TensorData::new(padding, [n, t]), device),
            pool_ngt: cube(&batch.pool_ngt),
            bands: batch.bands.clone(),
        }
    }
}

/// One pre-norm block.
#[derive(Module, Debug)]
struct Block {
    norm_attention: Param<Tensor<1>>,
    qkv: Linear,
    out: Linear,
    norm_mlp: Param<Tensor<1>>,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(width: usize, layers: usize, device: &Device) -> Self {
        // Residual branches begin small, so that the sum over blocks begins at the embedding.
        let scaled = Initializer::Normal { mean: 0.0, std: 0.02 / (2.0 * layers as f64).sqrt() };
        let plain = Initializer::Normal { mean: 0.0, std: 1.0 / (width as f64).sqrt() };
        let linear = |i, o, init: &Initializer| {
            LinearConfig::new(i, o).with_initializer(init.clone()).with_bias(false).init(device)
        };
        Self {
            norm_attention: Initializer::Ones.init([width], device),
            qkv: linear(width, 3 * width, &plain),
            out: linear(width, width, &scaled),
            norm_mlp: Initializer::Ones.init([width], device),
            up: linear(width, 4 * width, &plain),
            down: linear(4 * width, width, &scaled),
        }
    }

    fn forward(&self, x_ntd: Tensor<3>, heads: usize, mask: &Tensor<4, Bool>) -> Tensor<3> {
        let [n, t, d] = x_ntd.dims();
        let normed =
            module::layer_norm(x_ntd.clone(), self.norm_attention.val(), None, NORM_EPSILON);
        let qkv = self.qkv.forward(normed).reshape([n, t, 3 * heads, d / heads]).swap_dims(1, 2);
        let part = |i: usize| qkv.clone().narrow(1, i * heads, heads);
        let mixed_nhtd = module::attention(
            part(0),
            part(1),
            part(2),
            Some(mask.clone()),
            None,
            AttentionModuleOptions::default(),
        );
        let mixed_ntd = mixed_nhtd.swap_dims(1, 2).reshape([n, t, d]);
        let x_ntd = x_ntd + self.out.forward(mixed_ntd);
        let normed = module::layer_norm(x_ntd.clone(), self.norm_mlp.val(), None, NORM_EPSILON);
        // Squared ReLU, which every device computes at the speed of memory.
        let hidden = activation::relu(self.up.forward(normed));
        x_ntd + self.down.forward(hidden.clone() * hidden)
    }
}

/// The encoder: series in, one vector a token or a part of the window out.
#[derive(Module, Debug)]
pub struct Encoder {
    read: BandWeights,
    season: Linear,
    blocks: Vec<Block>,
    norm: Param<Tensor<1>>,
    write: BandWeights,
    heads: usize,
}

impl Encoder {
    /// An encoder whose weights are drawn from the device as they are first looked at; see
    /// [`crate::fresh`].
    pub(crate) fn new(size: Size, device: &Device) -> Self {
        let width = size.width();
        Self {
            read: BandWeights::new(2 * width, device),
            season: LinearConfig::new(SEASON_FEATURES, width).init(device),
            blocks: (0..size.layers()).map(|_| Block::new(width, size.layers(), device)).collect(),
            norm: Initializer::Ones.init([width], device),
            write: BandWeights::new(width + 1, device),
            heads: size.heads(),
        }
    }

    /// One vector a token, `[n, t, d]`.
    #[must_use]
    pub fn tokens(&self, input: &EncoderInput) -> Tensor<3> {
        let device = input.values_ntb.device();
        let [n, t, bands] = input.values_ntb.dims();
        let weights = self.read.of(&input.bands, &device);
        let width = weights.dims()[1] / 2;
        let seen_count = input.seen_ntb.clone().sum_dim(2).clamp_min(1.0);
        // √(bands seen) keeps the size of the sum, whichever bands there are.
        let scale = seen_count.sqrt().recip();
        let values = (input.values_ntb.clone() * scale.clone()).reshape([n * t, bands]);
        let seen = (input.seen_ntb.clone() * scale).reshape([n * t, bands]);
        let read = values.matmul(weights.clone().narrow(1, 0, width))
            + seen.matmul(weights.narrow(1, width, width));
        let mut x_ntd = read.reshape([n, t, width]) + self.season.forward(input.season_nts.clone());
        let mask = input.padding_nt.clone().reshape([n, 1, 1, t]).expand([n, self.heads, t, t]);
        for block in &self.blocks {
            x_ntd = block.forward(x_ntd, self.heads, &mask);
        }
        module::layer_norm(x_ntd, self.norm.val(), None, NORM_EPSILON)
    }

    /// The embedding: token vectors averaged over each part of the window, `[n, parts × d]`.
    #[must_use]
    pub fn embed(&self, input: &EncoderInput) -> Tensor<2> {
        let tokens_ntd = self.tokens(input);
        let [n, parts, _] = input.pool_ngt.dims();
        let width = tokens_ntd.dims()[2];
        input.pool_ngt.clone().matmul(tokens_ntd).reshape([n, parts * width])
    }

    /// What each band shows at each token, in normalised units, `[n, t, b]`.
    #[must_use]
    pub fn predict(&self, input: &EncoderInput) -> Tensor<3> {
        let tokens_ntd = self.tokens(input);
        let [n, t, width] = tokens_ntd.dims();
        let weights = self.write.of(&input.bands, &tokens_ntd.device());
        let bands = input.bands.len();
        let bias = weights.clone().narrow(1, width, 1).reshape([1, bands]);
        let flat = tokens_ntd.reshape([n * t, width]);
        (flat.matmul(weights.narrow(1, 0, width).transpose()) + bias).reshape([n, t, bands])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use surco_data::{BatchSpec, QueryGrid, Sample};

    fn spec(order: &[usize]) -> BatchSpec {
        let nm = [490.0, 665.0, 842.0, 1610.0];
        let scale = [(0.05, 0.02), (0.08, 0.04), (0.3, 0.1), (0.2, 0.08)];
        BatchSpec {
            bands: order
                .iter()
                .map(|&b| SpectralBand { centre_nm: nm[b], width_nm: 40.0 })
                .collect(),
            scale: order.iter().map(|&b| scale[b]).collect(),
            first_day: 0,
            end_day: 365,
            max_dates: 20,
            queries: Some(QueryGrid { count: 4, parts: 2 }),
        }
    }

    fn sample(dates: i32, order: &[usize]) -> Sample {
        let value = |d: i32, b: usize| {
            if (d + b as i32) % 5 == 0 {
                f32::NAN
            } else {
                0.1 + 0.02 * (d as f32 + b as f32).sin()
            }
        };
        Sample {
            days: (0..dates).map(|d| d * 17).collect(),
            values: (0..dates).flat_map(|d| order.iter().map(move |&b| value(d, b))).collect(),
            south: true,
        }
    }

    fn embedding(samples: &[&Sample], spec: &BatchSpec) -> Vec<f32> {
        let device = Device::flex();
        let encoder = crate::fresh(Size::Nano, 5, &device);
        let input = EncoderInput::new(&Batch::new(samples, spec), &device);
        encoder.embed(&input).into_data().iter::<f32>().collect()
    }

    fn furthest(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn nano_has_the_size_it_says() {
        let encoder = crate::fresh(Size::Nano, 0, &Device::flex());
        assert_eq!(encoder.num_params(), 816_577);
    }

    #[test]
    fn the_embedding_has_a_vector_a_part_and_the_seed_decides_it() {
        let order = [0, 1, 2, 3];
        let a = embedding(&[&sample(8, &order)], &spec(&order));
        assert_eq!(a.len(), 2 * 128);
        assert_eq!(a, embedding(&[&sample(8, &order)], &spec(&order)));
        assert!(a.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn padding_beside_a_longer_series_changes_nothing_that_counts() {
        let order = [0, 1, 2, 3];
        let (short, long) = (sample(6, &order), sample(20, &order));
        let alone = embedding(&[&short], &spec(&order));
        let beside = embedding(&[&short, &long], &spec(&order));
        let error = furthest(&alone, &beside[..alone.len()]);
        assert!(error < 1e-5, "{error}");
    }

    #[test]
    fn bands_may_come_in_any_order_with_their_wavelengths() {
        let (order, other) = ([0, 1, 2, 3], [2, 0, 3, 1]);
        let a = embedding(&[&sample(9, &order)], &spec(&order));
        let b = embedding(&[&sample(9, &other)], &spec(&other));
        assert!(furthest(&a, &b) < 1e-5, "{}", furthest(&a, &b));
    }

    #[test]
    fn a_series_never_seen_still_has_a_finite_embedding() {
        let order = [0, 1, 2, 3];
        let nothing = Sample { south: true, ..Sample::default() };
        assert!(embedding(&[&nothing], &spec(&order)).iter().all(|v| v.is_finite()));
    }
}
