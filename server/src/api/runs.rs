//! `/api/v1/runs`.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use comfyd_engine::{InstanceId, RunId, Seq, Status, Timestamp};
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
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    limit: Option<usize>,
    cursor: Option<String>,
    status: Option<String>,
    instance: Option<String>,
    name: Option<String>,
    text: Option<String>,
    batch: Option<String>,
    after: Option<String>,
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

#[derive(Serialize)]
struct Listed {
    runs: Vec<Summary>,
    /// What to give as `cursor` for the next page.
    next_cursor: Option<RunId>,
    /// How many runs there are, where all are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
}

/// `GET /api/v1/runs?status=a,b&instance=&name=&text=&batch=&after=TIME&before=TIME&cursor=RUN&limit=`
pub(super) async fn list(State(ctx): State<Ctx>, query: Result<Query<Listing>, QueryRejection>) -> Answer {
    let filter = query_of(query)?.filter(&ctx)?;
    let app = ctx.app;
    // Where few runs match, all are looked at.
    let page = crate::offload::Offload::Threads.run(move || app.list(&filter)).await;
    ok(&Listed { runs: page.runs, next_cursor: page.next, total: page.total })
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
