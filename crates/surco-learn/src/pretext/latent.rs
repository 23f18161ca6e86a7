//! The latent pretext: which of the micro-batch's hidden tokens is this one?
//!
//! Tokens are hidden as in the masked pretext. Instead of their values, a fixed random code of them is asked for, and the
//! answer must be nearer to its own token's code than to any other's. What cannot be known, such as the noise of a value,
//! costs little as long as tokens are told apart.
//!
//! # Source
//! Latent MIM Lite of OlmoEarth (arXiv 2511.13655): targets from a frozen random projection, patch
//! discrimination; the latter from Wei et al. 2024 and Tseng et al. 2025 (Galileo). InfoNCE: van den Oord et al. 2018. The
//! projection here is made for any bands from what they measure, and followed by a tanh.
//!
//! Input: a masked batch and the same before. Output: mean cross-entropy over hidden tokens.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_data::{Batch, PatchGrid, SpectralBand};
use surco_net::{EncoderInput, VALUE_FEATURES, value_features};

use super::{Learner, Masked};

/// Width of a target.
pub(crate) const TARGET_WIDTH: usize = 64;

/// What similarities are divided by.
const TEMPERATURE: f64 = 0.1;

/// The frozen projection that targets come from.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    /// `[VALUE_FEATURES, TARGET_WIDTH]`, of mean 0 and deviation 1.
    weights: Array2<f32>,
}

impl Targets {
    /// The same for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5441_5247);
        let side = 3.0_f32.sqrt();
        let shape = (VALUE_FEATURES, TARGET_WIDTH);
        Self { weights: Array2::from_shape_simple_fn(shape, || rng.random_range(-side..side)) }
    }

    /// Codes of length 1 of some tokens, `[m, TARGET_WIDTH]`.
    fn of(&self, batch: &Batch, rows: &[usize]) -> Array2<f32> {
        let project = described(&batch.bands, batch.patch).dot(&self.weights);
        let mut codes = Array2::zeros((rows.len(), TARGET_WIDTH));
        for (mut code, &row) in codes.rows_mut().into_iter().zip(rows) {
            let seen = batch.weights_nc.row(row).sum().max(f32::MIN_POSITIVE).sqrt();
            // Features of a band have a root mean square below 1, and there are many of them.
            let scale = 1.0 / (seen * (VALUE_FEATURES as f32).sqrt() / 2.0);
            code.assign(&(batch.values_nc.row(row).dot(&project) * scale).mapv(f32::tanh));
            let length = code.dot(&code).sqrt().max(1e-6);
            code /= length;
        }
        codes
    }
}

/// What tells each value of a patch, `[c, VALUE_FEATURES]`.
fn described(bands: &[SpectralBand], patch: PatchGrid) -> Array2<f32> {
    let side = patch.side_px;
    let offset = |i: usize| (i as f32 + 0.5 - side as f32 / 2.0) * patch.pixel_m;
    let pixels = patch.pixels();
    let features = bands.iter().flat_map(|&band| {
        (0..pixels).flat_map(move |p| value_features(band, offset(p % side), offset(p / side)))
    });
    Array2::from_shape_vec((bands.len() * pixels, VALUE_FEATURES), features.collect())
        .expect("each value has its features")
}

/// Hidden tokens and their codes.
#[derive(Clone, Debug)]
pub(crate) struct Latent {
    /// What the encoder sees.
    pub(crate) batch: Batch,
    /// Rows that are hidden wholly.
    pub(crate) rows: Vec<usize>,
    target_md: Array2<f32>,
}

impl Latent {
    pub(crate) fn new(masked: Masked, before: &Batch, targets: &Targets) -> Self {
        let is_hidden = |row: &usize| {
            masked.weight_nc.row(*row).iter().any(|&w| w > 0.0)
                && masked.batch.weights_nc.row(*row).iter().all(|&w| w == 0.0)
        };
        let rows: Vec<usize> = (0..before.tokens()).filter(is_hidden).collect();
        let target_md = targets.of(before, &rows);
        Self { batch: masked.batch, rows, target_md }
    }

    pub(crate) fn loss(&self, learner: &Learner, device: &Device) -> Tensor<1> {
        let predictor = learner.predictor.as_ref().expect("the latent pretext has its head");
        let rows: Vec<i64> = self.rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [self.rows.len()]), device);
        let tokens = learner.encoder.tokens(&EncoderInput::new(&self.batch, device));
        let said_md = predictor.forward(tokens.select(0, rows));
        let (m, d) = self.target_md.dim();
        let target = TensorData::new(self.target_md.iter().copied().collect::<Vec<_>>(), [m, d]);
        info_nce(said_md, Tensor::from_data(target, device))
    }
}

/// The mean cross-entropy of finding each row's own target among all, by the cosine over the temperature. Targets
/// have length 1.
fn info_nce(said_md: Tensor<2>, target_md: Tensor<2>) -> Tensor<1> {
    let m = said_md.dims()[0];
    let length = (said_md.clone().square().sum_dim(1) + 1e-12).sqrt();
    let logits = (said_md / length).matmul(target_md.transpose()) / TEMPERATURE;
    let own = TensorData::new((0..m as i64).collect::<Vec<_>>(), [m, 1]);
    let own = Tensor::<2, Int>::from_data(own, &logits.device());
    activation::log_softmax(logits, 1).gather(1, own).mean().neg()
}

#[cfg(test)]
mod tests;
