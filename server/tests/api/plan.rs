//! The plan's routes and comfyd's own, over whole runs.

use axum::body::Body;
use axum::http::StatusCode;
use comfyd_fixtures::Picture;
use serde_json::{Value, json};

use crate::support::{House, Reply, asking, workflow};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn has(value: &Value, wanted: &[&str]) {
    let there = keys(value);
    let missing: Vec<_> = wanted.iter().filter(|key| !there.contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {there:?}");
}

async fn execute(house: &House, wish: &Value) -> Value {
    let reply = house.post("/comfyui/workflow/execute", wish).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    reply.json()
}

#[tokio::test]
async fn a_run_by_the_plans_routes() {
    let house = House::new(20.0).await;
    let wish =
        json!({ "workflow": workflow("20_custom_slow_previews"), "workflow_name": "Image Enhancement", "input_images": [] });
    let started = execute(&house, &wish).await;
    assert_eq!((&started["success"], &started["message"]), (&json!(true), &json!("Workflow execution started")));
    let id = started["workflow_id"].as_str().expect("an id");
    assert!(id.starts_with("comfyui_workflow_"), "{id}");
    let run = started["run_id"].as_str().expect("an id");

    let state = house.get("/comfyui/workflow/state").await.json();
    assert_eq!((&state["success"], &state["state"]["workflow_id"]), (&json!(true), &json!(id)), "{state:#}");
    has(
        &state["state"],
        &["type", "workflow_name", "prompt_id", "ssh_connection", "status", "progress", "nodes", "timing", "outputs", "error"],
    );
    has(&state["state"]["progress"], &["queue_position", "current_node", "total_nodes", "completed_nodes", "progress_percent"]);
    has(&state["state"]["timing"], &["queue_time", "start_time", "last_update", "estimated_completion"]);

    house.until(run, |view| view["status"] == "executing" && !view["progress"]["current_node"].is_null()).await;
    let view = house.ended(run).await;
    assert_eq!(view["status"], "completed", "{view:#}");
    let answer = house.get(&format!("/comfyui/workflow/{id}/progress")).await.json();
    assert_eq!(answer["success"], true);
    let flat = &answer["progress"];
    has(
        flat,
        &[
            "workflow_id",
            "status",
            "prompt_id",
            "queue_position",
            "current_node",
            "nodes",
            "outputs",
            "workflow_file",
            "ssh_connection",
        ],
    );
    has(
        flat,
        &[
            "estimated_completion",
            "attention",
            "error_message",
            "failed_node",
            "queue_time",
            "start_time",
            "end_time",
            "last_update",
        ],
    );
    assert_eq!((&flat["workflow_id"], &flat["prompt_id"]), (&json!(id), &json!(run)));
    assert_eq!((&flat["total_nodes"], &flat["completed_nodes"]), (&json!(4), &json!(4)));
    assert_eq!(flat["progress_percent"].as_f64(), Some(100.0));
    has(&flat["nodes"][0], &["node_id", "node_type", "status", "progress", "message"]);

    let outputs = house.get(&format!("/comfyui/workflow/{id}/outputs")).await.json();
    assert_eq!(outputs["success"], true);
    let image = outputs["outputs"].as_array().expect("a list").iter().find(|output| output["type"] == "image").expect("an image");
    has(image, &["filename", "type", "path", "downloaded"]);
    let content = house.get(image["url"].as_str().expect("a url")).await;
    assert_eq!((content.status, Some(content.body.len() as u64)), (StatusCode::OK, image["size"].as_u64()));

    let late = house.post(&format!("/comfyui/workflow/{id}/cancel"), &json!({})).await;
    assert_eq!((late.status, &late.json()["code"]), (StatusCode::CONFLICT, &json!("already_settled")));
}

#[tokio::test]
async fn cancelling_twice_is_cancelling_once() {
    let house = House::new(1.0).await;
    let run = house.run("20_custom_slow_previews").await;
    house.until(&run, |view| view["phase"] == "running").await;
    let cancel = format!("/comfyui/workflow/{run}/cancel");
    let first = house.post(&cancel, &json!({})).await;
    assert_eq!((first.status, &first.json()["success"]), (StatusCode::ACCEPTED, &json!(true)));
    let second = house.ask(asking("POST", &cancel).body(Body::empty()).expect("a request")).await;
    assert!([StatusCode::ACCEPTED, StatusCode::CONFLICT].contains(&second.status), "on its way or done: {}", second.status);
    assert_eq!(house.ended(&run).await["status"], "cancelled");
    assert_eq!(house.fake.fake().ledger().posts(), 1);
}

#[tokio::test]
async fn the_same_key_is_the_same_run() {
    let house = House::new(50.0).await;
    let send = |key: &str, body: Value| {
        let request = asking("POST", "/api/v1/runs").header("content-type", "application/json").header("idempotency-key", key);
        request.body(Body::from(body.to_string())).expect("a request")
    };
    let wish = json!({ "workflow": workflow("06_text") });
    let first = house.ask(send("a", wish.clone())).await;
    let again = house.ask(send("a", wish.clone())).await;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.json()["run_id"], again.json()["run_id"]);
    assert_eq!(first.header("location"), format!("/api/v1/runs/{}", first.json()["run_id"].as_str().expect("an id")));
    let other_body = house.ask(send("a", json!({ "workflow": workflow("06_text"), "priority": 1 }))).await;
    assert_eq!(other_body.status, StatusCode::UNPROCESSABLE_ENTITY, "{:?}", other_body.body);
    assert_ne!(house.ask(send("b", wish)).await.json()["run_id"], first.json()["run_id"]);
}

#[tokio::test]
async fn runs_are_listed_page_by_page() {
    let house = House::new(50.0).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, house.run("06_text").await);
    }
    let listed = |reply: Reply| {
        let page = reply.json();
        let runs = page["runs"].as_array().expect("a list").iter().map(|run| run["run_id"].as_str().expect("an id").to_owned());
        (runs.collect::<Vec<_>>(), page["next_cursor"].as_str().map(str::to_owned))
    };
    let (first, next) = listed(house.get("/api/v1/runs?limit=2").await);
    assert_eq!(first, ids[..2]);
    let (second, next) = listed(house.get(&format!("/api/v1/runs?limit=3&cursor={}", next.expect("there is more"))).await);
    assert_eq!((second.as_slice(), next), (&ids[2..], None));
    for run in &ids {
        house.ended(run).await;
    }
    assert_eq!(listed(house.get("/api/v1/runs?status=completed").await).0, ids);
    assert_eq!(listed(house.get("/api/v1/runs?status=queued,failed").await).0, [""; 0]);
    assert_eq!(listed(house.get("/api/v1/runs?text=06_TEXT&limit=1").await).0, ids[..1]);
    assert_eq!(listed(house.get("/api/v1/runs?text=nothing").await).0, [""; 0]);
    assert_eq!(listed(house.get("/api/v1/runs?name=06_text&batch=none").await).0, [""; 0]);
    assert_eq!(listed(house.get("/api/v1/runs?after=2020-01-01T00:00:00Z&name=06_text").await).0, ids);
    assert_eq!(listed(house.get("/api/v1/runs?before=2020-01-01T00:00:00Z").await).0, [""; 0]);
    let page = house.get("/api/v1/runs").await.json();
    let instance = page["runs"][0]["instance"].as_str().expect("a name");
    assert_eq!((&page["success"], &page["total"]), (&json!(true), &json!(5)));
    assert_eq!(listed(house.get(&format!("/api/v1/runs?instance={instance}")).await).0, ids);
    assert_eq!(listed(house.get("/api/v1/runs?instance=another").await).0, [""; 0]);
}

#[tokio::test]
async fn the_past_of_a_run_can_be_read() {
    let house = House::new(50.0).await;
    let run = house.run("06_text").await;
    let view = house.ended(&run).await;
    let log = house.get(&format!("/api/v1/runs/{run}/log")).await;
    assert_eq!(log.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> =
        std::str::from_utf8(&log.body).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seqs: Vec<u64> = lines.iter().map(|line| line["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert!(seqs.len() as u64 >= view["seq"].as_u64().expect("a number"));
    let after = house.get(&format!("/api/v1/runs/{run}/log?after={}", seqs.len() - 1)).await;
    assert_eq!(std::str::from_utf8(&after.body).expect("text").lines().count(), 1);
    let raw = house.get(&format!("/api/v1/runs/{run}/log?raw=1")).await;
    assert!(raw.body.starts_with(b"CFDLOG"), "{:?}", &raw.body[..raw.body.len().min(20)]);
    for seq in 2..=seqs.len() {
        let past = house.get(&format!("/api/v1/runs/{run}/at/{seq}")).await;
        assert_eq!((past.status, past.json()["seq"].as_u64()), (StatusCode::OK, Some(seq as u64)), "{:?}", past.body);
    }
    assert!(house.get(&format!("/api/v1/runs/{run}/at/{}", seqs.len() + 1)).await.status.is_client_error());
    assert_eq!(house.get(&format!("/api/v1/runs/{run}/at/first")).await.json()["code"], "bad_seq");
}

fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        body.extend(format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xYz--\r\n");
    ("multipart/form-data; boundary=xYz".to_owned(), body)
}

#[tokio::test]
async fn a_form_brings_its_files() {
    let house = House::new(50.0).await;
    let send = |parts: &[(&str, Option<&str>, &[u8])]| {
        let (kind, body) = form(parts);
        asking("POST", "/comfyui/workflow/execute").header("content-type", kind).body(Body::from(body)).expect("a request")
    };
    let picture = Picture::finished(32, 32, 7).png(&[]);
    let graph = workflow("07_load_image").to_string();
    let parts: [(&str, Option<&str>, &[u8]); 4] = [
        ("workflow", Some("load.json"), graph.as_bytes()),
        ("input_images", Some("cat.png"), &picture),
        ("inputs", None, br#"{"2.width": 32}"#),
        ("priority", None, b"1"),
    ];
    let reply = house.ask(send(&parts)).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let view = house.ended(reply.json()["run_id"].as_str().expect("an id")).await;
    assert_eq!((&view["status"], &view["workflow_name"]), (&json!("completed"), &json!("load")), "{view:#}");
    assert_eq!(house.fake.fake().ledger().uploads.len(), 1);

    let both: [(&str, Option<&str>, &[u8]); 3] = [
        ("workflow", None, graph.as_bytes()),
        ("input_images", Some("a.png"), &picture),
        ("input_images[1]", Some("b.png"), &picture),
    ];
    assert_eq!(house.ask(send(&both)).await.json()["code"], "bad_field");
    assert_eq!(house.ask(send(&[("priority", None, b"1")])).await.json()["code"], "no_workflow");
    let cut = asking("POST", "/comfyui/workflow/execute").header("content-type", "multipart/form-data; boundary=xYz");
    let cut = house
        .ask(cut.body(Body::from("--xYz\r\nContent-Disposition: form-data; name=\"workflow\"\r\n\r\n{")).expect("a request"))
        .await;
    assert_eq!((cut.status, &cut.json()["code"]), (StatusCode::BAD_REQUEST, &json!("bad_form")));
}

#[tokio::test]
async fn it_says_when_it_is_ready() {
    let house = House::new(1.0).await;
    assert_eq!(house.get("/healthz").await.json()["status"], "ok");
    let ready = house.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["state"]), (StatusCode::OK, &json!("ready")));
    let page = house.get("/").await;
    assert!(page.header("content-type").starts_with("text/html"));
    let text = std::str::from_utf8(&page.body).expect("text");
    for inline in ["<style", "style=", "onclick=", "<script>", "http://", "https://"] {
        assert!(!text.contains(inline), "the page's policy forbids {inline}");
    }
    let named = text.split('"').filter(|part| part.starts_with("/assets/"));
    let assets: Vec<&str> = named.chain(["/favicon.svg"]).collect();
    let ends = |with: &str| assets.iter().any(|asset| asset.rsplit('.').next() == Some(with));
    assert!(ends("js") && ends("css"), "{assets:?}");
    for asset in assets {
        assert!(text.contains(asset));
        let first = house.get(asset).await;
        assert_eq!(first.status, StatusCode::OK);
        let keep = first.header("cache-control").contains("immutable");
        assert_eq!(keep, asset.starts_with("/assets/"), "{asset}");
        let again = asking("GET", asset).header("if-none-match", first.header("etag")).body(Body::empty());
        assert_eq!(house.ask(again.expect("a request")).await.status, StatusCode::NOT_MODIFIED);
    }
}
