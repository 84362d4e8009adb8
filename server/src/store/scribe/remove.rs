//! Letting go of runs that were removed.

use comfyd_engine::{RunId, StreamId};

use super::Scribe;
use crate::store::disk::is_full;
use crate::store::graves::Refused;
use crate::store::health::Health;
use crate::store::types::AppendError;

impl Scribe {
    /// Marks runs as removed, durably, and forgets them.
    pub(super) fn remove(&mut self, runs: &[RunId], in_newest: bool) -> Result<(), AppendError> {
        let needs = self.rotations + u64::from(in_newest);
        let shared = self.shared.clone();
        shared.graves.dig(&*shared.disk, &shared.layout, runs, needs).map_err(|refused| match refused {
            Refused::AsBefore(error) if is_full(&error) => AppendError::DiskFull(error.into()),
            Refused::AsBefore(error) => AppendError::NotWritten(error.into()),
            Refused::Unknown(error) => {
                // What is done on the strength of them from here on may be gone with the next start.
                let why = format!("whether runs were removed is not known until the next start: {error}");
                shared.set_health(Health::ReadOnly { why: why.clone() });
                AppendError::ReadOnly { why }
            }
        })?;
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
