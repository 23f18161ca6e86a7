//! Attention within one segment, head by head.

use pulp::Simd;

use super::matmul::{Onto, Packed, Product, View};
use super::norm::{NormGrads, RowNorm};
use super::vector::{dot, exp, update};
use crate::{NormKind, Sight};

/// Query rows whose scores are held at once.
const QUERY_ROWS: usize = 48;

/// What attention needs besides queries, keys and values.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// Width of a token.
    pub(crate) width: usize,
    /// Number of heads.
    pub(crate) count: usize,
    /// Scales of the norms of queries and keys.
    pub(crate) scales: Option<(&'a [f32], &'a [f32])>,
    /// Cosines and sines, `[tokens of the segment, e / 2]`.
    pub(crate) turns: Option<(&'a [f32], &'a [f32])>,
    /// How much of the segment a token attends to.
    pub(crate) sight: Sight,
}

/// Memory that one thread reuses.
#[derive(Default)]
pub(crate) struct Scratch {
    turned: Vec<f32>,
    scores: Vec<f32>,
    slopes: Vec<f32>,
    keys_across: Packed,
    keys_along: Packed,
    values_across: Packed,
    values_along: Packed,
    block: Packed,
}

impl<'a> Heads<'a> {
    fn head_width(&self) -> usize {
        self.width / self.count
    }

    /// Whether queries and keys are changed before they meet.
    fn changes(&self) -> bool {
        self.scales.is_some() || self.turns.is_some()
    }

    fn norm(scale: &'a [f32]) -> RowNorm<'a> {
        let epsilon = crate::QK_EPSILON as f32;
        RowNorm { weight: scale, bias: None, kind: NormKind::Rms, epsilon }
    }

    /// Norms and turns queries and keys: `qkv` is `[tokens, 3 width]`, changed in place.
    #[inline(always)]
    fn change<S: Simd>(&self, simd: S, qkv: &mut [f32]) {
        let (d, e) = (self.width, self.head_width());
        let mut before = [0.0_f32; MOST_HEAD];
        for (t, row) in qkv.chunks_exact_mut(3 * d).enumerate() {
            for (h, head) in row[..2 * d].chunks_exact_mut(e).enumerate() {
                if let Some((q, k)) = self.scales {
                    let scale = if h < self.count { q } else { k };
                    before[..e].copy_from_slice(head);
                    Self::norm(scale).rows(simd, &before[..e], head);
                }
                if let Some((cos, sin)) = self.turns {
                    let at = t * e / 2..(t + 1) * e / 2;
                    turn(head, &cos[at.clone()], &sin[at], 1.0);
                }
            }
        }
    }

    /// The way back: `grads` becomes the gradients before the change; `qkv` is as it was before it.
    #[inline(always)]
    fn change_backward<S: Simd>(
        &self,
        simd: S,
        qkv: &[f32],
        grads: &mut [f32],
        d_scales: &mut [f32],
    ) {
        let (d, e) = (self.width, self.head_width());
        let (mut dn, mut nothing) = ([0.0_f32; MOST_HEAD], [0.0_f32; 0]);
        for (t, (row, grad)) in
            qkv.chunks_exact(3 * d).zip(grads.chunks_exact_mut(3 * d)).enumerate()
        {
            let heads = row[..2 * d].chunks_exact(e).zip(grad[..2 * d].chunks_exact_mut(e));
            for (h, (head, grad)) in heads.enumerate() {
                if let Some((cos, sin)) = self.turns {
                    let at = t * e / 2..(t + 1) * e / 2;
                    turn(grad, &cos[at.clone()], &sin[at], -1.0);
                }
                if let Some((q, k)) = self.scales {
                    let (scale, first) = if h < self.count { (q, 0) } else { (k, e) };
                    dn[..e].copy_from_slice(grad);
                    grad.fill(0.0);
                    let d_weight = &mut d_scales[first..first + e];
                    let to = NormGrads { dx: grad, d_weight, d_bias: &mut nothing };
                    Self::norm(scale).rows_backward(simd, head, &dn[..e], to);
                }
            }
        }
    }

    /// `mixed = softmax(q kᵀ / √e) v` for the tokens of one segment.
    #[inline(always)]
    pub(crate) fn forward<S: Simd>(
        &self,
        simd: S,
        qkv: &[f32],
        mixed: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (d, e) = (self.width, self.head_width());
        let tokens = mixed.len() / d;
        let mut turned = std::mem::take(&mut scratch.turned);
        let qkv = self.changed(simd, qkv, &mut turned);
        let room = QUERY_ROWS * tokens.next_multiple_of(2 * S::F32_LANES);
        if scratch.scores.len() < room {
            scratch.scores.resize(room, 0.0);
        }
        for h in 0..self.count {
            let part = |i: usize| View::rows(qkv, 3 * d).at_column(i * d + h * e);
            let stride = scratch.keys_across.fill_wide::<S>(part(1).transposed(), e, tokens);
            scratch.values_along.fill::<S>(part(2), tokens, e);
            for first in (0..tokens).step_by(QUERY_ROWS) {
                let rows = QUERY_ROWS.min(tokens - first);
                let scores = &mut scratch.scores[..rows * stride];
                let (a, b) = (part(0).at_row(first), &scratch.keys_across);
                simd.vectorize(Product { out: scores, stride, a, rows, b, onto: Onto::Bias });
                let mut shares = [0.0; QUERY_ROWS];
                let scale = 1.0 / (e as f32).sqrt();
                let unseen = Unseen { sight: self.sight, first, tokens };
                unseen.fill(scores, stride, f32::NEG_INFINITY);
                exponentials(simd, scores, (stride, tokens), scale, &mut shares);
                unseen.fill(scores, stride, 0.0);
                let (a, b) = (View::rows(scores, stride), &scratch.values_along);
                let out = &mut mixed[first * d + h * e..];
                simd.vectorize(Product { out, stride: d, a, rows, b, onto: Onto::Bias });
                for (row, share) in out.chunks_mut(d).zip(&shares[..rows]) {
                    scaled(simd, &mut row[..e], *share);
                }
            }
        }
        scratch.turned = turned;
    }

    #[inline(always)]
    fn changed<'b, S: Simd>(&self, simd: S, qkv: &'b [f32], turned: &'b mut Vec<f32>) -> &'b [f32] {
        if !self.changes() {
            return qkv;
        }
        turned.clear();
        turned.extend_from_slice(qkv);
        self.change(simd, turned);
        turned
    }

    /// `grads` becomes the gradients of `qkv`, given those of `mixed`; adds to those of the scales
    /// (queries, then keys).
    #[inline(always)]
    pub(crate) fn backward<S: Simd>(
        &self,
        simd: S,
        qkv: &[f32],
        d_mixed: &[f32],
        to: AttendGrads<'_>,
        scratch: &mut Scratch,
    ) {
        let (d, e) = (self.width, self.head_width());
        let tokens = d_mixed.len() / d;
        let AttendGrads { grads, d_scales } = to;
        grads.fill(0.0);
        let mut turned = std::mem::take(&mut scratch.turned);
        let now = self.changed(simd, qkv, &mut turned);
        let room = QUERY_ROWS * tokens.next_multiple_of(2 * S::F32_LANES);
        for buffer in [&mut scratch.scores, &mut scratch.slopes] {
            if buffer.len() < room {
                buffer.resize(room, 0.0);
            }
        }
        for h in 0..self.count {
            let (at, sight) = (h * e, self.sight);
            let head = OneHead { qkv: now, d_mixed, width: d, e, at, tokens, sight };
            head.backward(simd, grads, scratch);
        }
        if self.changes() {
            self.change_backward(simd, qkv, grads, d_scales);
        }
        scratch.turned = turned;
    }
}

/// Where the gradients of attention go.
pub(crate) struct AttendGrads<'a> {
    pub(crate) grads: &'a mut [f32],
    pub(crate) d_scales: &'a mut [f32],
}

/// Widest head there is.
pub(crate) const MOST_HEAD: usize = 256;

/// One head of one segment on its way back.
struct OneHead<'a> {
    qkv: &'a [f32],
    d_mixed: &'a [f32],
    width: usize,
    e: usize,
    at: usize,
    tokens: usize,
    sight: Sight,
}

impl OneHead<'_> {
    fn part(&self, i: usize) -> View<'_> {
        View::rows(self.qkv, 3 * self.width).at_column(i * self.width + self.at)
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, grads: &mut [f32], scratch: &mut Scratch) {
        let Self { e, tokens, sight, .. } = *self;
        let d = self.width;
        let scale = 1.0 / (e as f32).sqrt();
        let stride = scratch.keys_across.fill_wide::<S>(self.part(1).transposed(), e, tokens);
        scratch.keys_along.fill::<S>(self.part(1), tokens, e);
        scratch.values_across.fill_wide::<S>(self.part(2).transposed(), e, tokens);
        for first in (0..tokens).step_by(QUERY_ROWS) {
            let rows = QUERY_ROWS.min(tokens - first);
            let scores = &mut scratch.scores[..rows * stride];
            let slopes = &mut scratch.slopes[..rows * stride];
            let queries = self.part(0).at_row(first);
            let d_out = View::rows(self.d_mixed, d).at_column(self.at).at_row(first);
            let onto = Onto::Bias;
            let b = &scratch.keys_across;
            simd.vectorize(Product { out: scores, stride, a: queries, rows, b, onto });
            let mut shares = [0.0; QUERY_ROWS];
            let unseen = Unseen { sight, first, tokens };
            unseen.fill(scores, stride, f32::NEG_INFINITY);
            exponentials(simd, scores, (stride, tokens), scale, &mut shares);
            unseen.fill(scores, stride, 0.0);
            for (row, share) in scores.chunks_exact_mut(stride).zip(shares) {
                scaled(simd, &mut row[..tokens], share);
            }
            let b = &scratch.values_across;
            simd.vectorize(Product { out: slopes, stride, a: d_out, rows, b, onto });

            // Values: dv += pᵀ d_out.
            let onto = Onto::Output;
            scratch.block.fill::<S>(d_out, rows, e);
            let a = View::rows(scores, stride).transposed();
            let out = &mut grads[2 * d + self.at..];
            let b = &scratch.block;
            simd.vectorize(Product { out, stride: 3 * d, a, rows: tokens, b, onto });

            softmax_backward(simd, scores, slopes, (stride, tokens), scale);
            let out = &mut grads[first * 3 * d + self.at..];
            let (a, b) = (View::rows(slopes, stride), &scratch.keys_along);
            simd.vectorize(Product { out, stride: 3 * d, a, rows, b, onto });
            scratch.block.fill::<S>(queries, rows, e);
            let out = &mut grads[d + self.at..];
            let (a, b) = (View::rows(slopes, stride).transposed(), &scratch.block);
            simd.vectorize(Product { out, stride: 3 * d, a, rows: tokens, b, onto });
        }
    }
}

/// Turns the first half of a head against the second.
#[inline(always)]
fn turn(head: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
    let (a, b) = head.split_at_mut(cos.len());
    for (((a, b), c), s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
        let s = direction * s;
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}

/// What the tokens of a block of rows do not see of their segment.
#[derive(Clone, Copy)]
struct Unseen {
    sight: Sight,
    /// Place of the first row's token in its segment.
    first: usize,
    /// Tokens of the segment.
    tokens: usize,
}

impl Unseen {
    /// Puts this number in its place.
    #[inline(always)]
    fn fill(self, scores: &mut [f32], stride: usize, number: f32) {
        if self.sight == Sight::Whole {
            return;
        }
        for (place, row) in (self.first..).zip(scores.chunks_exact_mut(stride)) {
            row[self.sight.of(place, self.tokens)..self.tokens].fill(number);
        }
    }
}

/// Exponentials of `scale · (scores − the largest of the row)` over the first `tokens` of every row, and what
/// makes shares of them: 1 / their sum.
#[inline(always)]
fn exponentials<S: Simd>(
    simd: S,
    scores: &mut [f32],
    (stride, tokens): (usize, usize),
    scale: f32,
    shares: &mut [f32],
) {
    let (factor, wide) = (simd.splat_f32s(scale), tokens.next_multiple_of(S::F32_LANES));
    // The largest of all rows first: what waits for one row's does not hold up the next.
    for (row, most) in scores.chunks_exact_mut(stride).zip(&mut *shares) {
        row[tokens..wide].fill(f32::NEG_INFINITY);
        let mut lanes = simd.splat_f32s(f32::NEG_INFINITY);
        for &x in S::as_simd_f32s(&row[..wide]).0 {
            lanes = simd.max_f32s(lanes, x);
        }
        *most = simd.reduce_max_f32s(lanes);
    }
    for (row, share) in scores.chunks_exact_mut(stride).zip(shares) {
        let (most, mut total) = (simd.splat_f32s(*share), simd.splat_f32s(0.0));
        for x in S::as_mut_simd_f32s(&mut row[..wide]).0 {
            *x = exp(simd, simd.mul_f32s(simd.sub_f32s(*x, most), factor));
            total = simd.add_f32s(total, *x);
        }
        *share = 1.0 / simd.reduce_sum_f32s(total);
    }
}

/// `row · by`.
#[inline(always)]
fn scaled<S: Simd>(simd: S, row: &mut [f32], by: f32) {
    let (body, tail) = S::as_mut_simd_f32s(row);
    let factor = simd.splat_f32s(by);
    for x in body {
        *x = simd.mul_f32s(*x, factor);
    }
    for x in tail {
        *x *= by;
    }
}

/// `slopes = scale · p (slopes − Σ p slopes)`, row by row.
#[inline(always)]
fn softmax_backward<S: Simd>(
    simd: S,
    p: &[f32],
    slopes: &mut [f32],
    (stride, tokens): (usize, usize),
    scale: f32,
) {
    for (p, slope) in p.chunks_exact(stride).zip(slopes.chunks_exact_mut(stride)) {
        let (p, slope) = (&p[..tokens], &mut slope[..tokens]);
        let mean = simd.splat_f32s(dot(simd, p, slope));
        let factor = simd.splat_f32s(scale);
        update(
            simd,
            slope,
            p,
            #[inline(always)]
            |s, p| simd.mul_f32s(simd.mul_f32s(p, factor), simd.sub_f32s(s, mean)),
        );
    }
}
