//! Labels: points or polygons with a class, or a raster of classes.

mod columns;
mod dates;
mod error;
mod left_out;
mod personal;
mod vector;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use surco_core::Georef;
use surco_raster::cog::{CogFile, SampleKind};
use surco_raster::vector::{Collection, VectorFormat};

pub use error::LabelError;
pub use left_out::{LeftOut, Reason};

use columns::{Columns, name_of, value};
use vector::Places;

/// A labelled pixel of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct PointLabel {
    /// Row of the pixel.
    pub row: usize,
    /// Column of the pixel.
    pub col: usize,
    /// Its class.
    pub class: String,
    /// Number of the feature it came from, from 0; pixels of one feature belong together.
    pub feature: usize,
}

/// How a file of labels is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct LabelsAsked<'a> {
    /// The column of the class; looked for by its name if not given.
    pub class_column: Option<&'a str>,
    /// EPSG code of the columns of coordinates in a table; degrees of WGS 84 if not given.
    pub epsg: Option<u32>,
    /// First and last day of the images, in days since 1970: labels of another season are left out.
    pub images: Option<(i32, i32)>,
}

/// A file of labels.
#[derive(Debug)]
pub struct Labels {
    path: PathBuf,
    kind: Kind,
    /// What was taken for granted while reading, in words.
    pub assumed: Vec<String>,
    /// Labels that are not used.
    pub left_out: LeftOut,
}

#[derive(Debug)]
enum Kind {
    Vector(Box<Places>),
    Raster(Box<CogFile>),
}

/// Opens a file of labels: points or polygons with a class column (GeoPackage, Shapefile, zipped or not, GeoJSON,
/// Parquet, CSV), or a GeoTIFF of class codes (0 = none).
///
/// Columns with personal data are dropped. Labels without a class or a place, of another season, repeated or
/// contradicted are left out: [`Labels::assumed`] and [`Labels::left_out`] say all of it.
///
/// # Errors
/// [`LabelError`] naming the file, what was found and what was expected.
pub fn read_labels(path: &Path, asked: &LabelsAsked<'_>) -> Result<Labels, LabelError> {
    let Some(format) = VectorFormat::of(path) else { return read_raster(path) };
    let (collection, mut assumed) = read_collection(path, format, asked.epsg)?;
    let columns = Columns::of(&collection.features);
    let class = columns.class(asked.class_column, path, &mut assumed)?;
    let classes = collection.features.iter().map(|f| value(f, class)).collect();
    let dates = columns.dates();
    let mut left_out = LeftOut::default();
    let mut places = Places::new(path, &collection, classes)?;
    places.leave_out_unplaced(&mut left_out);
    if let Some(images) = asked.images {
        assumed.push(places.leave_out_other_seasons(dates, images, &mut left_out)?);
    }
    places.leave_out_repeated(&mut left_out);
    assumed.extend(places.looks());
    places.into_labels(assumed, left_out)
}

/// Opens a file of points or polygons by what each is called, in the stead of a class: one of the properties id, name,
/// field, field_id, nombre and place, else its number in the file, counted from 1. Columns with personal data are
/// dropped.
///
/// # Errors
/// As [`read_labels`].
pub fn read_named_places(path: &Path) -> Result<Labels, LabelError> {
    let Some(format) = VectorFormat::of(path) else { return read_raster(path) };
    let (collection, assumed) = read_collection(path, format, None)?;
    let features = collection.features.iter().enumerate();
    let names = features.map(|(i, f)| Some(name_of(f).unwrap_or_else(|| (i + 1).to_string())));
    let names = names.collect();
    let mut left_out = LeftOut::default();
    let mut places = Places::new(path, &collection, names)?;
    places.leave_out_unplaced(&mut left_out);
    places.into_labels(assumed, left_out)
}

/// Features without personal data, and what was assumed.
fn read_collection(
    path: &Path,
    format: VectorFormat,
    epsg: Option<u32>,
) -> Result<(Collection, Vec<String>), LabelError> {
    let file = format.read(path, epsg)?;
    let (mut collection, mut assumed) = (file.collection, file.assumed);
    if collection.features.is_empty() {
        return Err(LabelError::Empty { path: path.into() });
    }
    let personal = personal::drop_personal(&mut collection);
    if !personal.is_empty() {
        assumed.push(format!(
            "columns {} hold personal data: dropped, nothing of them is kept",
            personal.join(", ")
        ));
    }
    Ok((collection, assumed))
}

fn read_raster(path: &Path) -> Result<Labels, LabelError> {
    let extension =
        path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if !["tif", "tiff"].contains(&extension.as_str()) {
        let vector = VectorFormat::ENDINGS.iter().map(|(ending, _)| format!(".{ending}"));
        let expected = vector.chain([".tif".into()]).collect::<Vec<_>>().join(", ") + " or .tiff";
        return Err(LabelError::Kind { path: path.into(), extension, expected });
    }
    let file = CogFile::open(path).map_err(LabelError::of_raster(path))?;
    Ok(Labels {
        path: path.into(),
        kind: Kind::Raster(Box::new(file)),
        assumed: vec!["code 0 of the label raster means no label".into()],
        left_out: LeftOut::default(),
    })
}

impl Labels {
    /// The labelled pixels of a grid, in the order of the file, each pixel once (the first label wins).
    ///
    /// A point labels its pixel, a polygon the pixels whose centres lie in it.
    ///
    /// # Errors
    /// [`LabelError`] if nothing lies on the grid: [`LabelError::Swapped`] if it would with x and y swapped.
    pub fn on(&self, grid: &Georef, size: (usize, usize)) -> Result<Vec<PointLabel>, LabelError> {
        let (points, count) = match &self.kind {
            Kind::Vector(places) => (places.on(grid, size)?, places.count()),
            Kind::Raster(file) => (self.raster(file, grid, size)?, file.header().window().rows),
        };
        if points.is_empty() {
            let path = self.path.clone();
            if let Kind::Vector(places) = &self.kind
                && places.swapped().on(grid, size).is_ok_and(|swapped| !swapped.is_empty())
            {
                return Err(LabelError::Swapped { path, count });
            }
            return Err(LabelError::Nowhere { path, count, pixels: size.0 * size.1 });
        }
        Ok(points)
    }

    /// Notes which labels gave no pixel on any of these grids, given those that did.
    pub fn leave_out_unused(&mut self, used: &BTreeSet<usize>, grids: &[(Georef, (usize, usize))]) {
        if let Kind::Vector(places) = &self.kind {
            places.leave_out_unused(used, grids, &mut self.left_out);
        }
    }

    /// What was left out, a sentence for each reason.
    #[must_use]
    pub fn left_out_told(&self) -> Vec<String> {
        match &self.kind {
            Kind::Vector(places) => self.left_out.told(places.total()),
            Kind::Raster(_) => Vec::new(),
        }
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
                        feature: r as usize * window.cols + c as usize,
                    });
                }
            }
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests;
