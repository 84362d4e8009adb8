//! Housekeeping beside the work: the index of finished runs, the rules for keeping them, what removed runs have left, a slow look at all logs.
//!
//! Invariants: everything here can be left undone, or cut anywhere, and is taken up again; it goes in small pieces and never holds the core
//! loop up; nothing that is not over is touched. Absent: what must be durable before somebody is told; see [`crate::history`].

mod blobs;
mod check;

use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::env::Clock;
use comfyd_engine::{RunId, StreamId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::history::History;
use crate::live::Live;
use crate::offload::Offload;
use crate::retention::RetentionRules;
use crate::setup::Setups;
use crate::store::FileStore;

use blobs::Blobs;
use check::Check;

/// How often it looks round when nobody calls it.
const ROUND: Duration = Duration::from_mins(1);
/// Endings of this long are noted with one write.
const GATHER: Duration = Duration::from_millis(250);
/// How many runs go into the index, or go away, in one piece of work.
const PIECE: usize = 64;
/// How long the key of a request is known at least.
const KEYS_MS: u64 = 24 * 3_600_000;

/// The housekeeper.
pub(crate) struct Keeper {
    pub(crate) history: Arc<History>,
    pub(crate) offload: Offload,
    pub(crate) rules: watch::Receiver<RetentionRules>,
    pub(crate) setups: Setups,
}

impl Keeper {
    fn store(&self) -> &Arc<FileStore> {
        &self.history.store
    }

    fn live(&self) -> &Arc<Live> {
        &self.history.live
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.history.clock
    }

    /// Works until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (live, mut rules) = (Arc::clone(self.live()), self.rules.clone());
        let mut check = Check::new(self.store().checked());
        let mut blobs = Blobs::new();
        let mut round = Instant::now();
        while !stop.is_cancelled() {
            self.index().await;
            if Instant::now() >= round {
                let now = self.clock().now();
                self.forget_keys(now.0.saturating_sub(KEYS_MS)).await;
                round = Instant::now() + ROUND;
            }
            let wanted = *rules.borrow_and_update();
            let removed = self.retain(wanted, &stop).await;
            if removed || self.live().take_removed() {
                blobs.call();
            }
            while self.clear_removed().await && !stop.is_cancelled() {}
            blobs.step(&self).await;
            check.step(&self).await;
            let next = round.min(check.due()).min(blobs.due());
            // Waiting for any of them loses nothing when another wins.
            tokio::select! {
                () = stop.cancelled() => {}
                () = live.called() => {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(GATHER) => {}
                    }
                }
                changed = rules.changed() => if changed.is_err() {
                    // Nobody can change the rules any more: the server goes down.
                    stop.cancelled().await;
                },
                () = tokio::time::sleep_until(next) => {}
            }
        }
        self.index().await;
    }

    /// Lets old keys go, and what is stored of those whose runs were removed.
    async fn forget_keys(&self, before: u64) {
        for run in self.live().forget_keys(before, |key| self.setups.needs_key(key)) {
            if let Err(error) = self.store().drop_note(run).await {
                // The next start tries again.
                tracing::debug!(%run, %error, "the key of a removed run is stored still");
            }
        }
    }

    /// Writes runs that have ended into the index, and which logs were found damaged.
    async fn index(&self) {
        let suspects = self.live().take_suspects();
        if !suspects.is_empty() {
            let store = Arc::clone(self.store());
            self.offload.run(move || store.index_suspects(suspects)).await;
        }
        loop {
            let ended = self.live().take_unindexed(PIECE);
            if ended.is_empty() {
                return;
            }
            let ends = self.store().ends(ended.iter().map(|summary| summary.run_id).collect()).await;
            let mut over = Vec::new();
            for summary in ended {
                // What is not there as it was listed is opened by the next start.
                if let Some((_, log_len)) = ends.get(&summary.run_id).filter(|end| end.0 == summary.seq) {
                    over.push(crate::store::Over {
                        run: summary.run_id,
                        seq: summary.seq,
                        log_len: *log_len,
                        data: summary.kept(),
                    });
                }
            }
            for entry in &over {
                self.live().add_bytes(entry.run, entry.log_len);
            }
            let store = Arc::clone(self.store());
            self.offload.run(move || store.index_over(over)).await;
        }
    }

    /// Removes what the rules do not keep; tells whether anything was.
    async fn retain(&self, rules: RetentionRules, stop: &CancellationToken) -> bool {
        if rules.keep_all() {
            return false;
        }
        let excess = rules.excess(self.clock().now(), &self.live().finished(), &self.live().keyed_runs());
        for piece in excess.chunks(PIECE) {
            if stop.is_cancelled() {
                return true;
            }
            let runs: Vec<RunId> = piece.iter().map(|run| run.run).collect();
            if let Err(problem) = self.history.remove(runs).await {
                tracing::warn!(%problem, "retention.failed");
                return true;
            }
            let bytes: u64 = piece.iter().map(|run| run.bytes).sum();
            if let (Some(first), Some(last)) = (piece.first(), piece.last()) {
                tracing::info!(runs = piece.len(), bytes, oldest = %first.run, newest = %last.run, "retention.removed");
            }
            // What went must leave the disk as well, not only the list.
            self.clear_removed().await;
            tokio::task::yield_now().await;
        }
        !excess.is_empty()
    }

    /// Removes a piece of what removed runs have left; tells whether there is more.
    async fn clear_removed(&self) -> bool {
        let store = Arc::clone(self.store());
        match self.offload.run(move || store.clear_removed()).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(%error, "removed runs have not been cleared away yet");
                false
            }
        }
    }

    /// Marks a run whose log is damaged, here and for the next start.
    fn quarantine(&self, run: RunId, why: &str) {
        self.store().quarantine(&StreamId::Run(run), why.to_owned());
        self.live().quarantine(run, why);
    }
}
