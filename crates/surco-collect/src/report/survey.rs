//! What a store holds, read from its manifests and run records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use surco_core::{CellId, OffsetVerdict, Progress};
use surco_raster::projection::Projection;
use surco_store::{Hole, OffsetRecord, SceneSlot, Store};

use super::{ReportError, RunRecord, read_runs};

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Survey {
    /// Its cells, by name.
    pub cells: Vec<CellRow>,
    /// Its tiles, by name.
    pub tiles: Vec<TileRow>,
    /// Everything that could not be read, by cell and date.
    pub hole_list: Vec<DatedHole>,
    /// How the scenes' offsets were judged.
    pub offsets: Vec<OffsetCount>,
    /// Dates of cells that are done.
    pub done: u64,
    /// Dates of cells that are planned and not done.
    pub missing: u64,
    /// What the runs did, the earliest first.
    pub runs: Vec<RunRecord>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellRow {
    /// Its name, for example `19HBA/r03c09`.
    pub cell: String,
    /// Its place in its tile.
    #[serde(skip)]
    pub id: CellId,
    /// Its corners, longitude and latitude.
    #[serde(skip)]
    pub corners: [[f64; 2]; 4],
    /// Dates that are done.
    pub dates: usize,
    /// Dates that are planned and not done.
    pub missing: usize,
    /// Day of the first date that is done.
    pub first: Option<String>,
    /// Day of the last date that is done.
    pub last: Option<String>,
    /// Holes on its dates.
    pub holes: usize,
    /// Pixels missing in them, over all the bands.
    pub hole_pixels: u64,
}

/// One tile, month by month.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TileRow {
    /// Its name.
    pub tile: String,
    /// Cells of it in the store.
    pub cells: usize,
    /// Months, as `2023-05`.
    pub months: BTreeMap<String, MonthCount>,
}

/// Acquisitions of one tile in one month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MonthCount {
    /// Planned ones.
    pub planned: usize,
    /// Those done in every cell that plans them, holes or not.
    pub done: usize,
    /// Those of the done ones with a hole in some cell.
    pub with_holes: usize,
}

/// A hole, where and when it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DatedHole {
    /// Its cell.
    pub cell: String,
    /// Day of its scene.
    pub day: String,
    /// Item id of its scene.
    pub scene: String,
    /// What is missing.
    #[serde(flatten)]
    pub hole: Hole,
}

/// Scenes whose offset was judged the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OffsetCount {
    /// `subtracted`, `absent`, `undecided`, `differing` between cells, or `unread`.
    pub verdict: &'static str,
    /// The rule that gave the expectation.
    pub rule: String,
    /// Number of scenes.
    pub scenes: usize,
    /// Those of them whose catalog contradicts itself.
    pub fields_disagree: usize,
}

impl Survey {
    /// Share of the planned dates of cells that are done; all of nothing.
    #[must_use]
    pub fn share_done(&self) -> f64 {
        share(self.done, self.done + self.missing)
    }
}

impl CellRow {
    /// Share of the planned dates that are done.
    #[must_use]
    pub fn share_done(&self) -> f64 {
        share(self.dates as u64, (self.dates + self.missing) as u64)
    }
}

impl TileRow {
    /// Its months as one.
    #[must_use]
    pub fn total(&self) -> MonthCount {
        self.months.values().fold(MonthCount::default(), |sum, month| MonthCount {
            planned: sum.planned + month.planned,
            done: sum.done + month.done,
            with_holes: sum.with_holes + month.with_holes,
        })
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// What one cell says.
struct CellFound {
    row: CellRow,
    /// Its planned scenes, and whether each is done and has holes.
    scenes: Vec<(SceneSlot, bool, bool)>,
    holes: Vec<DatedHole>,
    offsets: Vec<(String, Option<OffsetRecord>)>,
}

/// Reads what a store holds: manifests and run records, no pixels.
///
/// # Errors
/// [`ReportError`] if metadata or records are damaged, or on a stop.
pub fn survey(store: &Store, progress: &dyn Progress) -> Result<Survey, ReportError> {
    let cells = store.cells()?;
    let (done, total) = (AtomicU64::new(0), cells.len() as u64);
    let found: Vec<CellFound> = cells
        .par_iter()
        .map(|cell| {
            if progress.stopped() {
                return Err(surco_store::StoreError::Stopped.into());
            }
            let found = read_cell(store, cell)?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.report("report", done, total, &cell.to_string());
            Ok(found)
        })
        .collect::<Result<_, ReportError>>()?;
    let mut holes: Vec<DatedHole> = found.iter().flat_map(|cell| cell.holes.clone()).collect();
    holes.sort();
    Ok(Survey {
        tiles: tiles_of(&found),
        hole_list: holes,
        offsets: offsets_of(&found),
        done: found.iter().map(|cell| cell.row.dates as u64).sum(),
        missing: found.iter().map(|cell| cell.row.missing as u64).sum(),
        // Runs are recorded beside stores on disk only.
        runs: read_runs(store.destination().path())?,
        cells: found.into_iter().map(|cell| cell.row).collect(),
    })
}

/// The day, or the month by seven letters, of a time in seconds since 1970.
fn day(time_s: i64) -> String {
    jiff::Timestamp::from_second(time_s)
        .map_or_else(|_| "-".into(), |t| t.strftime("%Y-%m-%d").to_string())
}

fn read_cell(store: &Store, cell: &CellId) -> Result<CellFound, ReportError> {
    let reader = store.unfinished_cell(cell)?;
    let g = reader.georef;
    let projection = Projection::from_epsg(g.epsg)?;
    let (width, height) = (reader.cols as f64 * g.px_m, reader.rows as f64 * g.px_m);
    let corner = |right: f64, down: f64| {
        let (lon, lat) = projection.to_lonlat(g.x0_m + right * width, g.y0_m - down * height)?;
        Ok::<_, ReportError>([lon, lat])
    };
    let corners = [corner(0.0, 0.0)?, corner(1.0, 0.0)?, corner(1.0, 1.0)?, corner(0.0, 1.0)?];
    let (mut holes, mut offsets, mut state) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (&time_s, scene) in reader.times.iter().zip(&reader.scenes) {
        state.insert(scene.id.as_str(), !scene.holes.is_empty());
        offsets.push((scene.id.clone(), scene.offset.clone()));
        holes.extend(scene.holes.iter().map(|hole| DatedHole {
            cell: cell.to_string(),
            day: day(time_s),
            scene: scene.id.clone(),
            hole: hole.clone(),
        }));
    }
    let scenes = store.planned(cell)?.into_iter().map(|slot| {
        let found = state.get(slot.id.as_str()).copied();
        (slot, found.is_some(), found == Some(true))
    });
    let row = CellRow {
        cell: cell.to_string(),
        id: cell.clone(),
        corners,
        dates: reader.times.len(),
        missing: reader.missing,
        first: reader.times.first().map(|&t| day(t)),
        last: reader.times.last().map(|&t| day(t)),
        holes: holes.len(),
        hole_pixels: holes.iter().map(|hole| hole.hole.pixels).sum(),
    };
    Ok(CellFound { row, scenes: scenes.collect(), holes, offsets })
}

fn tiles_of(found: &[CellFound]) -> Vec<TileRow> {
    /// By key: its time, whether all cells have it, whether one of them has holes in it.
    type Scenes<'f> = BTreeMap<&'f str, (i64, bool, bool)>;
    let mut tiles: BTreeMap<&str, (usize, Scenes<'_>)> = BTreeMap::new();
    for cell in found {
        let (cells, scenes) = tiles.entry(&cell.row.id.tile).or_default();
        *cells += 1;
        for (slot, done, holes) in &cell.scenes {
            let of_tile = scenes.entry(&slot.key).or_insert((slot.time_s, true, false));
            of_tile.1 &= done;
            of_tile.2 |= holes;
        }
    }
    let row = |(tile, (cells, scenes)): (&str, (usize, Scenes<'_>))| {
        let mut months: BTreeMap<String, MonthCount> = BTreeMap::new();
        for (time_s, done, holes) in scenes.into_values() {
            let month = months.entry(day(time_s).chars().take(7).collect()).or_default();
            month.planned += 1;
            month.done += usize::from(done);
            month.with_holes += usize::from(done && holes);
        }
        TileRow { tile: tile.into(), cells, months }
    };
    tiles.into_iter().map(row).collect()
}

fn offsets_of(found: &[CellFound]) -> Vec<OffsetCount> {
    /// The rule, the verdicts of the cells, and whether the catalog contradicts itself.
    type Judged<'f> = (&'f str, BTreeSet<&'static str>, bool);
    let mut scenes: BTreeMap<&str, Judged<'_>> = BTreeMap::new();
    for (id, offset) in found.iter().flat_map(|cell| &cell.offsets) {
        let scene = scenes.entry(id).or_default();
        let verdict = match offset.as_ref().map(|o| o.verdict) {
            Some(Some(OffsetVerdict::Subtracted)) => "subtracted",
            Some(Some(OffsetVerdict::Absent)) => "absent",
            Some(None) => "undecided",
            None => "unread",
        };
        scene.1.insert(verdict);
        if let Some(offset) = offset {
            scene.0 = &offset.rule;
            scene.2 |= offset.fields_disagree;
        }
    }
    let mut counts: BTreeMap<(&'static str, &str), (usize, usize)> = BTreeMap::new();
    for (rule, verdicts, disagree) in scenes.into_values() {
        let one = verdicts.first().copied().filter(|_| verdicts.len() == 1);
        let count = counts.entry((one.unwrap_or("differing"), rule)).or_default();
        count.0 += 1;
        count.1 += usize::from(disagree);
    }
    let row =
        |((verdict, rule), (scenes, fields_disagree)): ((&'static str, &str), (usize, usize))| {
            OffsetCount { verdict, rule: rule.into(), scenes, fields_disagree }
        };
    counts.into_iter().map(row).collect()
}
