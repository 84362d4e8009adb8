//! What housekeeping asks of the store: the index, leftovers, blobs that nobody names.
//!
//! These calls block; they are made where that is no harm. Absent: deciding what is over, or named.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{MutexGuard, PoisonError};

use comfyd_engine::journal::scan::Frames;
use comfyd_engine::{RunId, Seq, Sha256, StreamId};
use tokio::sync::oneshot;

use super::blobs;
use super::file_store::FileStore;
use super::index::{Index, Line, Over};
use super::journal::Job;
use super::log_file::READ_LIMIT;

/// The first record of nearly every run lies in so many bytes.
const HEAD: u64 = 64 << 10;

impl FileStore {
    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic in the middle of a write leaves a torn record, which the next start finds.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where runs end: the last record, and the length of the log with it. Runs that are not known are left out.
    pub async fn ends(&self, runs: Vec<RunId>) -> BTreeMap<RunId, (Seq, u64)> {
        let (reply, answer) = oneshot::channel();
        // After the end nothing is known any more.
        if self.drive.submit(Job::Ends { runs, reply }).await.is_err() {
            return BTreeMap::new();
        }
        answer.await.unwrap_or_default()
    }

    /// Keeps runs that are over in the index.
    pub fn index_over(&self, over: Vec<Over>) {
        self.index().add(over.into_iter().map(Line::Over).collect());
    }

    /// Has the logs of these runs read whole by the next start.
    pub fn index_suspects(&self, runs: Vec<RunId>) {
        self.index().add(runs.into_iter().map(|run| Line::Suspect { run }).collect());
    }

    /// Notes up to which run the logs have been looked through; none when all have been.
    pub fn index_checked(&self, run: Option<RunId>) {
        self.index().add(vec![Line::Checked { run }]);
    }

    /// Up to which run the logs have been looked through.
    pub fn checked(&self) -> Option<RunId> {
        self.index().checked()
    }

    /// The first record of a run's log; none if there is no whole one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn first_record(&self, run: RunId) -> io::Result<Option<Vec<u8>>> {
        let path = self.shared.layout.events(&StreamId::Run(run));
        let first = |bytes: &[u8]| Frames::new(bytes, 1).ok()?.next().map(|frame| frame.payload.to_vec());
        let head = self.shared.disk.read(&path, HEAD)?;
        match first(&head) {
            None if head.len() as u64 == HEAD => Ok(first(&self.shared.disk.read(&path, READ_LIMIT)?)),
            found => Ok(found),
        }
    }

    /// Removes what the downloads of a run that is over have left: no output has such a name.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clear_parts(&self, run: RunId) -> io::Result<()> {
        let folder = self.shared.layout.stream_dir(&StreamId::Run(run)).join("outputs");
        for name in self.shared.disk.list(&folder)? {
            let number = name.strip_suffix(".part").or_else(|| name.strip_suffix(".part.etag"));
            if number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())) {
                self.shared.disk.remove(&folder.join(name))?;
            }
        }
        Ok(())
    }

    /// The blobs that may be removed if nobody names them. Those stored or pinned since the call before are not among them.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn begin_collection(&self) -> io::Result<BTreeSet<Sha256>> {
        blobs::begin_collection(&self.shared)
    }

    /// Removes blobs, but for those stored or pinned meanwhile; how many.
    ///
    /// # Errors
    /// One cannot be removed; those before it are.
    pub fn remove_blobs(&self, blobs: &BTreeSet<Sha256>) -> io::Result<usize> {
        blobs::remove(&self.shared, blobs)
    }

    /// Whether blobs are kept by [`Self::begin_collection`] for being new.
    pub fn has_pins(&self) -> bool {
        self.shared.pins.any()
    }

    /// Keeps blobs that a run is about to name.
    pub fn pin_blobs<'a>(&self, blobs: impl Iterator<Item = &'a Sha256>) {
        self.shared.pins.pin(blobs);
    }
}
