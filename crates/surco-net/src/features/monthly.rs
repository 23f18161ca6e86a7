//! Months as Presto and Galileo read them, from series on any dates.
//!
//! A month is a twelfth of a year from the first day of the window on; its value of a band is the mean of what
//! was seen, each date by its trust. A month without a band hides every group that has the band.

use ndarray::{Array2, Array3, Array4, Array5};
use surco_core::S2_BANDS;
use surco_data::{BandKind, Sample, SpectralBand, month_of};

use crate::galileo::{GALILEO_BANDS, GALILEO_MONTHS, GalileoBatch, GalileoInput};
use crate::presto::{NO_CLASS, PRESTO_BANDS, PRESTO_MONTHS, PrestoBatch, presto_scaled};
use crate::systems::{SystemError, middle, place_of};

const MONTH_DAYS: f64 = 365.2425 / 12.0;

/// Radar, then the ten bands of Sentinel-2: the first bands of both models.
const OBSERVED: usize = 2 + S2_BANDS.len();

/// Digital numbers of a reflectance of 1.
const QUANTIFICATION: f64 = 1e4;

/// Bands of Presto that relief fills, and the NDVI.
const RELIEF: [usize; 2] = [14, 15];
const PRESTO_NDVI: usize = 16;
const RED: usize = 4;
const NIR: usize = 8;

/// Groups of Galileo by their bands, as places among [`OBSERVED`]: radar, visible, red edge, near infrared of 10
/// and of 20 m, short-wave infrared. The NDVI, from two of them, is the last.
const GALILEO_GROUPS: [std::ops::Range<usize>; 6] = [0..2, 2..5, 5..8, 8..9, 9..10, 10..12];
const GALILEO_NDVI: usize = 12;

/// What was seen month by month, in the units of the models' bands: dB and digital numbers; NaN = nothing.
struct Months {
    /// `[n, t, OBSERVED]`.
    values: Array3<f64>,
    /// Month of the year, `[n, t]`.
    of_year: Array2<u8>,
}

impl Months {
    fn of(
        system: &'static str,
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
    ) -> Result<Self, SystemError> {
        let days = window.1 - window.0;
        let found = (f64::from(days) / MONTH_DAYS).round().max(1.0) as usize;
        if found > PRESTO_MONTHS {
            return Err(SystemError::TooManyMonths { system, days, found, most: PRESTO_MONTHS });
        }
        let places = places(system, bands)?;
        let mut values = Array3::zeros((samples.len(), found, OBSERVED));
        let mut weights = Array3::<f64>::zeros(values.dim());
        for (series, sample) in samples.iter().enumerate() {
            for (date, &day) in sample.days.iter().enumerate() {
                if !(window.0..window.1).contains(&day) {
                    continue;
                }
                let month = (f64::from(day - window.0) / MONTH_DAYS) as usize;
                for (band, &(from, unit)) in places.iter().enumerate() {
                    let Some(from) = from else { continue };
                    let plane = date * bands.len() + from;
                    let at = plane * sample.pixels() + middle(sample);
                    let weight = f64::from(sample.weight(at));
                    if weight > 0.0 {
                        let to = [series, month.min(found - 1), band];
                        values[to] += weight * unit * f64::from(sample.values[at]);
                        weights[to] += weight;
                    }
                }
            }
            if weights.index_axis(ndarray::Axis(0), series).iter().all(|&w| w == 0.0) {
                let needed = "any of its bands";
                return Err(SystemError::NoDate { system, series, needed });
            }
        }
        // 0 / 0 is no number, which is what a month without a value is.
        let values = values / weights;
        let of_year = Array2::from_shape_fn((samples.len(), found), |(_, month)| {
            month_of(window.0 + ((month as f64 + 0.5) * MONTH_DAYS) as i32)
        });
        Ok(Self { values, of_year })
    }

    fn ndvi(&self, series: usize, month: usize) -> f64 {
        let (red, nir) = (self.values[[series, month, RED]], self.values[[series, month, NIR]]);
        match nir + red {
            sum if sum.is_nan() => f64::NAN,
            sum if sum > 0.0 => (nir - red) / sum,
            _ => 0.0,
        }
    }
}

/// Where each observed band is among those of the series, and what its values are multiplied by.
fn places(
    system: &'static str,
    bands: &[SpectralBand],
) -> Result<Vec<(Option<usize>, f64)>, SystemError> {
    let radar = |kind| (bands.iter().position(|band| band.kind == kind), 1.0);
    let mut places = vec![radar(BandKind::RadarCo), radar(BandKind::RadarCross)];
    places.extend(S2_BANDS.map(|band| (place_of(band, bands), QUANTIFICATION)));
    if places.iter().all(|(place, _)| place.is_none()) {
        let found = crate::systems::named(bands);
        let missing = "a band of Sentinel-1 or Sentinel-2".into();
        return Err(SystemError::Bands { system, missing, found });
    }
    Ok(places)
}

/// Series as Presto reads them.
pub(super) fn presto_batch(
    samples: &[&Sample],
    bands: &[SpectralBand],
    window: (i32, i32),
) -> Result<PrestoBatch, SystemError> {
    let system = "presto";
    let months = Months::of(system, samples, bands, window)?;
    let (n, t, _) = months.values.dim();
    let mut raw = Array3::from_elem((n, t, PRESTO_BANDS.len()), f64::NAN);
    raw.slice_mut(ndarray::s![.., .., ..OBSERVED]).assign(&months.values);
    let mut place_n2 = Array2::zeros((n, 2));
    for (series, sample) in samples.iter().enumerate() {
        let [lon, lat] = sample.site.lonlat.ok_or(SystemError::Place { system, series })?;
        place_n2[[series, 0]] = lat as f32;
        place_n2[[series, 1]] = lon as f32;
        if let Some(relief) = sample.site.relief {
            raw[[series, 0, RELIEF[0]]] = relief.elevation_m.into();
            raw[[series, 0, RELIEF[1]]] = relief.slope_deg.into();
        }
        for month in 0..t {
            raw[[series, month, PRESTO_NDVI]] = months.ndvi(series, month);
        }
    }
    let hidden = raw.mapv(f64::is_nan);
    let classes = Array2::from_elem((n, t), NO_CLASS);
    PrestoBatch::new(presto_scaled(raw.view()), hidden, classes, months.of_year, place_n2)
        .map_err(|source| SystemError::Input { system, source })
}

/// Series as Galileo reads them: windows of one pixel.
pub(super) fn galileo_batch(
    samples: &[&Sample],
    bands: &[SpectralBand],
    window: (i32, i32),
) -> Result<GalileoBatch, SystemError> {
    let system = "galileo";
    const { assert!(GALILEO_MONTHS == PRESTO_MONTHS) };
    let months = Months::of(system, samples, bands, window)?;
    let (n, t, _) = months.values.dim();
    let mut input = GalileoInput {
        space_time: Array5::zeros((n, 1, 1, t, GALILEO_NDVI + 1)),
        space: Array4::zeros((n, 1, 1, 16)),
        time: Array3::zeros((n, t, 6)),
        fixed: Array2::zeros((n, 18)),
        space_time_hidden: Array5::from_elem((n, 1, 1, t, GALILEO_GROUPS.len() + 1), true),
        space_hidden: Array4::from_elem((n, 1, 1, 3), true),
        time_hidden: Array3::from_elem((n, t, 3), true),
        fixed_hidden: Array2::from_elem((n, 4), true),
        months: months.of_year.clone(),
    };
    let scaled = |band: usize, value: f64| {
        let scale = GALILEO_BANDS[band];
        ((value + scale.add) / scale.divide) as f32
    };
    for (series, sample) in samples.iter().enumerate() {
        for month in 0..t {
            let ndvi = months.ndvi(series, month);
            for band in 0..OBSERVED {
                let value = months.values[[series, month, band]];
                input.space_time[[series, 0, 0, month, band]] = scaled(band, value);
            }
            input.space_time[[series, 0, 0, month, GALILEO_NDVI]] = scaled(GALILEO_NDVI, ndvi);
            let mut hidden =
                input.space_time_hidden.slice_mut(ndarray::s![series, 0, 0, month, ..]);
            for (group, bands) in GALILEO_GROUPS.into_iter().enumerate() {
                let unseen = |band| months.values[[series, month, band]].is_nan();
                hidden[group] = bands.into_iter().any(unseen);
            }
            hidden[GALILEO_GROUPS.len()] = ndvi.is_nan();
        }
        if let Some([lon, lat]) = sample.site.lonlat.map(|place| place.map(f64::to_radians)) {
            let sphere = [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()];
            for (axis, value) in sphere.into_iter().enumerate() {
                input.fixed[[series, 1 + axis]] = value as f32;
            }
            input.fixed_hidden[[series, 1]] = false;
        }
    }
    GalileoBatch::new(input, 1).map_err(|source| SystemError::Input { system, source })
}
