//! One shard: from its dates to the store.

use std::collections::BTreeSet;
use std::sync::Mutex;

use ndarray::Array2;
use sha2::{Digest, Sha256};
use surco_core::{OffsetVerdict, Window, harmonise};
use surco_store::{Hole, OffsetRecord, Plane, SceneRecord, ShardBuffer, ShardPlanes};

use crate::CollectError;
use crate::blocks::{Came, Use, Want};
use crate::fetching::{Date, Fetching, lock};
use crate::offset::{expect, judge};
use crate::piece::Lie;
use crate::plan::{CellPlan, Plan};
use crate::prepare::{Ready, ReadyDate, wants_of};
use crate::scene::{Layer, Scene};
use crate::{warped, witness};

/// Of the form of what is hashed; raised when pixels of the same inputs change.
const INPUTS_VERSION: u32 = 2;

/// Dates of one shard of one cell.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Place in the plan's cells.
    pub(crate) cell: usize,
    pub(crate) shard: usize,
    /// Dates to collect, by their place in the shard.
    pub(crate) dates: Vec<Date>,
}

/// What one cell's dates are laid with.
struct Table<'a> {
    fetching: &'a Fetching<'a>,
    cell: &'a CellPlan,
    ready: &'a Ready,
    planes: &'a ShardPlanes<'a>,
    /// Files read from another catalog, by the place of their date.
    elsewhere: Mutex<BTreeSet<(usize, String)>>,
}

/// Lays the pixels of a shard into the buffer and says what is known of its dates.
pub(crate) fn lay(
    fetching: &Fetching<'_>,
    work: &Work,
    ready: &Ready,
    buffer: &mut ShardBuffer,
) -> Result<Vec<SceneRecord>, CollectError> {
    let plan = fetching.plan;
    let cell = &plan.cells[work.cell];
    buffer.begin(plan.bands.len(), cell.window.rows, cell.window.cols);
    let planes = buffer.planes();
    let table = Table { fetching, cell, ready, planes: &planes, elsewhere: Mutex::default() };
    ready.dates.iter().for_each(|date| table.lay_quality(date));
    let scenes = ready.dates.iter().map(|d| d.date.scene);
    let mut wants = wants_of(fetching, scenes, |layer| layer != Layer::Scl);
    wants.retain(|want| ready.dates[want.date].mask.any());
    let take = |came: &Came<'_>| table.take(came);
    let needs = |want: &Want, place: &Window| ready.dates[want.date].mask.meets(place);
    let holes = fetching.blocks(work.cell, &wants, &Use { take: &take, needs: &needs })?;
    let mut records = Vec::new();
    for (i, date) in ready.dates.iter().enumerate() {
        let mut missing = date.holes.clone();
        missing.extend(holes.iter().filter(|h| h.0 == i).map(|h| h.1.clone()));
        let offset = table.settle(date, &mut missing)?;
        let scene = &plan.scenes[date.date.scene];
        let mut record = record(plan, cell, scene, offset, missing);
        let elsewhere = lock(&table.elsewhere);
        record.elsewhere = elsewhere.iter().filter(|e| e.0 == i).map(|e| e.1.clone()).collect();
        records.push(record);
    }
    Ok(records)
}

impl Table<'_> {
    fn lay_quality(&self, date: &ReadyDate) {
        let mut plane = self.planes.quality(date.date.slot);
        for (piece, factor) in &date.quality {
            let band = piece.bands().start;
            let lie = Lie { cell: &self.cell.window, factor: *factor, band };
            piece.lay_classes(lie, &self.ready.kept, &mut plane);
        }
    }

    fn take(&self, came: &Came<'_>) -> Result<(), CollectError> {
        let Came { want, piece, source, factor } = *came;
        let date = &self.ready.dates[want.date];
        let judged = self.fetching.verdict(want.scene, source)?;
        // Not judged by overviews: laid as it is, and settled with the pixels of the cell.
        let verdict = judged.and_then(|j| j.verdict).unwrap_or(OffsetVerdict::Absent);
        for &(layer, band) in want.layers.iter().filter(|l| piece.bands().contains(&l.1)) {
            if let Layer::Band(axis) = layer {
                let lie = Lie { cell: &self.cell.window, factor, band };
                let mut plane = self.planes.values(date.date.slot, axis);
                piece.lay_values(lie, &date.mask, verdict, &mut plane);
            }
        }
        if source > 0 {
            let other = self.fetching.source(want.scene, source);
            let file = &self.fetching.plan.scenes[want.scene].assets[want.asset].key;
            let from = other.collection.as_deref().unwrap_or(&other.catalog);
            let text = format!("{file} from {from}, {}", other.id);
            lock(&self.elsewhere).insert((want.date, text));
        }
        Ok(())
    }

    /// The verdict about a date; without one its pixels are a hole.
    fn settle(
        &self,
        date: &ReadyDate,
        missing: &mut Vec<Hole>,
    ) -> Result<Option<OffsetRecord>, CollectError> {
        let plan = self.fetching.plan;
        let whole = Window { row: 0, col: 0, ..self.cell.window };
        if !date.mask.any() || !plan.judges_offsets() {
            return Ok(None);
        }
        let edit = |rule: &dyn Fn(u16) -> u16| {
            for axis in 0..plan.bands.len() {
                let mut plane = self.planes.values(date.date.slot, axis);
                plane.edit(whole, |_, _, row| row.iter_mut().for_each(|dn| *dn = rule(*dn)));
            }
        };
        let overviews = self.fetching.verdict(date.date.scene, 0)?;
        let record = match overviews {
            Some(record) => record,
            None => {
                let record = self.ask_cell(date);
                if record.verdict == Some(OffsetVerdict::Subtracted) {
                    edit(&|dn| harmonise(dn, OffsetVerdict::Subtracted));
                }
                record
            }
        };
        if record.verdict.is_none() {
            edit(&|_| 0);
            self.planes.quality(date.date.slot).edit(whole, |_, _, row| row.fill(0));
            *missing = vec![Hole {
                asset: None,
                bands: (0..plan.bands.len()).map(|a| plan.layer_name(Layer::Band(a))).collect(),
                block: None,
                reason: "offset_contradiction".into(),
                pixels: (whole.rows * whole.cols * plan.bands.len()) as u64,
            }];
        }
        Ok(Some(record))
    }

    /// Judges a scene without overviews by the pixels of this cell.
    fn ask_cell(&self, date: &ReadyDate) -> OffsetRecord {
        let plan = self.fetching.plan;
        let whole = Window { row: 0, col: 0, ..self.cell.window };
        let scl = dense(&mut self.planes.quality(date.date.slot), whole);
        let mut found = Vec::new();
        for (axis, &band) in plan.bands.iter().enumerate().filter(|b| witness::is_asked(*b.1)) {
            let values = dense(&mut self.planes.values(date.date.slot, axis), whole);
            found.extend(witness::of_cell(&values, &scl, band));
        }
        judge(expect(&plan.scenes[date.date.scene]), &found)
    }
}

fn dense<T: Copy + Default>(plane: &mut Plane<'_, T>, whole: Window) -> Array2<T> {
    let mut dense = Array2::default((whole.rows, whole.cols));
    plane.edit(whole, |row, col, pixels| {
        pixels.iter().enumerate().for_each(|(i, &pixel)| dense[(row, col + i)] = pixel);
    });
    dense
}

pub(crate) fn record(
    plan: &Plan,
    cell: &CellPlan,
    scene: &Scene,
    offset: Option<OffsetRecord>,
    holes: Vec<Hole>,
) -> SceneRecord {
    SceneRecord {
        id: scene.id.clone(),
        inputs: inputs_hash(plan, cell, scene),
        datetime: scene.datetime.clone(),
        platform: scene.platform.clone(),
        baseline: scene.baseline.clone(),
        catalog: scene.catalog.clone(),
        collection: scene.collection.clone(),
        offset,
        holes,
        elsewhere: Vec::new(),
    }
}

/// Hash of everything that decides a scene's pixels in a cell, and of nothing that only says where the
/// bytes lie: the same scene from another mirror or port is the same scene.
pub(crate) fn inputs_hash(plan: &Plan, cell: &CellPlan, scene: &Scene) -> String {
    if plan.sensor.is_warped() {
        return warped::inputs_hash(plan, cell, scene);
    }
    let assets: Vec<_> = scene.assets.iter().map(|a| (&a.key, &a.checksum, a.factor)).collect();
    let mut inputs = format!(
        "{INPUTS_VERSION} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {assets:?} {:?} {:?} {:?}",
        scene.id,
        scene.collection,
        scene.catalog,
        scene.baseline,
        scene.generation,
        scene.boa_offset_applied,
        scene.declared_offset,
        plan.bands,
        cell.window,
        plan.keep_clouds,
    );
    inputs.push_str(&cell.kept.key());
    if !plan.judges_offsets() {
        inputs.push_str(&format!("{:?}", plan.sensor.raster()));
    }
    Sha256::digest(inputs.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
