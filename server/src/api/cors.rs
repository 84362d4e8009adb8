//! What pages of other origins may ask, where the configuration names them.
//!
//! Invariants: nobody is let in who is not named; no answer allows credentials, so a page of another origin comes with the token or not at all; what is
//! allowed is named, never `*`.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;

use super::host::Names;
use super::routes::{ROUTES, Verb};

/// What a request may send.
const SENT: &str = "authorization, content-type, idempotency-key, if-none-match, if-range, last-event-id, range, x-request-id";
/// What a page may read of an answer besides its kind and length.
const READ: &str = "accept-ranges, content-disposition, content-range, etag, location, retry-after, x-request-id";
/// For how many seconds a browser may remember it.
const MAX_AGE: &str = "600";

/// The origin that a request comes from, if it may ask from elsewhere.
pub(super) fn origin(headers: &HeaderMap, names: &Names) -> Option<HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = origins.next()?;
    let only = origins.next().is_none();
    origin.to_str().ok().filter(|text| only && names.lets_in(text)).map(|_| origin.clone())
}

/// Whether a browser asks what it may ask.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What may be asked at a path of the table.
pub(super) fn preflight(path: &str) -> Response {
    let mut methods: Vec<&str> = ROUTES.iter().filter(|route| route.path == path).map(|route| route.verb.as_str()).collect();
    if methods.contains(&Verb::Get.as_str()) {
        methods.push("HEAD");
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let out = response.headers_mut();
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        out.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    out.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
    out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}

/// Lets the page of an origin read an answer.
pub(super) fn mark(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
