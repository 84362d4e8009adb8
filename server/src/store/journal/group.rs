//! Batches of several callers with one write and one sync.
//!
//! Invariants: the answers are those of one batch after the other; a batch is stored whole or not at all, and what one is
//! refused for costs no other anything. Absent: who waits together (`drive`).

use std::collections::BTreeMap;
use std::io;

use comfyd_engine::journal::entry::Entry;
use comfyd_engine::{Seq, StreamId};

use super::{Carried, Journal, Tip, VITAL_TICKS, Work};
use crate::store::log_file::Failure;
use crate::store::types::{Append, AppendError, Class, Sync};

/// What one caller wants stored.
pub(crate) type Wish = (Vec<Append>, Sync);

type Answer = Result<(), AppendError>;

/// Batches that may be stored, and where the streams end with them.
#[derive(Default)]
struct Group {
    /// Each with its place among the answers.
    members: Vec<(usize, Wish)>,
    tips: BTreeMap<StreamId, Tip>,
}

impl Group {
    fn appends(&self) -> impl Iterator<Item = &Append> {
        self.members.iter().flat_map(|(_, (batch, _))| batch)
    }

    fn sync(&self) -> Sync {
        if self.members.iter().any(|(_, (_, sync))| *sync == Sync::Now) { Sync::Now } else { Sync::Lazy }
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        for append in self.appends() {
            for (seq, payload) in seqs(append).zip(&append.payloads) {
                entries.push(&Entry { stream: append.stream.clone(), seq, payload });
            }
        }
        entries
    }
}

impl Journal {
    /// Stores a batch.
    pub(crate) fn append(&mut self, batch: Vec<Append>, sync: Sync, out: &mut dyn FnMut(Work)) -> Answer {
        self.append_each(vec![(batch, sync)], out).pop().expect("an answer for each")
    }

    /// Stores what several callers want; an answer for each, in their order.
    pub(crate) fn append_each(&mut self, wishes: Vec<Wish>, out: &mut dyn FnMut(Work)) -> Vec<Answer> {
        let mut answers: Vec<Answer> = wishes.iter().map(|_| Ok(())).collect();
        let mut group = Group::default();
        for (place, (batch, sync)) in wishes.into_iter().enumerate() {
            match self.admit(&batch, &group.tips) {
                Err(error) => answers[place] = Err(error),
                Ok(_) if batch.iter().all(|append| append.payloads.is_empty()) => {
                    self.store(std::mem::take(&mut group), &mut answers, out);
                    answers[place] = self.append_nothing(sync, out);
                }
                Ok(tips) => {
                    group.tips.extend(tips);
                    group.members.push((place, (batch, sync)));
                }
            }
        }
        self.store(group, &mut answers, out);
        answers
    }

    /// Where the streams end with this batch, or why it is not stored; nothing is changed.
    fn admit(&mut self, batch: &[Append], before: &BTreeMap<StreamId, Tip>) -> Result<BTreeMap<StreamId, Tip>, AppendError> {
        if let Some(why) = self.shared.read_only() {
            return Err(AppendError::ReadOnly { why });
        }
        self.look_at(batch);
        self.judge(batch, before)
    }

    fn store(&mut self, group: Group, answers: &mut [Answer], out: &mut dyn FnMut(Work)) {
        let sync = group.sync();
        match self.write(&group, out) {
            Ok(()) => {
                self.tips.extend(group.tips);
                self.waiting.extend(group.members.into_iter().flat_map(|(_, (batch, _))| batch).flat_map(carried));
                if sync == Sync::Now {
                    self.strikes = 0;
                    self.deliver(out);
                } else if self.log.as_ref().is_some_and(|log| log.unsynced_bytes() > self.shared.options.max_unsynced) {
                    // The batches are stored; a failure here is found again by the next caller.
                    let _ = self.settle(out);
                }
            }
            // There is no room for all of them: for some there may be, and some may use the reserve.
            Err(AppendError::DiskFull(_)) if group.members.len() > 1 => {
                for (place, (batch, sync)) in group.members {
                    answers[place] = self.append(batch, sync, out);
                }
            }
            Err(error) => {
                for (place, _) in group.members {
                    answers[place] = Err(error.clone());
                }
            }
        }
    }

    fn write(&mut self, group: &Group, out: &mut dyn FnMut(Work)) -> Result<(), AppendError> {
        if group.members.is_empty() {
            return Ok(());
        }
        let vital = group.appends().any(|append| append.class == Class::MayUseReserve);
        if vital {
            self.vital_ticks = VITAL_TICKS;
        }
        if self.shared.backlog() > self.shared.options.max_backlog {
            let why = io::Error::new(io::ErrorKind::StorageFull, "the logs of streams lag behind");
            return Err(AppendError::DiskFull(why.into()));
        }
        if self.log.as_ref().is_some_and(|log| log.len() >= self.shared.options.rotate_at) {
            self.rotate(out);
        }
        self.check_name()?;
        if self.log()?.is_poisoned() {
            self.rebuild(out).map_err(|error| AppendError::NotWritten(error.into()))?;
        }
        let (entries, sync, alone) = (group.entries(), group.sync(), group.members.len() == 1);
        let mut result = self.log()?.append(entries.iter(), sync);
        // What is vital does not pay for others that wait with it.
        if matches!(result, Err(Failure::Full(_))) && vital && alone && self.reserve.release(&self.shared) {
            result = self.log()?.append(entries.iter(), sync);
        }
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Full(error)) => {
                if alone {
                    self.reserve.note_full(&self.shared);
                }
                Err(AppendError::DiskFull(error.into()))
            }
            Err(Failure::Broken(error)) => {
                tracing::warn!(%error, "journal write failed");
                self.strike(&error);
                // The batches are gone either way; this saves what was there before.
                let _ = self.rebuild(out);
                Err(AppendError::NotWritten(error.into()))
            }
        }
    }
}

/// The places of its records.
fn seqs(append: &Append) -> impl Iterator<Item = Seq> + use<> {
    (append.expected.0 + 1..).map(Seq)
}

fn carried(append: Append) -> impl Iterator<Item = Carried> {
    let seqs = seqs(&append);
    let Append { stream, payloads, .. } = append;
    seqs.zip(payloads).map(move |(seq, payload)| Carried { stream: stream.clone(), seq, payload })
}

/// The entries of a group, in one piece of memory.
#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Entries {
    fn push(&mut self, entry: &Entry<'_>) {
        entry.encode_into(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::disk::{Disk, Fault, SimDisk};
    use crate::store::file_store::{FileStore, Options};
    use crate::store::health::Health;
    use crate::store::journal::{Ask, Job};

    fn open(disk: &SimDisk) -> FileStore {
        let options =
            Options { rotate_at: 4000, preallocate: 256, max_log: 400, reserve: 256, min_free: 0, ..Options::default() };
        FileStore::inline(Path::new("/data"), Arc::new(disk.clone()), options).expect("opens").0
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("an inline store never waits")
    }

    fn stream(n: u8) -> StreamId {
        format!("run/0193a1b2-0000-7000-8000-{n:012x}").parse().expect("a good name")
    }

    fn append(n: u8, expected: u64, bytes: usize) -> Append {
        Append { stream: stream(n), expected: Seq(expected), payloads: vec![vec![n; bytes]], class: Class::Ordinary }
    }

    fn vital(append: Append) -> Append {
        Append { class: Class::MayUseReserve, ..append }
    }

    /// What callers are told whose batches waited together.
    fn together(store: &FileStore, wishes: Vec<Wish>) -> Vec<Answer> {
        let (asks, answers): (Vec<_>, Vec<_>) = wishes
            .into_iter()
            .map(|wish| {
                let (reply, answer) = oneshot::channel();
                (Ask { wish, reply }, answer)
            })
            .unzip();
        block(store.drive.submit(Job::Append(asks))).expect("an inline store never stops");
        answers.into_iter().map(|mut answer| answer.try_recv().expect("it is answered")).collect()
    }

    fn lengths(store: &FileStore, n: u8) -> Vec<usize> {
        let found = block(store.read(&stream(n), Seq(0))).expect("readable");
        found.records.into_iter().map(|(_, bytes)| bytes.len()).collect()
    }

    /// The kind of an answer.
    fn kind(answer: &Answer) -> &'static str {
        match answer {
            Ok(()) => "stored",
            Err(AppendError::Conflict { .. }) => "conflict",
            Err(AppendError::PayloadSize { .. }) => "payload size",
            Err(AppendError::LogFull { .. }) => "log full",
            Err(AppendError::DiskFull(_)) => "disk full",
            Err(AppendError::NotWritten(_)) => "not written",
            Err(AppendError::Quarantined { .. } | AppendError::ReadOnly { .. } | AppendError::Stopped) => "other",
        }
    }

    fn kinds(answers: &[Answer]) -> Vec<&'static str> {
        answers.iter().map(kind).collect()
    }

    #[test]
    fn those_that_wait_share_a_write_and_a_sync_and_each_is_judged_by_itself() {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        disk.take_log();
        let wishes = vec![
            (vec![append(1, 0, 10)], Sync::Now),
            (vec![append(2, 7, 10), append(3, 0, 10)], Sync::Now),
            (vec![append(1, 1, 20)], Sync::Lazy),
            (vec![append(1, 1, 30)], Sync::Now),
            (vec![append(4, 0, 0)], Sync::Now),
            (vec![append(2, 0, 40)], Sync::Now),
        ];
        let answers = together(&store, wishes);
        assert_eq!(kinds(&answers), ["stored", "conflict", "stored", "conflict", "payload size", "stored"]);
        let changes = disk.take_log();
        assert_eq!(changes.iter().filter(|change| change.starts_with("sync")).count(), 1, "{changes:?}");
        disk.crash_hard();
        let store = open(&disk);
        assert_eq!([1, 2, 3, 4].map(|n| lengths(&store, n)), [vec![10, 20], vec![40], vec![], vec![]]);
    }

    #[test]
    fn what_has_no_room_keeps_nothing_from_those_beside_it() {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        disk.set_capacity(Some(disk.used() + 300));
        let wishes = vec![
            (vec![append(1, 0, 350)], Sync::Now),
            (vec![append(2, 0, 10)], Sync::Now),
            (vec![append(1, 1, 10)], Sync::Now),
            (vec![vital(append(3, 0, 100))], Sync::Now),
            (vec![append(4, 0, 390)], Sync::Now),
        ];
        let answers = together(&store, wishes);
        assert_eq!(kinds(&answers), ["disk full", "stored", "conflict", "stored", "disk full"]);
        assert!(disk.len(Path::new("/data/reserve")).expect("readable").is_none(), "the vital one was given it");
        disk.crash_hard();
        let store = open(&disk);
        assert_eq!([1, 2, 3, 4].map(|n| lengths(&store, n).len()), [0, 1, 1, 0]);
    }

    #[test]
    fn a_sync_that_fails_is_told_to_all_of_them_and_counts_once() {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        block(store.append_all(vec![append(1, 0, 10)], Sync::Now)).expect("stored");
        disk.plan(Fault::Sync(1));
        let wishes: Vec<Wish> = (2..8).map(|n| (vec![append(n, 0, 10)], Sync::Now)).collect();
        assert_eq!(kinds(&together(&store, wishes.clone())), ["not written"; 6]);
        assert_eq!(store.health(), Health::Healthy, "once is no reason to stop");
        assert_eq!(kinds(&together(&store, wishes)), ["stored"; 6]);
        disk.crash_hard();
        let store = open(&disk);
        assert_eq!((1..8).map(|n| lengths(&store, n).len()).collect::<Vec<_>>(), [1; 7]);
    }

    fn wishes() -> impl Strategy<Value = Vec<Wish>> {
        let payloads = prop::collection::vec((0usize..6).prop_map(|size| vec![b'x'; size * 30]), 0..3);
        let append = (1u8..4, 0u64..4, payloads, any::<bool>()).prop_map(|(n, expected, payloads, vital)| {
            let class = if vital { Class::MayUseReserve } else { Class::Ordinary };
            Append { stream: stream(n), expected: Seq(expected), payloads, class }
        });
        let sync = prop_oneof![Just(Sync::Now), Just(Sync::Lazy)];
        prop::collection::vec((prop::collection::vec(append, 0..3), sync), 0..12)
    }

    proptest! {
        #[test]
        fn together_is_as_one_after_the_other(wishes in wishes(), room in prop::option::of(0u64..2000), cut in any::<bool>()) {
            let (disk, other) = (SimDisk::new(1), SimDisk::new(1));
            let (store, alone) = (open(&disk), open(&other));
            for disk in [&disk, &other] {
                disk.set_capacity(room.map(|room| disk.used() + room));
            }
            let one_by_one: Vec<_> = wishes.iter().map(|(batch, sync)| kind(&block(alone.append_all(batch.clone(), *sync)))).collect();
            let all = together(&store, wishes.clone());
            if room.is_none() {
                prop_assert_eq!(kinds(&all), one_by_one);
            }
            // What was acknowledged is there, in order and whole, whatever comes.
            let mut stored: BTreeMap<StreamId, (usize, usize)> = BTreeMap::new();
            for ((batch, sync), answer) in wishes.iter().zip(&all).filter(|(_, answer)| answer.is_ok()) {
                for append in batch {
                    let (written, synced) = stored.entry(append.stream.clone()).or_default();
                    *written += append.payloads.len();
                    prop_assert_eq!(*written as u64, append.expected.0 + append.payloads.len() as u64, "{:?}", answer);
                    if *sync == Sync::Now {
                        *synced = *written;
                    }
                }
            }
            let store = if cut {
                disk.crash_hard();
                disk.set_capacity(None);
                open(&disk)
            } else {
                store
            };
            for n in 1..4 {
                let (written, synced) = stored.get(&stream(n)).copied().unwrap_or_default();
                let found = lengths(&store, n).len();
                prop_assert!(found <= written && found >= if cut { synced } else { written }, "{n}: {found} of {written}, {synced} synced");
            }
        }
    }
}
