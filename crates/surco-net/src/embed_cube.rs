//! Embedding a cube patch by patch.

use burn::module::Module;
use ndarray::{Array3, s};
use rayon::prelude::*;
use surco_core::Window;
use surco_data::{Batch, BatchSpec, Cube, PatchGrid};

use crate::{EncoderInput, Model};

/// Side in patches of the windows whose patches see each other.
const WINDOW_PATCHES: usize = 8;

/// How a cube is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CubeGrid {
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// First day of the window of time, in days since 1970-01-01, and the day after the last.
    pub days: (i32, i32),
}

impl CubeGrid {
    /// How a batch is made of windows of a cube.
    #[must_use]
    pub fn spec(&self, model: &Model, cube: &Cube) -> BatchSpec {
        let mut spec = model.config.spec(&cube.bands, self.days);
        spec.patch = PatchGrid { side_px: self.patch_px, pixel_m: cube.georef.px_m as f32 };
        spec
    }

    /// Side in pixels of the windows whose patches see each other.
    #[must_use]
    pub fn window_px(&self) -> usize {
        WINDOW_PATCHES * self.patch_px
    }
}

/// Embeds a cube on the device of the model: `[⌈y / patch⌉, ⌈x / patch⌉, parts × width]`.
///
/// Each core takes a window of 8 × 8 patches at a time, so that beside the cube and the result, memory
/// holds one window a core. Patches attend to those of their window, which begin at multiples of its side
/// from the first pixel of the cube.
#[must_use]
pub fn embed_cube(model: &Model, cube: &Cube, grid: &CubeGrid) -> Array3<f32> {
    let (spec, device) = (grid.spec(model, cube), model.encoder.device());
    let (rows, cols) = cube.size();
    let [patch_rows, patch_cols] = spec.patch.over([rows, cols]);
    let side = grid.window_px();
    let windows: Vec<Window> = (0..rows)
        .step_by(side)
        .flat_map(|row| (0..cols).step_by(side).map(move |col| (row, col)))
        .map(|(row, col)| Window {
            row,
            col,
            rows: side.min(rows - row),
            cols: side.min(cols - col),
        })
        .collect();
    let width = spec.queries.map_or(0, |q| q.parts) * model.encoder.width();
    let mut whole = Array3::zeros((patch_rows, patch_cols, width));
    // A few windows a core at a time: what is finished is laid down before more is begun.
    for wave in windows.chunks(4 * rayon::current_num_threads()) {
        let done: Vec<Array3<f32>> = wave
            .par_iter()
            .map_with(model.encoder.valid(), |encoder, window| {
                let batch = Batch::new(&[&cube.window(*window)], &spec);
                let values = encoder.embed(&EncoderInput::new(&batch, &device)).into_data();
                let [rows, cols] = batch.samples[0].patches;
                Array3::from_shape_vec((rows, cols, width), values.iter::<f32>().collect())
                    .expect("a window has one embedding a patch")
            })
            .collect();
        for (window, done) in wave.iter().zip(done) {
            let (row, col) = (window.row / grid.patch_px, window.col / grid.patch_px);
            let (rows, cols, _) = done.dim();
            whole.slice_mut(s![row..row + rows, col..col + cols, ..]).assign(&done);
        }
    }
    whole
}
