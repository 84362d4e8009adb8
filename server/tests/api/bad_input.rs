//! Wishes that cannot be granted: each says what is wrong and what to do.

use axum::body::Body;
use serde_json::{Map, Value, json};

use crate::support::{House, Reply, asking, workflow};

fn check(reply: &Reply, status: u16, code: &str, says: &str) {
    let problem = reply.json();
    assert_eq!((reply.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem:#}");
    assert_eq!(problem["success"], false);
    let message = problem["message"].as_str().expect("a message");
    assert!(message.contains(says), "{message:?} does not say {says:?}");
    assert!(!problem["hint"].as_str().expect("a hint").is_empty());
}

async fn send(house: &House, body: impl Into<Body>) -> Reply {
    let request = asking("POST", "/comfyui/workflow/execute").header("content-type", "application/json");
    house.ask(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn each_says_what_is_wrong() {
    let house = House::new(1.0).await;
    let deep = |depth: usize| format!("{{\"workflow\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    let inputs = house.dir.path().join("inputs");
    let missing = inputs.join("missing.json").display().to_string();
    let outside = house.dir.path().join("data/server.json").display().to_string();
    let empty = inputs.join("empty.json");
    std::fs::write(&empty, "").expect("a file");
    let simple = workflow("01_simple_save");
    let rows: Vec<(String, u16, &str, &str)> = vec![
        ("not json".to_owned(), 400, "not_json", "line 1"),
        ("[]".to_owned(), 400, "not_json", "object"),
        ("{}".to_owned(), 400, "no_workflow", "workflow_file"),
        (
            json!({ "workflow": { "nodes": [], "links": [], "version": 0.4 } }).to_string(),
            400,
            "workflow_canvas_format",
            "canvas",
        ),
        (json!({ "workflow": {} }).to_string(), 400, "workflow_empty", "node"),
        (json!({ "workflow": { "1": { "inputs": {} } } }).to_string(), 400, "workflow_no_class", "1"),
        (
            json!({ "workflow": { "n".repeat(201): { "class_type": "A", "inputs": {} } } }).to_string(),
            400,
            "workflow_long_node_id",
            "201 bytes",
        ),
        (deep(10_000), 400, "workflow_too_deep", "64"),
        (
            format!("{{\"workflow\": {simple}, \"workflow_name\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000)),
            400,
            "bad_field",
            "workflow_name",
        ),
        (json!({ "workflow_file": missing }).to_string(), 400, "file_not_readable", "missing.json"),
        (json!({ "workflow_file": outside }).to_string(), 403, "path_not_allowed", "server.json"),
        (json!({ "workflow_file": empty }).to_string(), 400, "workflow_not_json", "line 1"),
        (json!({ "workflow": simple, "url": "http://comfy.invalid:8188" }).to_string(), 403, "host_not_allowed", "comfy.invalid"),
        (json!({ "workflow": simple, "ssh_connection": "ssh -A root@h" }).to_string(), 400, "ssh_option", "-A"),
        (json!({ "workflow": simple, "instance": "nobody" }).to_string(), 404, "unknown_instance", "nobody"),
        (json!({ "workflow": simple, "inputs": { "1.widht": 5 } }).to_string(), 400, "unknown_input", "widht"),
        (json!({ "workflow": simple, "input_images": ["/a.png"] }).to_string(), 400, "image_count", "1"),
        (json!({ "workflow": simple, "output_dir": "/etc" }).to_string(), 403, "output_dir_not_allowed", "/etc"),
    ];
    for (body, status, code, says) in rows {
        check(&send(&house, body).await, status, code, says);
    }
    check(&send(&house, vec![b' '; 17 << 20]).await, 413, "too_large", "16 MiB");
    check(&house.get("/api/v1/runs/nonsense").await, 404, "unknown_run", "nonsense");
    check(&house.get("/comfyui/workflow/comfyui_workflow_1_abcdef/progress").await, 404, "unknown_run", "abcdef");
    check(&house.get("/api/v1/runs?status=finished").await, 400, "bad_query", "finished");
    check(&house.get("/api/v1/runs?limit=many").await, 400, "bad_query", "limit");
    for (query, says) in [
        ("limit=0", "`limit` cannot be 0"),
        ("limit=1001", "`limit` cannot be 1001"),
        ("after=yesterday", "`after` cannot be `yesterday`"),
        ("before=2024-11-21", "`before` cannot be `2024-11-21`"),
        ("cursor=here", "`cursor` cannot be `here`"),
        ("instance=GPU%20A", "`instance`: `GPU A`"),
    ] {
        check(&house.get(&format!("/api/v1/runs?{query}")).await, 400, "bad_query", says);
    }
    let typo = house.get("/api/v1/runs?state=failed").await;
    check(&typo, 400, "unknown_parameter", "state");
    assert!(typo.json()["hint"].as_str().is_some_and(|hint| hint.contains("`status`")), "{:?}", typo.body);
    check(&send(&house, br#"{"workflow": {}, "input_image": ["a.png"]}"#.to_vec()).await, 400, "unknown_field", "input_image");
    check(&house.get("/api/v1/runs/%ff").await, 400, "bad_path", "UTF-8");
    assert_eq!(house.get("/api/v1/runs").await.json()["runs"], json!([]), "nothing was started");
}

#[tokio::test]
async fn what_comfyui_refuses_is_told() {
    let house = House::new(100.0).await;
    let no_output = json!({ "1": workflow("01_simple_save")["1"] });
    let reply = send(&house, json!({ "workflow": no_output }).to_string()).await;
    let run = reply.json()["run_id"].as_str().expect("a run id").to_owned();
    let view = house.ended(&run).await;
    assert_eq!((&view["status"], &view["error"]["code"]), (&json!("failed"), &json!("prompt_no_outputs")), "{view:#}");
    assert!(!view["error"]["hint"].as_str().expect("a hint").is_empty());
    let flat = house.get(&format!("/comfyui/workflow/{run}/progress")).await.json();
    assert_eq!(flat["progress"]["error_message"], view["error"]["message"]);
}

#[tokio::test]
async fn an_instance_that_is_not_there_is_waited_for() {
    let house = House::new(1.0).await;
    // A port that was free a moment ago: nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let wish = json!({ "workflow": workflow("01_simple_save"), "url": format!("http://{free}") });
    let run = send(&house, wish.to_string()).await.json()["run_id"].as_str().expect("a run id").to_owned();
    let view = house.until(&run, |view| !view["attention"].is_null()).await;
    assert_eq!((&view["status"], &view["attention"]["kind"]), (&json!("queued"), &json!("unreachable")));
    let actions = view["attention"]["actions"].as_array().expect("a list");
    let cancel = actions.iter().find(|action| action["id"] == "cancel").expect("it can be stopped");
    assert_eq!(cancel["method"], "POST");
    let href = cancel["href"].as_str().expect("a path");
    assert_eq!(house.post(href, &cancel["body"]).await.status.as_u16(), 202, "it can be called as it stands");
    assert_eq!(house.ended(&run).await["status"], "cancelled");
}

/// A graph within the limits whose first record is longer than a record may be: many nodes, long ids, many links.
fn too_long_for_a_record() -> Value {
    let id = |n: usize| format!("{n:0200}");
    let node = |n: usize| {
        let links: Map<String, Value> = (0..22).map(|k| (format!("i{k}"), json!([id((n + k + 1) % 1_000), 0]))).collect();
        (id(n), json!({ "class_type": "SaveImage", "inputs": links }))
    };
    Value::Object((0..1_000).map(node).collect())
}

#[tokio::test]
async fn what_no_record_holds_is_refused_and_nothing_of_it_is_there() {
    let house = House::new(50.0).await;
    let workflow = too_long_for_a_record();
    for (path, body) in
        [("/api/v1/runs", json!({ "workflow": workflow })), ("/api/v1/batches", json!({ "workflow": workflow, "repeat": 2 }))]
    {
        let reply = house.post(path, &body).await;
        check(&reply, 413, "too_large", "record");
    }
    assert_eq!(house.get("/api/v1/runs").await.json()["runs"], json!([]));
    let run = house.run("01_simple_save").await;
    assert_eq!(house.ended(&run).await["status"], "completed", "others go on");
}

#[tokio::test]
async fn an_error_never_shows_a_secret() {
    let house = House::new(1.0).await;
    for (path, body) in [
        ("/api/v1/instances/gpu/unlock", json!({ "password": 8_675_309 })),
        ("/api/v1/instances/gpu/unlock", json!({ "passphrase": [8_675_309] })),
    ] {
        let reply = house.post(path, &body).await;
        check(&reply, 400, "bad_field", body.as_object().and_then(|fields| fields.keys().next()).expect("one field"));
        assert!(!reply.json().to_string().contains("8675309"), "{path}");
    }
}

/// A server that takes connections and never says anything.
async fn mute() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    url
}

#[tokio::test]
async fn who_waits_for_an_instance_keeps_nobody_with_another_key() {
    let house = House::new(1.0).await;
    let added = house.post("/api/v1/instances", &json!({ "name": "mute", "url": mute().await })).await;
    assert_eq!(added.status.as_u16(), 201, "{:?}", added.body);
    let keyed = |key: &str, body: &Value| {
        let request = asking("POST", "/api/v1/runs").header("content-type", "application/json").header("idempotency-key", key);
        request.body(Body::from(body.to_string())).expect("a request")
    };
    let canvas = include_str!("../../../fixtures/canvas/cases/a_widget_that_is_linked.json");
    let canvas: Value = serde_json::from_str(canvas).expect("JSON");
    let waits = house.ask(keyed("first", &json!({ "workflow": canvas, "instance": "mute" })));
    let goes = house.ask(keyed("second", &json!({ "workflow": workflow("01_simple_save") })));
    tokio::select! {
        biased;
        reply = waits => panic!("the instance says nothing, so nothing can be answered: {:?}", reply.body),
        reply = goes => assert_eq!(reply.status.as_u16(), 201, "{:?}", reply.body),
    }
}
