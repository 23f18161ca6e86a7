//! A raster of class codes.

use std::path::Path;

use ndarray::Array2;
use surco_core::Georef;
use surco_raster::cog::{CogFile, SampleKind};

use super::{LabelError, PointLabel};

/// Codes of classes on a grid, 0 = none.
#[derive(Debug)]
pub(super) struct Codes {
    codes: Array2<u16>,
    georef: Georef,
}

impl Codes {
    /// Reads a raster; one without a place or without any code is refused.
    pub(super) fn open(path: &Path) -> Result<Self, LabelError> {
        let refuse = LabelError::of_raster(path);
        let file = CogFile::open(path).map_err(&refuse)?;
        let header = file.header();
        let window = header.window();
        let codes = match header.sample {
            SampleKind::U8 => file.read_u8(window).map(|codes| codes.mapv(u16::from)),
            SampleKind::U16 | SampleKind::I16 | SampleKind::F32 => file.read_u16(window),
        };
        let codes = codes.map_err(&refuse)?.index_axis_move(ndarray::Axis(0), 0);
        if codes.iter().all(|&code| code == 0) {
            return Err(LabelError::EmptyRaster { path: path.into() });
        }
        let georef = header.georef.ok_or_else(|| LabelError::NoGeoref { path: path.into() })?;
        Ok(Self { codes, georef })
    }

    /// Number of pixels with a code.
    pub(super) fn count(&self) -> usize {
        self.codes.iter().filter(|&&code| code > 0).count()
    }

    /// The labelled pixels of a grid; the number of a feature is that of the pixel in the raster.
    pub(super) fn on(
        &self,
        path: &Path,
        grid: &Georef,
        size: (usize, usize),
    ) -> Result<Vec<PointLabel>, LabelError> {
        if self.georef.epsg != grid.epsg {
            let (path, labels, pixels) = (path.into(), self.georef.epsg, grid.epsg);
            return Err(LabelError::OtherSystem { path, labels, pixels });
        }
        let mut points = Vec::new();
        for row in 0..size.0 {
            for col in 0..size.1 {
                let (x, y) = grid.centre(row, col);
                let Some(at) = inside(&self.georef, self.codes.dim(), (x, y)) else { continue };
                let code = self.codes[at];
                if code > 0 {
                    let feature = at.0 * self.codes.ncols() + at.1;
                    points.push(PointLabel { row, col, class: code.to_string(), feature });
                }
            }
        }
        Ok(points)
    }

    /// Number of labelled pixels whose centres lie on none of these grids.
    pub(super) fn outside(&self, grids: &[(Georef, (usize, usize))]) -> usize {
        let labelled = self.codes.indexed_iter().filter(|(_, code)| **code > 0);
        let is_outside = |((row, col), _): &((usize, usize), &u16)| {
            let centre = self.georef.centre(*row, *col);
            let same = grids.iter().filter(|(grid, _)| grid.epsg == self.georef.epsg);
            !same.into_iter().any(|(grid, size)| inside(grid, *size, centre).is_some())
        };
        labelled.filter(is_outside).count()
    }
}

/// Row and column of a place on a grid, if it lies there.
fn inside(grid: &Georef, size: (usize, usize), (x, y): (f64, f64)) -> Option<(usize, usize)> {
    let (row, col) = grid.row_col(x, y);
    let holds = row >= 0.0 && col >= 0.0 && row < size.0 as f64 && col < size.1 as f64;
    holds.then_some((row as usize, col as usize))
}
