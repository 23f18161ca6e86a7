//! Tasks that foretell a number, and maps of it.
//!
//! Input: a cell of a store and `number.json`, what adaptation made of a few numbers. Output: the number of each pixel and the
//! width of its interval.

use std::path::Path;

use ndarray::{Array2, Array3, Axis};
use serde::{Deserialize, Serialize};
use surco_core::{CellId, Georef, Progress};
use surco_data::CubeError;
use surco_learn::NumberHead;
use surco_net::{Device, Model};
use surco_raster::cog::{CogError, CogOptions, write_cog};
use surco_store::Store;

use crate::strips::{Strip, Strips};
use crate::task::{fits, read, write};
use crate::{ClassifyError, TaskError};

/// Version of `number.json`.
const SCHEMA: u32 = 1;

/// Name of the file in a folder that holds a task of a number.
pub const NUMBER_FILE: &str = "number.json";

/// A model adapted to foretell a number over a region and season.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberTask {
    /// Version of this file.
    pub schema: u32,
    /// What the number is called: the column it came from.
    pub number: String,
    /// What was fitted.
    pub head: NumberHead,
    /// Share of the truth that intervals are to hold.
    pub level: f64,
    /// SHA-256 of the weights it was fitted on.
    pub weights_sha256: String,
    /// Window of days since 1970-01-01, `[first, end)`.
    pub window: (i32, i32),
    /// Labelled series it was fitted to.
    pub labels: usize,
}

/// Writes `number.json` into a folder, whole.
///
/// # Errors
/// [`TaskError::Io`] if the disk refuses.
pub fn save_number_task(task: &NumberTask, folder: &Path) -> Result<(), TaskError> {
    write(task, folder, NUMBER_FILE)
}

/// Reads `number.json` from a folder, whatever weights it belongs to; `None` if there is none.
///
/// # Errors
/// [`TaskError`] naming the file and what is wrong.
pub fn read_number_task(folder: &Path) -> Result<Option<NumberTask>, TaskError> {
    if !folder.join(NUMBER_FILE).is_file() {
        return Ok(None);
    }
    let (task, path) = read::<NumberTask>(folder, NUMBER_FILE)?;
    let flaw = match task.schema {
        SCHEMA => task.head.flaw().map(String::from),
        other => Some(format!("schema {other} is not {SCHEMA}")),
    };
    match flaw {
        Some(reason) => Err(TaskError::Form { path, reason }),
        None => Ok(Some(task)),
    }
}

/// Reads `number.json` from a folder and checks that it belongs to these weights; `None` if there is none.
///
/// # Errors
/// [`TaskError`] naming the file and what is wrong.
pub fn load_number_task(
    folder: &Path,
    weights_sha256: &str,
) -> Result<Option<NumberTask>, TaskError> {
    let task = read_number_task(folder)?;
    if let Some(task) = &task {
        fits(&folder.join(NUMBER_FILE), &task.weights_sha256, weights_sha256)?;
    }
    Ok(task)
}

/// A number of each pixel of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberMap {
    /// Where it lies.
    pub georef: Georef,
    /// The number in its own unit, NaN = the ground was never seen, `[y, x]`.
    pub number: Array2<f32>,
    /// Width of the interval around it, NaN = the ground was never seen, `[y, x]`.
    pub width: Array2<f32>,
}

/// Foretells the number of every pixel of a cell, strip by strip.
///
/// # Errors
/// [`ClassifyError`] if the store cannot be read or has other bands than the task, or the user stops.
pub fn foretell(
    store: &Store,
    cell: &CellId,
    model: &Model,
    task: &NumberTask,
    device: &Device,
    progress: &dyn Progress,
) -> Result<NumberMap, ClassifyError> {
    let reader = store.cell(cell).map_err(CubeError::from)?;
    let unseen = Array2::from_elem((reader.rows, reader.cols), f32::NAN);
    let mut map = NumberMap { georef: reader.georef, number: unseen.clone(), width: unseen };
    let strips = Strips { store, cell, model, device, progress };
    strips.each(task.head.features, task.window, |strip| {
        let reads = task.head.reads(&strip.features);
        if reads {
            map.fill(strip, &task.head);
        }
        reads
    })?;
    Ok(map)
}

impl NumberMap {
    fn fill(&mut self, strip: &Strip, head: &NumberHead) {
        let said = head.predict(&strip.features);
        for (i, at) in strip.seen() {
            self.number[at] = said.numbers[i];
            self.width[at] = 2.0 * head.half_width as f32 * said.stretch[i];
        }
    }
}

/// Writes the number as a COG of 32-bit floats, and the width of its interval as `NAME.width.tif` beside it; the number comes
/// last.
///
/// # Errors
/// [`CogError`] if the disk refuses.
pub fn write_numbers(map: &NumberMap, task: &NumberTask, path: &Path) -> Result<(), CogError> {
    let one = |a: &Array2<f32>| -> Array3<f32> { a.clone().insert_axis(Axis(0)) };
    let options = |name: String| CogOptions {
        nodata: Some(f64::NAN),
        band_names: vec![name],
        ..CogOptions::default()
    };
    let width = format!("width of the {:.0} % interval of {}", 100.0 * task.level, task.number);
    let beside = path.with_extension("width.tif");
    write_cog(&beside, one(&map.width).view(), map.georef, &options(width))?;
    write_cog(path, one(&map.number).view(), map.georef, &options(task.number.clone()))
}
