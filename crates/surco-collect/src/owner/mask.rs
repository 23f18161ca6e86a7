//! Some pixels of a window, as rectangles.

use std::fmt::Write as _;
use std::ops::Range;

use ndarray::{ArrayViewMut2, s};
use sha2::{Digest, Sha256};
use surco_core::Window;

/// A key of at most this many characters is written out, a longer one is hashed.
const KEY_CHARS: usize = 48;

/// Which pixels of a window are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    /// All of them.
    All,
    /// None of them.
    None,
    /// These.
    Some(Mask),
}

/// Neither all pixels of a window nor none: bands of rows that have the same columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    bands: Box<[Band]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Band {
    rows: Range<u32>,
    cols: Box<[Range<u32>]>,
}

impl Owned {
    /// The pixels that are true, of a window of this many columns.
    pub(crate) fn of(pixels: &[bool], cols: usize) -> Self {
        if pixels.iter().all(|&p| p) {
            return Self::All;
        }
        let mut bands: Vec<Band> = Vec::new();
        let mut last: Option<&[bool]> = None;
        for (row, line) in pixels.chunks_exact(cols.max(1)).enumerate() {
            let row = row as u32;
            if last == Some(line) {
                // Bands without columns are left out, so the last line may have none.
                if let Some(band) = bands.last_mut().filter(|band| band.rows.end == row) {
                    band.rows.end = row + 1;
                }
            } else {
                let cols = runs(line);
                if !cols.is_empty() {
                    bands.push(Band { rows: row..row + 1, cols });
                }
            }
            last = Some(line);
        }
        if bands.is_empty() { Self::None } else { Self::Some(Mask { bands: bands.into() }) }
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// How many pixels of a part of the window are meant.
    pub(crate) fn count(&self, part: &Window) -> usize {
        match self {
            Self::All => part.rows * part.cols,
            Self::None => 0,
            Self::Some(mask) => mask.parts(part).map(|p| p.rows * p.cols).sum(),
        }
    }

    /// Whether any pixel of a part of the window is meant.
    pub(crate) fn meets(&self, part: &Window) -> bool {
        match self {
            Self::All => part.rows > 0 && part.cols > 0,
            Self::None => false,
            Self::Some(mask) => mask.parts(part).next().is_some(),
        }
    }

    /// The smallest part of a window of this size that holds all pixels meant.
    pub(crate) fn bounds(&self, (rows, cols): (usize, usize)) -> Option<Window> {
        let whole = Window { row: 0, col: 0, rows, cols };
        match self {
            Self::All => Some(whole),
            Self::None => None,
            Self::Some(mask) => mask.parts(&whole).reduce(|a, b| {
                let (row, col) = (a.row.min(b.row), a.col.min(b.col));
                let row_end = (a.row + a.rows).max(b.row + b.rows);
                let col_end = (a.col + a.cols).max(b.col + b.cols);
                Window { row, col, rows: row_end - row, cols: col_end - col }
            }),
        }
    }

    /// The pixels that also lie in one of these parts of a window of this size.
    pub(crate) fn within(&self, parts: &[Window], (rows, cols): (usize, usize)) -> Self {
        let mut pixels = vec![false; rows * cols];
        let whole = Window { row: 0, col: 0, rows, cols };
        for part in parts.iter().filter_map(|part| part.intersect(&whole)) {
            let mut paint = |p: Window| {
                for row in p.row..p.row + p.rows {
                    pixels[row * cols + p.col..row * cols + p.col + p.cols].fill(true);
                }
            };
            match self {
                Self::All => paint(part),
                Self::None => {}
                Self::Some(mask) => mask.parts(&part).for_each(paint),
            }
        }
        Self::of(&pixels, cols)
    }

    /// Sets every pixel that is not meant to no data.
    pub(crate) fn clear<T: Copy + Default>(&self, mut plane: ArrayViewMut2<'_, T>) {
        let (rows, cols) = plane.dim();
        match self {
            Self::All => {}
            Self::None => plane.fill(T::default()),
            Self::Some(mask) => {
                let mut next = 0;
                for band in &mask.bands {
                    let [start, end] =
                        [band.rows.start, band.rows.end].map(|r| (r as usize).min(rows));
                    plane.slice_mut(s![next..start, ..]).fill(T::default());
                    let mut col = 0;
                    for run in &band.cols {
                        let [from, to] = [run.start, run.end].map(|c| (c as usize).min(cols));
                        plane.slice_mut(s![start..end, col..from]).fill(T::default());
                        col = to;
                    }
                    plane.slice_mut(s![start..end, col..]).fill(T::default());
                    next = end;
                }
                plane.slice_mut(s![next.., ..]).fill(T::default());
            }
        }
    }

    /// A short text that differs wherever the pixels do; empty for all.
    pub(crate) fn key(&self) -> String {
        let mask = match self {
            Self::All => return String::new(),
            Self::None => return "none".into(),
            Self::Some(mask) => mask,
        };
        let mut text = String::new();
        for Band { rows, cols } in &mask.bands {
            // Writing to a text cannot fail.
            let _ = write!(text, "r{}-{}", rows.start, rows.end);
            for run in cols {
                let _ = write!(text, "c{}-{}", run.start, run.end);
            }
        }
        if text.len() <= KEY_CHARS {
            return text;
        }
        Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Mask {
    /// The pixels in a part of the window, as rectangles that share none.
    fn parts<'a>(&'a self, part: &'a Window) -> impl Iterator<Item = Window> + 'a {
        let first = self.bands.partition_point(|band| band.rows.end as usize <= part.row);
        let below = part.row + part.rows;
        let bands =
            self.bands[first..].iter().take_while(move |band| (band.rows.start as usize) < below);
        bands.flat_map(move |band| {
            band.cols.iter().filter_map(move |cols| {
                let window = Window {
                    row: band.rows.start as usize,
                    col: cols.start as usize,
                    rows: band.rows.len(),
                    cols: cols.len(),
                };
                window.intersect(part)
            })
        })
    }
}

/// The columns of one row that are true.
fn runs(line: &[bool]) -> Box<[Range<u32>]> {
    let mut runs = Vec::new();
    let mut col = 0;
    for same in line.chunk_by(|a, b| a == b) {
        let end = col + same.len();
        if same[0] {
            runs.push(col as u32..end as u32);
        }
        col = end;
    }
    runs.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    /// Worked by hand: an L of five pixels in three rows of four.
    #[test]
    fn an_l_is_two_bands() {
        let l = [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0].map(|p| p == 1);
        let owned = Owned::of(&l, 4);
        assert_eq!(owned.key(), "r0-2c0-1r2-3c0-3");
        assert_eq!(owned.count(&Window { row: 1, col: 0, rows: 2, cols: 2 }), 3);
        assert!(!owned.meets(&Window { row: 0, col: 1, rows: 2, cols: 3 }));
        assert_eq!(owned.bounds((3, 4)), Some(Window { row: 0, col: 0, rows: 3, cols: 3 }));
        let mut plane = Array2::from_elem((3, 4), 7_u8);
        owned.clear(plane.view_mut());
        assert_eq!(plane, ndarray::array![[7, 0, 0, 0], [7, 0, 0, 0], [7, 7, 7, 0]]);
        assert_eq!(Owned::of(&[true; 12], 4), Owned::All);
        assert_eq!(Owned::of(&[false; 12], 4), Owned::None);
    }

    proptest! {
        #[test]
        fn a_mask_says_of_each_pixel_what_it_was_made_of(
            pixels in proptest::collection::vec(prop::bool::weighted(0.7), 60),
            other in proptest::collection::vec(prop::bool::weighted(0.7), 60),
            window in (0_usize..7, 0_usize..11, 0_usize..5, 0_usize..5),
        ) {
            let owned = Owned::of(&pixels, 10);
            let part = Window { row: window.0, col: window.1, rows: window.2, cols: window.3 };
            let inside = |row: usize, col: usize| {
                (part.row..part.row + part.rows).contains(&row)
                    && (part.col..part.col + part.cols).contains(&col)
            };
            let mut cut = Vec::new();
            for (i, &p) in pixels.iter().enumerate() {
                let (row, col) = (i / 10, i % 10);
                let one = Window { row, col, rows: 1, cols: 1 };
                prop_assert_eq!(owned.meets(&one), p);
                cut.push(p && inside(row, col));
            }
            let inner = part.intersect(&Window { row: 0, col: 0, rows: 6, cols: 10 });
            let want = cut.iter().filter(|&&p| p).count();
            prop_assert_eq!(inner.map_or(0, |inner| owned.count(&inner)), want);
            prop_assert_eq!(owned.within(&[part], (6, 10)), Owned::of(&cut, 10));
            let mut plane = Array2::from_elem((6, 10), 1_u16);
            owned.clear(plane.view_mut());
            let want: Vec<u16> = pixels.iter().map(|&p| u16::from(p)).collect();
            prop_assert_eq!(plane.iter().copied().collect::<Vec<_>>(), want);
            prop_assert_eq!(owned.key() == Owned::of(&other, 10).key(), pixels == other);
        }
    }
}
