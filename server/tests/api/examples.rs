//! The requests of the plan as they are printed there, and the status of each way to go wrong.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{House, asking, workflow};

fn has(value: &Value, wanted: &[&str]) {
    for key in wanted {
        assert!(value.get(key).is_some(), "{key} is not in {value:#}");
    }
}

#[tokio::test]
async fn the_plans_requests_get_the_plans_answers() {
    let house = House::new(20.0).await;
    let inputs = house.dir.path().join("inputs");
    let (file, picture) = (inputs.join("workflow.json"), inputs.join("image1.png"));
    std::fs::write(&file, workflow("01_simple_save").to_string()).expect("a file");
    std::fs::write(&picture, b"no picture is needed here").expect("a file");
    let wish =
        json!({ "workflow_file": file, "input_images": [], "workflow_name": "Image Enhancement", "url": house.fake.url() });
    let started = house.post("/comfyui/workflow/execute", &wish).await;
    assert_eq!(started.status, StatusCode::OK, "{:?}", started.body);
    let started = started.json();
    assert_eq!((&started["success"], &started["message"]), (&json!(true), &json!("Workflow execution started")));
    let id = started["workflow_id"].as_str().expect("an id");
    house.ended(started["run_id"].as_str().expect("an id")).await;

    let progress = house.get(&format!("/comfyui/workflow/{id}/progress")).await.json();
    assert_eq!((&progress["success"], &progress["progress"]["status"]), (&json!(true), &json!("completed")));
    let shown = ["workflow_id", "status", "prompt_id", "queue_position", "current_node", "total_nodes", "completed_nodes"];
    has(&progress["progress"], &shown);
    has(&progress["progress"], &["progress_percent", "nodes", "outputs"]);
    has(&progress["progress"]["nodes"][0], &["node_id", "node_type", "status", "progress", "message"]);
    let outputs = house.get(&format!("/comfyui/workflow/{id}/outputs")).await.json();
    assert_eq!(outputs["success"], true);
    has(&outputs["outputs"][0], &["filename", "type", "path", "downloaded"]);

    let state = house.get("/comfyui/workflow/state").await.json();
    assert_eq!(state["state"]["type"], "comfyui_workflow");
    has(&state["state"], &["workflow_id", "workflow_name", "prompt_id", "ssh_connection", "status", "progress", "nodes"]);
    has(&state["state"], &["timing", "outputs", "error"]);
    has(&state["state"]["timing"], &["queue_time", "start_time", "last_update", "estimated_completion"]);

    let too_many = json!({ "workflow_file": file, "input_images": [picture], "url": house.fake.url() });
    assert_eq!(house.post("/comfyui/workflow/execute", &too_many).await.status, StatusCode::BAD_REQUEST);
    let ended = house.post(&format!("/comfyui/workflow/{id}/cancel"), &json!({})).await;
    assert_eq!((ended.status.as_u16(), &ended.json()["success"]), (409, &json!(false)));
}

#[tokio::test]
async fn each_way_to_go_wrong_has_its_status() {
    let house = House::new(1.0).await;
    let execute = "/comfyui/workflow/execute";
    let flow = workflow("01_simple_save");
    let big = format!("{{\"workflow\": {{}}, \"x\": \"{}\"}}", "x".repeat(17 << 20));
    let rows: Vec<(&str, &str, &str, String, u16, &str)> = vec![
        ("POST", execute, "application/json", "{}".to_owned(), 400, "no_workflow"),
        ("POST", execute, "application/json", "{".to_owned(), 400, "not_json"),
        ("POST", execute, "text/plain", "{}".to_owned(), 415, "unsupported_media_type"),
        ("POST", execute, "application/json", big, 413, "too_large"),
        (
            "POST",
            execute,
            "application/json",
            json!({ "workflow": flow, "instance": "none" }).to_string(),
            404,
            "unknown_instance",
        ),
        (
            "POST",
            execute,
            "application/json",
            json!({ "workflow": flow, "ssh_connection": "ssh -A -p 40738 root@198.53.64.194" }).to_string(),
            400,
            "ssh_option",
        ),
        (
            "POST",
            execute,
            "application/json",
            json!({ "workflow": flow, "url": "http://192.0.2.1:8188" }).to_string(),
            403,
            "host_not_allowed",
        ),
        ("GET", "/comfyui/workflow/none/progress", "", String::new(), 404, "unknown_run"),
        ("GET", "/comfyui/workflow/none/outputs", "", String::new(), 404, "unknown_run"),
        ("POST", "/comfyui/workflow/none/cancel", "application/json", "{}".to_owned(), 404, "unknown_run"),
        ("GET", execute, "", String::new(), 405, "method_not_allowed"),
    ];
    for (method, path, kind, body, status, code) in rows {
        let mut request = asking(method, path);
        if !kind.is_empty() {
            request = request.header("content-type", kind).header("content-length", body.len());
        }
        let reply = house.ask(request.body(Body::from(body)).expect("a request")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (status, &json!(code)), "{method} {path}: {:?}", reply.body);
        assert_eq!(reply.json()["success"], false);
        has(&reply.json(), &["message", "hint", "request_id"]);
    }
    assert_eq!(house.get("/api/v1/runs").await.json()["runs"], json!([]), "nothing was started");
}
