//! The door of a data directory: one process, ours alone, a layout we know.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::disk::{Disk, LockGuard, put_synced};
use super::layout::Layout;
use super::types::OpenError;

/// The layout of the data directory.
///
/// Changelog: 1 = journal, logs and snapshots of streams, blobs.
const LAYOUT: u64 = 1;

/// Files of a few lines are not read beyond this.
const SMALL: u64 = 64 << 10;

#[derive(Deserialize)]
struct Format {
    layout: serde_json::Value,
}

#[derive(Deserialize)]
struct Server {
    #[serde(default)]
    address: Option<String>,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

/// Creates the directory if need be, checks that it is ours and takes the lock.
pub(crate) fn enter(disk: &dyn Disk, layout: &Layout) -> Result<Arc<dyn LockGuard>, OpenError> {
    let root = layout.root();
    disk.create_dir_all(root).map_err(at(root))?;
    disk.check_private(root).map_err(OpenError::NotPrivate)?;
    match disk.lock(&layout.lock()).map_err(at(&layout.lock()))? {
        Some(guard) => Ok(guard.into()),
        None => Err(OpenError::Locked { dir: root.to_owned(), holder: holder(disk, layout) }),
    }
}

/// Says who has the lock, as far as that can be read.
fn holder(disk: &dyn Disk, layout: &Layout) -> String {
    let pid = disk.read(&layout.lock(), 32).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pid = pid.as_deref().map(str::trim).filter(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()));
    let server = disk.read(&layout.server(), SMALL).ok();
    let address = server.and_then(|bytes| serde_json::from_slice::<Server>(&bytes).ok()).and_then(|server| server.address);
    let pid = pid.map_or_else(|| "process unknown".to_owned(), |pid| format!("process {pid}"));
    address.map_or(pid.clone(), |address| format!("{pid} at {address}"))
}

/// Whether a directory has been used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// It has no `format.json`: it is new, or its creation was cut.
    New,
    /// It has one that we know.
    Known,
}

/// Checks `format.json`.
pub(crate) fn check_format(disk: &dyn Disk, layout: &Layout) -> Result<Age, OpenError> {
    let path = layout.format();
    let bytes = match disk.read(&path, SMALL) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Age::New),
        Err(error) => return Err(at(&path)(error)),
    };
    match serde_json::from_slice::<Format>(&bytes) {
        Ok(format) if format.layout.as_u64() == Some(LAYOUT) => Ok(Age::Known),
        Ok(format) => Err(OpenError::Layout { dir: layout.root().to_owned(), layout: format.layout.to_string() }),
        Err(_) => Err(OpenError::Layout { dir: layout.root().to_owned(), layout: "that cannot be read".to_owned() }),
    }
}

/// Writes `format.json`, after everything that it promises is there.
pub(crate) fn write_format(disk: &dyn Disk, layout: &Layout) -> Result<(), OpenError> {
    let path = layout.format();
    put_synced(disk, &path, format!("{{\"layout\":{LAYOUT}}}\n").as_bytes()).map_err(at(&path))
}

/// Creates the directories below, durably.
pub(crate) fn furnish(disk: &dyn Disk, layout: &Layout) -> Result<(), OpenError> {
    for dir in [layout.journal_dir(), layout.runs(), layout.instances(), layout.setups(), layout.blobs(), layout.removed()] {
        disk.create_dir_all(&dir).map_err(at(&dir))?;
    }
    disk.sync_dir(layout.root()).map_err(at(layout.root()))?;
    match layout.root().parent() {
        // The directory itself must not vanish either; one that we may not open was there before us.
        Some(parent) => disk.sync_dir(parent).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Ok(()),
            _ => Err(at(parent)(error)),
        }),
        None => Ok(()),
    }
}
