//! What a place will show on a later date: a distribution for each band and for NDVI.
//!
//! The encoder looks back: a token knows the dates before it and its own. A small head is told how many days
//! later and in which season the question lies, and answers with the location and the scale of a Laplace
//! distribution. Any gap is asked directly; beyond the longest gap of training, forecasts are fed back as if
//! they had been seen.
//!
//! # Source
//! Smith, Fleming and Geach 2023 (EarthPT), who predict the next observation from those before and its date.
//! Scale learnt with the location: Kendall and Gal 2017, section 3, with the Laplace distribution, whose
//! likelihood forgives clouds that a mask has missed. Widths of intervals: Lei et al. 2018, section 5.2
//! (split-conformal, locally weighted).
//!
//! Axes in names: `p` questions, `c` values of a patch, band by band, then NDVI where it can be had.

mod asked;
mod folder;
mod outlook;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};
use surco_data::{BandKind, Batch, PatchGrid, SEASON_FEATURES, SpectralBand};
use surco_kernels::Sight;

use crate::input::index;
use crate::spectral::BandWeights;
use crate::{Encoder, EncoderInput};

pub use asked::{Asked, Later, Shown, red_and_nir, shown};
pub use folder::{FORECAST_FILES, load_forecaster, save_forecaster};
pub use outlook::{Outlook, Predicted, outlook};

/// NDVI as one more band: it measures nothing at one wavelength, so its kind tells it apart.
pub const NDVI: SpectralBand =
    SpectralBand { centre_nm: 750.0, width_nm: 180.0, gsd_m: 10.0, kind: BandKind::Other };

/// Mean and deviation that NDVI is scaled by.
pub(crate) const NDVI_SCALE: (f32, f32) = (0.4, 0.25);

/// Number of values that tell a question: five of the gap, and the season but for the age of the date.
const TOLD: usize = 5 + SEASON_FEATURES - 1;

/// Logarithms of scales lie between minus this and this.
const WIDEST_LOG_SCALE: f64 = 5.0;

/// From a token and a question to distributions.
#[derive(Module, Debug)]
pub struct ForecastHead {
    token: Linear,
    told: Linear,
    inner: Linear,
    write: BandWeights,
    width: usize,
}

/// Laplace distributions in normalised units.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Locations, `[p, c]`.
    pub location_pc: Tensor<2>,
    /// Logarithms of the scales, `[p, c]`.
    pub log_scale_pc: Tensor<2>,
}

impl ForecastHead {
    /// A head for tokens of this width, its weights drawn as they are first looked at; see [`crate::drawn`].
    #[must_use]
    pub fn new(width: usize, device: &Device) -> Self {
        Self {
            token: LinearConfig::new(width, width).init(device),
            told: LinearConfig::new(TOLD, width).init(device),
            inner: LinearConfig::new(width, width).init(device),
            write: BandWeights::new(3 * (width + 1), device),
            width,
        }
    }

    /// The answers to questions put to tokens `[n, d]`.
    #[must_use]
    pub fn answer(&self, tokens_nd: Tensor<2>, asked: &Asked) -> Spread {
        let device = tokens_nd.device();
        let rows = index(asked.later.iter().map(|later| later.row as i64), &device);
        let of_token = self.token.forward(tokens_nd.select(0, rows));
        let hidden = activation::gelu(of_token + self.told.forward(told(&asked.later, &device)));
        let hidden_pd = hidden.clone() + activation::gelu(self.inner.forward(hidden));
        let weights = self.write.of(&asked.bands, asked.patch, &device);
        let read = |part: usize| {
            let first = part * (self.width + 1);
            let bias = weights.clone().narrow(1, first + self.width, 1).transpose();
            let weight = weights.clone().narrow(1, first, self.width).transpose();
            hidden_pd.clone().matmul(weight) + bias
        };
        // What was seen last is the first guess, as far as the gate lets it through.
        let gate = activation::sigmoid(read(2));
        let wide = (read(1) / WIDEST_LOG_SCALE).tanh() * WIDEST_LOG_SCALE;
        Spread { location_pc: read(0) + gate * asked.anchors(&device), log_scale_pc: wide }
    }
}

/// What the head is told of each question, `[p, TOLD]`.
fn told(later: &[Later], device: &Device) -> Tensor<2> {
    let mut told = Vec::with_capacity(later.len() * TOLD);
    for one in later {
        let gap = one.gap_days as f32;
        let (sin, cos) = (gap * std::f32::consts::TAU / 365.2425).sin_cos();
        told.extend([(1.0 + gap).ln() / 5.0, gap / 180.0, 10.0 / (10.0 + gap), sin, cos]);
        // Place 10 is the age of the date: where the window of training ended tells nothing of the ground.
        told.extend(one.season.iter().enumerate().filter(|(i, _)| *i != 10).map(|(_, v)| v));
    }
    Tensor::from_data(TensorData::new(told, [later.len(), TOLD]), device)
}

/// What an encoder that looks back and its head say to the questions put to a batch.
#[must_use]
pub fn forecast(
    encoder: &Encoder,
    head: &ForecastHead,
    batch: &Batch,
    asked: &Asked,
    device: &Device,
) -> Spread {
    let looking_back = encoder.clone().with_sight(Sight::Past);
    head.answer(looking_back.tokens(&EncoderInput::new(batch, device)), asked)
}

/// A head with what was measured of it.
#[derive(Clone, Debug)]
pub struct Forecaster {
    /// The head.
    pub head: ForecastHead,
    /// What else belongs to it.
    pub config: ForecastConfig,
}

/// What was measured of a head on places that it had not seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastConfig {
    /// Longest gap that is asked directly, in days.
    pub longest_gap_days: i32,
    /// Share of observations that intervals are to hold.
    pub coverage: f64,
    /// Widths of intervals by gap, the shortest first; the last also serves what is longer.
    pub horizons: Vec<Horizon>,
}

/// How wide intervals are for a range of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Horizon {
    /// Longest gap of the range in days.
    pub to_days: i32,
    /// Half of the width of a band's interval, in scales of its distribution.
    pub bands: f32,
    /// The same for NDVI.
    pub ndvi: f32,
    /// Observations they were measured on.
    pub observations: usize,
}

impl ForecastConfig {
    /// Half-widths for a gap: of bands, of NDVI. What the Laplace distribution itself says where nothing was
    /// measured.
    #[must_use]
    pub fn widths(&self, gap_days: i32) -> (f32, f32) {
        let of = self.horizons.iter().find(|h| gap_days <= h.to_days).or(self.horizons.last());
        let plain = -(1.0 - self.coverage).ln() as f32;
        of.map_or((plain, plain), |h| (h.bands, h.ndvi))
    }
}

/// The bands that are answered for: those of a batch, then NDVI where it can be had.
pub(crate) fn answered(bands: &[SpectralBand]) -> Vec<SpectralBand> {
    let mut all = bands.to_vec();
    all.extend(red_and_nir(bands).map(|_| NDVI));
    all
}

/// Values of a patch that are answered for.
pub(crate) fn values(bands: &[SpectralBand], patch: PatchGrid) -> usize {
    bands.len() * patch.pixels()
}

#[cfg(test)]
mod tests;
