//! What the shards of a run share: the client, open headers, verdicts, and who still waits for which scene.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use surco_core::Progress;
use surco_store::OffsetRecord;
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;

use crate::CollectError;
use crate::fetch::Hub;
use crate::opened::{Opened, Trouble};
use crate::parked::Parked;
use crate::plan::Plan;
use crate::scene::{Scene, SceneAsset};

/// How often a waiting thread looks whether it should stop.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// A header, or why there is none.
pub(crate) type Known = Result<Arc<Opened>, String>;

/// Which file: scene, place among the scene's sources (0 is its own catalog), asset.
pub(crate) type FileKey = (usize, usize, usize);

/// What all shards of a run share.
pub(crate) struct Fetching<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) runtime: &'a Runtime,
    pub(crate) headers: Arc<Headers>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) parked: Parked,
    pub(crate) blocks: AtomicU64,
    /// Verdicts by scene and source; none where no overview can be asked.
    pub(crate) judged: Mutex<HashMap<(usize, usize), Option<OffsetRecord>>>,
    /// Cells that still need each scene.
    waiting: Mutex<HashMap<usize, BTreeSet<usize>>>,
    /// A thread has failed: the others need not go on.
    pub(crate) ending: AtomicBool,
}

/// Headers of files, each read once.
pub(crate) struct Headers {
    pub(crate) hub: Arc<Hub>,
    pub(crate) slots: Arc<Semaphore>,
    known: Mutex<HashMap<FileKey, Arc<OnceCell<Known>>>>,
}

/// One date of a shard that is to be collected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date {
    /// Place in the shard.
    pub(crate) slot: usize,
    /// Place in the plan's scenes.
    pub(crate) scene: usize,
}

impl<'a> Fetching<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        runtime: &'a Runtime,
        hub: Arc<Hub>,
        requests: usize,
        progress: &'a dyn Progress,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(requests));
        Self {
            plan,
            runtime,
            headers: Arc::new(Headers { hub, slots, known: Mutex::default() }),
            progress,
            parked: Parked::default(),
            blocks: AtomicU64::new(0),
            judged: Mutex::default(),
            waiting: Mutex::default(),
            ending: AtomicBool::new(false),
        }
    }

    /// A scene as one of its sources describes it: 0 is its own catalog, the others follow.
    pub(crate) fn source(&self, scene: usize, source: usize) -> &Scene {
        let own = &self.plan.scenes[scene];
        source.checked_sub(1).and_then(|i| own.others.get(i)).unwrap_or(own)
    }

    /// Says that a cell will need a scene.
    pub(crate) fn expect(&self, scene: usize, cell: usize) {
        lock(&self.waiting).entry(scene).or_default().insert(cell);
    }

    /// The cells that still need a scene.
    pub(crate) fn waiting_for(&self, scene: usize) -> Vec<usize> {
        lock(&self.waiting)
            .get(&scene)
            .map(|cells| cells.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Says that a cell has a scene; forgets what was kept for it, and the headers of scenes that nobody
    /// needs any more.
    pub(crate) fn finish(&self, scene: usize, cell: usize) {
        self.parked.forget(scene, cell);
        let mut waiting = lock(&self.waiting);
        if let Some(cells) = waiting.get_mut(&scene) {
            cells.remove(&cell);
            if cells.is_empty() {
                waiting.remove(&scene);
                lock(&self.headers.known).retain(|key, _| key.0 != scene);
            }
        }
    }

    /// Takes what tasks give, ends on the first fault or when the user asks to.
    pub(crate) fn join<T: 'static>(
        &self,
        mut tasks: JoinSet<T>,
        mut take: impl FnMut(T) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        while !tasks.is_empty() {
            self.check()?;
            let next = async { tokio::time::timeout(LOOK, tasks.join_next()).await };
            match self.runtime.block_on(next) {
                Err(_) => {}
                Ok(None) => break,
                Ok(Some(Ok(value))) => take(value)?,
                Ok(Some(Err(fallen))) => {
                    return Err(CollectError::Runtime(std::io::Error::other(fallen)));
                }
            }
        }
        Ok(())
    }

    /// Whether work should end now, and why; says whom it waits for.
    pub(crate) fn check(&self) -> Result<(), CollectError> {
        self.headers.hub.say_waiting(self.progress);
        let stopped = self.progress.stopped() || self.ending.load(Ordering::Relaxed);
        if stopped { Err(CollectError::Stopped) } else { Ok(()) }
    }
}

impl Headers {
    /// The header of a file, read if it is not known yet.
    ///
    /// Takes no slot: slots are held until blocks are decoded, and decoding may need a header.
    pub(crate) async fn known(
        &self,
        key: FileKey,
        asset: &SceneAsset,
        grid: &crate::scene::Grid,
    ) -> Result<Known, CollectError> {
        let place = lock(&self.known).entry(key).or_default().clone();
        let read = async || match Opened::open(asset, grid, &self.hub).await {
            Ok(opened) => Ok(Ok(Arc::new(opened))),
            Err(Trouble::Hole(reason)) => Ok(Err(reason)),
            Err(Trouble::Fatal(error)) => Err(*error),
        };
        place.get_or_try_init(read).await.cloned()
    }
}

/// A poisoned lock only means that another thread fell: that run ends anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
