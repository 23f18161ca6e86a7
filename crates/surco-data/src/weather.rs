//! Daily weather at points: from files of rows to a table of series.
//!
//! | input | columns |
//! |---|---|
//! | CSV or Parquet | `date`, `lon`, `lat` in degrees, and variables by the names of the sensor's description |
//! | output | `points.parquet`, `series.parquet`, `meta.json`, which [`crate::read_table`] reads |
//!
//! Every value must lie in the range that the description believes: kelvin read as Celsius, or a fill
//! value that nobody declared, is an error and no weather. `meta.json` is written last and removed first,
//! so that a table is whole or absent.

mod error;
mod rows;
mod tables;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::Serialize;
use surco_core::{Season, Sensor, Table};
use surco_raster::rasterise::contains;
use surco_raster::vector::Polygon;

pub use error::WeatherError;

/// What to take of the files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeatherRequest {
    /// Files of rows, `.csv` or `.parquet`.
    pub files: Vec<PathBuf>,
    /// Polygons in degrees; empty = everywhere.
    pub area: Vec<Polygon>,
    /// Dates to take; empty = all.
    pub seasons: Vec<Season>,
}

/// What was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WeatherSummary {
    /// Rows in the files.
    pub rows: u64,
    /// Rows outside the area or the dates.
    pub left_out: u64,
    /// Rows that repeat another word for word.
    pub repeated: u64,
    /// Points in the table.
    pub points: u64,
    /// Days in the table, the first and the last.
    pub days: Option<(Date, Date)>,
    /// Rows of the table.
    pub series_rows: u64,
    /// Values of the table that are there.
    pub values: u64,
    /// Variables in the table.
    pub variables: Vec<String>,
    /// Columns that the description does not name; they were left out.
    pub ignored: Vec<String>,
}

/// A longitude and latitude as they stand in a file, in the order of tables: north first, then west.
#[derive(Clone, Copy, Debug)]
struct Place {
    minus_lat: f64,
    lon: f64,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.minus_lat.total_cmp(&other.minus_lat).then(self.lon.total_cmp(&other.lon))
    }
}

/// Days of one place with their values, one a variable, NaN = not there.
type Days = BTreeMap<Date, Vec<f64>>;

/// Everything that was taken.
struct Gathered<'a> {
    table: &'a Table,
    /// Places in the table's variables that any file has.
    variables: Vec<usize>,
    places: BTreeMap<Place, Days>,
}

/// Reads files of daily weather and writes them as a table of series into a folder.
///
/// The same rows give the same bytes, in whatever order they come.
///
/// # Errors
/// [`WeatherError`] naming the file, the row and the value.
pub fn collect(
    sensor: &Sensor,
    request: &WeatherRequest,
    folder: &Path,
) -> Result<WeatherSummary, WeatherError> {
    let table = sensor.table().ok_or_else(|| WeatherError::Sensor { id: sensor.id.clone() })?;
    let mut summary = WeatherSummary::default();
    let mut gathered = Gathered { table, variables: Vec::new(), places: BTreeMap::new() };
    for path in &request.files {
        let columns = rows::Columns::of(path, table)?;
        gathered.variables.extend(columns.variables());
        for name in columns.ignored() {
            if !summary.ignored.contains(name) {
                summary.ignored.push(name.clone());
            }
        }
        rows::each(path, &columns, |row| gathered.take(path, row, request, &mut summary))?;
    }
    gathered.variables.sort_unstable();
    gathered.variables.dedup();
    if gathered.places.is_empty() {
        return Err(WeatherError::Nothing { rows: summary.rows, left_out: summary.left_out });
    }
    let days = || gathered.places.values().flat_map(BTreeMap::keys);
    summary.points = gathered.places.len() as u64;
    summary.days = days().min().copied().zip(days().max().copied());
    summary.series_rows = days().count() as u64;
    let names = gathered.variables.iter().map(|&v| table.variables[v].name.clone());
    summary.variables = names.collect();
    let values = || gathered.places.values().flat_map(BTreeMap::values).flatten();
    summary.values = values().filter(|v| !v.is_nan()).count() as u64;
    tables::write(folder, sensor, &gathered)?;
    Ok(summary)
}

impl Gathered<'_> {
    fn take(
        &mut self,
        path: &Path,
        row: rows::Row,
        request: &WeatherRequest,
        summary: &mut WeatherSummary,
    ) -> Result<(), WeatherError> {
        summary.rows += 1;
        let rows::Row { number, date, lon, lat, values } = row;
        let inside = request.area.is_empty() || request.area.iter().any(|p| contains(p, lon, lat));
        let wanted = request.seasons.is_empty() || request.seasons.iter().any(|s| s.contains(date));
        if !inside || !wanted {
            summary.left_out += 1;
            return Ok(());
        }
        for (variable, value) in self.table.variables.iter().zip(&values) {
            if !value.is_nan() && !variable.believes(*value) {
                return Err(WeatherError::Range {
                    path: path.into(),
                    row: number,
                    variable: variable.name.clone(),
                    value: *value,
                    low: variable.low,
                    high: variable.high,
                    units: variable.units.clone(),
                });
            }
        }
        let days = self.places.entry(Place { minus_lat: 0.0 - lat, lon: 0.0 + lon }).or_default();
        match days.entry(date) {
            Entry::Vacant(day) => {
                day.insert(values);
            }
            Entry::Occupied(mut day) => {
                // Files of one variable each meet here; the same value twice is no fault.
                let mut news = false;
                for (i, (old, new)) in day.get_mut().iter_mut().zip(values).enumerate() {
                    if new.is_nan() || *old == new {
                        continue;
                    }
                    if !old.is_nan() {
                        return Err(WeatherError::Twice {
                            path: path.into(),
                            row: number,
                            variable: self.table.variables[i].name.clone(),
                            first: *old,
                            second: new,
                        });
                    }
                    (*old, news) = (new, true);
                }
                summary.repeated += u64::from(!news);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
