//! What a data directory holds when it is opened, and putting it in order.
//!
//! Invariants: the logs of streams are completed from the journal before anything is compared; nothing that had been
//! synced is cut away; one stream's damage touches no other; damage in the journal stops writing and touches nothing.
//! Done twice, or cut by a crash and done again, it ends the same. Absent: folding.

mod complete;
mod judge;
mod replay;
mod tail;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use comfyd_engine::{Seq, Sha256, StreamId};

use super::disk::parent;
use super::distrust;
use super::guard::{self, Age};
use super::health::{Health, Shared};
use super::index::{self, Index, Over};
use super::journal::Tip;
use super::log_file::LogFile;
use super::snapshot::SnapshotHead;
use super::types::OpenError;
use complete::Completer;
use replay::Replay;

/// What was found on opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// All streams, sorted.
    pub streams: Vec<RecoveredStream>,
    /// The journal.
    pub journal: JournalVerdict,
}

/// One stream, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredStream {
    /// Its name.
    pub stream: StreamId,
    /// Its last record that can be read.
    pub last: Seq,
    /// What was found.
    pub verdict: StreamVerdict,
    /// The place that its `state.json` shows, if there is one that fits the log.
    pub snapshot: Option<SnapshotHead>,
    /// What the index keeps of it: a run that is over, with all that its list entry shows.
    pub over: Option<Over>,
    /// Whether all of its log was read; if not, length and snapshot agree, and it is checked when it is read.
    pub checked: bool,
}

/// What was found about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamVerdict {
    /// All is well.
    Ok,
    /// Bytes at the end were never synced and have been cut off; the caller records that in the stream.
    Repaired(Cut),
    /// It may only be read.
    Quarantined {
        /// Where whole records end.
        at: u64,
        /// Because of what.
        why: String,
    },
}

/// What was found about the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalVerdict {
    /// All is well.
    Clean,
    /// Bytes at the end were never synced, so never acknowledged, and have been cut off.
    Repaired(Cut),
    /// Synced bytes have changed or are missing: the store is read-only until the file is salvaged.
    Damaged {
        /// Which file, and how that is known.
        why: String,
    },
}

/// Bytes that were cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where they began.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// Their hash.
    pub sha256: Sha256,
    /// The name of the file, beside the log, that keeps them.
    pub saved_as: String,
}

/// A data directory in order.
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    pub(crate) log: Option<LogFile>,
    pub(crate) tips: BTreeMap<StreamId, Tip>,
    pub(crate) index: Index,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

/// Puts a data directory in order.
pub(crate) fn recover(shared: &Arc<Shared>) -> Result<Found, OpenError> {
    let (disk, layout) = (&*shared.disk, &shared.layout);
    let age = guard::check_format(disk, layout)?;
    guard::furnish(disk, layout)?;
    shared.graves.found(disk, layout).map_err(at(&layout.removed()))?;
    // The room it keeps may be needed here; the journal sets it aside again.
    match disk.remove(&layout.reserve()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&layout.reserve())(error)),
        Ok(()) | Err(_) => {}
    }
    let distrusted = distrust::is_noted(disk, layout).map_err(at(layout.root()))?;
    let mut completer = Completer::new(shared.clone(), distrusted);
    let replay = replay::replay(shared, age, &mut completer)?;
    completer.sync()?;
    // Before the journal is renewed: a snapshot that does not fit is gone before the records that tell so are.
    let mut known = index::load(shared);
    let judged = judge::judge(shared, &completer, &mut known)?;
    let (streams, tips) = (judged.streams, judged.tips);
    let (journal, log) = renew(shared, replay)?;
    if log.is_some() {
        shared.graves.journal_renewed();
        distrust::forget(disk, layout).map_err(at(layout.root()))?;
    }
    if age == Age::New && log.is_some() {
        guard::write_format(disk, layout)?;
    }
    for stream in &streams {
        if let StreamVerdict::Quarantined { why, .. } = &stream.verdict {
            shared.quarantine(&stream.stream, why.clone());
        }
    }
    if let JournalVerdict::Damaged { why } = &journal {
        shared.set_health(Health::ReadOnly { why: format!("the journal is damaged: {why}") });
    }
    let index = if log.is_some() {
        let all: Vec<&Over> = streams.iter().filter_map(|stream| stream.over.as_ref()).collect();
        let new: Vec<&Over> = all.iter().filter(|over| judged.new.contains(&over.run)).copied().collect();
        Index::start(shared.clone(), &known, &all, &new)
    } else {
        Index::closed(shared.clone())
    };
    Ok(Found { recovered: Recovered { streams, journal }, log, tips, index })
}

/// Starts a new journal file and removes the old ones, whose records are durable in the streams' logs by now.
fn renew(shared: &Arc<Shared>, replay: Replay) -> Result<(JournalVerdict, Option<LogFile>), OpenError> {
    let disk = &shared.disk;
    if let Some(why) = replay.damage {
        return Ok((JournalVerdict::Damaged { why }, None));
    }
    let mut verdict = JournalVerdict::Clean;
    if let Some((path, end)) = &replay.torn {
        let cut = tail::cut(&**disk, path, *end).map_err(at(path))?;
        tracing::warn!(offset = cut.offset, bytes = cut.bytes, "torn end of the journal cut off");
        verdict = JournalVerdict::Repaired(cut);
    }
    let path = shared.layout.journal(replay.next);
    let log = LogFile::create(disk.clone(), path.clone(), replay.next, shared.options.preallocate).map_err(at(&path))?;
    // Each removal is durable before the next, so that no gap can appear.
    for old in replay.files.iter().filter(|old| **old != path) {
        disk.remove(old).and_then(|()| disk.sync_dir(parent(old))).map_err(at(old))?;
    }
    Ok((verdict, Some(log)))
}
