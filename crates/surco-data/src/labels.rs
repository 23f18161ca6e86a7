//! Labels: points or polygons with a class, or a raster of classes.

use std::path::{Path, PathBuf};

use surco_core::{Fault, Georef};
use surco_raster::cog::{CogError, CogFile, SampleKind};
use surco_raster::projection::{CrsError, Projection};
use surco_raster::rasterise;
use surco_raster::vector::{Collection, Feature, Shape, VectorError, read_csv, read_geojson};

/// Names under which a class is looked for, in this order.
const CLASS_KEYS: [&str; 7] = ["class", "class_name", "label", "crop", "clase", "cultivo", "uso"];

/// Names under which what a place is called is looked for, in this order.
const NAME_KEYS: [&str; 6] = ["id", "name", "field", "field_id", "nombre", "place"];

/// Why labels could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A vector file.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// A raster file.
    #[error(transparent)]
    Raster(#[from] CogError),
    /// A raster whose content cannot be used.
    #[error("labels {path}: {source}")]
    RasterContent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CogError,
    },
    /// A coordinate system.
    #[error("labels {path}: {source}")]
    Crs {
        /// The file.
        path: PathBuf,
        /// Why it was refused.
        source: CrsError,
    },
    /// Nothing says what the class is.
    #[error(
        "labels {path}, feature {feature}: no class; expected one of the properties {expected}"
    )]
    NoClass {
        /// The file.
        path: PathBuf,
        /// Its feature, counted from 1.
        feature: usize,
        /// Properties looked for.
        expected: String,
    },
    /// No label lies on the pixels.
    #[error(
        "labels {path}: none of {count} labels lies on the {pixels} pixels at hand; do they belong to the same place?"
    )]
    Nowhere {
        /// The file.
        path: PathBuf,
        /// Number of labels.
        count: usize,
        /// Number of pixels.
        pixels: usize,
    },
    /// The kind of file is unknown.
    #[error(
        "labels {path}: unknown kind of file `{extension}`; expected .geojson, .json, .csv, .tif or .tiff"
    )]
    Kind {
        /// The file.
        path: PathBuf,
        /// Its ending.
        extension: String,
    },
}

impl LabelError {
    /// Names the file, unless the error does.
    fn of_raster(path: &Path) -> impl Fn(CogError) -> Self {
        move |error| match error {
            CogError::Io { .. } => Self::Raster(error),
            source => Self::RasterContent { path: path.into(), source },
        }
    }

    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Vector(error) => error.fault(),
            Self::Raster(error) | Self::RasterContent { source: error, .. } => error.fault(),
            Self::Crs { source, .. } => source.fault(),
            Self::NoClass { .. } | Self::Nowhere { .. } | Self::Kind { .. } => Fault::Input,
        }
    }
}

/// A labelled pixel of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct PointLabel {
    /// Row of the pixel.
    pub row: usize,
    /// Column of the pixel.
    pub col: usize,
    /// Its class.
    pub class: String,
    /// Number of the feature it came from; pixels of one feature belong together.
    pub feature: usize,
}

/// A file of labels.
#[derive(Debug)]
pub struct Labels {
    path: PathBuf,
    kind: Kind,
    /// What was taken for granted while reading, in words.
    pub assumed: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    Vector(Collection),
    Raster(Box<CogFile>),
}

/// Opens a file of labels: GeoJSON or CSV with a class column, or a GeoTIFF of class codes (0 = none).
///
/// # Errors
/// [`LabelError`] naming the file, what was found and what was expected.
pub fn read_labels(path: &Path) -> Result<Labels, LabelError> {
    let extension =
        path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut assumed = Vec::new();
    let kind = match extension.as_str() {
        "geojson" | "json" => Kind::Vector(read_geojson(path)?),
        "csv" => {
            assumed.push("columns lon and lat are degrees of WGS 84 (EPSG:4326)".into());
            Kind::Vector(read_csv(path, None)?)
        }
        "tif" | "tiff" => {
            assumed.push("code 0 of the label raster means no label".into());
            Kind::Raster(Box::new(CogFile::open(path).map_err(LabelError::of_raster(path))?))
        }
        _ => return Err(LabelError::Kind { path: path.into(), extension }),
    };
    if let Kind::Vector(collection) = &kind {
        Projection::from_epsg(collection.epsg)
            .map_err(|source| LabelError::Crs { path: path.into(), source })?;
    }
    Ok(Labels { path: path.into(), kind, assumed })
}

impl Labels {
    /// The labelled pixels of a grid, in the order of the file, each pixel once (the first label wins).
    ///
    /// A point labels its pixel, a polygon the pixels whose centres lie in it.
    ///
    /// # Errors
    /// [`LabelError`] if a feature has no class, or nothing lies on the grid.
    pub fn on(&self, grid: &Georef, size: (usize, usize)) -> Result<Vec<PointLabel>, LabelError> {
        self.named_on(grid, size, |item, feature| {
            CLASS_KEYS.iter().find_map(|key| item.text(key)).ok_or_else(|| LabelError::NoClass {
                path: self.path.clone(),
                feature: feature + 1,
                expected: CLASS_KEYS.join(", "),
            })
        })
    }

    /// The pixels of a grid that places lie on, as [`Labels::on`], but with what each place is called in the
    /// stead of a class: one of the properties id, name, field, field_id, nombre and place, else its number in the
    /// file, counted from 1.
    ///
    /// # Errors
    /// [`LabelError`] if nothing lies on the grid.
    pub fn places_on(
        &self,
        grid: &Georef,
        size: (usize, usize),
    ) -> Result<Vec<PointLabel>, LabelError> {
        self.named_on(grid, size, |item, feature| {
            let name = NAME_KEYS.iter().find_map(|key| item.text(key));
            Ok(name.unwrap_or_else(|| (feature + 1).to_string()))
        })
    }

    fn named_on(
        &self,
        grid: &Georef,
        size: (usize, usize),
        name: impl Fn(&Feature, usize) -> Result<String, LabelError>,
    ) -> Result<Vec<PointLabel>, LabelError> {
        let (points, count) = match &self.kind {
            Kind::Vector(collection) => {
                (self.vector(collection, grid, size, name)?, collection.features.len())
            }
            Kind::Raster(file) => (self.raster(file, grid, size)?, file.header().window().rows),
        };
        if points.is_empty() {
            let pixels = size.0 * size.1;
            return Err(LabelError::Nowhere { path: self.path.clone(), count, pixels });
        }
        Ok(points)
    }

    fn vector(
        &self,
        collection: &Collection,
        grid: &Georef,
        size: (usize, usize),
        name: impl Fn(&Feature, usize) -> Result<String, LabelError>,
    ) -> Result<Vec<PointLabel>, LabelError> {
        let here = collection
            .clone()
            .into_epsg(grid.epsg)
            .map_err(|source| LabelError::Crs { path: self.path.clone(), source })?;
        let mut taken = ndarray::Array2::from_elem(size, false);
        let mut points = Vec::new();
        for (feature, item) in here.features.iter().enumerate() {
            let class = name(item, feature)?;
            let mut take = |row: usize, col: usize| {
                if !std::mem::replace(&mut taken[[row, col]], true) {
                    points.push(PointLabel { row, col, class: class.clone(), feature });
                }
            };
            match &item.shape {
                Shape::Point([x, y]) => {
                    let (row, col) = grid.row_col(*x, *y);
                    let inside =
                        row >= 0.0 && col >= 0.0 && row < size.0 as f64 && col < size.1 as f64;
                    if inside {
                        take(row as usize, col as usize);
                    }
                }
                Shape::Polygons(polygons) => {
                    for run in polygons.iter().flat_map(|p| rasterise::runs(p, grid, size)) {
                        run.cols.for_each(|col| take(run.row, col));
                    }
                }
            }
        }
        Ok(points)
    }

    fn raster(
        &self,
        file: &CogFile,
        grid: &Georef,
        size: (usize, usize),
    ) -> Result<Vec<PointLabel>, LabelError> {
        let window = file.header().window();
        let codes = match file.header().sample {
            SampleKind::U8 => file.read_u8(window).map(|codes| codes.mapv(u16::from)),
            SampleKind::U16 | SampleKind::I16 | SampleKind::F32 => file.read_u16(window),
        }
        .map_err(LabelError::of_raster(&self.path))?;
        let Some(there) = file.header().georef else { return Ok(Vec::new()) };
        let mut points = Vec::new();
        if there.epsg != grid.epsg {
            return Ok(points);
        }
        for row in 0..size.0 {
            for col in 0..size.1 {
                let (x, y) = grid.centre(row, col);
                let (r, c) = there.row_col(x, y);
                if r < 0.0 || c < 0.0 || r >= window.rows as f64 || c >= window.cols as f64 {
                    continue;
                }
                let code = codes[[0, r as usize, c as usize]];
                if code > 0 {
                    points.push(PointLabel {
                        row,
                        col,
                        class: code.to_string(),
                        feature: points.len(),
                    });
                }
            }
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use surco_raster::cog::{CogOptions, write_cog};

    const GRID: Georef = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m: 10.0 };

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("surco-labels-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn geojson(crs: &str, class_key: &str) -> String {
        // A square of 3 × 2 pixels, a point in it and one outside the grid.
        let square = "[[[300010,6199990],[300040,6199990],[300040,6199970],[300010,6199970],[300010,6199990]]]";
        let feature = |kind: &str, coordinates: &str, class: &str| {
            format!(
                r#"{{"type":"Feature","properties":{{"{class_key}":"{class}"}},"geometry":{{"type":"{kind}","coordinates":{coordinates}}}}}"#
            )
        };
        format!(
            r#"{{"type":"FeatureCollection","crs":{{"type":"name","properties":{{"name":"{crs}"}}}},"features":[{},{},{}]}}"#,
            feature("Polygon", square, "vineyard"),
            feature("Point", "[300015,6199985]", "maize"),
            feature("Point", "[300005,6199995]", "maize"),
        )
    }

    #[test]
    fn polygons_label_their_pixels_and_a_pixel_is_labelled_once() {
        let folder = folder("polygons");
        let path = folder.join("labels.geojson");
        std::fs::write(&path, geojson("urn:ogc:def:crs:EPSG::32719", "cultivo")).unwrap();
        let points = read_labels(&path).unwrap().on(&GRID, (8, 8)).unwrap();
        let found: Vec<(usize, usize, &str)> =
            points.iter().map(|p| (p.row, p.col, p.class.as_str())).collect();
        let vineyard = |row, col| (row, col, "vineyard");
        let want = [
            vineyard(1, 1),
            vineyard(1, 2),
            vineyard(1, 3),
            vineyard(2, 1),
            vineyard(2, 2),
            vineyard(2, 3),
            (0, 0, "maize"),
        ];
        assert_eq!(found, want, "the point in the vineyard came second");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn places_need_no_class_and_are_called_by_name_or_number() {
        let folder = folder("places");
        let path = folder.join("fields.geojson");
        let of = |key: &str| {
            std::fs::write(&path, geojson("EPSG:32719", key)).unwrap();
            let places = read_labels(&path).unwrap().places_on(&GRID, (8, 8)).unwrap();
            let mut names: Vec<String> = places.into_iter().map(|p| p.class).collect();
            names.dedup();
            names
        };
        assert_eq!(of("name"), ["vineyard", "maize"]);
        assert_eq!(of("owner"), ["1", "3"]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn old_datums_missing_classes_and_other_places_are_refused() {
        let folder = folder("refused");
        let path = folder.join("labels.geojson");
        let refuse = |text: String| {
            std::fs::write(&path, text).unwrap();
            let error = read_labels(&path).and_then(|l| l.on(&GRID, (8, 8))).unwrap_err();
            assert_eq!(error.fault(), Fault::Input, "{error}");
            error.to_string()
        };
        assert!(refuse(geojson("EPSG:24879", "class")).contains("24879"), "PSAD56");
        assert!(refuse(geojson("EPSG:32719", "owner")).contains("class_name"));
        assert!(refuse(geojson("EPSG:32718", "class")).contains("none of 3 labels"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_raster_of_codes_labels_the_pixels_it_lies_on() {
        let folder = folder("raster");
        let path = folder.join("labels.tif");
        let codes = ndarray::arr3(&[[[0_u8, 7], [9, 0]]]);
        write_cog(&path, codes.view(), GRID.shifted(2, 3), &CogOptions::default()).unwrap();
        let points = read_labels(&path).unwrap().on(&GRID, (8, 8)).unwrap();
        let found: Vec<(usize, usize, &str)> =
            points.iter().map(|p| (p.row, p.col, p.class.as_str())).collect();
        assert_eq!(found, [(2, 4, "7"), (3, 3, "9")]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
