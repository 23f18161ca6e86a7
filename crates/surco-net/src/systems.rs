//! The systems that others published, as configurations beside ours: which bands they need, and what they refuse.
//!
//! A system does what its publication says and no more. What it was not made for is a [`SystemError`], never a
//! silent approximation.

mod conv;
mod earthpt;
#[cfg(test)]
mod formula;
mod meteor;
mod model;
mod ofa;
mod ubarn;

pub use earthpt::{EARTHPT_DATES, EarthPt, EarthPtBatch, EarthPtConfig};
pub use meteor::{
    METEOR_APP_BANDS, METEOR_BANDS, Meteor, MeteorApp, MeteorConfig, MeteorNorm, TaskMoments,
};
pub use model::{SystemConfig, SystemModel};
pub use ofa::{Ofa, OfaBatch, OfaConfig, OfaSensor};
pub use ubarn::{ShallowDecoder, UBARN_SIDE_PX, UBARN_WIDTH, UBarn, UBarnBatch, UBarnConfig};

use surco_core::{Band, S2_BANDS};
use surco_data::{BandKind, Sample, SpectralBand};

use crate::InputError;

/// A band is taken for another sensor's if their centres are no further apart.
const SAME_BAND_NM: f32 = 12.0;

/// What a system cannot do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// A band that it needs is not among those of the series.
    #[error(
        "{system} needs {missing}, which is not among {found}: give all of its bands, or use a \
         model that takes any"
    )]
    Bands {
        /// The system.
        system: &'static str,
        /// The first band that is missing.
        missing: String,
        /// Those there are.
        found: String,
    },
    /// A series has more dates than it has positions for.
    #[error(
        "series {series} has {found} dates, but {system} has {most} positions: give it a shorter window, or \
         use a model without positions"
    )]
    TooManyDates {
        /// The system.
        system: &'static str,
        /// Number of the series.
        series: usize,
        /// Its dates.
        found: usize,
        /// Positions.
        most: usize,
    },
    /// No date of a series shows everything that it reads.
    #[error(
        "series {series} has no date within the window on which {system} sees {needed}: leave it out"
    )]
    NoDate {
        /// The system.
        system: &'static str,
        /// Number of the series.
        series: usize,
        /// What a date must show.
        needed: &'static str,
    },
    /// A pixel comes without those around it.
    #[error(
        "series {series} is {rows} × {columns} pixels, but {system} reads {needed}: cut windows around the \
         places, or use a model of single pixels"
    )]
    Neighbours {
        /// The system.
        system: &'static str,
        /// Number of the series.
        series: usize,
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// What it reads.
        needed: String,
    },
    /// Where on Earth a series lies is not known.
    #[error("series {series} has no longitude and latitude, which {system} needs: give its place")]
    Place {
        /// The system.
        system: &'static str,
        /// Number of the series.
        series: usize,
    },
    /// A window is longer than it has months for.
    #[error(
        "a window of {days} days has {found} months, but {system} has {most}: give a shorter one"
    )]
    TooManyMonths {
        /// The system.
        system: &'static str,
        /// Days of the window.
        days: i32,
        /// Its months.
        found: usize,
        /// Most months.
        most: usize,
    },
    /// Values are no input of it.
    #[error("{system}: {source}")]
    Input {
        /// The system.
        system: &'static str,
        /// Why.
        source: InputError,
    },
}

impl SystemError {
    /// The same of another series, where one of several is looked at alone.
    pub(crate) fn of_series(mut self, number: usize) -> Self {
        match &mut self {
            Self::TooManyDates { series, .. }
            | Self::NoDate { series, .. }
            | Self::Neighbours { series, .. }
            | Self::Place { series, .. } => *series = number,
            Self::Bands { .. } | Self::TooManyMonths { .. } | Self::Input { .. } => {}
        }
        self
    }
}

/// The place of a band among those of a series.
pub(crate) fn place_of(wanted: Band, bands: &[SpectralBand]) -> Option<usize> {
    same_band(&wanted.into(), bands)
}

/// The place of the band that measures the same: of the same kind and, if it is light, at about the same
/// wavelength.
pub(crate) fn same_band(wanted: &SpectralBand, bands: &[SpectralBand]) -> Option<usize> {
    let apart = |band: &SpectralBand| (band.centre_nm - wanted.centre_nm).abs();
    let near = bands.iter().enumerate().filter(|(_, band)| {
        band.kind == wanted.kind && (apart(band) <= SAME_BAND_NM || !is_light(band.kind))
    });
    near.min_by(|a, b| apart(a.1).total_cmp(&apart(b.1))).map(|(place, _)| place)
}

fn is_light(kind: BandKind) -> bool {
    match kind {
        BandKind::Optical | BandKind::Thermal | BandKind::Other => true,
        BandKind::RadarCo | BandKind::RadarCross => false,
    }
}

/// Places of the ten land bands of Sentinel-2 among those of a series.
pub(crate) fn s2_places(
    system: &'static str,
    bands: &[SpectralBand],
) -> Result<[usize; S2_BANDS.len()], SystemError> {
    let mut places = [0; S2_BANDS.len()];
    for (place, wanted) in places.iter_mut().zip(S2_BANDS) {
        *place = place_of(wanted, bands).ok_or_else(|| SystemError::Bands {
            system,
            missing: format!("the band {} at {} nm", wanted.name, wanted.centre_nm),
            found: named(bands),
        })?;
    }
    Ok(places)
}

/// Bands as a message lists them.
pub(crate) fn named(bands: &[SpectralBand]) -> String {
    if bands.is_empty() {
        return "none".into();
    }
    let each = bands.iter().map(|band| match band.kind {
        BandKind::Optical | BandKind::Thermal => format!("{} nm", band.centre_nm),
        BandKind::RadarCo => "radar VV".into(),
        BandKind::RadarCross => "radar VH".into(),
        BandKind::Other => "another".into(),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The pixel in the middle of a sample, which is where its label lies.
pub(crate) fn middle(sample: &Sample) -> usize {
    let [rows, columns] = sample.size_px;
    rows / 2 * columns + columns / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_known_by_what_they_measure_and_missing_ones_are_named() {
        let mut bands: Vec<SpectralBand> = S2_BANDS.iter().map(|&b| b.into()).collect();
        bands.reverse();
        assert_eq!(s2_places("ubarn", &bands).unwrap(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        // What others write for B08, and a radar band of no wavelength.
        bands[3].centre_nm = 842.0;
        bands.push(SpectralBand { kind: BandKind::RadarCo, ..bands[3] });
        assert_eq!(s2_places("ubarn", &bands).unwrap()[6], 3);
        let few = [bands[7], bands[10]];
        insta::assert_snapshot!(
            s2_places("earthpt", &few).unwrap_err(),
            @"earthpt needs the band B02 at 492.4 nm, which is not among 664.6 nm, radar VV: give all of its bands, or use a model that takes any"
        );
    }
}
