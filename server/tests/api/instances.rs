//! Instances: set up by the API and by the file, kept over restarts, tested, looked at, used.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use comfyd_fixtures::{FakeComfy, FakeConfig, FakeServer};
use comfyd_server::instances::{InstanceEntry, Place};
use comfyd_server::server::{Running, ServeOptions, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{House, Reply, TOKEN, asking, workflow};

async fn fake(time_scale: f64) -> FakeServer {
    let fake = FakeComfy::new(FakeConfig { time_scale, ..FakeConfig::default() });
    fake.listen("127.0.0.1:0").await.expect("a free port")
}

async fn send(house: &House, method: &str, path: &str, body: &Value) -> Reply {
    let request = asking(method, path).header("content-type", "application/json");
    house.ask(request.body(Body::from(body.to_string())).expect("a request")).await
}

async fn put(house: &House, name: &str, body: &Value) -> Reply {
    send(house, "PUT", &format!("/api/v1/instances/{name}"), body).await
}

async fn delete(house: &House, name: &str) -> Reply {
    house.ask(asking("DELETE", &format!("/api/v1/instances/{name}")).body(Body::empty()).expect("a request")).await
}

async fn add(house: &House, name: &str, url: &str) -> Value {
    let reply = house.post("/api/v1/instances", &json!({ "name": name, "url": url })).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    assert_eq!(reply.header("location"), format!("/api/v1/instances/{name}"));
    reply.json()
}

fn is(reply: &Reply, status: StatusCode, code: &str) {
    let body = reply.json();
    assert_eq!((reply.status, &body["code"]), (status, &json!(code)), "{body:#}");
    for part in ["message", "hint"] {
        assert!(body[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {body:#}");
    }
}

fn names(reply: &Reply) -> Vec<String> {
    let listed = reply.json();
    let list = listed["instances"].as_array().expect("a list").iter();
    list.map(|instance| instance["name"].as_str().expect("a name").to_owned()).collect()
}

async fn run_on(house: &House, target: &Value, sample: &str) -> Reply {
    let mut wish = json!({ "workflow": workflow(sample) });
    for (key, value) in target.as_object().expect("an object") {
        wish[key] = value.clone();
    }
    house.post("/api/v1/runs", &wish).await
}

fn id_of(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    reply.json()["run_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_instance_lives() {
    let house = House::without_default(50.0).await;
    let url = house.fake.url();
    let added = add(&house, "gpu-1", &url).await;
    for (key, value) in [
        ("name", json!("gpu-1")),
        ("url", json!(url)),
        ("source", json!("api")),
        ("adhoc", json!(false)),
        ("default", json!(false)),
        ("state", json!("idle")),
        ("label", json!(null)),
        ("version", json!(null)),
        ("open_runs", json!(0)),
    ] {
        assert_eq!(added[key], value, "{key}: {added:#}");
    }
    let run = id_of(&run_on(&house, &json!({ "instance": "gpu-1" }), "06_text").await);
    assert_eq!(house.ended(&run).await["instance"], "gpu-1");
    let seen = house.get("/api/v1/instances/gpu-1").await.json();
    assert_eq!((&seen["state"], &seen["version"]), (&json!("connected"), &json!("0.8.0")), "{seen:#}");
    assert_eq!(seen["features"], json!({"prompt_id": true, "interrupt_by_id": true, "cancel_route": null}));

    // One server is one instance, however it is asked for.
    let by_url = id_of(&run_on(&house, &json!({ "url": url }), "06_text").await);
    assert_eq!(house.ended(&by_url).await["instance"], "gpu-1");

    let labelled = put(&house, "gpu-1", &json!({ "label": "The big one", "default": true })).await.json();
    assert_eq!((&labelled["label"], &labelled["default"], &labelled["url"]), (&json!("The big one"), &json!(true), &json!(url)));
    let unlabelled = put(&house, "gpu-1", &json!({ "label": "" })).await.json();
    assert_eq!((&unlabelled["label"], &unlabelled["default"]), (&json!(null), &json!(true)));
    let by_default = id_of(&run_on(&house, &json!({}), "06_text").await);
    assert_eq!(house.ended(&by_default).await["instance"], "gpu-1");

    assert_eq!(delete(&house, "gpu-1").await.status, StatusCode::OK);
    assert_eq!(names(&house.get("/api/v1/instances").await), Vec::<String>::new());
    is(&house.get("/api/v1/instances/gpu-1").await, StatusCode::NOT_FOUND, "unknown_instance");
    is(&run_on(&house, &json!({ "instance": "gpu-1" }), "06_text").await, StatusCode::NOT_FOUND, "unknown_instance");
    is(&run_on(&house, &json!({}), "06_text").await, StatusCode::BAD_REQUEST, "no_instance");
    assert_eq!(house.get(&format!("/api/v1/runs/{run}")).await.json()["status"], "completed", "its runs stay");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let house = House::new(50.0).await;
    let free = "http://127.0.0.1:9";
    add(&house, "gpu-1", free).await;
    let post = async |body: Value| house.post("/api/v1/instances", &body).await;
    is(&post(json!({ "url": free })).await, StatusCode::BAD_REQUEST, "field_missing");
    is(&post(json!({ "name": "x" })).await, StatusCode::BAD_REQUEST, "field_missing");
    is(&post(json!({ "name": "X Y", "url": free })).await, StatusCode::BAD_REQUEST, "bad_instance");
    is(&post(json!({ "name": "test", "url": "http://127.0.0.1:10" })).await, StatusCode::BAD_REQUEST, "bad_instance");
    is(&post(json!({ "name": "gpu-1", "url": "http://127.0.0.1:10" })).await, StatusCode::CONFLICT, "instance_exists");
    is(&post(json!({ "name": "gpu-2", "url": free })).await, StatusCode::CONFLICT, "address_taken");
    is(&post(json!({ "name": "a", "url": "http://gpu.lan:8188" })).await, StatusCode::FORBIDDEN, "host_not_allowed");
    is(&post(json!({ "name": "a", "url": "http://169.254.169.254:80" })).await, StatusCode::FORBIDDEN, "address_refused");
    is(&post(json!({ "name": "a", "url": "ftp://127.0.0.1:1" })).await, StatusCode::BAD_REQUEST, "address_scheme");
    let secret = post(json!({ "name": "a", "url": "http://me:hunter2@127.0.0.1:1" })).await;
    is(&secret, StatusCode::BAD_REQUEST, "address_userinfo");
    assert!(!String::from_utf8_lossy(&secret.body).contains("hunter2"));
    let labelled = json!({ "name": "a", "url": "http://127.0.0.1:10", "label": "x".repeat(201) });
    is(&post(labelled).await, StatusCode::BAD_REQUEST, "bad_label");
    // The house was started with an address for runs that name none.
    is(&put(&house, "gpu-1", &json!({ "default": true })).await, StatusCode::CONFLICT, "default_is_fixed");
    is(&put(&house, "gpu-1", &json!({})).await, StatusCode::BAD_REQUEST, "nothing_to_change");
    is(&put(&house, "nobody", &json!({ "label": "x" })).await, StatusCode::NOT_FOUND, "unknown_instance");
    is(&delete(&house, "nobody").await, StatusCode::NOT_FOUND, "unknown_instance");
    let near = run_on(&house, &json!({ "instance": "gpu-l" }), "06_text").await;
    is(&near, StatusCode::NOT_FOUND, "unknown_instance");
    assert!(near.json()["hint"].as_str().is_some_and(|hint| hint.contains("`gpu-1`")), "{:?}", near.body);
}

#[tokio::test]
async fn an_instance_with_open_runs_stays() {
    let house = House::without_default(1.0).await;
    add(&house, "gpu-1", &house.fake.url()).await;
    let run = id_of(&run_on(&house, &json!({ "instance": "gpu-1" }), "20_custom_slow_previews").await);
    house.until(&run, |view| view["phase"] == "running").await;
    assert_eq!(house.get("/api/v1/instances/gpu-1").await.json()["open_runs"], 1);
    is(&put(&house, "gpu-1", &json!({ "url": "http://127.0.0.1:9" })).await, StatusCode::CONFLICT, "instance_busy");
    is(&delete(&house, "gpu-1").await, StatusCode::CONFLICT, "instance_busy");
    assert_eq!(put(&house, "gpu-1", &json!({ "label": "Busy" })).await.status, StatusCode::OK);
    house.post(&format!("/api/v1/runs/{run}/cancel"), &json!({})).await;
    house.ended(&run).await;
    let elsewhere = fake(50.0).await;
    let moved = put(&house, "gpu-1", &json!({ "url": elsewhere.url() })).await.json();
    assert_eq!((&moved["url"], &moved["state"], &moved["version"]), (&json!(elsewhere.url()), &json!("idle"), &json!(null)));
    let run = id_of(&run_on(&house, &json!({ "instance": "gpu-1" }), "06_text").await);
    house.ended(&run).await;
    assert_eq!((elsewhere.fake().ledger().posts(), house.fake.fake().ledger().posts()), (1, 1));
}

#[tokio::test]
async fn a_run_on_an_address_is_listed_and_can_be_kept() {
    let house = House::without_default(50.0).await;
    let url = house.fake.url();
    let run = id_of(&run_on(&house, &json!({ "url": url }), "06_text").await);
    let name = house.ended(&run).await["instance"].as_str().expect("a name").to_owned();
    let adhoc = house.get(&format!("/api/v1/instances/{name}")).await.json();
    assert_eq!((&adhoc["adhoc"], &adhoc["source"]), (&json!(true), &json!("adhoc")));
    let kept = put(&house, &name, &json!({ "label": "Mine" })).await.json();
    assert_eq!((&kept["adhoc"], &kept["source"], &kept["url"]), (&json!(false), &json!("api"), &json!(url)));
}

#[tokio::test]
async fn two_instances_work_at_once() {
    let house = House::without_default(1.0).await;
    let other = fake(1.0).await;
    add(&house, "one", &house.fake.url()).await;
    add(&house, "two", &other.url()).await;
    let first = id_of(&run_on(&house, &json!({ "instance": "one" }), "20_custom_slow_previews").await);
    let second = id_of(&run_on(&house, &json!({ "instance": "two" }), "20_custom_slow_previews").await);
    house.until(&first, |view| view["phase"] == "running").await;
    house.until(&second, |view| view["phase"] == "running").await;
    let still = house.get(&format!("/api/v1/runs/{first}")).await.json();
    assert_eq!(still["phase"], "running", "both run at the same time");
    for run in [&first, &second] {
        assert_eq!(house.ended(run).await["status"], "completed");
    }
    assert_eq!((house.fake.fake().ledger().posts(), other.fake().ledger().posts()), (1, 1));
}

async fn comfyd(house: &House, entries: Option<Vec<InstanceEntry>>) -> Running {
    let options = ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        token: Some(TOKEN.to_owned()),
        instances: entries,
        min_free: 0,
        ..ServeOptions::new(house.dir.path().join("other"))
    };
    start(options).await.expect("the server starts")
}

fn entry(name: &str, url: &str) -> InstanceEntry {
    InstanceEntry { name: name.parse().expect("a good name"), place: Place::Url(url.to_owned()), label: None, default: false }
}

async fn ends(running: Running) {
    running.stop();
    running.join().await.expect("it ends well");
}

fn known(running: &Running) -> Vec<(String, String, &'static str, bool)> {
    let all = running.app.instances().into_iter();
    all.map(|view| (view.name.to_string(), view.url, view.source, view.default)).collect()
}

fn row(name: &str, url: &str, source: &'static str, default: bool) -> (String, String, &'static str, bool) {
    (name.to_owned(), url.to_owned(), source, default)
}

#[tokio::test]
async fn the_file_and_the_api_each_keep_their_own() {
    let house = House::new(50.0).await;
    let running = comfyd(&house, Some(vec![entry("a", "http://a.lan:1"), entry("b", "http://127.0.0.1:2")])).await;
    let new = |name: &str, url: &str| comfyd_server::instances::NewInstance {
        name: name.parse().expect("a good name"),
        place: Place::Url(url.to_owned()),
        label: None,
        default: true,
    };
    running.app.add_instance(new("mine", "http://127.0.0.1:3")).await.expect("it is added");
    let change = comfyd_server::instances::SetInstance { label: Some("x".into()), ..Default::default() };
    let refused = running.app.set_instance("a", change).await.expect_err("the file has it");
    assert_eq!((refused.status, refused.code.as_str()), (409, "instance_of_config"));
    assert_eq!(running.app.remove_instance("a").await.expect_err("the file has it").code, "instance_of_config");
    ends(running).await;

    // Without a file everything stays as it was.
    let running = comfyd(&house, None).await;
    let mine = row("mine", "http://127.0.0.1:3", "api", true);
    let before = [row("a", "http://a.lan:1", "config", false), row("b", "http://127.0.0.1:2", "config", false), mine];
    assert_eq!(known(&running), before);
    ends(running).await;

    let b = InstanceEntry { default: true, ..entry("b", "http://127.0.0.1:22") };
    let running = comfyd(&house, Some(vec![b, entry("c", "http://127.0.0.1:4")])).await;
    let after = [
        row("b", "http://127.0.0.1:22", "config", true),
        row("c", "http://127.0.0.1:4", "config", false),
        row("mine", "http://127.0.0.1:3", "api", false),
    ];
    assert_eq!(known(&running), after);
    running.app.declare_instances(vec![entry("c", "http://127.0.0.1:22")]).await;
    let swapped = [row("c", "http://127.0.0.1:22", "config", false), row("mine", "http://127.0.0.1:3", "api", false)];
    assert_eq!(known(&running), swapped);
    ends(running).await;
}

#[tokio::test]
async fn an_entry_waits_for_the_runs_that_are_in_its_way() {
    let house = House::without_default(1.0).await;
    let app = &house.running.app;
    app.declare_instances(vec![entry("gpu", &house.fake.url())]).await;
    let run = id_of(&run_on(&house, &json!({ "instance": "gpu" }), "20_custom_slow_previews").await);
    house.until(&run, |view| view["phase"] == "running").await;
    app.declare_instances(vec![entry("gpu", "http://127.0.0.1:9")]).await;
    assert_eq!(app.instance("gpu").expect("it is there").url, house.fake.url());
    house.post(&format!("/api/v1/runs/{run}/cancel"), &json!({})).await;
    house.ended(&run).await;
    let moved = async {
        while app.instance("gpu").expect("it is there").url != "http://127.0.0.1:9" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), moved).await.expect("the entry is followed");
}

#[tokio::test]
async fn a_test_goes_the_whole_way() {
    let house = House::without_default(50.0).await;
    add(&house, "gpu-1", &house.fake.url()).await;
    let report = house.post("/api/v1/instances/gpu-1/test", &json!({})).await;
    assert_eq!(report.status, StatusCode::OK);
    let report = report.json();
    assert_eq!(
        (&report["ok"], &report["reachable"], &report["name"]),
        (&json!(true), &json!(true), &json!("gpu-1")),
        "{report:#}"
    );
    let steps: Vec<&str> = report["steps"].as_array().expect("a list").iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(steps, ["resolve", "connect", "http", "version", "websocket", "queue", "gpu"]);
    assert_eq!((&report["version"], &report["queue"]), (&json!("0.8.0"), &json!(0)));
    assert_eq!(report["devices"][0]["type"], "cpu");
    assert_eq!(report["features"], json!({"prompt_id": true, "interrupt_by_id": true, "cancel_route": true}));
    let seen = house.get("/api/v1/instances/gpu-1").await.json();
    assert_eq!((&seen["devices"], &seen["queue"], &seen["state"]), (&report["devices"], &json!(0), &json!("idle")));

    let by_url = house.post("/api/v1/instances/test", &json!({ "url": house.fake.url() })).await.json();
    assert_eq!((&by_url["ok"], &by_url["name"]), (&json!(true), &json!(null)));
    is(&house.post("/api/v1/instances/test", &json!({})).await, StatusCode::BAD_REQUEST, "field_missing");
    let far = house.post("/api/v1/instances/test", &json!({ "url": "http://gpu.lan:1" })).await;
    is(&far, StatusCode::FORBIDDEN, "host_not_allowed");
    is(&house.post("/api/v1/instances/nobody/test", &json!({})).await, StatusCode::NOT_FOUND, "unknown_instance");
}

/// A port that nobody listens on.
async fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("it has an address"))
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().expect("a list");
    steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}: {report:#}"))
}

#[tokio::test]
async fn a_bad_way_is_told_where_it_is_bad() {
    let house = House::without_default(50.0).await;
    add(&house, "gone", &free_port().await).await;
    let report = house.post("/api/v1/instances/gone/test", &json!({})).await;
    assert_eq!(report.status, StatusCode::OK, "a verdict is an answer");
    let report = report.json();
    assert_eq!((&report["ok"], &report["reachable"]), (&json!(false), &json!(false)));
    assert_eq!((&step(&report, "connect")["ok"], &step(&report, "http")["ok"]), (&json!(false), &json!(null)));
    assert_eq!(step(&report, "connect")["problem"]["code"], "unreachable");
    is(&house.get("/api/v1/instances/gone/stats").await, StatusCode::BAD_GATEWAY, "unreachable");
    is(&house.get("/api/v1/instances/gone/object_info").await, StatusCode::BAD_GATEWAY, "unreachable");
}

/// A server that answers every request with these bytes, then goes on with this filling as long as somebody reads.
async fn hostile(head: &'static str, filling: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0u8; 4096];
                let asked = stream.read(&mut buffer).await.unwrap_or(0);
                if asked > 0 && stream.write_all(head.as_bytes()).await.is_ok() && !filling.is_empty() {
                    while stream.write_all(filling).await.is_ok() {}
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_hostile_answer_is_bounded() {
    let house = House::without_default(50.0).await;
    let endless = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"system\": \"";
    let huge = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{";
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>";
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    for (name, head, filling, code) in [
        ("endless", endless, &[b'x'; 4096][..], "answer_too_large"),
        ("huge", huge, &[], "answer_too_large"),
        ("page", page, &[], "not_comfyui"),
        ("redirect", redirect, &[], "bad_status"),
        ("noise", "\u{0}\u{1}\u{2} what?\r\n\r\n", &[], "connection_lost"),
    ] {
        add(&house, name, &hostile(head, filling).await).await;
        let report = house.post(&format!("/api/v1/instances/{name}/test"), &json!({})).await.json();
        assert_eq!((&report["ok"], &report["reachable"]), (&json!(false), &json!(false)), "{name}: {report:#}");
        assert_eq!(step(&report, "http")["problem"]["code"], code, "{name}: {report:#}");
        is(&house.get(&format!("/api/v1/instances/{name}/stats")).await, StatusCode::BAD_GATEWAY, code);
    }
    is(&house.get("/api/v1/instances/page/object_info").await, StatusCode::BAD_GATEWAY, "not_comfyui");
}

#[tokio::test]
async fn an_instance_tells_of_itself() {
    let house = House::without_default(1.0).await;
    add(&house, "gpu-1", &house.fake.url()).await;
    let stats = house.get("/api/v1/instances/gpu-1/stats").await.json();
    assert_eq!((&stats["state"], &stats["queue"], &stats["version"]), (&json!("idle"), &json!(0), &json!("0.8.0")), "{stats:#}");
    assert!(stats["devices"][0]["vram_total"].is_u64() && stats["ram_free"].is_u64() && stats["latency_ms"].is_u64());
    let runs = [
        id_of(&run_on(&house, &json!({ "instance": "gpu-1" }), "20_custom_slow_previews").await),
        id_of(&run_on(&house, &json!({ "instance": "gpu-1" }), "20_custom_slow_previews").await),
        id_of(&run_on(&house, &json!({ "instance": "gpu-1" }), "20_custom_slow_previews").await),
    ];
    house.until(&runs[0], |view| view["phase"] == "running").await;
    house.until(&runs[1], |view| view["phase"] == "pending").await;
    let stats = house.get("/api/v1/instances/gpu-1/stats").await.json();
    assert_eq!(
        (&stats["state"], &stats["queue"], &stats["open_runs"], &stats["waiting_runs"]),
        (&json!("connected"), &json!(2), &json!(2), &json!(1)),
        "{stats:#}"
    );
}

#[tokio::test]
async fn classes_are_kept_while_it_is_the_same_process() {
    let house = House::without_default(50.0).await;
    add(&house, "gpu-1", &house.fake.url()).await;
    let fetched = || house.fake.fake().ledger().requests.get("GET /object_info").copied().unwrap_or(0);
    let path = "/api/v1/instances/gpu-1/object_info";
    let first = house.get(path).await;
    assert_eq!((first.status, first.header("content-type")), (StatusCode::OK, "application/json"));
    assert!(first.json()["classes"]["KSampler"].is_object());
    let tag = first.header("etag").to_owned();
    let again = house.ask(asking("GET", path).header("if-none-match", &tag).body(Body::empty()).expect("a request")).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (StatusCode::NOT_MODIFIED, 0, tag.as_str()));
    assert_eq!(fetched(), 1);
    assert_eq!(house.get(&format!("{path}?fresh=1")).await.status, StatusCode::OK);
    assert_eq!(fetched(), 2);

    let one = house.get(&format!("{path}?class=KSampler")).await.json();
    assert_eq!(one["classes"].as_object().map(serde_json::Map::len), Some(1), "{one:#}");
    is(&house.get(&format!("{path}?class=Nothing")).await, StatusCode::NOT_FOUND, "unknown_class");
    is(&house.get(&format!("{path}?class=..%2F..%2Fqueue")).await, StatusCode::NOT_FOUND, "unknown_class");
    // Another server is another answer.
    let other = fake(50.0).await;
    put(&house, "gpu-1", &json!({ "url": other.url() })).await;
    assert_eq!(house.get(path).await.status, StatusCode::OK);
    assert_eq!(other.fake().ledger().requests.get("GET /object_info").copied(), Some(1));
}

#[tokio::test]
async fn changes_of_different_fields_at_once_are_all_kept() {
    let house = House::without_default(50.0).await;
    add(&house, "gpu-1", "http://127.0.0.1:9001").await;
    for round in 0..10 {
        let (label, default) = (format!("Round {round}"), round % 2 == 0);
        let (one, two) = (json!({ "label": label }), json!({ "default": default }));
        let (first, second) = tokio::join!(put(&house, "gpu-1", &one), put(&house, "gpu-1", &two));
        assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
        let known = house.get("/api/v1/instances/gpu-1").await.json();
        assert_eq!((&known["label"], &known["default"]), (&json!(label), &json!(default)), "{known:#}");
    }
}
