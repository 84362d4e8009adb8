//! What the command line does with one log file: check it, list it, save what is whole.
//!
//! Invariants: no file is ever changed; what is saved goes to a new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use comfyd_engine::Seq;
use comfyd_engine::journal::frame::{FileHeader, HEADER_LEN};
use comfyd_engine::journal::scan::{Frames, Rule, Scan, Verdict, scan};

use super::disk::{Disk, RealDisk};
use super::layout::journal_first;
use super::log_file::READ_LIMIT;
use super::snapshot;

/// What a log file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file's length.
    pub len: u64,
    /// The number that its first record must have.
    pub first: Seq,
    /// The number of its last whole record; one less than `first` if there is none.
    pub last: Seq,
    /// How many whole records.
    pub records: u64,
    /// Where they end.
    pub end: u64,
    /// The length that the last one knew to be synced.
    pub durable: u64,
    /// The length that the snapshot beside it names.
    pub floor: Option<u64>,
    /// What the rest means.
    pub verdict: Verdict,
}

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub seq: Seq,
    /// Where it begins.
    pub offset: u64,
    /// What it carries: an event in a stream's log, an entry in the journal.
    pub payload: Vec<u8>,
}

/// The number of the first record: from the name in the journal and in rescue files, 1 elsewhere.
fn first_of(path: &Path) -> u64 {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let rescued = name.split_once(".log.journal-").and_then(|(_, first)| first.parse().ok());
    journal_first(&name).or(rescued).unwrap_or(1)
}

/// The length that the snapshot beside a stream's log names.
fn floor_of(path: &Path) -> Option<u64> {
    if path.file_name()? != super::layout::EVENTS {
        return None;
    }
    let state = RealDisk.read(&path.with_file_name("state.json"), READ_LIMIT).ok()?;
    snapshot::head(&state).map(|head| head.log_len)
}

fn read(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    Ok((RealDisk.read(path, READ_LIMIT)?, first_of(path)))
}

/// Checks a file by the recovery rule, with the snapshot beside it.
///
/// # Errors
/// The file cannot be read.
pub fn verify(path: &Path) -> io::Result<Report> {
    let (bytes, first) = read(path)?;
    let floor = floor_of(path);
    let Scan { prefix, verdict } = scan(&bytes, Rule { first, floor });
    Ok(Report {
        len: bytes.len() as u64,
        first: Seq(first),
        last: Seq(prefix.last),
        records: prefix.records,
        end: prefix.end,
        durable: prefix.durable,
        floor,
        verdict,
    })
}

/// The whole records from the start of a file; if only its header is damaged, those behind it.
///
/// # Errors
/// The file cannot be read.
pub fn records(path: &Path) -> io::Result<Records> {
    let (bytes, first) = read(path)?;
    let salt = bytes.first_chunk::<HEADER_LEN>().map_or(0, FileHeader::salt_of);
    Ok(Records { next: first, at: HEADER_LEN, prev: 0, salt, bytes })
}

/// See [`records`].
#[derive(Debug)]
pub struct Records {
    bytes: Vec<u8>,
    salt: u32,
    at: usize,
    next: u64,
    prev: u32,
}

impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let frame = Frames::resumed(&self.bytes, self.salt, self.at, self.next, self.prev).next()?;
        let record = Record { seq: Seq(frame.seq), offset: frame.offset, payload: frame.payload.to_vec() };
        (self.at, self.next, self.prev) = (usize::try_from(frame.end).ok()?, frame.seq + 1, frame.crc);
        Some(record)
    }
}

/// Writes all whole records up to the damage to the new file `out`, durably; the file itself is not touched.
///
/// # Errors
/// `out` exists, or a file cannot be read or written.
pub fn salvage(path: &Path, out: &Path) -> io::Result<Report> {
    let (bytes, first) = read(path)?;
    let head = bytes.first_chunk::<HEADER_LEN>();
    let salt = head.map_or(0, FileHeader::salt_of);
    let mut frames = Frames::salted(&bytes, first, salt);
    frames.by_ref().for_each(drop);
    let end = usize::try_from(frames.prefix().end).map_err(io::Error::other)?.min(bytes.len()).max(HEADER_LEN);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out)?;
    file.write_all(&FileHeader { salt }.encode())?;
    file.write_all(bytes.get(HEADER_LEN..end).unwrap_or_default())?;
    file.sync_all()?;
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()?;
    verify(path)
}
