//! What is written and not yet synced: it goes nowhere, and asking for its sync is a sync.

use comfyd_engine::Seq;
use comfyd_engine::journal::scan::{Rule, scan};
use comfyd_server::store::{AppendError, Disk, Fault, FileStore, Health, SimDisk, StreamVerdict, Sync};

use crate::support::{Model, append, events, journal_files, now, open, root, stream};

/// How the core loop makes notes durable.
fn sync_now(store: &FileStore) -> Result<(), AppendError> {
    now(store.append_all(vec![], Sync::Now))
}

/// What the running system sees of a stream: the records in its log, and the one that its snapshot shows.
fn seen(disk: &SimDisk, n: usize) -> (u64, u64) {
    let log = disk.read(&events(n), u64::MAX).unwrap_or_default();
    let state = disk.read(&events(n).with_file_name("state.json"), u64::MAX).unwrap_or_default();
    let shown = serde_json::from_slice(&state).ok().and_then(|json: serde_json::Value| json["seq"].as_u64());
    (scan(&log, Rule::default()).prefix.last, shown.unwrap_or(0))
}

/// Were the power to go now, with nothing left but what was synced, all that logs and snapshots tell would still be true.
fn check_nothing_ahead(disk: &SimDisk, when: &str) {
    let after = disk.fork();
    after.crash_hard();
    let (store, found) = open(&after).expect("opens");
    assert_eq!(store.health(), Health::Healthy, "{when}");
    assert!(found.streams.iter().all(|found| found.verdict == StreamVerdict::Ok), "{when}: {found:?}");
    for n in 0..4 {
        let durable = now(store.read(&stream(n), Seq(0))).expect("readable").records.len() as u64;
        let (logged, shown) = seen(disk, n);
        assert!(logged <= durable, "{when}: the log of stream {n} has {logged} records, {durable} are durable");
        assert!(shown <= durable, "{when}: the snapshot of stream {n} shows record {shown}, {durable} are durable");
    }
}

/// Notes, each of which is followed by another try to get it out too early.
fn live(store: &FileStore, model: &mut Model, mut after_each: impl FnMut(&str)) {
    use comfyd_server::store::Class::Ordinary;
    for round in 0..16_usize {
        // What an answer means is the model's business.
        let _ = model.append(store, &[(round % 3, 1, 20), (3, 1, 60)], Sync::Lazy, Ordinary);
        after_each("written");
        match round % 4 {
            // A snapshot takes what it shows with it; the log follows while the journal has more unsynced.
            0 => model.snapshot(store, 3),
            1 => drop(model.append(store, &[], Sync::Lazy, Ordinary)),
            _ => drop(model.append(store, &[], Sync::Now, Ordinary)),
        }
        after_each("asked for");
        let _ = model.append(store, &[(round % 3, 1, 20)], Sync::Lazy, Ordinary);
        match round % 5 {
            0 => store.tick(),
            1 => drop(model.append(store, &[], Sync::Now, Ordinary)),
            2 => model.snapshot(store, round % 3),
            3 if now(store.flush()).is_ok() => model.all_sure(),
            _ => drop(now(store.read(&stream(3), Seq(0)))),
        }
        after_each("seen");
    }
}

#[test]
fn no_log_and_no_snapshot_is_ahead_of_the_synced_journal() {
    let disk = SimDisk::new(7);
    let (store, _) = open(&disk).expect("opens");
    let mut steps = 0;
    live(&store, &mut Model::default(), |when| {
        steps += 1;
        check_nothing_ahead(&disk, &format!("step {steps}, {when}"));
    });
    assert!((0..4).all(|n| seen(&disk, n).0 > 0), "the logs are written meanwhile");
    assert!(seen(&disk, 3).1 > 0, "and so are snapshots");
}

#[test]
fn no_log_and_no_snapshot_is_ahead_wherever_the_power_goes() {
    let mut nth = 0;
    loop {
        nth += 1;
        let disk = SimDisk::new(nth);
        let mut model = Model::default();
        disk.plan(Fault::Power(nth));
        let Ok((store, _)) = open(&disk) else { continue };
        live(&store, &mut model, |_| ());
        drop(store);
        check_nothing_ahead(&disk, &format!("power gone at change {nth}"));
        let off = disk.is_off();
        disk.crash_hard();
        let (store, recovered) = open(&disk).expect("opens");
        model.check(&disk, &store, &recovered);
        if !off {
            break;
        }
        assert!(nth < 2000, "the life never ends");
    }
    assert!(nth > 60, "a life has more changes than {nth}");
}

#[test]
fn an_empty_batch_makes_the_notes_before_it_durable() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["note"])], Sync::Lazy)).expect("written");
    disk.take_log();
    now(store.append_all(vec![append(1, 1, &[])], Sync::Lazy)).expect("nothing to do");
    assert_eq!(disk.take_log(), Vec::<String>::new());
    sync_now(&store).expect("synced");
    assert_eq!(disk.take_log().first().map(|step| step.trim()), Some("sync"), "before anything else is written");
    let after = disk.fork();
    after.crash_hard();
    let (other, _) = open(&after).expect("opens");
    assert_eq!(now(other.read(&stream(1), Seq(0))).expect("readable").records, [(Seq(1), b"note".to_vec())]);
    sync_now(&store).expect("nothing to do");
    assert_eq!(disk.take_log(), Vec::<String>::new(), "what is durable is not synced again");
    let conflict = now(store.append_all(vec![append(1, 0, &[])], Sync::Now));
    assert!(matches!(conflict, Err(AppendError::Conflict { .. })), "no record, but a wrong end: {conflict:?}");
}

#[test]
fn an_empty_batch_whose_sync_fails_saves_the_notes_or_says_so() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["note"])], Sync::Lazy)).expect("written");
    disk.plan(Fault::Sync(1));
    sync_now(&store).expect("durable in a checked copy");
    check_nothing_ahead(&disk, "after the copy");
    assert_eq!(seen(&disk, 1).0, 1);

    now(store.append_all(vec![append(1, 1, &["lost"])], Sync::Lazy)).expect("written");
    disk.plan(Fault::Power(1));
    let refused = sync_now(&store);
    assert!(matches!(refused, Err(AppendError::ReadOnly { .. })), "{refused:?}");
    assert_eq!(seen(&disk, 1).0, 1, "what is not durable stays out of the log");
    check_nothing_ahead(&disk, "after the failure");
}

#[test]
fn an_empty_batch_finds_a_journal_that_was_taken_away() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["note"])], Sync::Lazy)).expect("written");
    for path in journal_files(&disk, root()) {
        disk.remove(&path).expect("removed");
    }
    let refused = sync_now(&store);
    assert!(matches!(refused, Err(AppendError::ReadOnly { .. })), "{refused:?}");
    assert_eq!(seen(&disk, 1).0, 0);
}

#[test]
fn an_empty_batch_does_not_make_up_for_failures() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).expect("opens");
    for failure in 1..=3 {
        assert_eq!(store.health(), Health::Healthy, "before failure {failure}");
        sync_now(&store).expect("there is nothing to sync");
        disk.plan(Fault::Sync(1));
        let failed = now(store.append_all(vec![append(1, 0, &["lost"])], Sync::Now));
        assert!(matches!(failed, Err(AppendError::NotWritten(_))), "{failed:?}");
    }
    assert!(matches!(store.health(), Health::ReadOnly { .. }), "three failures and no good sync between them");
    let refused = sync_now(&store);
    assert!(matches!(refused, Err(AppendError::ReadOnly { .. })), "{refused:?}");
}

#[test]
fn a_good_sync_makes_up_for_failures() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).expect("opens");
    for round in 0..5 {
        disk.plan(Fault::Sync(1));
        now(store.append_all(vec![append(1, round, &["lost"])], Sync::Now)).expect_err("not synced");
        now(store.append_all(vec![append(1, round, &["kept"])], Sync::Lazy)).expect("written");
        sync_now(&store).expect("synced");
        assert_eq!(store.health(), Health::Healthy, "round {round}");
    }
}
