//! All shards of a plan, or every n-th: fetched, written, counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use surco_core::{OffsetVerdict, Progress};
use surco_store::{
    CollectionText, Destination, Hole, SHARD_DATES, SceneRecord, SceneSlot, ShardBuffer,
    ShardPixels, Store, Written,
};
use tokio::runtime::{Builder, Runtime};

use crate::fetch::Hub;
use crate::fetching::{Date, Fetching};
use crate::prepare::prepare;
use crate::shard::{Work, inputs_hash, lay};
use crate::{CollectError, Plan, warped};

/// How long to insist on a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts for each request.
    pub attempts: u32,
    /// Wait before the second attempt; doubled each time, at most a minute.
    pub first_wait: Duration,
    /// A connection that gives nothing for this long is given up.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 9, first_wait: Duration::from_millis(500), stall: Duration::from_secs(30) }
    }
}

/// How to run a plan; none of it changes what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// The store, made if it is not there.
    pub store: Destination,
    /// Which of `shard_count` parts of the plan to run, from 0.
    ///
    /// Four neighbouring cells share their 20 m blocks and stay together: parts are dealt out in such
    /// groups, a group's shard at a time.
    pub shard_index: usize,
    /// Number of parts.
    pub shard_count: usize,
    /// Requests at the same time.
    pub requests: usize,
    /// Patience with the service.
    pub patience: Patience,
    /// Collect dates with holes again.
    pub retry_holes: bool,
}

impl RunOptions {
    /// The whole plan into this store.
    #[must_use]
    pub fn into_store(store: impl Into<Destination>) -> Self {
        Self {
            store: store.into(),
            shard_index: 0,
            shard_count: 1,
            requests: 16,
            patience: Patience::default(),
            retry_holes: false,
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CollectSummary {
    /// Scenes that this run's shards hold.
    pub scenes: u64,
    /// Cells they lie in.
    pub cells: u64,
    /// Shards written.
    pub shards_done: u64,
    /// Shards that were done already.
    pub shards_skipped: u64,
    /// Blocks fetched and decoded.
    pub blocks: u64,
    /// Bytes read from the service or the disk, retries among them.
    pub bytes_fetched: u64,
    /// Bytes of the shards written.
    pub bytes_stored: u64,
    /// What could not be read, in shards written now or before.
    pub holes: Vec<ListedHole>,
    /// How the offsets of the scenes were judged.
    pub verdicts: Verdicts,
    /// Seconds it took.
    pub seconds: f64,
}

/// A hole and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ListedHole {
    /// Cell, for example `19HBA/r03c09`.
    pub cell: String,
    /// Item id of the scene.
    pub scene: String,
    /// What is missing.
    #[serde(flatten)]
    pub hole: Hole,
}

/// How many scenes were judged how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// Scenes whose +1000 was subtracted.
    pub subtracted: u64,
    /// Scenes without the offset.
    pub absent: u64,
    /// Scenes left out because catalog and pixels contradict each other.
    pub undecided: u64,
    /// Scenes that were judged differently in different cells: look at their manifests.
    pub differing: u64,
}

pub(crate) fn runtime() -> Result<Runtime, CollectError> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("surco-fetch")
        .enable_all()
        .build()
        .map_err(CollectError::Runtime)
}

/// Runs a plan: what is done is skipped, the rest is fetched and written, shard by shard.
///
/// Memory stays under 512 MB whatever the area: one shard of 1024² pixels × 12 dates × 10 bands is held
/// at a time.
///
/// # Errors
/// [`CollectError::Network`] if the service fails for good, [`CollectError::Store`] if the disk does,
/// [`CollectError::Stopped`] on a stop. Whatever happens, finished shards stay and the same call goes on.
pub fn run(
    plan: &Plan,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<CollectSummary, CollectError> {
    let started = Instant::now();
    if options.shard_index >= options.shard_count {
        return Err(CollectError::Request {
            what: "shard-index",
            found: format!("{} of {}", options.shard_index, options.shard_count),
            expected: "0 to shard-count − 1",
        });
    }
    let store = Store::create_or_open(&options.store)?;
    let selected = select(plan, options, &store, progress)?;
    let hub = Arc::new(Hub::new(options.patience)?);
    let runtime = runtime()?;
    let requests = options.requests.max(1);
    let fetching = Fetching::new(plan, &runtime, hub.clone(), requests, progress);

    let mut tally = Tally::default();
    let mut todo = Vec::new();
    let cells: BTreeSet<usize> = selected.iter().map(|work| work.cell).collect();
    for work in selected {
        let work = undone(plan, &store, options, work, &mut tally)?;
        if work.dates.is_empty() {
            tally.summary.shards_skipped += 1;
        } else {
            work.dates.iter().for_each(|date| fetching.expect(date.scene, work.cell));
            todo.push(work);
        }
    }
    let total = todo.len() as u64;
    let done = write_all(&fetching, &store, &todo, &mut tally);
    // Tasks that still wait for the network are dropped with the runtime.
    done?;
    describe(plan, &store, &cells)?;
    progress.report("collect", total, total, "");
    let mut summary = tally.finish();
    summary.blocks = fetching.blocks.load(Ordering::Relaxed);
    summary.bytes_fetched = hub.carried();
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// Describes the finished cells as STAC items, and the store as their collection.
fn describe(plan: &Plan, store: &Store, cells: &BTreeSet<usize>) -> Result<(), CollectError> {
    for &cell in cells {
        store.write_item(&plan.cells[cell].id, &plan.outline(cell)?)?;
    }
    store.write_collection(&CollectionText {
        id: "surco".into(),
        description: "Cubes of satellite images, collected with Surco".into(),
        license: "other".into(),
    })?;
    Ok(())
}

/// Fetches and writes shard after shard.
///
/// While one is laid and encoded, the quality layer of the next is read and the one before is synced.
fn write_all(
    fetching: &Fetching<'_>,
    store: &Store,
    todo: &[Work],
    tally: &mut Tally,
) -> Result<(), CollectError> {
    let total = todo.len() as u64;
    let mut buffer = ShardBuffer::default();
    std::thread::scope(|scope| {
        // What is warped has its quality with its bands.
        let warped = fetching.plan.sensor.is_warped();
        let prepared = |work| {
            scope.spawn(move || if warped { Ok(None) } else { prepare(fetching, work).map(Some) })
        };
        let mut next = todo.first().map(prepared);
        let mut syncing: Option<Syncing<'_>> = None;
        let mut run = || {
            for (number, work) in todo.iter().enumerate() {
                let cell = &fetching.plan.cells[work.cell].id;
                fetching.progress.report("collect", number as u64, total, &cell.to_string());
                let Some(ready) = next.take() else { break };
                let ready = joined(ready)?;
                next = todo.get(number + 1).map(prepared);
                let records = match &ready {
                    Some(ready) => lay(fetching, work, ready, &mut buffer)?,
                    None => warped::lay(fetching, work, &mut buffer)?,
                };
                drop(ready);
                work.dates.iter().for_each(|date| fetching.finish(date.scene, work.cell));
                let slots: Vec<usize> = work.dates.iter().map(|d| d.slot).collect();
                let pixels = ShardPixels { slots: &slots, buffer: &mut buffer, scenes: &records };
                let staged = store.stage_shard(cell, work.shard, pixels)?;
                if let Some(last) = syncing.take() {
                    last.end(tally)?;
                }
                let thread = scope.spawn(move || Ok(staged.commit()?));
                syncing = Some(Syncing { cell: cell.to_string(), records, thread });
            }
            syncing.take().map_or(Ok(()), |last| last.end(tally))
        };
        let done = run();
        // What was written is synced even if the next shard failed.
        let last = syncing.take().map_or(Ok(()), |last| last.end(tally));
        fetching.ending.store(true, Ordering::Relaxed);
        done.and(last)
    })
}

/// A shard that the disk is syncing.
struct Syncing<'s> {
    cell: String,
    records: Vec<SceneRecord>,
    thread: ScopedJoinHandle<'s, Result<Written, CollectError>>,
}

impl Syncing<'_> {
    fn end(self, tally: &mut Tally) -> Result<(), CollectError> {
        let written = joined(self.thread)?;
        tally.summary.shards_done += 1;
        tally.summary.bytes_stored += written.bytes;
        self.records.into_iter().for_each(|record| tally.add(&self.cell, record));
        Ok(())
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, CollectError>>) -> Result<T, CollectError> {
    thread.join().unwrap_or_else(|_| {
        Err(CollectError::Runtime(std::io::Error::other("a thread of the program fell")))
    })
}

/// The shards of this part of the plan, planned in the store, in the order in which neighbouring cells
/// follow each other.
fn select(
    plan: &Plan,
    options: &RunOptions,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Vec<Work>, CollectError> {
    let mut groups: BTreeMap<(&str, usize, usize), Vec<usize>> = BTreeMap::new();
    for (i, cell) in plan.cells.iter().enumerate() {
        let group = (cell.id.tile.as_str(), cell.id.row / 2, cell.id.col / 2);
        groups.entry(group).or_default().push(i);
    }
    let (mut works, mut unit) = (Vec::new(), 0);
    for cells in groups.into_values() {
        if progress.stopped() {
            return Err(CollectError::Stopped);
        }
        let specs: Vec<_> = cells.iter().map(|&cell| plan.spec(cell)).collect();
        let mut axes = Vec::new();
        for (&cell, spec) in cells.iter().zip(&specs) {
            axes.push(store.axis(&plan.cells[cell].id, spec)?);
        }
        let shards = axes.iter().map(|a| a.len().div_ceil(SHARD_DATES)).max().unwrap_or(0);
        let mut ours = vec![false; cells.len()];
        let planned: Vec<_> = cells.iter().map(|&cell| (cell, plan.scenes_by_key(cell))).collect();
        for shard in 0..shards {
            let dealt: Vec<(usize, Work)> = planned
                .iter()
                .zip(&axes)
                .map(|((cell, planned), axis)| work_of(*cell, planned, shard, axis))
                .enumerate()
                .filter(|(_, work)| !work.dates.is_empty())
                .collect();
            if dealt.is_empty() {
                continue;
            }
            if unit % options.shard_count == options.shard_index {
                for (place, work) in dealt {
                    ours[place] = true;
                    works.push(work);
                }
            }
            unit += 1;
        }
        let planned = cells.iter().zip(&specs).zip(&ours);
        for ((&cell, spec), _) in planned.filter(|(_, ours)| **ours) {
            store.plan_cell(&plan.cells[cell].id, spec)?;
        }
    }
    Ok(works)
}

fn work_of(cell: usize, planned: &HashMap<&str, usize>, shard: usize, axis: &[SceneSlot]) -> Work {
    let slots = axis.iter().skip(shard * SHARD_DATES).take(SHARD_DATES).enumerate();
    let dates =
        slots.filter_map(|(slot, s)| planned.get(&*s.key).map(|&scene| Date { slot, scene }));
    Work { cell, shard, dates: dates.collect() }
}

/// Leaves out the dates that are done, and counts them.
fn undone(
    plan: &Plan,
    store: &Store,
    options: &RunOptions,
    mut work: Work,
    tally: &mut Tally,
) -> Result<Work, CollectError> {
    let cell = &plan.cells[work.cell];
    let Some(manifest) = store.manifest(&cell.id, work.shard)? else { return Ok(work) };
    work.dates.retain(|date| {
        let inputs = inputs_hash(plan, cell, &plan.scenes[date.scene]);
        let done = manifest.dates.iter().find(|d| {
            d.slot == date.slot
                && d.scene.inputs == inputs
                && (d.scene.holes.is_empty() || !options.retry_holes)
        });
        if let Some(done) = done {
            tally.add(&cell.id.to_string(), done.scene.clone());
        }
        done.is_none()
    });
    Ok(work)
}

/// The summary in the making.
#[derive(Default)]
struct Tally {
    summary: CollectSummary,
    scenes: BTreeMap<String, Vec<Option<OffsetVerdict>>>,
    cells: std::collections::BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, cell: &str, record: SceneRecord) {
        let verdicts = self.scenes.entry(record.id.clone()).or_default();
        // A sensor without an offset rule is judged by nobody.
        if let Some(verdict) = record.offset.map(|offset| offset.verdict)
            && !verdicts.contains(&verdict)
        {
            verdicts.push(verdict);
        }
        if !self.cells.contains(cell) {
            self.cells.insert(cell.into());
        }
        self.summary.holes.extend(record.holes.into_iter().map(|hole| ListedHole {
            cell: cell.into(),
            scene: record.id.clone(),
            hole,
        }));
    }

    fn finish(mut self) -> CollectSummary {
        for verdicts in self.scenes.values() {
            let count = &mut self.summary.verdicts;
            match verdicts[..] {
                [Some(OffsetVerdict::Subtracted)] => count.subtracted += 1,
                [Some(OffsetVerdict::Absent)] => count.absent += 1,
                [None] => count.undecided += 1,
                [] => {}
                [_, _, ..] => count.differing += 1,
            }
        }
        self.summary.scenes = self.scenes.len() as u64;
        self.summary.cells = self.cells.len() as u64;
        self.summary.holes.sort();
        self.summary
    }
}
