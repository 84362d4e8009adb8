//! The task itself: take what came in, decide, write, and only then let it be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::env::Clock;
use comfyd_engine::{Engine, Input, Limits, LogRepaired, RunId, RunView, Seq, StreamId, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Reply};
use super::instances::show;
use super::message::{AskError, Granted, Inbox, Message, run_of, stream_of};
use super::recovery::{self, RecoverError, RecoveredCore};
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
const CATCH_UP_MS: u64 = 1_000;
const CATCH_UP_MAX_MS: u64 = 60_000;
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

    async fn append(&self, appends: Vec<Append>, sync: Sync) -> Result<(), AppendError> {
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

    pub(super) async fn turn(&mut self, messages: Vec<Message>) {
        let now = self.clock.now();
        let mut batch = Batch::new();
        for message in messages {
            match message {
                // Observations are never refused.
                Message::Input(input) => match self.engine.handle(now, input) {
                    Ok(step) => batch.add(step),
                    Err(refusal) => tracing::warn!(%refusal, "input refused"),
                },
                Message::Limit(limits) => {
                    self.engine.limit(limits);
                    // More may go on now, or some of it for too long.
                    match self.engine.handle(now, Input::Deadline) {
                        Ok(step) => batch.add(step),
                        Err(refusal) => tracing::warn!(%refusal, "input refused"),
                    }
                }
                Message::Ask { input, reply } => {
                    let run = run_of(&input);
                    if run.is_some_and(|run| self.unread.contains(&run)) {
                        let why = "the log of this run cannot be read just now".to_owned();
                        // The caller may have gone; then nobody needs the answer.
                        drop(reply.send(Err(AskError::NotStored { why, disk_full: false })));
                        continue;
                    }
                    if let Some(why) = self.unwritable(&input) {
                        // The caller may have gone; then nobody needs the answer.
                        drop(reply.send(Err(AskError::NotStored { why, disk_full: false })));
                        continue;
                    }
                    // Also an answer without facts of its own can rest on some that are not stored yet.
                    let rests_on = stream_of(&input).into_iter().collect();
                    let lasting = !matches!(input, Input::AddInstance { .. });
                    match self.engine.handle(now, input) {
                        Ok(step) => {
                            batch.add(step);
                            let seq = run.and_then(|run| self.engine.run(run)).map_or(Seq(0), comfyd_engine::Run::seq);
                            batch.replies.push(Reply { to: reply, granted: Granted { run, seq }, rests_on, lasting });
                        }
                        // The caller may have gone; then nobody needs the answer.
                        Err(refusal) => drop(reply.send(Err(refusal.into()))),
                    }
                }
                Message::CreateAll { runs, reply } => {
                    let rests_on: BTreeSet<StreamId> = runs.iter().map(|run| StreamId::Run(run.id)).collect();
                    match self.engine.create_all(now, runs) {
                        Ok(step) => {
                            batch.add(step);
                            batch.bind(rests_on.clone());
                            let granted = Granted { run: None, seq: Seq(0) };
                            batch.replies.push(Reply { to: reply, granted, rests_on, lasting: true });
                        }
                        // The caller may have gone; then nobody needs the answer.
                        Err(refusal) => drop(reply.send(Err(refusal.into()))),
                    }
                }
            }
            if batch.is_full() {
                self.commit(std::mem::replace(&mut batch, Batch::new()), now).await;
            }
        }
        self.commit(batch, now).await;
    }

    /// Log before act: writes, syncs, and lets out what rests on it.
    async fn commit(&mut self, mut batch: Batch, now: Timestamp) {
        if batch.is_empty() {
            return;
        }
        let sync = batch.sync();
        // An instance whose log is damaged goes on in memory: its runs have logs of their own.
        let aside =
            |store: &FileStore, stream: &StreamId| matches!(stream, StreamId::Instance(_)) && store.quarantined(stream).is_some();
        loop {
            let mut appends = batch.take_appends();
            appends.retain(|append| !aside(&self.store, &append.stream));
            // What it is asked to keep it does not: its log was set aside between the question and now.
            let is_lost = |reply: &mut Reply| reply.lasting && reply.rests_on.iter().any(|it| aside(&self.store, it));
            for Reply { to, .. } in batch.replies.extract_if(.., is_lost) {
                let why = "the log of this instance is damaged".to_owned();
                // The caller may have gone; then nobody needs the answer.
                let _ = to.send(Err(AskError::NotStored { why, disk_full: false }));
            }
            if appends.is_empty() {
                break;
            }
            match self.append(appends, sync).await {
                Ok(()) => {
                    match sync {
                        Sync::Now => self.unsynced_since = None,
                        Sync::Lazy if batch.noteworthy => self.unsynced_since = self.unsynced_since.or(Some(now)),
                        Sync::Lazy => {}
                    }
                    break;
                }
                // One log does not take its facts: those of all others are none the worse.
                Err(error) => match error.refused().cloned() {
                    Some(stream) => {
                        let refused = batch.without(&stream);
                        self.retreat(refused, &error).await;
                    }
                    None => return self.retreat(batch, &error).await,
                },
            }
        }
        self.dispatcher.keep_blobs(batch.take_blobs());
        self.publish(std::mem::take(&mut batch.touched), now);
        // An adapter that looks for a run must know that it is watched, and who gets an answer sees which links there are.
        self.watch();
        if batch.of_instances {
            show(&self.board, &self.engine, &self.dispatcher);
        }
        for Reply { to, granted, .. } in batch.replies {
            // The caller may have gone; what it asked for is done all the same.
            let _ = to.send(Ok(granted));
        }
        self.dispatcher.send(batch.commands);
    }

    /// Nothing of the batch happened: memory goes back to what is on disk, waiters are told.
    async fn retreat(&mut self, batch: Batch, error: &AppendError) {
        tracing::error!(%error, "batch not written");
        let disk_full = matches!(error, AppendError::DiskFull(_));
        let refolded = recovery::refold(&self.store, &self.engine, &batch.streams()).await;
        self.engine = refolded.engine;
        // It counts its moves anew.
        self.positions_of = None;
        self.dispatcher.look_again();
        self.unread.extend(refolded.unread);
        show(&self.board, &self.engine, &self.dispatcher);
        for Reply { to, .. } in batch.replies {
            let why = error.to_string();
            let too_large = matches!(error, AppendError::PayloadSize { .. });
            // The caller may have gone; then nobody needs the answer.
            let _ = to.send(Err(if too_large { AskError::TooLarge { why } } else { AskError::NotStored { why, disk_full } }));
        }
        if let AppendError::ReadOnly { why } = error {
            self.readiness.send_replace(Readiness::ReadOnly(why.clone()));
        }
        for id in &batch.touched {
            if let Some(why) = self.store.quarantined(&StreamId::Run(*id)) {
                self.live.quarantine(*id, &why);
                self.live.close(*id);
                self.dispatcher.forget_run(*id);
                self.snapshots.remove(id);
            }
        }
        let now = self.clock.now();
        self.behind.extend(&batch.touched);
        // A log that takes no writes takes none in a second either.
        let hopeless = matches!(error, AppendError::ReadOnly { .. } | AppendError::Stopped);
        self.catch_up_at = (!hopeless).then(|| now.plus_ms(self.catch_up_after_ms));
        self.publish(batch.touched, now);
    }

    /// What came in with a failed batch is lost: those runs are asked for as after a start.
    async fn catch_up(&mut self) {
        self.catch_up_at = None;
        self.catch_up_after_ms = (self.catch_up_after_ms * 2).min(CATCH_UP_MAX_MS);
        self.read_again().await;
        // An answer that is still to come says more than a doubt.
        let behind: Vec<RunId> = self.behind.iter().copied().filter(|run| !self.dispatcher.is_posting(*run)).collect();
        self.turn(vec![Message::Input(Input::CaughtUp(behind.clone()))]).await;
        // Nothing that was asked for is sent again before writing works: a sync shows that it does.
        let written = self.catch_up_at.is_none() && self.append(vec![], Sync::Now).await.is_ok();
        if !written {
            let again = self.clock.now().plus_ms(self.catch_up_after_ms);
            let read_only = matches!(*self.readiness.borrow(), Readiness::ReadOnly(_));
            self.catch_up_at = self.catch_up_at.or((!read_only).then_some(again));
            return;
        }
        self.catch_up_after_ms = CATCH_UP_MS;
        let owed: Vec<_> =
            behind.iter().filter_map(|id| self.engine.run(*id)).flat_map(comfyd_engine::Run::outstanding).collect();
        self.behind.retain(|run| !behind.contains(run));
        self.watch();
        self.dispatcher.send(owed);
        if !self.unread.is_empty() || !self.behind.is_empty() {
            self.catch_up_at = Some(self.clock.now().plus_ms(self.catch_up_after_ms));
        }
    }

    /// Takes in runs whose logs could not be read after a failed write, as soon as they can.
    async fn read_again(&mut self) {
        for id in std::mem::take(&mut self.unread) {
            match crate::history::fold(&self.store, id, None).await {
                Ok(folded) => {
                    self.engine.adopt(folded.run);
                    self.behind.insert(id);
                }
                Err(RecoverError::Empty(_)) => {}
                Err(error) => {
                    tracing::error!(run = %id, %error, "log still not readable");
                    self.unread.insert(id);
                }
            }
        }
    }

    fn publish(&mut self, mut runs: Vec<RunId>, now: Timestamp) {
        runs.sort_unstable();
        runs.dedup();
        let views: Vec<Arc<RunView>> =
            runs.iter().filter_map(|id| self.engine.run(*id)).map(|run| Arc::new(RunView::of(run))).collect();
        if views.is_empty() {
            return;
        }
        for view in &views {
            self.owe_snapshot(view, now);
        }
        self.chronicle.tell(&views);
        self.changed.extend(runs);
        let moves = self.engine.moves();
        // Most facts are of nodes and move nobody in a queue.
        let positions = (self.positions_of != Some(moves)).then(|| self.engine.queue_positions());
        self.positions_of = Some(moves);
        self.live.publish(views, positions);
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
