//! Normalisation of rows.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::rows::CHUNK_ROWS;
use super::vector::{sum, update};
use super::{Buffer, run};
use crate::NormKind;

/// A normalisation on slices.
#[derive(Clone, Copy)]
pub(crate) struct RowNorm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f32,
}

impl RowNorm<'_> {
    /// What a row is shifted and scaled by: mean and 1 / deviation.
    #[inline(always)]
    fn moments<S: Simd>(&self, simd: S, x: &[f32]) -> (f32, f32) {
        let width = x.len() as f32;
        let mean = match self.kind {
            NormKind::Layer => {
                sum(
                    simd,
                    x,
                    #[inline(always)]
                    |v| v,
                ) / width
            }
            NormKind::Rms => 0.0,
        };
        let (body, tail) = S::as_simd_f32s(x);
        let centre = simd.splat_f32s(mean);
        let mut total = simd.splat_f32s(0.0);
        for &v in body {
            let away = simd.sub_f32s(v, centre);
            total = simd.mul_add_e_f32s(away, away, total);
        }
        let mut squares = simd.reduce_sum_f32s(total);
        for v in tail {
            squares += (v - mean) * (v - mean);
        }
        (mean, 1.0 / (squares / width + self.epsilon).sqrt())
    }

    /// `out = norm(x)` for every row.
    #[inline(always)]
    pub(crate) fn rows<S: Simd>(&self, simd: S, x: &[f32], out: &mut [f32]) {
        let width = self.weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, scale) = self.moments(simd, x);
            let at = Centre::<S> { mean: simd.splat_f32s(mean), spread: simd.splat_f32s(scale) };
            match self.bias {
                Some(bias) => three(
                    simd,
                    out,
                    [x, self.weight, bias],
                    #[inline(always)]
                    |_, [v, w, b]| simd.add_f32s(simd.mul_f32s(at.unit(simd, v), w), b),
                ),
                None => two(
                    simd,
                    out,
                    x,
                    self.weight,
                    #[inline(always)]
                    |_, v, w| simd.mul_f32s(at.unit(simd, v), w),
                ),
            }
        }
    }

    /// Adds to `dx` what `dn` means for the input of every row, and to the gradients of scale and shift.
    #[inline(always)]
    pub(crate) fn rows_backward<S: Simd>(&self, simd: S, x: &[f32], dn: &[f32], to: NormGrads<'_>) {
        let width = self.weight.len();
        let NormGrads { dx, d_weight, d_bias } = to;
        let rows = x.chunks_exact(width).zip(dn.chunks_exact(width));
        for ((x, dn), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let (mean, spread) = self.moments(simd, x);
            if self.bias.is_some() {
                update(
                    simd,
                    d_bias,
                    dn,
                    #[inline(always)]
                    |o, g| simd.add_f32s(o, g),
                );
            }
            let at = Centre { mean: simd.splat_f32s(mean), spread: simd.splat_f32s(spread) };
            let (along, across) = self.row_sums(simd, x, dn, (at, d_weight));
            let across = match self.kind {
                NormKind::Layer => across / width as f32,
                NormKind::Rms => 0.0,
            };
            let along = simd.splat_f32s(along / width as f32);
            let across = simd.splat_f32s(across);
            three(
                simd,
                dx,
                [x, dn, self.weight],
                #[inline(always)]
                |o, [v, g, w]| {
                    let inside = simd.sub_f32s(simd.mul_f32s(g, w), across);
                    let inside = simd.sub_f32s(inside, simd.mul_f32s(at.unit(simd, v), along));
                    simd.mul_add_e_f32s(inside, at.spread, o)
                },
            );
        }
    }

    /// `Σ unit · dn · weight` and `Σ dn · weight` of a row; adds `unit · dn` to the scale's gradient.
    #[inline(always)]
    fn row_sums<S: Simd>(
        &self,
        simd: S,
        x: &[f32],
        dn: &[f32],
        (at, d_weight): (Centre<S>, &mut [f32]),
    ) -> (f32, f32) {
        let (x_body, x_tail) = S::as_simd_f32s(x);
        let (g_body, g_tail) = S::as_simd_f32s(dn);
        let (w_body, w_tail) = S::as_simd_f32s(self.weight);
        let (o_body, o_tail) = S::as_mut_simd_f32s(d_weight);
        let (mut along, mut across) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
        for (((&v, &g), &w), o) in x_body.iter().zip(g_body).zip(w_body).zip(o_body) {
            let unit = at.unit(simd, v);
            *o = simd.mul_add_e_f32s(unit, g, *o);
            let scaled = simd.mul_f32s(g, w);
            across = simd.add_f32s(across, scaled);
            along = simd.mul_add_e_f32s(unit, scaled, along);
        }
        if !x_tail.is_empty() {
            let (v, g) = (simd.partial_load_f32s(x_tail), simd.partial_load_f32s(g_tail));
            let (unit, o) = (at.unit(simd, v), simd.partial_load_f32s(o_tail));
            simd.partial_store_f32s(o_tail, simd.mul_add_e_f32s(unit, g, o));
            let scaled = simd.mul_f32s(g, simd.partial_load_f32s(w_tail));
            across = simd.add_f32s(across, scaled);
            along = simd.mul_add_e_f32s(unit, scaled, along);
        }
        (simd.reduce_sum_f32s(along), simd.reduce_sum_f32s(across))
    }
}

impl RowNorm<'_> {
    /// Normalises every row, on every core.
    pub(crate) fn all(&self, x: &[f32]) -> Buffer {
        let chunk = CHUNK_ROWS * self.weight.len();
        let mut out = Buffer::fresh(x.len());
        x.par_chunks(chunk)
            .zip(out.par_chunks_mut(chunk))
            .for_each(|(x, out)| run(NormRows { norm: *self, x, out }));
        out
    }

    /// Gradients of the input, the scale and the shift.
    pub(crate) fn all_backward(&self, x: &[f32], dy: &[f32]) -> (Buffer, Vec<f32>, Vec<f32>) {
        let width = self.weight.len();
        let chunk = CHUNK_ROWS * width;
        let mut dx = Buffer::fresh(x.len());
        let mut partial = vec![0.0; x.len().div_ceil(chunk) * 2 * width];
        let pairs = x.par_chunks(chunk).zip(dy.par_chunks(chunk));
        let outs = dx.par_chunks_mut(chunk).zip(partial.par_chunks_mut(2 * width));
        pairs.zip(outs).for_each(|((x, dy), (dx, sums))| {
            dx.fill(0.0);
            let (d_weight, d_bias) = sums.split_at_mut(width);
            let to = NormGrads { dx, d_weight, d_bias };
            run(NormRowsBackward { norm: *self, x, dn: dy, to });
        });
        let mut sums = vec![0.0; 2 * width];
        for part in partial.chunks_exact(2 * width) {
            sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        let bias = sums.split_off(width);
        (dx, sums, bias)
    }
}

/// A row's mean and 1 / deviation.
#[derive(Clone, Copy)]
struct Centre<S: Simd> {
    mean: S::f32s,
    spread: S::f32s,
}

impl<S: Simd> Centre<S> {
    #[inline(always)]
    fn unit(&self, simd: S, v: S::f32s) -> S::f32s {
        simd.mul_f32s(simd.sub_f32s(v, self.mean), self.spread)
    }
}

/// Where the gradients of a normalisation are added to.
pub(crate) struct NormGrads<'a> {
    pub(crate) dx: &'a mut [f32],
    pub(crate) d_weight: &'a mut [f32],
    pub(crate) d_bias: &'a mut [f32],
}

/// `out = f(out, a, b)`, element by element.
#[inline(always)]
pub(crate) fn two<S: Simd>(
    simd: S,
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
    f: impl Fn(S::f32s, S::f32s, S::f32s) -> S::f32s,
) {
    assert!(out.len() == a.len() && a.len() == b.len());
    let (out_body, out_tail) = S::as_mut_simd_f32s(out);
    let ((a_body, a_tail), (b_body, b_tail)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    for ((o, &x), &y) in out_body.iter_mut().zip(a_body).zip(b_body) {
        *o = f(*o, x, y);
    }
    if !a_tail.is_empty() {
        let there = simd.partial_load_f32s(out_tail);
        let (x, y) = (simd.partial_load_f32s(a_tail), simd.partial_load_f32s(b_tail));
        simd.partial_store_f32s(out_tail, f(there, x, y));
    }
}

/// `out = f(out, a)` for three operands.
#[inline(always)]
fn three<S: Simd>(
    simd: S,
    out: &mut [f32],
    a: [&[f32]; 3],
    f: impl Fn(S::f32s, [S::f32s; 3]) -> S::f32s,
) {
    assert!(a.iter().all(|a| a.len() == out.len()));
    let (out_body, out_tail) = S::as_mut_simd_f32s(out);
    let [(x, x_tail), (y, y_tail), (z, z_tail)] = a.map(S::as_simd_f32s);
    for (((o, &x), &y), &z) in out_body.iter_mut().zip(x).zip(y).zip(z) {
        *o = f(*o, [x, y, z]);
    }
    if !x_tail.is_empty() {
        let there = simd.partial_load_f32s(out_tail);
        let tails = [x_tail, y_tail, z_tail].map(
            #[inline(always)]
            |t| simd.partial_load_f32s(t),
        );
        simd.partial_store_f32s(out_tail, f(there, tails));
    }
}

/// Normalises rows.
pub(crate) struct NormRows<'a> {
    pub(crate) norm: RowNorm<'a>,
    pub(crate) x: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl WithSimd for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.norm.rows(simd, self.x, self.out);
    }
}

/// The backward of [`NormRows`].
pub(crate) struct NormRowsBackward<'a> {
    pub(crate) norm: RowNorm<'a>,
    pub(crate) x: &'a [f32],
    pub(crate) dn: &'a [f32],
    pub(crate) to: NormGrads<'a>,
}

impl WithSimd for NormRowsBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.norm.rows_backward(simd, self.x, self.dn, self.to);
    }
}
