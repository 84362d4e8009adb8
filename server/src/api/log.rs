//! The events of a run as they were recorded.

use std::io::{self, Write};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use comfyd_engine::Seq;
use serde::Deserialize;
use utoipa::IntoParams;

use super::pipe;
use super::reply::{Answer, flag, number, query_of};
use super::routes::Ctx;
use crate::app::LogLine;
use crate::problem::Problem;

/// Which events, and in what form.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Logging {
    /// `1` for the file as it is on disk.
    #[param(pattern = "^[01]$")]
    raw: Option<String>,
    /// Only events after this number.
    #[param(pattern = "^[0-9]{1,19}$")]
    after: Option<String>,
    /// The first event, from 1.
    #[param(pattern = "^[0-9]{1,19}$")]
    from: Option<String>,
    /// The last event.
    #[param(pattern = "^[0-9]{1,19}$")]
    to: Option<String>,
    /// How many at most.
    #[param(pattern = "^[0-9]{1,19}$")]
    limit: Option<String>,
}

/// Some events of a log.
struct Part {
    first: u64,
    last: u64,
    limit: usize,
}

impl Logging {
    fn is_raw(&self) -> Result<bool, Problem> {
        let raw = flag("raw", self.raw.as_deref())?;
        if raw && [&self.after, &self.from, &self.to, &self.limit].iter().any(|bound| bound.is_some()) {
            let hint = "Leave `raw` out for some events, or leave the bounds out for the file.";
            return Err(Problem::invalid("bad_query", "`raw` is the whole file and has no bounds", hint));
        }
        Ok(raw)
    }

    fn part(&self) -> Result<Part, Problem> {
        let after = number("after", self.after.as_deref(), 0)?;
        let from = number("from", self.from.as_deref(), 1)?;
        if after.is_some() && from.is_some() {
            let hint = "`from` names the first event that you want, `after` the one before it.";
            return Err(Problem::invalid("bad_query", "`after` and `from` are both given", hint));
        }
        let first = from.unwrap_or_else(|| after.unwrap_or(0).saturating_add(1));
        let last = number("to", self.to.as_deref(), 1)?.unwrap_or(u64::MAX);
        if first > last {
            let message = format!("`to` ({last}) is before the first event that is asked for ({first})");
            return Err(Problem::invalid("bad_query", message, "Give a `to` that is not before `from`."));
        }
        let limit = number("limit", self.limit.as_deref(), 1)?.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(Part { first, last, limit })
    }
}

/// Gives the recorded events of a run.
///
/// A JSON line for each: `seq`, `at`, `event`; blobs are shortened to their length.
#[utoipa::path(get, path = "/api/v1/runs/{id}/log", operation_id = "getLog", tag = "runs",
    params(("id" = String, Path, description = "A run id or a `workflow_id`."), Logging),
    responses(
        (status = 200, description = "The events, or the file.", content((LogLine = "application/x-ndjson"), (String = "application/octet-stream"))),
        (status = 409, description = "It is damaged there.", body = Problem),
    ))]
pub(super) async fn log(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    query: Result<Query<Logging>, QueryRejection>,
) -> Answer {
    let query = query_of(query)?;
    let (raw, part) = (query.is_raw()?, query.part()?);
    let run = ctx.app.resolve(&name)?;
    if raw {
        let mut response = Response::new(Body::from(ctx.app.raw_log(run).await?));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"events.log\""));
        return Ok(response);
    }
    let place = ctx.limits.work()?;
    let mut records = ctx.app.records(run, Seq(part.first - 1)).await?;
    records.retain(|(seq, _)| seq.0 <= part.last);
    records.truncate(part.limit);
    // What cannot be read is said before the answer begins, not by breaking it off.
    let records = tokio::task::spawn_blocking(move || crate::history::readable(run, records)).await;
    let records = records.map_err(|error| Problem::internal(format!("a log could not be checked: {error}")))??;
    let body = pipe::body(place, move |pipe| {
        for (seq, payload) in records {
            let line = crate::history::line(run, seq, &payload).map_err(io::Error::other)?;
            serde_json::to_writer(&mut *pipe, &line)?;
            pipe.write_all(b"\n")?;
        }
        Ok(())
    });
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}
