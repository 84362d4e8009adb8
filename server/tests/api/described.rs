//! Every answer of these tests is held against the document: its status, its kind and every field.

use axum::http::Method;
use comfyd_server::api::document;
use serde_json::Value;

use crate::support::Reply;

/// Fails if the document does not say that this may be answered.
pub(crate) fn check(method: &Method, path: &str, reply: &Reply) {
    let Some(operation) = operation(method, path) else { return };
    let name = format!("{method} {path}: {}", reply.status);
    let response = resolved(&operation["responses"][reply.status.as_str()]);
    assert!(response.is_object(), "{name} is not in the document: {:?}", reply.body);
    let Some(content) = response["content"].as_object() else {
        assert!(reply.body.is_empty(), "{name}: the document says that it has no body");
        return;
    };
    let kind = reply.header("content-type").split(';').next().unwrap_or_default();
    let family = kind.split('/').next().map(|family| format!("{family}/*")).unwrap_or_default();
    let media = content.get(kind).or_else(|| content.get(&family));
    let media = media.unwrap_or_else(|| panic!("{name}: {kind} is not in the document"));
    if kind == "application/json"
        && *method != Method::HEAD
        && let Err(why) = fits(&media["schema"], &reply.json(), "")
    {
        panic!("{name}: {why}\n{:#}", reply.json());
    }
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let given: Vec<&str> = path.split('/').collect();
    let fits = |pattern: &str| {
        let parts: Vec<&str> = pattern.split('/').collect();
        parts.len() == given.len() && parts.iter().zip(&given).all(|(part, given)| part == given || part.starts_with('{'))
    };
    let paths = document()["paths"].as_object()?;
    // Where a fixed name and a variable one both fit, the fixed one counts.
    let place = paths.keys().filter(|pattern| fits(pattern)).min_by_key(|pattern| pattern.matches('{').count())?;
    paths[place].get(method.as_str().to_ascii_lowercase())
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(place) => document().pointer(place.trim_start_matches('#')).expect("a reference leads somewhere"),
        None => value,
    }
}

/// Whether a value is as a schema says, and has no field that the schema does not name.
fn fits(schema: &'static Value, value: &Value, place: &str) -> Result<(), String> {
    shape(schema, value, place)?;
    if let (Value::Object(fields), Some(named)) = (value, names(schema))
        && let Some(other) = fields.keys().find(|field| !named.contains(&field.as_str()))
    {
        return Err(format!("{place}.{other} is not in the document"));
    }
    Ok(())
}

/// The fields that a schema names in all; none if it takes any.
fn names(schema: &'static Value) -> Option<Vec<&'static str>> {
    let schema = resolved(schema);
    let parts = ["allOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    // One part that takes any makes the whole take any; null has none to name.
    let named: Option<Vec<Vec<&str>>> = parts.filter(|part| part["type"] != "null").map(names).collect();
    let mut all: Vec<&str> = named?.concat();
    all.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()));
    let open = schema.get("additionalProperties").is_some() || all.is_empty() && schema["properties"].is_null();
    (!open).then_some(all)
}

fn shape(schema: &'static Value, value: &Value, place: &str) -> Result<(), String> {
    let keywords = resolved(schema).as_object().ok_or_else(|| format!("{place}: the document has no schema"))?;
    for (keyword, rule) in keywords {
        let good = match keyword.as_str() {
            "type" => is_of_type(rule, value),
            "const" => rule == value,
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64().zip(rule.as_f64()).is_none_or(|(value, rule)| value >= rule),
            "maximum" => value.as_f64().zip(rule.as_f64()).is_none_or(|(value, rule)| value <= rule),
            "required" => {
                rule.as_array().into_iter().flatten().all(|name| name.as_str().is_some_and(|name| value.get(name).is_some()))
            }
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(inner) = value.get(name) {
                        fits(schema, inner, &format!("{place}.{name}"))?;
                    }
                }
                true
            }
            "items" => {
                for (n, inner) in value.as_array().into_iter().flatten().enumerate() {
                    fits(rule, inner, &format!("{place}[{n}]"))?;
                }
                true
            }
            // The parts of one object: only together do they name all of its fields.
            "allOf" => {
                rule.as_array().into_iter().flatten().try_for_each(|part| shape(part, value, place))?;
                true
            }
            "oneOf" => {
                let all: Vec<_> = rule.as_array().into_iter().flatten().map(|part| shape(part, value, place)).collect();
                if all.iter().filter(|fit| fit.is_ok()).count() != 1 {
                    return Err(format!("{place}: {value} fits not one of several: {all:?}"));
                }
                true
            }
            // Checked by the contract tests, which have regular expressions; or words about the value.
            "pattern"
            | "format"
            | "description"
            | "title"
            | "example"
            | "examples"
            | "default"
            | "deprecated"
            | "additionalProperties"
            | "propertyNames"
            | "maxLength"
            | "minLength"
            | "maxItems"
            | "minItems" => true,
            other => return Err(format!("{place}: `{other}` is not known here")),
        };
        if !good {
            return Err(format!("{place}: {value} is not {keyword} {rule}"));
        }
    }
    Ok(())
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some(_) | None => false,
    };
    match rule {
        Value::Array(any) => any.iter().any(is),
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => is(one),
    }
}

#[test]
fn what_does_not_fit_is_seen() {
    let schema = &document()["components"]["schemas"]["Problem"];
    let good = serde_json::json!({ "success": false, "code": "a", "message": "b", "hint": "c" });
    assert_eq!(fits(schema, &good, ""), Ok(()));
    for (field, value) in
        [("code", Value::Null), ("success", Value::Bool(true)), ("more", Value::Null), ("details", Value::Bool(true))]
    {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(fits(schema, &bad, "").is_err(), "{field}");
    }
    assert!(fits(schema, &serde_json::json!({ "success": false }), "").is_err());
}
