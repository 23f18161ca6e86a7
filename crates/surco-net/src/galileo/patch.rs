//! Patch kernels of one size brought to another.
//!
//! # Source
//! Beyer et al. 2023, *FlexiViT*, section 3.4 (pseudo-inverse resize); Galileo takes PyTorch's
//! antialiased bicubic interpolation as the resize that is inverted.

/// Side of the kernels as they are stored, pixels.
pub(super) const STORED: usize = 8;

/// Brings a square kernel of [`STORED`] to `side` pixels: `P K Pᵀ`.
pub(super) fn resized(kernel: &[f32], side: usize) -> Vec<f32> {
    if side == STORED {
        return kernel.to_vec();
    }
    let p = inverse_resize(side);
    let mut rows = vec![0_f64; side * STORED];
    for (i, row) in rows.chunks_exact_mut(STORED).enumerate() {
        for (x, to) in row.iter_mut().enumerate() {
            *to = (0..STORED).map(|y| p[i * STORED + y] * f64::from(kernel[y * STORED + x])).sum();
        }
    }
    let mut out = Vec::with_capacity(side * side);
    for row in rows.chunks_exact(STORED) {
        for p in p.chunks_exact(STORED) {
            out.push(row.iter().zip(p).map(|(a, b)| a * b).sum::<f64>() as f32);
        }
    }
    out
}

/// The pseudo-inverse of resizing a line, `[side, STORED]`: `(AᵀA)⁻¹Aᵀ`.
fn inverse_resize(side: usize) -> Vec<f64> {
    let a = resize(side);
    let mut gram = vec![vec![0_f64; side + STORED]; side];
    for (i, row) in gram.iter_mut().enumerate() {
        for (j, to) in row[..side].iter_mut().enumerate() {
            *to = a.iter().map(|pixel| pixel[i] * pixel[j]).sum();
        }
        for (to, pixel) in row[side..].iter_mut().zip(&a) {
            *to = pixel[i];
        }
    }
    // Gauss-Jordan; the matrix is positive definite, so its diagonal serves as pivots.
    for pivot in 0..side {
        let scale = gram[pivot][pivot];
        gram[pivot].iter_mut().for_each(|v| *v /= scale);
        let row = gram[pivot].clone();
        for (i, other) in gram.iter_mut().enumerate() {
            if i != pivot {
                let factor = other[pivot];
                other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
            }
        }
    }
    gram.into_iter().flat_map(|row| row[side..].to_vec()).collect()
}

/// The share of each of the [`STORED`] pixels of a line in each of `side` pixels, `[STORED][side]`.
fn resize(side: usize) -> Vec<Vec<f64>> {
    let scale = STORED as f64 / side as f64;
    let mut shares = vec![vec![0_f64; side]; STORED];
    for to in 0..side {
        let centre = scale * (to as f64 + 0.5);
        let weight = |from: usize| {
            let inside = (from as f64 + 0.5 - centre).abs() < 2.0 * scale;
            if inside { cubic((from as f64 + 0.5 - centre) / scale) } else { 0.0 }
        };
        let sum: f64 = (0..STORED).map(weight).sum();
        for (from, shares) in shares.iter_mut().enumerate() {
            shares[to] = weight(from) / sum;
        }
    }
    shares
}

/// Keys' kernel with a = −1/2, the one of antialiased interpolation.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_resize() {
        for side in 1..=STORED {
            let (a, p) = (resize(side), inverse_resize(side));
            for (i, j) in (0..side * side).map(|place| (place / side, place % side)) {
                let dot: f64 = (0..STORED).map(|k| p[i * STORED + k] * a[k][j]).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-9, "{side}: {dot}");
            }
        }
    }

    #[test]
    fn a_kernel_that_was_enlarged_comes_back() {
        // K = A Q Aᵀ lies in the reach of the inverse, which then gives Q back.
        for side in [1, 3, 4] {
            let a = resize(side);
            let q: Vec<f64> = (0..side * side).map(|i| i as f64 - 1.0).collect();
            let mut kernel = vec![0_f32; STORED * STORED];
            for y in 0..STORED {
                for x in 0..STORED {
                    let value: f64 =
                        (0..side * side).map(|i| a[y][i / side] * q[i] * a[x][i % side]).sum();
                    kernel[y * STORED + x] = value as f32;
                }
            }
            for (got, want) in resized(&kernel, side).iter().zip(&q) {
                assert!((f64::from(*got) - want).abs() < 1e-4, "{side}: {got} {want}");
            }
        }
    }
}
