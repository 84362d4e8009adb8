//! Streams of events: what comes first, what comes at once, what is spaced, and how they end.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Event, House};

/// All that makes a state more than counting up.
fn lifecycle(view: &Value) -> Value {
    let nodes = view["nodes"].as_array().expect("a list").iter().map(|node| json!([node["node_id"], node["state"]]));
    let nodes: Vec<_> = nodes.collect();
    json!([
        view["status"],
        view["phase"],
        view["stopping"],
        view["attention"],
        view["warnings"],
        view["outputs"],
        view["error"],
        nodes
    ])
}

#[tokio::test]
async fn a_run_is_followed_to_its_end() {
    let house = House::new(1.0).await;
    let run = house.run("20_custom_slow_previews").await;
    let mut events = house.events(&format!("/api/v1/runs/{run}/events")).await;
    let mut seen: Vec<(Instant, Event)> = Vec::new();
    while let Some(event) = events.next().await {
        if event.kind == "preview" && !seen.iter().any(|(_, seen)| seen.kind == "preview") {
            let picture = house.get(event.data["url"].as_str().expect("a url")).await;
            assert_eq!(
                (picture.status, picture.header("content-type")),
                (StatusCode::OK, event.data["media_type"].as_str().expect("a type"))
            );
            assert!(picture.body.starts_with(b"\xff\xd8") || picture.body.starts_with(b"\x89PNG"));
        }
        seen.push((Instant::now(), event));
    }
    let kinds: Vec<&str> = seen.iter().map(|(_, event)| event.kind.as_str()).collect();
    assert_eq!(kinds.first(), Some(&"state"), "the present comes first");
    assert_eq!(kinds.iter().position(|kind| *kind == "end"), Some(kinds.len() - 1), "the end comes last: {kinds:?}");
    assert!(kinds.contains(&"preview"));

    let states: Vec<&(Instant, Event)> = seen.iter().filter(|(_, event)| event.kind == "state").collect();
    let mut progress: Vec<Instant> = Vec::new();
    for pair in states.windows(2) {
        let [(_, old), (at, new)] = pair else { unreachable!("windows of two") };
        assert!(new.id >= old.id, "never backwards");
        assert_eq!(new.id, new.data["seq"].as_u64());
        let percent = |event: &Event| event.data["progress"]["progress_percent"].as_f64();
        assert!(percent(new) >= percent(old));
        if lifecycle(&old.data) == lifecycle(&new.data) {
            progress.push(*at);
        }
    }
    assert!(progress.len() >= 3, "a run of 4 s shows its progress: {}", progress.len());
    for pair in progress.windows(2) {
        // A reader may be woken late for one and in time for the next.
        assert!(pair[1] - pair[0] >= Duration::from_millis(400), "at most twice a second: {:?}", pair[1] - pair[0]);
    }
    let (_, last) = states.last().expect("a state");
    assert_eq!((&last.data["status"], last.data["progress"]["progress_percent"].as_f64()), (&json!("completed"), Some(100.0)));
    assert!(last.data["outputs"].as_array().expect("a list").iter().all(|output| output["downloaded"] == true));
    let end = &seen.last().expect("an event").1;
    assert_eq!((&end.data["status"], &end.data["run_id"]), (&json!("completed"), &json!(run)));

    let mut over = house.events(&format!("/api/v1/runs/{run}/events")).await;
    let state = over.next().await.expect("the last state");
    assert_eq!((state.kind.as_str(), &state.data["status"]), ("state", &json!("completed")));
    assert_eq!(over.next().await.expect("the end").kind, "end");
    assert!(over.next().await.is_none(), "and it closes");
}

#[tokio::test]
async fn every_change_of_a_node_is_seen_as_it_comes() {
    let house = House::new(20.0).await;
    let run = house.run("08_sixty_nodes").await;
    let mut events = house.events(&format!("/api/v1/runs/{run}/events")).await;
    let mut last = Value::Null;
    while let Some(event) = events.next().await {
        if event.kind == "state" {
            last = event.data;
        }
    }
    assert_eq!(last["status"], "completed", "{last:#}");
    let view = house.get(&format!("/api/v1/runs/{run}")).await.json();
    assert_eq!(lifecycle(&last), lifecycle(&view), "the last state is never lost");
}

#[tokio::test]
async fn the_list_is_followed() {
    let house = House::new(20.0).await;
    let before = house.run("06_text").await;
    house.ended(&before).await;
    let mut events = house.events("/api/v1/events").await;
    let list = events.next().await.expect("a list");
    assert_eq!((list.kind.as_str(), &list.data["runs"][0]["run_id"]), ("list", &json!(before)));
    let run = house.run("20_custom_slow_previews").await;
    let mut statuses: Vec<String> = Vec::new();
    loop {
        let event = events.next().await.expect("the list never ends");
        assert_eq!((event.kind.as_str(), &event.data["run_id"]), ("run", &json!(run)));
        statuses.push(event.data["status"].as_str().expect("a word").to_owned());
        if event.data["status"] == "completed" {
            assert_eq!(event.data["progress_permille"], 1000);
            break;
        }
    }
    statuses.dedup();
    assert_eq!(statuses, ["queued", "executing", "completed"]);
}
