//! A server with a simulated ComfyUI, and a client.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use comfyd_fixtures::{FakeComfy, FakeConfig, FakeServer, workflows};
use comfyd_server::api::{Names, Secret, Security, router};
use comfyd_server::server::{Running, ServeOptions, start};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::described;

/// The token of the tests.
pub(crate) const TOKEN: &str = "5d41402abc4b2a76b9719d911017c592";
/// What the tests call the server.
pub(crate) const HOST: &str = "127.0.0.1:8787";
/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server and what belongs to it.
pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) running: Running,
    pub(crate) fake: FakeServer,
    pub(crate) dir: TempDir,
}

/// An answer, read to its end.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl House {
    /// One whose ComfyUI is so many times faster than it says.
    pub(crate) async fn new(time_scale: f64) -> Self {
        Self::with(time_scale, |options, _| options).await
    }

    /// The same, but its server was not told where runs go that name no instance.
    pub(crate) async fn without_default(time_scale: f64) -> Self {
        Self::with(time_scale, |options, _| ServeOptions { default_url: None, ..options }).await
    }

    /// One with other options; they may name files in the folder of the test.
    pub(crate) async fn with(time_scale: f64, change: impl FnOnce(ServeOptions, &Path) -> ServeOptions) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let fake = FakeComfy::new(FakeConfig { time_scale, ..FakeConfig::default() });
        let fake = fake.listen("127.0.0.1:0").await.expect("a free port");
        let inputs = dir.path().join("inputs");
        std::fs::create_dir(&inputs).expect("a folder for inputs");
        let options = ServeOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            token: Some(TOKEN.to_owned()),
            default_url: Some(fake.url()),
            input_roots: Some(vec![inputs]),
            output_roots: Some(vec![]),
            min_free: 0,
            ..ServeOptions::new(dir.path().join("data"))
        };
        let running = start(change(options, dir.path())).await.expect("the server starts");
        let names = Names {
            allowed_hosts: vec!["comfy.example".to_owned()],
            public_url: Some("https://public.example".to_owned()),
            cors_origins: vec!["https://app.example".to_owned()],
        };
        let security = Security::fixed(Secret::new(TOKEN), 8787, names);
        Self { router: router(running.app.clone(), security), running, fake, dir }
    }

    /// The same house with the next life of its server.
    pub(crate) async fn restarted(self) -> Self {
        let Self { router: old, running, fake, dir } = self;
        // It has the data directory too.
        drop(old);
        running.stop();
        running.join().await.expect("it ends well");
        let options = ServeOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            token: Some(TOKEN.to_owned()),
            default_url: Some(fake.url()),
            min_free: 0,
            ..ServeOptions::new(dir.path().join("data"))
        };
        let running = start(options).await.expect("the server starts");
        let security = Security::fixed(Secret::new(TOKEN), 8787, Names::default());
        Self { router: router(running.app.clone(), security), running, fake, dir }
    }

    /// Asks with exactly these headers.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Reply {
        let asked = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.expect("the router answers everything");
        let (head, body) = response.into_parts();
        // A stream of events has no end to wait for.
        let stream = head.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let body = if stream { Bytes::new() } else { body.collect().await.expect("a whole body").to_bytes() };
        let reply = Reply { status: head.status, headers: head.headers, body };
        described::check(&asked.0, &asked.1, &reply);
        reply
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(asking("GET", path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = asking("POST", path).header("content-type", "application/json");
        self.ask(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Starts a run by a form of these parts: name, file name, bytes.
    pub(crate) async fn form(&self, parts: &[(&str, Option<&str>, &[u8])]) -> Reply {
        self.form_to("/api/v1/runs", parts).await
    }

    /// Posts a form of these parts: name, file name, bytes.
    pub(crate) async fn form_to(&self, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Reply {
        let mut body = Vec::new();
        for (name, file, bytes) in parts {
            let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
            body.extend(format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes());
            body.extend([bytes, &b"\r\n"[..]].concat());
        }
        body.extend(b"--xYz--\r\n");
        let request = asking("POST", path).header("content-type", "multipart/form-data; boundary=xYz");
        self.ask(request.body(Body::from(body)).expect("a request")).await
    }

    /// Starts a sample workflow; its run id.
    pub(crate) async fn run(&self, sample: &str) -> String {
        let reply = self.post("/api/v1/runs", &json!({ "workflow": workflow(sample), "workflow_name": sample })).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
        reply.json()["run_id"].as_str().expect("a run id").to_owned()
    }

    /// The run, as soon as it is as wanted.
    pub(crate) async fn until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut views = self.running.app.watch(run.parse().expect("a run id"));
        loop {
            let view = self.get(&format!("/api/v1/runs/{run}")).await.json();
            if wanted(&view) {
                return view;
            }
            let changed = async {
                match &mut views {
                    Some(views) => views.changed().await.is_ok(),
                    None => false,
                }
            };
            let more = tokio::time::timeout_at(deadline, changed).await;
            if !more.unwrap_or_else(|_| panic!("the run does not get there: {view:#}")) {
                let last = self.get(&format!("/api/v1/runs/{run}")).await.json();
                assert!(wanted(&last), "the run ended elsewhere: {last:#}");
                return last;
            }
        }
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.ask(asking("DELETE", path).body(Body::empty()).expect("a request")).await
    }

    /// A generic workflow, as soon as it is as wanted.
    pub(crate) async fn workflow_until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut changes = self.running.app.watch_workflows();
        loop {
            changes.mark_unchanged();
            let reply = self.get(&format!("/workflow/state?workflow_id={id}")).await;
            let state = reply.json()["state"].clone();
            if wanted(&state) {
                return state;
            }
            let more = tokio::time::timeout_at(deadline, changes.changed()).await;
            more.unwrap_or_else(|_| panic!("the workflow does not get there: {state:#}")).expect("the server is up");
        }
    }

    /// The run, as soon as it has ended.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        self.until(run, |view| !view["timing"]["end_time"].is_null()).await
    }

    /// How many streams of events are open.
    pub(crate) fn watchers(&self) -> usize {
        self.running.app.followers()
    }

    /// Opens a stream of events.
    pub(crate) async fn events(&self, path: &str) -> Events {
        self.events_after(path, None).await
    }

    /// Opens a stream of events after the one with this id.
    pub(crate) async fn events_after(&self, path: &str, last: Option<&str>) -> Events {
        let mut request = asking("GET", path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("the router answers everything");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { body: response.into_body(), text: String::new() }
    }
}

/// A request with the token.
pub(crate) fn asking(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", HOST).header("authorization", format!("Bearer {TOKEN}"))
}

/// A sample workflow.
pub(crate) fn workflow(name: &str) -> Value {
    serde_json::from_str(workflows::named(name).expect("a sample").json).expect("JSON")
}

/// An event of a stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<u64>,
    pub(crate) tag: Option<String>,
    pub(crate) data: Value,
}

/// A stream of events.
pub(crate) struct Events {
    body: Body,
    text: String,
}

impl Events {
    /// The next event; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let parsed = parse(event);
                self.text = String::from(rest);
                match parsed {
                    Some(event) => return Some(event),
                    None => continue, // A heartbeat.
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("an event in time")?;
            let data = frame.expect("a whole stream").into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&data).expect("text"));
        }
    }
}

fn parse(event: &str) -> Option<Event> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).expect("data is JSON");
    Some(Event {
        kind: field("event").unwrap_or("message").to_owned(),
        id: field("id").and_then(|id| id.rsplit(':').next()?.parse().ok()),
        tag: field("id").map(str::to_owned),
        data,
    })
}
