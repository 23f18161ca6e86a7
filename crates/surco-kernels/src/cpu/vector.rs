//! Functions of vectors: exponentials, activations, sums of rows.

use pulp::Simd;

/// `out = f(a)`, element by element.
#[inline(always)]
pub(crate) fn map<S: Simd>(simd: S, out: &mut [f32], a: &[f32], f: impl Fn(S::f32s) -> S::f32s) {
    assert_eq!(out.len(), a.len());
    let (out_body, out_tail) = S::as_mut_simd_f32s(out);
    let (a_body, a_tail) = S::as_simd_f32s(a);
    for (o, &x) in out_body.iter_mut().zip(a_body) {
        *o = f(x);
    }
    if !a_tail.is_empty() {
        simd.partial_store_f32s(out_tail, f(simd.partial_load_f32s(a_tail)));
    }
}

/// `out = f(out, a)`, element by element.
#[inline(always)]
pub(crate) fn update<S: Simd>(
    simd: S,
    out: &mut [f32],
    a: &[f32],
    f: impl Fn(S::f32s, S::f32s) -> S::f32s,
) {
    assert_eq!(out.len(), a.len());
    let (out_body, out_tail) = S::as_mut_simd_f32s(out);
    let (a_body, a_tail) = S::as_simd_f32s(a);
    for (o, &x) in out_body.iter_mut().zip(a_body) {
        *o = f(*o, x);
    }
    if !a_tail.is_empty() {
        let there = simd.partial_load_f32s(out_tail);
        simd.partial_store_f32s(out_tail, f(there, simd.partial_load_f32s(a_tail)));
    }
}

/// `Σ f(a)`; the tail of the last vector is 0 and `f(0)` must be 0.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, a: &[f32], f: impl Fn(S::f32s) -> S::f32s) -> f32 {
    let (body, tail) = S::as_simd_f32s(a);
    let mut total = simd.splat_f32s(0.0);
    for &x in body {
        total = simd.add_f32s(total, f(x));
    }
    if !tail.is_empty() {
        total = simd.add_f32s(total, f(simd.partial_load_f32s(tail)));
    }
    simd.reduce_sum_f32s(total)
}

/// `Σ a b`.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let ((a_body, a_tail), (b_body, b_tail)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let mut total = simd.splat_f32s(0.0);
    for (&x, &y) in a_body.iter().zip(b_body) {
        total = simd.mul_add_e_f32s(x, y, total);
    }
    if !a_tail.is_empty() {
        let (x, y) = (simd.partial_load_f32s(a_tail), simd.partial_load_f32s(b_tail));
        total = simd.mul_add_e_f32s(x, y, total);
    }
    simd.reduce_sum_f32s(total)
}

/// Adds every row of `a`, `[rows, out.len()]`, to `out`.
#[inline(always)]
pub(crate) fn add_rows<S: Simd>(simd: S, out: &mut [f32], a: &[f32]) {
    for row in a.chunks_exact(out.len()) {
        update(
            simd,
            out,
            row,
            #[inline(always)]
            |o, x| simd.add_f32s(o, x),
        );
    }
}

/// `eˣ` to about 1e-7 relative; not a number stays not a number.
///
/// # Source
/// Range reduction and polynomial of Cephes (Moshier), single precision.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // The order of the operands keeps what is not a number.
    let x = simd.min_f32s(simd.splat_f32s(88.0), simd.max_f32s(simd.splat_f32s(-87.3), x));
    let magic = simd.splat_f32s(12_582_912.0); // 1.5 · 2²³: the sum rounds to whole numbers
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(shifted, magic);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let mut p = simd.splat_f32s(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(c));
    }
    let y = simd.mul_add_e_f32s(p, simd.mul_f32s(r, r), simd.add_f32s(r, simd.splat_f32s(1.0)));
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let scale = simd.transmute_f32s_u32s(simd.add_u32s(bits, simd.splat_u32s(0x3F80_0000)));
    simd.mul_f32s(y, scale)
}

/// `x Φ(x)`.
///
/// # Source
/// The error function as a quotient of polynomials of `z²` on |z| ≤ 4, as Eigen and XLA have it.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let z = simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    // The order of the operands keeps what is not a number.
    let z = simd.min_f32s(simd.splat_f32s(4.0), simd.max_f32s(simd.splat_f32s(-4.0), z));
    let square = simd.mul_f32s(z, z);
    let mut p = simd.splat_f32s(-2.726_142_3e-10);
    for c in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        p = simd.mul_add_e_f32s(p, square, simd.splat_f32s(c));
    }
    let mut q = simd.splat_f32s(-1.456_607_2e-5);
    for c in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        q = simd.mul_add_e_f32s(q, square, simd.splat_f32s(c));
    }
    let erf = simd.div_f32s(simd.mul_f32s(z, p), q);
    let half = simd.splat_f32s(0.5);
    let phi = simd.mul_add_e_f32s(erf, half, half);
    let none = simd.less_than_or_equal_f32s(z, simd.splat_f32s(-4.0));
    let all = simd.greater_than_or_equal_f32s(z, simd.splat_f32s(4.0));
    let phi = simd.select_f32s(none, simd.splat_f32s(0.0), phi);
    simd.mul_f32s(x, simd.select_f32s(all, simd.splat_f32s(1.0), phi))
}

/// The derivative of [`gelu`], `Φ(x) + x φ(x)`, to 3e-7.
///
/// # Source
/// A quotient of polynomials of `x²` on |x| ≤ 4√2, beyond which the derivative is 0 or 1: fitted for the
/// least largest error with 4,000 Chebyshev nodes.
#[inline(always)]
pub(crate) fn gelu_slope<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // The order of the operands keeps what is not a number.
    let end = 5.656_854;
    let z = simd.min_f32s(simd.splat_f32s(end), simd.max_f32s(simd.splat_f32s(-end), x));
    let square = simd.mul_f32s(z, z);
    let mut p = simd.splat_f32s(-2.192_634_6e-11);
    for c in [
        3.887_213e-9,
        -2.035_204_3e-7,
        3.255_377e-5,
        -2.116_464_5e-4,
        1.467_618e-2,
        -4.537_904_3e-2,
        7.978_846_4e-1,
    ] {
        p = simd.mul_add_e_f32s(p, square, simd.splat_f32s(c));
    }
    let mut q = simd.splat_f32s(4.552_899e-6);
    for c in [1.358_463_5e-4, 2.756_777e-3, 3.554_413_5e-2, 2.764_603_8e-1, 1.0] {
        q = simd.mul_add_e_f32s(q, square, simd.splat_f32s(c));
    }
    let half = simd.splat_f32s(0.5);
    simd.add_f32s(simd.div_f32s(simd.mul_f32s(z, p), q), half)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}
