//! `docs/api.md` and `docs/curl.sh` have every route, and say of each what the program says.

use std::collections::BTreeSet;

use comfyd_server::api::{ROUTES, document};
use serde_json::{Map, Value};

use super::blocks;
use super::shell::Shell;

/// Every route as `VERB path`.
fn routes() -> BTreeSet<String> {
    ROUTES.iter().map(|route| format!("{} {}", route.verb.as_str(), route.path)).collect()
}

#[test]
fn the_reference_has_every_route_and_no_other() {
    let guide = blocks::guide("docs/api.md");
    let headings: Vec<String> = guide.text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(headings.iter().cloned().collect::<BTreeSet<_>>(), routes());
    assert_eq!(headings.len(), ROUTES.len(), "a route has one heading");
}

#[test]
fn the_reference_names_what_the_document_names() {
    let guide = blocks::guide("docs/api.md");
    for section in guide.text.split("\n### ").skip(1) {
        let (route, text) = section.split_once('\n').expect("a text below the heading");
        let text = text.split_once("\n## ").map_or(text, |(text, _)| text);
        assert!(text.contains("\n```sh\n") && text.contains("$api"), "{route} has no example");
        let (verb, path) = route.split_once(' ').expect("a verb and a path");
        let operation = &document()["paths"][path][verb.to_lowercase()];
        if operation.is_null() {
            assert!(!path.starts_with("/api/"), "{route} is not in the document");
            continue;
        }
        assert_eq!(line(text, "Takes: "), taken(operation), "{route}: what it takes");
        assert_eq!(line(text, "Answers "), answered(operation), "{route}: what it answers");
    }
}

/// The names in a line that begins so.
fn line(text: &str, beginning: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(beginning));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_lowercase)).collect()
}

/// The parameters of a request that are not in its path, and the fields of its body.
fn taken(operation: &Value) -> BTreeSet<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten().filter(|parameter| parameter["in"] != "path");
    let mut names: BTreeSet<String> = parameters.map(|parameter| plain(&parameter["name"])).collect();
    names.extend(fields(&operation["requestBody"]["content"]["application/json"]["schema"]).keys().cloned());
    names
}

/// The fields of a good answer, if it is JSON.
fn answered(operation: &Value) -> BTreeSet<String> {
    let answers = operation["responses"].as_object().expect("a map");
    let (_, good) = answers.iter().find(|(status, _)| status.starts_with('2')).expect("a good answer");
    fields(&good["content"]["application/json"]["schema"]).keys().cloned().collect()
}

fn plain(name: &Value) -> String {
    name.as_str().expect("a name").to_lowercase()
}

/// The fields that a schema names, of all its parts.
pub(super) fn fields(schema: &Value) -> Map<String, Value> {
    if let Some(place) = schema["$ref"].as_str() {
        return fields(document().pointer(place.trim_start_matches('#')).expect("a reference leads somewhere"));
    }
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|kind| schema[kind].as_array());
    let mut names: Map<String, Value> = parts.flatten().flat_map(fields).collect();
    names.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    names
}

#[test]
fn the_collection_calls_every_route() {
    let script = "
        comfyd serve --listen 127.0.0.1:8787 &
        curl -sSf --retry 50 --retry-delay 1 --retry-connrefused -o /dev/null http://127.0.0.1:8787/readyz
        export BASE=http://127.0.0.1:8787 TOKEN=$(comfyd token) COMFYUI=http://127.0.0.1:8188
        SLOW=slow.json ./curl.sh
        ./curl.sh";
    let out = Shell::new().run("docs/curl.sh", script);
    let called: Vec<(&str, &str)> = out.lines().filter_map(|line| line.split_once(' ')?.1.split_once(' ')).collect();
    assert_eq!(out.lines().filter(|line| *line == "done").count(), 2, "{out}");
    for route in ROUTES {
        let found = called.iter().any(|(verb, path)| *verb == route.verb.as_str() && is_at(route.path, path));
        assert!(found, "{} {} is not called:\n{out}", route.verb.as_str(), route.path);
    }
}

/// Whether a path is one of those that a route is for, and of no route that is more exact.
fn is_at(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |pattern: &str| {
        let (parts, given): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        parts.len() == given.len() && parts.iter().zip(&given).all(|(part, given)| part == given || part.starts_with('{'))
    };
    let exact = |pattern: &str| std::cmp::Reverse(pattern.matches('{').count());
    fits(pattern) && ROUTES.iter().filter(|route| fits(route.path)).all(|route| exact(route.path) <= exact(pattern))
}
