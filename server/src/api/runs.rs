//! `/api/v1/runs`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use comfyd_adapters::digest::sha256;
use comfyd_engine::{InstanceId, RunId, RunView, Seq, Status, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::is_among;
use super::recent::Written;
use super::reply::{Answer, json, ok, query_of, success, with_success};
use super::routes::Ctx;
use super::shapes::{Asked, CancelBody, ExecuteBody, ExecuteForm, Retried};
use super::{body, plan};
use crate::app::{Created, Filter};
use crate::live::Summary;
use crate::problem::Problem;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;
const STATUSES: [Status; 5] = [Status::Queued, Status::Executing, Status::Completed, Status::Failed, Status::Cancelled];

/// Creates a run.
#[utoipa::path(post, path = "/api/v1/runs", operation_id = "createRun", tag = "runs",
    params(("idempotency-key" = Option<String>, Header, description = "The same key with the same body is one run.")),
    request_body(content((ExecuteBody = "application/json"), (ExecuteForm = "multipart/form-data"))),
    responses(
        (status = 201, description = "It is recorded and will run; `Location` is its address.", body = Created),
        (status = 200, description = "The same request made it before.", body = Created),
        (status = 404, description = "There is no such instance.", body = Problem),
        (status = 410, description = "The run that was made with this `Idempotency-Key` has been removed.", body = Problem),
        (status = 422, description = "The `Idempotency-Key` was used for another request.", body = Problem),
    ))]
pub(super) async fn create(State(ctx): State<Ctx>, request: Request) -> Answer {
    let created = plan::start(&ctx, request).await?;
    let status = if created.fresh { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = success(status, &created)?;
    let place = HeaderValue::from_str(&format!("/api/v1/runs/{}", created.run_id));
    response.headers_mut().insert(LOCATION, place.map_err(|_| Problem::internal("a run id is not a header value"))?);
    Ok(response)
}

/// What to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// How many at most: 1 to 1,000, else 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only these statuses, with commas between.
    #[param(pattern = "^(,*(queued|executing|completed|failed|cancelled))*,*$")]
    status: Option<String>,
    /// Only runs of this instance.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$")]
    instance: Option<String>,
    /// Only runs of the workflow of this name.
    name: Option<String>,
    /// Only runs whose name, id, instance or error contains this.
    text: Option<String>,
    /// Only runs of this batch.
    batch: Option<String>,
    /// Only runs created after this time.
    #[param(format = DateTime)]
    after: Option<String>,
    /// Only runs created before this time.
    #[param(format = DateTime)]
    before: Option<String>,
}

impl Listing {
    fn filter(self, ctx: &Ctx) -> Result<Filter, Problem> {
        let status = self.status.iter().flat_map(|list| list.split(',')).filter(|word| !word.is_empty()).map(status_of);
        Ok(Filter {
            status: status.collect::<Result<_, _>>()?,
            instance: self.instance.map(|name| instance_of(&name)).transpose()?,
            name: self.name,
            text: self.text,
            batch: self.batch,
            created_after: self.after.map(|text| time_of("after", &text)).transpose()?,
            created_before: self.before.map(|text| time_of("before", &text)).transpose()?,
            before: self.cursor.map(|name| cursor_of(ctx, &name)).transpose()?,
            limit: limit_of(self.limit)?,
        })
    }
}

/// Some runs.
#[derive(Serialize, ToSchema)]
struct RunList {
    /// The runs, the newest first.
    runs: Vec<Summary>,
    /// What to give as `cursor` for the next page.
    next_cursor: Option<RunId>,
    /// How many runs there are, where all are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
}

/// Lists runs, the newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "listRuns", tag = "runs", params(Listing),
    responses((status = 200, description = "A page of the list.", body = RunList)))]
pub(super) async fn list(State(ctx): State<Ctx>, query: Result<Query<Listing>, QueryRejection>) -> Answer {
    let filter = query_of(query)?.filter(&ctx)?;
    let app = ctx.app.clone();
    // Where few runs match, all are looked at.
    let page = crate::offload::Offload::Threads.run(move || app.list(&filter)).await;
    ok(&RunList { runs: page.runs, next_cursor: page.next, total: page.total })
}

fn limit_of(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let hint = format!("Give 1 to {MAX_LIMIT}; `next_cursor` of the answer leads to the next page.");
    Err(Problem::invalid("bad_query", format!("`limit` cannot be {limit}"), hint))
}

/// A run that has been deleted meanwhile is still a place in the list.
fn cursor_of(ctx: &Ctx, name: &str) -> Result<RunId, Problem> {
    name.parse().or_else(|_| ctx.app.resolve(name)).map_err(|_| {
        let name: String = name.chars().take(60).collect();
        Problem::invalid("bad_query", format!("`cursor` cannot be `{name}`"), "Give the `next_cursor` of the page before.")
    })
}

fn instance_of(name: &str) -> Result<InstanceId, Problem> {
    name.parse().map_err(|error| {
        Problem::invalid("bad_query", format!("`instance`: {error}"), "Give the name of an instance as it stands in the list.")
    })
}

fn time_of(field: &str, text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(text).ok_or_else(|| {
        let text: String = text.chars().take(60).collect();
        let hint = "Give a time like 2024-11-21T10:15:00Z; `+` in an address is written `%2B`.";
        Problem::invalid("bad_query", format!("`{field}` cannot be `{text}`"), hint)
    })
}

fn status_of(word: &str) -> Result<Status, Problem> {
    STATUSES.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
        let word: String = word.chars().take(60).collect();
        let hint = "Use queued, executing, completed, failed or cancelled, with commas between.";
        Problem::invalid("bad_query", format!("`status` cannot be `{word}`"), hint)
    })
}

/// Gives a run as it is now.
#[utoipa::path(get, path = "/api/v1/runs/{id}", operation_id = "getRun", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 200, description = "The run.", body = RunView), (status = 304, description = "The caller has it already, by `If-None-Match`.")))]
pub(super) async fn one(State(ctx): State<Ctx>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    let run = ctx.app.resolve(&name)?;
    let over = ctx.app.live.is_over_and_whole(run);
    let known = if over { ctx.recent.get(run) } else { None };
    let written = if let Some(written) = known {
        written
    } else {
        let written = written(&ctx.app.view(run).await?)?;
        // It was over before it was read, and has not been found damaged by that.
        if over && ctx.app.live.is_over_and_whole(run) {
            ctx.recent.keep(run, &written);
        }
        written
    };
    let fresh = written.etag.to_str().is_ok_and(|etag| is_among(&headers, etag));
    let mut response = if fresh { StatusCode::NOT_MODIFIED.into_response() } else { json(StatusCode::OK, written.text) };
    response.headers_mut().insert(ETAG, written.etag);
    Ok(response)
}

fn written(view: &RunView) -> Result<Written, Problem> {
    let text = with_success("true", view)?;
    // Of the text, because an estimate or a place in the queue changes without an event.
    let etag = format!("\"{}-{}\"", view.seq, &sha256(&text).as_str()[..16]);
    let etag = HeaderValue::from_str(&etag).map_err(|_| Problem::internal("an ETag cannot be written"))?;
    Ok(Written { text: text.into(), etag })
}

/// Removes a run that is over, with its log, state and stored outputs; copies of the outputs elsewhere stay.
#[utoipa::path(delete, path = "/api/v1/runs/{id}", operation_id = "deleteRun", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 200, description = "It is gone.", body = Deleted), (status = 409, description = "It has not ended, or still waits for its outputs.", body = Problem)))]
pub(super) async fn delete(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let run = ctx.app.resolve(&name)?;
    ctx.app.delete(run).await?;
    ok(&Deleted { deleted: run })
}

/// A removed run.
#[derive(Serialize, ToSchema)]
struct Deleted {
    /// The run that is gone.
    deleted: RunId,
}

/// Gives a run as it was after an event.
#[utoipa::path(get, path = "/api/v1/runs/{id}/at/{seq}", operation_id = "getRunAt", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`."), ("seq" = u64, Path, description = "The number of the event, from 1.")),
    responses((status = 200, description = "The run as it was.", body = RunView), (status = 409, description = "Its log is damaged there.", body = Problem)))]
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

/// Cancels a run.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", operation_id = "cancelRun", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    request_body = Option<CancelBody>,
    responses((status = 202, description = "It is asked to stop.", body = Asked), (status = 409, description = "It has ended, or is damaged.", body = Problem)))]
pub(super) async fn cancel(ctx: State<Ctx>, name: Path<String>, request: Request) -> Answer {
    plan::cancel(ctx, name, request).await
}

/// Submits a run again of which nobody knows whether ComfyUI has it.
#[utoipa::path(post, path = "/api/v1/runs/{id}/resubmit", operation_id = "resubmitRun", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 202, description = "It is submitted again.", body = Asked), (status = 409, description = "It is not in doubt.", body = Problem)))]
pub(super) async fn resubmit(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let run = ctx.app.resolve(&name)?;
    body::fields(request).await?;
    ctx.app.resubmit(run).await?;
    let workflow_id = ctx.app.live.summary(run).map(|summary| summary.workflow_id);
    success(StatusCode::ACCEPTED, &Asked { workflow_id, run_id: run, message: "The workflow is submitted again" })
}

/// Runs the same workflow again, as a new run.
#[utoipa::path(post, path = "/api/v1/runs/{id}/retry", operation_id = "retryRun", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 201, description = "The new run.", body = Retried), (status = 409, description = "It has not ended, or is damaged.", body = Problem)))]
pub(super) async fn retry(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let run = ctx.app.resolve(&name)?;
    body::fields(request).await?;
    let created = ctx.app.retry(run).await?;
    success(StatusCode::CREATED, &Retried { run_id: created.run_id, workflow_id: created.workflow_id, retry_of: run })
}
