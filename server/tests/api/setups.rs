//! Generic workflows: `/workflow/start`, `/workflow/stop`, `/workflow/resume`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{House, workflow};

async fn start(house: &House, body: &Value) -> String {
    let reply = house.post("/workflow/start", body).await;
    assert_eq!((reply.status, &reply.json()["success"]), (StatusCode::OK, &json!(true)), "{:?}", reply.body);
    reply.json()["workflow_id"].as_str().expect("an id").to_owned()
}

fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |state| state["legacy_status"] == status
}

fn statuses(state: &Value) -> Vec<&str> {
    state["steps"].as_array().expect("a list").iter().map(|step| step["status"].as_str().expect("a word")).collect()
}

#[tokio::test]
async fn steps_go_on_by_themselves() {
    let house = House::new(20.0).await;
    let body = json!({ "step_delay": 0, "url": house.fake.url(), "steps": [
        { "action": "test_comfyui" },
        { "action": "test_ssh", "enabled": false },
        { "action": "execute_comfyui_workflow", "label": "Portrait", "workflow": workflow("20_custom_slow_previews"), "workflow_name": "portrait" },
        { "action": "wait", "seconds": 0.05 },
    ] });
    let id = start(&house, &body).await;
    assert!(id.starts_with("generic_workflow_"), "{id}");
    let working =
        house.workflow_until(&id, |state| state["steps"][2]["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty())).await;
    assert_eq!((&working["status"], &working["current_step"]), (&json!("executing"), &json!(2)), "{working:#}");
    let shown = house.get("/workflow/state/summary?type=generic_workflow").await.json()["summary"].clone();
    assert_eq!((&shown["workflow_id"], &shown["total_steps"], &shown["active"]), (&json!(id), &json!(4), &json!(true)));

    let state = house.workflow_until(&id, is("completed")).await;
    assert_eq!(statuses(&state), ["completed", "skipped", "completed", "completed"]);
    assert_eq!((&state["status"], state["progress_percent"].as_f64()), (&json!("completed"), Some(100.0)));
    let note = |n: usize| state["steps"][n]["completion_note"].as_str().unwrap_or_default();
    assert!(note(0).starts_with("ComfyUI ") && note(0).contains(" answers at "), "{}", note(0));
    assert!(note(2).ends_with(" output") || note(2).ends_with(" outputs"), "{}", note(2));
    let tasks = state["steps"][2]["tasks"].as_array().expect("a list");
    assert!(tasks.iter().all(|task| task["status"] == "success"), "{tasks:#?}");
    let run = house.get(&format!("/api/v1/runs/{}", state["steps"][2]["run_id"].as_str().expect("a run"))).await.json();
    assert_eq!((&run["status"], &run["workflow_name"]), (&json!("completed"), &json!("portrait")));
    let named: Vec<String> = run["nodes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|node| node["counts"] == true)
        .map(|node| format!("{} ({})", node["node_type"].as_str().expect("a class"), node["node_id"].as_str().expect("an id")))
        .collect();
    assert_eq!(tasks.iter().map(|task| task["name"].as_str().expect("a name")).collect::<Vec<_>>(), named);
    assert_eq!(house.fake.fake().ledger().posts(), 1);
    let late = house.post("/workflow/stop", &json!({ "workflow_id": id })).await;
    assert_eq!((late.status, &late.json()["code"]), (StatusCode::CONFLICT, &json!("already_settled")));
    let late = house.post("/workflow/resume", &json!({ "workflow_id": id })).await;
    assert_eq!((late.status, &late.json()["code"]), (StatusCode::CONFLICT, &json!("already_settled")));
}

#[tokio::test]
async fn a_step_that_needs_a_shell_is_blocked_and_can_be_left_out() {
    let house = House::new(20.0).await;
    let body = json!({ "step_delay": 0, "ssh_connection": "ssh -p 9 root@127.0.0.1", "workflow_id": "setup-1", "steps": [
        { "action": "install_custom_nodes", "command": "true" }, { "action": "test_comfyui" }, { "action": "wait", "seconds": 0 },
    ] });
    assert_eq!(start(&house, &body).await, "setup-1");
    let state = house.workflow_until("setup-1", is("blocked")).await;
    assert_eq!((&state["status"], statuses(&state)), (&json!("executing"), vec!["blocked", "pending", "pending"]));
    let error = &state["steps"][0]["error"];
    assert_eq!((&error["code"], &state["attention"]["kind"]), (&json!("ssh_unreachable"), &json!("ssh_unreachable")));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("connect")) && error["hint"].is_string());
    let actions = state["attention"]["actions"].as_array().expect("a list");
    let skip = actions.iter().find(|action| action["id"] == "skip").expect("it can be left out");

    // The same request again is the same workflow; another one of that name is refused.
    let again = house.post("/workflow/start", &body).await;
    assert_eq!((again.status, &again.json()["message"]), (StatusCode::OK, &json!("Workflow was started before")));
    let other = house.post("/workflow/start", &json!({ "workflow_id": "setup-1", "steps": [{ "action": "test_ssh" }] })).await;
    assert_eq!((other.status, &other.json()["code"]), (StatusCode::CONFLICT, &json!("exists")));
    let bad = house.post("/workflow/resume", &json!({ "workflow_id": "setup-1", "skip": [7] })).await;
    assert_eq!((bad.status, &bad.json()["code"]), (StatusCode::BAD_REQUEST, &json!("no_such_step")));

    // An action is one call that a page can make as it stands. The next step wants the machine of the workflow, where nobody is.
    assert_eq!(house.post(skip["href"].as_str().expect("a path"), &skip["body"]).await.status, StatusCode::OK);
    let state = house.workflow_until("setup-1", is("failed")).await;
    assert_eq!(
        (statuses(&state), &state["steps"][1]["error"]["code"]),
        (vec!["skipped", "failed", "pending"], &json!("ssh_unreachable"))
    );
    assert_eq!(house.post("/workflow/resume", &json!({ "workflow_id": "setup-1", "skip": [1] })).await.status, StatusCode::OK);
    let state = house.workflow_until("setup-1", is("completed")).await;
    assert_eq!(statuses(&state), ["skipped", "skipped", "completed"]);
    assert_eq!(house.fake.fake().ledger().posts(), 0);
}

#[tokio::test]
async fn stopping_stops_the_run_and_resuming_makes_another() {
    let house = House::new(1.0).await;
    let body = json!({ "step_delay": 0, "steps": [
        { "action": "execute_comfyui_workflow", "workflow": workflow("20_custom_slow_previews") }, { "action": "wait", "seconds": 600 },
    ] });
    let id = start(&house, &body).await;
    let named = json!({ "workflow_id": id });
    let state = house.workflow_until(&id, |state| state["steps"][0]["run_id"].is_string()).await;
    let first = state["steps"][0]["run_id"].as_str().expect("a run").to_owned();
    house.until(&first, |view| view["phase"] == "running").await;
    let stop = house.post("/workflow/stop", &named).await;
    assert_eq!((stop.status, &stop.json()["success"]), (StatusCode::ACCEPTED, &json!(true)));
    let state = house.workflow_until(&id, is("cancelled")).await;
    assert_eq!((&state["status"], statuses(&state)), (&json!("cancelled"), vec!["pending", "pending"]));
    assert_eq!(house.ended(&first).await["status"], "cancelled");
    assert_eq!(house.post("/workflow/stop", &named).await.status, StatusCode::OK, "stopping twice is stopping once");

    assert_eq!(house.post("/workflow/resume", &named).await.status, StatusCode::OK);
    assert_eq!(house.post("/workflow/resume", &named).await.status, StatusCode::OK);
    let state = house.workflow_until(&id, |state| state["steps"][1]["status"] == "in_progress").await;
    assert_ne!(state["steps"][0]["run_id"], json!(first));
    assert_eq!(state["steps"][0]["status"], "completed");
    let stop = house.post("/workflow/stop", &named).await;
    assert_eq!(stop.status, StatusCode::ACCEPTED);
    house.workflow_until(&id, is("cancelled")).await;
    assert_eq!(house.fake.fake().ledger().posts(), 2);
}

#[tokio::test]
async fn a_failed_run_fails_its_step() {
    let house = House::new(50.0).await;
    let body = json!({ "step_delay": 0, "steps": [
        { "action": "execute_comfyui_workflow", "workflow": { "1": { "class_type": "NoSuchNode", "inputs": {} } } },
        { "action": "wait", "seconds": 0 },
    ] });
    let id = start(&house, &body).await;
    let state = house.workflow_until(&id, is("failed")).await;
    assert_eq!((&state["status"], statuses(&state)), (&json!("failed"), vec!["failed", "pending"]));
    let run = house.ended(state["steps"][0]["run_id"].as_str().expect("a run")).await;
    assert_eq!(state["steps"][0]["error"]["code"], run["error"]["code"]);
    assert!(state["steps"][0]["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    // It goes on with the step that failed, and fails again.
    let seq = state["seq"].as_u64().expect("a number");
    assert_eq!(house.post("/workflow/resume", &json!({ "workflow_id": id })).await.status, StatusCode::OK);
    let again = house.workflow_until(&id, |state| is("failed")(state) && state["seq"].as_u64() > Some(seq)).await;
    assert_ne!(again["steps"][0]["run_id"], state["steps"][0]["run_id"]);
}

#[tokio::test]
async fn names_of_tasks_are_short() {
    let house = House::new(50.0).await;
    let long = "N".repeat(1000);
    let body = json!({ "step_delay": 0, "steps": [
        { "action": "execute_comfyui_workflow", "workflow": { "1": { "class_type": long, "inputs": {} } } },
    ] });
    let id = start(&house, &body).await;
    let state = house.workflow_until(&id, is("failed")).await;
    let tasks = state["steps"][0]["tasks"].as_array().expect("a list");
    let names: Vec<&str> = tasks.iter().map(|task| task["name"].as_str().expect("a name")).collect();
    assert_eq!(names, [format!("{} (1)", "N".repeat(100))]);
}

#[tokio::test]
async fn a_test_of_nobody_fails_with_a_reason() {
    let house = House::new(1.0).await;
    let id = start(&house, &json!({ "url": "http://127.0.0.1:1", "steps": [{ "action": "test_comfyui" }] })).await;
    let state = house.workflow_until(&id, is("failed")).await;
    assert_eq!(state["steps"][0]["error"]["code"], "unreachable", "{state:#}");
    let id = start(&house, &json!({ "instance": "nobody", "steps": [{ "action": "test_comfyui" }] })).await;
    let state = house.workflow_until(&id, is("failed")).await;
    assert_eq!(state["steps"][0]["error"]["code"], "unknown_instance", "{state:#}");
}

#[tokio::test]
async fn what_is_wrong_is_named_before_anything_begins() {
    let house = House::new(1.0).await;
    let rows = [
        ("/workflow/start", json!({}), 400, "bad_field"),
        ("/workflow/start", json!({ "steps": [{ "action": "make_coffee" }] }), 400, "unknown_action"),
        ("/workflow/start", json!({ "steps": [{ "action": "execute_comfyui_workflow" }] }), 400, "no_workflow"),
        ("/workflow/start", json!({ "steps": [{ "action": "wait", "seconds": 1 }], "workflow_id": "a b" }), 400, "bad_field"),
        ("/workflow/start", json!({ "steps": [{ "action": "test_ssh", "script": "x".repeat(4 << 20) }] }), 413, "too_large"),
        ("/workflow/stop", json!({}), 400, "bad_field"),
        ("/workflow/stop", json!({ "workflow_id": "nobody" }), 404, "unknown_workflow"),
        ("/workflow/resume", json!({ "workflow_id": "../x" }), 404, "unknown_workflow"),
        ("/workflow/resume", json!({}), 400, "bad_field"),
    ];
    for (path, body, status, code) in rows {
        let reply = house.post(path, &body).await;
        let said = reply.json();
        assert_eq!(
            (reply.status.as_u16(), &said["code"], &said["success"]),
            (status, &json!(code), &json!(false)),
            "{path}: {said}"
        );
        assert!(said["message"].as_str().is_some_and(|text| !text.is_empty()) && said["hint"].is_string());
    }
    let known = house.post("/workflow/start", &json!({ "steps": [{ "action": "make_coffee" }] })).await.json();
    for action in ["execute_comfyui_workflow", "sync_instance", "reboot_instance"] {
        assert!(known["hint"].as_str().is_some_and(|hint| hint.contains(action)), "{known}");
    }
    assert_eq!(house.get("/workflow/state").await.json()["state"], Value::Null);
}
