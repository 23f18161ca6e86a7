//! Products of bfloat16 factors with 32-bit sums, where the processor has instructions for them
//! (AVX-512 BF16). Factors are rounded to the nearest even; sums are as in 32-bit products.

#![expect(unsafe_code, reason = "vector instructions, and an inner loop without bounds checks")]

use super::matmul::Onto;

/// Columns of a panel: two vectors of sums.
const PANEL: usize = 32;

/// Whether this processor multiplies bfloat16.
pub(crate) fn supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512bf16")
            && std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The right-hand side of a product, `[inner, outer]`: pairs of inner neighbours side by side, in panels
/// of columns.
pub(crate) struct Packed16 {
    pairs: Vec<u32>,
    bias: Vec<f32>,
    inner: usize,
    outer: usize,
}

/// The nearest bfloat16, ties to even; what is not a number stays so.
fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    if value.is_nan() { (bits >> 16) | 0x40 } else { nearest }
}

impl Packed16 {
    /// Packs `[inner, outer]`, row by row, with what is added to every row of a product, if anything.
    pub(crate) fn new(b: &[f32], inner: usize, outer: usize, bias: Option<&[f32]>) -> Self {
        let (half, panels) = (inner.div_ceil(2), outer.div_ceil(PANEL));
        let mut pairs = vec![0; half * panels * PANEL];
        let nothing = [0.0; PANEL];
        for p in 0..panels {
            let columns = p * PANEL..outer.min((p + 1) * PANEL);
            for k in 0..half {
                let line = |k: usize| match k < inner {
                    true => &b[k * outer..][columns.clone()],
                    false => &nothing[..columns.len()],
                };
                let to = &mut pairs[(p * half + k) * PANEL..][..columns.len()];
                for ((pair, &low), &high) in to.iter_mut().zip(line(2 * k)).zip(line(2 * k + 1)) {
                    *pair = rounded(low) | (rounded(high) << 16);
                }
            }
        }
        let mut full = bias.map(<[f32]>::to_vec).unwrap_or_default();
        full.resize(panels * PANEL, 0.0);
        Self { pairs, bias: full, inner, outer }
    }
}

/// `out[rows, outer] = a[rows, inner] · b (+ out)`, plus the bias of `b`. Rows of `a` follow one another.
///
/// # Panics
/// Where [`supported`] says no, or where the slices are too short.
pub(crate) fn product(
    (out, stride): (&mut [f32], usize),
    a: &[f32],
    b: &Packed16,
    onto: Onto,
    factors: &mut Vec<u32>,
) {
    assert!(supported(), "this processor has no bfloat16 products");
    let rows = a.len() / b.inner.max(1);
    if rows == 0 || b.outer == 0 {
        return;
    }
    assert!((rows - 1) * stride + b.outer <= out.len() && b.outer <= stride);
    let half = b.inner.div_ceil(2);
    factors.resize(rows * half, 0);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instructions are there, as asserted; `factors` holds `rows × half` pairs and `out` holds
    // `rows` lines of `outer` values at `stride`, as asserted.
    unsafe {
        x86::round_rows(a, b.inner, factors);
        x86::product(out, stride, factors, b, onto);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_cvtneps_pbh, _mm512_dpbf16_ps,
        _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use super::{PANEL, Packed16, rounded};
    use crate::cpu::matmul::Onto;

    /// Rows of `inner` values to rows of pairs; an odd last value is paired with 0.
    ///
    /// # Safety
    /// The processor must have AVX-512 BF16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn round_rows(a: &[f32], inner: usize, factors: &mut [u32]) {
        let half = inner.div_ceil(2);
        for (row, out) in a.chunks_exact(inner).zip(factors.chunks_exact_mut(half)) {
            let (body, tail) = row.as_chunks::<16>();
            let (out_body, out_tail) = out.split_at_mut(8 * body.len());
            for (values, pairs) in body.iter().zip(out_body.as_chunks_mut::<8>().0) {
                // SAFETY: `values` are 16 floats; 16 bfloat16 are as many bytes as 8 pairs.
                unsafe {
                    let halves = _mm512_cvtneps_pbh(_mm512_loadu_ps(values.as_ptr()));
                    pairs.as_mut_ptr().cast::<[u32; 8]>().write_unaligned(std::mem::transmute::<
                        std::arch::x86_64::__m256bh,
                        [u32; 8],
                    >(
                        halves
                    ));
                }
            }
            for (values, pair) in tail.chunks(2).zip(out_tail) {
                *pair = rounded(values[0]) | values.get(1).map_or(0, |&v| rounded(v) << 16);
            }
        }
    }

    /// # Safety
    /// The processor must have AVX-512 BF16, and `out` must hold the lines that `factors` has rows for.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn product(
        out: &mut [f32],
        stride: usize,
        factors: &[u32],
        b: &Packed16,
        onto: Onto,
    ) {
        let half = b.inner.div_ceil(2);
        let rows = factors.len() / half.max(1);
        for (p, panel) in b.pairs.chunks_exact((half * PANEL).max(1)).enumerate() {
            let first = p * PANEL;
            let width = PANEL.min(b.outer - first);
            let mut row = 0;
            while row < rows {
                let (a, out) = (&factors[row * half..], &mut out[row * stride + first..]);
                let bias = &b.bias[first..first + PANEL];
                // SAFETY: `tile` takes at most as many rows as are left.
                row += unsafe {
                    let many = rows - row;
                    if many >= 12 {
                        tile::<12>(half, a, panel, bias, (out, stride, width), onto)
                    } else if many >= 4 {
                        tile::<4>(half, a, panel, bias, (out, stride, width), onto)
                    } else {
                        tile::<1>(half, a, panel, bias, (out, stride, width), onto)
                    }
                };
            }
        }
    }

    /// `M` rows of one panel; gives `M`.
    ///
    /// # Safety
    /// As for [`product`]; `a` must hold `M` rows of `half` pairs.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn tile<const M: usize>(
        half: usize,
        a: &[u32],
        panel: &[u32],
        bias: &[f32],
        (out, stride, width): (&mut [f32], usize, usize),
        onto: Onto,
    ) -> usize {
        let mut sums: [[__m512; 2]; M] = [[_mm512_setzero_ps(); 2]; M];
        let mut edge = [0.0_f32; PANEL];
        let (a, mut b) = (a.as_ptr(), panel.as_ptr());
        // SAFETY: the caller's promise; unaligned loads and stores of what the slices hold.
        unsafe {
            for k in 0..half {
                let line: [__m512i; 2] =
                    [_mm512_loadu_si512(b.cast()), _mm512_loadu_si512(b.add(16).cast())];
                let line = line.map(|v| std::mem::transmute::<__m512i, __m512bh>(v));
                for (i, sum) in sums.iter_mut().enumerate() {
                    let pair = _mm512_set1_epi32((*a.add(i * half + k)).cast_signed());
                    let pair = std::mem::transmute::<__m512i, __m512bh>(pair);
                    sum[0] = _mm512_dpbf16_ps(sum[0], pair, line[0]);
                    sum[1] = _mm512_dpbf16_ps(sum[1], pair, line[1]);
                }
                b = b.add(PANEL);
            }
            let bias = [_mm512_loadu_ps(bias.as_ptr()), _mm512_loadu_ps(bias.as_ptr().add(16))];
            for (i, sum) in sums.iter().enumerate() {
                let line = &mut out[i * stride..i * stride + width];
                let whole = width == PANEL;
                let at = if whole { line.as_mut_ptr() } else { edge.as_mut_ptr() };
                if !whole && onto == Onto::Output {
                    edge[..width].copy_from_slice(line);
                }
                for v in 0..2 {
                    let mut value = _mm512_add_ps(sum[v], bias[v]);
                    if onto == Onto::Output {
                        value = _mm512_add_ps(value, _mm512_loadu_ps(at.add(16 * v)));
                    }
                    _mm512_storeu_ps(at.add(16 * v), value);
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

    #[test]
    fn rounding_is_to_the_nearest_even() {
        for (value, want) in
            [(1.0, 1.0), (1.003_906_3, 1.0), (1.011_718_8, 1.015_625), (-5.019_531_3, -5.031_25)]
        {
            assert_eq!(f32::from_bits(rounded(value) << 16), want, "{value}");
        }
        assert!(f32::from_bits(rounded(f32::NAN) << 16).is_nan());
    }

    /// Factors that bfloat16 holds exactly give the product of 32-bit floats, on odd shapes, edges and onto
    /// what is there.
    #[test]
    fn products_of_exact_factors_are_exact() {
        if !supported() {
            return;
        }
        for (rows, inner, outer) in [(1, 1, 1), (13, 7, 33), (30, 128, 64), (5, 3, 100)] {
            let whole = |count: usize, seed: usize| -> Vec<f32> {
                (0..count).map(|i| ((i * 7 + seed) % 9) as f32 - 4.0).collect()
            };
            let (a, b, bias) = (whole(rows * inner, 1), whole(inner * outer, 2), whole(outer, 3));
            let packed = Packed16::new(&b, inner, outer, Some(&bias));
            let stride = outer + 3;
            for onto in [Onto::Bias, Onto::Output] {
                let mut out = whole(rows * stride, 5);
                let before = out.clone();
                product((&mut out, stride), &a, &packed, onto, &mut Vec::new());
                for r in 0..rows {
                    for j in 0..stride {
                        let at = r * stride + j;
                        if j >= outer {
                            assert_eq!(out[at], before[at], "beyond the row");
                            continue;
                        }
                        let sum: f32 =
                            (0..inner).map(|k| a[r * inner + k] * b[k * outer + j]).sum();
                        let there = if onto == Onto::Output { before[at] } else { 0.0 };
                        assert_eq!(out[at], sum + bias[j] + there, "{rows} × {inner} × {outer}");
                    }
                }
            }
        }
    }
}
