//! What queue and history say. They decide how a run ended.

use crate::comfy::{Ending, RemoteStatus, Verdict};
use crate::event::{
    AbsenceNoted, AttentionKind, AttentionRaised, Cancelled, Evidence, ExecutionStarted, ExecutionSucceeded, Failed,
    NodeFinished, QueueMoved, RunEvent, SubmitInDoubt, Submitted,
};
use crate::id::NodeId;
use crate::run::ledger::StopReason;
use crate::run::{Outputs, Phase, Run, Search};
use crate::time::Timestamp;

use super::records::found;
use super::{Surroundings, error};

/// After so many absences in a row, over this time, a prompt that was there is gone.
const GONE: (u32, u64) = (3, 4_000);

impl Run {
    pub(crate) fn decide_reconciled(&self, around: Surroundings<'_>, status: &RemoteStatus) -> Vec<RunEvent> {
        match status {
            RemoteStatus::Pending { position } => self.found_waiting(around, *position),
            RemoteStatus::Running => self.found_running(around),
            RemoteStatus::Ended(ending) => self.found_ended(ending),
            RemoteStatus::Absent => self.not_found(around),
        }
    }

    fn found_running(&self, around: Surroundings<'_>) -> Vec<RunEvent> {
        if self.phase == Phase::Collecting || self.phase.is_settled() {
            return self.seen_after_its_end(around, true);
        }
        // Absences count only in a row, so that a sighting between them is a fact.
        if self.phase == Phase::Running && self.ledger.missing.times > 0 {
            return vec![ExecutionStarted {}.into()];
        }
        let mut facts = self.gap_to_running(Evidence::Lookup).unwrap_or_default();
        facts.extend(self.beginning_missed(&facts));
        facts
    }

    fn found_waiting(&self, around: Surroundings<'_>, position: u32) -> Vec<RunEvent> {
        let moved = QueueMoved { position }.into();
        match &self.phase {
            Phase::Submitting | Phase::InDoubt { .. } => {
                vec![Submitted { prompt_id: self.prompt_id().clone(), evidence: Evidence::Lookup }.into(), moved]
            }
            Phase::Pending { position: known } if *known != Some(position) || self.ledger.missing.times > 0 => vec![moved],
            // One that runs does not go back into the queue.
            Phase::Running => self.decide_twin(around, false),
            Phase::Collecting | Phase::Completed | Phase::Failed | Phase::Cancelled => self.seen_after_its_end(around, false),
            Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Staging { .. } => vec![],
        }
    }

    fn found_ended(&self, ending: &Ending) -> Vec<RunEvent> {
        let Some(mut facts) = self.gap_to_running(Evidence::Lookup) else { return vec![] };
        facts.extend(self.beginning_missed(&facts));
        facts.extend(self.newly_cached(&ending.cached));
        let open = |node: &NodeId| self.nodes().get(node).is_none_or(|node| node.state.is_open());
        let mut room = self.nodes().room();
        let made = ending.parents.iter().filter(|(node, _)| open(node) && room.admits(node));
        facts.extend(made.map(|(node, parent)| NodeFinished { node: node.clone(), parent: Some(parent.clone()) }.into()));
        facts.extend(self.new_outputs(ending));
        facts.push(match &ending.verdict {
            Verdict::Succeeded => ExecutionSucceeded {}.into(),
            Verdict::Failed(failure) => Failed { error: error::node_failed(self, failure), log_wanted: true }.into(),
            Verdict::Interrupted { node } => match self.ledger.stop.map(|stop| stop.reason) {
                Some(reason) => stopped(reason),
                None => Failed::of(error::interrupted_remotely(self, node.as_ref())).into(),
            },
        });
        facts
    }

    fn new_outputs(&self, ending: &Ending) -> Vec<RunEvent> {
        // Numbers go on over the nodes of one entry, so the facts are tried on a copy.
        let mut seen: Outputs = self.outputs().clone();
        let mut facts = Vec::new();
        for (node, produced) in &ending.outputs {
            let outputs = seen.fresh(node, produced);
            for output in &outputs {
                seen.add(output);
            }
            facts.extend(found(outputs));
        }
        facts
    }

    fn not_found(&self, around: Surroundings<'_>) -> Vec<RunEvent> {
        match &self.phase {
            Phase::InDoubt { search } => Self::still_in_doubt(around, search),
            Phase::Pending { .. } | Phase::Running => self.vanished(around),
            Phase::Waiting { .. }
            | Phase::Staging { .. }
            | Phase::Submitting
            | Phase::Collecting
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled => vec![],
        }
    }

    fn still_in_doubt(around: Surroundings<'_>, search: &Search) -> Vec<RunEvent> {
        if search.last.is_some_and(|last| around.now.since(last) < wait_ms(search.absences)) {
            return vec![];
        }
        vec![AbsenceNoted {}.into()]
    }

    /// The instance had it and has it no more.
    fn vanished(&self, around: Surroundings<'_>) -> Vec<RunEvent> {
        if self.restarted_since(around) {
            return match (self.phase == Phase::Running, self.ledger.stop) {
                // It ran in a process that is no more: nothing of it runs.
                (_, Some(stop)) => vec![stopped(stop.reason)],
                (true, None) => vec![Failed::of(error::remote_restarted()).into()],
                (false, None) => vec![
                    SubmitInDoubt { why: "ComfyUI was restarted while the prompt waited in its queue".into() }.into(),
                    AttentionRaised::new(
                        AttentionKind::RemoteRestarted,
                        "ComfyUI was restarted and its queue is gone. Whether the prompt had begun is not known.",
                    )
                    .into(),
                ],
            };
        }
        let missing = self.ledger.missing;
        if let (Phase::Pending { .. }, Some(stop)) = (&self.phase, self.ledger.stop) {
            // Taken out of the queue: queue first, then history, so it is in neither.
            return vec![stopped(stop.reason)];
        }
        let long = missing.since.is_some_and(|since| around.now.since(since) >= GONE.1);
        if missing.times + 1 < GONE.0 || !long {
            return vec![AbsenceNoted {}.into()];
        }
        match self.ledger.stop {
            Some(stop) => vec![stopped(stop.reason)],
            None => vec![
                SubmitInDoubt { why: "the prompt is no longer in queue or history".into() }.into(),
                AttentionRaised::new(
                    AttentionKind::SubmitUnknown,
                    "The prompt was in the instance's queue and is in neither queue nor history now: \
                     somebody deleted it or cleared the history.",
                )
                .into(),
            ],
        }
    }

    fn restarted_since(&self, around: Surroundings<'_>) -> bool {
        self.ledger.intent.as_ref().is_some_and(|intent| intent.boot != around.boot)
    }

    /// Whether looking can be given up: five absences over a minute, or the process that may have had it is gone.
    pub(super) fn search_is_over(&self, around: Surroundings<'_>, search: &Search) -> bool {
        is_patient(around, search) || (search.absences >= 1 && self.restarted_since(around))
    }

    /// Whether the process that may have had it was asked for long enough, and does not have it.
    pub(super) fn searched_in_vain(&self, around: Surroundings<'_>, search: &Search) -> bool {
        is_patient(around, search) && !self.restarted_since(around)
    }
}

fn is_patient(around: Surroundings<'_>, search: &Search) -> bool {
    search.first.is_some_and(|first| around.now.since(first) >= 60_000) && search.absences >= 5
}

pub(super) fn stopped(reason: StopReason) -> RunEvent {
    match reason {
        StopReason::Cancelled => Cancelled {}.into(),
        StopReason::Limit(limit) => Failed::of(error::limit(limit)).into(),
    }
}

/// The rhythm of looking: 1, 2, 4, 8, 15, 30 s, then every minute (reliability.md 5 step 4).
fn wait_ms(absences: u32) -> u64 {
    match absences {
        0 => 0,
        1 => 1_000,
        2 => 2_000,
        3 => 4_000,
        4 => 8_000,
        5 => 15_000,
        6 => 30_000,
        _ => 60_000, // From the seventh on.
    }
}

/// When the search of a run in doubt can be judged next.
pub(super) fn search_deadline(search: &Search) -> Option<Timestamp> {
    (search.absences >= 5).then(|| search.first.map(|first| first.plus_ms(60_000))).flatten()
}
