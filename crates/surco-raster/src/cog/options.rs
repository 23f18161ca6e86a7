//! How a raster is written.

use surco_core::Legend;

use super::error::CogError;
use super::sample::{Sample, SampleKind};

/// How overviews are made, each from the one before, two by two pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overviews {
    /// None are written.
    None,
    /// The mean of the pixels that are not nodata: for measurements.
    Average,
    /// The upper left pixel: for anything.
    Nearest,
    /// The most frequent value that is not nodata: for classes.
    Mode,
}

/// How a raster is written; [`Default`] suits measurements, [`CogOptions::classes`] class maps.
#[derive(Clone, Debug, PartialEq)]
pub struct CogOptions {
    /// Side of a block in pixels, a multiple of 16.
    pub block_px: usize,
    /// Effort of compression, 1 to 12.
    pub deflate_level: u8,
    /// How overviews are made, down to 512 pixels.
    pub overviews: Overviews,
    /// The value that stands for "no data".
    pub nodata: Option<f64>,
    /// Red, green and blue of values 0, 1, …; only for one band of `u8`.
    pub palette: Option<Vec<[u8; 3]>>,
    /// Classes of the first band, only for `u8`: their names go to a file `NAME.tif.aux.xml` beside
    /// it, where GDAL and QGIS look, and their colours are the palette unless one is given.
    pub legend: Option<Legend>,
    /// Names of the bands, none or one each.
    pub band_names: Vec<String>,
    /// Further names and values that GDAL shows as metadata.
    pub metadata: Vec<(String, String)>,
}

impl Default for CogOptions {
    fn default() -> Self {
        Self {
            block_px: 1024,
            deflate_level: 6,
            overviews: Overviews::Average,
            nodata: None,
            palette: None,
            legend: None,
            band_names: Vec::new(),
            metadata: Vec::new(),
        }
    }
}

impl CogOptions {
    /// For a map of classes: 0 is nodata, overviews hold the most frequent class.
    #[must_use]
    pub fn classes(legend: Legend) -> Self {
        Self {
            overviews: Overviews::Mode,
            nodata: Some(0.0),
            legend: Some(legend),
            ..Self::default()
        }
    }

    /// Refuses options that do not go together or with the image.
    pub(crate) fn check<T: Sample>(&self, bands: usize) -> Result<(), CogError> {
        let refuse = |what, found: String, expected: String| {
            Err(CogError::Options { what, found, expected })
        };
        if self.block_px == 0 || !self.block_px.is_multiple_of(16) || self.block_px > 16_384 {
            let expected = "a multiple of 16 from 16 to 16384".into();
            return refuse("block_px", self.block_px.to_string(), expected);
        }
        if !(1..=12).contains(&self.deflate_level) {
            return refuse("deflate_level", self.deflate_level.to_string(), "1 to 12".into());
        }
        if !self.band_names.is_empty() && self.band_names.len() != bands {
            let found = format!("{} band names", self.band_names.len());
            return refuse("band_names", found, format!("none or {bands}"));
        }
        let coloured = self.palette.is_some() || self.legend.is_some();
        if coloured && (T::KIND != SampleKind::U8 || (bands != 1 && self.palette.is_some())) {
            let found = format!("given for {bands} bands of {}", T::KIND);
            return refuse("palette or legend", found, "one band of uint8".into());
        }
        if self.palette.as_ref().is_some_and(|p| p.len() > 256) {
            return refuse("palette", "over 256 colours".into(), "at most 256".into());
        }
        Ok(())
    }

    /// The 256 colours of a one-band image, if it has any.
    pub(crate) fn colours(&self, bands: usize) -> Option<[[u8; 3]; 256]> {
        if bands != 1 {
            return None;
        }
        let mut colours = [[0; 3]; 256];
        match (&self.palette, &self.legend) {
            (Some(palette), _) => {
                for (slot, colour) in colours.iter_mut().zip(palette) {
                    *slot = *colour;
                }
            }
            (None, Some(legend)) => {
                for class in legend.classes() {
                    colours[usize::from(class.code)] = class.colour;
                }
            }
            (None, None) => return None,
        }
        Some(colours)
    }
}
