//! From the blocks of a shard's files to its planes: fetched together, decoded in parallel.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use surco_core::Window;
use surco_store::Hole;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use crate::CollectError;
use crate::fetch::{FetchError, Fetched};
use crate::fetching::{Date, Fetching, LOOK};
use crate::opened::{Opened, REREADS, Trouble};
use crate::planes::{Piece, Planes, asset_window};
use crate::scene::{Layer, SceneAsset};

/// Ranges this close are fetched as one: GDAL leaves 8 bytes between blocks.
const GAP_BYTES: u64 = 4 << 10;
/// One request fetches at most this much, so that a retry is cheap and memory bounded.
const REQUEST_BYTES: u64 = 4 << 20;

/// Blocks of one file that lie together.
struct RangeJob {
    date: usize,
    asset: usize,
    opened: Arc<Opened>,
    blocks: Vec<(usize, Range<u64>)>,
    range: Range<u64>,
}

/// A range that came, or did not; the permit bounds how many wait for decoding.
struct Arrived {
    job: RangeJob,
    fetched: Result<Fetched, FetchError>,
    _permit: OwnedSemaphorePermit,
}

/// One shard's share of a run.
struct Laying<'a, 'p> {
    fetching: &'a Fetching<'a>,
    cell: usize,
    window: Window,
    dates: &'a [Date],
    planes: &'a Planes<'p>,
    holes: Mutex<Vec<(usize, Hole)>>,
    fatal: Mutex<Option<CollectError>>,
}

impl Fetching<'_> {
    /// Lays every block of these dates that meets a cell into the planes; gives what is missing.
    pub(crate) fn lay(
        &self,
        cell: usize,
        dates: &[Date],
        planes: &Planes<'_>,
    ) -> Result<Vec<(usize, Hole)>, CollectError> {
        let window = self.plan.cells[cell].window;
        let laying = Laying {
            fetching: self,
            cell,
            window,
            dates,
            planes,
            holes: Mutex::default(),
            fatal: Mutex::default(),
        };
        laying.run()?;
        let fatal = laying.fatal.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = fatal {
            return Err(error);
        }
        let mut holes = laying.holes.into_inner().unwrap_or_else(PoisonError::into_inner);
        holes.sort();
        Ok(holes)
    }
}

impl Laying<'_, '_> {
    fn run(&self) -> Result<(), CollectError> {
        let runtime = self.fetching.runtime;
        let (sender, mut arrivals) = mpsc::channel::<Arrived>(64);
        rayon::in_place_scope(|scope| {
            let mut tasks = JoinSet::new();
            for date in 0..self.dates.len() {
                for job in self.jobs(date, scope) {
                    let (slots, sender) = (self.fetching.slots.clone(), sender.clone());
                    let task = async move {
                        let Ok(permit) = slots.acquire_owned().await else { return };
                        let fetched = job.opened.reader.read(job.range.clone()).await;
                        let arrived = Arrived { job, fetched, _permit: permit };
                        // Nobody listens any more only when the run has ended.
                        let _ = sender.send(arrived).await;
                    };
                    tasks.spawn_on(task, runtime.handle());
                }
            }
            drop(sender);
            loop {
                if self.fetching.progress.stopped() {
                    return Err(CollectError::Stopped);
                }
                if self.fatal.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                    return Ok(());
                }
                let next = async { tokio::time::timeout(LOOK, arrivals.recv()).await };
                match runtime.block_on(next) {
                    Err(_) => {}
                    Ok(None) => return Ok(()),
                    Ok(Some(arrived)) => scope.spawn(move |_| self.unpack(arrived)),
                }
            }
        })
    }

    /// The ranges to fetch for one date; what is in memory already is laid at once.
    fn jobs<'s>(&'s self, date: usize, scope: &rayon::Scope<'s>) -> Vec<RangeJob> {
        let scene = self.dates[date].scene;
        let mut jobs = Vec::new();
        for (a, asset) in self.fetching.plan.scenes[scene].assets.iter().enumerate() {
            let opened = match self.fetching.header(scene, a) {
                Some(Ok(opened)) => opened,
                Some(Err(reason)) => {
                    self.hole(date, asset, None, reason);
                    continue;
                }
                None => continue, // Cannot be: `open` came before.
            };
            let window = asset_window(&self.window, asset.factor);
            let layers = asset.layers.iter();
            let needed: BTreeSet<usize> =
                layers.flat_map(|l| opened.header.blocks_for(l.1, window)).collect();
            let mut ranges = Vec::new();
            for block in needed {
                if let Some(piece) = self.fetching.parked.take((scene, a, block, self.cell)) {
                    self.place(date, asset, &piece);
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
                    scope.spawn(move |_| self.take(date, a, &opened, block, &bytes));
                } else if inside {
                    ranges.push((block, range));
                } else {
                    let reason = format!("truncated: the file has {} bytes", opened.total);
                    self.hole(date, asset, Some((&opened, block)), reason);
                }
            }
            jobs.extend(coalesce(ranges).into_iter().map(|blocks| {
                let start = blocks.first().map_or(0, |b| b.1.start);
                let end = blocks.last().map_or(0, |b| b.1.end);
                RangeJob { date, asset: a, opened: opened.clone(), blocks, range: start..end }
            }));
        }
        jobs
    }

    fn unpack(&self, arrived: Arrived) {
        let Arrived { job, fetched, _permit } = arrived;
        let asset = &self.fetching.plan.scenes[self.dates[job.date].scene].assets[job.asset];
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                for (block, _) in &job.blocks {
                    match Trouble::of(asset, &error) {
                        Trouble::Hole(reason) => {
                            self.hole(job.date, asset, Some((&job.opened, *block)), reason);
                        }
                        Trouble::Fatal(error) => self.end(*error),
                    }
                }
                return;
            }
        };
        for (block, range) in &job.blocks {
            let start = (range.start - job.range.start) as usize;
            let end = (range.end - job.range.start) as usize;
            let bytes = fetched.bytes.get(start..end).unwrap_or_default();
            self.take(job.date, job.asset, &job.opened, *block, bytes);
        }
    }

    /// Decodes a block, fetching it again if it is broken, and lays it.
    fn take(&self, date: usize, a: usize, opened: &Arc<Opened>, block: usize, bytes: &[u8]) {
        let scene = self.dates[date].scene;
        let asset = &self.fetching.plan.scenes[scene].assets[a];
        let decoded = Piece::decode(&opened.header, block, bytes)
            .or_else(|error| self.again(scene, asset, opened, block, error.to_string()));
        match decoded {
            Ok(piece) => {
                self.fetching.blocks.fetch_add(1, Ordering::Relaxed);
                self.place(date, asset, &piece);
                let others = self.fetching.waiting.get(&scene).into_iter().flatten();
                for &cell in others.filter(|&&c| c != self.cell) {
                    let window = &self.fetching.plan.cells[cell].window;
                    let window = asset_window(window, asset.factor);
                    self.fetching.parked.park((scene, a, block, cell), || piece.cut(&window));
                }
            }
            Err(Trouble::Hole(reason)) => {
                self.hole(date, asset, Some((opened, block)), reason);
            }
            Err(Trouble::Fatal(error)) => self.end(*error),
        }
    }

    /// Fetches a broken block again, at last with a fresh header: a header has no checksum.
    fn again(
        &self,
        scene: usize,
        asset: &SceneAsset,
        opened: &Arc<Opened>,
        block: usize,
        mut reason: String,
    ) -> Result<Piece, Trouble> {
        if !opened.reader.is_remote() {
            return Err(Trouble::Hole(reason));
        }
        let grid = &self.fetching.plan.scenes[scene].grid;
        let reread = async {
            for turn in 0..REREADS {
                let fresh = match turn {
                    2 => Some(Opened::open(asset, grid, &self.fetching.hub).await?),
                    _ => None,
                };
                let header = fresh.as_ref().map_or(&opened.header, |f| &f.header);
                let range = header.byte_range(block).unwrap_or(0..0);
                let fetched = opened.reader.read(range).await;
                let fetched = fetched.map_err(|e| Trouble::of(asset, &e))?;
                match Piece::decode(header, block, &fetched.bytes) {
                    Ok(piece) => return Ok(piece),
                    Err(error) => reason = error.to_string(),
                }
            }
            Err(Trouble::Hole(reason))
        };
        self.fetching.runtime.block_on(reread)
    }

    fn place(&self, date: usize, asset: &SceneAsset, piece: &Piece) {
        for &(layer, band) in asset.layers.iter().filter(|l| piece.bands().contains(&l.1)) {
            self.planes.lay(date, (layer, band), piece, asset.factor, &self.window);
        }
    }

    fn hole(
        &self,
        date: usize,
        asset: &SceneAsset,
        block: Option<(&Arc<Opened>, usize)>,
        reason: String,
    ) {
        let mut place = None;
        let mut bands = 0..usize::MAX;
        let mut pixels = self.window.rows * self.window.cols;
        if let Some((opened, block)) = block
            && let Ok((band, window)) = opened.header.block_window(block)
        {
            let size = opened.header.block;
            place = Some((window.row / size.1, window.col / size.0));
            bands = band..band + opened.header.block_bands();
            let fine = Window {
                row: window.row * asset.factor,
                col: window.col * asset.factor,
                rows: window.rows * asset.factor,
                cols: window.cols * asset.factor,
            };
            pixels = fine.intersect(&self.window).map_or(0, |w| w.rows * w.cols);
        }
        let layers: Vec<Layer> =
            asset.layers.iter().filter(|l| bands.contains(&l.1)).map(|l| l.0).collect();
        let names = self.fetching.plan.band_names();
        let hole = Hole {
            asset: Some(asset.key.clone()),
            bands: layers.iter().map(|layer| layer_name(*layer, &names)).collect(),
            block: place,
            reason,
            pixels: (pixels * layers.len()) as u64,
        };
        self.holes.lock().unwrap_or_else(PoisonError::into_inner).push((date, hole));
    }

    fn end(&self, error: CollectError) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

fn layer_name(layer: Layer, bands: &[String]) -> String {
    match layer {
        Layer::Band(axis) => bands[axis].clone(),
        Layer::Scl => "SCL".into(),
    }
}

/// Groups ranges that lie together, in the order of the file.
fn coalesce(mut ranges: Vec<(usize, Range<u64>)>) -> Vec<Vec<(usize, Range<u64>)>> {
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
        let large = coalesce(vec![(0, 0..3 << 20), (1, 3 << 20..6 << 20)]);
        assert_eq!(large.len(), 2, "a request stays small");
    }
}
