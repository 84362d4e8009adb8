//! The headers of what instances made: nothing in it runs, and caches ask before they give it.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName};
use axum::http::{HeaderMap, HeaderValue};

use crate::problem::Problem;

/// Sets them; `nosniff` stands on every answer.
pub(super) fn seal(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
}

/// Sets one whose value is made.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(value).map_err(|_| Problem::internal(format!("`{name}` cannot be written")))?;
    headers.insert(name, value);
    Ok(())
}
