//! Which row groups of an index can be passed over.

use jiff::Timestamp;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::super::sink::Wanted;
use super::rows::timestamp;

/// Beyond it a box may cross the antimeridian, where west is greater than east.
const NEAR_ANTIMERIDIAN_DEG: f64 = 175.0;

/// Whether a row group may hold something that is wanted; without statistics it may.
pub(super) fn may_hold(group: &RowGroupMetaData, wanted: &Wanted<'_>) -> bool {
    in_season(group, wanted) && in_area(group, wanted) && is_new(group, wanted)
}

fn in_season(group: &RowGroupMetaData, wanted: &Wanted<'_>) -> bool {
    let seasons = &wanted.request.seasons;
    let Some((first, last)) = times(group, "datetime") else { return true };
    let day = |t: Timestamp| t.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (first, last) = (day(first), day(last));
    let timeless = seasons.is_empty() || wanted.request.sensor.is_static();
    timeless || seasons.iter().any(|s| first < s.to && s.from <= last)
}

fn in_area(group: &RowGroupMetaData, wanted: &Wanted<'_>) -> bool {
    let low = |name: &str| numbers(group, ["bbox", name]).map(|range| range.0);
    let high = |name: &str| numbers(group, ["bbox", name]).map(|range| range.1);
    let (Some(south), Some(north)) = (low("ymin"), high("ymax")) else { return true };
    let (mut west, mut east) = (-180.0, 180.0);
    if let (Some(w), Some(e)) = (low("xmin"), high("xmax"))
        && w <= e
        && w > -NEAR_ANTIMERIDIAN_DEG
        && e < NEAR_ANTIMERIDIAN_DEG
    {
        (west, east) = (w, e);
    }
    wanted.reaches([west, south, east, north])
}

fn is_new(group: &RowGroupMetaData, wanted: &Wanted<'_>) -> bool {
    let Some(since) = wanted.request.created_since else { return true };
    let latest = |name: &str| {
        let said = column(group, &[name])?.statistics()?.null_count_opt() == Some(0);
        said.then(|| times(group, name))?.map(|range| range.1)
    };
    match (latest("created"), latest("updated")) {
        (None, None) => true,
        (Some(created), Some(updated)) => created.max(updated) >= since,
        // Of the other one nothing is known unless it is not there.
        (Some(created), None) => created >= since || column(group, &["updated"]).is_some(),
        (None, Some(updated)) => updated >= since || column(group, &["created"]).is_some(),
    }
}

/// Whether a column lies somewhere: the reader of rows panics if it does not.
pub(super) fn is_sound(column: &ColumnChunkMetaData) -> bool {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    start >= 0 && column.compressed_size() >= 0 && column.num_values() >= 0
}

fn column<'g>(group: &'g RowGroupMetaData, path: &[&str]) -> Option<&'g ColumnChunkMetaData> {
    group.columns().iter().find(|column| column.column_path().parts() == path)
}

/// The first and last moment of a column of moments or of their text.
fn times(group: &RowGroupMetaData, name: &str) -> Option<(Timestamp, Timestamp)> {
    let column = column(group, &[name])?;
    match column.statistics()? {
        Statistics::Int64(stats) => {
            let per_second = units_per_second(column)?;
            let at = |value: &i64| timestamp(*value, per_second);
            Some((at(stats.min_opt()?)?, at(stats.max_opt()?)?))
        }
        Statistics::ByteArray(stats) if stats.max_is_exact() && stats.min_is_exact() => {
            let at = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
            Some((at(stats.min_opt()?.data())?, at(stats.max_opt()?.data())?))
        }
        _ => None,
    }
}

fn units_per_second(column: &ColumnChunkMetaData) -> Option<i64> {
    use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
    let descr = column.column_descr();
    match (descr.logical_type_ref(), descr.converted_type()) {
        (Some(LogicalType::Timestamp(of)), _) => Some(match of.unit {
            TimeUnit::MILLIS => 1_000,
            TimeUnit::MICROS => 1_000_000,
            TimeUnit::NANOS => 1_000_000_000,
        }),
        (_, ConvertedType::TIMESTAMP_MILLIS) => Some(1_000),
        (_, ConvertedType::TIMESTAMP_MICROS) => Some(1_000_000),
        _ => None,
    }
}

fn numbers(group: &RowGroupMetaData, path: [&str; 2]) -> Option<(f64, f64)> {
    match column(group, &path)?.statistics()? {
        Statistics::Double(stats) => Some((*stats.min_opt()?, *stats.max_opt()?)),
        Statistics::Float(stats) => {
            Some((f64::from(*stats.min_opt()?), f64::from(*stats.max_opt()?)))
        }
        _ => None,
    }
}
