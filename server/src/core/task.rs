//! The loop itself: takes what came in, gives it its turn, does what time asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::env::Clock;
use comfyd_engine::{Engine, Input, Limits, LogRepaired, RunId, RunView, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::instances::show;
use super::message::{Inbox, Message};
use super::recovery::RecoveredCore;
use super::snapshots::{Snapshot, write_snapshot};
use crate::app::Readiness;
use crate::chronicle::Chronicle;
use crate::dispatch::Dispatcher;
use crate::instances::Board;
use crate::intake::Durations;
use crate::live::{Live, Summary};
use crate::store::{Append, AppendError, FileStore, Sync};

/// How the core loop works.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The engine's limits.
    pub limits: Limits,
    /// How often `state.json` of a run is written at most.
    pub snapshot_every_ms: u64,
    /// How long a note may stay unsynced.
    pub sync_within_ms: u64,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self { limits: Limits::default(), snapshot_every_ms: 100, sync_within_ms: 1_000 }
    }
}

/// The core loop.
pub struct Core {
    pub(super) engine: Engine,
    pub(super) store: Arc<FileStore>,
    pub(super) live: Arc<Live>,
    pub(super) dispatcher: Dispatcher,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inbox: Inbox,
    pub(super) config: CoreConfig,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) durations: Arc<Durations>,
    pub(super) board: Arc<Board>,
    /// When each open run's snapshot may be written, and what is owed.
    pub(super) snapshots: BTreeMap<RunId, Snapshot>,
    pub(super) unsynced_since: Option<Timestamp>,
    /// Runs that changed in this turn.
    pub(super) changed: BTreeSet<RunId>,
    /// Runs whose newest inputs were lost with a failed write, and when they are asked for again.
    pub(super) behind: BTreeSet<RunId>,
    pub(super) catch_up_at: Option<Timestamp>,
    pub(super) catch_up_after_ms: u64,
    /// Runs whose logs could not be read after a failed write; they are out of the engine until they can.
    pub(super) unread: BTreeSet<RunId>,
    /// Repairs that the runs' logs must tell.
    pub(super) repairs: Vec<(RunId, LogRepaired)>,
    pub(super) chronicle: Chronicle,
    /// The engine's moves when the places in the queues were last told.
    pub(super) positions_of: Option<u64>,
    /// Whether it may wait for the disk on its thread.
    own_thread: bool,
}

/// How many messages one turn takes (reliability.md 4).
const TURN: usize = 256;
/// How long after a failed write the loop tries to go on; doubled with each failure.
pub(super) const CATCH_UP_MS: u64 = 1_000;
pub(super) const CATCH_UP_MAX_MS: u64 = 60_000;
/// The loop looks at the clock at least so often.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// What a core loop is made of.
pub(crate) struct CoreParts {
    pub(crate) recovered: RecoveredCore,
    pub(crate) store: Arc<FileStore>,
    pub(crate) live: Arc<Live>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) inbox: Inbox,
    pub(crate) config: CoreConfig,
    pub(crate) readiness: watch::Sender<Readiness>,
    pub(crate) durations: Arc<Durations>,
    pub(crate) board: Arc<Board>,
}

impl Core {
    pub(crate) fn new(parts: CoreParts) -> Self {
        let CoreParts { recovered, store, live, dispatcher, clock, inbox, config, readiness, durations, board } = parts;
        let RecoveredCore { engine, blobs, repairs } = recovered;
        dispatcher.keep_blobs(blobs);
        let views: Vec<_> = engine.runs().map(|run| Arc::new(RunView::of(run))).collect();
        let chronicle = Chronicle::begin(&views);
        live.publish(views, Some(engine.queue_positions()));
        show(&board, &engine, &dispatcher);
        Self {
            engine,
            store,
            live,
            dispatcher,
            clock,
            inbox,
            config,
            readiness,
            durations,
            board,
            snapshots: BTreeMap::new(),
            unsynced_since: None,
            changed: BTreeSet::new(),
            behind: BTreeSet::new(),
            catch_up_at: None,
            catch_up_after_ms: CATCH_UP_MS,
            unread: BTreeSet::new(),
            repairs,
            chronicle,
            positions_of: None,
            own_thread: false,
        }
    }

    /// Runs it on a thread of its own until `stop` is cancelled; its tasks run where the caller's do.
    ///
    /// The loop waits for each write. Waiting where it is spares each turn the way to another thread and back, which takes
    /// about as long as the sync (docs/performance.md).
    pub fn spawn(mut self, stop: CancellationToken) -> JoinHandle<()> {
        self.own_thread = true;
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(self.run(stop)))
    }

    pub(super) async fn append(&self, appends: Vec<Append>, sync: Sync) -> Result<(), AppendError> {
        if self.own_thread { self.store.append_here(appends, sync) } else { self.store.append_all(appends, sync).await }
    }

    /// Works until `stop` is cancelled, then makes everything durable.
    pub async fn run(mut self, stop: CancellationToken) {
        self.watch();
        self.begin().await;
        loop {
            let sleep = tokio::time::sleep(self.sleep_for());
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = self.inbox.asks.recv() => message,
                input = self.inbox.inputs.recv() => input.map(Message::Input),
                () = sleep => Some(Message::Input(Input::Deadline)),
            };
            let Some(first) = first else { break };
            let mut messages = vec![first];
            while messages.len() < TURN {
                // A turn begins with a request if there is one and goes on with observations, so that neither starves.
                let next = self.inbox.inputs.try_recv().ok().map(Message::Input).or_else(|| self.inbox.asks.try_recv().ok());
                let Some(next) = next else { break };
                messages.push(next);
            }
            self.turn(messages).await;
            self.after_turn();
            self.keep_up().await;
        }
        self.finish().await;
    }

    /// After a start: tells the runs, and asks again for everything that is still owed.
    async fn begin(&mut self) {
        let outstanding = self.engine.outstanding();
        let repairs = std::mem::take(&mut self.repairs).into_iter().map(|(run, repair)| Input::Repaired(run, repair));
        let first = std::iter::once(Input::Restarted).chain(repairs);
        self.turn(first.map(Message::Input).collect()).await;
        self.dispatcher.send(outstanding);
        self.after_turn();
    }

    fn sleep_for(&self) -> Duration {
        let now = self.clock.now();
        let owed = self.snapshots.values().filter_map(Snapshot::due).min();
        let sync = self.unsynced_since.map(|since| since.plus_ms(self.config.sync_within_ms));
        let next = [self.engine.next_deadline(), owed, sync, self.catch_up_at].into_iter().flatten().min();
        // A deadline that is due at once is asked for in a millisecond, so that other messages get their turn.
        let next = next.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.since(now).max(1)).min(LONGEST_SLEEP));
        self.dispatcher.lets_go_in().map_or(next, |idle| idle.max(Duration::from_millis(1)).min(next))
    }

    /// Retires what is over, watches what the instances have.
    fn after_turn(&mut self) {
        for id in std::mem::take(&mut self.changed) {
            if let Some(run) = self.engine.retire(id) {
                // It was published with its last fact, unless that could not be written.
                let view = self.live.view(id).filter(|view| view.seq == run.seq()).unwrap_or_else(|| Arc::new(RunView::of(&run)));
                if self.snapshots.remove(&id).is_some_and(|snapshot| snapshot.is_owed()) {
                    write_snapshot(&self.store, &view);
                }
                self.durations.learn(&view);
                self.live.list_over(Summary::of(&view));
                self.live.close(id);
                self.dispatcher.forget_run(id);
                if !self.engine.runs().any(|other| other.instance() == run.instance()) {
                    self.dispatcher.unneeded(run.instance());
                }
            }
        }
    }

    /// Does what time asks for: owed snapshots, and the sync of notes.
    async fn keep_up(&mut self) {
        let now = self.clock.now();
        self.write_owed_snapshots(now);
        if self.catch_up_at.is_some_and(|at| at <= now) {
            self.catch_up().await;
        }
        self.let_go().await;
        if self.unsynced_since.is_some_and(|since| now.since(since) >= self.config.sync_within_ms) {
            self.unsynced_since = None;
            if let Err(error) = self.append(vec![], Sync::Now).await {
                tracing::error!(%error, "notes not synced");
                self.retreat(Batch::new(), &error).await;
            }
        }
    }

    async fn finish(mut self) {
        self.inbox.asks.close();
        for view in std::mem::take(&mut self.snapshots).into_values().filter_map(Snapshot::into_owed) {
            write_snapshot(&self.store, &view);
        }
        self.dispatcher.stop().await;
        if let Err(error) = self.store.shutdown().await {
            tracing::error!(%error, "last sync failed");
        }
    }
}
