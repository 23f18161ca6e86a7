//! Embedding a cell of a store, strip by strip.

use ndarray::Array3;
use surco_core::{CellId, Progress, Window};
use surco_data::{Cube, CubeError, SeriesWindow, read_cube};
use surco_net::{CubeGrid, Model, embed_cube};
use surco_store::Store;

/// Rows of the store's inner chunks: strips are about as high.
const CHUNK_PX: usize = 64;

/// Embeds a cell of a store and hands on strips `[patch rows, patch columns, parts × width]` from north to
/// south, each with its first row of patches; gives rows and columns of patches.
///
/// Memory grows with the width of the cell, not with its height.
///
/// # Errors
/// [`CubeError`] if the store cannot be read or the user stops.
pub fn embed_cell(
    source: (&Store, &CellId),
    model: &Model,
    grid: &CubeGrid,
    progress: &dyn Progress,
    lay: impl FnMut(usize, Array3<f32>),
) -> Result<[usize; 2], CubeError> {
    let (store, cell) = source;
    let reader = store.cell(cell)?;
    let read = |window: Window| {
        if progress.stopped() {
            return Err(CubeError::Stopped);
        }
        progress.report("embed", (window.row + window.rows) as u64, reader.rows as u64, "");
        read_cube(store, &SeriesWindow { cell: cell.clone(), window }, None)
    };
    embed_strips([reader.rows, reader.cols], model, grid, read, lay)
}

fn embed_strips(
    [rows, cols]: [usize; 2],
    model: &Model,
    grid: &CubeGrid,
    mut read: impl FnMut(Window) -> Result<Cube, CubeError>,
    mut lay: impl FnMut(usize, Array3<f32>),
) -> Result<[usize; 2], CubeError> {
    // Whole windows of patches, so that a strip sees what the whole cell would show it.
    let strip = grid.window_px() * (CHUNK_PX / grid.window_px()).max(1);
    for row in (0..rows).step_by(strip) {
        let window = Window { row, col: 0, rows: strip.min(rows - row), cols };
        let cube = read(window)?;
        lay(row / grid.patch_px, embed_cube(model, &cube, grid));
    }
    Ok([rows.div_ceil(grid.patch_px), cols.div_ceil(grid.patch_px)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array4, s};
    use surco_core::{Georef, S2_BANDS};
    use surco_data::{Normalisation, QueryGrid};
    use surco_net::{Card, Device, ModelConfig, Size, fresh};

    fn model(cube: &Cube) -> Model {
        Model {
            encoder: fresh(Size::Nano, 3, &Device::flex()),
            config: ModelConfig {
                schema: 2,
                size: Size::Nano,
                normalisation: Normalisation::measure(&cube.bands, &[]),
                queries: QueryGrid { count: 2, parts: 1 },
                max_dates: 8,
                patch_px: vec![4],
                context: Vec::new(),
                sight: Default::default(),
                card: Card::default(),
            },
        }
    }

    /// 70 × 37 pixels: neither side is a multiple of a patch or of a strip.
    fn cube() -> Cube {
        let reflectance = Array4::from_shape_fn((3, 2, 70, 37), |(t, b, y, x)| {
            (2000.0 + 1500.0 * ((t + 2 * b) as f64 + 0.21 * y as f64 + 0.13 * x as f64).sin())
                as u16
        });
        let mut scl = ndarray::Array3::from_elem((3, 70, 37), 4_u8);
        scl.slice_mut(s![1, 10..30, 5..20]).fill(9); // cloud
        Cube {
            cell: "19HCB/r00c00".parse().unwrap(),
            georef: Georef { epsg: 32_719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m: 10.0 },
            days: vec![19_500, 19_540, 19_580],
            bands: S2_BANDS[..2].iter().map(|&b| b.into()).collect(),
            band_names: vec!["B02".into(), "B03".into()],
            reflectance,
            scl,
            south: true,
        }
    }

    #[test]
    fn strips_of_a_cell_are_the_rows_of_the_whole() {
        let whole = cube();
        let model = model(&whole);
        for patch_px in [3, 4] {
            let grid = CubeGrid { patch_px, days: (19_400, 19_700) };
            let at_once = embed_cube(&model, &whole, &grid);
            assert_eq!(
                at_once.dim(),
                (70_usize.div_ceil(patch_px), 37_usize.div_ceil(patch_px), 128)
            );
            assert!(at_once.iter().all(|v| v.is_finite()));
            let mut laid = Array3::zeros(at_once.dim());
            let mut strips = 0;
            let read = |w: Window| {
                let part = s![.., .., w.row..w.row + w.rows, ..];
                let cube = Cube {
                    georef: whole.georef.shifted(w.row, 0),
                    reflectance: whole.reflectance.slice(part).to_owned(),
                    scl: whole.scl.slice(s![.., w.row..w.row + w.rows, ..]).to_owned(),
                    ..whole.clone()
                };
                Ok(cube)
            };
            let lay = |row: usize, strip: Array3<f32>| {
                strips += 1;
                laid.slice_mut(s![row..row + strip.dim().0, .., ..]).assign(&strip);
            };
            let size = embed_strips([70, 37], &model, &grid, read, lay).unwrap();
            assert_eq!((size, strips), ([at_once.dim().0, at_once.dim().1], 2));
            let off = laid.iter().zip(&at_once).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-5, "{off}");
        }
    }
}
