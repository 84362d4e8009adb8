//! Removed runs: wholly there or wholly gone, whatever happens, and never back.

use comfyd_engine::{RunId, Seq, StreamId};
use comfyd_server::store::{Disk, Fault, FileStore, JournalVerdict, SimDisk, StreamVerdict, Sync};

use crate::support::{append, events, now, open, root, stream};

fn run(n: usize) -> RunId {
    match stream(n) {
        StreamId::Run(run) => run,
        StreamId::Instance(_) | StreamId::Setup(_) => panic!("streams from 1 on are runs"),
    }
}

/// Files and directories that are named for a run.
fn left(disk: &SimDisk, n: usize) -> Vec<String> {
    let name = run(n).to_string();
    let in_dir = |dir: &str| disk.list(&root().join(dir)).expect("listed").into_iter().filter(|found| *found == name);
    in_dir("runs").map(|name| format!("runs/{name}")).chain(in_dir("removed").map(|name| format!("removed/{name}"))).collect()
}

fn there(store: &FileStore, n: usize) -> bool {
    now(store.known_streams()).contains(&stream(n))
}

fn clear(store: &FileStore) {
    while store.clear_removed().expect("cleared") {}
}

#[test]
fn a_removed_run_is_gone_at_once_and_its_files_when_the_journal_has_moved_on() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["a", "b"]), append(2, 0, &["c"])], Sync::Now)).expect("stored");
    now(store.remove(vec![run(1)])).expect("removed");
    assert!(!there(&store, 1) && there(&store, 2));
    clear(&store);
    assert_eq!(left(&disk, 1), [format!("removed/{}", run(1))], "the journal has its records");
    // Small journals rotate soon.
    for seq in 1..40 {
        now(store.append_all(vec![append(2, seq, &["some more for the other run"])], Sync::Now)).expect("stored");
    }
    now(store.flush()).expect("flushed");
    clear(&store);
    assert_eq!(left(&disk, 1), [""; 0]);
    drop(store);
    let (store, found) = open(&disk).expect("opens");
    assert!(!there(&store, 1));
    assert_eq!(
        found.streams.iter().map(|stream| (stream.stream.clone(), stream.last)).collect::<Vec<_>>(),
        [(stream(2), Seq(40))]
    );
}

#[test]
fn a_mark_stays_until_the_next_start_where_the_journal_stays() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["a"]), append(2, 0, &["b"])], Sync::Now)).expect("stored");
    now(store.remove(vec![run(1), run(2)])).expect("removed");
    drop(store);
    disk.crash_hard();
    let (store, found) = open(&disk).expect("opens");
    assert_eq!(found.streams, []);
    clear(&store);
    assert_eq!((left(&disk, 1), left(&disk, 2)), (vec![], vec![]));
    assert_eq!(disk.len(&events(1)).expect("looked"), None);
}

/// One life: two runs, one of which is removed. Tells what was acknowledged: both runs, and the removal.
fn life(disk: &SimDisk) -> (bool, bool) {
    let Ok((store, _)) = open(disk) else { return (false, false) };
    let batch = vec![append(1, 0, &["a", "b"]), append(2, 0, &["c"])];
    let made = now(store.append_all(batch, Sync::Now)).is_ok();
    store.snapshot(&stream(1), Seq(2), "{}".to_owned());
    // What fails here is seen by what is acknowledged.
    let _ = now(store.flush());
    let removed = made && now(store.remove(vec![run(1)])).is_ok();
    let _ = store.clear_removed();
    let more = vec![append(2, 1, &["d".repeat(700).as_str()])];
    let _ = now(store.append_all(more, Sync::Now));
    let _ = now(store.append_all(vec![append(2, 2, &["e"])], Sync::Now));
    let _ = now(store.flush());
    let _ = store.clear_removed();
    let _ = now(store.shutdown());
    (made, removed)
}

#[test]
fn power_may_go_at_every_step() {
    for end in [SimDisk::crash, SimDisk::crash_hard, SimDisk::kill] {
        let mut acknowledged = 0;
        for at in 1.. {
            assert!(at < 1_000, "it never ends");
            let disk = SimDisk::new(at);
            disk.plan(Fault::Power(at));
            let (made, removed) = life(&disk);
            let off = disk.is_off();
            acknowledged += u32::from(off && removed);
            if !off {
                break;
            }
            end(&disk);
            // A start may be cut as well; what it finds is the same.
            let mut before: Option<bool> = None;
            for again in [7 + at % 23, u64::MAX] {
                disk.plan(Fault::Power(again));
                let opened = open(&disk);
                let Ok((store, found)) = opened else {
                    end(&disk);
                    continue;
                };
                assert!(!matches!(found.journal, JournalVerdict::Damaged { .. }), "{at}: {:?}", found.journal);
                let of = |n: usize| found.streams.iter().find(|found| found.stream == stream(n));
                if let Some(one) = of(1) {
                    assert!(!removed, "{at}: a removed run is back");
                    assert_eq!(before, None.or(before.filter(|there| *there)), "{at}: it was gone before");
                    assert!(!matches!(one.verdict, StreamVerdict::Quarantined { .. }), "{at}: {one:?}");
                    assert!(!made || one.last == Seq(2), "{at}: {one:?}");
                }
                if made {
                    let other = of(2).unwrap_or_else(|| panic!("{at}: the other run is lost"));
                    assert!(!matches!(other.verdict, StreamVerdict::Quarantined { .. }), "{at}: {other:?}");
                }
                before = Some(of(1).is_some());
                let _ = store.clear_removed();
                let _ = now(store.shutdown());
                drop(store);
                end(&disk);
            }
        }
        assert!(acknowledged > 5, "power went after the removal only {acknowledged} times");
    }
}

#[test]
fn what_cannot_be_marked_stays() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["a"])], Sync::Now)).expect("stored");
    now(store.flush()).expect("flushed");
    disk.plan(Fault::Sync(1));
    now(store.remove(vec![run(1)])).expect_err("not synced");
    assert!(there(&store, 1));
    assert_eq!(now(store.read(&stream(1), Seq(0))).expect("read").records.len(), 1);
    now(store.remove(vec![run(1)])).expect("removed");
    assert!(!there(&store, 1));
}

#[test]
fn what_was_refused_does_not_happen_with_the_next_start() {
    for end in [SimDisk::crash, SimDisk::crash_hard, SimDisk::kill] {
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let (store, _) = open(&disk).expect("opens");
            now(store.append_all(vec![append(1, 0, &["a"])], Sync::Now)).expect("stored");
            now(store.flush()).expect("flushed");
            disk.plan(Fault::Sync(1));
            now(store.remove(vec![run(1)])).expect_err("not synced");
            // It goes on as before: its end is known.
            now(store.append_all(vec![append(1, 1, &["b"])], Sync::Now)).expect("stored");
            drop(store);
            end(&disk);
            let (store, _) = open(&disk).expect("opens");
            assert!(there(&store, 1), "{seed}");
        }
    }
}

#[test]
fn notes_last_as_long_as_they_are_kept() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).expect("opens");
    now(store.append_all(vec![append(1, 0, &["a"])], Sync::Now)).expect("stored");
    now(store.keep_note(run(1), "known".to_owned())).expect("kept");
    now(store.remove(vec![run(1)])).expect("removed");
    drop(store);
    disk.crash_hard();
    let (store, _) = open(&disk).expect("opens");
    clear(&store);
    let notes = now(store.notes()).expect("listed");
    assert_eq!(notes.iter().map(|(run, text)| (*run, text.as_deref().ok())).collect::<Vec<_>>(), [(run(1), Some(&b"known"[..]))]);
    now(store.drop_note(run(1))).expect("gone");
    now(store.drop_note(run(1))).expect("it is not there");
    assert!(now(store.notes()).expect("listed").is_empty());
}

#[test]
fn links_are_removed_and_not_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tree, elsewhere) = (dir.path().join("tree"), dir.path().join("elsewhere"));
    std::fs::create_dir_all(tree.join("deep")).expect("made");
    std::fs::create_dir(&elsewhere).expect("made");
    std::fs::write(elsewhere.join("kept"), "kept").expect("written");
    std::fs::write(tree.join("deep/file"), "gone").expect("written");
    std::os::unix::fs::symlink(&elsewhere, tree.join("deep/link")).expect("linked");
    let disk = comfyd_server::store::RealDisk;
    disk.remove_tree(&tree).expect("removed");
    assert!(!tree.exists() && elsewhere.join("kept").exists());
    disk.remove_tree(&tree).expect("it is not there");
}
