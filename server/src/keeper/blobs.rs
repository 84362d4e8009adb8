//! Removing blobs that no run names any more.
//!
//! Invariants: a blob goes only when the first record of every run was read and none names it, and when nobody stored or asked for it
//! since the search before began. Absent: blobs that travel in logs; they go with them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use comfyd_engine::journal::envelope;
use comfyd_engine::{RunEvent, Sha256};
use tokio::time::Instant;

use super::Keeper;

/// Searches are this far apart at least, longer than any request that stores blobs for its run.
const APART: Duration = Duration::from_hours(1);
/// Without a call it is searched for what crashes have left.
const PAUSE: Duration = Duration::from_hours(24);
/// How many runs are looked at in one piece of work.
const PIECE: usize = 64;

/// When to search.
pub(super) struct Blobs {
    /// Not before.
    open: Instant,
    due: Instant,
}

impl Blobs {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { open: now + APART, due: now + PAUSE }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Runs were removed, so blobs may have lost their last name.
    pub(super) fn call(&mut self) {
        self.due = self.due.min(self.open.max(Instant::now()));
    }

    /// Searches, if it is time.
    pub(super) async fn step(&mut self, keeper: &Keeper) {
        if Instant::now() < self.due {
            return;
        }
        *self = Self::new();
        if keeper.store().has_pins() {
            // What is too new to go now may go then.
            self.due = self.open;
        }
        match collect(keeper).await {
            Ok(0) => {}
            Ok(blobs) => tracing::info!(blobs, "blobs.removed"),
            Err(why) => tracing::info!(why, "blobs that nobody names are kept"),
        }
    }
}

/// Removes blobs that no run names; how many.
pub(super) async fn collect(keeper: &Keeper) -> Result<usize, String> {
    let store = Arc::clone(keeper.store());
    let mut unnamed =
        keeper.offload.run(move || store.begin_collection()).await.map_err(|error| format!("list them: {error}"))?;
    if unnamed.is_empty() {
        return Ok(0);
    }
    // What a run names is in its log then.
    keeper.store().flush().await.map_err(|error| error.to_string())?;
    for piece in keeper.live().ids().chunks(PIECE) {
        let (store, runs) = (Arc::clone(keeper.store()), piece.to_vec());
        let read = keeper.offload.run(move || runs.into_iter().map(|run| (run, store.first_record(run))).collect::<Vec<_>>());
        for (run, record) in read.await {
            let named = record.ok().flatten().and_then(|record| names(&record));
            match named {
                Some(named) => unnamed.retain(|blob| !named.contains(blob)),
                // It was removed meanwhile.
                None if keeper.live().summary(run).is_none() => {}
                // What it names cannot be known, so nothing may go.
                None => return Err(format!("the log of run {run} cannot be read; salvage or delete it")),
            }
        }
        tokio::task::yield_now().await;
    }
    let store = Arc::clone(keeper.store());
    let gone = keeper.offload.run(move || store.remove_blobs(&unnamed)).await;
    gone.map_err(|error| format!("remove them: {error}"))
}

/// The blobs that the first record of a run names.
fn names(record: &[u8]) -> Option<BTreeSet<Sha256>> {
    match envelope::read::<RunEvent>(record) {
        Ok((_, Some(RunEvent::RunCreated(created)))) => Some(created.spec.blobs().cloned().collect()),
        Ok(_) | Err(_) => None,
    }
}
