//! Blocks of many files: fetched together, decoded in parallel, each once.
//!
//! A block that comes broken is asked for again, then taken from another catalog that has the same
//! acquisition; what is left is a hole.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use surco_core::Window;
use surco_store::Hole;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::CollectError;
use crate::fetch::{FetchError, Fetched};
use crate::fetching::{Fetching, Known, LOOK, lock};
use crate::opened::{Opened, REREADS, Trouble};
use crate::piece::{Piece, asset_window, window_in_cell};
use crate::scene::{Layer, SceneAsset};

/// Ranges this close are fetched as one: GDAL leaves 8 bytes between blocks.
const GAP_BYTES: u64 = 4 << 10;
/// One request fetches at most this much, so that a retry is cheap and memory bounded.
const REQUEST_BYTES: u64 = 2 << 20;

/// Layers of one file that a date needs.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// Place among the dates of the work.
    pub(crate) date: usize,
    pub(crate) scene: usize,
    pub(crate) asset: usize,
    /// Layer and its band in the file.
    pub(crate) layers: Vec<(Layer, usize)>,
}

/// Decoded pixels for a want.
pub(crate) struct Came<'a> {
    pub(crate) want: &'a Want,
    pub(crate) piece: &'a Piece,
    /// Which source of the scene it was read from, see [`Fetching::source`].
    pub(crate) source: usize,
    /// Side of its pixels in pixels of the fine grid.
    pub(crate) factor: usize,
}

/// What to do with pixels, and which are needed at all.
pub(crate) struct Use<'a> {
    /// Takes pixels, from many threads at once.
    pub(crate) take: &'a (dyn Fn(&Came<'_>) -> Result<(), CollectError> + Sync),
    /// Whether a window of the cell is needed.
    pub(crate) needs: &'a (dyn Fn(&Want, &Window) -> bool + Sync),
}

/// Blocks of one file that lie together.
struct RangeJob {
    want: usize,
    opened: Arc<Opened>,
    blocks: Vec<(usize, Range<u64>)>,
    range: Range<u64>,
}

enum Message {
    Header(usize, Result<Known, CollectError>),
    /// A range that came, or did not; the permit bounds how many wait for decoding.
    Range(RangeJob, Result<Fetched, FetchError>, OwnedSemaphorePermit),
}

/// One shard's share of a run.
struct Laying<'a> {
    fetching: &'a Fetching<'a>,
    cell: usize,
    window: Window,
    wants: &'a [Want],
    usage: &'a Use<'a>,
    holes: Mutex<Vec<(usize, Hole)>>,
    fatal: Mutex<Option<CollectError>>,
}

impl Fetching<'_> {
    /// Fetches and decodes every needed block of these files that meets a cell; gives what is missing, by
    /// the place of its date.
    pub(crate) fn blocks(
        &self,
        cell: usize,
        wants: &[Want],
        usage: &Use<'_>,
    ) -> Result<Vec<(usize, Hole)>, CollectError> {
        let window = self.plan.cells[cell].window;
        let (holes, fatal) = (Mutex::default(), Mutex::default());
        let laying = Laying { fetching: self, cell, window, wants, usage, holes, fatal };
        laying.run()?;
        if let Some(error) = lock(&laying.fatal).take() {
            return Err(error);
        }
        let mut holes = std::mem::take(&mut *lock(&laying.holes));
        holes.sort();
        Ok(holes)
    }
}

impl Laying<'_> {
    fn run(&self) -> Result<(), CollectError> {
        let (runtime, headers) = (self.fetching.runtime, &self.fetching.headers);
        let (sender, mut messages) = mpsc::channel::<Message>(64);
        for (w, want) in self.wants.iter().enumerate() {
            let scene = &self.fetching.plan.scenes[want.scene];
            let (key, grid) = ((want.scene, 0, want.asset), scene.grid);
            let (asset, headers) = (scene.assets[want.asset].clone(), headers.clone());
            let sender = sender.clone();
            runtime.spawn(async move {
                let known = headers.known(key, &asset, &grid).await;
                // Nobody listens any more only when the run has ended.
                let _ = sender.send(Message::Header(w, known)).await;
            });
        }
        let mut awaited = self.wants.len();
        rayon::in_place_scope(|scope| {
            while awaited > 0 {
                self.fetching.check()?;
                if lock(&self.fatal).is_some() {
                    return Ok(());
                }
                let next = async { tokio::time::timeout(LOOK, messages.recv()).await };
                match runtime.block_on(next) {
                    Err(_) => continue,
                    Ok(None) => return Ok(()),
                    Ok(Some(Message::Header(_, Err(error)))) => return Err(error),
                    Ok(Some(Message::Header(w, Ok(Ok(opened))))) => {
                        for job in self.jobs(w, &opened, scope) {
                            awaited += 1;
                            let (slots, sender) = (headers.slots.clone(), sender.clone());
                            runtime.spawn(async move {
                                let Ok(permit) = slots.acquire_owned().await else { return };
                                let fetched = job.opened.reader.read(job.range.clone()).await;
                                let _ = sender.send(Message::Range(job, fetched, permit)).await;
                            });
                        }
                    }
                    Ok(Some(Message::Header(w, Ok(Err(reason))))) => {
                        scope.spawn(move |_| self.without_header(w, reason));
                    }
                    Ok(Some(Message::Range(job, fetched, permit))) => {
                        scope.spawn(move |_| {
                            self.unpack(&job, fetched);
                            drop(permit);
                        });
                    }
                }
                awaited -= 1;
            }
            Ok(())
        })
    }

    fn asset(&self, want: &Want) -> &SceneAsset {
        &self.fetching.plan.scenes[want.scene].assets[want.asset]
    }

    /// The ranges to fetch of one file; what is in memory already is laid at once.
    fn jobs<'s>(
        &'s self,
        w: usize,
        opened: &Arc<Opened>,
        scope: &rayon::Scope<'s>,
    ) -> Vec<RangeJob> {
        let want = &self.wants[w];
        let factor = self.asset(want).factor;
        let window = asset_window(&self.window, factor);
        let blocks = want.layers.iter().flat_map(|l| opened.header.blocks_for(l.1, window));
        let mut ranges = Vec::new();
        for block in blocks.collect::<BTreeSet<usize>>() {
            let place = opened.header.block_window(block);
            let place = place.ok().and_then(|(_, w)| window_in_cell(&w, factor, &self.window));
            if !place.is_some_and(|place| (self.usage.needs)(want, &place)) {
                continue;
            }
            let key = (want.scene, want.asset, block, self.cell);
            if let Some(piece) = self.fetching.parked.take(key) {
                scope.spawn(move |_| self.place(want, &piece, 0, factor));
                continue;
            }
            let range = opened.header.byte_range(block).unwrap_or(0..0);
            let inside = range.end <= opened.total;
            let in_memory = opened.whole.as_ref().map(|whole| {
                let bytes = whole.get(range.start as usize..range.end as usize);
                bytes.unwrap_or_default().to_vec()
            });
            if range.is_empty() || (inside && in_memory.is_some()) {
                let (bytes, opened) = (in_memory.unwrap_or_default(), opened.clone());
                scope.spawn(move |_| self.take(want, &opened, block, &bytes));
            } else if inside {
                ranges.push((block, range));
            } else {
                let reason = format!("truncated: the file has {} bytes", opened.total);
                let opened = opened.clone();
                scope.spawn(move |_| self.broken(want, Some((&opened, block)), reason));
            }
        }
        let groups = coalesce(ranges).into_iter();
        let job = |blocks: Vec<(usize, Range<u64>)>| {
            let start = blocks.first().map_or(0, |b| b.1.start);
            let end = blocks.last().map_or(0, |b| b.1.end);
            RangeJob { want: w, opened: opened.clone(), blocks, range: start..end }
        };
        groups.map(job).collect()
    }

    fn unpack(&self, job: &RangeJob, fetched: Result<Fetched, FetchError>) {
        let want = &self.wants[job.want];
        match fetched {
            Ok(fetched) => {
                for (block, range) in &job.blocks {
                    let start = (range.start - job.range.start) as usize;
                    let end = (range.end - job.range.start) as usize;
                    let bytes = fetched.bytes.get(start..end).unwrap_or_default();
                    self.take(want, &job.opened, *block, bytes);
                }
            }
            Err(error) => {
                for (block, _) in &job.blocks {
                    let trouble = Trouble::of(self.asset(want), &error);
                    self.trouble(want, Some((&job.opened, *block)), trouble);
                }
            }
        }
    }

    /// Decodes a block, fetching it again if it is broken, and lays it.
    fn take(&self, want: &Want, opened: &Arc<Opened>, block: usize, bytes: &[u8]) {
        let decoded = Piece::decode(&opened.header, block, bytes).or_else(|error| {
            let grid = &self.fetching.plan.scenes[want.scene].grid;
            let file = (self.asset(want), grid);
            let broken = (block, error.to_string());
            let hub = &self.fetching.headers.hub;
            self.fetching.runtime.block_on(opened.reread(file, hub, broken, Piece::decode))
        });
        let piece = match decoded {
            Ok(piece) => piece,
            Err(trouble) => return self.trouble(want, Some((opened, block)), trouble),
        };
        self.fetching.blocks.fetch_add(1, Ordering::Relaxed);
        let factor = self.asset(want).factor;
        self.place(want, &piece, 0, factor);
        for cell in self.fetching.waiting_for(want.scene).into_iter().filter(|&c| c != self.cell) {
            let window = asset_window(&self.fetching.plan.cells[cell].window, factor);
            let key = (want.scene, want.asset, block, cell);
            self.fetching.parked.park(key, || piece.cut(&window));
        }
    }

    fn without_header(&self, w: usize, reason: String) {
        let want = &self.wants[w];
        let whole = Window { row: 0, col: 0, rows: self.window.rows, cols: self.window.cols };
        if (self.usage.needs)(want, &whole) {
            self.broken(want, None, reason);
        }
    }

    fn trouble(&self, want: &Want, block: Option<(&Arc<Opened>, usize)>, trouble: Trouble) {
        match trouble {
            Trouble::Hole(reason) => self.broken(want, block, reason),
            // Another catalog may be up while this one is down.
            Trouble::Fatal(error) => {
                if !self.elsewhere(want, block) {
                    self.end(*error);
                }
            }
        }
    }

    /// What its own catalog cannot give is taken from another one, or is a hole.
    fn broken(&self, want: &Want, block: Option<(&Arc<Opened>, usize)>, reason: String) {
        if !self.elsewhere(want, block) {
            self.hole(want, block, reason);
        }
    }

    /// Reads a block, or all of a file that the cell needs, from the first other catalog that can give all
    /// of it.
    fn elsewhere(&self, want: &Want, block: Option<(&Arc<Opened>, usize)>) -> bool {
        let place = block.and_then(|(opened, b)| opened.header.block_window(b).ok());
        let factor = self.asset(want).factor;
        let all = asset_window(&self.window, factor);
        let window = place.map_or(Some(all), |(_, window)| window.intersect(&all));
        let Some(window) = window else { return true };
        let others = self.fetching.plan.scenes[want.scene].others.len();
        (1..=others).any(|source| {
            let Some((pieces, factor)) = self.read_elsewhere(want, source, &window) else {
                return false;
            };
            pieces.iter().for_each(|piece| self.place(want, piece, source, factor));
            true
        })
    }

    fn read_elsewhere(
        &self,
        want: &Want,
        source: usize,
        window: &Window,
    ) -> Option<(Vec<Piece>, usize)> {
        let scene = self.fetching.source(want.scene, source);
        let own = self.asset(want);
        let same = |a: &&SceneAsset| a.layers == own.layers && a.factor == own.factor;
        let number = scene.assets.iter().position(|a| same(&a))?;
        if scene.grid != self.fetching.plan.scenes[want.scene].grid {
            return None;
        }
        let asset = &scene.assets[number];
        let headers = &self.fetching.headers;
        let read = async {
            let key = (want.scene, source, number);
            let opened = headers.known(key, asset, &scene.grid).await.ok()?.ok()?;
            let blocks = want.layers.iter().flat_map(|l| opened.header.blocks_for(l.1, *window));
            let mut pieces = Vec::new();
            for block in blocks.collect::<BTreeSet<usize>>() {
                let range = opened.header.byte_range(block)?;
                let mut piece = None;
                for _ in 0..REREADS {
                    let fetched = opened.reader.read(range.clone()).await.ok()?;
                    piece = Piece::decode(&opened.header, block, &fetched.bytes).ok();
                    if piece.is_some() {
                        break;
                    }
                }
                pieces.extend(piece?.cut(window));
            }
            Some(pieces)
        };
        Some((self.fetching.runtime.block_on(read)?, asset.factor))
    }

    fn place(&self, want: &Want, piece: &Piece, source: usize, factor: usize) {
        if let Err(error) = (self.usage.take)(&Came { want, piece, source, factor }) {
            self.end(error);
        }
    }

    fn hole(&self, want: &Want, block: Option<(&Arc<Opened>, usize)>, reason: String) {
        let asset = self.asset(want);
        let mut place = None;
        let mut bands = 0..usize::MAX;
        let mut pixels = self.window.rows * self.window.cols;
        if let Some((opened, block)) = block
            && let Ok((band, window)) = opened.header.block_window(block)
        {
            let size = opened.header.block;
            place = Some((window.row / size.1, window.col / size.0));
            bands = band..band + opened.header.block_bands();
            let part = window_in_cell(&window, asset.factor, &self.window);
            pixels = part.map_or(0, |w| w.rows * w.cols);
        }
        let layers: Vec<Layer> =
            want.layers.iter().filter(|l| bands.contains(&l.1)).map(|l| l.0).collect();
        let hole = Hole {
            asset: Some(asset.key.clone()),
            bands: layers.iter().map(|layer| self.fetching.plan.layer_name(*layer)).collect(),
            block: place,
            reason,
            pixels: (pixels * layers.len()) as u64,
        };
        lock(&self.holes).push((want.date, hole));
    }

    fn end(&self, error: CollectError) {
        lock(&self.fatal).get_or_insert(error);
    }
}

/// Groups ranges that lie together, in the order of the file.
pub(crate) fn coalesce(mut ranges: Vec<(usize, Range<u64>)>) -> Vec<Vec<(usize, Range<u64>)>> {
    ranges.sort_by_key(|r| r.1.start);
    let mut groups: Vec<Vec<(usize, Range<u64>)>> = Vec::new();
    for (block, range) in ranges {
        if let Some(group) = groups.last_mut()
            && let (Some(first), Some(last)) = (group.first(), group.last())
            && range.start >= last.1.end
            && range.start - last.1.end <= GAP_BYTES
            && range.end - first.1.start <= REQUEST_BYTES
        {
            group.push((block, range));
        } else {
            groups.push(vec![(block, range)]);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_lie_together_are_one_request() {
        let groups = coalesce(vec![(2, 900_000..950_000), (0, 100..200), (1, 208..300)]);
        assert_eq!(groups, [vec![(0, 100..200), (1, 208..300)], vec![(2, 900_000..950_000)]]);
        let large = coalesce(vec![(0, 0..1 << 20), (1, 1 << 20..3 << 20)]);
        assert_eq!(large.len(), 2, "a request stays small");
    }
}
