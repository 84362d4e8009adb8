//! Small pictures of outputs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::content::number_of;
use super::page::is_among;
use super::reply::{Answer, number, query_of};
use super::routes::Ctx;
use super::sealed;
use crate::problem::Problem;
use crate::thumbs::{self, SIZES, Thumb, ThumbError};

/// How long a picture may take to be made.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// How large.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sizing {
    /// The longer side in pixels, 1 to 1024, else 256; it is rounded up to 64, 128, 256, 512 or 1024.
    #[param(pattern = "^[0-9]{1,4}$")]
    size: Option<String>,
}

/// Gives a small picture of an output.
#[utoipa::path(get, path = "/api/v1/runs/{id}/outputs/{n}/thumbnail", operation_id = "getThumbnail", tag = "runs",
    params(
        ("id" = String, Path, description = "A run id or a `workflow_id`."),
        ("n" = u32, Path, description = "The number of the output."),
        Sizing
    ),
    responses(
        (status = 200, description = "The picture.", content((String = "image/jpeg"), (String = "image/webp"))),
        (status = 304, description = "The caller has it already, by `If-None-Match`."),
        (status = 404, description = "There is no such output, or it is no picture.", body = Problem),
        (status = 409, description = "It is not stored here.", body = Problem),
        (status = 410, description = "The stored file is gone.", body = Problem),
        (status = 422, description = "The picture is damaged or too large.", body = Problem),
    ))]
pub(super) async fn thumbnail(
    State(ctx): State<Ctx>,
    Path((name, n)): Path<(String, String)>,
    query: Result<Query<Sizing>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let size = size_of(query_of(query)?.size.as_deref())?;
    let run = ctx.app.resolve(&name)?;
    let n = number_of(&n)?;
    let view = ctx.app.view(run).await?;
    if let Some(output) = view.outputs.iter().find(|output| output.n == n)
        && (output.text.is_some() || (output.downloaded && !thumbs::is_picture(output.media_type.as_deref())))
    {
        let what = output.media_type.as_deref().unwrap_or(output.kind);
        let message = format!("output {n} of run {run} is no picture that can be made small: {what}");
        return Err(Problem::new(
            404,
            "no_thumbnail",
            message,
            format!("Its content is at /api/v1/runs/{run}/outputs/{n}/content."),
        ));
    }
    let output = ctx.app.history.output_file(&view, n)?;
    let etag = format!("\"{}-{size}\"", output.sha256);
    let mut response = if is_among(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let folder = crate::outputs::folder(&ctx.app.history.root, run).with_file_name("thumbs");
        let job = thumbs::Job { picture: output.path, media_type: output.media_type.unwrap_or_default(), folder, n, size };
        let thumb = made(&ctx, job).await?;
        let mut response = Response::new(Body::from(thumb.bytes));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(thumb.media_type));
        response
    };
    sealed::put(response.headers_mut(), ETAG, &etag)?;
    sealed::seal(response.headers_mut());
    Ok(response)
}

fn size_of(text: Option<&str>) -> Result<u32, Problem> {
    let wanted = number("size", text, 1)?.unwrap_or(256);
    SIZES.into_iter().find(|size| u64::from(*size) >= wanted).ok_or_else(|| {
        let hint = "Give 1 to 1024; the whole picture is at `content`.";
        Problem::invalid("bad_query", format!("`size` cannot be {wanted}"), hint)
    })
}

/// From the folder, else by a worker; few work at once.
async fn made(ctx: &Ctx, job: thumbs::Job) -> Result<Thumb, Problem> {
    let job = Arc::new(job);
    let kept = |job: Arc<thumbs::Job>| tokio::task::spawn_blocking(move || job.kept());
    let died = |error: tokio::task::JoinError| Problem::internal(format!("a thumbnail could not be looked up: {error}"));
    if let Some(thumb) = kept(Arc::clone(&job)).await.map_err(died)? {
        return Ok(thumb);
    }
    let making = async {
        let place = ctx.limits.thumbnail().await;
        // Another may have made it meanwhile.
        if let Some(thumb) = kept(Arc::clone(&job)).await.map_err(died)? {
            return Ok(thumb);
        }
        // It keeps its place until it is done, though nobody may wait for it any more.
        let worker = tokio::task::spawn_blocking(move || {
            let thumb = job.make(std::time::Instant::now() + WITHIN);
            drop(place);
            thumb
        });
        match worker.await {
            Ok(done) => done.map_err(|error| problem(&error)),
            // A decoder that panics has met a picture that nobody tried.
            Err(error) => Err(problem(&ThumbError::Damaged(error.to_string()))),
        }
    };
    let late = || Problem::unavailable("busy", "thumbnails take too long just now", "Try again in a moment.");
    tokio::time::timeout(WITHIN, making).await.unwrap_or_else(|_| Err(late()))
}

fn problem(error: &ThumbError) -> Problem {
    let message = format!("there is no thumbnail: {error}");
    let whole = "The output itself is at `content`.";
    match error {
        ThumbError::Gone(_) => {
            Problem::new(410, "gone", message, "The file was moved or deleted; the instance may still have it.")
        }
        ThumbError::TooLarge(_) => Problem::new(422, "picture_too_large", message, whole),
        ThumbError::Damaged(_) => Problem::new(422, "picture_damaged", message, whole),
        ThumbError::TooSlow => Problem::new(422, "picture_too_slow", message, whole),
    }
}
