//! When the satellites pass, from where, and what the ground segment makes of it.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, date};
use surco_core::Georef;

use crate::config::{SimError, ValleyConfig};
use crate::noise::{derive, unit};
use crate::relief::Sun;

/// A pass of Sentinel-2A over relative orbit 96; the others follow from the ten-day cycle.
///
/// # Source
/// Product `S2A_MSIL2A_20240422T173911_N0510_R098…`: absolute orbit 46141 is relative orbit 98.
const ANCHOR: Date = date(2024, 4, 22);
const ANCHOR_ORBIT: i64 = 46_139;

/// One acquisition as the ground segment delivers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// Name of the STAC item and of its folder.
    pub item_id: String,
    /// When the sensor began, UTC.
    pub start: DateTime,
    /// When the sensor saw the valley, UTC.
    pub seen: DateTime,
    /// `A`, `B` or `C`.
    pub satellite: char,
    /// Relative orbit, 53 or 96.
    pub relative_orbit: u16,
    /// Absolute orbit.
    pub absolute_orbit: i64,
    /// Processing baseline, for example `05.09`.
    pub baseline: String,
    /// What the digital numbers carry on top: 0 or 1000.
    pub offset_dn: u16,
    /// When the product was made, UTC.
    pub generated: DateTime,
    /// Where the sun stood.
    pub sun: Sun,
    /// Days after 1 May.
    pub(crate) day: u16,
    /// Seed of the sky; the same for both processings of one acquisition.
    pub(crate) seed: u64,
    /// 0 for the first processing, 1 for the second.
    pub(crate) copy: u16,
}

impl Pass {
    /// Whether the swath covers only part of the valley.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.relative_orbit == 53
    }
}

/// The acquisitions of a config's season, by time; second processings follow their first.
pub(crate) fn passes(config: &ValleyConfig) -> Result<Vec<Pass>, SimError> {
    let season = config.season()?;
    let mut candidates = Vec::new();
    let mut day = season.from;
    while day < season.to {
        for orbit in [53, 96] {
            if let Some(satellite) = satellite(orbit, day) {
                candidates.push((day, orbit, satellite));
            }
        }
        day = day.saturating_add(1.day());
    }
    let mut out: Vec<Pass> = Vec::with_capacity(config.scenes + config.duplicates);
    let wanted = config.scenes.min(candidates.len());
    for i in 0..wanted {
        // one of each run of candidates, so that the season is covered and gaps are irregular
        let run = &candidates[i * candidates.len() / wanted..(i + 1) * candidates.len() / wanted];
        let h = derive(config.seed, "pass", i as u64 ^ (config.year as u64) << 20);
        let pick = |part: f32| run[((part * run.len() as f32) as usize).min(run.len() - 1)];
        let first = pick(unit(h));
        let again = first.1 == 53 && unit(h << 20) < 0.3;
        let (day, orbit, satellite) = if again { pick(unit(h << 40)) } else { first };
        let since = (day - season.from).get_days().unsigned_abs() as u16;
        out.push(pass(config, day, since, (orbit, satellite)));
    }
    for copy in copies(config, &out) {
        let place = out.partition_point(|p| p.start <= copy.start);
        out.insert(place, copy);
    }
    Ok(out)
}

/// The satellite of the A/B pair that flies an orbit on a day.
fn satellite(orbit: u16, day: Date) -> Option<char> {
    // orbit 53 is flown 43 orbits, three days, before orbit 96
    let shift = if orbit == 53 { 3 } else { 0 };
    match days_from_anchor(day).saturating_add(shift).rem_euclid(10) {
        0 => Some('A'),
        5 => Some('B'),
        _ => None,
    }
}

fn days_from_anchor(day: Date) -> i64 {
    day.since((jiff::Unit::Day, ANCHOR)).map_or(0, |span| i64::from(span.get_days()))
}

fn pass(config: &ValleyConfig, day: Date, since: u16, flown: (u16, char)) -> Pass {
    let (relative_orbit, pair) = flown;
    let satellite = if pair == 'A' && since >= config.fleet_change_day { 'C' } else { pair };
    let seed = derive(config.seed, "sky", since as u64 ^ (config.year as u64) << 20);
    let (hour, minute) = if relative_orbit == 53 { (14, 27) } else { (14, 37) };
    let second = 29 + (unit(seed) * 12.0) as i8;
    let start = day.at(hour, minute, second, 0);
    let (ahead_orbits, ahead_days) = if relative_orbit == 53 { (43, 3) } else { (0, 0) };
    let (base, base_days) = match satellite {
        'A' => (ANCHOR_ORBIT, 0),
        'B' => (37_302, 5),
        _ => (12_108, 0), // a simulation flies S2C before its launch
    };
    let cycles = (days_from_anchor(day) + ahead_days - base_days).div_euclid(10);
    let absolute_orbit = base + cycles * 143 - ahead_orbits;
    let since_change = since >= config.baseline_change_day;
    let (baseline, offset_dn) = if since_change { ("05.09", 1000) } else { ("03.01", 0) };
    let hours = 5 + (unit(seed << 20) * 9.0) as i64;
    let seen = start.saturating_add(10.minutes().seconds(17));
    Pass {
        item_id: item_id(config, satellite, start, 0),
        start,
        seen,
        satellite,
        relative_orbit,
        absolute_orbit,
        baseline: baseline.into(),
        offset_dn,
        generated: start.saturating_add(hours.hours().minutes((unit(seed << 30) * 59.0) as i64)),
        sun: sun(&config.georef(), config.side_px, seen),
        day: since,
        seed,
        copy: 0,
    }
}

/// Item names carry the start of the data strip, 20 s after the sensor's.
fn item_id(config: &ValleyConfig, satellite: char, start: DateTime, copy: u16) -> String {
    let strip = compact(start.saturating_add(20.seconds()));
    let twin = if copy == 0 { String::new() } else { format!("_{copy}") };
    format!("S2{satellite}_T{}_{strip}{twin}_L2A", config.tile)
}

/// `20230803T143751`.
pub(crate) fn compact(t: DateTime) -> String {
    let (d, c) = (t.date(), t.time());
    let date = format!("{:04}{:02}{:02}", d.year(), d.month(), d.day());
    format!("{date}T{:02}{:02}{:02}", c.hour(), c.minute(), c.second())
}

/// Second processings of some acquisitions: the first from before the baseline change, so that its
/// two versions differ by the offset, the others spread over the season.
fn copies(config: &ValleyConfig, passes: &[Pass]) -> Vec<Pass> {
    let before = passes.iter().rposition(|p| p.offset_dn == 0).map(|i| i.saturating_sub(1));
    let spread =
        (0..config.duplicates).map(|k| (2 * k + 1) * passes.len() / (2 * config.duplicates));
    let mut places: Vec<usize> =
        before.into_iter().chain(spread.skip(usize::from(before.is_some()))).collect();
    places.sort_unstable();
    places.dedup();
    places.truncate(config.duplicates);
    let again = |&i: &usize| {
        let first = &passes[i];
        let newer = if first.offset_dn == 0 { "05.09" } else { "05.10" };
        Pass {
            item_id: item_id(config, first.satellite, first.start, 1),
            baseline: newer.into(),
            offset_dn: 1000,
            generated: first.generated.saturating_add(190.days().hours(7).minutes(13)),
            copy: 1,
            ..first.clone()
        }
    };
    places.iter().map(again).collect()
}

/// Where the sun stands over the valley.
///
/// # Source
/// Cooper (1969) for the declination, Spencer (1971) for the equation of time: within 0.8°.
fn sun(georef: &Georef, side_px: usize, seen: DateTime) -> Sun {
    let half = side_px as f64 * 5.0;
    // a sphere is enough for the sun
    let latitude = (georef.y0_m - half - 1e7) / 0.9996 / 6_367_449.0;
    let zone = f64::from(georef.epsg % 100);
    let meridian_deg = zone * 6.0 - 183.0;
    let east = (georef.x0_m + half - 5e5) / 0.9996 / 6_378_137.0 / libm::cos(latitude);
    let longitude_deg = meridian_deg + east.to_degrees();
    let day = f64::from(seen.date().day_of_year());
    let turn = std::f64::consts::TAU;
    let declination = 23.45_f64.to_radians() * libm::sin(turn * (284.0 + day) / 365.0);
    let b = turn * (day - 1.0) / 365.0;
    let equation_min = 229.18
        * (0.000_075 + 0.001_868 * libm::cos(b)
            - 0.032_077 * libm::sin(b)
            - 0.014_615 * libm::cos(2.0 * b)
            - 0.040_849 * libm::sin(2.0 * b));
    let clock_min = f64::from(seen.time().hour()) * 60.0 + f64::from(seen.time().minute());
    let solar_min = clock_min + equation_min + 4.0 * longitude_deg;
    let hour = (solar_min / 4.0 - 180.0).to_radians();
    let up = libm::sin(latitude) * libm::sin(declination)
        + libm::cos(latitude) * libm::cos(declination) * libm::cos(hour);
    let north = libm::cos(latitude) * libm::sin(declination)
        - libm::sin(latitude) * libm::cos(declination) * libm::cos(hour);
    let east = -libm::cos(declination) * libm::sin(hour);
    let azimuth = libm::atan2(east, north).to_degrees().rem_euclid(360.0);
    Sun { azimuth_deg: azimuth, elevation_deg: libm::asin(up).to_degrees() }
}

/// Metres from the left edge at which the swath begins, `y_m` south of the upper edge: orbit 53 passes
/// to the east, and its edge leans with the track.
pub(crate) fn edge_m(config: &ValleyConfig, pass: &Pass, y_m: f32) -> f32 {
    if !pass.is_partial() || config.partial_swath >= 1.0 {
        return -1.0;
    }
    let side_m = config.side_px as f32 * 10.0;
    side_m * (1.0 - config.partial_swath) + 0.22 * (side_m / 2.0 - y_m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_has_two_orbits_three_satellites_two_baselines_and_a_twin() {
        let config = ValleyConfig::default();
        let passes = passes(&config).unwrap();
        assert_eq!(passes.len(), 42);
        let count = |f: &dyn Fn(&Pass) -> bool| passes.iter().filter(|p| f(p)).count();
        assert!(
            count(&|p| p.relative_orbit == 53) >= 10 && count(&|p| p.relative_orbit == 96) >= 15
        );
        for satellite in ['A', 'B', 'C'] {
            assert!(count(&|p| p.satellite == satellite) >= 2, "{satellite}");
        }
        assert!(count(&|p| p.offset_dn == 0) >= 10 && count(&|p| p.offset_dn == 1000) >= 10);
        assert!(passes.is_sorted_by_key(|p| p.start));
        let twins: Vec<_> = passes.windows(2).filter(|p| p[0].start == p[1].start).collect();
        assert_eq!(twins.len(), 2);
        assert!(twins.iter().any(|t| t[0].offset_dn != t[1].offset_dn));
        let mut ids: Vec<_> = passes.iter().map(|p| &p.item_id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 42);
    }

    /// Two orbits of Sentinel-2A three days apart; dates of the ten-day cycle from the anchor.
    #[test]
    fn satellites_keep_their_cycle() {
        assert_eq!(satellite(96, ANCHOR), Some('A'));
        assert_eq!(satellite(96, date(2024, 4, 27)), Some('B'));
        assert_eq!(satellite(53, date(2024, 4, 19)), Some('A'));
        assert_eq!(satellite(53, ANCHOR), None);
        let config = ValleyConfig::default();
        for p in passes(&config).unwrap() {
            let turn = match p.satellite {
                'A' => p.absolute_orbit - 140,
                'B' => p.absolute_orbit - 26,
                _ => continue,
            };
            assert_eq!(turn.rem_euclid(143), i64::from(p.relative_orbit), "{}", p.item_id);
        }
    }

    /// Expected values from pvlib 0.16.1 (`get_solarposition`) at the middle of the default valley.
    #[test]
    fn the_sun_stands_in_the_north_east() {
        let config = ValleyConfig::default();
        let cases = [
            (date(2023, 6, 21), 25.63, 30.43),
            (date(2023, 9, 15), 44.21, 41.20),
            (date(2023, 12, 21), 62.58, 74.28),
        ];
        for (day, elevation_deg, azimuth_deg) in cases {
            let sun = sun(&config.georef(), config.side_px, day.at(14, 47, 0, 0));
            assert!((sun.elevation_deg - elevation_deg).abs() < 0.8, "{day}: {sun:?}");
            assert!((sun.azimuth_deg - azimuth_deg).abs() < 0.8, "{day}: {sun:?}");
        }
    }
}
