//! The plan's routes: their names, and answers in the plan's shapes.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use comfyd_engine::{Force, RunView, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::dto::{self, Flat};
use super::reply::{Answer, ok, success};
use super::routes::Ctx;
use super::shapes::{Asked, CancelBody, ExecuteBody, ExecuteForm, Started};
use super::{body, outputs, upload};
use crate::app::Created;
use crate::problem::Problem;

/// Starts a run of a workflow.
#[utoipa::path(post, path = "/comfyui/workflow/execute", operation_id = "executeWorkflow", tag = "plan",
    params(("idempotency-key" = Option<String>, Header, description = "The same key with the same body is one run.")),
    request_body(content((ExecuteBody = "application/json"), (ExecuteForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "It is recorded and will run.", body = Started),
        (status = 404, description = "There is no such instance.", body = Problem),
        (status = 410, description = "The run that was made with this `Idempotency-Key` has been removed.", body = Problem),
        (status = 422, description = "The `Idempotency-Key` was used for another request.", body = Problem),
    ))]
pub(super) async fn execute(State(ctx): State<Ctx>, request: Request) -> Answer {
    let created = start(&ctx, request).await?;
    let message = if created.fresh { "Workflow execution started" } else { "Workflow execution was started before" };
    ok(&Started { workflow_id: created.workflow_id, run_id: created.run_id, message })
}

/// Creates the run that a request wishes for, be it JSON or a form.
pub(super) async fn start(ctx: &Ctx, request: Request) -> Result<Created, Problem> {
    let key = dto::idempotency_key(request.headers().get("idempotency-key"))?;
    let mut wish = if upload::is_form(&request) {
        let _place = ctx.limits.upload()?;
        upload::execute(request, &ctx.app.spool).await?
    } else {
        dto::execute(body::fields(request).await?)?
    };
    wish.idempotency_key = key;
    ctx.app.execute(wish).await
}

/// How far a run is.
#[derive(Serialize, ToSchema)]
struct Progress<'a> {
    /// The run.
    progress: Flat<'a>,
}

/// Tells how far a run is.
#[utoipa::path(get, path = "/comfyui/workflow/{id}/progress", operation_id = "getProgress", tag = "plan", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 200, description = "The run, flat.", body = Progress)))]
pub(super) async fn progress(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let view = ctx.app.view(ctx.app.resolve(&name)?).await?;
    ok(&Progress { progress: Flat::from(&view) })
}

/// Cancels a run.
#[utoipa::path(post, path = "/comfyui/workflow/{id}/cancel", operation_id = "cancelWorkflow", tag = "plan", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    request_body = Option<CancelBody>,
    responses((status = 202, description = "It is asked to stop.", body = Asked), (status = 200, description = "It is cancelled already.", body = Asked), (status = 409, description = "It has ended, or is damaged.", body = Problem)))]
pub(super) async fn cancel(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let run = ctx.app.resolve(&name)?;
    let force = match body::fields(request).await?.take::<bool>("force")? {
        Some(true) => Force::Yes,
        Some(false) | None => Force::No,
    };
    let cancelled = ctx.app.cancel(run, force).await;
    let summary = ctx.app.live.summary(run);
    let is_cancelled =
        summary.as_ref().is_some_and(|summary| summary.status == Status::Cancelled && summary.quarantined.is_none());
    let (status, message) = match cancelled {
        Ok(()) => (StatusCode::ACCEPTED, "Cancellation requested"),
        // Asking twice is asking once, also where the first has had its way.
        Err(problem) if problem.code == "already_settled" && is_cancelled => (StatusCode::OK, "The run is cancelled"),
        Err(problem) => return Err(problem),
    };
    let workflow_id = summary.map(|summary| summary.workflow_id);
    success(status, &Asked { workflow_id, run_id: run, message })
}

/// The outputs of a run, for callers of the plan's routes.
#[utoipa::path(get, path = "/comfyui/workflow/{id}/outputs", operation_id = "getOutputs", tag = "plan", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 200, description = "What it made so far.", body = outputs::Outputs)))]
pub(super) async fn outputs(ctx: State<Ctx>, name: Path<String>) -> Answer {
    outputs::list(ctx, name).await
}

/// A run to show, if there is one.
#[derive(Serialize, ToSchema)]
struct Shown {
    /// The run that goes on, else the one that ended last if that was just now.
    state: Option<RunView>,
}

/// Gives the run to go on showing after a reload.
#[utoipa::path(get, path = "/comfyui/workflow/state", operation_id = "getActive", tag = "plan",
    responses((status = 200, description = "The run, or null.", body = Shown)))]
pub(super) async fn state(State(ctx): State<Ctx>) -> Answer {
    let view = match ctx.app.active() {
        Some(run) => Some(ctx.app.view(run).await?),
        None => None,
    };
    ok(&Shown { state: view })
}
