//! The latent pretext: which of the micro-batch's hidden tokens is this one?
//!
//! Tokens are hidden as in the masked pretext. Instead of their values, a code of them is asked for, and the
//! answer must be nearer to its own token's code than to any other's. What cannot be known, such as the noise of a value,
//! costs little as long as tokens are told apart. Codes are a fixed random projection of values, or what the moving average of the
//! encoder makes of tokens that nothing hides from it.
//!
//! # Source
//! Latent MIM Lite of OlmoEarth (arXiv 2511.13655): targets from a frozen random projection, patch
//! discrimination; the latter from Wei et al. 2024 and Tseng et al. 2025 (Galileo). InfoNCE: van den Oord et al. 2018. The
//! projection here is made for any bands from what they measure, and followed by a tanh.
//!
//! Targets from an average of the learner itself: Grill et al. 2020 (BYOL); of tokens that are hidden from the learner alone: Baevski
//! et al. 2022 (data2vec) and Assran et al. 2023 (I-JEPA), whose layer-normalised last layer is taken here. Theirs is a
//! regression; here targets are told apart as above, which an answer that is the same for all tokens cannot do.
//!
//! Input: a masked batch and the same before. Output: mean cross-entropy over hidden tokens.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_data::{Batch, PatchGrid, SpectralBand};
use surco_net::{Encoder, EncoderInput, VALUE_FEATURES, table, value_features};

use super::{Learner, Masked};

/// Width of a random code.
const CODE_WIDTH: usize = 64;

/// What similarities are divided by.
const TEMPERATURE: f64 = 0.1;

/// What codes of hidden tokens are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatentTargets {
    /// Their values, by a frozen random projection.
    #[default]
    Random,
    /// What the moving average of the encoder makes of them where nothing is hidden from it.
    Averaged,
}

impl LatentTargets {
    /// Width of a code.
    pub(crate) fn width(self, encoder: usize) -> usize {
        match self {
            Self::Random => CODE_WIDTH,
            Self::Averaged => encoder,
        }
    }
}

/// Where codes come from.
#[derive(Clone, Debug)]
pub(crate) enum Targets {
    Random(Projection),
    Averaged,
}

impl Targets {
    /// The same for the same seed.
    pub(crate) fn new(of: LatentTargets, seed: u64) -> Self {
        match of {
            LatentTargets::Random => Self::Random(Projection::new(seed)),
            LatentTargets::Averaged => Self::Averaged,
        }
    }
}

/// The frozen projection that random codes come from.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    /// `[VALUE_FEATURES, CODE_WIDTH]`, of mean 0 and deviation 1.
    weights: Array2<f32>,
}

impl Projection {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5441_5247);
        let side = 3.0_f32.sqrt();
        let shape = (VALUE_FEATURES, CODE_WIDTH);
        Self { weights: Array2::from_shape_simple_fn(shape, || rng.random_range(-side..side)) }
    }

    /// Codes of length 1 of some tokens, `[m, CODE_WIDTH]`.
    fn of(&self, batch: &Batch, rows: &[usize]) -> Array2<f32> {
        let project = described(&batch.bands, batch.patch).dot(&self.weights);
        let mut codes = Array2::zeros((rows.len(), CODE_WIDTH));
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
    wanted: Wanted,
}

/// What is asked for of hidden tokens.
#[derive(Clone, Debug)]
enum Wanted {
    /// Their codes, of length 1, `[m, d]`.
    Codes(Array2<f32>),
    /// What the average of the encoder will make of them, of this batch, of which nothing is hidden.
    OfAverage(Box<Batch>),
}

impl Latent {
    pub(crate) fn new(masked: Masked, before: &Batch, targets: &Targets) -> Self {
        let is_hidden = |row: &usize| {
            masked.weight_nc.row(*row).iter().any(|&w| w > 0.0)
                && masked.batch.weights_nc.row(*row).iter().all(|&w| w == 0.0)
        };
        let rows: Vec<usize> = (0..before.tokens()).filter(is_hidden).collect();
        let wanted = match targets {
            Targets::Random(projection) => Wanted::Codes(projection.of(before, &rows)),
            Targets::Averaged => Wanted::OfAverage(Box::new(before.clone())),
        };
        Self { batch: masked.batch, rows, wanted }
    }

    /// The same with the codes that an average of the encoder gives, where they come from it.
    pub(crate) fn aimed(self, average: &Encoder, device: &Device) -> Self {
        let wanted = match self.wanted {
            Wanted::OfAverage(before) => {
                let tokens = average.tokens(&EncoderInput::new(&before, device));
                Wanted::Codes(normalised(numbers(tokens.select(0, chosen(&self.rows, device)))))
            }
            Wanted::Codes(codes) => Wanted::Codes(codes),
        };
        Self { wanted, ..self }
    }

    /// Codes of the hidden tokens, `[m, d]`.
    fn codes(&self) -> &Array2<f32> {
        match &self.wanted {
            Wanted::Codes(codes) => codes,
            Wanted::OfAverage(_) => panic!("the average was not asked before the loss"),
        }
    }

    pub(crate) fn loss(&self, learner: &Learner, device: &Device) -> Tensor<1> {
        let predictor = learner.predictor.as_ref().expect("the latent pretext has its head");
        let tokens = learner.encoder.tokens(&EncoderInput::new(&self.batch, device));
        let said_md = predictor.forward(tokens.select(0, chosen(&self.rows, device)));
        info_nce(said_md, table(self.codes(), device))
    }
}

/// Rows as a tensor of their numbers.
fn chosen(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    Tensor::from_data(TensorData::new(numbers, [rows.len()]), device)
}

fn numbers(x_md: Tensor<2>) -> Array2<f32> {
    let [m, d] = x_md.dims();
    Array2::from_shape_vec((m, d), x_md.into_data().iter::<f32>().collect())
        .expect("a tensor has as many numbers as its shape says")
}

/// Each row without its mean and of length 1: a layer norm without weights, over the root of the width.
fn normalised(mut x_md: Array2<f32>) -> Array2<f32> {
    for mut row in x_md.rows_mut() {
        let mean = row.mean().unwrap_or(0.0);
        row -= mean;
        let length = row.dot(&row).sqrt().max(1e-6);
        row /= length;
    }
    x_md
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
