//! Products of 8-bit factors with 32-bit integer sums, where the processor has instructions for them
//! (AVX-512 VNNI).
//!
//! A column of the right-hand side has one scale, and so has a row of the left: the largest magnitude over 127. A row
//! is rounded as it comes, so that what it gives depends on no other row. Sums of integers are exact; all
//! that is lost is half a step of each factor.
//!
//! The instruction multiplies unsigned by signed numbers: those of rows are moved up by 128, and the sums of a column begin
//! at −128 times the sum of its numbers.

#![expect(unsafe_code, reason = "vector instructions, and an inner loop without bounds checks")]

use super::matmul::Onto;

/// Columns of a panel: two vectors of sums.
const PANEL: usize = 32;

/// Inner neighbours that one instruction adds up.
const QUAD: usize = 4;

/// Largest magnitude of a number.
const LARGEST: f32 = 127.0;

/// What numbers of rows are moved up by.
const MIDDLE: u8 = 128;

/// Whether this processor adds up products of 8-bit numbers.
pub(crate) fn supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512vnni")
            && std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The right-hand side of a product, `[inner, outer]`: four inner neighbours side by side, in panels of
/// columns.
pub(crate) struct Packed8 {
    quads: Vec<u32>,
    /// Of each column, the value of one step.
    scale: Vec<f32>,
    /// Of each column, what its sums begin with.
    start: Vec<i32>,
    bias: Vec<f32>,
    inner: usize,
    outer: usize,
}

impl Packed8 {
    /// Packs `[inner, outer]`, row by row, with what is added to every row of a product, if anything.
    ///
    /// # Panics
    /// Where [`supported`] says no, or where `b` is too short.
    pub(crate) fn new(b: &[f32], inner: usize, outer: usize, bias: Option<&[f32]>) -> Self {
        assert!(supported(), "this processor has no 8-bit products");
        assert!(inner * outer <= b.len());
        let columns = outer.next_multiple_of(PANEL);
        let mut full = bias.map(<[f32]>::to_vec).unwrap_or_default();
        full.resize(columns, 0.0);
        let mut packed = Self {
            quads: vec![0; inner.div_ceil(QUAD) * columns],
            scale: vec![0.0; columns],
            start: vec![0; columns],
            bias: full,
            inner,
            outer,
        };
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instructions are there and `b` holds `inner` lines of `outer` values, as asserted.
        unsafe {
            x86::pack(b, &mut packed);
        }
        packed
    }
}

/// `out[rows, outer] = a[rows, inner] · b (+ out)`, plus the bias of `b`. Rows of `a` follow one another.
///
/// # Panics
/// Where [`supported`] says no, or where the slices are too short.
pub(crate) fn product(
    (out, stride): (&mut [f32], usize),
    a: &[f32],
    b: &Packed8,
    onto: Onto,
    factors: &mut Vec<u32>,
) {
    assert!(supported(), "this processor has no 8-bit products");
    let rows = a.len() / b.inner.max(1);
    if rows == 0 || b.outer == 0 {
        return;
    }
    assert!((rows - 1) * stride + b.outer <= out.len() && b.outer <= stride);
    let quads = b.inner.div_ceil(QUAD);
    // The rows' numbers, then the bits of their scales.
    factors.resize(rows * (quads + 1), 0);
    let (numbers, scales) = factors.split_at_mut(rows * quads);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instructions are there, as asserted; `numbers` holds `rows` lines of `quads`, `scales` one
    // value a row, and `out` `rows` lines of `outer` values at `stride`, as asserted.
    unsafe {
        x86::round_rows(a, b.inner, numbers, scales);
        x86::product(out, stride, (numbers, scales), b, onto);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512i, _mm_storeu_si128, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_ps,
        _mm512_and_si512, _mm512_castps_si512, _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps,
        _mm512_cvtps_epi32, _mm512_div_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
        _mm512_loadu_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_maskz_loadu_ps,
        _mm512_max_epu32, _mm512_max_ps, _mm512_mul_ps, _mm512_mullo_epi32, _mm512_or_si512,
        _mm512_reduce_max_epu32, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_setzero_si512, _mm512_sllv_epi32, _mm512_storeu_epi32, _mm512_storeu_ps,
    };

    use super::{LARGEST, MIDDLE, PANEL, Packed8, QUAD};
    use crate::cpu::matmul::Onto;

    /// Lanes of a vector.
    const LANES: usize = 16;

    /// # Safety
    /// The processor must have AVX-512, and `b` must hold `inner` lines of `outer` values.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn pack(b: &[f32], to: &mut Packed8) {
        let (inner, outer, quads) = (to.inner, to.outer, to.inner.div_ceil(QUAD));
        for first in (0..outer).step_by(LANES) {
            let mask = u16::MAX >> (LANES - LANES.min(outer - first));
            let line = |k: usize| {
                // SAFETY: lanes beyond the line are not loaded.
                unsafe { _mm512_maskz_loadu_ps(mask, b.as_ptr().add(k * outer + first)) }
            };
            let mut most = _mm512_setzero_ps();
            for k in 0..inner {
                most = _mm512_max_ps(_mm512_abs_ps(line(k)), most);
            }
            // A column of zeros is zeros at any scale.
            let least = _mm512_set1_ps(f32::MIN_POSITIVE);
            let scale = _mm512_div_ps(_mm512_max_ps(most, least), _mm512_set1_ps(LARGEST));
            let steps = _mm512_div_ps(_mm512_set1_ps(1.0), scale);
            let mut sum = _mm512_setzero_si512();
            let at = (first / PANEL * quads) * PANEL + first % PANEL;
            for quad in 0..quads {
                let mut four = _mm512_setzero_si512();
                for k in quad * QUAD..inner.min((quad + 1) * QUAD) {
                    let numbers = _mm512_cvtps_epi32(_mm512_mul_ps(line(k), steps));
                    sum = _mm512_add_epi32(sum, numbers);
                    let byte = _mm512_and_si512(numbers, _mm512_set1_epi32(0xFF));
                    let place = _mm512_set1_epi32(8 * (k % QUAD) as i32);
                    four = _mm512_or_si512(four, _mm512_sllv_epi32(byte, place));
                }
                // SAFETY: panels hold whole vectors, beyond the last column too.
                unsafe {
                    let line = to.quads.as_mut_ptr().add(at + quad * PANEL);
                    _mm512_storeu_epi32(line.cast(), four);
                }
            }
            let start = _mm512_mullo_epi32(sum, _mm512_set1_epi32(-i32::from(MIDDLE)));
            // SAFETY: as above.
            unsafe {
                _mm512_storeu_epi32(to.start.as_mut_ptr().add(first), start);
                _mm512_storeu_ps(to.scale.as_mut_ptr().add(first), scale);
            }
        }
    }

    /// Rows of `inner` values to rows of quads, and the bits of each row's scale. A row that holds what is not a
    /// number has a scale that is none.
    ///
    /// # Safety
    /// The processor must have AVX-512.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn round_rows(
        a: &[f32],
        inner: usize,
        numbers: &mut [u32],
        scales: &mut [u32],
    ) {
        let quads = inner.div_ceil(QUAD);
        let tail = inner % LANES;
        let body = inner - tail;
        let mask = (1_u16 << tail) - 1;
        let middle = _mm512_set1_epi32(i32::from(MIDDLE));
        let rows = a.chunks_exact(inner).zip(numbers.chunks_exact_mut(quads)).zip(scales);
        for ((row, out), scale) in rows {
            // SAFETY: lanes beyond the row are not loaded.
            let rest = unsafe { _mm512_maskz_loadu_ps(mask, row.as_ptr().add(body)) };
            // Magnitudes compare as their bits do, and what is not a number is above them all.
            let mut most = _mm512_castps_si512(_mm512_abs_ps(rest));
            for values in row.as_chunks::<LANES>().0 {
                // SAFETY: `values` are 16 floats.
                let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
                most = _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(values)));
            }
            let most = f32::from_bits(_mm512_reduce_max_epu32(most));
            *scale = (most / LARGEST).to_bits();
            // A row of zeros is zeros at any scale.
            let steps = if most == 0.0 { 0.0 } else { LARGEST / most };
            let steps = _mm512_set1_ps(steps);
            let (out_body, out_tail) = out.split_at_mut(body / QUAD);
            let row_body = row.as_chunks::<LANES>().0;
            for (values, four) in row_body.iter().zip(out_body.as_chunks_mut::<QUAD>().0) {
                // SAFETY: `values` are 16 floats; 16 bytes are four quads.
                unsafe {
                    let steps = _mm512_mul_ps(_mm512_loadu_ps(values.as_ptr()), steps);
                    let moved = _mm512_add_epi32(_mm512_cvtps_epi32(steps), middle);
                    _mm_storeu_si128(four.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(moved));
                }
            }
            if tail > 0 {
                let moved = _mm512_cvtps_epi32(_mm512_mul_ps(rest, steps));
                let bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(moved, middle));
                let mut four = [0_u32; QUAD];
                // SAFETY: 16 bytes are four quads.
                unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), bytes) };
                out_tail.copy_from_slice(&four[..out_tail.len()]);
            }
        }
    }

    /// # Safety
    /// The processor must have AVX-512 VNNI, and `out` must hold the lines that `numbers` and `scales` have rows
    /// for.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn product(
        out: &mut [f32],
        stride: usize,
        (numbers, scales): (&[u32], &[u32]),
        b: &Packed8,
        onto: Onto,
    ) {
        let quads = b.inner.div_ceil(QUAD);
        let rows = scales.len();
        for first in (0..b.outer).step_by(PANEL) {
            let panel = Panel {
                quads: &b.quads[first * quads..][..quads * PANEL],
                scale: &b.scale[first..first + PANEL],
                start: &b.start[first..first + PANEL],
                bias: &b.bias[first..first + PANEL],
            };
            let width = PANEL.min(b.outer - first);
            let mut row = 0;
            while row < rows {
                let (a, out) = (&numbers[row * quads..], &mut out[row * stride + first..]);
                let (scales, to) = (&scales[row..], (out, stride, width));
                // SAFETY: `tile` takes at most as many rows as are left.
                row += unsafe {
                    match rows - row {
                        12.. => tile::<12>(quads, a, scales, &panel, to, onto),
                        4.. => tile::<4>(quads, a, scales, &panel, to, onto),
                        _ => tile::<1>(quads, a, scales, &panel, to, onto),
                    }
                };
            }
        }
    }

    /// What a tile needs of a panel.
    struct Panel<'a> {
        quads: &'a [u32],
        scale: &'a [f32],
        start: &'a [i32],
        bias: &'a [f32],
    }

    /// `M` rows of one panel; gives `M`.
    ///
    /// # Safety
    /// As for [`product`]; `a` must hold `M` rows of `quads`, and `scales` `M` values.
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn tile<const M: usize>(
        quads: usize,
        a: &[u32],
        scales: &[u32],
        panel: &Panel<'_>,
        (out, stride, width): (&mut [f32], usize, usize),
        onto: Onto,
    ) -> usize {
        let mut edge = [0.0_f32; PANEL];
        let (a, mut b) = (a.as_ptr(), panel.quads.as_ptr());
        // SAFETY: the caller's promise; unaligned loads and stores of what the slices hold.
        unsafe {
            let two = |from: *const f32| [_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(LANES))];
            let start = panel.start.as_ptr();
            let start = [_mm512_loadu_epi32(start), _mm512_loadu_epi32(start.add(LANES))];
            let mut sums: [[__m512i; 2]; M] = [start; M];
            for k in 0..quads {
                let line = [_mm512_loadu_si512(b.cast()), _mm512_loadu_si512(b.add(LANES).cast())];
                for (i, sum) in sums.iter_mut().enumerate() {
                    let four = _mm512_set1_epi32((*a.add(i * quads + k)).cast_signed());
                    sum[0] = _mm512_dpbusd_epi32(sum[0], four, line[0]);
                    sum[1] = _mm512_dpbusd_epi32(sum[1], four, line[1]);
                }
                b = b.add(PANEL);
            }
            let (scale, bias) = (two(panel.scale.as_ptr()), two(panel.bias.as_ptr()));
            for (i, sum) in sums.iter().enumerate() {
                let line = &mut out[i * stride..i * stride + width];
                let whole = width == PANEL;
                let at = if whole { line.as_mut_ptr() } else { edge.as_mut_ptr() };
                if !whole && onto == Onto::Output {
                    edge[..width].copy_from_slice(line);
                }
                let row = _mm512_set1_ps(f32::from_bits(scales[i]));
                for v in 0..2 {
                    let step = _mm512_mul_ps(row, scale[v]);
                    let mut value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[v]), step, bias[v]);
                    if onto == Onto::Output {
                        value = _mm512_add_ps(value, _mm512_loadu_ps(at.add(LANES * v)));
                    }
                    _mm512_storeu_ps(at.add(LANES * v), value);
                }
                if !whole {
                    line.copy_from_slice(&edge[..width]);
                }
            }
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + seed) % 9) as f32 - 4.0).collect()
    }

    fn exact(a: &[f32], b: &[f32], (inner, outer): (usize, usize), (r, j): (usize, usize)) -> f64 {
        (0..inner).map(|k| f64::from(a[r * inner + k]) * f64::from(b[k * outer + j])).sum()
    }

    /// Odd shapes, edges, with a bias and onto what is there: off by no more than half a step of each factor.
    #[test]
    fn a_product_is_off_by_what_rounding_its_factors_may_cost() {
        if !supported() {
            return;
        }
        for (rows, inner, outer) in
            [(1, 1, 1), (13, 7, 33), (30, 128, 64), (5, 19, 100), (17, 64, 40)]
        {
            let wave = |count: usize, step: f32| -> Vec<f32> {
                (0..count).map(|i| (i as f32 * step).sin()).collect()
            };
            let (a, b, bias) = (wave(rows * inner, 0.7), wave(inner * outer, 1.3), whole(outer, 3));
            let packed = Packed8::new(&b, inner, outer, Some(&bias));
            let stride = outer + 3;
            for onto in [Onto::Bias, Onto::Output] {
                let mut out = whole(rows * stride, 5);
                let before = out.clone();
                product((&mut out, stride), &a, &packed, onto, &mut Vec::new());
                for (r, j) in (0..rows).flat_map(|r| (0..stride).map(move |j| (r, j))) {
                    let at = r * stride + j;
                    if j >= outer {
                        assert_eq!(out[at], before[at], "beyond the row");
                        continue;
                    }
                    let there = if onto == Onto::Output { before[at] } else { 0.0 };
                    let want = exact(&a, &b, (inner, outer), (r, j)) + f64::from(bias[j] + there);
                    // Half a step of each factor, whose magnitudes are at most 1, and a product of halves.
                    let bound = inner as f64 * (1.0 / 127.0 + 0.25 / (127.0 * 127.0)) + 1e-5;
                    assert!(
                        (f64::from(out[at]) - want).abs() <= bound,
                        "{rows} × {inner} × {outer}"
                    );
                }
            }
        }
    }

    /// Numbers that are whole steps of their row and column lose nothing.
    #[test]
    fn whole_steps_are_multiplied_exactly() {
        if !supported() {
            return;
        }
        let (rows, inner, outer) = (14, 37, 45);
        // Every row and column holds its 127, so that a step is 1.
        let steps = |i: usize, k: usize| {
            if i % inner == k { 127.0 } else { ((i * 31 + k * 17) % 255) as f32 - 127.0 }
        };
        let a: Vec<f32> = (0..rows * inner).map(|i| steps(i / inner, i % inner)).collect();
        let b: Vec<f32> = (0..inner * outer).map(|i| steps(i % outer, i / outer)).collect();
        let mut out = vec![0.0; rows * outer];
        let packed = Packed8::new(&b, inner, outer, None);
        product((&mut out, outer), &a, &packed, Onto::Bias, &mut Vec::new());
        for (i, value) in out.iter().enumerate() {
            assert_eq!(f64::from(*value), exact(&a, &b, (inner, outer), (i / outer, i % outer)));
        }
    }

    #[test]
    fn a_row_depends_on_no_other_and_what_is_no_number_stays_so() {
        if !supported() {
            return;
        }
        let (inner, outer) = (20, 33);
        let b = whole(inner * outer, 1);
        let packed = Packed8::new(&b, inner, outer, None);
        let mut a = whole(16 * inner, 2);
        a[3 * inner..4 * inner].fill(0.0);
        a[7 * inner + 5] = f32::NAN;
        a[9 * inner] = 1e30;
        let mut together = vec![0.0; 16 * outer];
        product((&mut together, outer), &a, &packed, Onto::Bias, &mut Vec::new());
        for (row, line) in together.chunks_exact(outer).enumerate() {
            let mut alone = vec![0.0; outer];
            let of = &a[row * inner..(row + 1) * inner];
            product((&mut alone, outer), of, &packed, Onto::Bias, &mut Vec::new());
            match row {
                3 => assert!(line.iter().all(|&v| v == 0.0)),
                7 => assert!(line.iter().all(|v| v.is_nan())),
                _ => assert!(line.iter().all(|v| v.is_finite())),
            }
            let bits = |v: &[f32]| -> Vec<u32> { v.iter().map(|v| v.to_bits()).collect() };
            assert_eq!(bits(line), bits(&alone), "row {row}");
        }
    }
}
