//! The content of an output, streamed from its file.
//!
//! Invariants: nothing that could run as code is shown in the page's origin: its own policy is a sandbox, and all but harmless media is saved.

use std::io::SeekFrom;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

use super::disposition::{Saving, disposition, media_type};
use super::page::is_among;
use super::range::{Wanted, wanted};
use super::reply::{Answer, flag, query_of};
use super::routes::Ctx;
use super::sealed::{put, seal};
use crate::app::OutputFile;
use crate::beneath;
use crate::problem::Problem;

/// How to give it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Giving {
    /// `1` to save it in any case.
    #[param(pattern = "^[01]$")]
    download: Option<String>,
}

/// Gives the content of an output.
#[utoipa::path(get, path = "/api/v1/runs/{id}/outputs/{n}/content", operation_id = "getOutput", tag = "runs",
    params(
        ("id" = String, Path, description = "A run id or a `workflow_id`."),
        ("n" = u32, Path, description = "The number of the output."),
        ("range" = Option<String>, Header, description = "A part of it."),
        Giving
    ),
    responses(
        (status = 200, description = "All of it.", content((String = "application/octet-stream"), (String = "image/*"), (String = "video/*"), (String = "audio/*"))),
        (status = 206, description = "The part.", content((String = "application/octet-stream"), (String = "image/*"), (String = "video/*"), (String = "audio/*"))),
        (status = 304, description = "The caller has it already, by `If-None-Match`."),
        (status = 409, description = "It is not stored here.", body = Problem),
        (status = 410, description = "The stored file is gone.", body = Problem),
        (status = 416, description = "The range is outside of the file.", body = Problem),
    ))]
pub(super) async fn content(
    State(ctx): State<Ctx>,
    Path((name, n)): Path<(String, String)>,
    query: Result<Query<Giving>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let query = query_of(query)?;
    let run = ctx.app.resolve(&name)?;
    let number = number_of(&n)?;
    let output = ctx.app.output(run, number).await?;
    let saving = if flag("download", query.download.as_deref())? { Saving::Always } else { Saving::IfNotShown };
    let mut response = serve(&output, &method, &headers).await?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(response);
    }
    let name = disposition(&output.label, media_type(output.media_type.as_deref()), saving);
    let out = response.headers_mut();
    put(out, CONTENT_DISPOSITION, &name)?;
    put(out, ETAG, &etag(&output))?;
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    seal(out);
    Ok(response)
}

fn etag(output: &OutputFile) -> String {
    format!("\"{}\"", output.sha256)
}

/// The number of an output.
pub(super) fn number_of(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| {
        let text: String = text.chars().take(60).collect();
        let message = format!("the number of an output is not a number: `{text}`");
        Problem::invalid("bad_number", message, "`GET .../outputs` lists them.")
    })
}

async fn serve(output: &OutputFile, method: &Method, headers: &HeaderMap) -> Answer {
    let etag = etag(output);
    if is_among(headers, &etag) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let same = header(IF_RANGE).is_none_or(|tag| tag == etag);
    let (status, first, length) = match wanted(header(RANGE).filter(|_| same), output.size) {
        Wanted::Whole => (StatusCode::OK, 0, output.size),
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Outside => {
            let problem = Problem::new(416, "outside", "the range is outside of the file", "Ask for a part that is there.");
            let mut response = problem.into_response();
            put(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", output.size))?;
            return Ok(response);
        }
    };
    let body = if method == Method::HEAD { Body::empty() } else { part(output, first, length).await? };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    put(response.headers_mut(), CONTENT_LENGTH, &length.to_string())?;
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{}", first + length - 1, output.size);
        put(response.headers_mut(), CONTENT_RANGE, &range)?;
    }
    let kind = media_type(output.media_type.as_deref());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

async fn part(output: &OutputFile, first: u64, length: u64) -> Result<Body, Problem> {
    let gone = |error: std::io::Error| {
        let hint = "The file was moved or deleted; the instance may still have it.";
        Problem::new(410, "gone", format!("the stored output cannot be read: {error}"), hint)
    };
    let path = output.path.clone();
    let opened = tokio::task::spawn_blocking(move || beneath::regular_file(&path)).await;
    let opened = opened.map_err(|error| Problem::internal(format!("a file could not be opened: {error}")))?;
    let mut file = tokio::fs::File::from_std(opened.map_err(gone)?);
    if first > 0 {
        file.seek(SeekFrom::Start(first)).await.map_err(gone)?;
    }
    Ok(Body::from_stream(ReaderStream::with_capacity(file.take(length), 64 * 1024)))
}
