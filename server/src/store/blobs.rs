//! Larger values by their SHA-256: graphs, plans, previews that events name.
//!
//! Invariants: a blob is durable under its final name before [`put`] returns; what [`get`] returns has the hash asked for.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use comfyd_adapters::digest::sha256;
use comfyd_engine::Sha256;

use super::disk::{Disk, Replace, write_new};
use super::health::Shared;
use super::layout::Layout;

/// Why a blob is not stored or not served.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file cannot be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its bytes are not those that were stored.
    #[error("blob {sha} is damaged")]
    Damaged {
        /// The name it was asked for by.
        sha: Sha256,
    },
}

/// The largest blob that is read.
const LIMIT: u64 = 1 << 30;

/// Makes temporary names differ within the process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Stores a blob durably.
pub(crate) fn put(shared: &Shared, bytes: &[u8]) -> Result<Sha256, BlobError> {
    let (disk, layout) = (&*shared.disk, &shared.layout);
    let sha = sha256(bytes);
    // Before it is looked whether it is there: from here on nobody removes it.
    shared.pins.pin(std::iter::once(&sha));
    let path = layout.blobs().join(sha.as_str());
    let stored = || -> io::Result<()> {
        // A blob of the right length came here whole; `get` checks the rest.
        if disk.len(&path)? != Some(bytes.len() as u64) {
            let turn = TEMPORARY.fetch_add(1, Ordering::Relaxed);
            let temp = layout.blobs().join(format!("{sha}.{turn}.new"));
            write_new(disk, &temp, bytes)?.sync()?;
            disk.rename(&temp, &path, Replace::Yes)?;
        }
        // Also for one that was there: its name may not be durable yet.
        disk.sync_dir(&layout.blobs())
    };
    stored().map_err(|source| BlobError::Write { path: path.clone(), source })?;
    Ok(sha)
}

/// Blobs that a run may be about to name.
///
/// Invariants: what is pinned while a search for unnamed blobs goes on, or was since the one before, is not removed by it.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<[BTreeSet<Sha256>; 2]>);

impl Pins {
    fn pins(&self) -> MutexGuard<'_, [BTreeSet<Sha256>; 2]> {
        // Every statement leaves the sets whole, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any are pinned.
    pub(crate) fn any(&self) -> bool {
        self.pins().iter().any(|pinned| !pinned.is_empty())
    }

    pub(crate) fn pin<'a>(&self, blobs: impl Iterator<Item = &'a Sha256>) {
        self.pins()[0].extend(blobs.cloned());
    }
}

/// Blobs that nobody stored or pinned since the call before; those pinned now are let go of by the next call.
pub(crate) fn begin_collection(shared: &Shared) -> io::Result<BTreeSet<Sha256>> {
    let old = {
        let mut pins = shared.pins.pins();
        let [new, old] = &mut *pins;
        *old = std::mem::take(new);
        old.clone()
    };
    let mut unnamed = BTreeSet::new();
    for name in shared.disk.list(&shared.layout.blobs())? {
        if let Ok(sha) = name.parse::<Sha256>() {
            unnamed.extend(Some(sha).filter(|sha| !old.contains(sha)));
        } else if let Some(Ok(sha)) =
            name.split_once('.').filter(|(_, rest)| rest.ends_with("new")).map(|(sha, _)| sha.parse::<Sha256>())
            && !old.contains(&sha)
            && !shared.pins.pins()[0].contains(&sha)
        {
            // Left by a crash in the middle of storing it.
            shared.disk.remove(&shared.layout.blobs().join(&name))?;
        }
    }
    Ok(unnamed)
}

/// Removes blobs that nobody names, but for those pinned meanwhile.
pub(crate) fn remove(shared: &Shared, unnamed: &BTreeSet<Sha256>) -> io::Result<usize> {
    let mut removed = 0;
    for sha in unnamed {
        // Held over the removal: who pins it after that finds that it is not there.
        let pins = shared.pins.pins();
        if !pins.iter().any(|pinned| pinned.contains(sha)) {
            match shared.disk.remove(&shared.layout.blobs().join(sha.as_str())) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        drop(pins);
    }
    Ok(removed)
}

/// Reads a blob; nothing if there is none.
pub(crate) fn get(disk: &dyn Disk, layout: &Layout, sha: &Sha256) -> Result<Option<Vec<u8>>, BlobError> {
    let path = layout.blobs().join(sha.as_str());
    match disk.read(&path, LIMIT) {
        Ok(bytes) if sha256(&bytes) == *sha => Ok(Some(bytes)),
        Ok(_) => Err(BlobError::Damaged { sha: sha.clone() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BlobError::Read { path, source }),
    }
}
