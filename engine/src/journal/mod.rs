//! The log's bytes: frames on disk and the envelope of a record.
pub mod entry;
pub mod envelope;
pub mod frame;
pub mod scan;
