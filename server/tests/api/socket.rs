//! What only a real connection shows: limits of heads, and stopping.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

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
