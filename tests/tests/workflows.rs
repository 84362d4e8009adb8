//! Generic workflows over restarts: wherever the power is cut, a workflow goes on by itself and no step's run is made twice.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use comfyd_fixtures::{FakeConfig, workflows};
use comfyd_server::api::{Names, Secret, Security, router};
use comfyd_server::app::Filter;
use comfyd_server::store::Fault;
use comfyd_server::testing::DATA;
use comfyd_tests::world::{URL, World, in_simulation};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const TOKEN: &str = "5d41402abc4b2a76b9719d911017c592";

fn door(world: &World) -> Router {
    let security = Security::fixed(Secret::new(TOKEN), 8787, Names::default());
    router(world.server().app.clone(), security)
}

async fn ask(world: &World, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8787")
        .header("authorization", format!("Bearer {TOKEN}"));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    let response = door(world).oneshot(request.expect("a request")).await.expect("the router answers everything");
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, serde_json::from_slice(&bytes).expect("JSON"))
}

async fn state(world: &World) -> Value {
    ask(world, "GET", "/workflow/state?workflow_id=story", None).await.1["state"].clone()
}

/// Waits in simulated time.
async fn until(world: &World, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..4_000 {
        let now = state(world).await;
        if wanted(&now) {
            return now;
        }
        // Simulated time: this only lets the next thing happen.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not get there: {:#}", state(world).await)
}

fn steps() -> Value {
    let graph: Value = serde_json::from_str(workflows::named("20_custom_slow_previews").expect("a sample").json).expect("JSON");
    json!({ "workflow_id": "story", "url": URL, "step_delay": 1, "steps": [
        { "action": "test_comfyui" },
        { "action": "execute_comfyui_workflow", "workflow": graph },
        { "action": "wait", "seconds": 2 },
    ] })
}

/// How long the story takes that nobody disturbs.
async fn undisturbed() -> u64 {
    let mut world = World::new(1, FakeConfig::default());
    world.start().await;
    let began = tokio::time::Instant::now();
    ask(&world, "POST", "/workflow/start", Some(&steps())).await;
    until(&world, |state| state["legacy_status"] == "completed").await;
    u64::try_from(began.elapsed().as_millis()).expect("a short story")
}

/// The story in which the server is ended after so many milliseconds.
async fn story(cut_after: u64, power: bool) {
    let mut world = World::new(cut_after + 1, FakeConfig::default());
    world.start().await;
    let (status, answer) = ask(&world, "POST", "/workflow/start", Some(&steps())).await;
    assert_eq!((status, &answer["workflow_id"]), (200, &json!("story")), "{answer}");
    tokio::time::sleep(Duration::from_millis(cut_after)).await;
    let before = state(&world).await;
    if power {
        world.power_cut().await;
    } else {
        world.kill().await;
    }
    world.start().await;
    let ended = until(&world, |state| state["legacy_status"] == "completed").await;
    let tale = format!("cut after {cut_after} ms: {before:#}\n{ended:#}");
    let runs = world.server().app.list(&Filter { limit: 10, ..Filter::default() });
    assert_eq!(runs.runs.len(), 1, "{tale}");
    assert_eq!(ended["steps"][1]["run_id"], json!(runs.runs[0].run_id), "{tale}");
    assert_eq!(world.fake.ledger().posts(), 1, "{tale}");
    let done = ended["steps"].as_array().expect("a list").iter().all(|step| step["status"] == "completed");
    assert!(done, "{tale}");
    world.power_cut().await;
    world.start().await;
    assert_eq!(state(&world).await, ended, "what has ended stays so");
}

#[test]
fn wherever_the_power_is_cut_a_workflow_goes_on_and_makes_one_run() {
    let whole = in_simulation(undisturbed());
    for (n, cut_after) in (0..whole).step_by(500).enumerate() {
        in_simulation(story(cut_after, n % 2 == 0));
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_cut() {
    in_simulation(async {
        let mut world = World::new(7, FakeConfig::default());
        world.start().await;
        let blocked =
            json!({ "workflow_id": "story", "steps": [{ "action": "reboot_instance" }, { "action": "wait", "seconds": 0 }] });
        assert_eq!(ask(&world, "POST", "/workflow/start", Some(&blocked)).await.0, 200);
        world.power_cut().await;
        world.start().await;
        until(&world, |state| state["legacy_status"] == "blocked").await;
        let named = json!({ "workflow_id": "story" });
        assert_eq!(ask(&world, "POST", "/workflow/stop", Some(&named)).await.0, 200);
        world.power_cut().await;
        world.start().await;
        assert_eq!(state(&world).await["legacy_status"], "cancelled");
        assert_eq!(ask(&world, "POST", "/workflow/resume", Some(&json!({ "workflow_id": "story", "skip": [0] }))).await.0, 200);
        world.power_cut().await;
        world.start().await;
        until(&world, |state| state["legacy_status"] == "completed").await;
        let gone = ask(&world, "DELETE", "/workflow/state", None).await;
        assert_eq!((gone.0, &gone.1["dismissed"]), (200, &json!(["story"])));
        world.power_cut().await;
        world.start().await;
        assert_eq!(ask(&world, "GET", "/workflow/state", None).await.1["state"], Value::Null);
        assert_eq!(state(&world).await["legacy_status"], "completed", "the log stays");
    });
}

#[test]
fn a_disk_that_fails_undoes_a_start_and_delays_a_step() {
    in_simulation(async {
        let mut world = World::new(8, FakeConfig::default());
        world.start().await;
        let body = json!({ "workflow_id": "story", "step_delay": 0, "steps": [{ "action": "wait", "seconds": 30 }, { "action": "wait", "seconds": 0 }] });
        world.disk.plan(Fault::Sync(1));
        let (status, answer) = ask(&world, "POST", "/workflow/start", Some(&body)).await;
        assert_eq!((status, &answer["code"], &answer["success"]), (503, &json!("not_stored"), &json!(false)));
        assert_eq!(ask(&world, "GET", "/workflow/state?workflow_id=story", None).await.0, 404, "nothing of it happened");
        world.disk.set_capacity(Some(world.disk.used()));
        let (status, answer) = ask(&world, "POST", "/workflow/start", Some(&body)).await;
        assert_eq!((status, &answer["code"]), (507, &json!("disk_full")));
        world.disk.set_capacity(None);
        assert_eq!(ask(&world, "POST", "/workflow/start", Some(&body)).await.0, 200);
        until(&world, |state| state["steps"][0]["status"] == "in_progress").await;
        // Simulated time: everything written is synced by then, so that the next write is the end of the step.
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.disk.plan(Fault::Write(1));
        assert!(world.disk.is_threatened());
        until(&world, |state| state["legacy_status"] == "completed").await;
        assert!(!world.disk.is_threatened(), "the write failed and was made up for");
    });
}

#[test]
fn a_damaged_log_is_shown_and_nothing_of_it_goes_on() {
    in_simulation(async {
        let mut world = World::new(9, FakeConfig::default());
        world.start().await;
        let graph: Value = serde_json::from_str(workflows::named("06_text").expect("a sample").json).expect("JSON");
        let body = json!({ "workflow_id": "story", "step_delay": 0, "steps": [
            { "action": "execute_comfyui_workflow", "url": URL, "workflow": graph }, { "action": "wait", "seconds": 1 }, { "action": "wait", "seconds": 600 }] });
        assert_eq!(ask(&world, "POST", "/workflow/start", Some(&body)).await.0, 200);
        let before = until(&world, |state| state["steps"][2]["status"] == "in_progress").await;
        // Its user has removed the run, so that nothing but the log tells that it was made.
        let run = before["steps"][0]["run_id"].as_str().expect("a run").parse().expect("a run id");
        world.server().app.delete(run).await.expect("it is over");
        world.shut_down().await;
        world.disk.kill();
        let log = Path::new(DATA).join("setups/story/events.log");
        world.disk.edit(&log, |bytes| {
            let fact = b"setup_step_run";
            let at = bytes.windows(fact.len()).position(|seen| seen == fact).expect("the first step made a run");
            // What was written later shows that this was whole once.
            bytes[at] ^= 1;
        });
        world.start().await;
        let shown = state(&world).await;
        assert_eq!(
            (&shown["legacy_status"], &shown["attention"]["kind"]),
            (&json!("blocked"), &json!("quarantined")),
            "{shown:#}"
        );
        assert_eq!(shown["steps"][0]["status"], "in_progress", "as far as it can be read");
        let summary = ask(&world, "GET", "/workflow/state/summary?workflow_id=story", None).await.1["summary"].clone();
        assert_eq!((&summary["active"], &summary["is_running"]), (&json!(true), &json!(false)));
        // Simulated time: what it was about to do would be done by then.
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(state(&world).await, shown);
        assert_eq!(world.fake.ledger().posts(), 1, "its step is not done again");
        for path in ["/workflow/stop", "/workflow/resume"] {
            let (status, answer) = ask(&world, "POST", path, Some(&json!({ "workflow_id": "story" }))).await;
            assert_eq!((status, &answer["code"]), (409, &json!("quarantined")), "{path}: {answer}");
        }
    });
}

#[test]
fn a_run_is_asked_to_end_until_that_is_written() {
    in_simulation(async {
        let mut world = World::new(10, FakeConfig::default());
        world.start().await;
        let graph: Value =
            serde_json::from_str(workflows::named("20_custom_slow_previews").expect("a sample").json).expect("JSON");
        // Nothing runs there, so nothing is written but the stop and the cancellation.
        world.fake.tune(|knobs| knobs.worker_delay = Duration::from_mins(1));
        let body =
            json!({ "workflow_id": "story", "url": URL, "steps": [{ "action": "execute_comfyui_workflow", "workflow": graph }] });
        assert_eq!(ask(&world, "POST", "/workflow/start", Some(&body)).await.0, 200);
        until(&world, |state| state["steps"][0]["run_id"].is_string()).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.disk.plan(Fault::Sync(2));
        assert_eq!(ask(&world, "POST", "/workflow/stop", Some(&json!({ "workflow_id": "story" }))).await.0, 202);
        until(&world, |state| state["legacy_status"] == "cancelled").await;
        assert!(!world.disk.is_threatened(), "the write failed and was made up for");
    });
}

#[test]
fn what_was_over_long_ago_is_read_from_its_log() {
    in_simulation(async {
        let mut world = World::new(11, FakeConfig::default());
        world.start().await;
        let body =
            |n: usize| json!({ "workflow_id": format!("w{n}"), "step_delay": 0, "steps": [{ "action": "wait", "seconds": 0 }] });
        for n in 0..105 {
            assert_eq!(ask(&world, "POST", "/workflow/start", Some(&body(n))).await.0, 200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for _ in 0..2 {
            let (status, answer) = ask(&world, "GET", "/workflow/state?workflow_id=w0", None).await;
            assert_eq!((status, &answer["state"]["status"]), (200, &json!("completed")), "{answer}");
            let (status, answer) = ask(&world, "POST", "/workflow/start", Some(&body(0))).await;
            assert_eq!((status, &answer["message"]), (200, &json!("Workflow was started before")));
            let (status, answer) = ask(&world, "POST", "/workflow/resume", Some(&json!({ "workflow_id": "w1" }))).await;
            assert_eq!((status, &answer["code"]), (409, &json!("already_settled")), "{answer}");
            assert_eq!(ask(&world, "GET", "/workflow/state?workflow_id=w105", None).await.0, 404);
            world.power_cut().await;
            world.start().await;
        }
    });
}
