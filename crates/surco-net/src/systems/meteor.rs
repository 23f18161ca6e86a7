//! METEOR: a `ResNet` of twelve convolutions that is adapted to a task by a few steps, one class against the others.
//!
//! | | |
//! |---|---|
//! | source | Rußwurm, Wang, Kellenberger, Roscher and Tuia 2024, *Meta-learning to address diverse Earth observation problems across resolutions* (Commun. Earth Environ. 5:37); `meteor/models/resnet.py` of MarcCoru/meteor, MIT, after HJ-Yoo/BOIL |
//! | input | images `[m, b, y, x]` of any of its 15 bands: radar in dB / 100, reflectance |
//! | output | a score an image, `[m, 1]` |
//! | size | 8,004,993 parameters at 15 bands |
//! | config | [`MeteorConfig`] |
//!
//! Four blocks of three convolutions, 64, 128, 256 and 512 wide, each beside a convolution of one pixel; leaky `ReLU`;
//! images are halved after the first three. Norms are by image (a group norm with as many groups as channels) or by
//! task. Fewer bands are fewer rows of the first kernels. [`MeteorApp`] is what its demonstration of 2022 ran:
//! another, smaller network, whose weights are the only ones published in its repository.
//!
//! Dropout and `DropBlock` are off in the published configuration and left out; so is the head for segmentation.
//!
//! Axes in names: `m` images, `b` bands, `d` width. Inside, images lie pixel by pixel, `[m, y, x, d]`.

mod app;
mod bands;
mod norm;

pub use app::{METEOR_APP_BANDS, MeteorApp};
pub use norm::TaskMoments;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use surco_kernels::{Projection, convolve, halve, linear};

use crate::Card;
use crate::systems::{SystemConfig, SystemError, SystemModel};

use norm::{After, ImageNorm, Pass};

const KIND: &str = "meteor";
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
const LEAK: f64 = 0.01;

/// Its bands in order, as its code names them.
pub const METEOR_BANDS: [&str; 15] = [
    "S1VV", "S1VH", "S2B1", "S2B2", "S2B3", "S2B4", "S2B5", "S2B6", "S2B7", "S2B8", "S2B8A",
    "S2B9", "S2B10", "S2B11", "S2B12",
];

/// What the norms of METEOR are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeteorNorm {
    /// Each channel of each image (Ulyanov et al. 2016), as published.
    Instance,
    /// That, blended with the channel over the examples of the task by a share that is learned (Bronskill et al. 2020,
    /// TaskNorm-I).
    Task,
}

/// What builds a METEOR again but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeteorConfig {
    /// Version of this file.
    pub schema: u32,
    /// Its bands, of [`METEOR_BANDS`], in their order.
    pub bands: Vec<String>,
    /// What its norms are over.
    pub norm: MeteorNorm,
    /// How it came to be.
    pub card: Card,
}

impl MeteorConfig {
    /// Multiplications and additions of one image of so many pixels a side, forward.
    #[must_use]
    pub fn flops_per_image(&self, side_px: usize) -> u64 {
        // Halved three times, the third time with a rim.
        let quarter = side_px / 4;
        let sides = [side_px, side_px / 2, quarter, quarter / 2 + 1];
        let first = std::iter::once(self.bands.len());
        let blocks = first.chain(WIDTHS).zip(WIDTHS).zip(sides);
        let flops = |((from, to), side): ((usize, usize), usize)| {
            2 * side * side * (10 * from * to + 18 * to * to)
        };
        (blocks.map(flops).sum::<usize>() + 2 * WIDTHS[3]) as u64
    }

    /// All fifteen bands.
    #[must_use]
    pub fn new(norm: MeteorNorm) -> Self {
        let bands = METEOR_BANDS.map(String::from).to_vec();
        Self { schema: crate::folder::SCHEMA, bands, norm, card: Card::default() }
    }
}

impl SystemConfig for MeteorConfig {
    type Net = Meteor;

    const KIND: &'static str = KIND;

    fn check(&self) -> Result<(), String> {
        match self.bands.iter().find(|band| !METEOR_BANDS.contains(&band.as_str())) {
            Some(band) => Err(format!("it has no band `{band}`")),
            None if self.bands.is_empty() => Err("it has no band".into()),
            None => Ok(()),
        }
    }

    fn params(&self) -> u64 {
        let shares = match self.norm {
            MeteorNorm::Instance => 0,
            MeteorNorm::Task => 2,
        };
        let block = |from: usize, to: usize| 10 * from * to + 18 * to * to + 4 * (2 * to + shares);
        let first = std::iter::once(self.bands.len());
        let blocks: usize = first.chain(WIDTHS).zip(WIDTHS).map(|(from, to)| block(from, to)).sum();
        (blocks + WIDTHS[3] + 1) as u64
    }

    fn build(&self, device: &Device) -> Meteor {
        let first = std::iter::once(self.bands.len());
        let widths = first.chain(WIDTHS).zip(WIDTHS);
        // As the code has it: the third halving has a rim of a pixel, and the fourth block none.
        let rims = [Some(0), Some(0), Some(1), None];
        let blocks = widths
            .zip(rims)
            .map(|((from, to), rim)| Block::new(from, to, rim, self.norm, device))
            .collect();
        Meteor { blocks, score: glorot([WIDTHS[3], 1], WIDTHS[3] + 1, device), bias: zeros(device) }
    }

    fn card(&self) -> &Card {
        &self.card
    }

    fn with_card(self, card: Card) -> Self {
        Self { card, ..self }
    }

    fn rows(&self) -> [(&'static str, String); 4] {
        [
            ("what", format!("METEOR's ResNet-12, {} parameters", self.params())),
            ("input", format!("images of {}", self.bands.join(", "))),
            ("output", "a score an image, to be adapted to a class".into()),
            (
                "made after",
                "Rußwurm et al. 2024, Commun. Earth Environ. 5:37, github.com/MarcCoru/meteor"
                    .into(),
            ),
        ]
    }
}

fn zeros(device: &Device) -> Param<Tensor<1>> {
    Initializer::Zeros.init([1], device)
}

/// Uniform, by the inputs and outputs together (Glorot and Bengio 2010), as PyTorch's `xavier_uniform_`.
fn glorot<const D: usize>(shape: [usize; D], fans: usize, device: &Device) -> Param<Tensor<D>> {
    let most = (6.0 / fans as f64).sqrt();
    Initializer::Uniform { min: -most, max: most }.init(shape, device)
}

/// A kernel without bias, and the norm of what it gives.
#[derive(Module, Debug)]
struct Normed {
    weight: Param<Tensor<4>>,
    norm: ImageNorm,
}

impl Normed {
    fn new([from, to]: [usize; 2], side: usize, norm: MeteorNorm, device: &Device) -> Self {
        let fans = (from + to) * side * side;
        Self {
            weight: glorot([to, from, side, side], fans, device),
            norm: ImageNorm::new(to, norm, device),
        }
    }

    /// Without a leak or anything added.
    fn straight(&self, x_myxd: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        self.norm.forward(
            convolve(x_myxd, self.weight.val()),
            pass,
            After { beside: None, leak: 1.0 },
        )
    }

    /// Leaky, onto what is beside it, if anything.
    fn leaky(
        &self,
        x_myxd: Tensor<4>,
        pass: &mut Pass<'_>,
        beside: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let after = After { beside, leak: LEAK };
        self.norm.forward(convolve(x_myxd, self.weight.val()), pass, after)
    }

    /// The rows of some of its bands.
    fn sliced(self, rows: &[usize]) -> Self {
        let weight = self.weight.map(|weight| {
            let rows: Vec<Tensor<4>> =
                rows.iter().map(|&row| weight.clone().narrow(1, row, 1)).collect();
            Tensor::cat(rows, 1)
        });
        Self { weight, ..self }
    }
}

/// Three convolutions beside one of a pixel.
#[derive(Module, Debug)]
struct Block {
    convolutions: [Normed; 3],
    beside: Normed,
    /// The rim of the halving; none is halved without.
    #[module(skip)]
    rim: Option<usize>,
}

impl Block {
    fn new(from: usize, to: usize, rim: Option<usize>, norm: MeteorNorm, device: &Device) -> Self {
        Self {
            convolutions: [
                Normed::new([from, to], 3, norm, device),
                Normed::new([to, to], 3, norm, device),
                Normed::new([to, to], 3, norm, device),
            ],
            beside: Normed::new([from, to], 1, norm, device),
            rim,
        }
    }

    fn forward(&self, x_myxd: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let [first, second, third] = &self.convolutions;
        let y_myxd = first.leaky(x_myxd.clone(), pass, None);
        let y_myxd = second.leaky(y_myxd, pass, None);
        let beside = self.beside.straight(x_myxd, pass);
        let y_myxd = third.leaky(y_myxd, pass, Some(beside));
        match self.rim {
            Some(rim) => halve(y_myxd, rim),
            None => y_myxd,
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Meteor {
    blocks: Vec<Block>,
    score: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Meteor {
    /// A score an image, `[m, 1]`; where norms are by task, the images are the examples of the task.
    #[must_use]
    pub fn forward(&self, images_mbyx: Tensor<4>) -> Tensor<2> {
        self.examples(images_mbyx).0
    }

    /// A score of each example of a task, and what norms by task keep of them.
    #[must_use]
    pub fn examples(&self, images_mbyx: Tensor<4>) -> (Tensor<2>, TaskMoments) {
        let mut moments = TaskMoments::of(images_mbyx.dims()[0]);
        let scores = self.scores(images_mbyx, &mut Pass::Examples(&mut moments));
        (scores, moments)
    }

    /// What norms by task keep of the examples of a task. Norms by image keep nothing, and nothing is computed.
    #[must_use]
    pub fn moments(&self, images_mbyx: Tensor<4>) -> TaskMoments {
        if self.blocks.iter().any(|block| block.beside.norm.is_by_task()) {
            self.examples(images_mbyx).1
        } else {
            TaskMoments::of(images_mbyx.dims()[0])
        }
    }

    /// A score an image of a task whose examples were seen.
    #[must_use]
    pub fn forward_in(&self, images_mbyx: Tensor<4>, task: &TaskMoments) -> Tensor<2> {
        self.scores(images_mbyx, &mut Pass::Task { moments: task, next: 0 })
    }

    fn scores(&self, images_mbyx: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<2> {
        let through = |x_myxd, block: &Block| block.forward(x_myxd, pass);
        let x_myxd = self.blocks.iter().fold(images_mbyx.permute([0, 2, 3, 1]), through);
        let [m, rows, columns, d] = x_myxd.dims();
        let x_md = x_myxd.reshape([m, rows * columns, d]).mean_dim(1).reshape([m, d]);
        linear(x_md, Projection { weight: self.score.val(), bias: Some(self.bias.val()) })
    }
}

impl SystemModel<MeteorConfig> {
    /// The same for fewer bands: the rows of the first kernels that belong to them.
    ///
    /// # Errors
    /// [`SystemError::Bands`] naming a band that it does not have.
    pub fn with_bands(self, wanted: &[&str]) -> Result<Self, SystemError> {
        let Self { mut net, mut config } = self;
        let rows: Vec<usize> = wanted
            .iter()
            .map(|&band| {
                config.bands.iter().position(|own| own == band).ok_or_else(|| SystemError::Bands {
                    system: KIND,
                    missing: format!("weights for the band {band}"),
                    found: config.bands.join(", "),
                })
            })
            .collect::<Result<_, _>>()?;
        let first = net.blocks.remove(0);
        let [convolution, second, third] = first.convolutions;
        let convolutions = [convolution.sliced(&rows), second, third];
        net.blocks.insert(0, Block { convolutions, beside: first.beside.sliced(&rows), ..first });
        config.bands = wanted.iter().map(|band| (*band).into()).collect();
        Ok(Self { net, config })
    }
}

#[cfg(test)]
mod tests;
