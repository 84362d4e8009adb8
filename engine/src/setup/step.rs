//! One step of a generic workflow.

use crate::event::{ImportedStep, PlannedStep, SetupTask, StepError, StepStatus};
use crate::id::RunId;
use crate::time::Timestamp;

/// A step, as far as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupStep {
    plan: PlannedStep,
    status: StepStatus,
    attempt: u32,
    began: Option<Timestamp>,
    run: Option<RunId>,
    tasks: Vec<SetupTask>,
    note: Option<String>,
    error: Option<StepError>,
}

impl SetupStep {
    pub(super) fn planned(plan: PlannedStep) -> Self {
        let status = if plan.enabled { StepStatus::Pending } else { StepStatus::Skipped };
        Self { plan, status, attempt: 0, began: None, run: None, tasks: vec![], note: None, error: None }
    }

    pub(super) fn imported(found: ImportedStep) -> Self {
        let ImportedStep { plan, status, tasks, note, error } = found;
        Self { plan, status, attempt: 0, began: None, run: None, tasks, note, error }
    }

    /// What was asked for.
    pub fn plan(&self) -> &PlannedStep {
        &self.plan
    }

    /// How far it is.
    pub fn status(&self) -> StepStatus {
        self.status
    }

    /// How often it has begun here.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When it began last.
    pub fn began(&self) -> Option<Timestamp> {
        self.began
    }

    /// The run that it made.
    pub fn run(&self) -> Option<RunId> {
        self.run
    }

    /// What it consists of.
    pub fn tasks(&self) -> &[SetupTask] {
        &self.tasks
    }

    /// What it says.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Why it failed, or what it needs.
    pub fn error(&self) -> Option<&StepError> {
        self.error.as_ref()
    }

    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        matches!(self.status, StepStatus::Completed | StepStatus::Skipped)
    }

    /// Tasks of a report that are not known as they are told.
    pub(super) fn news(&self, told: Vec<SetupTask>) -> Vec<SetupTask> {
        told.into_iter().filter(|task| !self.tasks.contains(task)).collect()
    }

    pub(super) fn begin(&mut self, attempt: u32, at: Timestamp) {
        let plan = self.plan.clone();
        *self = Self { attempt, began: Some(at), status: StepStatus::InProgress, ..Self::planned(plan) };
    }

    pub(super) fn made(&mut self, run: RunId) {
        self.run = Some(run);
    }

    pub(super) fn report(&mut self, tasks: &[SetupTask], note: Option<&String>) {
        for task in tasks {
            match self.tasks.iter_mut().find(|known| known.name == task.name) {
                Some(known) => known.clone_from(task),
                None => self.tasks.push(task.clone()),
            }
        }
        if let Some(note) = note {
            self.note = Some(note.clone());
        }
    }

    pub(super) fn end(&mut self, status: StepStatus, error: Option<&StepError>) {
        self.status = status;
        self.error = error.cloned();
    }

    pub(super) fn say(&mut self, note: &str) {
        self.note = Some(note.to_owned());
    }

    /// Waits again for its turn.
    pub(super) fn wait(&mut self) {
        if !self.is_finished() {
            self.status = StepStatus::Pending;
            self.error = None;
        }
    }

    pub(super) fn skip(&mut self) {
        self.status = StepStatus::Skipped;
        self.error = None;
    }
}
