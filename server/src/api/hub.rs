//! One broadcaster for each run that somebody watches.
//!
//! Invariants: what changed is worked out once, whoever watches; what matters is told at once, mere progress and previews at most twice a second; a
//! broadcaster ends with its run or with its last watcher; the last state is never lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use comfyd_engine::{RunId, RunView, Status, Throttle, Timestamp};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::ring::{Places, Ring};
use super::sse;
use crate::app::App;
use crate::live::Preview;

/// Mere progress goes out this often at most.
pub(super) const EVERY_MS: u64 = 500;
/// How often a queued run's place is looked at: it changes when other runs do.
const PLACE_EVERY: Duration = Duration::from_secs(1);

/// The broadcasters of one server.
#[derive(Clone)]
pub(super) struct Hubs {
    /// What their readers call places of logs.
    pub(super) places: Places,
    open: Arc<Mutex<BTreeMap<RunId, Weak<Hub>>>>,
}

impl Hubs {
    pub(super) fn new(places: Places) -> Self {
        Self { places, open: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<RunId, Weak<Hub>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broadcaster of a run; none if the run is over.
    pub(super) fn of(&self, run: RunId, app: &App) -> Option<Arc<Hub>> {
        let mut open = self.open();
        if let Some(hub) = open.get(&run).and_then(Weak::upgrade) {
            return Some(hub);
        }
        let views = app.watch(run)?;
        let hub = Arc::new(Hub::new(self.clone(), run, app, views));
        open.insert(run, Arc::downgrade(&hub));
        Some(hub)
    }
}

/// What there is to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// The newest version.
    pub(super) version: u64,
    /// The newest preview; 0 before the first.
    pub(super) picture: u64,
    /// Set when no version will follow.
    pub(super) over: bool,
}

/// The broadcaster of one run.
pub(super) struct Hub {
    shared: Arc<Shared>,
    run: RunId,
    hubs: Hubs,
    _task: AbortOnDropHandle<()>,
}

/// What the task makes and the watchers fetch.
struct Shared {
    ring: Mutex<Ring>,
    picture: Mutex<Option<Bytes>>,
    news: watch::Sender<News>,
}

impl Hub {
    fn new(hubs: Hubs, run: RunId, app: &App, mut views: watch::Receiver<Arc<RunView>>) -> Self {
        let view = Arc::clone(&views.borrow_and_update());
        let view = Arc::new((*view).clone().at(app.now(), app.live.queue_position(run)));
        let ring = Mutex::new(Ring::new(Arc::clone(&view), hubs.places.clone()));
        let news = watch::Sender::new(News { version: 1, ..News::default() });
        let shared = Arc::new(Shared { ring, picture: Mutex::default(), news });
        let mut caster = Caster {
            app: app.clone(),
            run,
            views: Some(views),
            previews: app.watch_preview(run),
            sent: view,
            gate: Throttle::every_ms(EVERY_MS),
            pictures: Throttle::every_ms(EVERY_MS),
            picture: 0,
            began: Instant::now(),
            shared: Arc::clone(&shared),
        };
        caster.gate.force(Timestamp(0));
        Self { shared, run, hubs, _task: AbortOnDropHandle::new(tokio::spawn(caster.run())) }
    }

    /// What was told so far.
    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest preview's event.
    pub(super) fn picture(&self) -> Option<Bytes> {
        self.shared.picture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells when there is more.
    pub(super) fn news(&self) -> watch::Receiver<News> {
        self.shared.news.subscribe()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let mut open = self.hubs.open();
        // Another may have taken its place meanwhile.
        if open.get(&self.run).is_some_and(|hub| hub.strong_count() == 0) {
            open.remove(&self.run);
        }
    }
}

/// The task of a broadcaster.
struct Caster {
    app: App,
    run: RunId,
    views: Option<watch::Receiver<Arc<RunView>>>,
    previews: Option<watch::Receiver<Option<Preview>>>,
    sent: Arc<RunView>,
    gate: Throttle,
    pictures: Throttle,
    picture: u64,
    began: Instant,
    shared: Arc<Shared>,
}

impl Caster {
    async fn run(mut self) {
        loop {
            self.tell_state();
            self.tell_preview();
            if is_over(&self.sent) || self.views.is_none() {
                self.shared.news.send_modify(|news| news.over = true);
                return;
            }
            self.wait().await;
        }
    }

    fn tell_state(&mut self) {
        let now = self.clock();
        let Some(views) = self.views.as_mut() else { return };
        let closed = views.has_changed().is_err();
        let newest = Arc::clone(&views.borrow_and_update());
        if closed {
            // Nothing more will come; what is there now is the last.
            self.views = None;
        }
        let place = if newest.status == Status::Queued { self.app.live.queue_position(self.run) } else { None };
        let moved = place.is_some() && place != self.sent.progress.queue_position;
        if newest.seq <= self.sent.seq && !moved {
            return;
        }
        if closed || matters(&self.sent, &newest) {
            self.gate.force(now);
        } else if !self.gate.admit(now) {
            return;
        }
        self.sent = Arc::new((*newest).clone().at(self.app.now(), place));
        let version = self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner).tell(Arc::clone(&self.sent));
        self.shared.news.send_modify(|news| news.version = version);
    }

    fn tell_preview(&mut self) {
        let now = self.clock();
        let Some(newest) = self.previews.as_mut().and_then(|previews| previews.borrow_and_update().clone()) else { return };
        if newest.number <= self.picture || !self.pictures.admit(now) {
            return;
        }
        self.picture = newest.number;
        let url = format!("/api/v1/runs/{}/preview?n={}", self.run, newest.number);
        let data = json!({ "number": newest.number, "node_id": newest.node, "media_type": newest.media_type, "url": url });
        let event = sse::event("preview", None, &data.to_string());
        *self.shared.picture.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
        self.shared.news.send_modify(|news| news.picture = newest.number);
    }

    /// Waits until there may be something to tell.
    async fn wait(&mut self) {
        let owed = [self.gate.due(), self.pictures.due()].into_iter().flatten().min();
        let owed = owed.map(|at| self.began + Duration::from_millis(at.0));
        let queued = (self.sent.status == Status::Queued).then(|| Instant::now() + PLACE_EVERY);
        let until = owed.into_iter().chain(queued).min();
        // Every arm only waits: losing one loses nothing.
        tokio::select! {
            () = changed(self.views.as_mut()) => {}
            () = changed_or_gone(&mut self.previews) => {}
            () = sleep_until(until) => {}
        }
    }

    /// Time since the broadcaster began: the gates need no other.
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

/// Whether nothing more will happen: it has ended, each output is here or known not to come, and so is the end of the instance's log.
fn is_over(view: &RunView) -> bool {
    view.status.is_settled() && !view.owes_log && view.outputs.iter().all(|output| output.downloaded || output.problem.is_some())
}

/// Whether two states differ in more than numbers that count up.
fn matters(old: &RunView, new: &RunView) -> bool {
    let nodes = || {
        let states = |(old, new): (&comfyd_engine::NodeView, &comfyd_engine::NodeView)| {
            old.node_id == new.node_id && old.state == new.state
        };
        old.nodes.len() != new.nodes.len() || !old.nodes.iter().zip(&new.nodes).all(states)
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
