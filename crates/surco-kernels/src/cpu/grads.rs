//! Gradients of weight matrices: sums over all rows of a batch.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matmul::{Onto, Packed, Product, View};
use super::run;

/// Columns one task sums.
const PANEL: usize = 32;

/// The gradient of a matrix `[inner, outer]`, in panels of columns, so that each task owns its part.
///
/// Rows are added in their order, whatever the number of threads.
pub(crate) struct WeightGrad {
    panels: Vec<f32>,
    inner: usize,
    outer: usize,
}

/// One panel's share of `grad += aᵀ b`.
struct AddPanel<'a> {
    panel: &'a mut [f32],
    a: View<'a>,
    b: View<'a>,
    rows: usize,
    inner: usize,
    width: usize,
}

impl WithSimd for AddPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { panel, a, b, rows, inner, width } = self;
        let mut packed = Packed::default();
        for first in (0..rows).step_by(BLOCK_ROWS) {
            let block = BLOCK_ROWS.min(rows - first);
            packed.fill::<S>(b.at_row(first), block, width);
            let a = a.at_row(first).transposed();
            let (out, onto) = (&mut *panel, Onto::Output);
            simd.vectorize(Product { out, stride: PANEL, a, rows: inner, b: &packed, onto });
        }
    }
}

/// Rows of a block that stays in a core's cache.
const BLOCK_ROWS: usize = 384;

impl WeightGrad {
    pub(crate) fn new(inner: usize, outer: usize) -> Self {
        Self { panels: vec![0.0; outer.div_ceil(PANEL) * PANEL * inner], inner, outer }
    }

    /// Tasks that add `aᵀ b` for `rows` rows of `a`, `[rows, inner]`, and `b`, `[rows, outer]`.
    pub(crate) fn add<'a>(
        &'a mut self,
        a: &'a [f32],
        b: &'a [f32],
        rows: usize,
    ) -> impl ParallelIterator<Item = Task<'a>> {
        let (inner, outer) = (self.inner, self.outer);
        self.panels.par_chunks_exact_mut((PANEL * inner).max(1)).enumerate().map(
            move |(p, panel)| {
                let first = p * PANEL;
                Task(AddPanel {
                    panel,
                    a: View::rows(a, inner),
                    b: View::rows(b, outer).at_column(first),
                    rows,
                    inner,
                    width: PANEL.min(outer - first),
                })
            },
        )
    }

    /// The gradient, row by row.
    pub(crate) fn finish(self) -> Vec<f32> {
        let mut out = vec![0.0; self.inner * self.outer];
        for (p, panel) in self.panels.chunks_exact((PANEL * self.inner).max(1)).enumerate() {
            let first = p * PANEL;
            let width = PANEL.min(self.outer - first);
            for (line, row) in panel.chunks_exact(PANEL).zip(out.chunks_exact_mut(self.outer)) {
                row[first..first + width].copy_from_slice(&line[..width]);
            }
        }
        out
    }
}

/// Work that belongs to nobody else.
pub(crate) struct Task<'a>(AddPanel<'a>);

impl Task<'_> {
    pub(crate) fn run(self) {
        run(self.0);
    }
}
