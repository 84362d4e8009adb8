//! No room on the disk: new runs are refused, what exists can be stopped and ends, and all is well once there is room.

use std::time::Duration;

use comfyd_engine::{Force, RunId, RunView};
use comfyd_server::app::Readiness;
use comfyd_tests::world::{World, in_simulation};

use crate::support::{SIMPLE, SLOW, Tale, check_files, check_state};

/// Longer than a story takes.
const SOON: Duration = Duration::from_mins(1);
const HALF: Duration = Duration::from_secs(30);
/// A run with a name of its own in the instance's cache.
const OTHER: Tale = Tale { inputs: &[("1.steps", "5"), ("2.steps", "3")], keyed: false, ..SLOW };

/// A server with a run that executes and one behind it.
async fn busy(min_free: u64) -> (World, RunId, RunId) {
    let mut world = SLOW.world(9);
    world.min_free = min_free;
    world.start().await;
    let app = world.server().app.clone();
    let first = app.execute(Tale { keyed: false, ..SLOW }.request()).await.expect("there is room").run_id;
    world.wait(first, SOON, |view| view.progress.current_node.is_some()).await;
    let second = app.execute(OTHER.request()).await.expect("there is room").run_id;
    world.wait(second, SOON, |view| view.phase == "pending").await;
    (world, first, second)
}

async fn settled(world: &World, run: RunId) -> RunView {
    world.wait(run, SOON, |view| view.status.is_settled() && view.outputs.iter().all(|output| output.downloaded)).await
}

/// After the trouble: new work is done by the same server, and everything outlives a loss of power.
async fn heals(mut world: World, runs: &[(RunId, &str)], about: &str) {
    world.disk.set_capacity(None);
    for (run, ending) in runs {
        let view = settled(&world, *run).await;
        assert_eq!(view.status.as_str(), *ending, "{about}");
    }
    // The free room is looked at every now and then.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let app = world.server().app.clone();
    assert_eq!(app.readiness(), Readiness::Ready, "{about}");
    let new = app.execute(SIMPLE.request()).await.unwrap_or_else(|problem| panic!("{about}: {problem:?}")).run_id;
    assert_eq!(settled(&world, new).await.status.as_str(), "completed", "{about}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.kill_server().await;
    world.disk.crash_hard();
    world.start().await;
    for (run, ending) in runs.iter().copied().chain([(new, "completed")]) {
        let view = world.view(run).await;
        assert_eq!(view.status.as_str(), ending, "{about}");
        let record = world.fake.ledger().prompt(&run.to_string());
        assert!(record.posts == 1 || (ending == "cancelled" && record.posts == 0), "{about}: {record:?}");
        check_files(&world, run, &view, about);
        check_state(&world, run, about).await;
    }
    world.shut_down().await;
}

#[test]
fn new_runs_are_refused_before_there_is_no_room_at_all() {
    in_simulation(async {
        let min_free = 64 << 20;
        let (world, first, second) = busy(min_free).await;
        world.disk.set_capacity(Some(world.disk.used() + min_free - 1));
        let app = world.server().app.clone();
        let refused = app.execute(SIMPLE.request()).await.expect_err("there is too little room");
        assert_eq!((refused.status, refused.code.as_str()), (507, "disk_full"), "{refused:?}");
        app.cancel(first, Force::No).await.expect("a cancelling gets through");
        assert_eq!(world.wait(first, SOON, |view| view.status.is_settled()).await.status.as_str(), "cancelled");
        // Its outputs wait for room, and it says so.
        let waits = world.wait(second, SOON, |view| view.phase == "collecting" && view.attention.is_some()).await;
        assert!(waits.outputs.iter().all(|output| output.local_name.is_none()), "{:?}", waits.outputs);
        heals(world, &[(first, "cancelled"), (second, "completed")], "below the minimum").await;
    });
}

#[test]
fn at_every_level_cancels_and_endings_get_through() {
    let mut levels: Vec<u64> = (0..40).map(|n| n * 97).collect();
    levels.extend((12..24).map(|power| (1 << power) + 41));
    for room in levels {
        in_simulation(async {
            let about = format!("room for {room} bytes");
            let (world, first, second) = busy(0).await;
            world.disk.set_capacity(Some(world.disk.used() + room));
            let app = world.server().app.clone();
            // Whatever the answer is, it is kept.
            let third = match app.execute(SIMPLE.request()).await {
                Ok(created) => Some(created.run_id),
                Err(problem) => {
                    assert_eq!(problem.status, 507, "{about}: {problem:?}");
                    None
                }
            };
            let mut wishes = 0;
            while let Err(problem) = app.cancel(first, Force::No).await {
                wishes += 1;
                assert!(wishes < 2, "{about}: {problem:?}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let stopped = world.wait(first, HALF, |view| view.status.is_settled()).await;
            assert_eq!(stopped.status.as_str(), "cancelled", "{about}");
            // The other one goes on as far as it can; nothing ends badly for want of room.
            tokio::time::sleep(HALF).await;
            let waits = world.view(second).await;
            assert!(["queued", "executing", "completed"].contains(&waits.status.as_str()), "{about}: {:?}", waits.error);
            let mut runs = vec![(first, "cancelled"), (second, "completed")];
            runs.extend(third.map(|run| (run, "completed")));
            heals(world, &runs, &about).await;
        });
    }
}
