//! The ui data of a node as outputs: files and texts (protocol.md 10).

use comfyd_engine::{Produced, RemoteFile};
use serde_json::Value;

use super::lenient::readable;

/// How long a text may be.
pub(super) const MAX_TEXT: usize = 64 * 1024;
/// How many outputs one message may bring.
const MAX_OUTPUTS: usize = 10_000;
/// How long each name of an output may be.
const MAX_NAME: usize = 1_024;

/// What a node's ui data names: objects with a `filename` are files, strings are texts; `animated` and other flags are neither.
///
/// What has a name that is too long is left out: a name that is cut would be of another file.
pub(super) fn produced(ui: &Value) -> Vec<Produced> {
    let Value::Object(keys) = ui else { return Vec::new() };
    let mut found = Vec::new();
    let mut left_out = 0_usize;
    for (key, value) in keys {
        let elements = match value {
            Value::Array(elements) => elements.as_slice(),
            // A custom node may report one thing without a list.
            single => std::slice::from_ref(single),
        };
        let made = elements.iter().filter_map(|element| one(key, element)).filter(|made| {
            let fits = fits(made);
            left_out += usize::from(!fits);
            fits
        });
        found.extend(made.take(MAX_OUTPUTS - found.len()));
    }
    if left_out > 0 {
        tracing::warn!(left_out, "outputs with names of more than {MAX_NAME} bytes");
    }
    found
}

fn fits(made: &Produced) -> bool {
    match made {
        Produced::File(RemoteFile { key, filename, subfolder, folder }) => {
            [key, filename, subfolder, folder].into_iter().all(|name| name.len() <= MAX_NAME)
        }
        Produced::Text { key, .. } => key.len() <= MAX_NAME,
    }
}

fn one(key: &str, element: &Value) -> Option<Produced> {
    let key = readable(key).into_owned();
    match element {
        Value::Object(fields) => {
            let field = |name: &str| fields.get(name).and_then(Value::as_str).map(|text| readable(text).into_owned());
            let filename = field("filename").filter(|name| !name.is_empty())?;
            let subfolder = field("subfolder").unwrap_or_default();
            let folder = field("type").unwrap_or_else(|| "output".to_owned());
            Some(Produced::File(RemoteFile { key, filename, subfolder, folder }))
        }
        Value::String(text) => Some(Produced::Text { key, text: cut(&readable(text), MAX_TEXT).to_owned() }),
        Value::Number(number) if key == "text" => Some(Produced::Text { key, text: number.to_string() }),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) => None,
    }
}

/// The beginning of a text, at most so many bytes.
pub(super) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(key: &str, filename: &str, subfolder: &str, folder: &str) -> Produced {
        let [key, filename, subfolder, folder] = [key, filename, subfolder, folder].map(str::to_owned);
        Produced::File(RemoteFile { key, filename, subfolder, folder })
    }

    fn text(key: &str, text: &str) -> Produced {
        Produced::Text { key: key.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn ui_values() {
        let rows = [
            (json!(null), vec![]),
            (json!([1]), vec![]),
            (
                json!({"images": [{"filename": "a.png", "subfolder": "s", "type": "temp"}], "animated": [true]}),
                vec![file("images", "a.png", "s", "temp")],
            ),
            (
                json!({"gifs": [{"filename": "a.gif"}, {"other": 1}, {"filename": 7}, {"filename": ""}]}),
                vec![file("gifs", "a.gif", "", "output")],
            ),
            (
                json!({"text": ["hello", 1, 2.5, null, true], "numbers": [1, 2.5]}),
                vec![text("text", "hello"), text("text", "1"), text("text", "2.5")],
            ),
            (json!({"tags": ["a", "b"], "one": "c", "empty": []}), vec![text("tags", "a"), text("tags", "b"), text("one", "c")]),
            (json!({"3d": {"filename": "m.glb"}}), vec![file("3d", "m.glb", "", "output")]),
        ];
        for (ui, expected) in rows {
            assert_eq!(produced(&ui), expected, "{ui}");
        }
    }

    #[test]
    fn names_that_are_too_long_are_left_out_and_never_cut() {
        let (fits, long) = ("n".repeat(MAX_NAME), "n".repeat(MAX_NAME + 1));
        let named = |name: &str| json!({"filename": name});
        let expected = vec![file("images", &fits, "", "output"), file("images", "b.png", "", "output")];
        assert_eq!(produced(&json!({"images": [named(&fits), named(&long), named("b.png")]})), expected);
        let rows = [
            json!({"images": [{"filename": "a.png", "subfolder": long}]}),
            json!({"images": [{"filename": "a.png", "type": long}]}),
            json!({long.as_str(): [{"filename": "a.png"}, "a text"]}),
        ];
        for ui in rows {
            assert_eq!(produced(&ui), vec![], "{ui}");
        }
    }

    #[test]
    fn texts_and_lists_are_cut() {
        let long = "\u{e4}".repeat(MAX_TEXT);
        let Some(Produced::Text { text, .. }) = produced(&json!({"text": [long]})).pop() else { panic!("a text is expected") };
        assert_eq!(text.len(), MAX_TEXT);
        let many = vec!["x"; MAX_OUTPUTS + 5];
        assert_eq!(produced(&json!({"a": many.clone(), "b": many})).len(), MAX_OUTPUTS);
        assert_eq!(cut("\u{e4}", 1), "");
    }
}
