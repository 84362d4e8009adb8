//! Parts of files, lists of streams, and logs as they are on disk.

use std::path::Path;
use std::sync::Arc;

use comfyd_engine::Seq;
use comfyd_engine::journal::scan::{Rule, Verdict, scan, scan_with};
use comfyd_server::store::{Disk, Fault, FileStore, Options, RawLog, ReadError, RealDisk, SimDisk, Sync};

use crate::support::{append, events, now, open, root, stream};

fn check_read_at(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    disk.create_new(&path).and_then(|mut file| file.append(b"0123456789")).expect("written");
    for (offset, limit, expected) in [
        (0, 4, "0123"),
        (3, 4, "3456"),
        (8, 100, "89"),
        (8, u64::MAX, "89"),
        (10, 5, ""),
        (11, 5, ""),
        (1 << 40, 5, ""),
        (3, 0, ""),
        (0, u64::MAX, "0123456789"),
    ] {
        let found = disk.read_at(&path, offset, limit).expect("readable");
        assert_eq!(String::from_utf8_lossy(&found), expected, "{limit} bytes from {offset}");
    }
    let missing = disk.read_at(&dir.join("missing"), 0, 1).expect_err("no such file");
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_part_of_a_file_is_read_as_asked() {
    let sim = SimDisk::new(1);
    sim.create_dir_all(root()).expect("made");
    check_read_at(&sim, root());
    let dir = tempfile::tempdir().expect("a directory");
    check_read_at(&RealDisk, dir.path());
}

#[test]
fn a_part_is_not_read_through_a_link() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("outside"), b"not ours").expect("written");
    std::os::unix::fs::symlink(dir.path().join("outside"), dir.path().join("link")).expect("linked");
    RealDisk.read_at(&dir.path().join("link"), 0, 8).expect_err("links are not followed");
}

#[test]
fn known_streams_are_all_with_a_record_and_no_other_names() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(now(store.known_streams()), []);
    now(store.append_all(vec![append(3, 0, &["later"]), append(1, 0, &["a"])], Sync::Now)).expect("stored");
    now(store.append_all(vec![append(0, 0, &["link"])], Sync::Lazy)).expect("written");
    now(store.append_all(vec![append(2, 1, &["refused"])], Sync::Now)).expect_err("it has no record 1");
    for name in ["runs/notes.txt", "instances/Not A Name"] {
        disk.create_new(&root().join(name)).expect("a name that is not ours");
    }
    let expected = [stream(1), stream(3), stream(0)];
    assert_eq!(now(store.known_streams()), expected, "runs before instances, unsynced ones too");
    store.quarantine(&stream(1), "a test says so".to_owned());
    assert_eq!(now(store.known_streams()), expected, "what is set aside is still there");
    disk.kill();
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(now(store.known_streams()), expected);
}

fn bytes(mut log: RawLog) -> Vec<u8> {
    let mut whole = Vec::new();
    std::io::Read::read_to_end(&mut log, &mut whole).expect("readable");
    whole
}

#[test]
fn a_raw_log_is_the_file_with_everything_in_it() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["one"]), append(2, 0, &["other"])], Sync::Now)).expect("stored");
    now(store.append_all(vec![append(1, 1, &["two"])], Sync::Lazy)).expect("written");
    let raw = bytes(now(store.raw_log(&stream(1))).expect("readable"));
    assert_eq!(raw, disk.read(&events(1), u64::MAX).expect("readable"));
    let mut payloads = Vec::new();
    let found = scan_with(&raw, Rule::default(), |frame| payloads.push(frame.payload.to_vec()));
    assert_eq!(found.verdict, Verdict::Clean);
    assert_eq!(payloads, [b"one", b"two"]);
    disk.crash_hard();
    assert_eq!(disk.read(&events(1), u64::MAX).expect("readable"), raw, "what was shown is durable");

    // A log that this process has not written yet.
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(bytes(now(store.raw_log(&stream(1))).expect("readable")), raw);
    let missing = now(store.raw_log(&stream(5)));
    let Err(ReadError::Read { path, source }) = &missing else { panic!("{missing:?}") };
    assert_eq!((path, source.kind()), (&events(5), std::io::ErrorKind::NotFound));
}

#[test]
fn a_raw_log_is_shown_with_its_damage_and_with_no_part_of_a_record_to_come() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["one"]), append(2, 0, &["other"])], Sync::Now)).expect("stored");
    // As a reader may find it while the next record is being written.
    disk.edit(&events(2), |bytes| bytes.extend_from_slice(b"half"));
    let raw = bytes(now(store.raw_log(&stream(2))).expect("readable"));
    assert_eq!(scan(&raw, Rule::default()).verdict, Verdict::Clean);
    drop(store);
    disk.kill();
    disk.edit(&events(1), |bytes| *bytes.last_mut().expect("a record") ^= 1);
    let (store, _) = open(&disk).expect("opens");
    let raw = bytes(now(store.raw_log(&stream(1))).expect("people may want to look at it"));
    assert_eq!(raw, disk.read(&events(1), u64::MAX).expect("readable"));
}

#[test]
fn a_raw_log_is_not_shown_when_not_all_of_it_is_durable() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["one"])], Sync::Now)).expect("stored");
    now(store.append_all(vec![append(1, 1, &["two"])], Sync::Lazy)).expect("written");
    disk.plan(Fault::Power(1));
    let refused = now(store.raw_log(&stream(1)));
    assert!(matches!(refused, Err(ReadError::NotDurable(_))), "{refused:?}");
    // Nor is the list of streams any shorter for it.
    assert_eq!(now(store.known_streams()), [stream(1)]);
}

#[test]
fn replays_are_noted_beside_the_runtime() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (store, _) = FileStore::open(&root, Arc::new(RealDisk), Options::default()).expect("opens");
        store.append_all(vec![append(1, 0, &["one"])], Sync::Now).await.expect("stored");
        store.flush().await.expect("durable");
        let log = root.join(events(1).strip_prefix("/data").expect("below"));
        let note = log.with_file_name("replaying");
        store.begin_replay(&stream(1)).await.expect("noted");
        assert_eq!(std::fs::read_to_string(&note).expect("there"), "1\n");
        store.end_replay(&stream(1)).await.expect("noted");
        assert!(!note.exists());
        store.end_replay(&stream(1)).await.expect("twice is once");
        assert_eq!(store.read(&stream(1), Seq(0)).await.expect("readable").records.len(), 1);
        store.shutdown().await.expect("durable");
    });
}
