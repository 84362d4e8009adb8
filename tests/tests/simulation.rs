//! The whole server in a simulated world: crashes, lost answers, dropped, doubled and reordered frames; one seed is one story.

use std::collections::BTreeMap;
use std::time::Duration;

use comfyd_engine::{RunId, RunView};
use comfyd_fixtures::{FakeConfig, FrameChaos, Knobs, PostFault, ServerVersion, ViewFault, workflows};
use comfyd_server::store::Fault;
use comfyd_tests::world::{World, in_simulation};

/// How many stories a test run tells; `COMFYD_SEEDS` tells more, `COMFYD_SEED` exactly one.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("COMFYD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("COMFYD_SEEDS").unwrap_or(100),
    }
}

const STORIES: [&str; 6] = [
    "01_simple_save",
    "06_text",
    "20_custom_slow_previews",
    "21_custom_fails_midway",
    "22_custom_expand_and_lists",
    "25_custom_blocked_branch",
];

fn chance(world: &mut World, permille: u16) -> bool {
    world.rng.chance(permille)
}

async fn disturb(world: &mut World) {
    match world.rng.below(14) {
        0 => world.power_cut().await,
        1 => world.kill().await,
        2 => world.shut_down().await,
        3 => world.fake.drop_sockets(),
        4 => {
            for client in world.fake.registered() {
                world.fake.silence(&client);
            }
        }
        5 => {
            let fault = [PostFault::DropReply, PostFault::DropRequest, PostFault::ErrorAfterAccept, PostFault::ErrorBeforeAccept]
                [usize::try_from(world.rng.below(4)).unwrap_or(0)];
            world.fake.tune(|knobs| knobs.next_posts.push_back(fault));
        }
        6 => {
            let late = Duration::from_millis(world.rng.below(3_000));
            world.fake.tune(|knobs| knobs.next_posts.push_back(PostFault::AcceptAfter(late)));
        }
        7 => {
            let fault =
                [ViewFault::CutAfter(20), ViewFault::Transient(2), ViewFault::PromiseMore(10), ViewFault::PromiseLess(10)]
                    [usize::try_from(world.rng.below(4)).unwrap_or(0)];
            world.fake.tune(|knobs| knobs.next_views.push_back(fault));
        }
        8 => world.fake.tune(|knobs| knobs.failing_requests = 3),
        9 => {
            let down = Duration::from_millis(100 + world.rng.below(5_000));
            world.fake.restart(down).await;
        }
        10 => world.fake.tune(|knobs| knobs.http_delay = Duration::from_millis(300)),
        11 => world.disk.plan(Fault::Sync(1 + world.rng.below(4))),
        12 => world.disk.plan(Fault::Write(1 + world.rng.below(8))),
        _ => world.fake.tune(|knobs| knobs.http_delay = Duration::ZERO),
    }
}

async fn story(seed: u64) -> Vec<(RunId, RunView)> {
    let version = match seed % 4 {
        0 => ServerVersion::newest(),
        1 => ServerVersion::v0_3_75(),
        2 => ServerVersion::v0_3_64(),
        _ => ServerVersion::reference(),
    };
    let mut world = World::new(seed, FakeConfig { version, ..FakeConfig::default() });
    if chance(&mut world, 500) {
        let frames = FrameChaos { drop_permille: 50, double_permille: 50, reorder_permille: 50 };
        world.fake.tune(|knobs| knobs.frames = frames);
    }
    for _ in 0..12 {
        world.start().await;
        if world.acknowledged.len() < 5 && chance(&mut world, 600) {
            let name = STORIES[usize::try_from(world.rng.below(STORIES.len() as u64)).unwrap_or(0)];
            let json = workflows::named(name).expect("the story is listed").json;
            // A refusal is an answer too: then nothing was acknowledged.
            let _ = world.submit(json).await;
        }
        if chance(&mut world, 200)
            && let Some(run) = world.acknowledged.keys().next_back().copied()
        {
            world.cancel(run).await;
        }
        let pause = world.rng.below(1_500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world.check().await;
        disturb(&mut world).await;
        tokio::time::sleep(Duration::from_millis(world.rng.below(500))).await;
    }
    heal(&mut world).await;
    settle(&mut world).await
}

async fn heal(world: &mut World) {
    world.fake.tune(|knobs| *knobs = Knobs::default());
    world.fake.start();
    // A disk that failed too often leaves the server read-only until it is started again.
    world.kill().await;
    world.start().await;
}

/// Every run ends, or says what it waits for; what waits for the user is cancelled, and then ends.
async fn settle(world: &mut World) -> Vec<(RunId, RunView)> {
    let patient = Duration::from_mins(10);
    let mut views = Vec::new();
    for run in world.acknowledged.keys().copied().collect::<Vec<_>>() {
        let done = |view: &RunView| {
            view.status.is_settled() || view.attention.as_ref().is_some_and(|attention| waits_for_user(attention.kind))
        };
        let view = world.wait(run, patient, done).await;
        if !view.status.is_settled() {
            world.cancel(run).await;
            world.wait(run, patient, |view| view.status.is_settled()).await;
        }
        let view = world
            .wait(run, patient, |view| {
                !view.owes_log && view.outputs.iter().all(|output| output.downloaded || output.problem.is_some())
            })
            .await;
        views.push((run, view));
    }
    world.check().await;
    for (run, view) in &views {
        judge(world, *run, view);
    }
    // What was settled stays so over one more start.
    world.kill().await;
    world.start().await;
    world.check().await;
    world.shut_down().await;
    views
}

fn waits_for_user(kind: &str) -> bool {
    kind == "submit_unknown" || kind == "remote_restarted"
}

/// The ending agrees with what the instance knows that it did.
fn judge(world: &World, run: RunId, view: &RunView) {
    let record = world.fake.ledger().prompt(&run.to_string());
    let story = format!("run {run} ended as {}: {:?}", view.status.as_str(), view.error);
    match view.status.as_str() {
        "completed" => assert_eq!(record.executions, 1, "{story}"),
        "cancelled" => assert!(world.acknowledged[&run], "{story}: nobody cancelled it"),
        "failed" => {
            let code = view.error.as_ref().map_or("", |error| error.code.as_str());
            let known = ["node_failed", "remote_restarted"];
            assert!(known.contains(&code), "{story}");
        }
        other => panic!("{story}: {other}"),
    }
}

#[test]
fn every_story_keeps_the_promises() {
    let mut endings: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in seeds() {
        let told = std::panic::catch_unwind(|| in_simulation(story(seed)));
        let Ok(views) = told else { panic!("the story of COMFYD_SEED={seed} broke a promise (see above)") };
        for (_, view) in &views {
            *endings.entry(view.status.as_str()).or_default() += 1;
        }
    }
    // Stories in which nothing happens would keep every promise too.
    let stories = u32::try_from(seeds().count()).unwrap_or(u32::MAX);
    let enough = |ending: &str| endings.get(ending).is_some_and(|times| *times >= stories / 10);
    assert!(stories < 50 || ["completed", "failed", "cancelled"].into_iter().all(enough), "{endings:?} in {stories} stories");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let shape = |seed| {
        let views = in_simulation(story(seed));
        views.into_iter().map(|(run, view)| (run, comfyd_tests::world::final_shape(&view))).collect::<Vec<_>>()
    };
    for seed in [3, 17] {
        assert_eq!(shape(seed), shape(seed));
    }
}

#[test]
fn a_link_that_no_run_needs_is_let_go_and_comes_back() {
    in_simulation(async {
        let mut world = World::new(7, FakeConfig::default());
        world.start().await;
        let flow = workflows::named("06_text").expect("a sample").json;
        let state = |world: &World| world.server().app.instances()[0].state;
        for round in 0..2 {
            let run = world.submit(flow).await.expect("it is taken");
            let view = world.wait(run, Duration::from_mins(2), |view| view.status.is_settled()).await;
            assert_eq!(view.status.as_str(), "completed", "round {round}");
            assert_eq!((world.fake.registered().len(), state(&world)), (1, "connected"), "round {round}");
            // Simulated time.
            tokio::time::sleep(Duration::from_mins(6)).await;
            assert_eq!((world.fake.registered(), state(&world)), (vec![], "idle"), "round {round}");
        }
        world.check().await;
        world.kill().await;
        world.start().await;
        assert_eq!(state(&world), "idle");
        world.shut_down().await;
    });
}
