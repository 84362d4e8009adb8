//! The step that runs a ComfyUI workflow.
//!
//! Invariants: one beginning of a step makes one run, whatever is cut off when: the run's key is made of workflow, step and beginning, and who finds
//! a run under it follows that one.

use std::collections::BTreeMap;
use std::time::Duration;

use comfyd_engine::{Force, RunId, RunView, SetupId, SetupTarget, StepEnding};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::runner::{Reporter, StepCall, StepRunner, Working, ending_of};
use super::tasks;
use crate::api;
use crate::app::App;
use crate::problem::Problem;

/// How long a server that is busy is left alone; doubled each time.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_mins(1);

/// How the keys of steps begin. Those of clients never do.
pub(crate) const KEYS: &str = "setup/";

/// Makes runs and follows them.
pub(super) struct ExecuteWorkflow {
    app: App,
}

impl ExecuteWorkflow {
    pub(super) fn new(app: App) -> Self {
        Self { app }
    }
}

impl StepRunner for ExecuteWorkflow {
    fn run(&self, call: StepCall, reporter: Reporter, stop: CancellationToken) -> Working {
        let app = self.app.clone();
        Box::pin(async move {
            match make(&app, &call, &stop).await {
                Ok(Some(run)) => {
                    reporter.made(run);
                    follow(&app, run, &reporter, &stop).await.unwrap_or_else(|problem| ending_of(&problem))
                }
                Ok(None) => StepEnding::Interrupted,
                Err(problem) => ending_of(&problem),
            }
        })
    }
}

fn key(call: &StepCall, attempt: u32) -> String {
    format!("{KEYS}{}/{}/{attempt}", call.setup, call.step)
}

/// The workflow whose step made this key; nothing of a client's.
pub(super) fn setup_of(key: &str) -> Option<SetupId> {
    key.strip_prefix(KEYS)?.split('/').next()?.parse().ok()
}

/// The run of this beginning, or one of an earlier beginning that has not ended.
fn made_by(app: &App, call: &StepCall) -> Option<RunId> {
    let run_of = |attempt: u32| app.live.keyed(&key(call, attempt)).filter(|known| !known.removed).map(|known| known.run);
    let open = |run: &RunId| app.live.summary(*run).is_some_and(|summary| !summary.status.is_settled());
    call.run.or_else(|| run_of(call.attempt)).or_else(|| (1..call.attempt).rev().filter_map(run_of).find(open))
}

/// Makes the run, unless there is one. Asking is never broken off, as what was asked for may happen; none if it was stopped before.
async fn make(app: &App, call: &StepCall, stop: &CancellationToken) -> Result<Option<RunId>, Problem> {
    let mut again = AGAIN;
    loop {
        if let Some(run) = made_by(app, call) {
            return Ok(Some(run));
        }
        if stop.is_cancelled() {
            return Ok(None);
        }
        let mut wish = api::wish(&fields(call))?;
        wish.idempotency_key = Some(key(call, call.attempt));
        match app.execute(wish).await {
            Ok(created) => return Ok(Some(created.run_id)),
            // It is over in a moment, or the server ends and this task with it.
            Err(problem) if problem.code == "busy" || problem.code == "stopping" => {}
            Err(problem) => return Err(problem),
        }
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            () = stop.cancelled() => {}
        }
        again = (again * 2).min(AGAIN_MAX);
    }
}

/// The step's own fields; where they name no instance, the workflow's.
fn fields(call: &StepCall) -> BTreeMap<String, String> {
    let mut fields = call.plan.fields.clone();
    let named = |name: &&str| fields.get(*name).is_some_and(|value| value != "null");
    if !["ssh_connection", "instance", "url"].iter().any(named) {
        fields.extend(target_fields(&call.target));
    }
    fields
}

/// Where a workflow's steps work, as the fields of a request.
pub(super) fn target_fields(target: &SetupTarget) -> BTreeMap<String, String> {
    let SetupTarget { ssh_connection, instance, url } = target;
    let given = [("ssh_connection", ssh_connection), ("instance", instance), ("url", url)];
    let text = |value: &String| serde_json::Value::from(value.as_str()).to_string();
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value.as_ref()?)))).collect()
}

/// Follows a run to its end; stops it when asked to.
async fn follow(app: &App, run: RunId, reporter: &Reporter, stop: &CancellationToken) -> Result<StepEnding, Problem> {
    let mut ask_at = Some(Instant::now());
    loop {
        let watch = app.watch(run);
        let view = app.view(run).await?;
        let told = |view: &RunView| reporter.report(tasks::of(view), Some(tasks::note(view)));
        told(&view);
        if let Some(ending) = tasks::ending(&view) {
            return Ok(ending);
        }
        let Some(mut watch) = watch else {
            // It has not ended and nobody follows it: its log was set aside.
            let why = app.live.summary(run).and_then(|summary| summary.quarantined).unwrap_or_default();
            return Err(Problem::quarantined(run, &why));
        };
        loop {
            tokio::select! {
                changed = watch.changed() => match changed {
                    Ok(()) => {
                        let view = watch.borrow_and_update().clone();
                        told(&view);
                        if let Some(ending) = tasks::ending(&view) {
                            return Ok(ending);
                        }
                    }
                    // Its last value stands in the log.
                    Err(_) => break,
                },
                () = due(stop, ask_at), if ask_at.is_some() => ask_at = ask_to_end(app, run).await,
            }
        }
    }
}

/// Waits until the run is to be asked to end.
async fn due(stop: &CancellationToken, ask_at: Option<Instant>) {
    stop.cancelled().await;
    tokio::time::sleep_until(ask_at.unwrap_or_else(Instant::now)).await;
}

/// Asks a run to end; tells when to ask again.
async fn ask_to_end(app: &App, run: RunId) -> Option<Instant> {
    let problem = app.cancel(run, Force::No).await.err()?;
    tracing::info!(%run, %problem, "run of a stopped step not cancelled");
    // What is busy, or could not be written, may go later. One that has just ended tells how; one that cannot be stopped says so itself.
    (problem.status >= 500).then(|| Instant::now() + AGAIN)
}
