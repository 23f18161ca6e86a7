//! Rows of files, whatever they are written in.

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use surco_core::Table;

use super::WeatherError;

/// Names of the columns of every file.
const DATE: [&str; 4] = ["date", "day", "time", "timestamp"];
const LON: [&str; 3] = ["lon", "longitude", "x"];
const LAT: [&str; 3] = ["lat", "latitude", "y"];

/// One row.
pub(super) struct Row {
    /// Counted from 1 behind the names of the columns.
    pub(super) number: u64,
    pub(super) date: Date,
    pub(super) lon: f64,
    pub(super) lat: f64,
    /// One a variable of the table, NaN = not there.
    pub(super) values: Vec<f64>,
}

/// What the columns of a file hold.
pub(super) struct Columns {
    names: Vec<String>,
    date: usize,
    lon: usize,
    lat: usize,
    /// Column of each variable of the table.
    variables: Vec<Option<usize>>,
    ignored: Vec<String>,
}

/// A field of a row.
enum Value {
    Empty,
    Number(f64),
    Text(String),
    Day(Date),
}

impl Columns {
    pub(super) fn of(path: &Path, table: &Table) -> Result<Self, WeatherError> {
        let names = if is_parquet(path) {
            let fields = open_parquet(path)?;
            let schema = fields.metadata().file_metadata().schema();
            schema.get_fields().iter().map(|field| field.name().to_string()).collect()
        } else {
            let mut reader = open_csv(path)?;
            let header = reader.headers().map_err(|e| read(path, &e))?;
            header.iter().map(|name| name.trim().to_string()).collect::<Vec<String>>()
        };
        let one = |what: &str, is: &dyn Fn(&str) -> bool| {
            let mut found = (0..names.len()).filter(|&i| is(&names[i]));
            match (found.next(), found.next()) {
                (Some(first), Some(second)) => Err(WeatherError::TwoColumns {
                    path: path.into(),
                    first: names[first].clone(),
                    second: names[second].clone(),
                    what: what.into(),
                }),
                (first, _) => Ok(first),
            }
        };
        let need = |what: &'static str, of: &[&str]| {
            let is = |name: &str| of.iter().any(|o| o.eq_ignore_ascii_case(name));
            one(what, &is)?.ok_or_else(|| WeatherError::Column {
                path: path.into(),
                what,
                found: names.join(", "),
            })
        };
        let (date, lon, lat) = (need("date", &DATE)?, need("lon", &LON)?, need("lat", &LAT)?);
        let variables = table.variables.iter();
        let variables: Vec<Option<usize>> =
            variables.map(|v| one(&v.name, &|name| v.is_called(name))).collect::<Result<_, _>>()?;
        if variables.iter().all(Option::is_none) {
            let (what, found) = ("of any variable of the sensor", names.join(", "));
            return Err(WeatherError::Column { path: path.into(), what, found });
        }
        let known = |i: usize| [date, lon, lat].contains(&i) || variables.contains(&Some(i));
        let ignored = (0..names.len()).filter(|&i| !known(i)).map(|i| names[i].clone()).collect();
        Ok(Self { names, date, lon, lat, variables, ignored })
    }

    /// Places of the table's variables that the file has.
    pub(super) fn variables(&self) -> impl Iterator<Item = usize> {
        self.variables.iter().enumerate().filter_map(|(i, column)| column.map(|_| i))
    }

    pub(super) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    fn row(
        &self,
        path: &Path,
        number: u64,
        field: impl Fn(usize) -> Value,
    ) -> Result<Row, WeatherError> {
        let wrong = |column: usize, value: String, expected: &'static str| WeatherError::Field {
            path: path.into(),
            row: number,
            column: self.names[column].clone(),
            value,
            expected,
        };
        let number_at = |column: usize| match field(column) {
            Value::Empty => Ok(f64::NAN),
            Value::Number(value) => Ok(value),
            Value::Text(text) => {
                let parsed = text.parse().ok().filter(|v: &f64| v.is_finite());
                parsed.ok_or_else(|| wrong(column, text, "number"))
            }
            Value::Day(day) => Err(wrong(column, day.to_string(), "number")),
        };
        let degrees = |column: usize, most: f64, expected: &'static str| {
            let value = number_at(column)?;
            let good = value.abs() <= most;
            good.then_some(value).ok_or_else(|| wrong(column, value.to_string(), expected))
        };
        let date = match field(self.date) {
            Value::Day(day) => day,
            Value::Text(text) => {
                day_of(&text).ok_or_else(|| wrong(self.date, text, "date like 2023-05-31"))?
            }
            Value::Number(value) => {
                return Err(wrong(self.date, value.to_string(), "date like 2023-05-31"));
            }
            Value::Empty => return Err(wrong(self.date, String::new(), "date like 2023-05-31")),
        };
        let column = |column: &Option<usize>| column.map_or(Ok(f64::NAN), number_at);
        Ok(Row {
            number,
            date,
            lon: degrees(self.lon, 180.0, "longitude in degrees")?,
            lat: degrees(self.lat, 90.0, "latitude in degrees")?,
            values: self.variables.iter().map(column).collect::<Result<_, _>>()?,
        })
    }
}

/// A day, or the day of a time.
fn day_of(text: &str) -> Option<Date> {
    let text = text.trim();
    text.parse::<Date>().ok().or_else(|| text.parse::<DateTime>().ok().map(|t| t.date()))
}

/// Gives every row of a file.
pub(super) fn each(
    path: &Path,
    columns: &Columns,
    mut take: impl FnMut(Row) -> Result<(), WeatherError>,
) -> Result<(), WeatherError> {
    if !is_parquet(path) {
        for (i, record) in open_csv(path)?.into_records().enumerate() {
            let record = record.map_err(|e| read(path, &e))?;
            let field = |column: usize| match record.get(column).map(str::trim) {
                None | Some("") => Value::Empty,
                Some(text) => Value::Text(text.into()),
            };
            take(columns.row(path, i as u64 + 1, field)?)?;
        }
        return Ok(());
    }
    let reader = open_parquet(path)?;
    for (i, row) in reader.get_row_iter(None).map_err(|e| read(path, &e))?.enumerate() {
        let row = row.map_err(|e| read(path, &e))?;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        take(columns.row(path, i as u64 + 1, |column| value_of(fields[column]))?)?;
    }
    Ok(())
}

fn value_of(field: &Field) -> Value {
    let whole = |v: i64| Value::Number(v as f64);
    match field {
        Field::Null => Value::Empty,
        Field::Double(v) if v.is_nan() => Value::Empty,
        Field::Double(v) => Value::Number(*v),
        Field::Float(v) if v.is_nan() => Value::Empty,
        // Through text: 0.1 as a float is 0.1, not 0.10000000149.
        Field::Float(v) => v.to_string().parse().map_or(Value::Empty, Value::Number),
        Field::Byte(v) => whole(i64::from(*v)),
        Field::Short(v) => whole(i64::from(*v)),
        Field::Int(v) => whole(i64::from(*v)),
        Field::Long(v) => whole(*v),
        Field::UByte(v) => whole(i64::from(*v)),
        Field::UShort(v) => whole(i64::from(*v)),
        Field::UInt(v) => whole(i64::from(*v)),
        Field::Str(text) => Value::Text(text.clone()),
        Field::Date(days) => {
            let day = date(1970, 1, 1).checked_add(jiff::Span::new().days(*days));
            day.map_or_else(|_| Value::Text(format!("day {days}")), Value::Day)
        }
        Field::TimestampMillis(ms) => moment(Timestamp::from_millisecond(*ms)),
        Field::TimestampMicros(us) => moment(Timestamp::from_microsecond(*us)),
        other => Value::Text(other.to_string()),
    }
}

fn moment(time: Result<Timestamp, jiff::Error>) -> Value {
    match time {
        Ok(time) => Value::Day(time.to_zoned(TimeZone::UTC).date()),
        Err(error) => Value::Text(error.to_string()),
    }
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"))
}

fn read(path: &Path, error: &dyn std::fmt::Display) -> WeatherError {
    WeatherError::Read { path: path.into(), reason: error.to_string() }
}

fn open_csv(path: &Path) -> Result<csv::Reader<File>, WeatherError> {
    csv::Reader::from_path(path).map_err(|e| read(path, &e))
}

fn open_parquet(path: &Path) -> Result<SerializedFileReader<File>, WeatherError> {
    let file = File::open(path).map_err(|e| read(path, &e))?;
    SerializedFileReader::new(file).map_err(|e| read(path, &e))
}
