//! The shared journal: every record of every stream, acknowledged when it is synced here.
//!
//! Invariants: one write per batch; a batch is stored whole or not at all, and what one stream refuses is refused before
//! anything is written (`group`); records go on to the scribe only when synced, and nothing but a sync that went well says so;
//! a failed write or sync poisons the file, which is replaced by a checked copy of what was good; three failures in a row
//! make the store read-only. Absent: threads (`drive`), recovery (`recover`), the logs of streams (`scribe`).

mod group;
mod job;
mod reserve;
mod tip;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use comfyd_engine::journal::entry::ENTRY_OVERHEAD;
use comfyd_engine::journal::frame::{HEADER_LEN, MAX_PAYLOAD, RECORD_LEN};
use comfyd_engine::{RunId, StreamId};
use tokio::sync::oneshot;

pub(crate) use job::{Ask, Carried, Job, LogEnd, Work};
pub(crate) use tip::Tip;

use super::distrust::Distrust;
use super::health::{Health, Shared};
use super::layout::Writer;
use super::log_file::{Failure, LogFile, READ_LIMIT};
use super::types::{Append, AppendError, Class, FlushError, Sync};
use reserve::Reserve;

/// Failures in a row after which nothing is written any more.
const MAX_STRIKES: u32 = 3;

/// The writer of the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    /// The file written now; none in a store that is read-only from the start.
    log: Option<LogFile>,
    tips: BTreeMap<StreamId, Tip>,
    /// Written and not yet synced.
    waiting: Vec<Carried>,
    strikes: u32,
    distrust: Distrust,
    reserve: Reserve,
    /// For so many ticks it is looked at whether a vital record found room in its stream's log.
    vital_ticks: u8,
}

/// The scribe has written a record by then, or has no room for it.
const VITAL_TICKS: u8 = 2;

impl Journal {
    pub(crate) fn new(shared: Arc<Shared>, log: Option<LogFile>, tips: BTreeMap<StreamId, Tip>) -> Self {
        let mut reserve = Reserve::default();
        if log.is_some() {
            reserve.restore(&shared);
        }
        Self {
            shared,
            log,
            tips,
            waiting: Vec::new(),
            strikes: 0,
            distrust: Distrust::new(Writer::Journal),
            reserve,
            vital_ticks: 0,
        }
    }

    /// Does one job; work for the scribe goes to `out`, in order.
    pub(crate) fn handle(&mut self, job: Job, out: &mut dyn FnMut(Work)) {
        match job {
            Job::Append(asks) => {
                let (wishes, replies): (Vec<_>, Vec<_>) = asks.into_iter().map(|ask| (ask.wish, ask.reply)).unzip();
                for (reply, answer) in replies.into_iter().zip(self.append_each(wishes, out)) {
                    // The caller may have given up; the records stay.
                    let _ = reply.send(answer);
                }
            }
            Job::Snapshots => {
                let wanted = self.shared.take_snapshots();
                if !wanted.is_empty() && self.settle(out).is_ok() {
                    out(Work::Snapshots(wanted));
                }
            }
            // Reads go on in a read-only store: they show what is durable.
            Job::End { stream, reply } if self.shared.read_only().is_some() => out(Work::End { stream, reply }),
            Job::End { stream, reply } => match self.settle(out) {
                Ok(()) => out(Work::End { stream, reply }),
                Err(error) => drop(reply.send(Err(error))),
            },
            Job::Flush { reply } => match self.settle(out) {
                Ok(()) => out(Work::Flush { reply }),
                Err(error) => drop(reply.send(Err(error))),
            },
            Job::Remove { runs, reply } => self.remove(runs, reply, out),
            Job::Removed { runs } => {
                for run in runs {
                    self.tips.remove(&StreamId::Run(run));
                }
            }
            Job::Ends { runs, reply } => {
                let tip = |run: RunId| self.tips.get(&StreamId::Run(run)).map(|tip| (run, (tip.seq, tip.len)));
                // The caller may have given up.
                let _ = reply.send(runs.into_iter().filter_map(tip).collect());
            }
            Job::Rotate => self.rotate(out),
            Job::Tick => {
                // It is in the health as well.
                let _ = self.check_name();
                // A failure is in the health by now.
                let _ = self.settle(out);
                self.help_vital();
                self.reserve.check(&self.shared);
                out(Work::Tick);
            }
            Job::Shutdown { reply } => match self.settle(out) {
                Ok(()) => {
                    self.rotate(out);
                    out(Work::Flush { reply });
                }
                Err(error) => drop(reply.send(Err(error))),
            },
        }
    }

    /// Lets go of runs: what they have in the journal does not count from now on.
    fn remove(&mut self, runs: Vec<RunId>, reply: oneshot::Sender<Result<(), AppendError>>, out: &mut dyn FnMut(Work)) {
        let ready = match self.shared.read_only() {
            Some(why) => Err(AppendError::ReadOnly { why }),
            // Nothing of them may come to the scribe later.
            None => self.check_name().and_then(|()| Ok(self.settle(out)?)),
        };
        match ready {
            Ok(()) => {
                let in_newest = self.log.as_ref().is_some_and(|log| log.len() > HEADER_LEN as u64);
                out(Work::Remove { runs, in_newest, reply });
            }
            // The caller may have given up.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Gives the reserve up for vital records that are in the journal, which has room of its own, but that find none in
    /// the logs of their streams, from which runs are shown.
    fn help_vital(&mut self) {
        if self.vital_ticks == 0 {
            return;
        }
        if self.shared.backlog() > 0 {
            self.reserve.release(&self.shared);
        } else {
            self.vital_ticks -= 1;
        }
    }

    /// A batch without a record asks for the sync of those before it: no write means no sync of its own.
    fn append_nothing(&mut self, sync: Sync, out: &mut dyn FnMut(Work)) -> Result<(), AppendError> {
        match sync {
            Sync::Now => {
                self.check_name()?;
                Ok(self.settle(out)?)
            }
            Sync::Lazy => Ok(()),
        }
    }

    /// Makes sure of the ends that only snapshots tell.
    fn look_at(&mut self, batch: &[Append]) {
        for append in batch {
            let Some(tip) = self.tips.get_mut(&append.stream).filter(|tip| tip.unchecked) else { continue };
            tip.unchecked = false;
            match Tip::look(&self.shared, &append.stream) {
                Ok(found) => *tip = found,
                Err(why) => self.shared.quarantine(&append.stream, why),
            }
        }
    }

    /// Checks a batch against the streams' ends as they are after those `before` it; nothing is changed.
    fn judge(&self, batch: &[Append], before: &BTreeMap<StreamId, Tip>) -> Result<BTreeMap<StreamId, Tip>, AppendError> {
        let mut tips: BTreeMap<StreamId, Tip> = BTreeMap::new();
        for append in batch {
            let stream = append.stream.clone();
            if let Some(why) = self.shared.quarantined(&stream) {
                return Err(AppendError::Quarantined { stream, why });
            }
            let known =
                tips.get(&stream).or_else(|| before.get(&stream)).or_else(|| self.tips.get(&stream)).copied().unwrap_or_default();
            let Tip { mut seq, mut len, .. } = known;
            if append.expected != seq {
                return Err(AppendError::Conflict { stream, expected: append.expected, actual: seq });
            }
            if append.class == Class::Ordinary && len >= self.shared.options.max_log {
                return Err(AppendError::LogFull { stream, bytes: len });
            }
            len = len.max(HEADER_LEN as u64);
            for payload in &append.payloads {
                if payload.is_empty() || payload.len() > MAX_PAYLOAD - ENTRY_OVERHEAD {
                    return Err(AppendError::PayloadSize { stream, bytes: payload.len() });
                }
                seq = seq.next();
                len += (RECORD_LEN + payload.len()) as u64;
            }
            // Beyond that a log is not read, and its end would be taken for torn.
            if len > READ_LIMIT {
                return Err(AppendError::LogFull { stream, bytes: known.len });
            }
            tips.insert(stream, Tip { seq, len, unchecked: false });
        }
        Ok(tips)
    }

    /// Bytes of a file without a name are gone with this process, so nothing may be acknowledged on their strength.
    fn check_name(&mut self) -> Result<(), AppendError> {
        let Some(log) = &self.log else { return Ok(()) };
        if self.shared.read_only().is_some() || !matches!(self.shared.disk.len(log.path()), Ok(None)) {
            return Ok(());
        }
        let why = format!("{} is gone: the data directory was removed or replaced", log.path().display());
        self.shared.set_health(Health::ReadOnly { why: why.clone() });
        Err(AppendError::ReadOnly { why })
    }

    /// Makes everything written durable and hands it on.
    fn settle(&mut self, out: &mut dyn FnMut(Work)) -> Result<(), FlushError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        if self.waiting.is_empty() && log.unsynced_bytes() == 0 && !log.is_poisoned() {
            return Ok(());
        }
        if let Some(why) = self.shared.read_only() {
            return Err(FlushError::ReadOnly { why });
        }
        match log.sync() {
            Ok(()) => {
                self.strikes = 0;
                self.deliver(out);
                Ok(())
            }
            Err(Failure::Full(error) | Failure::Broken(error)) => {
                tracing::warn!(%error, "journal sync failed");
                self.strike(&error);
                self.rebuild(out).map_err(|error| match self.shared.read_only() {
                    Some(why) => FlushError::ReadOnly { why },
                    None => FlushError::Failed(error),
                })
            }
        }
    }

    /// Puts a checked, durable copy in the poisoned file's place: then all that waits is synced.
    fn rebuild(&mut self, out: &mut dyn FnMut(Work)) -> io::Result<()> {
        loop {
            if let Some(why) = self.shared.read_only() {
                return Err(io::Error::other(why));
            }
            let Some(log) = &mut self.log else { return Ok(()) };
            match log.rebuild() {
                Ok(()) => {
                    self.distrust.clear(&*self.shared.disk, &self.shared.layout);
                    self.deliver(out);
                    return Ok(());
                }
                Err(error) => self.strike(&error),
            }
        }
    }

    fn strike(&mut self, error: &io::Error) {
        self.distrust.note(&*self.shared.disk, &self.shared.layout);
        self.strikes += 1;
        if self.strikes >= MAX_STRIKES {
            self.shared.set_health(Health::ReadOnly { why: format!("the journal could not be written: {error}") });
        }
    }

    /// Hands on what waits; only ever called when all of it is synced.
    fn deliver(&mut self, out: &mut dyn FnMut(Work)) {
        debug_assert!(self.log.as_ref().is_none_or(|log| log.unsynced_bytes() == 0), "unsynced records must wait");
        if !self.waiting.is_empty() {
            out(Work::Records(std::mem::take(&mut self.waiting)));
        }
    }

    /// Starts a new file; if that fails the old one goes on.
    fn rotate(&mut self, out: &mut dyn FnMut(Work)) {
        if self.settle(out).is_err() {
            return;
        }
        let Some(log) = &self.log else { return };
        let next = log.next_seq();
        if log.len() <= HEADER_LEN as u64 {
            return;
        }
        let path: PathBuf = self.shared.layout.journal(next);
        match LogFile::create(self.shared.disk.clone(), path, next, self.shared.options.preallocate) {
            Ok(new) => {
                let old = self.log.replace(new).expect("looked at above");
                out(Work::Rotated(old.path().to_owned()));
            }
            Err(error) => tracing::warn!(%error, "journal not rotated"),
        }
    }

    fn log(&mut self) -> Result<&mut LogFile, AppendError> {
        self.log.as_mut().ok_or_else(|| AppendError::ReadOnly { why: "the journal is not open".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use comfyd_engine::Seq;

    use super::*;
    use crate::store::disk::SimDisk;
    use crate::store::file_store::Options;

    /// What a journal answers to a record for a log of this length.
    fn judged(len: u64, class: Class) -> Result<(), AppendError> {
        let options = Options { max_log: 1000, ..Options::default() };
        let shared = Arc::new(Shared::new(Arc::new(SimDisk::new(1)), Path::new("/data"), options));
        let stream: StreamId = "instance/gpu-a".parse().expect("a good name");
        let tips = BTreeMap::from([(stream.clone(), Tip { seq: Seq(7), len, unchecked: false })]);
        let payloads = vec![b"0123456789".to_vec()];
        let journal = Journal::new(shared, None, tips);
        journal.judge(&[Append { stream, expected: Seq(7), payloads, class }], &BTreeMap::new()).map(drop)
    }

    #[test]
    fn a_log_takes_what_its_class_allows_and_nothing_takes_it_beyond_what_is_read() {
        let last = READ_LIMIT - (RECORD_LEN + 10) as u64;
        let full = |answer: Result<(), AppendError>| match answer {
            Ok(()) => None,
            Err(AppendError::LogFull { bytes, .. }) => Some(bytes),
            Err(other) => panic!("{other:?}"),
        };
        for (class, len, refused) in [
            (Class::Ordinary, 999, None),
            (Class::Ordinary, 1000, Some(1000)),
            (Class::Acknowledged, 1000, None),
            (Class::MayUseReserve, 1000, None),
            (Class::Acknowledged, last, None),
            (Class::Acknowledged, last + 1, Some(last + 1)),
            (Class::MayUseReserve, last + 1, Some(last + 1)),
        ] {
            assert_eq!(full(judged(len, class)), refused, "{class:?} at {len}");
        }
    }
}
