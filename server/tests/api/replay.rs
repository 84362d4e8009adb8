//! What a run was: its events, its state at each of them, and the patches between.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use comfyd_engine::testkit::{progressing, run_id};
use comfyd_engine::{Seq, StreamId};
use comfyd_server::patch::{list_shape, merge};
use comfyd_server::store::{Append, Class, FileStore, Options, RealDisk, Sync};
use serde_json::{Value, json};

use crate::support::{House, Reply, asking};

fn lines(reply: &Reply) -> Vec<Value> {
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
    reply
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn patches_lead_to_the_state_at_each_event() {
    let house = House::new(50.0).await;
    let run = house.run("01_simple_save").await;
    let last = house.ended(&run).await["seq"].as_u64().expect("a number");
    let all = house.get(&format!("/api/v1/runs/{run}/patches")).await.json();
    assert_eq!(
        [&all["success"], &all["from"], &all["to"], &all["last"], &all["next"]],
        [&json!(true), &json!(1), &json!(last), &json!(last), &Value::Null]
    );
    let log = lines(&house.get(&format!("/api/v1/runs/{run}/log")).await);
    let mut shown = Value::Null;
    for (n, entry) in all["entries"].as_array().expect("a list").iter().enumerate() {
        assert_eq!((&entry["seq"], &entry["at"], &entry["kind"]), (&log[n]["seq"], &log[n]["at"], &log[n]["event"]["kind"]));
        assert_eq!((entry["state"].is_object(), entry["patch"].is_object()), (n == 0, n > 0));
        if n == 0 {
            shown = entry["state"].clone();
        } else {
            merge(&mut shown, entry["patch"].clone());
        }
        let mut at = house.get(&format!("/api/v1/runs/{run}/at/{}", n + 1)).await.json();
        let mut state = list_shape(&shown);
        at.as_object_mut().expect("a run").remove("success");
        // An estimate is never served in the past.
        for view in [&mut at, &mut state] {
            view["timing"]["estimated_completion"].take();
        }
        assert_eq!(state, at, "at {}", n + 1);
    }
    assert_eq!(shown["seq"], last);
    let part = house.get(&format!("/api/v1/runs/{run}/patches?from=3&to=5")).await.json();
    let seqs: Vec<_> = part["entries"].as_array().expect("a list").iter().map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(seqs, [Some(3), Some(4), Some(5)]);
    assert!(part["entries"][0]["state"]["seq"] == 3 && part["next"].is_null());
    let far = house.get(&format!("/api/v1/runs/{run}/patches?from={last}&to=18446744073709551615")).await.json();
    assert_eq!(far["entries"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn bounds_are_checked() {
    let house = House::new(50.0).await;
    let run = house.run("06_text").await;
    let last = house.ended(&run).await["seq"].as_u64().expect("a number");
    let ask = async |rest: &str| house.get(&format!("/api/v1/runs/{run}/{rest}")).await;
    for bad in ["from=0", "from=x", "to=0", "to=-1", "from=5&to=4", "from=+1", "from=", "from=99999999999999999999"] {
        for kind in ["patches", "log"] {
            let reply = ask(&format!("{kind}?{bad}")).await;
            assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::BAD_REQUEST, &json!("bad_query")), "{kind}?{bad}");
        }
    }
    for bad in [
        "log?limit=0",
        "log?raw=1&from=2",
        "log?after=1&from=2",
        "log?after=x",
        "log?after=9&to=9",
        "log?raw=1&newest=1",
        "log?newest=2",
        "log?kinds=node_started,nonsense",
        "log?kinds=",
        "log?without=nonsense",
        &format!("log?text={}", "x".repeat(1001)),
    ] {
        assert_eq!(ask(bad).await.json()["code"], "bad_query", "{bad}");
    }
    let beyond = ask(&format!("patches?from={}", last + 1)).await;
    assert_eq!((beyond.status, &beyond.json()["code"]), (StatusCode::NOT_FOUND, &json!("no_such_event")));
    let seqs = |reply: Reply| lines(&reply).iter().map(|line| line["seq"].as_u64().expect("a number")).collect::<Vec<_>>();
    assert_eq!(seqs(ask("log").await), (1..=last).collect::<Vec<_>>());
    assert_eq!(seqs(ask("log?from=2&to=4").await), [2, 3, 4]);
    assert_eq!(seqs(ask("log?after=2&limit=2").await), [3, 4]);
    assert_eq!(seqs(ask(&format!("log?from={}", last + 1)).await), Vec::<u64>::new());
    assert!(ask("log?raw=1").await.body.starts_with(b"CFDLOG"));
}

#[tokio::test]
async fn a_log_is_searched_and_read_from_its_end() {
    let house = House::new(50.0).await;
    let run = house.run("06_text").await;
    let last = house.ended(&run).await["seq"].as_u64().expect("a number");
    let ask = async |rest: &str| {
        let reply = house.get(&format!("/api/v1/runs/{run}/log?{rest}")).await;
        let seqs = lines(&reply).iter().map(|line| line["seq"].as_u64().expect("a number")).collect::<Vec<_>>();
        (seqs, reply.header("x-last-seq").parse::<u64>().expect("a number"))
    };
    let all = lines(&house.get(&format!("/api/v1/runs/{run}/log")).await);
    let of = |kinds: &[&str]| {
        let fits = |line: &&Value| kinds.contains(&line["event"]["kind"].as_str().expect("a kind"));
        all.iter().filter(fits).map(|line| line["seq"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    let started = of(&["node_started"]);
    assert!(started.len() > 1, "{all:?}");
    assert_eq!(ask("newest=1&limit=3").await, (vec![last - 2, last - 1, last], last));
    assert_eq!(ask(&format!("newest=1&limit=2&to={}", last - 1)).await, (vec![last - 2, last - 1], last - 1));
    assert_eq!(ask("limit=2").await, (vec![1, 2], 2), "it looked no further");
    assert_eq!(ask("kinds=node_started").await, (started.clone(), last));
    assert_eq!(ask("kinds=node_started&limit=1").await, (vec![started[0]], started[0]));
    assert_eq!(ask("kinds=node_started&limit=1&newest=1").await, (vec![started[started.len() - 1]], last));
    assert_eq!(ask("kinds=node_started,node_finished").await.0, of(&["node_started", "node_finished"]));
    let rest = ask("without=node_started,node_finished").await.0;
    assert_eq!(rest.len() + of(&["node_started", "node_finished"]).len(), all.len(), "all others");
    assert!(ask("kinds=node_started&without=node_started").await.0.is_empty());
    assert_eq!(ask("text=NODE_started").await.0, started, "capitals do not matter");
    let word = all[0]["event"]["data"]["spec"]["name"].as_str().expect("a name").to_uppercase();
    assert!(ask(&format!("text={word}")).await.0.contains(&1), "data is searched too");
    assert_eq!(ask("text=nobody+has+written+this").await, (Vec::new(), last));
    assert_eq!(ask(&format!("after={last}&text=a")).await, (Vec::new(), last));
}

#[tokio::test]
async fn who_has_the_state_already_is_told_so() {
    let house = House::new(50.0).await;
    let run = house.run("06_text").await;
    house.ended(&run).await;
    let path = format!("/api/v1/runs/{run}");
    let whole = house.get(&path).await;
    let ask = async |tag: &str| {
        house.ask(asking("GET", &path).header("if-none-match", tag).body(Body::empty()).expect("a request")).await
    };
    let again = ask(whole.header("etag")).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (StatusCode::NOT_MODIFIED, 0, whole.header("etag")));
    assert_eq!(ask("\"other\"").await.body, whole.body);
}

/// Writes the log of a run with so many events, before a server is there.
fn write_long(data: &Path, events: u32) {
    let write = async {
        let options = Options { min_free: 0, ..Options::default() };
        let (store, _found) = FileStore::open(data, Arc::new(RealDisk), options).expect("a store");
        let payloads = progressing(run_id(1), events, 10).into_iter().map(|(_, payload)| payload).collect();
        let append = Append { stream: StreamId::Run(run_id(1)), expected: Seq(0), payloads, class: Class::Ordinary };
        store.append_all(vec![append], Sync::Now).await.expect("stored");
        store.shutdown().await.expect("closed");
    };
    // The store is opened from a thread of its own, as the test's runtime is busy with this one.
    std::thread::scope(|scope| {
        let writes = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(write);
        });
        writes.join().expect("written");
    });
}

#[tokio::test]
async fn a_long_log_comes_in_answers_of_5000_and_each_state_is_that_of_its_event() {
    const LONG: u32 = 7100;
    let house = House::with(50.0, |options, dir| {
        write_long(&dir.join("data"), LONG);
        options
    })
    .await;
    let run = run_id(1);
    let ask = async |rest: &str| house.get(&format!("/api/v1/runs/{run}/{rest}")).await.json();
    let bounds = |answer: &Value| ["from", "to", "next"].map(|key| answer[key].as_u64());
    // From the middle first, so that the rest begins at a place that is known.
    let middle = ask("patches?from=6001&to=7000").await;
    assert_eq!(bounds(&middle), [Some(6001), Some(7000), None]);
    let all = ask("patches").await;
    assert_eq!(bounds(&all), [Some(1), Some(5000), Some(5001)]);
    let rest = ask("patches?from=5001&to=7000").await;
    assert_eq!(bounds(&rest), [Some(5001), Some(7000), None]);
    let entries = [&all, &rest].map(|answer| answer["entries"].as_array().expect("a list").clone()).concat();
    assert_eq!(entries.len(), 7000);
    let mut shown = Value::Null;
    for (n, entry) in (1..).zip(&entries) {
        assert_eq!(entry["seq"], n);
        assert_eq!(entry["state"].is_object(), n % 1000 == 1, "event {n}");
        match entry.get("state") {
            Some(state) => {
                if !shown.is_null() {
                    // The patches lead to the same state that stands among them, but for the event itself.
                    assert_eq!((&shown["nodes"]["1"], &shown["run_id"]), (&state["nodes"]["1"], &state["run_id"]), "event {n}");
                }
                shown = state.clone();
            }
            None => merge(&mut shown, entry["patch"].clone()),
        }
        if n % 1000 == 0 || n % 1000 == 1 {
            let mut at = ask(&format!("at/{n}")).await;
            at.as_object_mut().expect("a run").remove("success");
            let mut state = list_shape(&shown);
            for view in [&mut at, &mut state] {
                view["timing"]["estimated_completion"].take();
            }
            assert_eq!(state, at, "event {n}");
        }
    }
    assert_eq!(middle["entries"], Value::from(entries[6000..].to_vec()), "whichever way it was folded");
}
