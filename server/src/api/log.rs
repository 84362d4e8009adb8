//! The events of a run as they were recorded.

use std::io::{self, Write};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use comfyd_engine::{RunEvent, RunId, Seq};
use serde::Deserialize;
use utoipa::IntoParams;

use super::pipe;
use super::reply::{Answer, flag, number, query_of};
use super::routes::Ctx;
use crate::app::LogLine;
use crate::history::Records;
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
    /// `1` for the newest of them where `limit` leaves some out, instead of the oldest.
    #[param(pattern = "^[01]$")]
    newest: Option<String>,
    /// Only events of these kinds, with commas between.
    #[param(pattern = "^[a-z_]+(,[a-z_]+)*$")]
    kinds: Option<String>,
    /// Only events that are not of these kinds, with commas between.
    #[param(pattern = "^[a-z_]+(,[a-z_]+)*$")]
    without: Option<String>,
    /// Only events whose kind or data, as they are told here, contain this text; capitals do not matter.
    #[param(max_length = 1000)]
    text: Option<String>,
}

/// The answer's header with the last event that was looked at.
const LAST_SEQ: HeaderName = HeaderName::from_static("x-last-seq");
/// The kind that a record is told as which this program does not know.
const UNKNOWN: &str = "unknown";
/// The longest text that is searched for, in characters.
const LONGEST_TEXT: usize = 1000;

/// Some events of a log.
struct Part {
    first: u64,
    last: u64,
    limit: usize,
    newest: bool,
    kinds: Option<Vec<String>>,
    without: Option<Vec<String>>,
    /// In small letters.
    text: Option<String>,
}

/// The records that were asked for, and the last one that was looked at.
struct Chosen {
    records: Records,
    last: u64,
}

impl Part {
    fn choose(self, run: RunId, mut records: Records) -> Result<Chosen, Problem> {
        records.retain(|(seq, _)| seq.0 <= self.last);
        let mut last = records.last().map_or(self.first - 1, |(seq, _)| seq.0);
        if self.newest {
            records.reverse();
        }
        let mut records = if self.kinds.is_none() && self.without.is_none() && self.text.is_none() {
            records.truncate(self.limit);
            // What cannot be read is said before the answer begins, not by breaking it off.
            crate::history::readable(run, records)?
        } else {
            let mut fitting = Records::new();
            for (seq, payload) in records {
                if fitting.len() == self.limit {
                    break;
                }
                if self.fits(&crate::history::line(run, seq, &payload).map_err(|error| crate::history::unreadable(run, &error))?)
                {
                    fitting.push((seq, payload));
                }
            }
            fitting
        };
        if self.newest {
            records.reverse();
        } else if records.len() == self.limit {
            last = records.last().map_or(last, |(seq, _)| seq.0);
        }
        Ok(Chosen { records, last })
    }

    fn fits(&self, line: &LogLine) -> bool {
        let kind = line.event["kind"].as_str().unwrap_or(UNKNOWN);
        let among = |kinds: &Vec<String>| kinds.iter().any(|one| one == kind);
        let is_wanted = self.kinds.as_ref().is_none_or(among) && !self.without.as_ref().is_some_and(among);
        let has_text =
            |text: &String| kind.contains(text.as_str()) || line.event["data"].to_string().to_lowercase().contains(text);
        is_wanted && self.text.as_ref().is_none_or(has_text)
    }
}

impl Logging {
    fn is_raw(&self) -> Result<bool, Problem> {
        let raw = flag("raw", self.raw.as_deref())?;
        let bounds = [&self.after, &self.from, &self.to, &self.limit, &self.newest, &self.kinds, &self.without, &self.text];
        if raw && bounds.iter().any(|bound| bound.is_some()) {
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
        let newest = flag("newest", self.newest.as_deref())?;
        Ok(Part {
            first,
            last,
            limit,
            newest,
            kinds: kinds("kinds", self.kinds.as_deref())?,
            without: kinds("without", self.without.as_deref())?,
            text: self.text()?,
        })
    }

    fn text(&self) -> Result<Option<String>, Problem> {
        let Some(given) = self.text.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        if given.chars().count() > LONGEST_TEXT {
            let message = format!("`text` is longer than {LONGEST_TEXT} characters");
            return Err(Problem::invalid("bad_query", message, "Search for a shorter text."));
        }
        Ok(Some(given.to_lowercase()))
    }
}

/// Kinds of events with commas between.
fn kinds(name: &str, given: Option<&str>) -> Result<Option<Vec<String>>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let known = |word: &str| word == UNKNOWN || RunEvent::KINDS.iter().any(|(kind, _)| *kind == word);
    if let Some(word) = given.split(',').find(|word| !known(word)) {
        let word: String = word.chars().take(60).collect();
        let all = RunEvent::KINDS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ");
        let hint = format!("Give some of these with commas between: {all}.");
        return Err(Problem::invalid("bad_query", format!("`{name}` cannot be `{word}`"), hint));
    }
    Ok(Some(given.split(',').map(str::to_owned).collect()))
}

/// Gives the recorded events of a run.
///
/// A JSON line for each: `seq`, `at`, `event`; blobs are shortened to their length.
#[utoipa::path(get, path = "/api/v1/runs/{id}/log", operation_id = "getLog", tag = "runs",
    params(("id" = String, Path, description = "A run id or a `workflow_id`."), Logging),
    responses(
        (status = 200, description = "The events, or the file.", content((LogLine = "application/x-ndjson"), (String = "application/octet-stream")),
            headers(("x-last-seq" = u64, description = "The last event that was looked at; those after it were not. Not with `raw`."))),
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
        let place = ctx.limits.work()?;
        let mut file = ctx.app.raw_log(run).await?;
        let mut response = Response::new(pipe::body(place, move |pipe| io::copy(&mut file, pipe).map(drop)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"events.log\""));
        return Ok(response);
    }
    let place = ctx.limits.work()?;
    let records = ctx.app.records(run, Seq(part.first - 1)).await?;
    let chosen = tokio::task::spawn_blocking(move || part.choose(run, records)).await;
    let chosen = chosen.map_err(|error| Problem::internal(format!("a log could not be checked: {error}")))??;
    let Chosen { records, last } = chosen;
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
    response.headers_mut().insert(LAST_SEQ, HeaderValue::from(last));
    Ok(response)
}
