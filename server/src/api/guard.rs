//! Who may ask what: one layer over every route.
//!
//! Invariants: a request for a name that is not ours gets nothing, not even the page; without the token or a session only open routes answer; a
//! session changes nothing for a page of another origin. Absent: users; there is one token.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, ORIGIN,
};
use axum::http::header::{REFERRER_POLICY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use comfyd_engine::Timestamp;
use tokio::sync::watch;

use super::cors;
use super::host::Names;
use super::limits::WrongTokens;
use super::routes::{Access, Ctx, access_of};
use super::secret::Secret;
use super::session::Sessions;
use super::strict;
use crate::problem::Problem;

/// Who may ask.
pub struct Security {
    /// The token.
    pub token: Secret,
    /// The port that is listened on; it names the cookie.
    pub port: u16,
    /// The names to answer to; they count as they are when a request comes.
    pub names: watch::Receiver<Names>,
}

impl Security {
    /// With names that never change.
    pub fn fixed(token: Secret, port: u16, names: Names) -> Self {
        Self { token, port, names: watch::channel(names).1 }
    }
}

/// The policy of the page: everything from here, no inline code, in no frame.
const PAGE_POLICY: &str = "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// A header that no page of another origin can send without asking first.
const OWN_HEADER: HeaderName = HeaderName::from_static("x-comfyd");

/// What the layer knows.
pub(super) struct Guard {
    token: Secret,
    names: watch::Receiver<Names>,
    sessions: Sessions,
    wrong: WrongTokens,
}

impl Guard {
    pub(super) fn new(security: Security) -> Self {
        let sessions = Sessions::new(&security.token, security.port);
        Self { token: security.token, names: security.names, sessions, wrong: WrongTokens::default() }
    }

    /// The cookie for a token, if it is the right one. What came through TLS goes back through TLS only.
    pub(super) fn log_in(&self, token: &str, host: Option<&str>, now: Timestamp, nonce: u64) -> Result<String, Problem> {
        if !self.token.matches(token) {
            return Err(self.wrong.answer(now));
        }
        let secure = host.is_some_and(|host| self.names.borrow().is_secure(host));
        Ok(self.sessions.open(now, nonce) + if secure { "; Secure" } else { "" })
    }

    fn admit(&self, names: &Names, access: Access, asked: &Asked<'_>, now: Timestamp) -> Result<(), Problem> {
        let host = host_of(names, asked)?;
        match access {
            Access::Open => Ok(()),
            Access::Login => {
                speaks_from(names, asked, host)?;
                takes(asked)
            }
            Access::Token => {
                self.identify(names, asked, host, now)?;
                takes(asked)
            }
        }
    }

    fn identify(&self, names: &Names, asked: &Asked<'_>, host: &str, now: Timestamp) -> Result<(), Problem> {
        if asked.headers.contains_key(AUTHORIZATION) {
            let token = asked.only(&AUTHORIZATION).and_then(|header| header.split_once(' '));
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
            return if token.is_some_and(|token| self.token.matches(token)) { Ok(()) } else { Err(self.wrong.answer(now)) };
        }
        let cookies = asked.headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        if !cookies.into_iter().any(|cookies| self.sessions.has_one(cookies, now)) {
            let hint = "`comfyd token` prints the token: type it on the page, send `Authorization: Bearer TOKEN`, or give the command line --token-file or COMFYD_TOKEN.";
            return Err(Problem::new(401, "no_token", "this needs the token", hint));
        }
        speaks_from(names, asked, host)?;
        if !asked.is_safe() && asked.needs_own_header() && asked.only(&OWN_HEADER) != Some("1") {
            return Err(forbidden("a session must send `X-Comfyd: 1` to change something here"));
        }
        Ok(())
    }
}

/// The `Host` of a request, if it is one of ours.
fn host_of<'a>(names: &Names, asked: &Asked<'a>) -> Result<&'a str, Problem> {
    let host = asked.only(&HOST).filter(|host| names.knows(host).is_some());
    let named_twice = |host: &&str| asked.uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    host.filter(named_twice).ok_or_else(|| {
        let hint = "Use http://127.0.0.1 or http://localhost with the port, or add the name to the allowed hosts.";
        Problem::new(421, "unknown_host", "the server does not answer to the name in `Host`", hint)
    })
}

/// Whether a browser sent it for our own page.
fn speaks_from(names: &Names, asked: &Asked<'_>, host: &str) -> Result<(), Problem> {
    let sites: Vec<_> = asked.headers.get_all(SEC_FETCH_SITE).iter().map(HeaderValue::as_bytes).collect();
    if !matches!(sites.as_slice(), [] | [b"same-origin" | b"none"]) {
        return Err(forbidden("a page of another site asked for this"));
    }
    if !asked.headers.contains_key(ORIGIN) {
        // A page of the same origin sends none with GET, and always one with the others.
        return if asked.is_safe() { Ok(()) } else { Err(forbidden("`Origin` is missing")) };
    }
    let ours = asked.only(&ORIGIN).is_some_and(|origin| names.is_same_origin(origin, host));
    if ours { Ok(()) } else { Err(forbidden("`Origin` is not the page of this server")) }
}

fn forbidden(message: &str) -> Problem {
    Problem::new(403, "cross_site", message, "Use the page of this server, or a program with `Authorization: Bearer TOKEN`.")
}

/// Whether the body is of a kind that no form of another site can send unasked.
fn takes(asked: &Asked<'_>) -> Result<(), Problem> {
    let length = asked.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    if asked.is_safe() || !(length || asked.headers.contains_key(TRANSFER_ENCODING)) {
        return Ok(());
    }
    let kind = asked.only(&CONTENT_TYPE).map(essence);
    if matches!(kind.as_deref(), Some("application/json" | "multipart/form-data")) {
        return Ok(());
    }
    let message = format!("`Content-Type` says {}, not application/json", kind.as_deref().unwrap_or("nothing"));
    Err(Problem::new(415, "unsupported_media_type", message, "Send JSON with `Content-Type: application/json`."))
}

/// A media type without its parameters.
pub(super) fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The head of a request.
struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    /// The one value of a header; none if there are several, as then nobody knows which one counts.
    fn only(&self, name: &HeaderName) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    }

    fn is_safe(&self) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(self.method)
    }

    /// The plan's routes take JSON with a matching `Origin` alone; a form is not enough.
    fn needs_own_header(&self) -> bool {
        let form = self.only(&CONTENT_TYPE).map(essence).is_some_and(|kind| kind != "application/json");
        self.uri.path().starts_with("/api/") || form
    }
}

/// What the guard thinks of a request.
struct Judged {
    admitted: Result<(), Problem>,
    access: Access,
    /// The other origin that may read the answer.
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl Guard {
    fn judge(&self, request: &Request, path: Option<&str>, now: Timestamp) -> Judged {
        let names = self.names.borrow();
        let origin = cors::origin(request.headers(), &names);
        let is_preflight = path.is_some() && origin.is_some() && cors::is_preflight(request.method(), request.headers());
        // A browser asks what it may ask without the token; the name of the server must be right even so.
        let access = if is_preflight { Access::Open } else { access_of(path) };
        let asked = Asked { method: request.method(), uri: request.uri(), headers: request.headers() };
        let admitted = self.admit(&names, access, &asked, now);
        // What a request may name is told to those only who may ask.
        let admitted = admitted.and_then(|()| strict::address(request.method(), path, request.uri()));
        Judged { admitted, access, origin, is_preflight }
    }
}

/// Guards every request and marks every answer.
pub(super) async fn layer(State(ctx): State<Ctx>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let judged = ctx.guard.judge(&request, path.as_ref().map(MatchedPath::as_str), ctx.app.now());
    let place = match (judged.admitted, judged.access) {
        (Err(problem), _) => Err(problem),
        (Ok(()), Access::Open) => Ok(None),
        (Ok(()), Access::Login) => ctx.limits.login().map(Some),
        (Ok(()), Access::Token) => ctx.limits.request().map(Some),
    };
    let mut response = match (place, path.filter(|_| judged.is_preflight)) {
        (Err(problem), _) => problem.into_response(),
        (Ok(_), Some(path)) => cors::preflight(path.as_str()),
        (Ok(_place), None) => next.run(request).await,
    };
    mark(response.headers_mut());
    if let Some(origin) = judged.origin {
        cors::mark(response.headers_mut(), origin);
    }
    response
}

fn mark(headers: &mut HeaderMap) {
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(PAGE_POLICY));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// A guard behind the handlers that need it.
pub(super) type SharedGuard = Arc<Guard>;
