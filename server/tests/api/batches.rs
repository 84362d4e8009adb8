//! Several runs made as one.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{House, Reply, asking, workflow};

async fn create(house: &House, key: Option<&str>, body: &Value) -> Reply {
    let mut request = asking("POST", "/api/v1/batches").header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    house.ask(request.body(Body::from(body.to_string())).expect("a request")).await
}

fn three() -> Value {
    let variations =
        json!([{ "inputs": { "1.color": 1 }, "name": "one" }, { "inputs": { "1.color": 2 } }, { "inputs": { "1.color": 3 } }]);
    let workflow = workflow("01_simple_save");
    json!({ "workflow": workflow, "workflow_name": "all", "inputs": { "1.width": 16, "1.color": 9 }, "variations": variations })
}

#[tokio::test]
async fn a_batch_is_made_followed_and_told() {
    let house = House::new(50.0).await;
    let created = create(&house, Some("k"), &three()).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    let said = created.json();
    let id = said["batch_id"].as_str().expect("an id").to_owned();
    assert_eq!(created.header("location"), format!("/api/v1/batches/{id}"));
    let runs: Vec<&str> = said["runs"].as_array().expect("runs").iter().filter_map(|run| run["run_id"].as_str()).collect();
    assert_eq!(runs.len(), 3);
    let mut pictures = std::collections::BTreeSet::new();
    for run in &runs {
        let view = house.ended(run).await;
        pictures.insert(view["outputs"][0]["sha256"].to_string());
        assert_eq!((&view["status"], &view["batch"]), (&json!("completed"), &json!(id)), "{view:#}");
    }
    let batch = house.get(&format!("/api/v1/batches/{id}")).await.json();
    assert_eq!(
        (&batch["total"], &batch["ended"], &batch["counts"]["completed"]),
        (&json!(3), &json!(true), &json!(3)),
        "{batch:#}"
    );
    let names: Vec<_> =
        batch["runs"].as_array().expect("runs").iter().map(|run| (&run["run_id"], &run["workflow_name"])).collect();
    assert_eq!(names, [(&json!(runs[0]), &json!("one")), (&json!(runs[1]), &json!("all")), (&json!(runs[2]), &json!("all"))]);
    assert_eq!(pictures.len(), 3, "each has its own colour: {pictures:?}");
    let listed = house.get(&format!("/api/v1/runs?batch={id}")).await.json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(3));
    // A repeat is the same batch, another request under the key is refused, over either route.
    let repeat = create(&house, Some("k"), &three()).await;
    assert_eq!((repeat.status, &repeat.json()["batch_id"]), (StatusCode::OK, &json!(id)));
    assert_eq!(repeat.json()["runs"].as_array().map(Vec::len), Some(3));
    let other = json!({ "workflow": workflow("01_simple_save"), "repeat": 2 });
    let refused = create(&house, Some("k"), &other).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (422, &json!("idempotency_key_reused")));
    let cancel = house.post(&format!("/api/v1/batches/{id}/cancel"), &json!({})).await;
    assert_eq!((cancel.status.as_u16(), &cancel.json()["code"]), (409, &json!("already_settled")));
}

#[tokio::test]
async fn a_bad_variation_lets_nothing_be_made() {
    let house = House::new(1.0).await;
    let with = |field: &str, value: Value| {
        let mut body = three();
        body[field] = value;
        body
    };
    let rows = [
        (with("variations", json!([{ "inputs": { "1.color": 1 } }, { "inputs": { "9.color": 1 } }])), 400, ""),
        (with("variations", json!([{ "input": {} }])), 400, "bad_field"),
        (with("variations", json!([])), 400, "batch_size"),
        (with("variations", json!({})), 400, "bad_field"),
        (with("repeat", json!(0)), 400, "batch_size"),
        (with("repeat", json!(334)), 400, "batch_size"),
        (with("repeat", json!(-1)), 400, "bad_field"),
        (with("variation", json!([])), 400, "unknown_field"),
        (with("instance", json!("nowhere")), 404, "unknown_instance"),
    ];
    for (body, status, code) in rows {
        let reply = create(&house, None, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{body} {:?}", reply.body);
        assert!(code.is_empty() || reply.json()["code"] == code, "{body} {:?}", reply.body);
    }
    assert_eq!(house.get("/api/v1/runs").await.json()["runs"], json!([]), "nothing was made");
    assert_eq!(house.get("/api/v1/batches/none").await.json()["code"], "unknown_batch");
}

#[tokio::test]
async fn a_batch_that_waits_is_cancelled_as_a_whole() {
    let house = House::new(0.02).await;
    let body = json!({ "workflow": workflow("01_simple_save"), "repeat": 40 });
    let id = create(&house, None, &body).await.json()["batch_id"].as_str().expect("an id").to_owned();
    let said = house.post(&format!("/api/v1/batches/{id}/cancel"), &json!({})).await;
    assert_eq!(said.status, StatusCode::ACCEPTED, "{:?}", said.body);
    let said = said.json();
    let cancelled = said["cancelled"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!((cancelled + said["already_ended"].as_u64().unwrap_or(0), &said["refused"]), (40, &json!([])), "{said:#}");
    for run in said["cancelled"].as_array().expect("runs") {
        house.ended(run.as_str().expect("an id")).await;
    }
    let batch = house.get(&format!("/api/v1/batches/{id}")).await.json();
    assert_eq!((&batch["ended"], &batch["total"]), (&json!(true), &json!(40)));
    assert!(batch["counts"]["cancelled"].as_u64() >= Some(30), "{}", batch["counts"]);
}

#[tokio::test]
async fn numbers_tell_of_runs_and_of_the_store() {
    let house = House::new(50.0).await;
    let run = house.run("01_simple_save").await;
    house.ended(&run).await;
    let stats = house.get("/api/v1/stats").await.json();
    assert_eq!((&stats["runs"]["completed"], &stats["success_rate"]), (&json!(1), &json!(1.0)), "{stats:#}");
    assert_eq!((&stats["last_hour"]["created"], &stats["last_hour"]["completed"]), (&json!(1), &json!(1)));
    let flow = &stats["workflows"][0];
    assert_eq!(flow["workflow_name"], "01_simple_save");
    assert!(flow["median_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{flow}");
    assert_eq!(stats["store"]["state"], "healthy");
    assert!(stats["store"]["free_bytes"].as_u64() > Some(0) && stats["store"]["journal_bytes"].as_u64() > Some(0), "{stats:#}");
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
    assert!(!stats.to_string().contains(crate::support::TOKEN));
}
