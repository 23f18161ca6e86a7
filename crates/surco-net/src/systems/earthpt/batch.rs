//! Series of a pixel as tokens.

use ndarray::Array2;
use surco_data::{Sample, SpectralBand, day_of_year};

use super::{BANDS, EARTHPT_DATES, FEATURES, KIND};
use crate::systems::{SystemError, middle, s2_places};

/// Dates of one series on which all ten bands were seen.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    pub(super) days: Vec<i32>,
    /// `[date, b]`, on the scale of the model.
    pub(super) values: Vec<[f32; BANDS]>,
}

/// Reads the dates of a sample within a window, of the pixel in its middle.
pub(super) fn dates(
    sample: &Sample,
    places: &[usize; BANDS],
    bands: usize,
    window: (i32, i32),
) -> Dates {
    let mut dates = Dates { days: Vec::new(), values: Vec::new() };
    let (pixels, middle) = (sample.pixels(), middle(sample));
    for (date, &day) in sample.days.iter().enumerate() {
        let at = places.map(|place| (date * bands + place) * pixels + middle);
        let is_seen = at.iter().all(|&at| sample.weight(at) > 0.0);
        if is_seen && (window.0..window.1).contains(&day) {
            dates.days.push(day);
            dates.values.push(at.map(|at| scaled(sample.values[at])));
        }
    }
    dates
}

/// `cs / 1000 · 2 − 1` of `prepare_data.py`, `cs` being digital numbers of 10⁻⁴.
fn scaled(reflectance: f32) -> f32 {
    reflectance * 20.0 - 1.0
}

pub(super) fn reflectance(scaled: f32) -> f32 {
    (scaled + 1.0) / 20.0
}

/// Sine and cosine of the day of the year, 1 January being day 0 of 365.
fn season(day: i32) -> [f32; 2] {
    let (sin, cos) = (f64::from(day_of_year(day)) / 365.0 * std::f64::consts::TAU).sin_cos();
    [sin as f32, cos as f32]
}

pub(super) fn token(values: &[f32; BANDS], day: i32, next: i32) -> [f32; FEATURES] {
    let mut token = [0.0; FEATURES];
    token[..BANDS].copy_from_slice(values);
    token[BANDS..BANDS + 2].copy_from_slice(&season(day));
    token[BANDS + 2..].copy_from_slice(&season(next));
    token
}

/// Series as `EarthPT` reads them, one after another without padding.
///
/// | | shape | |
/// |---|---|---|
/// | `tokens_nf` | `[n, 14]` | bands, season of this date, season of the next |
/// | `next_nb` | `[n, 10]` | the bands of the next date; empty where there is none to come |
/// | `lengths` | | tokens of each series |
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the table above is the documentation")]
pub struct EarthPtBatch {
    pub tokens_nf: Array2<f32>,
    pub next_nb: Array2<f32>,
    pub lengths: Vec<usize>,
}

impl EarthPtBatch {
    /// Every date of every series but its last, which is only what the one before is asked for.
    ///
    /// # Errors
    /// [`SystemError`]: a band is missing, a series has fewer than two dates or more than
    /// [`EARTHPT_DATES`] to read.
    pub fn new(
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
    ) -> Result<Self, SystemError> {
        let places = s2_places(KIND, bands)?;
        let mut rows = Rows::default();
        for (series, sample) in samples.iter().enumerate() {
            let read = dates(sample, &places, bands.len(), window);
            let count = read.days.len().saturating_sub(1);
            if count == 0 {
                let needed = "all ten bands of Sentinel-2, nor a second one";
                return Err(SystemError::NoDate { system: KIND, series, needed });
            }
            check_dates(series, count)?;
            for i in 0..count {
                rows.tokens.extend(token(&read.values[i], read.days[i], read.days[i + 1]));
                rows.next.extend(read.values[i + 1]);
            }
            rows.lengths.push(count);
        }
        Ok(rows.batch())
    }

    /// Tokens of the series of this batch.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens_nf.nrows()
    }
}

pub(super) fn check_dates(series: usize, found: usize) -> Result<(), SystemError> {
    if found <= EARTHPT_DATES {
        return Ok(());
    }
    Err(SystemError::TooManyDates { system: KIND, series, found, most: EARTHPT_DATES })
}

#[derive(Default)]
pub(super) struct Rows {
    pub(super) tokens: Vec<f32>,
    pub(super) next: Vec<f32>,
    pub(super) lengths: Vec<usize>,
}

impl Rows {
    pub(super) fn batch(self) -> EarthPtBatch {
        let table = |values: Vec<f32>, columns: usize| {
            let rows = values.len() / columns;
            Array2::from_shape_vec((rows, columns), values).expect("rows are added whole")
        };
        EarthPtBatch {
            tokens_nf: table(self.tokens, FEATURES),
            next_nb: table(self.next, BANDS),
            lengths: self.lengths,
        }
    }
}
