//! Canonical JSON: sorted keys, so that the same view is the same bytes on every machine.

use comfyd_engine::RunView;

/// The canonical text of a view.
pub(crate) fn of(view: &RunView) -> String {
    let text = serde_json::to_string(view).expect("a view is plain data");
    let mut sorted = String::with_capacity(text.len());
    sort(&text, &mut sorted);
    sorted
}

/// Writes a JSON value without blanks, its keys sorted. The keys are names of our own, so their JSON text sorts as they do.
fn sort(value: &str, out: &mut String) {
    match value.as_bytes().first() {
        Some(b'{') => {
            let mut fields: Vec<(&str, &str)> = parts(value).map(split_field).collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                out.push_str(key);
                out.push(':');
                sort(value, out);
            }
            out.push('}');
        }
        Some(b'[') => {
            out.push('[');
            for (at, item) in parts(value).enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                sort(item, out);
            }
            out.push(']');
        }
        Some(_) | None => out.push_str(value),
    }
}

/// What stands between the commas of an object or a list.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = &value[1..value.len() - 1];
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = end_of_part(rest);
        let part = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(part)
    })
}

fn end_of_part(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {} // Numbers, names and what separates a key from its value.
        }
    }
    text.len()
}

/// A key with its quotes, and its value.
fn split_field(field: &str) -> (&str, &str) {
    // Our keys have no escapes in them.
    let key = field[1..].find('"').map_or(field.len(), |end| end + 2);
    (&field[..key], field.get(key + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::sort;

    /// The same by way of values.
    fn by_values(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<(String, Value)> = map.into_iter().map(|(key, value)| (key, by_values(value))).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Object(entries.into_iter().collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(by_values).collect()),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
        }
    }

    #[test]
    fn keys_are_sorted_and_everything_else_stays() {
        for text in [
            r#"{"b":1,"a":{"d":[],"c":{}},"a_b":[{"y":1.5,"x":"}],\"{["},null,true]}"#,
            r#"{"text":"a\\","b":"\\\"","a":[[1,2],["é,"]]}"#,
            r#"[{"k":"v"},{"z":[0],"y":"ä, ö: \"ü\""}]"#,
            "{}",
            "[]",
            "\"plain\"",
            "-1250.5",
        ] {
            let mut sorted = String::new();
            sort(text, &mut sorted);
            let value: Value = serde_json::from_str(text).expect("good JSON");
            assert_eq!(sorted, by_values(value).to_string(), "{text}");
        }
    }

    #[test]
    fn a_view_is_what_it_was_by_way_of_values() {
        let mut rig = comfyd_engine::testkit::Rig::new(comfyd_engine::Limits::default());
        rig.online("gpu-a");
        let spec = Box::new(comfyd_engine::RunSpec {
            name: "a \"name\", {odd}".to_owned(),
            ..comfyd_engine::testkit::small_run("gpu-a")
        });
        let id = comfyd_engine::testkit::run_id(1);
        rig.say(comfyd_engine::Input::Request(id, comfyd_engine::Request::Create { spec, blobs: vec![] })).expect("a new run");
        let view = comfyd_engine::RunView::of(rig.engine().run(id).expect("it is open"));
        let value = serde_json::to_value(&view).expect("plain data");
        assert_eq!(super::of(&view), by_values(value).to_string());
    }
}
