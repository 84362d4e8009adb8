//! Streams of events: what comes first, what comes at once, what is spaced, and how they end.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use bytes::Bytes;
use comfyd_server::api::{Bounds, serve_within};
use comfyd_server::patch::{list_shape, merge};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Event, Events, House, workflow};

/// What a reader makes of an event: the run in its live shape.
fn shown(before: &Value, event: &Event) -> Value {
    let mut shown = before.clone();
    match event.kind.as_str() {
        "state" => shown = event.data.clone(),
        "patch" => {
            assert!(shown.is_object(), "a patch is to a state");
            merge(&mut shown, event.data.clone());
        }
        _ => {} // Previews and the end leave it as it is.
    }
    shown
}

/// The last state that a stream leads to.
async fn followed(mut events: Events, mut state: Value) -> (Value, Vec<Event>) {
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        state = shown(&state, &event);
        all.push(event);
    }
    (list_shape(&state), all)
}

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

    let mut states: Vec<(Instant, Option<u64>, Value)> = Vec::new();
    for (at, event) in seen.iter().filter(|(_, event)| event.kind == "state" || event.kind == "patch") {
        let before = states.last().map_or(Value::Null, |(_, _, state)| state.clone());
        states.push((*at, event.id, shown(&before, event)));
    }
    assert_eq!(kinds.iter().filter(|kind| **kind == "state").count(), 1, "after the first only changes are told");
    for (_, _, state) in &mut states {
        *state = list_shape(state);
    }
    let mut progress: Vec<Instant> = Vec::new();
    for pair in states.windows(2) {
        let [(_, old_id, old), (at, id, new)] = pair else { unreachable!("windows of two") };
        assert!(id >= old_id, "never backwards");
        assert_eq!(*id, new["seq"].as_u64());
        let percent = |state: &Value| state["progress"]["progress_percent"].as_f64();
        assert!(percent(new) >= percent(old));
        if lifecycle(old) == lifecycle(new) {
            progress.push(*at);
        }
    }
    assert!(progress.len() >= 3, "a run of 4 s shows its progress: {}", progress.len());
    // Counted and not timed one by one: a reader may be woken late for one and in time for the next.
    let lasted = progress[progress.len() - 1] - progress[0];
    let more = u32::try_from(progress.len() - 1).expect("a few");
    assert!(
        more * Duration::from_millis(500) <= lasted + Duration::from_secs(1),
        "at most twice a second: {more} more within {lasted:?}"
    );
    let (_, _, last) = states.last().expect("a state");
    assert_eq!((&last["status"], last["progress"]["progress_percent"].as_f64()), (&json!("completed"), Some(100.0)));
    assert!(last["outputs"].as_array().expect("a list").iter().all(|output| output["downloaded"] == true));
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
    let path = format!("/api/v1/runs/{run}/events");
    let (changes, whole) = (house.events(&path).await, house.events(&format!("{path}?patches=false")).await);
    let ((patched, _), (last, events)) = tokio::join!(followed(changes, Value::Null), followed(whole, Value::Null));
    assert_eq!(patched["status"], "completed", "{patched:#}");
    assert!(events.iter().all(|event| event.kind != "patch") && last["nodes"].is_array(), "who wants no patches gets none");
    let mut view = house.get(&format!("/api/v1/runs/{run}")).await.json();
    view.as_object_mut().expect("a run").remove("success");
    assert_eq!(patched, view, "the last state is never lost, and patches lead to all of it");
    assert_eq!(last, view);
    assert_eq!(house.get(&format!("{path}?patches=some")).await.json()["code"], "bad_query");
}

#[tokio::test]
async fn the_list_begins_with_all_that_has_not_ended() {
    let house = House::new(1.0).await;
    let wish = json!({ "workflow": workflow("20_custom_slow_previews"), "url": house.fake.url(), "repeat": 250 });
    assert_eq!(house.post("/api/v1/batches", &wish).await.status, StatusCode::CREATED);
    let list = house.events("/api/v1/events").await.next().await.expect("a list");
    assert_eq!((list.kind.as_str(), list.data["runs"].as_array().map(Vec::len)), ("list", Some(250)));
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

#[tokio::test]
async fn runs_are_told_in_full_in_the_stream_of_all() {
    let house = House::new(20.0).await;
    let done = house.run("06_text").await;
    house.ended(&done).await;
    let run = house.run("20_custom_slow_previews").await;
    let mut events = house.events(&format!("/api/v1/events?runs={run},{done},nothing")).await;
    let (mut states, mut seen, mut ends) = (std::collections::BTreeMap::<String, Value>::new(), Value::Null, 0);
    let mut kinds = std::collections::BTreeSet::new();
    while ends < 2 {
        let event = events.next().await.expect("the list never ends");
        kinds.insert(event.kind.clone());
        if !event.kind.starts_with("run_") {
            continue;
        }
        assert_eq!(event.tag, None, "the id of the stream is that of the list");
        let id = event.data["run_id"].as_str().expect("a run").to_owned();
        match event.kind.as_str() {
            "run_state" => drop(states.insert(id, event.data["data"].clone())),
            "run_patch" => merge(states.get_mut(&id).expect("a state comes first"), event.data["data"].clone()),
            "run_missing" => assert_eq!((id.as_str(), &event.data["data"]["code"]), ("nothing", &json!("unknown_run"))),
            "run_end" => {
                ends += 1;
                seen = if id == run { event.data["id"].clone() } else { seen };
            }
            _ => assert_eq!(event.kind, "run_preview"), // The last of the five.
        }
    }
    for kind in ["list", "run", "run_state", "run_patch", "run_missing", "run_preview"] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
    let view = house.get(&format!("/api/v1/runs/{run}")).await.json();
    assert_eq!((&states[&run]["seq"], &states[&run]["status"]), (&view["seq"], &json!("completed")));
    let seen = seen.as_str().expect("an id");
    let mut events = house.events(&format!("/api/v1/events?runs={run}@{seen}")).await;
    let first = loop {
        let event = events.next().await.expect("the list never ends");
        if event.kind != "list" {
            break event;
        }
    };
    assert_eq!(first.kind, "run_patch", "only what came since");
    let many = "a,".repeat(33);
    assert_eq!(house.get(&format!("/api/v1/events?runs={many}")).await.json()["code"], "bad_query");
}

#[tokio::test]
async fn who_comes_back_goes_on_from_there() {
    let house = House::new(20.0).await;
    let run = house.run("20_custom_slow_previews").await;
    let path = format!("/api/v1/runs/{run}/events");
    // Lost in the middle of the run.
    let mut events = house.events(&path).await;
    let mut state = Value::Null;
    let mut id = None;
    while state["status"] != "executing" {
        let event = events.next().await.expect("it runs some time");
        state = shown(&state, &event);
        id = event.tag.or(id);
    }
    drop(events);
    let early = state.clone();
    let (last, all) = followed(house.events_after(&path, id.as_deref()).await, state).await;
    assert!(all.iter().all(|event| event.kind != "state"), "only what came since");
    let mut view = house.get(&format!("/api/v1/runs/{run}")).await.json();
    view.as_object_mut().expect("a run").remove("success");
    assert_eq!(last, view);
    // Lost, and back when all is over.
    let (last, all) = followed(house.events_after(&path, id.as_deref()).await, early).await;
    assert_eq!(last, view);
    // The last picture is shown as long as the run is among the open ones, which may be a moment longer than it is over.
    let kinds: Vec<&str> = all.iter().map(|event| event.kind.as_str()).filter(|kind| *kind != "preview").collect();
    assert_eq!(kinds, ["patch", "end"]);
    // An id of nowhere, of the future, of another stream.
    let bare = view["seq"].to_string();
    // One of another life of the server: its number may have been taken by something else since.
    let (boot, seq) = id.as_deref().and_then(|id| id.split_once(':')).expect("an id names the server's life");
    let elsewhere = format!("{boot}0:{seq}");
    for unknown in ["0", "999999", "x", "-1", "b:1", "", "1", &bare, &elsewhere] {
        let (last, all) = followed(house.events_after(&path, Some(unknown)).await, Value::Null).await;
        assert_eq!((all[0].kind.as_str(), last), ("state", view.clone()), "{unknown}");
    }
}

#[tokio::test]
async fn a_reader_who_sleeps_costs_the_others_nothing_and_gets_the_same_end() {
    let house = House::new(20.0).await;
    let run = house.run("08_sixty_nodes").await;
    let path = format!("/api/v1/runs/{run}/events");
    let mut asleep = house.events(&path).await;
    let first = asleep.next().await.expect("the present");
    let mut awake = Vec::new();
    for _ in 0..50 {
        awake.push(tokio::spawn(followed(house.events(&path).await, Value::Null)));
    }
    let mut view = house.ended(&run).await;
    view.as_object_mut().expect("a run").remove("success");
    for reader in awake {
        let (last, all) = reader.await.expect("a reader");
        assert_eq!(all.last().map(|event| event.kind.as_str()), Some("end"));
        assert_eq!(last["status"], "completed");
    }
    let (last, all) = followed(asleep, first.data).await;
    assert_eq!(last["status"], "completed");
    assert!(all.len() <= 260, "a sleeper is owed no more than is kept: {}", all.len());
}

#[tokio::test]
async fn who_takes_nothing_loses_the_connection_and_others_do_not_wait() {
    struct Gone(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            // Nobody waits when the test has failed already.
            let _ = self.0.take().map(|gone| gone.send(()));
        }
    }
    let (sender, gone) = tokio::sync::oneshot::channel();
    let guard = std::sync::Arc::new(std::sync::Mutex::new(Some(Gone(Some(sender)))));
    let endless = move || {
        let held = guard.lock().expect("nothing panicked").take();
        let pieces = futures_util::stream::unfold(held, |held| async {
            Some((Ok::<_, std::io::Error>(Bytes::from_static(&[b'.'; 4096])), held))
        });
        std::future::ready(Body::from_stream(pieces))
    };
    let router = Router::new().route("/endless", get(endless)).route("/small", get(|| async { "here" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let bounds = Bounds { stalled: Duration::from_millis(300), ..Bounds::default() };
    let server = tokio::spawn(serve_within(listener, router, stop.clone(), bounds));
    let ask = async |path: &str| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let mut stream = socket.connect(address).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    };
    let silent = ask("/endless").await;
    let mut text = String::new();
    ask("/small").await.read_to_string(&mut text).await.expect("an answer");
    assert!(text.ends_with("here"));
    tokio::time::timeout(Duration::from_mins(1), gone).await.expect("given up in time").expect("dropped");
    drop(silent);
    stop.cancel();
    server.await.expect("no panic").expect("it stops");
}

#[tokio::test]
async fn the_list_goes_on_where_a_reader_was() {
    let house = House::new(50.0).await;
    assert_eq!(house.watchers(), 0);
    let [first, second] = [house.run("06_text").await, house.run("06_text").await];
    house.ended(&first).await;
    house.ended(&second).await;
    let mut events = house.events("/api/v1/events").await;
    let list = events.next().await.expect("a list");
    assert_eq!(list.data["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(house.watchers(), 1);
    drop(events);
    assert_eq!(house.watchers(), 0, "a server that waits for its clients must see that they are gone");
    let third = house.run("06_text").await;
    house.ended(&third).await;
    let mut events = house.events_after("/api/v1/events", list.tag.as_deref()).await;
    let mut summary = Value::Null;
    while summary["status"] != "completed" {
        let event = events.next().await.expect("the list never ends");
        assert_eq!((event.kind.as_str(), &event.data["run_id"]), ("run", &json!(third)), "only what changed since");
        assert!(event.tag.is_some_and(|tag| {
            tag.split_once(':').is_some_and(|(boot, _)| list.tag.as_deref().expect("an id").starts_with(boot))
        }));
        summary = event.data;
    }
    for unknown in ["1:1", "", "17"] {
        let again = house.events_after("/api/v1/events", Some(unknown)).await.next().await.expect("a list");
        assert_eq!((again.kind.as_str(), again.data["runs"].as_array().map(Vec::len)), ("list", Some(3)), "{unknown}");
    }
}
