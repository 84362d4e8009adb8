//! A run as a stream of events: its present state, then what changes, until it is over.
//!
//! Events: `state` (the run, whole), `patch` (a merge patch to it), `preview` (where the newest picture is), `end`; the `id` of the first two is
//! `<boot>:<seq>`. Invariants: a reader who comes back with `Last-Event-ID` goes on from there, or gets the state anew; who falls too far behind gets the
//! state anew; the last state is never lost. Absent: what is told and when; see [`super::hub`].

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use comfyd_engine::{RunId, RunView, Seq};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::hub::{Hub, News};
use super::reply::query_of;
use super::ring::{Form, Next, Places, Told};
use super::routes::Ctx;
use super::serve::{Closing, Peer};
use super::sse;
use crate::live::Watching;
use crate::problem::Problem;

/// How to tell it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Telling {
    /// `false` for whole states in the shape of `GET /api/v1/runs/{id}` each time, and no patches.
    #[param(pattern = "^(true|false|1|0)$")]
    patches: Option<String>,
}

/// Streams a run.
///
/// Events: `state` with the run in the live shape (`nodes` and `outputs` are objects by id, null members are not there), then `patch` with a JSON merge
/// patch (RFC 7396) to it, `preview` with the place of the newest picture, `end`. `id:` is `<boot>:<seq>`: an id of
/// another life of the server gets the state anew.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", operation_id = "streamRun", tag = "runs",
    params(
        ("id" = String, Path, description = "A run id or a `workflow_id`."),
        ("last-event-id" = Option<String>, Header, description = "The id that was seen last: only what came since is told."),
        Telling
    ),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream")))]
pub(super) async fn run(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    query: Result<Query<Telling>, QueryRejection>,
    headers: HeaderMap,
    closing: Option<Extension<Closing>>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, Problem> {
    let form = form_of(query_of(query)?.patches.as_deref())?;
    let place = ctx.limits.stream(peer.map(|Extension(Peer(address))| address))?;
    let run = ctx.app.resolve(&name)?;
    let closing = closing.map(|Extension(closing)| closing).unwrap_or_default();
    let from = last_seen(&headers, &ctx.hubs.places).filter(|_| form == Form::Patches);
    let follower = Follower::new(&ctx, run, form, from, closing).await?;
    Ok(sse::answer(futures_util::stream::unfold((follower, place), |(mut follower, place)| async move {
        let event = follower.next().await?;
        Some((event, (follower, place)))
    })))
}

fn form_of(patches: Option<&str>) -> Result<Form, Problem> {
    match patches {
        None | Some("true" | "1") => Ok(Form::Patches),
        Some("false" | "0") => Ok(Form::States),
        Some(other) => {
            let other: String = other.chars().take(60).collect();
            let hint = "Use `patches=false` for whole states, or leave it out for a state and merge patches.";
            Err(Problem::invalid("bad_query", format!("`patches` cannot be `{other}`"), hint))
        }
    }
}

/// The place of the log that a reader has seen last; an id that is not of this life of the server is as good as none.
fn last_seen(headers: &HeaderMap, places: &Places) -> Option<Seq> {
    places.read(headers.get("last-event-id")?.to_str().ok()?)
}

/// What a reader gets first of a run that goes on, and its version then; nothing and version 0 for the whole state.
async fn greeting(ctx: &Ctx, run: RunId, hub: &Hub, from: Option<Seq>) -> (VecDeque<Bytes>, u64) {
    let Some(from) = from else { return (VecDeque::new(), 0) };
    let known = hub.ring().place_of(from);
    if let Some((event, version)) = known {
        return ([event].into(), version);
    }
    let Some(base) = folded(ctx, run, from).await else { return (VecDeque::new(), 0) };
    let newest = Arc::clone(hub.ring().newest());
    if base.seq > newest.view.seq {
        // It was seen before the throttle let it out here.
        return (VecDeque::new(), 0);
    }
    ([newest.since(&base)].into(), newest.version)
}

/// All that there is to tell of a run that is over.
async fn past(ctx: &Ctx, run: RunId, form: Form, from: Option<Seq>) -> Result<VecDeque<Bytes>, Problem> {
    let told = Told::only(Arc::new(ctx.app.view(run).await?), ctx.hubs.places.clone());
    let base = match from {
        Some(from) if from <= told.view.seq => folded(ctx, run, from).await,
        Some(_) | None => None,
    };
    let first = base.map_or_else(|| told.event(form), |base| told.since(&base));
    Ok([first, end(&told.view, &ctx.hubs.places)].into())
}

/// The run at a place of its log; nothing if that cannot be told, so that the reader gets the whole state.
async fn folded(ctx: &Ctx, run: RunId, at: Seq) -> Option<RunView> {
    let _place = ctx.limits.fold().await?;
    ctx.app.view_at(run, at).await.ok()
}

fn end(view: &RunView, places: &Places) -> Bytes {
    let data = json!({ "run_id": view.run_id, "status": view.status, "seq": view.seq });
    sse::event("end", Some(&places.id(view.seq)), &data.to_string())
}

/// One who follows a run.
pub(super) struct Follower {
    /// Where more comes from; nothing for a run that is over.
    source: Option<(watch::Receiver<News>, Arc<Hub>)>,
    form: Form,
    /// What is to be sent first.
    ready: VecDeque<Bytes>,
    /// The version that the reader is at.
    at: u64,
    picture: u64,
    ended: bool,
    places: Places,
    /// When a heartbeat is due.
    beat: Instant,
    closing: Closing,
    _watching: Watching,
}

impl Follower {
    /// One who follows a run by patches, from what was seen of it last.
    pub(super) async fn patches(ctx: &Ctx, run: RunId, from: Option<Seq>, closing: Closing) -> Result<Self, Problem> {
        Self::new(ctx, run, Form::Patches, from, closing).await
    }

    async fn new(ctx: &Ctx, run: RunId, form: Form, from: Option<Seq>, closing: Closing) -> Result<Self, Problem> {
        let watching = ctx.app.live.watching();
        let (ready, at, source) = match ctx.hubs.of(run, &ctx.app) {
            Some(hub) => {
                let (ready, at) = greeting(ctx, run, &hub, from).await;
                (ready, at, Some((hub.news(), hub)))
            }
            None => (past(ctx, run, form, from).await?, 0, None),
        };
        let (places, beat) = (ctx.hubs.places.clone(), Instant::now() + sse::HEARTBEAT);
        Ok(Self { source, form, ready, at, picture: 0, ended: false, places, beat, closing, _watching: watching })
    }

    /// What there is to tell next; nothing once all is told.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let event = self.event().await?;
        self.beat = Instant::now() + sse::HEARTBEAT;
        Some(event)
    }

    async fn event(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let (news, hub) = self.source.as_mut().filter(|_| !self.ended)?;
            // Marked as seen before it is looked at, so that nothing falls in between.
            let seen = *news.borrow_and_update();
            let next = hub.ring().after(self.at, self.form);
            match next {
                Next::Event(event, version) => {
                    self.at = version;
                    return Some(event);
                }
                Next::State(told) => {
                    self.at = told.version;
                    return Some(told.event(self.form));
                }
                Next::UpToDate => {}
            }
            if seen.picture > self.picture {
                self.picture = seen.picture;
                self.ready.extend(hub.picture());
            } else if seen.over && seen.version <= self.at {
                self.ended = true;
                let newest = Arc::clone(hub.ring().newest());
                return Some(end(&newest.view, &self.places));
            } else {
                // Every arm only waits: losing one loses nothing.
                tokio::select! {
                    () = self.closing.closed() => return None,
                    changed = news.changed() => changed.ok()?,
                    () = tokio::time::sleep_until(self.beat) => return Some(sse::heartbeat()),
                }
            }
        }
    }
}
