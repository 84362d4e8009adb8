//! `/workflow/state` and what a page restores after a reload.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::House;

const SAMPLE: &str = include_str!("workflow_state.json");

fn sample() -> Value {
    serde_json::from_str(SAMPLE).expect("JSON")
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn without_anything_active_there_is_no_state() {
    let house = House::new(1.0).await;
    for path in [
        "/workflow/state",
        "/workflow/state?type=generic_workflow",
        "/workflow/state?type=comfyui_workflow",
        "/comfyui/workflow/state",
    ] {
        let reply = house.get(path).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({ "success": true, "state": null })), "{path}");
    }
    let summary = house.get("/workflow/state/summary").await.json();
    assert_eq!((&summary["success"], &summary["has_workflow"]), (&json!(true), &json!(false)));
    let wanted = [
        "active",
        "current_step",
        "is_running",
        "last_update",
        "progress_percent",
        "start_time",
        "status",
        "total_steps",
        "workflow_id",
    ];
    assert_eq!(keys(&summary["summary"]), wanted);
    assert_eq!((&summary["summary"]["active"], &summary["summary"]["is_running"]), (&json!(false), &json!(false)));
    assert_eq!(house.delete("/workflow/state").await.json(), json!({ "success": true, "dismissed": [] }));
    for (path, status, code) in [
        ("/workflow/state?type=other", 400, "bad_query"),
        ("/workflow/state/summary?type=other", 400, "bad_query"),
        ("/workflow/state?workflow_id=none", 404, "unknown_workflow"),
        ("/workflow/state/summary?workflow_id=none", 404, "unknown_workflow"),
    ] {
        let reply = house.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["code"], &reply.json()["success"]),
            (status, &json!(code), &json!(false)),
            "{path}"
        );
    }
    assert_eq!(house.delete("/workflow/state?workflow_id=none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_old_state_file_is_imported_in_the_documented_shape() {
    let house = House::new(1.0).await;
    let reply = house.post("/workflow/state", &sample()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    let id = "4e0c4b1e-7a53-4a0b-9a53-0d2f6a7f3b11";
    assert_eq!((&reply.json()["success"], &reply.json()["workflow_id"]), (&json!(true), &json!(id)));
    let state = house.get("/workflow/state?type=generic_workflow").await.json()["state"].clone();
    assert_eq!(state, reply.json()["state"]);
    assert_eq!((&state["type"], &state["version"], &state["workflow_id"]), (&json!("generic_workflow"), &json!(1), &json!(id)));
    assert_eq!(
        (&state["status"], &state["legacy_status"], &state["current_step"]),
        (&json!("executing"), &json!("running"), &json!(1))
    );
    assert_eq!(state["ssh_connection"], "ssh -p 40738 root@198.51.100.7 -L 8080:localhost:8080");
    assert_eq!(state["instance_id"], 27_831_122, "an unknown field is kept");
    for (name, local) in [("start_time", "2025-12-08T21:14:03.512"), ("last_update", "2025-12-08T21:16:41.008")] {
        let at: jiff::Timestamp = state[name].as_str().expect("a text").parse().expect("a time with a zone");
        assert_eq!(at.to_zoned(jiff::tz::TimeZone::system()).datetime().to_string(), local, "the machine's own time was meant");
    }
    let steps = state["steps"].as_array().expect("a list");
    let words: Vec<_> = steps.iter().map(|step| (step["action"].as_str(), step["status"].as_str())).collect();
    assert_eq!(
        words,
        [
            (Some("test_ssh"), Some("completed")),
            (Some("install_custom_nodes"), Some("in_progress")),
            (Some("reboot_instance"), Some("pending"))
        ]
    );
    assert_eq!(steps[1]["label"], "Install Custom Nodes");
    let tasks = steps[1]["tasks"].as_array().expect("a list");
    assert_eq!(tasks[1], json!({ "name": "8 others", "status": "success", "note": "8/8" }));
    let running = json!({
        "name": "ComfyUI-VideoHelperSuite", "status": "running", "clone_progress": 45, "download_rate": "2.1 MiB/s", "elapsed_time": "12s",
        "eta": "15s", "subtasks": [{ "name": "Install dependencies", "status": "running" }]
    });
    assert_eq!(tasks[2], running, "live numbers are kept");
    assert_eq!(state["attention"]["kind"], "imported", "nobody takes it for one that runs here");

    let summary = house.get("/workflow/state/summary").await.json();
    let said = &summary["summary"];
    assert_eq!((&summary["has_workflow"], &said["active"], &said["is_running"]), (&json!(true), &json!(true), &json!(false)));
    assert_eq!((&said["workflow_id"], &said["current_step"], &said["total_steps"]), (&json!(id), &json!(1), &json!(3)));

    // What is exported can be imported, here over itself and elsewhere as new.
    assert_eq!(house.post("/workflow/state", &state).await.status, StatusCode::CREATED);
    let again = house.get("/workflow/state").await.json()["state"].clone();
    for field in ["steps", "status", "start_time", "last_update", "instance_id", "ssh_connection"] {
        assert_eq!(again[field], state[field], "{field}");
    }
}

#[tokio::test]
async fn secrets_of_an_imported_file_are_masked_before_they_are_written() {
    let house = House::new(1.0).await;
    let mut file = sample();
    file["vastai_api_key"] = json!("hunter2");
    file["env"] = json!([{ "HF_TOKEN": "hunter2", "HOME": "/root" }]);
    file["steps"][0]["password"] = json!("hunter2");
    file["steps"][1]["tasks"][0]["client_secret"] = json!("hunter2");
    file["steps"][2]["error"] = json!({ "token": "hunter2" });
    let reply = house.post("/workflow/state", &file).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    let state = reply.json()["state"].clone();
    assert_eq!((&state["vastai_api_key"], &state["env"]), (&json!("***"), &json!([{ "HF_TOKEN": "***", "HOME": "/root" }])));
    assert_eq!((&state["steps"][0]["password"], &state["steps"][1]["tasks"][0]["client_secret"]), (&json!("***"), &json!("***")));
    assert!(!state.to_string().contains("hunter2"), "{state:#}");
    let mut folders = vec![house.dir.path().join("data")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).expect("a file");
            assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "{}", path.display());
        }
    }
    assert!(files > 0);
    // With numbers that are none, as Python writes them.
    let text = file.to_string().replacen('{', r#"{"loss": NaN, "#, 1);
    let request = crate::support::asking("POST", "/workflow/state").header("content-type", "application/json");
    let reply = house.ask(request.body(axum::body::Body::from(text)).expect("a request")).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    assert_eq!(house.get("/workflow/state").await.json()["state"]["loss"], "NaN");
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_by_name() {
    let house = House::new(1.0).await;
    let with = |field: &str, value: Value| {
        let mut file = sample();
        file[field] = value;
        file
    };
    let rows = [
        (with("type", json!("comfyui_workflow")), 422, "not_importable"),
        (with("version", json!(2)), 422, "newer_version"),
        (with("status", json!("dreaming")), 400, "bad_field"),
        (with("workflow_id", json!("../../etc")), 400, "bad_field"),
        (with("steps", json!([])), 400, "bad_field"),
        (with("ssh_connection", json!("rm -rf /")), 400, "ssh_option"),
        (with("more", json!("x".repeat(2 << 20))), 413, "too_large"),
        (with("repo_url", json!("https://hunter2@host.example/x")), 400, "address_userinfo"),
    ];
    for (file, status, code) in rows {
        let reply = house.post("/workflow/state", &file).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (status, &json!(code)), "{:?}", reply.body);
    }
    assert_eq!(house.get("/workflow/state").await.json()["state"], Value::Null, "nothing of it was stored");
}

#[tokio::test]
async fn a_dismissed_state_is_not_shown_and_its_log_stays() {
    let house = House::new(1.0).await;
    house.post("/workflow/state", &sample()).await;
    let run = house.run("20_custom_slow_previews").await;
    let run_id = house.get("/workflow/state?type=comfyui_workflow").await.json()["state"]["workflow_id"].clone();
    let gone = house.delete("/workflow/state?type=generic_workflow").await.json();
    assert_eq!(gone["dismissed"], json!([sample()["workflow_id"]]));
    assert_eq!(house.get("/workflow/state?type=generic_workflow").await.json()["state"], Value::Null);
    assert_eq!(house.get("/workflow/state").await.json()["state"]["workflow_id"], run_id, "the run is shown still");
    assert_eq!(house.delete("/workflow/state").await.json()["dismissed"], json!([run_id]));
    for path in ["/workflow/state", "/comfyui/workflow/state"] {
        assert_eq!(house.get(path).await.json()["state"], Value::Null, "{path}");
    }
    let named = house.get(&format!("/workflow/state?workflow_id={run}")).await.json();
    assert_eq!(named["state"]["run_id"], json!(run), "by its id it can be had");
    let other_type = house.get(&format!("/workflow/state?type=generic_workflow&workflow_id={run}")).await;
    assert_eq!(other_type.status, StatusCode::NOT_FOUND);
    assert_eq!(house.ended(&run).await["status"], "completed", "the run itself goes on");
    // Taken over once more it is wanted again.
    house.post("/workflow/state", &sample()).await;
    assert_eq!(house.get("/workflow/state").await.json()["state"]["workflow_id"], sample()["workflow_id"]);
}

#[tokio::test]
async fn an_ended_run_leaves_the_live_view_after_its_delay() {
    let house =
        House::with(50.0, |options, _| comfyd_server::server::ServeOptions { state_cleanup_delay: Duration::ZERO, ..options })
            .await;
    let run = house.run("06_text").await;
    house.ended(&run).await;
    assert_eq!(house.get("/comfyui/workflow/state").await.json()["state"], Value::Null);
    let lasting = House::new(50.0).await;
    let run = lasting.run("06_text").await;
    lasting.ended(&run).await;
    assert_eq!(lasting.get("/workflow/state").await.json()["state"]["run_id"], json!(run));
    let summary = lasting.get("/workflow/state/summary?type=comfyui_workflow").await.json()["summary"].clone();
    assert_eq!(
        (&summary["active"], &summary["is_running"], &summary["status"]),
        (&json!(false), &json!(false), &json!("completed"))
    );
    assert_eq!(summary["progress_percent"].as_f64(), Some(100.0));
}

#[tokio::test]
async fn one_file_follows_the_newest_active_run() {
    let named = |dir: &std::path::Path| dir.join("comfyui_workflow_state.json");
    let house = House::with(20.0, |options, dir| {
        // Whoever left this says nothing about us.
        std::fs::write(named(dir), "old").expect("a file");
        comfyd_server::server::ServeOptions {
            state_file: Some(named(dir)),
            state_cleanup_delay: Duration::from_secs(1),
            ..options
        }
    })
    .await;
    let path = named(house.dir.path());
    let run = house.run("20_custom_slow_previews").await;
    let read = || std::fs::read(&path).ok().map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap_or_default());
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let until = async |wanted: &dyn Fn(&Option<Value>) -> bool| {
        while !wanted(&read()) {
            assert!(tokio::time::Instant::now() < deadline, "{:#?}", read());
            // A file tells nobody that it changes.
            tokio::task::yield_now().await;
        }
    };
    until(&|state| state.as_ref().is_some_and(|state| state["run_id"] == json!(run) && state["status"] == "executing")).await;
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    until(&|state| state.as_ref().is_some_and(|state| state["status"] == "completed" && state["type"] == "comfyui_workflow"))
        .await;
    until(&|state| state.is_none()).await;
}
