//! One shard of a sensor on a grid of its own: from its files to planes of the cell's grid.
//!
//! Each block that the cell needs is fetched once, at full resolution, and laid into a window of the
//! source; the window is resampled as a whole, so that no seam of blocks or files shows. Samples are
//! resampled as they are (power, not decibels) and only then become the numbers of the store.

mod blocks;
mod sheet;

use std::collections::{HashMap, VecDeque};

use ndarray::{Array2, Array3, Axis, s};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use surco_core::{Quality, Raster, Resampling, Window};
use surco_store::{Hole, SceneRecord, ShardBuffer};
use tokio::task::JoinSet;

use crate::CollectError;
use crate::fetching::{Fetching, Known};
use crate::plan::{CellPlan, Plan};
use crate::request::no_images;
use crate::scene::{Layer, Scene};
use crate::shard::{Work, record};
use blocks::{Asked, Wanted};
use sheet::{Sheet, sheets};

/// Of the form of what is hashed; raised when pixels of the same inputs change.
const INPUTS_VERSION: u32 = 1;
/// Dates whose blocks are on their way while one is resampled.
const AHEAD: usize = 2;

/// Headers by scene and asset, or why there are none.
type Heads = HashMap<(usize, usize), Known>;

/// Lays the pixels of a shard into the buffer and says what is known of its dates.
pub(crate) fn lay(
    fetching: &Fetching<'_>,
    work: &Work,
    buffer: &mut ShardBuffer,
) -> Result<Vec<SceneRecord>, CollectError> {
    let plan = fetching.plan;
    let cell = &plan.cells[work.cell];
    let raster = plan.sensor.raster().ok_or_else(|| no_images(&plan.sensor))?;
    let heads = heads(fetching, work)?;

    let (dates, rows, cols) = (work.dates.len(), cell.window.rows, cell.window.cols);
    buffer.begin(plan.bands.len(), rows, cols);
    let planes = buffer.planes();
    let mut values = Array3::zeros((plan.bands.len(), rows, cols));
    let mut quality = Array2::zeros((rows, cols));
    let mut records = Vec::new();
    let mut asked: VecDeque<(Vec<Sheet>, Asked)> = VecDeque::new();
    for (number, date) in work.dates.iter().enumerate() {
        for next in number + asked.len()..(number + 1 + AHEAD).min(dates) {
            let scene = work.dates[next].scene;
            let sheets = sheets(plan, cell, &plan.scenes[scene])?;
            let wanted = blocks::wanted(fetching, scene, &heads, &sheets);
            asked.push_back((sheets, blocks::ask(fetching, scene, wanted)));
        }
        let Some((sheets, on_their_way)) = asked.pop_front() else { break };
        let scene = &plan.scenes[date.scene];
        let laying = Laying { fetching, raster, scene, sheets: &sheets };
        values.fill(0);
        quality.fill(0);
        let holes = laying.lay(on_their_way, values.view_mut(), quality.view_mut())?;
        for (band, plane) in values.outer_iter().enumerate() {
            planes.values(date.slot, band).put(plane);
        }
        planes.quality(date.slot).put(quality.view());
        records.push(record(plan, cell, scene, None, holes));
    }
    Ok(records)
}

/// Reads the headers of a shard's files, those that are not known yet.
fn heads(fetching: &Fetching<'_>, work: &Work) -> Result<Heads, CollectError> {
    let mut tasks = JoinSet::new();
    for date in &work.dates {
        let scene = &fetching.plan.scenes[date.scene];
        for (number, asset) in scene.assets.iter().enumerate() {
            let (place, asset, grid) = ((date.scene, number), asset.clone(), scene.grid);
            let headers = fetching.headers.clone();
            let task = async move {
                let known = headers.known((place.0, 0, place.1), &asset, &grid).await;
                known.map(|known| (place, known))
            };
            tasks.spawn_on(task, fetching.runtime.handle());
        }
    }
    let mut heads = Heads::new();
    fetching.join(tasks, |known| {
        heads.extend([known?]);
        Ok(())
    })?;
    Ok(heads)
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
        plan.georef(cell),
        cell.window.rows,
        cell.window.cols,
    );
    Sha256::digest(inputs.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One date in the making.
struct Laying<'a> {
    fetching: &'a Fetching<'a>,
    raster: &'a Raster,
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
        let bands: Vec<String> = layers.map(|l| self.fetching.plan.layer_name(l.0)).collect();
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
