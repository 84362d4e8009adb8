//! Letting go of runs that were removed.

use comfyd_engine::{RunId, StreamId};

use super::Scribe;
use crate::store::disk::is_full;
use crate::store::types::AppendError;

impl Scribe {
    /// Marks runs as removed, durably, and forgets them.
    pub(super) fn remove(&mut self, runs: &[RunId], in_newest: bool) -> Result<(), AppendError> {
        let needs = self.rotations + u64::from(in_newest);
        let shared = self.shared.clone();
        shared
            .graves
            .dig(&*shared.disk, &shared.layout, runs, needs)
            .map_err(|error| if is_full(&error) { AppendError::DiskFull(error) } else { AppendError::NotWritten(error) })?;
        for run in runs {
            let stream = StreamId::Run(*run);
            self.trails.forget(&stream);
            self.dirty.logs.remove(&stream);
            self.dirty.states.remove(&stream);
            self.dirty.dirs.remove(&shared.layout.stream_dir(&stream));
            shared.forget(&stream);
        }
        self.backlog.retain(|record| !shared.graves.hold(&record.stream));
        Ok(())
    }
}
