//! Writes and syncs that fail, full disks, and power that goes at every step.

use comfyd_engine::Seq;
use comfyd_server::store::{AppendError, Class, Disk, Fault, FileStore, Health, SimDisk, Sync};

use crate::support::{Model, append, events, now, open, root, stream};

/// A life with everything in it; goes on after failures, stops when the store does.
fn live(store: &FileStore, model: &mut Model) {
    for round in 0..14_usize {
        let sync = if round % 3 == 1 { Sync::Lazy } else { Sync::Now };
        let parts = [(round % 5, 1 + round % 2, 30), (1 + round % 3, 1, 90)];
        // What an answer means is the model's business.
        let _ = model.append(store, &parts, sync, Class::Ordinary);
        model.snapshot(store, round % 5);
        match round % 4 {
            0 => store.tick(),
            1 => drop(model.append(store, &[], Sync::Now, Class::Ordinary)),
            2 if now(store.flush()).is_ok() => model.all_sure(),
            _ => {} // The other rounds only append.
        }
    }
    if now(store.shutdown()).is_ok() {
        model.all_sure();
    }
}

/// Runs a life with a fault in it, then every kind of restart; tells whether the fault was reached.
fn survive(fault: Option<Fault>, seed: u64) -> bool {
    let mut reached = true;
    for end in [SimDisk::crash as fn(&SimDisk), SimDisk::crash_hard, SimDisk::kill] {
        let disk = SimDisk::new(seed);
        let mut model = Model::default();
        if let Some(fault) = fault {
            disk.plan(fault);
        }
        let opened = open(&disk);
        if let Ok((store, _)) = &opened {
            live(store, &mut model);
        }
        // A plan that was carried out is gone, so that the next failure is this one's.
        reached = match fault {
            Some(Fault::Power(_)) => disk.create_dir_all(root()).is_err(),
            Some(Fault::Write(_) | Fault::Sync(_)) => disk.take_log().last().is_none() || !pending(&disk),
            None => false,
        };
        drop(opened);
        end(&disk);
        let (store, recovered) = open(&disk).unwrap_or_else(|error| panic!("{fault:?} seed {seed}: {error:?}"));
        model.check(&disk, &store, &recovered);
        // And it goes on working, over another crash.
        let _ = model.append(&store, &[(1, 2, 10), (6, 1, 10)], Sync::Now, Class::Ordinary).map_err(|error| panic!("{error:?}"));
        drop(store);
        disk.crash();
        let (store, recovered) = open(&disk).expect("opens again");
        model.check(&disk, &store, &recovered);
    }
    reached
}

/// Whether a planned write or sync failure is still to come: uses it up.
fn pending(disk: &SimDisk) -> bool {
    let Ok(mut file) = disk.create_new(&root().join("probe")) else { return false };
    (0..2).any(|_| file.append(b"x").is_err() || file.sync().is_err())
}

fn every(fault: impl Fn(u64) -> Fault, seeds: u64) {
    for seed in 0..seeds {
        let mut nth = 1;
        while survive(Some(fault(nth)), seed) {
            nth += 1;
            assert!(nth < 2000, "the life never ends");
        }
        assert!(nth > 20, "a life has more steps than {nth}");
    }
}

#[test]
fn a_life_without_faults_survives_every_restart() {
    for seed in 0..20 {
        survive(None, seed);
    }
}

#[test]
fn power_may_go_at_every_step() {
    every(Fault::Power, 6);
}

#[test]
fn every_sync_may_fail() {
    every(Fault::Sync, 4);
}

#[test]
fn every_write_may_fail() {
    every(Fault::Write, 4);
}

#[test]
fn a_failed_sync_is_not_retried_on_the_file_and_loses_nothing_else() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["kept"])], Sync::Now)).expect("stored");
    now(store.append_all(vec![append(1, 1, &["lazy"])], Sync::Lazy)).expect("written");
    disk.plan(Fault::Sync(1));
    let failed = now(store.append_all(vec![append(1, 2, &["lost"])], Sync::Now));
    assert!(matches!(failed, Err(AppendError::NotWritten(_))), "{failed:?}");
    assert_eq!(store.health(), Health::Healthy, "once is no reason to stop");
    now(store.append_all(vec![append(1, 2, &["next"])], Sync::Now)).expect("stored in the new file");
    disk.crash_hard();
    let (store, _) = open(&disk).expect("opens");
    let records = now(store.read(&stream(1), Seq(0))).expect("readable").records;
    assert_eq!(records.iter().map(|record| record.1.as_slice()).collect::<Vec<_>>(), [b"kept", b"lazy", b"next"]);
}

#[test]
fn three_failures_in_a_row_make_the_store_read_only() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["kept"])], Sync::Now)).expect("stored");
    disk.plan(Fault::Power(1));
    let failed = now(store.append_all(vec![append(1, 1, &["lost"])], Sync::Now));
    assert!(matches!(failed, Err(AppendError::NotWritten(_))), "{failed:?}");
    assert!(matches!(store.health(), Health::ReadOnly { .. }));
    let refused = now(store.append_all(vec![append(1, 1, &["lost"])], Sync::Now));
    assert!(matches!(refused, Err(AppendError::ReadOnly { .. })), "{refused:?}");
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("reads go on").records, [(Seq(1), b"kept".to_vec())]);
    disk.crash();
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(store.health(), Health::Healthy);
}

#[test]
fn a_full_disk_refuses_work_keeps_promises_and_recovers() {
    let used = {
        let disk = SimDisk::new(5);
        let (store, _) = open(&disk).expect("opens");
        live(&store, &mut Model::default());
        disk.used() + 4096
    };
    let mut refused = 0;
    for capacity in (0..used).step_by(37) {
        let disk = SimDisk::new(5);
        let mut model = Model::default();
        disk.set_capacity(Some(capacity));
        if let Ok((store, _)) = open(&disk) {
            live(&store, &mut model);
            let answer = model.append(&store, &[(7, 1, 2000)], Sync::Now, Class::Ordinary);
            refused += u32::from(matches!(answer, Err(AppendError::DiskFull(_))));
            assert!(!matches!(store.health(), Health::ReadOnly { .. }), "capacity {capacity}: {:?}", store.health());
        }
        disk.crash();
        disk.set_capacity(None);
        let (store, recovered) = open(&disk).unwrap_or_else(|error| panic!("capacity {capacity}: {error:?}"));
        model.check(&disk, &store, &recovered);
    }
    assert!(refused > 10, "the disk was full only {refused} times");
}

#[test]
fn endings_get_the_reserve_and_it_comes_back() {
    let disk = SimDisk::new(5);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["begun"])], Sync::Now)).expect("stored");
    disk.set_capacity(Some(disk.used()));
    // The room set aside at the journal's end goes first.
    let mut model_seq = 0;
    let refused = loop {
        match now(store.append_all(vec![append(2, model_seq, &["work of some length"])], Sync::Now)) {
            Ok(()) => model_seq += 1,
            Err(error) => break error,
        }
        assert!(model_seq < 50, "the disk never fills");
    };
    assert!(matches!(refused, AppendError::DiskFull(_)), "{refused:?}");
    assert!(matches!(store.health(), Health::Degraded { .. }));
    assert!(disk.len(&root().join("reserve")).expect("readable").is_some());
    let mut ending = append(1, 1, &["cancelled, with as many words as are needed to leave no doubt"]);
    ending.class = Class::MayUseReserve;
    now(store.append_all(vec![ending], Sync::Now)).expect("the reserve is for this");
    assert!(disk.len(&root().join("reserve")).expect("readable").is_none());
    disk.set_capacity(None);
    store.tick();
    store.tick();
    assert_eq!(store.health(), Health::Healthy);
    assert!(disk.len(&root().join("reserve")).expect("readable").is_some());
    disk.crash_hard();
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("readable").records.len(), 2);
    assert!(disk.len(&events(1)).expect("readable").is_some());
}

#[test]
fn a_failed_sync_is_remembered_by_the_next_process() {
    let disk = SimDisk::new(5);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["promised"])], Sync::Now)).expect("stored");
    // The log's sync fails, and there is no room for the copy that would replace it.
    disk.plan(Fault::Sync(1));
    disk.set_capacity(Some(disk.used() - 256));
    now(store.flush()).expect_err("not durable in the log of the run");
    drop(store);
    // The next process sees all bytes in the file; a sync of it would say that all is well.
    disk.kill();
    disk.set_capacity(None);
    let (store, _) = open(&disk).expect("opens");
    now(store.shutdown()).expect("durable");
    drop(store);
    disk.crash_hard();
    let (store, _) = open(&disk).expect("opens");
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("readable").records, [(Seq(1), b"promised".to_vec())]);
}

#[test]
fn records_that_no_sync_covered_reach_no_log_before_the_journal_is_synced() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk).expect("opens");
        now(store.append_all(vec![append(0, 0, &["link"]), append(1, 0, &["made over the link"])], Sync::Lazy)).expect("written");
        drop(store);
        disk.kill();
        // Opening completes the logs from what the dead process had written, and is cut in turn.
        disk.plan(Fault::Power(1 + seed % 25));
        drop(open(&disk));
        disk.crash();
        let (store, _) = open(&disk).expect("opens");
        let count = |n| now(store.read(&stream(n), Seq(0))).expect("readable").records.len();
        assert!(count(0) >= count(1), "seed {seed}: an effect without its cause");
    }
}

#[test]
fn a_rotation_that_fails_leaves_a_file_that_does_no_harm() {
    let disk = SimDisk::new(5);
    let (store, _) = open(&disk).expect("opens");
    let long = "x".repeat(700);
    now(store.append_all(vec![append(1, 0, &[&long])], Sync::Now)).expect("stored");
    // Of the new file's two syncs the second fails: it has its name already.
    disk.plan(Fault::Sync(2));
    now(store.append_all(vec![append(1, 1, &["in the old file"])], Sync::Now)).expect("stored");
    assert_eq!(crate::support::journal_files(&disk, root()).len(), 2);
    for seq in 2..6 {
        now(store.append_all(vec![append(1, seq, &[&long])], Sync::Now)).expect("stored");
    }
    disk.kill();
    let (store, found) = open(&disk).expect("opens");
    assert_eq!(found.journal, comfyd_server::store::JournalVerdict::Clean);
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("readable").records.len(), 6);
}
