//! Points and polygons from files, in degrees.

use std::path::Path;

use surco_raster::vector::{Collection, VectorError, VectorFormat};

/// Longitude and latitude on WGS 84.
const DEGREES: u32 = 4326;

/// The features of a file, moved to degrees; what a file is, its name ends with, and without a known ending it is GeoJSON.
pub(super) fn read_degrees(path: &Path) -> Result<Collection, VectorError> {
    let format = VectorFormat::of(path).unwrap_or(VectorFormat::GeoJson);
    let collection = format.read(path, None)?.collection;
    collection.into_epsg(DEGREES).map_err(|source| VectorError::Crs { path: path.into(), source })
}

/// That a feature is no point or no polygon.
pub(super) fn not_a(path: &Path, feature: usize, found: &str, expected: &str) -> VectorError {
    VectorError::Content {
        path: path.into(),
        place: format!("feature {}", feature + 1),
        what: "geometry".into(),
        found: found.into(),
        expected: expected.into(),
    }
}
