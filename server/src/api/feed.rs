//! All runs as a stream of events, for lists.
//!
//! Events: `list` (the newest runs and those that have not ended), then `run` for each that changes and `deleted` for each that goes; their `id` is
//! `<boot>:<counter>`, and who comes back with one gets only what changed since. Invariants: endings, new phases and new outputs come at once, mere
//! progress at most twice a second a run; who falls too far behind is told `resync` and let go, and gets the list by coming back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use comfyd_engine::{RunId, Status};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use utoipa::IntoParams;

use super::board::{Board, Next, Noted};
use super::hints::Hints;
use super::hub::{EVERY_MS, sleep_until};
use super::limits::StreamPlace;
use super::mux;
use super::reply::query_of;
use super::routes::Ctx;
use super::serve::{Closing, Peer};
use super::sse;
use crate::app::{App, Change, Filter};
use crate::live::{Summary, Watching};
use crate::problem::Problem;

/// How many runs the list begins with; `GET /api/v1/runs` has the older ones.
const LISTED: usize = 200;
/// How many older runs it has that have not ended.
const MORE_OPEN: usize = 2000;

/// What else to tell.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Telling {
    /// Runs to tell in full in the same stream, 32 at most, with commas between: ids, or `RUN@ID` with the `id` of its event that was seen last.
    runs: Option<String>,
}

/// Streams what changes over all runs.
///
/// Events: `list` with the newest runs and behind them older ones that have not ended, then `run` with the summary of each that changes and
/// `deleted` with the id of each that goes. `resync` tells a reader that it missed too much: it is let go, and gets the list by coming back. With `runs` these are told in full too, as `run_state`, `run_patch`,
/// `run_preview`, `run_end` and `run_missing`, each with `{run_id, id, data}`. `instances`, `setups` and `workflows` hint that instances, lists of steps
/// or templates have changed: who shows them reads them again.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "streamRuns", tag = "runs",
    params(("last-event-id" = Option<String>, Header, description = "The id that was seen last: only what changed since is told."), Telling),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream")))]
pub(super) async fn all(
    State(ctx): State<Ctx>,
    query: Result<Query<Telling>, QueryRejection>,
    headers: HeaderMap,
    closing: Option<Extension<Closing>>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, Problem> {
    let wanted = mux::wanted(query_of(query)?.runs.as_deref())?;
    let place = ctx.limits.stream(peer.map(|Extension(Peer(address))| address))?;
    let watching = ctx.app.live.watching();
    let closing = closing.map(|Extension(closing)| closing).unwrap_or_default();
    let shared = ctx.feed.shared(&ctx.app);
    let news = shared.news.subscribe();
    let from = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| shared.board().place_of(id));
    let (ready, at) = if let Some(number) = from {
        (None, number)
    } else {
        let (list, number) = shared.board().list(|| listed(&ctx.app));
        (Some(list), number)
    };
    let beat = Instant::now() + sse::HEARTBEAT;
    let hints = Hints::new(&ctx.app);
    let reader = Reader { shared, news, hints, ready, at, ended: false, beat, closing, _place: place, _watching: watching };
    let closing = reader.closing.clone();
    let list = futures_util::stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((event, reader))
    });
    Ok(sse::answer(mux::together(list, &ctx, wanted, &closing)))
}

fn listed(app: &App) -> String {
    let page = app.list(&Filter { limit: LISTED, ..Filter::default() });
    let mut runs = page.runs;
    // What is open is counted and may need its user, however long ago it was made.
    if let Some(last) = page.next {
        runs.extend(app.live.open_before(last, MORE_OPEN));
    }
    json!({ "runs": runs, "limit": LISTED }).to_string()
}

/// One who watches the list.
struct Reader {
    shared: Arc<Shared>,
    news: watch::Receiver<u64>,
    hints: Hints,
    ready: Option<Bytes>,
    /// The number of the last change that was sent.
    at: u64,
    ended: bool,
    /// When a heartbeat is due.
    beat: Instant,
    closing: Closing,
    _place: StreamPlace,
    _watching: Watching,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let event = self.event().await?;
        self.beat = Instant::now() + sse::HEARTBEAT;
        Some(event)
    }

    async fn event(&mut self) -> Option<Bytes> {
        if let Some(event) = self.ready.take() {
            return Some(event);
        }
        while !self.ended {
            // Marked as seen before it is looked at, so that nothing falls in between.
            self.news.borrow_and_update();
            let next = self.shared.board().after(self.at);
            match next {
                Next::Event(event, number) => {
                    self.at = number;
                    return Some(event);
                }
                Next::Behind => {
                    self.ended = true;
                    return Some(sse::resync("more has changed than is kept; come back for the list"));
                }
                Next::UpToDate => {}
            }
            // Every arm only waits: losing one loses nothing.
            tokio::select! {
                () = self.closing.closed() => return None,
                changed = self.news.changed() => changed.ok()?,
                hint = self.hints.next() => return Some(hint),
                () = tokio::time::sleep_until(self.beat) => return Some(sse::heartbeat()),
            }
        }
        None
    }
}

/// The changes of the list, followed from the first time that somebody asks.
#[derive(Clone, Default)]
pub(super) struct Feed(Arc<Mutex<Option<Following>>>);

struct Following {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    board: Mutex<Board>,
    news: watch::Sender<u64>,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: Noted) {
        let number = self.board().tell(change);
        self.news.send_replace(number);
    }

    fn forget(&self) {
        let number = self.board().forget();
        self.news.send_replace(number);
    }
}

impl Feed {
    fn shared(&self, app: &App) -> Arc<Shared> {
        let mut following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let following = following.get_or_insert_with(|| {
            let board = Board::new(format!("{:x}", app.rng.below(u64::MAX)));
            let shared = Arc::new(Shared { news: watch::Sender::new(board.newest()), board: Mutex::new(board) });
            let follower = Follower::new(app.clone(), Arc::clone(&shared));
            Following { shared, _task: AbortOnDropHandle::new(tokio::spawn(follower.run())) }
        });
        Arc::clone(&following.shared)
    }
}

/// The task that fills the board.
struct Follower {
    app: App,
    changes: broadcast::Receiver<Change>,
    /// What was last told of the runs that go on.
    told: BTreeMap<RunId, Summary>,
    /// Runs with progress that waits for `flush`.
    owed: BTreeSet<RunId>,
    flush: Option<Instant>,
    shared: Arc<Shared>,
}

impl Follower {
    fn new(app: App, shared: Arc<Shared>) -> Self {
        let changes = app.changes();
        let going_on = Filter { status: vec![Status::Queued, Status::Executing], limit: usize::MAX, ..Filter::default() };
        let told = app.list(&going_on).runs.into_iter().map(|run| (run.run_id, run)).collect();
        Self { app, changes, told, owed: BTreeSet::new(), flush: None, shared }
    }

    async fn run(mut self) {
        loop {
            // Both receiving and sleeping lose nothing when the other wins.
            tokio::select! {
                change = self.changes.recv() => match change {
                    Ok(change) => self.take(change),
                    Err(RecvError::Lagged(_)) => self.shared.forget(),
                    Err(RecvError::Closed) => return,
                },
                () = sleep_until(self.flush) => {
                    self.flush = None;
                    for run in std::mem::take(&mut self.owed) {
                        self.tell(run);
                    }
                }
            }
        }
    }

    /// Takes a change and those that wait behind it: a run that changed several times meanwhile is told once, as it is now.
    fn take(&mut self, first: Change) {
        let mut changed = BTreeSet::new();
        let mut next = Some(first);
        while let Some(change) = next {
            match change {
                Change::Run(run) => drop(changed.insert(run)),
                Change::Deleted(run) => {
                    changed.remove(&run);
                    self.tell(run);
                }
            }
            next = match self.changes.try_recv() {
                Ok(change) => Some(change),
                Err(TryRecvError::Lagged(_)) => {
                    self.shared.forget();
                    None
                }
                // The end of all changes is told by the next wait.
                Err(TryRecvError::Empty | TryRecvError::Closed) => None,
            };
        }
        for run in changed {
            self.note(run);
        }
    }

    fn note(&mut self, run: RunId) {
        match (self.told.get(&run), self.app.live.summary(run)) {
            (Some(old), Some(new)) if *old == new => {}
            (Some(old), Some(new)) if only_counts(old, &new) => {
                self.owed.insert(run);
                self.flush.get_or_insert_with(|| Instant::now() + Duration::from_millis(EVERY_MS));
            }
            (Some(_) | None, _) => self.tell(run),
        }
    }

    fn tell(&mut self, run: RunId) {
        self.owed.remove(&run);
        // What is not there is deleted, whatever was said of it last.
        let Some(summary) = self.app.live.summary(run) else {
            self.told.remove(&run);
            self.shared.tell(Noted::Deleted(run));
            return;
        };
        if summary.status.is_settled() {
            self.told.remove(&run);
        } else {
            self.told.insert(run, summary.clone());
        }
        self.shared.tell(Noted::Run(Box::new(summary)));
    }
}

/// Whether two summaries differ in progress alone.
fn only_counts(old: &Summary, new: &Summary) -> bool {
    let still = Summary { permille: new.permille, seq: new.seq, ..old.clone() };
    still == *new
}
