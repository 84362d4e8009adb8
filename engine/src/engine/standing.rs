//! The place that a run takes beside others, and the indexes that show it.
//!
//! Invariant: the indexes are a function of the runs, so two engines with equal runs have equal ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{InstanceId, PromptId, RunId};
use crate::run::{Phase, Run, Staging};

use super::Engine;

/// How often runs or instances took another place: no state, so any two are equal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moves(pub(super) u64);

impl PartialEq for Moves {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// The places that a run takes beside others, judged from its phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is the membership in one index")]
pub(super) struct Standing {
    /// It waits for a slot.
    pub(super) waits: bool,
    /// It holds one and can be posted.
    pub(super) staged: bool,
    /// The instance may have it, or is about to.
    pub(super) routed: bool,
    /// The instance runs it.
    pub(super) running: bool,
    /// Its fate must be watched.
    pub(super) watched: bool,
}

impl Standing {
    pub(super) fn of(run: &Run) -> Self {
        let phase = run.phase();
        Self {
            waits: matches!(phase, Phase::Waiting { .. }),
            staged: *phase == Phase::Staging { progress: Staging::Ready },
            routed: holds_slot(phase) || matches!(phase, Phase::InDoubt { .. }) || run.watches_twin(),
            running: *phase == Phase::Running,
            watched: run.is_watched(),
        }
    }
}

impl Engine {
    /// Brings routes and slots up to a run's state; `before` is what they show.
    pub(super) fn index(&mut self, id: RunId, before: Standing) {
        let Some(run) = self.runs.get(&id) else { return };
        let after = Standing::of(run);
        self.moves.0 += 1;
        enter(&mut self.waiting, id, after.waits);
        enter(&mut self.staged, id, after.staged);
        let (instance, prompt) = (run.instance().clone(), run.prompt_id().clone());
        if before.routed != after.routed {
            enter_of(&mut self.busy, &instance, id, after.routed);
        }
        if before.running != after.running {
            enter_of(&mut self.running, &instance, id, after.running);
        }
        if after.routed {
            // A server that gives two runs one id takes no frames from the one that had it first.
            self.prompts.entry(instance).or_default().entry(prompt).or_insert(id);
        } else {
            self.unroute(&instance, &prompt, id);
        }
    }

    pub(super) fn unroute(&mut self, instance: &InstanceId, prompt: &PromptId, id: RunId) {
        let Some(prompts) = self.prompts.get_mut(instance) else { return };
        if prompts.get(prompt) == Some(&id) {
            prompts.remove(prompt);
        }
        if prompts.is_empty() {
            self.prompts.remove(instance);
        }
    }
}

fn enter(index: &mut BTreeSet<RunId>, id: RunId, is_in: bool) {
    if is_in {
        index.insert(id);
    } else {
        index.remove(&id);
    }
}

/// The same by instance; one without runs has no entry.
fn enter_of(index: &mut BTreeMap<InstanceId, BTreeSet<RunId>>, instance: &InstanceId, id: RunId, is_in: bool) {
    if is_in {
        index.entry(instance.clone()).or_default().insert(id);
    } else if let Some(runs) = index.get_mut(instance) {
        runs.remove(&id);
        if runs.is_empty() {
            index.remove(instance);
        }
    }
}

/// Whether a run in this phase takes part of the capacity.
pub(super) fn holds_slot(phase: &Phase) -> bool {
    match phase {
        Phase::Staging { .. } | Phase::Submitting | Phase::Pending { .. } | Phase::Running => true,
        Phase::Waiting { .. }
        | Phase::InDoubt { .. }
        | Phase::Collecting
        | Phase::Completed
        | Phase::Failed
        | Phase::Cancelled => false,
    }
}
