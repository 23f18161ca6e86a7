//! `x + down(activation(up(norm(x))))`, chunk of rows by chunk, forward and backward.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::grads::WeightGrad;
use super::matmul::{Onto, Packed, Product, View};
use super::norm::{NormGrads, RowNorm, two};
use super::rows::{
    CHUNK_ROWS, Weight, cut, even, held, packed, packed_back, round_rows, with_scratch,
};
use super::vector::{add_rows, gelu, gelu_slope, map, sigmoid};
use super::{Buffer, run};
use crate::{Activation, Precision};

/// The layer on slices: `up` is `[d, u]` with `u` the hidden width, twice it for gates and values.
#[derive(Clone, Copy)]
pub(crate) struct Mlp<'a> {
    pub(crate) norm: RowNorm<'a>,
    pub(crate) up: &'a [f32],
    pub(crate) up_bias: Option<&'a [f32]>,
    pub(crate) down: &'a [f32],
    pub(crate) down_bias: Option<&'a [f32]>,
    pub(crate) activation: Activation,
}

/// Gradients of the layer; those of biases that are not there are 0.
pub(crate) struct MlpGrads {
    pub(crate) dx: Buffer,
    pub(crate) norm: Vec<f32>,
    pub(crate) norm_bias: Vec<f32>,
    pub(crate) up: Vec<f32>,
    pub(crate) up_bias: Vec<f32>,
    pub(crate) down: Vec<f32>,
    pub(crate) down_bias: Vec<f32>,
}

/// `out = activation(hidden)`, row by row; rows of `out` are half as wide for gates and values.
#[inline(always)]
pub(crate) fn activate<S: Simd>(
    simd: S,
    kind: Activation,
    hidden: &[f32],
    out: &mut [f32],
    h: usize,
) {
    match kind {
        Activation::Gelu => map(
            simd,
            out,
            hidden,
            #[inline(always)]
            |x| gelu(simd, x),
        ),
        Activation::SwiGlu => {
            for (row, out) in hidden.chunks_exact(2 * h).zip(out.chunks_exact_mut(h)) {
                let (gates, values) = row.split_at(h);
                two(
                    simd,
                    out,
                    gates,
                    values,
                    #[inline(always)]
                    |_, g, v| simd.mul_f32s(simd.mul_f32s(g, sigmoid(simd, g)), v),
                );
            }
        }
    }
}

/// `active = activation(hidden)`, and `hidden` becomes its gradient, given that of `active`.
#[inline(always)]
pub(crate) fn activate_backward<S: Simd>(
    simd: S,
    kind: Activation,
    hidden: &mut [f32],
    (active, d_active): (&mut [f32], &[f32]),
    h: usize,
) {
    match kind {
        Activation::Gelu => {
            let (body, tail) = S::as_mut_simd_f32s(hidden);
            let (a_body, a_tail) = S::as_mut_simd_f32s(active);
            let (g_body, g_tail) = S::as_simd_f32s(d_active);
            for ((x, a), &g) in body.iter_mut().zip(a_body).zip(g_body) {
                (*a, *x) = (gelu(simd, *x), simd.mul_f32s(gelu_slope(simd, *x), g));
            }
            let x = simd.partial_load_f32s(tail);
            simd.partial_store_f32s(a_tail, gelu(simd, x));
            let g = simd.partial_load_f32s(g_tail);
            simd.partial_store_f32s(tail, simd.mul_f32s(gelu_slope(simd, x), g));
        }
        Activation::SwiGlu => {
            let rows = hidden.chunks_exact_mut(2 * h).zip(active.chunks_exact_mut(h));
            for ((row, active), d_active) in rows.zip(d_active.chunks_exact(h)) {
                let (gates, values) = row.split_at_mut(h);
                two(
                    simd,
                    active,
                    gates,
                    values,
                    #[inline(always)]
                    |_, g, v| simd.mul_f32s(simd.mul_f32s(g, sigmoid(simd, g)), v),
                );
                swiglu_backward(simd, gates, values, d_active);
            }
        }
    }
}

/// Gates and values become their gradients, given that of their product.
#[inline(always)]
fn swiglu_backward<S: Simd>(simd: S, gates: &mut [f32], values: &mut [f32], d_out: &[f32]) {
    let (g_body, g_tail) = S::as_mut_simd_f32s(gates);
    let (v_body, v_tail) = S::as_mut_simd_f32s(values);
    let (d_body, d_tail) = S::as_simd_f32s(d_out);
    for ((g, v), &d) in g_body.iter_mut().zip(v_body).zip(d_body) {
        (*g, *v) = gate_backward(simd, *g, *v, d);
    }
    let (g, v) = (simd.partial_load_f32s(g_tail), simd.partial_load_f32s(v_tail));
    let (g, v) = gate_backward(simd, g, v, simd.partial_load_f32s(d_tail));
    simd.partial_store_f32s(g_tail, g);
    simd.partial_store_f32s(v_tail, v);
}

#[inline(always)]
fn gate_backward<S: Simd>(simd: S, g: S::f32s, v: S::f32s, d: S::f32s) -> (S::f32s, S::f32s) {
    let one = simd.splat_f32s(1.0);
    let s = sigmoid(simd, g);
    let rest = simd.mul_add_e_f32s(g, simd.sub_f32s(one, s), one);
    let d_gate = simd.mul_f32s(simd.mul_f32s(d, v), simd.mul_f32s(s, rest));
    (d_gate, simd.mul_f32s(d, simd.mul_f32s(g, s)))
}

/// One chunk forward.
struct Forward<'a> {
    layer: &'a Mlp<'a>,
    up: &'a Weight,
    down: &'a Weight,
    x: &'a [f32],
    out: &'a mut [f32],
    /// Where the hidden values stay for backward.
    hidden: &'a mut [f32],
    normed: &'a mut [f32],
    active: &'a mut [f32],
    factors: &'a mut Vec<u32>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, up, down, x, out, hidden, normed, active, factors } = self;
        let (d, _, h) = layer.widths();
        layer.norm.rows(simd, x, normed);
        up.multiply(simd, hidden, (normed, d), Onto::Bias, factors);
        activate(simd, layer.activation, hidden, active, h);
        out.copy_from_slice(x);
        down.multiply(simd, out, (active, h), Onto::Output, factors);
    }
}

/// One chunk backward.
struct Backward<'a> {
    layer: &'a Mlp<'a>,
    up: Option<&'a Packed>,
    up_back: &'a Packed,
    down_back: &'a Packed,
    x: &'a [f32],
    dy: &'a [f32],
    /// Hidden values, where they were kept.
    kept: Option<&'a [f32]>,
    dx: &'a mut [f32],
    normed: &'a mut [f32],
    active: &'a mut [f32],
    /// Becomes the gradient of the hidden values.
    hidden: &'a mut [f32],
    d_active: &'a mut [f32],
    d_normed: &'a mut [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, dy, dx, normed, active, hidden, d_active, d_normed, sums, .. } = self;
        let (d, u, h) = layer.widths();
        let rows = x.len() / d;
        layer.norm.rows(simd, x, normed);
        match (self.kept, self.up) {
            (Some(kept), _) => hidden.copy_from_slice(kept),
            (None, Some(up)) => {
                let (a, onto) = (View::rows(normed, d), Onto::Bias);
                simd.vectorize(Product { out: hidden, stride: u, a, rows, b: up, onto });
            }
            (None, None) => unreachable!("hidden values are kept or computed again"),
        }
        let (a, onto) = (View::rows(dy, d), Onto::Bias);
        let b = self.down_back;
        simd.vectorize(Product { out: d_active, stride: h, a, rows, b, onto });
        activate_backward(simd, layer.activation, hidden, (active, d_active), h);
        let (a, b) = (View::rows(hidden, u), self.up_back);
        simd.vectorize(Product { out: d_normed, stride: d, a, rows, b, onto });
        dx.copy_from_slice(dy);
        let (d_weight, rest) = sums.split_at_mut(d);
        let (d_bias, rest) = rest.split_at_mut(d);
        let (d_up_bias, d_down_bias) = rest.split_at_mut(u);
        if layer.up_bias.is_some() {
            add_rows(simd, d_up_bias, hidden);
        }
        if layer.down_bias.is_some() {
            add_rows(simd, d_down_bias, dy);
        }
        layer.norm.rows_backward(simd, x, d_normed, NormGrads { dx, d_weight, d_bias });
    }
}

impl Mlp<'_> {
    /// Width, width of `up`'s result, hidden width.
    fn widths(&self) -> (usize, usize, usize) {
        let d = self.norm.weight.len();
        (d, self.up.len() / d, self.down.len() / d)
    }

    /// The layer's output and, where `keep`, its hidden values.
    pub(crate) fn forward(&self, x: &[f32], keep: bool, precision: Precision) -> (Buffer, Buffer) {
        let (d, u, h) = self.widths();
        let up = Weight::new(self.up, (d, u), self.up_bias, precision);
        let down = Weight::new(self.down, (h, d), self.down_bias, precision);
        let mut out = Buffer::fresh(x.len());
        let mut kept = Buffer::fresh(if keep { x.len() / d * u } else { 0 });
        let chunk = |x: &[f32], out: &mut [f32], kept: Option<&mut [f32]>| {
            with_scratch(|s| {
                let rows = x.len() / d;
                let normed = held(&mut s.a, rows * d);
                let active = held(&mut s.b, rows * h);
                let hidden = kept.unwrap_or_else(|| held(&mut s.c, rows * u));
                let (layer, up, down) = (self, &up, &down);
                let factors = &mut s.factors;
                run(Forward { layer, up, down, x, out, hidden, normed, active, factors });
            });
        };
        let pairs = x.par_chunks(CHUNK_ROWS * d).zip(out.par_chunks_mut(CHUNK_ROWS * d));
        if keep {
            pairs
                .zip(kept.par_chunks_mut(CHUNK_ROWS * u))
                .for_each(|((x, out), kept)| chunk(x, out, Some(kept)));
        } else {
            pairs.for_each(|(x, out)| chunk(x, out, None));
        }
        (out, kept)
    }

    /// Gradients, given the input, that of the output, and the hidden values where they were kept.
    pub(crate) fn backward(&self, x: &[f32], dy: &[f32], kept: Option<&[f32]>) -> MlpGrads {
        let (d, u, h) = self.widths();
        let rows = x.len() / d;
        let up = kept.is_none().then(|| packed(self.up, d, u, self.up_bias));
        let (up_back, down_back) = (packed_back(self.up, d, u), packed_back(self.down, h, d));
        let (mut d_up, mut d_down) = (WeightGrad::new(d, u), WeightGrad::new(h, d));
        let mut dx = Buffer::fresh(x.len());
        let width = 2 * d + u + d;
        let mut sums = vec![0.0; width];
        let round = round_rows(d + u + h);
        let most = round.min(rows);
        let (mut normed, mut active, mut hidden) =
            (Buffer::fresh(most * d), Buffer::fresh(most * h), Buffer::fresh(most * u));
        for at in even(rows, round) {
            let count = at.len();
            let (x, dy) = (&x[at.start * d..at.end * d], &dy[at.start * d..at.end * d]);
            let kept = kept.map(|k| &k[at.start * u..at.end * u]);
            let chunks = even(count, CHUNK_ROWS);
            let mut partial = vec![0.0; chunks.len() * width];
            let parts = (
                cut(&mut dx[at.start * d..at.end * d], &chunks, d),
                cut(&mut normed, &chunks, d),
                cut(&mut active, &chunks, h),
                cut(&mut hidden, &chunks, u),
            );
            let tasks = chunks.par_iter().zip(parts.0).zip(parts.1).zip(parts.2).zip(parts.3);
            tasks.zip(partial.par_chunks_mut(width)).for_each(
                |(((((chunk, dx), normed), active), hidden), sums)| {
                    with_scratch(|s| {
                        let n = chunk.len();
                        run(Backward {
                            layer: self,
                            up: up.as_ref(),
                            up_back: &up_back,
                            down_back: &down_back,
                            x: &x[chunk.start * d..chunk.end * d],
                            dy: &dy[chunk.start * d..chunk.end * d],
                            kept: kept.map(|k| &k[chunk.start * u..chunk.end * u]),
                            dx,
                            normed,
                            active,
                            hidden,
                            d_active: held(&mut s.a, n * h),
                            d_normed: held(&mut s.b, n * d),
                            sums,
                        });
                    });
                },
            );
            d_up.add(&normed, &hidden, count)
                .chain(d_down.add(&active, dy, count))
                .for_each(super::grads::Task::run);
            for part in partial.chunks_exact(width) {
                for (sum, value) in sums.iter_mut().zip(part) {
                    *sum += value;
                }
            }
        }
        MlpGrads {
            dx,
            norm: sums[..d].to_vec(),
            norm_bias: sums[d..2 * d].to_vec(),
            up: d_up.finish(),
            up_bias: sums[2 * d..2 * d + u].to_vec(),
            down: d_down.finish(),
            down_bias: sums[2 * d + u..].to_vec(),
        }
    }
}
