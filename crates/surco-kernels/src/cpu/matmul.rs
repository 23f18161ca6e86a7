//! Matrix products of rows with a packed matrix, from registers outwards.
//!
//! A packed matrix lies in panels of as many columns as two vectors hold, so that the inner loop reads
//! it from one end to the other. Rows are read where they lie. Every element of a product is summed
//! in the order of the inner axis, whatever rows and columns stand beside it: a row's result does not
//! depend on the other rows.

#![expect(unsafe_code, reason = "the inner loop reads and writes without bounds checks")]

use pulp::{Simd, WithSimd};

use super::Buffer;

/// Rows of the largest tile.
const MOST_ROWS: usize = 12;

/// Columns of the widest panel.
const MOST_PANEL: usize = 32;

/// The bias of a product that has none.
static ZEROS: [f32; MOST_PANEL] = [0.0; MOST_PANEL];

/// A matrix within a slice: element `(i, j)` at `i * row + j * col`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl<'a> View<'a> {
    /// Rows of `width` values, one after another.
    pub(crate) fn rows(data: &'a [f32], width: usize) -> Self {
        Self { data, row: width, col: 1 }
    }

    /// The same matrix with its axes exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// The matrix from this column on.
    pub(crate) fn at_column(self, column: usize) -> Self {
        Self { data: &self.data[(column * self.col).min(self.data.len())..], ..self }
    }

    /// The matrix from this row on.
    pub(crate) fn at_row(self, row: usize) -> Self {
        Self { data: &self.data[(row * self.row).min(self.data.len())..], ..self }
    }

    fn check(&self, rows: usize, cols: usize) {
        let last = (rows - 1) * self.row + (cols - 1) * self.col;
        assert!(last < self.data.len(), "a view of {rows} × {cols} leaves its slice");
    }
}

/// The right-hand side of a product, `[inner, outer]`, in panels.
#[derive(Default)]
pub(crate) struct Packed {
    values: Buffer,
    bias: Vec<f32>,
    inner: usize,
    outer: usize,
    panel: usize,
}

impl Packed {
    /// Columns of a matrix of `outer` columns that share a panel.
    fn panel_of<S: Simd>(outer: usize) -> usize {
        if outer <= S::F32_LANES { S::F32_LANES } else { 2 * S::F32_LANES }
    }

    /// Packs `[inner, outer]`, with what is added to every row of a product, if anything.
    pub(crate) fn new<S: Simd>(
        b: View<'_>,
        inner: usize,
        outer: usize,
        bias: Option<&[f32]>,
    ) -> Self {
        let mut packed = Self::default();
        packed.fill::<S>(b, inner, outer);
        if let Some(bias) = bias {
            packed.bias.extend_from_slice(bias);
            packed.bias.resize(outer.next_multiple_of(packed.panel), 0.0);
        }
        packed
    }

    /// Room for `[inner, outer]`, to be written panel by panel.
    #[inline(always)]
    pub(crate) fn room<S: Simd>(inner: usize, outer: usize) -> Self {
        let mut packed = Self::default();
        packed.reserve::<S>(inner, outer);
        packed
    }

    /// Makes room for another matrix in the same memory, without bias. Gives the number of values.
    #[inline(always)]
    fn reserve<S: Simd>(&mut self, inner: usize, outer: usize) -> usize {
        let panel = Self::panel_of::<S>(outer);
        (self.inner, self.outer, self.panel) = (inner, outer, panel);
        self.bias.clear();
        let length = outer.div_ceil(panel) * panel * inner;
        if self.values.len() < length {
            self.values = Buffer::fresh(length);
        }
        length
    }

    /// The lines of a panel one after another, of as many columns each as a panel has. What columns beyond the matrix hold does
    /// not matter.
    pub(crate) fn panel_mut(&mut self, panel: usize) -> (&mut [f32], usize) {
        let length = self.panel * self.inner;
        (&mut self.values[panel * length..][..length], self.panel)
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.outer.div_ceil(self.panel.max(1))
    }

    /// As [`Packed::fill`], with columns of zeros up to the next whole panel. Gives their number.
    #[inline(always)]
    pub(crate) fn fill_wide<S: Simd>(&mut self, b: View<'_>, inner: usize, outer: usize) -> usize {
        self.fill::<S>(b, inner, outer);
        self.outer = outer.next_multiple_of(self.panel);
        self.outer
    }

    /// Packs another matrix into the same memory, without bias.
    #[inline(always)]
    pub(crate) fn fill<S: Simd>(&mut self, b: View<'_>, inner: usize, outer: usize) {
        let length = self.reserve::<S>(inner, outer);
        let panel = self.panel;
        if inner == 0 || outer == 0 {
            return;
        }
        b.check(inner, outer);
        for (p, block) in self.values[..length].chunks_exact_mut(panel * inner).enumerate() {
            let first = p * panel;
            let width = panel.min(outer - first);
            if width < panel {
                block.chunks_exact_mut(panel).for_each(|line| line[width..].fill(0.0));
            }
            if b.row == 1 && b.col != 1 {
                across(block, panel, (&b.data[first * b.col..], b.col), (inner, width));
                continue;
            }
            for (k, line) in block.chunks_exact_mut(panel).enumerate() {
                let start = k * b.row + first * b.col;
                if b.col == 1 && width == panel {
                    // A known length is copied by vectors, not by a call.
                    let from = b.data[start..start + panel].as_chunks::<4>().0;
                    line.as_chunks_mut::<4>().0.copy_from_slice(from);
                } else if b.col == 1 {
                    line[..width].copy_from_slice(&b.data[start..start + width]);
                } else {
                    for (j, value) in line[..width].iter_mut().enumerate() {
                        *value = b.data[start + j * b.col];
                    }
                }
            }
        }
    }
}

/// Writes rows of `inner` values, one every `stride`, as the first `width` columns of the lines of a block.
#[inline(always)]
fn across(
    block: &mut [f32],
    panel: usize,
    (data, stride): (&[f32], usize),
    (inner, width): (usize, usize),
) {
    let row = |j: usize| &data[j * stride..][..inner];
    let mut j = 0;
    // Four rows at a time: one store for four values.
    while j + 4 <= width {
        let (a, b, c, d) = (row(j), row(j + 1), row(j + 2), row(j + 3));
        let lines = block[j..].chunks_mut(panel);
        for (line, (((a, b), c), d)) in lines.zip(a.iter().zip(b).zip(c).zip(d)) {
            line[..4].copy_from_slice(&[*a, *b, *c, *d]);
        }
        j += 4;
    }
    for j in j..width {
        for (line, value) in block[j..].chunks_mut(panel).zip(row(j)) {
            line[0] = *value;
        }
    }
}

/// What a product is added to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    /// Nothing, or the bias of the packed matrix.
    Bias,
    /// What the output holds, and the bias of the packed matrix.
    Output,
}

/// `out[rows, outer] = a[rows, inner] · b (+ bias) (+ out)`, with `stride` values from one output row
/// to the next.
pub(crate) struct Product<'a> {
    pub(crate) out: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) a: View<'a>,
    pub(crate) rows: usize,
    pub(crate) b: &'a Packed,
    pub(crate) onto: Onto,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.rows == 0 || self.b.outer == 0 {
            return;
        }
        if self.b.inner > 0 {
            self.a.check(self.rows, self.b.inner);
        }
        let last = (self.rows - 1) * self.stride + self.b.outer;
        assert!(last <= self.out.len() && self.b.outer <= self.stride, "the output is too small");
        match (S::F32_LANES, self.b.panel == 2 * S::F32_LANES) {
            // 32 registers: 24 sums, 2 of the panel, 1 of the rows.
            (16, true) => self.tiles::<S, 12, 2>(simd),
            (16, false) => self.tiles::<S, 12, 1>(simd),
            // 16 registers: 12 sums, 2 of the panel, 1 of the rows.
            (_, true) => self.tiles::<S, 6, 2>(simd),
            (_, false) => self.tiles::<S, 6, 1>(simd),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const M: usize, const V: usize>(mut self, simd: S) {
        let panel = V * S::F32_LANES;
        for p in 0..self.b.outer.div_ceil(panel) {
            let mut row = 0;
            while row + M <= self.rows {
                self.tile::<S, M, V>(simd, row, p);
                row += M;
            }
            if M > 6 && row + 6 <= self.rows {
                self.tile::<S, 6, V>(simd, row, p);
                row += 6;
            }
            if row + 3 <= self.rows {
                self.tile::<S, 3, V>(simd, row, p);
                row += 3;
            }
            if row + 2 <= self.rows {
                self.tile::<S, 2, V>(simd, row, p);
                row += 2;
            }
            if row < self.rows {
                self.tile::<S, 1, V>(simd, row, p);
            }
        }
    }

    /// One tile: `M` rows and a panel.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, row: usize, p: usize) {
        let (panel, inner) = (V * S::F32_LANES, self.b.inner);
        let first = p * panel;
        let width = panel.min(self.b.outer - first);
        let bias = if self.b.bias.is_empty() { &ZEROS } else { &self.b.bias[first..] };
        let bias = &bias[..panel];
        let b = &self.b.values[p * panel * inner..(p + 1) * panel * inner];
        let onto = self.onto == Onto::Output;
        let start = row * self.stride + first;
        let out = &mut self.out[start..];
        let a = if inner > 0 { &self.a.data[row * self.a.row..] } else { &[] };
        let at = Tile { inner, a_row: self.a.row, a_col: self.a.col, stride: self.stride };
        if width == panel {
            // SAFETY: `with_simd` checked that `rows × inner` elements of `a` lie within its slice and
            // that `rows` lines of `outer` values at `stride` lie within `out`; the slices of `b` and
            // `bias` above hold `inner` lines and one line of a panel.
            unsafe { fill_tile::<S, M, V>(simd, at, a, b, bias, out.as_mut_ptr(), onto) }
            return;
        }
        let mut edge = [0.0_f32; MOST_ROWS * MOST_PANEL];
        if onto {
            for i in 0..M {
                edge[i * panel..i * panel + width]
                    .copy_from_slice(&out[i * self.stride..i * self.stride + width]);
            }
        }
        let within = Tile { stride: panel, ..at };
        // SAFETY: as above, and `edge` holds `M` lines of a panel.
        unsafe { fill_tile::<S, M, V>(simd, within, a, b, bias, edge.as_mut_ptr(), onto) }
        for i in 0..M {
            out[i * self.stride..i * self.stride + width]
                .copy_from_slice(&edge[i * panel..i * panel + width]);
        }
    }
}

/// Strides of one tile.
#[derive(Clone, Copy)]
struct Tile {
    inner: usize,
    a_row: usize,
    a_col: usize,
    stride: usize,
}

/// `out[i, v] = (out[i, v] +) bias[v] + Σ a[i, k] · b[k, v]` for `M` rows and `V` vectors.
///
/// # Safety
/// `a` must hold `M × inner` elements at its strides, `b` `inner` lines of `V` vectors, `bias` one, and
/// `out` must be writable for `M` lines of `V` vectors at its stride.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the innermost loop takes its operands apart")]
unsafe fn fill_tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    at: Tile,
    a: &[f32],
    b: &[f32],
    bias: &[f32],
    out: *mut f32,
    onto: bool,
) {
    let lanes = S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    // SAFETY: the caller's promise; vectors are plain arrays of f32 and as little aligned.
    unsafe {
        for (i, sum) in sums.iter_mut().enumerate() {
            for (v, value) in sum.iter_mut().enumerate() {
                *value = *bias.as_ptr().add(v * lanes).cast::<S::f32s>();
                if onto {
                    let there = *out.add(i * at.stride + v * lanes).cast::<S::f32s>();
                    *value = simd.add_f32s(*value, there);
                }
            }
        }
        let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
        for _ in 0..at.inner {
            let mut line = [simd.splat_f32s(0.0); V];
            for (v, value) in line.iter_mut().enumerate() {
                *value = *b.add(v * lanes).cast::<S::f32s>();
            }
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = simd.splat_f32s(*a.add(i * at.a_row));
                for (value, &column) in sum.iter_mut().zip(&line) {
                    *value = simd.mul_add_e_f32s(x, column, *value);
                }
            }
            a = a.wrapping_add(at.a_col);
            b = b.wrapping_add(V * lanes);
        }
        for (i, sum) in sums.iter().enumerate() {
            for (v, &value) in sum.iter().enumerate() {
                *out.add(i * at.stride + v * lanes).cast::<S::f32s>() = value;
            }
        }
    }
}
