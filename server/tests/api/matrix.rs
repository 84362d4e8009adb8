//! Every route, asked in every way: what the guard says is held against a small table of rules of its own.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use comfyd_server::api::{Access, ROUTES, Route, Verb};

use crate::guard::{ORIGIN, cookie, path};
use crate::support::{HOST, House, Reply, TOKEN};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Nobody,
    WrongToken,
    Token,
    Cookie,
}

/// How a route is asked; an empty text is a header that is not sent.
#[derive(Clone, Copy, Debug)]
struct Case {
    who: Who,
    host: &'static str,
    origin: &'static str,
    site: &'static str,
    own: &'static str,
    kind: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Through,
    NotOurName,
    WhoAreYou,
    NotYou,
    NotThatKind,
}

const LISTED: &str = "https://app.example";

/// The rules, in words: the name must be ours; open routes ask nothing more; a token needs nothing else; a cookie counts for our own page
/// only, and below /api/v1 changes need the header that only our page sends; bodies are JSON or forms.
fn rules(route: &Route, case: Case) -> Verdict {
    let changes = route.verb != Verb::Get;
    let of_our_page =
        case.site != "cross-site" && case.site != "same-site" && (case.origin == ORIGIN || (case.origin.is_empty() && !changes));
    if case.host != HOST {
        return Verdict::NotOurName;
    }
    let is_good_kind = !changes || case.kind != "text/plain";
    match (route.access, case.who) {
        (Access::Open, _) => return Verdict::Through,
        (Access::Login, _) if !of_our_page => return Verdict::NotYou,
        (Access::Token, Who::Nobody | Who::WrongToken) => return Verdict::WhoAreYou,
        (Access::Token, Who::Cookie) => {
            let own = case.own == "1" || !changes || (!route.path.starts_with("/api/") && case.kind == "application/json");
            if !of_our_page || !own {
                return Verdict::NotYou;
            }
        }
        (Access::Login, _) | (Access::Token, Who::Token) => {}
    }
    if is_good_kind { Verdict::Through } else { Verdict::NotThatKind }
}

fn verdict(route: &Route, case: Case, reply: &Reply) -> Verdict {
    let code = if reply.header("content-type") == "application/json" { reply.json()["code"].clone() } else { "".into() };
    match (reply.status, code.as_str().unwrap_or_default()) {
        (StatusCode::MISDIRECTED_REQUEST, "unknown_host") => Verdict::NotOurName,
        // What login says of a wrong token is its own answer.
        (StatusCode::UNAUTHORIZED, _) | (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts") if route.access != Access::Login => {
            Verdict::WhoAreYou
        }
        (StatusCode::FORBIDDEN, "cross_site") => Verdict::NotYou,
        // A form that a handler does not take came through.
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, _) if case.kind == "text/plain" => Verdict::NotThatKind,
        _ => Verdict::Through, // Everything else is said by a handler.
    }
}

fn request(route: &Route, case: Case, cookie: &str) -> Request<Body> {
    let mut request = Request::builder().method(route.verb.as_str()).uri(path(route)).header("host", case.host);
    request = match case.who {
        Who::Nobody => request,
        Who::WrongToken => request.header("authorization", "Bearer wrong").header("cookie", cookie),
        Who::Token => request.header("authorization", format!("Bearer {TOKEN}")),
        Who::Cookie => request.header("cookie", cookie),
    };
    let sent = [("origin", case.origin), ("sec-fetch-site", case.site), ("x-comfyd", case.own)];
    for (name, value) in sent.into_iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(name, value);
    }
    if route.verb == Verb::Get {
        return request.body(Body::empty()).expect("a request");
    }
    let kind = if case.kind == "multipart/form-data" { "multipart/form-data; boundary=x" } else { case.kind };
    let body = if case.kind == "multipart/form-data" { "--x--\r\n" } else { "[]" };
    request = request.header("content-type", kind).header("content-length", body.len());
    request.body(Body::from(body)).expect("a request")
}

fn cases(route: &Route) -> Vec<Case> {
    let kinds: &[&str] = if route.verb == Verb::Get { &[""] } else { &["application/json", "text/plain", "multipart/form-data"] };
    let mut cases = Vec::new();
    for who in [Who::Nobody, Who::WrongToken, Who::Token, Who::Cookie] {
        for host in [HOST, "evil.example", "rebound.example:8787"] {
            for origin in ["", ORIGIN, "http://evil.example", "null", LISTED] {
                for site in ["", "same-origin", "none", "same-site", "cross-site"] {
                    for own in ["", "1"] {
                        cases.extend(kinds.iter().map(|kind| Case { who, host, origin, site, own, kind }));
                    }
                }
            }
        }
    }
    cases
}

#[tokio::test]
async fn the_guard_says_what_the_rules_say_for_every_route() {
    let house = House::new(1.0).await;
    let cookie = cookie(&house).await;
    let mut seen = std::collections::BTreeMap::new();
    for route in ROUTES {
        for case in cases(route) {
            let reply = house.ask(request(route, case, &cookie)).await;
            let expected = rules(route, case);
            assert_eq!(
                verdict(route, case, &reply),
                expected,
                "{} {} {case:?}: {}",
                route.verb.as_str(),
                route.path,
                reply.status
            );
            *seen.entry(format!("{expected:?}")).or_insert(0) += 1;
            // Only the page of the listed origin may read it, and never with a cookie.
            assert_eq!(reply.header("access-control-allow-origin"), if case.origin == LISTED { LISTED } else { "" }, "{case:?}");
            assert!(reply.headers.get("access-control-allow-credentials").is_none());
        }
    }
    assert_eq!(seen.len(), 5, "every verdict is given somewhere: {seen:?}");
}

#[tokio::test]
async fn a_preflight_is_answered_to_listed_origins_with_what_there_is() {
    let house = House::new(1.0).await;
    let ask = |path: &str, host: &str, origin: &str| {
        let request = Request::builder().method("OPTIONS").uri(path).header("host", host).header("origin", origin);
        request.header("access-control-request-method", "POST").body(Body::empty()).expect("a request")
    };
    for route in ROUTES {
        let path = path(route);
        let reply = house.ask(ask(&path, HOST, LISTED)).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::NO_CONTENT, LISTED), "{path}");
        let allowed: Vec<&str> = reply.header("access-control-allow-methods").split(", ").collect();
        for verb in [Verb::Get, Verb::Post, Verb::Put, Verb::Delete] {
            let there = ROUTES.iter().any(|other| other.path == route.path && other.verb == verb);
            assert_eq!(allowed.contains(&verb.as_str()), there, "{path} {allowed:?}");
        }
        let headers = reply.header("access-control-allow-headers");
        assert!(headers.contains("authorization") && !headers.contains('*') && !headers.contains("x-comfyd"), "{headers}");
        assert!(reply.header("vary").contains("Origin") && reply.headers.get("access-control-allow-credentials").is_none());
        for (host, origin) in [(HOST, "https://evil.example"), (HOST, "null"), (HOST, ORIGIN), ("evil.example", LISTED)] {
            let reply = house.ask(ask(&path, host, origin)).await;
            assert!(!reply.status.is_success(), "{path} {host} {origin}: {}", reply.status);
            assert!(reply.headers.get("access-control-allow-methods").is_none(), "{path} {host} {origin}");
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_the_cookie_is_kept_to_tls() {
    let house = House::new(1.0).await;
    let login = |host: &str, origin: &str| {
        let body = Body::from(format!("{{\"token\": \"{TOKEN}\"}}"));
        let login = Request::builder().method("POST").uri("/api/v1/login").header("host", host).header("origin", origin);
        login.header("content-type", "application/json").body(body).expect("a request")
    };
    let public = house.ask(login("public.example", "https://public.example")).await;
    assert_eq!(public.status, StatusCode::OK);
    assert!(public.header("set-cookie").contains("; Secure"), "{}", public.header("set-cookie"));
    let local = house.ask(login(HOST, ORIGIN)).await;
    assert!(local.status == StatusCode::OK && !local.header("set-cookie").contains("Secure"));
    assert_eq!(house.ask(login("public.example", "http://public.example")).await.status, StatusCode::FORBIDDEN);
}
