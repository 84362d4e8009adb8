//! Requests over a socket, as any client sends them.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::DEADLINE;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.text()))
    }

    /// It refuses, says so in the one shape of errors, and names everything in `says` in its message or hint.
    pub(crate) fn refuses(&self, status: u16, code: &str, says: &[&str]) {
        let told = self.json();
        assert_eq!((self.status, told["code"].as_str()), (status, Some(code)), "{told:#}");
        assert_eq!(told["success"], false, "{told:#}");
        let part = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("no {name}: {told:#}")).to_owned();
        let (message, hint) = (part("message"), part("hint"));
        assert!(!message.is_empty() && !hint.is_empty(), "{told:#}");
        for wanted in says {
            assert!(message.contains(wanted) || hint.contains(wanted), "no `{wanted}` in {told:#}");
        }
        for leaked in ["panicked", "backtrace", ".rs:"] {
            assert!(!self.text().contains(leaked), "{}", self.text());
        }
    }
}

/// Sends one request and reads until the server closes.
pub(crate) fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if method != "GET" {
        write!(head, "Content-Length: {}\r\n", body.len()).expect("a String takes everything");
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a String takes everything");
    }
    head.push_str("\r\n");
    // The server may answer before all was sent; its word counts.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).expect("an answer to its end");
    let end = whole.windows(4).position(|part| part == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(whole[..end].to_vec()).expect("a head is ASCII");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let body = whole[end + 4..].to_vec();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Answer { status, body: if chunked { joined(&body) } else { body }, head }
}

/// The content of a chunked body.
fn joined(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while let Some(end) = rest.windows(2).position(|part| part == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.expect("the length of a chunk");
        if size == 0 {
            break;
        }
        out.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    out
}
