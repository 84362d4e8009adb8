//! The name of each request.

use axum::body::Body;
use axum::http::Request;
use comfyd_server::api::ROUTES;

use crate::guard::{ORIGIN, path};
use crate::support::{HOST, House, TOKEN, asking};

#[tokio::test]
async fn every_answer_names_its_request() {
    let house = House::new(1.0).await;
    for route in ROUTES {
        let request = asking(route.verb.as_str(), &path(route)).header("x-request-id", "mine-1");
        let reply = house.ask(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(reply.header("x-request-id"), "mine-1", "{}", route.path);
        if !reply.status.is_success() && reply.header("content-type") == "application/json" && reply.json()["code"].is_string() {
            assert_eq!(reply.json()["request_id"], "mine-1", "{}", route.path);
        }
    }
    let first = house.get("/nothing").await;
    let second = house.get("/nothing").await;
    assert_eq!(first.json()["request_id"], first.header("x-request-id"));
    assert!(first.header("x-request-id").len() == 16 && first.header("x-request-id") != second.header("x-request-id"));
    let odd = house.ask(asking("GET", "/healthz").header("x-request-id", "{a b}").body(Body::empty()).expect("a request")).await;
    assert_eq!(odd.header("x-request-id").len(), 16, "what could spoil a log is not taken");
}

#[tokio::test]
async fn head_is_get_without_a_body_and_other_methods_are_named() {
    let house = House::new(1.0).await;
    for route in ROUTES.iter().filter(|route| route.verb == comfyd_server::api::Verb::Get) {
        let get = house.ask(asking("GET", &path(route)).body(Body::empty()).expect("a request")).await;
        let head = house.ask(asking("HEAD", &path(route)).body(Body::empty()).expect("a request")).await;
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{}", route.path);
        assert!(head.body.is_empty(), "{}", route.path);
    }
    for route in ROUTES {
        let request = Request::builder().method("PATCH").uri(path(route)).header("host", HOST).header("origin", ORIGIN);
        let reply =
            house.ask(request.header("authorization", format!("Bearer {TOKEN}")).body(Body::empty()).expect("a request")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (405, &"method_not_allowed".into()), "{}", route.path);
        let allow: Vec<&str> = reply.header("allow").split(',').map(str::trim).collect();
        for other in ROUTES.iter().filter(|other| other.path == route.path) {
            assert!(allow.contains(&other.verb.as_str()), "{}: {allow:?}", route.path);
        }
    }
}
