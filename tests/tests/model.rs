//! The whole server against a small model of what its user believes: what was acknowledged is there, asked for once, ended once, and an ending
//! agrees with what was asked. Proptest chooses the story and shortens it when it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comfyd_engine::{RunId, Seq};
use comfyd_fixtures::{FakeConfig, Knobs, PostFault, ViewFault, workflows};
use comfyd_tests::world::World;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

const STORIES: [&str; 5] =
    ["06_text", "20_custom_slow_previews", "21_custom_fails_midway", "22_custom_expand_and_lists", "25_custom_blocked_branch"];

/// What a person or the world may do.
#[derive(Clone, Debug)]
enum Deed {
    Submit(usize),
    Cancel(usize),
    Wait(u64),
    KillServer,
    CutPower,
    StopServer,
    RestartComfy(u64),
    DropSockets,
    SilenceSockets,
    NextPost(PostFault),
    NextView(ViewFault),
}

/// What the user believes.
#[derive(Clone, Debug, Default)]
struct Belief {
    /// The story of each run that was acknowledged, and whether cancelling it was.
    runs: Vec<(usize, bool)>,
}

impl ReferenceStateMachine for Belief {
    type State = Self;
    type Transition = Deed;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Deed> {
        let posts = prop_oneof![
            Just(PostFault::DropReply),
            Just(PostFault::DropRequest),
            Just(PostFault::ErrorAfterAccept),
            Just(PostFault::ErrorBeforeAccept),
            (0u64..4_000).prop_map(|ms| PostFault::AcceptAfter(Duration::from_millis(ms))),
            (0u64..4_000).prop_map(|ms| PostFault::ReplyAfter(Duration::from_millis(ms))),
        ];
        let views = prop_oneof![
            3 => Just(ViewFault::NotFound),
            1 => (0u32..3).prop_map(ViewFault::Transient),
            1 => (0usize..200).prop_map(ViewFault::CutAfter),
            1 => (1u64..20).prop_map(ViewFault::PromiseMore),
        ];
        prop_oneof![
            6 => (0..STORIES.len()).prop_map(Deed::Submit),
            2 => (0..state.runs.len().max(1)).prop_map(Deed::Cancel),
            6 => (1u64..6_000).prop_map(Deed::Wait),
            1 => Just(Deed::KillServer),
            1 => Just(Deed::CutPower),
            1 => Just(Deed::StopServer),
            1 => (100u64..8_000).prop_map(Deed::RestartComfy),
            1 => Just(Deed::DropSockets),
            1 => Just(Deed::SilenceSockets),
            1 => posts.prop_map(Deed::NextPost),
            2 => views.prop_map(Deed::NextView),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, deed: &Deed) -> bool {
        match deed {
            Deed::Submit(_) => state.runs.len() < 6,
            Deed::Cancel(which) => *which < state.runs.len(),
            _ => true, // The world asks nobody.
        }
    }

    fn apply(mut state: Self, deed: &Deed) -> Self {
        match deed {
            Deed::Submit(story) => state.runs.push((*story, false)),
            Deed::Cancel(which) => state.runs[*which].1 = true,
            _ => {} // Nothing that the user believes changes with the weather.
        }
        state
    }
}

/// The server with its world and a runtime of one thread.
struct Sut {
    runtime: tokio::runtime::Runtime,
    world: World,
    runs: Vec<RunId>,
    visited: BTreeSet<String>,
}

thread_local! {
    static VISITED: std::cell::RefCell<BTreeMap<String, u32>> = const { std::cell::RefCell::new(BTreeMap::new()) };
}

struct Server;

impl StateMachineTest for Server {
    type SystemUnderTest = Sut;
    type Reference = Belief;

    fn init_test(_: &Belief) -> Sut {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a small runtime");
        let world = runtime.block_on(async {
            let mut world = World::new(7, FakeConfig::default());
            world.start().await;
            world
        });
        Sut { runtime, world, runs: vec![], visited: BTreeSet::new() }
    }

    fn apply(mut sut: Sut, _: &Belief, deed: Deed) -> Sut {
        let Sut { runtime, world, runs, visited } = &mut sut;
        runtime.block_on(async {
            act(world, runs, deed).await;
            world.start().await;
            world.check().await;
            for run in runs.iter() {
                let view = world.view(*run).await;
                visited.extend(world.kinds(*run).await);
                visited.insert(format!("phase {}", view.phase));
            }
        });
        sut
    }

    fn check_invariants(sut: &Sut, belief: &Belief) {
        assert_eq!(sut.runs.len(), belief.runs.len(), "every acknowledged run is there");
    }

    fn teardown(mut sut: Sut, belief: Belief) {
        let Sut { runtime, world, runs, visited } = &mut sut;
        runtime.block_on(async {
            world.fake.tune(|knobs| *knobs = Knobs::default());
            world.fake.start();
            for (run, (story, cancelled)) in runs.iter().zip(&belief.runs) {
                let name = STORIES[*story];
                let stuck = |kind: &str| kind == "submit_unknown" || kind == "remote_restarted";
                let waits =
                    |view: &comfyd_engine::RunView| view.attention.as_ref().is_some_and(|attention| stuck(attention.kind));
                let view = world.wait(*run, Duration::from_mins(20), |view| view.status.is_settled() || waits(view)).await;
                visited.extend(world.kinds(*run).await);
                let code = view.error.as_ref().map(|error| error.code.as_str());
                let ended = (view.status.as_str(), code);
                let fits = match ended {
                    ("completed", None) => name != "21_custom_fails_midway",
                    ("cancelled", None) => *cancelled,
                    ("failed", Some("node_failed")) => name == "21_custom_fails_midway",
                    ("failed", Some("remote_restarted")) => world.fake.ledger().restarts > 0,
                    _ => waits(&view), // The user is asked.
                };
                assert!(fits, "{name}, cancelled {cancelled}: ended as {ended:?}");
                let replayed = world.server().app.view_at(*run, Seq(view.seq.0)).await.expect("it folds");
                assert_eq!(replayed.status, view.status);
            }
            world.shut_down().await;
        });
        VISITED.with_borrow_mut(|all| visited.iter().for_each(|name| *all.entry(name.clone()).or_default() += 1));
    }
}

async fn act(world: &mut World, runs: &mut Vec<RunId>, deed: Deed) {
    match deed {
        Deed::Submit(story) => {
            let json = workflows::named(STORIES[story]).expect("the story is listed").json;
            runs.push(world.submit(json).await.expect("a healthy server takes a run"));
        }
        Deed::Cancel(which) => {
            if let Some(run) = runs.get(which).copied() {
                world.cancel(run).await;
            }
        }
        Deed::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Deed::KillServer => world.kill().await,
        Deed::CutPower => world.power_cut().await,
        Deed::StopServer => world.shut_down().await,
        Deed::RestartComfy(ms) => world.fake.restart(Duration::from_millis(ms)).await,
        Deed::DropSockets => world.fake.drop_sockets(),
        Deed::SilenceSockets => world.fake.registered().iter().for_each(|client| world.fake.silence(client)),
        Deed::NextPost(fault) => world.fake.tune(|knobs| knobs.next_posts.push_back(fault)),
        Deed::NextView(fault) => world.fake.tune(|knobs| knobs.next_views.push_back(fault)),
    }
}

/// What no set of stories may leave unvisited.
const MUST_BE_SEEN: [&str; 30] = [
    "phase waiting",
    "phase pending",
    "phase running",
    "phase in_doubt",
    "phase completed",
    "phase failed",
    "phase cancelled",
    "run_created",
    "blob_stored",
    "staging_started",
    "staged",
    "submit_intended",
    "submitted",
    "submit_in_doubt",
    "absence_noted",
    "queue_moved",
    "execution_started",
    "node_started",
    "nodes_progressed",
    "node_finished",
    "node_blocked",
    "gap_noted",
    "outputs_found",
    "output_saved",
    "output_lost",
    "execution_succeeded",
    "cancel_requested",
    "attention_raised",
    "attention_cleared",
    "completed",
];

#[test]
fn the_server_agrees_with_what_its_user_believes() {
    let wanted: Option<u32> = std::env::var("COMFYD_MODEL_CASES").ok().and_then(|text| text.parse().ok());
    let cases = wanted.unwrap_or(80);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    // Always the same stories, unless more are wanted: then new ones.
    let mut runner = match wanted {
        None => TestRunner::new_with_rng(config.clone(), TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
        Some(_) => TestRunner::new(config.clone()),
    };
    let told = runner.run(&Belief::sequential_strategy(5..25), |(state, deeds, seen)| {
        Server::test_sequential(config.clone(), state, deeds, seen);
        Ok(())
    });
    assert!(told.is_ok(), "{}", told.expect_err("it is an error"));
    let missed: Vec<&str> =
        VISITED.with_borrow(|seen| MUST_BE_SEEN.into_iter().filter(|name| !seen.contains_key(*name)).collect());
    assert!(missed.is_empty() || cases < 80, "never reached: {missed:?}");
}
