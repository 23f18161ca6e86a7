//! `OFA-Net`: one patch embedding a sensor, one Vision Transformer for all, trained as a masked autoencoder.
//!
//! | | |
//! |---|---|
//! | source | Xiong et al. 2024, *One for All: Toward Unified Foundation Models for Earth Vision* (arXiv 2401.07527); masked autoencoder and positions after He et al. 2022 (MAE), blocks after Dosovitskiy et al. 2021 (ViT) |
//! | input | [`OfaBatch`]: single images of the sensors it was trained on, cut into patches; normalised by sensor |
//! | output | one vector a patch, `[n, d]`; the embedding of a series is the mean over its images of the mean over their patches |
//! | size | nano, small and base as our family is deep and wide |
//! | config | `system = "ofa"` in `docs/config/pretrain.toml` |
//!
//! Token = one patch of one image. It knows its place in the image and nothing of the date. A sensor is a set of bands
//! that are seen together; a set that it was not trained on is refused. Patches not seen whole are left out, and hidden
//! ones are not computed. The decoder, which only training needs, is half as wide and two blocks deep.
//!
//! Axes in names: `n` patches, `v` values of a patch (band by band, within a band row by row), `d` width.

mod batch;

pub use batch::OfaBatch;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use surco_data::{Normalisation, Sample, SpectralBand};
use surco_kernels::{Activation, AttentionLayer, MlpLayer, Policy, Segments, attention, mlp};

use crate::input::{index, table};
use crate::layers::{LayerNorm, Linear};
use crate::systems::{SystemConfig, SystemError, SystemModel};
use crate::transformer::mean_of_segments;
use crate::{Card, Size};

const KIND: &str = "ofa";
const NORM_EPSILON: f64 = 1e-6;
const DECODER_LAYERS: usize = 2;
const LONGEST_PERIOD: f32 = 10_000.0;

/// Largest side of a patch in pixels.
const LARGEST_PATCH_PX: usize = 64;

/// A sensor that it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfaSensor {
    /// Its name, for people.
    pub name: String,
    /// Its bands, and mean and deviation of their values.
    pub normalisation: Normalisation,
}

/// What builds an `OFA-Net` again but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfaConfig {
    /// Version of this file.
    pub schema: u32,
    /// Number of blocks of the encoder.
    pub layers: usize,
    /// Number of attention heads, of encoder and decoder.
    pub heads: usize,
    /// Width of a token.
    pub width: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// The sensors it knows.
    pub sensors: Vec<OfaSensor>,
    /// How it came to be.
    pub card: Card,
}

impl OfaConfig {
    /// As deep and wide as a size of our family: nano, small or base.
    #[must_use]
    pub fn of_size(size: Size, patch_px: usize, sensors: Vec<OfaSensor>) -> Option<Self> {
        match size {
            Size::Nano | Size::Small | Size::Base => Some(Self {
                schema: crate::folder::SCHEMA,
                layers: size.layers(),
                heads: size.heads(),
                width: size.width(),
                patch_px,
                sensors,
                card: Card::default(),
            }),
            _ => None,
        }
    }

    fn decoder_width(&self) -> usize {
        self.width / 2
    }

    /// Values of a patch of a sensor.
    fn values(&self, sensor: usize) -> usize {
        self.sensors[sensor].normalisation.bands().len() * self.patch_px * self.patch_px
    }

    /// Floating-point operations of a forward pass of the encoder for one patch of a sensor among so many.
    #[must_use]
    pub fn encoder_flops(&self, sensor: usize, patches: usize) -> u64 {
        let d = self.width;
        let block = 12 * d * d + 2 * patches * d;
        2 * (self.layers * block + self.values(sensor) * d) as u64
    }

    /// Floating-point operations of a forward pass of the decoder for one patch of a sensor among so many.
    #[must_use]
    pub fn decoder_flops(&self, sensor: usize, patches: usize) -> u64 {
        let d = self.decoder_width();
        let block = 12 * d * d + 2 * patches * d;
        2 * (DECODER_LAYERS * block + self.values(sensor) * d + self.width * d) as u64
    }
}

impl SystemConfig for OfaConfig {
    type Net = Ofa;

    const KIND: &'static str = KIND;

    fn check(&self) -> Result<(), String> {
        let Self { layers, heads, width, patch_px, .. } = *self;
        // A quarter each of sines and cosines of row and column, in the decoder too.
        if layers == 0
            || heads == 0
            || !width.is_multiple_of(8)
            || !(width / 2).is_multiple_of(heads)
        {
            return Err(format!("{layers} layers of {heads} heads, {width} wide, cannot be built"));
        }
        if !(1..=LARGEST_PATCH_PX).contains(&patch_px) {
            return Err(format!("patches of {patch_px} pixels, expected 1 to {LARGEST_PATCH_PX}"));
        }
        let bands = |sensor: &OfaSensor| sensor.normalisation.bands().len();
        if self.sensors.is_empty() || self.sensors.iter().any(|sensor| bands(sensor) == 0) {
            return Err("it knows no sensor, or one without bands".into());
        }
        Ok(())
    }

    fn params(&self) -> u64 {
        let (d, narrow) = (self.width, self.decoder_width());
        let blocks = |d: usize, layers: usize| layers * (12 * d * d + 13 * d) + 2 * d;
        let sensors: usize =
            (0..self.sensors.len()).map(|sensor| self.values(sensor) * (d + narrow + 1) + d).sum();
        let decoder = d * narrow + narrow + narrow + blocks(narrow, DECODER_LAYERS);
        (sensors + blocks(d, self.layers) + decoder) as u64
    }

    fn build(&self, device: &Device) -> Ofa {
        Ofa::new(self, device)
    }

    fn card(&self) -> &Card {
        &self.card
    }

    fn with_card(self, card: Card) -> Self {
        Self { card, ..self }
    }

    fn rows(&self) -> [(&'static str, String); 4] {
        let names: Vec<&str> = self.sensors.iter().map(|sensor| sensor.name.as_str()).collect();
        [
            (
                "what",
                format!(
                    "OFA-Net, one patch embedding a sensor and one ViT: {} layers of {} heads, {} wide, {} parameters",
                    self.layers,
                    self.heads,
                    self.width,
                    self.params()
                ),
            ),
            (
                "input",
                format!(
                    "single images of {}, patches of {} pixels; mean and deviation in `config.json`",
                    names.join(", "),
                    self.patch_px
                ),
            ),
            ("output", format!("{} numbers a patch", self.width)),
            ("made after", "Xiong et al. 2024, arXiv 2401.07527".into()),
        ]
    }
}

/// One block of a ViT.
#[derive(Module, Debug)]
struct Block {
    norm_attention: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm_mlp: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            norm_attention: LayerNorm::new(width, device),
            qkv: map(width, 3 * width, device),
            out: map(width, width, device),
            norm_mlp: LayerNorm::new(width, device),
            up: map(width, 4 * width, device),
            down: map(4 * width, width, device),
        }
    }

    fn forward(
        &self,
        x_nd: Tensor<2>,
        heads: usize,
        segments: &Segments,
        policy: Policy,
    ) -> Tensor<2> {
        let layer = AttentionLayer {
            norm: self.norm_attention.norm(NORM_EPSILON),
            qkv: self.qkv.projection(),
            qk_scale: None,
            out: self.out.projection(),
            heads,
        };
        let x_nd = attention(x_nd, layer, segments, None, policy);
        let layer = MlpLayer {
            norm: self.norm_mlp.norm(NORM_EPSILON),
            up: self.up.projection(),
            down: self.down.projection(),
            activation: Activation::Gelu,
        };
        mlp(x_nd, layer, policy)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Ofa {
    read: Vec<Linear>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    narrow: Linear,
    hidden: Param<Tensor<2>>,
    decoder: Vec<Block>,
    decoder_norm: LayerNorm,
    write: Vec<Linear>,
    heads: usize,
    #[module(skip)]
    policy: Policy,
}

impl Ofa {
    fn new(config: &OfaConfig, device: &Device) -> Self {
        let (d, narrow) = (config.width, config.decoder_width());
        let values: Vec<usize> = (0..config.sensors.len()).map(|s| config.values(s)).collect();
        let hidden = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            read: values.iter().map(|&v| map(v, d, device)).collect(),
            blocks: (0..config.layers).map(|_| Block::new(d, device)).collect(),
            norm: LayerNorm::new(d, device),
            narrow: map(d, narrow, device),
            hidden: hidden.init([1, narrow], device),
            decoder: (0..DECODER_LAYERS).map(|_| Block::new(narrow, device)).collect(),
            decoder_norm: LayerNorm::new(narrow, device),
            write: values.iter().map(|&v| map(narrow, v, device)).collect(),
            heads: config.heads,
            policy: Policy::default(),
        }
    }

    /// The same network, computed another way.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.hidden.device()
    }

    /// One vector a patch, `[n, d]`, in the order of the batch.
    #[must_use]
    pub fn tokens(&self, batch: &OfaBatch) -> Tensor<2> {
        let device = self.device();
        let sensors = batch.values.iter().zip(&self.read).filter(|(values, _)| !values.is_empty());
        let embedded = sensors.map(|(values, map)| map.forward(table(values, &device)));
        let by_sensor = Tensor::cat(embedded.collect(), 0);
        let width = by_sensor.dims()[1];
        let x_nd = by_sensor.select(0, rows(batch.rows_by_sensor(), &device))
            + places(batch, width, &device);
        let segments = batch.segments();
        let through = |x_nd, block: &Block| block.forward(x_nd, self.heads, &segments, self.policy);
        self.norm.forward(self.blocks.iter().fold(x_nd, through), NORM_EPSILON)
    }

    /// The mean over the images of each sample of the mean over their patches, `[sample, d]`.
    #[must_use]
    pub fn features(&self, batch: &OfaBatch) -> Tensor<2> {
        let images = mean_of_segments(self.tokens(batch), &batch.segments());
        let of_samples = batch.samples.chunk_by(|a, b| a == b).map(<[usize]>::len);
        mean_of_segments(images, &Segments::of_lengths(of_samples))
    }

    /// What the patches of a batch show, sensor by sensor as [`OfaBatch::values`], said from those that are kept;
    /// `None` for a sensor without any.
    ///
    /// # Panics
    /// If there is not one `kept` a patch, or none is.
    #[must_use]
    pub fn reconstruct(&self, batch: &OfaBatch, kept: &[bool]) -> Vec<Option<Tensor<2>>> {
        let device = self.device();
        let visible = batch.only(kept);
        let seen = self.narrow.forward(self.tokens(&visible));
        let [count, width] = seen.dims();
        let mut next = 0;
        let from = kept.iter().map(|&kept| {
            let row = if kept { next } else { count };
            next += usize::from(kept);
            row
        });
        let from = rows(from, &device);
        let x_nd = Tensor::cat(vec![seen, self.hidden.val()], 0).select(0, from)
            + places(batch, width, &device);
        let segments = batch.segments();
        let through = |x_nd, block: &Block| block.forward(x_nd, self.heads, &segments, self.policy);
        let x_nd = self.decoder_norm.forward(self.decoder.iter().fold(x_nd, through), NORM_EPSILON);
        let of_sensor = |(sensor, map): (usize, &Linear)| {
            let tokens = batch.tokens_of(sensor);
            let is_there = !tokens.is_empty();
            is_there.then(|| map.forward(x_nd.clone().select(0, rows(tokens, &device))))
        };
        self.write.iter().enumerate().map(of_sensor).collect()
    }
}

fn rows(rows: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    index(rows.into_iter().map(|row| row as i64), device)
}

/// Uniform weights as the makers of MAE draw them, no bias.
fn map(from: usize, to: usize, device: &Device) -> Linear {
    let most = (6.0 / (from + to) as f64).sqrt();
    let weight = Initializer::Uniform { min: -most, max: most };
    Linear::new([from, to], (weight, Initializer::Zeros), device)
}

/// Sines and cosines of the column, then of the row, counted in patches.
fn places(batch: &OfaBatch, width: usize, device: &Device) -> Tensor<2> {
    let quarter = width / 4;
    let mut rows = Vec::with_capacity(batch.tokens() * width);
    for &[row, column] in &batch.places {
        for along in [column, row] {
            let angle = |i: usize| along as f32 * LONGEST_PERIOD.powf(-(i as f32) / quarter as f32);
            rows.extend((0..quarter).map(|i| angle(i).sin()));
            rows.extend((0..quarter).map(|i| angle(i).cos()));
        }
    }
    Tensor::from_data(TensorData::new(rows, [batch.tokens(), width]), device)
}

impl SystemModel<OfaConfig> {
    /// The mean over the images of each sample of the mean over their patches, `[n, d]`.
    ///
    /// # Errors
    /// [`SystemError`], as [`OfaBatch::new`].
    pub fn embed(
        &self,
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
    ) -> Result<Array2<f32>, SystemError> {
        let one = |net: &mut Ofa, (series, sample): (usize, &&Sample)| {
            let batch = OfaBatch::new(&[sample], bands, window, &self.config)
                .map_err(|error| error.of_series(series))?;
            Ok(net.features(&batch).into_data().iter::<f32>().collect::<Vec<_>>())
        };
        let rows: Result<Vec<Vec<f32>>, SystemError> =
            samples.par_iter().enumerate().map_with(self.net.clone(), one).collect();
        let mut all = Array2::zeros((samples.len(), self.config.width));
        for (mut to, row) in all.axis_iter_mut(Axis(0)).zip(rows?) {
            to.iter_mut().zip(row).for_each(|(to, value)| *to = value);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
