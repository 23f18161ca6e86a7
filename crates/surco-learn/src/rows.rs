//! Rows of features, made on all threads.

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rayon::prelude::*;

/// Rows worked on at once, on one thread.
const CHUNK: usize = 1024;

/// Rows made chunk by chunk on all threads, `[n, width]`.
pub(crate) fn in_chunks(
    n: usize,
    width: usize,
    make: impl Fn(std::ops::Range<usize>) -> Array2<f32> + Sync,
) -> Array2<f32> {
    let starts: Vec<usize> = (0..n).step_by(CHUNK).collect();
    let parts: Vec<Array2<f32>> =
        starts.into_par_iter().map(|start| make(start..(start + CHUNK).min(n))).collect();
    let views: Vec<ArrayView2<'_, f32>> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).unwrap_or_else(|_| Array2::zeros((0, width)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_in_order() {
        let n = 2 * CHUNK + 3;
        let made = in_chunks(n, 1, |rows| {
            Array2::from_shape_fn((rows.len(), 1), |(i, _)| (rows.start + i) as f32)
        });
        assert!(made.iter().enumerate().all(|(i, &v)| v == i as f32));
        assert_eq!((made.nrows(), in_chunks(0, 4, |_| unreachable!()).dim()), (n, (0, 4)));
    }
}
