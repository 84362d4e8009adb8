//! A name for each request: in its answer, in the lines of the log that it causes, and in what it is refused with.
//!
//! Invariants: a name from outside is short and plain, so that it can stand in any log; neither the part of an address after `?` nor a header is
//! logged, as both may hold secrets.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use comfyd_adapters::env::Rng;
use tokio::time::Instant;
use tracing::Instrument;

use super::routes::Ctx;

/// The header that it comes and goes in.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name that is taken from outside.
const MAX: usize = 64;
/// How much of a path is logged.
const MAX_PATH: usize = 200;

tokio::task_local! {
    static CURRENT: String;
}

/// The name of the request that is being answered.
pub(super) fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

fn given(headers: &HeaderMap) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    ((1..=MAX).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

fn drawn(rng: &dyn Rng) -> String {
    format!("{:016x}", rng.below(u64::MAX))
}

/// Names every request, and tells the log how it went.
pub(super) async fn layer(State(ctx): State<Ctx>, request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| drawn(&*ctx.app.rng));
    let path: String = request.uri().path().chars().take(MAX_PATH).collect();
    let span = tracing::info_span!("request", request_id = %id, method = %request.method(), path);
    let began = Instant::now();
    let answer = CURRENT.scope(id.clone(), next.run(request)).instrument(span.clone());
    let mut response = answer.await;
    let status = response.status().as_u16();
    let elapsed_ms = began.elapsed().as_secs_f64() * 1000.0;
    span.in_scope(|| {
        if response.status().is_server_error() {
            tracing::warn!(status, elapsed_ms, "request.failed");
        } else {
            tracing::debug!(status, elapsed_ms, "request.answered");
        }
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::given;

    #[test]
    fn a_name_from_outside_is_short_and_plain() {
        let given = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", id.parse().expect("a header value"));
            given(&headers)
        };
        for good in ["a", "5f2c-1.x_Y", &"a".repeat(64)] {
            assert_eq!(given(good).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a\tb", "{}", "\"", "a,b", &"a".repeat(65)] {
            assert_eq!(given(bad), None, "{bad:?}");
        }
    }
}
