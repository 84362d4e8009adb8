//! The page, embedded in the program.
//!
//! Invariants: the names below `/assets/` hold a hash of the content, so that browsers may keep them for ever; the entry names them and is asked for again
//! each time. What is stored compressed too (`NAME.gz`) is sent so to those who take it.

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use rust_embed::RustEmbed;

use super::reply::Answer;
use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "../webui/dist"]
struct Files;

/// Asked again each time, so that a new version of the program shows its own page.
const ASK_AGAIN: &str = "no-cache";
/// The name changes with the content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// `GET /`
pub(super) async fn index(headers: HeaderMap) -> Answer {
    file("index.html", "text/html; charset=utf-8", ASK_AGAIN, &headers)
}

/// `GET /favicon.svg`
pub(super) async fn icon(headers: HeaderMap) -> Answer {
    file("favicon.svg", "image/svg+xml", ASK_AGAIN, &headers)
}

/// `GET /assets/{name}`
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Answer {
    let media_type = match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        Some((_, "woff2")) => "font/woff2",
        Some(_) | None => return Err(no_such_asset()),
    };
    let path = format!("assets/{name}");
    if Files::get(&path).is_none() {
        return Err(no_such_asset());
    }
    file(&path, media_type, FOR_EVER, &headers)
}

fn no_such_asset() -> Problem {
    Problem::new(
        404,
        "not_found",
        "the page has no such file",
        "Load the page again: its files change their names with each version.",
    )
}

fn file(name: &str, media_type: &'static str, keep: &'static str, headers: &HeaderMap) -> Answer {
    let packed = if takes_gzip(headers) { Files::get(&format!("{name}.gz")) } else { None };
    let is_packed = packed.is_some();
    let file = packed.or_else(|| Files::get(name)).ok_or_else(|| Problem::internal(format!("the page lacks `{name}`")))?;
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
    out.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    out.insert(VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(ETAG, etag);
    if is_packed {
        out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Whether the caller unpacks gzip. `gzip;q=0` refuses it.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut wanted = lists.flat_map(|list| list.split(',')).map(|one| one.replace(' ', "").to_ascii_lowercase());
    wanted.any(|one| one == "gzip" || one.strip_prefix("gzip;q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q > 0.0))
}

/// Whether the caller has it already.
pub(super) fn is_among(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{ACCEPT_ENCODING, takes_gzip};

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let asked = |list: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(list).expect("a header"));
            takes_gzip(&headers)
        };
        assert!(asked("gzip, deflate, br") && asked("br;q=1.0, gzip;q=0.5"));
        assert!(!asked("gzip;q=0, br") && !asked("identity") && !takes_gzip(&HeaderMap::new()));
    }
}
