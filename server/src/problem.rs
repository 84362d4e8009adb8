//! Errors for people and programs: a stable code, what happened, what to do.

use comfyd_engine::{Refusal, RunId, Status};
use serde::Serialize;

use crate::core::AskError;

/// Why a request was not done. Its `status` is the HTTP status code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The HTTP status code.
    #[serde(skip)]
    pub status: u16,
    /// A stable name in `snake_case`.
    pub code: String,
    /// What happened; names the field and the value.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Everything else that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The request that met it, as in the `x-request-id` of the answer and in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request_id: Option<Box<str>>,
}

impl Problem {
    /// A problem of this status and code.
    pub fn new(status: u16, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), hint: hint.into(), details: None, request_id: None }
    }

    /// Something in the request is wrong.
    pub fn invalid(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(400, code, message, hint)
    }

    /// There is no such run.
    pub fn unknown_run(name: &str) -> Self {
        let name: String = name.chars().take(120).collect();
        Self::new(404, "unknown_run", format!("there is no run `{name}`"), "List the runs with `comfyd runs`.")
    }

    /// There is no such instance; these are called much the same.
    pub fn unknown_instance(name: &str, near: &[String]) -> Self {
        let name: String = name.chars().take(120).collect();
        let hint = if near.is_empty() {
            "List the instances with `comfyd instances`, or give a `url`.".to_owned()
        } else {
            format!("Did you mean `{}`? List them with `comfyd instances`, or give a `url`.", near.join("`, `"))
        };
        Self::new(404, "unknown_instance", format!("there is no instance `{name}`"), hint)
    }

    /// There is no such generic workflow.
    pub fn unknown_workflow(name: &str) -> Self {
        let name: String = name.chars().take(120).collect();
        let hint = "GET /workflow/state shows the one that is active.";
        Self::new(404, "unknown_workflow", format!("there is no workflow `{name}`"), hint)
    }

    /// The run that a request with this key made has been removed: it is not made again.
    pub(crate) fn run_removed(key: &str, run: RunId) -> Self {
        let message = format!("Idempotency-Key: `{key}` was used for run {run}, which has been removed since");
        Self::new(410, "run_removed", message, "Use a new key to run it again.")
    }

    /// The key was used before.
    pub fn key_reused(key: &str, run: RunId) -> Self {
        let message = format!("Idempotency-Key: `{key}` was used for run {run} with another request");
        Self::new(422, "idempotency_key_reused", message, "Use a new key for a new request.")
    }

    /// The run has ended.
    pub fn already_settled(run: RunId, status: Status) -> Self {
        let status = status.as_str();
        Self::new(
            409,
            "already_settled",
            format!("run {run} has already ended: {status}"),
            "Nothing is left to stop; start a new run.",
        )
    }

    /// The server cannot do it now.
    pub fn unavailable(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(503, code, message, hint)
    }

    /// Nothing can be written until the disk is repaired and the server started again.
    pub fn read_only(why: &str) -> Self {
        let hint = "Repair the disk or put the data directory back, then restart comfyd. Runs on ComfyUI go on meanwhile.";
        Self::unavailable("read_only", format!("nothing can be stored: {why}"), hint)
    }

    /// The log of a run is damaged: the run can be read up to the damage, not changed.
    pub fn quarantined(run: RunId, why: &str) -> Self {
        let hint = "Look at it with `comfyd log verify`, and save what is whole with `comfyd log salvage`.";
        Self::new(409, "quarantined", format!("the log of run {run} is damaged: {why}"), hint)
    }

    /// The log of a generic workflow is damaged: nothing of it goes on.
    pub fn workflow_quarantined(workflow: &str, why: &str) -> Self {
        let hint = "Look at its log with `comfyd log verify`, and start a new workflow with the steps that are left.";
        Self::new(409, "quarantined", format!("the log of workflow {workflow} cannot be used: {why}"), hint)
    }

    /// Something here is broken.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "internal", message, "Look at the server's log.")
    }

    /// The same with more details.
    #[must_use]
    pub fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..self }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(refusal) => refused(&refusal),
            AskError::NotStored { why, disk_full: true } => Self::new(
                507,
                "disk_full",
                format!("the log could not be written: {why}"),
                "Free disk space; nothing was started.",
            ),
            AskError::NotStored { why, disk_full: false } => Self::unavailable(
                "not_stored",
                format!("the log could not be written: {why}"),
                "Nothing was started. Try again; look at the disk.",
            ),
            AskError::TooLarge { why } => Self::new(
                413,
                "too_large",
                format!("the run does not fit in a record of its log: {why}"),
                "Shorten the names of nodes and texts that are not inputs, or split the workflow; nothing was started.",
            ),
            AskError::Busy => Self::unavailable("busy", "too many requests wait already", "Try again in a second."),
            AskError::Stopping => Self::unavailable("stopping", "the server is stopping", "Try again when it is up."),
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let message = format!("failed to {refusal}");
    match refusal {
        Refusal::UnknownRun(run) => Problem::unknown_run(&run.to_string()),
        Refusal::Exists(_) => Problem::new(409, "exists", message, "Ask again: another id is drawn."),
        Refusal::UnknownInstance(_) => Problem::new(404, "unknown_instance", message, "Give a `url`, or add the instance first."),
        Refusal::InstanceExists(_) => Problem::new(409, "instance_exists", message, "Choose another name, or change that one."),
        Refusal::AddressTaken { .. } => {
            Problem::new(409, "address_taken", message, "Use that instance, or remove it first: one server is one instance.")
        }
        Refusal::InstanceOfConfig(_) => {
            Problem::new(409, "instance_of_config", message, "Change it there; the server reads the file again.")
        }
        Refusal::NameTaken { instance, .. } => {
            let hint = format!("Add an instance of another name for that address, or rename {instance}.");
            Problem::new(409, "instance_name_taken", message, hint)
        }
        Refusal::HostKeyKnown { .. } => Problem::new(
            409,
            "host_key_changed",
            message,
            "If you know why the key changed, give `replace: true` (comfyd instances trust NAME --replace). A new machine is better a new instance.",
        ),
        Refusal::InstanceBusy { .. } => {
            let hint =
                "Wait until they have ended, or cancel them. Another address is another server, where they would run again.";
            Problem::new(409, "instance_busy", message, hint)
        }
        Refusal::AlreadySettled(run) => {
            Problem::new(409, "already_settled", format!("run {run} has already ended"), "Start a new run.")
        }
        Refusal::NotInDoubt(_) => Problem::new(409, "not_in_doubt", message, "Wait, or cancel it and start a new run."),
        Refusal::TooManyRuns { .. } => Problem::new(429, "too_many_runs", message, "Wait until some have ended."),
    }
}
