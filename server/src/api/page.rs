//! The page, embedded in the program.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use rust_embed::RustEmbed;

use super::reply::Answer;
use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "../webui/dist"]
struct Files;

/// `GET /`
pub(super) async fn index(headers: HeaderMap) -> Answer {
    file("index.html", "text/html; charset=utf-8", &headers)
}

/// `GET /app.js`
pub(super) async fn script(headers: HeaderMap) -> Answer {
    file("app.js", "text/javascript; charset=utf-8", &headers)
}

/// `GET /style.css`
pub(super) async fn style(headers: HeaderMap) -> Answer {
    file("style.css", "text/css; charset=utf-8", &headers)
}

/// `GET /favicon.svg`
pub(super) async fn icon(headers: HeaderMap) -> Answer {
    file("favicon.svg", "image/svg+xml", &headers)
}

fn file(name: &str, media_type: &'static str, headers: &HeaderMap) -> Answer {
    let file = Files::get(name).ok_or_else(|| Problem::internal(format!("the page lacks `{name}`")))?;
    let hash = file.metadata.sha256_hash();
    let etag = format!("\"{}\"", hash[..16].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")));
    let fresh = is_among(headers, &etag);
    let mut response = Response::new(if fresh { Body::empty() } else { Body::from(file.data) });
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let etag = HeaderValue::from_str(&etag).map_err(|_| Problem::internal("a hash is not a header value"))?;
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // Asked again each time, so that a new version of the program shows its own page.
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(ETAG, etag);
    Ok(response)
}

/// Whether the caller has it already.
pub(super) fn is_among(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
