//! PASTIS: patches of France with a year of Sentinel-2, and the crop of every pixel.
//!
//! Input: a folder with `metadata.geojson`, `DATA_S2/S2_ID.npy` and `ANNOTATIONS/TARGET_ID.npy`. Output: patches with
//! their folds, and pixels of them as series. Sample config: `read_patches(Path::new("PASTIS"))`.
//!
//! # Source
//! Garnot and Landrieu 2021, *Panoptic segmentation of satellite image time series with convolutional temporal attention
//! networks*, ICCV; files as its code (MIT) reads them: series `[time, 10, y, x]` in digital numbers of Level-2A, bands in
//! the order of [`surco_core::S2_BANDS`], targets `[3, y, x]` of which the first is the class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::{Date, date};
use serde::Deserialize;
use surco_core::{Fault, S2_BANDS};

use crate::Sample;
use crate::npy::{NpyArray, NpyError};

/// Class of pixels outside every parcel.
pub const BACKGROUND: u8 = 0;

/// Class of parcels that are cut off or of no class: neither learned from nor judged.
pub const VOID: u8 = 19;

/// One patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Its number.
    pub id: u64,
    /// Its fold, 1 to 5.
    pub fold: u8,
    /// Days since 1970-01-01.
    pub days: Vec<i32>,
}

/// Pixels of a patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatchPixels {
    /// Class of each pixel.
    pub classes: Vec<u8>,
    /// Its series, dates ascending.
    pub samples: Vec<Sample>,
}

/// Why PASTIS could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PastisError {
    /// A file that could not be opened.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A description that says too little.
    #[error("{} does not describe patches: {reason}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An array that could not be read.
    #[error("{} {source}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NpyError,
    },
    /// An array of another shape.
    #[error("{} has the shape {found:?}, expected {expected}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Its shape.
        found: Vec<usize>,
        /// What was expected.
        expected: String,
    },
    /// A class that there is none of.
    #[error("{} holds class {class}: classes are 0 to 19", path.display())]
    Class {
        /// The file.
        path: PathBuf,
        /// The class.
        class: f64,
    },
}

impl PastisError {
    /// The kind of fault: always the input's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

#[derive(Deserialize)]
struct Collection {
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "ID_PATCH")]
    id: serde_json::Number,
    #[serde(rename = "Fold")]
    fold: u8,
    #[serde(rename = "dates-S2")]
    dates: BTreeMap<String, u32>,
}

/// Reads which patches there are, by their numbers.
///
/// # Errors
/// [`PastisError`] if `metadata.geojson` is missing or says too little.
pub fn read_patches(folder: &Path) -> Result<Vec<Patch>, PastisError> {
    let path = folder.join("metadata.geojson");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| PastisError::Io { path: path.clone(), source })?;
    let refuse = |reason: String| PastisError::Metadata { path: path.clone(), reason };
    let collection: Collection = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
    let mut patches = Vec::new();
    for Feature { properties: Properties { id, fold, dates } } in collection.features {
        let number = id.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0);
        let id = number.ok_or_else(|| refuse(format!("{id} is no number of a patch")))? as u64;
        if !(1..=5).contains(&fold) {
            return Err(refuse(format!("patch {id} is in fold {fold}, expected 1 to 5")));
        }
        let mut days = BTreeMap::new();
        for (place, day) in dates {
            let told = || refuse(format!("patch {id}: date `{place}` is {day}, expected YYYYMMDD"));
            days.insert(place.parse::<usize>().map_err(|_| told())?, day_of(day).ok_or_else(told)?);
        }
        patches.push(Patch { id, fold, days: days.into_values().collect() });
    }
    patches.sort_by_key(|patch| patch.id);
    Ok(patches)
}

/// Days since 1970-01-01 of a day as YYYYMMDD.
fn day_of(day: u32) -> Option<i32> {
    let (year, month, of_month) = (day / 10_000, day / 100 % 100, day % 100);
    let day = Date::new(year.try_into().ok()?, month.try_into().ok()?, of_month.try_into().ok()?);
    let since = date(1970, 1, 1).until(day.ok()?).ok()?;
    Some(since.get_days())
}

/// Reads pixels of a patch; `pick` is given the class of every pixel, row by row, and says which.
///
/// # Errors
/// [`PastisError`] naming the file and what is wrong.
pub fn read_pixels(
    folder: &Path,
    patch: &Patch,
    pick: impl FnOnce(&[u8]) -> Vec<usize>,
) -> Result<PatchPixels, PastisError> {
    let path = folder.join("ANNOTATIONS").join(format!("TARGET_{}.npy", patch.id));
    let target = read_array(&path)?;
    // With at least one target the header's sides are no larger than the file.
    let &[(1..), rows, columns] = &target.shape[..] else {
        let (found, expected) = (target.shape, "targets, rows and columns".into());
        return Err(PastisError::Shape { path, found, expected });
    };
    let pixels = rows * columns;
    let mut classes = Vec::with_capacity(pixels);
    for class in target.numbers().into_iter().take(pixels) {
        if !(0.0..=f64::from(VOID)).contains(&class) {
            return Err(PastisError::Class { path, class });
        }
        classes.push(class as u8);
    }
    let picked = pick(&classes);
    let path = folder.join("DATA_S2").join(format!("S2_{}.npy", patch.id));
    let series = read_array(&path)?;
    let bands = S2_BANDS.len();
    if series.shape != [patch.days.len(), bands, rows, columns] {
        let expected = format!("{:?}", [patch.days.len(), bands, rows, columns]);
        return Err(PastisError::Shape { path, found: series.shape, expected });
    }
    let numbers = series.numbers();
    let mut order: Vec<usize> = (0..patch.days.len()).collect();
    order.sort_by_key(|&t| patch.days[t]);
    order.dedup_by_key(|t| patch.days[*t]);
    let sample = |&pixel: &usize| {
        let value = |t: usize, b: usize| (numbers[(t * bands + b) * pixels + pixel] / 1e4) as f32;
        let values = order.iter().flat_map(|&t| (0..bands).map(move |b| value(t, b))).collect();
        Sample::series(order.iter().map(|&t| patch.days[t]).collect(), values, false)
    };
    Ok(PatchPixels {
        samples: picked.iter().map(sample).collect(),
        classes: picked.iter().map(|&pixel| classes[pixel]).collect(),
    })
}

fn read_array(path: &Path) -> Result<NpyArray, PastisError> {
    let file =
        std::fs::read(path).map_err(|source| PastisError::Io { path: path.into(), source })?;
    NpyArray::parse(&file).map_err(|source| PastisError::Array { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pastis")
    }

    /// Written by numpy with `fixtures/pastis.py`: patch 10003 is of fold 3, its first date is 2018-09-20, and pixel
    /// (1, 2) has 1234 in its third band on it.
    #[test]
    fn patches_have_folds_dates_and_pixels() {
        let patches = read_patches(&fixture()).unwrap();
        let folds: Vec<(u64, u8)> = patches.iter().map(|p| (p.id, p.fold)).collect();
        assert_eq!(folds, [(10_001, 1), (10_002, 2), (10_003, 3), (10_004, 4), (10_005, 5)]);
        assert_eq!(patches[2].days[0], 17_794);
        let mut seen = Vec::new();
        let pixels = read_pixels(&fixture(), &patches[2], |classes| {
            seen = classes.to_vec();
            vec![classes.len() / 8 + 2]
        })
        .unwrap();
        assert!(seen.contains(&VOID) && seen.contains(&BACKGROUND));
        let [sample] = &pixels.samples[..] else { panic!("one pixel") };
        assert!((sample.date(0, 10)[2] - 0.1234).abs() < 1e-7, "{:?}", sample.date(0, 10));
        assert_eq!(sample.days.len(), patches[2].days.len());
    }

    #[test]
    fn a_patch_that_lacks_its_series_is_named() {
        let gone = Patch { id: 7, fold: 1, days: vec![0] };
        let error = read_pixels(&fixture(), &gone, |_| Vec::new()).unwrap_err();
        assert!(error.to_string().contains("TARGET_7.npy"), "{error}");
        let mut short = read_patches(&fixture()).unwrap().remove(0);
        short.days.pop();
        let error = read_pixels(&fixture(), &short, |_| Vec::new()).unwrap_err();
        assert!(error.to_string().contains("S2_10001.npy has the shape"), "{error}");
        assert_eq!((day_of(20_180_920), day_of(20_181_320)), (Some(17_794), None));
    }
}
