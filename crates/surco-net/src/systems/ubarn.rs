//! `U-BARN`: a U-Net on every date, then a transformer over the dates of every pixel.
//!
//! | | |
//! |---|---|
//! | source | Dumeur, Valero and Inglada 2024, *Self-supervised spatio-temporal representation learning of satellite image time series* (doi 10.1109/JSTARS.2024.3358066); shapes as its makers' later code states them (`CleanUBarn` of MALICE, `malice-wr1-winv1-wcr0` config); U-Net after U-TAE (Garnot and Landrieu 2021, MIT) |
//! | input | [`UBarnBatch`]: windows of ten bands of Sentinel-2, at least 16 × 16 pixels, sides multiples of 8, any dates; normalised reflectance |
//! | output | one vector a pixel and date, `[n, 64]`; the embedding of a window is the mean over dates of the pixel in its middle |
//! | size | 825,994 parameters, and 2,944 running statistics of norms |
//! | config | `system = "ubarn"` in `docs/config/pretrain.toml` |
//!
//! The U-Net sees one date, and dates are only as many as there are: none is padded, so none is computed in vain. Sine
//! and cosine of the day of the year are added to the features of its pixels. Layers of the transformer are
//! post-norm, as PyTorch's. A date on which any pixel or band of the window was not seen is no date of it. Dropout
//! (0.1 there) is left out.
//!
//! Axes in names: `m` images, `n` tokens (window by window, pixel by pixel, date by date), `b` bands, `d` width.

mod decoder;
mod unet;

pub use decoder::ShallowDecoder;

use std::f64::consts::E;

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Tensor, TensorData, activation};
use ndarray::{Array2, Array4};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use surco_core::S2_BANDS;
use surco_data::{Normalisation, Sample, SpectralBand, day_of_year};
use surco_kernels::{Segments, attend};

use crate::Card;
use crate::input::index;
use crate::layers::{LayerNorm, Linear};
use crate::systems::conv::{Moments, Statistics};
use crate::systems::{SystemConfig, SystemError, SystemModel, s2_places};

use unet::UNet;

/// Width of a token.
pub const UBARN_WIDTH: usize = 64;

/// Fewest pixels of a side: a mirrored edge needs two at the coarsest level, an eighth of it.
pub const UBARN_SIDE_PX: usize = 16;

/// Sides are halved three times.
const STEP_PX: usize = 8;

const KIND: &str = "ubarn";
const BANDS: usize = S2_BANDS.len();
const HIDDEN: usize = 128;
const LAYERS: usize = 3;
const HEADS: usize = 4;
const NORM_EPSILON: f64 = 1e-5;
const LONGEST_PERIOD: f64 = 10_000.0;

/// What builds a `U-BARN` again but its weights; its shape is the published one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UBarnConfig {
    /// Version of this file.
    pub schema: u32,
    /// Mean and deviation of the reflectances it was trained on.
    pub normalisation: Normalisation,
    /// How it came to be.
    pub card: Card,
}

impl UBarnConfig {
    /// A config of these statistics, not yet trained.
    #[must_use]
    pub fn new(normalisation: Normalisation) -> Self {
        Self { schema: crate::folder::SCHEMA, normalisation, card: Card::default() }
    }

    /// Floating-point operations of a forward pass of the U-Net for one pixel on one date.
    #[must_use]
    pub const fn flops_per_pixel() -> u64 {
        unet::FLOPS_PER_PIXEL
    }

    /// Floating-point operations of a forward pass for one pixel on one of so many dates.
    #[must_use]
    pub fn flops_per_token(dates: usize) -> u64 {
        let layer = 4 * UBARN_WIDTH * UBARN_WIDTH + 2 * UBARN_WIDTH * HIDDEN;
        let attention = 2 * UBARN_WIDTH * dates;
        Self::flops_per_pixel() + 2 * (LAYERS * (layer + attention) + UBARN_WIDTH * BANDS) as u64
    }
}

impl SystemConfig for UBarnConfig {
    type Net = UBarn;

    const KIND: &'static str = KIND;

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn params(&self) -> u64 {
        let d = UBARN_WIDTH;
        let layer = 4 * (d * d + d) + 2 * d * HIDDEN + HIDDEN + d + 4 * d;
        (unet::PARAMS + unet::STATISTICS + LAYERS * layer + d * BANDS + BANDS) as u64
    }

    fn build(&self, device: &Device) -> UBarn {
        UBarn {
            unet: UNet::new(BANDS, UBARN_WIDTH, device),
            layers: (0..LAYERS).map(|_| Layer::new(device)).collect(),
            write: map(UBARN_WIDTH, BANDS, device),
        }
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
                    "U-BARN, a U-Net on every date and a transformer over the dates of every pixel, {} values",
                    self.params()
                ),
            ),
            (
                "input",
                format!(
                    "ten bands of Sentinel-2, windows of at least {UBARN_SIDE_PX} × {UBARN_SIDE_PX} pixels seen \
                     whole; mean and deviation in `config.json`"
                ),
            ),
            ("output", format!("{UBARN_WIDTH} numbers a pixel and date")),
            ("made after", "Dumeur et al. 2024, doi 10.1109/JSTARS.2024.3358066".into()),
        ]
    }
}

/// Windows as `U-BARN` reads them: the dates on which they were seen whole, one after another.
///
/// | | shape | |
/// |---|---|---|
/// | `images_mbyx` | `[m, 10, y, x]` | normalised reflectance |
/// | `days_m` | `[m]` | day of the year, 1 on 1 January |
/// | `lengths` | | dates of each window |
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the table above is the documentation")]
pub struct UBarnBatch {
    pub images_mbyx: Array4<f32>,
    pub days_m: Vec<u16>,
    pub lengths: Vec<usize>,
}

impl UBarnBatch {
    /// Windows of one size. Days outside the window of days make no image.
    ///
    /// # Errors
    /// [`SystemError`]: a band is missing, a window is too small or of another size, or has no date on which it was
    /// seen whole.
    pub fn new(
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
        config: &UBarnConfig,
    ) -> Result<Self, SystemError> {
        let places = s2_places(KIND, bands)?;
        let scale = config.normalisation.at(&places.map(|place| bands[place]));
        let size = samples.first().map_or([UBARN_SIDE_PX; 2], |sample| sample.size_px);
        let (mut values, mut days_m, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (series, sample) in samples.iter().enumerate() {
            check_size(series, sample.size_px, size)?;
            let before = days_m.len();
            for (date, &day) in sample.days.iter().enumerate() {
                if !(window.0..window.1).contains(&day) || !is_whole(sample, date, &places, bands) {
                    continue;
                }
                let all = sample.date(date, bands.len());
                for (place, (mean, deviation)) in places.iter().zip(&scale) {
                    let plane = &all[place * sample.pixels()..][..sample.pixels()];
                    values.extend(plane.iter().map(|value| (value - mean) / deviation));
                }
                days_m.push(day_of_year(day) + 1);
            }
            if days_m.len() == before {
                let needed = "every pixel of the window in all ten bands of Sentinel-2";
                return Err(SystemError::NoDate { system: KIND, series, needed });
            }
            lengths.push(days_m.len() - before);
        }
        let shape = (days_m.len(), BANDS, size[0], size[1]);
        let images_mbyx =
            Array4::from_shape_vec(shape, values).expect("every date has every band and pixel");
        Ok(Self { images_mbyx, days_m, lengths })
    }

    /// Pixels of a window.
    #[must_use]
    pub fn pixels(&self) -> usize {
        let (_, _, rows, columns) = self.images_mbyx.dim();
        rows * columns
    }

    /// Tokens: every pixel of every image.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.days_m.len() * self.pixels()
    }

    /// The image and the pixel of each token, in their order.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let pixels = self.pixels();
        let mut first = 0;
        self.lengths.iter().flat_map(move |&dates| {
            let images = first..first + dates;
            first += dates;
            (0..pixels).flat_map(move |pixel| images.clone().map(move |image| (image, pixel)))
        })
    }

    /// The dates of each pixel.
    #[must_use]
    pub fn segments(&self) -> Segments {
        let pixels = self.pixels();
        let each = self.lengths.iter().flat_map(|&dates| std::iter::repeat_n(dates, pixels));
        Segments::of_lengths(each.collect::<Vec<_>>())
    }
}

fn check_size(series: usize, size: [usize; 2], of_all: [usize; 2]) -> Result<(), SystemError> {
    let [rows, columns] = size;
    let fits = |px: usize| px >= UBARN_SIDE_PX && px.is_multiple_of(STEP_PX);
    let needed = match (fits(rows) && fits(columns), size == of_all) {
        (true, true) => return Ok(()),
        (false, _) => format!(
            "windows of at least {UBARN_SIDE_PX} × {UBARN_SIDE_PX}, sides multiples of {STEP_PX}"
        ),
        (true, false) => format!("windows of one size at once, here {} × {}", of_all[0], of_all[1]),
    };
    Err(SystemError::Neighbours { system: KIND, series, rows, columns, needed })
}

/// Whether every pixel of a window was seen on a date in the bands at these places.
fn is_whole(sample: &Sample, date: usize, places: &[usize; BANDS], bands: &[SpectralBand]) -> bool {
    places.iter().all(|place| {
        let first = (date * bands.len() + place) * sample.pixels();
        (first..first + sample.pixels()).all(|at| sample.weight(at) > 0.0)
    })
}

/// A map drawn as PyTorch draws them.
fn map(from: usize, to: usize, device: &Device) -> Linear {
    let most = 1.0 / (from as f64).sqrt();
    let uniform = Initializer::Uniform { min: -most, max: most };
    Linear::new([from, to], (uniform.clone(), uniform), device)
}

/// One layer of the transformer: post-norm, ReLU.
#[derive(Module, Debug)]
struct Layer {
    qkv: Linear,
    out: Linear,
    norm_attention: LayerNorm,
    up: Linear,
    down: Linear,
    norm_mlp: LayerNorm,
}

impl Layer {
    fn new(device: &Device) -> Self {
        Self {
            qkv: map(UBARN_WIDTH, 3 * UBARN_WIDTH, device),
            out: map(UBARN_WIDTH, UBARN_WIDTH, device),
            norm_attention: LayerNorm::new(UBARN_WIDTH, device),
            up: map(UBARN_WIDTH, HIDDEN, device),
            down: map(HIDDEN, UBARN_WIDTH, device),
            norm_mlp: LayerNorm::new(UBARN_WIDTH, device),
        }
    }

    fn forward(&self, x_nd: Tensor<2>, segments: &Segments) -> Tensor<2> {
        let mixed = attend(self.qkv.forward(x_nd.clone()), segments, HEADS, None, None);
        let x_nd = self.norm_attention.forward(x_nd + self.out.forward(mixed), NORM_EPSILON);
        let hidden = activation::relu(self.up.forward(x_nd.clone()));
        self.norm_mlp.forward(x_nd + self.down.forward(hidden), NORM_EPSILON)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct UBarn {
    unet: UNet,
    layers: Vec<Layer>,
    /// What the pretext reads reflectance from.
    write: Linear,
}

impl UBarn {
    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.write.weight.device()
    }

    /// One vector a pixel and date, `[n, 64]`, in the order of [`UBarnBatch::places`], norms by the statistics that
    /// belong to the weights.
    #[must_use]
    pub fn features(&self, batch: &UBarnBatch) -> Tensor<2> {
        self.tokens(batch, &Pixels::All, &mut Statistics::OfWeights)
    }

    /// [`UBarn::features`] of the pixel in the middle of each window alone, and the dates of each.
    #[must_use]
    pub fn middle_features(&self, batch: &UBarnBatch) -> (Tensor<2>, Segments) {
        let (_, _, rows, columns) = batch.images_mbyx.dim();
        let middle = Pixels::One(rows / 2 * columns + columns / 2);
        let tokens = self.tokens(batch, &middle, &mut Statistics::OfWeights);
        (tokens, Segments::of_lengths(batch.lengths.iter().copied()))
    }

    /// The ten bands of each pixel and date, `[n, 10]`, normalised, norms by the statistics that belong to the
    /// weights.
    #[must_use]
    pub fn reconstruct(&self, batch: &UBarnBatch) -> Tensor<2> {
        self.write.forward(self.features(batch))
    }

    /// [`UBarn::features`], norms by the batch itself, as in training.
    #[must_use]
    pub fn features_in_training(&self, batch: &UBarnBatch) -> Tensor<2> {
        self.tokens(batch, &Pixels::All, &mut Statistics::OfBatch)
    }

    /// [`UBarn::reconstruct`], norms by the batch itself, as in training.
    #[must_use]
    pub fn reconstruct_in_training(&self, batch: &UBarnBatch) -> Tensor<2> {
        self.write.forward(self.features_in_training(batch))
    }

    /// The same weights with the statistics of norms measured over these batches.
    ///
    /// # Source
    /// Wu and Johnson 2021, *Rethinking "Batch" in `BatchNorm`*, section 3: means over batches of one set of weights in
    /// place of a moving average over many, so that they depend on nothing but weights and batches.
    #[must_use]
    pub fn measured(self, batches: &[UBarnBatch]) -> Self {
        let mut statistics = Statistics::Measured(Moments::default());
        for batch in batches {
            let _ = self.unet.forward(images(batch, &self.device()), &mut statistics);
            if let Statistics::Measured(moments) = &mut statistics {
                moments.next();
            }
        }
        match statistics {
            Statistics::Measured(moments) => moments.put_into(self),
            Statistics::OfBatch | Statistics::OfWeights => self,
        }
    }

    fn tokens(
        &self,
        batch: &UBarnBatch,
        pixels: &Pixels,
        statistics: &mut Statistics,
    ) -> Tensor<2> {
        let device = self.device();
        let images_mdyx = self.unet.forward(images(batch, &device), statistics);
        let rows = images_mdyx.permute([0, 2, 3, 1]).reshape([batch.tokens(), UBARN_WIDTH]);
        let places: Vec<(usize, usize)> =
            batch.places().filter(|&(_, pixel)| pixels.has(pixel)).collect();
        let order = places.iter().map(|(image, pixel)| (image * batch.pixels() + pixel) as i64);
        let days = TensorData::new(season_rows(batch, &places), [places.len(), UBARN_WIDTH]);
        let x_nd = rows.select(0, index(order, &device)) + Tensor::from_data(days, &device);
        let segments = match pixels {
            Pixels::All => batch.segments(),
            Pixels::One(_) => Segments::of_lengths(batch.lengths.iter().copied()),
        };
        self.layers.iter().fold(x_nd, |x_nd, layer| layer.forward(x_nd, &segments))
    }
}

/// The pixels whose dates go through the transformer; they do not see each other there.
enum Pixels {
    All,
    One(usize),
}

impl Pixels {
    fn has(&self, pixel: usize) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => pixel == *one,
        }
    }
}

fn images(batch: &UBarnBatch, device: &Device) -> Tensor<4> {
    let (m, bands, rows, columns) = batch.images_mbyx.dim();
    let values: Vec<f32> = batch.images_mbyx.iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [m, bands, rows, columns]), device)
}

/// Sines and cosines of the day of the year of each token, `T^(−2 ⌊i/2⌋ / d)` as they follow each other.
fn season_rows(batch: &UBarnBatch, places: &[(usize, usize)]) -> Vec<f32> {
    let of_day = |&day: &u16| -> Vec<f32> {
        let angle = |i: usize| {
            let power = -((i / 2 * 2) as f64) / UBARN_WIDTH as f64;
            f64::from(day) * E.powf(power * LONGEST_PERIOD.ln())
        };
        let value = |i| if i % 2 == 0 { angle(i).sin() } else { angle(i).cos() };
        (0..UBARN_WIDTH).map(|i| value(i) as f32).collect()
    };
    let days: Vec<Vec<f32>> = batch.days_m.iter().map(of_day).collect();
    places.iter().flat_map(|&(image, _)| days[image].iter().copied()).collect()
}

impl SystemModel<UBarnConfig> {
    /// The mean over dates of the pixel in the middle of each window, `[n, 64]`.
    ///
    /// # Errors
    /// [`SystemError`], as [`UBarnBatch::new`].
    pub fn embed(
        &self,
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
    ) -> Result<Array2<f32>, SystemError> {
        let one = |net: &mut UBarn, (series, sample): (usize, &&Sample)| {
            let batch = UBarnBatch::new(&[sample], bands, window, &self.config)
                .map_err(|error| error.of_series(series))?;
            let (tokens, _) = net.middle_features(&batch);
            Ok(tokens.mean_dim(0).into_data().iter::<f32>().collect::<Vec<_>>())
        };
        let parts: Result<Vec<Vec<f32>>, SystemError> =
            samples.par_iter().enumerate().map_with(self.net.clone(), one).collect();
        let shape = (samples.len(), UBARN_WIDTH);
        Ok(Array2::from_shape_vec(shape, parts?.concat()).expect("each window gives one vector"))
    }
}

#[cfg(test)]
mod tests;
