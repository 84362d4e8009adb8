//! Canonical JSON: sorted keys, so that the same view is the same bytes on every machine.

use comfyd_engine::RunView;
use serde_json::Value;

/// The canonical text of a view.
pub(crate) fn of(view: &RunView) -> String {
    let value = serde_json::to_value(view).expect("a view is plain data");
    sorted(value).to_string()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}
