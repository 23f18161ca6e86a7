//! Labels: points or polygons with a class, or a raster of classes.

mod columns;
mod dates;
mod error;
mod left_out;
mod personal;
mod raster;
mod vector;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use surco_core::Georef;
use surco_raster::vector::{Collection, VectorFormat};

use crate::legends::{LegendsError, Named, Naming, SharedLegend};

pub use error::LabelError;
pub use left_out::{LeftOut, LeftOutPixels, Reason};

use columns::{Columns, name_of, value};
pub(crate) use personal::plain;
use raster::Codes;
use vector::Places;

/// The column of codes in the files of WorldCereal's Reference Data Module.
const CODES_OF_WORLDCEREAL: &str = "ewoc_code";

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
    /// The legend that classes are named by; codes of WorldCereal are named by its own if none is given.
    pub naming: Option<Naming>,
    /// Whether the column holds numbers: each stands where a class would, as a text that reads back to it.
    pub numbers: bool,
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
    /// Pixels that are not used, though a label holds them.
    pub left_out_pixels: LeftOutPixels,
    /// What classes became in a shared legend.
    pub named: Option<Named>,
}

/// The labelled pixels of a grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledGround {
    /// In the order of the file, each pixel once.
    pub points: Vec<PointLabel>,
    /// Pixels that labels of different classes hold: they are left out.
    pub contradicted: usize,
}

#[derive(Debug)]
enum Kind {
    Vector(Box<Places>),
    Raster(Codes),
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
    let mut classes: Vec<_> = collection.features.iter().map(|f| value(f, class)).collect();
    if asked.numbers {
        to_numbers(&mut classes).map_err(|(feature, value)| LabelError::NoNumber {
            path: path.into(),
            column: class.into(),
            feature,
            value,
        })?;
    }
    let named = named(&mut classes, class, asked.naming)
        .map_err(|source| LabelError::Legend { path: path.into(), source })?;
    assumed.extend(named.as_ref().map(Named::told));
    let dates = columns.dates();
    let mut left_out = LeftOut::default();
    let mut places = Places::new(path, &collection, classes)?;
    places.leave_out_unplaced(&mut left_out);
    if let Some(images) = asked.images {
        assumed.push(places.leave_out_other_seasons(dates, images, &mut left_out)?);
    }
    places.leave_out_repeated(&mut left_out);
    assumed.extend(places.kinds_of_shapes());
    if !asked.numbers {
        assumed.extend(places.looks());
    }
    Ok(Labels { named, ..places.into_labels(assumed, left_out)? })
}

/// Makes values numbers, with a point or a comma before the decimals; else the feature, counted from 1, and what it has.
fn to_numbers(values: &mut [Option<String>]) -> Result<(), (usize, String)> {
    for (i, value) in values.iter_mut().enumerate() {
        let Some(text) = value else { continue };
        let plain = if text.contains('.') { text.clone() } else { text.replace(',', ".") };
        match plain.parse::<f64>() {
            Ok(number) if number.is_finite() => *value = Some(number.to_string()),
            Ok(_) | Err(_) => return Err((i + 1, text.clone())),
        }
    }
    Ok(())
}

/// Brings classes to the legend asked for; codes of WorldCereal to its own names if none is.
fn named(
    classes: &mut [Option<String>],
    column: &str,
    asked: Option<Naming>,
) -> Result<Option<Named>, LegendsError> {
    let classes = classes.iter_mut().flatten();
    if let Some(naming) = asked {
        return naming.rename(classes).map(Some);
    }
    if !column.eq_ignore_ascii_case(CODES_OF_WORLDCEREAL) {
        return Ok(None);
    }
    let naming = Naming::new(SharedLegend::WorldCereal, None)?;
    Ok(Some(naming.rename_known(classes)))
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
    let mut places = Places::new(path, &collection, names)?.called();
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
    Ok(Labels {
        path: path.into(),
        kind: Kind::Raster(Codes::open(path)?),
        assumed: vec!["code 0 of the label raster means no label".into()],
        left_out: LeftOut::default(),
        left_out_pixels: LeftOutPixels::default(),
        named: None,
    })
}

impl Labels {
    /// The labelled pixels of a grid, in the order of the file, each pixel once.
    ///
    /// A point labels its pixel, a polygon the pixels whose centres lie in it. A pixel that labels of different classes hold is
    /// left out; of places with names in the stead of classes, the first in the file counts.
    ///
    /// # Errors
    /// [`LabelError`] if nothing lies on the grid: [`LabelError::Swapped`] if it would with x and y swapped,
    /// [`LabelError::OtherSystem`] if a raster has another coordinate system.
    pub fn ground(
        &self,
        grid: &Georef,
        size: (usize, usize),
    ) -> Result<LabelledGround, LabelError> {
        let (ground, count) = match &self.kind {
            Kind::Vector(places) => (places.on(grid, size)?, places.count()),
            Kind::Raster(codes) => {
                let points = codes.on(&self.path, grid, size)?;
                (LabelledGround { points, contradicted: 0 }, codes.count())
            }
        };
        if ground.points.is_empty() && ground.contradicted == 0 {
            let path = self.path.clone();
            if let Kind::Vector(places) = &self.kind
                && places.swapped().on(grid, size).is_ok_and(|swapped| !swapped.points.is_empty())
            {
                return Err(LabelError::Swapped { path, count });
            }
            return Err(LabelError::Nowhere { path, count, pixels: size.0 * size.1 });
        }
        Ok(ground)
    }

    /// The labelled pixels of a grid without those left out: [`LabelledGround::points`] of [`Labels::ground`].
    ///
    /// # Errors
    /// As [`Labels::ground`].
    pub fn on(&self, grid: &Georef, size: (usize, usize)) -> Result<Vec<PointLabel>, LabelError> {
        Ok(self.ground(grid, size)?.points)
    }

    /// Notes which labels gave no pixel on any of these grids, given those that did.
    pub fn leave_out_unused(&mut self, used: &BTreeSet<usize>, grids: &[(Georef, (usize, usize))]) {
        match &self.kind {
            Kind::Vector(places) => places.leave_out_unused(used, grids, &mut self.left_out),
            Kind::Raster(codes) => self.left_out_pixels.outside = codes.outside(grids),
        }
    }

    /// What was left out, a sentence for each reason.
    #[must_use]
    pub fn left_out_told(&self) -> Vec<String> {
        let mut told = match &self.kind {
            Kind::Vector(places) => self.left_out.told(places.total()),
            Kind::Raster(_) => Vec::new(),
        };
        told.extend(self.left_out_pixels.told());
        told
    }
}

#[cfg(test)]
mod tests;
