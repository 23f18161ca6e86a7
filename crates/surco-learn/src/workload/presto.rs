//! Presto's encoder as work.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array3};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_kernels::Policy;
use surco_net::reference::{ReferenceError, Tensors, read_presto, written};
use surco_net::{NO_CLASS, PRESTO_BANDS, PrestoBatch};

/// Series of a batch.
const SERIES: usize = 64;
const MONTHS: usize = 12;
const BANDS: usize = PRESTO_BANDS.len();

/// What a series shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All bands, weather, relief and classes: 110 tokens.
    All,
    /// Sentinel-2 and its NDVI: 73 tokens.
    Optical,
}

impl Shown {
    /// Tokens of a series.
    #[must_use]
    pub fn tokens(self) -> usize {
        match self {
            Self::All => 110,
            Self::Optical => 73,
        }
    }

    fn hides(self, band: usize) -> bool {
        self == Self::Optical && [0, 1, 12, 13, 14, 15].contains(&band)
    }

    /// A year of months of 64 series, as a safetensors file of f32: `x` and `mask` `[n, 12, 17]`, `classes` and `month`
    /// `[n, 12]`, `latlons` `[n, 2]`.
    pub(super) fn batch(self, seed: u64) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (n, t) = (SERIES, MONTHS);
        let mut drawn = |count: usize, low: f32, high: f32| -> Vec<f32> {
            (0..count).map(|_| rng.random_range(low..high)).collect()
        };
        let (x, latlons) = (drawn(n * t * BANDS, 0.0, 1.0), drawn(n * 2, -45.0, 45.0));
        let classes = match self {
            Self::All => drawn(n * t, 0.0, NO_CLASS.into()).into_iter().map(f32::floor).collect(),
            Self::Optical => vec![NO_CLASS.into(); n * t],
        };
        let mask = (0..n * t * BANDS).map(|i| if self.hides(i % BANDS) { 1.0 } else { 0.0 });
        let month = (0..n * t).map(|i| ((i / t + i % t) % 12) as f32);
        let shaped = |name: &str, shape: &[usize], values| (name.into(), (shape.to_vec(), values));
        written(
            &[
                shaped("x", &[n, t, BANDS], x),
                shaped("mask", &[n, t, BANDS], mask.collect()),
                shaped("classes", &[n, t], classes),
                shaped("month", &[n, t], month.collect()),
                shaped("latlons", &[n, 2], latlons),
            ]
            .into(),
        )
    }
}

/// Embeds the batch of one file with the encoder of another.
pub(super) fn prepare(
    weights: &[u8],
    batch: &[u8],
    policy: Policy,
    device: &Device,
) -> Result<Box<dyn FnMut() -> Tensor<2>>, ReferenceError> {
    let presto = read_presto(weights, device)?;
    let batch = read_batch(batch)?;
    let device = device.clone();
    Ok(Box::new(move || {
        let embedding = presto.embed(&batch, policy);
        let shape: [usize; 2] = embedding.dim().into();
        Tensor::from_data(TensorData::new(embedding.into_raw_vec_and_offset().0, shape), &device)
    }))
}

fn read_batch(bytes: &[u8]) -> Result<PrestoBatch, ReferenceError> {
    let file = Tensors::read("batch", bytes)?;
    let [n, t, bands] = file.shape("x")?;
    let cube = |name| file.values(name, &[n, t, bands]);
    let table = |name| file.values(name, &[n, t]);
    let whole = |values: Vec<f32>| values.into_iter().map(|v| v as u8).collect::<Vec<u8>>();
    let shapeless = |e: ndarray::ShapeError| ReferenceError::of("batch", &e);
    let hidden = cube("mask")?.into_iter().map(|m| m > 0.5).collect();
    PrestoBatch::new(
        Array3::from_shape_vec((n, t, bands), cube("x")?).map_err(shapeless)?,
        Array3::from_shape_vec((n, t, bands), hidden).map_err(shapeless)?,
        Array2::from_shape_vec((n, t), whole(table("classes")?)).map_err(shapeless)?,
        Array2::from_shape_vec((n, t), whole(table("month")?)).map_err(shapeless)?,
        Array2::from_shape_vec((n, 2), file.values("latlons", &[n, 2])?).map_err(shapeless)?,
    )
    .map_err(|e| ReferenceError::of("batch", &e))
}
