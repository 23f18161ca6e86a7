//! Pixels that testify about a scene's offset.
//!
//! They come from the coarsest overviews, so that a scene is judged once and alike in all its cells; a
//! product without overviews is one cell or little more and testifies with the pixels of the cell.

use std::sync::Arc;

use ndarray::Array2;

use crate::fetch::FetchError;
use crate::offset::is_witness;
use crate::opened::{Opened, REREADS};
use crate::piece::Piece;
use crate::scene::{Layer, Scene};

/// Places in `S2_BANDS` of bands that are asked: B02 and B04 over vegetation, B11 over water.
const ASKED: [usize; 3] = [0, 2, 8];
/// Larger overviews are not worth their bytes.
const MOST_BLOCKS: usize = 8;

/// Whether a band (its place in `S2_BANDS`) is asked.
pub(crate) fn is_asked(band: usize) -> bool {
    ASKED.contains(&band)
}

/// The layers of a scene that testify: asset and its layer, the scene classification first.
pub(crate) fn layers(scene: &Scene, bands: &[usize]) -> Vec<(usize, Layer, usize)> {
    let mut found = Vec::new();
    for (a, asset) in scene.assets.iter().enumerate() {
        for &(layer, band) in &asset.layers {
            let asked = match layer {
                Layer::Scl => true,
                Layer::Band(axis) => is_asked(bands[axis]),
            };
            if asked {
                found.push((a, layer, band));
            }
        }
    }
    found.sort_by_key(|f| (f.1 != Layer::Scl, f.1));
    found
}

/// Whether a file has an overview that is worth asking.
pub(crate) fn has_overview(opened: &Opened) -> bool {
    opened.header.overviews.last().is_some_and(|o| {
        let (across, down) = o.block_grid();
        across * down <= MOST_BLOCKS
    })
}

/// One band of the coarsest overview; nothing if it cannot be read.
pub(crate) async fn overview(
    opened: &Arc<Opened>,
    band: usize,
) -> Result<Option<Array2<u16>>, FetchError> {
    let Some(header) = opened.header.overviews.last() else { return Ok(None) };
    let mut plane = Array2::zeros((header.height, header.width));
    for block in header.blocks_for(band, header.window()) {
        let range = header.byte_range(block).unwrap_or(0..0);
        if range.end > opened.total {
            return Ok(None);
        }
        let mut piece = None;
        for _ in 0..REREADS {
            let fetched = match opened.reader.read(range.clone()).await {
                Ok(fetched) => fetched,
                Err(FetchError::Gone(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            piece = Piece::decode(header, block, &fetched.bytes).ok();
            if piece.is_some() {
                break;
            }
        }
        let Some(piece) = piece else { return Ok(None) };
        let w = piece.window;
        let mut part = plane.slice_mut(ndarray::s![w.row..w.row + w.rows, w.col..w.col + w.cols]);
        for (row, mut line) in part.outer_iter_mut().enumerate() {
            for (col, to) in line.iter_mut().enumerate() {
                *to = piece.at(band, w.row + row, w.col + col);
            }
        }
    }
    Ok(Some(plane))
}

/// Witnesses among one band's overview, seen beside the classification's, whatever their sizes.
pub(crate) fn of_overview(scl: &Array2<u16>, plane: &Array2<u16>, band: usize) -> Vec<u16> {
    let (rows, cols) = plane.dim();
    let (scl_rows, scl_cols) = scl.dim();
    let mut found = Vec::new();
    for ((row, col), &dn) in plane.indexed_iter() {
        let class = scl[(row * scl_rows / rows, col * scl_cols / cols)];
        if dn != 0 && is_witness(class as u8, band) {
            found.push(dn);
        }
    }
    found
}

/// Witnesses among the pixels of one band of one date of a cell.
pub(crate) fn of_cell(values: &Array2<u16>, scl: &Array2<u8>, band: usize) -> Vec<u16> {
    let pixels = values.iter().zip(scl);
    pixels.filter(|&(&dn, &class)| dn != 0 && is_witness(class, band)).map(|p| *p.0).collect()
}
