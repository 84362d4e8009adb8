//! Larger values by their SHA-256: graphs, plans, previews that events name.
//!
//! Invariants: a blob is durable under its final name before [`put`] returns; what [`get`] returns has the hash asked for.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use comfyd_adapters::digest::sha256;
use comfyd_engine::Sha256;

use super::disk::{Disk, Replace, write_new};
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
pub(crate) fn put(disk: &dyn Disk, layout: &Layout, bytes: &[u8]) -> Result<Sha256, BlobError> {
    let sha = sha256(bytes);
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
