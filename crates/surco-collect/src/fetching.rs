//! What the shards of a run share: the client, open headers, and who still waits for which scene.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use surco_core::Progress;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::CollectError;
use crate::fetch::Hub;
use crate::opened::{Opened, Trouble};
use crate::parked::Parked;
use crate::plan::Plan;

/// How often the main thread looks whether it should stop.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// A header, or why there is none.
pub(crate) type Known = Result<Arc<Opened>, String>;

/// What all shards of a run share.
pub(crate) struct Fetching<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) runtime: &'a Runtime,
    pub(crate) hub: Arc<Hub>,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) parked: Parked,
    pub(crate) blocks: AtomicU64,
    opened: Mutex<HashMap<(usize, usize), Known>>,
    /// Cells that still need each scene.
    pub(crate) waiting: HashMap<usize, Vec<usize>>,
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
        Self {
            plan,
            runtime,
            hub,
            slots: Arc::new(Semaphore::new(requests)),
            progress,
            parked: Parked::default(),
            blocks: AtomicU64::new(0),
            opened: Mutex::default(),
            waiting: HashMap::new(),
        }
    }

    /// Says that a cell will need a scene.
    pub(crate) fn expect(&mut self, scene: usize, cell: usize) {
        self.waiting.entry(scene).or_default().push(cell);
    }

    /// Says that a cell has a scene; forgets the headers of scenes that nobody needs any more.
    pub(crate) fn finish(&mut self, scene: usize, cell: usize) {
        if let Some(cells) = self.waiting.get_mut(&scene) {
            cells.retain(|&c| c != cell);
            if cells.is_empty() {
                let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
                for asset in 0..self.plan.scenes[scene].assets.len() {
                    opened.remove(&(scene, asset));
                }
            }
        }
    }

    pub(crate) fn header(&self, scene: usize, asset: usize) -> Option<Known> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(&(scene, asset)).cloned()
    }

    /// Reads the headers of scenes that are not known yet, each once.
    pub(crate) fn open(&self, dates: &[Date]) -> Result<(), CollectError> {
        let mut tasks = JoinSet::new();
        for date in dates {
            let scene = &self.plan.scenes[date.scene];
            for (a, asset) in scene.assets.iter().enumerate() {
                if self.header(date.scene, a).is_some() {
                    continue;
                }
                let (key, asset, grid) = ((date.scene, a), asset.clone(), scene.grid);
                let (hub, slots) = (self.hub.clone(), self.slots.clone());
                let task = async move {
                    let _permit = slots.acquire_owned().await;
                    (key, Opened::open(&asset, &grid, &hub).await)
                };
                tasks.spawn_on(task, self.runtime.handle());
            }
        }
        self.join(tasks, |(key, opened)| {
            let known = match opened {
                Ok(opened) => Ok(Arc::new(opened)),
                Err(Trouble::Hole(reason)) => Err(reason),
                Err(Trouble::Fatal(error)) => return Err(*error),
            };
            self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known);
            Ok(())
        })
    }

    /// Takes what tasks give, ends on the first fault or when the user asks to.
    pub(crate) fn join<T: 'static>(
        &self,
        mut tasks: JoinSet<T>,
        mut take: impl FnMut(T) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        loop {
            if self.progress.stopped() {
                return Err(CollectError::Stopped);
            }
            let next = async { tokio::time::timeout(LOOK, tasks.join_next()).await };
            match self.runtime.block_on(next) {
                Err(_) => {}
                Ok(None) => return Ok(()),
                Ok(Some(Ok(value))) => take(value)?,
                Ok(Some(Err(fallen))) => {
                    return Err(CollectError::Runtime(std::io::Error::other(fallen)));
                }
            }
        }
    }
}
