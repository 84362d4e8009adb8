//! Every fault in every state of a run: the right ending, and each prompt posted once.

use std::time::Duration;

use bytes::Bytes;
use comfyd_engine::{RunId, RunView};
use comfyd_fixtures::{Picture, PostFault, ViewFault};
use comfyd_server::app::{Execute, Image, Images, Source};
use serde_json::json;

use crate::support::World;

/// Where a run is when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its picture is being uploaded.
    Staging,
    /// Its prompt was posted, and the answer has not come.
    Submitting,
    /// It is in ComfyUI's queue.
    Pending,
    Running,
    /// Its outputs are being fetched.
    Collecting,
}

const ALL: [State; 5] = [State::Staging, State::Submitting, State::Pending, State::Running, State::Collecting];

/// How long ComfyUI takes for what it is to be caught at: longer than any fault lasts until it is noticed.
const LONG: Duration = Duration::from_secs(8);

/// With a picture to upload, and some work to do.
fn wish() -> Execute {
    let graph = json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "mine.png" } },
        "2": { "class_type": "SlowSteps", "inputs": {
            "steps": 50, "step_ms": 100, "seed": 1, "preview": "none", "fail_at": 0, "fail_kind": "RuntimeError", "width": 64, "height": 64,
        } },
        "3": { "class_type": "SaveImage", "inputs": { "images": ["2", 0], "filename_prefix": "comfyd/state" } },
        "4": { "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "comfyd/loaded" } },
    });
    let bytes = Bytes::from(Picture::finished(32, 32, 1).png(&[]));
    let picture = Image::Bytes { name: "mine.png".into(), bytes };
    Execute { images: Images::InOrder(vec![picture]), ..Execute::new(Source::Inline { text: graph.to_string(), file: None }) }
}

/// Starts a run and waits until it is in this state, where it stays for a while.
async fn reach(world: &World, state: State) -> RunId {
    let fake = world.fake.fake();
    let asked = |route: &str| fake.ledger().requests.get(route).copied().unwrap_or_default();
    let before = |route: &'static str| (route, asked(route));
    // What it waits for in the states that are not over until ComfyUI answers; the first run asked for the same.
    let request = match state {
        State::Staging => Some(before("POST /upload/image")),
        State::Collecting => Some(before("GET /view")),
        State::Submitting | State::Pending | State::Running => None,
    };
    fake.tune(|knobs| match state {
        State::Staging => knobs.http_delay = LONG,
        State::Submitting => knobs.next_posts.push_back(PostFault::AcceptAfter(LONG)),
        State::Pending => knobs.worker_delay = LONG,
        State::Running => {}
        State::Collecting => knobs.every_view = ViewFault::Delay(LONG),
    });
    let run = world.execute(wish()).await;
    let phase = match state {
        State::Staging => "staging",
        State::Submitting => "submitting",
        State::Pending => "pending",
        State::Running => "running",
        State::Collecting => "collecting",
    };
    world.until(run, phase, |view| view.phase == phase).await;
    if let Some((route, before)) = request {
        world.wait_for("asked", || asked(route) > before).await;
    }
    // The whole prompt is there, so that it is accepted whatever becomes of the way.
    world.wait_for("posted", || fake.tune(|knobs| knobs.next_posts.is_empty())).await;
    fake.tune(|knobs| {
        knobs.http_delay = Duration::ZERO;
        knobs.worker_delay = Duration::ZERO;
        knobs.every_view = ViewFault::None;
    });
    run
}

/// A world whose first run is over, so that everything that follows is of the runs that are watched.
async fn settled(world: World) -> World {
    world.completed(world.first).await;
    world
}

async fn ends_well(world: &World, run: RunId, state: State) {
    let view = world.completed(run).await;
    assert!(view.outputs.iter().all(|output| output.downloaded), "{state:?}: {:?}", view.outputs);
    assert_eq!(view.outputs.len(), 2, "{state:?}: {:?}", view.outputs);
    let record = world.fake.fake().ledger().prompt(&run.to_string());
    assert_eq!((record.posts, record.executions), (1, 1), "{state:?}");
}

async fn in_every_state<F: Future<Output = World>>(fault: impl Fn(World, RunId, State) -> F) {
    in_every_state_of(|_| World::wired(&[], 1.0), fault).await;
}

async fn in_every_state_of<W: Future<Output = World>, F: Future<Output = World>>(
    world: impl Fn(u8) -> W,
    fault: impl Fn(World, RunId, State) -> F,
) {
    let each = (1..).zip(ALL).map(|(number, state)| {
        let (world, fault) = (&world, &fault);
        async move {
            let world = settled(world(number).await).await;
            let run = reach(&world, state).await;
            let world = fault(world, run, state).await;
            ends_well(&world, run, state).await;
            world.ends().await;
        }
    });
    futures_util::future::join_all(each).await;
}

/// How much longer a cut lasts than until it is noticed: `COMFYD_CUT` seconds, for long tests.
fn cut() -> Duration {
    let seconds = std::env::var("COMFYD_CUT").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_killed() {
    in_every_state(async |world, _, _| {
        let before = world.logins();
        world.sshd.kill_sessions();
        world.wait_for("back", || world.logins() > before).await;
        world
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_freezes() {
    in_every_state(async |world, _, _| {
        let before = world.logins();
        world.sshd.freeze_sessions();
        world.wait_for("back", || world.logins() > before).await;
        world
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_dead_for_a_while() {
    in_every_state_of(World::cuttable, async |world, run, state| {
        world.cut().await;
        let lost = |view: &RunView| view.attention.is_some();
        let attention = world.until(run, "told that something is the matter", lost).await.attention.expect("checked");
        match state {
            // What does not get through is told by its own name.
            State::Staging => assert!(["unreachable", "staging_delayed"].contains(&attention.kind), "{attention:?}"),
            State::Collecting => assert!(["unreachable", "output_delayed"].contains(&attention.kind), "{attention:?}"),
            State::Submitting | State::Pending | State::Running => {
                assert!(attention.message.starts_with("Connection lost."), "{state:?}: {attention:?}");
            }
        }
        tokio::time::sleep(cut()).await;
        let view = world.running.app.view(run).await.expect("a view");
        assert!(view.timing.end_time.is_none(), "{state:?}: nobody can know that it is over: {view:?}");
        let logins = world.logins();
        world.mend();
        world.wait_for("back", || world.logins() > logins).await;
        world
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes() {
    in_every_state(async |mut world, run, state| {
        let before = world.sshd.fingerprint().expect("a fingerprint");
        world.sshd.new_host_key("ecdsa").expect("a key");
        world.sshd.restart().expect("sshd again");
        let now = world.sshd.fingerprint().expect("a fingerprint");
        let stopped = |view: &RunView| view.attention.as_ref().is_some_and(|it| it.kind == "host_key_changed");
        let view = world.until(run, "stopped by the key", stopped).await;
        let message = view.attention.expect("checked").message;
        assert!(message.contains(&before) && message.contains(&now), "{state:?}: {message}");
        let instance = world.instance_of(run).await;
        let logins = world.logins();
        let refused = world.running.app.trust_instance(&instance, &now, false).await.expect_err("it changed");
        assert_eq!(refused.code, "host_key_changed");
        assert_eq!(world.logins(), logins, "nobody logged in meanwhile");
        world.running.app.trust_instance(&instance, &now, true).await.expect("on purpose");
        world
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked() {
    in_every_state(async |world, run, state| {
        let file = world.sshd.home().join(".ssh/known_hosts");
        let line = format!("@revoked * {}\n", world.sshd.host_key().expect("a key"));
        std::fs::write(&file, &line).expect("written");
        world.sshd.kill_sessions();
        let refused = |view: &RunView| view.attention.as_ref().is_some_and(|it| it.kind == "host_key_refused");
        let view = world.until(run, "stopped by the key", refused).await;
        let message = view.attention.expect("checked").message;
        assert!(message.contains("revoked"), "{state:?}: {message}");
        let instance = world.instance_of(run).await;
        let fingerprint = world.sshd.fingerprint().expect("a fingerprint");
        let logins = world.logins();
        let trusted = world.running.app.trust_instance(&instance, &fingerprint, true).await;
        assert!(trusted.is_err(), "{state:?}: a revoked key cannot be accepted");
        assert_eq!(world.logins(), logins, "nobody logged in meanwhile");
        // Whoever runs the machine says that it was a mistake, and somebody looks.
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), line, "it is never written");
        std::fs::write(&file, "").expect("written");
        let report = world.running.app.test_instance(&instance).await.expect("a verdict");
        assert!(report.ok, "{state:?}: {:?}", report.steps);
        world
    })
    .await;
}
