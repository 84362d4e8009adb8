//! The live view: which run and which generic workflow a page goes on showing after a reload.
//!
//! Invariants: what has ended leaves it after a delay, what was dismissed at once; neither touches a log.

use std::sync::Arc;

use comfyd_engine::{RunId, Setup, SetupId, StreamId, Timestamp};

use tokio::sync::watch;

use crate::app::App;
use crate::dismissed::Dismissed;
use crate::problem::Problem;
use crate::setup::{not_read, recall, shows};

/// What decides about the live view.
#[derive(Debug)]
pub(crate) struct Showing {
    /// How long something that has ended stays (the plan's `state_cleanup_delay_ms`).
    pub(crate) delay_ms: u64,
    pub(crate) dismissed: Dismissed,
}

impl App {
    /// The newest run that has not ended, or that ended within the live view's delay; without those that were dismissed.
    pub fn active(&self) -> Option<RunId> {
        self.live.active(self.shown_since(), |run| self.showing.dismissed.has(&StreamId::Run(run)))
    }

    /// The newest generic workflow that is open, or that was over within the delay; without those that were dismissed.
    pub(crate) fn active_setup(&self) -> Option<Arc<Setup>> {
        self.setups.active(self.shown_since(), |id| self.showing.dismissed.has(&StreamId::Setup(id.clone())))
    }

    /// Follows generic workflows: the value changes whenever one of them does.
    pub fn watch_workflows(&self) -> watch::Receiver<u64> {
        self.setups.changes()
    }

    /// The generic workflow of this id.
    pub(crate) async fn setup(&self, id: &str) -> Result<Arc<Setup>, Problem> {
        let unknown = || Problem::unknown_workflow(id);
        let id = id.parse::<SetupId>().map_err(|_| unknown())?;
        if let Some(known) = self.setups.get(&id) {
            return Ok(known);
        }
        // It was over long ago, or nothing of its log can be read.
        match recall(&self.history.store, &id).await {
            Ok(Some(setup)) => Ok(Arc::new(setup)),
            Ok(None) => Err(self.set_aside(&id).map_or_else(unknown, |why| Problem::workflow_quarantined(id.as_str(), &why))),
            Err(error) => Err(not_read(&id, &error)),
        }
    }

    /// Why the log of a generic workflow cannot be used.
    pub(crate) fn set_aside(&self, id: &SetupId) -> Option<String> {
        self.history.store.quarantined(&StreamId::Setup(id.clone()))
    }

    /// Stops showing these as active.
    pub(crate) async fn dismiss(&self, streams: &[StreamId]) -> Result<(), Problem> {
        if streams.is_empty() {
            return Ok(());
        }
        let since = self.shown_since();
        let shows = |stream: &StreamId| match stream {
            StreamId::Run(run) => self
                .live
                .summary(*run)
                .is_some_and(|summary| !summary.status.is_settled() || summary.ended.is_some_and(|ended| ended > since)),
            StreamId::Setup(id) => self.setups.get(id).is_some_and(|setup| shows(&setup, since)),
            StreamId::Instance(_) => false,
        };
        self.showing.dismissed.add(streams, shows).await.map_err(|error| not_dismissed(&error))
    }

    /// Shows a workflow as active again.
    pub(crate) async fn undismiss(&self, id: &SetupId) -> Result<(), Problem> {
        self.showing.dismissed.remove(&StreamId::Setup(id.clone())).await.map_err(|error| not_dismissed(&error))
    }

    /// What ended before this has left the live view.
    pub(crate) fn shown_since(&self) -> Timestamp {
        Timestamp(self.clock.now().0.saturating_sub(self.showing.delay_ms))
    }
}

fn not_dismissed(error: &std::io::Error) -> Problem {
    let message = format!("dismissed.json could not be written: {error}");
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Problem::new(507, "disk_full", message, "Free disk space; nothing was changed.");
    }
    Problem::unavailable("not_stored", message, "Nothing was changed. Look at the data directory and its disk, and try again.")
}
