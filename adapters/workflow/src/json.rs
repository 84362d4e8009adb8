//! Reading JSON that may be anything.

use serde_json::{Map, Value};

/// The fields of an object.
pub(crate) fn object(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The elements of a list; none for all else.
pub(crate) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text field.
pub(crate) fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

/// An id, which files write as a number or as a text.
pub(crate) fn id(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_i64().map(|id| id.to_string()).or_else(|| Some(number.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A count or a position in a list.
pub(crate) fn index(value: Option<&Value>) -> Option<usize> {
    usize::try_from(value?.as_i64()?).ok()
}

/// Whether JavaScript takes it for true.
pub(crate) fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(held)) => *held,
        Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(_) | Value::Object(_)) => true,
    }
}

/// What JavaScript prints for a value inside a text.
pub(crate) fn printed(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(held) => held.to_string(),
        Value::Number(number) => printed_number(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(printed).collect::<Vec<_>>().join(","),
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

fn printed_number(number: &serde_json::Number) -> String {
    let text = number.to_string();
    // A fraction of zero is not printed: 8.0 is the number 8.
    match text.strip_suffix(".0") {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// Whether JavaScript sorts this key before the others, as an index of an array.
pub(crate) fn is_index(key: &str) -> Option<u32> {
    let number: u32 = key.parse().ok()?;
    (number != u32::MAX && number.to_string() == key).then_some(number)
}

/// The entries in the order in which JavaScript keeps them: indexes first, by size.
pub(crate) fn in_key_order<T>(entries: Vec<(String, T)>) -> Vec<(String, T)> {
    let mut entries = entries;
    entries.sort_by_key(|(key, _)| is_index(key).map_or((1, 0), |number| (0, number)));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_come_first_and_by_size() {
        let keys = ["5:21", "10", "9", "01", "a", "4294967295"];
        let sorted = in_key_order(keys.iter().map(|key| ((*key).to_owned(), ())).collect());
        let names: Vec<&str> = sorted.iter().map(|(key, ())| key.as_str()).collect();
        assert_eq!(names, ["9", "10", "5:21", "01", "a", "4294967295"]);
    }

    #[test]
    fn ids_are_texts_or_numbers() {
        let value: Value = serde_json::from_str(r#"[7, "7", -1, 1.5, null]"#).expect("JSON");
        let ids: Vec<Option<String>> = list(Some(&value)).iter().map(|item| id(Some(item))).collect();
        assert_eq!(ids, [Some("7".into()), Some("7".into()), Some("-1".into()), Some("1.5".into()), None]);
    }
}
