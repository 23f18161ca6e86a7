//! A cell, strip by strip, as an adapted model reads it.

use ndarray::Array2;
use surco_core::{CellId, Progress, Window};
use surco_data::{CubeError, Grounds, Sample, SeriesWindow, read_cube};
use surco_learn::{AdapterFeatures, Features};
use surco_net::{Device, Model};
use surco_store::Store;

use crate::ClassifyError;

/// Rows read at once: one row of the store's inner chunks.
const STRIP_PX: usize = 64;

/// What a cell is read with.
pub(crate) struct Strips<'a> {
    pub(crate) store: &'a Store,
    pub(crate) cell: &'a CellId,
    pub(crate) model: &'a Model,
    pub(crate) device: &'a Device,
    pub(crate) progress: &'a dyn Progress,
}

/// Features of one strip.
pub(crate) struct Strip {
    /// Row of its first pixel in the cell.
    row: usize,
    /// Ground of each pixel, `[y, x]`; `None` where it was never seen.
    of: Array2<Option<usize>>,
    /// Features of each ground.
    pub(crate) features: Features,
}

impl Strip {
    /// Row and column of each pixel that was ever seen, beside its ground.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (usize, [usize; 2])> {
        let at = |((row, col), ground): ((usize, usize), &Option<usize>)| {
            ground.map(|ground| (ground, [self.row + row, col]))
        };
        self.of.indexed_iter().filter_map(at)
    }
}

impl Strips<'_> {
    /// Reads strip after strip; memory grows with the width of the cell, not with its height. `take` says whether it can
    /// read the features.
    pub(crate) fn each(
        &self,
        kind: AdapterFeatures,
        days: (i32, i32),
        mut take: impl FnMut(&Strip) -> bool,
    ) -> Result<(), ClassifyError> {
        let Self { store, cell, model, device, progress } = *self;
        let reader = store.cell(cell).map_err(CubeError::from)?;
        for row in (0..reader.rows).step_by(STRIP_PX) {
            if progress.stopped() {
                return Err(CubeError::Stopped.into());
            }
            let rows = STRIP_PX.min(reader.rows - row);
            let window = Window { row, col: 0, rows, cols: reader.cols };
            let cube = read_cube(store, &SeriesWindow { cell: cell.clone(), window }, None)?;
            let spec = model.config.spec(&cube.bands, days);
            let Grounds { samples, of } = cube.grounds();
            let refs: Vec<&Sample> = samples.iter().collect();
            let features = Features::new(kind, model, &refs, &spec, device);
            if !take(&Strip { row, of, features }) {
                let (cell, bands) = (cell.clone(), cube.bands.len());
                return Err(ClassifyError::OtherBands { cell, bands });
            }
            progress.report("map", (row + rows) as u64, reader.rows as u64, "");
        }
        Ok(())
    }
}
