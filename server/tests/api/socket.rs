//! What only a real connection shows: limits of heads, and stopping.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use comfyd_server::server::{ServeOptions, start};

use crate::support::{House, TOKEN};

/// Sends a request as it stands; what comes back until the connection closes, or until `enough`.
async fn talk(house: &House, request: &[u8], enough: &str) -> String {
    let mut stream = TcpStream::connect(house.running.addr).await.expect("it listens");
    // The server may answer, and close, before all is sent.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    let mut part = [0u8; 4096];
    loop {
        let read = timeout(Duration::from_secs(30), stream.read(&mut part)).await.expect("an answer in time").unwrap_or(0);
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        if read == 0 || (!enough.is_empty() && text.contains(enough)) {
            return text.into_owned();
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let house = House::new(1.0).await;
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(talk(&house, long.as_bytes(), "").await.starts_with("HTTP/1.1 431"));
    // The longest one that is promised: as many outputs as one archive has, named in full, and what browsers send.
    let of = vec![format!("{}/10000", "0".repeat(36)); 300].join(",");
    let cookie = "x".repeat(1000);
    let longest = format!(
        "GET /api/v1/outputs.zip?of={of} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nCookie: a={cookie}\r\nConnection: close\r\n\r\n"
    );
    let answer = talk(&house, longest.as_bytes(), "").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("unknown_run"), "{answer}");
    let nonsense = talk(&house, b"nonsense\r\n\r\n", "").await;
    assert!(nonsense.starts_with("HTTP/1.1 400") || nonsense.is_empty(), "{nonsense}");
    assert!(talk(&house, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "").await.contains("\"ok\""));
}

#[tokio::test]
async fn a_body_that_is_too_long_gets_its_answer() {
    let house = House::new(1.0).await;
    let length = 17 << 20;
    let head = format!(
        "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let request = [head.into_bytes(), vec![b' '; length]].concat();
    let answer = talk(&house, &request, "").await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"), "{answer}");
}

#[tokio::test]
async fn stopping_ends_streams_and_is_quick() {
    let house = House::new(1.0).await;
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let mut stream = TcpStream::connect(house.running.addr).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut seen = Vec::new();
    let mut part = [0u8; 4096];
    while !String::from_utf8_lossy(&seen).contains("event: list") {
        let read = timeout(Duration::from_secs(10), stream.read(&mut part)).await.expect("a list in time").expect("a connection");
        assert!(read > 0, "it closed too early");
        seen.extend_from_slice(&part[..read]);
    }
    let began = Instant::now();
    house.running.stop();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.expect("the stream ends").expect("in order");
    assert!(String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"), "a whole answer");
    house.running.join().await.expect("it served well");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn one_address_gets_its_share_of_streams_and_no_more() {
    let house = House::new(1.0).await;
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(house.running.addr).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut first = [0u8; 12];
        timeout(Duration::from_secs(30), stream.read_exact(&mut first)).await.expect("in time").expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let refused = talk(&house, request.as_bytes(), "busy").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("one address"), "{refused}");
    held.clear();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !talk(&house, request.as_bytes(), "\r\n\r\n").await.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "the places of streams that ended are free again");
    }
}

#[tokio::test]
async fn who_comes_from_afar_gets_no_file_that_was_not_allowed() {
    let home = std::env::var("HOME").expect("tests run as somebody");
    for (listen, status, code) in [([127, 0, 0, 1], "400", "not_a_file"), ([0, 0, 0, 0], "403", "path_not_allowed")] {
        let dir = tempfile::tempdir().expect("a folder");
        let listen = (listen, 0).into();
        let options =
            ServeOptions { listen, token: Some(TOKEN.to_owned()), min_free: 0, ..ServeOptions::new(dir.path().join("data")) };
        let running = start(options).await.expect("it starts");
        let body = serde_json::json!({ "workflow_file": home, "url": "http://127.0.0.1:1" }).to_string();
        let request = format!(
            "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", running.addr.port())).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(code), "{listen}: {answer}");
        running.stop();
        running.join().await.expect("it served well");
    }
}
