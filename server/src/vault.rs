//! Bytes by their hash: small ones out of the logs of open runs, large ones as files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use comfyd_adapters::comfy::ports::Blobs;
use comfyd_engine::{RunId, Sha256};
use futures_util::future::BoxFuture;

use crate::store::FileStore;

/// Blobs of open runs.
pub(crate) struct Vault {
    store: Arc<FileStore>,
    kept: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    blobs: BTreeMap<Sha256, Kept>,
    /// What each run needs.
    needs: BTreeMap<RunId, BTreeSet<Sha256>>,
}

#[derive(Default)]
struct Kept {
    bytes: Bytes,
    runs: BTreeSet<RunId>,
}

impl Vault {
    pub(crate) fn new(store: Arc<FileStore>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Shelf> {
        // Every statement leaves the maps whole, so a panic elsewhere does not spoil them.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps bytes that are in a run's log, for as long as the run is open.
    pub(crate) fn keep(&self, run: RunId, hash: Sha256, bytes: Bytes) {
        let mut kept = self.kept();
        kept.needs.entry(run).or_default().insert(hash.clone());
        let entry = kept.blobs.entry(hash).or_default();
        entry.bytes = bytes;
        entry.runs.insert(run);
    }

    /// Drops what only this run needed.
    pub(crate) fn forget(&self, run: RunId) {
        let mut kept = self.kept();
        for hash in kept.needs.remove(&run).unwrap_or_default() {
            let Some(blob) = kept.blobs.get_mut(&hash) else { continue };
            blob.runs.remove(&run);
            if blob.runs.is_empty() {
                kept.blobs.remove(&hash);
            }
        }
    }
}

impl Blobs for Vault {
    fn get(&self, hash: &Sha256) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        let kept = self.kept().blobs.get(hash).map(|kept| kept.bytes.clone());
        let hash = hash.clone();
        Box::pin(async move {
            match kept {
                Some(bytes) => Ok(Some(bytes)),
                None => self.store.get_blob(&hash).await.map(|found| found.map(Bytes::from)).map_err(io::Error::other),
            }
        })
    }

    fn put(&self, bytes: Bytes) -> BoxFuture<'_, io::Result<Sha256>> {
        Box::pin(async move { self.store.put_blob(bytes.to_vec()).await.map_err(io::Error::other) })
    }
}
