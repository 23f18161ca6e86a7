//! From series and windows to the arrays a model reads.

mod build;

use std::ops::Range;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::{Context, Normalisation, STATIC_FEATURES, Sample, SpectralBand};

/// Evenly spaced dates at which a model is asked what it knows, whatever dates it saw.
///
/// A query is a token without values. The answers, averaged over each part of the window, are the
/// embedding: series seen on different dates become comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryGrid {
    /// Number of queries.
    pub count: usize,
    /// Number of equal parts of the window whose answers are averaged apart.
    pub parts: usize,
}

impl QueryGrid {
    /// The part of the window that a query lies in.
    #[must_use]
    pub fn part_of(self, query: usize) -> usize {
        query * self.parts / self.count
    }
}

/// Squares of pixels that become tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchGrid {
    /// Side of a patch in pixels.
    pub side_px: usize,
    /// Side of a pixel in m.
    pub pixel_m: f32,
}

impl Default for PatchGrid {
    fn default() -> Self {
        Self { side_px: 1, pixel_m: 10.0 }
    }
}

impl PatchGrid {
    /// Rows and columns of patches over so many rows and columns of pixels; the last ones may be cut.
    #[must_use]
    pub fn over(self, size_px: [usize; 2]) -> [usize; 2] {
        size_px.map(|px| px.div_ceil(self.side_px))
    }

    /// Number of pixels in a patch.
    #[must_use]
    pub fn pixels(self) -> usize {
        self.side_px * self.side_px
    }
}

/// How series become batches.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchSpec {
    /// Bands of the series, in their order.
    pub bands: Vec<SpectralBand>,
    /// Mean and deviation for each band.
    pub scale: Vec<(f32, f32)>,
    /// First day of the window, in days since 1970-01-01.
    pub first_day: i32,
    /// The day after the last.
    pub end_day: i32,
    /// Most dates kept of one series; evenly thinned beyond.
    pub max_dates: usize,
    /// Queries, if answers at fixed dates are wanted.
    pub queries: Option<QueryGrid>,
    /// Squares of pixels that become tokens.
    pub patch: PatchGrid,
    /// What the model is told of a place.
    pub context: Vec<Context>,
}

impl BatchSpec {
    /// A spec for these bands over a window, scaled by a model's normalisation.
    #[must_use]
    pub fn new(bands: &[SpectralBand], norm: &Normalisation, window: (i32, i32)) -> Self {
        Self {
            bands: bands.to_vec(),
            scale: norm.at(bands),
            first_day: window.0,
            end_day: window.1,
            max_dates: usize::MAX,
            queries: None,
            patch: PatchGrid::default(),
            context: Vec::new(),
        }
    }
}

/// The tokens of one sample within a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleTokens {
    /// Its rows.
    pub rows: Range<usize>,
    /// Rows and columns of its patches.
    pub patches: [usize; 2],
}

/// What a model reads: the tokens of all samples one after another, without padding.
///
/// A sample's patches follow each other row by row, each with its dates, its queries and what is known of
/// the place. `n` tokens, `c` values of a patch, band by band, within a band row by row.
///
/// | | shape | |
/// |---|---|---|
/// | `values_nc` | `[n, c]` | scaled value times its weight, 0 where not seen |
/// | `weights_nc` | `[n, c]` | trust in the value, 0 where not seen |
/// | `season_ns` | `[n, SEASON_FEATURES]` | [`crate::season_token`]; 0 for static tokens |
/// | `days_n` | `[n]` | days after the end of the window, so mostly negative; 0 for static tokens |
/// | `slots_n` | `[n]` | which date, query or static token of its sample it is, the same in all patches |
/// | `statics` | | rows of static tokens, ascending, and [`crate::static_token`] of each |
/// | `lengths` | | tokens of each patch |
/// | `answers` | | rows of the queries, patch by patch |
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the table above is the documentation")]
pub struct Batch {
    pub bands: Vec<SpectralBand>,
    pub patch: PatchGrid,
    pub queries: Option<QueryGrid>,
    pub values_nc: Array2<f32>,
    pub weights_nc: Array2<f32>,
    pub season_ns: Array2<f32>,
    pub days_n: Vec<i32>,
    pub slots_n: Vec<usize>,
    pub statics: Vec<(usize, [f32; STATIC_FEATURES])>,
    pub lengths: Vec<usize>,
    pub answers: Vec<usize>,
    pub samples: Vec<SampleTokens>,
}

impl Batch {
    /// Builds a batch. Dates outside the window, dates without any value and patches not seen on a date
    /// make no token.
    ///
    /// A patch that would have no token gets one without values, so that no attention is empty; ask
    /// [`Sample::is_empty`] before trusting its embedding.
    #[must_use]
    pub fn new(samples: &[&Sample], spec: &BatchSpec) -> Self {
        build::build(samples, spec)
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Number of tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.days_n.len()
    }

    /// Dates of a sample on which anything was seen, by their slots, ascending.
    #[must_use]
    pub fn seen_slots(&self, sample: usize) -> Vec<usize> {
        let seen = |&row: &usize| self.weights_nc.row(row).iter().any(|&w| w > 0.0);
        let rows = self.samples[sample].rows.clone();
        let mut slots: Vec<usize> = rows.filter(seen).map(|row| self.slots_n[row]).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Rows of a sample that belong to one of these slots.
    pub fn rows_at(&self, sample: usize, slots: &[usize]) -> impl Iterator<Item = usize> {
        self.samples[sample].rows.clone().filter(|&row| slots.contains(&self.slots_n[row]))
    }

    /// Hides some bands of one sample on every date, as if its sensor did not have them.
    pub fn hide_bands(&mut self, sample: usize, hidden: &[usize]) {
        let (rows, pixels) = (self.samples[sample].rows.clone(), self.patch.pixels());
        for &band in hidden {
            let part = ndarray::s![rows.clone(), band * pixels..(band + 1) * pixels];
            self.values_nc.slice_mut(part).fill(0.0);
            self.weights_nc.slice_mut(part).fill(0.0);
        }
    }

    /// Hides all values of a token.
    pub fn hide_row(&mut self, row: usize) {
        self.values_nc.row_mut(row).fill(0.0);
        self.weights_nc.row_mut(row).fill(0.0);
    }
}

#[cfg(test)]
mod tests;
