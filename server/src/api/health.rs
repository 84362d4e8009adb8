//! Whether the server lives and can take work.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::{Answer, json, ok, with_success};
use super::routes::Ctx;
use crate::app::Readiness;

/// The process answers.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// Always `ok`.
    status: &'static str,
    /// The version of the program.
    version: &'static str,
}

/// Tells that the process answers.
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "server",
    responses((status = 200, description = "It answers.", body = Alive)))]
pub(super) async fn alive() -> Answer {
    ok(&Alive { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Tells whether the server can take work.
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "server",
    responses((status = 200, description = "It can.", body = Readiness), (status = 503, description = "It cannot, and why.", body = Readiness)))]
pub(super) async fn ready(State(ctx): State<Ctx>) -> Answer {
    let readiness = ctx.app.readiness();
    match &readiness {
        Readiness::Ready => ok(&readiness),
        Readiness::Starting | Readiness::ReadOnly(_) => {
            Ok(json(StatusCode::SERVICE_UNAVAILABLE, with_success("false", &readiness)?))
        }
    }
}
