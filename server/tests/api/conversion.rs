//! Canvas files and pictures: converted, judged and run, with a simulated ComfyUI that tells its classes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{House, workflow};

/// Two nodes and a subgraph's worth of what only the canvas has.
fn canvas() -> Value {
    json!({
        "last_node_id": 9, "last_link_id": 2, "version": 0.4,
        "nodes": [
            {"id": 1, "type": "EmptyImage", "pos": [10, 20], "size": [200, 100], "widgets_values": [64, 48, 1, 255], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]},
            {"id": 2, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}], "outputs": [{"name": "", "type": "*", "links": [2]}]},
            {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 2}], "widgets_values": ["%EmptyImage.width%x"]},
            {"id": 4, "type": "Note", "widgets_values": ["read me"]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "*"]],
    })
}

fn body(house: &House, workflow: &Value) -> Value {
    json!({ "workflow": workflow, "url": house.fake.url() })
}

#[tokio::test]
async fn a_canvas_becomes_the_graph_that_the_page_would_send() {
    let house = House::new(20.0).await;
    let reply = house.post("/api/v1/workflows/convert", &body(&house, &canvas())).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let answer = reply.json();
    assert_eq!(answer["workflow"]["3"]["inputs"], json!({"filename_prefix": "64x", "images": ["1", 0]}));
    assert_eq!(answer["workflow"].as_object().map(serde_json::Map::len), Some(2));
    let place = &answer["places"].as_array().expect("a list")[0];
    assert_eq!((&place["path"], &place["node_id"], &place["position"]), (&json!("1"), &json!("1"), &json!([10.0, 20.0])));
    let graph = workflow("01_simple_save");
    let same = house.post("/api/v1/workflows/convert", &body(&house, &graph)).await.json();
    assert_eq!((&same["workflow"], &same["converted"]), (&graph, &json!(false)));
}

#[tokio::test]
async fn a_canvas_runs_as_it_is() {
    let house = House::new(20.0).await;
    let created = house.post("/api/v1/runs", &body(&house, &canvas())).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    let run = created.json()["run_id"].as_str().expect("an id").to_owned();
    let ended = house.ended(&run).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let sent = house.get(&format!("/api/v1/runs/{run}/workflow")).await.json();
    assert_eq!(sent["workflow"]["1"]["inputs"]["color"], 255);
}

#[tokio::test]
async fn all_that_is_wrong_is_named_before_anything_is_queued() {
    let house = House::new(20.0).await;
    let mut broken = canvas();
    broken["nodes"][0]["widgets_values"] = json!([0, 48, "many", 255]);
    let verdict = house.post("/api/v1/workflows/validate", &body(&house, &broken)).await.json();
    assert_eq!(verdict["valid"], false);
    let found: Vec<(&str, &str)> = verdict["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| (finding["input"].as_str().expect("an input"), finding["code"].as_str().expect("a code")))
        .collect();
    assert_eq!(found, [("width", "value_smaller_than_min"), ("batch_size", "invalid_input_type")]);
    // Its classes were asked for, so that a run is refused at once, for the same reasons.
    let refused = house.post("/api/v1/runs", &body(&house, &broken)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_str()),
        (422, Some("workflow_not_valid")),
        "{:?}",
        refused.body
    );
    assert_eq!(refused.json()["details"].as_str().map(|details| details.lines().count()), Some(2));
    let mended = json!({ "workflow": broken, "url": house.fake.url(), "inputs": {"1.width": 32, "1.batch_size": 1} });
    let created = house.post("/api/v1/runs", &mended).await;
    assert_eq!(created.status, StatusCode::CREATED, "what is set counts: {:?}", created.body);
    assert_eq!(house.ended(created.json()["run_id"].as_str().expect("an id")).await["status"], "completed");
    let mut unknown = canvas();
    unknown["nodes"][0]["type"] = json!("EmptyImages");
    for path in ["/api/v1/workflows/convert", "/api/v1/workflows/validate", "/api/v1/runs"] {
        let refused = house.post(path, &body(&house, &unknown)).await;
        assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (422, Some("workflow_not_converted")), "{path}");
        assert!(refused.json()["hint"].as_str().is_some_and(|hint| hint.contains("`EmptyImage`")), "{:?}", refused.body);
    }
}

#[tokio::test]
async fn a_picture_runs_again() {
    let house = House::new(20.0).await;
    let text = workflow("01_simple_save").to_string();
    let body = [&b"prompt\0"[..], text.as_bytes()].concat();
    let len = u32::try_from(body.len()).expect("short").to_be_bytes();
    let picture = [&b"\x89PNG\r\n\x1a\n"[..], &len, b"tEXt", &body, &[0; 4]].concat();
    let file = house.dir.path().join("inputs").join("made.png");
    std::fs::write(&file, &picture).expect("a file");
    let wish = json!({ "workflow_file": file, "url": house.fake.url() });
    let created = house.post("/api/v1/runs", &wish).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    assert_eq!(house.ended(created.json()["run_id"].as_str().expect("an id")).await["status"], "completed");
    std::fs::write(&file, &picture[..8]).expect("a file");
    let refused = house.post("/api/v1/runs", &wish).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (400, Some("workflow_not_embedded")));
}
