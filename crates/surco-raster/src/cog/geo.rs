//! Between GeoTIFF's keys and grids.

use surco_core::Georef;

use super::error::CogError;
use super::ifd::{Ifd, Source, Stop, tag};
use crate::projection::systems::{System, system};
use crate::warp::PixelGrid;

/// Keys of the geo key directory.
///
/// # Source
/// OGC 19-008r4, *GeoTIFF 1.1*, Annex B.
mod key {
    pub(super) const MODEL: u16 = 1024;
    pub(super) const RASTER: u16 = 1025;
    pub(super) const GEOGRAPHIC: u16 = 2048;
    pub(super) const ANGULAR_UNITS: u16 = 2054;
    pub(super) const PROJECTED: u16 = 3072;
    pub(super) const LINEAR_UNITS: u16 = 3076;
}

/// Code that says "see the other keys" in the place of an EPSG code.
const USER_DEFINED: u64 = 32767;

/// Pixels whose sides differ by more than this part of themselves are not square.
const SQUARE: f64 = 1e-6;

fn refused(what: &'static str, found: impl ToString, expected: &'static str) -> Stop {
    CogError::Georef { what, found: found.to_string(), expected }.into()
}

/// The grid that a directory states, or nothing if it states none.
pub(crate) fn read_georef<S: Source + ?Sized>(
    ifd: &Ifd,
    source: &S,
) -> Result<Option<PixelGrid>, Stop> {
    let Some((x0, y0, (px_x, px_y))) = read_corner(ifd, source)? else { return Ok(None) };
    let Some((epsg, is_point)) = read_crs(ifd, source)? else { return Ok(None) };
    let sane = |px: f64| px.is_finite() && px > 0.0;
    if !(sane(px_x) && sane(px_y)) {
        return Err(refused("pixel size", format!("{px_x} x {px_y}"), "north-up"));
    }
    let half = if is_point { 0.5 } else { 0.0 };
    let (x0, y0) = (x0 - half * px_x, y0 + half * px_y);
    if !(x0.is_finite() && y0.is_finite()) {
        return Err(refused("corner", format!("{x0}, {y0}"), "finite numbers"));
    }
    Ok(Some(PixelGrid { epsg, x0, y0, dx: px_x, dy: px_y }))
}

/// The same grid, if its pixels are square.
pub(crate) fn square(grid: &PixelGrid) -> Option<Georef> {
    let PixelGrid { epsg, x0, y0, dx, dy } = *grid;
    let same = (dx - dy).abs() <= SQUARE * dx;
    same.then_some(Georef { epsg, x0_m: x0, y0_m: y0, px_m: dx })
}

/// Upper left corner and pixel size.
type Corner = (f64, f64, (f64, f64));

fn read_corner<S: Source + ?Sized>(ifd: &Ifd, source: &S) -> Result<Option<Corner>, Stop> {
    if let Some(m) = ifd.floats(source, tag::TRANSFORMATION)? {
        let [a, b, _, x0, d, e, _, y0, ..] = m[..] else {
            return Err(refused("transformation", format!("{} numbers", m.len()), "16 numbers"));
        };
        if b != 0.0 || d != 0.0 {
            return Err(refused("rotation", format!("{b}, {d}"), "none"));
        }
        return Ok(Some((x0, y0, (a, -e))));
    }
    let (Some(scale), Some(tie)) =
        (ifd.floats(source, tag::PIXEL_SCALE)?, ifd.floats(source, tag::TIEPOINT)?)
    else {
        return Ok(None);
    };
    let ([sx, sy, ..], [col, row, _, x, y, _]) = (&scale[..], &tie[..]) else {
        let found = format!("{} scales, {} tie point numbers", scale.len(), tie.len());
        return Err(refused("corner", found, "one tie point of 6 numbers and 3 scales"));
    };
    Ok(Some((x - col * sx, y + row * sy, (*sx, *sy))))
}

/// EPSG code, and whether coordinates are those of pixel centres.
fn read_crs<S: Source + ?Sized>(ifd: &Ifd, source: &S) -> Result<Option<(u32, bool)>, Stop> {
    let Some(keys) = ifd.integers(source, tag::GEO_KEYS, 4096)? else { return Ok(None) };
    let find = |wanted: u16| {
        let (entries, _) = keys.as_chunks::<4>();
        let entry = entries.iter().skip(1).find(|e| e[0] == u64::from(wanted) && e[1] == 0);
        entry.map(|e| e[3])
    };
    let code = find(key::PROJECTED).or_else(|| find(key::GEOGRAPHIC));
    match code {
        None => Ok(None),
        Some(USER_DEFINED) => {
            Err(refused("coordinate system", "user-defined (32767)", "an EPSG code"))
        }
        Some(code) => match u32::try_from(code) {
            Ok(epsg) => Ok(Some((epsg, find(key::RASTER) == Some(2)))),
            Err(_) => Err(refused("coordinate system", code, "an EPSG code")),
        },
    }
}

/// The numbers of the tags that state a grid: pixel scale, tie point, geo key directory.
pub(crate) fn write_georef(georef: &Georef) -> ([f64; 3], [f64; 6], Vec<u16>) {
    let scale = [georef.px_m, georef.px_m, 0.0];
    let tie = [0.0, 0.0, 0.0, georef.x0_m, georef.y0_m, 0.0];
    let code = georef.epsg as u16;
    let keys = if is_geographic(georef.epsg) {
        [(key::MODEL, 2), (key::RASTER, 1), (key::GEOGRAPHIC, code), (key::ANGULAR_UNITS, 9102)]
    } else {
        [(key::MODEL, 1), (key::RASTER, 1), (key::PROJECTED, code), (key::LINEAR_UNITS, 9001)]
    };
    let mut directory = vec![1, 1, 0, keys.len() as u16];
    directory.extend(keys.iter().flat_map(|&(key, value)| [key, 0, 1, value]));
    (scale, tie, directory)
}

/// Whether a code is one of longitude and latitude. EPSG keeps most of those between 4001 and 4999.
fn is_geographic(epsg: u32) -> bool {
    matches!(system(epsg), Some(System::Geographic(_))) || (4001..5000).contains(&epsg)
}
