//! What readers see without asking the core loop: open runs as they change, all runs as a list.
//!
//! Invariants: only what is on disk is shown; the newest value wins and a slow reader never holds anybody up.

mod entry;
mod kept;
mod keys;
mod list;
mod summary;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use comfyd_engine::{Idempotency, NodeId, RunId, RunView, Timestamp};
use tokio::sync::{Notify, broadcast, watch};

use entry::{Entry, Listed, Words, short, short_of};
use keys::Key;
use upkeep::Upkeep;

pub(crate) use keys::{Keyed, SpentKey};
pub use list::{Filter, Page};
pub use summary::Summary;

/// A picture of what is being made. Never logged; only the newest is kept.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The node that sent it, where it is told.
    pub node: Option<NodeId>,
    /// `image/jpeg` or `image/png`.
    pub media_type: &'static str,
    /// The encoded picture.
    pub bytes: Bytes,
    /// Which one in the run: 1 for the first.
    pub number: u64,
}

/// What happened to the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A run is new or has changed.
    Run(RunId),
    /// A run is gone, with everything that it had.
    Deleted(RunId),
}

/// Open runs and the list of all.
#[derive(Debug)]
pub struct Live {
    inner: RwLock<Inner>,
    changes: broadcast::Sender<Change>,
    /// Calls the housekeeper.
    bell: Notify,
    watchers: Arc<AtomicUsize>,
}

/// Somebody who watches a run or the list; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Watching(Arc<AtomicUsize>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<RunId, Open>,
    list: BTreeMap<RunId, Listed>,
    words: Words,
    /// By the number in the `workflow_id`.
    names: BTreeMap<u64, RunId>,
    keys: BTreeMap<String, Key>,
    upkeep: Upkeep,
    positions: BTreeMap<RunId, u32>,
}

#[derive(Debug)]
struct Open {
    view: watch::Sender<Arc<RunView>>,
    preview: watch::Sender<Option<Preview>>,
}

impl Inner {
    fn know_key(&mut self, made_by: Option<&Idempotency>, run: RunId, created: Timestamp) {
        if let Some(made_by) = made_by {
            // A key that was forgotten and used again means its newer run, also where both are read from disk.
            let older = self.keys.get(&made_by.key).is_none_or(|known| (known.created, known.run) < (created, run));
            if older {
                self.keys.insert(made_by.key.clone(), Key { body: made_by.body.clone(), run, created, removed: false });
            }
        }
    }

    fn list_over(&mut self, summary: Summary) {
        let run = summary.run_id;
        self.know_key(summary.idempotency.as_ref(), run, summary.created);
        self.names.entry(short(run, summary.created)).or_insert(run);
        let entry = Entry::of(summary, &mut self.words);
        self.list.insert(run, Listed::Over(Box::new(entry)));
    }
}

/// How many changes a slow list reader may be behind before it must read the list again.
const CHANGES: usize = 1024;

impl Default for Live {
    fn default() -> Self {
        Self { inner: RwLock::default(), changes: broadcast::Sender::new(CHANGES), bell: Notify::new(), watchers: Arc::default() }
    }
}

impl Live {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Every statement below leaves the maps whole, so a panic elsewhere does not spoil them.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows runs as they are on disk now; without places in the queues, those are as before.
    pub(crate) fn publish(&self, views: Vec<Arc<RunView>>, positions: Option<BTreeMap<RunId, u32>>) {
        let mut inner = self.write();
        for view in &views {
            let created = view.timing.queue_time.0;
            inner.names.entry(short(view.run_id, created)).or_insert(view.run_id);
            inner.list.insert(view.run_id, Listed::Open(Box::new(Summary::of(view))));
            inner.know_key(view.idempotency.as_ref(), view.run_id, created);
            if let Some(open) = inner.open.get(&view.run_id) {
                open.view.send_replace(Arc::clone(view));
            } else {
                let open = Open { view: watch::Sender::new(Arc::clone(view)), preview: watch::Sender::new(None) };
                inner.open.insert(view.run_id, open);
            }
        }
        if let Some(positions) = positions {
            inner.positions = positions;
        }
        drop(inner);
        for view in views {
            // Nobody may be listening.
            let _ = self.changes.send(Change::Run(view.run_id));
        }
    }

    /// Lists a run that is over and that the index knows.
    pub(crate) fn list_known(&self, summary: Summary) {
        self.write().list_over(summary);
    }

    /// Lists a run that is over; the index is yet to know it.
    pub(crate) fn list_over(&self, summary: Summary) {
        let mut inner = self.write();
        if summary.quarantined.is_none() {
            inner.upkeep.unindexed.insert(summary.run_id, summary.idempotency.clone());
        }
        inner.list_over(summary);
        drop(inner);
        self.bell.notify_one();
    }

    /// Marks a run whose log is damaged.
    pub(crate) fn quarantine(&self, run: RunId, why: &str) {
        let mut inner = self.write();
        if let Some(listed) = inner.list.get_mut(&run) {
            listed.quarantine(why);
            inner.upkeep.unindexed.remove(&run);
            inner.upkeep.suspects.insert(run);
        }
        drop(inner);
        self.bell.notify_one();
        // Nobody may be listening.
        let _ = self.changes.send(Change::Run(run));
    }

    /// A run is gone for good.
    pub(crate) fn remove(&self, run: RunId) {
        let mut inner = self.write();
        if let Some(listed) = inner.list.remove(&run) {
            let name = short(run, listed.created());
            if inner.names.get(&name) == Some(&run) {
                inner.names.remove(&name);
            }
        }
        // A request that is sent again must not become another run.
        inner.keys.values_mut().filter(|known| known.run == run).for_each(|known| known.removed = true);
        inner.open.remove(&run);
        inner.upkeep.unindexed.remove(&run);
        inner.upkeep.suspects.remove(&run);
        inner.upkeep.removed = true;
        drop(inner);
        self.bell.notify_one();
        // Nobody may be listening.
        let _ = self.changes.send(Change::Deleted(run));
    }

    /// Whether what runs uploaded that are over is being removed.
    pub(crate) fn is_tidying(&self) -> bool {
        let inner = self.read();
        inner.open.values().any(|open| open.view.borrow().removes_inputs)
    }

    /// Whether the second copy of a prompt is looked for, of a run that has ended.
    pub(crate) fn looks_for_twins(&self) -> bool {
        let inner = self.read();
        inner.open.values().any(|open| {
            let view = open.view.borrow();
            view.twin_watch && view.status.is_settled()
        })
    }

    /// A run is over: followers keep its last value.
    pub(crate) fn close(&self, run: RunId) {
        self.write().open.remove(&run);
    }

    /// Shows a preview.
    pub(crate) fn preview(&self, run: RunId, node: Option<NodeId>, media_type: &'static str, bytes: Bytes) {
        if let Some(open) = self.read().open.get(&run) {
            let number = open.preview.borrow().as_ref().map_or(0, |preview| preview.number) + 1;
            open.preview.send_replace(Some(Preview { node, media_type, bytes, number }));
        }
    }

    /// The run that a run id or a `workflow_id` names.
    pub fn resolve(&self, name: &str) -> Option<RunId> {
        let inner = self.read();
        let id = name.parse::<RunId>().ok().filter(|id| inner.list.contains_key(id));
        id.or_else(|| short_of(name).and_then(|number| inner.names.get(&number).copied()))
    }

    /// An open run.
    pub fn view(&self, run: RunId) -> Option<Arc<RunView>> {
        self.read().open.get(&run).map(|open| Arc::clone(&open.view.borrow()))
    }

    /// When a run was created.
    pub fn created_at(&self, run: RunId) -> Option<Timestamp> {
        self.read().list.get(&run).map(Listed::created)
    }

    /// A run of the list.
    pub fn summary(&self, run: RunId) -> Option<Summary> {
        self.read().list.get(&run).map(|listed| listed.summary(run))
    }

    /// The place of a queued run, over our queue and the instance's.
    pub fn queue_position(&self, run: RunId) -> Option<u32> {
        self.read().positions.get(&run).copied()
    }

    /// Follows an open run.
    pub fn watch(&self, run: RunId) -> Option<watch::Receiver<Arc<RunView>>> {
        self.read().open.get(&run).map(|open| open.view.subscribe())
    }

    /// Whether nothing of a run changes any more, and its log was not found damaged.
    pub(crate) fn is_over_and_whole(&self, run: RunId) -> bool {
        self.read().list.get(&run).is_some_and(|listed| matches!(listed, Listed::Over(_)) && !listed.is_quarantined())
    }

    /// Follows the previews of an open run.
    pub fn watch_preview(&self, run: RunId) -> Option<watch::Receiver<Option<Preview>>> {
        self.read().open.get(&run).map(|open| open.preview.subscribe())
    }

    /// How many open runs each instance has.
    pub(crate) fn loads(&self) -> BTreeMap<comfyd_engine::InstanceId, crate::instances::Load> {
        let mut loads: BTreeMap<comfyd_engine::InstanceId, crate::instances::Load> = BTreeMap::new();
        for open in self.read().open.values() {
            let view = open.view.borrow();
            let load = loads.entry(view.instance.clone()).or_default();
            let waits = view.phase == "waiting";
            load.waiting += usize::from(waits);
            load.open += usize::from(!waits);
        }
        loads
    }

    /// Counts somebody in who watches.
    pub(crate) fn watching(&self) -> Watching {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watching(Arc::clone(&self.watchers))
    }

    /// How many watch a run or the list.
    pub fn followers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Tells which runs change.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// The newest run that has not ended; else the newest that ended after `since`. Those that `hidden` names are left out.
    pub fn active(&self, since: Timestamp, hidden: impl Fn(RunId) -> bool) -> Option<RunId> {
        let inner = self.read();
        let shown = || inner.list.iter().filter(|(id, _)| !hidden(**id));
        let open = shown().rev().find(|(_, run)| !run.status().is_settled() && !run.is_quarantined());
        let ended = || shown().filter(|(_, run)| run.ended() > Some(since)).max_by_key(|(_, run)| run.ended());
        open.or_else(ended).map(|(run, _)| *run)
    }
}
