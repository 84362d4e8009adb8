//! The log of a stream as it is on disk, handed on while it is read.

use std::fmt;
use std::io::{self, Read};

/// The bytes of a log up to the end of its last durable record; damage is in them as it is on disk.
pub struct RawLog(io::Take<Box<dyn Read + Send>>);

impl RawLog {
    pub(super) fn new(file: Box<dyn Read + Send>, limit: u64) -> Self {
        Self(file.take(limit))
    }
}

impl Read for RawLog {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl fmt::Debug for RawLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawLog").field("left", &self.0.limit()).finish_non_exhaustive()
    }
}
