//! `/api/v1/stats`.

use axum::extract::State;

use super::reply::{Answer, ok};
use super::routes::Ctx;
use crate::offload::Offload;
use crate::stats::Stats;

/// Gives numbers about the server and its runs.
#[utoipa::path(get, path = "/api/v1/stats", operation_id = "getStats", tag = "server",
    responses((status = 200, description = "The numbers.", body = Stats)))]
pub(super) async fn stats(State(ctx): State<Ctx>) -> Answer {
    // All runs are looked at.
    ok(&Offload::Threads.run(move || ctx.app.stats()).await)
}
