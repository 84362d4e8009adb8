//! What the journal is asked, and what it passes on to the scribe.

use std::collections::BTreeMap;
use std::path::PathBuf;

use comfyd_engine::{RunId, Seq, StreamId};
use tokio::sync::oneshot;

use crate::store::health::Wanted;
use crate::store::types::{AppendError, FlushError};

use super::group::Wish;

/// A record on its way from the journal to its stream's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) stream: StreamId,
    pub(crate) seq: Seq,
    pub(crate) payload: Vec<u8>,
}

/// Where a stream's log ends, and what is yet to follow there.
#[derive(Debug)]
pub(crate) struct LogEnd {
    /// The length of the log.
    pub(crate) len: u64,
    /// Records that are synced in the journal and found no room in the log.
    pub(crate) behind: Vec<(Seq, Vec<u8>)>,
}

/// A batch, and who waits for its end.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) wish: Wish,
    pub(crate) reply: oneshot::Sender<Result<(), AppendError>>,
}

/// What the journal is asked.
#[derive(Debug)]
pub(crate) enum Job {
    /// Store what these callers want.
    Append(Vec<Ask>),
    /// Look at the snapshots that wait.
    Snapshots,
    /// Say how long a stream's log is with everything acknowledged in it; nothing if the store does not write it.
    End { stream: StreamId, reply: oneshot::Sender<Result<Option<LogEnd>, FlushError>> },
    /// Make everything durable, in the streams' logs too.
    Flush { reply: oneshot::Sender<Result<(), FlushError>> },
    /// Remove runs that take no more records.
    Remove { runs: Vec<RunId>, reply: oneshot::Sender<Result<(), AppendError>> },
    /// Forget where runs end: they have been removed.
    Removed { runs: Vec<RunId> },
    /// Say where runs end.
    Ends { runs: Vec<RunId>, reply: oneshot::Sender<BTreeMap<RunId, (Seq, u64)>> },
    /// Go on in a new file, and remove the old one as soon as may be.
    Rotate,
    /// Time has passed.
    Tick,
    /// As flush, and leave an empty journal.
    Shutdown { reply: oneshot::Sender<Result<(), FlushError>> },
}

/// What the scribe is asked; everything in it is synced in the journal.
#[derive(Debug)]
pub(crate) enum Work {
    /// Write these to their streams' logs.
    Records(Vec<Carried>),
    /// Write these snapshots.
    Snapshots(BTreeMap<StreamId, Wanted>),
    /// This journal file gets no more records; remove it once they are durable elsewhere.
    Rotated(PathBuf),
    /// As [`Job::End`].
    End { stream: StreamId, reply: oneshot::Sender<Result<Option<LogEnd>, FlushError>> },
    /// As [`Job::Remove`]; tells whether the journal's newest file has records.
    Remove { runs: Vec<RunId>, in_newest: bool, reply: oneshot::Sender<Result<(), AppendError>> },
    /// Make everything durable and tidy up.
    Flush { reply: oneshot::Sender<Result<(), FlushError>> },
    /// Time has passed.
    Tick,
}
