//! What the adapter needs from its surroundings: bytes by hash, and places for files.

use std::io;

use bytes::Bytes;
use comfyd_engine::{RunId, SavedFile, Sha256};
use futures_util::future::BoxFuture;

/// Bytes kept by their hash.
pub trait Blobs: Send + Sync {
    /// The bytes of this hash, if they are kept.
    fn get(&self, hash: &Sha256) -> BoxFuture<'_, io::Result<Option<Bytes>>>;

    /// Keeps bytes, durably before it answers.
    fn put(&self, bytes: Bytes) -> BoxFuture<'_, io::Result<Sha256>>;
}

/// Where outputs go.
pub trait OutputSink: Send + Sync {
    /// Opens the place of output `n` of a run, with what an earlier try left there.
    ///
    /// The label is what the server calls the file; it is never a path here.
    fn open(&self, run: RunId, n: u32, label: &str) -> BoxFuture<'_, io::Result<Box<dyn PartFile>>>;
}

/// A file in the making: whole or absent to everybody else.
///
/// The implementation hashes what is written, and what an earlier try left, and asks [`sniff`](crate::sniff::sniff) for the media type.
pub trait PartFile: Send {
    /// How many bytes are there.
    fn offset(&self) -> u64;

    /// The `ETag` of the version that they are of, as given to [`restart`](Self::restart).
    fn etag(&self) -> Option<String>;

    /// Adds bytes at the end.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, io::Result<()>>;

    /// Drops all bytes: a version with this `ETag` follows from its beginning.
    fn restart(&mut self, etag: Option<String>) -> BoxFuture<'_, io::Result<()>>;

    /// Syncs the file and gives it its final name; never over another file.
    fn finish(self: Box<Self>) -> BoxFuture<'static, io::Result<SavedFile>>;
}
