//! One file of frames, written at its end: the journal's and every stream's.
//!
//! Invariants: a failed batch leaves nothing behind, or the file is poisoned; a poisoned file is never written or synced
//! again, but replaced by a checked copy of what the last good sync covers plus what was written whole since.
//! Absent: when to sync.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfyd_engine::journal::frame::{FileHeader, FrameEncoder, HEADER_LEN};
use comfyd_engine::journal::scan::{Prefix, Rule, Verdict, scan};

use super::disk::{Disk, DiskFile, Replace, is_full, parent, temporary, write_new};
use super::types::Sync;

/// No log is longer; a longer file is not read.
pub(crate) const READ_LIMIT: u64 = 1 << 30;

/// What became of a batch that was not written.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no room; the file is as before.
    Full(io::Error),
    /// The file is poisoned: [`LogFile::rebuild`] it.
    Broken(io::Error),
}

/// A log that is written.
#[derive(Debug)]
pub(crate) struct LogFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    first: u64,
    handle: Option<Box<dyn DiskFile>>,
    encoder: FrameEncoder,
    len: u64,
    /// How much the last good sync covers, or was there when the file was opened.
    synced: u64,
    /// How much is known to be durable: what new records claim.
    durable: u64,
    /// The bytes behind that, all of them whole frames (and the header of a new file).
    unsynced: Vec<u8>,
    exists: bool,
    poisoned: bool,
    /// How far room is set aside, and in which steps; no steps, no room.
    allocated: u64,
    step: u64,
}

impl LogFile {
    /// A log that is not there yet; the first append creates it.
    pub(crate) fn fresh(disk: Arc<dyn Disk>, path: PathBuf, first: u64) -> Self {
        let salt = disk.salt();
        Self {
            disk,
            path,
            first,
            handle: None,
            encoder: FrameEncoder::new(salt, first),
            len: 0,
            synced: 0,
            durable: 0,
            unsynced: Vec::new(),
            exists: false,
            poisoned: false,
            allocated: 0,
            step: 0,
        }
    }

    /// Goes on at the end of a file whose bytes are the whole records `prefix`, and of which `durable` bytes are known to
    /// be durable.
    pub(crate) fn resume(disk: Arc<dyn Disk>, path: PathBuf, first: u64, prefix: Prefix, durable: u64) -> Self {
        let mut log = Self::fresh(disk, path, first);
        log.encoder = FrameEncoder::resume(prefix.salt, prefix.last, prefix.crc);
        log.len = prefix.end;
        log.synced = prefix.end;
        log.durable = durable;
        log.exists = true;
        log
    }

    /// A log that is there durably, with a header and no record.
    pub(crate) fn create(disk: Arc<dyn Disk>, path: PathBuf, first: u64, step: u64) -> io::Result<Self> {
        let mut log = Self::fresh(disk, path, first);
        log.unsynced = FileHeader { salt: log.encoder.salt() }.encode().to_vec();
        log.len = HEADER_LEN as u64;
        log.step = step;
        log.rebuild()?;
        Ok(log)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.encoder.next_seq()
    }

    pub(crate) fn chain(&self) -> u32 {
        self.encoder.chain()
    }

    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    pub(crate) fn unsynced_bytes(&self) -> usize {
        self.unsynced.len()
    }

    /// Writes the payloads with one write, and syncs if asked.
    pub(crate) fn append<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>, sync: Sync) -> Result<(), Failure> {
        if self.poisoned {
            return Err(Failure::Broken(io::Error::other("the file is poisoned")));
        }
        let mut encoder = self.encoder;
        let mut batch = Vec::new();
        if self.len == 0 {
            batch.extend_from_slice(&FileHeader { salt: encoder.salt() }.encode());
        }
        for payload in payloads {
            encoder.push(payload, self.durable, &mut batch).expect("the journal checks sizes before it takes a record");
        }
        self.write(&batch)?;
        if sync == Sync::Now {
            self.sync_handle()?;
            self.unsynced.clear();
            self.synced = self.len + batch.len() as u64;
            self.durable = self.synced;
        } else {
            self.unsynced.extend_from_slice(&batch);
        }
        self.len += batch.len() as u64;
        self.encoder = encoder;
        Ok(())
    }

    /// Makes all of it durable.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        if self.unsynced.is_empty() && !self.poisoned {
            return Ok(());
        }
        if self.poisoned {
            return Err(Failure::Broken(io::Error::other("the file is poisoned")));
        }
        self.sync_handle()?;
        self.note_synced();
        Ok(())
    }

    /// Notes that something else made all of it durable.
    pub(crate) fn note_synced(&mut self) {
        self.synced = self.len;
        self.durable = self.len;
        self.unsynced = Vec::new();
    }

    /// Notes that something else tried to make it durable and failed.
    pub(crate) fn poison(&mut self) {
        self.poisoned = true;
        self.handle = None;
    }

    /// Closes the descriptor; the next write opens it again.
    pub(crate) fn close(&mut self) {
        self.handle = None;
    }

    /// Replaces the file by a checked, durable copy: what the last good sync covers, and the whole batches since.
    pub(crate) fn rebuild(&mut self) -> io::Result<()> {
        self.poison();
        let mut bytes = if self.synced == 0 { Vec::new() } else { self.disk.read(&self.path, self.synced)? };
        if bytes.len() as u64 != self.synced {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "synced bytes cannot be read back"));
        }
        bytes.extend_from_slice(&self.unsynced);
        let found = scan(&bytes, Rule { first: self.first, floor: None });
        let tip = (found.prefix.last + 1, found.prefix.crc, found.prefix.salt);
        let cut = bytes.is_empty() && self.encoder == FrameEncoder::new(self.encoder.salt(), self.first);
        if !cut && (found.verdict != Verdict::Clean || tip != (self.next_seq(), self.chain(), self.encoder.salt())) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "synced bytes have changed"));
        }
        let temp = temporary(&self.path);
        let mut file = write_new(&*self.disk, &temp, &bytes)?;
        file.sync()?;
        self.disk.rename(&temp, &self.path, Replace::Yes)?;
        self.disk.sync_dir(parent(&self.path))?;
        self.handle = Some(file);
        self.len = bytes.len() as u64;
        self.note_synced();
        self.allocated = 0;
        self.exists = true;
        self.poisoned = false;
        Ok(())
    }

    /// Writes at the end; afterwards all of `batch` is there, or nothing, or the file is poisoned.
    fn write(&mut self, batch: &[u8]) -> Result<(), Failure> {
        let end = self.len + batch.len() as u64;
        self.open()?;
        self.set_aside(end)?;
        let len = self.len;
        let handle = self.handle.as_mut().expect("opened above");
        match handle.append(batch) {
            Ok(()) => Ok(()),
            // A short write on a full disk: the file is good again once the part is cut off.
            Err(error) if is_full(&error) && handle.set_len(len).is_ok() => Err(Failure::Full(error)),
            Err(error) => {
                self.poison();
                Err(Failure::Broken(error))
            }
        }
    }

    fn open(&mut self) -> Result<(), Failure> {
        if self.handle.is_some() {
            return Ok(());
        }
        let opened = if self.exists { self.disk.open_append(&self.path) } else { self.disk.create_new(&self.path) };
        match opened {
            Ok(handle) => {
                self.handle = Some(handle);
                self.exists = true;
                Ok(())
            }
            Err(error) if is_full(&error) => Err(Failure::Full(error)),
            Err(error) => Err(Failure::Broken(error)),
        }
    }

    /// Sets room aside in steps, so that most syncs need not change the file's block list.
    fn set_aside(&mut self, end: u64) -> Result<(), Failure> {
        let Some(handle) = &mut self.handle else { return Ok(()) };
        if self.step == 0 || end <= self.allocated {
            return Ok(());
        }
        match handle.allocate(end + self.step).or_else(|_| handle.allocate(end)) {
            Ok(()) => {
                self.allocated = end + self.step;
                Ok(())
            }
            Err(error) if is_full(&error) => Err(Failure::Full(error)),
            // Room set aside is a matter of speed; the write itself will tell.
            Err(_) => Ok(()),
        }
    }

    fn sync_handle(&mut self) -> Result<(), Failure> {
        let result = match &mut self.handle {
            Some(handle) => handle.sync(),
            None => self.disk.sync_file(&self.path),
        };
        result.map_err(|error| {
            self.poison();
            Failure::Broken(error)
        })
    }
}
