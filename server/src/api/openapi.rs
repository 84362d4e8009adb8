//! The API's description of itself.
//!
//! Invariants: made from the types and handlers that answer; who may ask, and the refusals that every route shares, are added from the table of
//! routes, so that the document cannot say otherwise than the guard does. What it does not name, a query parameter or a field, is refused, see
//! [`super::strict`]. Absent: the page's own files.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::routes::{Access, ROUTES, Route, Verb};
use super::setup_shapes::SetupState;
use super::{
    archive, batches, canvas, chosen, content, conversion, feed, follow, graph, health, instances, log, login, outputs, patches,
    plan, runs, setups, state, stats, thumbnail, workflows,
};
use crate::problem::Problem;

/// Handlers in the order of the table of routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "comfyd",
        description = "Runs ComfyUI workflows durably. Every answer but files, logs and streams is a JSON object with `success`; a refusal has `code`, `message` and `hint`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        health::alive,
        health::ready,
        login::log_in,
        described,
        plan::execute,
        plan::state,
        plan::progress,
        plan::cancel,
        plan::outputs,
        state::get,
        state::import,
        state::dismiss,
        state::summary,
        setups::start,
        setups::stop,
        setups::resume,
        feed::all,
        runs::create,
        runs::list,
        runs::one,
        runs::delete,
        runs::at,
        graph::workflow,
        canvas::canvas,
        log::log,
        patches::patches,
        follow::run,
        outputs::preview,
        outputs::list,
        outputs::one,
        thumbnail::thumbnail,
        archive::archive,
        chosen::chosen,
        content::content,
        runs::cancel,
        runs::resubmit,
        runs::retry,
        instances::list,
        instances::add,
        instances::test_url,
        instances::one,
        instances::edit,
        instances::remove,
        instances::test,
        instances::trust,
        instances::unlock,
        instances::stats,
        instances::object_info,
        workflows::list,
        conversion::convert,
        conversion::validate,
        workflows::one,
        workflows::preview,
        workflows::graph,
        batches::create,
        batches::one,
        batches::cancel,
        stats::stats,
    ),
    components(schemas(Problem, SetupState)),
    tags(
        (name = "runs", description = "Executions of workflows."),
        (name = "instances", description = "The ComfyUI servers that runs go to."),
        (name = "batches", description = "Several runs of one workflow."),
        (name = "plan", description = "The same under the names and in the flat shapes of the first API."),
        (name = "workflows", description = "Templates: workflows that are ready to run."),
        (name = "server", description = "The server itself."),
    )
)]
struct Described;

static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
static TEXT: LazyLock<Bytes> = LazyLock::new(|| DOCUMENT.to_string().into());

/// The document.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Describes this API.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "getOpenapi", tag = "server",
    responses((status = 200, description = "This document, as OpenAPI 3.1", body = Value, content_type = "application/vnd.oai.openapi+json")))]
pub(super) async fn described() -> Response {
    let mut response = super::reply::json(axum::http::StatusCode::OK, TEXT.to_vec());
    let kind = axum::http::HeaderValue::from_static("application/vnd.oai.openapi+json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
    response
}

fn make() -> Value {
    let mut document = serde_json::to_value(Described::openapi()).expect("the document is made of texts, numbers and maps");
    document["components"]["securitySchemes"] = json!({
        "token": { "type": "http", "scheme": "bearer", "description": "What `comfyd token` prints." },
        "session": {
            "type": "apiKey", "in": "cookie", "name": "comfyd_8787",
            "description": "What `POST /api/v1/login` sets; named for the port. Changes need the `Origin` of the page and `X-Comfyd: 1` besides.",
        },
    });
    let schemas = &mut document["components"]["schemas"];
    schemas["Succeeded"] = verdict(true);
    schemas["Refused"] = verdict(false);
    // Every problem is a refusal, so it says so itself.
    schemas["Problem"]["properties"]["success"] = verdict(false)["properties"]["success"].take();
    if let Some(required) = schemas["Problem"]["required"].as_array_mut() {
        required.push(json!("success"));
    }
    // An imported workflow keeps the other fields of its file.
    for part in ["SetupState", "StepState", "TaskState"] {
        schemas[part]["additionalProperties"] = json!(true);
    }
    for (status, description) in SHARED {
        let content = json!({ "application/json": { "schema": { "$ref": PROBLEM } } });
        document["components"]["responses"][status] = json!({ "description": description, "content": content });
    }
    for route in ROUTES {
        let item = document["paths"].get_mut(route.path);
        // A route without a description is told by a test; it is no reason to stop the server.
        if let Some(operation) = item.and_then(|item| item.get_mut(route.verb.as_str().to_ascii_lowercase())) {
            complete(operation, route);
        }
    }
    document
}

fn verdict(success: bool) -> Value {
    json!({ "type": "object", "required": ["success"], "properties": { "success": { "type": "boolean", "const": success } } })
}

/// Adds what an operation shares with all of its kind.
fn complete(operation: &mut Value, route: &Route) {
    operation["security"] = match route.access {
        Access::Open | Access::Login => json!([]),
        Access::Token => json!([{ "token": [] }, { "session": [] }]),
    };
    let operation_id = operation["operationId"].clone();
    let responses = operation["responses"].as_object_mut().expect("every operation has responses");
    for status in shared(route) {
        let place = json!({ "$ref": format!("#/components/responses/{status}") });
        responses.entry(status).or_insert(place);
    }
    for (status, response) in responses.iter_mut() {
        let good = status.starts_with('2');
        if good && operation_id.as_str().is_some_and(|id| FILES.contains(&id)) {
            continue;
        }
        let verdict = if good { "Succeeded" } else { "Refused" };
        let schema = response.pointer_mut("/content/application~1json/schema");
        if let Some(schema) = schema.filter(|schema| schema["$ref"] != PROBLEM) {
            let body = schema.take();
            *schema = json!({ "allOf": [{ "$ref": format!("#/components/schemas/{verdict}") }, body] });
        }
    }
    responses.sort_keys();
}

/// Operations that give a JSON file as it is, so without `success`.
const FILES: [&str; 1] = ["getWorkflowGraph"];

const PROBLEM: &str = "#/components/schemas/Problem";

/// What every route of a kind may say besides its own.
const SHARED: [(&str, &str); 13] = [
    ("400", "Something in the request is wrong; the message names it."),
    ("401", "The token is missing or wrong."),
    ("403", "A page of another origin asked."),
    ("404", "There is nothing of this name."),
    ("408", "The body comes too slowly."),
    ("409", "The run or the server is in no state for this."),
    ("413", "The body is too large."),
    ("415", "The body is of a kind that is not taken."),
    ("421", "The server does not answer to the name in `Host`."),
    ("429", "Too many wrong tokens, or too many runs; `Retry-After` says when to ask again."),
    ("500", "Something is broken; the server's log says more."),
    ("503", "It cannot be done now; `Retry-After` says when to ask again."),
    ("507", "The disk is full; nothing was changed."),
];

/// The refusals of every route of a kind.
fn shared(route: &Route) -> Vec<&'static str> {
    let mut all = vec!["421", "500"];
    if route.access != Access::Open {
        all.extend(["400", "401", "403", "429", "503"]);
        if route.verb != Verb::Get {
            all.extend(["408", "413", "415"]);
        }
    }
    if route.access == Access::Token {
        if route.path.contains('{') {
            all.push("404");
        }
        if route.verb != Verb::Get {
            all.extend(["409", "507"]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{Access, ROUTES, Route, document};

    /// Whether a route serves a file of the page, which is no part of the API.
    fn is_of_page(route: &Route) -> bool {
        route.access == Access::Open && (route.path == "/" || route.path.contains('.') || route.path.starts_with("/assets/"))
    }

    /// Every operation with its method and path.
    fn operations() -> Vec<(String, String, &'static Value)> {
        let paths = document()["paths"].as_object().expect("paths");
        let of_path = |(path, item): (&String, &'static Value)| {
            let path = path.clone();
            let methods = item.as_object().expect("an object").iter();
            methods.map(move |(verb, operation)| (verb.to_ascii_uppercase(), path.clone(), operation)).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn routes_and_document_name_the_same() {
        let routes = ROUTES.iter().filter(|route| !is_of_page(route));
        let routes: BTreeSet<_> = routes.map(|route| (route.verb.as_str().to_owned(), route.path.to_owned())).collect();
        let described: BTreeSet<_> = operations().into_iter().map(|(verb, path, _)| (verb, path)).collect();
        assert_eq!(
            routes.symmetric_difference(&described).collect::<Vec<_>>(),
            Vec::<&(String, String)>::new(),
            "give the handler #[utoipa::path] and list it in `paths` of api/openapi.rs"
        );
    }

    #[test]
    fn every_operation_says_what_it_is() {
        let mut ids = BTreeSet::new();
        for (verb, path, operation) in operations() {
            let name = format!("{verb} {path}");
            let text = |key: &str| operation[key].as_str().unwrap_or_default();
            assert!(!text("summary").is_empty() && !text("summary").contains("/api/"), "{name}: a doc comment says what it does");
            assert!(ids.insert(text("operationId")), "{name}: `{}` is taken", text("operationId"));
            assert!(!text("operationId").is_empty() && operation["tags"][0].is_string(), "{name}");
            for parameter in operation["parameters"].as_array().unwrap_or(&Vec::new()) {
                assert!(parameter["description"].is_string(), "{name}: {parameter}");
            }
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
            let described = |response: &Value| {
                response["$ref"].is_string() || response["description"].as_str().is_some_and(|text| !text.is_empty())
            };
            assert!(responses.values().all(described), "{name}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, seen: &mut BTreeSet<String>) {
            if let Some(place) = value.get("$ref").and_then(Value::as_str) {
                assert!(document().pointer(place.trim_start_matches('#')).is_some(), "{place}");
                seen.insert(place.to_owned());
            }
            match value {
                Value::Object(map) => map.values().for_each(|value| walk(value, seen)),
                Value::Array(list) => list.iter().for_each(|value| walk(value, seen)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let mut seen = BTreeSet::new();
        walk(document(), &mut seen);
        assert!(seen.contains("#/components/schemas/RunView") && seen.contains("#/components/schemas/Problem"), "{seen:?}");
    }

    #[test]
    fn the_copy_in_docs_is_current() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let text = serde_json::to_string_pretty(document()).expect("JSON") + "\n";
        if std::env::var_os("COMFYD_UPDATE").is_some() {
            std::fs::write(&file, &text).expect("docs/ can be written");
        }
        let stored = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(stored == text, "run `COMFYD_UPDATE=1 cargo test -p comfyd-server the_copy_in_docs` and look at the difference");
    }
}
