//! What a fact changes.

use super::{Setup, SetupPhase, SetupStep};
use crate::event::{
    Recorded, SetupCreated, SetupEvent, SetupImported, SetupStepBegun, SetupStepEnded, SetupStepReported, SetupStepRun,
    StepEnding, StepStatus,
};
use crate::id::{Seq, SetupId};
use crate::run::Unexpected;
use crate::time::Timestamp;

/// What a step says that was stopped.
const STOPPED: &str = "Stopped";

impl Setup {
    /// The workflow that the first fact of a stream creates.
    ///
    /// # Errors
    /// If the fact is not a creation or an import at place 1.
    pub fn created(id: SetupId, recorded: &Recorded<SetupEvent>) -> Result<Self, Unexpected> {
        let at = recorded.at;
        match &recorded.event {
            SetupEvent::SetupCreated(created) if recorded.seq == Seq(1) => Ok(Self::planned(id, created, at)),
            SetupEvent::SetupImported(file) if recorded.seq == Seq(1) => Ok(Self::imported(id, file, Seq(1), at)),
            // Whatever else stands first, the stream is not a workflow's.
            other => Err(Unexpected { seq: recorded.seq, kind: other.kind(), phase: "none" }),
        }
    }

    fn planned(id: SetupId, created: &SetupCreated, at: Timestamp) -> Self {
        let steps: Vec<SetupStep> = created.steps.iter().cloned().map(SetupStep::planned).collect();
        let mut setup = Self {
            id,
            target: created.target.clone(),
            step_delay_ms: created.step_delay_ms,
            steps,
            phase: SetupPhase::Running,
            next_at: at,
            seq: Seq(1),
            started: at,
            updated: at,
            recorded: at,
            ended: None,
            fields: [].into(),
        };
        setup.complete(at);
        setup
    }

    fn imported(id: SetupId, file: &SetupImported, seq: Seq, at: Timestamp) -> Self {
        let phase = SetupPhase::Imported(file.status);
        Self {
            id,
            target: file.target.clone(),
            // The old program's pause.
            step_delay_ms: 5_000,
            steps: file.steps.iter().cloned().map(SetupStep::imported).collect(),
            phase,
            next_at: at,
            seq,
            started: file.started,
            updated: file.updated,
            recorded: at,
            ended: phase.is_over().then_some(file.updated),
            fields: file.fields.clone(),
        }
    }

    /// Folds a fact.
    ///
    /// # Errors
    /// If the fact cannot follow; the workflow is unchanged then.
    pub fn apply(&mut self, recorded: &Recorded<SetupEvent>) -> Result<(), Unexpected> {
        let unexpected = Unexpected { seq: recorded.seq, kind: recorded.event.kind(), phase: self.phase.as_str() };
        if recorded.seq != self.seq.next() {
            return Err(unexpected);
        }
        let at = recorded.at;
        match &recorded.event {
            SetupEvent::SetupImported(file) if matches!(self.phase, SetupPhase::Imported(_)) => {
                *self = Self::imported(self.id.clone(), file, recorded.seq, at);
                return Ok(());
            }
            SetupEvent::SetupStepBegun(SetupStepBegun { step, attempt }) => {
                let free = self.phase == SetupPhase::Running && self.in_progress().is_none();
                let step = self.steps.get_mut(*step as usize).filter(|step| free && !step.is_finished()).ok_or(unexpected)?;
                step.begin(*attempt, at);
            }
            SetupEvent::SetupStepRun(SetupStepRun { step, run }) => self.working(*step).ok_or(unexpected)?.made(*run),
            SetupEvent::SetupStepReported(SetupStepReported { step, tasks, note }) => {
                self.working(*step).ok_or(unexpected)?.report(tasks, note.as_ref());
            }
            SetupEvent::SetupStepEnded(SetupStepEnded { step, ending }) => {
                let step = self.working(*step).ok_or(unexpected)?;
                end(step, ending);
                self.after(ending, at);
            }
            SetupEvent::SetupStopRequested(_) if self.in_progress().is_some() => self.phase = SetupPhase::Stopping,
            SetupEvent::SetupStopped(_) if self.in_progress().is_none() && !self.phase.is_over() => {
                self.steps.iter_mut().filter(|step| step.status() == StepStatus::InProgress).for_each(SetupStep::wait);
                self.over(SetupPhase::Cancelled, at);
            }
            SetupEvent::SetupCreated(_)
            | SetupEvent::SetupImported(_)
            | SetupEvent::SetupStopRequested(_)
            | SetupEvent::SetupStopped(_) => return Err(unexpected),
            SetupEvent::SetupResumed(resumed) => {
                let known = resumed.skip.iter().all(|step| (*step as usize) < self.steps.len());
                let resting = !matches!(self.phase, SetupPhase::Running | SetupPhase::Stopping | SetupPhase::Completed);
                if !(known && resting) {
                    return Err(unexpected);
                }
                resumed.skip.iter().for_each(|step| self.steps[*step as usize].skip());
                self.steps.iter_mut().for_each(SetupStep::wait);
                self.phase = SetupPhase::Running;
                self.ended = None;
                self.next_at = at;
                self.complete(at);
            }
        }
        self.seq = recorded.seq;
        self.updated = at;
        self.recorded = at;
        Ok(())
    }

    /// Passes over a record of an optional kind that this program does not know.
    pub fn skip(&mut self, seq: Seq) {
        self.seq = self.seq.max(seq);
    }

    fn working(&mut self, step: u32) -> Option<&mut SetupStep> {
        let (now, _) = self.in_progress()?;
        (now == step as usize).then(|| &mut self.steps[now])
    }

    fn after(&mut self, ending: &StepEnding, at: Timestamp) {
        match ending {
            StepEnding::Completed { .. } if self.first_unfinished().is_none() => self.over(SetupPhase::Completed, at),
            StepEnding::Failed(_) => self.over(SetupPhase::Failed, at),
            StepEnding::Interrupted => self.over(SetupPhase::Cancelled, at),
            StepEnding::Completed { .. } | StepEnding::Blocked(_) if self.phase == SetupPhase::Stopping => {
                self.over(SetupPhase::Cancelled, at);
            }
            StepEnding::Completed { .. } => self.next_at = at.plus_ms(self.step_delay_ms),
            StepEnding::Blocked(_) => self.phase = SetupPhase::Blocked,
        }
    }

    /// Is over if nothing is left to do.
    fn complete(&mut self, at: Timestamp) {
        if self.first_unfinished().is_none() {
            self.over(SetupPhase::Completed, at);
        }
    }

    fn over(&mut self, phase: SetupPhase, at: Timestamp) {
        self.phase = phase;
        self.ended = Some(at);
    }
}

fn end(step: &mut SetupStep, ending: &StepEnding) {
    match ending {
        StepEnding::Completed { note } => {
            step.end(StepStatus::Completed, None);
            if let Some(note) = note {
                step.say(note);
            }
        }
        StepEnding::Failed(error) => step.end(StepStatus::Failed, Some(error)),
        StepEnding::Blocked(error) => step.end(StepStatus::Blocked, Some(error)),
        StepEnding::Interrupted => {
            step.end(StepStatus::Pending, None);
            step.say(STOPPED);
        }
    }
}
