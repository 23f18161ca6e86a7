//! Rows of features, of which many series may share one.

use std::borrow::Cow;

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;

/// Rows worked on at once, on one thread.
const CHUNK: usize = 1024;

/// One set of features of series, `[n, d]`; series that read the same ground share a row, which is held and worked on once.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// `[distinct, d]`
    distinct: Array2<f32>,
    /// Row of each series; `None` where each has its own.
    of: Option<Vec<usize>>,
}

impl From<Array2<f32>> for Rows {
    fn from(each: Array2<f32>) -> Self {
        Self { distinct: each, of: None }
    }
}

impl Rows {
    /// Distinct rows, and which of them each series has.
    ///
    /// # Panics
    /// If a series has a row that there is not.
    pub(crate) fn shared(distinct: Array2<f32>, of: Vec<usize>) -> Self {
        assert!(of.iter().all(|&row| row < distinct.nrows()), "every series has a row");
        Self { distinct, of: Some(of) }
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.of.as_ref().map_or(self.distinct.nrows(), Vec::len)
    }

    /// Number of features.
    #[must_use]
    pub fn width(&self) -> usize {
        self.distinct.ncols()
    }

    /// Some of the series, each with a row of its own.
    #[must_use]
    pub fn select(&self, series: &[usize]) -> Self {
        let place = |&i: &usize| self.of.as_ref().map_or(i, |of| of[i]);
        let places: Vec<usize> = series.iter().map(place).collect();
        self.distinct.select(Axis(0), &places).into()
    }

    /// Row by row, `[n, d]`.
    #[must_use]
    pub fn each(&self) -> Cow<'_, Array2<f32>> {
        match &self.of {
            Some(of) => Cow::Owned(self.distinct.select(Axis(0), of)),
            None => Cow::Borrowed(&self.distinct),
        }
    }

    /// What each row becomes by itself, on all threads; `width` values a row.
    pub(crate) fn through(
        &self,
        width: usize,
        become_of: impl Fn(ArrayView2<'_, f32>) -> Array2<f32> + Sync,
    ) -> Self {
        let n = self.distinct.nrows();
        let distinct = in_chunks(n, width, |rows| become_of(self.distinct.slice(s![rows, ..])));
        Self { distinct, of: self.of.clone() }
    }
}

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
    use ndarray::array;

    #[test]
    fn a_shared_row_stands_for_each_of_its_series() {
        let shared = Rows::shared(array![[1.0, 2.0], [3.0, 4.0]], vec![1, 0, 1]);
        let each = array![[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]];
        assert_eq!((shared.len(), shared.width(), &*shared.each()), (3, 2, &each));
        assert_eq!(shared.select(&[2, 1]), Rows::from(array![[3.0, 4.0], [1.0, 2.0]]));
        let doubled = shared.through(1, |rows| rows.slice(s![.., ..1]).mapv(|v| 2.0 * v));
        assert_eq!(&*doubled.each(), &array![[6.0], [2.0], [6.0]]);
        assert_eq!(doubled.distinct.nrows(), 2, "a row is worked on once");
    }

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
