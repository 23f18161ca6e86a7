//! `x + out(attend(qkv(norm(x))))`, series by series, forward and backward.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::attend::{AttendGrads, Heads, Scratch};
use super::grads::{Task, WeightGrad};
use super::matmul::{Onto, Packed, Product, View};
use super::norm::{NormGrads, RowNorm};
use super::rows::{
    CHUNK_ROWS, Weight, cut, groups, held, packed_back, round_rows, rows_of, with_scratch,
};
use super::vector::add_rows;
use super::{Buffer, run};
use crate::{Precision, Segments, Sight};

/// The layer on slices.
#[derive(Clone, Copy)]
pub(crate) struct Mixer<'a> {
    pub(crate) norm: RowNorm<'a>,
    pub(crate) qkv: &'a [f32],
    pub(crate) qkv_bias: Option<&'a [f32]>,
    pub(crate) out: &'a [f32],
    pub(crate) out_bias: Option<&'a [f32]>,
    pub(crate) heads: usize,
    pub(crate) scales: Option<(&'a [f32], &'a [f32])>,
    /// Cosines and sines, `[n, e / 2]`.
    pub(crate) turns: Option<(&'a [f32], &'a [f32])>,
    pub(crate) sight: Sight,
}

/// Gradients of the layer; those of weights that are not there are 0.
pub(crate) struct MixerGrads {
    pub(crate) dx: Buffer,
    pub(crate) norm: Vec<f32>,
    pub(crate) norm_bias: Vec<f32>,
    pub(crate) qkv: Vec<f32>,
    pub(crate) qkv_bias: Vec<f32>,
    pub(crate) out: Vec<f32>,
    pub(crate) out_bias: Vec<f32>,
    pub(crate) q_scale: Vec<f32>,
    pub(crate) k_scale: Vec<f32>,
}

/// What a forward pass keeps: `[n, 3 d]` and `[n, d]`.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) qkv: &'a [f32],
    pub(crate) mixed: &'a [f32],
}

/// One chunk of whole segments forward.
struct Forward<'a> {
    layer: &'a Mixer<'a>,
    qkv_weight: &'a Weight,
    /// Where it is wanted, and where to.
    out: Option<(&'a Weight, &'a mut [f32])>,
    segments: &'a [Range<usize>],
    x: &'a [f32],
    normed: &'a mut [f32],
    qkv: &'a mut [f32],
    mixed: &'a mut [f32],
    factors: &'a mut Vec<u32>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, qkv_weight, out, segments, x, normed, qkv, mixed, .. } = self;
        let d = layer.width();
        layer.norm.rows(simd, x, normed);
        qkv_weight.multiply(simd, qkv, (normed, d), Onto::Bias, self.factors);
        let base = segments.first().map_or(0, |s| s.start);
        for segment in segments {
            let at = segment.start - base..segment.end - base;
            let heads = layer.heads_of(segment);
            let qkv = &qkv[at.start * 3 * d..at.end * 3 * d];
            heads.forward(simd, qkv, &mut mixed[at.start * d..at.end * d], self.scratch);
        }
        if let Some((weight, out)) = out {
            out.copy_from_slice(x);
            weight.multiply(simd, out, (mixed, d), Onto::Output, self.factors);
        }
    }
}

/// One chunk of whole segments backward.
struct Backward<'a> {
    layer: &'a Mixer<'a>,
    qkv_back: &'a Packed,
    out_back: &'a Packed,
    segments: &'a [Range<usize>],
    x: &'a [f32],
    dy: &'a [f32],
    qkv: &'a [f32],
    dx: &'a mut [f32],
    d_qkv: &'a mut [f32],
    d_mixed: &'a mut [f32],
    d_normed: &'a mut [f32],
    sums: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, dy, qkv, dx, d_qkv, d_mixed, d_normed, sums, scratch, .. } = self;
        let d = layer.width();
        let rows = x.len() / d;
        let (a, b) = (View::rows(dy, d), self.out_back);
        simd.vectorize(Product { out: d_mixed, stride: d, a, rows, b, onto: Onto::Bias });
        let (d_weight, rest) = sums.split_at_mut(d);
        let (d_bias, rest) = rest.split_at_mut(d);
        let (d_qkv_bias, rest) = rest.split_at_mut(3 * d);
        let (d_out_bias, d_scales) = rest.split_at_mut(d);
        let base = self.segments.first().map_or(0, |s| s.start);
        for segment in self.segments {
            let at = segment.start - base..segment.end - base;
            let wide = at.start * 3 * d..at.end * 3 * d;
            let grads = &mut d_qkv[wide.clone()];
            let to = AttendGrads { grads, d_scales };
            let d_mixed = &d_mixed[at.start * d..at.end * d];
            layer.heads_of(segment).backward(simd, &qkv[wide], d_mixed, to, scratch);
        }
        let (a, b) = (View::rows(d_qkv, 3 * d), self.qkv_back);
        simd.vectorize(Product { out: d_normed, stride: d, a, rows, b, onto: Onto::Bias });
        if layer.qkv_bias.is_some() {
            add_rows(simd, d_qkv_bias, d_qkv);
        }
        if layer.out_bias.is_some() {
            add_rows(simd, d_out_bias, dy);
        }
        dx.copy_from_slice(dy);
        layer.norm.rows_backward(simd, x, d_normed, NormGrads { dx, d_weight, d_bias });
    }
}

impl<'a> Mixer<'a> {
    fn width(&self) -> usize {
        self.norm.weight.len()
    }

    fn heads_of(&self, rows: &Range<usize>) -> Heads<'a> {
        let (width, count) = (self.width(), self.heads);
        let Self { scales, turns, sight, .. } = *self;
        Heads { width, count, scales, turns, sight }.of(rows)
    }

    /// The layer's output and, where `keep`, queries, keys, values and what came of them.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        segments: &Segments,
        keep: bool,
        precision: Precision,
    ) -> (Buffer, Buffer, Buffer) {
        let d = self.width();
        let n = x.len() / d;
        let qkv_weight = Weight::new(self.qkv, (d, 3 * d), self.qkv_bias, precision);
        let out_weight = Weight::new(self.out, (d, d), self.out_bias, precision);
        let ranges: Vec<Range<usize>> = segments.ranges().collect();
        let groups = groups(&ranges, CHUNK_ROWS);
        let rows = rows_of(&groups, &ranges);
        let mut out = Buffer::fresh(x.len());
        let (mut qkv, mut mixed) = if keep {
            (Buffer::fresh(3 * n * d), Buffer::fresh(n * d))
        } else {
            Default::default()
        };
        let outs = cut(&mut out, &rows, d);
        let one = |(group, rows): (&Range<usize>, &Range<usize>),
                   out: &mut [f32],
                   kept: Option<(&mut [f32], &mut [f32])>| {
            with_scratch(|s| {
                let count = rows.len();
                let normed = held(&mut s.a, count * d);
                let (qkv, mixed) = match kept {
                    Some(kept) => kept,
                    None => (held(&mut s.b, 3 * count * d), held(&mut s.c, count * d)),
                };
                run(Forward {
                    layer: self,
                    qkv_weight: &qkv_weight,
                    out: Some((&out_weight, out)),
                    segments: &ranges[group.clone()],
                    x: &x[rows.start * d..rows.end * d],
                    normed,
                    qkv,
                    mixed,
                    factors: &mut s.factors,
                    scratch: &mut s.attend,
                });
            });
        };
        let tasks = groups.par_iter().zip(&rows).zip(outs);
        if keep {
            let kept = cut(&mut qkv, &rows, 3 * d).into_par_iter().zip(cut(&mut mixed, &rows, d));
            tasks.zip(kept).for_each(|((at, out), kept)| one(at, out, Some(kept)));
        } else {
            tasks.for_each(|(at, out)| one(at, out, None));
        }
        (out, qkv, mixed)
    }

    /// Gradients, given the input, that of the output, and what forward kept, if anything.
    pub(crate) fn backward(
        &self,
        x: &[f32],
        dy: &[f32],
        segments: &Segments,
        kept: Option<Kept<'_>>,
    ) -> MixerGrads {
        let d = self.width();
        let (qkv_back, out_back) = (packed_back(self.qkv, d, 3 * d), packed_back(self.out, d, d));
        let again = kept
            .is_none()
            .then(|| Weight::new(self.qkv, (d, 3 * d), self.qkv_bias, Precision::F32));
        let (mut d_qkv_weight, mut d_out_weight) =
            (WeightGrad::new(d, 3 * d), WeightGrad::new(d, d));
        let ranges: Vec<Range<usize>> = segments.ranges().collect();
        let rounds = groups(&ranges, round_rows(8 * d));
        let mut dx = Buffer::fresh(x.len());
        let scales = 2 * (d / self.heads);
        let width = 6 * d + scales;
        let mut sums = vec![0.0; width];
        let most = rounds.iter().map(|r| ranges[r.end - 1].end - ranges[r.start].start).max();
        let most = most.unwrap_or(0);
        let (mut normed, mut d_qkv) = (Buffer::fresh(most * d), Buffer::fresh(3 * most * d));
        let again_rows = if kept.is_none() { most } else { 0 };
        let (mut qkv, mut mixed) =
            (Buffer::fresh(3 * again_rows * d), Buffer::fresh(again_rows * d));
        for round in rounds {
            let ranges = &ranges[round];
            let (start, end) = (ranges[0].start, ranges[ranges.len() - 1].end);
            let count = end - start;
            let groups = groups(ranges, CHUNK_ROWS);
            let rows = rows_of(&groups, ranges);
            let local: Vec<Range<usize>> =
                rows.iter().map(|r| r.start - start..r.end - start).collect();
            let (x, dy) = (&x[start * d..end * d], &dy[start * d..end * d]);
            let normed = &mut normed[..count * d];
            let d_qkv = &mut d_qkv[..3 * count * d];
            let (qkv, mixed) = match (kept, &again) {
                (Some(kept), _) => {
                    (&kept.qkv[3 * start * d..3 * end * d], &kept.mixed[start * d..end * d])
                }
                (None, Some(weight)) => {
                    let (qkv, mixed) = (&mut qkv[..3 * count * d], &mut mixed[..count * d]);
                    let parts = cut(qkv, &local, 3 * d).into_par_iter().zip(cut(mixed, &local, d));
                    groups.par_iter().zip(&local).zip(cut(normed, &local, d)).zip(parts).for_each(
                        |(((group, at), normed), (qkv, mixed))| {
                            with_scratch(|s| {
                                run(Forward {
                                    layer: self,
                                    qkv_weight: weight,
                                    out: None,
                                    segments: &ranges[group.clone()],
                                    x: &x[at.start * d..at.end * d],
                                    normed,
                                    qkv,
                                    mixed,
                                    factors: &mut s.factors,
                                    scratch: &mut s.attend,
                                })
                            });
                        },
                    );
                    (&*qkv, &*mixed)
                }
                (None, None) => unreachable!("activations are kept or computed again"),
            };
            if kept.is_some() {
                normed
                    .par_chunks_mut(CHUNK_ROWS * d)
                    .zip(x.par_chunks(CHUNK_ROWS * d))
                    .for_each(|(out, x)| run(super::norm::NormRows { norm: self.norm, x, out }));
            }
            let mut partial = vec![0.0; groups.len() * width];
            let parts = cut(&mut dx[start * d..end * d], &local, d)
                .into_par_iter()
                .zip(cut(d_qkv, &local, 3 * d))
                .zip(partial.par_chunks_mut(width));
            groups.par_iter().zip(&local).zip(parts).for_each(
                |((group, at), ((dx, d_qkv), sums))| {
                    with_scratch(|s| {
                        let n = at.len();
                        run(Backward {
                            layer: self,
                            qkv_back: &qkv_back,
                            out_back: &out_back,
                            segments: &ranges[group.clone()],
                            x: &x[at.start * d..at.end * d],
                            dy: &dy[at.start * d..at.end * d],
                            qkv: &qkv[3 * at.start * d..3 * at.end * d],
                            dx,
                            d_qkv,
                            d_mixed: held(&mut s.a, n * d),
                            d_normed: held(&mut s.b, n * d),
                            sums,
                            scratch: &mut s.attend,
                        });
                    });
                },
            );
            d_qkv_weight
                .add(normed, d_qkv, count)
                .chain(d_out_weight.add(mixed, dy, count))
                .for_each(Task::run);
            for part in partial.chunks_exact(width) {
                for (sum, value) in sums.iter_mut().zip(part) {
                    *sum += value;
                }
            }
        }
        let e = d / self.heads;
        let part = |at: Range<usize>| sums[at].to_vec();
        MixerGrads {
            dx,
            norm: part(0..d),
            norm_bias: part(d..2 * d),
            qkv: d_qkv_weight.finish(),
            qkv_bias: part(2 * d..5 * d),
            out: d_out_weight.finish(),
            out_bias: part(5 * d..6 * d),
            q_scale: part(6 * d..6 * d + e),
            k_scale: part(6 * d + e..6 * d + 2 * e),
        }
    }
}
