//! The plan's routes: their names, and answers in the plan's shapes.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use comfyd_engine::Force;
use serde::Serialize;
use serde_json::json;

use super::dto::{self, Flat};
use super::guard::essence;
use super::reply::{Answer, ok, success};
use super::routes::Ctx;
use super::{body, upload};
use crate::app::Created;
use crate::problem::Problem;

/// `POST /comfyui/workflow/execute`
pub(super) async fn execute(State(ctx): State<Ctx>, request: Request) -> Answer {
    let created = start(&ctx, request).await?;
    let message = if created.fresh { "Workflow execution started" } else { "Workflow execution was started before" };
    ok(&json!({ "workflow_id": created.workflow_id, "run_id": created.run_id, "message": message }))
}

/// Creates the run that a request wishes for, be it JSON or a form.
pub(super) async fn start(ctx: &Ctx, request: Request) -> Result<Created, Problem> {
    let key = dto::idempotency_key(request.headers().get("idempotency-key"))?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(essence);
    let mut wish = if kind.as_deref() == Some("multipart/form-data") {
        let _place = ctx.limits.upload()?;
        upload::execute(request).await?
    } else {
        dto::execute(body::fields(request).await?)?
    };
    wish.idempotency_key = key;
    ctx.app.execute(wish).await
}

#[derive(Serialize)]
struct Progress<'a> {
    progress: Flat<'a>,
}

/// `GET /comfyui/workflow/{id}/progress`
pub(super) async fn progress(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let view = ctx.app.view(ctx.app.resolve(&name)?).await?;
    ok(&Progress { progress: Flat::from(&view) })
}

/// `POST /comfyui/workflow/{id}/cancel`
pub(super) async fn cancel(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let run = ctx.app.resolve(&name)?;
    let force = match body::fields(request).await?.take::<bool>("force")? {
        Some(true) => Force::Yes,
        Some(false) | None => Force::No,
    };
    ctx.app.cancel(run, force).await?;
    let workflow_id = ctx.app.live.summary(run).map(|summary| summary.workflow_id);
    success(StatusCode::ACCEPTED, &json!({ "workflow_id": workflow_id, "run_id": run, "message": "Cancellation requested" }))
}

/// `GET /comfyui/workflow/state`: the run to go on showing after a reload, or null.
pub(super) async fn state(State(ctx): State<Ctx>) -> Answer {
    let view = match ctx.app.active() {
        Some(run) => Some(ctx.app.view(run).await?),
        None => None,
    };
    ok(&json!({ "state": view }))
}
