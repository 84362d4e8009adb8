//! Housekeeping beside the work: removes what is left of removed runs.
//!
//! Invariants: everything here can be left undone, or cut anywhere, and is taken up again; it never holds the core loop up.
//! Absent: decisions about runs that are not over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::offload::Offload;
use crate::store::FileStore;

/// How often it looks round when nobody wakes it.
const ROUND: Duration = Duration::from_mins(1);

/// The housekeeper.
pub(crate) struct Keeper {
    pub(crate) store: Arc<FileStore>,
    pub(crate) offload: Offload,
    /// Rung when there is something to do at once.
    pub(crate) bell: Arc<Notify>,
}

impl Keeper {
    /// Works until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let more = self.clear_removed().await;
            if stop.is_cancelled() {
                return;
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            // Waiting for any of them loses nothing when another wins.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.bell.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    /// Removes a piece of what removed runs have left; tells whether there is more.
    async fn clear_removed(&self) -> bool {
        let store = Arc::clone(&self.store);
        match self.offload.run(move || store.clear_removed()).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(%error, "removed runs have not been cleared away yet");
                false
            }
        }
    }
}
