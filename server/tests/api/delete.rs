//! Removing runs over HTTP.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::json;

use crate::support::{House, Reply, asking, workflow};

async fn delete(house: &House, run: &str) -> Reply {
    house.ask(asking("DELETE", &format!("/api/v1/runs/{run}")).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_run_that_is_over_goes_with_everything_that_it_has() {
    let house = House::new(50.0).await;
    let (run, other) = (house.run("01_simple_save").await, house.run("01_simple_save").await);
    house.ended(&run).await;
    let view = house.ended(&other).await;
    let folder = house.dir.path().join("data/runs").join(&run);
    assert!(folder.join("outputs").is_dir());
    let mut changes = house.running.app.changes();
    let reply = delete(&house, &run).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({ "success": true, "deleted": run })));
    for path in ["", "/log", "/outputs", "/at/1", "/outputs/1/content"] {
        assert_eq!(house.get(&format!("/api/v1/runs/{run}{path}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(delete(&house, &run).await.status, StatusCode::NOT_FOUND);
    let told = async { while changes.recv().await != Ok(comfyd_server::app::Change::Deleted(run.parse().expect("an id"))) {} };
    tokio::time::timeout(std::time::Duration::from_mins(1), told).await.expect("the list is told");
    let listed = house.get("/api/v1/runs").await.json();
    assert_eq!((&listed["total"], &listed["runs"][0]["run_id"]), (&json!(1), &json!(other)));
    assert_eq!(house.get(&format!("/api/v1/runs/{other}")).await.json(), view, "the other is as it was");
    let name = view["workflow_id"].as_str().expect("a name");
    assert_eq!(delete(&house, name).await.json()["deleted"], json!(other), "either name will do");
}

#[tokio::test]
async fn a_run_that_goes_on_stays() {
    let house = House::new(0.05).await;
    let run = house.run("20_custom_slow_previews").await;
    let refused = delete(&house, &run).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!((&refused.json()["code"], &refused.json()["success"]), (&json!("not_settled"), &json!(false)));
    assert_eq!(house.get(&format!("/api/v1/runs/{run}")).await.status, StatusCode::OK);
    assert_eq!(house.post(&format!("/api/v1/runs/{run}/cancel"), &json!({})).await.status, StatusCode::ACCEPTED);
    house.ended(&run).await;
    assert_eq!(delete(&house, &run).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_run_that_is_not_there_cannot_go() {
    let house = House::new(50.0).await;
    let reply = delete(&house, "0193a1b2-0000-7000-8000-000000000001").await;
    assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::NOT_FOUND, &json!("unknown_run")));
}

#[tokio::test]
async fn a_request_that_is_sent_again_does_not_bring_back_what_was_removed() {
    let mut house = House::new(50.0).await;
    let body = json!({ "workflow": workflow("01_simple_save") });
    let send = async |house: &House, body: &serde_json::Value| {
        let request = asking("POST", "/api/v1/runs").header("content-type", "application/json").header("idempotency-key", "once");
        house.ask(request.body(Body::from(body.to_string())).expect("a request")).await
    };
    let made = send(&house, &body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let run = made.json()["run_id"].as_str().expect("a run id").to_owned();
    house.ended(&run).await;
    assert_eq!(delete(&house, &run).await.status, StatusCode::OK);
    for life in ["the same", "the next"] {
        let again = send(&house, &body).await;
        assert_eq!((again.status, &again.json()["code"]), (StatusCode::GONE, &json!("run_removed")), "{life}");
        assert!(again.json()["message"].as_str().is_some_and(|message| message.contains(&run)), "{life}");
        let other = send(&house, &json!({ "workflow": workflow("06_text") })).await;
        assert_eq!(other.json()["code"], "idempotency_key_reused", "{life}");
        assert_eq!(house.get("/api/v1/runs").await.json()["total"], 0, "{life}");
        house = house.restarted().await;
    }
}
