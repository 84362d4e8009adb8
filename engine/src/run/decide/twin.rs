//! A prompt that was posted again: whether that happens without anybody asking, and whether the instance has it twice.
//!
//! Invariants: only what was never known to have arrived is posted again by itself, and only while the instance is the same process; a second
//! entry is taken for a twin only for a while after it was posted again, as others may use our id too.

use crate::event::{ResubmitRequested, RunEvent, TwinFound, TwinWatchEnded};
use crate::run::{Phase, Run, Search};
use crate::time::Timestamp;

use super::Surroundings;

/// How often a prompt is posted again without anybody asking; then a person is asked.
const BY_POLICY: u32 = 3;
/// How long a twin that was to be taken out may stay before that is tried again.
const TWIN_GRACE_MS: u64 = 5_000;

impl Run {
    /// That it is posted again, where the configuration wants that and nothing speaks against it.
    pub(super) fn resubmit_by_policy(&self, around: Surroundings<'_>, search: &Search) -> Option<RunEvent> {
        let wanted = around.limits.resubmit_unknown && self.ledger.twins.by_policy < BY_POLICY;
        // A prompt that had arrived and is gone was taken away by somebody, or by a restart.
        let fits = around.online && !self.ledger.arrived && self.searched_in_vain(around, search);
        (wanted && fits).then(|| ResubmitRequested { by_policy: true }.into())
    }

    /// The queue has a second entry of it, which waits or runs.
    pub(crate) fn decide_twin(&self, around: Surroundings<'_>, running: bool) -> Vec<RunEvent> {
        let twins = &self.ledger.twins;
        let looked_for = twins.until.is_some_and(|until| around.now < until);
        let known = if running { twins.ran } else { twins.seen.is_some_and(|seen| around.now.since(seen) < TWIN_GRACE_MS) };
        if looked_for && !known { vec![TwinFound { running }.into()] } else { vec![] }
    }

    /// It is in the queue though it has ended.
    pub(super) fn seen_after_its_end(&self, around: Surroundings<'_>, running: bool) -> Vec<RunEvent> {
        // Only history tells an end that no first one of it can follow: what was given up, or lost with its process, may be there still.
        let told = match &self.phase {
            Phase::Collecting | Phase::Completed => true,
            Phase::Failed => self.error().is_some_and(|error| error.code == "node_failed"),
            Phase::Waiting { .. }
            | Phase::Staging { .. }
            | Phase::Submitting
            | Phase::InDoubt { .. }
            | Phase::Pending { .. }
            | Phase::Running
            | Phase::Cancelled => false,
        };
        if told || !running { self.decide_twin(around, running) } else { vec![] }
    }

    /// When a second one is no longer looked for.
    pub(super) fn twin_watch_ends(&self) -> Option<Timestamp> {
        self.ledger.twins.until
    }

    /// The fact that it is so.
    pub(super) fn end_of_twin_watch(&self, now: Timestamp) -> Option<RunEvent> {
        self.twin_watch_ends().filter(|at| *at <= now).map(|_| TwinWatchEnded {}.into())
    }
}
