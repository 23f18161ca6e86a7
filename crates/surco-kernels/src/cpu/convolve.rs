//! Convolutions of images, in steps of one pixel and with a rim of zeros that keeps their size.
//!
//! Images lie pixel by pixel with all channels of a pixel together, so what one tap of a kernel sees is one row a pixel.
//! Rows of a few taps are gathered side by side and multiplied by what the kernel holds for these taps, packed once;
//! the gradient of the images is the same with the kernel turned round.
//!
//! Axes in names: `m` images, `y`, `x` rows and columns, `c` channels.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matmul::{Onto, Packed, Product, View};
use super::rows::{CHUNK_ROWS, cut, even, held, with_scratch};
use super::{Buffer, run};

/// Values of a pixel that are multiplied at once at most, but for those of a single tap.
const MOST_INNER: usize = 320;

/// Pixels whose part of a kernel's gradient is summed at once.
const GRADIENT_PIXELS: usize = 128;

/// Values between gathered rows: lengths that are powers of two would share few places of a cache.
const GAP: usize = 16;

/// Images `[m, y, x, c]`.
#[derive(Clone, Copy)]
pub(crate) struct Images<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) channels: usize,
}

impl Images<'_> {
    fn pixels(&self) -> usize {
        self.values.len() / self.channels.max(1)
    }
}

/// A kernel `[to, from, side, side]` of an odd side.
#[derive(Clone, Copy)]
pub(crate) struct Kernel<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) side: usize,
}

impl<'a> Kernel<'a> {
    fn taps(&self) -> usize {
        self.side * self.side
    }

    /// What a tap multiplies its pixels by, `[from, to]`.
    fn tap(&self, tap: usize) -> View<'a> {
        let taps = self.taps();
        View { data: &self.values[tap..], row: taps, col: self.from * taps }
    }

    /// The same of the kernel turned round, `[to, from]`.
    fn tap_back(&self, tap: usize) -> View<'a> {
        self.tap(self.taps() - 1 - tap).transposed()
    }

    /// Taps that are taken together, given the channels that each sees.
    fn groups(&self, channels: usize) -> Vec<Range<usize>> {
        let most = (MOST_INNER / channels.max(1)).clamp(1, self.taps());
        even(self.taps(), self.taps().div_ceil(self.taps().div_ceil(most)))
    }

    /// The images that this kernel makes of others.
    pub(crate) fn forward(&self, x_myxc: Images<'_>) -> Buffer {
        self.multiplied(x_myxc, self.to, |tap| self.tap(tap))
    }

    /// Gradients of the images and of the kernel.
    pub(crate) fn backward(&self, x_myxc: Images<'_>, dy: &[f32]) -> (Buffer, Buffer) {
        let dy_myxc = Images { values: dy, channels: self.to, ..x_myxc };
        let dx = self.multiplied(dy_myxc, self.from, |tap| self.tap_back(tap));
        (dx, self.gradient(x_myxc, dy))
    }

    fn multiplied<'b>(
        &self,
        x_myxc: Images<'_>,
        to: usize,
        factor: impl Fn(usize) -> View<'b> + Sync,
    ) -> Buffer {
        let stages: Vec<Stage> = self
            .groups(x_myxc.channels)
            .into_par_iter()
            .map(|taps| {
                let parts: Vec<View<'_>> = taps.clone().map(&factor).collect();
                let packed = run(Stack { parts: &parts, inner: x_myxc.channels, outer: to });
                Stage { taps, packed }
            })
            .collect();
        let mut out = Buffer::fresh(x_myxc.pixels() * to);
        out.par_chunks_mut((CHUNK_ROWS * to).max(1)).enumerate().for_each(|(chunk, out)| {
            with_scratch(|scratch| {
                let (stages, first) = (&stages, chunk * CHUNK_ROWS);
                run(Chunk { x_myxc, side: self.side, stages, first, to, out, seen: &mut scratch.a });
            });
        });
        out
    }

    fn gradient(&self, x_myxc: Images<'_>, dy: &[f32]) -> Buffer {
        let (from, to, taps) = (self.from, self.to, self.taps());
        let groups = self.groups(from);
        let mut sums = Buffer::fresh(self.values.len());
        let parts: Vec<_> = groups.iter().zip(cut(&mut sums, &groups, from * to)).collect();
        parts.into_par_iter().for_each(|(taps, out)| {
            with_scratch(|scratch| {
                let taps = taps.clone();
                run(Gradient { x_myxc, dy, taps, side: self.side, out, seen: &mut scratch.a });
            });
        });
        let mut kernel = Buffer::fresh(self.values.len());
        let block = 16;
        kernel.par_chunks_mut((block * from * taps).max(1)).enumerate().for_each(|(b, out)| {
            for (c, t) in (0..from).flat_map(|c| (0..taps).map(move |t| (c, t))) {
                let line = &sums[(t * from + c) * to + b * block..];
                for (row, value) in out.chunks_exact_mut(from * taps).zip(line) {
                    row[c * taps + t] = *value;
                }
            }
        });
        kernel
    }
}

/// Packs the factors of taps, one under another.
struct Stack<'a> {
    parts: &'a [View<'a>],
    inner: usize,
    outer: usize,
}

impl WithSimd for Stack<'_> {
    type Output = Packed;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Packed {
        let mut packed = Packed::default();
        packed.fill_stacked::<S>(self.parts, self.inner, self.outer);
        packed
    }
}

/// Taps and what they multiply by.
struct Stage {
    taps: Range<usize>,
    packed: Packed,
}

/// Some pixels of the output.
struct Chunk<'a> {
    x_myxc: Images<'a>,
    side: usize,
    stages: &'a [Stage],
    first: usize,
    to: usize,
    out: &'a mut [f32],
    seen: &'a mut Vec<f32>,
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x_myxc, side, stages, first, to, out, seen } = self;
        let rows = out.len() / to;
        let mut onto = Onto::Bias;
        for Stage { taps, packed } in stages {
            let a = gather(x_myxc, side, taps, first..first + rows, seen);
            simd.vectorize(Product { out, stride: to, a, rows, b: packed, onto });
            onto = Onto::Output;
        }
    }
}

/// The gradient of a kernel's taps, `[taps, from, to]`.
struct Gradient<'a> {
    x_myxc: Images<'a>,
    dy: &'a [f32],
    taps: Range<usize>,
    side: usize,
    out: &'a mut [f32],
    seen: &'a mut Vec<f32>,
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x_myxc, dy, taps, side, out, seen } = self;
        let (pixels, inner) = (x_myxc.pixels(), taps.len() * x_myxc.channels);
        let to = out.len() / inner.max(1);
        let mut packed = Packed::default();
        out.fill(0.0);
        for first in (0..pixels).step_by(GRADIENT_PIXELS) {
            let count = GRADIENT_PIXELS.min(pixels - first);
            packed.fill::<S>(View::rows(dy, to).at_row(first), count, to);
            let a = gather(x_myxc, side, &taps, first..first + count, seen).transposed();
            let (b, onto) = (&packed, Onto::Output);
            simd.vectorize(Product { out, stride: to, a, rows: inner, b, onto });
        }
    }
}

/// What taps see around pixels, a row a pixel; zeros beyond the edges.
#[inline(always)]
fn gather<'a>(
    x_myxc: Images<'_>,
    side: usize,
    taps: &Range<usize>,
    pixels: Range<usize>,
    seen: &'a mut Vec<f32>,
) -> View<'a> {
    let Images { values, rows, columns, channels } = x_myxc;
    let (rim, line) = (side / 2, taps.len() * channels + GAP);
    let seen = held(seen, pixels.len() * line);
    for (pixel, row) in pixels.zip(seen.chunks_exact_mut(line)) {
        let (y, x) = (pixel / columns % rows, pixel % columns);
        for (tap, out) in taps.clone().zip(row.chunks_exact_mut(channels)) {
            let (down, right) = (tap / side, tap % side);
            let inside = (rim..rows + rim).contains(&(y + down))
                && (rim..columns + rim).contains(&(x + right));
            if inside {
                let place = pixel + down * columns + right - rim * (columns + 1);
                copied(out, &values[place * channels..][..channels]);
            } else {
                out.fill(0.0);
            }
        }
    }
    View { data: seen, row: line, col: 1 }
}

/// Copies few values by vectors, not by a call.
#[inline(always)]
fn copied(out: &mut [f32], from: &[f32]) {
    let ((out, out_rest), (from, from_rest)) =
        (out.as_chunks_mut::<16>(), from.as_chunks::<16>());
    for (out, from) in out.iter_mut().zip(from) {
        *out = *from;
    }
    for (out, from) in out_rest.iter_mut().zip(from_rest) {
        *out = *from;
    }
}
