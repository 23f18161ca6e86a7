//! One shard: from its dates to the store.

use std::collections::HashMap;

use ndarray::{Array3, Array4, Axis};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use surco_core::{OffsetRule, OffsetVerdict, harmonise};
use surco_store::{Hole, OffsetRecord, SceneRecord, ShardPixels, Store, Written};
use tokio::task::JoinSet;

use crate::CollectError;
use crate::catalog::network;
use crate::fetching::{Date, Fetching};
use crate::offset::{expect, judge};
use crate::plan::{CellPlan, Plan};
use crate::planes::Planes;
use crate::scene::{Layer, Scene};
use crate::{warped, witness};

/// Of the form of what is hashed; raised when pixels of the same inputs change.
const INPUTS_VERSION: u32 = 1;

/// Dates of one shard of one cell.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Place in the plan's cells.
    pub(crate) cell: usize,
    pub(crate) shard: usize,
    /// Dates to collect, by their place in the shard.
    pub(crate) dates: Vec<Date>,
}

/// Verdicts about scenes that were judged by their overviews.
pub(crate) type Judged = HashMap<usize, OffsetRecord>;

/// Collects and writes one shard.
pub(crate) fn collect(
    fetching: &Fetching<'_>,
    judged: &mut Judged,
    store: &Store,
    work: &Work,
) -> Result<(Vec<SceneRecord>, Written), CollectError> {
    let plan = fetching.plan;
    if plan.sensor.is_warped() {
        return warped::collect(fetching, store, work);
    }
    let cell = &plan.cells[work.cell];
    fetching.open(&work.dates)?;
    let rule = plan.sensor.raster().map(|raster| raster.offset_rule);
    let judges = rule == Some(OffsetRule::Sentinel2Baseline);
    if judges {
        ask_overviews(fetching, judged, &work.dates)?;
    }

    let (rows, cols) = (cell.window.rows, cell.window.cols);
    let dates = work.dates.len();
    let mut reflectance = Array4::zeros((dates, plan.bands.len(), rows, cols));
    let mut scl = Array3::zeros((dates, rows, cols));
    let holes = {
        let planes = Planes::new(&mut reflectance, &mut scl);
        fetching.lay(work.cell, &work.dates, &planes)?
    };

    let mut records = Vec::new();
    for (i, date) in work.dates.iter().enumerate() {
        let scene = &plan.scenes[date.scene];
        let mut missing: Vec<Hole> =
            holes.iter().filter(|(at, _)| *at == i).map(|(_, hole)| hole.clone()).collect();
        if !judges {
            records.push(record(plan, cell, scene, None, missing));
            continue;
        }
        let offset = judged.get(&date.scene).cloned().unwrap_or_else(|| {
            let found = witness::of_cell(&reflectance.view(), &scl.view(), i, &plan.bands);
            judge(expect(scene), &found)
        });
        match offset.verdict {
            Some(OffsetVerdict::Subtracted) => {
                let mut date = reflectance.index_axis_mut(Axis(0), i);
                date.outer_iter_mut().par_bridge().for_each(|mut plane| {
                    plane.mapv_inplace(|dn| harmonise(dn, OffsetVerdict::Subtracted));
                });
            }
            Some(OffsetVerdict::Absent) => {}
            None => {
                reflectance.index_axis_mut(Axis(0), i).fill(0);
                scl.index_axis_mut(Axis(0), i).fill(0);
                missing = vec![Hole {
                    asset: None,
                    bands: cell.spec.bands.clone(),
                    block: None,
                    reason: "offset_contradiction".into(),
                    pixels: (rows * cols * plan.bands.len()) as u64,
                }];
            }
        }
        records.push(record(plan, cell, scene, Some(offset), missing));
    }
    let slots: Vec<usize> = work.dates.iter().map(|d| d.slot).collect();
    let pixels = ShardPixels {
        slots: &slots,
        reflectance: reflectance.view(),
        scl: scl.view(),
        scenes: &records,
    };
    let written = store.write_shard(&cell.id, work.shard, &pixels)?;
    Ok((records, written))
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
    }
}

/// Judges scenes by their coarsest overviews, each once in a run.
fn ask_overviews(
    fetching: &Fetching<'_>,
    judged: &mut Judged,
    dates: &[Date],
) -> Result<(), CollectError> {
    let plan = fetching.plan;
    let mut tasks = JoinSet::new();
    for date in dates.iter().filter(|d| !judged.contains_key(&d.scene)) {
        let layers = witness::layers(&plan.scenes[date.scene], &plan.bands);
        let opened: Option<Vec<_>> = layers
            .iter()
            .map(|l| {
                let known = fetching.header(date.scene, l.0)?.ok()?;
                witness::has_overview(&known).then_some((l.0, l.1, l.2, known))
            })
            .collect();
        let Some(opened) = opened else { continue };
        let (scene, slots) = (date.scene, fetching.slots.clone());
        let task = async move {
            let _permit = slots.acquire_owned().await;
            let mut planes = Vec::new();
            for (asset, layer, band, opened) in opened {
                match witness::overview(&opened, band).await {
                    Ok(plane) => planes.push((layer, plane)),
                    Err(error) => return (scene, Err((asset, error))),
                }
            }
            (scene, Ok(planes))
        };
        tasks.spawn_on(task, fetching.runtime.handle());
    }
    fetching.join(tasks, |(scene, planes)| {
        let planes = planes
            .map_err(|(asset, error)| network(&plan.scenes[scene].assets[asset].href, &error))?;
        let mut witnesses = Vec::new();
        if let Some((Layer::Scl, Some(scl))) = planes.first() {
            for (layer, plane) in &planes[1..] {
                if let (Layer::Band(axis), Some(plane)) = (layer, plane) {
                    witnesses.extend(witness::of_overview(scl, plane, plan.bands[*axis]));
                }
            }
        }
        judged.insert(scene, judge(expect(&plan.scenes[scene]), &witnesses));
        Ok(())
    })
}

/// Hash of everything that decides a scene's pixels in a cell, and of nothing that only says where the
/// bytes lie: the same scene from another mirror or port is the same scene.
pub(crate) fn inputs_hash(plan: &Plan, cell: &CellPlan, scene: &Scene) -> String {
    if plan.sensor.is_warped() {
        return warped::inputs_hash(plan, cell, scene);
    }
    let assets: Vec<_> = scene.assets.iter().map(|a| (&a.key, &a.checksum, a.factor)).collect();
    let inputs = format!(
        "{INPUTS_VERSION} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {assets:?} {:?} {:?}",
        scene.id,
        scene.collection,
        scene.catalog,
        scene.baseline,
        scene.generation,
        scene.boa_offset_applied,
        scene.declared_offset,
        plan.bands,
        cell.window,
    );
    Sha256::digest(inputs.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
