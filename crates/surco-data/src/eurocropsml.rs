//! EuroCropsML: field parcels with a year of Sentinel-2 each, and the splits they come with.
//!
//! Input: a folder with `preprocess/` (or `preprocess/S2/`), one `REGION_PARCEL_CLASS.npz` a parcel, and
//! `split/NAME/finetune/region_split_K.json`. Output: [`Parcel`]s as series, and who learns and who is judged.
//! Sample config: `read_parcel(Path::new("preprocess/EE001_12_3301010101.npz"))`.
//!
//! # Source
//! Reuss et al. 2025, *EuroCropsML: a time series benchmark dataset for few-shot crop type classification*, Scientific
//! Data 12; arrays and names as its code (MIT) writes them: `data` `[time, 13]` in digital numbers of Level-1C with -999
//! where nothing is, `dates`, `center` as longitude and latitude.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use surco_core::{Fault, S2_BANDS};

use crate::npy::{NpyError, parse_npz};
use crate::{Sample, SpectralBand};

/// Columns of `data`: bands 1 to 12 with 8A after 8.
const COLUMNS: usize = 13;

/// Columns of the ten land bands, in the order of [`S2_BANDS`].
const LAND: [usize; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12];

/// What stands where nothing was seen.
const NOTHING: f64 = -999.0;

/// One parcel.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    /// Class by the hierarchical crop and agriculture taxonomy, ten digits.
    pub class: String,
    /// Region, for example `EE001`.
    pub region: String,
    /// Median reflectance of the parcel in the ten land bands, top of the atmosphere.
    pub sample: Sample,
}

/// Parcels that learn and that are judged, as file names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ParcelSplit {
    /// To learn from.
    pub train: Vec<String>,
    /// To choose by.
    pub val: Vec<String>,
    /// Judged on.
    pub test: Vec<String>,
}

/// Why EuroCropsML could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EuroCropsError {
    /// A file that could not be opened.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Arrays that could not be read.
    #[error("parcel {} {source}", path.display())]
    Arrays {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NpyError,
    },
    /// Arrays that do not fit together.
    #[error("parcel {} has {found}, expected {expected}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// A name that says no class.
    #[error("parcel {}: its name is not REGION_PARCEL_CLASS.npz", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A split that is none.
    #[error("split {} is no JSON of `train`, `val` and `test`: {reason}", path.display())]
    Split {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl EuroCropsError {
    /// The kind of fault: always the input's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// The bands of a parcel's series.
#[must_use]
pub fn parcel_bands() -> Vec<SpectralBand> {
    S2_BANDS.into_iter().map(SpectralBand::from).collect()
}

/// Where parcels lie in the folder of the set.
#[must_use]
pub fn parcels_folder(set: &Path) -> PathBuf {
    let both = set.join("preprocess");
    let own = both.join("S2");
    if own.is_dir() { own } else { both }
}

/// Where the split of this name and number of labels per class lies; `None` is the one of all.
#[must_use]
pub fn split_file(set: &Path, split: &str, k: Option<usize>) -> PathBuf {
    let k = k.map_or("all".into(), |k| k.to_string());
    set.join("split").join(split).join("finetune").join(format!("region_split_{k}.json"))
}

/// Reads a split.
///
/// # Errors
/// [`EuroCropsError::Io`] or [`EuroCropsError::Split`], naming the file.
pub fn read_split(path: &Path) -> Result<ParcelSplit, EuroCropsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| EuroCropsError::Io { path: path.into(), source })?;
    serde_json::from_str(&text)
        .map_err(|e| EuroCropsError::Split { path: path.into(), reason: e.to_string() })
}

/// The class that a parcel's file name says.
///
/// # Errors
/// [`EuroCropsError::Name`] if it says none.
pub fn class_of(file: &str) -> Result<&str, EuroCropsError> {
    let (_, class) = region_and_class(file).ok_or(EuroCropsError::Name { path: file.into() })?;
    Ok(class)
}

fn region_and_class(file: &str) -> Option<(&str, &str)> {
    let mut parts = file.strip_suffix(".npz")?.split('_');
    let (region, _, class) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = !class.is_empty() && class.bytes().all(|b| b.is_ascii_digit());
    (is_whole && parts.next().is_none()).then_some((region, class))
}

/// Reads one parcel. Dates on which nothing was seen are left out, and of a date given twice the first is kept.
///
/// # Errors
/// [`EuroCropsError`] naming the file and what is wrong.
pub fn read_parcel(path: &Path) -> Result<Parcel, EuroCropsError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (region, class) =
        region_and_class(name).ok_or_else(|| EuroCropsError::Name { path: path.into() })?;
    let file =
        std::fs::read(path).map_err(|source| EuroCropsError::Io { path: path.into(), source })?;
    let [data, dates, center] = parse_npz(&file, ["data", "dates", "center"])
        .map_err(|source| EuroCropsError::Arrays { path: path.into(), source })?;
    let refuse =
        |found: String, expected| EuroCropsError::Shape { path: path.into(), found, expected };
    let days =
        dates.days().ok_or_else(|| refuse("`dates` that are no days".into(), "datetime64[D]"))?;
    if data.shape != [days.len(), COLUMNS] {
        let found = format!("`data` of {:?} for {} dates", data.shape, days.len());
        return Err(refuse(found, "13 bands a date"));
    }
    let &[lon, lat] = &center.numbers()[..] else {
        return Err(refuse(format!("`center` of {:?}", center.shape), "longitude and latitude"));
    };
    let numbers = data.numbers();
    let mut seen: Vec<(i32, &[f64])> =
        days.into_iter().zip(numbers.chunks_exact(COLUMNS)).collect();
    seen.retain(|(_, row)| LAND.iter().any(|&b| row[b] > NOTHING));
    seen.sort_by_key(|(day, _)| *day);
    seen.dedup_by_key(|(day, _)| *day);
    let reflectance = |dn: f64| if dn > NOTHING { (dn / 10_000.0) as f32 } else { f32::NAN };
    let values = seen.iter().flat_map(|(_, row)| LAND.map(|b| reflectance(row[b]))).collect();
    let days = seen.iter().map(|(day, _)| *day).collect();
    let mut sample = Sample::series(days, values, lat < 0.0);
    sample.site.lonlat = Some([lon, lat]);
    Ok(Parcel { class: class.into(), region: region.into(), sample })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/eurocropsml")
    }

    /// Written by numpy with `fixtures/eurocropsml.py`: the first date is 2021-04-01 and band 4 of it 1200; the third
    /// date is padding, the fourth lacks its last band.
    #[test]
    fn a_parcel_is_a_series_of_its_land_bands() {
        let folder = parcels_folder(&fixture());
        let parcel = read_parcel(&folder.join("EE001_6_3301010101.npz")).unwrap();
        assert_eq!((parcel.class.as_str(), parcel.region.as_str()), ("3301010101", "EE001"));
        assert_eq!(
            parcel.sample.days[..3],
            [18_718, 18_728, 18_748],
            "the padded date is left out"
        );
        assert!(
            (parcel.sample.date(0, 10)[2] - 0.12).abs() < 1e-7,
            "{:?}",
            parcel.sample.date(0, 10)
        );
        assert!(parcel.sample.date(2, 10)[9].is_nan() && parcel.sample.date(2, 10)[8].is_finite());
        assert_eq!(parcel.sample.site.lonlat, Some([25.0, 58.5]));
        assert!(!parcel.sample.south);
        assert_eq!(parcel_bands().len(), 10);
    }

    #[test]
    fn splits_name_files_and_names_say_classes() {
        let split = read_split(&split_file(&fixture(), "latvia_vs_estonia", Some(1))).unwrap();
        assert!(split.train.iter().all(|f| class_of(f).is_ok()) && !split.test.is_empty());
        for wrong in ["EE001_7.npz", "EE001_7_wheat.npz", "EE001_7_33.npy", "a_b_3_4.npz"] {
            assert!(matches!(class_of(wrong), Err(EuroCropsError::Name { .. })), "{wrong}");
        }
        let missing = read_split(&fixture().join("nothing.json")).unwrap_err();
        assert!(missing.to_string().contains("nothing.json"));
    }
}
