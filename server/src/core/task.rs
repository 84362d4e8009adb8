//! The task itself: take what came in, decide, write, and only then let it be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::env::Clock;
use comfyd_engine::{Engine, Input, Limits, LogRepaired, RunId, RunView, Seq, StreamId, Throttle, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::message::{AskError, Granted, Inbox, Message};
use super::recovery::{self, RecoveredCore};
use crate::app::Readiness;
use crate::dispatch::Dispatcher;
use crate::intake::Durations;
use crate::live::{Live, Summary};
use crate::store::{AppendError, FileStore, Sync};

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
    /// When each open run's snapshot may be written, and what is owed.
    pub(super) snapshots: BTreeMap<RunId, Snapshot>,
    pub(super) unsynced_since: Option<Timestamp>,
    /// Runs that changed in this turn.
    pub(super) changed: BTreeSet<RunId>,
    /// Runs whose newest inputs were lost with a failed write, and when they are asked for again.
    pub(super) behind: BTreeSet<RunId>,
    pub(super) catch_up_at: Option<Timestamp>,
    /// Repairs that the runs' logs must tell.
    pub(super) repairs: Vec<(RunId, LogRepaired)>,
}

/// The rhythm of one run's snapshots.
#[derive(Debug)]
pub(super) struct Snapshot {
    gate: Throttle,
    owed: Option<Arc<RunView>>,
}

/// How many messages one turn takes (reliability.md 4).
const TURN: usize = 256;
/// How long after a failed write the loop tries to go on.
const CATCH_UP_MS: u64 = 1_000;
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
}

impl Core {
    pub(crate) fn new(parts: CoreParts) -> Self {
        let CoreParts { recovered, store, live, dispatcher, clock, inbox, config, readiness, durations } = parts;
        let RecoveredCore { engine, blobs, repairs } = recovered;
        dispatcher.keep_blobs(blobs);
        let views = engine.runs().map(|run| Arc::new(RunView::of(run))).collect();
        live.publish(views, engine.queue_positions());
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
            snapshots: BTreeMap::new(),
            unsynced_since: None,
            changed: BTreeSet::new(),
            behind: BTreeSet::new(),
            catch_up_at: None,
            repairs,
        }
    }

    /// Works until `stop` is cancelled, then makes everything durable.
    pub async fn run(mut self, stop: CancellationToken) {
        self.dispatcher.watch(&self.engine);
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
                let next = self.inbox.asks.try_recv().ok().or_else(|| self.inbox.inputs.try_recv().ok().map(Message::Input));
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
        let owed = self.snapshots.values().filter_map(|snapshot| snapshot.gate.due()).min();
        let sync = self.unsynced_since.map(|since| since.plus_ms(self.config.sync_within_ms));
        let next = [self.engine.next_deadline(), owed, sync, self.catch_up_at].into_iter().flatten().min();
        // A deadline that is due at once is asked for in a millisecond, so that other messages get their turn.
        next.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.since(now).max(1)).min(LONGEST_SLEEP))
    }

    async fn turn(&mut self, messages: Vec<Message>) {
        let now = self.clock.now();
        let mut batch = Batch::new();
        for message in messages {
            match message {
                // Observations are never refused.
                Message::Input(input) => match self.engine.handle(now, input) {
                    Ok(step) => batch.add(step),
                    Err(refusal) => tracing::warn!(%refusal, "input refused"),
                },
                Message::Ask { input, reply } => {
                    let run = run_of(&input);
                    match self.engine.handle(now, input) {
                        Ok(step) => {
                            batch.add(step);
                            let seq = run.and_then(|run| self.engine.run(run)).map_or(Seq(0), comfyd_engine::Run::seq);
                            batch.replies.push((reply, Granted { run, seq }));
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
        let appends = batch.take_appends();
        if !appends.is_empty() {
            if let Err(error) = self.store.append_all(appends, sync).await {
                self.retreat(batch, &error).await;
                return;
            }
            match sync {
                Sync::Now => self.unsynced_since = None,
                Sync::Lazy if batch.noteworthy => self.unsynced_since = self.unsynced_since.or(Some(now)),
                Sync::Lazy => {}
            }
        }
        self.dispatcher.keep_blobs(std::mem::take(&mut batch.blobs));
        self.publish(&batch.touched, now);
        for (reply, granted) in batch.replies {
            // The caller may have gone; what it asked for is done all the same.
            let _ = reply.send(Ok(granted));
        }
        // An adapter that looks for a run must know that it is watched.
        self.dispatcher.watch(&self.engine);
        self.dispatcher.send(batch.commands);
    }

    /// Nothing of the batch happened: memory goes back to what is on disk, waiters are told.
    async fn retreat(&mut self, batch: Batch, error: &AppendError) {
        tracing::error!(%error, "batch not written");
        let disk_full = matches!(error, AppendError::DiskFull(_));
        match recovery::refold(&self.store, &self.engine, &batch.touched).await {
            Ok(engine) => self.engine = engine,
            Err(error) => tracing::error!(%error, "logs not readable after a failed write"),
        }
        for (reply, _) in batch.replies {
            let _ = reply.send(Err(AskError::NotStored { why: error.to_string(), disk_full }));
        }
        if let AppendError::ReadOnly { why } = error {
            self.readiness.send_replace(Readiness::ReadOnly(why.clone()));
        }
        let now = self.clock.now();
        self.behind.extend(&batch.touched);
        // A log that takes no writes takes none in a second either.
        let hopeless = matches!(error, AppendError::ReadOnly { .. } | AppendError::Stopped);
        self.catch_up_at = (!hopeless).then(|| now.plus_ms(CATCH_UP_MS));
        self.publish(&batch.touched, now);
    }

    /// What came in with a failed batch is lost: those runs are asked for as after a start.
    async fn catch_up(&mut self) {
        self.catch_up_at = None;
        self.turn(vec![Message::Input(Input::Restarted)]).await;
        if self.catch_up_at.is_none() && !matches!(*self.readiness.borrow(), Readiness::ReadOnly(_)) {
            let behind = std::mem::take(&mut self.behind);
            let owed = behind.iter().filter_map(|id| self.engine.run(*id)).flat_map(comfyd_engine::Run::outstanding);
            self.dispatcher.send(owed.collect());
        }
    }

    fn publish(&mut self, touched: &[RunId], now: Timestamp) {
        let mut runs: Vec<RunId> = touched.to_vec();
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
        self.changed.extend(runs);
        self.live.publish(views, self.engine.queue_positions());
    }

    fn owe_snapshot(&mut self, view: &Arc<RunView>, now: Timestamp) {
        let every = self.config.snapshot_every_ms;
        let snapshot =
            self.snapshots.entry(view.run_id).or_insert_with(|| Snapshot { gate: Throttle::every_ms(every), owed: None });
        if snapshot.gate.admit(now) {
            snapshot.owed = None;
            write_snapshot(&self.store, view);
        } else {
            snapshot.owed = Some(Arc::clone(view));
        }
    }

    /// Retires what is over, watches what the instances have.
    fn after_turn(&mut self) {
        for id in std::mem::take(&mut self.changed) {
            if let Some(run) = self.engine.retire(id) {
                let view = RunView::of(&run);
                if self.snapshots.remove(&id).is_some_and(|snapshot| snapshot.owed.is_some()) {
                    write_snapshot(&self.store, &view);
                }
                self.durations.learn(&view);
                self.live.list_over(Summary::of(&view));
                self.live.close(id);
                self.dispatcher.forget_run(id);
            }
        }
    }

    /// Does what time asks for: owed snapshots, and the sync of notes.
    async fn keep_up(&mut self) {
        let now = self.clock.now();
        for snapshot in self.snapshots.values_mut() {
            if snapshot.gate.due().is_some_and(|at| at <= now)
                && let Some(view) = snapshot.owed.take()
            {
                snapshot.gate.force(now);
                write_snapshot(&self.store, &view);
            }
        }
        if self.catch_up_at.is_some_and(|at| at <= now) {
            self.catch_up().await;
        }
        if self.unsynced_since.is_some_and(|since| now.since(since) >= self.config.sync_within_ms) {
            self.unsynced_since = None;
            if let Err(error) = self.store.append_all(vec![], Sync::Now).await {
                tracing::error!(%error, "notes not synced");
                self.retreat(Batch::new(), &error).await;
            }
        }
    }

    async fn finish(mut self) {
        self.inbox.asks.close();
        let owed = std::mem::take(&mut self.snapshots);
        for view in owed.into_values().filter_map(|snapshot| snapshot.owed) {
            write_snapshot(&self.store, &view);
        }
        self.dispatcher.stop().await;
        if let Err(error) = self.store.shutdown().await {
            tracing::error!(%error, "last sync failed");
        }
    }
}

fn write_snapshot(store: &FileStore, view: &RunView) {
    store.snapshot(&StreamId::Run(view.run_id), view.seq, crate::canonical::of(view));
}

fn run_of(input: &Input) -> Option<RunId> {
    match input {
        Input::Request(run, _) | Input::Reconciled(run, _) | Input::Repaired(run, _) => Some(*run),
        Input::AddInstance { .. }
        | Input::Observed(..)
        | Input::Outcome(..)
        | Input::Link(..)
        | Input::Restarted
        | Input::Deadline => None,
    }
}
