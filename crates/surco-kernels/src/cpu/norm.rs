//! Normalisation of rows.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::rows::{CHUNK_ROWS, held, with_scratch};
use super::vector::{dot, map, sum, update};
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
            let (centre, scale) = (simd.splat_f32s(mean), simd.splat_f32s(scale));
            map(
                simd,
                out,
                x,
                #[inline(always)]
                |v| simd.mul_f32s(simd.sub_f32s(v, centre), scale),
            );
            update(
                simd,
                out,
                self.weight,
                #[inline(always)]
                |o, w| simd.mul_f32s(o, w),
            );
            if let Some(bias) = self.bias {
                update(
                    simd,
                    out,
                    bias,
                    #[inline(always)]
                    |o, b| simd.add_f32s(o, b),
                );
            }
        }
    }

    /// Adds to `dx` what `dn` means for the input of every row, and to the gradients of scale and shift.
    /// Spoils `dn`.
    #[inline(always)]
    pub(crate) fn rows_backward<S: Simd>(
        &self,
        simd: S,
        x: &[f32],
        dn: &mut [f32],
        to: NormGrads<'_>,
    ) {
        let width = self.weight.len();
        let NormGrads { dx, d_weight, d_bias } = to;
        for ((x, dn), dx) in
            x.chunks_exact(width).zip(dn.chunks_exact_mut(width)).zip(dx.chunks_exact_mut(width))
        {
            let (mean, scale) = self.moments(simd, x);
            if self.bias.is_some() {
                update(
                    simd,
                    d_bias,
                    dn,
                    #[inline(always)]
                    |o, g| simd.add_f32s(o, g),
                );
            }
            let (centre, spread) = (simd.splat_f32s(mean), simd.splat_f32s(scale));
            two(
                simd,
                d_weight,
                x,
                dn,
                #[inline(always)]
                |o, v, g| {
                    simd.mul_add_e_f32s(simd.mul_f32s(simd.sub_f32s(v, centre), spread), g, o)
                },
            );
            update(
                simd,
                dn,
                self.weight,
                #[inline(always)]
                |g, w| simd.mul_f32s(g, w),
            );
            let along = (dot(simd, dn, x)
                - mean
                    * sum(
                        simd,
                        dn,
                        #[inline(always)]
                        |g| g,
                    ))
                * scale
                / width as f32;
            let across = match self.kind {
                NormKind::Layer => {
                    sum(
                        simd,
                        dn,
                        #[inline(always)]
                        |g| g,
                    ) / width as f32
                }
                NormKind::Rms => 0.0,
            };
            let (along, across) = (simd.splat_f32s(along), simd.splat_f32s(across));
            two(
                simd,
                dx,
                x,
                dn,
                #[inline(always)]
                |o, v, g| {
                    let unit = simd.mul_f32s(simd.sub_f32s(v, centre), spread);
                    let inside =
                        simd.sub_f32s(simd.sub_f32s(g, across), simd.mul_f32s(unit, along));
                    simd.mul_add_e_f32s(inside, spread, o)
                },
            );
        }
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
            with_scratch(|s| {
                let dn = held(&mut s.a, dy.len());
                dn.copy_from_slice(dy);
                let (d_weight, d_bias) = sums.split_at_mut(width);
                run(NormRowsBackward {
                    norm: *self,
                    x,
                    dn,
                    to: NormGrads { dx, d_weight, d_bias },
                });
            });
        });
        let mut sums = vec![0.0; 2 * width];
        for part in partial.chunks_exact(2 * width) {
            sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        let bias = sums.split_off(width);
        (dx, sums, bias)
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

/// The backward of [`NormRows`]; spoils `dn`.
pub(crate) struct NormRowsBackward<'a> {
    pub(crate) norm: RowNorm<'a>,
    pub(crate) x: &'a [f32],
    pub(crate) dn: &'a mut [f32],
    pub(crate) to: NormGrads<'a>,
}

impl WithSimd for NormRowsBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.norm.rows_backward(simd, self.x, self.dn, self.to);
    }
}
