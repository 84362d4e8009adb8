//! The fold of a run as a hierarchical state machine: how each fact moves it.
//!
//! Invariants: no entry or exit actions; a handler never changes anything before it returns `Super`; the root names every event, so that a new
//! one does not compile until it is placed; the only place that says `Command::Dispatch` is `dispatching`.
//! Absent: judgement. Whether a fact is recorded is decided elsewhere.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a leaf hands what it does not know to its superstate; the root is exhaustive"
)]

use statig::prelude::*;

use crate::command::{Command, Outbox};
use crate::event::{AttentionKind, Recorded, RunEvent};

use super::ledger::{Attention, Ledger, LogTail, Missing, Stop, StopReason};
use super::nodes::NodeState;
use super::outputs::Place;
use super::phase::{Phase, Search, Staging};

type Fact = Recorded<RunEvent>;

#[state_machine(
    initial = "Phase::START",
    state(custom, name = "Phase"),
    superstate(name = "Family"),
    context_identifier = "outbox",
    visibility = "pub(crate)"
)]
impl Ledger {
    #[state(superstate = "queued")]
    fn waiting(&mut self, not_before: &mut Option<crate::time::Timestamp>, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            RunEvent::StagingStarted(_) => {
                *not_before = None;
                self.begin_stage(outbox);
                Transition(Phase::Staging { progress: Staging::Busy })
            }
            RunEvent::SubmitIntended(intent) => Transition(self.dispatching(intent, event.seq, outbox)),
            _ => Super,
        }
    }

    #[state(superstate = "queued")]
    fn staging(&mut self, progress: &mut Staging, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            RunEvent::Staged(staged) => {
                self.prompt = staged.prompt.clone();
                self.staged = true;
                self.targets = Some(staged.outputs.clone());
                self.nodes.aim(&staged.outputs);
                self.inputs.are_named(&staged.uploaded);
                self.clear(&[AttentionKind::StagingDelayed]);
                *progress = Staging::Ready;
                Handled
            }
            RunEvent::StagingDelayed(delay) => {
                *progress = Staging::Delayed(delay.retry_at);
                Handled
            }
            RunEvent::StagingStarted(_) => {
                self.begin_stage(outbox);
                *progress = Staging::Busy;
                Handled
            }
            RunEvent::SubmitIntended(intent) => Transition(self.dispatching(intent, event.seq, outbox)),
            _ => Super,
        }
    }

    #[state(superstate = "queued")]
    fn submitting(&mut self, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            RunEvent::SubmitNotSent(fact) => Transition(Phase::Waiting { not_before: Some(fact.retry_at) }),
            RunEvent::SubmitInDoubt(_) => {
                outbox.say(Command::Reconcile { prompt_id: self.prompt_id.clone() });
                Transition(Phase::InDoubt { search: Search::default() })
            }
            RunEvent::Submitted(fact) => Transition(self.arrived(fact, event.at, outbox)),
            _ => Super,
        }
    }

    #[state(superstate = "queued")]
    fn in_doubt(&mut self, search: &mut Search, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            // A late answer: it certainly did not arrive.
            RunEvent::SubmitNotSent(fact) => {
                self.clear(&[AttentionKind::SubmitUnknown, AttentionKind::RemoteRestarted]);
                Transition(Phase::Waiting { not_before: Some(fact.retry_at) })
            }
            RunEvent::AbsenceNoted(_) => {
                search.absences += 1;
                search.first = search.first.or(Some(event.at));
                search.last = Some(event.at);
                Handled
            }
            RunEvent::ResubmitRequested(wish) => {
                self.twins.possible = true;
                self.twins.by_policy += u32::from(wish.by_policy);
                self.clear(&[AttentionKind::SubmitUnknown, AttentionKind::RemoteRestarted]);
                // Time limits count from the new attempt.
                (self.submitted, self.started) = (None, None);
                Transition(Phase::START)
            }
            RunEvent::Submitted(fact) => Transition(self.arrived(fact, event.at, outbox)),
            _ => Super,
        }
    }

    #[state(superstate = "queued")]
    fn pending(&mut self, position: &mut Option<u32>, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            RunEvent::QueueMoved(moved) => {
                *position = Some(moved.position);
                self.missing = Missing::default();
                Handled
            }
            RunEvent::CancelRequested(_) | RunEvent::LimitReached(_) | RunEvent::StopRepeated(_) => {
                self.note_stop(event);
                outbox.say(Command::Dequeue { prompt_id: self.prompt_id.clone() });
                Handled
            }
            RunEvent::ExecutionStarted(_) => {
                self.started = self.started.or(Some(event.at));
                self.missing = Missing::default();
                // The dequeue may have lost the race: what was to be stopped is stopped where it is now.
                if let Some(stop) = self.stop {
                    self.say_interrupt(stop.force, outbox);
                }
                Transition(Phase::Running)
            }
            _ => self.vanishing(event),
        }
    }

    #[state(superstate = "executing")]
    fn running(&mut self, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            // Seen again after it was missed.
            RunEvent::ExecutionStarted(_) => {}
            RunEvent::NodesCached(cached) => cached.nodes.iter().for_each(|node| self.nodes.cache(node, event.at)),
            RunEvent::NodeStarted(fact) => self.nodes.start(&fact.node, fact.parent.as_ref(), event.at),
            RunEvent::NodesProgressed(fact) => fact.nodes.iter().for_each(|report| self.nodes.progress(report, event.at)),
            RunEvent::NodeTexted(fact) => self.nodes.text(&fact.node, &fact.text),
            RunEvent::NodeFinished(fact) => self.nodes.finish(&fact.node, fact.parent.as_ref(), event.at),
            RunEvent::NodeBlocked(fact) => {
                self.warn("node_blocked", fact.message.clone(), Some(fact.node.clone()));
                self.nodes.block(&fact.node, &fact.message, event.at);
            }
            RunEvent::CancelRequested(_) | RunEvent::LimitReached(_) | RunEvent::StopRepeated(_) => {
                self.note_stop(event);
                let force = self.stop.is_some_and(|stop| stop.force);
                self.say_interrupt(force, outbox);
            }
            RunEvent::ExecutionSucceeded(_) => {
                // Without a gap every node that ran was seen, so the rest was not needed.
                let unseen = if self.gap { NodeState::Done } else { NodeState::NotReached };
                // A wish to stop that came too late is void; a new one stops the fetching.
                self.stop = None;
                self.nodes.close(NodeState::Done, unseen, event.at);
                return Transition(Phase::Collecting);
            }
            _ => return self.vanishing(event),
        }
        self.missing = Missing::default();
        Handled
    }

    #[state(superstate = "executing")]
    fn collecting(&mut self, event: &Fact) -> Outcome<Phase> {
        match &event.event {
            RunEvent::Completed(_) => {
                self.nodes.complete();
                self.ended = Some(event.at);
                self.attention = None;
                Transition(Phase::Completed)
            }
            _ => Super,
        }
    }

    /// In no place that the instance knows, though it is not over.
    #[superstate(superstate = "alive")]
    fn queued(&mut self, event: &Fact) -> Outcome<Phase> {
        match &event.event {
            RunEvent::OutputsRefused(refused) => {
                self.take_refusal(refused);
                Handled
            }
            _ => Super,
        }
    }

    #[superstate(superstate = "alive")]
    fn executing(&mut self, event: &Fact) -> Outcome<Phase> {
        match &event.event {
            RunEvent::OutputsRefused(refused) => {
                self.take_refusal(refused);
                Handled
            }
            _ => Super,
        }
    }

    #[superstate(superstate = "life")]
    fn alive(&mut self, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            RunEvent::CancelRequested(_) | RunEvent::LimitReached(_) | RunEvent::StopRepeated(_) => {
                self.note_stop(event);
                Handled
            }
            RunEvent::StopSent(_) => {
                if let Some(stop) = &mut self.stop {
                    stop.at = event.at;
                }
                Handled
            }
            RunEvent::CancelRefused(_) => {
                self.stop = None;
                Handled
            }
            RunEvent::AttentionRaised(fact) => {
                self.attention = Some(Attention {
                    kind: fact.kind,
                    message: fact.message.clone(),
                    fingerprint: fact.fingerprint.clone(),
                    since: event.at,
                });
                Handled
            }
            RunEvent::AttentionCleared(fact) => {
                self.clear(&[fact.kind]);
                Handled
            }
            RunEvent::GapNoted(_) => {
                self.gap = true;
                Handled
            }
            RunEvent::Failed(fact) => {
                self.end_badly(&fact.error, event.at);
                if fact.log_wanted {
                    self.log_tail = LogTail::Owed;
                    outbox.say(Command::ReadLog {});
                }
                Transition(Phase::Failed)
            }
            RunEvent::Cancelled(_) => {
                self.nodes.close(NodeState::Interrupted, NodeState::NotReached, event.at);
                self.ended = Some(event.at);
                self.attention = None;
                Transition(Phase::Cancelled)
            }
            _ => Super,
        }
    }

    #[state(superstate = "settled")]
    fn completed() -> Outcome<Phase> {
        Super
    }

    #[state(superstate = "settled")]
    fn failed(&mut self, event: &Fact) -> Outcome<Phase> {
        match &event.event {
            RunEvent::InstanceLogNoted(noted) => {
                self.log_tail = LogTail::Noted(noted.lines.clone());
                Handled
            }
            _ => Super,
        }
    }

    #[state(superstate = "settled")]
    fn cancelled() -> Outcome<Phase> {
        Super
    }

    /// An ending is final. What follows tells of its tidying up only, and stands in docs/format.md: of outputs (`output_…`), of uploads (`inputs_…`), of a
    /// second copy (`twin_…`), of the instance's log after a failure (`instance_log_noted`), and of the log itself (`log_repaired`).
    #[superstate(superstate = "life")]
    fn settled() -> Outcome<Phase> {
        Super
    }

    /// What can happen at any time, and every event by name.
    #[superstate]
    fn life(&mut self, event: &Fact, outbox: &mut Outbox) -> Outcome<Phase> {
        match &event.event {
            RunEvent::BlobStored(blob) => Self::pass_blob(blob),
            RunEvent::LogRepaired(repair) => {
                self.warn("log_repaired", format!("{} unsynced bytes were cut off the log after a crash", repair.bytes), None);
            }
            RunEvent::OutputsFound(found) => {
                for (n, file) in self.find_outputs(found) {
                    outbox.say(Command::Collect { n, file });
                }
            }
            RunEvent::OutputSaved(fact) => {
                self.settle_output(fact.n, Place::Saved(fact.file.clone()));
                if let Some(why) = &fact.file.copy_problem {
                    self.warn("output_not_copied", why.clone(), None);
                }
            }
            RunEvent::OutputLost(fact) => {
                self.settle_output(fact.n, Place::Lost { why: fact.why.clone() });
                let node = self.outputs.get(fact.n).map(|(output, _)| output.node.clone());
                self.warn("output_lost", fact.why.clone(), node);
            }
            RunEvent::OutputDelayed(fact) => {
                self.settle_output(fact.n, Place::Delayed { why: fact.why.clone(), retry_at: fact.retry_at });
            }
            RunEvent::OutputRetried(fact) => self.retry_output(fact.n, outbox),
            RunEvent::InputsRemovalIntended(_) | RunEvent::InputsRemovalDelayed(_) | RunEvent::InputsRemoved(_) => {
                self.move_inputs(&event.event, outbox);
            }
            RunEvent::TwinFound(fact) => self.find_twin(fact.running, event.at, outbox),
            RunEvent::TwinDeleted(_) => self.twins.owed = false,
            RunEvent::TwinWatchEnded(_) => (self.twins.until, self.twins.owed) = (None, false),
            RunEvent::RunCreated(_)
            | RunEvent::StagingStarted(_)
            | RunEvent::Staged(_)
            | RunEvent::StagingDelayed(_)
            | RunEvent::SubmitIntended(_)
            | RunEvent::Submitted(_)
            | RunEvent::SubmitNotSent(_)
            | RunEvent::SubmitInDoubt(_)
            | RunEvent::AbsenceNoted(_)
            | RunEvent::ResubmitRequested(_)
            | RunEvent::OutputsRefused(_)
            | RunEvent::QueueMoved(_)
            | RunEvent::ExecutionStarted(_)
            | RunEvent::NodesCached(_)
            | RunEvent::NodeStarted(_)
            | RunEvent::NodesProgressed(_)
            | RunEvent::NodeTexted(_)
            | RunEvent::NodeFinished(_)
            | RunEvent::NodeBlocked(_)
            | RunEvent::GapNoted(_)
            | RunEvent::ExecutionSucceeded(_)
            | RunEvent::CancelRequested(_)
            | RunEvent::LimitReached(_)
            | RunEvent::StopSent(_)
            | RunEvent::StopRepeated(_)
            | RunEvent::CancelRefused(_)
            | RunEvent::AttentionRaised(_)
            | RunEvent::AttentionCleared(_)
            | RunEvent::Completed(_)
            | RunEvent::Failed(_)
            | RunEvent::InstanceLogNoted(_)
            | RunEvent::Cancelled(_) => return Super,
        }
        Handled
    }
}

impl Ledger {
    /// An instance that had the prompt and has it no more.
    fn vanishing(&mut self, event: &Fact) -> Outcome<Phase> {
        match &event.event {
            RunEvent::AbsenceNoted(_) => {
                self.missing.times += 1;
                self.missing.since = self.missing.since.or(Some(event.at));
                Handled
            }
            RunEvent::SubmitInDoubt(_) => Transition(Phase::InDoubt { search: Search::default() }),
            _ => Super,
        }
    }

    fn note_stop(&mut self, event: &Fact) {
        let known = self.stop;
        self.stop = match &event.event {
            RunEvent::CancelRequested(wish) => Some(Stop { reason: StopReason::Cancelled, force: wish.force, at: event.at }),
            RunEvent::LimitReached(fact) => Some(Stop { reason: StopReason::Limit(fact.limit), force: false, at: event.at }),
            _ => known.map(|stop| Stop { at: event.at, ..stop }),
        };
        self.clear(&[AttentionKind::CancelRefused]);
    }
}
