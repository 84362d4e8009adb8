//! Generic workflows over restarts: wherever the power is cut, a workflow goes on by itself and no step's run is made twice.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use comfyd_fixtures::{FakeConfig, workflows};
use comfyd_server::api::{Names, Secret, Security, router};
use comfyd_server::app::Filter;
use comfyd_server::store::Fault;
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
