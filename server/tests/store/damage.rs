//! Bits that flip, files that vanish, logs that are swapped.

use std::path::Path;

use comfyd_engine::Seq;
use comfyd_server::store::{AppendError, Disk, Health, JournalVerdict, SimDisk, StreamVerdict, Sync};

use crate::support::{append, check_snapshot, events, journal_files, now, open, root, stream};

/// Two runs and an instance, all synced, the journal empty.
fn settled(snapshots: bool) -> SimDisk {
    let disk = SimDisk::new(11);
    let (store, _) = open(&disk).expect("opens");
    for seq in 0..4 {
        now(store.append_all(vec![append(1, seq, &["of the first run"]), append(2, seq, &["of the second"])], Sync::Now))
            .expect("stored");
        now(store.append_all(vec![append(0, seq, &["link"])], Sync::Now)).expect("stored");
        now(store.flush()).expect("durable");
    }
    if snapshots {
        store.snapshot(&stream(1), Seq(4), "{\"view\":{\"count\":4}}".to_owned());
    }
    now(store.shutdown()).expect("durable");
    drop(store);
    disk
}

fn bits(disk: &SimDisk, path: &Path) -> usize {
    disk.read(path, u64::MAX).expect("readable").len() * 8
}

fn flip(disk: &SimDisk, path: &Path, bit: usize) {
    disk.edit(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
}

#[test]
fn every_flipped_bit_under_a_snapshot_is_found_at_the_latest_on_reading() {
    let disk = settled(true);
    let log = events(1);
    for bit in 0..bits(&disk, &log) {
        flip(&disk, &log, bit);
        let before = disk.read(&log, u64::MAX).expect("readable");
        let (store, found) = open(&disk).expect("opens");
        assert!(!found.streams[0].checked, "its snapshot names its length");
        let read = now(store.read(&stream(1), Seq(0))).expect("readable");
        assert!(read.damaged.is_some(), "bit {bit}");
        assert!(read.records.iter().all(|record| record.1 == b"of the first run"), "bit {bit}");
        assert!(store.quarantined(&stream(1)).is_some());
        let refused = now(store.append_all(vec![append(1, 4, &["x"])], Sync::Now));
        assert!(matches!(refused, Err(AppendError::Quarantined { .. })), "bit {bit}");
        now(store.append_all(vec![append(1, 0, &[])], Sync::Now)).expect_err("still quarantined");
        assert_eq!(now(store.read(&stream(2), Seq(0))).expect("readable").records.len(), 4, "others go on");
        drop(store);
        disk.kill();
        assert_eq!(disk.read(&log, u64::MAX).expect("readable"), before, "nothing is cut off");
        flip(&disk, &log, bit);
    }
}

#[test]
fn an_append_to_a_log_that_rotted_unread_keeps_the_record_beside_it() {
    let disk = settled(true);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 4, &["the log is whole"])], Sync::Now)).expect("stored");
    for n in 3..7 {
        // So many others that the writer forgets what it knows of the first.
        now(store.append_all(vec![append(n, 0, &["x"])], Sync::Now)).expect("stored");
        now(store.flush()).expect("durable");
    }
    flip(&disk, &events(1), 400);
    now(store.append_all(vec![append(1, 5, &["acknowledged"])], Sync::Now)).expect("nobody knows of the damage yet");
    now(store.flush()).expect("durable");
    assert!(store.quarantined(&stream(1)).is_some());
    let rescue = events(1).with_file_name("events.log.journal-6");
    let bytes = disk.read(&rescue, u64::MAX).expect("kept beside the log");
    assert!(bytes.ends_with(b"acknowledged"));
    now(store.append_all(vec![append(1, 6, &["x"])], Sync::Now)).expect_err("quarantined now");
    now(store.append_all(vec![append(2, 4, &["x"])], Sync::Now)).expect("others go on");
}

#[test]
fn an_append_to_a_log_that_rotted_before_the_start_is_refused() {
    let disk = settled(true);
    flip(&disk, &events(1), 400);
    let (store, _) = open(&disk).expect("opens");
    let refused = now(store.append_all(vec![append(1, 4, &["x"])], Sync::Now));
    assert!(matches!(refused, Err(AppendError::Quarantined { .. })), "{refused:?}");
    now(store.append_all(vec![append(2, 4, &["x"])], Sync::Now)).expect("others go on");
}

#[test]
fn a_snapshot_that_names_another_place_does_not_keep_appends_out() {
    let disk = settled(true);
    disk.edit(&state(1), |bytes| {
        let text = String::from_utf8_lossy(bytes).replace("\"seq\":4", "\"seq\":5");
        *bytes = text.into_bytes();
    });
    let (store, found) = open(&disk).expect("opens");
    assert_eq!(found.streams[0].last, Seq(5), "nobody has looked");
    now(store.append_all(vec![append(1, 4, &["x"])], Sync::Now)).expect("the log decides");
}

#[test]
fn a_flipped_bit_without_a_snapshot_loses_at_most_the_last_batch_and_keeps_its_bytes() {
    let disk = settled(false);
    let log = events(1);
    let whole = disk.read(&log, u64::MAX).expect("readable");
    let (mut repaired, mut refused) = (0, 0);
    for bit in 0..whole.len() * 8 {
        let copy = settled(false);
        flip(&copy, &log, bit);
        let (store, found) = open(&copy).expect("opens");
        match &found.streams[0].verdict {
            StreamVerdict::Ok => panic!("bit {bit} was not seen"),
            StreamVerdict::Quarantined { .. } => {
                refused += 1;
                assert_eq!(copy.read(&log, u64::MAX).expect("readable").len(), whole.len(), "nothing is cut off");
            }
            StreamVerdict::Repaired(cut) => {
                repaired += 1;
                assert_eq!(found.streams[0].last, Seq(3), "bit {bit}");
                let saved = copy.read(&log.with_file_name(&cut.saved_as), u64::MAX).expect("the tail is kept");
                assert_eq!((saved.len() as u64, cut.offset + cut.bytes), (cut.bytes, whole.len() as u64));
                now(store.append_all(vec![append(1, 3, &["log repaired"])], Sync::Now)).expect("it goes on");
            }
        }
        assert_eq!(found.streams[1].verdict, StreamVerdict::Ok, "others are not touched");
    }
    assert_eq!(repaired, (28 + 16) * 8, "just the bits of the last record");
    assert!(refused > 1000);
}

#[test]
fn a_cut_log_is_refused_when_the_snapshot_says_more() {
    let whole = settled(true).read(&events(1), u64::MAX).expect("readable").len();
    for len in 0..whole {
        let disk = settled(true);
        disk.edit(&events(1), |bytes| bytes.truncate(len));
        let (store, found) = open(&disk).expect("opens");
        assert!(matches!(found.streams[0].verdict, StreamVerdict::Quarantined { .. }), "length {len}");
        assert!(now(store.read(&stream(1), Seq(0))).expect("readable").damaged.is_some());
    }
    let disk = settled(true);
    disk.remove(&events(1)).expect("removed");
    let (_store, found) = open(&disk).expect("opens");
    let StreamVerdict::Quarantined { why, .. } = &found.streams[0].verdict else { panic!("the log is gone") };
    assert_eq!(why, "its log is missing");
}

#[test]
fn a_torn_snapshot_costs_nothing() {
    let len = settled(true).read(&state(1), u64::MAX).expect("readable").len();
    for cut in 0..len {
        let disk = settled(true);
        disk.edit(&state(1), |bytes| bytes.truncate(cut));
        let (store, found) = open(&disk).expect("opens");
        assert_eq!((&found.streams[0].verdict, found.streams[0].last), (&StreamVerdict::Ok, Seq(4)));
        check_snapshot(&disk, &store, &found, 1);
    }
}

fn state(n: usize) -> std::path::PathBuf {
    events(n).with_file_name("state.json")
}

/// Like `settled`, but the process dies with everything still in the journal.
fn unsettled() -> SimDisk {
    let disk = SimDisk::new(12);
    let (store, _) = open(&disk).expect("opens");
    for seq in 0..3 {
        now(store.append_all(vec![append(1, seq, &["first"]), append(2, seq, &["second"])], Sync::Now)).expect("stored");
    }
    drop(store);
    disk.crash_hard();
    disk
}

#[test]
fn every_flipped_bit_of_the_journal_is_damage_but_for_the_last_batch() {
    let journal = journal_files(&unsettled(), root()).remove(0);
    let total = bits(&unsettled(), &journal);
    let (mut damaged, mut repaired) = (0, 0);
    for bit in 0..total {
        let disk = unsettled();
        flip(&disk, &journal, bit);
        let before = disk.read(&journal, u64::MAX).expect("readable");
        let (store, found) = open(&disk).expect("opens");
        match found.journal {
            JournalVerdict::Clean => panic!("bit {bit} was not seen"),
            JournalVerdict::Repaired(_) => {
                repaired += 1;
                assert!(found.streams.iter().all(|found| found.last >= Seq(2)), "bit {bit}");
            }
            JournalVerdict::Damaged { .. } => {
                damaged += 1;
                assert!(matches!(store.health(), Health::ReadOnly { .. }));
                let refused = now(store.append_all(vec![append(5, 0, &["x"])], Sync::Now));
                assert!(matches!(refused, Err(AppendError::ReadOnly { .. })));
                assert_eq!(disk.read(&journal, u64::MAX).expect("readable"), before, "it is not touched");
                // What is whole before the damage can be read.
                let read = now(store.read(&stream(1), Seq(0))).expect("readable");
                assert!(read.records.iter().all(|record| record.1 == b"first"));
            }
        }
    }
    assert!(damaged > 2 * repaired && repaired > 0, "{damaged} damaged, {repaired} repaired");
}

#[test]
fn a_torn_journal_that_a_log_is_ahead_of_had_been_synced() {
    let disk = SimDisk::new(12);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["one", "two"])], Sync::Now)).expect("stored");
    now(store.flush()).expect("durable");
    drop(store);
    disk.kill();
    let journal = journal_files(&disk, root()).remove(0);
    let last = bits(&disk, &journal) - 1;
    flip(&disk, &journal, last);
    let (store, found) = open(&disk).expect("opens");
    assert!(matches!(found.journal, JournalVerdict::Damaged { .. }), "{:?}", found.journal);
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("readable").records.len(), 2);
}

#[test]
fn a_missing_journal_is_damage() {
    let disk = settled(true);
    disk.remove(&journal_files(&disk, root()).remove(0)).expect("removed");
    let (store, found) = open(&disk).expect("opens");
    assert!(matches!(found.journal, JournalVerdict::Damaged { .. }));
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("readable").records.len(), 4);
}

#[test]
fn a_gap_between_journal_files_is_damage() {
    let disk = SimDisk::new(12);
    let (store, _) = open(&disk).expect("opens");
    for seq in 0..30 {
        now(store.append_all(vec![append(1, seq, &["a record of some length"])], Sync::Now)).expect("stored");
    }
    drop(store);
    disk.kill();
    let files = journal_files(&disk, root());
    assert!(files.len() > 3);
    disk.remove(&files[1]).expect("removed");
    let (_store, found) = open(&disk).expect("opens");
    assert!(matches!(found.journal, JournalVerdict::Damaged { .. }));
    assert_eq!(journal_files(&disk, root()).len(), files.len() - 1, "nothing is removed");
}

#[test]
fn a_log_that_disagrees_with_the_journal_is_quarantined_and_the_journal_kept_beside_it() {
    let disk = unsettled();
    // The log of another store, with a first record that this journal says was different.
    let other = SimDisk::new(1);
    let (store, _) = open(&other).expect("opens");
    now(store.append_all(vec![append(1, 0, &["other"])], Sync::Now)).expect("stored");
    now(store.flush()).expect("durable");
    let foreign = other.read(&events(1), u64::MAX).expect("readable");
    disk.create_dir_all(events(1).parent().expect("a directory")).expect("made");
    let mut file = disk.create_new(&events(1)).expect("made");
    file.append(&foreign).expect("written");
    drop(file);
    let (store, found) = open(&disk).expect("opens");
    assert!(matches!(found.streams[0].verdict, StreamVerdict::Quarantined { .. }));
    assert_eq!((&found.streams[1].verdict, found.streams[1].last), (&StreamVerdict::Ok, Seq(3)));
    assert_eq!(disk.read(&events(1), u64::MAX).expect("readable"), foreign, "it is left alone");
    assert!(disk.len(&events(1).with_file_name("events.log.journal-2")).expect("readable").is_some());
    now(store.append_all(vec![append(2, 3, &["x"])], Sync::Now)).expect("others go on");
}

#[test]
fn a_torn_log_is_completed_from_the_journal() {
    let whole = {
        let disk = unsettled();
        drop(open(&disk).expect("opens"));
        disk.read(&events(1), u64::MAX).expect("readable")
    };
    for len in 0..whole.len() {
        for junk in [0, 7] {
            let disk = unsettled();
            disk.create_dir_all(events(1).parent().expect("a directory")).expect("made");
            // A header reaches the disk whole or not at all: it lies in one sector.
            let mut torn = if len + junk >= 20 && len < 20 { vec![0; len] } else { whole[..len].to_vec() };
            torn.resize(len + junk, 0);
            disk.create_new(&events(1)).expect("made").append(&torn).expect("written");
            let (store, found) = open(&disk).expect("opens");
            assert_eq!((&found.streams[0].verdict, found.streams[0].last), (&StreamVerdict::Ok, Seq(3)), "length {len}");
            assert_eq!(now(store.read(&stream(1), Seq(0))).expect("readable").damaged, None);
        }
    }
}
