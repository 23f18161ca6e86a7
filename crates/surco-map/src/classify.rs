//! From pixels to classes.

use std::path::Path;

use ndarray::{Array2, Array3, Axis};
use surco_core::{CellId, Fault, Georef, Legend, Progress, largest};
use surco_data::CubeError;
use surco_net::Device;
use surco_net::Model;
use surco_raster::cog::{CogError, CogOptions, write_cog};
use surco_store::Store;

use crate::Task;
use crate::strips::{Strip, Strips};

/// Why a cell could not be classified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifyError {
    /// The store could not be read, or the user asked to stop.
    #[error(transparent)]
    Cube(#[from] CubeError),
    /// The task was fitted to other bands.
    #[error(
        "cell {cell} has {bands} bands, others than the task was fitted to: adapt on a store with the same bands"
    )]
    OtherBands {
        /// The cell.
        cell: CellId,
        /// Its number of bands.
        bands: usize,
    },
}

impl ClassifyError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Cube(error) => error.fault(),
            Self::OtherBands { .. } => Fault::Input,
        }
    }
}

/// A map of one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMap {
    /// Where it lies.
    pub georef: Georef,
    /// Class codes, 0 = the ground was never seen, `[y, x]`.
    pub codes: Array2<u8>,
    /// Probability of the mapped class in percent, 0 = no class, `[y, x]`.
    pub confidence: Array2<u8>,
    /// Classes that cannot be ruled out, 0 = no class; `None` where the task has no sets, `[y, x]`.
    pub set_size: Option<Array2<u8>>,
}

/// Classifies a cell strip by strip; memory grows with its width, not with its height.
///
/// # Errors
/// [`ClassifyError`] if the store cannot be read or has other bands than the task, or the user stops.
pub fn classify(
    store: &Store,
    cell: &CellId,
    model: &Model,
    task: &Task,
    device: &Device,
    progress: &dyn Progress,
) -> Result<ClassMap, ClassifyError> {
    let reader = store.cell(cell).map_err(CubeError::from)?;
    let mut map = ClassMap {
        georef: reader.georef,
        codes: Array2::zeros((reader.rows, reader.cols)),
        confidence: Array2::zeros((reader.rows, reader.cols)),
        set_size: task.sets.map(|_| Array2::zeros((reader.rows, reader.cols))),
    };
    let strips = Strips { store, cell, model, device, progress };
    strips.each(task.adapter.features, task.window, |strip| {
        let reads = task.adapter.reads(&strip.features);
        if reads {
            map.fill(strip, task);
        }
        reads
    })?;
    Ok(map)
}

impl ClassMap {
    fn fill(&mut self, strip: &Strip, task: &Task) {
        let all = task.adapter.predict(&strip.features);
        for (i, at) in strip.seen() {
            let chances = all.row(i);
            let best = largest(chances);
            self.codes[at] = task.legend.classes()[best].code;
            if let (Some(sets), Some(size)) = (task.sets, &mut self.set_size) {
                let held = chances.iter().filter(|&&p| f64::from(p) >= sets.threshold).count();
                // Where no class reaches the threshold, none is ruled out more than the likeliest.
                size[at] = u8::try_from(held.max(1)).unwrap_or(u8::MAX);
            }
            self.confidence[at] = (chances[best] * 100.0).round().clamp(1.0, 100.0) as u8;
        }
    }
}

/// Writes a map as a COG with colours and class names, its legend beside it as `NAME.legend.json` and its
/// confidence as `NAME.confidence.tif` and, if the task has sets, their sizes as `NAME.sets.tif`; the map comes last.
///
/// # Errors
/// [`CogError`] if the disk refuses.
pub fn write_map(map: &ClassMap, legend: &Legend, path: &Path) -> Result<(), CogError> {
    let one = |a: &Array2<u8>| -> Array3<u8> { a.clone().insert_axis(Axis(0)) };
    let beside = path.with_extension("legend.json");
    let text = serde_json::to_vec_pretty(legend).unwrap_or_default();
    surco_core::write_whole(&beside, &text).map_err(|source| CogError::Io {
        what: "write",
        path: beside.clone(),
        source,
    })?;
    let confidence = CogOptions {
        nodata: Some(0.0),
        band_names: vec!["probability of the mapped class, percent".into()],
        ..CogOptions::default()
    };
    let beside = path.with_extension("confidence.tif");
    write_cog(&beside, one(&map.confidence).view(), map.georef, &confidence)?;
    if let Some(size) = &map.set_size {
        let sets = CogOptions {
            nodata: Some(0.0),
            band_names: vec!["classes that cannot be ruled out".into()],
            ..CogOptions::default()
        };
        write_cog(path.with_extension("sets.tif"), one(size).view(), map.georef, &sets)?;
    }
    let mut options = CogOptions::classes(legend.clone());
    options.band_names = vec!["class".into()];
    write_cog(path, one(&map.codes).view(), map.georef, &options)
}
