//! Server-sent events as bytes, so that one text serves all who watch.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// How long a stream is silent at most; a proxy or a client may take longer silence for a dead connection.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How soon a browser connects again.
const RETRY_MS: u64 = 1000;

/// An event. Its data is JSON, which has no line breaks.
pub(super) fn event(name: &str, id: Option<&str>, data: &str) -> Bytes {
    let mut text = format!("event: {name}\n");
    if let Some(id) = id {
        writeln!(text, "id: {id}").expect("a string takes everything");
    }
    write!(text, "data: {data}\n\n").expect("a string takes everything");
    Bytes::from(text)
}

/// An event that begins a stream: it also says how soon to come back.
pub(super) fn first(name: &str, id: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\nid: {id}\nretry: {RETRY_MS}\ndata: {data}\n\n"))
}

/// Tells a reader that it missed too much: it forgets its place, and by coming back it gets everything anew.
pub(super) fn resync(why: &str) -> Bytes {
    event("resync", Some(""), &serde_json::json!({ "message": why }).to_string())
}

/// A comment, which readers skip.
pub(super) fn heartbeat() -> Bytes {
    Bytes::from_static(b": alive\n\n")
}

/// Events as an answer.
pub(super) fn answer(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(events.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that collects the answer before it passes it on would hold back every event.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
