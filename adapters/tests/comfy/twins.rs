//! A prompt that is posted again by itself, and arrives twice after all.

use std::time::Duration;

use comfyd_engine::Limits;
use comfyd_fixtures::{FakeComfy, FakeConfig, PostFault, workflows};

use crate::world::World;

/// A server that takes the first post only after so long, and a world where lost prompts are posted again.
fn world(fake: &FakeComfy, first: PostFault) -> World {
    fake.tune(|knobs| knobs.next_posts.push_back(first));
    let mut world = World::new(fake);
    world.engine.limit(Limits { resubmit_unknown: true, ..Limits::default() });
    world
}

fn sample(name: &str) -> &'static str {
    workflows::named(name).unwrap().json
}

#[tokio::test(start_paused = true)]
async fn what_was_not_accepted_is_posted_again_and_runs_once() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = world(&fake, PostFault::DropRequest);
    let run = world.start(sample("06_text"));
    assert_eq!(world.settled(run).await, "completed");
    assert!(world.now() >= 60_000, "not before the search is over: {} ms", world.now());
    world.until("nothing is looked for any more", |world| world.engine.run(run).unwrap().is_over()).await;
    let record = fake.ledger().prompt(&run.to_string());
    assert_eq!((record.posts, record.executions, record.deletes), (2, 1, 0));
    assert!(world.engine.run(run).unwrap().warnings().is_empty());
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_post_that_comes_late_is_taken_out_of_the_queue() {
    // Everything takes ten times as long, so that the second one still runs when the first one comes.
    let fake = FakeComfy::new(FakeConfig { time_scale: 0.1, ..FakeConfig::default() });
    let mut world = world(&fake, PostFault::AcceptAfter(Duration::from_secs(20)));
    let run = world.start(sample("20_custom_slow_previews"));
    assert_eq!(world.settled(run).await, "completed");
    world.until("nothing is looked for any more", |world| world.engine.run(run).unwrap().is_over()).await;
    let record = fake.ledger().prompt(&run.to_string());
    assert_eq!((record.posts, record.accepted, record.executions, record.deletes), (2, 2, 1, 1), "{:?}", world.kinds(run));
    let kinds = world.kinds(run);
    for kind in ["resubmit_requested", "twin_found", "twin_deleted", "twin_watch_ended"] {
        assert_eq!(kinds.iter().filter(|known| **known == kind).count(), 1, "{kind}: {kinds:?}");
    }
    assert!(world.engine.run(run).unwrap().warnings().is_empty(), "it ran once");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_ran_twice_is_told_so() {
    let fake = FakeComfy::new(FakeConfig::default());
    // The second one is seen to run for as long as its history entry is missing.
    fake.tune(|knobs| knobs.history_delay = Duration::from_secs(5));
    let mut world = world(&fake, PostFault::AcceptAfter(Duration::from_secs(200)));
    let run = world.start(sample("06_text"));
    assert_eq!(world.settled(run).await, "completed");
    world.until("nothing is looked for any more", |world| world.engine.run(run).unwrap().is_over()).await;
    let record = fake.ledger().prompt(&run.to_string());
    assert_eq!((record.executions, record.interrupts, record.deletes), (2, 0, 0), "{:?}", world.kinds(run));
    let codes: Vec<_> = world.engine.run(run).unwrap().warnings().iter().map(|warning| warning.code.clone()).collect();
    assert_eq!(codes, ["ran_twice"]);
    assert_eq!(world.phase(run), "completed");
    world.end().await;
}
