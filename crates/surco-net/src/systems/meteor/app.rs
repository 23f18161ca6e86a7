//! What METEOR's demonstration of 2022 ran: seven convolutions, each halved, and four scores.
//!
//! | | |
//! |---|---|
//! | source | `app/model.py` of MarcCoru/meteor, `ConvolutionalNeuralNetwork`, MIT; weights `app/model/model.pth` of commit fe667aa |
//! | input | images `[m, 15, y, x]` of at least 128 × 128 pixels, scaled as [`METEOR_APP_BANDS`] says |
//! | output | four scores an image, `[m, 4]` |
//! | size | 231,428 parameters |
//!
//! Its norms are over the images at hand, whatever they are: the makers keep no running statistics. So an answer depends
//! on the images it is asked with.

use std::path::Path;

use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, activation, module};
use surco_kernels::{Projection, linear};

use crate::folder::read_file;
use crate::peer::BandScale;
use crate::source::{Reader, TensorSource};
use crate::systems::SystemError;
use crate::torch_file::TorchFile;
use crate::weights::WeightsError;

const WIDTH: usize = 64;
const LAYERS: usize = 7;
const CLASSES: usize = 4;
const NORM_EPSILON: f64 = 1e-5;

/// Fewest pixels of a side: it is halved seven times.
const SIDE_PX: usize = 1 << LAYERS;

/// Inputs in order, and how each is brought to about one: `(value + add) / divide`, radar in dB, reflectance in digital
/// numbers of 10⁻⁴.
pub const METEOR_APP_BANDS: [BandScale; 15] = {
    let mut bands = [BandScale { name: "", add: 0.0, divide: 1e4 }; 15];
    let mut i = 0;
    while i < bands.len() {
        bands[i].name = super::METEOR_BANDS[i];
        if i < 2 {
            bands[i].divide = 1e2;
        }
        i += 1;
    }
    bands
};

/// One convolution and its norm over the images at hand.
#[derive(Clone, Debug)]
struct Layer {
    weight: Tensor<4>,
    bias: Tensor<1>,
    scale: Tensor<1>,
    shift: Tensor<1>,
}

/// The network of the demonstration.
#[derive(Clone, Debug)]
pub struct MeteorApp {
    layers: Vec<Layer>,
    classify: Projection,
}

impl MeteorApp {
    /// Reads the weights that its makers publish, a PyTorch file, of which nothing is run.
    ///
    /// # Errors
    /// [`WeightsError`] naming the file and what is wrong with it.
    pub fn read_torch(file: &Path, device: &Device) -> Result<Self, WeightsError> {
        let torch = TorchFile::parse(read_file(file)?)
            .map_err(|source| WeightsError::Torch { path: file.into(), source })?;
        Self::read(&torch, device)
            .map_err(|reason| WeightsError::Weights { path: file.into(), reason })
    }

    fn read(source: &dyn TensorSource, device: &Device) -> Result<Self, String> {
        let mut reader = Reader::new(source, device);
        let layers = (0..LAYERS).map(|i| {
            let from = if i == 0 { METEOR_APP_BANDS.len() } else { WIDTH };
            let name = |part: &str| format!("features.{i}.{part}");
            let shape = [WIDTH, from, 3, 3];
            let weight = reader.values(&name("0.weight"), &shape)?;
            let mut vector = |part: &str| -> Result<Tensor<1>, String> {
                let values = reader.values(&name(part), &[WIDTH])?;
                Ok(reader.place(values, [WIDTH]))
            };
            let (bias, scale, shift) = (vector("0.bias")?, vector("1.weight")?, vector("1.bias")?);
            Ok(Layer { weight: reader.place(weight, shape), bias, scale, shift })
        });
        let layers = layers.collect::<Result<Vec<Layer>, String>>()?;
        let classify = reader.linear(&["classifier".into()], WIDTH, CLASSES)?;
        reader.finish("")?;
        Ok(Self { layers, classify })
    }

    /// Four scores an image, `[m, 4]`, of images seen together.
    ///
    /// # Errors
    /// [`SystemError`]: the images have other bands than fifteen, or too few pixels.
    pub fn forward(&self, images_mbyx: Tensor<4>) -> Result<Tensor<2>, SystemError> {
        let system = "meteor-app";
        let [_, bands, rows, columns] = images_mbyx.dims();
        if bands != METEOR_APP_BANDS.len() {
            let missing = format!("{} bands", METEOR_APP_BANDS.len());
            return Err(SystemError::Bands { system, missing, found: format!("{bands}") });
        }
        if rows < SIDE_PX || columns < SIDE_PX {
            let needed = format!("images of at least {SIDE_PX} × {SIDE_PX}");
            return Err(SystemError::Neighbours { system, series: 0, rows, columns, needed });
        }
        let x_mdyx = self.layers.iter().fold(images_mbyx, |x_mdyx, layer| {
            let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
            let bias = Some(layer.bias.clone());
            let y_mdyx = module::conv2d(x_mdyx, layer.weight.clone(), bias, options);
            let (scale, shift) = (layer.scale.clone(), layer.shift.clone());
            let normed = module::batch_norm_train(y_mdyx, scale, shift, NORM_EPSILON).output;
            module::max_pool2d(activation::relu(normed), MaxPoolOptions::new([2; 2]))
        });
        let [m, d, rows, columns] = x_mdyx.dims();
        let x_md = x_mdyx.reshape([m, d, rows * columns]).mean_dim(2).reshape([m, d]);
        Ok(linear(x_md, self.classify.clone()))
    }
}
