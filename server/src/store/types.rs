//! What the store is asked and how it answers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use comfyd_engine::{Seq, StreamId};

/// Whether an append may wait for the next sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Durable before the answer.
    Now,
    /// Written before the answer; durable with the next sync, within a second.
    Lazy,
}

/// What may be spent on an append when room is short; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Fails when there is no room on the disk or in the stream's log.
    Ordinary,
    /// Goes beyond a log's limit: what somebody is told to rely on.
    Acknowledged,
    /// May use the reserve of a full disk too: endings and cancels.
    MayUseReserve,
}

/// Records for the end of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// Its last record as the caller knows it; `Seq(0)` for a new stream.
    pub expected: Seq,
    /// The records' payloads, 1 byte to 4 MiB less 256 bytes each.
    pub payloads: Vec<Vec<u8>>,
    /// What may be spent.
    pub class: Class,
}

/// Why a batch was not stored. Nothing of it is, and what was acknowledged before still is.
///
/// Several callers may be told the same, as their batches shared a write.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The caller does not know the end of the stream.
    #[error("stream {stream} is at {actual}, not {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the caller expected.
        expected: Seq,
        /// Its last record.
        actual: Seq,
    },
    /// The stream may only be read.
    #[error("stream {stream} is quarantined: {why}")]
    Quarantined {
        /// The stream.
        stream: StreamId,
        /// Since when, because of what.
        why: String,
    },
    /// A payload is empty or too long.
    #[error("a record of {bytes} bytes for stream {stream}")]
    PayloadSize {
        /// The stream.
        stream: StreamId,
        /// The payload's length.
        bytes: usize,
    },
    /// The stream's log has reached its limit; see [`Class`] for what goes beyond.
    #[error("the log of stream {stream} is full: {bytes} bytes")]
    LogFull {
        /// The stream.
        stream: StreamId,
        /// The log's length.
        bytes: u64,
    },
    /// There is no room.
    #[error("the disk is full")]
    DiskFull(#[source] Arc<io::Error>),
    /// A write or sync failed; the file has been replaced by a checked copy without this batch.
    #[error("the journal could not be written")]
    NotWritten(#[source] Arc<io::Error>),
    /// The store takes nothing any more.
    #[error("the store is read-only: {why}")]
    ReadOnly {
        /// Because of what.
        why: String,
    },
    /// The store has been shut down.
    #[error("the store has stopped")]
    Stopped,
}

impl AppendError {
    /// The stream that was refused, and nothing was written; the rest of the batch may be stored without it.
    ///
    /// Nothing if the store as a whole could not take the batch.
    pub fn refused(&self) -> Option<&StreamId> {
        match self {
            Self::Conflict { stream, .. }
            | Self::Quarantined { stream, .. }
            | Self::PayloadSize { stream, .. }
            | Self::LogFull { stream, .. } => Some(stream),
            Self::DiskFull(_) | Self::NotWritten(_) | Self::ReadOnly { .. } | Self::Stopped => None,
        }
    }
}

/// Why not everything is durable.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// Writing failed.
    #[error("the log could not be written")]
    Failed(#[source] io::Error),
    /// The store takes nothing any more.
    #[error("the store is read-only: {why}")]
    ReadOnly {
        /// Because of what.
        why: String,
    },
    /// The store has been shut down.
    #[error("the store has stopped")]
    Stopped,
}

impl From<FlushError> for AppendError {
    fn from(error: FlushError) -> Self {
        match error {
            FlushError::Failed(source) => Self::NotWritten(source.into()),
            FlushError::ReadOnly { why } => Self::ReadOnly { why },
            FlushError::Stopped => Self::Stopped,
        }
    }
}

/// Where a stream's log ends being whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The first byte that is not part of a whole record.
    pub at: u64,
    /// How that is known.
    pub why: String,
}

/// Records of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRecords {
    /// The records asked for, in order.
    pub records: Vec<(Seq, Vec<u8>)>,
    /// Set if the log is damaged: the records are those before that place, and the stream is quarantined.
    pub damaged: Option<Damaged>,
}

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is acknowledged could not be made durable, so it is not shown.
    #[error("the log could not be written")]
    NotDurable(#[source] FlushError),
    /// The store has been shut down.
    #[error("the store has stopped")]
    Stopped,
}

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the data directory {dir} is in use by another comfyd ({holder}); stop that one, or talk to it")]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The other's process id and address, as far as they can be read.
        holder: String,
    },
    /// It is not ours alone to write.
    #[error("the data directory cannot be used")]
    NotPrivate(#[source] io::Error),
    /// A newer program wrote it.
    #[error("the data directory {dir} has layout {layout}; this program knows 1: use a newer comfyd")]
    Layout {
        /// The directory.
        dir: PathBuf,
        /// What its `format.json` says.
        layout: String,
    },
    /// A file in it cannot be read or written.
    #[error("open {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("start a thread of the store")]
    Thread(#[source] io::Error),
}

/// Makes the text of a snapshot.
pub type Text = Box<dyn FnOnce() -> String + Send>;
