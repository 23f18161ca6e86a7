//! Decoded samples of a block, and how they are laid into the planes of a shard.

use surco_core::{OffsetVerdict, Window, harmonise};
use surco_raster::cog::{CogError, DecodedBlock, Header, SampleKind, decode_block};
use surco_store::Plane;

use crate::mask::Mask;

/// Decoded samples of a block, or of a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Bands of the file that it holds: the first, and how many.
    bands: std::ops::Range<usize>,
    /// Pixels of the asset.
    pub(crate) window: Window,
    samples: Samples,
}

/// `[band, y, x]` of the piece's window.
#[derive(Clone, Debug)]
enum Samples {
    U8(Vec<u8>),
    U16(Vec<u16>),
}

/// How a piece lies in a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lie<'a> {
    /// The cell's window in the fine grid.
    pub(crate) cell: &'a Window,
    /// Side of the piece's pixels in pixels of the fine grid.
    pub(crate) factor: usize,
    /// Band of the file.
    pub(crate) band: usize,
}

impl Piece {
    pub(crate) fn decode(header: &Header, block: usize, bytes: &[u8]) -> Result<Self, CogError> {
        fn parts<T>(block: DecodedBlock<T>) -> (std::ops::Range<usize>, Window, Vec<T>) {
            let bands = block.band..block.band + block.samples.shape()[0];
            (bands, block.window, block.samples.into_raw_vec_and_offset().0)
        }
        let (bands, window, samples) = if header.sample == SampleKind::U8 {
            let (bands, window, samples) = parts(decode_block(header, block, bytes)?);
            (bands, window, Samples::U8(samples))
        } else {
            let (bands, window, samples) = parts(decode_block(header, block, bytes)?);
            (bands, window, Samples::U16(samples))
        };
        Ok(Self { bands, window, samples })
    }

    /// The part inside a window, if they meet.
    pub(crate) fn cut(&self, window: &Window) -> Option<Self> {
        fn rows<T: Copy>(from: &[T], own: &Window, part: &Window, bands: usize) -> Vec<T> {
            let mut cut = Vec::with_capacity(bands * part.rows * part.cols);
            for band in 0..bands {
                for row in part.row - own.row..part.row - own.row + part.rows {
                    let start = (band * own.rows + row) * own.cols + part.col - own.col;
                    cut.extend_from_slice(&from[start..start + part.cols]);
                }
            }
            cut
        }
        let part = self.window.intersect(window)?;
        let bands = self.bands.len();
        let samples = match &self.samples {
            Samples::U8(from) => Samples::U8(rows(from, &self.window, &part, bands)),
            Samples::U16(from) => Samples::U16(rows(from, &self.window, &part, bands)),
        };
        Some(Self { bands: self.bands.clone(), window: part, samples })
    }

    /// Memory that the samples take.
    pub(crate) fn bytes(&self) -> usize {
        match &self.samples {
            Samples::U8(samples) => samples.len(),
            Samples::U16(samples) => samples.len() * 2,
        }
    }

    /// Bands of the file that it holds.
    pub(crate) fn bands(&self) -> std::ops::Range<usize> {
        self.bands.clone()
    }

    /// A sample of a band as a number, by its place in the asset.
    pub(crate) fn at(&self, band: usize, row: usize, col: usize) -> u16 {
        let own = &self.window;
        let at = ((band - self.bands.start) * own.rows + row - own.row) * own.cols + col - own.col;
        match &self.samples {
            Samples::U8(samples) => u16::from(samples[at]),
            Samples::U16(samples) => samples[at],
        }
    }

    /// Lays digital numbers where the mask wants them, without their offset if they have one.
    pub(crate) fn lay_values(
        &self,
        lie: Lie<'_>,
        mask: &Mask,
        verdict: OffsetVerdict,
        plane: &mut Plane<'_, u16>,
    ) {
        let there = verdict == OffsetVerdict::Subtracted;
        match &self.samples {
            Samples::U16(s) if there => self.spread(lie, s, plane, mask, |v, m| {
                harmonise(v, OffsetVerdict::Subtracted) & wide(m)
            }),
            Samples::U16(s) => self.spread(lie, s, plane, mask, |v, m| v & wide(m)),
            Samples::U8(s) => {
                self.spread(lie, s, plane, mask, |v, m| harmonise(u16::from(v), verdict) & wide(m));
            }
        }
    }

    /// Lays classes where the mask wants them.
    pub(crate) fn lay_classes(&self, lie: Lie<'_>, mask: &Mask, plane: &mut Plane<'_, u8>) {
        let narrow = |v: u16| u8::try_from(v).unwrap_or(u8::MAX);
        match &self.samples {
            Samples::U8(s) => self.spread(lie, s, plane, mask, |v, m| v & m),
            Samples::U16(s) => self.spread(lie, s, plane, mask, |v, m| narrow(v) & m),
        }
    }

    /// Wants the pixels whose class is good and that a wider mask wants too.
    pub(crate) fn lay_mask(
        &self,
        lie: Lie<'_>,
        good: impl Fn(u8) -> bool,
        wider: &Mask,
        mask: &mut Mask,
    ) {
        let table: Vec<u8> = (0..=u8::MAX).map(|class| if good(class) { 255 } else { 0 }).collect();
        let narrow = |v: u16| u8::try_from(v).unwrap_or(u8::MAX);
        match &self.samples {
            Samples::U8(s) => self.spread(lie, s, mask, wider, |v, m| table[usize::from(v)] & m),
            Samples::U16(s) => {
                self.spread(lie, s, mask, wider, |v, m| table[usize::from(narrow(v))] & m);
            }
        }
    }

    /// Gives every pixel of the fine grid that it covers to `put(sample, mask)`, mask 0 or 255.
    ///
    /// Inner chunks of which the mask wants nothing are cleared without a look at the samples.
    fn spread<S: Copy, T: Copy + Default>(
        &self,
        lie: Lie<'_>,
        samples: &[S],
        target: &mut impl Target<T>,
        mask: &Mask,
        put: impl Fn(S, u8) -> T,
    ) {
        let Lie { cell, factor, band } = lie;
        let own = self.window;
        let Some(inside) = window_in_cell(&own, factor, cell) else { return };
        let samples = &samples[(band - self.bands.start) * own.rows * own.cols..];
        target.edit_rows(inside, |row, col, out| {
            if !mask.wants_in_chunk(row, col) {
                out.fill(T::default());
                return;
            }
            let source = &samples[((row + cell.row) / factor - own.row) * own.cols..][..own.cols];
            let first = col + cell.col;
            let wanted = mask.row(row, col, out.len());
            let whole = first % factor == 0 && out.len() % factor == 0;
            let source = &source[first / factor - own.col..];
            match factor {
                1 => {
                    let pairs = source.iter().zip(wanted);
                    out.iter_mut().zip(pairs).for_each(|(to, (&v, &m))| *to = put(v, m));
                }
                2 if whole => {
                    let pairs = source.iter().zip(wanted.as_chunks::<2>().0);
                    for (to, (&v, m)) in out.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
                        *to = [put(v, m[0]), put(v, m[1])];
                    }
                }
                _ => {
                    for (i, (to, &m)) in out.iter_mut().zip(wanted).enumerate() {
                        *to = put(source[(first + i) / factor - first / factor], m);
                    }
                }
            }
        });
    }
}

/// What samples are laid into, a piece of a row that lies in one inner chunk at a time.
trait Target<T> {
    fn edit_rows(&mut self, window: Window, lay: impl FnMut(usize, usize, &mut [T]));
}

impl<T: Copy + Default> Target<T> for Plane<'_, T> {
    fn edit_rows(&mut self, window: Window, lay: impl FnMut(usize, usize, &mut [T])) {
        self.edit(window, lay);
    }
}

impl Target<u8> for Mask {
    fn edit_rows(&mut self, window: Window, lay: impl FnMut(usize, usize, &mut [u8])) {
        self.edit(window, lay);
    }
}

/// 0 or 255 as 0 or 65,535.
fn wide(mask: u8) -> u16 {
    i16::from(mask.cast_signed()).cast_unsigned()
}

fn scaled(window: &Window, factor: usize) -> Window {
    Window {
        row: window.row * factor,
        col: window.col * factor,
        rows: window.rows * factor,
        cols: window.cols * factor,
    }
}

/// A cell's window in the pixels of an asset.
pub(crate) fn asset_window(cell: &Window, factor: usize) -> Window {
    let (row, col) = (cell.row / factor, cell.col / factor);
    Window {
        row,
        col,
        rows: (cell.row + cell.rows).div_ceil(factor) - row,
        cols: (cell.col + cell.cols).div_ceil(factor) - col,
    }
}

/// The part of a cell that a window of an asset covers, in the cell's own pixels.
pub(crate) fn window_in_cell(own: &Window, factor: usize, cell: &Window) -> Option<Window> {
    let part = scaled(own, factor).intersect(cell)?;
    Some(Window { row: part.row - cell.row, col: part.col - cell.col, ..part })
}

#[cfg(test)]
mod tests {
    use surco_store::ShardBuffer;

    use super::*;

    /// Worked by hand: a 20 m piece of 2 × 2 pixels at (1, 1) of its asset covers rows and columns 2 to 5;
    /// the cell begins at (3, 2), and its last column is not wanted.
    #[test]
    fn coarse_pixels_are_doubled_where_they_lie() {
        let cell = Window { row: 3, col: 2, rows: 4, cols: 4 };
        let mut piece = Piece {
            bands: 0..1,
            window: Window { row: 1, col: 1, rows: 2, cols: 2 },
            samples: Samples::U16(vec![1001, 1002, 1003, 0]),
        };
        let wanted: Vec<bool> = (0..16).map(|i| i % 4 < 3).collect();
        let mask = Mask::of(&crate::owner::Owned::of(&wanted, 4), 4, 4);
        let mut seen = Vec::new();
        for factor in [2, 1] {
            let mut buffer = ShardBuffer::default();
            buffer.begin(1, 4, 4);
            let planes = buffer.planes();
            let lie = Lie { cell: &cell, factor, band: 0 };
            let mut plane = planes.values(0, 0);
            piece.lay_values(lie, &mask, OffsetVerdict::Subtracted, &mut plane);
            plane.edit(Window { row: 0, col: 0, ..cell }, |_, _, row| seen.push(row.to_vec()));
            piece.window = Window { row: 5, col: 3, rows: 2, cols: 2 };
        }
        let coarse = [[1, 1, 2, 0], [3, 3, 0, 0], [3, 3, 0, 0], [0, 0, 0, 0]];
        let fine = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 0, 0]];
        let want: Vec<Vec<u16>> = coarse.iter().chain(&fine).map(|row| row.to_vec()).collect();
        assert_eq!(seen, want);
        assert_eq!(asset_window(&cell, 2), Window { row: 1, col: 1, rows: 3, cols: 2 });
    }
}
