//! The commands that are under way.
//!
//! Invariant: a run has each kind under way at most once, where doing it twice at a time would do harm.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use comfyd_engine::{Addressed, Command, RunId};
use tokio_util::sync::CancellationToken;

/// What a run can have under way at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    Stage,
    Dispatch,
    DeleteTwin,
    ReadLog,
    Collect(u32),
    RemoveInputs,
}

/// The commands under way, each with what ends it.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<BTreeMap<(RunId, Slot), CancellationToken>>);

/// One of them, free again when dropped; none for commands that may be doubled.
pub(super) struct Claim(Option<(Arc<UnderWay>, (RunId, Slot))>);

impl UnderWay {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(RunId, Slot), CancellationToken>> {
        // Every statement leaves the map whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes its slot for a command, which ends when `stop` is cancelled; none if that is taken.
    pub(super) fn claim(self: &Arc<Self>, command: &Addressed, stop: &CancellationToken) -> Option<Claim> {
        let slot = match &command.command {
            Command::Stage { .. } => Slot::Stage,
            Command::Dispatch { .. } => Slot::Dispatch,
            // Two at a time could each take one out, and leave none.
            Command::DeleteTwin { .. } => Slot::DeleteTwin,
            Command::ReadLog {} => Slot::ReadLog,
            Command::Collect { n, .. } => Slot::Collect(*n),
            Command::RemoveInputs { .. } => Slot::RemoveInputs,
            Command::Reconcile { .. } | Command::Dequeue { .. } | Command::Interrupt { .. } => return Some(Claim(None)),
        };
        let key = (command.run, slot);
        let mut all = self.all();
        if all.contains_key(&key) {
            return None;
        }
        all.insert(key, stop.clone());
        Some(Claim(Some((Arc::clone(self), key))))
    }

    pub(super) fn holds(&self, run: RunId, slot: Slot) -> bool {
        self.all().contains_key(&(run, slot))
    }

    /// Ends what is under way of this kind for such runs; tells for which. One that has come to its end is no matter of this.
    pub(super) fn end(&self, slot: Slot, of: impl Fn(RunId) -> bool) -> Vec<RunId> {
        let all = self.all();
        let ours = all.iter().filter(|((run, kind), stop)| *kind == slot && !stop.is_cancelled() && of(*run));
        ours.map(|((run, _), stop)| {
            stop.cancel();
            *run
        })
        .collect()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((under_way, key)) = &self.0 {
            under_way.all().remove(key);
        }
    }
}
