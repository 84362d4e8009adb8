//! `/workflow/start`, `/workflow/stop` and `/workflow/resume`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use comfyd_engine::{PlannedStep, SetupCreated, SetupId, SetupPhase, SetupTarget};

use super::body::{Fields, fields};
use super::credentials;
use super::reply::{Answer, success};
use super::routes::Ctx;
use super::setup_shapes::{Changed, ResumeBody, StartBody, StopBody};
use super::setup_view::SetupView;
use super::steps;
use crate::instances::{COMFYUI_PORT, SshWish};
use crate::problem::Problem;
use crate::setup::{ACTIONS, Action, StartSetup};

/// The most steps of a workflow.
pub(super) const MAX_STEPS: usize = 256;
/// The most bytes of a workflow's steps together: they are one record of its log.
pub(super) const MAX_STEPS_LEN: usize = 3 << 20;
/// The longest name, label or command line.
const MAX_TEXT: usize = 500;
/// The pause between two steps, in seconds, unless the request says otherwise.
const STEP_DELAY_S: f64 = 5.0;
/// The longest pause: an hour.
const MAX_STEP_DELAY_S: f64 = 3_600.0;

/// Starts a generic workflow.
#[utoipa::path(post, path = "/workflow/start", operation_id = "startWorkflow", request_body = StartBody, tag = "plan", responses(
    (status = 200, body = Changed, description = "It is on disk and goes on by itself"),
    (status = 400, description = "A field is wrong; the message names it", body = Problem),
    (status = 409, description = "Another workflow has this id", body = Problem),
))]
pub(super) async fn start(State(ctx): State<Ctx>, request: Request) -> Answer {
    let wish = wish(fields(request).await?)?;
    let id = match wish.id {
        Some(id) => id,
        None => new_id(&ctx)?,
    };
    ctx.app.intake.check_room()?;
    let started = ctx.app.setups.start(id, wish.created).await?;
    let message = if started.fresh { "Workflow started" } else { "Workflow was started before" };
    changed(StatusCode::OK, &started.setup, message)
}

/// Stops a generic workflow: ends the step in progress; no further one begins.
#[utoipa::path(post, path = "/workflow/stop", operation_id = "stopWorkflow", request_body = StopBody, tag = "plan", responses(
    (status = 200, body = Changed, description = "It has stopped"),
    (status = 202, body = Changed, description = "The step in progress is being stopped"),
    (status = 404, description = "There is no such workflow", body = Problem),
    (status = 409, description = "It was over before", body = Problem),
))]
pub(super) async fn stop(State(ctx): State<Ctx>, request: Request) -> Answer {
    let setup = ctx.app.setup(&workflow_id(&mut fields(request).await?)?).await?;
    let setup = ctx.app.setups.stop(setup.id().clone()).await?;
    match setup.phase() {
        SetupPhase::Stopping => changed(StatusCode::ACCEPTED, &setup, "Workflow is being stopped"),
        // Whatever else it is now: it is not working.
        _ => changed(StatusCode::OK, &setup, "Workflow stopped"),
    }
}

/// Lets a generic workflow go on with its first unfinished step.
#[utoipa::path(post, path = "/workflow/resume", operation_id = "resumeWorkflow", request_body = ResumeBody, tag = "plan", responses(
    (status = 200, body = Changed, description = "It goes on"),
    (status = 400, description = "There is no such unfinished step", body = Problem),
    (status = 404, description = "There is no such workflow", body = Problem),
    (status = 409, description = "Nothing is left to do, or it is being stopped", body = Problem),
))]
pub(super) async fn resume(State(ctx): State<Ctx>, request: Request) -> Answer {
    let mut fields = fields(request).await?;
    let setup = ctx.app.setup(&workflow_id(&mut fields)?).await?;
    let skip = fields.take("skip")?.unwrap_or_default();
    let setup = ctx.app.setups.resume(setup.id().clone(), skip).await?;
    ctx.app.undismiss(setup.id()).await?;
    changed(StatusCode::OK, &setup, "Workflow goes on")
}

fn changed(status: StatusCode, setup: &comfyd_engine::Setup, message: &'static str) -> Answer {
    let workflow_id = setup.id().to_string();
    success(status, &Changed { workflow_id, status: SetupView::of(setup).status(), message })
}

/// An id like those of runs, of which none is taken.
fn new_id(ctx: &Ctx) -> Result<SetupId, Problem> {
    let now = ctx.app.clock.now();
    loop {
        let text = format!("generic_workflow_{}_{:06x}", now.unix_seconds(), ctx.app.rng.below(1 << 24));
        let id = text.parse::<SetupId>().map_err(|error| Problem::internal(format!("an id that was made here: {error}")))?;
        if ctx.app.setups.get(&id).is_none() {
            return Ok(id);
        }
    }
}

pub(super) fn workflow_id(fields: &mut Fields) -> Result<String, Problem> {
    fields.take::<String>("workflow_id")?.ok_or_else(|| {
        Problem::invalid("bad_field", "field `workflow_id` is missing", "Name the workflow as `/workflow/start` answered.")
    })
}

/// An id that a caller chose.
pub(super) fn chosen_id(text: &str) -> Result<SetupId, Problem> {
    text.parse().map_err(|error| Problem::invalid("bad_field", format!("field `workflow_id`: {error}"), "Correct the id."))
}

/// What the body of a start asks for.
fn wish(mut fields: Fields) -> Result<StartSetup, Problem> {
    let id = fields.take::<String>("workflow_id")?.as_deref().map(chosen_id).transpose()?;
    let steps: Vec<Fields> = fields.take("steps")?.unwrap_or_default();
    if steps.is_empty() || steps.len() > MAX_STEPS {
        let message = format!("field `steps` has {} steps", steps.len());
        return Err(Problem::invalid("bad_field", message, format!("Give 1 to {MAX_STEPS}, each `{{\"action\": ...}}`.")));
    }
    let target = target(&mut fields)?;
    let delay = fields.take::<f64>("step_delay")?.unwrap_or(STEP_DELAY_S);
    let step_delay_ms = steps::milliseconds("step_delay", delay, MAX_STEP_DELAY_S)?;
    let steps: Vec<PlannedStep> = steps.into_iter().enumerate().map(step).collect::<Result<_, _>>()?;
    if !steps.iter().any(|step| step.enabled) {
        return Err(Problem::invalid("nothing_enabled", "no step of `steps` is enabled", "Enable at least one."));
    }
    fits(&steps)?;
    Ok(StartSetup { id, created: SetupCreated { target, steps, step_delay_ms } })
}

/// Steps are stored in one record.
pub(super) fn fits<'a>(steps: impl IntoIterator<Item = &'a PlannedStep>) -> Result<(), Problem> {
    let len: usize = steps.into_iter().flat_map(|step| &step.fields).map(|(name, text)| name.len() + text.len()).sum();
    if len <= MAX_STEPS_LEN {
        return Ok(());
    }
    let message = format!("the steps have {} KiB together; {} are the most", len >> 10, MAX_STEPS_LEN >> 10);
    Err(Problem::new(413, "too_large", message, "Name workflows by `workflow_file` in the steps instead of sending them."))
}

/// Where the steps work: at most one is given.
pub(super) fn target(fields: &mut Fields) -> Result<SetupTarget, Problem> {
    let ssh_connection = fields.take::<String>("ssh_connection")?;
    let instance = fields.take::<String>("instance")?;
    let url = fields.take::<String>("url")?;
    if [&ssh_connection, &instance, &url].into_iter().flatten().count() > 1 {
        let message = "more than one of `ssh_connection`, `instance` and `url` is given";
        return Err(Problem::invalid("two_targets", message, "Give one of them."));
    }
    if let Some(name) = &instance {
        name.parse::<comfyd_engine::InstanceId>()
            .map_err(|error| Problem::invalid("bad_instance", format!("field `instance`: {error}"), "Correct the name."))?;
    }
    url.as_deref().map(crate::instances::parse_url).transpose()?;
    let ssh_connection = ssh_connection.map(|text| checked_ssh(&text)).transpose()?;
    Ok(SetupTarget { ssh_connection, instance, url })
}

/// A connection over SSH, kept as it was given.
fn checked_ssh(text: &str) -> Result<String, Problem> {
    crate::instances::understood(&SshWish { connection: text.to_owned(), ..SshWish::default() }, COMFYUI_PORT)?;
    Ok(text.trim().to_owned())
}

fn step((number, mut fields): (usize, Fields)) -> Result<PlannedStep, Problem> {
    let of_step = |problem: Problem| Problem { message: format!("steps[{number}]: {}", problem.message), ..problem };
    let name: String = fields.take("action").map_err(of_step)?.unwrap_or_default();
    let action = Action::named(&name).ok_or_else(|| {
        let known: Vec<&str> = ACTIONS.iter().map(|action| action.name).collect();
        let shown: String = name.chars().take(60).collect();
        let message = format!("steps[{number}]: there is no action `{shown}`");
        Problem::invalid("unknown_action", message, format!("Use one of {}.", known.join(", ")))
    })?;
    let label: Option<String> = fields.take("label").map_err(of_step)?;
    let label = label.unwrap_or_else(|| action.label.to_owned()).chars().take(MAX_TEXT).collect();
    let enabled = fields.take("enabled").map_err(of_step)?.unwrap_or(true);
    let plan = PlannedStep { action: name, label, enabled, fields: fields.rest() };
    credentials::refuse(&plan).map_err(of_step)?;
    check(&plan).map_err(of_step)?;
    Ok(plan)
}

/// What can be known to be wrong before the step begins.
fn check(plan: &PlannedStep) -> Result<(), Problem> {
    let checked = match plan.action.as_str() {
        "execute_comfyui_workflow" => steps::wish(&plan.fields).map(drop),
        "test_comfyui" => steps::target(&plan.fields).map(drop),
        "wait" => steps::wait_ms(&plan.fields).map(drop),
        _ => crate::setup::deed_of(plan).map(drop), // All others work on the machine itself.
    };
    // What only cannot be done yet is no mistake: the step will be blocked.
    checked.or_else(|problem| if problem.status >= 500 { Ok(()) } else { Err(problem) })
}

#[cfg(test)]
mod tests {
    use comfyd_engine::SetupTarget;

    use super::{Fields, wish};

    fn read(body: &str) -> Result<super::StartSetup, crate::problem::Problem> {
        wish(Fields::parse(body.as_bytes())?)
    }

    #[test]
    fn a_start_keeps_what_it_was_given() {
        let body = r#"{"steps": [{"action": "test_ssh"}, {"action": "wait", "label": "Rest", "enabled": false, "seconds": 2},
            {"action": "execute_comfyui_workflow", "workflow": {"3": {"inputs": {"seed": 18446744073709551615}}}}],
            "ssh_connection": "ssh -p 40738 root@198.51.100.7 -L 8080:localhost:8080", "step_delay": 0.5, "workflow_id": "A-1"}"#;
        let wish = read(body).expect("a good body");
        assert_eq!(wish.id.map(|id| id.to_string()).as_deref(), Some("A-1"));
        let created = wish.created;
        let ssh_connection = Some("ssh -p 40738 root@198.51.100.7 -L 8080:localhost:8080".to_owned());
        assert_eq!((created.target, created.step_delay_ms), (SetupTarget { ssh_connection, ..SetupTarget::default() }, 500));
        let labels: Vec<_> = created.steps.iter().map(|step| (step.label.as_str(), step.enabled)).collect();
        assert_eq!(labels, [("Test SSH Connection", true), ("Rest", false), ("Execute ComfyUI Workflow", true)]);
        assert_eq!(created.steps[2].fields["workflow"], r#"{"3": {"inputs": {"seed": 18446744073709551615}}}"#);
    }

    #[test]
    fn a_bad_start_says_what_is_wrong() {
        let rows = [
            ("{}", "bad_field", "steps"),
            (r#"{"steps": []}"#, "bad_field", "0 steps"),
            (r#"{"steps": "wait"}"#, "bad_field", "steps"),
            (r#"{"steps": [{"action": "dance"}]}"#, "unknown_action", "steps[0]"),
            (r#"{"steps": [{"label": "x"}]}"#, "unknown_action", "steps[0]"),
            (r#"{"steps": [{"action": "wait"}]}"#, "bad_field", "seconds"),
            (r#"{"steps": [{"action": "wait", "seconds": 1, "enabled": 1}]}"#, "bad_field", "enabled"),
            (r#"{"steps": [{"action": "test_ssh"}, {"action": "execute_comfyui_workflow"}]}"#, "no_workflow", "steps[1]"),
            (r#"{"steps": [{"action": "wait", "seconds": 1, "enabled": false}]}"#, "nothing_enabled", "steps"),
            (r#"{"steps": [{"action": "test_ssh"}], "step_delay": -1}"#, "bad_field", "step_delay"),
            (r#"{"steps": [{"action": "test_ssh"}], "workflow_id": "../x"}"#, "bad_field", "workflow_id"),
            (r#"{"steps": [{"action": "test_ssh"}], "ssh_connection": "rm -rf /"}"#, "ssh_option", "-r"),
            (r#"{"steps": [{"action": "test_ssh"}], "ssh_connection": "ssh x; y"}"#, "ssh_character", ";"),
            (r#"{"steps": [{"action": "test_ssh"}], "ssh_connection": "ssh x", "instance": "a"}"#, "two_targets", "instance"),
            (r#"{"steps": [{"action": "test_ssh"}], "instance": "A B"}"#, "bad_instance", "instance"),
            (r#"{"steps": [{"action": "test_ssh"}], "url": "http://me:hunter2@127.0.0.1:8188"}"#, "address_userinfo", "url"),
            (
                r#"{"steps": [{"action": "test_comfyui", "url": "http://me:hunter2@127.0.0.1:8188"}]}"#,
                "address_userinfo",
                "steps[0]",
            ),
            (
                r#"{"steps": [{"action": "sync_instance", "repo_url": "https://hunter2@host.example/x"}]}"#,
                "address_userinfo",
                "repo_url",
            ),
            (r#"{"steps": [{"action": "setup_civitdl", "civitai_api_key": "hunter2"}]}"#, "secret_field", "civitai_api_key"),
            (
                r#"{"steps": [{"action": "test_ssh"}, {"action": "setup_civitdl", "env": [{"HF_TOKEN": "hunter2"}]}]}"#,
                "secret_field",
                "steps[1]",
            ),
        ];
        for (body, code, word) in rows {
            let problem = read(body).expect_err(body);
            assert_eq!(problem.code, code, "{body}: {problem}");
            assert!(!format!("{problem:?}").contains("hunter2"), "{body}: {problem:?}");
            assert!(problem.message.contains(word) && !problem.hint.is_empty(), "{body}: {problem}");
        }
    }
}
