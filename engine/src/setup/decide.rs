//! What follows from a request or an observation.

use super::{Setup, SetupPhase};
use crate::event::{
    SetupEvent, SetupImported, SetupResumed, SetupStepBegun, SetupStepEnded, SetupStepReported, SetupStepRun, SetupStopRequested,
    SetupStopped, SetupTask, StepEnding,
};
use crate::id::RunId;
use crate::time::Timestamp;

/// What a generic workflow may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupInput {
    /// Request: take over a newer copy of the file that it was imported from.
    Import(Box<SetupImported>),
    /// Request: stop.
    Stop,
    /// Request: go on with the first unfinished step.
    Resume {
        /// Unfinished steps to leave out.
        skip: Vec<u32>,
    },
    /// Observation: time has passed.
    Deadline,
    /// Observation: a step has made a run.
    Made {
        /// Which step.
        step: usize,
        /// In which of its beginnings.
        attempt: u32,
        /// The run.
        run: RunId,
    },
    /// Observation: a step tells how far it is.
    Report {
        /// Which step.
        step: usize,
        /// In which of its beginnings.
        attempt: u32,
        /// All of its tasks.
        tasks: Vec<SetupTask>,
        /// What it says.
        note: Option<String>,
    },
    /// Observation: a step ended.
    Ended {
        /// Which step.
        step: usize,
        /// In which of its beginnings.
        attempt: u32,
        /// How.
        ending: StepEnding,
    },
}

/// A request that a generic workflow does not grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupRefusal {
    /// It is over.
    #[error("stop or resume a workflow that is {0}")]
    Over(&'static str),
    /// It is being stopped.
    #[error("resume a workflow that is being stopped")]
    Stopping,
    /// It goes on already, so its steps cannot be changed.
    #[error("leave out steps of a workflow that is running")]
    Running,
    /// There is no such step, or it is done.
    #[error("leave out step {0}: it is not an unfinished step")]
    NoSuchStep(u32),
    /// It runs here, so no file can replace it.
    #[error("import over a workflow that was started or resumed here")]
    Ours,
}

impl Setup {
    /// Says which facts follow. A request can be refused; an observation that comes late leads to none.
    ///
    /// # Errors
    /// If a request cannot be granted.
    pub fn decide(&self, now: Timestamp, input: SetupInput) -> Result<Vec<SetupEvent>, SetupRefusal> {
        match input {
            SetupInput::Import(file) => match self.phase {
                SetupPhase::Imported(_) => Ok(vec![(*file).into()]),
                SetupPhase::Running
                | SetupPhase::Stopping
                | SetupPhase::Blocked
                | SetupPhase::Completed
                | SetupPhase::Failed
                | SetupPhase::Cancelled => Err(SetupRefusal::Ours),
            },
            SetupInput::Stop => self.stop(),
            SetupInput::Resume { skip } => self.resume(skip),
            SetupInput::Deadline => Ok(self.due(now)),
            SetupInput::Made { step, attempt, run } => {
                let news = self.is_at(step, attempt) && self.steps[step].run() != Some(run);
                Ok(if news { vec![SetupStepRun { step: number(step), run }.into()] } else { vec![] })
            }
            SetupInput::Report { step, attempt, tasks, note } => {
                if !self.is_at(step, attempt) {
                    return Ok(vec![]);
                }
                let known = &self.steps[step];
                let note = note.filter(|note| known.note() != Some(note));
                let tasks = known.news(tasks);
                let silent = tasks.is_empty() && note.is_none();
                Ok(if silent { vec![] } else { vec![SetupStepReported { step: number(step), tasks, note }.into()] })
            }
            SetupInput::Ended { step, attempt, ending } => {
                let news = self.is_at(step, attempt);
                Ok(if news { vec![SetupStepEnded { step: number(step), ending }.into()] } else { vec![] })
            }
        }
    }

    fn is_at(&self, step: usize, attempt: u32) -> bool {
        self.in_progress() == Some((step, attempt))
    }

    fn stop(&self) -> Result<Vec<SetupEvent>, SetupRefusal> {
        match self.phase {
            SetupPhase::Running if self.in_progress().is_some() => Ok(vec![SetupStopRequested {}.into()]),
            SetupPhase::Running | SetupPhase::Blocked => Ok(vec![SetupStopped {}.into()]),
            SetupPhase::Imported(_) if !self.phase.is_over() => Ok(vec![SetupStopped {}.into()]),
            // Asking twice is asking once.
            SetupPhase::Stopping | SetupPhase::Cancelled => Ok(vec![]),
            SetupPhase::Imported(_) | SetupPhase::Completed | SetupPhase::Failed => Err(SetupRefusal::Over(self.phase.as_str())),
        }
    }

    fn resume(&self, skip: Vec<u32>) -> Result<Vec<SetupEvent>, SetupRefusal> {
        match self.phase {
            SetupPhase::Running if skip.is_empty() => return Ok(vec![]),
            SetupPhase::Running => return Err(SetupRefusal::Running),
            SetupPhase::Stopping => return Err(SetupRefusal::Stopping),
            SetupPhase::Completed => return Err(SetupRefusal::Over(self.phase.as_str())),
            SetupPhase::Imported(_) if self.first_unfinished().is_none() => {
                return Err(SetupRefusal::Over(self.phase.as_str()));
            }
            SetupPhase::Imported(_) | SetupPhase::Blocked | SetupPhase::Failed | SetupPhase::Cancelled => {}
        }
        let unfinished = |step: u32| self.steps.get(step as usize).is_some_and(|step| !step.is_finished());
        match skip.iter().find(|step| !unfinished(**step)) {
            Some(step) => Err(SetupRefusal::NoSuchStep(*step)),
            None => Ok(vec![SetupResumed { skip }.into()]),
        }
    }

    /// The next step begins when its time has come.
    fn due(&self, now: Timestamp) -> Vec<SetupEvent> {
        let due = self.next_deadline().is_some_and(|at| at <= now);
        let next = self.first_unfinished().filter(|_| due);
        let begun = next.map(|step| SetupStepBegun { step: number(step), attempt: self.steps[step].attempt() + 1 });
        begun.into_iter().map(SetupEvent::from).collect()
    }
}

fn number(step: usize) -> u32 {
    u32::try_from(step).expect("a workflow has fewer steps than that")
}
