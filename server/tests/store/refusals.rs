//! What one stream refuses: nothing is written, the caller learns which stream it was, and the others go on.

use std::sync::Arc;

use comfyd_engine::Seq;
use comfyd_server::store::{Append, AppendError, Class, Disk, FileStore, Options, SimDisk, Sync};

use crate::support::{append, now, root, small, stream};

/// Stream 1 is quarantined, the log of stream 2 is full, all others are new.
fn prepared(disk: &SimDisk) -> FileStore {
    let options = Options { max_log: 100, ..small() };
    let (store, _) = FileStore::inline(root(), Arc::new(disk.clone()), options).expect("opens");
    store.quarantine(&stream(1), "a test says so".to_owned());
    now(store.append_all(vec![append(2, 0, &[&"x".repeat(80)])], Sync::Now)).expect("stored");
    store
}

fn classed(class: Class, append: Append) -> Append {
    Append { class, ..append }
}

#[test]
fn a_refusal_names_its_stream_and_leaves_no_trace() {
    type Expected = fn(&AppendError) -> bool;
    let long = "x".repeat(4 << 20);
    let table: [(Append, Expected); 5] = [
        (append(1, 0, &["x"]), |error| matches!(error, AppendError::Quarantined { .. })),
        (append(2, 1, &["x"]), |error| matches!(error, AppendError::LogFull { bytes: 128, .. })),
        (append(3, 5, &["x"]), |error| matches!(error, AppendError::Conflict { actual: Seq(0), .. })),
        (append(4, 0, &["fine", ""]), |error| matches!(error, AppendError::PayloadSize { bytes: 0, .. })),
        (append(4, 0, &["fine", &long]), |error| matches!(error, AppendError::PayloadSize { .. })),
    ];
    for (bad, expected) in table {
        let culprit = bad.stream.clone();
        let disk = SimDisk::new(1);
        let store = prepared(&disk);
        disk.take_log();
        let mut batch = vec![append(5, 0, &["first"]), bad, append(6, 0, &["last"])];
        let error = now(store.append_all(batch.clone(), Sync::Now)).expect_err("one stream refuses");
        assert!(expected(&error), "{error:?}");
        assert_eq!(error.refused(), Some(&culprit));
        assert_eq!(disk.take_log(), Vec::<String>::new(), "{error:?}: it was found before anything was written");
        batch.retain(|append| append.stream != culprit);
        now(store.append_all(batch, Sync::Now)).expect("the others have no part in it");
        disk.crash_hard();
        let (store, _) = crate::support::open(&disk).expect("opens");
        for (n, text) in [(5, "first"), (6, "last")] {
            let records = now(store.read(&stream(n), Seq(0))).expect("readable").records;
            assert_eq!(records, [(Seq(1), text.as_bytes().to_vec())]);
        }
    }
}

#[test]
fn several_refusals_come_one_after_the_other() {
    let disk = SimDisk::new(1);
    let store = prepared(&disk);
    let mut batch = vec![append(1, 0, &["x"]), append(5, 0, &["kept"]), append(2, 1, &["x"]), append(3, 5, &["x"])];
    let mut refused = Vec::new();
    while let Err(error) = now(store.append_all(batch.clone(), Sync::Now)) {
        let culprit = error.refused().expect("only streams refuse here").clone();
        batch.retain(|append| append.stream != culprit);
        refused.push(culprit);
    }
    assert_eq!(refused, [stream(1), stream(2), stream(3)]);
    assert_eq!(now(store.read(&stream(5), Seq(0))).expect("readable").records.len(), 1);
}

#[test]
fn what_the_whole_store_refuses_names_no_stream() {
    let disk = SimDisk::new(1);
    let store = prepared(&disk);
    disk.set_capacity(Some(disk.used()));
    let error = now(store.append_all(vec![append(5, 0, &[&"x".repeat(2000)])], Sync::Now)).expect_err("no room");
    assert!(matches!(error, AppendError::DiskFull(_)), "{error:?}");
    assert_eq!(error.refused(), None);
}

#[test]
fn a_full_log_takes_only_what_is_acknowledged() {
    let disk = SimDisk::new(1);
    let store = prepared(&disk);
    let full = now(store.append_all(vec![append(2, 1, &["progress"])], Sync::Lazy));
    assert!(matches!(full, Err(AppendError::LogFull { .. })), "{full:?}");
    now(store.append_all(vec![classed(Class::Acknowledged, append(2, 1, &["output saved"]))], Sync::Now)).expect("stored");
    now(store.append_all(vec![classed(Class::MayUseReserve, append(2, 2, &["the end"]))], Sync::Now)).expect("stored");
    assert_eq!(now(store.read(&stream(2), Seq(1))).expect("readable").records.len(), 2);
}

#[test]
fn only_endings_get_the_reserve_of_a_full_disk() {
    let disk = SimDisk::new(1);
    let store = prepared(&disk);
    disk.set_capacity(Some(disk.used()));
    let words = "x".repeat(150);
    let mut last = 0;
    let refused = loop {
        match now(store.append_all(vec![classed(Class::Acknowledged, append(5, last, &[&words]))], Sync::Now)) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 50, "the disk never fills");
    };
    assert!(matches!(refused, AppendError::DiskFull(_)), "{refused:?}");
    assert!(disk.len(&root().join("reserve")).expect("readable").is_some(), "it is not for this");
    now(store.append_all(vec![classed(Class::MayUseReserve, append(5, last, &[&words]))], Sync::Now)).expect("it is for this");
    assert!(disk.len(&root().join("reserve")).expect("readable").is_none());
}
