//! Pixels that testify about a scene's offset.
//!
//! They come from the coarsest overviews, so that a scene is judged once and alike in all its cells; a
//! product without overviews is one cell or little more and testifies with the pixels of the cell.

use ndarray::{ArrayView3, ArrayView4, Ix2};
use std::sync::Arc;

use crate::fetch::FetchError;
use crate::offset::is_witness;
use crate::opened::{Opened, REREADS};
use crate::planes::{Piece, Samples};
use crate::scene::{Layer, Scene};

/// Places in `S2_BANDS` of bands that are asked: B02 and B04 over vegetation, B11 over water.
const ASKED: [usize; 3] = [0, 2, 8];
/// Larger overviews are not worth their bytes.
const MOST_BLOCKS: usize = 8;

/// The layers of a scene that testify: asset and its layer, the scene classification first.
pub(crate) fn layers(scene: &Scene, bands: &[usize]) -> Vec<(usize, Layer, usize)> {
    let mut found = Vec::new();
    for (a, asset) in scene.assets.iter().enumerate() {
        for &(layer, band) in &asset.layers {
            let asked = match layer {
                Layer::Scl => true,
                Layer::Band(axis) => ASKED.contains(&bands[axis]),
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
) -> Result<Option<ndarray::Array2<u16>>, FetchError> {
    let Some(header) = opened.header.overviews.last() else { return Ok(None) };
    let mut plane = ndarray::Array2::zeros((header.height, header.width));
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
        let mut target = plane.slice_mut(ndarray::s![w.row..w.row + w.rows, w.col..w.col + w.cols]);
        let layer = band - piece.band;
        match &piece.samples {
            Samples::U8(s) => {
                let s = s.index_axis(ndarray::Axis(0), layer);
                target.zip_mut_with(&s, |to, &from| *to = u16::from(from));
            }
            Samples::U16(s) => target.assign(&s.index_axis(ndarray::Axis(0), layer)),
        }
    }
    Ok(Some(plane))
}

/// Witnesses among one band's overview, seen beside the classification's, whatever their sizes.
pub(crate) fn of_overview(
    scl: &ndarray::Array2<u16>,
    plane: &ndarray::Array2<u16>,
    band: usize,
) -> Vec<u16> {
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

/// Witnesses among the pixels of one date of a shard.
pub(crate) fn of_cell(
    reflectance: &ArrayView4<'_, u16>,
    scl: &ArrayView3<'_, u8>,
    date: usize,
    bands: &[usize],
) -> Vec<u16> {
    let mut found = Vec::new();
    let Ok(scl) = scl.index_axis(ndarray::Axis(0), date).into_dimensionality::<Ix2>() else {
        return found;
    };
    for (axis, &band) in bands.iter().enumerate().filter(|(_, b)| ASKED.contains(b)) {
        let plane = reflectance.slice(ndarray::s![date, axis, .., ..]);
        for (&dn, &class) in plane.iter().zip(&scl) {
            if dn != 0 && is_witness(class, band) {
                found.push(dn);
            }
        }
    }
    found
}
