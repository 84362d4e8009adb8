//! The outputs of a run as a list, and its newest preview.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use comfyd_engine::RunId;
use serde::Serialize;

use super::dto::OutputLink;
use super::reply::{Answer, ok};
use super::routes::Ctx;
use crate::problem::Problem;

#[derive(Serialize)]
struct Listing<'a> {
    workflow_id: &'a str,
    run_id: RunId,
    status: &'static str,
    outputs: Vec<OutputLink<'a>>,
}

/// `GET /comfyui/workflow/{id}/outputs` and `GET /api/v1/runs/{id}/outputs`
pub(super) async fn list(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let view = ctx.app.view(ctx.app.resolve(&name)?).await?;
    let outputs = OutputLink::of(&view);
    ok(&Listing { workflow_id: &view.workflow_id, run_id: view.run_id, status: view.status.as_str(), outputs })
}

/// `GET /api/v1/runs/{id}/preview`: the newest picture of what is being made.
pub(super) async fn preview(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let run = ctx.app.resolve(&name)?;
    let newest = ctx.app.watch_preview(run).and_then(|previews| previews.borrow().clone());
    let none = || Problem::new(404, "no_preview", "there is no preview of this run", "Previews exist only while a sampler runs.");
    let newest = newest.ok_or_else(none)?;
    let mut response = Response::new(Body::from(newest.bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(newest.media_type));
    Ok(response)
}
