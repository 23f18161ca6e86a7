//! Windows as Galileo reads them, and the tokens in them.

use ndarray::{Array2, Array3, Array4, Array5, ArrayView1, s};

use super::bands::{BANDS, Group, SPACE, SPACE_TIME, STATIC, TIME};
use super::patch::STORED;
use crate::peer::{InputError, check_months, check_shape};

/// Most months of one window.
pub const GALILEO_MONTHS: usize = 24;

/// Values of windows of `h × w` pixels over `t` months, scaled as [`crate::GALILEO_BANDS`] says, and
/// which groups of them are hidden.
///
/// Axes: `n` windows, `h` rows, `w` columns, `t` months, `b` bands, `g` groups.
#[derive(Clone, Debug)]
pub struct GalileoInput {
    /// `[n, h, w, t, 13]`.
    pub space_time: Array5<f32>,
    /// `[n, h, w, 16]`.
    pub space: Array4<f32>,
    /// `[n, t, 6]`.
    pub time: Array3<f32>,
    /// `[n, 18]`.
    pub fixed: Array2<f32>,
    /// `[n, h, w, t, 7]`; the first pixel of a patch speaks for it.
    pub space_time_hidden: Array5<bool>,
    /// `[n, h, w, 3]`; likewise.
    pub space_hidden: Array4<bool>,
    /// `[n, t, 3]`.
    pub time_hidden: Array3<bool>,
    /// `[n, 4]`.
    pub fixed_hidden: Array2<bool>,
    /// Month of the year, 0 to 11, `[n, t]`.
    pub months: Array2<u8>,
}

/// Windows cut into patches, found to be whole.
#[derive(Clone, Debug)]
pub struct GalileoBatch {
    input: GalileoInput,
    /// Side of a patch, pixels.
    pub(super) patch_px: usize,
}

/// One token: which group, when, where in the grid of patches, and its values.
pub(super) struct Token<'a> {
    /// Place of its group among all 17.
    pub(super) group: usize,
    pub(super) date: Option<usize>,
    pub(super) place: Option<(usize, usize)>,
    /// Band by band, within a band row by row.
    pub(super) values: &'a [f32],
}

impl GalileoBatch {
    /// Takes windows cut into patches of `patch_px` pixels, 1 to 8, once they are found to be whole.
    ///
    /// # Errors
    /// [`InputError`] naming the first value that cannot be.
    pub fn new(input: GalileoInput, patch_px: usize) -> Result<Self, InputError> {
        let (n, h, w, t, _) = input.space_time.dim();
        let [space_time, space, time, fixed] = BANDS;
        let most = t.min(GALILEO_MONTHS);
        check_shape("space-time values", input.space_time.shape(), &[n, h, w, most, space_time])?;
        check_shape("space values", input.space.shape(), &[n, h, w, space])?;
        check_shape("time values", input.time.shape(), &[n, t, time])?;
        check_shape("fixed values", input.fixed.shape(), &[n, fixed])?;
        let hidden = [n, h, w, t, SPACE_TIME.len()];
        check_shape("space-time hidden", input.space_time_hidden.shape(), &hidden)?;
        check_shape("space hidden", input.space_hidden.shape(), &[n, h, w, SPACE.len()])?;
        check_shape("time hidden", input.time_hidden.shape(), &[n, t, TIME.len()])?;
        check_shape("fixed hidden", input.fixed_hidden.shape(), &[n, STATIC.len()])?;
        check_months(&input.months, n, t)?;
        let cuts = (1..=STORED).contains(&patch_px)
            && h.is_multiple_of(patch_px)
            && w.is_multiple_of(patch_px);
        if !cuts {
            return Err(InputError::Patch { patch_px, rows: h, columns: w });
        }
        let batch = Self { input, patch_px };
        for series in 0..n {
            let (mut tokens, mut strange) = (0_usize, None);
            batch.visit(series, &mut |token| {
                tokens += 1;
                strange = strange.or(token.values.iter().copied().find(|v| !v.is_finite()));
            });
            if let Some(value) = strange {
                let (what, value) = ("a visible band", value.into());
                return Err(InputError::Value { series, what, value, range: "a number" });
            }
            if tokens == 0 {
                return Err(InputError::Nothing { series });
            }
        }
        Ok(batch)
    }

    /// Number of windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.input.months.nrows()
    }

    /// Whether there are no windows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Month of the year of each date of a window.
    pub(super) fn months(&self, series: usize) -> ArrayView1<'_, u8> {
        self.input.months.row(series)
    }

    /// Shows each visible token of a window, in Galileo's order.
    pub(super) fn visit(&self, i: usize, each: &mut dyn FnMut(Token<'_>)) {
        let (input, p) = (&self.input, self.patch_px);
        let (_, h, w, t, _) = input.space_time.dim();
        let patches = || (0..h / p).flat_map(|y| (0..w / p).map(move |x| (y, x)));
        let mut values = Vec::new();
        for (y, x) in patches() {
            let (rows, columns) = (y * p..(y + 1) * p, x * p..(x + 1) * p);
            for (date, (group, Group { bands, .. })) in
                (0..t).flat_map(|date| SPACE_TIME.iter().enumerate().map(move |g| (date, g)))
            {
                if input.space_time_hidden[[i, y * p, x * p, date, group]] {
                    continue;
                }
                values.clear();
                for b in bands.clone() {
                    let at = s![i, rows.clone(), columns.clone(), date, b];
                    values.extend(input.space_time.slice(at));
                }
                let (date, place) = (Some(date), Some((y, x)));
                each(Token { group, date, place, values: &values });
            }
        }
        for (y, x) in patches() {
            let (rows, columns) = (y * p..(y + 1) * p, x * p..(x + 1) * p);
            for (g, Group { bands, .. }) in SPACE.iter().enumerate() {
                if input.space_hidden[[i, y * p, x * p, g]] {
                    continue;
                }
                values.clear();
                for b in bands.clone() {
                    values.extend(input.space.slice(s![i, rows.clone(), columns.clone(), b]));
                }
                let group = SPACE_TIME.len() + g;
                each(Token { group, date: None, place: Some((y, x)), values: &values });
            }
        }
        self.visit_flat(i, each);
    }

    /// The tokens that stand for no patch.
    fn visit_flat(&self, i: usize, each: &mut dyn FnMut(Token<'_>)) {
        let input = &self.input;
        let before = SPACE_TIME.len() + SPACE.len();
        for date in 0..input.months.ncols() {
            for (g, Group { bands, .. }) in TIME.iter().enumerate() {
                if !input.time_hidden[[i, date, g]] {
                    let values = input.time.slice(s![i, date, bands.clone()]).to_vec();
                    let group = before + g;
                    each(Token { group, date: Some(date), place: None, values: &values });
                }
            }
        }
        for (g, Group { bands, .. }) in STATIC.iter().enumerate() {
            if !input.fixed_hidden[[i, g]] {
                let values = input.fixed.slice(s![i, bands.clone()]).to_vec();
                let group = before + TIME.len() + g;
                each(Token { group, date: None, place: None, values: &values });
            }
        }
    }
}
