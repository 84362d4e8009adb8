//! `/api/v1/batches`.

use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use comfyd_engine::Force;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::body::Fields;
use super::reply::{Answer, ok, success};
use super::routes::Ctx;
use super::shapes::{BatchBody, CancelBody};
use super::{body, dto};
use crate::batch::{BatchView, CancelledBatch, CreatedBatch, ExecuteBatch, Variation};
use crate::offload::Offload;
use crate::problem::Problem;

/// One of the `variations`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariationField {
    inputs: Option<Map<String, Value>>,
    name: Option<String>,
}

/// The wish in a JSON body.
fn wish(mut fields: Fields) -> Result<ExecuteBatch, Problem> {
    let variations: Option<Vec<VariationField>> = fields.take("variations")?;
    if variations.as_ref().is_some_and(Vec::is_empty) {
        let hint = "Name one variation for each run, or leave `variations` out.";
        return Err(Problem::invalid("batch_size", "`variations` is empty", hint));
    }
    let repeat = fields.take("repeat")?.unwrap_or(1);
    let of = |variation: VariationField| Variation { inputs: dto::inputs(variation.inputs), name: variation.name };
    let variations = variations.unwrap_or_default().into_iter().map(of).collect();
    Ok(ExecuteBatch { base: dto::execute(fields)?, variations, repeat })
}

/// Creates several runs of one workflow, all or none.
#[utoipa::path(post, path = "/api/v1/batches", operation_id = "createBatch", tag = "batches",
    params(("idempotency-key" = Option<String>, Header, description = "The same key with the same body is one batch.")),
    request_body = BatchBody,
    responses(
        (status = 201, description = "All runs are recorded and will run; `Location` is the address of the batch.", body = CreatedBatch),
        (status = 200, description = "The same request made it before.", body = CreatedBatch),
        (status = 404, description = "There is no such instance.", body = Problem),
        (status = 410, description = "The first run that was made with this `Idempotency-Key` has been removed.", body = Problem),
        (status = 422, description = "The `Idempotency-Key` was used for another request.", body = Problem),
    ))]
pub(super) async fn create(State(ctx): State<Ctx>, request: Request) -> Answer {
    let key = dto::idempotency_key(request.headers().get("idempotency-key"))?;
    let mut wish = wish(body::fields(request).await?)?;
    wish.base.idempotency_key = key;
    let created = ctx.app.execute_batch(wish).await?;
    let status = if created.fresh { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = success(status, &created)?;
    let place = HeaderValue::from_str(&format!("/api/v1/batches/{}", created.batch_id));
    response.headers_mut().insert(LOCATION, place.map_err(|_| Problem::internal("a batch id is not a header value"))?);
    Ok(response)
}

/// Gives a batch: how its runs stand.
#[utoipa::path(get, path = "/api/v1/batches/{id}", operation_id = "getBatch", tag = "batches",
    params(("id" = String, Path, description = "The id of the batch.")),
    responses((status = 200, description = "The batch.", body = BatchView)))]
pub(super) async fn one(State(ctx): State<Ctx>, Path(id): Path<String>) -> Answer {
    // The list of all runs is looked through.
    ok(&Offload::Threads.run(move || ctx.app.batch(&id)).await?)
}

/// Cancels the runs of a batch that have not ended.
#[utoipa::path(post, path = "/api/v1/batches/{id}/cancel", operation_id = "cancelBatch", tag = "batches",
    params(("id" = String, Path, description = "The id of the batch.")), request_body = Option<CancelBody>,
    responses((status = 202, description = "What was asked to stop.", body = CancelledBatch)))]
pub(super) async fn cancel(State(ctx): State<Ctx>, Path(id): Path<String>, request: Request) -> Answer {
    let force = match body::fields(request).await?.take::<bool>("force")? {
        Some(true) => Force::Yes,
        Some(false) | None => Force::No,
    };
    success(StatusCode::ACCEPTED, &ctx.app.cancel_batch(&id, force).await?)
}
