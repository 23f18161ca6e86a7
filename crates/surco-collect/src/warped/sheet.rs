//! Sheets: the files of a scene that share one lattice of pixels, as one source.

use surco_core::Window;
use surco_raster::warp::{PixelGrid, Warp};

use crate::CollectError;
use crate::plan::{CellPlan, Plan};
use crate::scene::{Layer, Scene, fault};

/// Files on one lattice, seen from their common corner.
pub(crate) struct Sheet {
    pub(crate) parts: Vec<Part>,
    pub(crate) warp: Warp,
    /// The pixels that the cell needs, if it meets the sheet.
    pub(crate) window: Option<Window>,
}

/// One file of a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Place in the scene's assets.
    pub(crate) asset: usize,
    /// Where in the sheet its first pixel lies.
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Sheet {
    /// The layers that its files hold, each once.
    pub(crate) fn layers(&self, scene: &Scene) -> Vec<Layer> {
        let mut layers: Vec<Layer> = self
            .parts
            .iter()
            .flat_map(|part| scene.assets[part.asset].layers.iter().map(|l| l.0))
            .collect();
        layers.sort_unstable();
        layers.dedup();
        layers
    }
}

/// The sheets of a scene, and where the pixels of a cell lie in each.
pub(crate) fn sheets(
    plan: &Plan,
    cell: &CellPlan,
    scene: &Scene,
) -> Result<Vec<Sheet>, CollectError> {
    let (target, shape) = (plan.georef(cell).into(), (cell.window.rows, cell.window.cols));
    let mut sheets = Vec::new();
    for (grid, parts) in lattices(scene) {
        let warp = Warp::new(&target, shape, &grid).map_err(|e| {
            fault(&scene.id, "its grid", e.to_string(), "correct the item or leave it out")
        })?;
        let rows = parts.iter().map(|p| p.row + p.rows).max().unwrap_or(0);
        let cols = parts.iter().map(|p| p.col + p.cols).max().unwrap_or(0);
        let window = warp.needs(rows, cols);
        sheets.push(Sheet { parts, warp, window });
    }
    Ok(sheets)
}

/// An asset, and rows and columns from a lattice's first known corner to its own.
type Member = (usize, i64, i64);

/// The assets by lattice, each with the lattice's upper left corner among them.
fn lattices(scene: &Scene) -> Vec<(PixelGrid, Vec<Part>)> {
    let mut groups: Vec<(PixelGrid, Vec<Member>)> = Vec::new();
    for (asset, own) in
        scene.assets.iter().enumerate().filter_map(|(i, a)| Some((i, a.own.as_ref()?)))
    {
        let found = groups
            .iter_mut()
            .find_map(|(grid, members)| grid.steps_to(&own.grid).map(|steps| (members, steps)));
        match found {
            Some((members, (row, col))) => members.push((asset, row, col)),
            None => groups.push((own.grid, vec![(asset, 0, 0)])),
        }
    }
    let whole = |(grid, members): (PixelGrid, Vec<Member>)| {
        let top = members.iter().map(|m| m.1).min().unwrap_or(0);
        let left = members.iter().map(|m| m.2).min().unwrap_or(0);
        let corner = PixelGrid {
            x0: grid.x0 + left as f64 * grid.dx,
            y0: grid.y0 - top as f64 * grid.dy,
            ..grid
        };
        let part = |(asset, row, col): Member| {
            let own = scene.assets[asset].own.as_ref()?;
            let (row, col) = ((row - top) as usize, (col - left) as usize);
            Some(Part { asset, row, col, rows: own.rows, cols: own.cols })
        };
        (corner, members.into_iter().filter_map(part).collect())
    };
    groups.into_iter().map(whole).collect()
}
