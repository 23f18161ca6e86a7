//! Bands told by wavelength, so that any sensor's bands fit one network.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};
use surco_data::SpectralBand;

/// Number of values that describe a band.
pub const WAVELENGTH_FEATURES: usize = 18;

/// A band as the network is told of it: sine and cosine of the logarithm of its wavelength at eight
/// rates, the logarithm itself and the logarithm of its width.
#[must_use]
pub fn wavelength_features(band: SpectralBand) -> [f32; WAVELENGTH_FEATURES] {
    let place = (band.centre_nm / 1000.0).ln();
    let mut features = [0.0; WAVELENGTH_FEATURES];
    for i in 0..8 {
        let (sin, cos) = (place * 1.5_f32.powi(i) * 2.0).sin_cos();
        features[2 * i as usize] = sin;
        features[2 * i as usize + 1] = cos;
    }
    features[16] = place;
    features[17] = (band.width_nm / 50.0).ln();
    features
}

/// A small network from a band's wavelength to the weights that read or write that band.
#[derive(Module, Debug)]
pub(crate) struct BandWeights {
    inner: Linear,
    outer: Linear,
}

impl BandWeights {
    pub(crate) fn new(width_out: usize, device: &Device) -> Self {
        Self {
            inner: LinearConfig::new(WAVELENGTH_FEATURES, 64).init(device),
            outer: LinearConfig::new(64, width_out).init(device),
        }
    }

    /// Weights `[band, width_out]` for these bands.
    pub(crate) fn of(&self, bands: &[SpectralBand], device: &Device) -> Tensor<2> {
        let features: Vec<f32> = bands.iter().flat_map(|&b| wavelength_features(b)).collect();
        let data = TensorData::new(features, [bands.len(), WAVELENGTH_FEATURES]);
        let hidden = self.inner.forward(Tensor::<2>::from_data(data, device));
        self.outer.forward(activation::gelu(hidden))
    }
}
