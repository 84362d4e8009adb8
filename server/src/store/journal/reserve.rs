//! Room kept for endings when the disk is full.
//!
//! Invariants: the reserve is given up at most once per full disk, and comes back when there is room again.

use std::io;

use crate::store::disk::{is_full, write_new};
use crate::store::health::{Health, Shared};

/// The file `reserve`.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    held: bool,
    full: bool,
}

impl Reserve {
    /// Gives the room up; tells whether there was any.
    pub(super) fn release(&mut self, shared: &Shared) -> bool {
        let released = self.held && shared.disk.remove(&shared.layout.reserve()).is_ok();
        self.held = false;
        if released {
            tracing::warn!("disk full: reserve released");
        }
        self.note_full(shared);
        released
    }

    /// Notes that there was no room for a write.
    pub(super) fn note_full(&mut self, shared: &Shared) {
        self.full = true;
        shared.set_health(Health::Degraded { why: "the disk is full".to_owned() });
    }

    /// Looks at the free room and sets the reserve aside again when there is enough.
    pub(super) fn check(&mut self, shared: &Shared) {
        let free = match shared.disk.free_bytes(shared.layout.root()) {
            Ok(free) => free,
            Err(error) => return tracing::warn!(%error, "free room unknown"),
        };
        if free < shared.min_free() {
            let why = format!("less than {} MiB are free", shared.min_free() >> 20);
            return shared.set_health(Health::Degraded { why });
        }
        // A quarter more, so that the room that was just given up is not taken back at once.
        if free >= shared.options.reserve.saturating_add(shared.options.reserve / 4) {
            self.full = false;
            self.restore(shared);
        }
        if shared.backlog() == 0 {
            shared.set_health(Health::Healthy);
        }
    }

    /// Sets the room aside.
    pub(super) fn restore(&mut self, shared: &Shared) {
        if self.held || self.full || shared.options.reserve == 0 {
            return;
        }
        match Self::create(shared) {
            Ok(()) => self.held = true,
            Err(error) if is_full(&error) => self.note_full(shared),
            Err(error) => tracing::warn!(%error, "no reserve"),
        }
    }

    fn create(shared: &Shared) -> io::Result<()> {
        let path = shared.layout.reserve();
        if shared.disk.len(&path)?.is_some() {
            shared.disk.remove(&path)?;
        }
        let allocated = write_new(&*shared.disk, &path, b"")?.allocate(shared.options.reserve);
        if allocated.is_err() {
            // A part of it would be room that nobody gives back; that it cannot be removed is told by the next attempt.
            let _ = shared.disk.remove(&path);
        }
        allocated
    }
}
