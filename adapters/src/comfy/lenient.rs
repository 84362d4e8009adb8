//! Python's JSON: `NaN`, `Infinity` and lone surrogates, which no JSON parser takes.
//!
//! Invariants: what was marked comes back byte for byte ([`to_wire`] undoes [`to_strict`]), and text without such things is never copied.
//! A string of the source that itself begins with a mark would be taken for one; marks hold a NUL, so that no text of a person does.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// Begins a string that stands for a bare token; as decoded text.
const TOKEN: &str = "\0n:";
/// Begins the four hex digits of a lone surrogate; as decoded text.
const SURROGATE: &str = "\0s:";
/// The same two as JSON writes them.
const TOKEN_JSON: &str = "\\u0000n:";
const SURROGATE_JSON: &str = "\\u0000s:";

const TOKENS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// What stands for a bare token.
#[derive(Clone, Copy)]
enum Instead {
    Mark,
    Null,
}

/// Replaces what strict JSON refuses by marked strings.
///
/// ```
/// use comfyd_adapters::comfy::lenient::{to_strict, to_wire};
/// let text = r#"{"scale": -Infinity, "name": "NaN \ud83d"}"#;
/// let strict = to_strict(text);
/// let value: serde_json::Value = serde_json::from_str(&strict)?;
/// assert_eq!(to_wire(&strict), text);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn to_strict(text: &str) -> Cow<'_, str> {
    replace(text, Instead::Mark)
}

/// Like [`to_strict`], with `null` for the bare tokens: for places where a number is asked for.
pub(crate) fn to_nulls(text: &str) -> Cow<'_, str> {
    replace(text, Instead::Null)
}

fn replace(text: &str, instead: Instead) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let mut kept = 0;
    let mut at = 0;
    let mut in_string = false;
    while at < bytes.len() {
        // How many bytes to take, and what to write instead.
        let (len, put) = match (in_string, bytes[at]) {
            (_, b'"') => {
                in_string = !in_string;
                (1, None)
            }
            (true, b'\\') => escape(&bytes[at..]),
            (false, b'N' | b'I' | b'-') => match TOKENS.iter().find(|token| bytes[at..].starts_with(token.as_bytes())) {
                Some(token) => {
                    let mark = || format!("\"{TOKEN_JSON}{token}\"");
                    (
                        token.len(),
                        Some(match instead {
                            Instead::Mark => mark(),
                            Instead::Null => "null".to_owned(),
                        }),
                    )
                }
                None => (1, None),
            },
            // Everything else is copied as it is.
            (true | false, _) => (1, None),
        };
        if let Some(put) = put {
            let out = out.get_or_insert_with(|| String::with_capacity(text.len() + 64));
            out.push_str(&text[kept..at]);
            out.push_str(&put);
            kept = at + len;
        }
        at += len;
    }
    match out {
        Some(mut out) => {
            out.push_str(text.get(kept..).unwrap_or_default());
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// The length of an escape, and what to write instead of a lone surrogate.
fn escape(bytes: &[u8]) -> (usize, Option<String>) {
    match unit(bytes) {
        Some((0xd800..=0xdbff, _)) if matches!(bytes.get(6..).and_then(unit), Some((0xdc00..=0xdfff, _))) => (12, None),
        Some((0xd800..=0xdfff, hex)) => (6, Some(format!("{SURROGATE_JSON}{hex}"))),
        Some(_) => (6, None),
        // A short escape: the character after the backslash is ASCII, or the text is no JSON anyway.
        None => (if bytes.get(1).is_some_and(u8::is_ascii) { 2 } else { 1 }, None),
    }
}

/// The UTF-16 unit of a `\uXXXX`.
fn unit(bytes: &[u8]) -> Option<(u16, &str)> {
    let hex = bytes.strip_prefix(b"\\u")?.get(..4)?;
    let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some((u16::from_str_radix(hex, 16).ok()?, hex))
}

/// Puts back what [`to_strict`] replaced.
pub fn to_wire(text: &str) -> Cow<'_, str> {
    unmark(text, Back::Wire)
}

/// Makes of what [`to_strict`] replaced JSON that every parser takes: the tokens as texts, replacement characters for lone surrogates.
pub fn to_plain(text: &str) -> Cow<'_, str> {
    unmark(text, Back::Plain)
}

/// What is put where a mark stands.
#[derive(Clone, Copy)]
enum Back {
    Wire,
    Plain,
}

fn unmark(text: &str, back: Back) -> Cow<'_, str> {
    if !text.contains("\\u0000") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        let token = TOKENS.iter().find_map(|token| {
            let after = here.strip_prefix('"')?.strip_prefix(TOKEN_JSON)?.strip_prefix(token)?.strip_prefix('"')?;
            Some((*token, after))
        });
        if let Some((token, after)) = token {
            match back {
                Back::Wire => out.push_str(token),
                Back::Plain => out.extend(["\"", token, "\""]),
            }
            rest = after;
            continue;
        }
        let surrogate = here.strip_prefix(SURROGATE_JSON).and_then(|hex| hex.get(..4).map(|digits| (digits, &hex[4..])));
        if let Some((hex, after)) = surrogate {
            match back {
                Back::Wire => out.extend(["\\u", hex]),
                Back::Plain => out.push_str("\\ufffd"),
            }
            rest = after;
            continue;
        }
        // A backslash goes together with what it escapes, or an escaped backslash would seem to begin a mark.
        let len = match here.strip_prefix('\\') {
            Some(escaped) => 1 + escaped.chars().next().map_or(0, char::len_utf8),
            None => 1,
        };
        out.push_str(&here[..len]);
        rest = &here[len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A decoded string as a person reads it: `NaN` for a token, the replacement character for a lone surrogate.
pub fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains('\0') {
        return Cow::Borrowed(text);
    }
    if let Some(token) = text.strip_prefix(TOKEN) {
        return Cow::Borrowed(token);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split(SURROGATE);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        out.push('\u{fffd}');
        out.push_str(part.get(4..).unwrap_or_default());
    }
    Cow::Owned(out)
}

/// Reads JSON as Python writes it; tokens and lone surrogates come as marked strings.
///
/// # Errors
/// If it is no JSON even so.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) => match to_strict(text) {
            Cow::Borrowed(_) => Err(error),
            Cow::Owned(strict) => serde_json::from_str(&strict),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn round_trips() {
        let rows = [
            r#"{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN"}"#,
            r#"{"a": "\ud83d", "b": "\uDE00x", "c": "\ud83d\ude00", "d": "\ud83d\ud83d\ude00"}"#,
            r#"{"a": "back\\", "b": NaN}"#,
            r#"{"a": "quote \" NaN", "b": "\\ud83d"}"#,
            r#"{"seed": 18446744073709551615, "cfg": 1.0, "big": 1e400, "neg": -1}"#,
            r#"{"nul": "\u0000", "path": "\\u0000n:NaN"}"#,
            "[NaN]",
            "{}",
        ];
        for text in rows {
            let strict = to_strict(text);
            let value: Value = serde_json::from_str(&strict).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(to_wire(&strict), text);
            let plain = to_plain(&strict);
            serde_json::from_str::<Value>(&plain).unwrap_or_else(|error| panic!("{plain}: {error}"));
            assert!(!plain.contains(TOKEN_JSON) || text.contains(TOKEN_JSON), "{plain}");
            // Also after a parser and a printer had it.
            let printed = serde_json::to_string(&value).expect("a value prints");
            let again: Value = serde_json::from_str(&to_strict(&to_wire(&printed))).expect("wire text parses");
            assert_eq!(again, value, "{text}");
        }
    }

    #[test]
    fn numbers_stay_as_written() {
        let text = r#"{"seed":18446744073709551615,"cfg":1.0,"tiny":1e-7,"x":NaN}"#;
        let value: Value = from_json(text).expect("lenient JSON");
        assert_eq!(to_wire(&value.to_string()), text);
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(to_strict(r#"{"Name": "Infinity", "n": -1}"#), Cow::Borrowed(_)));
        assert!(matches!(to_wire(r#"{"a": "\u00e4"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn people_read_no_marks() {
        let value: Value = from_json(r#"["a\ud83db", NaN]"#).expect("lenient JSON");
        let shown: Vec<_> = value.as_array().into_iter().flatten().filter_map(Value::as_str).map(readable).collect();
        assert_eq!(shown, ["a\u{fffd}b", "NaN"]);
    }

    #[test]
    fn rubbish_ends_without_a_panic() {
        for text in ["\"\\", "\"\\u", "\"\\ud8", "\\ud83d\\u", "\"\\\u{e4}\"", "N", "-", "\"\\ud83d\\\"", "I\u{4e16}"] {
            let strict = to_strict(text);
            assert_eq!(to_wire(&strict), text, "{text}");
        }
        assert_eq!(readable("\0s:12"), "\u{fffd}");
    }
}
