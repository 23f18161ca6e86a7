//! Bands told by what they measure, so that any sensor's bands fit one network.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use surco_data::{BandKind, PatchGrid, SpectralBand};

/// Number of values that describe a band.
const BAND_FEATURES: usize = 24;

/// Periods in m by which the place of a pixel in its patch is told.
const OFFSET_PERIODS_M: [f32; 4] = [40.0, 80.0, 160.0, 320.0];

/// Number of values that describe a band at one pixel of a patch.
pub const VALUE_FEATURES: usize = BAND_FEATURES + 4 * OFFSET_PERIODS_M.len();

/// Width of the hidden layer.
const HIDDEN: usize = 64;

/// A band at a pixel as the network is told of it.
///
/// | place | value |
/// |---|---|
/// | 0–15 | sine and cosine of the logarithm of the wavelength in µm at eight rates |
/// | 16–18 | logarithms of wavelength in µm, of width in 50 nm and of ground sampling in 10 m, a quarter of each |
/// | 19–23 | optical, radar, thermal, other; radar of crossed polarisations |
/// | 24–39 | sine and cosine of the pixel's offset from the middle of its patch, east then south, at four periods |
#[must_use]
pub fn value_features(band: SpectralBand, east_m: f32, south_m: f32) -> [f32; VALUE_FEATURES] {
    let place = (band.centre_nm / 1000.0).ln();
    let mut features = [0.0; VALUE_FEATURES];
    for i in 0..8 {
        let (sin, cos) = (place * 1.5_f32.powi(i) * 2.0).sin_cos();
        features[2 * i as usize] = sin;
        features[2 * i as usize + 1] = cos;
    }
    features[16] = place / 4.0;
    features[17] = (band.width_nm / 50.0).ln() / 4.0;
    features[18] = (band.gsd_m / 10.0).ln() / 4.0;
    match band.kind {
        BandKind::Optical => features[19] = 1.0,
        BandKind::RadarCo => features[20] = 1.0,
        BandKind::RadarCross => features[20..24].copy_from_slice(&[1.0, 0.0, 0.0, 1.0]),
        BandKind::Thermal => features[21] = 1.0,
        BandKind::Other => features[22] = 1.0,
    }
    let offsets = [east_m, south_m].into_iter().flat_map(|m| OFFSET_PERIODS_M.map(|p| m / p));
    for (turn, pair) in offsets.zip(features[BAND_FEATURES..].as_chunks_mut::<2>().0) {
        let (sin, cos) = (turn * std::f32::consts::TAU).sin_cos();
        *pair = [sin, cos];
    }
    features
}

/// A small network from what a band measures to the weights that read or write it.
#[derive(Module, Debug)]
pub(crate) struct BandWeights {
    inner: Linear,
    outer: Linear,
}

/// A tensor in a number format, untouched where it is in it already.
pub(crate) fn in_format<const D: usize>(x: Tensor<D>, format: DType) -> Tensor<D> {
    if x.dtype() == format { x } else { x.cast(format) }
}

/// Number of parameters of [`BandWeights`].
pub(crate) const fn band_weights_params(width_out: usize) -> usize {
    (VALUE_FEATURES + 1) * HIDDEN + (HIDDEN + 1) * width_out
}

impl BandWeights {
    pub(crate) fn new(width_out: usize, device: &Device) -> Self {
        Self {
            inner: LinearConfig::new(VALUE_FEATURES, HIDDEN).init(device),
            outer: LinearConfig::new(HIDDEN, width_out).init(device),
        }
    }

    /// Weights `[band × pixel, width_out]`, band by band, within a band row by row.
    pub(crate) fn of(
        &self,
        bands: &[SpectralBand],
        patch: PatchGrid,
        device: &Device,
    ) -> Tensor<2> {
        let side = patch.side_px;
        let offset = |i: usize| (i as f32 + 0.5 - side as f32 / 2.0) * patch.pixel_m;
        let mut features = Vec::with_capacity(bands.len() * patch.pixels() * VALUE_FEATURES);
        for &band in bands {
            for pixel in 0..patch.pixels() {
                let (south_m, east_m) = (offset(pixel / side), offset(pixel % side));
                features.extend(value_features(band, east_m, south_m));
            }
        }
        let data = TensorData::new(features, [bands.len() * patch.pixels(), VALUE_FEATURES]);
        let features = in_format(Tensor::from_data(data, device), self.inner.weight.dtype());
        let hidden = self.inner.forward(features);
        self.outer.forward(activation::gelu(hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_that_measure_different_things_are_told_apart() {
        let vv = SpectralBand {
            centre_nm: 5.55e7,
            width_nm: 1.0e6,
            gsd_m: 10.0,
            kind: BandKind::RadarCo,
        };
        let vh = SpectralBand { kind: BandKind::RadarCross, ..vv };
        let red = SpectralBand::optical(665.0, 31.0);
        let wide = SpectralBand::optical(665.0, 60.0);
        let coarse = SpectralBand { gsd_m: 30.0, ..red };
        let told = [
            value_features(vv, 0.0, 0.0),
            value_features(vh, 0.0, 0.0),
            value_features(red, 0.0, 0.0),
            value_features(wide, 0.0, 0.0),
            value_features(coarse, 0.0, 0.0),
            value_features(red, 5.0, 0.0),
            value_features(red, 0.0, 5.0),
            value_features(red, -5.0, 0.0),
        ];
        for (i, a) in told.iter().enumerate() {
            assert!(a.iter().all(|v| v.abs() < 4.0), "{a:?}");
            for b in &told[..i] {
                assert!(a != b, "{a:?}");
            }
        }
    }
}
