//! What time or the state itself asks for, without an input.

use crate::event::{
    AttentionKind, AttentionRaised, Completed, InstanceLogNoted, Limit, LimitReached, OutputLost, OutputRetried, RunEvent,
    StagingStarted, StopRepeated,
};
use crate::run::{Phase, Place, Run, Staging};
use crate::time::Timestamp;

use super::Surroundings;
use super::reconciled::{search_deadline, stopped};

/// How long outputs are tried for after a run has ended.
pub(super) const GIVE_UP_MS: u64 = 24 * 3_600_000;
/// How long after a failure the end of the instance's log is of use.
const LOG_EXPIRES_MS: u64 = 30_000;
/// How long a stop that was sent may stay without effect before it is sent again: an interrupt can be lost (protocol.md 12).
const STOP_GRACE_MS: u64 = 5_000;

impl Run {
    /// The facts that are due now; asked again until there are none.
    pub(crate) fn decide_due(&self, around: Surroundings<'_>) -> Vec<RunEvent> {
        let now = around.now;
        let mut facts: Vec<RunEvent> = Vec::new();
        if let Some(given_up) = self.give_up_at().filter(|at| *at <= now) {
            let why = format!("given up at {given_up}, a day after the run had ended");
            facts.extend(self.delayed_outputs().map(|(n, _)| OutputLost { n, why: why.clone() }.into()));
        } else if around.online {
            facts.extend(self.delayed_outputs().filter(|(_, at)| *at <= now).map(|(n, _)| OutputRetried { n }.into()));
        }
        // Nothing says what became of the question, and a later answer would tell of other runs.
        facts.extend(self.log_expires_at().filter(|at| *at <= now).map(|_| InstanceLogNoted { lines: vec![] }.into()));
        facts.extend(self.end_of_twin_watch(now));
        facts.extend(self.due_of_phase(around));
        facts
    }

    /// When the end of the instance's log is not waited for any more.
    fn log_expires_at(&self) -> Option<Timestamp> {
        self.ended_at().filter(|_| self.owes_log()).map(|ended| ended.plus_ms(LOG_EXPIRES_MS))
    }

    /// When outputs that an ended run still owes are no longer tried for.
    fn give_up_at(&self) -> Option<Timestamp> {
        let ended = self.ended_at().filter(|_| self.phase.is_settled())?;
        self.delayed_outputs().next().map(|_| ended.plus_ms(GIVE_UP_MS))
    }

    fn due_of_phase(&self, around: Surroundings<'_>) -> Option<RunEvent> {
        let now = around.now;
        let stop = self.ledger.stop;
        match &self.phase {
            Phase::Waiting { .. } | Phase::Collecting | Phase::Staging { .. } if stop.is_some() => {
                stop.map(|stop| stopped(stop.reason))
            }
            Phase::Staging { progress: Staging::Delayed(at) } if *at <= now && around.online => Some(StagingStarted {}.into()),
            // The user gave it up: the instance cannot be asked, so nothing better than this word will come.
            Phase::Pending { .. } | Phase::Running | Phase::InDoubt { .. }
                if stop.is_some_and(|stop| stop.force) && !around.online =>
            {
                stop.map(|stop| stopped(stop.reason))
            }
            Phase::InDoubt { search } if self.search_is_over(around, search) => match stop {
                Some(stop) => Some(stopped(stop.reason)),
                None => self.resubmit_by_policy(around, search).or_else(|| {
                    self.raise(
                        AttentionKind::SubmitUnknown,
                        "The answer to the submission was lost and the prompt was not found since: it was probably not accepted.",
                    )
                }),
            },
            Phase::Pending { .. } | Phase::Running if stop.is_some_and(|stop| now.since(stop.at) >= STOP_GRACE_MS) => {
                around.online.then(|| StopRepeated {}.into())
            }
            Phase::Pending { .. } => {
                let since = around.idle_since.max(self.ledger.submitted).filter(|_| around.idle_since.is_some())?;
                let over = self.can_be_limited() && now.since(since) >= around.limits.queue_timeout_ms;
                over.then(|| LimitReached { limit: Limit::QueueTimeout }.into())
            }
            Phase::Running => {
                let over = self.ledger.started.is_some_and(|started| now.since(started) >= around.limits.max_execution_ms);
                (over && self.can_be_limited()).then(|| LimitReached { limit: Limit::TimeLimit }.into())
            }
            Phase::Collecting if self.outputs().all_settled() => Some(Completed {}.into()),
            Phase::Collecting => {
                let why = self.outputs().iter().find_map(|(_, place)| match place {
                    Place::Delayed { why, .. } => Some(why.clone()),
                    Place::Remote | Place::Saved(_) | Place::Lost { .. } | Place::Inline => None,
                });
                why.and_then(|why| self.raise(AttentionKind::OutputDelayed, &why))
            }
            Phase::Waiting { .. }
            | Phase::Staging { .. }
            | Phase::Submitting
            | Phase::InDoubt { .. }
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled => None,
        }
    }

    /// Not if it is being stopped already, nor if the instance cannot stop it: then a person was told.
    fn can_be_limited(&self) -> bool {
        let refused = self.attention().is_some_and(|attention| attention.kind == AttentionKind::CancelRefused);
        !self.is_stopping() && !refused
    }

    fn raise(&self, kind: AttentionKind, message: &str) -> Option<RunEvent> {
        // What is the matter with the way says more than that nothing comes over it.
        let stays = |known: AttentionKind| known == kind || known.offers_resubmit() || (kind.is_delay() && known.is_of_the_way());
        let known = self.attention().is_some_and(|attention| stays(attention.kind));
        (!known).then(|| AttentionRaised::new(kind, message).into())
    }

    fn delayed_outputs(&self) -> impl Iterator<Item = (u32, Timestamp)> {
        self.outputs().iter().filter_map(|(output, place)| match place {
            Place::Delayed { retry_at, .. } => Some((output.n, *retry_at)),
            Place::Remote | Place::Saved(_) | Place::Lost { .. } | Place::Inline => None,
        })
    }

    /// When `decide_due` has to be asked again, at the latest.
    pub(crate) fn next_deadline(&self, around: Surroundings<'_>) -> Option<Timestamp> {
        let outputs = if around.online { self.delayed_outputs().map(|(_, at)| at).min() } else { None };
        let ends = self
            .give_up_at()
            .into_iter()
            .chain(self.removal_deadline(around))
            .chain(self.log_expires_at())
            .chain(self.twin_watch_ends());
        outputs.into_iter().chain(ends).chain(self.deadline_of_phase(around)).min()
    }

    fn deadline_of_phase(&self, around: Surroundings<'_>) -> Option<Timestamp> {
        let again = self.ledger.stop.map(|stop| stop.at.plus_ms(STOP_GRACE_MS)).filter(|_| around.online);
        match &self.phase {
            Phase::Waiting { not_before } => not_before.filter(|at| *at > around.now),
            Phase::Staging { progress: Staging::Delayed(at) } => around.online.then_some(*at),
            Phase::InDoubt { search } => search_deadline(search).filter(|at| *at > around.now),
            Phase::Pending { .. } if self.can_be_limited() => {
                let since = around.idle_since.max(self.ledger.submitted).filter(|_| around.idle_since.is_some());
                since.map(|at| at.plus_ms(around.limits.queue_timeout_ms))
            }
            Phase::Running if self.can_be_limited() => self.ledger.started.map(|at| at.plus_ms(around.limits.max_execution_ms)),
            Phase::Pending { .. } | Phase::Running => again,
            Phase::Staging { .. }
            | Phase::Submitting
            | Phase::Collecting
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled => None,
        }
    }
}
