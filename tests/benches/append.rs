//! Durable appends: the store against the least loop that commits in groups, on the same disk in the same minute.
//!
//! The disk is that of the system's temporary directory; `TMPDIR` chooses another one.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use comfyd_engine::{RunId, Seq, StreamId};
use comfyd_server::store::{Append, Class, FileStore, Options, RealDisk, Sync};
use divan::Bencher;
use divan::counter::ItemsCount;
use tokio::sync::oneshot;

fn main() {
    divan::main();
}

const RECORD: usize = 200;
/// Records that each caller appends in a sample, one after the other.
const EACH: usize = 50;

fn stream(n: usize) -> StreamId {
    let id: RunId = format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("a good id");
    StreamId::Run(id)
}

/// The store, each caller with a stream of its own.
#[divan::bench(args = [1, 64], sample_count = 10, sample_size = 1)]
fn store(bencher: Bencher<'_, '_>, callers: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = FileStore::open(&dir.path().join("data"), Arc::new(RealDisk), Options::default()).expect("opens");
    let store = Arc::new(store);
    let mut written = 0;
    bencher.counter(ItemsCount::new(callers * EACH)).bench_local(|| {
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for caller in 0..callers {
                let store = Arc::clone(&store);
                tasks.spawn(async move {
                    for n in 0..EACH {
                        let expected = Seq((written + n) as u64);
                        let append =
                            Append { stream: stream(caller), expected, payloads: vec![vec![7; RECORD]], class: Class::Ordinary };
                        store.append_all(vec![append], Sync::Now).await.expect("stored");
                    }
                });
            }
            tasks.join_all().await;
        });
        written += EACH;
    });
    runtime.block_on(store.shutdown()).expect("the end");
}

type Job = (Vec<u8>, oneshot::Sender<()>);

/// The least that commits in groups: one thread, one file, one write and one sync for all that wait.
fn group_commit(path: &Path) -> Sender<Job> {
    let (jobs, waiting): (Sender<Job>, Receiver<Job>) = channel();
    let mut file = OpenOptions::new().create_new(true).append(true).open(path).expect("a new file");
    std::thread::spawn(move || {
        while let Ok(first) = waiting.recv() {
            let (mut bytes, mut answers) = (first.0, vec![first.1]);
            while let Ok((more, answer)) = waiting.try_recv() {
                bytes.extend(more);
                answers.push(answer);
            }
            file.write_all(&bytes).expect("room");
            file.sync_data().expect("synced");
            // Whoever asked waits for it.
            for answer in answers {
                let _ = answer.send(());
            }
        }
    });
    jobs
}

#[divan::bench(args = [1, 64], sample_count = 10, sample_size = 1)]
fn least_loop(bencher: Bencher<'_, '_>, callers: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let jobs = group_commit(&dir.path().join("log"));
    bencher.counter(ItemsCount::new(callers * EACH)).bench_local(|| {
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..callers {
                let jobs = jobs.clone();
                tasks.spawn(async move {
                    for _ in 0..EACH {
                        let (answer, told) = oneshot::channel();
                        jobs.send((vec![7; RECORD], answer)).expect("the thread lives");
                        told.await.expect("answered");
                    }
                });
            }
            tasks.join_all().await;
        });
    });
}

/// `SQLite` with `synchronous=FULL`, one record a commit, by Python's module; the time of its start is not counted.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn sqlite_full(bencher: Bencher<'_, '_>) {
    const SCRIPT: &str = "import sqlite3, sys, time
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute('pragma journal_mode=wal'); base.execute('pragma synchronous=full'); base.execute('create table if not exists t (x blob)')
print('ready', flush=True); sys.stdin.readline()
for _ in range(1000): base.execute('insert into t values (?)', (b'7' * 200,))
print('done', flush=True)";
    let dir = tempfile::tempdir().expect("a directory");
    let base = dir.path().join("base");
    let begin = || {
        let mut python = std::process::Command::new("python3")
            .args(["-c", SCRIPT])
            .arg(&base)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let mut ready = [0; 6];
        python.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("it says when it is ready");
        let input = python.stdin.take().expect("piped");
        (python, input)
    };
    bencher.counter(ItemsCount::new(1000_u32)).with_inputs(begin).bench_local_values(|(python, mut input)| {
        input.write_all(b"go\n").expect("it reads");
        python.wait_with_output().expect("it ends")
    });
}
