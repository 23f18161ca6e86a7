//! The U-Net on one date.
//!
//! # Source
//! Garnot and Landrieu 2021 (U-TAE), without its attention over time, which is how `U-BARN` has it: widths 64, 64, 64,
//! 128 down and 32, 32, 64, 128 up, 2 × 2 kernels where images are halved and doubled, batch norms throughout.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::systems::conv::{ConvLayer, Doubling, Statistics};

const DOWN: [usize; 4] = [64, 64, 64, 128];
const UP: [usize; 4] = [32, 32, 64, 128];

/// Channels that are normed: those of all layers.
const NORMED: usize = {
    let down = 2 * DOWN[0] + (64 + 2 * 64) + (64 + 2 * 64) + (64 + 2 * 128);
    let up = (64 + 3 * 64) + (64 + 3 * 32) + (64 + 3 * 32);
    down + up + 64
};

/// Weights of kernels: side² × channels in × channels out, layer by layer.
const KERNELS: usize = {
    let enter = 9 * 10 * 64 + 9 * 64 * 64;
    let down = 2 * (4 * 64 * 64 + 2 * 9 * 64 * 64) + 4 * 64 * 64 + 9 * 64 * 128 + 9 * 128 * 128;
    let coarse = 64 * 64 + 4 * 128 * 64 + 9 * 128 * 64 + 9 * 64 * 64;
    let middle = 64 * 64 + 4 * 64 * 32 + 9 * 96 * 32 + 9 * 32 * 32;
    let fine = 64 * 64 + 4 * 32 * 32 + 9 * 96 * 32 + 9 * 32 * 32;
    enter + down + coarse + middle + fine + 9 * 32 * 64
};

/// Parameters: kernels, and a bias, a scale and a shift a channel.
pub(super) const PARAMS: usize = KERNELS + 3 * NORMED;

/// Running statistics: a mean and a variance a channel.
pub(super) const STATISTICS: usize = 2 * NORMED;

/// Floating-point operations of a forward pass for one pixel. A level is a quarter of the pixels of the one above it,
/// and where an image is doubled a quarter of the kernel reaches a pixel.
pub(super) const FLOPS_PER_PIXEL: u64 = {
    let whole =
        9 * 10 * 64 + 9 * 64 * 64 + 64 * 64 + 32 * 32 + 9 * 96 * 32 + 9 * 32 * 32 + 9 * 32 * 64;
    let quarter = 4 * 64 * 64 + 2 * 9 * 64 * 64 + 64 * 64 + 64 * 32 + 9 * 96 * 32 + 9 * 32 * 32;
    let sixteenth = 4 * 64 * 64 + 2 * 9 * 64 * 64 + 64 * 64 + 128 * 64 + 9 * 128 * 64 + 9 * 64 * 64;
    let last = 4 * 64 * 64 + 9 * 64 * 128 + 9 * 128 * 128;
    2 * (whole + quarter / 4 + sixteenth / 16 + last / 64)
};

/// Halves an image and widens it.
#[derive(Module, Debug)]
struct Down {
    halve: ConvLayer,
    first: ConvLayer,
    second: ConvLayer,
}

impl Down {
    fn new(from: usize, to: usize, device: &Device) -> Self {
        Self {
            halve: ConvLayer::halve(from, device),
            first: ConvLayer::three(from, to, device),
            second: ConvLayer::three(to, to, device),
        }
    }

    fn forward(&self, x_mdyx: Tensor<4>, statistics: &mut Statistics) -> Tensor<4> {
        let half = self.halve.forward(x_mdyx, statistics);
        let x_mdyx = self.first.forward(half, statistics);
        x_mdyx.clone() + self.second.forward(x_mdyx, statistics)
    }
}

/// Doubles an image and takes in what was there at that size on the way down.
#[derive(Module, Debug)]
struct Up {
    beside: ConvLayer,
    double: Doubling,
    first: ConvLayer,
    second: ConvLayer,
}

impl Up {
    fn new(from: usize, to: usize, beside: usize, device: &Device) -> Self {
        Self {
            beside: ConvLayer::one(beside, beside, device),
            double: Doubling::new(from, to, device),
            first: ConvLayer::three(to + beside, to, device),
            second: ConvLayer::three(to, to, device),
        }
    }

    fn forward(
        &self,
        x_mdyx: Tensor<4>,
        beside: Tensor<4>,
        statistics: &mut Statistics,
    ) -> Tensor<4> {
        let doubled = self.double.forward(x_mdyx, statistics);
        let beside = self.beside.forward(beside, statistics);
        let x_mdyx = self.first.forward(Tensor::cat(vec![doubled, beside], 1), statistics);
        x_mdyx.clone() + self.second.forward(x_mdyx, statistics)
    }
}

/// The U-Net: `[m, bands, y, x]` to `[m, width, y, x]`.
#[derive(Module, Debug)]
pub(super) struct UNet {
    enter: [ConvLayer; 2],
    down: Vec<Down>,
    up: Vec<Up>,
    leave: ConvLayer,
}

impl UNet {
    pub(super) fn new(bands: usize, width: usize, device: &Device) -> Self {
        let levels = DOWN.len() - 1;
        Self {
            enter: [
                ConvLayer::three(bands, DOWN[0], device),
                ConvLayer::three(DOWN[0], DOWN[0], device),
            ],
            down: (0..levels).map(|i| Down::new(DOWN[i], DOWN[i + 1], device)).collect(),
            up: (0..levels).rev().map(|i| Up::new(UP[i + 1], UP[i], DOWN[i], device)).collect(),
            leave: ConvLayer::three(UP[0], width, device),
        }
    }

    pub(super) fn forward(&self, x_mbyx: Tensor<4>, statistics: &mut Statistics) -> Tensor<4> {
        let [first, second] = &self.enter;
        let first = first.forward(x_mbyx, statistics);
        let mut on_the_way = vec![second.forward(first, statistics)];
        for down in &self.down {
            let last = on_the_way[on_the_way.len() - 1].clone();
            on_the_way.push(down.forward(last, statistics));
        }
        let mut x_mdyx = on_the_way.pop().expect("the entry is one level");
        for up in &self.up {
            let beside = on_the_way.pop().expect("as many levels up as down");
            x_mdyx = up.forward(x_mdyx, beside, statistics);
        }
        self.leave.forward(x_mdyx, statistics)
    }
}
