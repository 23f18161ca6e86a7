//! `EarthPT`: a decoder that is told a pixel date by date and says what comes next.
//!
//! | | |
//! |---|---|
//! | source | Smith, Fleming and Geach 2023, *`EarthPT`: a time series foundation model for Earth Observation* (arXiv 2309.07207); `src/model.py` and `config/earthpt700m.py` of aspiaspace/earthPT, MIT |
//! | input | [`EarthPtBatch`]: ten bands of Sentinel-2 as `20 · reflectance − 1`, sine and cosine of the day of the year of this date and of the next |
//! | output | the ten bands of the next date, on the same scale; the embedding is the mean of the last hidden states, `[n, d]` |
//! | size | 36 layers, 20 heads, 1280 wide as published (716 million parameters); any smaller |
//! | config | `size = "nano"`, `system = "earthpt"` in `docs/config/pretrain.toml` |
//!
//! Token = one date. An MLP embeds it, a learned position is added, blocks without biases attend to the past,
//! an MLP of three layers answers. It was made for series without gaps: a date on which any of the ten bands was not
//! seen is no date of a series here, and a series of more dates than it has positions for is refused.
//!
//! Where the published code cannot be followed: HEAD has the tokenizer of images in place of the one for series,
//! which stands commented out beside it and is built here; it asks the head for 14 values where the targets have
//! 10, built here with 10; the line that ties input and output weights ties nothing. GELU is exact here and
//! approximated by a tanh there, which differ by less than 5e-4.
//!
//! Axes in names: `n` tokens, `d` width, `f` features of a token, `b` bands.

mod batch;

pub use batch::EarthPtBatch;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, activation};
use ndarray::{Array2, Array3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use surco_core::S2_BANDS;
use surco_data::{Sample, SpectralBand};
use surco_kernels::{
    Activation, AttentionLayer, MlpLayer, Norm, NormKind, Policy, Segments, Sight, attention, mlp,
    norm,
};

use crate::input::{index, table};
use crate::layers::{Linear, projection};
use crate::systems::{SystemConfig, SystemError, SystemModel, s2_places};
use crate::transformer::mean_of_segments;
use crate::{Card, Size};

use batch::{Dates, Rows, check_dates, dates, reflectance, token};

/// Most dates of one series: the length that its positions were learned for.
pub const EARTHPT_DATES: usize = 256;

const BANDS: usize = S2_BANDS.len();
const FEATURES: usize = BANDS + 4;
const NORM_EPSILON: f64 = 1e-5;
const KIND: &str = "earthpt";

/// Series computed at once by one core.
const CHUNK: usize = 32;

/// What builds an `EarthPT` again but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarthPtConfig {
    /// Version of this file.
    pub schema: u32,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads; divides the width.
    pub heads: usize,
    /// Width of a token.
    pub width: usize,
    /// How it came to be.
    pub card: Card,
}

impl EarthPtConfig {
    /// As deep and wide as a size of our family; `xl` is the published one. None above it.
    #[must_use]
    pub fn of_size(size: Size) -> Option<Self> {
        let (layers, heads, width) = match size {
            Size::Xl => (36, 20, 1280),
            Size::Billion | Size::TwoBillion => return None,
            smaller => (smaller.layers(), smaller.heads(), smaller.width()),
        };
        Some(Self { schema: crate::folder::SCHEMA, layers, heads, width, card: Card::default() })
    }

    /// Floating-point operations of a forward pass for one token among so many of its series.
    #[must_use]
    pub fn flops_per_token(&self, dates: usize) -> u64 {
        let positions = EARTHPT_DATES * self.width;
        2 * (self.params() - positions as u64) + (4 * self.layers * self.width * dates) as u64
    }
}

impl SystemConfig for EarthPtConfig {
    type Net = EarthPt;

    const KIND: &'static str = KIND;

    fn check(&self) -> Result<(), String> {
        let Self { layers, heads, width, .. } = *self;
        if layers == 0 || heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(format!("{layers} layers of {heads} heads, {width} wide, cannot be built"));
        }
        Ok(())
    }

    fn params(&self) -> u64 {
        let d = self.width as u64;
        let tokenizer = FEATURES as u64 * d + d + d * d + d;
        let blocks = self.layers as u64 * (12 * d * d + 2 * d);
        let head = d * 2 * d + 2 * d + 2 * d * d + d + d * BANDS as u64 + BANDS as u64;
        tokenizer + EARTHPT_DATES as u64 * d + blocks + d + head
    }

    fn build(&self, device: &Device) -> EarthPt {
        EarthPt::new(self, device)
    }

    fn card(&self) -> &Card {
        &self.card
    }

    fn with_card(self, card: Card) -> Self {
        Self { card, ..self }
    }

    fn rows(&self) -> [(&'static str, String); 4] {
        [
            (
                "what",
                format!(
                    "EarthPT, a decoder of the series of a pixel: {} layers of {} heads, {} wide, {} parameters",
                    self.layers,
                    self.heads,
                    self.width,
                    self.params()
                ),
            ),
            (
                "input",
                format!(
                    "ten bands of Sentinel-2 on up to {EARTHPT_DATES} dates, each seen in all of them"
                ),
            ),
            ("output", format!("the next date's bands; embedding of {} numbers", self.width)),
            (
                "made after",
                "Smith et al. 2023, arXiv 2309.07207, github.com/aspiaspace/earthPT".into(),
            ),
        ]
    }
}

/// One block, pre-norm, without biases.
#[derive(Module, Debug)]
struct Block {
    norm_attention: Param<Tensor<1>>,
    qkv: Param<Tensor<2>>,
    out: Param<Tensor<2>>,
    norm_mlp: Param<Tensor<1>>,
    up: Param<Tensor<2>>,
    down: Param<Tensor<2>>,
}

fn layer_norm(weight: &Param<Tensor<1>>) -> Norm {
    Norm { weight: weight.val(), bias: None, kind: NormKind::Layer, epsilon: NORM_EPSILON }
}

impl Block {
    fn new(config: &EarthPtConfig, device: &Device) -> Self {
        let d = config.width;
        let plain = Initializer::Normal { mean: 0.0, std: 0.02 };
        let std = 0.02 / (2.0 * config.layers as f64).sqrt();
        let scaled = Initializer::Normal { mean: 0.0, std };
        Self {
            norm_attention: Initializer::Ones.init([d], device),
            qkv: plain.init([d, 3 * d], device),
            out: scaled.init([d, d], device),
            norm_mlp: Initializer::Ones.init([d], device),
            up: plain.init([d, 4 * d], device),
            down: scaled.init([4 * d, d], device),
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
            norm: layer_norm(&self.norm_attention),
            qkv: projection(&self.qkv),
            qk_scale: None,
            out: projection(&self.out),
            heads,
        };
        let x_nd = attention(x_nd, layer, segments, None, policy);
        let layer = MlpLayer {
            norm: layer_norm(&self.norm_mlp),
            up: projection(&self.up),
            down: projection(&self.down),
            activation: Activation::Gelu,
        };
        mlp(x_nd, layer, policy)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct EarthPt {
    enter: [Linear; 2],
    positions: Param<Tensor<2>>,
    blocks: Vec<Block>,
    norm: Param<Tensor<1>>,
    head: [Linear; 3],
    heads: usize,
    #[module(skip)]
    policy: Policy,
}

impl EarthPt {
    fn new(config: &EarthPtConfig, device: &Device) -> Self {
        let d = config.width;
        let drawn = Initializer::Normal { mean: 0.0, std: 0.02 };
        let map = |from, to| Linear::new([from, to], (drawn.clone(), Initializer::Zeros), device);
        Self {
            enter: [map(FEATURES, d), map(d, d)],
            positions: drawn.init([EARTHPT_DATES, d], device),
            blocks: (0..config.layers).map(|_| Block::new(config, device)).collect(),
            norm: Initializer::Ones.init([d], device),
            head: [map(d, 2 * d), map(2 * d, d), map(d, BANDS)],
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
        self.norm.device()
    }

    /// What each token holds after the last block, before the last norm: `[n, d]`.
    ///
    /// # Panics
    /// If a series is longer than [`EARTHPT_DATES`].
    #[must_use]
    pub fn hidden(&self, batch: &EarthPtBatch) -> Tensor<2> {
        let device = self.device();
        let tokens = table(&batch.tokens_nf, &device);
        let segments = Segments::of_lengths(batch.lengths.iter().copied()).with_sight(Sight::Past);
        assert!(segments.longest() <= EARTHPT_DATES, "a series fits its positions");
        let places = index(segments.ranges().flat_map(|r| 0..r.len() as i64), &device);
        let [first, second] = &self.enter;
        let embedded = activation::relu(second.forward(activation::relu(first.forward(tokens))));
        let x_nd = embedded + self.positions.val().select(0, places);
        self.blocks
            .iter()
            .fold(x_nd, |x_nd, block| block.forward(x_nd, self.heads, &segments, self.policy))
    }

    /// The mean of the last hidden states of each series, `[series, d]`.
    #[must_use]
    pub fn features(&self, batch: &EarthPtBatch) -> Tensor<2> {
        let segments = Segments::of_lengths(batch.lengths.iter().copied());
        mean_of_segments(self.hidden(batch), &segments)
    }

    /// What each token says of the next date, on the scale of the tokens: `[n, 10]`.
    #[must_use]
    pub fn predict(&self, batch: &EarthPtBatch) -> Tensor<2> {
        let x_nd = norm(self.hidden(batch), layer_norm(&self.norm));
        let [first, second, last] = &self.head;
        last.forward(activation::relu(second.forward(activation::relu(first.forward(x_nd)))))
    }
}

impl SystemModel<EarthPtConfig> {
    /// The mean of the last hidden states of each series, `[n, d]`; the last date of a series is only what the one
    /// before is asked for, as in `generate_embeddings` of the code.
    ///
    /// # Errors
    /// [`SystemError`], as [`EarthPtBatch::new`].
    pub fn embed(
        &self,
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
    ) -> Result<Array2<f32>, SystemError> {
        // All of it is looked at before any is computed, so that errors name the series of the caller.
        EarthPtBatch::new(samples, bands, window)?;
        let parts: Result<Vec<Vec<f32>>, SystemError> = samples
            .par_chunks(CHUNK)
            .map_with(self.net.clone(), |net, chunk| {
                let batch = EarthPtBatch::new(chunk, bands, window)?;
                Ok(net.features(&batch).into_data().iter::<f32>().collect())
            })
            .collect();
        let shape = (samples.len(), self.config.width);
        Ok(Array2::from_shape_vec(shape, parts?.concat()).expect("each series gives one vector"))
    }

    /// The reflectance of the ten bands of Sentinel-2 on days to come, `[n, day, 10]`: what is said of one day is
    /// taken for seen when the next is asked for, as in `generate` of the code.
    ///
    /// `ahead` are days, ascending, after the end of the window.
    ///
    /// # Errors
    /// [`SystemError`]: a band is missing, a series has no date, or seen and asked dates are more than
    /// [`EARTHPT_DATES`].
    pub fn forecast(
        &self,
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
        ahead: &[i32],
    ) -> Result<Array3<f32>, SystemError> {
        let places = s2_places(KIND, bands)?;
        let mut all = Vec::with_capacity(samples.len());
        for (series, sample) in samples.iter().enumerate() {
            let read = dates(sample, &places, bands.len(), window);
            if read.days.is_empty() {
                let needed = "all ten bands of Sentinel-2";
                return Err(SystemError::NoDate { system: KIND, series, needed });
            }
            check_dates(series, read.days.len() + ahead.len().saturating_sub(1))?;
            all.push(read);
        }
        let mut said = Array3::zeros((samples.len(), ahead.len(), BANDS));
        for (step, &day) in ahead.iter().enumerate() {
            let answers: Vec<Vec<[f32; BANDS]>> = all
                .par_chunks(CHUNK)
                .map_with(self.net.clone(), |net, chunk| next_of(net, chunk, day))
                .collect();
            for (series, (dates, answer)) in all.iter_mut().zip(answers.concat()).enumerate() {
                dates.days.push(day);
                dates.values.push(answer);
                for (band, value) in answer.into_iter().enumerate() {
                    said[[series, step, band]] = reflectance(value);
                }
            }
        }
        Ok(said)
    }
}

/// What each series shows next, if that is on this day.
fn next_of(net: &EarthPt, series: &[Dates], day: i32) -> Vec<[f32; BANDS]> {
    let mut rows = Rows::default();
    let mut last = Vec::with_capacity(series.len());
    for Dates { days, values } in series {
        let following = days.iter().skip(1).chain([&day]);
        for ((values, &now), &next) in values.iter().zip(days).zip(following) {
            rows.tokens.extend(token(values, now, next));
        }
        rows.lengths.push(days.len());
        last.push(rows.tokens.len() / FEATURES - 1);
    }
    let said: Vec<f32> = net.predict(&rows.batch()).into_data().iter::<f32>().collect();
    let of = |row: usize| std::array::from_fn(|band| said[row * BANDS + band]);
    last.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests;
