//! Operators that stand alone: linear maps and activations of whole tensors.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::grads::{Task, WeightGrad};
use super::matmul::{Onto, Packed, Product, View};
use super::mlp::{activate, activate_backward};
use super::norm::two;
use super::rows::{CHUNK_ROWS, held, packed, packed_back, with_scratch};
use super::vector::{add_rows, gelu_slope};
use super::{Buffer, run};
use crate::Activation;

/// Values that one task takes of a tensor without rows.
const CHUNK: usize = 1 << 14;

/// A product of rows with a packed matrix, as a task of its own.
struct Rows<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    width: usize,
    stride: usize,
    b: &'a Packed,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, out, width, stride, b } = self;
        let rows = out.len() / stride;
        let a = View::rows(x, width);
        simd.vectorize(Product { out, stride, a, rows, b, onto: Onto::Bias });
    }
}

fn products(x: &[f32], b: &Packed, (width, stride): (usize, usize)) -> Buffer {
    let mut out = Buffer::fresh(x.len() / width.max(1) * stride);
    x.par_chunks(CHUNK_ROWS * width)
        .zip(out.par_chunks_mut(CHUNK_ROWS * stride))
        .for_each(|(x, out)| run(Rows { x, out, width, stride, b }));
    out
}

/// `x · w + bias` for rows of `x`.
pub(crate) fn linear(
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    (d, out): (usize, usize),
) -> Buffer {
    products(x, &packed(w, d, out, bias), (d, out))
}

/// Gradients of the input, the weight and the bias.
pub(crate) fn linear_backward(
    x: &[f32],
    w: &[f32],
    dy: &[f32],
    (d, out): (usize, usize),
) -> (Buffer, Vec<f32>, Vec<f32>) {
    let dx = products(dy, &packed_back(w, d, out), (out, d));
    let mut dw = WeightGrad::new(d, out);
    dw.add(x, dy, dy.len() / out.max(1)).for_each(Task::run);
    let mut db = vec![0.0; out];
    run(SumRows { out: &mut db, rows: dy });
    (dx, dw.finish(), db)
}

struct SumRows<'a> {
    out: &'a mut [f32],
    rows: &'a [f32],
}

impl WithSimd for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_rows(simd, self.out, self.rows);
    }
}

struct Activate<'a> {
    kind: Activation,
    x: &'a [f32],
    out: &'a mut [f32],
    h: usize,
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        activate(simd, self.kind, self.x, self.out, self.h);
    }
}

struct ActivateBackward<'a> {
    kind: Activation,
    /// Becomes the gradient.
    x: &'a mut [f32],
    out: &'a mut [f32],
    dy: &'a [f32],
    h: usize,
}

impl WithSimd for ActivateBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        activate_backward(simd, self.kind, self.x, (self.out, self.dy), self.h);
    }
}

fn activated(kind: Activation, x: &[f32], (wide, h): (usize, usize), rows: usize) -> Buffer {
    let mut out = Buffer::fresh(x.len() / wide.max(1) * h);
    x.par_chunks(rows * wide)
        .zip(out.par_chunks_mut(rows * h))
        .for_each(|(x, out)| run(Activate { kind, x, out, h }));
    out
}

struct GeluBackward<'a> {
    dx: &'a mut [f32],
    x: &'a [f32],
    dy: &'a [f32],
}

impl WithSimd for GeluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        two(
            simd,
            self.dx,
            self.x,
            self.dy,
            #[inline(always)]
            |_, x, g| simd.mul_f32s(gelu_slope(simd, x), g),
        );
    }
}

/// `x Φ(x)`.
pub(crate) fn gelu(x: &[f32]) -> Buffer {
    activated(Activation::Gelu, x, (1, 1), CHUNK)
}

/// The gradient of [`gelu`].
pub(crate) fn gelu_backward(x: &[f32], dy: &[f32]) -> Buffer {
    let mut dx = Buffer::fresh(x.len());
    let parts = dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK));
    parts.for_each(|((dx, x), dy)| run(GeluBackward { dx, x, dy }));
    dx
}

/// Gates and values, `[n, 2 h]`, to `[n, h]`.
pub(crate) fn swiglu(x: &[f32], h: usize) -> Buffer {
    activated(Activation::SwiGlu, x, (2 * h, h), CHUNK_ROWS)
}

/// The gradient of [`swiglu`].
pub(crate) fn swiglu_backward(x: &[f32], dy: &[f32], h: usize) -> Buffer {
    let mut dx = Buffer::fresh(x.len());
    let (wide, narrow) = (CHUNK_ROWS * 2 * h, CHUNK_ROWS * h);
    let pairs = x.par_chunks(wide).zip(dx.par_chunks_mut(wide));
    pairs.zip(dy.par_chunks(narrow)).for_each(|((x, dx), dy)| {
        with_scratch(|s| {
            dx.copy_from_slice(x);
            let out = held(&mut s.a, dy.len());
            run(ActivateBackward { kind: Activation::SwiGlu, x: dx, out, dy, h });
        });
    });
    dx
}
