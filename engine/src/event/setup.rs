//! The facts of a generic workflow's stream.
//!
//! Invariants: a step's beginning is recorded before anything is done for it, and each beginning has a number of its own. Values that were given
//! are kept as the JSON text that came, so that nothing of them is lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::macros::events;
use crate::id::RunId;
use crate::time::Timestamp;

events! {
    /// A fact about a generic workflow.
    SetupEvent {
        /// It was started here.
        SetupCreated = "setup_created", 1, Ack;
        /// A state file of another program was taken over.
        SetupImported = "setup_imported", 1, Ack;
        /// A step begins.
        SetupStepBegun = "setup_step_begun", 1, Ack;
        /// A step has made a run.
        SetupStepRun = "setup_step_run", 1, Ack;
        /// A step told how far it is.
        SetupStepReported = "setup_step_reported", 1, Tick;
        /// A step ended.
        SetupStepEnded = "setup_step_ended", 1, Ack;
        /// Somebody wants it to stop.
        SetupStopRequested = "setup_stop_requested", 1, Ack;
        /// It stopped between two steps.
        SetupStopped = "setup_stopped", 1, Ack;
        /// It goes on with its first unfinished step.
        SetupResumed = "setup_resumed", 1, Ack;
    }
}

/// A generic workflow was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupCreated {
    /// Where its steps work, unless they say otherwise.
    pub target: SetupTarget,
    /// Its steps, in order.
    pub steps: Vec<PlannedStep>,
    /// The pause between two steps, in milliseconds.
    pub step_delay_ms: u64,
}

/// Where the steps of a generic workflow work: at most one is set; none for the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupTarget {
    /// An SSH command line, without keys and passwords.
    #[serde(default)]
    pub ssh_connection: Option<String>,
    /// A known instance.
    #[serde(default)]
    pub instance: Option<String>,
    /// The address of a ComfyUI.
    #[serde(default)]
    pub url: Option<String>,
}

/// A step as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What it does.
    pub action: String,
    /// What people read.
    pub label: String,
    /// Whether it is to be done at all.
    pub enabled: bool,
    /// The other fields that came with it, each as JSON text.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// A state file of another program was taken over; nothing of it runs here until somebody resumes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupImported {
    /// Where its steps work.
    pub target: SetupTarget,
    /// What the file says of the whole.
    pub status: ImportedStatus,
    /// Its steps, in order.
    pub steps: Vec<ImportedStep>,
    /// When it began.
    pub started: Timestamp,
    /// When the file was last written.
    pub updated: Timestamp,
    /// The other fields of the file, each as JSON text.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// What an imported file says of the whole workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportedStatus {
    /// Steps were being done.
    Running,
    /// A step waited for somebody.
    Blocked,
    /// All steps were done.
    Completed,
    /// A step failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A step as an imported file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedStep {
    /// What it does; its other fields are those that the file has and that are not known by name.
    pub plan: PlannedStep,
    /// How far it is.
    pub status: StepStatus,
    /// What it consists of.
    #[serde(default)]
    pub tasks: Vec<SetupTask>,
    /// What it said at the end.
    #[serde(default)]
    pub note: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<StepError>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It waits for its turn.
    Pending,
    /// It is being done.
    InProgress,
    /// It is done.
    Completed,
    /// It could not be done.
    Failed,
    /// It needs something first.
    Blocked,
    /// It is left out.
    Skipped,
}

/// A part of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupTask {
    /// Its name; a step has no two of the same.
    pub name: String,
    /// How far it is.
    pub status: TaskStatus,
    /// What it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it consists of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtasks: Vec<SetupTask>,
    /// Other fields, each as JSON text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// It waits for its turn.
    Pending,
    /// It is being done.
    Running,
    /// It is done.
    Success,
    /// It could not be done.
    Failed,
}

/// Why a step failed, or what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// A stable name.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A step begins: recorded before anything is done for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStepBegun {
    /// Which one: 0 for the first.
    pub step: u32,
    /// How often it has begun, this time included.
    pub attempt: u32,
}

/// The run that a step made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStepRun {
    /// Which step.
    pub step: u32,
    /// Its run.
    pub run: RunId,
}

/// How far a step is: what changed since it was told last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStepReported {
    /// Which step.
    pub step: u32,
    /// Tasks that are new or have changed, by name.
    pub tasks: Vec<SetupTask>,
    /// What it says now.
    #[serde(default)]
    pub note: Option<String>,
}

/// A step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStepEnded {
    /// Which step.
    pub step: u32,
    /// How.
    pub ending: StepEnding,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnding {
    /// It is done.
    Completed {
        /// What it says about that.
        note: Option<String>,
    },
    /// It could not be done.
    Failed(StepError),
    /// It needs something that is not there; nothing was done.
    Blocked(StepError),
    /// It was stopped.
    Interrupted,
}

/// Somebody wants the workflow to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStopRequested {}

/// The workflow stopped while no step was being done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStopped {}

/// The workflow goes on with its first unfinished step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupResumed {
    /// Unfinished steps to leave out from now on.
    #[serde(default)]
    pub skip: Vec<u32>,
}
