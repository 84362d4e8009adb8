//! Making the streams' files durable, many at once, and removing the journal files they replace.

use std::io;

use super::{MAX_STRIKES, Scribe};
use crate::store::disk::Disk;
use crate::store::health::Health;
use crate::store::log_file::Failure;
use crate::store::types::FlushError;

/// From how many files on one sync of the whole file system is cheaper.
const BULK: usize = 8;

impl Scribe {
    /// Makes everything written durable, then removes the journal files that are not needed any more.
    pub(super) fn settle(&mut self) -> Result<(), FlushError> {
        self.drain();
        if let Some(why) = self.shared.read_only() {
            return Err(FlushError::ReadOnly { why });
        }
        if !self.backlog.is_empty() {
            return Err(self.behind());
        }
        match self.sync() {
            Ok(()) => {
                self.strikes = 0;
                self.distrust.clear(&*self.shared.disk, &self.shared.layout);
            }
            Err(error) => {
                self.strikes += 1;
                if self.strikes >= MAX_STRIKES {
                    let why = format!("the logs of streams could not be synced: {error}");
                    self.shared.set_health(Health::ReadOnly { why });
                }
                return Err(FlushError::Failed(error));
            }
        }
        self.trails.limit_kept();
        self.collect();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let disk = self.shared.disk.clone();
        if self.dirty.count() > BULK {
            let all = disk.sync_all(self.shared.layout.root());
            if all.is_err() {
                self.distrust.note(&*disk, &self.shared.layout);
            }
            for stream in &self.dirty.logs {
                match (&all, self.trails.log(stream)) {
                    (Ok(()), Some(log)) => log.note_synced(),
                    // Which file it was is not told, and no file may be synced twice.
                    (Err(_), Some(log)) => log.poison(),
                    (Ok(()) | Err(_), None) => {}
                }
            }
            match all {
                Ok(()) => {
                    self.dirty.states.clear();
                    self.dirty.dirs.clear();
                }
                // The rest of this function repairs file by file.
                Err(error) => tracing::warn!(%error, "bulk sync failed"),
            }
        }
        self.sync_logs()?;
        while let Some(stream) = self.dirty.states.first().cloned() {
            // A snapshot that cannot be synced may be lost or torn; recovery takes neither amiss.
            if let Err(error) = disk.sync_file(&self.shared.layout.state(&stream)) {
                tracing::warn!(%stream, %error, "snapshot not synced");
            }
            self.dirty.states.remove(&stream);
        }
        self.sync_dirs(&*disk)
    }

    fn sync_logs(&mut self) -> io::Result<()> {
        while let Some(stream) = self.dirty.logs.first().cloned() {
            if let Some(log) = self.trails.log(&stream) {
                match log.sync() {
                    Ok(()) => {}
                    Err(Failure::Full(error) | Failure::Broken(error)) => {
                        self.distrust.note(&*self.shared.disk, &self.shared.layout);
                        tracing::warn!(%stream, %error, "log of a stream not synced: written anew");
                        log.rebuild()?;
                    }
                }
            }
            self.dirty.logs.remove(&stream);
        }
        self.dirty.bytes = 0;
        Ok(())
    }

    fn sync_dirs(&mut self, disk: &dyn Disk) -> io::Result<()> {
        while let Some(dir) = self.dirty.dirs.first().cloned() {
            disk.sync_dir(&dir)?;
            self.dirty.dirs.remove(&dir);
        }
        Ok(())
    }

    /// Removes the journal files that had their last record when this began to settle.
    ///
    /// Oldest first; each removal is durable before the next, so that no gap can appear.
    fn collect(&mut self) {
        while let Some(path) = self.rotated.front() {
            let dir = self.shared.layout.journal_dir();
            if let Err(error) = self.shared.disk.remove(path).and_then(|()| self.shared.disk.sync_dir(&dir)) {
                // It is looked at again when the store opens.
                return tracing::warn!(%error, "journal file not removed");
            }
            self.rotated.pop_front();
        }
        self.shared.graves.journal_collected(self.rotations);
    }
}
