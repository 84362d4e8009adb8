//! What an instance says about the inputs of its node classes (`/object_info`).

use serde_json::{Map, Value};

/// The longest list of choices that a form carries.
const MAX_OPTIONS: usize = 5_000;
/// The longest tooltip, in characters.
const MAX_TOOLTIP: usize = 500;

/// The classes of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a>(&'a Map<String, Value>);

/// How an input is declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared<'a> {
    kind: &'a Value,
    options: Option<&'a Map<String, Value>>,
    pub(super) required: bool,
}

impl<'a> Classes<'a> {
    /// Those of an answer to `GET /object_info`; none if it is no object.
    pub fn of(object_info: &'a Value) -> Option<Self> {
        object_info.as_object().map(Self)
    }

    /// How a class declares an input.
    pub(super) fn input(self, class: &str, input: &str) -> Option<Declared<'a>> {
        let groups = self.0.get(class)?.get("input")?;
        [("required", true), ("optional", false)].into_iter().find_map(|(group, required)| {
            let declared = groups.get(group)?.get(input)?.as_array()?;
            Some(Declared { kind: declared.first()?, options: declared.get(1).and_then(Value::as_object), required })
        })
    }
}

impl<'a> Declared<'a> {
    /// An option that is a number.
    pub(super) fn number(&self, name: &str) -> Option<Value> {
        self.options?.get(name).filter(|value| value.is_number()).cloned()
    }

    /// An option that is true or false.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.options?.get(name)?.as_bool()
    }

    pub(super) fn tooltip(&self) -> Option<String> {
        let text = self.options?.get("tooltip")?.as_str()?;
        Some(text.chars().take(MAX_TOOLTIP).collect())
    }

    /// The values to choose from, both ways in which they are declared.
    pub(super) fn choices(&self) -> Option<Vec<Value>> {
        let list: &'a Vec<Value> = match self.kind {
            Value::Array(list) => list,
            Value::String(kind) if kind == "COMBO" => self.options?.get("options")?.as_array()?,
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        let simple = list.iter().filter(|value| !value.is_array() && !value.is_object() && !value.is_null());
        Some(simple.take(MAX_OPTIONS).cloned().collect())
    }

    /// The name of its type, such as `INT`.
    pub(super) fn type_name(&self) -> Option<&'a str> {
        self.kind.as_str()
    }
}
