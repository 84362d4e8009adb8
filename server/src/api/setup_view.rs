//! A generic workflow in the plan's shape.

use std::collections::BTreeMap;

use comfyd_adapters::comfy::lenient::{to_plain, to_strict};
use comfyd_engine::{Percent, Setup, SetupPhase, SetupStep, SetupTask, StepStatus, TaskStatus, Time};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The type of these states.
pub(super) const TYPE: &str = "generic_workflow";
/// The version of this shape.
pub(super) const VERSION: u32 = 1;

/// The fields of the shape, so that an import can tell them from those of others.
pub(super) const FIELDS: &[&str] = &[
    "type",
    "version",
    "workflow_id",
    "status",
    "legacy_status",
    "current_step",
    "total_steps",
    "progress_percent",
    "steps",
    "start_time",
    "last_update",
    "end_time",
    "ssh_connection",
    "instance",
    "url",
    "step_delay",
    "stopping",
    "attention",
    "seq",
];

/// A generic workflow as its readers see it.
pub(super) struct SetupView<'a> {
    setup: &'a Setup,
    /// That its log cannot be used, and why.
    aside: Option<String>,
}

impl<'a> SetupView<'a> {
    /// The view of a workflow.
    pub(super) fn of(setup: &'a Setup) -> Self {
        Self { setup, aside: None }
    }

    /// The same where its log cannot be used: nothing of it goes on, whatever it says.
    pub(super) fn set_aside(self, why: Option<String>) -> Self {
        let aside = why
            .map(|why| format!("Its log cannot be used, so nothing of it goes on, and what came last may not be shown: {why}"));
        Self { aside, ..self }
    }

    /// What is set aside waits for its user.
    fn word(&self) -> &'static str {
        let phase = self.setup.phase();
        if self.aside.is_some() && !phase.is_over() { "blocked" } else { phase.as_str() }
    }

    /// The plan's five words. What waits for its user has not ended, so it is `executing` too.
    pub(super) fn status(&self) -> &'static str {
        match self.word() {
            "running" | "blocked" => "executing",
            over => over,
        }
    }

    /// The share of the steps that are done or left out.
    pub(super) fn percent(&self) -> Percent {
        let steps = self.setup.steps();
        let finished = steps.iter().filter(|step| step.is_finished()).count();
        Percent(u32::try_from(finished * 1000 / steps.len().max(1)).unwrap_or(1000))
    }

    /// Whether its steps are being done here.
    pub(super) fn is_running(&self) -> bool {
        self.aside.is_none() && matches!(self.setup.phase(), SetupPhase::Running | SetupPhase::Stopping)
    }

    fn attention(&self) -> Option<Attention<'_>> {
        if let Some(message) = &self.aside {
            let hint = "Look at it with `comfyd log verify`, and start a new workflow with the steps that are left.";
            return Some(Attention { kind: "quarantined", message, hint: Some(hint), actions: vec![] });
        }
        let id = self.setup.id().as_str();
        let resume =
            Action { id: "resume", label: "Resume", method: "POST", href: "/workflow/resume", body: ActionBody::new(id, None) };
        let stop = Action { id: "stop", label: "Stop", method: "POST", href: "/workflow/stop", body: ActionBody::new(id, None) };
        match self.setup.phase() {
            SetupPhase::Imported(_) if !self.setup.phase().is_over() => Some(Attention {
                kind: "imported",
                message: "This state was imported; nothing of it runs here. Resume goes on with the first unfinished step.",
                hint: None,
                actions: vec![resume, stop],
            }),
            SetupPhase::Blocked => {
                let current = self.setup.current();
                let error = self.setup.steps().get(current)?.error()?;
                let skip = u32::try_from(current).ok();
                let body = ActionBody::new(id, skip);
                let skip = Action { id: "skip", label: "Leave out this step", method: "POST", href: "/workflow/resume", body };
                Some(Attention {
                    kind: &error.code,
                    message: &error.message,
                    hint: Some(&error.hint),
                    actions: vec![resume, skip, stop],
                })
            }
            SetupPhase::Imported(_)
            | SetupPhase::Running
            | SetupPhase::Stopping
            | SetupPhase::Completed
            | SetupPhase::Failed
            | SetupPhase::Cancelled => None,
        }
    }
}

impl Serialize for SetupView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let setup = self.setup;
        let target = setup.target();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", TYPE)?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry("workflow_id", setup.id())?;
        map.serialize_entry("status", self.status())?;
        map.serialize_entry("legacy_status", self.word())?;
        map.serialize_entry("current_step", &setup.current())?;
        map.serialize_entry("total_steps", &setup.steps().len())?;
        map.serialize_entry("progress_percent", &self.percent())?;
        map.serialize_entry("steps", &setup.steps().iter().map(|step| StepView(step, setup)).collect::<Vec<_>>())?;
        map.serialize_entry("start_time", &Time(setup.started()))?;
        map.serialize_entry("last_update", &Time(setup.updated()))?;
        map.serialize_entry("end_time", &setup.ended().map(Time))?;
        map.serialize_entry("ssh_connection", &target.ssh_connection)?;
        map.serialize_entry("instance", &target.instance)?;
        map.serialize_entry("url", &target.url)?;
        map.serialize_entry("step_delay", &seconds(setup.step_delay_ms()))?;
        map.serialize_entry("stopping", &(setup.is_stopping() && self.is_running()))?;
        map.serialize_entry("attention", &self.attention())?;
        map.serialize_entry("seq", &setup.seq())?;
        others::<S>(&mut map, setup.fields())?;
        map.end()
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most an hour")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// Fields that are not ours, as they came; what is no JSON, such as Python's `NaN`, as text.
fn others<S: Serializer>(map: &mut S::SerializeMap, fields: &BTreeMap<String, String>) -> Result<(), S::Error> {
    for (name, text) in fields {
        let strict = to_strict(text);
        let plain = to_plain(&strict);
        let raw: &RawValue = serde_json::from_str(&plain).map_err(serde::ser::Error::custom)?;
        map.serialize_entry(name, raw)?;
    }
    Ok(())
}

struct StepView<'a>(&'a SetupStep, &'a Setup);

impl Serialize for StepView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(step, setup) = self;
        let status = match step.status() {
            StepStatus::Pending => "pending",
            StepStatus::InProgress => "in_progress",
            StepStatus::Completed => "completed",
            StepStatus::Failed => "failed",
            StepStatus::Blocked => "blocked",
            StepStatus::Skipped => "skipped",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("action", &step.plan().action)?;
        map.serialize_entry("label", &step.plan().label)?;
        map.serialize_entry("status", status)?;
        map.serialize_entry("tasks", &step.tasks().iter().map(TaskView).collect::<Vec<_>>())?;
        if let Some(note) = step.note() {
            map.serialize_entry("completion_note", note)?;
        }
        if let Some(error) = step.error() {
            map.serialize_entry("error", error)?;
        }
        if let Some(run) = step.run() {
            map.serialize_entry("run_id", &run)?;
        }
        if matches!(setup.phase(), SetupPhase::Imported(_)) {
            others::<S>(&mut map, &step.plan().fields)?;
        }
        map.end()
    }
}

struct TaskView<'a>(&'a SetupTask);

impl Serialize for TaskView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let task = self.0;
        let status = match task.status {
            TaskStatus::Pending => "pending",
            TaskStatus::Running => "running",
            TaskStatus::Success => "success",
            TaskStatus::Failed => "failed",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &task.name)?;
        map.serialize_entry("status", status)?;
        if let Some(note) = &task.note {
            map.serialize_entry("note", note)?;
        }
        if !task.subtasks.is_empty() {
            map.serialize_entry("subtasks", &task.subtasks.iter().map(TaskView).collect::<Vec<_>>())?;
        }
        others::<S>(&mut map, &task.fields)?;
        map.end()
    }
}

/// What a workflow waits for.
#[derive(Serialize)]
struct Attention<'a> {
    kind: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
    actions: Vec<Action<'a>>,
}

/// One HTTP call that a page or script can make as it stands.
#[derive(Serialize)]
struct Action<'a> {
    id: &'static str,
    label: &'static str,
    method: &'static str,
    href: &'static str,
    body: ActionBody<'a>,
}

#[derive(Serialize)]
struct ActionBody<'a> {
    workflow_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skip: Vec<u32>,
}

impl<'a> ActionBody<'a> {
    fn new(workflow_id: &'a str, skip: Option<u32>) -> Self {
        Self { workflow_id, skip: skip.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use comfyd_engine::{Recorded, Seq, Setup, Timestamp};
    use serde_json::Value;

    use super::{FIELDS, SetupView};

    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[test]
    fn the_view_has_the_fields_of_its_description() {
        let file = r#"{"workflow_id": "a", "status": "blocked", "start_time": "2025-12-08T21:14:03Z", "odd": 1.50, "loss": [NaN, "a\ud83d"], "steps": [{"action": "x",
            "status": "failed", "error": "no", "completion_note": "n", "tasks": [{"name": "t", "status": "success (1/1)", "subtasks": [{"name": "u"}]}]}]}"#;
        let fields = crate::api::body::Fields::parse(file.as_bytes()).expect("an object");
        let (id, file) = crate::api::state_file::read(fields).expect("a state file");
        let recorded = Recorded { seq: Seq(1), at: Timestamp(5), event: file.into() };
        let setup = Setup::created(id, &recorded).expect("a first fact");
        let text = serde_json::to_string(&SetupView::of(&setup)).expect("a view is plain data");
        assert!(text.contains(r#""odd":1.50"#), "as it came: {text}");
        assert!(text.contains(r#""loss":["NaN", "a\ufffd"]"#), "anybody can read it: {text}");
        let view: Value = serde_json::from_str(&text).expect("JSON");
        let schemas = &crate::api::openapi::document()["components"]["schemas"];
        let described = |name: &str| keys(&schemas[name]["properties"]);
        let mut seen = keys(&view);
        assert!(seen.remove("odd") && seen.remove("loss"));
        assert_eq!(seen, described("SetupState"));
        assert_eq!(seen, FIELDS.iter().copied().collect());
        let step = &view["steps"][0];
        assert_eq!(keys(step), described("StepState").into_iter().filter(|key| *key != "run_id").collect());
        assert_eq!(keys(&step["tasks"][0]), described("TaskState"));
        assert_eq!(keys(&step["error"]), described("SetupStepError"));
    }
}
