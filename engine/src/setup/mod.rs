//! A generic workflow: steps that are done one after the other.
//!
//! `decide` reads and says which facts to record; `apply` folds a fact. Nothing else changes a workflow. Invariants: at most one step is in
//! progress; a step that begins again has a higher number; after a stop no step begins until somebody resumes.
//! Absent: what a step does. Who drives this looks at [`Setup::in_progress`] and [`Setup::is_stopping`] after each fact and does what they say, after
//! a restart too.

mod decide;
mod fold;
mod step;

pub use decide::{SetupInput, SetupRefusal};
pub use step::SetupStep;

use std::collections::BTreeMap;

use crate::event::{SetupTarget, StepStatus};
use crate::id::{Seq, SetupId};
use crate::time::Timestamp;

/// Where a generic workflow is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupPhase {
    /// It was imported; nothing of it runs here.
    Imported(crate::event::ImportedStatus),
    /// Its steps are being done.
    Running,
    /// The step in progress is being stopped.
    Stopping,
    /// A step needs something first.
    Blocked,
    /// All steps are done or left out.
    Completed,
    /// A step failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl SetupPhase {
    /// The word: `running blocked completed failed cancelled`.
    pub fn as_str(self) -> &'static str {
        use crate::event::ImportedStatus as Said;
        match self {
            Self::Running | Self::Stopping | Self::Imported(Said::Running) => "running",
            Self::Blocked | Self::Imported(Said::Blocked) => "blocked",
            Self::Completed | Self::Imported(Said::Completed) => "completed",
            Self::Failed | Self::Imported(Said::Failed) => "failed",
            Self::Cancelled | Self::Imported(Said::Cancelled) => "cancelled",
        }
    }

    /// Whether it is over, unless somebody resumes it.
    pub fn is_over(self) -> bool {
        matches!(self.as_str(), "completed" | "failed" | "cancelled")
    }
}

/// A generic workflow, folded from its facts.
///
/// ```
/// # use comfyd_engine::*;
/// let step = PlannedStep { action: "wait".into(), label: "Wait".into(), enabled: true, fields: [].into() };
/// let created = SetupCreated { target: SetupTarget::default(), steps: vec![step], step_delay_ms: 5_000 };
/// let first = Recorded { seq: Seq(1), at: Timestamp(7), event: created.into() };
/// let setup = Setup::created("first".parse()?, &first)?;
/// assert_eq!(setup.decide(Timestamp(7), SetupInput::Deadline)?, [SetupStepBegun { step: 0, attempt: 1 }.into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    id: SetupId,
    target: SetupTarget,
    step_delay_ms: u64,
    steps: Vec<SetupStep>,
    phase: SetupPhase,
    /// When the next step may begin.
    next_at: Timestamp,
    seq: Seq,
    started: Timestamp,
    updated: Timestamp,
    recorded: Timestamp,
    ended: Option<Timestamp>,
    fields: BTreeMap<String, String>,
}

impl Setup {
    /// Its id.
    pub fn id(&self) -> &SetupId {
        &self.id
    }

    /// Where its steps work.
    pub fn target(&self) -> &SetupTarget {
        &self.target
    }

    /// Where it is in its life.
    pub fn phase(&self) -> SetupPhase {
        self.phase
    }

    /// Its steps, in order.
    pub fn steps(&self) -> &[SetupStep] {
        &self.steps
    }

    /// The place of its newest fact.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// When it began.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// When something last changed; of an imported one, when its file was written.
    pub fn updated(&self) -> Timestamp {
        self.updated
    }

    /// When its newest fact was recorded here.
    pub fn recorded(&self) -> Timestamp {
        self.recorded
    }

    /// When it was over.
    pub fn ended(&self) -> Option<Timestamp> {
        self.ended
    }

    /// The pause between two steps, in milliseconds.
    pub fn step_delay_ms(&self) -> u64 {
        self.step_delay_ms
    }

    /// The other fields of an imported file, each as JSON text.
    pub fn fields(&self) -> &BTreeMap<String, String> {
        &self.fields
    }

    /// The step that is shown as the current one: in progress, else the first unfinished, else the last.
    pub fn current(&self) -> usize {
        let in_progress = self.steps.iter().position(|step| step.status() == StepStatus::InProgress);
        in_progress.or_else(|| self.first_unfinished()).unwrap_or(self.steps.len().saturating_sub(1))
    }

    /// The step that is to be worked on now, and how often it has begun.
    pub fn in_progress(&self) -> Option<(usize, u32)> {
        if !matches!(self.phase, SetupPhase::Running | SetupPhase::Stopping) {
            return None;
        }
        let step = self.steps.iter().position(|step| step.status() == StepStatus::InProgress)?;
        Some((step, self.steps[step].attempt()))
    }

    /// Whether the step in progress is to be stopped.
    pub fn is_stopping(&self) -> bool {
        self.phase == SetupPhase::Stopping
    }

    /// When [`SetupInput::Deadline`] is to be told.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        (self.phase == SetupPhase::Running && self.in_progress().is_none()).then_some(self.next_at)
    }

    fn first_unfinished(&self) -> Option<usize> {
        self.steps.iter().position(|step| !step.is_finished())
    }
}
