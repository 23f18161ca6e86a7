//! Attention that stands alone, over all segments on every core.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::attend::{AttendGrads, Heads, Scratch};
use super::rows::{CHUNK_ROWS, cut, groups, rows_of, with_scratch};
use super::{Buffer, run};
use crate::Segments;

struct Forward<'a> {
    heads: Heads<'a>,
    qkv: &'a [f32],
    mixed: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.heads.forward(simd, self.qkv, self.mixed, self.scratch);
    }
}

struct Backward<'a> {
    heads: Heads<'a>,
    qkv: &'a [f32],
    d_mixed: &'a [f32],
    to: AttendGrads<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.heads.backward(simd, self.qkv, self.d_mixed, self.to, self.scratch);
    }
}

impl<'a> Heads<'a> {
    /// The same heads for the tokens of one segment of a batch.
    pub(crate) fn of(&self, rows: &Range<usize>) -> Heads<'a> {
        let half = self.width / self.count / 2;
        let part = |t: &'a [f32]| &t[rows.start * half..rows.end * half];
        Heads { turns: self.turns.map(|(cos, sin)| (part(cos), part(sin))), ..*self }
    }
}

/// `[n, 3 d]` to `[n, d]`.
pub(crate) fn attend(heads: &Heads<'_>, qkv: &[f32], segments: &Segments) -> Buffer {
    let d = heads.width;
    let ranges: Vec<Range<usize>> = segments.ranges().collect();
    let groups = groups(&ranges, CHUNK_ROWS);
    let rows = rows_of(&groups, &ranges);
    let mut out = Buffer::fresh(segments.tokens() * d);
    groups.par_iter().zip(&rows).zip(cut(&mut out, &rows, d)).for_each(|((group, rows), out)| {
        for segment in &ranges[group.clone()] {
            let at = segment.start - rows.start..segment.end - rows.start;
            let mixed = &mut out[at.start * d..at.end * d];
            let qkv = &qkv[segment.start * 3 * d..segment.end * 3 * d];
            with_scratch(|s| {
                run(Forward { heads: heads.of(segment), qkv, mixed, scratch: &mut s.attend });
            });
        }
    });
    out
}

/// Gradients of `qkv` and of the scales of queries and keys.
pub(crate) fn attend_backward(
    heads: &Heads<'_>,
    qkv: &[f32],
    d_mixed: &[f32],
    segments: &Segments,
) -> (Buffer, Vec<f32>, Vec<f32>) {
    let (d, e) = (heads.width, heads.width / heads.count);
    let ranges: Vec<Range<usize>> = segments.ranges().collect();
    let groups = groups(&ranges, CHUNK_ROWS);
    let rows = rows_of(&groups, &ranges);
    let mut out = Buffer::fresh(qkv.len());
    let mut partial = vec![0.0; groups.len() * 2 * e];
    let outs = cut(&mut out, &rows, 3 * d).into_par_iter().zip(partial.par_chunks_mut(2 * e));
    groups.par_iter().zip(&rows).zip(outs).for_each(|((group, rows), (out, d_scales))| {
        for segment in &ranges[group.clone()] {
            let at = segment.start - rows.start..segment.end - rows.start;
            let grads = &mut out[at.start * 3 * d..at.end * 3 * d];
            let qkv = &qkv[segment.start * 3 * d..segment.end * 3 * d];
            let d_mixed = &d_mixed[segment.start * d..segment.end * d];
            let heads = heads.of(segment);
            with_scratch(|s| {
                let to = AttendGrads { grads, d_scales };
                run(Backward { heads, qkv, d_mixed, to, scratch: &mut s.attend });
            });
        }
    });
    let mut sums = vec![0.0; 2 * e];
    for part in partial.chunks_exact(2 * e) {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    let keys = sums.split_off(e);
    (out, sums, keys)
}
