//! What a server never tells, and how it stops while others hold on to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Comfy, DEADLINE, Place, text};

/// Where the server of this place listens.
fn address(place: &Place) -> String {
    let about: Value = serde_json::from_slice(&std::fs::read(place.data().join("server.json")).expect("a server")).expect("JSON");
    text(&about, "address")
}

/// Sends the head of a request and the beginning of its body.
fn send(place: &Place, head: &str, body: &str) -> TcpStream {
    let address = address(place);
    let mut stream = TcpStream::connect(&address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    write!(stream, "{head} HTTP/1.1\r\nHost: {address}\r\n").expect("sent");
    write!(stream, "{body}").expect("sent");
    stream
}

/// The whole answer.
fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(place: &Place, path: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let rest =
        format!("{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    answer(send(place, &format!("POST {path}"), &rest))
}

#[test]
fn no_line_holds_a_secret() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let secret = "canary-0f9a3c5e7b1d-token";
    let file = place.file("token", secret);
    let url = comfy.url();
    let args = ["serve", "--listen", "127.0.0.1:0", "--token-file", &file, "--log-format", "json", "--url", &url];
    let mut command = place.comfyd(&args);
    let mut serving = place.started(command.env("RUST_LOG", "trace"), "serve");
    serving.until("comfyd listens");
    // Read beside, as a full pipe would hold the server up.
    let stderr = serving.child.stderr.take().expect("a pipe");
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        BufReader::new(stderr).read_to_string(&mut log).map(|_| log)
    });
    let bearer = format!("Authorization: Bearer {secret}\r\n");
    let origin = format!("Origin: http://{}\r\n", address(&place));
    let logged_in = post(&place, "/api/v1/login", &origin, &json!({ "token": secret }));
    let cookie =
        logged_in.lines().find_map(|line| line.to_lowercase().starts_with("set-cookie:").then(|| line[11..].trim().to_owned()));
    let session = cookie.expect("a cookie").split(';').next().expect("a value").to_owned();
    let value = session.split_once('=').expect("name and value").1.to_owned();
    let with_cookie = format!("Cookie: {session}\r\n{origin}X-Comfyd: 1\r\n");
    let workflow: Value =
        serde_json::from_str(comfyd_fixtures::workflows::named("01_simple_save").expect("a fixture").json).expect("JSON");
    let created = post(&place, "/api/v1/runs", &with_cookie, &json!({ "workflow": workflow }));
    assert!(created.starts_with("HTTP/1.1 201"), "{created}");
    let with_password = "http://canaryuser:canarypassword@127.0.0.1:1";
    let refused = post(&place, "/api/v1/runs", &bearer, &json!({ "workflow": workflow, "url": with_password }));
    assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
    for (headers, path) in [
        ("Authorization: Bearer canary-wrong-token\r\n", "/api/v1/runs"),
        (bearer.as_str(), "/api/v1/runs?token=canary-in-query"),
        ("Authorization: Basic Y2FuYXJ5OmJhc2lj\r\n", "/api/v1/runs"),
    ] {
        answer(send(&place, &format!("GET {path}"), &format!("{headers}Connection: close\r\n\r\n")));
    }
    place.ends(&["runs", "--token-file", &file]).is(0);
    serving.signal(Signal::TERM);
    serving.ends().is(0);
    let log = log.join().expect("read").expect("text");
    assert!(log.contains("\"TRACE\"") && log.contains("server.stopped"), "everything is told: {log}");
    for canary in [secret, &value, "canarypassword", "canaryuser", "canary-wrong-token", "canary-in-query", "Y2FuYXJ5OmJhc2lj"] {
        let line = log.lines().find(|line| line.contains(canary));
        assert_eq!(line, None, "{canary}");
    }
}

#[test]
fn a_server_that_others_hold_on_to_stops_all_the_same() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let mut serving = place.starts(&["serve", "--listen", "127.0.0.1:0", "--url", &comfy.url()]);
    serving.until("comfyd listens");
    let token = std::fs::read_to_string(place.data().join("token")).expect("a token");
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    let workflow = place.workflow("20_custom_slow_previews");
    let run = text(&place.ends(&["run", &workflow, "--detach", "--json"]).is(0).json()[0], "run_id");
    // Streams of one run and of all, an upload that stops halfway, and an answer that nobody reads.
    let follows = ["/api/v1/events".to_owned(), format!("/api/v1/runs/{run}/events")];
    let streams: Vec<BufReader<TcpStream>> = follows
        .iter()
        .map(|path| {
            let mut stream = BufReader::new(send(&place, &format!("GET {path}"), &format!("{bearer}\r\n")));
            let mut line = String::new();
            stream.read_line(&mut line).expect("a status");
            assert!(line.starts_with("HTTP/1.1 200"), "{line}");
            stream
        })
        .collect();
    let part = format!(
        "{bearer}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"workflow\"\r\n\r\n{{"
    );
    let upload = send(&place, "POST /comfyui/workflow/execute", &part);
    let unread = send(&place, &format!("GET /api/v1/runs/{run}/log"), &format!("{bearer}\r\n"));
    serving.signal(Signal::TERM);
    let ended = serving.ends().is(0);
    // It ended by itself, before its own limit of 10 s had to end it.
    assert!(ended.err.contains("server.stopped") && !ended.err.contains("server.stop_took_too_long"), "{}", ended.err);
    drop((streams, upload, unread));
    let seen = place.ends(&["watch", &run, "--give-up-after", "20"]);
    assert!(seen.code == Some(0), "{seen:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let mut serving = place.starts(&["serve", "--listen", "127.0.0.1:0"]);
    serving.until("comfyd listens");
    let token = std::fs::read_to_string(place.data().join("token")).expect("a token");
    let head =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{", token.trim());
    // An upload that stops halfway would hold it for 8 s.
    let upload = send(&place, "POST /api/v1/runs", &head);
    serving.signal(Signal::TERM);
    while !serving.log_line().contains("server.stopping") {}
    serving.signal(Signal::TERM);
    let ended = serving.ends().is(0);
    assert!(!ended.err.contains("server.stopped"), "it did not wait: {}", ended.err);
    drop(upload);
}
