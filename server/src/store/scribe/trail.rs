//! The logs of streams that are being written: a bounded number known, fewer of them open.
//!
//! Invariants: a log that does not end where its next record belongs is never written; its stream is quarantined and the
//! record goes to a file of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use comfyd_engine::journal::scan::{Rule, Verdict, scan};
use comfyd_engine::{Seq, StreamId};

use crate::store::health::Shared;
use crate::store::log_file::{LogFile, READ_LIMIT};
use crate::store::snapshot::{SnapshotHead, chain_text};

/// How many places before the end of a log are remembered for snapshots that come late.
const MARKS: usize = 16;

/// One log that is being written.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) log: LogFile,
    /// Ends of the log, newest last.
    marks: VecDeque<(Seq, u64, u32)>,
    used: u64,
    /// Not the stream's log but the file for records that cannot follow it.
    rescue: bool,
}

impl Trail {
    fn new(log: LogFile, rescue: bool) -> Self {
        Self { log, marks: VecDeque::new(), used: 0, rescue }
    }

    /// Remembers the end.
    pub(super) fn mark(&mut self) {
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back((Seq(self.log.next_seq() - 1), self.log.len(), self.log.chain()));
    }
}

/// The logs that are known.
#[derive(Debug)]
pub(super) struct Trails {
    shared: Arc<Shared>,
    known: BTreeMap<StreamId, Trail>,
    /// The same, by last use.
    uses: BTreeMap<u64, StreamId>,
    /// Uses whose trails may hold a descriptor.
    open: BTreeSet<u64>,
    clock: u64,
}

impl Trails {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: BTreeMap::new(), uses: BTreeMap::new(), open: BTreeSet::new(), clock: 0 }
    }

    /// The log whose next record is `seq`.
    pub(super) fn at(&mut self, stream: &StreamId, seq: Seq) -> io::Result<&mut Trail> {
        let fits = self.known.get(stream).is_some_and(|trail| trail.log.next_seq() == seq.0);
        if !fits {
            let trail = match self.load(stream, seq)? {
                Ok(trail) => trail,
                Err(why) => self.rescue(stream, seq, why)?,
            };
            if let Some(old) = self.known.insert(stream.clone(), trail) {
                self.uses.remove(&old.used);
                self.open.remove(&old.used);
            }
        }
        Ok(self.touch(stream).expect("known or just loaded"))
    }

    /// The place of the record `seq`, if its log is known to have ended there.
    pub(super) fn head(&mut self, stream: &StreamId, seq: Seq) -> io::Result<Option<SnapshotHead>> {
        if seq == Seq(0) || self.shared.quarantined(stream).is_some() {
            return Ok(None);
        }
        if !self.known.contains_key(stream) {
            let Ok(trail) = self.load(stream, seq.next())? else { return Ok(None) };
            self.known.insert(stream.clone(), trail);
        }
        let trail = self.touch(stream).expect("known or just loaded");
        let mark = trail.marks.iter().find(|mark| mark.0 == seq && !trail.rescue);
        Ok(mark.map(|&(seq, log_len, crc)| SnapshotHead { seq, log_len, chain: chain_text(crc) }))
    }

    /// Forgets a log that is being removed.
    pub(super) fn forget(&mut self, stream: &StreamId) {
        if let Some(trail) = self.known.remove(stream) {
            self.uses.remove(&trail.used);
            self.open.remove(&trail.used);
        }
    }

    /// The log of a stream, if it is known.
    pub(super) fn log(&mut self, stream: &StreamId) -> Option<&mut LogFile> {
        self.known.get_mut(stream).map(|trail| &mut trail.log)
    }

    /// How long the log of a stream is, if it is known.
    pub(super) fn end(&self, stream: &StreamId) -> Option<u64> {
        self.known.get(stream).filter(|trail| !trail.rescue).map(|trail| trail.log.len())
    }

    /// Closes the files used longest ago.
    pub(super) fn limit_open(&mut self) {
        while self.open.len() > self.shared.options.max_open
            && let Some(oldest) = self.open.pop_first()
        {
            if let Some(trail) = self.uses.get(&oldest).and_then(|stream| self.known.get_mut(stream)) {
                trail.log.close();
            }
        }
    }

    /// Forgets the logs used longest ago; they must be synced.
    pub(super) fn limit_kept(&mut self) {
        while self.known.len() > self.shared.options.max_known
            && let Some((used, stream)) = self.uses.pop_first()
        {
            self.open.remove(&used);
            self.known.remove(&stream);
        }
    }

    fn touch(&mut self, stream: &StreamId) -> Option<&mut Trail> {
        let trail = self.known.get_mut(stream)?;
        self.uses.remove(&trail.used);
        self.open.remove(&trail.used);
        self.clock += 1;
        trail.used = self.clock;
        self.uses.insert(self.clock, stream.clone());
        self.open.insert(self.clock);
        Some(trail)
    }

    /// Finds the end of a log that must go on with `seq`, or says why it cannot.
    fn load(&self, stream: &StreamId, seq: Seq) -> io::Result<Result<Trail, String>> {
        let Shared { disk, layout, .. } = &*self.shared;
        let path = layout.events(stream);
        if disk.len(&path)?.is_none() {
            if seq != Seq(1) {
                return Ok(Err("its log is missing".to_owned()));
            }
            disk.create_dir(&layout.stream_dir(stream))?;
            return Ok(Ok(Trail::new(LogFile::fresh(disk.clone(), path, 1), false)));
        }
        let found = scan(&disk.read(&path, READ_LIMIT)?, Rule::default());
        if found.verdict != Verdict::Clean || found.prefix.last + 1 != seq.0 {
            return Ok(Err(format!("its log does not end before record {seq}: {:?}", found.verdict)));
        }
        // Logs are durable when the store opens and before they are forgotten here.
        let log = LogFile::resume(disk.clone(), path, 1, found.prefix, found.prefix.end);
        let mut trail = Trail::new(log, false);
        trail.mark();
        Ok(Ok(trail))
    }

    /// A file for records that cannot follow their stream's log.
    fn rescue(&self, stream: &StreamId, seq: Seq, why: String) -> io::Result<Trail> {
        let Shared { disk, layout, .. } = &*self.shared;
        self.shared.quarantine(stream, why);
        let path = layout.rescue(stream, seq.0);
        disk.create_dir(&layout.stream_dir(stream))?;
        if disk.len(&path)?.is_some() {
            disk.remove(&path)?;
        }
        Ok(Trail::new(LogFile::fresh(disk.clone(), path, seq.0), true))
    }
}
