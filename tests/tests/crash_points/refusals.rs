//! Every write and every sync fails once: nothing acknowledged is lost, waiters are told, the server goes on.

use std::time::Duration;

use comfyd_engine::Force;
use comfyd_server::app::{Filter, Readiness};
use comfyd_server::store::{Fault, SimDisk};
use comfyd_tests::world::in_simulation;

use crate::support::{CANCELLED, MANY, SIMPLE, SLOW, Tale, Teller, UPLOADING, differences};

/// Tells a story with every failure of a kind; gives how often something was refused.
fn every(tale: Tale, fault: fn(u64) -> Fault) -> u32 {
    let undisturbed = in_simulation(async {
        let mut teller = Teller::new(tale, 3, None);
        let (_, view) = teller.tell().await;
        teller.shape(&view)
    });
    let mut refusals = 0;
    for nth in 1..MANY {
        let (shape, reached, refused) = in_simulation(async {
            let mut teller = Teller::with_fault(tale, 3 + nth, fault(nth));
            let (run, view) = teller.tell().await;
            let reached = !teller.world.disk.is_threatened();
            teller.world.kill_server().await;
            // What was only said to be synced shows now.
            teller.world.disk.crash_hard();
            teller.check(run, &view).await;
            (teller.shape(&view), reached, teller.refusals)
        });
        let differences = differences(&shape, &undisturbed);
        assert!(differences.is_empty(), "{tale:?}, failing {:?}: {differences:#?}", fault(nth));
        refusals += refused;
        if !reached {
            assert!(nth > 20, "{tale:?} has more of them than {nth}");
            return refusals;
        }
    }
    panic!("the story never ends");
}

#[test]
fn every_sync_may_fail() {
    for tale in [SIMPLE, SLOW, UPLOADING, CANCELLED] {
        assert!(every(tale, Fault::Sync) > 0, "{tale:?}: a waiter is told");
    }
}

#[test]
fn every_write_may_fail() {
    for tale in [SIMPLE, SLOW, UPLOADING, CANCELLED] {
        assert!(every(tale, Fault::Write) > 0, "{tale:?}: a waiter is told");
    }
}

#[test]
fn a_disk_that_goes_on_failing_makes_the_server_read_only_until_it_is_started_again() {
    in_simulation(async {
        let mut world = SLOW.world(5);
        world.start().await;
        let app = world.server().app.clone();
        let run = app.execute(SLOW.request()).await.expect("the disk works").run_id;
        world.wait(run, Duration::from_secs(10), |view| view.progress.completed_nodes > 0).await;
        // Everything fails from here on, and the process lives on.
        world.disk.plan(Fault::Power(1));
        for _ in 0..3 {
            let refused = app.execute(SIMPLE.request()).await.expect_err("nothing can be stored");
            assert_eq!(refused.status, 503, "{refused:?}");
        }
        assert!(matches!(app.readiness(), Readiness::ReadOnly(_)), "{:?}", app.readiness());
        let refused = app.cancel(run, Force::No).await.expect_err("nothing can be stored");
        assert_eq!(refused.status, 503, "{refused:?}");
        let listed = app.list(&Filter { limit: 10, ..Filter::default() }).runs;
        assert_eq!(listed.iter().map(|run| run.run_id).collect::<Vec<_>>(), [run], "what was refused is not there");
        assert!(!app.view(run).await.expect("reads go on").stopping, "what was refused is not shown");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!app.view(run).await.expect("reads go on").stopping);
        world.kill_server().await;
        SimDisk::crash_hard(&world.disk);
        world.start().await;
        assert_eq!(world.server().app.readiness(), Readiness::Ready);
        let view = world.wait(run, Duration::from_mins(1), |view| view.status.is_settled()).await;
        assert_eq!(view.status.as_str(), "completed");
        assert_eq!(world.fake.ledger().prompt(&run.to_string()).posts, 1);
        world.submit(comfyd_fixtures::workflows::named("06_text").expect("a fixture").json).await.expect("it takes new work");
        world.shut_down().await;
    });
}
