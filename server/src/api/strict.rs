//! What a request may name: a path that is text, and the query parameters and fields of the document.
//!
//! Invariants: under `/api/` nothing is ignored: what the document does not name is refused with the nearest name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, Uri};
use serde_json::Value;

use super::openapi::document;
use crate::problem::Problem;

/// The names that an operation takes.
#[derive(Default)]
struct Names {
    query: Vec<String>,
    json: Option<Vec<String>>,
    form: Option<Vec<String>>,
}

/// By method and path.
static KNOWN: LazyLock<BTreeMap<(String, String), Names>> = LazyLock::new(|| {
    let paths = document()["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |one| (path, one)));
    operations.map(|(path, (verb, operation))| ((verb.to_ascii_uppercase(), path.clone()), Names::of(operation))).collect()
});

impl Names {
    fn of(operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let query = parameters.filter(|parameter| parameter["in"] == "query").filter_map(|parameter| parameter["name"].as_str());
        let body = |kind: &str| {
            let content = operation.pointer("/requestBody/content");
            // No body means that no field is taken; one without named fields takes all.
            content.map_or(Some(vec![]), |content| properties(&content[kind]["schema"]))
        };
        Self { query: query.map(str::to_owned).collect(), json: body("application/json"), form: body("multipart/form-data") }
    }
}

/// The names of the properties of a schema; none if it has none, so takes any.
fn properties(schema: &Value) -> Option<Vec<String>> {
    if let Some(place) = schema["$ref"].as_str() {
        return properties(document().pointer(place.trim_start_matches('#'))?);
    }
    if let Some(named) = schema["properties"].as_object() {
        return Some(named.keys().cloned().collect());
    }
    let parts = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    let all: Vec<_> = parts.filter_map(properties).flatten().collect();
    (!all.is_empty()).then_some(all)
}

fn known(verb: &Method, path: Option<&str>) -> Option<&'static Names> {
    let verb = if *verb == Method::HEAD { Method::GET } else { verb.clone() };
    KNOWN.get(&(verb.to_string(), path?.to_owned()))
}

/// Checks the address of a request.
///
/// # Errors
/// If it is not text, or has a query parameter that is not taken.
pub(super) fn address(verb: &Method, path: Option<&str>, uri: &Uri) -> Result<(), Problem> {
    if decoded(uri.path()).is_none() {
        let hint = "Percent-encode names as UTF-8.";
        return Err(Problem::invalid("bad_path", "the path is not UTF-8 text", hint));
    }
    let Some(names) = known(verb, path).filter(|_| uri.path().starts_with("/api/")) else { return Ok(()) };
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
        let name = decoded(&name).unwrap_or(name);
        if !names.query.contains(&name) {
            return Err(unknown("unknown_parameter", "query parameter", &name, &names.query));
        }
    }
    Ok(())
}

/// Which fields a request may have; none if any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken(Option<&'static [String]>);

impl Taken {
    /// The fields of a JSON body.
    pub(super) fn json(request: &Request) -> Self {
        Self(of(request).and_then(|names| names.json.as_deref()))
    }

    /// The fields of a form.
    pub(super) fn form(request: &Request) -> Self {
        Self(of(request).and_then(|names| names.form.as_deref()))
    }

    /// # Errors
    /// If it is not among them.
    pub(super) fn check(self, field: &str) -> Result<(), Problem> {
        match self.0 {
            Some(names) if !names.iter().any(|name| name == field) => Err(unknown("unknown_field", "field", field, names)),
            Some(_) | None => Ok(()),
        }
    }
}

fn of(request: &Request) -> Option<&'static Names> {
    known(request.method(), request.extensions().get::<MatchedPath>().map(MatchedPath::as_str))
}

fn unknown(code: &str, what: &str, name: &str, names: &[String]) -> Problem {
    let shown: String = name.chars().take(60).collect();
    let near = names.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|(one, _), (other, _)| one.total_cmp(other));
    let hint = match near {
        Some((_, known)) => format!("Did you mean `{known}`?"),
        None if names.is_empty() => format!("Leave it out; this takes no {what}s."),
        None => format!("Leave it out; this takes {}.", names.join(", ")),
    };
    Problem::invalid(code, format!("there is no {what} `{shown}` here"), hint)
}

/// Percent-decoded text; none if it is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        let pair = bytes.get(place + 1).zip(bytes.get(place + 2)).and_then(|(high, low)| Some(digit(*high)? * 16 + digit(*low)?));
        if let Some(byte) = pair.filter(|_| bytes[place] == b'%') {
            plain.push(byte);
            place += 3;
        } else {
            plain.push(bytes[place]);
            place += 1;
        }
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Uri};

    use super::{address, decoded};

    #[test]
    fn a_parameter_that_is_not_taken_is_named_with_its_neighbour() {
        let check = |path: Option<&str>, uri: &str| address(&Method::GET, path, &uri.parse::<Uri>().expect("an address"));
        let list = Some("/api/v1/runs");
        assert!(check(list, "/api/v1/runs?limit=3&&status=failed").is_ok());
        let problem = check(list, "/api/v1/runs?limt=3").expect_err("a typo");
        assert_eq!((problem.status, problem.code.as_str()), (400, "unknown_parameter"));
        assert!(problem.message.contains("`limt`") && problem.hint.contains("`limit`"), "{problem:?}");
        assert!(check(list, "/api/v1/runs?st%61tus=failed").is_ok(), "an encoded name is the name");
        assert!(check(Some("/healthz"), "/healthz?_=1").is_ok(), "only the API is strict");
        assert_eq!(check(list, "/api/v1/runs/%ff").expect_err("no text").code, "bad_path");
    }

    #[test]
    fn what_is_not_percent_encoded_stays() {
        let rows =
            [("a%20b", Some("a b")), ("100%", Some("100%")), ("%zz%4", Some("%zz%4")), ("%c3%A9", Some("\u{e9}")), ("%ff", None)];
        for (text, plain) in rows {
            assert_eq!(decoded(text).as_deref(), plain, "{text}");
        }
    }
}
