//! Values at places between pixels.

use ndarray::{Array2, ArrayView2};

use super::Warp;

/// A place this close to an edge, in pixels, lies on it: sums of floats must not decide between
/// neighbours.
const EDGE: f64 = 1e-6;

impl Warp {
    /// The target, each pixel as the source's pixel in which its centre lies; NaN outside.
    ///
    /// | | shape | type |
    /// |---|---|---|
    /// | `window` | `[y, x]` | f32, NaN = no data |
    /// | `origin` | | row and column of the window's first pixel in the source |
    /// | returns | `[y, x]` | f32, NaN = no data |
    ///
    /// A centre on an edge belongs to the pixel on the right and below.
    #[must_use]
    pub fn nearest(&self, window: ArrayView2<'_, f32>, origin: (usize, usize)) -> Array2<f32> {
        let source = Source::new(window, origin);
        self.resample(|x, y| source.at(x - source.left + EDGE, y - source.top + EDGE))
    }

    /// The target, each pixel as the weighted mean of the four source pixels around its centre.
    ///
    /// Shapes as [`Warp::nearest`]. Pixels without data do not weigh; where the pixel in which the
    /// centre lies has none, the target has none, so that data do not grow at their edges.
    #[must_use]
    pub fn bilinear(&self, window: ArrayView2<'_, f32>, origin: (usize, usize)) -> Array2<f32> {
        let source = Source::new(window, origin);
        self.resample(|x, y| source.bilinear(x - source.left, y - source.top))
    }

    fn resample(&self, value: impl Fn(f64, f64) -> f32) -> Array2<f32> {
        let (rows, cols) = self.shape();
        let mut values = Vec::with_capacity(rows * cols);
        self.each_row(|_, places| values.extend(places.iter().map(|&(x, y)| value(x, y))));
        Array2::from_shape_vec((rows, cols), values).expect("every row gives its columns")
    }
}

/// A window of the source, row by row in memory.
struct Source<'a> {
    values: std::borrow::Cow<'a, [f32]>,
    rows: usize,
    cols: usize,
    top: f64,
    left: f64,
}

impl<'a> Source<'a> {
    fn new(window: ArrayView2<'a, f32>, origin: (usize, usize)) -> Self {
        let (rows, cols) = window.dim();
        let values = match window.to_slice() {
            Some(values) => values.into(),
            None => window.iter().copied().collect::<Vec<f32>>().into(),
        };
        Self { values, rows, cols, top: origin.0 as f64, left: origin.1 as f64 }
    }

    #[inline]
    fn get(&self, row: isize, col: isize) -> f32 {
        let inside =
            row >= 0 && col >= 0 && (row as usize) < self.rows && (col as usize) < self.cols;
        if inside { self.values[row as usize * self.cols + col as usize] } else { f32::NAN }
    }

    /// The pixel that holds a place.
    #[inline]
    fn at(&self, x: f64, y: f64) -> f32 {
        // Not `floor`: without SSE 4.1 that is a call, and rounding to zero is the same above zero.
        if x >= 0.0 && y >= 0.0 { self.get(y as isize, x as isize) } else { f32::NAN }
    }

    #[inline]
    fn bilinear(&self, x: f64, y: f64) -> f32 {
        let (x, y) = (x - 0.5, y - 0.5);
        if x >= 0.0 && y >= 0.0 {
            let (row, col) = (y as usize, x as usize);
            let (u, v) = ((x - col as f64) as f32, (y - row as f64) as f32);
            if row + 1 < self.rows && col + 1 < self.cols {
                let first = row * self.cols + col;
                let (upper, lower) = (&self.values[first..], &self.values[first + self.cols..]);
                if let (Some(&[a, b]), Some(&[c, d])) =
                    (upper.first_chunk::<2>(), lower.first_chunk::<2>())
                {
                    let (upper, lower) = (a + (b - a) * u, c + (d - c) * u);
                    let mean = upper + (lower - upper) * v;
                    if !mean.is_nan() {
                        return mean;
                    }
                }
            }
        }
        self.partial(x, y)
    }

    /// The mean of those of the four pixels that are there.
    #[cold]
    fn partial(&self, x: f64, y: f64) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let (u, v) = ((x - left) as f32, (y - top) as f32);
        let (left, top) = (left as isize, top as isize);
        // The pixel that holds the place is the one that weighs most.
        let own = self.get(top + isize::from(v >= 0.5), left + isize::from(u >= 0.5));
        if own.is_nan() {
            return f32::NAN;
        }
        let around = [
            (self.get(top, left), (1.0 - u) * (1.0 - v)),
            (self.get(top, left + 1), u * (1.0 - v)),
            (self.get(top + 1, left), (1.0 - u) * v),
            (self.get(top + 1, left + 1), u * v),
        ];
        let there = around.iter().filter(|(value, _)| !value.is_nan());
        let (sum, weight) =
            there.fold((0.0, 0.0), |(s, w), (value, part)| (s + value * part, w + part));
        sum / weight
    }
}
