//! One shard of a sensor on a grid of its own: from its files to planes of the cell's grid.
//!
//! Each block that the cell needs is fetched once, at full resolution, and laid into a window of the
//! source; the window is resampled as a whole, so that no seam of blocks or files shows. Samples are
//! resampled as they are (power, not decibels) and only then become the numbers of the store.

mod blocks;
mod sheet;

use std::collections::VecDeque;

use ndarray::{Array2, Array3, Array4, Axis, s};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use surco_core::{Quality, Raster, Resampling, Window};
use surco_raster::warp::PixelGrid;
use surco_store::{Hole, SceneRecord, ShardPixels, Store, Written};

use crate::CollectError;
use crate::fetching::Fetching;
use crate::plan::{CellPlan, Plan};
use crate::scene::{Layer, Scene};
use crate::shard::{Work, record};
use blocks::{Asked, Wanted};
use sheet::{Sheet, sheets};

/// Of the form of what is hashed; raised when pixels of the same inputs change.
const INPUTS_VERSION: u32 = 1;
/// Dates whose blocks are on their way while one is resampled.
const AHEAD: usize = 2;

/// Collects and writes one shard.
pub(crate) fn collect(
    fetching: &Fetching<'_>,
    store: &Store,
    work: &Work,
) -> Result<(Vec<SceneRecord>, Written), CollectError> {
    let plan = fetching.plan;
    let cell = &plan.cells[work.cell];
    let raster = raster_of(plan)?;
    fetching.open(&work.dates)?;

    let (dates, rows, cols) = (work.dates.len(), cell.spec.rows, cell.spec.cols);
    let mut values = Array4::zeros((dates, plan.bands.len(), rows, cols));
    let mut quality = Array3::zeros((dates, rows, cols));
    let mut records = Vec::new();
    let mut asked: VecDeque<(Vec<Sheet>, Asked)> = VecDeque::new();
    for date in 0..dates {
        for next in date + asked.len()..(date + 1 + AHEAD).min(dates) {
            let scene = work.dates[next].scene;
            let sheets = sheets(cell, &plan.scenes[scene])?;
            let wanted = blocks::wanted(fetching, scene, &sheets);
            asked.push_back((sheets, blocks::ask(fetching, scene, wanted)));
        }
        let Some((sheets, on_their_way)) = asked.pop_front() else { break };
        let scene = &plan.scenes[work.dates[date].scene];
        let laying = Laying { fetching, raster, cell, scene, sheets: &sheets };
        let holes = laying.lay(
            on_their_way,
            values.index_axis_mut(Axis(0), date),
            quality.index_axis_mut(Axis(0), date),
        )?;
        records.push(record(plan, cell, scene, None, holes));
    }
    let slots: Vec<usize> = work.dates.iter().map(|d| d.slot).collect();
    let pixels = ShardPixels {
        slots: &slots,
        reflectance: values.view(),
        scl: quality.view(),
        scenes: &records,
    };
    let written = store.write_shard(&cell.id, work.shard, &pixels)?;
    Ok((records, written))
}

fn raster_of(plan: &Plan) -> Result<&Raster, CollectError> {
    plan.sensor.raster().ok_or_else(|| CollectError::Request {
        what: "sensor",
        found: format!("{}, a table", plan.sensor.id),
        expected: "one that gives images",
    })
}

/// Hash of everything that decides a scene's pixels in a cell, and of nothing that only says where the
/// bytes lie.
pub(crate) fn inputs_hash(plan: &Plan, cell: &CellPlan, scene: &Scene) -> String {
    let assets: Vec<_> = scene.assets.iter().map(|a| (&a.key, &a.checksum, &a.own)).collect();
    let inputs = format!(
        "warped {INPUTS_VERSION} {:?} {:?} {:?} {assets:?} {:?} {:?} {:?} {} {}",
        scene.id,
        scene.collection,
        scene.catalog,
        plan.sensor.raster(),
        plan.bands,
        cell.spec.georef,
        cell.spec.rows,
        cell.spec.cols,
    );
    Sha256::digest(inputs.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One date in the making.
struct Laying<'a> {
    fetching: &'a Fetching<'a>,
    raster: &'a Raster,
    cell: &'a CellPlan,
    scene: &'a Scene,
    sheets: &'a [Sheet],
}

impl Laying<'_> {
    /// Lays what comes into the planes of a date; gives what is missing.
    fn lay(
        &self,
        asked: Asked,
        mut values: ndarray::ArrayViewMut3<'_, u16>,
        mut quality: ndarray::ArrayViewMut2<'_, u8>,
    ) -> Result<Vec<Hole>, CollectError> {
        let blocks::Came { pieces, missing } = asked.collect(self.fetching, self.scene)?;
        let holes = missing.into_iter().map(|(wanted, reason)| self.hole(&wanted, reason));
        let holes: Vec<Hole> = holes.filter(|hole| hole.pixels > 0).collect();
        for (number, sheet) in self.sheets.iter().enumerate() {
            let Some(window) = sheet.window else { continue };
            let layers: Vec<Layer> = sheet.layers(self.scene);
            let planes: Vec<(Layer, Array2<f32>)> = layers
                .into_par_iter()
                .map(|layer| {
                    let mut source = Array2::from_elem((window.rows, window.cols), f32::NAN);
                    for (wanted, piece) in pieces.iter().filter(|(w, _)| w.sheet == number) {
                        let asset = &self.scene.assets[wanted.asset];
                        let band = asset.layers.iter().find(|l| l.0 == layer).map(|l| l.1);
                        let Some(band) = band.filter(|b| piece.bands().contains(b)) else {
                            continue;
                        };
                        let part = &sheet.parts[wanted.part];
                        self.paste(&mut source, &window, layer, (band, piece), part);
                    }
                    let origin = (window.row, window.col);
                    let plane = match (layer, self.raster.resampling) {
                        (Layer::Scl, _) | (_, Resampling::Nearest) => {
                            sheet.warp.nearest(source.view(), origin)
                        }
                        (Layer::Band(_), Resampling::Bilinear) => {
                            sheet.warp.bilinear(source.view(), origin)
                        }
                    };
                    (layer, plane)
                })
                .collect();
            for (layer, plane) in planes {
                match (layer, &self.raster.quality) {
                    (Layer::Band(axis), _) => {
                        let to = values.index_axis_mut(Axis(0), axis);
                        self.keep_values(&plane, to);
                    }
                    (Layer::Scl, Some(rule)) => keep_quality(rule, &plane, &mut quality),
                    (Layer::Scl, None) => {}
                }
            }
        }
        Ok(holes)
    }

    /// Lays one band of a piece into the window of its sheet.
    fn paste(
        &self,
        source: &mut Array2<f32>,
        window: &Window,
        layer: Layer,
        (band, piece): (usize, &blocks::Piece),
        part: &sheet::Part,
    ) {
        let lies = Window {
            row: piece.window.row + part.row,
            col: piece.window.col + part.col,
            ..piece.window
        };
        let Some(common) = lies.intersect(window) else { return };
        let within = |outer: &Window| {
            let (row, col) = (common.row - outer.row, common.col - outer.col);
            (row..row + common.rows, col..col + common.cols)
        };
        let (rows, cols) = within(&lies);
        let from = piece.samples.slice(s![band - piece.band, rows, cols]);
        let (rows, cols) = within(window);
        let nodata = piece.nodata;
        let holds = |sample: f32| {
            let wide = f64::from(sample);
            let stated = nodata.is_some_and(|n| n == wide);
            !stated && (layer == Layer::Scl || self.raster.holds(wide))
        };
        source
            .slice_mut(s![rows, cols])
            .zip_mut_with(&from, |to, &sample| *to = if holds(sample) { sample } else { f32::NAN });
    }

    /// Keeps values where no other file gave one.
    fn keep_values(&self, plane: &Array2<f32>, mut to: ndarray::ArrayViewMut2<'_, u16>) {
        let (transfer, stored) = (&self.raster.transfer, &self.raster.stored);
        ndarray::Zip::from(&mut to).and(plane).for_each(|to, &sample| {
            if *to == 0 && !sample.is_nan() {
                *to = stored.number(transfer.value(f64::from(sample)));
            }
        });
    }

    /// What a block that did not come means for the cell.
    fn hole(&self, wanted: &Wanted, reason: String) -> Hole {
        let asset = &self.scene.assets[wanted.asset];
        let sheet = &self.sheets[wanted.sheet];
        let part = &sheet.parts[wanted.part];
        let layers = asset.layers.iter().filter(|l| wanted.bands.contains(&l.1));
        let names = &self.cell.spec.bands;
        let bands: Vec<String> = layers
            .map(|l| match (l.0, &self.raster.quality) {
                (Layer::Band(axis), _) => names[axis].clone(),
                (Layer::Scl, Some(quality)) => quality.name.clone(),
                (Layer::Scl, None) => String::new(),
            })
            .collect();
        let lies = Window {
            row: wanted.window.row + part.row,
            col: wanted.window.col + part.col,
            ..wanted.window
        };
        Hole {
            asset: Some(asset.key.clone()),
            block: wanted.place,
            reason,
            pixels: (sheet.warp.count_in(&lies) * bands.len()) as u64,
            bands,
        }
    }
}

fn keep_quality(rule: &Quality, plane: &Array2<f32>, to: &mut ndarray::ArrayViewMut2<'_, u8>) {
    ndarray::Zip::from(to).and(plane).for_each(|to, &sample| {
        // NaN and what is no whole number of 16 bits become 0 and the ends.
        if *to == 0 && !sample.is_nan() {
            *to = rule.byte(sample as u16);
        }
    });
}

/// The cell's own grid.
fn target_of(cell: &CellPlan) -> (PixelGrid, (usize, usize)) {
    (cell.spec.georef.into(), (cell.spec.rows, cell.spec.cols))
}
