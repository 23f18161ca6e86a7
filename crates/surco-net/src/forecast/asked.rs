//! Questions put to tokens, and what was seen by then.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;
use surco_data::{BandKind, Batch, PatchGrid, SEASON_FEATURES, SpectralBand};

use super::{NDVI_SCALE, answered, values};

/// Red lies within so many nm of 660, near infrared of 850.
const NEAR_NM: f32 = 45.0;

/// Reflectances whose sum is less say nothing of NDVI.
const DARKEST: f32 = 0.01;

/// A later date asked of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Later {
    /// Row of the token.
    pub row: usize,
    /// Days from its date to the one asked for.
    pub gap_days: i32,
    /// Season token of the date asked for.
    pub season: [f32; SEASON_FEATURES],
}

/// Questions to a batch.
#[derive(Clone, Debug)]
pub struct Asked {
    pub(crate) later: Vec<Later>,
    pub(crate) bands: Vec<SpectralBand>,
    pub(crate) patch: PatchGrid,
    /// What was last seen up to each question's token, `[p, c]`, 0 where nothing was.
    pub(crate) anchor_pc: Array2<f32>,
}

impl Asked {
    /// Questions to a batch whose bands have these means and deviations.
    #[must_use]
    pub fn new(batch: &Batch, scale: &[(f32, f32)], later: Vec<Later>) -> Self {
        let last_nc = last_seen(batch, &shown(batch, scale));
        let mut anchor_pc = Array2::zeros((later.len(), last_nc.ncols()));
        for (mut to, one) in anchor_pc.rows_mut().into_iter().zip(&later) {
            to.assign(&last_nc.row(one.row));
        }
        Self { later, bands: answered(&batch.bands), patch: batch.patch, anchor_pc }
    }

    /// Number of questions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.later.len()
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.later.is_empty()
    }

    pub(crate) fn anchors(&self, device: &Device) -> Tensor<2> {
        let (p, c) = self.anchor_pc.dim();
        let values = self.anchor_pc.iter().copied().collect();
        Tensor::from_data(TensorData::new(values, [p, c]), device)
    }
}

/// What was seen, in normalised units, and how far it is trusted, both `[n, c]`: bands, then NDVI.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Values, 0 where nothing was seen.
    pub values_nc: Array2<f32>,
    /// Trust, 0 where nothing was seen.
    pub weights_nc: Array2<f32>,
}

/// What the tokens of a batch show of each band and of NDVI.
#[must_use]
pub fn shown(batch: &Batch, scale: &[(f32, f32)]) -> Shown {
    let (n, own) = batch.values_nc.dim();
    let (pixels, width) = (batch.patch.pixels(), values(&answered(&batch.bands), batch.patch));
    let mut shown =
        Shown { values_nc: Array2::zeros((n, width)), weights_nc: Array2::zeros((n, width)) };
    let pair = red_and_nir(&batch.bands);
    for row in 0..n {
        for c in 0..own {
            let weight = batch.weights_nc[[row, c]];
            if weight > 0.0 {
                shown.values_nc[[row, c]] = batch.values_nc[[row, c]] / weight;
                shown.weights_nc[[row, c]] = weight;
            }
        }
        let Some((red, nir)) = pair else { continue };
        for pixel in 0..pixels {
            let of = |band: usize| {
                let (at, (mean, deviation)) = ([row, band * pixels + pixel], scale[band]);
                (mean + deviation * shown.values_nc[at], shown.weights_nc[at])
            };
            let ((red, trust), (nir, other)) = (of(red), of(nir));
            let weight = trust.min(other);
            if weight > 0.0 && red + nir > DARKEST {
                let ndvi = ((nir - red) / (nir + red)).clamp(-1.0, 1.0);
                shown.values_nc[[row, own + pixel]] = (ndvi - NDVI_SCALE.0) / NDVI_SCALE.1;
                shown.weights_nc[[row, own + pixel]] = weight;
            }
        }
    }
    shown
}

/// Places of the bands that NDVI is made of, if both are there.
#[must_use]
pub fn red_and_nir(bands: &[SpectralBand]) -> Option<(usize, usize)> {
    let nearest = |nm: f32| {
        let away = |i: &usize| (bands[*i].centre_nm - nm).abs();
        (0..bands.len())
            .filter(|i| bands[*i].kind == BandKind::Optical && away(i) <= NEAR_NM)
            .min_by(|a, b| away(a).total_cmp(&away(b)))
    };
    nearest(660.0).zip(nearest(850.0))
}

/// What was last seen of each value up to each token, itself included, within its patch.
fn last_seen(batch: &Batch, shown: &Shown) -> Array2<f32> {
    let mut last_nc = Array2::zeros(shown.values_nc.dim());
    let mut first = 0;
    for &length in &batch.lengths {
        for row in first..first + length {
            for c in 0..last_nc.ncols() {
                last_nc[[row, c]] = if shown.weights_nc[[row, c]] > 0.0 {
                    shown.values_nc[[row, c]]
                } else if row > first {
                    last_nc[[row - 1, c]]
                } else {
                    0.0
                };
            }
        }
        first += length;
    }
    last_nc
}
