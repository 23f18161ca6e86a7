//! AdamW in one pass over weights, gradients and moments.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::run;

/// Values that one task takes.
const CHUNK: usize = 1 << 14;

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) beta_1: f32,
    pub(crate) beta_2: f32,
    pub(crate) epsilon: f32,
    /// Learning rate over `1 − β₁ᵗ`.
    pub(crate) rate: f32,
    /// `1 / √(1 − β₂ᵗ)`.
    pub(crate) unbias: f32,
    /// `1 − learning rate × weight decay`.
    pub(crate) keep: f32,
}

struct Update<'a> {
    numbers: Numbers,
    weight: &'a mut [f32],
    grad: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (w_body, w_tail) = S::as_mut_simd_f32s(self.weight);
        let (g_body, g_tail) = S::as_simd_f32s(self.grad);
        let (m_body, m_tail) = S::as_mut_simd_f32s(self.first);
        let (v_body, v_tail) = S::as_mut_simd_f32s(self.second);
        let all = w_body.iter_mut().zip(g_body).zip(m_body).zip(v_body);
        for (((w, &g), m), v) in all {
            (*w, *m, *v) = one(simd, self.numbers, [*w, g, *m, *v]);
        }
        let tail = [
            simd.partial_load_f32s(w_tail),
            simd.partial_load_f32s(g_tail),
            simd.partial_load_f32s(m_tail),
            simd.partial_load_f32s(v_tail),
        ];
        let (w, m, v) = one(simd, self.numbers, tail);
        simd.partial_store_f32s(w_tail, w);
        simd.partial_store_f32s(m_tail, m);
        simd.partial_store_f32s(v_tail, v);
    }
}

#[inline(always)]
fn one<S: Simd>(simd: S, n: Numbers, [w, g, m, v]: [S::f32s; 4]) -> (S::f32s, S::f32s, S::f32s) {
    let s1 = simd.mul_f32s(simd.splat_f32s(1.0 - n.beta_1), g);
    let m = simd.mul_add_e_f32s(simd.splat_f32s(n.beta_1), m, s1);
    let s2 = simd.mul_f32s(simd.splat_f32s(1.0 - n.beta_2), simd.mul_f32s(g, g));
    let v = simd.mul_add_e_f32s(simd.splat_f32s(n.beta_2), v, s2);
    let root = simd.mul_f32s(simd.sqrt_f32s(v), simd.splat_f32s(n.unbias));
    let step = simd.div_f32s(m, simd.add_f32s(root, simd.splat_f32s(n.epsilon)));
    let kept = simd.mul_f32s(w, simd.splat_f32s(n.keep));
    (simd.mul_add_e_f32s(step, simd.splat_f32s(-n.rate), kept), m, v)
}

/// One step in place.
pub(crate) fn step(
    numbers: Numbers,
    weight: &mut [f32],
    grad: &[f32],
    (first, second): (&mut [f32], &mut [f32]),
) {
    weight
        .par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
        .for_each(|((weight, grad), (first, second))| {
            run(Update { numbers, weight, grad, first, second });
        });
}
