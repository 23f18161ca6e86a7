//! A layer of classes: a GeoTIFF of codes, or GeoJSON polygons with a class.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ndarray::Array3;
use sha2::{Digest, Sha256};
use surco_core::{Georef, Legend, Window};
use surco_raster::cog::{CogError, CogFile, SampleKind};
use surco_raster::projection::Projection;
use surco_raster::vector::{Collection, Feature, Shape};

use super::PlacesError;
use super::cover::{read_degrees, spans_of, within};
use super::frame::{Frame, Square};

/// Properties in which a class is looked for, in this order.
const CLASS_KEYS: [&str; 9] =
    ["class", "class_name", "clase", "label", "stratum", "zone", "zona", "name", "nombre"];
/// Rows of a raster read at once.
const STRIP_ROWS: usize = 512;

/// A layer, opened.
pub(super) struct Layer {
    pub(super) path: PathBuf,
    /// SHA-256 of its file.
    pub(super) hash: String,
    name: String,
    kind: Kind,
}

enum Kind {
    Raster(Box<CogFile>, Georef),
    Polygons(Collection, String),
}

/// The class of every square in one layer.
pub(super) struct Covered {
    pub(super) name: String,
    /// Names of the classes, sorted.
    pub(super) classes: Vec<String>,
    /// Place in `classes`, square by square.
    pub(super) class_of: Vec<Option<u32>>,
    /// What was taken for granted, in words.
    pub(super) assumed: Vec<String>,
}

impl Layer {
    /// Opens `FILE` or `FILE:PROPERTY`.
    pub(super) fn open(text: &str) -> Result<Self, PlacesError> {
        let (path, property) = match text.rsplit_once(':') {
            Some((file, property)) if !Path::new(text).exists() => (file, Some(property)),
            _ => (text, None),
        };
        let path = PathBuf::from(path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "tif" | "tiff" => {
                if let Some(property) = property {
                    let expected = "a raster without a property: it holds one class a pixel";
                    return Err(PlacesError::content(&path, format!(":{property}"), expected));
                }
                let (file, georef) = open_raster(&path)?;
                let kind = Kind::Raster(Box::new(file), georef);
                Ok(Self { hash: hash_of(&path)?, path, name, kind })
            }
            "geojson" | "json" => {
                let (collection, hash) = read_degrees(&path)?;
                let property = match property {
                    Some(property) => property.to_string(),
                    None => class_property(&path, &collection)?,
                };
                let name = property.clone();
                Ok(Self { path, hash, name, kind: Kind::Polygons(collection, property) })
            }
            _ => Err(PlacesError::content(
                &path,
                format!("a file that ends in `{extension}`"),
                "strata as .tif, .tiff, .geojson or .json, the last two with :PROPERTY if need be",
            )),
        }
    }

    /// The class of each square, by its centre.
    pub(super) fn cover(&self, frame: &Frame, squares: &[Square]) -> Result<Covered, PlacesError> {
        let mut assumed = Vec::new();
        let (classes, class_of) = match &self.kind {
            Kind::Raster(file, georef) => {
                if file.header().nodata != Some(0.0) {
                    assumed.push(format!("code 0 of {} means no class", self.path.display()));
                }
                named(&self.codes(file, georef, squares)?, legend_of(&self.path)?.as_ref())
            }
            Kind::Polygons(collection, property) => {
                let classes = self.classes(collection, property)?;
                let (class_of, twice) = self.polygons(collection, &classes, frame, squares)?;
                if twice > 0 {
                    assumed.push(format!(
                        "{twice} squares lie in polygons of two classes of {}: the later polygon counts",
                        self.path.display()
                    ));
                }
                let mut names: Vec<String> = classes.into_iter().flatten().collect();
                names.sort_unstable();
                names.dedup();
                (names, class_of)
            }
        };
        Ok(Covered { name: self.name.clone(), classes, class_of, assumed })
    }

    /// The class of each polygon; null says that it has none.
    fn classes(
        &self,
        collection: &Collection,
        property: &str,
    ) -> Result<Vec<Option<String>>, PlacesError> {
        let class = |(i, feature): (usize, &Feature)| {
            if !feature.properties.contains_key(property) {
                let names = listed(feature.properties.keys());
                let found = format!("feature {} without `{property}`, with {names}", i + 1);
                let expected = "the class in one of them, as FILE:PROPERTY";
                return Err(PlacesError::content(&self.path, found, expected));
            }
            Ok(feature.text(property).map(|text| text.trim().to_string()))
        };
        collection.features.iter().enumerate().map(class).collect()
    }

    /// The class of each square, and how many squares lie in polygons of two classes.
    fn polygons(
        &self,
        collection: &Collection,
        classes: &[Option<String>],
        frame: &Frame,
        squares: &[Square],
    ) -> Result<(Vec<Option<u32>>, usize), PlacesError> {
        let names: BTreeSet<&String> = classes.iter().flatten().collect();
        let numbers: BTreeMap<&String, u32> = names.into_iter().zip(0..).collect();
        let mut class_of: Vec<Option<u32>> = vec![None; squares.len()];
        let mut twice = BTreeSet::new();
        for (i, (feature, class)) in collection.features.iter().zip(classes).enumerate() {
            let Shape::Polygons(polygons) = &feature.shape else {
                let found = format!("feature {} is a point", i + 1);
                return Err(PlacesError::content(&self.path, found, "polygons"));
            };
            let Some(number) = class.as_ref().and_then(|class| numbers.get(class)) else {
                continue;
            };
            for span in polygons.iter().flat_map(|polygon| spans_of(frame, polygon)) {
                for at in within(squares, &span) {
                    if class_of[at].replace(*number).is_some_and(|other| other != *number) {
                        twice.insert(at);
                    }
                }
            }
        }
        Ok((class_of, twice.len()))
    }

    /// The code under the centre of each square; nothing outside the raster, at nodata and at 0.
    fn codes(
        &self,
        file: &CogFile,
        georef: &Georef,
        squares: &[Square],
    ) -> Result<Vec<Option<i32>>, PlacesError> {
        let projection = Projection::from_epsg(georef.epsg)?;
        let header = file.header();
        let mut strips: BTreeMap<usize, Vec<(usize, usize, usize)>> = BTreeMap::new();
        for (i, square) in squares.iter().enumerate() {
            // Where a projection has no point for a place, the raster has no pixel for it either.
            let Ok((x, y)) = projection.from_lonlat(square.lon, square.lat) else { continue };
            let (row, col) = georef.row_col(x, y);
            if row >= 0.0 && col >= 0.0 && row < header.height as f64 && col < header.width as f64 {
                let (row, col) = (row as usize, col as usize);
                strips.entry(row / STRIP_ROWS).or_default().push((i, row, col));
            }
        }
        let mut codes = vec![None; squares.len()];
        for (strip, asked) in strips {
            let cols = asked.iter().map(|a| a.2);
            let (left, right) = (cols.clone().min().unwrap_or(0), cols.max().unwrap_or(0));
            let row = strip * STRIP_ROWS;
            let rows = STRIP_ROWS.min(header.height - row);
            let window = Window { row, col: left, rows, cols: right + 1 - left };
            let read = read_codes(file, window).map_err(in_raster(&self.path))?;
            for (i, pixel_row, col) in asked {
                let code = read[[0, pixel_row - row, col - left]];
                let none = code == 0 || header.nodata == Some(f64::from(code));
                codes[i] = (!none).then_some(code);
            }
        }
        Ok(codes)
    }
}

fn read_codes(file: &CogFile, window: Window) -> Result<Array3<i32>, CogError> {
    match file.header().sample {
        SampleKind::U8 => Ok(file.read_u8(window)?.mapv(i32::from)),
        SampleKind::I16 => Ok(file.read::<i16>(window)?.mapv(i32::from)),
        // Floats are refused when the file is opened.
        SampleKind::U16 | SampleKind::F32 => Ok(file.read_u16(window)?.mapv(i32::from)),
    }
}

fn in_raster(path: &Path) -> impl Fn(CogError) -> PlacesError {
    move |source| PlacesError::Raster { path: path.into(), source }
}

fn open_raster(path: &Path) -> Result<(CogFile, Georef), PlacesError> {
    let file = CogFile::open(path).map_err(in_raster(path))?;
    let header = file.header();
    if header.bands != 1 || header.sample == SampleKind::F32 {
        let found = format!("{} bands of {}", header.bands, header.sample);
        return Err(PlacesError::content(path, found, "one band of whole numbers, a code a class"));
    }
    let Some(georef) = header.georef else {
        let expected = "a GeoTIFF with a place on Earth";
        return Err(PlacesError::content(path, "none of its tags", expected));
    };
    Projection::from_epsg(georef.epsg)
        .map_err(|source| PlacesError::content(path, source.to_string(), "a system known here"))?;
    Ok((file, georef))
}

fn hash_of(path: &Path) -> Result<String, PlacesError> {
    let io = |source| PlacesError::Io { what: "read", path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// The legend beside a raster, as `surco map` writes it.
fn legend_of(path: &Path) -> Result<Option<Legend>, PlacesError> {
    let path = path.with_extension("legend.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PlacesError::Io { what: "read", path, source }),
    };
    let legend = serde_json::from_slice(&bytes);
    legend.map(Some).map_err(|e| PlacesError::content(&path, e.to_string(), "a legend"))
}

/// Names of the codes, in the order of the codes.
fn named(codes: &[Option<i32>], legend: Option<&Legend>) -> (Vec<String>, Vec<Option<u32>>) {
    let present: BTreeSet<i32> = codes.iter().flatten().copied().collect();
    let name = |code: &i32| {
        let class = legend.and_then(|l| l.classes().iter().find(|c| i32::from(c.code) == *code));
        class.map_or_else(|| code.to_string(), |class| class.name.clone())
    };
    let names = present.iter().map(name).collect();
    let numbers: BTreeMap<i32, u32> = present.into_iter().zip(0..).collect();
    (names, codes.iter().map(|code| code.and_then(|c| numbers.get(&c).copied())).collect())
}

/// The property that holds the class: a known name, or the only one there is.
fn class_property(path: &Path, collection: &Collection) -> Result<String, PlacesError> {
    let names: BTreeSet<&String> =
        collection.features.iter().flat_map(|f| f.properties.keys()).collect();
    if let Some(known) = CLASS_KEYS.iter().find(|key| names.iter().any(|name| name == *key)) {
        return Ok((*known).to_string());
    }
    match names.iter().collect::<Vec<_>>()[..] {
        [only] => Ok((*only).clone()),
        _ => {
            let found = format!("the properties {}", listed(names.iter().copied()));
            let expected = "one that is surely the class; name it as FILE:PROPERTY";
            Err(PlacesError::content(path, found, expected))
        }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
