//! Opening a directory with many finished runs.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use comfyd_engine::Seq;
use comfyd_server::store::{Append, Class, Disk, DiskFile, FileStore, LockGuard, Options, Replace, SimDisk, StreamVerdict, Sync};

use crate::support::{now, root};

/// Counts how often a log is read.
#[derive(Debug)]
struct Counting {
    disk: SimDisk,
    logs_read: AtomicU64,
}

impl Disk for Counting {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create_new(path)
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_append(path)
    }
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        if path.ends_with("events.log") {
            self.logs_read.fetch_add(1, Ordering::Relaxed);
        }
        self.disk.read(path, limit)
    }
    fn reader(&self, path: &Path) -> io::Result<Box<dyn io::Read + Send>> {
        self.disk.reader(path)
    }
    fn read_at(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>> {
        self.disk.read_at(path, offset, limit)
    }
    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        self.disk.len(path)
    }
    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> io::Result<()> {
        self.disk.rename(from, to, replace)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_tree(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_file(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn sync_all(&self, root: &Path) -> io::Result<()> {
        self.disk.sync_all(root)
    }
    fn free_bytes(&self, root: &Path) -> io::Result<u64> {
        self.disk.free_bytes(root)
    }
    fn check_private(&self, dir: &Path) -> io::Result<()> {
        self.disk.check_private(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.disk.lock(path)
    }
    fn salt(&self) -> u32 {
        self.disk.salt()
    }
    fn boot(&self) -> String {
        self.disk.boot()
    }
}

#[test]
fn ten_thousand_finished_runs_open_without_reading_their_logs() {
    const RUNS: u64 = 10_000;
    let disk = Arc::new(Counting { disk: SimDisk::new(1), logs_read: AtomicU64::new(0) });
    let run = |n: u64| format!("run/0193a1b2-0000-7000-8000-{n:012x}").parse::<comfyd_engine::StreamId>().expect("a good name");
    let (store, _) = FileStore::inline(root(), disk.clone(), Options::default()).expect("opens");
    for batch in 0..RUNS / 100 {
        let all = (0..100).map(|n| Append {
            stream: run(batch * 100 + n),
            expected: Seq(0),
            payloads: vec![b"created".to_vec(), b"completed".to_vec()],
            class: Class::Ordinary,
        });
        now(store.append_all(all.collect(), Sync::Now)).expect("stored");
        for n in 0..100 {
            store.snapshot(&run(batch * 100 + n), Seq(2), "{\"status\":\"completed\"}".to_owned());
        }
    }
    // One run went on after its last snapshot.
    let late = Append { stream: run(7), expected: Seq(2), payloads: vec![b"late".to_vec()], class: Class::Ordinary };
    now(store.append_all(vec![late], Sync::Now)).expect("stored");
    now(store.shutdown()).expect("durable");
    drop(store);
    disk.disk.kill();
    disk.logs_read.store(0, Ordering::Relaxed);
    let (store, found) = FileStore::inline(root(), disk.clone(), Options::default()).expect("opens");
    assert_eq!(found.streams.len() as u64, RUNS);
    assert!(found.streams.iter().all(|found| found.verdict == StreamVerdict::Ok));
    assert_eq!(disk.logs_read.load(Ordering::Relaxed), 1, "only the log that goes on behind its snapshot");
    assert_eq!(found.streams.iter().filter(|found| found.last == Seq(2) && !found.checked).count() as u64, RUNS - 1);
    assert_eq!(now(store.read(&run(7), Seq(2))).expect("readable").records, [(Seq(3), b"late".to_vec())]);
    now(store.append_all(
        vec![Append { stream: run(9), expected: Seq(2), payloads: vec![b"x".to_vec()], class: Class::Ordinary }],
        Sync::Now,
    ))
    .expect("a log that was not read can be appended to");
    assert_eq!(now(store.read(&run(9), Seq(0))).expect("readable").records.len(), 3);
}
