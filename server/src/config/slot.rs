//! Where in [`Config`] a key's value goes, and what is allowed there.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::model::Config;

type At<T> = fn(&mut Config) -> &mut T;

/// The place of a value.
pub(super) enum Slot {
    /// A whole number.
    Whole { from: u64, to: u64, at: At<u64> },
    /// A whole number or `null`.
    MaybeWhole { from: u64, to: u64, at: At<Option<u64>> },
    /// A path or `null`.
    MaybePath { at: At<Option<PathBuf>> },
    /// A list of paths or `null`.
    MaybePaths { at: At<Option<Vec<PathBuf>>> },
    /// A text that is read into something else.
    Text { allowed: &'static str, put: fn(&mut Config, &str) -> bool, get: fn(&Config) -> String },
    /// A text or `null`.
    MaybeText { allowed: &'static str, read: fn(&str) -> Option<String>, at: At<Option<String>> },
    /// A list of texts.
    Texts { allowed: &'static str, check: fn(&str) -> bool, at: At<Vec<String>> },
}

impl Slot {
    /// What may stand there.
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Whole { from, to, .. } => format!("a whole number from {from} to {to}"),
            Self::MaybeWhole { from, to, .. } => format!("a whole number from {from} to {to}, or null"),
            Self::MaybePath { .. } => "a path, or null".to_owned(),
            Self::MaybePaths { .. } => "a list of paths, or null".to_owned(),
            Self::Text { allowed, .. } => (*allowed).to_owned(),
            Self::MaybeText { allowed, .. } => format!("{allowed}, or null"),
            Self::Texts { allowed, .. } => format!("a list of {allowed}"),
        }
    }

    /// Puts a value there; says whether it is allowed. Paths that do not begin at the root begin at `base`.
    pub(super) fn put(&self, config: &mut Config, value: &Value, base: &Path) -> bool {
        let fits = |value: &Value, from: u64, to: u64| value.as_u64().filter(|number| (from..=to).contains(number));
        match (self, value) {
            (Self::Whole { from, to, at }, _) => fits(value, *from, *to).map(|number| *at(config) = number).is_some(),
            (Self::MaybeWhole { at, .. }, Value::Null) => {
                *at(config) = None;
                true
            }
            (Self::MaybeWhole { from, to, at }, _) => fits(value, *from, *to).map(|number| *at(config) = Some(number)).is_some(),
            (Self::MaybePath { at }, Value::Null) => {
                *at(config) = None;
                true
            }
            (Self::MaybePath { at }, Value::String(text)) if !text.is_empty() => {
                *at(config) = Some(path(text, base));
                true
            }
            (Self::MaybePaths { at }, Value::Null) => {
                *at(config) = None;
                true
            }
            (Self::MaybePaths { at }, Value::Array(items)) => {
                let paths = items.iter().map(|item| item.as_str().filter(|text| !text.is_empty()).map(|text| path(text, base)));
                paths.collect::<Option<Vec<_>>>().map(|paths| *at(config) = Some(paths)).is_some()
            }
            (Self::Text { put, .. }, Value::String(text)) => put(config, text),
            (Self::MaybeText { at, .. }, Value::Null) => {
                *at(config) = None;
                true
            }
            (Self::MaybeText { read, at, .. }, Value::String(text)) => read(text).map(|text| *at(config) = Some(text)).is_some(),
            (Self::Texts { check, at, .. }, Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().filter(|text| check(text)).map(str::to_owned));
                texts.collect::<Option<Vec<_>>>().map(|texts| *at(config) = texts).is_some()
            }
            // A value of another type.
            (
                Self::MaybePath { .. }
                | Self::MaybePaths { .. }
                | Self::Text { .. }
                | Self::MaybeText { .. }
                | Self::Texts { .. },
                _,
            ) => false,
        }
    }

    /// The value that stands there.
    pub(super) fn get(&self, config: &Config) -> Value {
        let mut config = config.clone();
        let text = |path: &PathBuf| path.display().to_string();
        match self {
            Self::Whole { at, .. } => (*at(&mut config)).into(),
            Self::MaybeWhole { at, .. } => (*at(&mut config)).into(),
            Self::MaybePath { at } => at(&mut config).as_ref().map(text).into(),
            Self::MaybePaths { at } => at(&mut config).as_ref().map(|paths| paths.iter().map(text).collect::<Vec<_>>()).into(),
            Self::Text { get, .. } => get(&config).into(),
            Self::MaybeText { at, .. } => at(&mut config).clone().into(),
            Self::Texts { at, .. } => at(&mut config).clone().into(),
        }
    }

    /// The value that a text of the environment means: a number, a list with commas, or the text itself; empty for none.
    pub(super) fn value_of(&self, text: &str) -> Value {
        let list = || text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect();
        let none = || if text.is_empty() { Value::Null } else { Value::from(text) };
        let number = || text.parse::<u64>().map_or_else(|_| none(), Value::from);
        match self {
            Self::Whole { .. } | Self::MaybeWhole { .. } => number(),
            Self::Text { .. } => Value::from(text),
            Self::MaybePath { .. } | Self::MaybeText { .. } => none(),
            Self::MaybePaths { .. } if text.is_empty() => Value::Null,
            Self::Texts { .. } | Self::MaybePaths { .. } => list(),
        }
    }
}

/// A path from the root: `~/` is the user's home, and what begins nowhere begins at `base`.
fn path(text: &str, base: &Path) -> PathBuf {
    let home = text.strip_prefix("~/").and_then(|rest| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(rest)));
    home.unwrap_or_else(|| base.join(text))
}
