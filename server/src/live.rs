//! What readers see without asking the core loop: open runs as they change, all runs as a list.
//!
//! Invariants: only what is on disk is shown; the newest value wins and a slow reader never holds anybody up.

mod list;
mod summary;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use comfyd_engine::{Idempotency, NodeId, RunId, RunView, Sha256, Timestamp};
use tokio::sync::{broadcast, watch};

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
}

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<RunId, Open>,
    list: BTreeMap<RunId, Summary>,
    names: BTreeMap<String, RunId>,
    keys: BTreeMap<String, (Sha256, RunId)>,
    positions: BTreeMap<RunId, u32>,
}

#[derive(Debug)]
struct Open {
    view: watch::Sender<Arc<RunView>>,
    preview: watch::Sender<Option<Preview>>,
}

impl Inner {
    fn know_key(&mut self, made_by: Option<&Idempotency>, run: RunId) {
        if let Some(made_by) = made_by {
            self.keys.entry(made_by.key.clone()).or_insert_with(|| (made_by.body.clone(), run));
        }
    }
}

/// How many changes a slow list reader may be behind before it must read the list again.
const CHANGES: usize = 1024;

impl Default for Live {
    fn default() -> Self {
        Self { inner: RwLock::default(), changes: broadcast::Sender::new(CHANGES) }
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

    /// Shows runs as they are on disk now.
    pub(crate) fn publish(&self, views: Vec<Arc<RunView>>, positions: BTreeMap<RunId, u32>) {
        let mut inner = self.write();
        for view in &views {
            inner.names.entry(view.workflow_id.clone()).or_insert(view.run_id);
            inner.list.insert(view.run_id, Summary::of(view));
            inner.know_key(view.idempotency.as_ref(), view.run_id);
            if let Some(open) = inner.open.get(&view.run_id) {
                open.view.send_replace(Arc::clone(view));
            } else {
                let open = Open { view: watch::Sender::new(Arc::clone(view)), preview: watch::Sender::new(None) };
                inner.open.insert(view.run_id, open);
            }
        }
        inner.positions = positions;
        drop(inner);
        for view in views {
            // Nobody may be listening.
            let _ = self.changes.send(Change::Run(view.run_id));
        }
    }

    /// The run that a request with this key made, and the hash of that request.
    pub(crate) fn keyed(&self, key: &str) -> Option<(Sha256, RunId)> {
        self.read().keys.get(key).cloned()
    }

    /// Lists a run that is over, without opening it.
    pub(crate) fn list_over(&self, summary: Summary) {
        let mut inner = self.write();
        inner.know_key(summary.idempotency.as_ref(), summary.run_id);
        inner.names.entry(summary.workflow_id.clone()).or_insert(summary.run_id);
        inner.list.insert(summary.run_id, summary);
    }

    /// Marks a run whose log is damaged.
    pub(crate) fn quarantine(&self, run: RunId, why: &str) {
        if let Some(summary) = self.write().list.get_mut(&run) {
            summary.quarantined.get_or_insert_with(|| why.to_owned());
        }
        // Nobody may be listening.
        let _ = self.changes.send(Change::Run(run));
    }

    /// A run is gone for good.
    pub(crate) fn remove(&self, run: RunId) {
        let mut inner = self.write();
        if let Some(summary) = inner.list.remove(&run) {
            if inner.names.get(&summary.workflow_id) == Some(&run) {
                inner.names.remove(&summary.workflow_id);
            }
            // With the run goes the answer that its key would get.
            if let Some(made_by) = &summary.idempotency
                && inner.keys.get(&made_by.key).is_some_and(|(_, made)| *made == run)
            {
                inner.keys.remove(&made_by.key);
            }
        }
        inner.open.remove(&run);
        drop(inner);
        // Nobody may be listening.
        let _ = self.changes.send(Change::Deleted(run));
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
        id.or_else(|| inner.names.get(name).copied())
    }

    /// An open run.
    pub fn view(&self, run: RunId) -> Option<Arc<RunView>> {
        self.read().open.get(&run).map(|open| Arc::clone(&open.view.borrow()))
    }

    /// When a run was created.
    pub fn created_at(&self, run: RunId) -> Option<Timestamp> {
        self.read().list.get(&run).map(|summary| summary.created)
    }

    /// A run of the list.
    pub fn summary(&self, run: RunId) -> Option<Summary> {
        self.read().list.get(&run).cloned()
    }

    /// The place of a queued run, over our queue and the instance's.
    pub fn queue_position(&self, run: RunId) -> Option<u32> {
        self.read().positions.get(&run).copied()
    }

    /// Follows an open run.
    pub fn watch(&self, run: RunId) -> Option<watch::Receiver<Arc<RunView>>> {
        self.read().open.get(&run).map(|open| open.view.subscribe())
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

    /// How many followers open runs and the list have.
    pub fn followers(&self) -> usize {
        let of_runs: usize = self.read().open.values().map(|open| open.view.receiver_count()).sum();
        of_runs + self.changes.receiver_count()
    }

    /// Tells which runs change.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// The newest run that has not ended; else the newest that ended after `since`.
    pub fn active(&self, since: Timestamp) -> Option<RunId> {
        let inner = self.read();
        let open = inner.list.values().rev().find(|summary| !summary.status.is_settled() && summary.quarantined.is_none());
        let ended = || {
            inner
                .list
                .values()
                .filter(|summary| summary.ended.is_some_and(|ended| ended > since))
                .max_by_key(|summary| summary.ended)
        };
        open.or_else(ended).map(|summary| summary.run_id)
    }
}
