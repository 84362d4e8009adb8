//! The door to the log, and a log in memory.
//!
//! A store keeps opaque payloads by stream and place. Absent: files, offsets, checksums; those belong to one implementation.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::id::{Seq, StreamId};

/// A future of a port; boxed so that the port can be a trait object.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Records to add to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// The place of its newest record, 0 for a new stream.
    pub expected: Seq,
    /// The payloads, in order.
    pub payloads: Vec<Vec<u8>>,
}

/// How sure an append must be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk.
    Synced,
    /// Written; on disk soon.
    Written,
}

/// An append did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream has moved.
    #[error("stream {stream} is at {actual}, not {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the caller thought.
        expected: Seq,
        /// What is so.
        actual: Seq,
    },
    /// The batch is not on disk; the store recovered to what is.
    #[error("write the log: {why}")]
    Failed {
        /// What the system said.
        why: String,
    },
    /// The store takes no writes.
    #[error("write the log: it is read-only: {why}")]
    ReadOnly {
        /// Why.
        why: String,
    },
}

/// A stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read stream {stream}: {why}")]
pub struct ReadError {
    /// The stream.
    pub stream: StreamId,
    /// Why.
    pub why: String,
}

/// A record as stored: its place and its payload.
pub type Stored = (Seq, Vec<u8>);

/// The one door to the log.
pub trait EventStore: Send {
    /// Adds records to several streams, all or none of them.
    fn append_all(&mut self, batch: Vec<Append>, durability: Durability) -> PortFuture<'_, Result<(), AppendError>>;

    /// The records of a stream after a place.
    fn read<'a>(&'a mut self, stream: &'a StreamId, after: Seq) -> PortFuture<'a, Result<Vec<Stored>, ReadError>>;

    /// All streams.
    fn streams(&mut self) -> PortFuture<'_, Vec<StreamId>>;
}

/// A store in memory, for tests and for tools that fold what they read.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    streams: BTreeMap<StreamId, Vec<Vec<u8>>>,
}

impl MemoryStore {
    fn length(&self, stream: &StreamId) -> Seq {
        Seq(self.streams.get(stream).map_or(0, Vec::len) as u64)
    }

    fn append_now(&mut self, batch: Vec<Append>) -> Result<(), AppendError> {
        for append in &batch {
            let actual = self.length(&append.stream);
            if actual != append.expected {
                return Err(AppendError::Conflict { stream: append.stream.clone(), expected: append.expected, actual });
            }
        }
        for append in batch {
            self.streams.entry(append.stream).or_default().extend(append.payloads);
        }
        Ok(())
    }
}

impl EventStore for MemoryStore {
    fn append_all(&mut self, batch: Vec<Append>, _durability: Durability) -> PortFuture<'_, Result<(), AppendError>> {
        let done = self.append_now(batch);
        Box::pin(std::future::ready(done))
    }

    fn read<'a>(&'a mut self, stream: &'a StreamId, after: Seq) -> PortFuture<'a, Result<Vec<Stored>, ReadError>> {
        let records = self.streams.get(stream).into_iter().flatten().zip(1u64..);
        let records = records.map(|(payload, seq)| (Seq(seq), payload.clone())).filter(|(seq, _)| *seq > after).collect();
        Box::pin(std::future::ready(Ok(records)))
    }

    fn streams(&mut self) -> PortFuture<'_, Vec<StreamId>> {
        Box::pin(std::future::ready(self.streams.keys().cloned().collect()))
    }
}
