//! What commands came to.

use crate::event::{
    AttentionKind, AttentionRaised, BlobStored, CancelRefused, Evidence, Failed, InstanceLogNoted, OutputDelayed, OutputLost,
    OutputSaved, OutputsRefused, RunEvent, Staged, StagingDelayed, StopSent, SubmitInDoubt, SubmitNotSent, Submitted,
    TwinDeleted,
};
use crate::id::CommandId;
use crate::input::Outcome;
use crate::run::ledger::OUTPUTS_REFUSED;
use crate::run::{Phase, Place, Run, Staging};

use super::{Surroundings, backoff_ms};

impl Run {
    pub(crate) fn decide_outcome(&self, around: Surroundings<'_>, command: &CommandId, outcome: &Outcome) -> Vec<RunEvent> {
        match outcome {
            Outcome::Staged { .. } | Outcome::StagingFailed { .. } | Outcome::StagingDelayed { .. } => {
                self.staging_came_to(around, outcome)
            }
            Outcome::Accepted { .. } | Outcome::Rejected { .. } | Outcome::NotSent { .. } | Outcome::Unclear { .. } => {
                // An answer to an older attempt says nothing of the newest one; taken for it, it could lead to a second post.
                if self.ledger.posted == Some(command.seq) { self.dispatch_came_to(around, outcome) } else { vec![] }
            }
            Outcome::Stopped => self.while_stopping(StopSent {}.into()),
            Outcome::CannotStop { why } => {
                let mut facts = self.while_stopping(CancelRefused { why: why.clone() }.into());
                if !facts.is_empty() {
                    facts.push(AttentionRaised::new(AttentionKind::CancelRefused, why).into());
                }
                facts
            }
            Outcome::LogRead { lines } if self.owes_log() => vec![InstanceLogNoted { lines: lines.clone() }.into()],
            Outcome::TwinDeleted if self.ledger.twins.owed => vec![TwinDeleted {}.into()],
            // The wish to stop is noted, and is sent again when the time has come; a twin that is still there is seen again; a log that comes
            // later tells of other runs.
            Outcome::NotStopped { .. } | Outcome::TwinDeleted | Outcome::TwinKept { .. } | Outcome::LogRead { .. } => vec![],
            Outcome::Collected { n, .. } | Outcome::OutputGone { n, .. } | Outcome::OutputDelayed { n, .. } => {
                self.collect_came_to(around, outcome, *n)
            }
            Outcome::InputsRemoved { .. } | Outcome::InputsDelayed { .. } => self.removal_came_to(around, outcome),
        }
    }

    fn while_stopping(&self, fact: RunEvent) -> Vec<RunEvent> {
        if self.is_stopping() && !self.phase.is_settled() { vec![fact] } else { vec![] }
    }

    fn staging_came_to(&self, around: Surroundings<'_>, outcome: &Outcome) -> Vec<RunEvent> {
        let Phase::Staging { progress: Staging::Busy } = self.phase else { return vec![] };
        match outcome {
            Outcome::Staged { prompt, outputs, uploaded, blob } => {
                let stored = blob.as_ref().map(|bytes| BlobStored { sha256: prompt.clone(), bytes: bytes.clone() }.into());
                let staged = Staged { prompt: prompt.clone(), outputs: outputs.clone(), uploaded: uploaded.clone() };
                stored.into_iter().chain([staged.into()]).collect()
            }
            Outcome::StagingFailed { error } => vec![Failed::of(error.clone()).into()],
            Outcome::StagingDelayed { why } => {
                let retry_at = around.now.plus_ms(backoff_ms(2));
                let attention = AttentionRaised::new(AttentionKind::StagingDelayed, why);
                let raise = self.attention().is_none().then(|| attention.into());
                [StagingDelayed { why: why.clone(), retry_at }.into()].into_iter().chain(raise).collect()
            }
            _ => vec![], // Only the three above are handed here.
        }
    }

    fn dispatch_came_to(&self, around: Surroundings<'_>, outcome: &Outcome) -> Vec<RunEvent> {
        let submitting = self.phase == Phase::Submitting;
        let open = submitting || matches!(self.phase, Phase::InDoubt { .. });
        match outcome {
            // A frame can be faster than the answer: then only what the answer adds is news.
            Outcome::Accepted { prompt_id, problems, refused } => {
                let arrived = Submitted { prompt_id: prompt_id.clone(), evidence: Evidence::Answer };
                let dropped = OutputsRefused { problems: problems.clone(), outputs: refused.clone() };
                let told = self.warnings().iter().any(|warning| warning.code == OUTPUTS_REFUSED);
                let news = !problems.is_empty() && !told && !self.phase.is_settled();
                open.then(|| arrived.into()).into_iter().chain(news.then(|| dropped.into())).collect()
            }
            Outcome::Rejected { error } if open => {
                let mut error = error.clone();
                // An unknown class is refused without saying it; we know what we sent.
                let node = error.node_id.as_ref().and_then(|id| self.nodes().get(id));
                error.node_type = error.node_type.or_else(|| node.map(|node| node.class.clone()));
                vec![Failed::of(error).into()]
            }
            Outcome::NotSent { why } if open => {
                let retry_at = around.now.plus_ms(backoff_ms(self.ledger.attempts().saturating_sub(1)));
                let attention = AttentionRaised::new(AttentionKind::SubmitDelayed, why);
                // Once is an accident and soon mended; what goes on must be told.
                let raise = (self.ledger.attempts() > 1 && self.attention().is_none()).then(|| attention.into());
                [SubmitNotSent { why: why.clone(), retry_at }.into()].into_iter().chain(raise).collect()
            }
            Outcome::Unclear { why } if submitting => vec![SubmitInDoubt { why: why.clone() }.into()],
            _ => vec![], // Too late: frames or a look-up have told more.
        }
    }

    fn collect_came_to(&self, around: Surroundings<'_>, outcome: &Outcome, n: u32) -> Vec<RunEvent> {
        let Some((_, place)) = self.outputs().get(n) else { return vec![] };
        // A file that is whole is welcome, also when another try was thought to be needed.
        let wanted = *place == Place::Remote || matches!((place, outcome), (Place::Delayed { .. }, Outcome::Collected { .. }));
        if !wanted {
            return vec![];
        }
        match outcome {
            Outcome::Collected { file, .. } => vec![OutputSaved { n, file: file.clone() }.into()],
            Outcome::OutputGone { why, .. } => vec![OutputLost { n, why: why.clone() }.into()],
            Outcome::OutputDelayed { why, .. } => {
                // For an ended run nobody waits: ever more seldom.
                let since_end = self.ended_at().map_or(0, |ended| around.now.since(ended));
                let retry_at = around.now.plus_ms(backoff_ms(4).max((since_end / 4).min(3_600_000)));
                vec![OutputDelayed { n, why: why.clone(), retry_at }.into()]
            }
            _ => vec![], // Only the three above are handed here.
        }
    }
}
