//! Who may ask what, over every route of the table.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use comfyd_server::api::{Access, ROUTES, Route, Verb};
use serde_json::json;

use crate::support::{HOST, House, Reply, TOKEN, asking};

pub(crate) const ORIGIN: &str = "http://127.0.0.1:8787";

/// Headers; whether GET, POST below /api/v1 and POST of the plan's routes pass with them.
type Row = (&'static [(&'static str, &'static str)], bool, bool, bool);

pub(crate) fn path(route: &Route) -> String {
    route.path.replace("{id}", "0193a1b2-0000-7000-8000-000000abc123").replace("{seq}", "1").replace("{n}", "0")
}

fn request(route: &Route, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(route.verb.as_str()).uri(path(route));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if route.verb == Verb::Post { Body::from("{}") } else { Body::empty() };
    if route.verb == Verb::Post {
        request = request.header("content-type", "application/json").header("content-length", "2");
    }
    request.body(body).expect("a request")
}

fn named(route: &Route) -> String {
    format!("{} {}", route.verb.as_str(), route.path)
}

/// Whether the guard let it through; what the handler then says of an unknown run or an empty wish is its own matter.
fn passed(reply: &Reply) -> bool {
    let by_guard =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::MISDIRECTED_REQUEST, StatusCode::UNSUPPORTED_MEDIA_TYPE];
    !by_guard.contains(&reply.status)
}

pub(crate) async fn cookie(house: &House) -> String {
    let login = Request::builder().method("POST").uri("/api/v1/login").header("host", HOST).header("origin", ORIGIN);
    let login = login.header("content-type", "application/json").body(Body::from(json!({ "token": TOKEN }).to_string()));
    let reply = house.ask(login.expect("a request")).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}

#[tokio::test]
async fn a_foreign_name_gets_nothing_anywhere() {
    let house = House::new(1.0).await;
    let bearer = format!("Bearer {TOKEN}");
    for route in ROUTES {
        let wrong: [&[(&str, &str)]; 5] = [
            &[("host", "evil.example"), ("authorization", &bearer)],
            &[("host", "127.0.0.1.evil.example:8787"), ("authorization", &bearer)],
            &[("authorization", &bearer)],
            &[("host", HOST), ("host", "evil.example"), ("authorization", &bearer)],
            &[("host", ""), ("authorization", &bearer)],
        ];
        for headers in wrong {
            let reply = house.ask(request(route, headers)).await;
            assert_eq!(reply.status, StatusCode::MISDIRECTED_REQUEST, "{} {headers:?}", named(route));
            assert_eq!(reply.json()["code"], "unknown_host");
        }
        for host in [HOST, "localhost", "[::1]:1", "comfy.example"] {
            let reply = house
                .ask(request(route, &[("host", host), ("authorization", &bearer), ("origin", &format!("http://{host}"))]))
                .await;
            // A login without a token comes as far as its handler.
            let welcome = passed(&reply) || (route.access == Access::Login && reply.json()["code"] == "wrong_token");
            assert!(welcome, "{} at {host}: {}", named(route), reply.status);
        }
    }
}

#[tokio::test]
async fn without_the_token_only_open_routes_answer() {
    let house = House::new(1.0).await;
    for route in ROUTES {
        let reply = house.ask(request(route, &[("host", HOST)])).await;
        match route.access {
            // There is no file of the name that stands for all of them.
            Access::Open if route.path == "/assets/{name}" => assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", named(route)),
            Access::Open => assert_eq!(reply.status, StatusCode::OK, "{}", named(route)),
            Access::Login => assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}: a login needs its page", named(route)),
            Access::Token => {
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", named(route));
                let problem = reply.json();
                assert_eq!((&problem["success"], &problem["code"]), (&json!(false), &json!("no_token")));
                assert!(problem["message"].is_string() && problem["hint"].is_string());
            }
        }
    }
    let nowhere = |path: &str| Request::builder().uri(path).header("host", HOST).body(Body::empty()).expect("a request");
    for path in ["/metrics", "/api/v1/", "/index.html", "/app.js/..", "//"] {
        assert_eq!(house.ask(nowhere(path)).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(house.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_guesses_are_slowed() {
    let house = House::new(1.0).await;
    let cookie = cookie(&house).await;
    let wrong = ["Bearer wrong", "Bearer ", "Basic Og==", TOKEN, &format!("Bearer {TOKEN}x"), &format!("Bearer {}", &TOKEN[1..])];
    for route in ROUTES.iter().filter(|route| route.access == Access::Token) {
        for header in wrong {
            // A good session does not make up for a wrong token.
            let reply = house.ask(request(route, &[("host", HOST), ("authorization", header), ("cookie", &cookie)])).await;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&reply.status);
            assert!(refused, "{} {header}: {}", named(route), reply.status);
        }
    }
    // The second may have changed in between, so more than one second's worth of guesses.
    let mut slowed = 0;
    for _ in 0..20 {
        let request = Request::builder().uri("/api/v1/runs").header("host", HOST).header("authorization", "Bearer wrong");
        let reply = house.ask(request.body(Body::empty()).expect("a request")).await;
        slowed += usize::from(reply.status == StatusCode::TOO_MANY_REQUESTS && reply.header("retry-after") == "1");
    }
    assert!(slowed >= 10, "{slowed} of 20");
    assert_eq!(house.get("/api/v1/runs").await.status, StatusCode::OK, "the right token is never held up");
}

#[tokio::test]
async fn a_session_serves_its_own_page_only() {
    let house = House::new(1.0).await;
    let cookie = cookie(&house).await;
    assert!(!cookie.contains(TOKEN));
    let rows: [Row; 13] = [
        (&[], true, false, false),
        (&[("x-comfyd", "1")], true, false, false),
        (&[("origin", ORIGIN)], true, false, true),
        (&[("origin", ORIGIN), ("x-comfyd", "1")], true, true, true),
        (&[("origin", ORIGIN), ("x-comfyd", "2")], true, false, true),
        (&[("origin", ORIGIN), ("x-comfyd", "1"), ("sec-fetch-site", "same-origin")], true, true, true),
        (&[("origin", ORIGIN), ("x-comfyd", "1"), ("sec-fetch-site", "none")], true, true, true),
        (&[("origin", ORIGIN), ("x-comfyd", "1"), ("sec-fetch-site", "same-site")], false, false, false),
        (&[("origin", ORIGIN), ("x-comfyd", "1"), ("sec-fetch-site", "cross-site")], false, false, false),
        (&[("origin", "null"), ("x-comfyd", "1")], false, false, false),
        (&[("origin", "http://evil.example"), ("x-comfyd", "1")], false, false, false),
        (&[("origin", "http://127.0.0.1:9999"), ("x-comfyd", "1")], false, false, false),
        (&[("origin", ORIGIN), ("origin", "http://evil.example"), ("x-comfyd", "1")], false, false, false),
    ];
    for route in ROUTES.iter().filter(|route| route.access == Access::Token) {
        for (headers, get, api, plan) in rows {
            let expected = match (route.verb, route.path.starts_with("/api/")) {
                (Verb::Get, _) => get,
                (Verb::Post | Verb::Put | Verb::Delete, true) => api,
                (Verb::Post | Verb::Put | Verb::Delete, false) => plan,
            };
            let all: Vec<_> = [("host", HOST), ("cookie", cookie.as_str())].into_iter().chain(headers.iter().copied()).collect();
            let reply = house.ask(request(route, &all)).await;
            assert_eq!(passed(&reply), expected, "{} {headers:?}: {}", named(route), reply.status);
            assert!(expected || reply.status == StatusCode::FORBIDDEN, "{} {headers:?}: {}", named(route), reply.status);
        }
        let forged = format!("{}0", &cookie[..cookie.len() - 1]);
        let other = cookie.replace("comfyd_8787", "comfyd_8788");
        for bad in [if forged == cookie { format!("{}1", &cookie[..cookie.len() - 1]) } else { forged }, other] {
            let all = [("host", HOST), ("cookie", bad.as_str()), ("origin", ORIGIN), ("x-comfyd", "1")];
            assert_eq!(house.ask(request(route, &all)).await.status, StatusCode::UNAUTHORIZED, "{} {bad}", named(route));
        }
    }
}

#[tokio::test]
async fn a_form_of_another_site_is_no_request() {
    let house = House::new(1.0).await;
    let cookie = cookie(&house).await;
    let kinds = [
        ("text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/x-www-form-urlencoded", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/json-seq", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/json", StatusCode::BAD_REQUEST),
        ("Application/JSON; charset=utf-8", StatusCode::BAD_REQUEST),
    ];
    for (kind, status) in kinds {
        for path in ["/comfyui/workflow/execute", "/api/v1/runs"] {
            let request = asking("POST", path).header("content-type", kind).header("content-length", "2").body(Body::from("{}"));
            assert_eq!(house.ask(request.expect("a request")).await.status, status, "{kind:?} {path}");
        }
    }
    // With a session, a multipart form needs the header that a form of another site cannot have.
    for (own, passes) in [(None, false), (Some("1"), true)] {
        let mut form = Request::builder().method("POST").uri("/comfyui/workflow/execute").header("host", HOST);
        form = form.header("cookie", &cookie).header("origin", ORIGIN).header("content-length", "7");
        form = form.header("content-type", "multipart/form-data; boundary=x");
        if let Some(own) = own {
            form = form.header("x-comfyd", own);
        }
        let reply = house.ask(form.body(Body::from("--x--\r\n")).expect("a request")).await;
        assert_eq!(reply.status == StatusCode::FORBIDDEN, !passes, "{own:?}: {}", reply.status);
    }
}

#[tokio::test]
async fn login_takes_the_right_token_from_its_own_page() {
    let house = House::new(1.0).await;
    let login = |token: &str, origin: Option<&str>| {
        let mut request = Request::builder().method("POST").uri("/api/v1/login").header("host", HOST);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.header("content-type", "application/json");
        request.body(Body::from(json!({ "token": token }).to_string())).expect("a request")
    };
    for (token, origin, status) in [
        (TOKEN, Some(ORIGIN), StatusCode::OK),
        (TOKEN, Some("http://evil.example"), StatusCode::FORBIDDEN),
        (TOKEN, Some("null"), StatusCode::FORBIDDEN),
        (TOKEN, None, StatusCode::FORBIDDEN),
        ("wrong", Some(ORIGIN), StatusCode::UNAUTHORIZED),
        ("", Some(ORIGIN), StatusCode::UNAUTHORIZED),
    ] {
        let reply = house.ask(login(token, origin)).await;
        assert_eq!(reply.status, status, "{token} {origin:?}");
        let cookie = reply.header("set-cookie");
        assert_eq!(!cookie.is_empty(), status == StatusCode::OK);
        if status == StatusCode::OK {
            let attributes = ["HttpOnly", "SameSite=Strict", "Path=/"];
            assert!(
                cookie.starts_with("comfyd_8787=") && attributes.iter().all(|attribute| cookie.contains(attribute)),
                "{cookie}"
            );
            assert!(!cookie.contains(TOKEN), "{cookie}");
        }
    }
}

#[tokio::test]
async fn every_answer_is_marked() {
    let house = House::new(1.0).await;
    let mut replies = vec![house.get("/nothing").await, house.get("/comfyui/workflow/execute").await];
    for route in ROUTES {
        replies.push(house.ask(request(route, &[("host", HOST)])).await);
        replies.push(house.ask(request(route, &[("host", "evil.example")])).await);
        replies.push(house.ask(request(route, &[("host", HOST), ("authorization", &format!("Bearer {TOKEN}"))])).await);
    }
    for reply in replies {
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        let policy = reply.header("content-security-policy");
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        if reply.header("content-type") == "application/json" {
            assert_eq!(reply.header("cache-control"), "no-store");
            assert_eq!(reply.json()["success"], reply.status.is_success(), "{:?}", reply.body);
        }
        assert!(reply.headers.get("access-control-allow-origin").is_none(), "no other origin is let in");
    }
}

/// A body of which nothing comes.
fn silent() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>())
}

fn login(body: Body) -> Request<Body> {
    let login = Request::builder().method("POST").uri("/api/v1/login").header("host", HOST).header("origin", ORIGIN);
    login.header("content-type", "application/json").header("content-length", "100").body(body).expect("a request")
}

#[tokio::test]
async fn logins_that_never_end_hold_up_nobody_with_the_token() {
    let house = std::sync::Arc::new(House::new(1.0).await);
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let house = std::sync::Arc::clone(&house);
        logins.spawn(async move { house.ask(login(silent())).await.status });
    }
    // All but the few that wait are told to come back.
    for _ in 0..300 - 8 {
        let ended = logins.join_next().await.expect("more than eight were sent").expect("no panic");
        assert_eq!(ended, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(house.get("/api/v1/runs").await.status, StatusCode::OK);
    logins.shutdown().await;
    assert_eq!(house.ask(login(Body::from(json!({ "token": TOKEN }).to_string()))).await.status, StatusCode::OK);
    let long = json!({ "token": TOKEN, "more": "x".repeat(5000) }).to_string();
    assert_eq!(house.ask(login(Body::from(long))).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}
