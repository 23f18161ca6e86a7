//! Norms and halvings of images that lie pixel by pixel, `[m, y, x, c]`.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::norm::two;
use super::vector::{add_rows, update};
use super::{Buffer, run};

/// A norm of each channel of each image; what is added behind it, and a leaky `ReLU` over both.
#[derive(Clone, Copy)]
pub(crate) struct ImageNorm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) epsilon: f32,
    /// Slope below zero.
    pub(crate) leak: f32,
    /// Pixels of an image.
    pub(crate) pixels: usize,
}

/// What backward gets besides the input.
#[derive(Clone, Copy)]
pub(crate) struct Normed<'a> {
    /// Mean and 1 / deviation of each channel, `[m, 2, c]`.
    pub(crate) moments: &'a [f32],
    pub(crate) y: &'a [f32],
    pub(crate) dy: &'a [f32],
}

/// Gradients of [`ImageNorm`].
pub(crate) struct ImageGrads {
    pub(crate) dx: Buffer,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) beside: Buffer,
}

impl ImageNorm<'_> {
    fn image(&self) -> usize {
        (self.pixels * self.weight.len()).max(1)
    }

    /// Normalised images, and their moments, `[m, 2, c]`.
    pub(crate) fn forward(&self, x: &[f32], beside: Option<&[f32]>) -> (Buffer, Buffer) {
        let (image, width) = (self.image(), self.weight.len());
        let mut y = Buffer::fresh(x.len());
        let mut moments = Buffer::fresh(x.len() / image * 2 * width);
        let outs = y.par_chunks_exact_mut(image).zip(moments.par_chunks_exact_mut(2 * width));
        x.par_chunks_exact(image).zip(outs).enumerate().for_each(|(i, (x, (y, moments)))| {
            let beside = beside.map(|beside| &beside[i * image..][..image]);
            run(Forward { norm: *self, x, beside, y, moments });
        });
        (y, moments)
    }

    /// Gradients of the input, of the scale and the shift, and of what was added where `has_beside`.
    pub(crate) fn backward(&self, x: &[f32], normed: Normed<'_>, has_beside: bool) -> ImageGrads {
        let (image, width) = (self.image(), self.weight.len());
        let images = x.len() / image;
        let mut dx = Buffer::fresh(x.len());
        let mut beside = Buffer::fresh(if has_beside { x.len() } else { 0 });
        let mut sums = vec![0.0; images * 2 * width];
        let mut besides: Vec<Option<&mut [f32]>> =
            beside.chunks_exact_mut(image).map(Some).collect();
        besides.resize_with(images, || None);
        let outs = dx.par_chunks_exact_mut(image).zip(besides);
        let outs = outs.zip(sums.par_chunks_exact_mut(2 * width));
        outs.enumerate().for_each(|(i, ((dx, beside), sums))| {
            let of = i * image..(i + 1) * image;
            let normed = Normed {
                moments: &normed.moments[i * 2 * width..][..2 * width],
                y: &normed.y[of.clone()],
                dy: &normed.dy[of.clone()],
            };
            run(Backward { norm: *self, x: &x[of], normed, dx, beside, sums });
        });
        let mut total = vec![0.0; 2 * width];
        for part in sums.chunks_exact(2 * width) {
            total.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        let weight = total.split_off(width);
        ImageGrads { dx, weight, bias: total, beside }
    }
}

/// One image.
struct Forward<'a> {
    norm: ImageNorm<'a>,
    x: &'a [f32],
    beside: Option<&'a [f32]>,
    y: &'a mut [f32],
    moments: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm: ImageNorm { weight, bias, epsilon, leak, pixels }, .. } = self;
        let (x, width) = (self.x, weight.len());
        let (mean, spread) = self.moments.split_at_mut(width);
        mean.fill(0.0);
        spread.fill(0.0);
        add_rows(simd, mean, x);
        mean.iter_mut().for_each(|mean| *mean /= pixels as f32);
        for row in x.chunks_exact(width) {
            two(
                simd,
                spread,
                row,
                mean,
                #[inline(always)]
                |sum, x, mean| {
                    let apart = simd.sub_f32s(x, mean);
                    simd.mul_add_e_f32s(apart, apart, sum)
                },
            );
        }
        spread.iter_mut().for_each(|sum| *sum = 1.0 / (*sum / pixels as f32 + epsilon).sqrt());
        let beside = |row: usize| self.beside.map(|beside| &beside[row * width..][..width]);
        for (row, (x, y)) in x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)).enumerate() {
            let scale = spread.iter().zip(weight);
            for (((y, x), mean), (spread, weight)) in y.iter_mut().zip(x).zip(&*mean).zip(scale) {
                *y = (x - mean) * (spread * weight);
            }
            match beside(row) {
                Some(beside) => two(
                    simd,
                    y,
                    bias,
                    beside,
                    #[inline(always)]
                    |y, b, beside| leaky(simd, simd.add_f32s(simd.add_f32s(y, b), beside), leak),
                ),
                None => update(
                    simd,
                    y,
                    bias,
                    #[inline(always)]
                    |y, b| leaky(simd, simd.add_f32s(y, b), leak),
                ),
            }
        }
    }
}

/// `x` above zero, `leak · x` below.
#[inline(always)]
fn leaky<S: Simd>(simd: S, x: S::f32s, leak: f32) -> S::f32s {
    let below = simd.mul_f32s(x, simd.splat_f32s(leak));
    let is_above = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
    simd.select_f32s(is_above, x, below)
}

/// One image.
struct Backward<'a> {
    norm: ImageNorm<'a>,
    x: &'a [f32],
    normed: Normed<'a>,
    dx: &'a mut [f32],
    beside: Option<&'a mut [f32]>,
    /// Sums of the gradient behind the norm, and of that times what is normalised.
    sums: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm: ImageNorm { weight, leak, pixels, .. }, x, normed, dx, beside, sums } =
            self;
        let width = weight.len();
        let Normed { moments, y, dy } = normed;
        let (mean, spread) = moments.split_at(width);
        let (sum, along) = sums.split_at_mut(width);
        two(
            simd,
            dx,
            y,
            dy,
            #[inline(always)]
            |_, y, dy| {
                let is_above = simd.greater_than_f32s(y, simd.splat_f32s(0.0));
                simd.select_f32s(is_above, dy, simd.mul_f32s(dy, simd.splat_f32s(leak)))
            },
        );
        if let Some(beside) = beside {
            beside.copy_from_slice(dx);
        }
        add_rows(simd, sum, dx);
        for (g, x) in dx.chunks_exact(width).zip(x.chunks_exact(width)) {
            let unit =
                x.iter().zip(mean).zip(spread).map(|((x, mean), spread)| (x - mean) * spread);
            for ((along, g), unit) in along.iter_mut().zip(g).zip(unit) {
                *along += g * unit;
            }
        }
        let share = 1.0 / pixels as f32;
        for (g, x) in dx.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let unit =
                x.iter().zip(mean).zip(spread).map(|((x, mean), spread)| (x - mean) * spread);
            let scale = spread.iter().zip(weight).map(|(spread, weight)| spread * weight);
            let sums = sum.iter().zip(&*along);
            for (((g, unit), scale), (sum, along)) in g.iter_mut().zip(unit).zip(scale).zip(sums) {
                *g = (*g - sum * share - unit * (along * share)) * scale;
            }
        }
    }
}

/// Halves images: the largest of two by two pixels, beyond a rim that is never the largest.
#[derive(Clone, Copy)]
pub(crate) struct Halving {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) channels: usize,
    pub(crate) rim: usize,
}

impl Halving {
    /// Rows and columns of the halved images.
    pub(crate) fn halved(&self) -> [usize; 2] {
        [self.rows, self.columns].map(|side| (side + 2 * self.rim) / 2)
    }

    /// The places of a window within an image, of which there are one to four.
    #[inline(always)]
    fn window(&self, y: usize, x: usize) -> impl Iterator<Item = usize> + use<> {
        let Self { rows, columns, channels, rim } = *self;
        let along = move |at: usize, side: usize| {
            (2 * at..2 * at + 2)
                .filter(move |i| (rim..side + rim).contains(i))
                .map(move |i| i - rim)
        };
        along(y, rows)
            .flat_map(move |y| along(x, columns).map(move |x| (y * columns + x) * channels))
    }

    pub(crate) fn forward(&self, x: &[f32]) -> Buffer {
        let [rows, columns] = self.halved();
        let (image, half) =
            (self.rows * self.columns * self.channels, rows * columns * self.channels);
        let mut y = Buffer::fresh(x.len() / image.max(1) * half);
        let pairs = x.par_chunks_exact(image.max(1)).zip(y.par_chunks_exact_mut(half.max(1)));
        pairs.for_each(|(x, y)| run(Halve { by: *self, x, y }));
        y
    }

    /// The gradient goes to the first of the largest.
    pub(crate) fn backward(&self, x: &[f32], y: &[f32], dy: &[f32]) -> Buffer {
        let [rows, columns] = self.halved();
        let (image, half) =
            (self.rows * self.columns * self.channels, rows * columns * self.channels);
        let mut dx = Buffer::fresh(x.len());
        let ins = x.par_chunks_exact(image.max(1)).zip(y.par_chunks_exact(half.max(1)));
        let outs = dy.par_chunks_exact(half.max(1)).zip(dx.par_chunks_exact_mut(image.max(1)));
        ins.zip(outs).for_each(|((x, y), (dy, dx))| run(HalveBackward { by: *self, x, y, dy, dx }));
        dx
    }
}

struct Halve<'a> {
    by: Halving,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Halve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { by, x, y } = self;
        let (columns, channels) = (by.halved()[1], by.channels);
        y.fill(f32::NEG_INFINITY);
        for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
            for place in by.window(pixel / columns, pixel % columns) {
                for (most, &x) in y.iter_mut().zip(&x[place..][..channels]) {
                    // What is not a number stays.
                    *most = if x > *most || x.is_nan() { x } else { *most };
                }
            }
        }
    }
}

struct HalveBackward<'a> {
    by: Halving,
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for HalveBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { by, x, y, dy, dx } = self;
        let (columns, channels) = (by.halved()[1], by.channels);
        let mut left = vec![0.0_f32; channels];
        // Pixels that no window covers.
        dx.fill(0.0);
        let outs = y.chunks_exact(channels).zip(dy.chunks_exact(channels));
        for (pixel, (y, dy)) in outs.enumerate() {
            left.copy_from_slice(dy);
            for place in by.window(pixel / columns, pixel % columns) {
                let (x, dx) = (&x[place..][..channels], &mut dx[place..][..channels]);
                for (((dx, x), y), left) in dx.iter_mut().zip(x).zip(y).zip(&mut left) {
                    (*dx, *left) = if x == y { (*left, 0.0) } else { (0.0, *left) };
                }
            }
        }
    }
}
