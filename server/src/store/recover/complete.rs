//! Completing the logs of streams from the journal.
//!
//! Invariants: a log is only ever extended, or cut where the journal holds everything from there on; a log that is damaged
//! or disagrees with the journal is left alone, and the journal's records for it go to a file beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use comfyd_engine::journal::frame::HEADER_LEN;
use comfyd_engine::journal::scan::{Prefix, Rule, Verdict, scan_with};
use comfyd_engine::{Seq, StreamId};

use super::at;
use crate::store::disk::parent;
use crate::store::health::Shared;
use crate::store::log_file::{Failure, LogFile, READ_LIMIT};
use crate::store::types::{OpenError, Sync};

/// From how many files on one sync of the whole file system is cheaper.
const BULK: usize = 8;

/// A stream that the journal mentions.
#[derive(Debug)]
pub(super) struct Seen {
    /// The end of its log now.
    pub(super) last: Seq,
    pub(super) len: u64,
    /// Why it may only be read, if so.
    pub(super) quarantined: Option<String>,
    /// Its last record in the journal.
    journal_last: Seq,
}

/// Completes logs and remembers what it found.
#[derive(Debug)]
pub(super) struct Completer {
    shared: Arc<Shared>,
    /// Whether the last process saw a sync fail: then logs are written anew, as a sync of theirs proves nothing.
    distrusted: bool,
    seen: BTreeMap<StreamId, Seen>,
    files: BTreeSet<PathBuf>,
    dirs: BTreeSet<PathBuf>,
}

/// How a log and the journal's records go together.
enum Fit {
    /// The log ends here, and the records behind may follow.
    Follows { log: LogFile, end: Prefix },
    /// The log must be left alone.
    Apart { end: Prefix, why: String },
}

impl Completer {
    pub(super) fn new(shared: Arc<Shared>, distrusted: bool) -> Self {
        Self { shared, distrusted, seen: BTreeMap::new(), files: BTreeSet::new(), dirs: BTreeSet::new() }
    }

    pub(super) fn distrusted(&self) -> bool {
        self.distrusted
    }

    pub(super) fn seen(&self, stream: &StreamId) -> Option<&Seen> {
        self.seen.get(stream)
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &StreamId> {
        self.seen.keys()
    }

    /// A stream whose log holds more than the journal: it was synced there first, so the journal has lost its end.
    pub(super) fn ahead(&self) -> Option<&StreamId> {
        self.seen.iter().find(|(_, seen)| seen.last > seen.journal_last).map(|(stream, _)| stream)
    }

    /// Brings the log of a stream up to these records.
    pub(super) fn complete(&mut self, stream: &StreamId, records: &[(Seq, &[u8])]) -> Result<(), OpenError> {
        let path = self.shared.layout.events(stream);
        let journal_last = records.last().map_or(Seq(0), |record| record.0);
        let before = self.seen.get(stream).and_then(|seen| seen.quarantined.clone());
        let (end, why) = match (self.fit(stream, records).map_err(at(&path))?, before) {
            (Fit::Follows { mut log, end }, None) => {
                let mut new = records.iter().filter(|record| record.0.0 > end.last).peekable();
                if new.peek().is_some() {
                    append(&mut log, new.map(|record| record.1)).map_err(at(&path))?;
                }
                if self.distrusted {
                    log.rebuild().map_err(at(&path))?;
                    log.close();
                }
                // Also one that was complete: its end may not be durable.
                self.touch(path);
                (Prefix { last: log.next_seq() - 1, end: log.len(), ..end }, None)
            }
            (Fit::Follows { end, .. }, Some(why)) | (Fit::Apart { end, why }, _) => {
                self.rescue(stream, end.last, records)?;
                (end, Some(why))
            }
        };
        let seen = Seen { last: Seq(end.last), len: end.end, quarantined: why, journal_last };
        self.seen.insert(stream.clone(), seen);
        Ok(())
    }

    /// Finds out how the log of a stream and the journal's records go together; cuts what the journal replaces.
    fn fit(&self, stream: &StreamId, records: &[(Seq, &[u8])]) -> io::Result<Fit> {
        let Shared { disk, layout, .. } = &*self.shared;
        let path = layout.events(stream);
        let first = records.first().map_or(Seq(1), |record| record.0);
        let nothing = Prefix { salt: 0, records: 0, last: 0, crc: 0, end: 0, durable: 0 };
        let bytes = match disk.read(&path, READ_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.create_dir_all(&layout.stream_dir(stream))?;
                return Ok(if first == Seq(1) {
                    Fit::Follows { log: LogFile::fresh(disk.clone(), path, 1), end: nothing }
                } else {
                    Fit::Apart { end: nothing, why: "its log is missing".to_owned() }
                });
            }
            Err(error) => return Ok(Fit::Apart { end: nothing, why: format!("its log cannot be read: {error}") }),
        };
        let mut expected = records.iter().peekable();
        let mut differs = None;
        let found = scan_with(&bytes, Rule::default(), |frame| {
            if let Some(record) = expected.next_if(|record| record.0.0 == frame.seq)
                && record.1 != frame.payload
            {
                differs = differs.or(Some(frame.seq));
            }
        });
        let end = found.prefix;
        // From here on the journal has everything, or there is nothing more.
        let covered = match expected.peek() {
            Some(record) => record.0.0 == end.last + 1,
            None => false,
        };
        let unborn = bytes.len() < HEADER_LEN || bytes[..HEADER_LEN] == [0; HEADER_LEN];
        let apart = |why: String| Ok(Fit::Apart { end, why });
        if let Some(seq) = differs {
            return apart(format!("its log and the journal disagree about record {seq}"));
        }
        if expected.peek().is_some() && !covered {
            return apart(format!("records {} to {} are missing from its log", end.last + 1, first.0.saturating_sub(1)));
        }
        let resumed = || LogFile::resume(disk.clone(), path.clone(), 1, end, 0);
        match found.verdict {
            // Its creation was cut: a header that never reached the disk is missing or, with its sector, zero.
            Verdict::CutHeader | Verdict::BadHeader(_) if covered && unborn => {
                disk.remove(&path)?;
                Ok(Fit::Follows { log: LogFile::fresh(disk.clone(), path, 1), end })
            }
            Verdict::TornTail { at } if covered => {
                disk.open_append(&path)?.set_len(at)?;
                Ok(Fit::Follows { log: resumed(), end })
            }
            // Every record of the journal is there: what follows is judged like any other end of a log.
            Verdict::Clean | Verdict::CutHeader | Verdict::TornTail { .. } => Ok(Fit::Follows { log: resumed(), end }),
            Verdict::Damaged { why, .. } => apart(why.to_string()),
            Verdict::BadHeader(why) => apart(why.to_string()),
        }
    }

    /// Keeps the journal's records that cannot follow their log in a file of their own.
    fn rescue(&mut self, stream: &StreamId, last: u64, records: &[(Seq, &[u8])]) -> Result<(), OpenError> {
        let Some(start) = records.iter().position(|record| record.0.0 > last) else { return Ok(()) };
        let (disk, first) = (&self.shared.disk, records[start].0.0);
        let path = self.shared.layout.rescue(stream, first);
        let stored = || -> io::Result<()> {
            if disk.len(&path)?.is_some() {
                // From an opening that was cut: the journal still has all of it.
                disk.remove(&path)?;
            }
            let mut log = LogFile::fresh(disk.clone(), path.clone(), first);
            append(&mut log, records[start..].iter().map(|record| record.1))
        };
        stored().map_err(at(&path))?;
        self.touch(path);
        Ok(())
    }

    fn touch(&mut self, path: PathBuf) {
        let dir = parent(&path);
        self.dirs.insert(parent(dir).to_owned());
        self.dirs.insert(dir.to_owned());
        self.files.insert(path);
    }

    /// Makes everything durable that was touched.
    pub(super) fn sync(&mut self) -> Result<(), OpenError> {
        let disk = &self.shared.disk;
        let root = self.shared.layout.root();
        if self.files.len() + self.dirs.len() > BULK {
            return disk.sync_all(root).map_err(at(root));
        }
        for file in &self.files {
            disk.sync_file(file).map_err(at(file))?;
        }
        for dir in &self.dirs {
            disk.sync_dir(dir).map_err(at(dir))?;
        }
        Ok(())
    }
}

fn append<'a>(log: &mut LogFile, payloads: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    let written = log.append(payloads, Sync::Lazy);
    log.close();
    written.map_err(|(Failure::Full(error) | Failure::Broken(error))| error)
}
