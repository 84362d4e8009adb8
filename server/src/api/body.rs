//! Request bodies: bounded in length and in time.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use comfyd_adapters::comfy::lenient::{to_strict, to_wire};
use futures_util::Stream;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::guard::essence;
use crate::problem::Problem;

/// The longest JSON body: the largest workflow, and room for the rest.
const MAX_JSON: usize = 16 << 20;
/// How much of a body that is too long is read away, so that its sender gets to hear about it.
const MAX_DRAIN: usize = 64 << 20;
/// A body may take this long, and a second more for each [`PACE`] of it.
const GRACE: Duration = Duration::from_secs(10);
/// The slowest sender, in bytes a second.
const PACE: u64 = 1024;

/// When the next part of a body must be there.
struct Pace {
    started: Instant,
    received: u64,
}

impl Pace {
    fn new() -> Self {
        Self { started: Instant::now(), received: 0 }
    }

    async fn next(&mut self, body: &mut Body) -> Result<Option<Bytes>, Problem> {
        let late = self.started + GRACE + Duration::from_secs(self.received / PACE);
        loop {
            let frame = tokio::time::timeout_at(late, body.frame()).await;
            let frame = frame.map_err(|_| {
                Problem::new(408, "too_slow", "the body comes too slowly", "Send it again over a faster connection.")
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(Problem::invalid("cut_off", format!("the body ended early: {error}"), "Send it again."));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.received = self.received.saturating_add(data.len() as u64);
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// A body that ends with an error when it comes too slowly.
pub(super) fn paced(body: Body) -> impl Stream<Item = Result<Bytes, Problem>> {
    futures_util::stream::try_unfold((body, Pace::new()), |(mut body, mut pace)| async move {
        let part = pace.next(&mut body).await?;
        Ok(part.map(|part| (part, (body, pace))))
    })
}

/// A whole body of at most 16 MiB.
async fn read(mut body: Body) -> Result<Bytes, Problem> {
    let hinted = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(hinted.min(MAX_JSON));
    let mut pace = Pace::new();
    let mut drained = 0;
    while let Some(part) = pace.next(&mut body).await? {
        if drained == 0 && whole.len() + part.len() <= MAX_JSON {
            whole.extend_from_slice(&part);
            continue;
        }
        drained += part.len();
        if whole.len() + drained > MAX_DRAIN {
            break;
        }
    }
    if drained == 0 {
        return Ok(whole.freeze());
    }
    let hint = "A workflow of that size is no workflow; send pictures as files.";
    Err(Problem::new(413, "too_large", "the body is larger than 16 MiB", hint))
}

/// The fields of a JSON object, each parsed when it is taken, so that an error names its field.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// The fields of a text; an empty one has none, nor has `null`, as actions without a body show it. Workflows written by Python may hold `NaN`, so that is taken.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Problem> {
        if matches!(text.trim_ascii(), b"" | b"null") {
            return Ok(Self::default());
        }
        let invalid = |why: &dyn std::fmt::Display| {
            let hint = "Send one JSON object with the fields of the request.";
            Problem::invalid("not_json", format!("the body is not a JSON object: {why}"), hint)
        };
        let text = std::str::from_utf8(text).map_err(|error| invalid(&error))?;
        serde_json::from_str(&to_strict(text)).map(Self).map_err(|error| invalid(&error))
    }

    /// Takes a field; none if it is absent or null.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.0.remove(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|error| {
            let given: String = raw.get().chars().take(60).collect();
            Problem::invalid(
                "bad_field",
                format!("field `{name}` cannot be `{given}`: {error}"),
                format!("Correct `{name}` or leave it out."),
            )
        })
    }

    /// Takes a field as it was written, unless it is absent or null.
    pub(super) fn take_raw(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|raw| raw.get() != "null").map(|raw| to_wire(raw.get()).into_owned())
    }
}

/// The fields of a JSON request.
pub(super) async fn fields(request: Request) -> Result<Fields, Problem> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(essence);
    let text = read(body).await?;
    match kind.as_deref() {
        None | Some("application/json") => Fields::parse(&text),
        Some(other) => {
            let message = format!("this takes application/json, not {other}");
            Err(Problem::new(415, "unsupported_media_type", message, "Send JSON with `Content-Type: application/json`."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, MAX_JSON, read};
    use axum::body::Body;

    #[test]
    fn an_error_names_its_field() {
        let mut fields = Fields::parse(br#"{"priority": "high", "name": null, "n": 3}"#).expect("an object");
        let problem = fields.take::<i32>("priority").expect_err("a text is no number");
        assert!(problem.message.contains("`priority`") && problem.message.contains("\"high\""), "{problem}");
        assert_eq!(fields.take::<String>("name").expect("null is absent"), None);
        assert_eq!(fields.take::<u8>("n").expect("a number"), Some(3));
        for bad in ["[", "[]", "3", "{\"a\":}", "\u{feff}{}"] {
            assert_eq!(Fields::parse(bad.as_bytes()).expect_err(bad).code, "not_json");
        }
        assert!(Fields::parse(b" ").is_ok(), "an empty body has no fields");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"workflow\": {}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let mut fields = Fields::parse(deep.as_bytes()).expect("an object");
        assert!(fields.take_raw("workflow").is_some(), "the workflow is left to its own parser");
        let deep = format!("{{\"inputs\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let mut fields = Fields::parse(deep.as_bytes()).expect("an object");
        assert!(fields.take::<serde_json::Value>("inputs").is_err());
    }

    #[tokio::test]
    async fn a_body_of_the_largest_size_passes_and_one_byte_more_does_not() {
        assert_eq!(read(Body::from(vec![b' '; MAX_JSON])).await.expect("it fits").len(), MAX_JSON);
        assert_eq!(read(Body::from(vec![b' '; MAX_JSON + 1])).await.expect_err("too long").status, 413);
    }
}
