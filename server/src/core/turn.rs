//! One turn: decide, write, and only then let it be seen.
//!
//! Invariant: what leaves, an answer, a view or a command, rests on facts that are written, and synced where their class says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use comfyd_engine::{Input, RunId, RunView, Seq, StreamId, Timestamp};

use super::batch::{Batch, Reply};
use super::instances::show;
use super::message::{AskError, Granted, Message, run_of, stream_of};
use super::task::Core;
use crate::store::{FileStore, Sync};

impl Core {
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
                            let rests_on = batch.bind_instances(&step, rests_on);
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

    pub(super) fn publish(&mut self, mut runs: Vec<RunId>, now: Timestamp) {
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
}
