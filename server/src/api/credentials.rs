//! What no log of a generic workflow must hold: values of fields that are named like secrets, and addresses with a password.
//!
//! Invariants: an error never shows the value. Absent: graphs and their inputs; they belong to their nodes and are kept as they are, as in runs.

use std::collections::BTreeMap;

use comfyd_adapters::comfy::lenient::{to_strict, to_wire};
use comfyd_engine::PlannedStep;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::problem::Problem;

/// A name with one of these is a secret's, without regard to case, `_` and `-`.
const WORDS: &[&str] = &["apikey", "token", "password", "passwd", "passphrase", "secret"];
/// A text without any of these has no such name.
const HINTS: &[&str] = &["api", "token", "passw", "passphrase", "secret", "\\u"];
/// Fields of a step whose names are those of nodes.
const OF_NODES: &[&str] = &["workflow", "inputs"];
/// What stands for a secret.
const MASK: &str = "\"***\"";
/// Values this deep are looked through; deeper ones that may have a secret are left out whole.
const MAX_DEPTH: usize = 16;

/// Refuses a step that brings a secret.
pub(super) fn refuse(plan: &PlannedStep) -> Result<(), Problem> {
    check_urls(&plan.fields)?;
    let speaks = matches!(plan.action.as_str(), "execute_comfyui_workflow" | "test_comfyui");
    if let Some(url) = plan.fields.get("url").filter(|_| speaks).and_then(|text| serde_json::from_str::<String>(text).ok()) {
        crate::instances::parse_url(&url)?;
    }
    let mut found = Vec::new();
    for (name, text) in &plan.fields {
        hide(name, text, &mut found);
    }
    found.first().map_or(Ok(()), |name| Err(secret(name)))
}

fn secret(name: &str) -> Problem {
    let name: String = name.chars().take(60).collect();
    let hint = "Keep it on the machine itself, in a file or the environment of what needs it, and leave the field out.";
    Problem::invalid("secret_field", format!("field `{name}` is named like a secret, and workflows are written to logs"), hint)
}

/// Refuses addresses with a password.
pub(super) fn check_urls(fields: &BTreeMap<String, String>) -> Result<(), Problem> {
    let named = |name: &str| name == "url" || name.ends_with("_url");
    let urls = fields.iter().filter(|(name, _)| named(name));
    for (name, text) in urls {
        if serde_json::from_str::<String>(text).is_ok_and(|url| has_password(&url)) {
            let name: String = name.chars().take(60).collect();
            let message = format!("field `{name}` has a user or a password in its address");
            let hint = "Leave them out of the address, and keep them on the machine itself.";
            return Err(Problem::invalid("address_userinfo", message, hint));
        }
    }
    Ok(())
}

/// A name alone is a login of SSH; over HTTP it is a token.
fn has_password(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':') || scheme.to_ascii_lowercase().starts_with("http"))
}

/// Masks the secrets among fields, wherever they stand.
pub(super) fn mask(fields: &mut BTreeMap<String, String>) {
    for (name, text) in fields {
        if let Some(masked) = hide(name, text, &mut Vec::new()) {
            *text = masked;
        }
    }
}

/// A JSON text with its secrets masked.
pub(super) fn masked(text: &str) -> String {
    within(text, 0, &mut Vec::new()).unwrap_or_else(|| text.to_owned())
}

/// Whether a field of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    WORDS.iter().any(|word| plain.contains(word))
}

/// The value of a field without secrets, if it had any; their names go to `found`.
fn hide(name: &str, text: &str, found: &mut Vec<String>) -> Option<String> {
    if OF_NODES.contains(&name) {
        return None;
    }
    let strict = to_strict(text);
    let hidden = value(name, &strict, 0, found)?;
    Some(to_wire(&hidden).into_owned())
}

fn value(name: &str, text: &str, depth: usize, found: &mut Vec<String>) -> Option<String> {
    if is_secret(name) && !matches!(text, "null" | "true" | "false" | "\"\"" | MASK) {
        found.push(name.to_owned());
        return Some(MASK.to_owned());
    }
    within(text, depth, found)
}

fn within(text: &str, depth: usize, found: &mut Vec<String>) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if !HINTS.iter().any(|hint| lower.contains(hint)) {
        return None;
    }
    let object = text.trim_start().starts_with('{');
    if !object && !text.trim_start().starts_with('[') {
        return None;
    }
    if depth >= MAX_DEPTH {
        found.push("(deep inside)".to_owned());
        return Some(MASK.to_owned());
    }
    let mut changed = false;
    let mut put = |hidden: Option<String>, raw: &RawValue| {
        changed |= hidden.is_some();
        hidden.unwrap_or_else(|| raw.get().to_owned())
    };
    let whole = if object {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let fields = fields.into_iter().map(|(name, raw)| {
            let hidden = value(&name, raw.get(), depth + 1, found);
            format!("{}: {}", Value::from(name), put(hidden, raw))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    } else {
        let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let items = items.into_iter().map(|raw| put(within(raw.get(), depth + 1, found), raw));
        format!("[{}]", items.collect::<Vec<_>>().join(", "))
    };
    changed.then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        let rows = [
            ("api_key", r#""x""#, MASK),
            ("Civitai-API-Key", "7", MASK),
            ("hf_token", "null", "null"),
            ("odd", "1.50", "1.50"),
            ("odd", r#"{"b": 1.50,  "a": "token"}"#, r#"{"b": 1.50,  "a": "token"}"#),
            ("odd", r#"[{"b": 1.50, "my_Secret": ["x"], "n": NaN}]"#, r#"[{"b": 1.50, "my_Secret": "***", "n": NaN}]"#),
            ("odd", r#"{"\u0074oken": "x"}"#, r#"{"token": "***"}"#),
            ("workflow", r#"{"3": {"inputs": {"token": "x"}}}"#, r#"{"3": {"inputs": {"token": "x"}}}"#),
        ];
        for (name, text, expected) in rows {
            let mut fields = BTreeMap::from([(name.to_owned(), text.to_owned())]);
            mask(&mut fields);
            assert_eq!(fields[name], expected, "{name}: {text}");
        }
        let deep = format!("{}{}{}", "[".repeat(10_000), r#"{"token": "hunter2"}"#, "]".repeat(10_000));
        assert!(!masked(&deep).contains("hunter2"));
    }

    #[test]
    fn a_login_without_a_password_is_no_secret() {
        for (url, expected) in [
            ("ssh://git@host.example/x", false),
            ("ssh://git:hunter2@host.example/x", true),
            ("https://hunter2@host.example/x", true),
            ("https://host.example/a@b:c", false),
            ("git@host.example:x", false),
        ] {
            assert_eq!(has_password(url), expected, "{url}");
        }
    }
}
