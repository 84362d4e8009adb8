//! A store over a simulated disk, and what must be true of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use comfyd_engine::journal::scan::{Rule, Verdict, scan_with};
use comfyd_engine::{Seq, StreamId};
use comfyd_server::store::{
    Append, AppendError, Class, Disk, FileStore, Health, JournalVerdict, OpenError, Options, Recovered, SimDisk, StreamVerdict,
    Sync,
};

/// Where simulated stores live.
pub(crate) fn root() -> &'static Path {
    Path::new("/data")
}

/// A future of an inline store: it is ready at once.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("an inline store never waits"),
    }
}

/// Small limits, so that small tests reach them.
pub(crate) fn small() -> Options {
    Options { rotate_at: 600, preallocate: 256, max_open: 2, max_known: 3, reserve: 256, min_free: 0, ..Options::default() }
}

pub(crate) fn open(disk: &SimDisk) -> Result<(FileStore, Recovered), OpenError> {
    FileStore::inline(root(), Arc::new(disk.clone()), small())
}

pub(crate) fn stream(n: usize) -> StreamId {
    let name = match n {
        0 => "instance/gpu-a".to_owned(),
        n => format!("run/0193a1b2-0000-7000-8000-{n:012x}"),
    };
    name.parse().expect("a good name")
}

pub(crate) fn events(n: usize) -> PathBuf {
    match stream(n) {
        StreamId::Run(run) => root().join(format!("runs/{run}/events.log")),
        StreamId::Instance(instance) => root().join(format!("instances/{instance}/events.log")),
        StreamId::Setup(setup) => root().join(format!("setups/{setup}/events.log")),
    }
}

pub(crate) fn append(n: usize, expected: u64, payloads: &[&str]) -> Append {
    let payloads = payloads.iter().map(|text| text.as_bytes().to_vec()).collect();
    Append { stream: stream(n), expected: Seq(expected), payloads, class: Class::Ordinary }
}

/// The one journal file that an open store writes.
pub(crate) fn journal_files(disk: &dyn Disk, root: &Path) -> Vec<PathBuf> {
    let dir = root.join("journal");
    let names = disk.list(&dir).expect("the journal can be listed");
    names
        .iter()
        .filter(|name| name.strip_suffix(".log").is_some_and(|digits| digits.len() == 20))
        .map(|name| dir.join(name))
        .collect()
}

/// What a store was asked to keep, and how much of it was promised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Everything asked for, over all streams, in the order of asking; without what was refused for good.
    asked: Vec<(usize, Vec<u8>)>,
    /// How many of these are promised.
    sure: usize,
    counter: u64,
}

impl Model {
    pub(crate) fn count(&self, n: usize) -> u64 {
        self.asked.iter().filter(|asked| asked.0 == n).count() as u64
    }

    /// Appends to one or more streams and notes what the answer promises.
    pub(crate) fn append(
        &mut self,
        store: &FileStore,
        parts: &[(usize, usize, usize)],
        sync: Sync,
        class: Class,
    ) -> Result<(), AppendError> {
        let before = self.asked.len();
        let mut batch = Vec::new();
        for &(n, records, len) in parts {
            let expected = Seq(self.count(n));
            let payloads: Vec<Vec<u8>> = (0..records)
                .map(|_| {
                    self.counter += 1;
                    let mut payload = format!("{}:{n}:", self.counter).into_bytes();
                    payload.resize(payload.len().max(len), b'.');
                    self.asked.push((n, payload.clone()));
                    payload
                })
                .collect();
            batch.push(Append { stream: stream(n), expected, payloads, class });
        }
        let answer = now(store.append_all(batch, sync));
        match &answer {
            Ok(()) if sync == Sync::Now => self.sure = self.asked.len(),
            Ok(()) => {}
            // A store that could not even put itself right may still have the batch on disk; nothing follows it.
            Err(AppendError::NotWritten(_)) if matches!(store.health(), Health::ReadOnly { .. }) => {}
            Err(_) => self.asked.truncate(before),
        }
        answer
    }

    /// Asks for a snapshot of where the stream is.
    pub(crate) fn snapshot(&self, store: &FileStore, n: usize) {
        let seq = self.count(n);
        if seq > 0 {
            store.snapshot(&stream(n), Seq(seq), format!("{{\"schema\":1,\"seq\":{seq},\"view\":{{\"count\":{seq}}}}}"));
        }
    }

    /// Notes that everything asked for is promised.
    pub(crate) fn all_sure(&mut self) {
        self.sure = self.asked.len();
    }

    /// After a restart: all that was promised is there, what else is there was asked for next, snapshots fit.
    /// Then takes what is there as the new truth.
    pub(crate) fn check(&mut self, disk: &SimDisk, store: &FileStore, recovered: &Recovered) {
        assert!(!matches!(recovered.journal, JournalVerdict::Damaged { .. }), "{:?}", recovered.journal);
        let mut there: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for n in 0..8 {
            let found = now(store.read(&stream(n), Seq(0))).expect("a log can be read");
            assert_eq!(found.damaged, None, "stream {n}");
            let seqs: Vec<u64> = found.records.iter().map(|record| record.0.0).collect();
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "stream {n}");
            there.insert(n, found.records.into_iter().map(|record| record.1).collect());
        }
        let mut kept = Vec::new();
        let mut next: BTreeMap<usize, usize> = BTreeMap::new();
        for (n, payload) in &self.asked {
            let at = next.entry(*n).or_default();
            match there[n].get(*at) {
                Some(found) if found == payload => {
                    *at += 1;
                    kept.push((*n, payload.clone()));
                }
                Some(other) => panic!("stream {n} has {:?} instead of {:?}", text(other), text(payload)),
                None => break,
            }
        }
        assert!(kept.len() >= self.sure, "{} of {} promised records are left", kept.len(), self.sure);
        for (n, found) in &there {
            assert_eq!(next.get(n).copied().unwrap_or(0), found.len(), "stream {n} has records out of order");
        }
        self.asked = kept;
        self.sure = self.asked.len();
        for found in &recovered.streams {
            assert_eq!(found.verdict, StreamVerdict::Ok, "{}", found.stream);
            assert_eq!(found.last.0, there[&number(&found.stream)].len() as u64, "{}", found.stream);
        }
        for n in 0..8 {
            check_snapshot(disk, store, recovered, n);
        }
    }
}

fn number(id: &StreamId) -> usize {
    (0..8).find(|n| stream(*n) == *id).expect("one of the tests' streams")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(40).collect()
}

/// A snapshot names a prefix of its log, and shows that prefix.
pub(crate) fn check_snapshot(disk: &SimDisk, store: &FileStore, recovered: &Recovered, n: usize) {
    let told = recovered.streams.iter().find(|found| found.stream == stream(n)).and_then(|found| found.snapshot.clone());
    let state = now(store.state_json(&stream(n))).expect("a snapshot can be read");
    assert_eq!(state.is_some(), told.is_some(), "stream {n}");
    let (Some(state), Some(told)) = (state, told) else { return };
    let json: serde_json::Value = serde_json::from_str(&state).expect("a snapshot is JSON");
    assert_eq!(json["seq"], told.seq.0);
    assert_eq!(json["view"]["count"], told.seq.0);
    assert_eq!(json["log_len"], told.log_len);
    let log = disk.read(&events(n), u64::MAX).expect("a snapshot has a log");
    let mut fits = false;
    let verdict = scan_with(&log, Rule { first: 1, floor: Some(told.log_len) }, |frame| {
        fits |= frame.seq == told.seq.0 && frame.end == told.log_len && told.chain == format!("{:08x}", frame.crc);
    })
    .verdict;
    assert_eq!(verdict, Verdict::Clean, "stream {n}");
    assert!(fits, "stream {n}: {told:?}");
}
