//! A session for the page, against the token.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{HOST, SET_COOKIE};

use super::body::small_fields;
use super::reply::{Answer, ok};
use super::routes::Ctx;
use super::shapes::{Done, LoginBody};
use crate::problem::Problem;

/// Opens a session for the page, against the token.
#[utoipa::path(post, path = "/api/v1/login", operation_id = "logIn", tag = "server", request_body = LoginBody,
    responses((status = 200, description = "The session is in `Set-Cookie`.", body = Done,
        headers(("set-cookie" = String, description = "The session, `HttpOnly` and `SameSite=Strict`.")))))]
pub(super) async fn log_in(State(ctx): State<Ctx>, request: Request) -> Answer {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let mut fields = small_fields(request).await?;
    let token: String = fields.take("token")?.unwrap_or_default();
    let cookie = ctx.guard.log_in(&token, host.as_deref(), ctx.app.now(), ctx.app.rng.below(u64::MAX))?;
    let cookie = HeaderValue::from_str(&cookie).map_err(|_| Problem::internal("a session id is not a header value"))?;
    let mut response = ok(&Done {})?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}
