//! Zones that points lie in, and scores zone by zone.
//!
//! Input: longitude and latitude. Output: the zone of the military grid, as Sentinel-2 names its tiles: `19H` is UTM zone 19 between
//! 40 and 32° S. Sample config: `zone_of([-71.2, -34.5])`.
//!
//! # Source
//! NGA 2014, *Universal Grids and Grid Reference Systems*, NGA.STND.0037; without its exceptions for Norway and Svalbard.

use std::collections::BTreeSet;

use super::score::Classes;
use super::{Row, SuiteResult, ZoneScore};
use crate::report::PlainTable;

/// Letters of bands of 8° of latitude from 80° S; the last is 12° high.
const BANDS: &[u8; 20] = b"CDEFGHJKLMNPQRSTUVWX";

/// The zone of a place in degrees.
#[must_use]
pub fn zone_of([lon, lat]: [f64; 2]) -> String {
    let zone = ((lon + 180.0) / 6.0).floor().rem_euclid(60.0) as u32 + 1;
    let band = ((lat + 80.0) / 8.0).floor().clamp(0.0, 19.0) as usize;
    format!("{zone:02}{}", char::from(BANDS[band]))
}

/// The zones of places, in order.
#[must_use]
pub fn zones_of(places: impl Iterator<Item = [f64; 2]>) -> Vec<String> {
    let zones: BTreeSet<String> = places.map(zone_of).collect();
    zones.into_iter().collect()
}

/// Scores of each zone over all seeds, in the order of the zones: the mean share of its classes that was found.
pub(super) fn scores(zones: &[String], counted: &[Classes<'_>]) -> Vec<ZoneScore> {
    let score = |(zone, classes): (&String, &Classes<'_>)| {
        let present = || classes.values().filter(|[_, asked]| *asked > 0);
        let found: f64 = present().map(|[found, asked]| *found as f64 / *asked as f64).sum();
        let asked = present().map(|[_, asked]| asked).sum();
        ZoneScore { zone: zone.clone(), asked, score: found / present().count() as f64 }
    };
    zones.iter().zip(counted).map(score).filter(|zone| zone.asked > 0).collect()
}

/// Score of each zone with the most labels per class, a column a method; nothing where all points lie in one.
#[must_use]
pub fn by_zone(result: &SuiteResult) -> Option<PlainTable> {
    let k = result.rows.iter().map(|row| row.k).max()?;
    let rows = result.rows.iter().filter(|row| row.k == k && !row.per_zone.is_empty());
    let rows: Vec<&Row> = rows.collect();
    let zones = &rows.first()?.per_zone;
    let cell = |row: &Row, zone: &str| {
        let found = row.per_zone.iter().find(|own| own.zone == zone);
        found.map_or("–".into(), |own| format!("{:.1}", 100.0 * own.score))
    };
    let line = |zone: &ZoneScore| {
        let name = [zone.zone.clone(), zone.asked.to_string()];
        name.into_iter().chain(rows.iter().map(|row| cell(row, &zone.zone))).collect()
    };
    let head = ["zone".to_string(), "asked".into()].into_iter();
    Some(PlainTable {
        title: format!("Zones, k = {k}"),
        caption: format!(
            "{} in % over the classes that a zone has, all seeds together. A zone is one of UTM and a band of 8° of latitude.",
            result.metric
        ),
        head: head.chain(rows.iter().map(|row| row.method.clone())).collect(),
        rows: zones.iter().map(line).collect(),
        said: Vec::new(),
    })
}

/// One line a method, k and zone; nothing where all points lie in one.
#[must_use]
pub fn zones_csv(result: &SuiteResult) -> Option<String> {
    let mut text = String::from("set,method,k,zone,asked,score\n");
    let head = text.len();
    for row in &result.rows {
        for ZoneScore { zone, asked, score } in &row.per_zone {
            text += &format!("{},{},{},{zone},{asked},{score:.6}\n", result.set, row.method, row.k);
        }
    }
    (text.len() > head).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places by hand: the Maipo valley, Corsica, Fergana and both ends of the grid.
    #[test]
    fn zones_are_those_of_the_grid() {
        for (place, zone) in [
            ([-70.9, -33.7], "19H"),
            ([-72.1, -36.0], "18H"),
            ([9.1, 42.2], "32T"),
            ([71.5, 40.5], "42T"),
            ([180.0, 83.0], "01X"),
            ([-180.0, -80.0], "01C"),
        ] {
            assert_eq!(zone_of(place), zone);
        }
    }
}
