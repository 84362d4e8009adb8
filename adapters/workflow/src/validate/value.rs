//! A value held against what its input takes.

use serde_json::{Number, Value};

use super::Kind;
use super::finding::MAX_SHOWN;
use crate::classes::{Input, Kind as Takes};
use crate::json::printed;

/// What is wrong with a value.
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) allowed: Option<String>,
    /// Whether the node looks itself, so that this is only likely.
    pub(super) by_node: bool,
}

impl Fault {
    fn new(kind: Kind, allowed: impl Into<String>) -> Self {
        Self { kind, allowed: Some(allowed.into()), by_node: false }
    }
}

/// The first thing that is wrong, as ComfyUI looks: type, range, choices.
pub(super) fn check_value(input: &Input<'_>, value: &Value) -> Option<Fault> {
    // A wrapped list is a value.
    let value = value.get("__value__").unwrap_or(value);
    match input.type_name() {
        "INT" => match as_integer(value) {
            Some(Whole::Exact(number)) => whole_out_of_range(input, number),
            Some(Whole::Near(number)) => out_of_range(input, number),
            None => Some(Fault::new(Kind::InvalidInputType, "a whole number")),
        },
        "FLOAT" => match as_float(value) {
            Some(number) => out_of_range(input, number),
            None => Some(Fault::new(Kind::InvalidInputType, "a number")),
        },
        "COMBO" => not_a_choice(input, value),
        "COMFY_DYNAMICCOMBO_V3" => {
            let keys = input.choice_keys();
            let chosen = value.as_str();
            if chosen.is_some_and(|key| keys.contains(&key)) {
                return None;
            }
            let names = listed(keys.iter().map(|key| (*key).to_owned()));
            Some(Fault { kind: Kind::ValueNotInList, allowed: Some(names), by_node: true })
        }
        // All other types take anything, or check it themselves.
        _ => None,
    }
}

/// A whole number: those that JSON can hold are compared exactly.
enum Whole {
    Exact(i128),
    Near(f64),
}

impl Whole {
    fn parse(digits: &str) -> Option<Self> {
        digits.parse().map(Self::Exact).ok().or_else(|| digits.parse().ok().map(Self::Near))
    }
}

/// What Python's `int` makes of it.
fn as_integer(value: &Value) -> Option<Whole> {
    match value {
        Value::Number(number) => match whole_of(number) {
            Some(whole) => Some(Whole::Exact(whole)),
            None => float_of(number).map(|number| Whole::Near(number.trunc())),
        },
        Value::Bool(held) => Some(Whole::Exact(i128::from(*held))),
        Value::String(text) => {
            let digits = without_separators(text.trim())?;
            let bare = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
            let whole = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
            if whole { Whole::parse(&digits) } else { None }
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number that is written without a fraction.
fn whole_of(number: &Number) -> Option<i128> {
    number.to_string().parse().ok()
}

fn whole_out_of_range(input: &Input<'_>, number: i128) -> Option<Fault> {
    let limit = |name: &str| input.option(name).and_then(Value::as_number);
    let exact = |name: &str| limit(name).is_none_or(|limit| whole_of(limit).is_some());
    if !exact("min") || !exact("max") {
        #[expect(clippy::cast_precision_loss, reason = "a limit with a fraction is a float too")]
        return out_of_range(input, number as f64);
    }
    if limit("min").and_then(whole_of).is_some_and(|least| number < least) {
        return Some(Fault::new(Kind::ValueSmallerThanMin, range_of(input)));
    }
    let over = limit("max").and_then(whole_of).is_some_and(|most| number > most);
    over.then(|| Fault::new(Kind::ValueBiggerThanMax, range_of(input)))
}

/// What Python's `float` makes of it.
fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => float_of(number),
        Value::Bool(held) => Some(f64::from(u8::from(*held))),
        Value::String(text) => {
            let text = without_separators(text.trim())?;
            text.parse().ok()
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn float_of(number: &Number) -> Option<f64> {
    number.as_f64().or_else(|| number.to_string().parse().ok())
}

/// Python allows one `_` between two digits.
fn without_separators(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let fine = |at: usize| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        bytes[at] != b'_' || (digit(at.checked_sub(1)) && digit(Some(at + 1)))
    };
    (0..bytes.len()).all(fine).then(|| text.replace('_', ""))
}

/// What a number may be, in words.
fn range_of(input: &Input<'_>) -> String {
    let limit = |name: &str| input.option(name).and_then(Value::as_number);
    match (limit("min"), limit("max")) {
        (Some(least), Some(most)) => format!("it may be from {least} to {most}"),
        (Some(least), None) => format!("it may be {least} or more"),
        (None, Some(most)) => format!("it may be {most} or less"),
        (None, None) => String::new(),
    }
}

fn out_of_range(input: &Input<'_>, number: f64) -> Option<Fault> {
    let limit = |name: &str| input.option(name).and_then(Value::as_number).and_then(float_of);
    if limit("min").is_some_and(|least| number < least) {
        return Some(Fault::new(Kind::ValueSmallerThanMin, range_of(input)));
    }
    let over = limit("max").is_some_and(|most| number > most);
    over.then(|| Fault::new(Kind::ValueBiggerThanMax, range_of(input)))
}

fn not_a_choice(input: &Input<'_>, value: &Value) -> Option<Fault> {
    let choices = input.choices();
    // Choices that come from elsewhere are not in the description.
    if choices.iter().any(|choice| same(choice, value)) || input.option("remote").is_some() {
        return None;
    }
    let marks = ["image_upload", "animated_image_upload", "video_upload", "audio_upload", "file_upload"];
    let is_file = marks.iter().any(|mark| input.is(mark));
    Some(Fault {
        kind: if is_file { Kind::FileNotListed } else { Kind::ValueNotInList },
        allowed: Some(listed(choices.iter().map(printed))),
        // Only newer servers check choices of this way of writing; files are looked for.
        by_node: is_file || !matches!(input.kind, Takes::Choices(_)) || input.is("multiselect") || input.is("multi_select"),
    })
}

/// The choices that a value could be, as names.
pub(super) fn choices_of(input: &Input<'_>) -> Vec<String> {
    match input.type_name() {
        "COMFY_DYNAMICCOMBO_V3" => input.choice_keys().into_iter().map(str::to_owned).collect(),
        _ => input.choices().iter().map(printed).collect(), // All others have none or a list.
    }
}

/// As many names as are shown, and one more so that it is seen that there are more.
fn listed(names: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&name);
        if text.len() > 4 * MAX_SHOWN {
            break;
        }
    }
    text
}

/// Python's `==`: 1, 1.0 and True are equal.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Number(number) => float_of(number),
        Value::Bool(held) => Some(f64::from(u8::from(*held))),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b).is_eq() || (a - b).abs() < f64::MIN_POSITIVE,
        _ => a == b, // At least one of them is no number.
    }
}
