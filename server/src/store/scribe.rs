//! The background writer: the logs of streams and their snapshots, made from the journal's records.
//!
//! Invariants: what it is given is synced in the journal; a journal file goes only when all of its records are durable in
//! their streams' logs, oldest first; a snapshot is written when the log ends at its record or ended there before.
//! Absent: threads (`drive`), and any way back to the journal.

mod remove;
mod settle;
mod trail;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use comfyd_engine::StreamId;

use super::disk::put_unsynced;
use super::distrust::Distrust;
use super::health::{Health, Shared, Wanted};
use super::journal::{Carried, LogEnd, Work};
use super::layout::{Layout, Writer};
use super::log_file::Failure;
use super::snapshot::seal;
use super::types::{FlushError, Sync};
use trail::Trails;

/// Failures in a row after which nothing is written any more.
const MAX_STRIKES: u32 = 3;

/// The writer of the streams' files.
#[derive(Debug)]
pub(crate) struct Scribe {
    shared: Arc<Shared>,
    trails: Trails,
    /// Logs, snapshots and directories that are not durable yet.
    dirty: Dirty,
    /// Records that found no room.
    backlog: VecDeque<Carried>,
    /// Journal files that get no more records, oldest first.
    rotated: VecDeque<PathBuf>,
    /// How many there have been.
    rotations: u64,
    strikes: u32,
    distrust: Distrust,
}

#[derive(Debug, Default)]
struct Dirty {
    logs: BTreeSet<StreamId>,
    states: BTreeSet<StreamId>,
    dirs: BTreeSet<PathBuf>,
    bytes: usize,
}

impl Dirty {
    fn count(&self) -> usize {
        self.logs.len() + self.states.len() + self.dirs.len()
    }

    /// Notes that names in a stream's directory, and perhaps that directory itself, are new.
    fn note_dir(&mut self, layout: &Layout, stream: &StreamId) {
        let dir = layout.stream_dir(stream);
        self.dirs.insert(dir.parent().expect("streams lie in a directory of their kind").to_owned());
        self.dirs.insert(dir);
    }
}

impl Scribe {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let trails = Trails::new(shared.clone());
        Self {
            shared,
            trails,
            dirty: Dirty::default(),
            backlog: VecDeque::new(),
            rotated: VecDeque::new(),
            rotations: 0,
            strikes: 0,
            distrust: Distrust::new(Writer::Scribe),
        }
    }

    /// Whether something waits for the next tick.
    pub(crate) fn is_waiting(&self) -> bool {
        self.dirty.count() > 0 || !self.backlog.is_empty() || !self.rotated.is_empty()
    }

    /// Does one piece of work.
    pub(crate) fn handle(&mut self, work: Work) {
        match work {
            Work::Records(records) => {
                self.backlog.extend(records);
                self.drain();
                if self.dirty.bytes > self.shared.options.max_unsynced {
                    self.settle_or_warn();
                }
            }
            Work::Snapshots(wanted) => {
                for (stream, wanted) in wanted {
                    self.snapshot(&stream, wanted);
                }
            }
            Work::Rotated(path) => {
                self.rotated.push_back(path);
                self.rotations += 1;
            }
            Work::Remove { runs, in_newest, reply } => {
                let answer = self.remove(&runs, in_newest);
                // The caller may have given up.
                let _ = reply.send(answer);
            }
            Work::End { stream, reply } => {
                self.drain();
                let mine = self.backlog.iter().filter(|record| record.stream == stream);
                let behind: Vec<_> = mine.map(|record| (record.seq, record.payload.clone())).collect();
                let end = match self.trails.end(&stream) {
                    None if !behind.is_empty() => Err(self.behind()),
                    len => Ok(len.map(|len| LogEnd { len, behind })),
                };
                // The reader may have given up.
                let _ = reply.send(end);
            }
            Work::Flush { reply } => {
                let answer = self.settle();
                let _ = reply.send(answer);
            }
            Work::Tick => self.settle_or_warn(),
        }
    }

    fn settle_or_warn(&mut self) {
        if self.is_waiting()
            && let Err(error) = self.settle()
        {
            // A lack of room is told by the health.
            match &error {
                FlushError::Failed(cause) if cause.kind() == io::ErrorKind::StorageFull => {
                    tracing::debug!(%cause, "logs of streams lag behind");
                }
                error => {
                    tracing::warn!(error = error as &dyn std::error::Error, "logs of streams not durable yet");
                }
            }
        }
    }

    /// Warns once: while the store is degraded every try fails alike.
    fn complain(&self, stream: &StreamId, error: &io::Error, what: &str) {
        if self.shared.health() == Health::Healthy {
            tracing::warn!(%stream, %error, "{what}");
        } else {
            tracing::debug!(%stream, %error, "{what}");
        }
    }

    fn behind(&self) -> FlushError {
        match self.shared.read_only() {
            Some(why) => FlushError::ReadOnly { why },
            None => FlushError::Failed(io::Error::new(io::ErrorKind::StorageFull, "the logs of streams lag behind")),
        }
    }

    /// Writes what waits, one write per stream; what finds no room waits on.
    fn drain(&mut self) {
        if self.backlog.is_empty() || self.shared.read_only().is_some() {
            return;
        }
        let mut groups: BTreeMap<StreamId, Vec<Carried>> = BTreeMap::new();
        for record in self.backlog.drain(..) {
            groups.entry(record.stream.clone()).or_default().push(record);
        }
        let mut left = Vec::new();
        for (stream, records) in groups {
            if let Err(error) = self.write(&stream, &records) {
                self.complain(&stream, &error, "log of a stream not written");
                left.extend(records);
            }
        }
        // Streams do not care for each other's order.
        self.backlog = left.into();
        let bytes = self.backlog.iter().map(|record| record.payload.len() as u64).sum();
        self.shared.set_backlog(bytes);
        if !self.backlog.is_empty() {
            self.shared.set_health(Health::Degraded { why: "logs of streams cannot be written".to_owned() });
        }
    }

    fn write(&mut self, stream: &StreamId, records: &[Carried]) -> io::Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        let trail = self.trails.at(stream, first.seq)?;
        if !trail.log.exists() {
            self.dirty.note_dir(&self.shared.layout, stream);
        }
        let payloads = || records.iter().map(|record| record.payload.as_slice());
        loop {
            match trail.log.append(payloads(), Sync::Lazy) {
                Ok(()) => break,
                Err(Failure::Full(error)) => return Err(error),
                Err(Failure::Broken(error)) => {
                    self.distrust.note(&*self.shared.disk, &self.shared.layout);
                    self.strikes += 1;
                    if self.strikes >= MAX_STRIKES {
                        let why = format!("the log of {stream} could not be written: {error}");
                        self.shared.set_health(Health::ReadOnly { why });
                        return Err(error);
                    }
                    // A copy that cannot be made is found again by the next append: the file stays poisoned.
                    let _ = trail.log.rebuild();
                }
            }
        }
        trail.mark();
        self.dirty.bytes += records.iter().map(|record| record.payload.len()).sum::<usize>();
        self.dirty.logs.insert(stream.clone());
        self.trails.limit_open();
        Ok(())
    }

    /// Writes one snapshot, if its place in the log is still known.
    fn snapshot(&mut self, stream: &StreamId, wanted: Wanted) {
        let head = match self.trails.head(stream, wanted.seq) {
            Ok(Some(head)) => head,
            // A later record is in the log, so a later snapshot is on its way.
            Ok(None) => return tracing::debug!(%stream, seq = %wanted.seq, "snapshot out of date"),
            Err(error) => return self.complain(stream, &error, "snapshot not written"),
        };
        let path = self.shared.layout.state(stream);
        let written = seal(&(wanted.json)(), &head)
            .map_err(io::Error::other)
            .and_then(|text| put_unsynced(&*self.shared.disk, &path, text.as_bytes()));
        match written {
            Ok(()) => {
                self.dirty.states.insert(stream.clone());
                self.dirty.note_dir(&self.shared.layout, stream);
            }
            Err(error) => self.complain(stream, &error, "snapshot not written"),
        }
        self.trails.limit_open();
    }
}
