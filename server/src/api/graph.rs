//! What a run was asked to do: its graph, and what is expected of it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use comfyd_engine::{RunId, Upload};
use serde::Serialize;
use serde_json::value::RawValue;

use super::page::is_among;
use super::reply::{Answer, ok};
use super::routes::Ctx;
use super::sealed;
use super::workflows::strict;
use crate::problem::Problem;

/// The workflow of a run.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct RunWorkflow {
    /// The run.
    run_id: RunId,
    /// The graph in API format as it was submitted, its numbers as they are written. Names of uploaded files are those that the user gave.
    #[schema(value_type = Object)]
    workflow: Box<RawValue>,
    /// How long nodes took before, in milliseconds by node id, where that is known: what the estimate rests on.
    expected_ms: BTreeMap<String, u32>,
    /// The files that are sent with it.
    uploads: Vec<UploadRow>,
    /// Where the canvas is that the graph was made from; null if there is none.
    canvas: Option<String>,
}

/// A file that a run takes in.
#[derive(Serialize, utoipa::ToSchema)]
struct UploadRow {
    /// The node that loads it.
    node_id: String,
    /// The input that names it.
    input: String,
    /// The name that the user gave it.
    file_name: String,
    /// Its hash.
    sha256: String,
}

/// Gives the workflow of a run: the graph as it was submitted, and how long its nodes took before.
#[utoipa::path(get, path = "/api/v1/runs/{id}/workflow", operation_id = "getRunWorkflow", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses(
        (status = 200, description = "The workflow. It never changes.", body = RunWorkflow),
        (status = 304, description = "The caller has it already, by `If-None-Match`."),
        (status = 409, description = "The log of the run is damaged.", body = Problem),
        (status = 410, description = "The graph is not stored any more.", body = Problem),
    ))]
pub(super) async fn workflow(State(ctx): State<Ctx>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    let run = ctx.app.resolve(&name)?;
    // It never changes, so the id of the run names it.
    let etag = format!("\"{run}-workflow\"");
    let mut response = if is_among(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (prompt, text) = ctx.app.prompt(run).await?;
        ok(&RunWorkflow {
            run_id: run,
            workflow: strict(&text)?,
            expected_ms: prompt.nodes.iter().filter_map(|node| Some((node.id.to_string(), node.expected_ms?))).collect(),
            uploads: prompt.uploads.iter().map(row).collect(),
            canvas: prompt.canvas.is_some().then(|| format!("/api/v1/runs/{run}/canvas")),
        })?
    };
    let out = response.headers_mut();
    sealed::put(out, ETAG, &etag)?;
    out.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

fn row(upload: &Upload) -> UploadRow {
    UploadRow {
        node_id: upload.node.to_string(),
        input: upload.input.clone(),
        file_name: upload.file_name.clone(),
        sha256: upload.blob.as_str().to_owned(),
    }
}
