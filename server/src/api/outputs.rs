//! The outputs of a run as a list, and its newest preview.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use comfyd_engine::{RunId, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::content::number_of;
use super::dto::OutputLink;
use super::reply::{Answer, ok};
use super::routes::Ctx;
use crate::problem::Problem;

/// The outputs of a run.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the field is called so by its readers")]
pub(super) struct Outputs<'a> {
    /// The run's name in the plan's shapes.
    workflow_id: &'a str,
    /// The run.
    run_id: RunId,
    /// How it stands.
    #[schema(value_type = Status)]
    status: &'static str,
    /// What it made so far.
    outputs: Vec<OutputLink<'a>>,
}

/// Lists the outputs of a run.
#[utoipa::path(get, path = "/api/v1/runs/{id}/outputs", operation_id = "listOutputs", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 200, description = "What it made so far, in the order in which it was reported.", body = Outputs)))]
pub(super) async fn list(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let view = ctx.app.view(ctx.app.resolve(&name)?).await?;
    let outputs = OutputLink::of(&view);
    ok(&Outputs { workflow_id: &view.workflow_id, run_id: view.run_id, status: view.status.as_str(), outputs })
}

/// Tells of one output.
#[utoipa::path(get, path = "/api/v1/runs/{id}/outputs/{n}", operation_id = "describeOutput", tag = "runs",
    params(("id" = String, Path, description = "A run id or a `workflow_id`."), ("n" = u32, Path, description = "The number of the output.")),
    responses((status = 200, description = "The output.", body = OutputLink)))]
pub(super) async fn one(State(ctx): State<Ctx>, Path((name, n)): Path<(String, String)>) -> Answer {
    let n = number_of(&n)?;
    let view = ctx.app.view(ctx.app.resolve(&name)?).await?;
    let output = view.outputs.iter().find(|output| output.n == n);
    let output = output.ok_or_else(|| crate::history::no_such_output(view.run_id, n))?;
    ok(&OutputLink::one(&view, output))
}

/// Gives the newest picture of what is being made.
#[utoipa::path(get, path = "/api/v1/runs/{id}/preview", operation_id = "getPreview", tag = "runs",
    params(
        ("id" = String, Path, description = "A run id or a `workflow_id`."),
        ("n" = Option<u64>, Query, description = "Anything: a new picture has a new address, so that no cache gives an old one.")
    ),
    responses((status = 200, description = "The picture.", content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp")))))]
pub(super) async fn preview(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let run = ctx.app.resolve(&name)?;
    let newest = ctx.app.watch_preview(run).and_then(|previews| previews.borrow().clone());
    let none = || Problem::new(404, "no_preview", "there is no preview of this run", "Previews exist only while a sampler runs.");
    let newest = newest.ok_or_else(none)?;
    let mut response = Response::new(Body::from(newest.bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(newest.media_type));
    Ok(response)
}
