//! A run's history as merge patches, for replay: what each event changed.
//!
//! Invariants: the patches, merged one by one into the state before them, give the run at each event as [`super::runs::at`] does, in the live shape. The
//! log is folded once, on a thread, from a place that is known of an earlier answer if there is one, and the answer is sent while it is made.

use std::io::{self, Write};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use comfyd_engine::{RunId, Seq};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::pipe::{self, Pipe};
use super::reply::{Answer, number, query_of};
use super::routes::Ctx;
use crate::patch::{Checkpoints, Fold, live_shape, patch_between};
use crate::problem::Problem;

/// How many entries an answer has at most.
const MOST: u64 = 5000;
/// A whole state stands among the patches this often, so that a reader can begin there.
const STATE_EVERY: u64 = 1000;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The first event, else 1.
    #[param(pattern = "^[0-9]{1,19}$")]
    from: Option<String>,
    /// The last event, else the run's newest; an answer has 5,000 entries at most.
    #[param(pattern = "^[0-9]{1,19}$")]
    to: Option<String>,
}

/// What some events changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Patches {
    /// The run.
    run_id: RunId,
    /// The first event in the answer.
    from: u64,
    /// The last event in the answer.
    to: u64,
    /// The run's newest event.
    last: u64,
    /// What to give as `from` for the rest; null if there is none.
    next: Option<u64>,
    /// An entry for each event. The first has a `state`, and so has every thousandth after it.
    entries: Vec<Entry>,
}

/// What an event changed.
#[derive(Serialize, ToSchema)]
struct Entry {
    /// The event's number.
    seq: u64,
    /// When it was recorded, RFC 3339.
    at: String,
    /// What happened.
    kind: &'static str,
    /// The run after it, in the live shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
    /// The merge patch (RFC 7396) from the entry before.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Value>,
}

/// Gives what each event of a run changed, as merge patches.
#[utoipa::path(get, path = "/api/v1/runs/{id}/patches", operation_id = "getRunPatches", tag = "runs",
    params(("id" = String, Path, description = "A run id or a `workflow_id`."), Wanted),
    responses(
        (status = 200, description = "A state and what each event changed.", body = Patches),
        (status = 409, description = "The log is damaged there.", body = Problem),
    ))]
pub(super) async fn patches(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Answer {
    let query = query_of(query)?;
    let from = number("from", query.from.as_deref(), 1)?.unwrap_or(1);
    let to = number("to", query.to.as_deref(), 1)?.unwrap_or(u64::MAX);
    if from > to {
        let message = format!("`to` ({to}) is before `from` ({from})");
        return Err(Problem::invalid("bad_query", message, "Give a `to` that is not before `from`."));
    }
    let run = ctx.app.resolve(&name)?;
    let place = ctx.limits.work()?;
    let records = ctx.app.records(run, Seq(0)).await?;
    let last = records.last().map_or(0, |(seq, _)| seq.0);
    if from > last {
        let message = format!("run {run} has {last} events, so there is no event {from}");
        return Err(Problem::new(404, "no_such_event", message, "Give a `from` from 1 to the run's `seq`."));
    }
    let wanted = to.min(last);
    let to = wanted.min(from + (MOST - 1));
    let span = Span { run, from, to, last, next: (to < wanted).then_some(to + 1) };
    // The fold up to the first entry is done before the answer begins, so that a log which cannot be folded is said to be so.
    let places = ctx.places.clone();
    let begun = tokio::task::spawn_blocking(move || span.begin(records, &places)).await;
    let begun = begun.map_err(|error| Problem::internal(format!("a log could not be folded: {error}")))?;
    let (fold, first, rest) = begun.map_err(|error| crate::history::unreadable(run, &error))?;
    let mut response = Response::new(pipe::body(place, move |pipe| span.write(fold, &first, rest, pipe)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The events of an answer.
#[derive(Clone, Copy)]
struct Span {
    run: RunId,
    from: u64,
    to: u64,
    last: u64,
    next: Option<u64>,
}

/// Records of a log, the next first.
type Records = std::vec::IntoIter<(Seq, Vec<u8>)>;

impl Span {
    /// Folds up to the first entry: the run then, that entry, and what is left.
    fn begin(
        self,
        records: Vec<(Seq, Vec<u8>)>,
        places: &Checkpoints,
    ) -> Result<(Fold, Entry, Records), crate::core::RecoverError> {
        let (mut fold, known) = places.fold(self.run, &records, Seq(self.from));
        let mut records = records.into_iter();
        records.by_ref().take(known).for_each(drop);
        let mut first = Entry { seq: self.from, at: String::new(), kind: "unknown", state: None, patch: None };
        for (seq, payload) in records.by_ref() {
            let step = fold.take(seq, &payload)?;
            if seq.0 == self.from {
                (first.at, first.kind) = (step.at.to_string(), step.kind);
                break;
            }
        }
        first.state = fold.view().map(|view| live_shape(&view));
        Ok((fold, first, records))
    }

    fn write(self, mut fold: Fold, first: &Entry, rest: Records, pipe: &mut Pipe) -> io::Result<()> {
        let Self { run, from, to, last, next } = self;
        let head = json!({ "success": true, "run_id": run, "from": from, "to": to, "last": last, "next": next }).to_string();
        // The list is written behind the other fields, piece by piece.
        write!(pipe, "{},\"entries\":[", head.trim_end_matches('}'))?;
        serde_json::to_writer(&mut *pipe, first)?;
        let mut before = fold.view();
        for (seq, payload) in rest.take_while(|(seq, _)| seq.0 <= to) {
            let step = fold.take(seq, &payload).map_err(io::Error::other)?;
            let after = fold.view();
            let whole = (seq.0 - from) % STATE_EVERY == 0;
            let (state, patch) = match (&before, &after) {
                (Some(before), Some(after)) if !whole => (None, Some(patch_between(before, after))),
                (_, after) => (after.as_ref().map(live_shape), None),
            };
            pipe.write_all(b",\n")?;
            let entry = Entry { seq: seq.0, at: step.at.to_string(), kind: step.kind, state, patch };
            serde_json::to_writer(&mut *pipe, &entry)?;
            before = after;
        }
        fold.keep();
        pipe.write_all(b"]}")
    }
}
