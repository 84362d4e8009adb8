//! When the snapshot of a run is written: at most ten times a second, and at its end.

use std::sync::Arc;

use comfyd_engine::{RunView, StreamId, Throttle, Timestamp};

use super::task::Core;
use crate::store::FileStore;

/// The rhythm of one run's snapshots.
#[derive(Debug)]
pub(super) struct Snapshot {
    gate: Throttle,
    owed: Option<Arc<RunView>>,
}

impl Snapshot {
    /// The first one can wait as long as any other: many a run is over by then, and has one instead of two.
    fn new(every_ms: u64, now: Timestamp) -> Self {
        let mut gate = Throttle::every_ms(every_ms);
        gate.force(now);
        Self { gate, owed: None }
    }

    /// When what is owed may be written.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.gate.due()
    }

    pub(super) fn is_owed(&self) -> bool {
        self.owed.is_some()
    }

    pub(super) fn into_owed(self) -> Option<Arc<RunView>> {
        self.owed
    }
}

impl Core {
    pub(super) fn owe_snapshot(&mut self, view: &Arc<RunView>, now: Timestamp) {
        let every = self.config.snapshot_every_ms;
        let snapshot = self.snapshots.entry(view.run_id).or_insert_with(|| Snapshot::new(every, now));
        if snapshot.gate.admit(now) {
            snapshot.owed = None;
            write_snapshot(&self.store, view);
        } else {
            snapshot.owed = Some(Arc::clone(view));
        }
    }

    pub(super) fn write_owed_snapshots(&mut self, now: Timestamp) {
        for snapshot in self.snapshots.values_mut() {
            if snapshot.gate.due().is_some_and(|at| at <= now)
                && let Some(view) = snapshot.owed.take()
            {
                snapshot.gate.force(now);
                write_snapshot(&self.store, &view);
            }
        }
    }
}

/// Its text is made when it is written, by who writes it.
pub(super) fn write_snapshot(store: &FileStore, view: &Arc<RunView>) {
    let shown = Arc::clone(view);
    store.snapshot_of(&StreamId::Run(view.run_id), view.seq, Box::new(move || crate::canonical::of(&shown)));
}
