//! A note for the next process that a sync has failed.
//!
//! After a failed sync the system may hold bytes that it calls clean and that never reach the disk; a later sync of the
//! same file says all is well. The process that saw the failure writes a new file. If it dies before, the next one must
//! know, or it would trust the old file.
//!
//! Invariants: the note is there before anything else is done about a failure, and goes when everything is durable again.

use std::io;

use super::disk::Disk;
use super::layout::{Layout, Writer};

/// One writer's note.
#[derive(Debug)]
pub(crate) struct Distrust {
    whose: Writer,
    noted: bool,
}

impl Distrust {
    pub(crate) fn new(whose: Writer) -> Self {
        Self { whose, noted: false }
    }

    /// Leaves the note. An empty file: a name needs no room.
    pub(crate) fn note(&mut self, disk: &dyn Disk, layout: &Layout) {
        if !self.noted {
            self.noted = true;
            if let Err(error) = disk.create_new(&layout.distrust(self.whose)) {
                tracing::warn!(%error, "failed sync not noted");
            }
        }
    }

    /// Takes the note away.
    pub(crate) fn clear(&mut self, disk: &dyn Disk, layout: &Layout) {
        if self.noted {
            match disk.remove(&layout.distrust(self.whose)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "note of a failed sync not removed");
                }
                Ok(()) | Err(_) => self.noted = false,
            }
        }
    }
}

/// Tells whether the last process left a note.
pub(crate) fn is_noted(disk: &dyn Disk, layout: &Layout) -> io::Result<bool> {
    Ok(disk.len(&layout.distrust(Writer::Journal))?.is_some() || disk.len(&layout.distrust(Writer::Scribe))?.is_some())
}

/// Takes the last process's notes away.
pub(crate) fn forget(disk: &dyn Disk, layout: &Layout) -> io::Result<()> {
    for whose in [Writer::Journal, Writer::Scribe] {
        if disk.len(&layout.distrust(whose))?.is_some() {
            disk.remove(&layout.distrust(whose))?;
        }
    }
    Ok(())
}
