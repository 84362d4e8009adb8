//! The store's face: what the core loop, the API and the command line call.
//!
//! Invariants: an answer to an append comes after its sync if one was asked for. Absent: work; see `journal` and `scribe`.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comfyd_engine::journal::scan::{Rule, Verdict, scan_with};
use comfyd_engine::{RunId, Seq, Sha256, StreamId};
use tokio::sync::{oneshot, watch};

use super::blobs::{self, BlobError};
use super::disk::{Disk, LockGuard};
use super::drive::{Drive, Stopped};
use super::graves::Graves;
use super::health::{Health, Shared, Wanted};
use super::index::Index;
use super::journal::{Ask, Job, Journal, LogEnd};
use super::log_file::READ_LIMIT;
use super::raw_log::RawLog;
use super::recover::{self, Found, Recovered};
use super::scribe::Scribe;
use super::types::{Append, AppendError, Damaged, FlushError, OpenError, ReadError, StreamRecords, Sync, Text};
use super::{attempts, guard, snapshot};

/// The journal goes on in a new file for the sake of so many removed runs.
const MANY_GRAVES: usize = 256;

/// Makes what the index keeps of a run out of its `state.json`.
pub type Digest = fn(RunId, &str) -> Option<Vec<u8>>;

/// Limits of a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// A journal file of this length gets a successor.
    pub rotate_at: u64,
    /// Room set aside before the journal's end, in these steps.
    pub preallocate: u64,
    /// Bytes that may be written without a sync.
    pub max_unsynced: usize,
    /// Logs of streams open at once.
    pub max_open: usize,
    /// Logs of streams whose end is remembered.
    pub max_known: usize,
    /// Snapshots that may wait.
    pub max_snapshots: usize,
    /// A stream's log of this length takes only what is acknowledged.
    pub max_log: u64,
    /// Bytes that may wait for room in the logs of streams.
    pub max_backlog: u64,
    /// Room kept for endings.
    pub reserve: u64,
    /// With less room than this the store is degraded.
    pub min_free: u64,
    /// How long anything written may stay without a sync, at most twice this.
    pub tick: Duration,
    /// Jobs that may wait for the journal.
    pub queue: usize,
    /// Threads that look at runs while the store opens.
    pub threads: usize,
    /// Tells from the `state.json` of a run that is over what the index keeps of it; nothing for others.
    pub digest: Option<Digest>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rotate_at: 64 << 20,
            preallocate: 4 << 20,
            max_unsynced: 8 << 20,
            max_open: 64,
            max_known: 4096,
            max_snapshots: 16_384,
            max_log: 256 << 20,
            max_backlog: 64 << 20,
            reserve: 8 << 20,
            min_free: 512 << 20,
            tick: Duration::from_millis(500),
            // The core loop has one append under way; the rest are reads.
            queue: 256,
            // Reading small files waits more than it works.
            threads: 4,
            digest: None,
        }
    }
}

/// The event log in one data directory.
///
/// ```
/// # use comfyd_server::store::*;
/// # use comfyd_engine::Seq;
/// # use std::{path::Path, sync::Arc};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let disk = Arc::new(SimDisk::new(1));
/// let (store, _) = FileStore::inline(Path::new("/data"), disk, Options::default())?;
/// let stream = "instance/gpu-a".parse()?;
/// let append = Append { stream, expected: Seq(0), payloads: vec![b"a fact".to_vec()], class: Class::Ordinary };
/// store.append_all(vec![append.clone()], Sync::Now).await?;
/// assert_eq!(store.read(&append.stream, Seq(0)).await?.records, [(Seq(1), b"a fact".to_vec())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileStore {
    pub(super) shared: Arc<Shared>,
    pub(super) drive: Drive,
    pub(super) index: Mutex<Index>,
    _lock: Arc<dyn LockGuard>,
}

impl FileStore {
    /// Opens a data directory, with two threads of its own. Blocks while it recovers.
    ///
    /// # Errors
    /// Somebody else has it, it is not ours alone, it is newer, or it cannot be read.
    pub fn open(root: &Path, disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Recovered), OpenError> {
        Self::start(root, disk, options, Drive::threads)
    }

    /// Opens a data directory without threads: everything happens inside the calls, and time passes by [`Self::tick`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn inline(root: &Path, disk: Arc<dyn Disk>, mut options: Options) -> Result<(Self, Recovered), OpenError> {
        options.threads = 1;
        Self::start(root, disk, options, |_, _, journal, scribe| Ok(Drive::inline(journal, scribe)))
    }

    fn start(
        root: &Path,
        disk: Arc<dyn Disk>,
        options: Options,
        drive: impl FnOnce(&Arc<Shared>, &Arc<dyn LockGuard>, Journal, Scribe) -> Result<Drive, OpenError>,
    ) -> Result<(Self, Recovered), OpenError> {
        let shared = Arc::new(Shared::new(disk, root, options));
        let lock = guard::enter(&*shared.disk, &shared.layout)?;
        let Found { recovered, log, tips, index } = recover::recover(&shared)?;
        let journal = Journal::new(shared.clone(), log, tips);
        let drive = drive(&shared, &lock, journal, Scribe::new(shared.clone()))?;
        Ok((Self { shared, drive, index: Mutex::new(index), _lock: lock }, recovered))
    }

    /// Stores a batch over several streams: all of it or nothing. An empty batch with [`Sync::Now`] makes durable what was
    /// appended before.
    ///
    /// # Errors
    /// Nothing of the batch is stored; everything acknowledged before still is.
    pub async fn append_all(&self, batch: Vec<Append>, sync: Sync) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.drive.submit(Job::Append(vec![Ask { wish: (batch, sync), reply }])).await.map_err(|Stopped| AppendError::Stopped)?;
        answer.await.unwrap_or(Err(AppendError::Stopped))
    }

    /// The same on the caller's thread, which waits for the disk meanwhile.
    ///
    /// # Errors
    /// As [`Self::append_all`].
    pub fn append_here(&self, batch: Vec<Append>, sync: Sync) -> Result<(), AppendError> {
        self.drive.append_here(batch, sync)
    }

    /// Keeps a snapshot for writing: `json` is the canonical object of the view after record `seq`, which has been
    /// appended, without `log_len` and `chain`. A later one of the same stream replaces one that still waits.
    pub fn snapshot(&self, stream: &StreamId, seq: Seq, json: String) {
        self.snapshot_of(stream, seq, Box::new(move || json));
    }

    /// The same for a text that is made only when it is written: one that is replaced before costs nothing.
    pub fn snapshot_of(&self, stream: &StreamId, seq: Seq, json: Text) {
        if self.shared.want_snapshot(stream, Wanted { seq, json }) {
            // After the end there is nothing to write any more.
            let _ = self.drive.nudge(Job::Snapshots);
        }
    }

    /// The records of a stream after `after`, with everything acknowledged so far.
    ///
    /// # Errors
    /// The file cannot be read. Damage is no error: it is in the answer, and quarantines the stream.
    pub async fn read(&self, stream: &StreamId, after: Seq) -> Result<StreamRecords, ReadError> {
        loop {
            let end = self.end(stream).await?;
            let (shared, id) = (self.shared.clone(), stream.clone());
            let len = end.as_ref().map(|end| end.len);
            let (mut records, torn) = self.blocking(move || read_stream(&shared, &id, after, len)).await?;
            // The scribe may have begun to write this log just now; then it says how far it is.
            if !torn || end.is_some() || self.end(stream).await?.is_none() {
                if let Some(damaged) = &records.damaged {
                    self.shared.quarantine(stream, damaged.why.clone());
                } else {
                    // As good as in the log: the journal has them until they are.
                    let behind = end.into_iter().flat_map(|end| end.behind);
                    records.records.extend(behind.filter(|(seq, _)| *seq > after));
                }
                return Ok(records);
            }
        }
    }

    async fn end(&self, stream: &StreamId) -> Result<Option<LogEnd>, ReadError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::End { stream: stream.clone(), reply };
        self.drive.submit(job).await.map_err(|Stopped| ReadError::Stopped)?;
        answer.await.map_err(|_| ReadError::Stopped)?.map_err(ReadError::NotDurable)
    }

    /// The text of a stream's `state.json`; nothing if there is none, or it is torn.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn state_json(&self, stream: &StreamId) -> Result<Option<String>, ReadError> {
        let (shared, path) = (self.shared.clone(), self.shared.layout.state(stream));
        self.blocking(move || match shared.disk.read(&path, READ_LIMIT) {
            Ok(bytes) => Ok(snapshot::head(&bytes).and_then(|_| String::from_utf8(bytes).ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReadError::Read { path, source }),
        })
        .await
    }

    /// All streams with anything in them, sorted.
    pub async fn known_streams(&self) -> Vec<StreamId> {
        // What cannot be made durable is not lost, only not listed yet.
        let _ = self.flush().await;
        let shared = self.shared.clone();
        self.blocking(move || {
            let (disk, layout) = (&shared.disk, &shared.layout);
            let list = |kind: &str, dir: &Path| {
                let names = disk.list(dir).unwrap_or_default();
                names.iter().filter_map(|name| format!("{kind}/{name}").parse::<StreamId>().ok()).collect::<Vec<_>>()
            };
            let mut streams = list("run", &layout.runs());
            streams.extend(list("instance", &layout.instances()));
            streams.extend(list("setup", &layout.setups()));
            streams.retain(|stream| !shared.graves.hold(stream));
            streams.sort();
            streams
        })
        .await
    }

    /// The bytes of a stream's log, with everything acknowledged so far, to be read a piece at a time.
    ///
    /// # Errors
    /// The file cannot be opened, or not everything is durable.
    pub async fn raw_log(&self, stream: &StreamId) -> Result<RawLog, ReadError> {
        self.flush().await.map_err(ReadError::NotDurable)?;
        let (shared, path) = (self.shared.clone(), self.shared.layout.events(stream));
        // A log being written may show a part of its next record; its writer knows where the whole ones end.
        let limit = self.end(stream).await?.map_or(READ_LIMIT, |end| end.len);
        self.blocking(move || match shared.disk.reader(&path) {
            Ok(file) => Ok(RawLog::new(file, limit)),
            Err(source) => Err(ReadError::Read { path, source }),
        })
        .await
    }

    /// Makes everything durable, in the streams' logs too.
    ///
    /// # Errors
    /// Not everything is.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let (reply, answer) = oneshot::channel();
        self.drive.submit(Job::Flush { reply }).await.map_err(|Stopped| FlushError::Stopped)?;
        answer.await.unwrap_or(Err(FlushError::Stopped))
    }

    /// Makes everything durable, leaves an empty journal and ends the threads. Calls after that fail.
    ///
    /// # Errors
    /// Not everything is durable; what was acknowledged still is.
    pub async fn shutdown(&self) -> Result<(), FlushError> {
        let (reply, answer) = oneshot::channel();
        self.drive.submit(Job::Shutdown { reply }).await.map_err(|Stopped| FlushError::Stopped)?;
        let answer = answer.await.unwrap_or(Err(FlushError::Stopped));
        let running = self.drive.close();
        if !running.is_empty() {
            // A thread that panicked has made the store read-only; there is nothing to add.
            let join = move || running.into_iter().for_each(|thread| drop(thread.join()));
            let _ = tokio::task::spawn_blocking(join).await;
        }
        answer
    }

    /// Removes runs for good, all of them or none; durable when this returns. Their directories go with [`Self::clear_removed`].
    ///
    /// They must take no more records: nothing may be under way that appends to them.
    ///
    /// # Errors
    /// They are all there as before; with [`AppendError::ReadOnly`] the next start may find them removed.
    pub async fn remove(&self, runs: Vec<RunId>) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        let removed = runs.clone();
        self.drive.submit(Job::Remove { runs, reply }).await.map_err(|Stopped| AppendError::Stopped)?;
        answer.await.unwrap_or(Err(AppendError::Stopped))?;
        // Their ends are of no use now. After the end there is nothing to forget any more.
        let _ = self.drive.nudge(Job::Removed { runs: removed });
        Ok(())
    }

    /// Removes a piece of what is left of removed runs; tells whether there is more to do at once. Blocks.
    ///
    /// # Errors
    /// Something could not be removed; it is tried again with the next call, or when the store opens again.
    pub fn clear_removed(&self) -> io::Result<bool> {
        let more = Graves::clear(&self.shared)?;
        if self.shared.graves.waiting() > MANY_GRAVES {
            // Their marks are needed as long as the journal's file is there. After the end there is nothing to do any more.
            let _ = self.drive.nudge(Job::Rotate);
        }
        Ok(more)
    }

    /// How the store is.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Follows how the store is.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.shared.watch()
    }

    /// Calls the store degraded below so much free room from now on.
    pub fn set_min_free(&self, bytes: u64) {
        self.shared.set_min_free(bytes);
    }

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// That cannot be found out.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.shared.disk.free_bytes(self.shared.layout.root())
    }

    /// The reason why a stream may only be read, if so.
    pub fn quarantined(&self, stream: &StreamId) -> Option<String> {
        self.shared.quarantined(stream)
    }

    /// Sets a stream aside that cannot be understood: from now on it may only be read.
    pub fn quarantine(&self, stream: &StreamId, why: String) {
        self.shared.quarantine(stream, why);
    }

    /// Lets time pass: syncs what waits, looks at the free room. The threads do that by themselves.
    pub fn tick(&self) {
        // After the end there is nothing to do any more.
        let _ = self.drive.nudge(Job::Tick);
    }

    /// Notes that a stream's log is about to be replayed; the second time without [`Self::end_replay`] quarantines it.
    ///
    /// # Errors
    /// The note cannot be written.
    pub async fn begin_replay(&self, stream: &StreamId) -> io::Result<()> {
        let (shared, stream) = (self.shared.clone(), stream.clone());
        self.blocking(move || attempts::begin(&*shared.disk, &shared.layout, &stream)).await
    }

    /// Notes that the replay went well.
    ///
    /// # Errors
    /// The note cannot be removed.
    pub async fn end_replay(&self, stream: &StreamId) -> io::Result<()> {
        let (shared, stream) = (self.shared.clone(), stream.clone());
        self.blocking(move || attempts::end(&*shared.disk, &shared.layout, &stream)).await
    }

    /// Stores a blob; it is durable when this returns.
    ///
    /// # Errors
    /// It is not.
    pub async fn put_blob(&self, bytes: Vec<u8>) -> Result<Sha256, BlobError> {
        let shared = self.shared.clone();
        self.blocking(move || blobs::put(&shared, &bytes)).await
    }

    /// Reads a blob; nothing if there is none.
    ///
    /// # Errors
    /// It cannot be read, or its bytes have changed.
    pub async fn get_blob(&self, sha: &Sha256) -> Result<Option<Vec<u8>>, BlobError> {
        let (shared, sha) = (self.shared.clone(), sha.clone());
        self.blocking(move || blobs::get(&*shared.disk, &shared.layout, &sha)).await
    }

    /// Runs file work where it may block.
    pub(super) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match &self.drive {
            Drive::Threads(_) => match tokio::task::spawn_blocking(work).await {
                Ok(done) => done,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is going down and so is this task: there is nobody to answer.
                Err(_) => std::future::pending().await,
            },
            Drive::Inline(_) => work(),
        }
    }
}

/// Reads a log up to `end`; also tells whether it ends in a part of a record.
fn read_stream(shared: &Shared, stream: &StreamId, after: Seq, end: Option<u64>) -> Result<(StreamRecords, bool), ReadError> {
    let path = shared.layout.events(stream);
    // Read before the log, so that the log is never behind it; a log being written is checked by its writer.
    let state = if end.is_some() { None } else { shared.disk.read(&shared.layout.state(stream), READ_LIMIT).ok() };
    let floor = state.and_then(|bytes| snapshot::head(&bytes)).map(|head| head.log_len);
    let bytes = match shared.disk.read(&path, end.unwrap_or(READ_LIMIT)) {
        Ok(bytes) => bytes,
        // Not written yet; one that was written and is gone is a loss to be told.
        Err(error) if error.kind() == io::ErrorKind::NotFound && end.is_none_or(|end| end == 0) => Vec::new(),
        Err(source) => return Err(ReadError::Read { path, source }),
    };
    let mut records = Vec::new();
    let found = scan_with(&bytes, Rule { first: 1, floor }, |frame| {
        if frame.seq > after.0 {
            records.push((Seq(frame.seq), frame.payload.to_vec()));
        }
    });
    let damage = |why: String| Some(Damaged { at: found.prefix.end, why });
    let (damaged, torn) = match found.verdict {
        Verdict::Clean | Verdict::CutHeader if bytes.is_empty() || found.verdict == Verdict::Clean => (None, false),
        Verdict::Clean | Verdict::CutHeader => (damage("the file is shorter than a header".to_owned()), true),
        Verdict::TornTail { .. } => (damage("it ends in a part of a record".to_owned()), true),
        Verdict::Damaged { why, .. } => (damage(why.to_string()), false),
        Verdict::BadHeader(why) => (damage(why.to_string()), false),
    };
    let damaged = damaged.or_else(|| damage(shared.quarantined(stream)?));
    Ok((StreamRecords { records, damaged }, torn))
}
