//! The encoder of Galileo nano: a window's months of many sensors, to one vector.
//!
//! | | |
//! |---|---|
//! | source | Tseng et al. 2025, *Galileo: Learning Global and Local Features in Pretrained Remote Sensing Models* (arXiv 2502.09356); weights of nasaharvest/galileo, MIT |
//! | input | [`GalileoBatch`]: 53 bands in 17 groups, patches of 1 to 8 pixels of 10 m, up to 24 months |
//! | output | `[n, 128]`, the mean of all visible tokens |
//! | size | 128 wide, 4 blocks, 8 heads, 1,037,856 parameters |
//!
//! Token = one group of bands, in one month and patch where it varies so. A quarter of its vector
//! each tells the group, the position in the series, the month and the place in the window. What is
//! hidden is left out, never padded.
//!
//! Axes in names: `n` windows, `d` width.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::Array2;
use rayon::prelude::*;
use surco_kernels::{Norm, Policy, Projection, Segments, linear};

use crate::source::{Reader, Taken, TensorSource};
use crate::transformer::{Block, BlockShape, mean_of_segments, normed};

mod bands;
mod batch;
mod patch;

pub use bands::GALILEO_BANDS;
pub use batch::{GALILEO_MONTHS, GalileoBatch, GalileoInput};

use bands::{Group, SPACE, SPACE_TIME, STATIC, TIME};
use batch::Token;
use patch::{STORED, resized};

const WIDTH: usize = 128;
const QUARTER: usize = WIDTH / 4;
const LAYERS: usize = 4;
const SHAPE: BlockShape = BlockShape { width: WIDTH, hidden: 4 * WIDTH, heads: 8 };
const GROUPS: usize = SPACE_TIME.len() + SPACE.len() + TIME.len() + STATIC.len();

/// Windows embedded at once by one core.
const CHUNK: usize = 4;

/// The encoder of Galileo nano.
#[derive(Clone, Debug)]
pub struct Galileo {
    /// Of each group: weights `[d, values of a token]` as they are stored, and bias.
    maps: Vec<(Vec<f32>, Vec<f32>)>,
    /// Of each group, `[17, d / 4]`.
    groups: Vec<f32>,
    /// Of each date of a series, `[24, d / 4]`.
    positions: Vec<f32>,
    /// Of each month of the year, `[12, d / 4]`.
    months: Vec<f32>,
    blocks: Vec<Block>,
    norm: Norm,
}

impl Galileo {
    /// Builds the encoder from tensors under PyTorch's names; gives those it took.
    pub(crate) fn read(
        source: &dyn TensorSource,
        device: &Device,
    ) -> Result<(Self, Taken), String> {
        let mut reader = Reader::new(source, device);
        let mut maps = Vec::with_capacity(GROUPS);
        let flat = |Group { name, bands }: &Group| (name.to_string(), vec![WIDTH, bands.len()]);
        let patches = |Group { name, bands }: &Group| {
            (format!("{name}.proj"), vec![WIDTH, bands.len(), STORED, STORED])
        };
        let in_patches = SPACE_TIME.iter().chain(&SPACE).map(patches);
        for (name, shape) in in_patches.chain(TIME.iter().chain(&STATIC).map(flat)) {
            let weight = reader.values(&format!("{name}.weight"), &shape)?;
            maps.push((weight, reader.values(&format!("{name}.bias"), &[WIDTH])?));
        }
        let mut groups = Vec::with_capacity(GROUPS * QUARTER);
        for (name, count) in [
            ("s_t_channel_embed", SPACE_TIME.len()),
            ("sp_channel_embed", SPACE.len()),
            ("t_channel_embed", TIME.len()),
            ("st_channel_embed", STATIC.len()),
        ] {
            groups.extend(reader.values(name, &[count, QUARTER])?);
        }
        let positions = reader.values("pos_embed", &[GALILEO_MONTHS, QUARTER])?;
        let months = reader.values("month_embed.weight", &[12, QUARTER])?;
        let qkv = ["q", "k", "v"];
        let blocks: Result<_, _> = (0..LAYERS)
            .map(|i| Block::read(&mut reader, &format!("blocks.{i}"), &qkv, SHAPE))
            .collect();
        let (blocks, norm) = (blocks?, reader.norm("norm", WIDTH)?);
        Ok((Self { maps, groups, positions, months, blocks, norm }, reader.finish("")?))
    }

    /// Embeds windows: `[n, 128]`, in their order.
    ///
    /// Work is split over the cores by windows, so the result does not depend on the number of cores.
    #[must_use]
    pub fn embed(&self, batch: &GalileoBatch, policy: Policy) -> Array2<f32> {
        let maps = self.maps_for(batch.patch_px);
        let starts: Vec<usize> = (0..batch.len()).step_by(CHUNK).collect();
        let parts: Vec<Vec<f32>> = starts
            .into_par_iter()
            .map_with((self.clone(), maps), |(galileo, maps), start| {
                let tokens = galileo.tokens(batch, start..(start + CHUNK).min(batch.len()));
                galileo.embed_tokens(tokens, maps, policy)
            })
            .collect();
        let shape = (batch.len(), WIDTH);
        Array2::from_shape_vec(shape, parts.concat()).expect("each window gives one vector")
    }

    /// The linear map of each group for patches of this side.
    fn maps_for(&self, patch_px: usize) -> Vec<Projection> {
        let device = self.norm.weight.device();
        let maps = self.maps.iter().enumerate().map(|(g, (weight, bias))| {
            let in_patches = g < SPACE_TIME.len() + SPACE.len();
            let weight: Vec<f32> = if in_patches {
                let kernels = weight.chunks_exact(STORED * STORED);
                kernels.flat_map(|kernel| resized(kernel, patch_px)).collect()
            } else {
                weight.clone()
            };
            let inputs = weight.len() / WIDTH;
            let turned = (0..inputs * WIDTH).map(|i| weight[i % WIDTH * inputs + i / WIDTH]);
            let weight = TensorData::new(turned.collect(), [inputs, WIDTH]);
            let bias = TensorData::new(bias.clone(), [WIDTH]);
            Projection {
                weight: Tensor::from_data(weight, &device),
                bias: Some(Tensor::from_data(bias, &device)),
            }
        });
        maps.collect()
    }

    fn tokens(&self, batch: &GalileoBatch, windows: std::ops::Range<usize>) -> Tokens {
        let mut tokens = Tokens::default();
        for i in windows {
            let before = tokens.count();
            batch.visit(i, &mut |token| {
                let place = tokens.count();
                tokens.values[token.group].extend(token.values);
                tokens.places[token.group].push(place);
                self.add_encoding(&token, batch, i, &mut tokens.encoding);
            });
            tokens.lengths.push(tokens.count() - before);
        }
        tokens
    }

    /// What is added to a token's values: group, position, month, place.
    fn add_encoding(&self, token: &Token<'_>, batch: &GalileoBatch, i: usize, to: &mut Vec<f32>) {
        let row = |table: &[f32], at: usize| table[at * QUARTER..(at + 1) * QUARTER].to_vec();
        let nothing = || vec![0.0; QUARTER];
        to.extend(row(&self.groups, token.group));
        let date = token.date;
        to.extend(date.map_or_else(nothing, |t| row(&self.positions, t)));
        to.extend(date.map_or_else(nothing, |t| row(&self.months, batch.months(i)[t].into())));
        to.extend(token.place.map_or_else(nothing, |place| place_in_window(place, batch.patch_px)));
    }

    fn embed_tokens(&self, tokens: Tokens, maps: &[Projection], policy: Policy) -> Vec<f32> {
        let device = self.norm.weight.device();
        let count = tokens.count();
        let (mut parts, mut order, mut done) = (Vec::new(), vec![0_i64; count], 0);
        for ((values, places), map) in tokens.values.into_iter().zip(&tokens.places).zip(maps) {
            if places.is_empty() {
                continue;
            }
            let rows = TensorData::new(values, [places.len(), map.weight.dims()[0]]);
            parts.push(linear(Tensor::from_data(rows, &device), map.clone()));
            for &place in places {
                order[place] = done;
                done += 1;
            }
        }
        let order = Tensor::<1, Int>::from_data(TensorData::new(order, [count]), &device);
        let encoding = TensorData::new(tokens.encoding, [count, WIDTH]);
        let mut x_nd =
            Tensor::cat(parts, 0).select(0, order) + Tensor::from_data(encoding, &device);
        let segments = Segments::of_lengths(tokens.lengths);
        for block in &self.blocks {
            x_nd = block.forward(x_nd, &segments, policy);
        }
        let embedding = mean_of_segments(normed(x_nd, &self.norm), &segments);
        embedding.into_data().iter::<f32>().collect()
    }
}

/// The tokens of some windows.
#[derive(Default)]
struct Tokens {
    /// Of each group, values row by row, and the place of each row among all tokens.
    values: [Vec<f32>; GROUPS],
    places: [Vec<usize>; GROUPS],
    /// What is added to each token, `[tokens, d]`.
    encoding: Vec<f32>,
    /// Tokens of each window.
    lengths: Vec<usize>,
}

impl Tokens {
    fn count(&self) -> usize {
        self.encoding.len() / WIDTH
    }
}

/// Sines and cosines of the column, then of the row, in pixels of 10 m.
///
/// # Source
/// Reed et al. 2023 (Scale-MAE), with the frequencies that Galileo's code has: `10000^(−i / 32)`.
fn place_in_window((row, column): (usize, usize), patch_px: usize) -> Vec<f32> {
    const PER_AXIS: usize = QUARTER / 2;
    let mut out = Vec::with_capacity(QUARTER);
    for along in [column, row] {
        let at = (along * patch_px) as f32;
        let angle = |i: usize| at * 10_000_f32.powf(-(i as f32) / (2 * PER_AXIS) as f32);
        out.extend((0..PER_AXIS / 2).map(|i| angle(i).sin()));
        out.extend((0..PER_AXIS / 2).map(|i| angle(i).cos()));
    }
    out
}

#[cfg(test)]
mod tests;
