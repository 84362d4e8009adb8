//! Whether the server lives and can take work.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::reply::{Answer, json, ok, with_success};
use super::routes::Ctx;
use crate::app::Readiness;

#[derive(Serialize)]
struct Alive {
    status: &'static str,
    version: &'static str,
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> Answer {
    ok(&Alive { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// `GET /readyz`: 200 if it can take work, else 503 with the reason.
pub(super) async fn ready(State(ctx): State<Ctx>) -> Answer {
    let readiness = ctx.app.readiness();
    match &readiness {
        Readiness::Ready => ok(&readiness),
        Readiness::Starting | Readiness::ReadOnly(_) => {
            Ok(json(StatusCode::SERVICE_UNAVAILABLE, with_success("false", &readiness)?))
        }
    }
}
