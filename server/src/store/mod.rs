//! The event log on disk: one journal for all streams, and per stream a log and a snapshot made from it.
//!
//! Invariants: acknowledged means synced in the journal; a stream's log holds only records that are synced in the journal;
//! a snapshot names a prefix of its stream's log; damage is reported and never cut away; one process writes a data
//! directory. `docs/format.md` has the bytes. Absent: what the records mean.

mod attempts;
mod blobs;
mod crash_point;
mod disk;
mod distrust;
mod drive;
mod file_store;
mod graves;
mod guard;
mod health;
mod index;
mod journal;
mod layout;
mod log_file;
mod notes;
mod port;
mod raw_log;
mod recover;
mod scribe;
mod snapshot;
pub mod tools;
mod types;
mod upkeep;

pub use blobs::BlobError;
pub use crash_point::crash_point;
pub(crate) use disk::put_synced as put_whole;
pub use disk::{Disk, DiskFile, Fault, LockGuard, RealDisk, Replace, SimDisk};
pub use file_store::{Digest, FileStore, Options};
pub use health::Health;
pub use index::Over;
pub use raw_log::RawLog;
pub use recover::{JournalVerdict, Recovered, RecoveredStream, StreamVerdict};
pub use snapshot::SnapshotHead;
pub use types::{Append, AppendError, Class, Damaged, FlushError, OpenError, ReadError, StreamRecords, Sync, Text};
