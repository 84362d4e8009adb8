//! Sockets that break or go silent, servers that end.

use std::time::Duration;

use comfyd_engine::{ComfyEvent, Input, LinkChange};
use comfyd_fixtures::{FakeComfy, FakeConfig, FrameChaos, workflows};

use crate::world::{CLIENT, World};

fn slow() -> &'static str {
    workflows::named("20_custom_slow_previews").unwrap().json
}

fn gap(input: &Input) -> bool {
    matches!(input, Input::Link(_, LinkChange::Gap { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_silent_socket_is_noticed_and_replaced() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    // Long after the last reconnect, so that the next one is due at once.
    world.online().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    fake.silence(CLIENT);
    let run = world.start(slow());
    world.phased(run, "running").await;
    let running = world.now();
    world.until("the gap is told", |world| world.count(gap) == 1).await;
    assert!(world.now() - running <= 6_000, "{} ms", world.now() - running);
    let progress = |input: &Input| matches!(input, Input::Observed(_, ComfyEvent::ProgressReported { .. }));
    world.until("frames come again", |world| world.count(progress) > 0).await;
    assert_eq!(world.settled(run).await, "completed");
    assert_eq!(fake.ledger().sockets, 2, "one reconnect was enough");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_socket_comes_back_and_the_run_ends_well() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let run = world.start(slow());
    world.phased(run, "running").await;
    for _ in 0..3 {
        let sockets = fake.ledger().sockets;
        fake.drop_sockets();
        let counted = fake.clone();
        world.until("the socket is open again", |_| counted.ledger().sockets > sockets).await;
    }
    assert_eq!(world.settled(run).await, "completed");
    assert!(world.kinds(run).contains(&"gap_noted"));
    assert_eq!(world.count(|input| matches!(input, Input::Link(_, LinkChange::Down { .. }))), 0, "HTTP answered all the time");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_told_before_the_instance_is_up_again() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let run = world.start(slow());
    world.phased(run, "running").await;
    fake.kill();
    let down = |input: &Input| matches!(input, Input::Link(_, LinkChange::Down { .. }));
    world.until("it is down", |world| world.count(down) == 1).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    fake.start();
    assert_eq!(world.settled(run).await, "failed");
    let changes: Vec<&LinkChange> = world
        .seen
        .iter()
        .filter_map(|(_, input)| match input {
            Input::Link(_, change @ (LinkChange::Up { .. } | LinkChange::Down { .. } | LinkChange::Restarted { .. })) => {
                Some(change)
            }
            _ => None,
        })
        .collect();
    let order = matches!(
        changes.as_slice(),
        [LinkChange::Up { .. }, LinkChange::Down { .. }, LinkChange::Restarted { .. }, LinkChange::Up { .. }]
    );
    assert!(order, "{changes:?}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_quick_restart_shows_in_the_history() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let first = world.start(workflows::named("06_text").unwrap().json);
    assert_eq!(world.settled(first).await, "completed");
    let run = world.start(slow());
    world.phased(run, "running").await;
    // Back before anybody could be refused.
    fake.kill();
    fake.start();
    assert_eq!(world.settled(run).await, "failed", "{:?}", world.kinds(run));
    let restarted =
        |input: &Input| matches!(input, Input::Link(_, LinkChange::Restarted { evidence }) if evidence.contains("history"));
    assert_eq!(world.count(restarted), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_cleared_history_is_no_restart() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let first = world.start(workflows::named("06_text").unwrap().json);
    assert_eq!(world.settled(first).await, "completed");
    let run = world.start(slow());
    world.phased(run, "running").await;
    fake.clear_history();
    fake.drop_sockets();
    assert_eq!(world.settled(run).await, "completed");
    assert_eq!(world.count(|input| matches!(input, Input::Link(_, LinkChange::Restarted { .. }))), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_is_down_and_comes_back() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let run = world.start(slow());
    world.phased(run, "running").await;
    fake.freeze();
    let down = |input: &Input| matches!(input, Input::Link(_, LinkChange::Down { .. }));
    world.until("it is down", |world| world.count(down) == 1).await;
    assert!(world.now() < 120_000, "{} ms", world.now());
    fake.thaw();
    assert_eq!(world.settled(run).await, "completed");
    assert_eq!(world.count(|input| matches!(input, Input::Link(_, LinkChange::Restarted { .. }))), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn lost_doubled_and_swapped_frames_do_no_harm() {
    for seed in 0..12 {
        let fake = FakeComfy::new(FakeConfig { seed, ..FakeConfig::default() });
        fake.tune(|knobs| knobs.frames = FrameChaos { drop_permille: 150, double_permille: 150, reorder_permille: 150 });
        let mut world = World::new(&fake);
        for name in ["20_custom_slow_previews", "22_custom_expand_and_lists", "24_custom_async_and_text"] {
            let run = world.start(workflows::named(name).unwrap().json);
            assert_eq!(world.settled(run).await, "completed", "{name} with seed {seed}");
        }
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stands_still_does_not_stop_the_reading() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let run = world.start(slow());
    world.phased(run, "running").await;
    let other = fake.clone();
    // Nobody takes inputs: the prompt must end all the same, and its progress must have been folded into little.
    let before = world.seen.len();
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if other.queue_remaining() == 0 {
            break;
        }
    }
    assert_eq!(fake.queue_remaining(), 0, "the server was not held up");
    assert_eq!(world.settled(run).await, "completed");
    assert!(world.seen.len() - before < 200, "{}", world.seen.len() - before);
    world.end().await;
}
