//! How the store is, and what its threads share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use comfyd_engine::{Seq, StreamId};
use tokio::sync::watch;

use super::blobs::Pins;
use super::disk::Disk;
use super::file_store::Options;
use super::graves::Graves;
use super::layout::Layout;
use super::types::Text;

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Healthy,
    /// It works, but new work should wait.
    Degraded {
        /// Because of what.
        why: String,
    },
    /// It takes nothing until it is opened again.
    ReadOnly {
        /// Because of what.
        why: String,
    },
}

/// A snapshot that waits to be written.
pub(crate) struct Wanted {
    pub(crate) seq: Seq,
    pub(crate) json: Text,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// What the journal, the scribe and their callers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    health: watch::Sender<Health>,
    quarantined: Mutex<BTreeMap<StreamId, String>>,
    snapshots: Mutex<BTreeMap<StreamId, Wanted>>,
    /// Blobs that are kept though nobody names them yet.
    pub(crate) pins: Pins,
    /// Runs that were removed.
    pub(crate) graves: Graves,
    /// Bytes that the scribe could not write yet.
    backlog: AtomicU64,
    /// With less room than this the store is degraded.
    min_free: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are whole after every statement, so a panic elsewhere does not spoil them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &Path, options: Options) -> Self {
        Self {
            disk,
            layout: Layout::new(root),
            min_free: AtomicU64::new(options.min_free),
            options,
            health: watch::Sender::new(Health::Healthy),
            quarantined: Mutex::default(),
            snapshots: Mutex::default(),
            pins: Pins::default(),
            graves: Graves::default(),
            backlog: AtomicU64::new(0),
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    pub(crate) fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    pub(crate) fn set_min_free(&self, bytes: u64) {
        self.min_free.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// The reason why nothing may be written, if so.
    pub(crate) fn read_only(&self) -> Option<String> {
        match &*self.health.borrow() {
            Health::ReadOnly { why } => Some(why.clone()),
            Health::Healthy | Health::Degraded { .. } => None,
        }
    }

    /// Changes the health; read-only stays.
    pub(crate) fn set_health(&self, health: Health) {
        self.health.send_if_modified(|now| {
            let change = !matches!(now, Health::ReadOnly { .. }) && *now != health;
            if change {
                match &health {
                    Health::Healthy => tracing::info!("store healthy"),
                    // Several reasons may alternate as long as it lasts; the log is on a disk too.
                    Health::Degraded { why } if matches!(now, Health::Degraded { .. }) => tracing::debug!(why, "store degraded"),
                    Health::Degraded { why } => tracing::warn!(why, "store degraded"),
                    Health::ReadOnly { why } => tracing::error!(why, "store read-only"),
                }
                *now = health;
            }
            change
        });
    }

    pub(crate) fn quarantine(&self, stream: &StreamId, why: String) {
        if self.graves.hold(stream) {
            // Its files are being removed.
            return;
        }
        locked(&self.quarantined).entry(stream.clone()).or_insert_with(|| {
            tracing::error!(%stream, why, "stream quarantined");
            why
        });
    }

    pub(crate) fn quarantined(&self, stream: &StreamId) -> Option<String> {
        locked(&self.quarantined).get(stream).cloned()
    }

    /// Keeps the latest snapshot per stream; tells whether the journal must be woken.
    pub(crate) fn want_snapshot(&self, stream: &StreamId, wanted: Wanted) -> bool {
        let mut snapshots = locked(&self.snapshots);
        let first = snapshots.is_empty();
        if snapshots.len() < self.options.max_snapshots || snapshots.contains_key(stream) {
            snapshots.insert(stream.clone(), wanted);
        }
        first
    }

    pub(crate) fn take_snapshots(&self) -> BTreeMap<StreamId, Wanted> {
        std::mem::take(&mut *locked(&self.snapshots))
    }

    /// Forgets everything about a stream that was removed.
    pub(crate) fn forget(&self, stream: &StreamId) {
        locked(&self.quarantined).remove(stream);
        locked(&self.snapshots).remove(stream);
    }

    pub(crate) fn set_backlog(&self, bytes: u64) {
        self.backlog.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }
}
