//! How the rows of a batch are shared out: the same way whatever the number of threads.

use std::cell::RefCell;
use std::ops::Range;

use super::attend;
use pulp::{Simd, WithSimd};

use super::bf16::{self, Packed16};
use super::int8::{self, Packed8};
use super::matmul::{Onto, Packed, Product, View};
use super::run;
use crate::Precision;

/// Rows that one task takes: their activations stay in a core's cache.
pub(crate) const CHUNK_ROWS: usize = 96;

/// Bytes of scratch that all tasks of one round of a backward pass share.
const ROUND_BYTES: usize = 12 << 20;

/// Rows of one round, given the floats of scratch a row needs.
pub(crate) fn round_rows(floats_a_row: usize) -> usize {
    let rows = ROUND_BYTES / (4 * floats_a_row.max(1));
    (rows / CHUNK_ROWS).clamp(4, 64) * CHUNK_ROWS
}

/// Groups ranges, in order, until a group has at least `rows` rows.
pub(crate) fn groups(ranges: &[Range<usize>], rows: usize) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let (mut first, mut held) = (0, 0);
    for (i, range) in ranges.iter().enumerate() {
        held += range.len();
        if held >= rows {
            groups.push(first..i + 1);
            (first, held) = (i + 1, 0);
        }
    }
    if first < ranges.len() {
        groups.push(first..ranges.len());
    }
    groups
}

/// The rows that groups of segments cover.
pub(crate) fn rows_of(groups: &[Range<usize>], segments: &[Range<usize>]) -> Vec<Range<usize>> {
    groups.iter().map(|g| segments[g.start].start..segments[g.end - 1].end).collect()
}

/// Ranges of at most `rows` that cover `0..total`.
pub(crate) fn even(total: usize, rows: usize) -> Vec<Range<usize>> {
    (0..total).step_by(rows.max(1)).map(|first| first..(first + rows).min(total)).collect()
}

/// Cuts `rows × width` values into the parts that belong to these ranges, which follow one another.
pub(crate) fn cut<'a>(
    mut values: &'a mut [f32],
    ranges: &[Range<usize>],
    width: usize,
) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let (part, rest) = values.split_at_mut(range.len() * width);
        parts.push(part);
        values = rest;
    }
    parts
}

/// Memory that a thread keeps from one task to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) c: Vec<f32>,
    pub(crate) factors: Vec<u32>,
    pub(crate) attend: attend::Scratch,
}

/// The first `length` values of a buffer, grown where it is too short. What they hold is left over.
pub(crate) fn held(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

/// Lends the thread's scratch to a task that starts no other tasks.
pub(crate) fn with_scratch<T>(task: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(task)
}

/// Packs a matrix for the processor at hand.
pub(crate) struct Pack<'a> {
    pub(crate) b: View<'a>,
    pub(crate) inner: usize,
    pub(crate) outer: usize,
    pub(crate) bias: Option<&'a [f32]>,
}

impl WithSimd for Pack<'_> {
    type Output = Packed;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Packed {
        Packed::new::<S>(self.b, self.inner, self.outer, self.bias)
    }
}

/// A weight matrix packed for the forward pass.
pub(crate) enum Weight {
    F32(Packed),
    Bf16(Packed16),
    Int8(Packed8),
}

impl Weight {
    /// Packs `[inner, outer]`; in bfloat16 or 8 bits where that is wanted and there.
    pub(crate) fn new(
        w: &[f32],
        (inner, outer): (usize, usize),
        bias: Option<&[f32]>,
        precision: Precision,
    ) -> Self {
        match precision {
            Precision::Bf16 if bf16::supported() => {
                Self::Bf16(Packed16::new(w, inner, outer, bias))
            }
            Precision::Int8 if int8::supported() => Self::Int8(Packed8::new(w, inner, outer, bias)),
            Precision::Bf16 | Precision::Int8 | Precision::F32 => {
                Self::F32(packed(w, inner, outer, bias))
            }
        }
    }

    /// `out = x · w + bias (+ out)` for rows that follow one another.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(
        &self,
        simd: S,
        out: &mut [f32],
        (x, inner): (&[f32], usize),
        onto: Onto,
        factors: &mut Vec<u32>,
    ) {
        let rows = x.len() / inner;
        let stride = out.len() / rows;
        match self {
            Self::F32(b) => {
                simd.vectorize(Product { out, stride, a: View::rows(x, inner), rows, b, onto });
            }
            Self::Bf16(b) => bf16::product((out, stride), x, b, onto, factors),
            Self::Int8(b) => int8::product((out, stride), x, b, onto, factors),
        }
    }
}

/// A weight matrix `[inner, outer]` packed for `x · w`.
pub(crate) fn packed(w: &[f32], inner: usize, outer: usize, bias: Option<&[f32]>) -> Packed {
    run(Pack { b: View::rows(w, outer), inner, outer, bias })
}

/// The same matrix packed for `g · wᵀ`.
pub(crate) fn packed_back(w: &[f32], inner: usize, outer: usize) -> Packed {
    run(Pack { b: View::rows(w, outer).transposed(), inner: outer, outer: inner, bias: None })
}
