//! `/api/v1/runs`.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use comfyd_engine::{RunId, Seq, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reply::{Answer, ok, query_of, success};
use super::routes::Ctx;
use super::{body, plan};
use crate::app::Filter;
use crate::live::Summary;
use crate::problem::Problem;

pub(super) use super::plan::cancel;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;
const STATUSES: [Status; 5] = [Status::Queued, Status::Executing, Status::Completed, Status::Failed, Status::Cancelled];

/// `POST /api/v1/runs`
pub(super) async fn create(State(ctx): State<Ctx>, request: Request) -> Answer {
    let created = plan::start(&ctx, request).await?;
    let status = if created.fresh { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = success(status, &created)?;
    let place = HeaderValue::from_str(&format!("/api/v1/runs/{}", created.run_id));
    response.headers_mut().insert(LOCATION, place.map_err(|_| Problem::internal("a run id is not a header value"))?);
    Ok(response)
}

/// What to list.
#[derive(Deserialize)]
pub(super) struct Listing {
    limit: Option<usize>,
    before: Option<String>,
    status: Option<String>,
    text: Option<String>,
}

#[derive(Serialize)]
struct Page {
    runs: Vec<Summary>,
    /// What to give as `before` for the next page.
    next: Option<RunId>,
}

/// `GET /api/v1/runs?limit=&before=&status=a,b&text=`
pub(super) async fn list(State(ctx): State<Ctx>, query: Result<Query<Listing>, QueryRejection>) -> Answer {
    let query = query_of(query)?;
    let before = query.before.map(|name| ctx.app.resolve(&name)).transpose()?;
    let status = query.status.iter().flat_map(|list| list.split(',')).filter(|word| !word.is_empty()).map(status_of);
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    // One more than asked for tells whether there is another page.
    let filter = Filter { status: status.collect::<Result<_, _>>()?, text: query.text, before, limit: limit + 1 };
    let mut runs = ctx.app.list(&filter);
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|summary| summary.run_id);
    ok(&Page { runs, next })
}

fn status_of(word: &str) -> Result<Status, Problem> {
    STATUSES.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
        let word: String = word.chars().take(60).collect();
        let hint = "Use queued, executing, completed, failed or cancelled, with commas between.";
        Problem::invalid("bad_query", format!("`status` cannot be `{word}`"), hint)
    })
}

/// `GET /api/v1/runs/{id}`
pub(super) async fn one(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    ok(&ctx.app.view(ctx.app.resolve(&name)?).await?)
}

/// `GET /api/v1/runs/{id}/at/{seq}`
pub(super) async fn at(State(ctx): State<Ctx>, Path((name, seq)): Path<(String, String)>) -> Answer {
    let run = ctx.app.resolve(&name)?;
    ok(&ctx.app.view_at(run, seq_of(&seq)?).await?)
}

fn seq_of(text: &str) -> Result<Seq, Problem> {
    text.parse().map(Seq).map_err(|_| {
        let text: String = text.chars().take(60).collect();
        Problem::invalid("bad_seq", format!("`{text}` is not the number of an event"), "Give a whole number from 1.")
    })
}

/// `POST /api/v1/runs/{id}/resubmit`
pub(super) async fn resubmit(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let run = ctx.app.resolve(&name)?;
    body::fields(request).await?;
    ctx.app.resubmit(run).await?;
    success(StatusCode::ACCEPTED, &json!({ "run_id": run, "message": "The workflow is submitted again" }))
}

/// `POST /api/v1/runs/{id}/retry`: the same workflow as a new run.
pub(super) async fn retry(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let run = ctx.app.resolve(&name)?;
    body::fields(request).await?;
    let created = ctx.app.retry(run).await?;
    success(StatusCode::CREATED, &json!({ "run_id": created.run_id, "workflow_id": created.workflow_id, "retry_of": run }))
}

/// How to give the log.
#[derive(Deserialize)]
pub(super) struct Logging {
    raw: Option<String>,
    after: Option<u64>,
}

/// `GET /api/v1/runs/{id}/log?after=SEQ`: a JSON line an event; `?raw=1`: the file.
pub(super) async fn log(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    query: Result<Query<Logging>, QueryRejection>,
) -> Answer {
    let query = query_of(query)?;
    let run = ctx.app.resolve(&name)?;
    if query.raw.as_deref() == Some("1") {
        let mut response = Response::new(Body::from(ctx.app.raw_log(run).await?));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"events.log\""));
        return Ok(response);
    }
    let mut lines = Vec::new();
    for line in ctx.app.log(run, Seq(query.after.unwrap_or(0))).await? {
        serde_json::to_writer(&mut lines, &line)
            .map_err(|error| Problem::internal(format!("an event could not be written: {error}")))?;
        lines.push(b'\n');
    }
    let mut response = Response::new(Body::from(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}
