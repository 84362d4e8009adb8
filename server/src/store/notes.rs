//! Notes on removed runs: a little that must be known of them for a while, in files beside their marks.
//!
//! Invariants: a note that was kept is there after a power loss; one of a run that is not removed means nothing. Absent: what they say, and
//! for how long that is needed.

use std::io;

use comfyd_engine::RunId;

use super::disk::put_synced;
use super::file_store::FileStore;

/// How much of a note is read.
const LONGEST: u64 = 16 << 10;
/// How the names of notes end.
const SUFFIX: &str = ".key";

impl FileStore {
    /// Keeps a note on a run that is about to be removed; durable when this returns.
    ///
    /// # Errors
    /// It is not.
    pub async fn keep_note(&self, run: RunId, text: String) -> io::Result<()> {
        let shared = self.shared.clone();
        self.blocking(move || put_synced(&*shared.disk, &shared.layout.note(run, SUFFIX), text.as_bytes())).await
    }

    /// All notes; one that cannot be read does not hide the others.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn notes(&self) -> io::Result<Vec<(RunId, io::Result<Vec<u8>>)>> {
        let shared = self.shared.clone();
        self.blocking(move || {
            let (disk, layout) = (&shared.disk, &shared.layout);
            let names = disk.list(&layout.removed())?;
            let runs = names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse::<RunId>().ok());
            Ok(runs.map(|run| (run, disk.read(&layout.note(run, SUFFIX), LONGEST))).collect())
        })
        .await
    }

    /// Lets a note go; it does no harm if it comes back.
    ///
    /// # Errors
    /// It is there still.
    pub async fn drop_note(&self, run: RunId) -> io::Result<()> {
        let shared = self.shared.clone();
        self.blocking(move || match shared.disk.remove(&shared.layout.note(run, SUFFIX)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        })
        .await
    }
}
