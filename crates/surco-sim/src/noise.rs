//! Numbers that look random and depend on nothing but their arguments.
//!
//! Only additions, multiplications, comparisons and `libm` are used, so that every machine and every
//! order of threads gives the same bits.

/// Scrambles 64 bits (SplitMix64's finaliser).
#[inline]
pub(crate) fn scramble(mut h: u64) -> u64 {
    h = h.wrapping_add(0x9E37_79B9_7F4A_7C15);
    h = (h ^ (h >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    h ^ (h >> 31)
}

/// The seed of one part of the valley: the same for the same seed, part and number.
pub(crate) fn derive(seed: u64, part: &str, number: u64) -> u64 {
    let named = part.bytes().fold(seed, |h, b| scramble(h ^ u64::from(b)));
    scramble(named ^ scramble(number))
}

/// A hash of a place on an integer grid.
#[inline]
pub(crate) fn hash_at(seed: u64, x: i32, y: i32) -> u64 {
    scramble(seed ^ ((x as u32 as u64) << 32 | y as u32 as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

/// A number in `[0, 1)` from a hash.
#[inline]
pub(crate) fn unit(h: u64) -> f32 {
    (h >> 40) as f32 * (1.0 / 16_777_216.0)
}

/// A number of mean 0 and standard deviation 1, within ±3.5, from a hash (sum of four uniforms).
#[inline]
pub(crate) fn normal(h: u64) -> f32 {
    let sum = (h & 0xFFFF) + ((h >> 16) & 0xFFFF) + ((h >> 32) & 0xFFFF) + (h >> 48);
    (sum as f32 * (1.0 / 65_536.0) - 2.0) * 1.732_050_8
}

/// A number in `[0, 1]` that grows from 0 at `a` to 1 at `b` without corners.
#[inline]
pub(crate) fn smoothstep(a: f32, b: f32, x: f32) -> f32 {
    let t = ((x - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// `a` at `t` = 0, `b` at `t` = 1.
#[inline]
pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// `exp(-x)` for `x` ≥ 0, relative error under 1e-5; a polynomial that the compiler can vectorise.
#[inline]
pub(crate) fn decay(x: f32) -> f32 {
    let z = (x * -std::f32::consts::LOG2_E).max(-80.0);
    let whole = z.floor();
    let f = z - whole;
    let p = 1.0
        + f * (std::f32::consts::LN_2
            + f * (0.240_226_5 + f * (0.055_504_1 + f * (0.009_618_1 + f * 0.001_504_1))));
    f32::from_bits((((whole as i32) + 127) as u32) << 23) * p
}

#[inline]
fn slope(h: u64, dx: f32, dy: f32) -> f32 {
    const D: f32 = std::f32::consts::FRAC_1_SQRT_2;
    const AXES: [(f32, f32); 8] =
        [(1., 0.), (-1., 0.), (0., 1.), (0., -1.), (D, D), (D, -D), (-D, D), (-D, -D)];
    let (gx, gy) = AXES[(h >> 61) as usize];
    gx * dx + gy * dy
}

/// Gradient noise of wavelength 1: mean 0, within ±1, standard deviation about 0.35.
pub(crate) fn perlin(seed: u64, x: f32, y: f32) -> f32 {
    let (xf, yf) = (x.floor(), y.floor());
    let (xi, yi) = (xf as i32, yf as i32);
    let (dx, dy) = (x - xf, y - yf);
    let fade = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let (u, v) = (fade(dx), fade(dy));
    let top = lerp(
        slope(hash_at(seed, xi, yi), dx, dy),
        slope(hash_at(seed, xi + 1, yi), dx - 1.0, dy),
        u,
    );
    let low = lerp(
        slope(hash_at(seed, xi, yi + 1), dx, dy - 1.0),
        slope(hash_at(seed, xi + 1, yi + 1), dx - 1.0, dy - 1.0),
        u,
    );
    lerp(top, low, v) * 1.4
}

/// Sum of `octaves` of gradient noise, each half as wide and half as strong, divided so that the
/// standard deviation stays near 0.35.
pub(crate) fn fbm(seed: u64, x: f32, y: f32, octaves: u32) -> f32 {
    let (mut sum, mut gain, mut power, mut scale) = (0.0, 1.0_f32, 0.0, 1.0);
    for octave in 0..octaves {
        sum += gain * perlin(seed.wrapping_add(u64::from(octave) * 7919), x * scale, y * scale);
        power += gain * gain;
        gain *= 0.5;
        scale *= 2.03;
    }
    sum / power.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_is_the_exponential() {
        for i in 0..4000 {
            let x = i as f32 * 0.005;
            let want = libm::expf(-x);
            assert!((decay(x) - want).abs() <= 2e-5 * want + 1e-9, "{x}: {} {want}", decay(x));
        }
    }

    #[test]
    fn noise_has_its_stated_mean_and_spread() {
        let n = 200_000;
        let moments = |f: &dyn Fn(u64) -> f32| {
            let (mut s, mut q) = (0.0_f64, 0.0_f64);
            for i in 0..n {
                let v = f64::from(f(i));
                s += v;
                q += v * v;
            }
            let mean = s / n as f64;
            (mean, (q / n as f64 - mean * mean).sqrt())
        };
        let (mean, sd) = moments(&|i| normal(scramble(i)));
        assert!(mean.abs() < 0.01 && (sd - 1.0).abs() < 0.01, "{mean} {sd}");
        let (mean, sd) = moments(&|i| fbm(3, i as f32 * 0.0137, (i % 997) as f32 * 0.071, 4));
        assert!(mean.abs() < 0.05 && (0.25..0.45).contains(&sd), "{mean} {sd}");
    }
}
