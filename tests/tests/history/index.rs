//! Whatever becomes of the index, the list is the same.

use comfyd_engine::journal::scan::{Rule, Verdict, scan};
use comfyd_server::store::Disk;
use comfyd_tests::past::{self, FAILING};
use comfyd_tests::world::in_simulation;

use crate::support::{index, known, listed, log, world, write};

const MANY: u64 = 2_000;

#[test]
fn two_thousand_runs_are_listed_as_they_were() {
    in_simulation(async {
        let mut world = world(MANY).await;
        world.start().await;
        assert_eq!(known(&world), 0, "there was no index");
        let all = listed(&world);
        assert_eq!(all.len() as u64, MANY);
        for (n, run) in (0..MANY).rev().zip(&all) {
            assert_eq!((run.run_id, run.workflow_name.as_str()), (past::run(n), past::name(n).as_str()));
            assert_eq!(run.status.as_str(), if n % FAILING == FAILING - 1 { "failed" } else { "completed" });
            assert_eq!(run.error.is_some(), run.status.as_str() == "failed");
            assert_eq!(world.server().app.resolve(&run.workflow_id).ok(), Some(run.run_id));
        }
        world.shut_down().await;
        // Now by the index alone: the snapshots are not looked at.
        for n in 0..MANY {
            world.disk.edit(&log(n).with_file_name("state.json"), Vec::clear);
        }
        world.start().await;
        assert_eq!(known(&world) as u64, MANY);
        assert_eq!(listed(&world), all);
        world.shut_down().await;
    });
}

/// Changes an index file.
type Damage = (&'static str, fn(&mut Vec<u8>));

const DAMAGE: [Damage; 11] = [
    ("empty", Vec::clear),
    ("only a header", |bytes| bytes.truncate(20)),
    ("half a header", |bytes| bytes.truncate(11)),
    ("cut in the middle of a record", |bytes| bytes.truncate(bytes.len() / 2 + 3)),
    ("cut before the last byte", |bytes| bytes.truncate(bytes.len() - 1)),
    ("a bit of the header", |bytes| bytes[13] ^= 4),
    ("a bit of the first record", |bytes| bytes[60] ^= 1),
    ("a bit in the middle", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 128;
    }),
    ("zeros at the end", |bytes| bytes.extend([0; 4096])),
    ("something else behind", |bytes| bytes.extend(b"{\"not\": \"a record\"}")),
    ("its own beginning again", |bytes| bytes.extend_from_within(20..500)),
];

#[test]
fn a_damaged_index_never_gives_a_wrong_list() {
    in_simulation(async {
        let mut world = world(300).await;
        world.start().await;
        let all = listed(&world);
        world.shut_down().await;
        let whole = world.disk.read(&index(), u64::MAX).expect("an index");
        for (what, damage) in DAMAGE {
            let mut bytes = whole.clone();
            damage(&mut bytes);
            world.disk.edit(&index(), |file| *file = bytes);
            world.start().await;
            assert!(known(&world) <= 300, "{what}");
            assert_eq!(listed(&world), all, "{what}");
            world.kill().await;
            // It has been made anew by now.
            let again = world.disk.read(&index(), u64::MAX).expect("an index");
            assert_eq!(scan(&again, Rule::default()).verdict, Verdict::Clean, "{what}");
            world.start().await;
            assert_eq!(known(&world), 300, "{what}");
            assert_eq!(listed(&world), all, "{what}");
            world.shut_down().await;
        }
        world.disk.remove(&index()).expect("removed");
        world.start().await;
        assert_eq!((known(&world), listed(&world)), (0, all), "missing");
        world.shut_down().await;
    });
}

#[test]
fn an_index_that_is_behind_or_ahead_is_put_right() {
    in_simulation(async {
        let mut world = world(100).await;
        world.start().await;
        world.shut_down().await;
        let old = world.disk.read(&index(), u64::MAX).expect("an index");
        // Behind: a hundred more runs came.
        write(&world.disk, 100, 200).await;
        world.disk.create_new(&index()).and_then(|mut file| file.append(&old)).expect("put back");
        world.start().await;
        assert_eq!((known(&world), listed(&world).len()), (100, 200));
        let new = listed(&world);
        world.shut_down().await;
        world.start().await;
        assert_eq!((known(&world), listed(&world)), (200, new));
        // Ahead: somebody took a directory away.
        world.shut_down().await;
        world.disk.edit(&log(8), |bytes| bytes.truncate(100));
        world.disk.remove_tree(log(7).parent().expect("a directory")).expect("removed");
        world.start().await;
        let left = listed(&world);
        assert_eq!((left.len(), left.iter().any(|run| run.run_id == past::run(7))), (199, false));
        // And one has lost its end: its snapshot says so, at once.
        let damaged: Vec<_> = left.iter().filter(|run| run.quarantined.is_some()).map(|run| run.run_id).collect();
        assert_eq!((damaged, known(&world)), (vec![past::run(8)], 198));
        world.shut_down().await;
    });
}

#[test]
fn a_removed_run_does_not_come_back_by_the_index() {
    in_simulation(async {
        let mut world = world(20).await;
        world.start().await;
        world.server().app.delete(past::run(5)).await.expect("removed");
        assert_eq!(listed(&world).len(), 19);
        world.power_cut().await;
        world.start().await;
        assert!(listed(&world).iter().all(|run| run.run_id != past::run(5)));
        assert_eq!(listed(&world).len(), 19);
        assert_eq!(world.server().app.delete(past::run(5)).await.expect_err("gone").status, 404);
        world.shut_down().await;
        world.start().await;
        assert_eq!(listed(&world).len(), 19);
        world.shut_down().await;
    });
}

#[test]
fn a_run_that_ends_now_is_known_by_the_next_start() {
    in_simulation(async {
        let mut world = world(3).await;
        world.start().await;
        let json = comfyd_fixtures::workflows::named("06_text").expect("a sample").json;
        let run = world.submit(json).await.expect("started");
        world.wait(run, std::time::Duration::from_mins(5), |view| view.status.is_settled()).await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let all = listed(&world);
        // In order, so that the journal has nothing to say of it.
        world.shut_down().await;
        world.start().await;
        assert_eq!((known(&world), listed(&world)), (4, all.clone()));
        // The entry made at the end is the one that its snapshot gives.
        world.shut_down().await;
        world.disk.remove(&index()).expect("removed");
        world.start().await;
        assert_eq!((known(&world), listed(&world)), (0, all));
        world.shut_down().await;
    });
}
