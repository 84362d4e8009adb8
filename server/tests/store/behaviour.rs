//! What callers see when nothing goes wrong outside.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use comfyd_engine::Seq;
use comfyd_server::store::tools::{self, Record};
use comfyd_server::store::{
    AppendError, BlobError, Disk, FileStore, Health, JournalVerdict, OpenError, Options, RealDisk, SimDisk, StreamVerdict, Sync,
};

use crate::support::{append, events, journal_files, now, open, root, stream};

fn texts(store: &FileStore, n: usize) -> Vec<(u64, String)> {
    let found = now(store.read(&stream(n), Seq(0))).expect("readable");
    assert_eq!(found.damaged, None);
    found.records.into_iter().map(|(seq, bytes)| (seq.0, String::from_utf8(bytes).expect("text"))).collect()
}

#[test]
fn threads_on_a_real_disk_keep_records_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let options = Options { tick: Duration::from_millis(20), rotate_at: 2000, ..Options::default() };
        let (store, found) = FileStore::open(&root, Arc::new(RealDisk), options.clone()).expect("opens");
        assert!(found.streams.is_empty());
        for seq in 0..50 {
            let sync = if seq % 3 == 0 { Sync::Now } else { Sync::Lazy };
            store.append_all(vec![append(0, seq, &["link"]), append(1, 2 * seq, &["one", "two"])], sync).await.expect("stored");
            store.snapshot(&stream(1), Seq(2 * seq + 2), format!("{{\"at\":{seq}}}"));
        }
        assert_eq!(store.read(&stream(1), Seq(97)).await.expect("readable").records.len(), 3);
        let sha = store.put_blob(b"graph".to_vec()).await.expect("stored");
        store.shutdown().await.expect("all durable");
        assert!(matches!(store.append_all(vec![append(0, 50, &["late"])], Sync::Now).await, Err(AppendError::Stopped)));
        drop(store);

        let files = journal_files(&RealDisk, &root);
        assert_eq!(files.len(), 1, "a clean end leaves one empty journal file");
        assert_eq!(std::fs::metadata(&files[0]).expect("there").len(), 20);
        for path in [&root, &root.join("runs"), &root.join("journal")] {
            assert_eq!(std::fs::metadata(path).expect("there").mode() & 0o777, 0o700, "{}", path.display());
        }
        for name in ["format.json", "LOCK", "reserve"] {
            assert_eq!(std::fs::metadata(root.join(name)).expect("there").mode() & 0o777, 0o600, "{name}");
        }

        let (store, found) = FileStore::open(&root, Arc::new(RealDisk), options).expect("opens");
        let lasts: Vec<_> = found.streams.iter().map(|found| (found.last.0, found.verdict.clone())).collect();
        assert_eq!(lasts, [(100, StreamVerdict::Ok), (50, StreamVerdict::Ok)], "runs sort before instances");
        assert!(!found.streams[0].checked, "its snapshot names its length");
        assert!(found.streams[1].checked);
        let records = store.read(&stream(1), Seq(0)).await.expect("readable").records;
        assert_eq!(records.len(), 100);
        assert_eq!(records[99], (Seq(100), b"two".to_vec()));
        assert_eq!(store.get_blob(&sha).await.expect("readable"), Some(b"graph".to_vec()));
        let state = store.state_json(&stream(1)).await.expect("readable").expect("there");
        assert!(state.starts_with("{\"at\":49,\"chain\":\""), "{state}");
        assert!(state.contains("\"seq\":100"), "{state}");
        store.shutdown().await.expect("all durable");
    });
}

#[test]
fn lazy_records_become_durable_by_themselves() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let options = Options { tick: Duration::from_millis(5), ..Options::default() };
        let (store, _) = FileStore::open(&root, Arc::new(RealDisk), options).expect("opens");
        store.append_all(vec![append(1, 0, &["lazy"])], Sync::Lazy).await.expect("written");
        let log = root.join(events(1).strip_prefix("/data").expect("below"));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        // The scribe is only given what is synced in the journal.
        while RealDisk.len(&log).expect("readable").is_none() {
            assert!(tokio::time::Instant::now() < deadline, "nothing was synced");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        store.shutdown().await.expect("all durable");
    });
}

#[test]
fn a_batch_is_stored_whole_or_not_at_all() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["a"])], Sync::Now)).expect("stored");
    let conflict = now(store.append_all(vec![append(2, 0, &["b"]), append(1, 0, &["c"])], Sync::Now));
    assert!(matches!(conflict, Err(AppendError::Conflict { expected: Seq(0), actual: Seq(1), .. })));
    let empty = now(store.append_all(vec![append(2, 0, &["b"]), append(1, 1, &[""])], Sync::Now));
    assert!(matches!(empty, Err(AppendError::PayloadSize { bytes: 0, .. })));
    let long = "x".repeat((4 << 20) - 255);
    let long = now(store.append_all(vec![append(2, 0, &[&long])], Sync::Now));
    assert!(matches!(long, Err(AppendError::PayloadSize { .. })));
    now(store.append_all(vec![append(2, 0, &["b"]), append(1, 1, &["c"]), append(2, 1, &["d"])], Sync::Now)).expect("stored");
    assert_eq!(texts(&store, 1), [(1, "a".into()), (2, "c".into())]);
    assert_eq!(texts(&store, 2), [(1, "b".into()), (2, "d".into())]);
    assert_eq!(texts(&store, 3), []);
    now(store.append_all(vec![], Sync::Now)).expect("nothing is always stored");
}

#[test]
fn the_longest_record_survives_a_restart() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    let long = "x".repeat((4 << 20) - 256);
    now(store.append_all(vec![append(1, 0, &[&long])], Sync::Now)).expect("stored");
    disk.kill();
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(texts(&store, 1), [(1, long)]);
}

#[test]
fn a_second_opener_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = FileStore::open(dir.path(), Arc::new(RealDisk), Options::default()).expect("opens");
    std::fs::write(dir.path().join("server.json"), r#"{"address":"127.0.0.1:7801"}"#).expect("written");
    let refused = FileStore::open(dir.path(), Arc::new(RealDisk), Options::default()).expect_err("locked");
    let OpenError::Locked { holder, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*holder, format!("process {} at 127.0.0.1:7801", std::process::id()));
    drop(store);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    // The threads still end; they hold the lock until they have.
    while FileStore::open(dir.path(), Arc::new(RealDisk), Options::default()).is_err() {
        assert!(std::time::Instant::now() < deadline, "the lock was not released");
        std::thread::yield_now();
    }
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o770)).expect("mode set");
    let refused = FileStore::inline(dir.path(), Arc::new(RealDisk), Options::default()).expect_err("not private");
    assert!(matches!(refused, OpenError::NotPrivate(_)), "{refused}");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("mode set");
    FileStore::inline(dir.path(), Arc::new(RealDisk), Options::default()).expect("readable by others is not writable");
}

#[test]
fn a_link_in_place_of_a_log_is_not_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, outside) = (dir.path().join("data"), dir.path().join("outside"));
    drop(FileStore::inline(&root, Arc::new(RealDisk), Options::default()).expect("opens"));
    std::fs::write(&outside, b"not ours").expect("written");
    let log = root.join(events(1).strip_prefix("/data").expect("below"));
    std::fs::create_dir_all(log.parent().expect("a run's directory")).expect("made");
    std::os::unix::fs::symlink(&outside, &log).expect("linked");
    let (store, found) = FileStore::inline(&root, Arc::new(RealDisk), Options::default()).expect("opens");
    assert!(matches!(found.streams[0].verdict, StreamVerdict::Quarantined { .. }));
    assert!(now(store.append_all(vec![append(1, 0, &["x"])], Sync::Now)).is_err());
    assert_eq!(std::fs::read(&outside).expect("there"), b"not ours");
}

#[test]
fn a_newer_layout_is_not_opened() {
    let disk = SimDisk::new(1);
    drop(open(&disk).expect("opens"));
    for text in ["{\"layout\":2}", "{\"layout\":\"x\"}", "nonsense"] {
        disk.edit(&root().join("format.json"), |bytes| *bytes = text.into());
        assert!(matches!(open(&disk), Err(OpenError::Layout { .. })), "{text}");
    }
    disk.edit(&root().join("format.json"), |bytes| *bytes = b"{\"layout\":1,\"more\":true}".into());
    open(&disk).expect("unknown fields are fine");
}

#[test]
fn journal_files_go_when_their_records_are_durable_elsewhere() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    for seq in 0..40 {
        now(store
            .append_all(vec![append(1 + seq % 5, seq as u64 / 5, &["a record of some length, to fill the journal"])], Sync::Now))
        .expect("stored");
    }
    assert!(journal_files(&disk, root()).len() > 5, "files rotate");
    store.tick();
    assert_eq!(journal_files(&disk, root()).len(), 1, "only the one that is written stays");
    disk.crash_hard();
    let (store, found) = open(&disk).expect("opens");
    assert_eq!(found.streams.iter().map(|found| found.last.0).collect::<Vec<_>>(), [8, 8, 8, 8, 8]);
    assert_eq!(texts(&store, 5).len(), 8);
}

#[test]
fn snapshots_are_written_for_the_latest_state_and_never_ahead() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["a", "b"])], Sync::Lazy)).expect("written");
    store.snapshot(&stream(1), Seq(2), r#"{"z":1,"a":{"y":2.0,"x":1}}"#.to_owned());
    let state = now(store.state_json(&stream(1))).expect("readable").expect("written at once inline");
    let chain = &state[state.find("\"chain\":\"").expect("a chain") + 9..][..8];
    assert_eq!(state, format!(r#"{{"a":{{"y":2.0,"x":1}},"chain":"{chain}","log_len":78,"seq":2,"z":1}}"#));
    store.snapshot(&stream(1), Seq(9), "{}".to_owned());
    assert_eq!(now(store.state_json(&stream(1))).expect("readable"), Some(state), "a record that is not there has no snapshot");
    disk.kill();
    let (_store, found) = open(&disk).expect("opens");
    assert_eq!(found.streams[0].snapshot.as_ref().map(|place| (place.seq, place.log_len)), Some((Seq(2), 78)));
}

#[test]
fn a_replay_that_never_ends_quarantines_its_stream() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["poison"]), append(2, 0, &["fine"])], Sync::Now)).expect("stored");
    for strike in 0..2 {
        assert_eq!(store_verdicts(&disk), [true, true], "strike {strike}");
        disk.kill();
        let (store, _) = open(&disk).expect("opens");
        now(store.begin_replay(&stream(2))).expect("noted");
        now(store.end_replay(&stream(2))).expect("noted");
        now(store.begin_replay(&stream(1))).expect("noted");
    }
    assert_eq!(store_verdicts(&disk), [false, true]);
    disk.kill();
    let (store, _) = open(&disk).expect("opens");
    assert!(store.quarantined(&stream(1)).is_some());
    let refused = now(store.append_all(vec![append(1, 1, &["x"])], Sync::Now));
    assert!(matches!(refused, Err(AppendError::Quarantined { .. })));
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("readable").records, [(Seq(1), b"poison".to_vec())]);
    now(store.append_all(vec![append(2, 1, &["x"])], Sync::Now)).expect("others go on");
    now(store.end_replay(&stream(1))).expect("noted");
    assert_eq!(store_verdicts(&disk), [true, true], "removing the note lets it try again");
}

fn store_verdicts(disk: &SimDisk) -> Vec<bool> {
    disk.kill();
    let (_, found) = open(disk).expect("opens");
    found.streams.iter().map(|found| found.verdict == StreamVerdict::Ok).collect()
}

#[test]
fn blobs_are_found_by_their_hash_and_checked() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    let sha = now(store.put_blob(b"graph".to_vec())).expect("stored");
    assert_eq!(now(store.put_blob(b"graph".to_vec())).expect("stored"), sha);
    disk.crash_hard();
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(now(store.get_blob(&sha)).expect("readable"), Some(b"graph".to_vec()));
    let other = "0".repeat(64).parse().expect("a hash");
    assert_eq!(now(store.get_blob(&other)).expect("readable"), None);
    disk.edit(&root().join("blobs").join(sha.as_str()), |bytes| bytes[0] ^= 1);
    assert!(matches!(now(store.get_blob(&sha)), Err(BlobError::Damaged { .. })));
}

#[test]
fn tools_list_verify_and_salvage() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("data");
    let (store, _) = FileStore::inline(&root, Arc::new(RealDisk), Options::default()).expect("opens");
    now(store.append_all(vec![append(1, 0, &["one", "two", "three"])], Sync::Now)).expect("stored");
    store.snapshot(&stream(1), Seq(3), "{}".to_owned());
    now(store.flush()).expect("durable");
    now(store.append_all(vec![append(1, 3, &["four"])], Sync::Now)).expect("stored");
    now(store.flush()).expect("durable");
    assert_eq!(store.health(), Health::Healthy);
    let log = root.join(events(1).strip_prefix("/data").expect("below"));
    let report = tools::verify(&log).expect("readable");
    assert_eq!((report.records, report.last, report.floor), (4, Seq(4), Some(115)));
    assert_eq!(report.verdict, comfyd_engine::journal::scan::Verdict::Clean);
    let listed: Vec<Record> = tools::records(&log).expect("readable").collect();
    let told: Vec<_> = listed.iter().map(|record| (record.seq.0, record.offset, record.payload.as_slice())).collect();
    assert_eq!(told, [(1, 20, &b"one"[..]), (2, 51, b"two"), (3, 82, b"three"), (4, 115, b"four")]);
    let journal = tools::verify(&journal_files(&RealDisk, &root)[0]).expect("readable");
    assert_eq!((journal.first, journal.records), (Seq(1), 4));

    let mut bytes = std::fs::read(&log).expect("readable");
    bytes[82 + 28] ^= 1;
    bytes[9] ^= 1;
    std::fs::write(&log, &bytes).expect("written");
    let out = dir.path().join("saved.log");
    tools::salvage(&log, &out).expect("saved");
    assert_eq!(std::fs::read(&log).expect("readable"), bytes, "the file itself is never changed");
    let saved: Vec<Record> = tools::records(&out).expect("readable").collect();
    assert_eq!(saved, listed[..2], "all whole records up to the damage, though the header was damaged too");
    assert_eq!(tools::verify(&out).expect("readable").verdict, comfyd_engine::journal::scan::Verdict::Clean);
    assert!(tools::salvage(&log, &out).is_err(), "an existing file is not overwritten");
}

#[test]
fn an_empty_directory_opens_and_stays_quiet() {
    let disk = SimDisk::new(1);
    let (store, found) = open(&disk).expect("opens");
    assert_eq!((found.streams.len(), found.journal), (0, JournalVerdict::Clean));
    assert_eq!(store.health(), Health::Healthy);
    disk.take_log();
    store.tick();
    now(store.flush()).expect("durable");
    assert_eq!(disk.take_log(), Vec::<String>::new(), "an idle store writes nothing");
}
