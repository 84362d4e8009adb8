//! One input of a class: its type, its options, and what it holds when nothing was set.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Group;
use crate::json::{list, object, text};

/// What an input takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind<'a> {
    /// One of these; the list stands where others have the name of a type.
    Choices(&'a [Value]),
    /// A type by its name; `COMBO` has its choices in the options.
    Named(&'a str),
    /// Something else, which takes part in nothing.
    Unknown,
}

/// An input of a class.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Its name; of an input inside of another, the whole of it, as `size.width`.
    pub name: Cow<'a, str>,
    /// What it takes.
    pub kind: Kind<'a>,
    /// Whether a node can do without it.
    pub group: Group,
    options: Option<&'a Map<String, Value>>,
}

impl<'a> Input<'a> {
    /// Reads `[type, options]`.
    pub(crate) fn read(name: &'a str, spec: &'a Value, group: Group) -> Self {
        Self::named(Cow::Borrowed(name), spec, group)
    }

    pub(crate) fn named(name: Cow<'a, str>, spec: &'a Value, group: Group) -> Self {
        let parts = list(Some(spec));
        let kind = match parts.first() {
            Some(Value::String(kind)) => Kind::Named(kind),
            Some(Value::Array(choices)) => Kind::Choices(choices),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Kind::Unknown,
        };
        Self { name, kind, group, options: object(parts.get(1)) }
    }

    /// An option.
    pub fn option(&self, name: &str) -> Option<&'a Value> {
        self.options?.get(name)
    }

    /// Whether an option is set to true.
    pub fn is(&self, name: &str) -> bool {
        self.option(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The name of its type; choices are a `COMBO`.
    pub fn type_name(&self) -> &'a str {
        match self.kind {
            Kind::Choices(_) => "COMBO",
            Kind::Named(name) => name,
            Kind::Unknown => "",
        }
    }

    /// The type that says how it is edited, where it is not the type itself.
    pub fn widget_type(&self) -> &'a str {
        text(self.option("widgetType")).unwrap_or_else(|| self.type_name())
    }

    /// What can be chosen.
    pub fn choices(&self) -> &'a [Value] {
        match self.kind {
            Kind::Choices(choices) => choices,
            Kind::Named(_) => list(self.option("options")),
            Kind::Unknown => &[],
        }
    }

    /// Whether it is only ever linked.
    pub fn is_socket_only(&self) -> bool {
        self.is("forceInput")
    }

    /// What stands behind a choice of a dynamic combo: the inputs that it brings.
    pub fn inputs_of_choice(&self, key: &str) -> Option<Vec<Input<'a>>> {
        let choice = self.choices().iter().find(|choice| text(choice.get("key")) == Some(key))?;
        let inputs = object(choice.get("inputs"));
        Some(self.nested(inputs))
    }

    /// The keys of a dynamic combo.
    pub fn choice_keys(&self) -> Vec<&'a str> {
        self.choices().iter().filter_map(|choice| text(choice.get("key"))).collect()
    }

    /// Inputs inside of this one, named `this.name`.
    fn nested(&self, groups: Option<&'a Map<String, Value>>) -> Vec<Input<'a>> {
        let Some(groups) = groups else { return Vec::new() };
        let of = |group: Group| {
            let fields = object(groups.get(group.name())).into_iter().flatten();
            fields.map(move |(name, spec)| Input::named(Cow::Owned(format!("{}.{name}", self.name)), spec, group))
        };
        of(Group::Required).chain(of(Group::Optional)).collect()
    }
}
