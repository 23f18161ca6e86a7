//! What a shard needs to know before its first band: which pixels are wanted, and the scenes' offsets.
//!
//! The quality layer comes first. Blocks without a wanted pixel are never fetched, nor are the headers and
//! overviews of dates that show none.

use std::sync::Mutex;

use surco_core::Quality;
use surco_store::{Hole, OffsetRecord};
use tokio::task::JoinSet;

use crate::CollectError;
use crate::blocks::{Came, Use, Want};
use crate::catalog::network;
use crate::fetching::{Date, Fetching, lock};
use crate::mask::Mask;
use crate::offset::{expect, judge};
use crate::piece::{Lie, Piece};
use crate::scene::{Layer, Scene};
use crate::shard::Work;
use crate::witness;

/// Dates of a shard whose bands can be laid.
pub(crate) struct Ready {
    /// Pixels that the cell stores of any date.
    pub(crate) kept: Mask,
    pub(crate) dates: Vec<ReadyDate>,
}

/// One date of it.
pub(crate) struct ReadyDate {
    pub(crate) date: Date,
    /// Pixels whose bands are wanted.
    pub(crate) mask: Mask,
    /// Parts of the quality layer, and the side of their pixels in fine pixels.
    pub(crate) quality: Vec<(Piece, usize)>,
    /// What is missing of the quality layer.
    pub(crate) holes: Vec<Hole>,
}

/// Reads the quality layer of a shard and judges the offsets of the dates that show something.
pub(crate) fn prepare(fetching: &Fetching<'_>, work: &Work) -> Result<Ready, CollectError> {
    let cell = &fetching.plan.cells[work.cell];
    let kept = Mask::of(&cell.kept, cell.window.rows, cell.window.cols);
    let wants = wants_of(fetching, work.dates.iter().map(|d| d.scene), |l| l == Layer::Scl);
    let came: Vec<Mutex<Vec<(Piece, usize)>>> =
        work.dates.iter().map(|_| Mutex::default()).collect();
    let take = |came_here: &Came<'_>| {
        let window = crate::piece::asset_window(&cell.window, came_here.factor);
        let part = came_here.piece.cut(&window).map(|piece| (piece, came_here.factor));
        lock(&came[came_here.want.date]).extend(part);
        Ok(())
    };
    let needs = |_: &Want, place: &surco_core::Window| kept.meets(place);
    let holes = fetching.blocks(work.cell, &wants, &Use { take: &take, needs: &needs })?;
    let rule = fetching.plan.sensor.raster().and_then(|raster| raster.quality.as_ref());
    let mut dates = Vec::new();
    for (i, (date, quality)) in work.dates.iter().zip(came).enumerate() {
        let quality = quality.into_inner().unwrap_or_default();
        let mut missing: Vec<Hole> =
            holes.iter().filter(|h| h.0 == i).map(|h| h.1.clone()).collect();
        let mask = match rule {
            Some(rule) if !fetching.plan.keep_clouds => {
                missing.iter_mut().for_each(|hole| fetching.blind(hole));
                clear(&kept, &quality, rule, &cell.window)
            }
            _ => kept.clone(),
        };
        dates.push(ReadyDate { date: *date, mask, quality, holes: missing });
    }
    let clear: Vec<usize> = dates.iter().filter(|d| d.mask.any()).map(|d| d.date.scene).collect();
    fetching.ask_overviews(&clear)?;
    Ok(Ready { kept, dates })
}

/// The files that hold these layers of scenes.
pub(crate) fn wants_of(
    fetching: &Fetching<'_>,
    scenes: impl Iterator<Item = usize>,
    layer: impl Fn(Layer) -> bool,
) -> Vec<Want> {
    let mut wants = Vec::new();
    for (date, scene) in scenes.enumerate() {
        for (asset, file) in fetching.plan.scenes[scene].assets.iter().enumerate() {
            let layers: Vec<_> = file.layers.iter().filter(|l| layer(l.0)).copied().collect();
            if !layers.is_empty() {
                wants.push(Want { date, scene, asset, layers });
            }
        }
    }
    wants
}

/// The pixels that show the ground.
fn clear(
    kept: &Mask,
    quality: &[(Piece, usize)],
    rule: &Quality,
    cell: &surco_core::Window,
) -> Mask {
    let (rows, cols) = (cell.rows, cell.cols);
    let mut mask = Mask::none(rows, cols);
    for (piece, factor) in quality {
        let lie = Lie { cell, factor: *factor, band: piece.bands().start };
        piece.lay_mask(lie, |class| rule.is_clear(class), kept, &mut mask);
    }
    mask.look();
    mask
}

impl Fetching<'_> {
    /// Without its quality layer nothing of a date is wanted: its bands are missing too.
    fn blind(&self, hole: &mut Hole) {
        let bands = (0..self.plan.bands.len()).map(|axis| self.plan.layer_name(Layer::Band(axis)));
        let before = hole.bands.len().max(1) as u64;
        hole.bands.extend(bands);
        hole.pixels = hole.pixels / before * hole.bands.len() as u64;
    }

    /// Judges scenes by their coarsest overviews, each once in a run.
    fn ask_overviews(&self, scenes: &[usize]) -> Result<(), CollectError> {
        if !self.plan.judges_offsets() {
            return Ok(());
        }
        let mut tasks = JoinSet::new();
        for &scene in scenes.iter().filter(|&&s| !lock(&self.judged).contains_key(&(s, 0))) {
            let question = self.question(scene, 0);
            tasks.spawn_on(async move { (scene, question.await) }, self.runtime.handle());
        }
        self.join(tasks, |(scene, witnesses)| {
            self.record((scene, 0), witnesses?);
            Ok(())
        })
    }

    /// The verdict about one source of a scene; none if only the pixels of a cell can tell.
    pub(crate) fn verdict(
        &self,
        scene: usize,
        source: usize,
    ) -> Result<Option<OffsetRecord>, CollectError> {
        if !self.plan.judges_offsets() {
            return Ok(None);
        }
        if let Some(known) = lock(&self.judged).get(&(scene, source)) {
            return Ok(known.clone());
        }
        let witnesses = self.runtime.block_on(self.question(scene, source))?;
        self.record((scene, source), witnesses);
        Ok(lock(&self.judged).get(&(scene, source)).cloned().flatten())
    }

    fn record(&self, key: (usize, usize), witnesses: Option<Vec<u16>>) {
        let record = witnesses.map(|found| judge(expect(self.source(key.0, key.1)), &found));
        lock(&self.judged).insert(key, record);
    }

    /// What the overviews of a scene testify; nothing if it has none.
    fn question(
        &self,
        scene: usize,
        source: usize,
    ) -> impl Future<Output = Result<Option<Vec<u16>>, CollectError>> + Send + 'static {
        let Scene { grid, assets, .. } = self.source(scene, source);
        let (grid, headers) = (*grid, self.headers.clone());
        let bands = self.plan.bands.clone();
        let layers = witness::layers(self.source(scene, source), &bands);
        let asked: Vec<_> = layers.into_iter().map(|l| (l, assets[l.0].clone())).collect();
        async move {
            let mut opened = Vec::new();
            for ((number, layer, band), asset) in &asked {
                match headers.known((scene, source, *number), asset, &grid).await? {
                    Ok(known) if witness::has_overview(&known) => {
                        opened.push((*layer, *band, asset, known));
                    }
                    _ => return Ok(None),
                }
            }
            let mut planes = Vec::new();
            for (layer, band, asset, known) in opened {
                let plane = witness::overview(&known, band).await;
                planes.push((layer, plane.map_err(|e| network(&asset.href, &e))?));
            }
            let mut witnesses = Vec::new();
            if let Some((Layer::Scl, Some(scl))) = planes.first() {
                for (layer, plane) in &planes[1..] {
                    if let (Layer::Band(axis), Some(plane)) = (layer, plane) {
                        witnesses.extend(witness::of_overview(scl, plane, bands[*axis]));
                    }
                }
            }
            Ok(Some(witnesses))
        }
    }
}
