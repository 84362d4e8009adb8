//! All runs as a stream of events, for lists.
//!
//! Events: `list` (the newest runs), then `run` for each that changes and `deleted` for each that goes. Invariants: endings, new phases and new outputs come at once, mere progress at
//! most twice a second a run; a reader that fell behind gets the list again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use comfyd_engine::RunId;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::follow::{EVERY_MS, RETRY, sleep_until, stream};
use super::limits::StreamPlace;
use super::routes::Ctx;
use super::serve::{Closing, Peer};
use crate::app::{App, Change, Filter};
use crate::live::Summary;
use crate::problem::Problem;

/// How many runs the list begins with; `GET /api/v1/runs` has the older ones.
const LISTED: usize = 200;

/// Streams what changes over all runs.
///
/// Events: `list` with the newest runs, then `run` with the summary of each that changes.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "streamRuns", tag = "runs",
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream")))]
pub(super) async fn all(
    State(ctx): State<Ctx>,
    closing: Option<Extension<Closing>>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, Problem> {
    let place = ctx.limits.stream(peer.map(|Extension(Peer(address))| address))?;
    let closing = closing.map(|Extension(closing)| closing).unwrap_or_default();
    let feed = Feed {
        changes: ctx.app.changes(),
        app: ctx.app,
        sent: BTreeMap::new(),
        owed: BTreeSet::new(),
        flush: None,
        ready: VecDeque::new(),
        stage: Stage::List,
        closing,
        _place: place,
    };
    let events = futures_util::stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    Ok(stream(events))
}

enum Stage {
    List,
    Follow,
    Over,
}

struct Feed {
    app: App,
    changes: broadcast::Receiver<Change>,
    /// What was last sent of the runs that go on.
    sent: BTreeMap<RunId, Summary>,
    /// Runs with progress that waits for `flush`.
    owed: BTreeSet<RunId>,
    flush: Option<Instant>,
    ready: VecDeque<Event>,
    stage: Stage,
    closing: Closing,
    _place: StreamPlace,
}

impl Feed {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.stage {
                Stage::List => {
                    self.stage = Stage::Follow;
                    return Some(self.list());
                }
                Stage::Follow => {
                    if let Some(event) = self.ready.pop_front() {
                        return Some(event);
                    }
                    self.wait().await;
                }
                Stage::Over => return None,
            }
        }
    }

    fn list(&mut self) -> Event {
        let runs = self.app.list(&Filter { limit: LISTED, ..Filter::default() }).runs;
        self.owed.clear();
        self.flush = None;
        self.sent = runs.iter().filter(|run| !run.status.is_settled()).map(|run| (run.run_id, run.clone())).collect();
        Event::default().event("list").retry(RETRY).data(json!({ "runs": runs, "limit": LISTED }).to_string())
    }

    async fn wait(&mut self) {
        // Both receiving and sleeping lose nothing when the other wins.
        tokio::select! {
            () = self.closing.closed() => self.stage = Stage::Over,
            change = self.changes.recv() => match change {
                Ok(Change::Run(run)) => self.note(run),
                Ok(Change::Deleted(run)) => self.forget(run),
                Err(RecvError::Lagged(_)) => self.stage = Stage::List,
                Err(RecvError::Closed) => self.stage = Stage::Over,
            },
            () = sleep_until(self.flush) => {
                self.flush = None;
                for run in std::mem::take(&mut self.owed) {
                    self.push(run);
                }
            }
        }
    }

    fn note(&mut self, run: RunId) {
        let Some(new) = self.app.live.summary(run) else { return };
        match self.sent.get(&run) {
            Some(old) if *old == new => {}
            Some(old) if only_counts(old, &new) => {
                self.owed.insert(run);
                self.flush.get_or_insert_with(|| Instant::now() + Duration::from_millis(EVERY_MS));
            }
            Some(_) | None => self.push(run),
        }
    }

    fn forget(&mut self, run: RunId) {
        self.owed.remove(&run);
        self.sent.remove(&run);
        self.ready.push_back(Event::default().event("deleted").data(json!({ "run_id": run }).to_string()));
    }

    fn push(&mut self, run: RunId) {
        let Some(summary) = self.app.live.summary(run) else { return };
        self.owed.remove(&run);
        if summary.status.is_settled() {
            self.sent.remove(&run);
        } else {
            self.sent.insert(run, summary.clone());
        }
        self.ready.push_back(Event::default().event("run").data(json!(summary).to_string()));
    }
}

/// Whether two summaries differ in progress alone.
fn only_counts(old: &Summary, new: &Summary) -> bool {
    let still = Summary { permille: new.permille, seq: new.seq, ..old.clone() };
    still == *new
}
