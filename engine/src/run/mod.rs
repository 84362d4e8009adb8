//! One run: its phase, its book, and the two functions that change them.
//!
//! `decide` reads and says which facts to record; `apply` folds a fact. Nothing else changes a run.

mod decide;
mod inputs;
mod ledger;
mod lifecycle;
mod moves;
mod nodes;
mod outputs;
mod outstanding;
mod phase;

use statig::blocking::StateExt;
use statig::prelude::Outcome;

pub use ledger::{Attention, Warning};
pub use nodes::{Node, NodeState, Nodes};
pub use outputs::{MAX_OUTPUTS, Outputs, Place};
pub use phase::{Phase, Search, Staging, Status};

pub(crate) use decide::{Ends, Surroundings};
use ledger::{Ledger, LogTail};

use crate::command::Outbox;
use crate::event::{Recorded, RunError, RunEvent, RunSpec};
use crate::id::{InstanceId, PromptId, RunId, Seq};
use crate::time::Timestamp;

/// A log contradicts the code: a fact that cannot follow what is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fold `{kind}` at {seq} in phase {phase}")]
pub struct Unexpected {
    /// Where in the stream.
    pub seq: Seq,
    /// The kind of the fact.
    pub kind: &'static str,
    /// The phase that could not take it.
    pub phase: &'static str,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    phase: Phase,
    ledger: Ledger,
    seq: Seq,
    carried: u32,
}

impl Run {
    /// The run that the first fact of a stream creates.
    ///
    /// # Errors
    /// If the fact is not `run_created` at place 1.
    pub fn created(id: RunId, recorded: &Recorded<RunEvent>) -> Result<Self, Unexpected> {
        match &recorded.event {
            RunEvent::RunCreated(created) if recorded.seq == Seq(1) => {
                let ledger = Ledger::new(id, created.spec.clone(), recorded.at);
                Ok(Self { phase: Phase::START, ledger, seq: recorded.seq, carried: created.carried })
            }
            // Whatever else stands first, the stream is not a run's.
            other => Err(Unexpected { seq: recorded.seq, kind: other.kind(), phase: "none" }),
        }
    }

    /// Folds a fact. Commands go to the outbox.
    ///
    /// # Errors
    /// If the fact cannot follow; the run is unchanged then.
    pub fn apply(&mut self, recorded: &Recorded<RunEvent>, outbox: &mut Outbox) -> Result<(), Unexpected> {
        let unexpected = Unexpected { seq: recorded.seq, kind: recorded.event.kind(), phase: self.phase.as_str() };
        if recorded.seq != self.seq.next() {
            return Err(unexpected);
        }
        outbox.caused_by(self.ledger.run, &self.ledger.spec.instance, recorded.seq);
        match self.phase.handle(&mut self.ledger, recorded, outbox) {
            Outcome::Handled => {}
            Outcome::Transition(next) => self.phase = next,
            Outcome::Super => return Err(unexpected),
        }
        self.seq = recorded.seq;
        self.ledger.updated = recorded.at;
        Ok(())
    }

    /// Passes over a record of an optional kind that this program does not know.
    pub fn skip(&mut self, seq: Seq) {
        self.seq = self.seq.max(seq);
    }

    /// Its id.
    pub fn id(&self) -> RunId {
        self.ledger.run
    }

    /// The place of the newest folded fact.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// How many blobs were written with its first record.
    pub fn carried(&self) -> u32 {
        self.carried
    }

    /// Where it is in its life.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What it was asked to do.
    pub fn spec(&self) -> &RunSpec {
        &self.ledger.spec
    }

    /// Where it runs.
    pub fn instance(&self) -> &InstanceId {
        &self.ledger.spec.instance
    }

    /// The id under which the instance knows it.
    pub fn prompt_id(&self) -> &PromptId {
        &self.ledger.prompt_id
    }

    /// Its nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.ledger.nodes
    }

    /// Its outputs.
    pub fn outputs(&self) -> &Outputs {
        &self.ledger.outputs
    }

    /// What it waits for.
    pub fn attention(&self) -> Option<&Attention> {
        self.ledger.attention.as_ref()
    }

    /// What its user should know.
    pub fn warnings(&self) -> &[Warning] {
        &self.ledger.warnings
    }

    /// Why it failed.
    pub fn error(&self) -> Option<&RunError> {
        self.ledger.error.as_ref()
    }

    /// What the instance's own log ended with when it had failed there, the oldest line first.
    pub fn log_lines(&self) -> &[String] {
        match &self.ledger.log_tail {
            LogTail::Noted(lines) => lines,
            LogTail::Unwanted | LogTail::Owed => &[],
        }
    }

    /// Whether the end of the instance's own log is still to come.
    pub fn owes_log(&self) -> bool {
        self.ledger.log_tail == LogTail::Owed
    }

    /// Whether it was posted again a moment ago, so that the instance may have it a second time.
    pub fn watches_twin(&self) -> bool {
        self.ledger.twins.until.is_some()
    }

    /// Whether somebody or a limit wants it stopped.
    pub fn is_stopping(&self) -> bool {
        self.ledger.wants_stop()
    }

    /// When it was created.
    pub fn created_at(&self) -> Timestamp {
        self.ledger.created
    }

    /// When the newest fact was recorded.
    pub fn updated_at(&self) -> Timestamp {
        self.ledger.updated
    }

    /// When the instance began to run it.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.ledger.started
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.ledger.ended
    }

    /// Whether nothing is left to do for it: it is done, and what it uploaded is not to be removed any more.
    pub fn is_over(&self) -> bool {
        self.is_done() && !self.owes_removal()
    }

    /// Whether it has ended, neither an output nor the end of the instance's log is owed, and no second copy of its prompt is looked for.
    pub fn is_done(&self) -> bool {
        !self.needs_instance() && !self.owes_log() && !self.watches_twin()
    }

    /// Whether it has not ended, or an output is owed.
    pub fn needs_instance(&self) -> bool {
        !self.phase.is_settled() || !self.ledger.outputs.all_settled()
    }

    /// Whether what it uploaded is still to be removed.
    pub fn owes_removal(&self) -> bool {
        self.ledger.inputs.are_owed()
    }

    /// Whether frames were missed, so that nodes can have ended unseen.
    pub fn has_gap(&self) -> bool {
        self.ledger.gap
    }

    /// Its place in the instance's queue, if known.
    pub fn place_in_queue(&self) -> Option<u32> {
        match self.phase {
            Phase::Pending { position } => position,
            Phase::Waiting { .. }
            | Phase::Staging { .. }
            | Phase::Submitting
            | Phase::InDoubt { .. }
            | Phase::Running
            | Phase::Collecting
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled => None,
        }
    }

    /// How often the prompt was meant to be posted.
    pub fn attempts(&self) -> u32 {
        self.ledger.attempts()
    }

    pub(crate) fn needs_staging(&self) -> bool {
        !self.ledger.staged
    }

    pub(crate) fn graph_to_post(&self) -> &crate::id::Sha256 {
        &self.ledger.prompt
    }

    /// Whether the instance may have it, so that its fate must be watched.
    pub fn is_watched(&self) -> bool {
        match self.phase {
            Phase::InDoubt { .. } | Phase::Pending { .. } | Phase::Running => true,
            Phase::Collecting | Phase::Completed | Phase::Failed | Phase::Cancelled => self.watches_twin(),
            Phase::Waiting { .. } | Phase::Staging { .. } | Phase::Submitting => false,
        }
    }
}
