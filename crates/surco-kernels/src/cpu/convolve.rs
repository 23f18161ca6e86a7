//! Convolutions of images, in steps of one pixel and with a rim of zeros that keeps their size.
//!
//! Images lie pixel by pixel with all channels of a pixel together, so what one tap of a kernel sees is one row a pixel.
//! Rows of a few taps are gathered side by side and multiplied by what the kernel holds for these taps; the gradient of
//! the images is the same with the kernel turned round. Kernels lie as PyTorch has them and are laid out for products once
//! a pass.
//!
//! Axes in names: `m` images, `y`, `x` rows and columns, `c` channels.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matmul::{Onto, Packed, Product, View};
use super::rows::{CHUNK_ROWS, cut, held, with_scratch};
use super::{Buffer, run};

/// Values of a pixel that are multiplied at once at most: a panel of the other factor then fits a core's first cache.
const MOST_INNER: usize = 320;

/// Values of a pixel whose part of a kernel's gradient is summed at once at most.
const MOST_SUMMED: usize = 576;

/// Pixels whose part of a kernel's gradient is summed at once.
const GRADIENT_PIXELS: usize = 128;

/// Channels that are laid out together: long runs of the kernel, whose lines stay in the second cache.
const LAID: usize = 64;

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

/// What is multiplied at once: some taps with all channels, or one with some.
struct Seen {
    taps: Range<usize>,
    channels: Range<usize>,
}

impl Seen {
    fn count(&self) -> usize {
        self.taps.len() * self.channels.len()
    }

    /// All there is of so many channels, in order, at most so many values at once.
    fn all(taps: usize, channels: usize, most: usize) -> Vec<Self> {
        if channels <= most {
            let most = (most / channels.max(1)).clamp(1, taps);
            let each = taps.div_ceil(taps.div_ceil(most));
            let part = |first: usize| first..(first + each).min(taps);
            let seen = |first| Self { taps: part(first), channels: 0..channels };
            return (0..taps).step_by(each).map(seen).collect();
        }
        let each = channels.div_ceil(channels.div_ceil(most));
        let part = |first: usize| first..(first + each).min(channels);
        let parts = (0..channels).step_by(each).map(part);
        let seen = |tap| parts.clone().map(move |channels| Self { taps: tap..tap + 1, channels });
        (0..taps).flat_map(seen).collect()
    }
}

impl Kernel<'_> {
    fn taps(&self) -> usize {
        self.side * self.side
    }

    /// The images that this kernel makes of others.
    pub(crate) fn forward(&self, x_myxc: Images<'_>) -> Buffer {
        let factor = |tap| View {
            data: &self.values[tap..],
            row: self.taps(),
            col: self.from * self.taps(),
        };
        self.multiplied(x_myxc, self.to, factor)
    }

    /// The gradient of images of the shape of these.
    pub(crate) fn images_gradient(&self, x_myxc: Images<'_>, dy: &[f32]) -> Buffer {
        let turned = |tap| View {
            data: &self.values[self.taps() - 1 - tap..],
            row: self.from * self.taps(),
            col: self.taps(),
        };
        let dy_myxc = Images { values: dy, channels: self.to, ..x_myxc };
        self.multiplied(dy_myxc, self.from, turned)
    }

    /// Images by what each tap multiplies its channels by, `[channels, to]`.
    fn multiplied<'b>(
        &self,
        x_myxc: Images<'_>,
        to: usize,
        factor: impl Fn(usize) -> View<'b>,
    ) -> Buffer {
        let all = Seen::all(self.taps(), x_myxc.channels, MOST_INNER);
        let factors: Vec<View<'_>> = (0..self.taps()).map(factor).collect();
        let stages = run(Lay { all, factors: &factors, to });
        let mut out = Buffer::fresh(x_myxc.pixels() * to);
        out.par_chunks_mut((CHUNK_ROWS * to).max(1)).enumerate().for_each(|(chunk, out)| {
            with_scratch(|scratch| {
                let (stages, first, rows) = (&stages, chunk * CHUNK_ROWS, &mut scratch.a);
                run(Chunk { x_myxc, side: self.side, stages, first, to, out, rows });
            });
        });
        out
    }

    /// The gradient of the kernel.
    pub(crate) fn gradient(&self, x_myxc: Images<'_>, dy: &[f32]) -> Buffer {
        let all = Seen::all(self.taps(), self.from, MOST_SUMMED);
        let mut sums = Buffer::fresh(self.from * self.taps() * (self.to + GAP));
        let mut first = 0;
        let places: Vec<Range<usize>> = all
            .iter()
            .map(|seen| {
                first += seen.count();
                first - seen.count()..first
            })
            .collect();
        let parts: Vec<_> = all.iter().zip(cut(&mut sums, &places, self.to + GAP)).collect();
        parts.into_par_iter().for_each(|(seen, out)| {
            with_scratch(|scratch| {
                let (side, to, rows) = (self.side, self.to, &mut scratch.a);
                run(Gradient { x_myxc, dy, seen, side, to, out, rows });
            });
        });
        let mut kernel = Buffer::fresh(self.values.len());
        run(Unlay { kernel: &mut kernel, sums: &sums, of: *self });
        kernel
    }
}

/// What is multiplied at once, and by what.
struct Stage {
    seen: Seen,
    packed: Packed,
}

/// Lays a kernel out for products, some channels after others: what is read of it stays in a cache until all taps have had theirs.
struct Lay<'a> {
    all: Vec<Seen>,
    /// By tap, `[channels, to]`.
    factors: &'a [View<'a>],
    to: usize,
}

impl WithSimd for Lay<'_> {
    type Output = Vec<Stage>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<Stage> {
        let Self { all, factors, to } = self;
        let channels = all.last().map_or(0, |seen| seen.channels.end);
        let room = |seen: Seen| Stage { packed: Packed::room::<S>(seen.count(), to), seen };
        let mut stages: Vec<Stage> = all.into_iter().map(room).collect();
        let panels = stages.first().map_or(0, |stage| stage.packed.panels());
        for panel in 0..panels {
            for some in (0..channels).step_by(LAID).map(|c| c..(c + LAID).min(channels)) {
                if factors[0].row < factors[0].col {
                    lay_by_columns(&mut stages, factors, panel, (to, some));
                } else {
                    lay_by_lines(&mut stages, factors, panel, (to, some));
                }
            }
        }
        stages
    }
}

/// By tap, where those of some channels that a stage has are among its lines, and which they are.
fn lines_of(
    seen: &Seen,
    some: &Range<usize>,
) -> impl Iterator<Item = (usize, usize, Range<usize>)> + use<> {
    let (all, taps) = (seen.channels.clone(), seen.taps.clone());
    let channels = some.start.max(all.start)..some.end.min(all.end);
    let taps = if channels.is_empty() { 0..0 } else { taps };
    let first = taps.start;
    taps.map(move |tap| {
        let line = (tap - first) * all.len() + channels.start - all.start;
        (tap, line, channels.clone())
    })
}

/// Some channels of a panel, column by column, of factors whose columns lie far apart.
#[inline(always)]
fn lay_by_columns(
    stages: &mut [Stage],
    factors: &[View<'_>],
    panel: usize,
    (to, some): (usize, Range<usize>),
) {
    let Some(wide) = stages.first_mut().map(|stage| stage.packed.panel_mut(panel).1) else {
        return;
    };
    for r in 0..wide.min(to - panel * wide) {
        for Stage { seen, packed } in &mut *stages {
            let (lines, wide) = packed.panel_mut(panel);
            for (tap, first, channels) in lines_of(seen, &some) {
                let factor = &factors[tap];
                let start = (panel * wide + r) * factor.col + channels.start * factor.row;
                let values = factor.data[start..].iter().step_by(factor.row).take(channels.len());
                let column = lines[first * wide + r..].iter_mut().step_by(wide);
                column.zip(values).for_each(|(to, value)| *to = *value);
            }
        }
    }
}

/// Some channels of a panel, line by line, of factors whose lines lie far apart.
#[inline(always)]
fn lay_by_lines(
    stages: &mut [Stage],
    factors: &[View<'_>],
    panel: usize,
    (to, some): (usize, Range<usize>),
) {
    for Stage { seen, packed } in stages {
        let (lines, wide) = packed.panel_mut(panel);
        let width = wide.min(to - panel * wide);
        for (tap, first, channels) in lines_of(seen, &some) {
            let factor = factors[tap].at_column(panel * wide);
            for (c, line) in channels.zip(lines[first * wide..].chunks_exact_mut(wide)) {
                let values = factor.data[c * factor.row..].iter().step_by(factor.col);
                line[..width].iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            }
        }
    }
}

/// Writes a gradient `[taps, from, to]`, a gap behind every line, as the kernel lies.
struct Unlay<'a> {
    kernel: &'a mut [f32],
    sums: &'a [f32],
    of: Kernel<'a>,
}

impl WithSimd for Unlay<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { kernel, sums, of: Kernel { from, to, .. } } = self;
        let (taps, line) = (self.of.taps(), to + GAP);
        for (b, block) in kernel.chunks_mut((LAID * from * taps).max(1)).enumerate() {
            for c in (0..from).step_by(LAID) {
                let some = LAID.min(from - c);
                for (r, row) in block.chunks_exact_mut(from * taps).enumerate() {
                    for t in 0..taps {
                        let place = (t * from + c) * line + b * LAID + r;
                        let values = sums[place..].iter().step_by(line).take(some);
                        let out = row[c * taps + t..].iter_mut().step_by(taps);
                        out.zip(values).for_each(|(to, value)| *to = *value);
                    }
                }
            }
        }
    }
}

/// Some pixels of the output.
struct Chunk<'a> {
    x_myxc: Images<'a>,
    side: usize,
    stages: &'a [Stage],
    first: usize,
    to: usize,
    out: &'a mut [f32],
    rows: &'a mut Vec<f32>,
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x_myxc, side, stages, first, to, out, .. } = self;
        let rows = out.len() / to;
        let mut onto = Onto::Bias;
        for Stage { seen, packed } in stages {
            let a = gather(x_myxc, side, seen, first..first + rows, self.rows);
            simd.vectorize(Product { out, stride: to, a, rows, b: packed, onto });
            onto = Onto::Output;
        }
    }
}

/// The gradient of some taps and channels of a kernel, `[taps, channels, to]`, a gap behind every line.
struct Gradient<'a> {
    x_myxc: Images<'a>,
    dy: &'a [f32],
    seen: &'a Seen,
    side: usize,
    to: usize,
    out: &'a mut [f32],
    rows: &'a mut Vec<f32>,
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x_myxc, dy, seen, side, to, out, .. } = self;
        let (pixels, inner) = (x_myxc.pixels(), seen.count());
        let mut packed = Packed::default();
        if pixels == 0 {
            out.fill(0.0);
        }
        let mut onto = Onto::Bias;
        for first in (0..pixels).step_by(GRADIENT_PIXELS) {
            let count = GRADIENT_PIXELS.min(pixels - first);
            packed.fill::<S>(View::rows(dy, to).at_row(first), count, to);
            let a = gather(x_myxc, side, seen, first..first + count, self.rows).transposed();
            let (stride, b) = (to + GAP, &packed);
            simd.vectorize(Product { out, stride, a, rows: inner, b, onto });
            onto = Onto::Output;
        }
    }
}

/// What taps see around pixels, a row a pixel; zeros beyond the edges.
#[inline(always)]
fn gather<'a>(
    x_myxc: Images<'_>,
    side: usize,
    seen: &Seen,
    pixels: Range<usize>,
    out: &'a mut Vec<f32>,
) -> View<'a> {
    let Images { values, rows, columns, channels } = x_myxc;
    let (rim, line, width) = (side / 2, seen.count() + GAP, seen.channels.len());
    let out = held(out, pixels.len() * line);
    for (pixel, row) in pixels.zip(out.chunks_exact_mut(line)) {
        let (y, x) = (pixel / columns % rows, pixel % columns);
        for (tap, out) in seen.taps.clone().zip(row.chunks_exact_mut(width)) {
            let (down, right) = (tap / side, tap % side);
            let inside = (rim..rows + rim).contains(&(y + down))
                && (rim..columns + rim).contains(&(x + right));
            if inside {
                let place = pixel + down * columns + right - rim * (columns + 1);
                copied(out, &values[place * channels + seen.channels.start..][..width]);
            } else {
                out.fill(0.0);
            }
        }
    }
    View { data: out, row: line, col: 1 }
}

/// Copies few values by vectors, not by a call.
#[inline(always)]
fn copied(out: &mut [f32], from: &[f32]) {
    let ((out, out_rest), (from, from_rest)) = (out.as_chunks_mut::<16>(), from.as_chunks::<16>());
    for (out, from) in out.iter_mut().zip(from) {
        *out = *from;
    }
    for (out, from) in out_rest.iter_mut().zip(from_rest) {
        *out = *from;
    }
}
