//! A real process, killed at every durable step.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use comfyd_engine::Seq;
use comfyd_server::store::{Append, Class, FileStore, JournalVerdict, Options, RealDisk, StreamVerdict, Sync};

use crate::support::{append, stream};

/// Where the killed process works; also what tells the test below that it is that process.
const DIR: &str = "COMFYD_TEST_CRASH_DIR";

fn options() -> Options {
    Options { rotate_at: 400, preallocate: 4096, reserve: 4096, min_free: 0, ..Options::default() }
}

/// The process that is killed: says after each answer how many records of run 1 are promised.
#[test]
fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (store, _) = FileStore::open(Path::new(&dir), Arc::new(RealDisk), options()).expect("opens");
        for seq in 0..6 {
            let payloads = vec![format!("record {}", seq + 1).into_bytes()];
            let first = Append { stream: stream(1), expected: Seq(seq), payloads, class: Class::Ordinary };
            store.append_all(vec![first, append(2, seq, &["companion"])], Sync::Now).await.expect("stored");
            let mut out = std::io::stdout().lock();
            writeln!(out, "promised {}", seq + 1).and_then(|()| out.flush()).expect("the parent listens");
            store.snapshot(&stream(1), Seq(seq + 1), "{}".to_owned());
            if seq % 2 == 1 {
                store.flush().await.expect("durable");
            }
        }
        store.shutdown().await.expect("durable");
    });
}

#[test]
fn a_process_may_be_killed_at_every_durable_step() {
    let program = std::env::current_exe().expect("this test");
    let mut nth = 0;
    loop {
        nth += 1;
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("data");
        let mut child = Command::new(&program)
            .args(["--exact", "crash::victim", "--nocapture", "--test-threads=1"])
            .env(DIR, &root)
            .env("COMFYD_CRASH_AT", nth.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let promised = out.lines().map_while(Result::ok).filter_map(|line| {
            // The test harness writes its own words on the same line.
            line.rsplit_once("promised ").and_then(|(_, count)| count.trim().parse::<usize>().ok())
        });
        let promised = promised.last().unwrap_or(0);
        let ended = child.wait().expect("ends").success();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let count = runtime.block_on(async {
            let (store, found) = FileStore::open(&root, Arc::new(RealDisk), options()).expect("opens after a kill");
            assert_eq!(found.journal, JournalVerdict::Clean, "step {nth}");
            assert!(found.streams.iter().all(|found| found.verdict == StreamVerdict::Ok), "step {nth}: {found:?}");
            let records = store.read(&stream(1), Seq(0)).await.expect("readable").records;
            for (seq, payload) in &records {
                assert_eq!(*payload, format!("record {seq}").into_bytes());
            }
            assert_eq!(records.len(), store.read(&stream(2), Seq(0)).await.expect("readable").records.len(), "step {nth}");
            store.shutdown().await.expect("durable");
            records.len()
        });
        assert!(count >= promised, "step {nth}: {count} of {promised} promised records are left");
        if ended {
            assert_eq!((count, promised), (6, 6));
            break;
        }
        assert!(nth < 500, "the process never ends by itself");
    }
    assert!(nth > 40, "a life has more steps than {nth}");
}
