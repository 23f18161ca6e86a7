//! Windows of the store as series.

use ndarray::{Array3, Array4, ArrayView2, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::{CellId, Fault, Georef, Progress, Scl, Season, Window, band_by_name};
use surco_raster::projection::{CrsError, Projection};
use surco_store::{CellReader, Store, StoreError};

use crate::calendar::civil;
use crate::{Degrees, Sample, SpectralBand};

/// Side of a training window in pixels: one inner chunk of the store.
const WINDOW_PX: usize = 64;

const DAY_S: i64 = 86_400;

/// Why the store gave no series.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CubeError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cell lies in a coordinate system nobody knows.
    #[error(transparent)]
    Crs(#[from] CrsError),
    /// A band of the store has no known wavelength.
    #[error("cell {cell} has band `{band}`, whose wavelength is unknown")]
    Band {
        /// The cell.
        cell: CellId,
        /// The band.
        band: String,
    },
    /// No date of the cell lies in the season.
    #[error(
        "cell {cell} has no date in season {season}: its dates run from {first} to {last}; choose another season"
    )]
    NoDate {
        /// The cell.
        cell: CellId,
        /// The season asked for.
        season: Season,
        /// First day there is.
        first: String,
        /// Last day there is.
        last: String,
    },
    /// The store holds no cell.
    #[error("the store holds no cell: collect something first")]
    NoCell,
    /// The user asked to stop.
    #[error("stopped while reading the store")]
    Stopped,
}

impl CubeError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Crs(error) => error.fault(),
            Self::Band { .. } | Self::NoDate { .. } | Self::NoCell => Fault::Input,
            Self::Stopped => Fault::Failed,
        }
    }
}

/// A window of a cell, all its dates of one season in memory.
///
/// | | shape | |
/// |---|---|---|
/// | `reflectance` | `[time, band, y, x]` | u16, reflectance × 10⁴, 0 = no data |
/// | `scl` | `[time, y, x]` | scene classes |
#[derive(Clone, Debug)]
pub struct Cube {
    /// The cell it was cut from.
    pub cell: CellId,
    /// Where its first pixel lies.
    pub georef: Georef,
    /// Dates in days since 1970-01-01, ascending.
    pub days: Vec<i32>,
    /// Bands.
    pub bands: Vec<SpectralBand>,
    /// Names of the bands.
    pub band_names: Vec<String>,
    /// Harmonised digital numbers.
    pub reflectance: Array4<u16>,
    /// Scene classes.
    pub scl: Array3<u8>,
    /// Whether it lies south of the equator.
    pub south: bool,
}

/// A window to read: which cell, which pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesWindow {
    /// The cell.
    pub cell: CellId,
    /// The pixels.
    pub window: Window,
}

impl Cube {
    /// Rows and columns.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.scl.dim().1, self.scl.dim().2)
    }

    /// The series of one pixel: dates on which the ground was seen.
    #[must_use]
    pub fn sample(&self, row: usize, col: usize) -> Sample {
        self.window(Window { row, col, rows: 1, cols: 1 })
    }

    /// A window of pixels: dates on which any of its ground was seen, NaN where it was not. What lies
    /// outside the cube is cut off.
    #[must_use]
    pub fn window(&self, at: Window) -> Sample {
        let (rows, cols) = self.size();
        let (y, x) = (
            at.row.min(rows)..(at.row + at.rows).min(rows),
            at.col.min(cols)..(at.col + at.cols).min(cols),
        );
        let mut sample = Sample::series(Vec::new(), Vec::new(), self.south);
        sample.size_px = [y.len(), x.len()];
        sample.site.lonlat = self.lonlat(&at);
        for (t, &day) in self.days.iter().enumerate() {
            let clear = self.scl.slice(s![t, y.clone(), x.clone()]);
            let pixels = self.reflectance.slice(s![t, .., y.clone(), x.clone()]);
            let begin = sample.values.len();
            let mut seen = false;
            for band in pixels.outer_iter() {
                sample.values.extend(band.iter().zip(&clear).map(|(&dn, &class)| {
                    if dn == 0 || !Scl::is_clear(class) {
                        return f32::NAN;
                    }
                    seen = true;
                    f32::from(dn) / surco_core::QUANTIFICATION
                }));
            }
            if seen {
                sample.days.push(day);
            } else {
                sample.values.truncate(begin);
            }
        }
        sample
    }

    /// The mean series of a field: of its pixels, each row and column, those of which the ground was seen. A date is
    /// trusted by their share.
    #[must_use]
    pub fn mean_of(&self, pixels: &[(usize, usize)]) -> Sample {
        let mut sample = Sample::series(Vec::new(), Vec::new(), self.south);
        if let Some(&(row, col)) = pixels.first() {
            sample.site.lonlat = self.lonlat(&Window { row, col, rows: 1, cols: 1 });
        }
        let mut clear = Vec::with_capacity(pixels.len());
        for (t, &day) in self.days.iter().enumerate() {
            clear.clear();
            clear.extend(pixels.iter().filter(|&&(y, x)| Scl::is_clear(self.scl[[t, y, x]])));
            if clear.is_empty() {
                continue;
            }
            let (values, weights) = (sample.values.len(), sample.weights.len());
            for band in 0..self.bands.len() {
                let (mut sum, mut count) = (0.0, 0.0);
                for &&(y, x) in &clear {
                    let dn = self.reflectance[[t, band, y, x]];
                    if dn > 0 {
                        sum += f32::from(dn);
                        count += 1.0;
                    }
                }
                sample.values.push(sum / count / surco_core::QUANTIFICATION);
                sample.weights.push(count / pixels.len() as f32);
            }
            if sample.weights[weights..].iter().any(|&w| w > 0.0) {
                sample.days.push(day);
            } else {
                sample.values.truncate(values);
                sample.weights.truncate(weights);
            }
        }
        sample
    }

    /// Longitude and latitude of the middle of a window.
    fn lonlat(&self, at: &Window) -> Option<[f64; 2]> {
        let east = self.georef.px_m * (at.col as f64 + at.cols as f64 / 2.0);
        let north = self.georef.px_m * (at.row as f64 + at.rows as f64 / 2.0);
        let projection = Projection::from_epsg(self.georef.epsg).ok()?;
        let (lon, lat) =
            projection.to_lonlat(self.georef.x0_m + east, self.georef.y0_m - north).ok()?;
        Some([lon, lat])
    }

    /// West, south, east and north of a window's ground in degrees, from its corners.
    #[must_use]
    pub fn degrees(&self, at: &Window) -> Option<Degrees> {
        let projection = Projection::from_epsg(self.georef.epsg).ok()?;
        let mut out = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        for (row, col) in [(0, 0), (0, at.cols), (at.rows, 0), (at.rows, at.cols)] {
            let x = self.georef.x0_m + self.georef.px_m * (at.col + col) as f64;
            let y = self.georef.y0_m - self.georef.px_m * (at.row + row) as f64;
            let (lon, lat) = projection.to_lonlat(x, y).ok()?;
            out = [out[0].min(lon), out[1].min(lat), out[2].max(lon), out[3].max(lat)];
        }
        Some(out)
    }

    /// One band on one date.
    #[must_use]
    pub fn image(&self, time: usize, band: usize) -> ArrayView2<'_, u16> {
        self.reflectance.slice(s![time, band, .., ..])
    }

    /// Place of a band by name.
    #[must_use]
    pub fn band(&self, name: &str) -> Option<usize> {
        self.band_names.iter().position(|b| b == name)
    }
}

/// Reads a window of a cell for one season, or for all dates there are.
///
/// # Errors
/// [`CubeError`] naming cell and season.
pub fn read_cube(
    store: &Store,
    at: &SeriesWindow,
    season: Option<Season>,
) -> Result<Cube, CubeError> {
    let reader = store.cell(&at.cell)?;
    let days: Vec<i32> = reader.times.iter().map(|t| t.div_euclid(DAY_S) as i32).collect();
    let kept: Vec<usize> = match season {
        None => (0..days.len()).collect(),
        Some(season) => {
            let (from, to) = (day_number(season.from), day_number(season.to));
            (0..days.len()).filter(|&i| (from..to).contains(&days[i])).collect()
        }
    };
    if let (true, Some(season)) = (kept.is_empty(), season) {
        let name = |day: Option<&i32>| day.map_or("none".into(), |&d| civil(d).to_string());
        return Err(CubeError::NoDate {
            cell: at.cell.clone(),
            season,
            first: name(days.first()),
            last: name(days.last()),
        });
    }
    let pixels = reader.read(&kept, at.window)?;
    let georef = reader.georef.shifted(at.window.row, at.window.col);
    Ok(Cube {
        bands: bands_of(&reader)?,
        band_names: reader.bands.clone(),
        days: kept.iter().map(|&i| days[i]).collect(),
        reflectance: pixels.reflectance,
        scl: pixels.scl,
        south: is_south(&georef)?,
        cell: at.cell.clone(),
        georef,
    })
}

/// Reads up to `count` windows of 64 × 64 pixels, spread over the store by the seed, in a fixed order.
///
/// # Errors
/// [`CubeError`], among it a stop.
pub fn read_windows(
    store: &Store,
    season: Option<Season>,
    count: usize,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Cube>, CubeError> {
    let mut all = Vec::new();
    for cell in store.cells()? {
        let reader = store.cell(&cell)?;
        for row in (0..reader.rows).step_by(WINDOW_PX) {
            for col in (0..reader.cols).step_by(WINDOW_PX) {
                let rows = WINDOW_PX.min(reader.rows - row);
                let cols = WINDOW_PX.min(reader.cols - col);
                let window = Window { row, col, rows, cols };
                all.push(SeriesWindow { cell: cell.clone(), window });
            }
        }
    }
    if all.is_empty() {
        return Err(CubeError::NoCell);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for i in (1..all.len()).rev() {
        all.swap(i, rng.random_range(0..=i));
    }
    all.truncate(count);
    let total = all.len() as u64;
    let mut cubes = Vec::with_capacity(all.len());
    for (i, window) in all.iter().enumerate() {
        if progress.stopped() {
            return Err(CubeError::Stopped);
        }
        cubes.push(read_cube(store, window, season)?);
        progress.report("read", i as u64 + 1, total, "");
    }
    Ok(cubes)
}

/// Days since 1970-01-01 of a date.
#[must_use]
pub(crate) fn day_number(date: jiff::civil::Date) -> i32 {
    let epoch = jiff::civil::date(1970, 1, 1);
    (date - epoch).get_days()
}

fn bands_of(reader: &CellReader) -> Result<Vec<SpectralBand>, CubeError> {
    let known = |name: &String| {
        band_by_name(name)
            .map(|(_, band)| band.into())
            .ok_or_else(|| CubeError::Band { cell: reader.id.clone(), band: name.clone() })
    };
    reader.bands.iter().map(known).collect()
}

fn is_south(georef: &Georef) -> Result<bool, CubeError> {
    let (_, lat) = Projection::from_epsg(georef.epsg)?.to_lonlat(georef.x0_m, georef.y0_m)?;
    Ok(lat < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pixels: both clear on the first day, one on the second, none on the third.
    #[test]
    fn a_field_is_the_mean_of_what_was_seen_of_it() {
        let dn = ndarray::arr3(&[[[1000_u16, 3000]], [[2000, 5000]], [[7000, 7000]]]);
        let cube = Cube {
            cell: "19HCB/r00c00".parse().unwrap(),
            georef: Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m: 10.0 },
            days: vec![10, 15, 20],
            bands: vec![SpectralBand::optical(665.0, 31.0)],
            band_names: vec!["B04".into()],
            reflectance: dn.insert_axis(ndarray::Axis(1)),
            scl: ndarray::arr3(&[[[4, 4]], [[4, 9]], [[9, 9]]]),
            south: true,
        };
        let field = cube.mean_of(&[(0, 0), (0, 1)]);
        assert_eq!((field.days, field.weights), (vec![10, 15], vec![1.0, 0.5]));
        assert!((field.values[0] - 0.2).abs() < 1e-6 && (field.values[1] - 0.2).abs() < 1e-6);
        let [lon, lat] = field.site.lonlat.unwrap();
        assert!((-72.0..-70.0).contains(&lon) && (-35.0..-34.0).contains(&lat), "{lon} {lat}");
        assert!(cube.mean_of(&[]).is_empty());
    }
}
