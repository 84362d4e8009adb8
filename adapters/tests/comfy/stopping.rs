//! Stopping hits ours and nobody else's (I14).

use std::time::Duration;

use bytes::Bytes;
use comfyd_engine::{Force, Input, Outcome, Request};
use comfyd_fixtures::{FakeComfy, FakeConfig, ServerVersion, workflows};

use crate::world::World;

fn slow() -> &'static str {
    workflows::named("20_custom_slow_previews").unwrap().json
}

fn cancel(force: Force) -> Request {
    Request::Cancel { force }
}

/// Somebody else's prompt.
async fn foreign(world: &World, id: &str) {
    let other = slow().replace("\"seed\": 1", "\"seed\": 77");
    let body = format!(r#"{{"prompt": {other}, "prompt_id": "{id}", "client_id": "somebody"}}"#);
    assert_eq!(world.http.post_prompt(Bytes::from(body)).await.unwrap().status, 200);
}

fn versions() -> [ServerVersion; 3] {
    [ServerVersion::newest(), ServerVersion::reference(), ServerVersion::v0_3_64()]
}

#[tokio::test(start_paused = true)]
async fn a_running_prompt_is_stopped_and_the_next_one_is_not() {
    for version in versions() {
        let fake = FakeComfy::new(FakeConfig { version: version.clone(), ..FakeConfig::default() });
        let mut world = World::new(&fake);
        let run = world.start(slow());
        world.phased(run, "running").await;
        foreign(&world, "foreign").await;
        world.say(Input::Request(run, cancel(Force::No)));
        assert_eq!(world.settled(run).await, "cancelled", "{}", version.name);
        let ledger = fake.ledger();
        assert_eq!(ledger.foreign_victims, [], "{}", version.name);
        assert_eq!((ledger.prompt("foreign").interrupts, ledger.prompt("foreign").deletes), (0, 0), "{}", version.name);
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_prompt_is_taken_out_of_the_queue() {
    for version in versions() {
        let fake = FakeComfy::new(FakeConfig { version: version.clone(), ..FakeConfig::default() });
        let mut world = World::new(&fake);
        world.online().await;
        foreign(&world, "foreign").await;
        let run = world.start(slow());
        world.phased(run, "pending").await;
        world.say(Input::Request(run, cancel(Force::No)));
        assert_eq!(world.settled(run).await, "cancelled", "{}", version.name);
        assert_eq!(fake.ledger().prompt(&run.to_string()).executions, 0);
        assert_eq!(fake.ledger().foreign_victims, []);
        assert_eq!(fake.ledger().prompt("foreign").interrupts, 0);
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_server_is_asked_to_stop_only_if_the_user_insists() {
    let fake = FakeComfy::new(FakeConfig { version: ServerVersion::old(), ..FakeConfig::default() });
    let mut world = World::new(&fake);
    let run = world.start(slow());
    world.phased(run, "running").await;
    world.say(Input::Request(run, cancel(Force::No)));
    let refused = |input: &Input| matches!(input, Input::Outcome(_, Outcome::CannotStop { .. }));
    world.until("it is refused", |world| world.count(refused) > 0).await;
    assert_eq!(fake.ledger().requests.get("POST /interrupt"), None);
    world.say(Input::Request(run, cancel(Force::Yes)));
    assert_eq!(world.settled(run).await, "cancelled");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_at_any_moment_hits_nobody_else() {
    for version in versions() {
        for wait in (0..6_000).step_by(499) {
            let fake = FakeComfy::new(FakeConfig { version: version.clone(), ..FakeConfig::default() });
            let mut world = World::new(&fake);
            world.online().await;
            let run = world.start(slow());
            foreign(&world, "foreign").await;
            let at = world.now() + wait;
            world
                .until("the moment has come", |world| world.now() >= at || world.engine.run(run).unwrap().phase().is_settled())
                .await;
            if !world.engine.run(run).unwrap().phase().is_settled() {
                world.say(Input::Request(run, cancel(Force::No)));
            }
            let end = world.settled(run).await;
            assert!(["cancelled", "completed"].contains(&end), "{end} after {wait} ms");
            // Long enough for a late stop to do its harm.
            tokio::time::sleep(Duration::from_secs(30)).await;
            let ledger = fake.ledger();
            assert_eq!(ledger.foreign_victims, [], "{} after {wait} ms", version.name);
            assert_eq!((ledger.prompt("foreign").interrupts, ledger.prompt("foreign").deletes), (0, 0), "after {wait} ms");
            world.end().await;
        }
    }
}
