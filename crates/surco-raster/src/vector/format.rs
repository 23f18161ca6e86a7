//! Which format a file of points and polygons has.

use std::path::Path;

use super::csv_points::read_csv;
use super::geojson::read_geojson;
use super::geopackage::read_geopackage;
use super::geoparquet::read_geoparquet;
use super::shapefile::{Parts, read_parts};
use super::{Collection, VectorError};

/// A format of points and polygons, known by the ending of a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorFormat {
    /// `.geojson`, `.json`
    GeoJson,
    /// `.csv`
    Csv,
    /// `.gpkg`
    GeoPackage,
    /// `.shp`, with its other files beside it
    Shapefile,
    /// `.zip`, with one Shapefile in it
    ZippedShapefile,
    /// `.parquet`, `.geoparquet`
    Parquet,
}

/// A file of points and polygons, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorFile {
    /// What is in it.
    pub collection: Collection,
    /// What was taken for granted while reading, in words.
    pub assumed: Vec<String>,
}

impl VectorFormat {
    /// Endings of names, each with its format.
    pub const ENDINGS: [(&'static str, Self); 8] = [
        ("geojson", Self::GeoJson),
        ("json", Self::GeoJson),
        ("csv", Self::Csv),
        ("gpkg", Self::GeoPackage),
        ("shp", Self::Shapefile),
        ("zip", Self::ZippedShapefile),
        ("parquet", Self::Parquet),
        ("geoparquet", Self::Parquet),
    ];

    /// The format of a file by its name, if it is one of these.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?;
        Self::ENDINGS.iter().find(|(own, _)| ending.eq_ignore_ascii_case(own)).map(|own| own.1)
    }

    /// Reads a file of this format. `epsg` is the coordinate system of the columns of a table, which says none itself:
    /// degrees of WGS 84 if it is not given.
    ///
    /// # Errors
    /// [`VectorError`] if it cannot be read, is not of the format, holds shapes other than points and polygons, or does
    /// not say in which coordinate system they are.
    pub fn read(self, path: &Path, epsg: Option<u32>) -> Result<VectorFile, VectorError> {
        let told = |collection| VectorFile { collection, assumed: Vec::new() };
        match self {
            Self::GeoJson => read_geojson(path).map(told),
            Self::Csv => Ok(VectorFile {
                collection: read_csv(path, epsg)?,
                assumed: match epsg {
                    Some(_) => Vec::new(),
                    None => vec!["columns lon and lat are degrees of WGS 84 (EPSG:4326)".into()],
                },
            }),
            Self::GeoPackage => read_geopackage(path).map(told),
            Self::Shapefile => read_parts(&Parts::beside(path)?, path),
            Self::ZippedShapefile => read_parts(&Parts::zipped(path)?, path),
            Self::Parquet => read_geoparquet(path, epsg).map(told),
        }
    }
}
