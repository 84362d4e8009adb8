//! Counts replays that began and did not end, so that a log which brings the process down does so twice at most.
//!
//! Invariants: the count is written before the replay. Absent: durability; a power cut forgets a strike.

use std::io;

use comfyd_engine::StreamId;

use super::disk::{Disk, put_unsynced};
use super::layout::Layout;

/// Strikes after which a stream is not replayed any more.
pub(crate) const MAX_ATTEMPTS: u64 = 2;

/// How many replays of a stream began and did not end.
pub(crate) fn count(disk: &dyn Disk, layout: &Layout, stream: &StreamId) -> io::Result<u64> {
    match disk.read(&layout.attempts(stream), 32) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(1)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Notes that a replay begins.
pub(crate) fn begin(disk: &dyn Disk, layout: &Layout, stream: &StreamId) -> io::Result<()> {
    let before = count(disk, layout, stream)?;
    put_unsynced(disk, &layout.attempts(stream), format!("{}\n", before + 1).as_bytes())
}

/// Notes that it ended.
pub(crate) fn end(disk: &dyn Disk, layout: &Layout, stream: &StreamId) -> io::Result<()> {
    match disk.remove(&layout.attempts(stream)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
