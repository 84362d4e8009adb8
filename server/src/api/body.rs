//! Request bodies: bounded in length and in time.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use comfyd_adapters::comfy::lenient::{to_strict, to_wire};
use futures_util::Stream;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::credentials;
use super::guard::essence;
use super::strict::Taken;
use crate::problem::Problem;

/// The longest JSON body: the largest workflow, and room for the rest.
const MAX_JSON: usize = 16 << 20;
/// How much of a body that is too long is read away, so that its sender gets to hear about it.
const MAX_DRAIN: usize = 64 << 20;
/// The longest JSON body that anybody may send, and how much of a longer one is read away.
const MAX_SMALL: usize = 4 << 10;
const MAX_SMALL_DRAIN: usize = 64 << 10;
/// How long such a body may take in all.
const SMALL_WITHIN: Duration = Duration::from_secs(10);
/// A sender's speed is looked at this often: what came fast before buys no time for trickling afterwards.
const WINDOW: Duration = Duration::from_secs(10);
/// What must have come by then: 1 KiB a second.
const MIN_OF_WINDOW: u64 = 10 * 1024;

/// When the next part of a body must be there.
struct Pace {
    late: Instant,
    received: u64,
}

impl Pace {
    fn new() -> Self {
        Self { late: Instant::now() + WINDOW, received: 0 }
    }

    /// Begins another window, if enough came in the last one.
    fn turn(&mut self) -> Result<(), Problem> {
        if self.received < MIN_OF_WINDOW {
            return Err(too_slow());
        }
        *self = Self::new();
        Ok(())
    }

    async fn next(&mut self, body: &mut Body) -> Result<Option<Bytes>, Problem> {
        loop {
            match tokio::time::timeout_at(self.late, body.frame()).await {
                Err(_) => self.turn()?,
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    return Err(Problem::invalid("cut_off", format!("the body ended early: {error}"), "Send it again."));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.received = self.received.saturating_add(data.len() as u64);
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

fn too_slow() -> Problem {
    Problem::new(408, "too_slow", "the body comes too slowly", "Send it again over a faster connection.")
}

/// A body that ends with an error when it comes too slowly.
pub(super) fn paced(body: Body) -> impl Stream<Item = Result<Bytes, Problem>> {
    futures_util::stream::try_unfold((body, Pace::new()), |(mut body, mut pace)| async move {
        let part = pace.next(&mut body).await?;
        Ok(part.map(|part| (part, (body, pace))))
    })
}

/// A whole body of at most so many bytes. Room is made for what came, never for what was announced.
async fn read(mut body: Body, max: usize, max_drain: usize) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    let mut pace = Pace::new();
    let mut drained = 0;
    while let Some(part) = pace.next(&mut body).await? {
        if drained == 0 && whole.len() + part.len() <= max {
            whole.extend_from_slice(&part);
            continue;
        }
        drained += part.len();
        if whole.len() + drained > max_drain {
            break;
        }
    }
    if drained == 0 {
        return Ok(whole.freeze());
    }
    let limit = if max >= 1 << 20 { format!("{} MiB", max >> 20) } else { format!("{} KiB", max >> 10) };
    let hint = "No workflow is that large; send pictures as files.";
    Err(Problem::new(413, "too_large", format!("the body is larger than {limit}"), hint))
}

/// The fields of a JSON object, each parsed when it is taken, so that an error names its field.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
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
            // An error goes to screens and logs, and serde's text repeats the value too.
            let message = if credentials::is_secret(name) {
                format!("field `{name}` is not of the right kind (its value is not shown)")
            } else {
                let given: String = raw.get().chars().take(60).collect();
                format!("field `{name}` cannot be `{given}`: {error}")
            };
            Problem::invalid("bad_field", message, format!("Correct `{name}` or leave it out."))
        })
    }

    /// The fields that a rest was made of, each as JSON text.
    pub(super) fn of_rest(rest: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let raw = |(name, text): (&String, &String)| {
            let strict = to_strict(text).into_owned();
            let value = RawValue::from_string(strict);
            let value = value.map_err(|error| Problem::internal(format!("field `{name}` is no JSON: {error}")))?;
            Ok((name.clone(), value))
        };
        rest.iter().map(raw).collect::<Result<_, _>>().map(Self)
    }

    /// Everything that was not taken, each as JSON text.
    pub(super) fn rest(self) -> BTreeMap<String, String> {
        self.0.into_iter().map(|(name, value)| (name, to_wire(value.get()).into_owned())).collect()
    }

    /// Takes a field as it was written, unless it is absent or null.
    pub(super) fn take_raw(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|raw| raw.get() != "null").map(|raw| to_wire(raw.get()).into_owned())
    }
}

/// The fields of a JSON request.
pub(super) async fn fields(request: Request) -> Result<Fields, Problem> {
    let taken = Taken::json(&request);
    let (head, body) = request.into_parts();
    parsed(&head.headers, &read(body, MAX_JSON, MAX_DRAIN).await?, taken)
}

/// The fields of a request that anybody may send: it is short and soon there.
pub(super) async fn small_fields(request: Request) -> Result<Fields, Problem> {
    let taken = Taken::json(&request);
    let (head, body) = request.into_parts();
    let text = tokio::time::timeout(SMALL_WITHIN, read(body, MAX_SMALL, MAX_SMALL_DRAIN)).await;
    parsed(&head.headers, &text.unwrap_or_else(|_| Err(too_slow()))?, taken)
}

fn parsed(headers: &HeaderMap, text: &[u8], taken: Taken) -> Result<Fields, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(essence);
    match kind.as_deref() {
        None | Some("application/json") => {
            let fields = Fields::parse(text)?;
            fields.0.keys().try_for_each(|name| taken.check(name))?;
            Ok(fields)
        }
        Some(other) => {
            let message = format!("this takes application/json, not {other}");
            Err(Problem::new(415, "unsupported_media_type", message, "Send JSON with `Content-Type: application/json`."))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::body::Body;
    use axum::extract::Request;
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::{Fields, MAX_DRAIN, MAX_JSON, fields, small_fields};

    async fn read(body: Body) -> Result<Bytes, crate::problem::Problem> {
        super::read(body, MAX_JSON, MAX_DRAIN).await
    }

    /// So many bytes at once, then one piece every second without end.
    fn trickle(first: usize, piece: usize) -> Body {
        Body::from_stream(futures_util::stream::unfold(0, move |n| async move {
            if n > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Some((Ok::<_, Infallible>(vec![b' '; if n == 0 { first } else { piece }]), n + 1))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_come_at_a_kibibyte_a_second_all_the_time() {
        for first in [1, 10 << 20] {
            let began = Instant::now();
            assert_eq!(read(trickle(first, 1000)).await.expect_err("too slow").status, 408);
            assert!(began.elapsed() <= Duration::from_secs(20), "what came first bought {:?}", began.elapsed());
        }
        let slow = Body::from_stream(futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (n < 60).then(|| (Ok::<_, Infallible>(vec![b' '; 1100]), n + 1))
        }));
        assert_eq!(read(slow).await.expect("fast enough").len(), 60 * 1100);
    }

    #[tokio::test(start_paused = true)]
    async fn what_anybody_may_send_is_short_and_soon_there() {
        let began = Instant::now();
        let problem = small_fields(Request::new(trickle(0, 1))).await.expect_err("too slow");
        assert_eq!((problem.status, began.elapsed()), (408, Duration::from_secs(10)));
        let padded = |length: usize| Request::new(Body::from(format!("{{{}}}", " ".repeat(length - 2))));
        assert_eq!(small_fields(padded(4097)).await.expect_err("too long").status, 413);
        small_fields(padded(4096)).await.expect("it fits");
        fields(padded(4097)).await.expect("it fits where a token is needed");
    }

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
