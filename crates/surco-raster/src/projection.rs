//! Coordinate systems of Chile: from projected metres to longitude and latitude and back.
//!
//! WGS 84 and the realisations of SIRGAS are taken as one. They differ by decimetres; the 2002 one also
//! by what later earthquakes moved, some metres near the rupture of 2010. All of that is under a pixel
//! of 10 m. Older datums, hundreds of metres off, are refused.
//!
//! Absent on purpose: datum shifts, other projections, heights.

pub(crate) mod systems;
mod text;
mod wkt;

use proj4rs::Proj;
use proj4rs::transform::transform;
use surco_core::Fault;

pub use text::epsg_of_wkt;
pub use wkt::wkt;

use systems::{System, legacy_datum, system};

/// Why a coordinate system or a point in it cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CrsError {
    /// A datum that lies hundreds of metres away from today's.
    #[error(
        "EPSG:{code} is on the datum {datum}, hundreds of metres off WGS 84; transform it first, for \
         example with `ogr2ogr -t_srs EPSG:{remedy} OUT IN`"
    )]
    LegacyDatum {
        /// The code given.
        code: u32,
        /// Its datum.
        datum: &'static str,
        /// A code to transform to.
        remedy: u32,
    },
    /// A code that is not known here.
    #[error(
        "EPSG:{0} is not known here: expected 4326, WGS 84 / UTM (32601 to 32660, 32701 to 32760) or a \
         SIRGAS code of Chile (5360 to 5362, 9148 to 9150 …); transform it first, for example with \
         `ogr2ogr -t_srs EPSG:32719 OUT IN`"
    )]
    Unknown(u32),
    /// A text that names such a datum.
    #[error(
        "coordinate system `{name}` is on the datum {datum}, hundreds of metres off WGS 84; transform it first, for \
         example with `ogr2ogr -t_srs EPSG:{remedy} OUT IN`"
    )]
    LegacyText {
        /// What the system is called.
        name: String,
        /// Its datum.
        datum: &'static str,
        /// A code to transform to.
        remedy: u32,
    },
    /// A text that describes no system known here.
    #[error(
        "coordinate system `{0}` is not known here: expected longitude and latitude or UTM on WGS 84 or SIRGAS; \
         transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`"
    )]
    UnknownText(String),
    /// Numbers that are no place.
    #[error("{first}, {second} is no {what} of EPSG:{code}")]
    OutOfRange {
        /// What the numbers should be.
        what: &'static str,
        /// First coordinate.
        first: f64,
        /// Second coordinate.
        second: f64,
        /// The system.
        code: u32,
    },
    /// The projection library refused.
    #[error("EPSG:{code}: {reason}")]
    Projection {
        /// The system.
        code: u32,
        /// What it said.
        reason: String,
    },
}

impl CrsError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::LegacyDatum { .. }
            | Self::Unknown(_)
            | Self::LegacyText { .. }
            | Self::UnknownText(_)
            | Self::OutOfRange { .. } => Fault::Input,
            Self::Projection { .. } => Fault::Failed,
        }
    }
}

/// A coordinate system whose points can be turned into longitude and latitude.
///
/// # Example
/// ```
/// use surco_raster::projection::Projection;
/// let utm = Projection::from_epsg(32719)?;
/// let (lon, lat) = utm.to_lonlat(500_000.0, 6_300_000.0)?;
/// assert!((lon + 69.0).abs() < 1e-9 && (lat + 33.439_394_7).abs() < 1e-6);
/// assert!(Projection::from_epsg(24879).is_err()); // PSAD56
/// # Ok::<(), surco_raster::projection::CrsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Projection {
    code: u32,
    /// The projected and the geographic system of one ellipsoid; nothing if it is geographic already.
    pair: Option<(Proj, Proj)>,
}

impl Projection {
    /// The system with an EPSG code.
    ///
    /// # Errors
    /// [`CrsError::LegacyDatum`] for PSAD56, SAD69 and their like, [`CrsError::Unknown`] for any other
    /// code that is not known here.
    pub fn from_epsg(code: u32) -> Result<Self, CrsError> {
        let pair = match find(code)? {
            System::Geographic(_) => None,
            System::Utm { base, zone, south } => {
                let hemisphere = if south { " +south" } else { "" };
                let ellipsoid = base.ellipsoid.proj_name();
                let load = |text: String| {
                    let fail = |e: proj4rs::errors::Error| CrsError::Projection {
                        code,
                        reason: e.to_string(),
                    };
                    Proj::from_proj_string(&text).map_err(fail)
                };
                Some((
                    load(format!("+proj=utm +zone={zone}{hemisphere} +ellps={ellipsoid}"))?,
                    load(format!("+proj=longlat +ellps={ellipsoid}"))?,
                ))
            }
        };
        Ok(Self { code, pair })
    }

    /// Its EPSG code.
    #[must_use]
    pub fn epsg(&self) -> u32 {
        self.code
    }

    /// Whether its coordinates are longitude and latitude in degrees, and no metres.
    #[must_use]
    pub fn is_geographic(&self) -> bool {
        self.pair.is_none()
    }

    /// The UTM zone from 1 to 60, if it is one.
    #[must_use]
    pub fn utm_zone(&self) -> Option<u32> {
        match system(self.code) {
            Some(System::Utm { zone, .. }) => Some(zone),
            Some(System::Geographic(_)) | None => None,
        }
    }

    /// Longitude and latitude in degrees of a point.
    ///
    /// # Errors
    /// [`CrsError::OutOfRange`] if the point is not on the earth.
    pub fn to_lonlat(&self, x: f64, y: f64) -> Result<(f64, f64), CrsError> {
        let out_of_range =
            || CrsError::OutOfRange { what: "point", first: x, second: y, code: self.code };
        let Some((projected, geographic)) = &self.pair else {
            return on_earth(x, y).then_some((x, y)).ok_or_else(out_of_range);
        };
        // UTM is used within a few degrees of its meridian; far outside its formulas mean nothing.
        if !(x.abs() < 1e7 && y.abs() < 2.1e7) {
            return Err(out_of_range());
        }
        let mut point = (x, y, 0.0);
        transform(projected, geographic, &mut point).map_err(|_| out_of_range())?;
        let (lon, lat) = (point.0.to_degrees(), point.1.to_degrees());
        on_earth(lon, lat).then_some((lon, lat)).ok_or_else(out_of_range)
    }

    /// The point at a longitude and latitude in degrees.
    ///
    /// # Errors
    /// [`CrsError::OutOfRange`] if these are no longitude and latitude, or lie where the projection
    /// has no point for them.
    pub fn from_lonlat(&self, lon: f64, lat: f64) -> Result<(f64, f64), CrsError> {
        let out_of_range = || CrsError::OutOfRange {
            what: "longitude and latitude",
            first: lon,
            second: lat,
            code: self.code,
        };
        if !on_earth(lon, lat) {
            return Err(out_of_range());
        }
        let Some((projected, geographic)) = &self.pair else { return Ok((lon, lat)) };
        let mut point = (lon.to_radians(), lat.to_radians(), 0.0);
        transform(geographic, projected, &mut point).map_err(|_| out_of_range())?;
        let found = (point.0, point.1);
        (found.0.is_finite() && found.1.is_finite()).then_some(found).ok_or_else(out_of_range)
    }
}

fn on_earth(lon: f64, lat: f64) -> bool {
    (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat)
}

fn find(code: u32) -> Result<System, CrsError> {
    system(code).ok_or_else(|| match legacy_datum(code) {
        Some((datum, remedy)) => CrsError::LegacyDatum { code, datum, remedy },
        None => CrsError::Unknown(code),
    })
}

/// EPSG code of WGS 84 / UTM at a longitude and latitude in degrees.
#[must_use]
pub fn utm_epsg(lon: f64, lat: f64) -> u32 {
    let zone = (((lon + 180.0) / 6.0).floor() as u32).min(59) + 1;
    zone + if lat < 0.0 { 32_700 } else { 32_600 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with pyproj by `fixtures/make_projections.py`.
    #[test]
    fn points_agree_with_proj_to_a_centimetre() {
        let recorded = include_str!("../fixtures/projections.csv");
        let mut count = 0;
        let (mut worst_m, mut worst_back_m) = (0.0_f64, 0.0_f64);
        for line in recorded.lines().skip(1) {
            let n: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
            let [code, lon, lat, x, y] = n[..] else { panic!("{line}") };
            let projection = Projection::from_epsg(code as u32).unwrap();
            let (got_x, got_y) = projection.from_lonlat(lon, lat).unwrap();
            let (got_lon, got_lat) = projection.to_lonlat(x, y).unwrap();
            let unit_m = if projection.is_geographic() { 111_320.0 } else { 1.0 };
            worst_m = worst_m.max((got_x - x).hypot(got_y - y) * unit_m);
            let east_m = (got_lon - lon) * lat.to_radians().cos() * 111_320.0;
            worst_back_m = worst_back_m.max(east_m.hypot((got_lat - lat) * 111_320.0));
            count += 1;
        }
        println!("{count} points, worst {worst_m} m forth, {worst_back_m} m back");
        assert!(count > 300, "{count}");
        assert!(worst_m < 0.01 && worst_back_m < 0.01, "{worst_m} m, {worst_back_m} m");
    }

    #[test]
    fn chilean_codes_are_not_in_the_order_of_their_zones() {
        for (code, zone) in [(5361, 19), (5362, 18), (9149, 18), (9150, 19), (20048, 18)] {
            let Ok(System::Utm { zone: found, south: true, .. }) = find(code) else {
                panic!("{code}")
            };
            assert_eq!(found, zone, "{code}");
        }
    }

    #[test]
    fn old_datums_and_unknown_codes_are_refused_with_a_remedy() {
        let refusal = |code| Projection::from_epsg(code).unwrap_err().to_string();
        insta::assert_snapshot!(refusal(24878), @"EPSG:24878 is on the datum PSAD56, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32718 OUT IN`");
        insta::assert_snapshot!(refusal(4618), @"EPSG:4618 is on the datum SAD69, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`");
        insta::assert_snapshot!(refusal(3857), @"EPSG:3857 is not known here: expected 4326, WGS 84 / UTM (32601 to 32660, 32701 to 32760) or a SIRGAS code of Chile (5360 to 5362, 9148 to 9150 …); transform it first, for example with `ogr2ogr -t_srs EPSG:32719 OUT IN`");
        for code in [24877, 24879, 29187, 29189, 4248, 29168, 2084, 4254] {
            assert!(
                matches!(Projection::from_epsg(code), Err(CrsError::LegacyDatum { .. })),
                "{code}"
            );
        }
        for code in [0, 32600, 32661, 32700, 32761, u32::MAX] {
            assert_eq!(Projection::from_epsg(code).err(), Some(CrsError::Unknown(code)));
        }
    }

    #[test]
    fn numbers_that_are_no_place_are_refused() {
        let utm = Projection::from_epsg(32719).unwrap();
        let degrees = Projection::from_epsg(4326).unwrap();
        assert!(utm.from_lonlat(-33.0, -70.6).is_ok(), "swapped numbers may still be a place");
        for (lon, lat) in [(f64::NAN, 0.0), (-70.0, -91.0), (300_000.0, 6_300_000.0)] {
            assert!(utm.from_lonlat(lon, lat).is_err(), "{lon}, {lat}");
            assert!(degrees.to_lonlat(lon, lat).is_err(), "{lon}, {lat}");
        }
        for (x, y) in [(f64::NAN, 0.0), (f64::INFINITY, 0.0), (1e9, 1e9)] {
            assert!(utm.to_lonlat(x, y).is_err(), "{x}, {y}");
        }
    }

    #[test]
    fn the_zone_of_a_place_is_that_of_its_longitude() {
        assert_eq!(utm_epsg(-70.6, -33.4), 32719);
        assert_eq!(utm_epsg(-73.0, -37.0), 32718);
        assert_eq!(utm_epsg(180.0, 10.0), 32660);
        let zone = |code| Projection::from_epsg(code).unwrap().utm_zone();
        assert_eq!((zone(32719), zone(5362), zone(4326)), (Some(19), Some(18), None));
    }
}
