//! A run as a stream of events: its present state, then what changes, until it is over.
//!
//! Events: `state` (the run, `id:` its seq), `preview` (where the newest picture is), `end`. Invariants: what matters comes at once, mere progress and
//! previews at most twice a second; the newest value wins, so that a slow reader costs one view; the last state is never lost.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use comfyd_engine::{RunId, RunView, Status, Throttle, Timestamp};
use futures_util::Stream;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::limits::StreamPlace;
use super::routes::Ctx;
use super::serve::{Closing, Peer};
use crate::app::App;
use crate::live::Preview;
use crate::problem::Problem;

/// Mere progress goes out this often at most.
pub(super) const EVERY_MS: u64 = 500;
/// How often a queued run's place is looked at: it changes when other runs do.
const PLACE_EVERY: Duration = Duration::from_secs(1);
/// How soon a browser connects again.
pub(super) const RETRY: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Streams a run.
///
/// Events: `state` with the run (`id:` is its seq), `preview` with the place of the newest picture, `end`.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", operation_id = "streamRun", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream")))]
pub(super) async fn run(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    closing: Option<Extension<Closing>>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, Problem> {
    let place = ctx.limits.stream(peer.map(|Extension(Peer(address))| address))?;
    let run = ctx.app.resolve(&name)?;
    let closing = closing.map(|Extension(closing)| closing).unwrap_or_default();
    // Subscribed before the state is read, so that nothing falls in between.
    let views = ctx.app.watch(run);
    let previews = ctx.app.watch_preview(run);
    let view = ctx.app.view(run).await?;
    let follower = Follower {
        run,
        app: ctx.app,
        views,
        previews,
        sent: view.clone(),
        stage: Stage::Greet(Box::new(view)),
        gate: Throttle::every_ms(EVERY_MS),
        pictures: Throttle::every_ms(EVERY_MS),
        picture: 0,
        began: Instant::now(),
        closing,
        _place: place,
    };
    let events = futures_util::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(stream(events))
}

/// A stream of events as an answer.
pub(super) fn stream(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("alive")).into_response()
}

enum Stage {
    Greet(Box<RunView>),
    Follow,
    End,
    Over,
}

struct Follower {
    app: App,
    run: RunId,
    views: Option<watch::Receiver<Arc<RunView>>>,
    previews: Option<watch::Receiver<Option<Preview>>>,
    sent: RunView,
    stage: Stage,
    gate: Throttle,
    pictures: Throttle,
    picture: u64,
    began: Instant,
    closing: Closing,
    _place: StreamPlace,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Follow) {
                Stage::Greet(view) => {
                    let now = self.clock();
                    self.gate.force(now);
                    return Some(self.state(*view).retry(RETRY));
                }
                Stage::Follow => match self.due() {
                    Some(event) => return Some(event),
                    None if is_over(&self.sent) || self.views.is_none() => self.stage = Stage::End,
                    None => self.wait().await,
                },
                Stage::End => {
                    self.stage = Stage::Over;
                    let data = json!({ "run_id": self.run, "status": self.sent.status, "seq": self.sent.seq });
                    return Some(Event::default().event("end").id(self.sent.seq.to_string()).data(data.to_string()));
                }
                Stage::Over => {
                    self.stage = Stage::Over;
                    return None;
                }
            }
        }
    }

    /// What may go out now.
    fn due(&mut self) -> Option<Event> {
        self.due_state().or_else(|| self.due_preview())
    }

    fn due_state(&mut self) -> Option<Event> {
        let now = self.clock();
        let views = self.views.as_mut()?;
        let closed = views.has_changed().is_err();
        let newest = Arc::clone(&views.borrow_and_update());
        if closed {
            // Nothing more will come; what is there now is the last.
            self.views = None;
        }
        let place = if newest.status == Status::Queued { self.app.live.queue_position(self.run) } else { None };
        let moved = place.is_some() && place != self.sent.progress.queue_position;
        if newest.seq <= self.sent.seq && !moved {
            return None;
        }
        if closed || matters(&self.sent, &newest) {
            self.gate.force(now);
        } else if !self.gate.admit(now) {
            return None;
        }
        let view = (*newest).clone().at(self.app.now(), place);
        Some(self.state(view))
    }

    fn due_preview(&mut self) -> Option<Event> {
        let now = self.clock();
        let newest = self.previews.as_mut()?.borrow_and_update().clone()?;
        if newest.number <= self.picture || !self.pictures.admit(now) {
            return None;
        }
        self.picture = newest.number;
        let url = format!("/api/v1/runs/{}/preview?n={}", self.run, newest.number);
        let data = json!({ "number": newest.number, "node_id": newest.node, "media_type": newest.media_type, "url": url });
        Some(Event::default().event("preview").data(data.to_string()))
    }

    fn state(&mut self, view: RunView) -> Event {
        let event = Event::default().event("state").id(view.seq.to_string());
        self.sent = view;
        match serde_json::to_string(&self.sent) {
            Ok(text) => event.data(text),
            // Views are plain data; a reader that gets this asks for the run itself.
            Err(error) => Event::default().event("resync").data(error.to_string()),
        }
    }

    /// Waits until there may be something to send.
    async fn wait(&mut self) {
        let owed = [self.gate.due(), self.pictures.due()].into_iter().flatten().min();
        let owed = owed.map(|at| self.began + Duration::from_millis(at.0));
        let queued = (self.sent.status == Status::Queued).then(|| Instant::now() + PLACE_EVERY);
        let until = owed.into_iter().chain(queued).min();
        // Every arm only waits: losing one loses nothing.
        tokio::select! {
            () = self.closing.closed() => self.stage = Stage::Over,
            () = changed(self.views.as_mut()) => {}
            () = changed_or_gone(&mut self.previews) => {}
            () = sleep_until(until) => {}
        }
    }

    /// Time since the stream began: the gates need no other.
    fn clock(&self) -> Timestamp {
        Timestamp(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// Waits for a new value; also returns when there will be none, which the receiver then says.
async fn changed(views: Option<&mut watch::Receiver<Arc<RunView>>>) {
    match views {
        Some(views) => drop(views.changed().await),
        None => std::future::pending().await,
    }
}

async fn changed_or_gone(previews: &mut Option<watch::Receiver<Option<Preview>>>) {
    match previews {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                *previews = None;
            }
        }
        None => std::future::pending().await,
    }
}

/// Sleeps until a time, for ever if there is none.
pub(super) async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Whether nothing more will happen: it has ended, and each output is here or known not to come.
fn is_over(view: &RunView) -> bool {
    view.status.is_settled() && view.outputs.iter().all(|output| output.downloaded || output.problem.is_some())
}

/// Whether two states differ in more than numbers that count up.
fn matters(old: &RunView, new: &RunView) -> bool {
    let nodes = || {
        let states = |view: &RunView| view.nodes.iter().map(|node| (node.node_id.clone(), node.state)).collect::<Vec<_>>();
        old.nodes.len() != new.nodes.len() || states(old) != states(new)
    };
    old.status != new.status
        || old.phase != new.phase
        || old.stopping != new.stopping
        || old.attention != new.attention
        || old.warnings != new.warnings
        || old.error != new.error
        || old.outputs != new.outputs
        || old.prompt_id != new.prompt_id
        || old.instance != new.instance
        || nodes()
}
