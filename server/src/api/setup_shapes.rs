//! What requests about generic workflows hold and what their answers say, for the document.
//!
//! Bodies are read field by field and views are written by hand, see [`super::setups`] and [`super::setup_view`]; a test compares the names.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

/// What starts a workflow. At most one of `ssh_connection`, `instance` and `url` is given.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct StartBody {
    /// What is done one after the other, 1 to 256.
    steps: Vec<StepBody>,
    /// The machine, as an SSH command line.
    ssh_connection: Option<String>,
    /// The machine, as a known instance.
    instance: Option<String>,
    /// The machine, as the address of a ComfyUI.
    url: Option<String>,
    /// The pause between two steps in seconds; 5 if absent.
    step_delay: Option<f64>,
    /// The id; one is made if absent.
    workflow_id: Option<String>,
}

/// A step; it takes more fields, according to its action.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct StepBody {
    /// What it does, such as `execute_comfyui_workflow` (with the fields of `/comfyui/workflow/execute`), `test_comfyui` or `wait` (with `seconds`).
    action: String,
    /// What people read.
    label: Option<String>,
    /// Whether it is done; true if absent.
    enabled: Option<bool>,
}

/// Which workflow.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct StopBody {
    /// The workflow.
    workflow_id: String,
}

/// Which workflow, and what to leave out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct ResumeBody {
    /// The workflow.
    workflow_id: String,
    /// Unfinished steps to leave out, by number from 0.
    skip: Option<Vec<u32>>,
}

/// A workflow that a request changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    /// The workflow.
    pub(super) workflow_id: String,
    /// The plan's five words.
    pub(super) status: &'static str,
    /// What happened.
    pub(super) message: &'static str,
}

/// A generic workflow. An imported one has the other fields of its file too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view that is written by hand")]
pub(super) struct SetupState {
    /// Always `generic_workflow`.
    r#type: String,
    /// The version of this shape.
    version: u32,
    /// The workflow.
    workflow_id: String,
    /// `executing completed failed cancelled`; what waits for its user is `executing` too.
    status: String,
    /// `running blocked completed failed cancelled`.
    legacy_status: String,
    /// The step in progress, else the first unfinished one, else the last; 0 for the first.
    current_step: usize,
    /// How many steps it has.
    total_steps: usize,
    /// The share of the steps that are done or left out.
    progress_percent: f64,
    /// Its steps, in order.
    steps: Vec<StepState>,
    /// When it began.
    start_time: String,
    /// When something last changed.
    last_update: String,
    /// When it was over.
    end_time: Option<String>,
    /// The machine, as an SSH command line.
    ssh_connection: Option<String>,
    /// The machine, as a known instance.
    instance: Option<String>,
    /// The machine, as the address of a ComfyUI.
    url: Option<String>,
    /// The pause between two steps in seconds.
    step_delay: f64,
    /// Whether the step in progress is being stopped.
    stopping: bool,
    /// What it waits for: `kind`, `message`, `hint`, and `actions`, each of them one call.
    attention: Option<Value>,
    /// The place of its newest fact.
    seq: u64,
}

/// A step of a generic workflow.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view that is written by hand")]
pub(super) struct StepState {
    /// What it does.
    action: String,
    /// What people read.
    label: String,
    /// `pending in_progress completed failed blocked skipped`.
    status: String,
    /// What it consists of.
    tasks: Vec<TaskState>,
    /// What it says.
    completion_note: Option<String>,
    /// Why it failed, or what it needs.
    error: Option<SetupStepError>,
    /// The run that it made.
    run_id: Option<String>,
}

/// Why a step failed, or what it needs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view that is written by hand")]
pub(super) struct SetupStepError {
    /// A stable name.
    code: String,
    /// What happened.
    message: String,
    /// What to do.
    hint: String,
}

/// A part of a step. An imported one has the other fields of its file too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view that is written by hand")]
pub(super) struct TaskState {
    /// Its name.
    name: String,
    /// `pending running success failed`.
    status: String,
    /// What it says.
    note: Option<String>,
    /// What it consists of.
    #[schema(no_recursion)]
    subtasks: Option<Vec<TaskState>>,
}

/// What is shown after a reload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view that is written by hand")]
pub(super) struct StateShown {
    /// A run or a generic workflow, told apart by `type`; null if none is active.
    #[schema(schema_with = any_state)]
    state: Option<Value>,
}

fn any_state() -> Schema {
    let named = |name: &str| Ref::from_schema_name(name);
    OneOfBuilder::new()
        .item(named("RunView"))
        .item(named("SetupState"))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .build()
        .into()
}

/// A state that was taken over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view that is written by hand")]
pub(super) struct ImportedState {
    /// The workflow.
    workflow_id: String,
    /// What happened.
    message: String,
    /// Its state.
    state: SetupState,
}

/// What is not shown any more.
#[derive(Serialize, ToSchema)]
pub(super) struct Gone {
    /// The ids.
    pub(super) dismissed: Vec<String>,
}

/// The state in a few words.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view whose times and shares are written as text and number")]
pub(super) struct SummaryShown {
    /// Whether there is anything to show.
    has_workflow: bool,
    /// Its fields are null where there is nothing.
    summary: SummaryState,
}

/// The state in a few words.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a view whose times and shares are written as text and number")]
pub(super) struct SummaryState {
    /// Whether it goes on, or waits for its user.
    active: bool,
    /// The workflow.
    workflow_id: Option<String>,
    /// The plan's five words.
    status: Option<String>,
    /// The step in progress, from 0; of a run, how many nodes are done.
    current_step: Option<usize>,
    /// The steps; of a run, its nodes.
    total_steps: Option<usize>,
    /// The share that is done.
    progress_percent: Option<f64>,
    /// When it began.
    start_time: Option<String>,
    /// When something last changed.
    last_update: Option<String>,
    /// Whether something is being done now.
    is_running: bool,
}
