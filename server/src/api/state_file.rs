//! State files of the program that this one replaces, and exports of our own.
//!
//! Invariants: what is not understood is refused by name; fields that are not known are kept as they are.

use std::collections::BTreeMap;

use comfyd_engine::{
    ImportedStatus, ImportedStep, PlannedStep, SetupId, SetupImported, SetupTask, StepError, StepStatus, TaskStatus, Timestamp,
};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::body::Fields;
use super::credentials;
use super::setup_view::{FIELDS, TYPE, VERSION};
use super::setups::{MAX_STEPS, chosen_id, fits, target, workflow_id};
use crate::problem::Problem;

/// The most tasks of a step, and of a task.
const MAX_TASKS: usize = 1_000;
/// Tasks within tasks within tasks.
const MAX_DEPTH: usize = 4;
/// The most bytes of the fields that are not known, together.
const MAX_OTHERS: usize = 1 << 20;

/// Reads a state file.
pub(super) fn read(mut fields: Fields) -> Result<(SetupId, SetupImported), Problem> {
    check_kind(&mut fields)?;
    let id = chosen_id(&workflow_id(&mut fields)?)?;
    let said: Option<String> = fields.take("legacy_status")?;
    let plain: Option<String> = fields.take("status")?;
    let status = whole(&said.or(plain).unwrap_or_default())?;
    let started = time(&mut fields, "start_time")?;
    let updated = time(&mut fields, "last_update")?.or(started);
    let (Some(started), Some(updated)) = (started.or(updated), updated) else {
        return Err(bad("field `start_time` is missing", "Give the time at which the workflow began."));
    };
    let target = target(&mut fields)?;
    let steps: Vec<Fields> = fields.take("steps")?.unwrap_or_default();
    if steps.is_empty() || steps.len() > MAX_STEPS {
        let message = format!("field `steps` has {} steps", steps.len());
        return Err(bad(&message, "A state file has 1 to 256 steps."));
    }
    let read = |(n, step)| step_of(step).map_err(|problem| within(&format!("steps[{n}]"), problem));
    let steps: Vec<ImportedStep> = steps.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
    fits(steps.iter().map(|step| &step.plan))?;
    let mut others = fields.rest();
    others.retain(|name, _| !FIELDS.contains(&name.as_str()));
    small(&others)?;
    credentials::check_urls(&others)?;
    credentials::mask(&mut others);
    Ok((id, SetupImported { target, status, steps, started, updated, fields: others }))
}

/// Old files have neither type nor version.
fn check_kind(fields: &mut Fields) -> Result<(), Problem> {
    let kind: Option<String> = fields.take("type")?;
    if let Some(kind) = kind.filter(|kind| kind != TYPE) {
        let kind: String = kind.chars().take(60).collect();
        let message = format!("a state of type `{kind}` cannot be imported");
        let hint = "Only states of type generic_workflow can. Runs are made by `/comfyui/workflow/execute`, and only their logs say how they went.";
        return Err(Problem::new(422, "not_importable", message, hint));
    }
    match fields.take::<u32>("version")? {
        Some(newer) if newer > VERSION => {
            let message = format!("this is version {newer} of the shape; this program knows {VERSION}");
            Err(Problem::new(422, "newer_version", message, "Import it with the comfyd that wrote it, or a newer one."))
        }
        Some(_) | None => Ok(()),
    }
}

fn whole(word: &str) -> Result<ImportedStatus, Problem> {
    match word {
        "running" | "pending" | "queued" | "executing" | "in_progress" => Ok(ImportedStatus::Running),
        "blocked" => Ok(ImportedStatus::Blocked),
        "completed" | "success" => Ok(ImportedStatus::Completed),
        "failed" | "error" => Ok(ImportedStatus::Failed),
        "cancelled" | "stopped" => Ok(ImportedStatus::Cancelled),
        _ => Err(unknown_word("status", word, "running, blocked, completed, failed, cancelled")),
    }
}

fn step_of(mut fields: Fields) -> Result<ImportedStep, Problem> {
    let action: String = text(&mut fields, "action")?;
    let label = fields.take::<String>("label")?.unwrap_or_else(|| action.clone());
    let word: String = fields.take("status")?.unwrap_or_else(|| "pending".to_owned());
    let status = match word.as_str() {
        "pending" => StepStatus::Pending,
        "in_progress" | "running" | "executing" => StepStatus::InProgress,
        "completed" | "success" => StepStatus::Completed,
        "failed" | "error" => StepStatus::Failed,
        "blocked" => StepStatus::Blocked,
        "skipped" | "disabled" => StepStatus::Skipped,
        _ => return Err(unknown_word("status", &word, "pending, in_progress, completed, failed, blocked, skipped")),
    };
    let tasks = tasks(&mut fields, "tasks", 0)?;
    let note = fields.take("completion_note")?;
    let error = fields.take::<Value>("error")?.as_ref().map(error);
    // Ours says which run it was; that run is not of this workflow any more.
    fields.take_raw("run_id");
    let mut fields = fields.rest();
    credentials::check_urls(&fields)?;
    credentials::mask(&mut fields);
    let plan = PlannedStep { action, label, enabled: status != StepStatus::Skipped, fields };
    Ok(ImportedStep { plan, status, tasks, note, error })
}

fn error(told: &Value) -> StepError {
    let field = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let message = field("message").or_else(|| told.as_str().map(str::to_owned));
    StepError {
        code: field("code").unwrap_or_else(|| "failed".to_owned()),
        message: message.unwrap_or_else(|| credentials::masked(&told.to_string())),
        hint: field("hint").unwrap_or_default(),
    }
}

fn tasks(fields: &mut Fields, name: &str, depth: usize) -> Result<Vec<SetupTask>, Problem> {
    let listed: Vec<Fields> = fields.take(name)?.unwrap_or_default();
    if listed.len() > MAX_TASKS || (depth > MAX_DEPTH && !listed.is_empty()) {
        let hint = format!("At most {MAX_TASKS} tasks a step are taken, and {MAX_DEPTH} levels of them.");
        return Err(bad(&format!("field `{name}` has {} tasks at level {depth}", listed.len()), &hint));
    }
    let read = |(n, task)| task_of(task, depth).map_err(|problem| within(&format!("{name}[{n}]"), problem));
    listed.into_iter().enumerate().map(read).collect()
}

fn task_of(mut fields: Fields, depth: usize) -> Result<SetupTask, Problem> {
    let name = text(&mut fields, "name")?;
    let word: String = fields.take("status")?.unwrap_or_else(|| "pending".to_owned());
    let (status, more) = task_status(&word)?;
    let note = fields.take("note")?.or(more);
    let subtasks = tasks(&mut fields, "subtasks", depth + 1)?;
    let mut fields = fields.rest();
    credentials::check_urls(&fields)?;
    credentials::mask(&mut fields);
    Ok(SetupTask { name, status, note, subtasks, fields })
}

/// A word, with more behind it: `success (8/8)`.
fn task_status(text: &str) -> Result<(TaskStatus, Option<String>), Problem> {
    let (word, more) = text.trim().split_once([' ', '(']).unwrap_or((text.trim(), ""));
    let status = match word {
        "pending" => TaskStatus::Pending,
        "running" | "in_progress" => TaskStatus::Running,
        "success" | "completed" => TaskStatus::Success,
        "failed" | "error" => TaskStatus::Failed,
        _ => return Err(unknown_word("status", text, "pending, running, success, failed")),
    };
    let more = more.trim().trim_start_matches('(').trim_end_matches(')').trim();
    Ok((status, (!more.is_empty()).then(|| more.to_owned())))
}

/// A time with a zone, or one of this machine's clock without.
fn time(fields: &mut Fields, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = fields.take::<String>(name)? else { return Ok(None) };
    let local = || {
        let at = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::system()).ok()?;
        u64::try_from(at.timestamp().as_millisecond()).ok().map(Timestamp)
    };
    Timestamp::parse(&text).or_else(local).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        let hint = "Write it like 2025-12-08T21:14:03Z, or without a zone for the time of the server's machine.";
        bad(&format!("field `{name}` cannot be `{shown}`"), hint)
    })
}

fn text(fields: &mut Fields, name: &str) -> Result<String, Problem> {
    let given: Option<String> = fields.take(name)?;
    given.filter(|text| !text.is_empty()).ok_or_else(|| bad(&format!("field `{name}` is missing"), "Give a text."))
}

fn small(others: &BTreeMap<String, String>) -> Result<(), Problem> {
    let len: usize = others.iter().map(|(name, text)| name.len() + text.len()).sum();
    if len <= MAX_OTHERS {
        return Ok(());
    }
    Err(Problem::new(
        413,
        "too_large",
        format!("the fields beside the steps have {} KiB", len >> 10),
        "At most 1024 KiB are kept.",
    ))
}

fn unknown_word(field: &str, word: &str, known: &str) -> Problem {
    let word: String = word.chars().take(60).collect();
    bad(&format!("field `{field}` cannot be `{word}`"), &format!("Known are {known}."))
}

fn bad(message: &str, hint: &str) -> Problem {
    Problem::invalid("bad_field", message, hint)
}

fn within(place: &str, problem: Problem) -> Problem {
    let message = match problem.message.split_once(": ") {
        // Inner places are joined to one path.
        Some((inner, rest)) if inner.ends_with(']') && !inner.contains(' ') => format!("{place}.{inner}: {rest}"),
        Some(_) | None => format!("{place}: {}", problem.message),
    };
    Problem { message, ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(SetupId, SetupImported), Problem> {
        read(Fields::parse(text.as_bytes())?)
    }

    #[test]
    fn words_have_more_behind_them() {
        assert_eq!(task_status("success (8/8)").expect("known"), (TaskStatus::Success, Some("8/8".to_owned())));
        assert_eq!(task_status("running").expect("known"), (TaskStatus::Running, None));
        assert!(task_status("dancing").is_err());
    }

    #[test]
    fn a_file_that_is_not_understood_says_where() {
        let file = |step: &str| {
            format!(r#"{{"workflow_id": "a", "status": "running", "start_time": "2025-12-08T21:14:03", "steps": [{step}]}}"#)
        };
        let rows = [
            ("{}".to_owned(), "workflow_id"),
            (r#"{"workflow_id": "a", "status": "asleep"}"#.to_owned(), "asleep"),
            (r#"{"workflow_id": "a", "status": "running"}"#.to_owned(), "start_time"),
            (r#"{"workflow_id": "a", "status": "running", "start_time": "noon"}"#.to_owned(), "noon"),
            (file(""), "0 steps"),
            (file("3"), "steps"),
            (file(r#"{"label": "x"}"#), "steps[0]: field `action`"),
            (file(r#"{"action": "x", "status": "odd"}"#), "steps[0]: field `status`"),
            (
                file(r#"{"action": "x", "tasks": [{"name": "y"}, {"name": "z", "status": "odd"}]}"#),
                "steps[0].tasks[1]: field `status`",
            ),
        ];
        for (text, word) in rows {
            let problem = parsed(&text).expect_err(&text);
            assert!(problem.message.contains(word), "{text}: {problem}");
        }
        assert_eq!(parsed(r#"{"type": "comfyui_workflow"}"#).expect_err("a run").code, "not_importable");
        assert_eq!(parsed(r#"{"version": 2}"#).expect_err("newer").code, "newer_version");
    }
}
